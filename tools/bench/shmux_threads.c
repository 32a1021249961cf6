// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_threads.c - one way, by threads that share a session, a stream each
 *
 * As many threads write at @far as read at @near. The first of @near's keeps the
 * clock, and counts what all of them have received.
 */
#include "shmux_end.h"

#include <errno.h>
#include <pthread.h>

enum { MAX_THREADS = 4, READ_MAX = 65536 };

struct worker {
	_Alignas(64) _Atomic uint64_t nr;	/* messages received */
	struct bench_run *run;
	struct shmux_stream *st;
};

static struct worker workers[MAX_THREADS];

static void start_others(struct bench_run *run, void *(*work)(void *arg))
{
	for (unsigned int i = 1; i < run->bc->threads; i++) {
		pthread_t thread;
		int error = pthread_create(&thread, NULL, work, &workers[i]);

		if (error)
			bench_fail(run, "pthread_create", error);
	}
}

/* --- far ------------------------------------------------------------------ */

static void *source(void *arg)
{
	struct worker *w = arg;
	size_t bytes = w->run->bc->bytes;
	void *buf = bench_buffer(w->run, bytes);

	for (uint64_t n = 0;; n++) {
		bench_fill(buf, bytes, n);
		bench_put(w->run, w->st, buf, bytes);
	}
	return NULL;
}

static void far(struct bench_run *run)
{
	struct shmux_session *s = bench_far_session(run);

	for (unsigned int i = 0; i < run->bc->threads; i++)
		workers[i] = (struct worker){ .run = run, .st = bench_far_stream(run, s) };
	start_others(run, source);
	source(&workers[0]);
}

/* --- near ----------------------------------------------------------------- */

static uint64_t nr_received(const struct bench_run *run)
{
	uint64_t nr = 0;

	for (unsigned int i = 0; i < run->bc->threads; i++)
		nr += atomic_load_explicit(&workers[i].nr, memory_order_relaxed);
	return nr;
}

/* Return: whether to go on. */
static bool count(struct worker *w, unsigned int nr)
{
	static uint64_t before;
	uint64_t all;

	atomic_store_explicit(&w->nr, atomic_load_explicit(&w->nr, memory_order_relaxed) + nr,
			      memory_order_relaxed);
	if (w != &workers[0])
		return true;
	all = nr_received(w->run);
	nr = all - before;
	before = all;
	return bench_took(w->run, nr);
}

static void *sink(void *arg)
{
	struct worker *w = arg;
	size_t bytes = w->run->bc->bytes, len = 0;
	char *buf = bench_buffer(w->run, READ_MAX);
	unsigned int nr;
	uint64_t n = 0;

	do {
		ssize_t got = shmux_stream_read(w->st, buf + len, READ_MAX - len);

		if (got <= 0)
			bench_fail(w->run, "shmux_stream_read", got);
		len += got;
		for (nr = 0; (nr + 1) * bytes <= len; nr++)
			bench_check(w->run, buf + nr * bytes, bytes, n++);
		len -= nr * bytes;
		memmove(buf, buf + nr * bytes, len);
	} while (count(w, nr));
	return NULL;
}

static void near(struct bench_run *run)
{
	struct shmux_session *s = bench_near_session(run);

	for (unsigned int i = 0; i < run->bc->threads; i++)
		workers[i] = (struct worker){ .run = run, .st = bench_near_stream(run, s) };
	bench_start(run);
	start_others(run, sink);
	sink(&workers[0]);
}

#define ROW(bytes, wait, placement, nr, level) \
	{ "shmux", "threads-oneway", bytes, wait, "copy", 1, placement, bench_shmux_setup, near, \
	  far, level, 0.05, .threads = (nr) }
#define THREADS(bytes, wait, placement, level) \
	ROW(bytes, wait, placement, 1, level), ROW(bytes, wait, placement, 2, level), \
	ROW(bytes, wait, placement, 4, level)

const struct bench_case bench_shmux_threads[] = {
	THREADS(64, "adaptive", "split", BENCH_USUAL),
	THREADS(65536, "adaptive", "split", BENCH_USUAL),
	THREADS(64, "adaptive", "free", BENCH_FULL),
	THREADS(65536, "adaptive", "free", BENCH_FULL),
	THREADS(64, "block", "split", BENCH_FULL),
	THREADS(65536, "block", "split", BENCH_FULL),
	{ 0 }
};
