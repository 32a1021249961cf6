// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_name.c - see peer_name.h
 */
#define _GNU_SOURCE
#include "peer_name.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* The ends inherit it. */
static char name[32];

int peer_name_setup(struct bench_run *run)
{
	static unsigned int nr;

	snprintf(name, sizeof(name), "shmux-bench-%d-%u", (int)getpid(), nr++);
	run->fds[0] = eventfd(0, EFD_CLOEXEC);
	return run->fds[0] < 0 ? -errno : 0;
}

void peer_name_url(char url[PEER_URL_SIZE], const char *before)
{
	snprintf(url, PEER_URL_SIZE, "%s%s", before, name);
}

void peer_name_tell(struct bench_run *run)
{
	const uint64_t one = 1;

	if (write(run->fds[0], &one, sizeof(one)) != sizeof(one))
		bench_fail(run, "write", errno);
}

void peer_name_await(struct bench_run *run)
{
	uint64_t nr;

	if (read(run->fds[0], &nr, sizeof(nr)) != sizeof(nr))
		bench_fail(run, "read", errno);
}
