// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_sessions.c - many sessions, each end of which is an epoll loop
 *
 * One stream in each. In turn, one round trip at a time ("sessions-rtt"); or all at
 * once ("mass"): a message is written to each, then all the answers are read, and
 * that is one sample. Nothing blocks but the loop: an end that waited for credit on
 * one session would not serve the others.
 */
#include "shmux_sessions.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "pairs.h"
#include "shmux_end.h"

/* What a session takes: the socket, the bell, the peer's death, and what tells of them. */
enum { FDS_EACH = 4, FDS_MORE = 64, MASS = 4096 };

struct conn {
	struct shmux_session *s;
	struct shmux_stream *st;
	char *in, *out;		/* a message each */
	size_t got, sent;	/* bytes of them */
	uint64_t n;		/* messages that have come */
};

struct loop {
	struct bench_run *run;
	int epoll;
	struct conn *conns;
	char *payload;		/* the buffers of all */
	void (*heard)(struct loop *loop, struct conn *c);	/* a whole message */
};

/* What there is room for. */
static void push(struct loop *loop, struct conn *c)
{
	size_t bytes = loop->run->bc->bytes;

	while (c->sent < bytes) {
		ssize_t put = shmux_stream_try_write(c->st, c->out + c->sent, bytes - c->sent);

		if (put == -EAGAIN)
			return;
		if (put < 0)
			bench_fail(loop->run, "shmux_stream_try_write", put);
		c->sent += put;
	}
}

static void say(struct loop *loop, struct conn *c, uint64_t word)
{
	bench_fill(c->out, loop->run->bc->bytes, word);
	c->sent = 0;
	push(loop, c);
}

/* Return: how many whole messages have come. */
static unsigned int pull(struct loop *loop, struct conn *c)
{
	size_t bytes = loop->run->bc->bytes;
	unsigned int nr = 0;

	for (;;) {
		ssize_t got = shmux_stream_try_read(c->st, c->in + c->got, bytes - c->got);

		if (got == -EAGAIN)
			return nr;
		if (got <= 0)
			bench_fail(loop->run, "shmux_stream_try_read", got);
		c->got += got;
		if (c->got < bytes)
			continue;
		c->got = 0;
		loop->heard(loop, c);
		c->n++;
		nr++;
	}
}

static unsigned int serve(struct loop *loop, struct conn *c)
{
	enum { MAX = 4 };
	struct shmux_event events[MAX];
	int n;

	do {
		n = shmux_session_pump(c->s, events, MAX);
		if (n < 0)
			bench_fail(loop->run, "shmux_session_pump", n);
		for (int i = 0; i < n; i++)
			if (events[i].events & SHMUX_EVENT_ACCEPT)
				c->st = bench_far_stream(loop->run, c->s);
	} while (n == MAX);
	if (!c->st)
		return 0;
	push(loop, c);
	return pull(loop, c);
}

/* Until @nr messages have come. */
static void serve_until(struct loop *loop, unsigned int nr)
{
	enum { MAX = 64 };
	struct epoll_event events[MAX];

	for (unsigned int done = 0; done < nr;) {
		int n = epoll_wait(loop->epoll, events, MAX, -1);

		if (n < 0)
			bench_fail(loop->run, "epoll_wait", errno);
		for (int i = 0; i < n; i++)
			done += serve(loop, events[i].data.ptr);
	}
}

/* The first pump has the descriptor tell from then on. */
static void add(struct loop *loop, struct conn *c)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	size_t bytes = loop->run->bc->bytes;

	c->in = loop->payload + 2 * (c - loop->conns) * bytes;
	c->out = c->in + bytes;
	c->sent = bytes;
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, shmux_session_fd(c->s), &event))
		bench_fail(loop->run, "epoll_ctl", errno);
	serve(loop, c);
}

static void loop_init(struct loop *loop, struct bench_run *run,
		      void (*heard)(struct loop *loop, struct conn *c))
{
	bench_want_fds(run);
	loop->run = run;
	loop->heard = heard;
	loop->conns = bench_buffer(run, run->bc->sessions * sizeof(*loop->conns));
	loop->payload = bench_buffer(run, 2 * run->bc->sessions * run->bc->bytes);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll < 0)
		bench_fail(run, "epoll_create1", errno);
}

/* --- near ----------------------------------------------------------------- */

static void heard_answer(struct loop *loop, struct conn *c)
{
	bench_check(loop->run, c->in, loop->run->bc->bytes, ~c->n);
}

static void begin_near(struct loop *loop, struct bench_run *run)
{
	loop_init(loop, run, heard_answer);
	for (unsigned int i = 0; i < run->bc->sessions; i++) {
		struct conn *c = &loop->conns[i];

		c->s = bench_near_session_at(run, bench_near_pair(run, SOCK_SEQPACKET));
		c->st = bench_near_stream(run, c->s);
		add(loop, c);
	}
}

static void near_rtt(struct bench_run *run)
{
	struct loop loop;

	begin_near(&loop, run);
	bench_start(run);
	for (unsigned int i = 0;; i = (i + 1) % run->bc->sessions) {
		say(&loop, &loop.conns[i], loop.conns[i].n);
		serve_until(&loop, 1);
		if (!bench_lap(run))
			break;
	}
}

static void near_mass(struct bench_run *run)
{
	struct loop loop;

	begin_near(&loop, run);
	run->per_sample = run->bc->sessions;
	bench_start(run);
	do {
		for (unsigned int i = 0; i < run->bc->sessions; i++)
			say(&loop, &loop.conns[i], loop.conns[i].n);
		serve_until(&loop, run->bc->sessions);
	} while (bench_lap(run));
}

/* --- far ------------------------------------------------------------------ */

static void heard_question(struct loop *loop, struct conn *c)
{
	bench_check(loop->run, c->in, loop->run->bc->bytes, c->n);
	say(loop, c, ~c->n);
}

static void far(struct bench_run *run)
{
	struct loop loop;

	loop_init(&loop, run, heard_question);
	for (unsigned int i = 0; i < run->bc->sessions; i++) {
		loop.conns[i].s = bench_far_session_at(run, bench_far_pair(run));
		add(&loop, &loop.conns[i]);
	}
	for (;;)
		serve_until(&loop, 1);
}

#define RTT(nr, level) \
	{ "shmux", "sessions-rtt", 64, "block", "copy", 0, "split", bench_shmux_setup, near_rtt, \
	  far, level, 0.05, .sessions = nr }
#define IN_MASS(bytes, nr, slice, level) \
	{ "shmux", "mass", bytes, "block", "copy", 0, "split", bench_shmux_setup, near_mass, far, \
	  level, slice, .sessions = nr }

const struct bench_case bench_shmux_sessions[] = {
	RTT(1, BENCH_USUAL),
	RTT(100, BENCH_USUAL),
	RTT(1000, BENCH_USUAL),
	IN_MASS(64, 1, 0.05, BENCH_USUAL),
	IN_MASS(64, 100, 0.05, BENCH_USUAL),
	IN_MASS(64, 1000, 0.2, BENCH_USUAL),
	{ 0 }
};

const struct bench_case bench_shmux_sessions_many[] = {
	IN_MASS(1024, MASS, 0.5, BENCH_USUAL),
	{ 0 }
};

const char *bench_sessions_many_absent(void)
{
	static char why[120];

	if (bench_may_have_fds(MASS * FDS_EACH + FDS_MORE))
		return NULL;
	snprintf(why, sizeof(why),
		 "%d sessions want %d open files a process, and its hard limit is lower "
		 "(ulimit -Hn)", MASS, MASS * FDS_EACH + FDS_MORE);
	return why;
}
