// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_rtt.c - round trips on one stream; and a session on which nothing is said
 */
#include "shmux_end.h"

static void near_copy(struct bench_run *run)
{
	bench_near_echo(run, bench_near_stream(run, bench_near_session(run)));
}

static void far_copy(struct bench_run *run)
{
	bench_far_echo(run, bench_far_stream(run, bench_far_session(run)));
}

/* --- zero copy: written and read where they lie --------------------------- */

static void put_in_place(struct bench_run *run, struct shmux_stream *st, size_t bytes, uint64_t n)
{
	size_t part = shmux_stream_reserve_max(st);
	struct shmux_span span;
	ssize_t put;

	if (part > bytes)
		part = bytes;
	for (size_t len = 0; len < bytes; len += part) {
		if (part > bytes - len)
			part = bytes - len;
		put = shmux_stream_reserve(st, part, &span, 0);
		if (put < 0)
			bench_fail(run, "shmux_stream_reserve", put);
		bench_fill(span.data, part, n);
		put = shmux_stream_submit(st, &span, part, 0);
		if (put < 0)
			bench_fail(run, "shmux_stream_submit", put);
	}
}

static void get_in_place(struct bench_run *run, struct shmux_stream *st, size_t bytes, uint64_t n)
{
	struct shmux_view view;
	ssize_t got;

	for (size_t len = 0; len < bytes; len += got) {
		got = shmux_stream_take(st, &view, 0);
		if (got <= 0)
			bench_fail(run, "shmux_stream_take", got);
		bench_check(run, view.data, got, n);
		shmux_stream_release(st, &view);
	}
}

static void near_zerocopy(struct bench_run *run)
{
	struct shmux_stream *st = bench_near_stream(run, bench_near_session(run));
	size_t bytes = run->bc->bytes;
	uint64_t n = 0;

	bench_start(run);
	do {
		put_in_place(run, st, bytes, n);
		get_in_place(run, st, bytes, ~n++);
	} while (bench_lap(run));
}

static void far_zerocopy(struct bench_run *run)
{
	struct shmux_stream *st = bench_far_stream(run, bench_far_session(run));
	size_t bytes = run->bc->bytes;

	for (uint64_t n = 0;; n++) {
		get_in_place(run, st, bytes, n);
		put_in_place(run, st, bytes, ~n);
	}
}

/* --- idle: both ends wait for the other to speak -------------------------- */

static void near_idle(struct bench_run *run)
{
	struct shmux_stream *st = bench_near_stream(run, bench_near_session(run));
	_Alignas(16) uint8_t buf[64];

	for (unsigned int n = 0; n < 100; n++) {
		bench_fill(buf, sizeof(buf), n);
		bench_put(run, st, buf, sizeof(buf));
		bench_get(run, st, buf, sizeof(buf));
		bench_check(run, buf, sizeof(buf), ~n);
	}
	run->settled = 1;
	bench_get(run, st, buf, sizeof(buf));
}

#define COPY bench_shmux_setup, near_copy, far_copy
#define ZEROCOPY bench_shmux_setup, near_zerocopy, far_zerocopy

const struct bench_case bench_shmux_rtt[] = {
	{ "shmux", "rtt", 64, "spin", "copy", 0, "split", COPY },
	{ "shmux", "rtt", 48, "spin", "copy", 0, "split", COPY },
	{ "shmux", "rtt", 4096, "spin", "copy", 0, "split", COPY },
	{ "shmux", "rtt", 65536, "spin", "copy", 0, "split", COPY },
	{ "shmux", "rtt", 65536, "spin", "zerocopy", 0, "split", ZEROCOPY },
	{ "shmux", "rtt", 64, "adaptive", "copy", 0, "split", COPY },
	{ "shmux", "rtt", 64, "block", "copy", 0, "same", COPY },
	{ "shmux", "rtt", 64, "block", "copy", 0, "split", COPY },
	{ "shmux", "rtt", 64, "block", "copy", 0, "free", COPY },
	{ "shmux", "rtt", 4096, "block", "copy", 0, "same", COPY },
	{ "shmux", "rtt", 65536, "block", "copy", 0, "same", COPY },
	{ 0 }
};

const struct bench_case bench_shmux_idle = {
	"shmux", "idle", 64, "adaptive", "copy", 0, "free", bench_shmux_setup, near_idle, far_copy,
};

const struct bench_case bench_yamux_rtt[] = {
	{ "yamux", "rtt", 64, "block", "copy", 0, "same", bench_yamux_setup, near_copy, far_copy },
	{ "yamux", "rtt", 64, "block", "copy", 0, "split", bench_yamux_setup, near_copy, far_copy },
	{ 0 }
};
