/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * report.h - the rows, for people
 */
#ifndef SHMUX_BENCH_REPORT_H
#define SHMUX_BENCH_REPORT_H

#include "machine.h"
#include "measure.h"

/* On what, and how, measured what has been planned. */
void bench_report_method(const struct bench *b, const struct bench_machine *machine, FILE *out);

/* The rows that are measured, by their keys alone; then what is absent. */
void bench_report_list(const struct bench *b, FILE *out);

/* Times and rates, then what each message has cost. */
void bench_report_table(const struct bench *b, FILE *out);

/* Each system once, with the reason. */
void bench_report_absent(const struct bench *b, FILE *out);
/* shmux, AF_UNIX and a pipe, side by side; and whether @bc is of these. */
void bench_report_brief(const struct bench *b, FILE *out);
bool bench_report_is_brief(const struct bench_case *bc);

#endif /* SHMUX_BENCH_REPORT_H */
