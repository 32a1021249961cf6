// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_tcp.c - a TCP connection over 127.0.0.1 with TCP_NODELAY, buffers as they come
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer_fd.h"
#include "peer_rows.h"

static int no_delay(int fd)
{
	const int one = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* The listener is in fds[1] until then. */
static int setup(struct bench_run *run)
{
	struct sockaddr_in in = { AF_INET, 0, { htonl(INADDR_LOOPBACK) }, { 0 } };
	struct sockaddr *address = (struct sockaddr *)&in;
	socklen_t len = sizeof(in);
	int listener, near, far;

	listener = run->fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener < 0 || bind(listener, address, len) || listen(listener, 1) ||
	    getsockname(listener, address, &len))
		return -errno;
	near = run->fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (near < 0 || connect(near, address, len))
		return -errno;
	far = run->fds[2] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (far < 0 || no_delay(near) || no_delay(far))
		return -errno;
	close(listener);
	run->fds[1] = -1;
	return bench_fd_both_ways(run);
}

#define SYSTEM "tcp"
#define RTT setup, bench_fd_ping, bench_fd_pong
#define ONEWAY setup, bench_fd_sink, bench_fd_source

const struct bench_case bench_peer_tcp[] = { PEER_ROWS_TO_16M, { 0 } };
