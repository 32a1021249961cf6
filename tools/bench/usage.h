/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * usage.h - what processes have used of the machine
 */
#ifndef SHMUX_BENCH_USAGE_H
#define SHMUX_BENCH_USAGE_H

#include <stdbool.h>
#include <sys/types.h>

/* Seconds of CPU, and voluntary context switches, of all threads; NAN if unknown. */
double bench_cpu_of(pid_t pid);
double bench_sleeps_of(pid_t pid);

#endif
