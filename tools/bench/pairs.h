/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pairs.h - more pairs of sockets than a run has descriptors for
 *
 * @near makes them and hands an end of each to @far, over the pair that is the
 * run's own: fds[0] is @near's, fds[1] @far's.
 */
#ifndef SHMUX_BENCH_PAIRS_H
#define SHMUX_BENCH_PAIRS_H

#include "case.h"

/* Return: whether a process may have @nr descriptors, once it has raised its limit. */
bool bench_may_have_fds(unsigned int nr);

/* Raises the limit of descriptors as far as it goes. */
void bench_want_fds(struct bench_run *run);

/* Return: an end of the next pair, of sockets of @type; fails the run. */
int bench_near_pair(struct bench_run *run, int type);
int bench_far_pair(struct bench_run *run);

#endif
