/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench.h - what the rest of the command may ask of the benchmark
 */
#ifndef SHMUX_BENCH_H
#define SHMUX_BENCH_H

#include <stdio.h>

/* The `shmux bench` command. Return: the exit code, see say.h. */
int bench_main(int argc, char **argv);

/*
 * For `shmux demo`: measure shmux, AF_UNIX and a pipe for about @seconds, and
 * print their latency and throughput side by side.
 * Return: 0, or SAY_FAILED if a figure is missing, having said why.
 */
int bench_brief(FILE *out, double seconds);

#endif /* SHMUX_BENCH_H */
