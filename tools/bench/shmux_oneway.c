// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_oneway.c - one stream, one way
 *
 * One write a message; in batches all but the last say that more follows, or they go
 * by one writev(). As on any byte stream, a read may bring many messages, and part of
 * one.
 */
#include "shmux_end.h"

#include <sys/uio.h>

enum { READ_MAX = 65536 };	/* bytes at a time, where messages are smaller */

/* A stream is there for the other side once something was said on it. */
static struct shmux_stream *begin_near(struct bench_run *run)
{
	struct shmux_stream *st = bench_near_stream(run, bench_near_session(run));
	char hello = 0;

	bench_put(run, st, &hello, sizeof(hello));
	return st;
}

static struct shmux_stream *begin_far(struct bench_run *run)
{
	struct shmux_stream *st = bench_far_stream(run, bench_far_session(run));
	char hello;

	bench_get(run, st, &hello, sizeof(hello));
	return st;
}

static inline void source(struct bench_run *run, struct shmux_stream *st, size_t bytes)
{
	void *buf = bench_buffer(run, bytes);
	struct iovec iov = { buf, bytes };
	unsigned int batch = run->bc->batch;

	for (uint64_t n = 0;;) {
		for (unsigned int left = batch; left; left--, n++) {
			ssize_t put;

			bench_fill(buf, bytes, n);
			put = shmux_stream_send(st, &iov, 1, left > 1 ? SHMUX_MORE : 0);
			if (put != (ssize_t)bytes)
				bench_fail(run, "shmux_stream_send", put);
		}
	}
}

/* One call a batch: as many buffers as messages, apart from each other. */
static void far_writev(struct bench_run *run)
{
	struct shmux_stream *st = begin_far(run);
	size_t bytes = run->bc->bytes, nr = run->bc->batch;
	struct iovec *iov = bench_buffer(run, nr * sizeof(*iov));
	char *buf = bench_buffer(run, nr * 2 * bytes);

	for (size_t i = 0; i < nr; i++)
		iov[i] = (struct iovec){ buf + i * 2 * bytes, bytes };
	for (uint64_t n = 0;; n += nr) {
		ssize_t put;

		for (size_t i = 0; i < nr; i++)
			bench_fill(iov[i].iov_base, bytes, n + i);
		put = shmux_stream_writev(st, iov, (int)nr);
		if (put != (ssize_t)(nr * bytes))
			bench_fail(run, "shmux_stream_writev", put);
	}
}

static inline void sink(struct bench_run *run, struct shmux_stream *st, size_t bytes)
{
	size_t size = bytes > READ_MAX ? bytes : READ_MAX, len = 0;
	char *buf = bench_buffer(run, size);
	unsigned int nr;
	uint64_t n = 0;

	bench_start(run);
	do {
		ssize_t got = shmux_stream_read(st, buf + len, size - len);

		if (got <= 0)
			bench_fail(run, "shmux_stream_read", got);
		len += got;
		for (nr = 0; (nr + 1) * bytes <= len; nr++)
			bench_check(run, buf + nr * bytes, bytes, n++);
		len -= nr * bytes;
		memmove(buf, buf + nr * bytes, len);
	} while (bench_took(run, nr));
}

/* Sizes that the compiler should know, since it does in the limits. */
static void far(struct bench_run *run)
{
	struct shmux_stream *st = begin_far(run);

	run->bc->bytes == 64 ? source(run, st, 64) : source(run, st, run->bc->bytes);
}

static void near(struct bench_run *run)
{
	struct shmux_stream *st = begin_near(run);

	run->bc->bytes == 64 ? sink(run, st, 64) : sink(run, st, run->bc->bytes);
}

/* --- zero copy: written and read where they lie --------------------------- */

static void far_zerocopy(struct bench_run *run)
{
	struct shmux_stream *st = begin_far(run);

	for (uint64_t n = 0;; n++)
		bench_put_in_place(run, st, run->bc->bytes, n);
}

/* A view may be part of a message, or more than one. */
static void near_zerocopy(struct bench_run *run)
{
	struct shmux_stream *st = begin_near(run);
	size_t bytes = run->bc->bytes, len = 0;
	struct shmux_view view;
	unsigned int nr;
	uint64_t n = 0;

	bench_start(run);
	do {
		ssize_t got = shmux_stream_take(st, &view, 0);

		if (got <= 0)
			bench_fail(run, "shmux_stream_take", got);
		nr = 0;
		for (const char *at = view.data; got;) {
			size_t part = bytes - len < (size_t)got ? bytes - len : (size_t)got;

			bench_check(run, at, part, n);
			at += part;
			got -= part;
			len += part;
			if (len == bytes) {
				len = 0;
				nr++;
				n++;
			}
		}
		shmux_stream_release(st, &view);
	} while (bench_took(run, nr));
}

#define COPY bench_shmux_setup, near, far
#define ZEROCOPY bench_shmux_setup, near_zerocopy, far_zerocopy
/* Where both spin on one CPU a message takes milliseconds, too. */
#define SLICE(bytes) ((bytes) < 16 << 20 ? 0.05 : 0.25)
#define ROW(bytes, wait, batch, placement, level) \
	{ "shmux", "oneway", bytes, wait, "copy", batch, placement, COPY, level, SLICE(bytes) }
#define PLACED(bytes, wait, split, same, free) \
	ROW(bytes, wait, 1, "split", split), ROW(bytes, wait, 1, "same", same), \
	ROW(bytes, wait, 1, "free", free)
#define IN_PLACE(bytes, level) \
	{ "shmux", "oneway", bytes, "spin", "zerocopy", 1, "split", ZEROCOPY, level, \
	  SLICE(bytes) }
#define WRITEV(bytes, wait, batch, level) \
	{ "shmux", "oneway", bytes, wait, "writev", batch, "split", bench_shmux_setup, near, \
	  far_writev, level, SLICE(bytes) }
#define MESSAGE(bytes, wait, level) \
	{ "shmux", "oneway", bytes, wait, "message", 1, "split", COPY, level, \
	  SLICE(bytes) }

const struct bench_case bench_shmux_oneway[] = {
	/*               two CPUs,    one,         not pinned */
	PLACED(64, "spin", BENCH_QUICK, BENCH_USUAL, BENCH_USUAL),
	PLACED(64, "adaptive", BENCH_USUAL, BENCH_USUAL, BENCH_USUAL),
	PLACED(64, "block", BENCH_USUAL, BENCH_QUICK, BENCH_USUAL),
	ROW(64, "spin", 64, "split", BENCH_QUICK),
	WRITEV(64, "spin", 64, BENCH_QUICK),
	ROW(64, "adaptive", 64, "split", BENCH_USUAL),
	ROW(64, "block", 64, "split", BENCH_USUAL),
	ROW(64, "block", 64, "same", BENCH_FULL),
	PLACED(8, "spin", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(8, "adaptive", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(8, "block", BENCH_USUAL, BENCH_USUAL, BENCH_FULL),
	PLACED(1024, "spin", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(1024, "adaptive", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(1024, "block", BENCH_USUAL, BENCH_USUAL, BENCH_FULL),
	PLACED(4096, "spin", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(4096, "adaptive", BENCH_USUAL, BENCH_FULL, BENCH_FULL),
	PLACED(4096, "block", BENCH_USUAL, BENCH_USUAL, BENCH_FULL),
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

const struct bench_case bench_yamux_oneway[] = {
	{ "yamux", "oneway", 65536, "adaptive", "copy", 1, "same", bench_yamux_setup, near, far },
	{ "yamux", "oneway", 65536, "block", "copy", 1, "same", bench_yamux_setup, near, far },
	{ "yamux", "oneway", 65536, "adaptive", "copy", 1, "split", bench_yamux_setup, near, far },
	{ "yamux", "oneway", 65536, "block", "copy", 1, "split", bench_yamux_setup, near, far },
	{ 0 }
};
