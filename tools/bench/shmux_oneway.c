// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_oneway.c - one stream, one way
 *
 * One write a message; in batches all but the last say that more follows. As on
 * any byte stream, a read may bring many messages, and part of one.
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
	size_t bytes = run->bc->bytes;
	struct shmux_span span;
	ssize_t put;

	for (uint64_t n = 0;; n++) {
		put = shmux_stream_reserve(st, bytes, &span, 0);
		if (put < 0)
			bench_fail(run, "shmux_stream_reserve", put);
		bench_fill(span.data, bytes, n);
		put = shmux_stream_submit(st, &span, bytes, 0);
		if (put < 0)
			bench_fail(run, "shmux_stream_submit", put);
	}
}

static void near_zerocopy(struct bench_run *run)
{
	struct shmux_stream *st = begin_near(run);
	size_t bytes = run->bc->bytes, len = 0;
	struct shmux_view view;
	uint64_t n = 0;

	bench_start(run);
	do {
		ssize_t got = shmux_stream_take(st, &view, 0);

		if (got <= 0 || len + got > bytes)
			bench_fail(run, "shmux_stream_take", got);
		bench_check(run, view.data, got, n);
		shmux_stream_release(st, &view);
		len += got;
		if (len == bytes) {
			len = 0;
			n++;
		}
	} while (bench_took(run, !len));
}

#define ZEROCOPY bench_shmux_setup, near_zerocopy, far_zerocopy

const struct bench_case bench_shmux_oneway[] = {
	{ "shmux", "oneway", 64, "spin", "copy", 1, "split", bench_shmux_setup, near, far },
	{ "shmux", "oneway", 64, "spin", "copy", 64, "split", bench_shmux_setup, near, far },
	{ "shmux", "oneway", 65536, "spin", "copy", 1, "split", bench_shmux_setup, near, far },
	{ "shmux", "oneway", 64, "block", "copy", 1, "same", bench_shmux_setup, near, far },
	{ "shmux", "oneway", 65536, "block", "copy", 1, "same", bench_shmux_setup, near, far },
	{ "shmux", "oneway", 65536, "spin", "zerocopy", 1, "split", ZEROCOPY },
	{ 0 }
};

const struct bench_case bench_yamux_oneway[] = {
	{ "yamux", "oneway", 65536, "block", "copy", 1, "same", bench_yamux_setup, near, far },
	{ "yamux", "oneway", 65536, "block", "copy", 1, "split", bench_yamux_setup, near, far },
	{ 0 }
};
