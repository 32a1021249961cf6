// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_flood.c - many requests under way on one stream
 *
 * @near writes as many as the depth says before it reads the first answer, then one
 * more for each that it reads; @far answers them one by one. Each is published by
 * itself. What is counted is answers.
 */
#include "shmux_end.h"

enum { BYTES = 64 };

static void near(struct bench_run *run)
{
	struct shmux_stream *st = bench_near_stream(run, bench_near_session(run));
	_Alignas(16) uint8_t out[BYTES], in[BYTES];
	uint64_t asked = 0, answered = 0;

	for (; asked < run->bc->depth; asked++) {
		bench_fill(out, BYTES, asked);
		bench_put(run, st, out, BYTES);
	}
	bench_start(run);
	do {
		bench_get(run, st, in, BYTES);
		bench_check(run, in, BYTES, ~answered++);
		bench_fill(out, BYTES, asked++);
		bench_put(run, st, out, BYTES);
	} while (bench_took(run, 1));
}

static void far(struct bench_run *run)
{
	bench_far_echo(run, bench_far_stream(run, bench_far_session(run)));
}

#define ROW(nr, wait, placement, level) \
	{ "shmux", "flood", BYTES, wait, "copy", 0, placement, bench_shmux_setup, near, far, \
	  level, 0.05, .depth = (nr) }
#define DEPTHS(wait, placement, level) \
	ROW(1, wait, placement, level), ROW(8, wait, placement, level), \
	ROW(32, wait, placement, level), ROW(128, wait, placement, level), \
	ROW(1000, wait, placement, level), ROW(10000, wait, placement, level)

const struct bench_case bench_shmux_flood[] = {
	DEPTHS("spin", "split", BENCH_USUAL),
	DEPTHS("adaptive", "split", BENCH_USUAL),
	DEPTHS("block", "split", BENCH_FULL),
	DEPTHS("block", "same", BENCH_FULL),
	{ 0 }
};
