// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_dial.c - sessions by a name, again and again
 *
 * "dial": a sample is dialling, 64 bytes there and back on a stream, and closing
 * both; @far has listened before. "accept": dialling and closing alone, so that the
 * rate is that at which one process dials and the other accepts.
 */
#include "shmux_end.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { BYTES = 64 };

#define PATIENCE_NS 2000000000ull

/* The driver's alone, and both ends know it. */
static void name(char *buf, size_t size)
{
	snprintf(buf, size, "shmux-bench-%d", (int)getppid());
}

static struct shmux_session *dial(struct bench_run *run, const char *address)
{
	struct shmux_session_options options;
	struct shmux_session *s;
	int error;

	bench_session_options(run, &options);
	error = shmux_session_dial(address, &options, shmux_now() + PATIENCE_NS, &s);
	if (error)
		bench_fail(run, "shmux_session_dial", error);
	return s;
}

/* @far says on the run's own pair that it listens. */
static void await_listener(struct bench_run *run)
{
	char byte;

	if (read(run->fds[0], &byte, sizeof(byte)) != sizeof(byte))
		bench_fail(run, "read", errno);
}

static struct shmux_listener *listen_there(struct bench_run *run)
{
	struct shmux_session_options session;
	struct shmux_listener_options options = { .size = sizeof(options), .session = &session };
	struct shmux_listener *l;
	char address[SHMUX_ADDRESS_MAX];
	int error;

	name(address, sizeof(address));
	bench_session_options(run, &session);
	error = shmux_listener_open(address, &options, &l);
	if (error)
		bench_fail(run, "shmux_listener_open", error);
	if (write(run->fds[1], "", 1) != 1)
		bench_fail(run, "write", errno);
	return l;
}

static struct shmux_session *accept_one(struct bench_run *run, struct shmux_listener *l)
{
	struct shmux_session *s;
	int error = shmux_listener_accept_session(l, 0, &s);

	if (error)
		bench_fail(run, "shmux_listener_accept_session", error);
	return s;
}

static void near_dial(struct bench_run *run)
{
	char address[SHMUX_ADDRESS_MAX];
	_Alignas(16) uint8_t buf[BYTES];
	uint64_t n = 0;

	name(address, sizeof(address));
	await_listener(run);
	bench_start(run);
	do {
		struct shmux_session *s = dial(run, address);
		struct shmux_stream *st = bench_near_stream(run, s);

		bench_fill(buf, BYTES, n);
		bench_put(run, st, buf, BYTES);
		bench_get(run, st, buf, BYTES);
		bench_check(run, buf, BYTES, ~n++);
		shmux_stream_close(st);
		shmux_session_close(s, 0);
	} while (bench_lap(run));
}

static void far_dial(struct bench_run *run)
{
	struct shmux_listener *l = listen_there(run);
	_Alignas(16) uint8_t buf[BYTES];

	for (uint64_t n = 0;; n++) {
		struct shmux_session *s = accept_one(run, l);
		struct shmux_stream *st = bench_far_stream(run, s);

		bench_get(run, st, buf, BYTES);
		bench_check(run, buf, BYTES, n);
		bench_fill(buf, BYTES, ~n);
		bench_put(run, st, buf, BYTES);
		shmux_stream_close(st);
		shmux_session_close(s, 0);
	}
}

static void near_accept(struct bench_run *run)
{
	char address[SHMUX_ADDRESS_MAX];

	name(address, sizeof(address));
	await_listener(run);
	bench_start(run);
	do
		shmux_session_close(dial(run, address), 0);
	while (bench_lap(run));
}

static void far_accept(struct bench_run *run)
{
	struct shmux_listener *l = listen_there(run);

	for (;;)
		shmux_session_close(accept_one(run, l), 0);
}

#define DIAL(wait, placement, level) \
	{ "shmux", "dial", BYTES, wait, "copy", 0, placement, bench_shmux_setup, near_dial, \
	  far_dial, level, 0.05 }
#define ACCEPT(wait, placement, level) \
	{ "shmux", "accept", 0, wait, "copy", 0, placement, bench_shmux_setup, near_accept, \
	  far_accept, level, 0.05 }

const struct bench_case bench_shmux_dial[] = {
	DIAL("adaptive", "split", BENCH_USUAL),
	DIAL("block", "same", BENCH_USUAL),
	DIAL("adaptive", "free", BENCH_FULL),
	ACCEPT("adaptive", "split", BENCH_USUAL),
	ACCEPT("block", "same", BENCH_USUAL),
	ACCEPT("adaptive", "free", BENCH_FULL),
	{ 0 }
};
