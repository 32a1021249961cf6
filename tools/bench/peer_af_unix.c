// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_af_unix.c - a connected pair of AF_UNIX stream sockets
 *
 * With larger buffers than they come with, if the machine lets anybody have them
 * (net.core.wmem_max): one way, 64 KB and more take a tenth to a fifth less CPU time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>

#include "peer_fd.h"
#include "peer_rows.h"

enum { SEND_BUFFER = 512 << 10 };	/* the kernel doubles it */

static int setup_plain(struct bench_run *run)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -errno;
	run->fds[0] = pair[0];
	run->fds[2] = pair[1];
	return bench_fd_both_ways(run);
}

static int setup(struct bench_run *run)
{
	const int size = SEND_BUFFER;
	int error = setup_plain(run);

	for (int i = 0; !error && i < BENCH_NR_FDS; i += 2)
		if (setsockopt(run->fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)))
			error = -errno;
	return error;
}

#define SYSTEM "af_unix"
#define RTT setup, bench_fd_ping, bench_fd_pong
#define ONEWAY setup, bench_fd_sink, bench_fd_source

const struct bench_case bench_peer_af_unix[] = {
	PEER_ROWS_8,
	PEER_ROWS(64, BENCH_QUICK, BENCH_QUICK, BENCH_QUICK),
	PEER_ROWS_1K,
	PEER_ROWS(4096, BENCH_QUICK, BENCH_QUICK, BENCH_FULL),
	PEER_ROWS(65536, BENCH_QUICK, BENCH_QUICK, BENCH_FULL),
	PEER_ROWS_1M,
	PEER_ROWS_16M,
	{ 0 }
};

/* What the suite "yamux" has beneath it: the sockets of its sessions, as they come. */
#undef RTT
#undef ONEWAY
#define RTT setup_plain, bench_fd_ping, bench_fd_pong
#define ONEWAY setup_plain, bench_fd_sink, bench_fd_source

const struct bench_case bench_yamux_floor[] = {
	PEER_RTT(64, "same", BENCH_QUICK),
	PEER_RTT(64, "split", BENCH_QUICK),
	PEER_ONEWAY(65536, "same", BENCH_QUICK),
	PEER_ONEWAY(65536, "split", BENCH_QUICK),
	{ 0 }
};
