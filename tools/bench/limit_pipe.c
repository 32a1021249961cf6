// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_pipe.c - a pipe each way: a wake-up with payload; and a peer, one way
 */
#define _GNU_SOURCE
#include "peer_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int setup(struct bench_run *run)
{
	int to_near[2], to_far[2];

	if (pipe2(to_near, O_CLOEXEC))
		return -errno;
	run->fds[0] = to_near[0];
	run->fds[3] = to_near[1];
	if (pipe2(to_far, O_CLOEXEC))
		return -errno;
	run->fds[2] = to_far[0];
	run->fds[1] = to_far[1];
	return 0;
}

#define RTT "pipe", "rtt"
#define ONEWAY "pipe", "oneway"
const struct bench_case bench_limit_pipe[] = {
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
