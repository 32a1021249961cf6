/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_BENCH_GOALS_H
#define SHMUX_BENCH_GOALS_H

#include "measure.h"

/* Whether a goal needs the system calls of @bc. */
bool bench_goals_count_calls(const struct bench_case *bc);

/* How shmux's rows compare with the others' of the same run; what is missing is "-". */
void bench_goals_print(const struct bench *b, FILE *out);

/* The same of the suite "yamux". */
void bench_goals_print_yamux(const struct bench *b, FILE *out);

#endif /* SHMUX_BENCH_GOALS_H */
