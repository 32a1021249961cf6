/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * far.h - the other party of a test, which does what it is told
 *
 * It is in this process, or in a child. What it is told is a function, which
 * runs over there on the far side's objects. far_call() waits for it to return;
 * far_begin() and far_finish() let the test do something in between, while the
 * function may block.
 *
 * The functions with a stream's verb, far_read() and so on, act on side->stream
 * and return what the library did.
 */
#ifndef TESTS_FAR_H
#define TESTS_FAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <shmux/shmux.h>

#include "worker.h"

enum far_place {
	FAR_SAME_PROCESS,	/* begun functions run in a thread */
	FAR_CHILD,		/* everything runs in a forked child */
};

/* What the far side has. Valid over there only. */
struct side {
	struct shmux_session *session;
	struct shmux_stream *stream;	/* the one that far_read() etc. act on */
	struct shmux_stream **streams;	/* others, in order of age */
	size_t nr_streams;
	struct shmux_listener *listener;
	struct shmux_context *context;
	int fd;				/* see far_start_with(), or -1 */
	int out_fd;			/* see far_start_giving(), or -1 */

	/* Of the call that is running. */
	const void *in;
	size_t in_len;
	void *out;
	size_t out_len;
};

/* What far_call() returns if a SIDE_... check failed, or nobody is there. */
#define SIDE_FAILED INT64_MIN
#define SIDE_DEAD (INT64_MIN + 1)

typedef int64_t (*side_fn)(struct side *side);

/* In a side_fn: check, or say what is wrong and return SIDE_FAILED. */
#define SIDE_EQ(expected, seen)                                                           \
	do {                                                                              \
		int64_t expected_ = (int64_t)(expected), seen_ = (int64_t)(seen);         \
                                                                                          \
		if (expected_ != seen_) {                                                 \
			fprintf(stderr, "# %s:%d:far: Expected %s (%lld) == %s (%lld)\n", \
				__FILE__, __LINE__, #expected, (long long)expected_,      \
				#seen, (long long)seen_);                                 \
			return SIDE_FAILED;                                               \
		}                                                                         \
	} while (0)
#define SIDE_TRUE(cond) SIDE_EQ(1, !!(cond))

struct far {
	enum far_place place;
	struct side side;	/* in the same process */
	struct worker worker;	/* likewise */
	pid_t pid;		/* of the child; 0 once it is gone */
	int control;		/* to the child */
	size_t out_len;		/* of what has been begun */
	void *in, *out;		/* likewise, in the same process */
	side_fn fn;
};

/* Return: 0 or -errno. */
int far_start(struct far *far, enum far_place place);

/* The same, handing @fd over as side->fd. A child closes @near_fd. */
int far_start_with(struct far *far, enum far_place place, int fd, int near_fd);

/* The same with two: side->fd and side->out_fd. One of two may be -1. */
int far_start_giving(struct far *far, enum far_place place, const int given[2],
		     const int kept[2]);

/* Run @fn over there, with copies of @in and @out. Return: what it returned. */
int64_t far_call(struct far *far, side_fn fn, const void *in, size_t in_len, void *out,
		 size_t out_len);
#define far_run(far, fn) far_call(far, fn, NULL, 0, NULL, 0)

/* The same in two steps. far_begin() returns when @fn is about to run. */
void far_begin(struct far *far, side_fn fn, const void *in, size_t in_len, size_t out_len);
int64_t far_finish(struct far *far, void *out);

/* Whether what has been begun has returned, or its process has ended. */
bool far_is_done(struct far *far);

/* Wait until what has been begun sleeps in the kernel. */
bool far_wait_blocked(struct far *far);

/* Kill the child; nothing is closed over there. */
void far_kill(struct far *far);

/*
 * Close what is still open over there and let it end.
 * Return: 0, or -1 if descriptors or memory were lost.
 */
int far_stop(struct far *far);

/* The stream over there. */
ssize_t far_write(struct far *far, const void *buf, size_t len);
ssize_t far_try_write(struct far *far, const void *buf, size_t len);
ssize_t far_send(struct far *far, const void *buf, size_t len, unsigned int flags);
ssize_t far_read(struct far *far, void *buf, size_t size);
ssize_t far_try_read(struct far *far, void *buf, size_t size);
ssize_t far_recv(struct far *far, void *buf, size_t size, unsigned int flags);
ssize_t far_next_len(struct far *far);
int far_shutdown(struct far *far, unsigned int how);
int far_reset(struct far *far, uint32_t code);
int far_reset_code(struct far *far, uint32_t *code);
void far_close(struct far *far);

/*
 * The session over there. An accepted or opened stream becomes side->stream; the
 * one that was it is added to side->streams.
 */
int far_open(struct far *far, unsigned int flags);
int far_accept(struct far *far, unsigned int flags);
int far_close_session(struct far *far);
int far_counters(struct far *far, struct shmux_session_counters *counters);
int far_state(struct far *far);

/* Take note of what has come. Return: number of events. */
int far_pump(struct far *far);

/*
 * Write or read @len bytes of pattern (pattern.h) in pieces of @piece bytes;
 * begin, or run where it cannot block. Return: bytes done, or SIDE_FAILED.
 */
struct bulk {
	uint64_t len;
	size_t piece;
	uint32_t seed;
	unsigned int flags;	/* of the last send */
};

int64_t bulk_write(struct shmux_stream *st, const struct bulk *bulk);
int64_t bulk_read(struct shmux_stream *st, const struct bulk *bulk);
int64_t side_bulk_write(struct side *side);
int64_t side_bulk_read(struct side *side);

/* Write in one thread what is read in another. */
int64_t side_bulk_exchange(struct side *side);

/* bulk_write() and bulk_read() for worker_start(). */
struct bulk_job {
	struct shmux_stream *st;
	struct bulk bulk;
};

int64_t bulk_write_job(void *job);
int64_t bulk_read_job(void *job);

/* Echo side->stream until its end, then half-close. Return: bytes echoed. */
int64_t side_echo(struct side *side);

/* Put a stream into side->streams. */
void side_add(struct side *side, struct shmux_stream *stream);

#endif /* TESTS_FAR_H */
