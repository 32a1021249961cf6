// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_mass.c - a message on each of thousands of AF_UNIX sockets, then all the answers
 *
 * That is one sample, as in shmux_mass.c; @far is an epoll loop. The messages are
 * small enough for a socket to take one whole.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pairs.h"
#include "peer_absent.h"

enum { NR = 4096, BYTES = 1024, FDS_MORE = 64 };

static int setup(struct bench_run *run)
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, run->fds) ? -errno : 0;
}

static void say(struct bench_run *run, int fd, void *buf, uint64_t word)
{
	bench_fill(buf, BYTES, word);
	if (write(fd, buf, BYTES) != BYTES)
		bench_fail(run, "write", errno);
}

static void hear(struct bench_run *run, int fd, void *buf, uint64_t word)
{
	if (read(fd, buf, BYTES) != BYTES)
		bench_fail(run, "read", errno);
	bench_check(run, buf, BYTES, word);
}

static void near(struct bench_run *run)
{
	int *fds = bench_buffer(run, NR * sizeof(*fds));
	void *buf = bench_buffer(run, BYTES);
	uint64_t n = 0;

	bench_want_fds(run);
	for (unsigned int i = 0; i < NR; i++)
		fds[i] = bench_near_pair(run, SOCK_STREAM);
	run->per_sample = NR;
	bench_start(run);
	do {
		for (unsigned int i = 0; i < NR; i++)
			say(run, fds[i], buf, n);
		for (unsigned int i = 0; i < NR; i++)
			hear(run, fds[i], buf, ~n);
		n++;
	} while (bench_lap(run));
}

/* What the epoll loop knows of a socket. */
struct member {
	int fd;
	uint64_t n;		/* messages that have come */
};

static int begin_far(struct bench_run *run)
{
	struct member *members = bench_buffer(run, NR * sizeof(*members));
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	bench_want_fds(run);
	if (epoll < 0)
		bench_fail(run, "epoll_create1", errno);
	for (unsigned int i = 0; i < NR; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = &members[i] };

		members[i].fd = bench_far_pair(run);
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, members[i].fd, &event))
			bench_fail(run, "epoll_ctl", errno);
	}
	return epoll;
}

static void far(struct bench_run *run)
{
	enum { MAX = 64 };
	struct epoll_event events[MAX];
	int epoll = begin_far(run);
	void *buf = bench_buffer(run, BYTES);

	for (;;) {
		int nr = epoll_wait(epoll, events, MAX, -1);

		if (nr < 0)
			bench_fail(run, "epoll_wait", errno);
		for (int i = 0; i < nr; i++) {
			struct member *m = events[i].data.ptr;

			hear(run, m->fd, buf, m->n);
			say(run, m->fd, buf, ~m->n++);
		}
	}
}

#define ROW(placement) \
	{ "af_unix", "mass", BYTES, "block", "copy", 0, placement, setup, near, far, BENCH_FULL, \
	  0.25, .sessions = NR }

const struct bench_case bench_peer_mass[] = {
	ROW("split"),
	ROW("same"),
	{ 0 }
};

const char *bench_peer_mass_absent(void)
{
	static char why[120];

	if (bench_may_have_fds(NR + FDS_MORE))
		return NULL;
	snprintf(why, sizeof(why),
		 "%d sockets want %d open files a process, and its hard limit is lower (ulimit -Hn)",
		 NR, NR + FDS_MORE);
	return why;
}
