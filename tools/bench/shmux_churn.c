// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_churn.c - open a stream, have 64 bytes echoed, close it; again and again
 *
 * On the path "more" every call but the last says that another follows: the opening
 * and the request go when the answer is waited for, and the answer goes with the end.
 */
#include "shmux_end.h"

/* What a call is told that another follows. */
static unsigned int more(const struct bench_run *run, unsigned int flag)
{
	return strcmp(run->bc->path, "more") ? 0 : flag;
}

static void put(struct bench_run *run, struct shmux_stream *st, const void *buf, size_t len,
		unsigned int flags)
{
	struct iovec iov = { (void *)buf, len };
	ssize_t n = shmux_stream_send(st, &iov, 1, flags);

	if (n != (ssize_t)len)
		bench_fail(run, "shmux_stream_send", n);
}

static void near(struct bench_run *run)
{
	struct shmux_session *s = bench_near_session(run);
	unsigned int opening = more(run, SHMUX_STREAM_MORE);
	unsigned int flags = more(run, SHMUX_MORE);
	_Alignas(16) uint8_t buf[64];
	uint64_t n = 0;

	bench_start(run);
	do {
		struct shmux_stream *st;
		int error = shmux_session_open(s, opening, &st);

		if (error)
			bench_fail(run, "shmux_session_open", error);
		bench_fill(buf, sizeof(buf), n);
		put(run, st, buf, sizeof(buf), flags);
		bench_get(run, st, buf, sizeof(buf));
		bench_check(run, buf, sizeof(buf), ~n++);
		shmux_stream_close(st);
	} while (bench_lap(run));
}

static void far(struct bench_run *run)
{
	struct shmux_session *s = bench_far_session(run);
	unsigned int flags = more(run, SHMUX_MORE);
	_Alignas(16) uint8_t buf[64];

	for (uint64_t n = 0;; n++) {
		struct shmux_stream *st;
		int error = shmux_session_accept(s, flags, &st);

		if (error)
			bench_fail(run, "shmux_session_accept", error);
		bench_get(run, st, buf, sizeof(buf));
		bench_check(run, buf, sizeof(buf), n);
		bench_fill(buf, sizeof(buf), ~n);
		put(run, st, buf, sizeof(buf), flags);
		shmux_stream_close(st);
	}
}

#define CHURN(system, wait, path, placement, setup, level) \
	{ system, "churn", 64, wait, path, 0, placement, setup, near, far, level }

const struct bench_case bench_shmux_churn[] = {
	CHURN("shmux", "spin", "copy", "split", bench_shmux_setup, BENCH_QUICK),
	CHURN("shmux", "spin", "more", "split", bench_shmux_setup, BENCH_USUAL),
	{ 0 }
};

#define YAMUX(wait, path, placement) \
	CHURN("yamux", wait, path, placement, bench_yamux_setup, BENCH_QUICK)

const struct bench_case bench_yamux_churn[] = {
	YAMUX("adaptive", "copy", "same"), YAMUX("adaptive", "more", "same"),
	YAMUX("block", "copy", "same"), YAMUX("adaptive", "copy", "split"),
	YAMUX("adaptive", "more", "split"), YAMUX("block", "copy", "split"),
	{ 0 }
};
