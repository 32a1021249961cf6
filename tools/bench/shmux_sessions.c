// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_sessions.c - many sessions, each end of which is an epoll loop
 *
 * One stream in each. In turn, one round trip at a time ("sessions-rtt"); or all at
 * once ("mass"): a message is written to each, then all the answers are read, and
 * that is one sample.
 */
#include "shmux_sessions.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "pairs.h"
#include "shmux_conn.h"

/* What a session takes: the socket, the bell, the peer's death, and what tells of them. */
enum { FDS_EACH = 4, FDS_MORE = 64, MANY = 1000, MOST = 4096 };

struct member {
	struct shmux_session *s;
	struct bench_conn conn;		/* its stream is NULL until it has come */
};

struct loop {
	struct bench_run *run;
	int epoll;
	struct member *members;
	char *payload;			/* the messages of all */
	bool (*heard)(struct bench_conn *c);	/* takes a message, if there is one */
};

static void loop_init(struct loop *loop, struct bench_run *run,
		      bool (*heard)(struct bench_conn *c))
{
	bench_want_fds(run);
	*loop = (struct loop){
		.run = run,
		.epoll = epoll_create1(EPOLL_CLOEXEC),
		.members = bench_buffer(run, run->bc->sessions * sizeof(*loop->members)),
		.payload = bench_buffer(run, 2 * run->bc->bytes * run->bc->sessions),
		.heard = heard,
	};
	if (loop->epoll < 0)
		bench_fail(run, "epoll_create1", errno);
}

/* Return: how many messages have come. */
static unsigned int serve(struct loop *loop, struct member *m)
{
	enum { MAX = 4 };
	struct shmux_event events[MAX];
	unsigned int nr = 0;
	int n;

	do {
		n = shmux_session_pump(m->s, events, MAX);
		if (n < 0)
			bench_fail(loop->run, "shmux_session_pump", n);
		for (int i = 0; i < n; i++)
			if (events[i].events & SHMUX_EVENT_ACCEPT)
				m->conn.st = bench_far_stream(loop->run, m->s);
	} while (n == MAX);
	if (!m->conn.st)
		return 0;
	bench_conn_push(&m->conn);
	while (loop->heard(&m->conn))
		nr++;
	return nr;
}

/* The first pump has the descriptor tell from then on. */
static void add(struct loop *loop, unsigned int i, struct shmux_session *s,
		struct shmux_stream *st)
{
	struct member *m = &loop->members[i];
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = m };
	int fd = shmux_session_fd(s);

	m->s = s;
	bench_conn_init(&m->conn, loop->run, st, loop->payload + 2 * loop->run->bc->bytes * i);
	if (fd < 0)
		bench_fail(loop->run, "shmux_session_fd", fd);
	if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event))
		bench_fail(loop->run, "epoll_ctl", errno);
	serve(loop, m);
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

/* --- near ----------------------------------------------------------------- */

static bool heard_answer(struct bench_conn *c)
{
	return bench_conn_pull(c, ~c->n);
}

static void begin_near(struct loop *loop, struct bench_run *run)
{
	loop_init(loop, run, heard_answer);
	for (unsigned int i = 0; i < run->bc->sessions; i++) {
		int fd = bench_near_pair(run, SOCK_SEQPACKET);
		struct shmux_session *s = bench_near_session_at(run, fd);

		add(loop, i, s, bench_near_stream(run, s));
	}
}

static void ask(struct loop *loop, unsigned int i)
{
	struct bench_conn *c = &loop->members[i].conn;

	bench_conn_say(c, c->n);
}

static void near_rtt(struct bench_run *run)
{
	struct loop loop;
	uint64_t n = 0;

	begin_near(&loop, run);
	bench_start(run);
	do {
		ask(&loop, n++ % run->bc->sessions);
		serve_until(&loop, 1);
	} while (bench_lap(run));
}

static void near_mass(struct bench_run *run)
{
	struct loop loop;

	begin_near(&loop, run);
	run->per_sample = run->bc->sessions;
	bench_start(run);
	do {
		for (unsigned int i = 0; i < run->bc->sessions; i++)
			ask(&loop, i);
		serve_until(&loop, run->bc->sessions);
	} while (bench_lap(run));
}

/* --- far ------------------------------------------------------------------ */

static bool heard_question(struct bench_conn *c)
{
	uint64_t n = c->n;

	if (!bench_conn_pull(c, n))
		return false;
	bench_conn_say(c, ~n);
	return true;
}

static void far(struct bench_run *run)
{
	struct loop loop;

	loop_init(&loop, run, heard_question);
	for (unsigned int i = 0; i < run->bc->sessions; i++)
		add(&loop, i, bench_far_session_at(run, bench_far_pair(run)), NULL);
	for (;;)
		serve_until(&loop, 1);
}

#define RTT(nr, level) \
	{ "shmux", "sessions-rtt", 64, "block", "copy", 0, "split", bench_shmux_setup, near_rtt, \
	  far, level, 0.05, .sessions = (nr) }
#define IN_MASS(bytes, nr, slice, level) \
	{ "shmux", "mass", bytes, "block", "copy", 0, "split", bench_shmux_setup, near_mass, far, \
	  level, slice, .sessions = (nr) }

const struct bench_case bench_shmux_sessions[] = {
	RTT(1, BENCH_USUAL),
	RTT(100, BENCH_USUAL),
	IN_MASS(64, 1, 0.05, BENCH_USUAL),
	IN_MASS(64, 100, 0.05, BENCH_USUAL),
	{ 0 }
};

const struct bench_case bench_shmux_sessions_many[] = {
	RTT(MANY, BENCH_USUAL),
	IN_MASS(64, MANY, 0.2, BENCH_USUAL),
	{ 0 }
};

const struct bench_case bench_shmux_sessions_most[] = {
	IN_MASS(1024, MOST, 0.5, BENCH_USUAL),
	{ 0 }
};

static const char *absent(unsigned int nr, char *why, size_t size)
{
	if (bench_may_have_fds(nr * FDS_EACH + FDS_MORE))
		return NULL;
	snprintf(why, size,
		 "%u sessions want %u open files a process, and its hard limit is lower "
		 "(ulimit -Hn)", nr, nr * FDS_EACH + FDS_MORE);
	return why;
}

const char *bench_sessions_many_absent(void)
{
	static char why[120];

	return absent(MANY, why, sizeof(why));
}

const char *bench_sessions_most_absent(void)
{
	static char why[120];

	return absent(MOST, why, sizeof(why));
}
