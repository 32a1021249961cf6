// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pairs.c - see pairs.h
 */
#define _GNU_SOURCE
#include "pairs.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

bool bench_may_have_fds(unsigned int nr)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_max >= nr;
}

void bench_want_fds(struct bench_run *run)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		bench_fail(run, "getrlimit", errno);
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		bench_fail(run, "setrlimit", errno);
}

/* A message that carries one descriptor. */
struct carrier {
	struct msghdr msg;
	struct iovec iov;
	char byte;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
};

static void carrier_init(struct carrier *c)
{
	*c = (struct carrier){ 0 };
	c->iov = (struct iovec){ &c->byte, sizeof(c->byte) };
	c->msg.msg_iov = &c->iov;
	c->msg.msg_iovlen = 1;
	c->msg.msg_control = &c->control;
	c->msg.msg_controllen = sizeof(c->control);
}

int bench_near_pair(struct bench_run *run, int type)
{
	struct carrier c;
	int pair[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair))
		bench_fail(run, "socketpair", errno);
	carrier_init(&c);
	c.control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
					   .cmsg_level = SOL_SOCKET,
					   .cmsg_type = SCM_RIGHTS };
	memcpy(CMSG_DATA(&c.control.head), &pair[1], sizeof(int));
	if (sendmsg(run->fds[0], &c.msg, MSG_NOSIGNAL) != 1)
		bench_fail(run, "sendmsg", errno);
	close(pair[1]);
	return pair[0];
}

int bench_far_pair(struct bench_run *run)
{
	struct carrier c;
	int fd;

	carrier_init(&c);
	if (recvmsg(run->fds[1], &c.msg, MSG_CMSG_CLOEXEC) != 1)
		bench_fail(run, "recvmsg", errno);
	if (c.msg.msg_controllen < CMSG_LEN(sizeof(int)))
		bench_fail(run, "a descriptor did not arrive", EMFILE);
	memcpy(&fd, CMSG_DATA(&c.control.head), sizeof(int));
	return fd;
}
