// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_fd.c - see peer_fd.h; one write a message, reads as large as they come
 */
#include "peer_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "peer_loops.h"

enum { READ_SIZE = 65536 };	/* of small messages, as many as there are */

int bench_fd_both_ways(struct bench_run *run)
{
	run->fds[1] = fcntl(run->fds[0], F_DUPFD_CLOEXEC, 0);
	run->fds[3] = fcntl(run->fds[2], F_DUPFD_CLOEXEC, 0);
	return run->fds[1] < 0 || run->fds[3] < 0 ? -errno : 0;
}

/* Blocking descriptors take all, unless a signal comes: none does. */
static void put(struct bench_run *run, void *tx, const void *buf, size_t bytes)
{
	const int *fd = tx;

	if (write(*fd, buf, bytes) != (ssize_t)bytes)
		bench_fail(run, "write", errno);
}

static void get(struct bench_run *run, void *rx, void *buf, size_t bytes)
{
	const int *fd = rx;

	for (size_t len = 0; len < bytes;) {
		ssize_t got = read(*fd, (char *)buf + len, bytes - len);

		if (got <= 0)
			bench_fail(run, "read", errno);
		len += got;
	}
}

void bench_fd_ping(struct bench_run *run)
{
	peer_ping(run, &run->fds[1], put, &run->fds[0], get);
}

void bench_fd_pong(struct bench_run *run)
{
	peer_pong(run, &run->fds[3], put, &run->fds[2], get);
}

void bench_fd_source(struct bench_run *run)
{
	peer_source(run, &run->fds[3], put);
}

/* A read may bring many messages, and part of one. */
void bench_fd_sink(struct bench_run *run)
{
	size_t bytes = run->bc->bytes, len = 0;
	size_t size = bytes < READ_SIZE ? READ_SIZE : bytes;
	uint8_t *buf = bench_buffer(run, size);
	unsigned int nr;
	uint64_t n = 0;

	bench_start(run);
	do {
		ssize_t got = read(run->fds[0], buf + len, size - len);

		if (got <= 0)
			bench_fail(run, "read", errno);
		len += got;
		for (nr = 0; (nr + 1) * bytes <= len; nr++)
			bench_check(run, buf + nr * bytes, bytes, n++);
		len -= nr * bytes;
		memmove(buf, buf + nr * bytes, len);
	} while (bench_took(run, nr));
}
