// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * wirekill.c - what is left when the process at the other end of a wire is killed
 *
 * Over descriptors alone nothing tells of a death but their end. The victim reads,
 * writes and opens streams for as long as it lives; it is killed amid that, and the
 * survivor is in every kind of call.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "effort.h"
#include "harness.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"
#include "worker.h"

/* From the peer's death until whoever waits has been told. */
#define PROMISED (100 * MSEC)
#define PIECE_MAX 30000

FIXTURE(wirekill)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *near;
	uint64_t random;
};

FIXTURE_VARIANT(wirekill)
{
	enum pair_kind kind;
};

FIXTURE_VARIANT_ADD(wirekill, socket){
	.kind = PAIR_YAMUX_SOCKET,
};

FIXTURE_VARIANT_ADD(wirekill, pipes){
	.kind = PAIR_YAMUX_PIPES,
};

FIXTURE_SETUP(wirekill)
{
	self->random = effort_seed();
	self->far = &self->pair.far;
}

FIXTURE_TEARDOWN(wirekill)
{
	if (_metadata->aborted && self->pair.session)
		pair_abandon(&self->pair);
}

/* --- what the victim does ---------------------------------------------------- */

static int64_t side_write_for_ever(struct side *side)
{
	uint64_t random = *(const uint64_t *)side->in, at = 0;
	static char buf[PIECE_MAX];
	ssize_t n;

	for (;; at += (uint64_t)n) {
		size_t len = random_between(&random, 1, PIECE_MAX);

		pattern_fill(buf, len, at, 1);
		n = shmux_stream_write(side->stream, buf, len);
		SIDE_TRUE(n > 0);
	}
}

static int64_t side_read_for_ever(struct side *side)
{
	static char buf[PIECE_MAX];

	while (shmux_stream_read(side->stream, buf, sizeof(buf)) > 0)
		;
	return 0;
}

static int64_t side_open_for_ever(struct side *side)
{
	struct shmux_stream *st;
	ssize_t n;

	for (;;) {
		SIDE_EQ(0, shmux_session_open(side->session, 0, &st));
		n = shmux_stream_write(st, "once", 4);
		/* Who closes it unread resets it. */
		SIDE_TRUE(n == 4 || n == -ECONNRESET);
		shmux_stream_close(st);
	}
}

static int64_t side_say_nothing(struct side *side)
{
	struct shmux_stream *st;

	return shmux_session_accept(side->session, 0, &st);
}

static const side_fn acts[] = { side_write_for_ever, side_read_for_ever, side_open_for_ever,
				side_say_nothing };

/* --- what the survivor does, until it is told --------------------------------- */

static int64_t read_on(void *arg)
{
	static char buf[PIECE_MAX];
	uint64_t at = 0;
	ssize_t n;

	while ((n = shmux_stream_read(arg, buf, sizeof(buf))) > 0) {
		SIDE_EQ(-1, pattern_check(buf, (size_t)n, at, 1));
		at += (uint64_t)n;
	}
	return n;
}

static int64_t write_on(void *arg)
{
	static char buf[PIECE_MAX];
	ssize_t n;

	while ((n = shmux_stream_write(arg, buf, sizeof(buf))) > 0)
		;
	return n;
}

static int64_t accept_on(void *arg)
{
	struct shmux_stream *st;
	int64_t n;

	while (!(n = shmux_session_accept(shmux_stream_session(arg), 0, &st)))
		shmux_stream_close(st);
	return n;
}

static int64_t poll_on(void *arg)
{
	struct shmux_session *s = shmux_stream_session(arg);
	struct pollfd pfd = { .fd = shmux_session_fd(s), .events = POLLIN };
	static char buf[PIECE_MAX];
	struct shmux_event events[8];

	while (shmux_session_state(s) != SHMUX_SESSION_DEAD) {
		SIDE_TRUE(poll(&pfd, 1, (int)(LONG_ENOUGH / MSEC)) == 1);
		SIDE_TRUE(shmux_session_pump(s, events, 8) >= 0);
		while (shmux_stream_try_read(arg, buf, sizeof(buf)) > 0)
			;
	}
	return -ECONNRESET;
}

static const worker_fn ways[] = { read_on, write_on, accept_on, poll_on };

/* One life. Return: ns from the death until the survivor had been told. */
static uint64_t live_and_die(struct __test_metadata *_metadata, FIXTURE_DATA(wirekill) * self,
			     enum pair_kind kind, side_fn act, worker_fn way)
{
	uint64_t seed = random_next(&self->random), killed, told;
	uint32_t pause = random_between(&self->random, 0, 20000);
	struct worker survivor;

	ASSERT_EQ(0, pair_open(&self->pair, kind, NULL, NULL));
	ASSERT_EQ(0, pair_open_stream(&self->pair, 0, &self->near));
	far_begin(self->far, act, &seed, sizeof(seed), 0);
	worker_start(&survivor, way, self->near);
	/* Not until something: at any moment. */
	for (uint64_t until = shmux_now() + pause * 1000; shmux_now() < until;)
		;
	killed = shmux_now();
	far_kill(self->far);
	EXPECT_EQ(-ECONNRESET, worker_join(&survivor));
	told = shmux_now();

	EXPECT_EQ(SHMUX_SESSION_DEAD, shmux_session_state(self->pair.session));
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(self->near, "x", 1));
	shmux_stream_close(self->near);
	EXPECT_EQ(0, pair_close(&self->pair));
	self->pair.session = NULL;
	return told - killed;
}

TEST_F_TIMEOUT(wirekill, at_any_moment_is_told_to_whoever_is_in_a_call_and_leaves_nothing,
	       EFFORT_TIMEOUT)
{
	uint32_t nr = effort_count(effort_is_stress() ? 400 : 64);

	for (uint32_t i = 0; i < nr; i++) {
		side_fn act = acts[i / ARRAY_SIZE(ways) % ARRAY_SIZE(acts)];
		worker_fn way = ways[i % ARRAY_SIZE(ways)];

		EXPECT_GE(effort_bound(PROMISED),
			  live_and_die(_metadata, self, variant->kind, act, way))
		{
			TH_LOG("act %u, way %u", i / 4 % 4, i % 4);
		}
	}
}

TEST_HARNESS_MAIN
