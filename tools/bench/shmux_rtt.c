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
		bench_put_in_place(run, st, bytes, n);
		get_in_place(run, st, bytes, ~n++);
	} while (bench_lap(run));
}

static void far_zerocopy(struct bench_run *run)
{
	struct shmux_stream *st = bench_far_stream(run, bench_far_session(run));
	size_t bytes = run->bc->bytes;

	for (uint64_t n = 0;; n++) {
		get_in_place(run, st, bytes, n);
		bench_put_in_place(run, st, bytes, ~n);
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

/* Where both spin on one CPU a message takes milliseconds, too. */
#define SLICE(bytes) ((bytes) < 16 << 20 ? 0.05 : 0.25)
#define ROW(bytes, wait, placement, level) \
	{ "shmux", "rtt", bytes, wait, "copy", 0, placement, COPY, level, SLICE(bytes) }
#define PLACED(bytes, wait, split, same, free) \
	ROW(bytes, wait, "split", split), ROW(bytes, wait, "same", same), \
	ROW(bytes, wait, "free", free)
#define IN_PLACE(bytes, level) \
	{ "shmux", "rtt", bytes, "spin", "zerocopy", 0, "split", ZEROCOPY, level, \
	  SLICE(bytes) }
#define MESSAGE(bytes, wait, level) \
	{ "shmux", "rtt", bytes, wait, "message", 0, "split", COPY, level, \
	  SLICE(bytes) }

const struct bench_case bench_shmux_rtt[] = {
	/*               two CPUs,    one,         not pinned */
	PLACED(64, "spin", BENCH_QUICK, BENCH_USUAL, BENCH_USUAL),
	PLACED(64, "adaptive", BENCH_QUICK, BENCH_USUAL, BENCH_USUAL),
	PLACED(64, "block", BENCH_QUICK, BENCH_QUICK, BENCH_QUICK),
	PLACED(8, "spin", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(8, "adaptive", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(8, "block", BENCH_USUAL, BENCH_USUAL, BENCH_FULL),
	PLACED(48, "spin", BENCH_QUICK, BENCH_FULL, BENCH_FULL),
	PLACED(1024, "spin", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(1024, "adaptive", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(1024, "block", BENCH_USUAL, BENCH_USUAL, BENCH_FULL),
	PLACED(4096, "spin", BENCH_QUICK, BENCH_FULL, BENCH_FULL),
	PLACED(4096, "adaptive", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(4096, "block", BENCH_USUAL, BENCH_QUICK, BENCH_FULL),
	PLACED(65536, "spin", BENCH_QUICK, BENCH_USUAL, BENCH_USUAL),
	PLACED(65536, "adaptive", BENCH_USUAL, BENCH_USUAL, BENCH_USUAL),
	PLACED(65536, "block", BENCH_USUAL, BENCH_QUICK, BENCH_USUAL),
	PLACED(1 << 20, "spin", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(1 << 20, "adaptive", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(1 << 20, "block", BENCH_USUAL, BENCH_USUAL, BENCH_FULL),
	PLACED(16 << 20, "spin", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(16 << 20, "adaptive", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(16 << 20, "block", BENCH_USUAL, BENCH_USUAL, BENCH_FULL),
	IN_PLACE(64, BENCH_FULL),
	IN_PLACE(1024, BENCH_FULL),
	IN_PLACE(4096, BENCH_USUAL),
	IN_PLACE(65536, BENCH_QUICK),
	IN_PLACE(1 << 20, BENCH_USUAL),
	IN_PLACE(16 << 20, BENCH_USUAL),
	MESSAGE(64, "spin", BENCH_USUAL),
	MESSAGE(65536, "spin", BENCH_USUAL),
	MESSAGE(1 << 20, "spin", BENCH_FULL),
	MESSAGE(16 << 20, "spin", BENCH_USUAL),
	MESSAGE(16 << 20, "adaptive", BENCH_FULL),
	MESSAGE(16 << 20, "block", BENCH_FULL),
	{ 0 }
};

const struct bench_case bench_shmux_idle = {
	"shmux", "idle", 64, "adaptive", "copy", 0, "free", bench_shmux_setup, near_idle, far_copy,
};

const struct bench_case bench_yamux_rtt[] = {
	{ "yamux", "rtt", 64, "adaptive", "copy", 0, "same", bench_yamux_setup, near_copy, far_copy },
	{ "yamux", "rtt", 64, "block", "copy", 0, "same", bench_yamux_setup, near_copy, far_copy },
	{ "yamux", "rtt", 64, "adaptive", "copy", 0, "split", bench_yamux_setup, near_copy, far_copy },
	{ "yamux", "rtt", 64, "block", "copy", 0, "split", bench_yamux_setup, near_copy, far_copy },
	{ 0 }
};
