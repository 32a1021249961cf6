/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ends.h - the two processes of a slice
 */
#ifndef SHMUX_BENCH_ENDS_H
#define SHMUX_BENCH_ENDS_H

#include "measure.h"

#define BENCH_WARM 0.2		/* share of a slice */
#define BENCH_PATIENCE 30.0	/* seconds after which a silent case is given up */

/*
 * Begins a slice of @seconds of @bc, beside which each end is traced, and stops at
 * once, if @traced. Return: whether @pids are running.
 */
bool bench_ends_start(struct bench *b, const struct bench_case *bc, double seconds, bool traced,
		      pid_t pids[BENCH_NR_ENDS]);

/* Ends it. Return: whether nothing went wrong with it; else that was said. */
bool bench_ends_stop(struct bench *b, pid_t pids[BENCH_NR_ENDS]);

/* Notices if an end is gone. Return: whether it is; its pid is then -1. */
bool bench_ends_gone(struct bench *b, pid_t pids[BENCH_NR_ENDS], enum bench_end end);

/* Take note of the exit of @pid. Return: whether it was an end; its pid is then -1. */
bool bench_ends_exited(struct bench *b, pid_t pids[BENCH_NR_ENDS], pid_t pid, int status);

/* Take note that nothing comes. */
void bench_ends_give_up(struct bench *b);

/* The clock of the driver, and its sleep, in seconds. */
double bench_now(void);
void bench_nap(double seconds);

#endif
