// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * parts.c - a message in parts goes to the reader who waits, and to nobody by halves
 *
 * The parts are sent one by one, as frames, so that a reader can be anywhere amid
 * them. Each test goes round until more than the window has come: what a message
 * cost is given back, however it ended.
 */
#include <errno.h>

#include "harness.h"

#include "core/core.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"
#include "worker.h"

enum { PART = 1000, WHOLE = 3 * PART, WINDOW = 16384, ROUNDS = 4 * WINDOW / WHOLE };

/* A reader in a thread of its own. */
struct reader {
	struct worker worker;
	struct shmux_stream *st;
	size_t size;
	char buf[2 * WHOLE];
};

FIXTURE(parts)
{
	struct pair pair;
	struct shmux_stream *near, *far;
	struct reader readers[2];
	int round;
};

FIXTURE_SETUP(parts)
{
	struct shmux_session_options options = {
		.size = sizeof(options),
		.window = WINDOW,
		.first_grant = WINDOW,
		.spin = SHMUX_SPIN_NONE,
	};

	ASSERT_EQ(0, pair_open(&self->pair, PAIR_SAME_PROCESS, &options, &options));
	ASSERT_EQ(0, shmux_session_open(self->pair.session, SHMUX_STREAM_MESSAGES, &self->near));
	ASSERT_EQ(0, shmux_session_accept(self->pair.far.side.session, 0, &self->far));
}

FIXTURE_TEARDOWN(parts)
{
	shmux_stream_close(self->near);
	shmux_stream_close(self->far);
	PAIR_TEARDOWN(&self->pair);
}

/* Part @i of the message of this round, of as many bytes as @len. */
static int send_part(FIXTURE_DATA(parts) *self, int i, uint32_t len, uint32_t flags)
{
	struct shmux_session *s = self->near->s;
	char buf[PART];
	int err;

	pattern_fill(buf, len, (size_t)i * PART, (uint32_t)self->round);
	err = shmux__enter(s);
	if (err)
		return err;
	shmux__drain(s);
	err = shmux__link_send(s->link, SHMUX_FRAME_DATA, flags, self->near->id, buf, len);
	self->near->tx_credit -= shmux__cost(s->link, len);
	shmux__leave(s);
	return err;
}

static int send_abort(FIXTURE_DATA(parts) *self)
{
	struct shmux_session *s = self->near->s;
	int err = shmux__enter(s);

	if (err)
		return err;
	err = shmux__link_send(s->link, SHMUX_FRAME_DATA, SHMUX_FLAG_ABORT, self->near->id, NULL,
			       0);
	shmux__leave(s);
	return err;
}

static int64_t read_message(void *arg)
{
	struct reader *r = arg;

	return shmux_stream_read(r->st, r->buf, r->size);
}

static void begin_read(FIXTURE_DATA(parts) *self, int i, size_t size)
{
	struct reader *r = &self->readers[i];

	r->st = self->far;
	r->size = size;
	worker_start(&r->worker, read_message, r);
}

static bool blocked(FIXTURE_DATA(parts) *self, int i)
{
	return worker_wait_blocked(&self->readers[i].worker);
}

/* Bytes that are queued at the far end, of the stream and of the whole session. */
static uint64_t queued(FIXTURE_DATA(parts) *self)
{
	struct shmux_session *s = self->far->s;
	uint64_t n;

	shmux_lock(&s->lock);
	n = self->far->rx_queued + s->rx_queued;
	shmux_unlock(&s->lock);
	return n;
}

static bool is_message(const FIXTURE_DATA(parts) *self, const char *buf)
{
	return pattern_check(buf, WHOLE, 0, (uint32_t)self->round) == -1;
}

/* Who reads now has the message of this round. */
static void check_reads(struct __test_metadata *_metadata, FIXTURE_DATA(parts) *self)
{
	char buf[WHOLE];

	ASSERT_EQ(WHOLE, shmux_stream_read(self->far, buf, sizeof(buf)));
	ASSERT_TRUE(is_message(self, buf));
}

#define for_each_round(self) for ((self)->round = 0; (self)->round < ROUNDS; (self)->round++)

TEST_F(parts, go_to_the_reader_who_waits_and_are_not_queued)
{
	struct reader *r = &self->readers[0];

	for_each_round(self) {
		begin_read(self, 0, WHOLE);
		for (int i = 0; i < 2; i++) {
			ASSERT_TRUE(blocked(self, 0));
			ASSERT_EQ(0, send_part(self, i, PART, SHMUX_FLAG_MORE));
		}
		ASSERT_TRUE(blocked(self, 0));
		EXPECT_EQ(0, queued(self));
		EXPECT_EQ(-1, pattern_check(r->buf, 2 * PART, 0, (uint32_t)self->round));
		ASSERT_EQ(0, send_part(self, 2, PART, 0));
		ASSERT_EQ(WHOLE, worker_join(&r->worker));
		EXPECT_TRUE(is_message(self, r->buf));
	}
}

TEST_F(parts, that_came_before_go_to_the_reader_as_well)
{
	struct reader *r = &self->readers[0];

	for_each_round(self) {
		ASSERT_EQ(0, send_part(self, 0, PART, SHMUX_FLAG_MORE));
		ASSERT_LE(0, session_pump(self->far->s));
		begin_read(self, 0, WHOLE);
		ASSERT_TRUE(blocked(self, 0));
		/* Whoever gives up again, as nothing comes, has nothing to put back. */
		EXPECT_EQ(2 * PART, queued(self));
		ASSERT_EQ(0, send_part(self, 1, PART, SHMUX_FLAG_MORE));
		ASSERT_TRUE(blocked(self, 0));
		EXPECT_EQ(0, queued(self));
		ASSERT_EQ(0, send_part(self, 2, PART, 0));
		ASSERT_EQ(WHOLE, worker_join(&r->worker));
		EXPECT_TRUE(is_message(self, r->buf));
	}
}

TEST_F(parts, are_left_to_the_next_by_a_reader_who_gives_up)
{
	for_each_round(self) {
		begin_read(self, 0, WHOLE);
		ASSERT_TRUE(blocked(self, 0));
		ASSERT_EQ(0, send_part(self, 0, PART, SHMUX_FLAG_MORE));
		ASSERT_TRUE(blocked(self, 0));
		shmux_stream_unblock(self->far, SHMUX_READ);
		ASSERT_EQ(-ECANCELED, worker_join(&self->readers[0].worker));
		ASSERT_EQ(0, send_part(self, 1, PART, SHMUX_FLAG_MORE));
		EXPECT_EQ(-EAGAIN, shmux_stream_try_read(self->far, self->readers[0].buf, WHOLE));
		ASSERT_EQ(0, send_part(self, 2, PART, 0));
		check_reads(_metadata, self);
	}
}

TEST_F(parts, that_are_too_many_are_emsgsize_and_the_message_stays)
{
	for_each_round(self) {
		begin_read(self, 0, WHOLE - 1);
		for (int i = 0; i < 2; i++) {
			ASSERT_TRUE(blocked(self, 0));
			ASSERT_EQ(0, send_part(self, i, PART, SHMUX_FLAG_MORE));
		}
		ASSERT_TRUE(blocked(self, 0));
		ASSERT_EQ(0, send_part(self, 2, PART, 0));
		ASSERT_EQ(-EMSGSIZE, worker_join(&self->readers[0].worker));
		EXPECT_EQ(WHOLE, shmux_stream_next_len(self->far));
		check_reads(_metadata, self);
	}
}

TEST_F(parts, that_came_before_and_are_too_many_stay_where_they_are)
{
	struct reader *r = &self->readers[0];

	memset(r->buf, 0xee, sizeof(r->buf));
	ASSERT_EQ(0, send_part(self, 0, PART, SHMUX_FLAG_MORE));
	ASSERT_EQ(0, send_part(self, 1, PART, SHMUX_FLAG_MORE));
	ASSERT_LE(0, session_pump(self->far->s));
	begin_read(self, 0, WHOLE - 1);
	ASSERT_TRUE(blocked(self, 0));
	ASSERT_EQ(0, send_part(self, 2, PART, 0));
	ASSERT_EQ(-EMSGSIZE, worker_join(&r->worker));
	for (size_t i = 0; i < sizeof(r->buf); i++)
		ASSERT_EQ('\xee', r->buf[i]);
	check_reads(_metadata, self);
}

TEST_F(parts, of_a_message_that_is_given_up_are_not_in_the_next)
{
	struct reader *r = &self->readers[0];

	for_each_round(self) {
		begin_read(self, 0, WHOLE);
		ASSERT_TRUE(blocked(self, 0));
		ASSERT_EQ(0, send_part(self, 2, PART, SHMUX_FLAG_MORE));
		ASSERT_TRUE(blocked(self, 0));
		ASSERT_EQ(0, send_abort(self));
		for (int i = 0; i < 3; i++)
			ASSERT_EQ(0, send_part(self, i, PART, i < 2 ? SHMUX_FLAG_MORE : 0));
		ASSERT_EQ(WHOLE, worker_join(&r->worker));
		EXPECT_TRUE(is_message(self, r->buf));
	}
}

TEST_F(parts, are_one_readers_though_another_one_waits)
{
	struct reader *r = self->readers, *first;
	int i;

	for_each_round(self) {
		for (i = 0; i < 2; i++) {
			begin_read(self, i, WHOLE);
			ASSERT_TRUE(blocked(self, i));
		}
		for (i = 0; i < 6; i++) {
			ASSERT_TRUE(i > 2 || (blocked(self, 0) && blocked(self, 1)));
			ASSERT_EQ(0, send_part(self, i % 3, PART, i % 3 < 2 ? SHMUX_FLAG_MORE : 0));
		}
		for (first = r; first < r + 2; first++) {
			ASSERT_EQ(WHOLE, worker_join(&first->worker));
			EXPECT_TRUE(is_message(self, first->buf));
		}
	}
}

TEST_F(parts, that_nobody_may_read_any_more_are_gone)
{
	static const int ends[] = { -ENODATA, -ECONNRESET };

	for (int i = 0; i < 2; i++) {
		begin_read(self, 0, WHOLE);
		ASSERT_TRUE(blocked(self, 0));
		ASSERT_EQ(0, send_part(self, 0, PART, SHMUX_FLAG_MORE));
		ASSERT_TRUE(blocked(self, 0));
		if (i)
			shmux_stream_reset(self->near, 7);
		else
			ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));
		ASSERT_EQ(ends[i], worker_join(&self->readers[0].worker));
		EXPECT_EQ(0, queued(self));
		shmux_stream_close(self->near);
		shmux_stream_close(self->far);
		ASSERT_EQ(0, shmux_session_open(self->pair.session, SHMUX_STREAM_MESSAGES,
						&self->near));
		ASSERT_EQ(0, shmux_session_accept(self->pair.far.side.session, 0, &self->far));
	}
}

TEST_F(parts, are_gone_with_a_shutdown_by_another_thread)
{
	begin_read(self, 0, WHOLE);
	ASSERT_TRUE(blocked(self, 0));
	ASSERT_EQ(0, send_part(self, 0, PART, SHMUX_FLAG_MORE));
	ASSERT_TRUE(blocked(self, 0));
	ASSERT_EQ(0, shmux_stream_shutdown(self->far, SHMUX_READ));
	ASSERT_EQ(-ENODATA, worker_join(&self->readers[0].worker));
	EXPECT_EQ(0, queued(self));
	ASSERT_EQ(0, send_part(self, 1, PART, 0));
	EXPECT_LE(0, session_pump(self->far->s));
	EXPECT_EQ(0, queued(self));
}

TEST_HARNESS_MAIN
