// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_af_unix.c - a connected pair of AF_UNIX stream sockets, buffers as they come
 */
#define _GNU_SOURCE
#include "peer_fd.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

static int setup(struct bench_run *run)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	run->fds[0] = pair[0];
	run->fds[2] = pair[1];
	run->fds[1] = dup(pair[0]);
	run->fds[3] = dup(pair[1]);
	return run->fds[1] < 0 || run->fds[3] < 0 ? -errno : 0;
}

#define RTT "af_unix", "rtt"
#define ONEWAY "af_unix", "oneway"
const struct bench_case bench_peer_af_unix[] = {
	{ RTT, 64, "block", "copy", 0, "same", setup, bench_fd_ping, bench_fd_pong },
	{ RTT, 64, "block", "copy", 0, "split", setup, bench_fd_ping, bench_fd_pong },
	{ RTT, 64, "block", "copy", 0, "free", setup, bench_fd_ping, bench_fd_pong },
	{ RTT, 4096, "block", "copy", 0, "same", setup, bench_fd_ping, bench_fd_pong },
	{ RTT, 65536, "block", "copy", 0, "same", setup, bench_fd_ping, bench_fd_pong },
	{ ONEWAY, 64, "block", "copy", 1, "split", setup, bench_fd_sink, bench_fd_source },
	{ ONEWAY, 65536, "block", "copy", 1, "same", setup, bench_fd_sink, bench_fd_source },
	{ ONEWAY, 65536, "block", "copy", 1, "split", setup, bench_fd_sink, bench_fd_source },
	{ 0 }
};

/* What the suite "yamux" has beneath it. */
const struct bench_case bench_yamux_floor[] = {
	{ RTT, 64, "block", "copy", 0, "same", setup, bench_fd_ping, bench_fd_pong },
	{ RTT, 64, "block", "copy", 0, "split", setup, bench_fd_ping, bench_fd_pong },
	{ ONEWAY, 65536, "block", "copy", 1, "same", setup, bench_fd_sink, bench_fd_source },
	{ ONEWAY, 65536, "block", "copy", 1, "split", setup, bench_fd_sink, bench_fd_source },
	{ 0 }
};
