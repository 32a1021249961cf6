// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_pipe.c - a pipe each way: a wake-up with payload; and a peer, one way
 *
 * Messages of 64 KB and more have pipes of 1 MB, the most that anybody may ask for as
 * it comes: one way between two CPUs that is several times as fast, for neither end
 * sleeps with each message. For smaller ones it is none, and pages are out of the cache.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "peer_fd.h"
#include "peer_rows.h"

enum { LARGE = 65536, PIPE_SIZE = 1 << 20 };

static int make_pipe(const struct bench_run *run, int ends[2])
{
	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	if (run->bc->bytes >= LARGE)
		fcntl(ends[1], F_SETPIPE_SZ, PIPE_SIZE);
	return 0;
}

static int setup(struct bench_run *run)
{
	int to_near[2], to_far[2], error;

	error = make_pipe(run, to_near);
	if (error)
		return error;
	run->fds[0] = to_near[0];
	run->fds[3] = to_near[1];
	error = make_pipe(run, to_far);
	if (error)
		return error;
	run->fds[2] = to_far[0];
	run->fds[1] = to_far[1];
	return 0;
}

#define SYSTEM "pipe"
#define RTT setup, bench_fd_ping, bench_fd_pong
#define ONEWAY setup, bench_fd_sink, bench_fd_source

const struct bench_case bench_limit_pipe[] = {
	PEER_ROWS_8,
	PEER_ROWS(64, BENCH_QUICK, BENCH_QUICK, BENCH_QUICK),
	PEER_ROWS_1K,
	PEER_ROWS(4096, BENCH_QUICK, BENCH_QUICK, BENCH_FULL),
	PEER_ROWS(65536, BENCH_QUICK, BENCH_QUICK, BENCH_FULL),
	PEER_ROWS_1M,
	PEER_ROWS_16M,
	{ 0 }
};
