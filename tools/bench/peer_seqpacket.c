// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_seqpacket.c - a connected pair of AF_UNIX sockets that keep messages whole
 *
 * One call a message; who receives one way takes as many a call as there are. A
 * message must fit the sender's buffer, which as it comes is 208 KB: no rows beyond
 * 64 KB.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/socket.h>

#include "peer_loops.h"
#include "peer_rows.h"

enum { MANY = 64, MANY_BYTES = 65536 };

static int setup(struct bench_run *run)
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, run->fds) ? -errno : 0;
}

static void put(struct bench_run *run, void *tx, const void *buf, size_t bytes)
{
	const int *fd = tx;

	if (send(*fd, buf, bytes, 0) != (ssize_t)bytes)
		bench_fail(run, "send", errno);
}

static void get(struct bench_run *run, void *rx, void *buf, size_t bytes)
{
	const int *fd = rx;

	if (recv(*fd, buf, bytes, 0) != (ssize_t)bytes)
		bench_fail(run, "recv", errno);
}

static void ping(struct bench_run *run)
{
	peer_ping(run, &run->fds[0], put, &run->fds[0], get);
}

static void pong(struct bench_run *run)
{
	peer_pong(run, &run->fds[1], put, &run->fds[1], get);
}

static void source(struct bench_run *run)
{
	peer_source(run, &run->fds[1], put);
}

static void sink(struct bench_run *run)
{
	size_t bytes = run->bc->bytes;
	unsigned int many = bytes * MANY <= MANY_BYTES ? MANY : MANY_BYTES / bytes;
	uint8_t *buf = bench_buffer(run, bytes * many);
	struct mmsghdr messages[MANY] = { 0 };
	struct iovec iovs[MANY];
	uint64_t n = 0;
	int nr;

	for (unsigned int i = 0; i < many; i++) {
		iovs[i] = (struct iovec){ buf + i * bytes, bytes };
		messages[i].msg_hdr.msg_iov = &iovs[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	bench_start(run);
	do {
		nr = recvmmsg(run->fds[0], messages, many, MSG_WAITFORONE, NULL);
		if (nr <= 0)
			bench_fail(run, "recvmmsg", errno);
		for (int i = 0; i < nr; i++) {
			if (messages[i].msg_len != bytes)
				bench_fail(run, "a message came in part", 0);
			bench_check(run, buf + i * bytes, bytes, n++);
		}
	} while (bench_took(run, nr));
}

#define SYSTEM "seqpacket"
#define RTT setup, ping, pong
#define ONEWAY setup, sink, source

const struct bench_case bench_peer_seqpacket[] = { PEER_ROWS_TO_64K, { 0 } };
