// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * instructions.c - a message from one end of a session to the other, again and again
 *
 * Both ends are in this process, and no call has anything to wait for, so that each
 * does the same every time. house/instructions.sh has valgrind count what is done in
 * one of the functions step_...(), by its name. One thread makes the session beside
 * this one, and has ended: the locks are those of a program that has had threads. How
 * chunks are filled is not learned by time, but as the case says.
 *
 * Usage: instructions CASE NR
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/core.h"
#include "link/shm.h"
#include "pair.h"

enum {
	KIB = 1024,
	BATCH = 64
};

enum {
	BYTES = SHMUX_STREAM_BYTES,
	MESSAGES = SHMUX_STREAM_MESSAGES
};

struct both {
	struct pair pair;
	struct shmux_stream *near, *far;
	int epoll; /* watches the far session */
	size_t size; /* of a message */
	unsigned int kind; /* of the streams */
	unsigned long left; /* messages until the next is published */
};

typedef void step_fn(struct both *both);

static char buf[64 * KIB];

static void check(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "instructions: %s failed\n", what);
	exit(1);
}

/* Functions with names that the counter knows: none is to become a part of another. */
#define STEP(name)    \
	step_fn name; \
	__attribute__((noinline)) void name(struct both *both)

STEP(step_write)
{
	check(shmux_stream_write(both->near, buf, both->size) == (ssize_t)both->size, "write");
}

/* Held back, but for the last of a batch. */
STEP(step_send)
{
	struct iovec iov = { .iov_base = buf, .iov_len = both->size };

	check(shmux_stream_send(both->near, &iov, 1, both->left > 1 ? SHMUX_MORE : 0) ==
		      (ssize_t)both->size,
	      "send");
}

/* A batch in one call: the first of its steps writes them all. */
STEP(step_writev)
{
	struct iovec iov[BATCH];
	size_t i;

	if (both->left < BATCH)
		return;
	for (i = 0; i < BATCH; i++)
		iov[i] = (struct iovec){ buf + i * both->size, both->size };
	check(shmux_stream_writev(both->near, iov, BATCH) == (ssize_t)(BATCH * both->size),
	      "writev");
}

STEP(step_read)
{
	size_t done;
	ssize_t n;

	for (done = 0; done < both->size; done += (size_t)n) {
		n = shmux_stream_read(both->far, buf + done, both->size - done);
		check(n > 0, "read");
	}
}

STEP(step_submit)
{
	struct shmux_span span;

	check(!shmux_stream_reserve(both->near, both->size, &span, 0), "reserve");
	check(shmux_stream_submit(both->near, &span, both->size, 0) == (ssize_t)both->size,
	      "submit");
}

STEP(step_take)
{
	struct shmux_view view;

	check(shmux_stream_take(both->far, &view, 0) == (ssize_t)both->size, "take");
	shmux_stream_release(both->far, &view);
}

/* As an event loop does: until there is nothing more. */
STEP(step_serve)
{
	struct shmux_event events[16];
	struct epoll_event event;

	check(epoll_wait(both->epoll, &event, 1, 0) == 1, "epoll_wait");
	check(shmux_session_pump(both->pair.far.side.session, events, 16) == 1, "pump");
	check(events[0].stream == both->far, "event");
	check(shmux_stream_try_read(both->far, buf, sizeof(buf)) == (ssize_t)both->size,
	      "try_read");
	check(shmux_stream_try_read(both->far, buf, sizeof(buf)) == -EAGAIN, "end of try_read");
}

static const struct {
	const char *name;
	unsigned int kind;
	size_t size;
	step_fn *near, *far;
	unsigned long batch;
	bool polls;
	enum shmux__way way;
} cases[] = {
	{ "copy-64", BYTES, 64, step_write, step_read, 1, false, SHMUX__WAY_HOT },
	{ "batch-64", BYTES, 64, step_send, step_read, BATCH, false, SHMUX__WAY_HOT },
	{ "gather-64", BYTES, 64, step_writev, step_read, BATCH, false, SHMUX__WAY_HOT },
	{ "copy-4096", BYTES, 4 * KIB, step_write, step_read, 1, false, SHMUX__WAY_HOT },
	{ "turn-4096", BYTES, 4 * KIB, step_write, step_read, 1, false, SHMUX__WAY_TURN },
	{ "copy-65536", BYTES, 64 * KIB, step_write, step_read, 1, false, SHMUX__WAY_HOT },
	{ "turn-65536", BYTES, 64 * KIB, step_write, step_read, 1, false, SHMUX__WAY_TURN },
	{ "place-65536", BYTES, 64 * KIB, step_submit, step_take, 1, false, SHMUX__WAY_HOT },
	{ "event-64", BYTES, 64, step_write, step_serve, 1, true, SHMUX__WAY_HOT },
	{ "message-64", MESSAGES, 64, step_write, step_read, 1, false, SHMUX__WAY_HOT },
};

static void fill_by(struct shmux_session *s, enum shmux__way way)
{
	struct shmux__fill *f = &shmux__shm(s->link)->fill;

	f->way = f->usual = way;
	f->laps = UINT32_MAX;
}

static void open_both(struct both *both, bool polls)
{
	/* A first write is not to wait for what a read grants. */
	const struct shmux_session_options *options = SESSION_OPTIONS(.first_grant = 256 * KIB);
	struct epoll_event event = { .events = EPOLLIN };
	struct shmux_event events[16];
	struct shmux_session *far;

	check(!pair_open(&both->pair, PAIR_SAME_PROCESS, options, options), "session");
	check(!pair_open_stream(&both->pair, both->kind, &both->near), "stream");
	both->far = both->pair.far.side.stream;
	far = both->pair.far.side.session;
	if (!polls)
		return;
	both->epoll = epoll_create1(EPOLL_CLOEXEC);
	check(both->epoll >= 0 &&
		      !epoll_ctl(both->epoll, EPOLL_CTL_ADD, shmux_session_fd(far), &event),
	      "epoll");
	shmux_session_pump(far, events, 16);
}

static void close_both(struct both *both)
{
	if (both->epoll >= 0)
		close(both->epoll);
	shmux_stream_close(both->near);
	pair_close(&both->pair);
}

static void pass_batch(struct both *both, step_fn *near, step_fn *far, unsigned long nr)
{
	unsigned long i;

	for (both->left = nr; both->left; both->left--)
		near(both);
	for (i = 0; i < nr; i++)
		far(both);
}

int main(int argc, char **argv)
{
	struct both both = { .epoll = -1 };
	unsigned long nr = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (nr && !strcmp(argv[1], cases[i].name))
			break;
	if (i == sizeof(cases) / sizeof(cases[0])) {
		fprintf(stderr, "Usage: instructions CASE NR\n");
		return 2;
	}
	both.size = cases[i].size;
	both.kind = cases[i].kind;
	open_both(&both, cases[i].polls);
	fill_by(both.pair.session, cases[i].way);
	for (; nr >= cases[i].batch; nr -= cases[i].batch)
		pass_batch(&both, cases[i].near, cases[i].far, cases[i].batch);
	close_both(&both);
	return 0;
}
