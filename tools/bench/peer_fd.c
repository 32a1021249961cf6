// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_fd.c - see peer_fd.h; one write a message, reads as large as they come
 */
#include "peer_fd.h"

#include <errno.h>
#include <unistd.h>

enum { MAX_BYTES = 65536 };

static _Alignas(64) uint8_t buf[MAX_BYTES];

/* Blocking descriptors take all, unless a signal comes: none does. */
static inline void put(struct bench_run *run, int fd, size_t bytes)
{
	if (write(fd, buf, bytes) != (ssize_t)bytes)
		bench_fail(run, "write", errno);
}

static inline void get(struct bench_run *run, int fd, size_t bytes)
{
	for (size_t len = 0; len < bytes;) {
		ssize_t got = read(fd, buf + len, bytes - len);

		if (got <= 0)
			bench_fail(run, "read", errno);
		len += got;
	}
}

void bench_fd_ping(struct bench_run *run)
{
	size_t bytes = run->bc->bytes;
	uint64_t n = 0;

	bench_start(run);
	do {
		bench_fill(buf, bytes, n);
		put(run, run->fds[1], bytes);
		get(run, run->fds[0], bytes);
		bench_check(run, buf, bytes, ~n++);
	} while (bench_lap(run));
}

void bench_fd_pong(struct bench_run *run)
{
	size_t bytes = run->bc->bytes;

	for (uint64_t n = 0;; n++) {
		get(run, run->fds[2], bytes);
		bench_check(run, buf, bytes, n);
		bench_fill(buf, bytes, ~n);
		put(run, run->fds[3], bytes);
	}
}

void bench_fd_source(struct bench_run *run)
{
	size_t bytes = run->bc->bytes;

	for (uint64_t n = 0;; n++) {
		bench_fill(buf, bytes, n);
		put(run, run->fds[3], bytes);
	}
}

/* A read may bring many messages, and part of one. */
void bench_fd_sink(struct bench_run *run)
{
	size_t bytes = run->bc->bytes, len = 0;
	unsigned int nr;
	uint64_t n = 0;

	bench_start(run);
	do {
		ssize_t got = read(run->fds[0], buf + len, sizeof(buf) - len);

		if (got <= 0)
			bench_fail(run, "read", errno);
		len += got;
		for (nr = 0; (nr + 1) * bytes <= len; nr++)
			bench_check(run, buf + nr * bytes, bytes, n++);
		len -= nr * bytes;
		memmove(buf, buf + nr * bytes, len);
	} while (bench_took(run, nr));
}
