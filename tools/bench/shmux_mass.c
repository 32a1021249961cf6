// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_mass.c - a message on each of thousands of streams, then all the answers
 *
 * That is one sample: "mass" on streams that stay open, "mass-open" on streams that
 * are opened for it, and closed by whoever has said all. The options are the defaults,
 * but for the backlog of streams: each gets a grant of 256 bytes at first, and its
 * first message has to wait for more.
 *
 * Where @far sleeps it is an event loop, and answers what has come, in whatever order.
 * Where it spins it reads all in order, as a call that waits for one stream can: who
 * asks an event loop's descriptor has the peer ring. It does not wait to write before
 * it has read all, since @near reads nothing before it has written all.
 */
#include "shmux_conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

static void ask(struct bench_run *run, struct shmux_stream *st, uint8_t *buf, uint64_t word)
{
	bench_fill(buf, run->bc->bytes, word);
	bench_put(run, st, buf, run->bc->bytes);
}

static void hear(struct bench_run *run, struct shmux_stream *st, uint8_t *buf, uint64_t word)
{
	bench_get(run, st, buf, run->bc->bytes);
	bench_check(run, buf, run->bc->bytes, word);
}

static void near(struct bench_run *run)
{
	unsigned int nr = run->bc->streams;
	struct shmux_stream **streams = bench_buffer(run, nr * sizeof(*streams));
	struct shmux_session *s = bench_near_session(run);
	uint8_t *buf = bench_buffer(run, run->bc->bytes);
	uint64_t n = 0;

	for (unsigned int i = 0; i < nr; i++)
		streams[i] = bench_near_stream(run, s);
	run->per_sample = nr;
	bench_start(run);
	do {
		for (unsigned int i = 0; i < nr; i++)
			ask(run, streams[i], buf, n);
		for (unsigned int i = 0; i < nr; i++)
			hear(run, streams[i], buf, ~n);
		n++;
	} while (bench_lap(run));
}

static void near_open(struct bench_run *run)
{
	unsigned int nr = run->bc->streams;
	struct shmux_stream **streams = bench_buffer(run, nr * sizeof(*streams));
	struct shmux_session *s = bench_near_session(run);
	uint8_t *buf = bench_buffer(run, run->bc->bytes);

	run->per_sample = nr;
	bench_start(run);
	do {
		for (unsigned int i = 0; i < nr; i++) {
			streams[i] = bench_near_stream(run, s);
			ask(run, streams[i], buf, 0);
		}
		for (unsigned int i = 0; i < nr; i++) {
			hear(run, streams[i], buf, ~0ull);
			shmux_stream_close(streams[i]);
		}
	} while (bench_lap(run));
}

/* --- far, as an event loop ------------------------------------------------ */

static struct bench_conn *conn_new(struct bench_run *run, struct shmux_stream *st)
{
	struct bench_conn *c = malloc(sizeof(*c) + 2 * run->bc->bytes);

	if (!c)
		bench_fail(run, "malloc", errno);
	bench_conn_init(c, run, st, c + 1);
	return c;
}

static void conn_free(struct bench_conn *c)
{
	shmux_stream_close(c->st);
	free(c);
}

static void serve(struct bench_conn *c, bool once)
{
	uint64_t n = c->n;

	if (!bench_conn_push(c))
		return;
	if (!(once && n) && bench_conn_pull(c, n))
		bench_conn_say(c, ~n);
	if (once && c->n && bench_conn_push(c))
		conn_free(c);
}

static void accept_all(struct bench_run *run, struct shmux_session *s, bool once)
{
	struct shmux_stream *st;

	while (!shmux_session_accept(s, SHMUX_NOWAIT, &st)) {
		struct bench_conn *c = conn_new(run, st);

		shmux_stream_set_user(st, c);
		serve(c, once);
	}
}

/* For ever. @once: a stream is closed after its first answer. */
static void loop(struct bench_run *run, bool once)
{
	enum { MAX = 64 };
	struct shmux_session *s = bench_far_session(run);
	struct pollfd poller = { shmux_session_fd(s), POLLIN, 0 };
	struct shmux_event events[MAX];

	for (;;) {
		int n = shmux_session_pump(s, events, MAX);

		if (n < 0)
			bench_fail(run, "shmux_session_pump", n);
		for (int i = 0; i < n; i++) {
			if (events[i].events & SHMUX_EVENT_ACCEPT)
				accept_all(run, s, once);
			if (events[i].user)
				serve(events[i].user, once);
		}
		if (n < MAX)
			poll(&poller, 1, -1);
	}
}

static void far(struct bench_run *run)
{
	loop(run, false);
}

static void far_open(struct bench_run *run)
{
	loop(run, true);
}

/* --- far, in order -------------------------------------------------------- */

static void answer(struct bench_conn *c)
{
	uint64_t n = c->n++;

	hear(c->run, c->st, (uint8_t *)c->in, n);
	bench_conn_say(c, ~n);
}

/* Who has read the answer may have closed the stream: no call where nothing is left. */
static void finish(struct bench_conn *c)
{
	size_t bytes = c->run->bc->bytes;

	if (c->sent < bytes)
		bench_put(c->run, c->st, c->out + c->sent, bytes - c->sent);
	c->sent = bytes;
}

static void far_in_order(struct bench_run *run)
{
	unsigned int nr = run->bc->streams;
	struct bench_conn **conns = bench_buffer(run, nr * sizeof(struct bench_conn *));
	struct shmux_session *s = bench_far_session(run);

	for (unsigned int i = 0; i < nr; i++)
		conns[i] = conn_new(run, bench_far_stream(run, s));
	for (;;) {
		for (unsigned int i = 0; i < nr; i++)
			answer(conns[i]);
		for (unsigned int i = 0; i < nr; i++)
			finish(conns[i]);
	}
}

static void far_open_in_order(struct bench_run *run)
{
	unsigned int nr = run->bc->streams;
	struct bench_conn **conns = bench_buffer(run, nr * sizeof(struct bench_conn *));
	struct shmux_session *s = bench_far_session(run);

	for (;;) {
		for (unsigned int i = 0; i < nr; i++) {
			conns[i] = conn_new(run, bench_far_stream(run, s));
			answer(conns[i]);
		}
		for (unsigned int i = 0; i < nr; i++) {
			finish(conns[i]);
			conn_free(conns[i]);
		}
	}
}

#define ROW(test, wait, placement, near, far, level) \
	{ "shmux", test, 1024, wait, "copy", 0, placement, bench_shmux_setup, near, far, \
	  level, 0.25, .streams = 8192 }
#define MASS(wait, placement, far, level) ROW("mass", wait, placement, near, far, level)
#define OPEN(wait, placement, far, level) ROW("mass-open", wait, placement, near_open, far, level)

const struct bench_case bench_shmux_mass[] = {
	MASS("spin", "split", far_in_order, BENCH_USUAL),
	MASS("block", "split", far, BENCH_USUAL),
	MASS("block", "same", far, BENCH_FULL),
	OPEN("spin", "split", far_open_in_order, BENCH_USUAL),
	OPEN("block", "split", far_open, BENCH_USUAL),
	OPEN("block", "same", far_open, BENCH_FULL),
	{ 0 }
};
