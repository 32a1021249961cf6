// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_stalled.c - round trips on one stream, beside one that nobody reads
 *
 * The stalled stream is filled until it takes no more, however long one waits;
 * how much that was is bounded by the peer's window.
 */
#include "shmux_end.h"

#include <errno.h>

#define WAIT_NS 5000000ull	/* without room, until it counts as full */

static _Alignas(16) uint8_t buf[4096];

static uint64_t fill(struct bench_run *run, struct shmux_stream *st)
{
	uint64_t len = 0, since = shmux_now();

	while (shmux_now() - since < WAIT_NS) {
		ssize_t put = shmux_stream_try_write(st, buf, sizeof(buf));

		if (put < 0 && put != -EAGAIN)
			bench_fail(run, "shmux_stream_try_write", put);
		if (put > 0) {
			len += put;
			since = shmux_now();
		}
	}
	return len;
}

static void near(struct bench_run *run)
{
	struct shmux_session *s = bench_near_session(run);
	struct shmux_stream *stalled = bench_near_stream(run, s);

	run->stalled_bytes = fill(run, stalled);
	bench_near_echo(run, bench_near_stream(run, s));
}

static void far(struct bench_run *run)
{
	struct shmux_session *s = bench_far_session(run);

	bench_far_stream(run, s);
	bench_far_echo(run, bench_far_stream(run, s));
}

const struct bench_case bench_shmux_stalled[] = {
	{ "shmux", "stalled-rtt", 64, "spin", "copy", 0, "split", bench_shmux_setup, near, far },
	{ 0 }
};
