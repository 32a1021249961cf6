// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_mq.c - a POSIX message queue each way, as deep as the machine lets anybody's be
 *
 * Root may exceed the limits; what others may not have is not measured.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <unistd.h>

#include "peer_absent.h"
#include "peer_loops.h"
#include "peer_rows.h"

#define LIMITS "/proc/sys/fs/mqueue/"

/* Return: the limit, or 0 if the kernel has no such queues. */
static long limit_of(const char *path)
{
	FILE *file = fopen(path, "re");
	long limit = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%ld", &limit) != 1)
		limit = 0;
	fclose(file);
	return limit;
}

/* Has no name any more when this returns. A queue's descriptor is a file's, in Linux. */
static mqd_t make_queue(size_t bytes, int end)
{
	struct mq_attr attr = { .mq_maxmsg = limit_of(LIMITS "msg_max"), .mq_msgsize = bytes };
	char name[64];
	mqd_t queue;

	snprintf(name, sizeof(name), "/shmux-bench-%d-%d", (int)getpid(), end);
	queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attr);
	if (queue >= 0)
		mq_unlink(name);
	return queue;
}

static int setup(struct bench_run *run)
{
	for (int end = 0; end < 2; end++) {
		run->fds[end] = make_queue(run->bc->bytes, end);
		if (run->fds[end] < 0)
			return -errno;
	}
	return 0;
}

static void put(struct bench_run *run, void *tx, const void *buf, size_t bytes)
{
	const mqd_t *queue = tx;

	if (mq_send(*queue, buf, bytes, 0))
		bench_fail(run, "mq_send", errno);
}

static void get(struct bench_run *run, void *rx, void *buf, size_t bytes)
{
	const mqd_t *queue = rx;

	if (mq_receive(*queue, buf, bytes, NULL) != (ssize_t)bytes)
		bench_fail(run, "mq_receive", errno);
}

static void ping(struct bench_run *run)
{
	peer_ping(run, &run->fds[1], put, &run->fds[0], get);
}

static void pong(struct bench_run *run)
{
	peer_pong(run, &run->fds[0], put, &run->fds[1], get);
}

static void source(struct bench_run *run)
{
	peer_source(run, &run->fds[0], put);
}

static void sink(struct bench_run *run)
{
	peer_sink(run, &run->fds[0], get);
}

#define SYSTEM "mq"
#define RTT setup, ping, pong
#define ONEWAY setup, sink, source

const struct bench_case bench_peer_mq[] = { PEER_ROWS_TO_4K, { 0 } };
const struct bench_case bench_peer_mq_large[] = { PEER_ROWS_64K, { 0 } };

const char *bench_mq_absent(void)
{
	return limit_of(LIMITS "msgsize_max") ? NULL : "this kernel has no POSIX message queues";
}

const char *bench_mq_large_absent(void)
{
	static char why[100];
	long limit = limit_of(LIMITS "msgsize_max");

	if (limit >= 65536)
		return NULL;
	snprintf(why, sizeof(why), "a message is %ld bytes at most: " LIMITS "msgsize_max", limit);
	return why;
}
