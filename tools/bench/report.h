/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * report.h - the rows, for people and for programs
 */
#ifndef SHMUX_BENCH_REPORT_H
#define SHMUX_BENCH_REPORT_H

#include "measure.h"

/* The rows that are measured, by their keys alone; then what is absent. */
void bench_report_list(const struct bench *b, FILE *out);

void bench_report_table(const struct bench *b, FILE *out);
/* Each system once, with the reason. */
void bench_report_absent(const struct bench *b, FILE *out);
void bench_report_json(const struct bench *b, FILE *out);

/* shmux, AF_UNIX and a pipe, side by side. */
void bench_report_brief(const struct bench *b, FILE *out);

#endif /* SHMUX_BENCH_REPORT_H */
