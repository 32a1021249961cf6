/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pair.h - a session, with our end near and the other one far
 *
 * The fixture of most tests. A program that includes this says which places it
 * is to run over with PAIR_VARIANTS(fixture).
 */
#ifndef TESTS_PAIR_H
#define TESTS_PAIR_H

#include "far.h"

enum pair_kind {
	PAIR_SAME_PROCESS,	/* both ends attach to a pair (over.h), here */
	PAIR_TWO_PROCESSES,	/* the far end is a child's */
	PAIR_LISTENER,		/* a child listens by name, we dial */
	PAIR_YAMUX_SOCKET,	/* yamux with a child over a socket */
	PAIR_YAMUX_PIPES,	/* over two pipes */
};

struct pair {
	struct shmux_session *session;	/* near */
	struct far far;			/* its session is far.side.session */
	char name[64];			/* address that the far end listens on, if it does */
	int nr_fds;			/* before there was anything */
};

/* Make a session; options may be NULL. Return: 0 or -errno. */
int pair_open(struct pair *pair, enum pair_kind kind,
	      const struct shmux_session_options *near,
	      const struct shmux_session_options *far);

static inline bool pair_is_yamux(enum pair_kind kind)
{
	return kind == PAIR_YAMUX_SOCKET || kind == PAIR_YAMUX_PIPES;
}

/* In a test: over yamux it proves nothing, and why. */
#define NOT_OVER_YAMUX(why)                                                               \
	do {                                                                              \
		if (pair_is_yamux(variant->kind))                                         \
			SKIP(return, "yamux " why);                                       \
	} while (0)

/*
 * As far_call(), while we serve the session: what was taken without waiting may go
 * out only by and by.
 */
int64_t pair_call(struct pair *pair, side_fn fn, const void *in, size_t in_len, void *out,
		  size_t out_len);

/* Open a stream from near to far, where it becomes side->stream. */
int pair_open_stream(struct pair *pair, unsigned int flags, struct shmux_stream **near);

/*
 * Close both ends. The near streams must be closed. Return: 0, or -1 if
 * descriptors or memory were lost, here or there.
 */
int pair_close(struct pair *pair);

/* After a failure: let go without asking questions. */
void pair_abandon(struct pair *pair);

/* Take note of what has come to @session. Return: number of events. */
int session_pump(struct shmux_session *session);

struct shmux_session_counters session_counters(struct shmux_session *session);

/* Options, by member: SESSION_OPTIONS(.window = 4096). */
#define SESSION_OPTIONS(...)                                                              \
	(&(struct shmux_session_options){                                                 \
		.size = sizeof(struct shmux_session_options), __VA_ARGS__ })

/* What is about rings, arenas, bells or messages: yamux has none. */
#define PAIR_VARIANTS_OF_REGIONS(fixture)                                                 \
	FIXTURE_VARIANT(fixture)                                                          \
	{                                                                                 \
		enum pair_kind kind;                                                      \
	};                                                                                \
	FIXTURE_VARIANT_ADD(fixture, same_process)                                        \
	{                                                                                 \
		.kind = PAIR_SAME_PROCESS,                                                \
	};                                                                                \
	FIXTURE_VARIANT_ADD(fixture, two_processes)                                       \
	{                                                                                 \
		.kind = PAIR_TWO_PROCESSES,                                               \
	};                                                                                \
	FIXTURE_VARIANT_ADD(fixture, listener)                                            \
	{                                                                                 \
		.kind = PAIR_LISTENER,                                                    \
	}

#define PAIR_VARIANTS(fixture)                                                            \
	PAIR_VARIANTS_OF_REGIONS(fixture);                                                \
	FIXTURE_VARIANT_ADD(fixture, yamux_socket)                                        \
	{                                                                                 \
		.kind = PAIR_YAMUX_SOCKET,                                                \
	};                                                                                \
	FIXTURE_VARIANT_ADD(fixture, yamux_pipes)                                         \
	{                                                                                 \
		.kind = PAIR_YAMUX_PIPES,                                                 \
	}

/* In a FIXTURE_TEARDOWN, after the near streams have been closed. */
#define PAIR_TEARDOWN(pair)                                                               \
	do {                                                                              \
		if (_metadata->aborted) {                                                 \
			pair_abandon(pair);                                               \
		} else {                                                                  \
			EXPECT_EQ(0, pair_close(pair));                                   \
		}                                                                         \
	} while (0)

#endif /* TESTS_PAIR_H */
