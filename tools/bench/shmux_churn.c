// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_churn.c - open a stream, have 64 bytes echoed, close it; again and again
 */
#include "shmux_end.h"

static void near(struct bench_run *run)
{
	struct shmux_session *s = bench_near_session(run);
	_Alignas(16) uint8_t buf[64];
	uint64_t n = 0;

	bench_start(run);
	do {
		struct shmux_stream *st = bench_near_stream(run, s);

		bench_fill(buf, sizeof(buf), n);
		bench_put(run, st, buf, sizeof(buf));
		bench_get(run, st, buf, sizeof(buf));
		bench_check(run, buf, sizeof(buf), ~n++);
		shmux_stream_close(st);
	} while (bench_lap(run));
}

static void far(struct bench_run *run)
{
	struct shmux_session *s = bench_far_session(run);
	_Alignas(16) uint8_t buf[64];

	for (uint64_t n = 0;; n++) {
		struct shmux_stream *st = bench_far_stream(run, s);

		bench_get(run, st, buf, sizeof(buf));
		bench_check(run, buf, sizeof(buf), n);
		bench_fill(buf, sizeof(buf), ~n);
		bench_put(run, st, buf, sizeof(buf));
		shmux_stream_close(st);
	}
}

const struct bench_case bench_shmux_churn[] = {
	{ "shmux", "churn", 64, "spin", "copy", 0, "split", bench_shmux_setup, near, far },
	{ 0 }
};

const struct bench_case bench_yamux_churn[] = {
	{ "yamux", "churn", 64, "adaptive", "copy", 0, "same", bench_yamux_setup, near, far },
	{ "yamux", "churn", 64, "block", "copy", 0, "same", bench_yamux_setup, near, far },
	{ "yamux", "churn", 64, "adaptive", "copy", 0, "split", bench_yamux_setup, near, far },
	{ "yamux", "churn", 64, "block", "copy", 0, "split", bench_yamux_setup, near, far },
	{ 0 }
};
