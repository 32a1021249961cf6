// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_eventfd.c - two eventfds: the kernel's wake-up, both ends asleep in turn
 *
 * The payload is the eight bytes that an eventfd carries.
 */
#include "case.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int setup(struct bench_run *run)
{
	for (int i = 0; i < 2; i++) {
		run->fds[i] = eventfd(0, EFD_CLOEXEC);
		if (run->fds[i] < 0)
			return -errno;
	}
	return 0;
}

static void ring(struct bench_run *run, int fd, uint64_t n)
{
	if (write(fd, &n, sizeof(n)) != sizeof(n))
		bench_fail(run, "write", errno);
}

static void await(struct bench_run *run, int fd, uint64_t n)
{
	uint64_t got;

	if (read(fd, &got, sizeof(got)) != sizeof(got) || got != n)
		bench_fail(run, "read", errno);
}

static void near(struct bench_run *run)
{
	int tx = run->fds[0], rx = run->fds[1];
	uint64_t n = 1;

	bench_start(run);
	do {
		ring(run, tx, n);
		await(run, rx, n++);
	} while (bench_lap(run));
}

static void far(struct bench_run *run)
{
	int rx = run->fds[0], tx = run->fds[1];

	for (uint64_t n = 1;; n++) {
		await(run, rx, n);
		ring(run, tx, n);
	}
}

const struct bench_case bench_limit_eventfd[] = {
	{ "eventfd", "rtt", 8, "block", "copy", 0, "same", setup, near, far },
	{ "eventfd", "rtt", 8, "block", "copy", 0, "split", setup, near, far },
	{ "eventfd", "rtt", 8, "block", "copy", 0, "free", setup, near, far },
	{ 0 }
};
