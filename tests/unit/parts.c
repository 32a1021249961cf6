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

#define UNTOUCHED '\xee'

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

static void open_stream(struct __test_metadata *_metadata, FIXTURE_DATA(parts) *self)
{
	ASSERT_EQ(0, shmux_session_open(self->pair.session, SHMUX_STREAM_MESSAGES, &self->near));
	ASSERT_EQ(0, shmux_session_accept(self->pair.far.side.session, 0, &self->far));
}

static void close_stream(FIXTURE_DATA(parts) *self)
{
	shmux_stream_close(self->near);
	shmux_stream_close(self->far);
	self->near = self->far = NULL;
}

FIXTURE_SETUP(parts)
{
	struct shmux_session_options options = {
		.size = sizeof(options),
		.window = WINDOW,
		.first_grant = WINDOW,
		.spin = SHMUX_SPIN_NONE,
	};

	ASSERT_EQ(0, pair_open(&self->pair, PAIR_SAME_PROCESS, &options, &options));
	open_stream(_metadata, self);
}

FIXTURE_TEARDOWN(parts)
{
	close_stream(self);
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

/* Credit at the far end of what has come and nobody has read. */
static uint32_t charged(FIXTURE_DATA(parts) *self)
{
	struct shmux_stream *st = self->far;
	uint32_t cost;

	shmux_lock(&st->s->lock);
	cost = st->rx_limit - st->rx_granted - st->rx_owed;
	shmux_unlock(&st->s->lock);
	return cost;
}

/* Of the buffer's bytes, how many at the end nobody has written. */
static size_t untouched(const struct reader *r)
{
	size_t n = 0;

	while (n < sizeof(r->buf) && r->buf[sizeof(r->buf) - n - 1] == UNTOUCHED)
		n++;
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

	memset(r->buf, UNTOUCHED, sizeof(r->buf));
	ASSERT_EQ(0, send_part(self, 0, PART, SHMUX_FLAG_MORE));
	ASSERT_EQ(0, send_part(self, 1, PART, SHMUX_FLAG_MORE));
	ASSERT_LE(0, session_pump(self->far->s));
	begin_read(self, 0, WHOLE - 1);
	ASSERT_TRUE(blocked(self, 0));
	ASSERT_EQ(0, send_part(self, 2, PART, 0));
	ASSERT_EQ(-EMSGSIZE, worker_join(&r->worker));
	EXPECT_EQ(sizeof(r->buf), untouched(r));
	check_reads(_metadata, self);
}

TEST_F(parts, leave_the_buffer_behind_the_message_as_it_was)
{
	struct reader *r = &self->readers[0];

	for_each_round(self) {
		uint32_t len = 1 + 47 * (uint32_t)self->round;

		memset(r->buf, UNTOUCHED, sizeof(r->buf));
		begin_read(self, 0, sizeof(r->buf));
		for (uint32_t i = 0; i < 3; i++) {
			ASSERT_TRUE(blocked(self, 0));
			EXPECT_EQ(0, queued(self));
			EXPECT_LE(sizeof(r->buf) - i * len, untouched(r));
			ASSERT_EQ(0, send_part(self, 0, len, i < 2 ? SHMUX_FLAG_MORE : 0));
		}
		ASSERT_EQ(3 * len, worker_join(&r->worker));
		EXPECT_LE(sizeof(r->buf) - 3 * len, untouched(r));
	}
}

TEST_F(parts, that_are_too_many_are_not_written_behind_the_buffer)
{
	struct reader *r = &self->readers[0];

	for_each_round(self) {
		uint32_t len = 1 + 47 * (uint32_t)self->round;

		memset(r->buf, UNTOUCHED, sizeof(r->buf));
		begin_read(self, 0, 3 * len - 1);
		for (uint32_t i = 0; i < 3; i++) {
			ASSERT_TRUE(blocked(self, 0));
			ASSERT_EQ(0, send_part(self, 0, len, i < 2 ? SHMUX_FLAG_MORE : 0));
		}
		ASSERT_EQ(-EMSGSIZE, worker_join(&r->worker));
		EXPECT_LE(sizeof(r->buf) - 2 * len, untouched(r));
		ASSERT_EQ(3 * len, shmux_stream_read(self->far, r->buf, sizeof(r->buf)));
	}
}

/* A message with empty parts: bytes of each, and how many have any before it. */
static const struct {
	uint32_t len;
	int before;
} sparse[] = { { 0, 0 }, { PART, 0 }, { 0, 1 }, { 0, 1 }, { PART, 1 }, { PART, 2 }, { 0, 3 } };

enum { NR_SPARSE = ARRAY_SIZE(sparse) };

static int send_sparse(FIXTURE_DATA(parts) *self, int i)
{
	return send_part(self, sparse[i].before, sparse[i].len,
			 i < NR_SPARSE - 1 ? SHMUX_FLAG_MORE : 0);
}

TEST_F(parts, may_be_empty_first_amid_and_last)
{
	struct reader *r = &self->readers[0];
	int i;

	for_each_round(self) {
		for (i = 0; i < self->round % NR_SPARSE; i++)
			ASSERT_EQ(0, send_sparse(self, i));
		ASSERT_LE(0, session_pump(self->far->s));
		begin_read(self, 0, WHOLE);
		for (; i < NR_SPARSE; i++) {
			ASSERT_TRUE(blocked(self, 0));
			ASSERT_EQ(0, send_sparse(self, i));
		}
		ASSERT_EQ(WHOLE, worker_join(&r->worker));
		EXPECT_TRUE(is_message(self, r->buf));
		EXPECT_EQ(0, charged(self));
	}
}

TEST_F(parts, that_are_empty_are_left_to_the_next_as_well)
{
	for_each_round(self) {
		for (int i = 0; i < NR_SPARSE - 1; i++) {
			begin_read(self, 0, WHOLE);
			ASSERT_TRUE(blocked(self, 0));
			ASSERT_EQ(0, send_sparse(self, i));
			ASSERT_TRUE(blocked(self, 0));
			EXPECT_EQ(0, queued(self));
			shmux_stream_unblock(self->far, SHMUX_READ);
			ASSERT_EQ(-ECANCELED, worker_join(&self->readers[0].worker));
		}
		ASSERT_EQ(0, send_sparse(self, NR_SPARSE - 1));
		check_reads(_metadata, self);
		EXPECT_EQ(0, charged(self));
	}
}

TEST_F(parts, that_are_all_empty_are_a_message_of_no_bytes)
{
	struct reader *r = &self->readers[0];

	for_each_round(self) {
		memset(r->buf, UNTOUCHED, sizeof(r->buf));
		begin_read(self, 0, self->round % 2 ? WHOLE : 0);
		for (int i = 0; i < 3; i++) {
			ASSERT_TRUE(blocked(self, 0));
			ASSERT_EQ(0, send_part(self, 0, 0, i < 2 ? SHMUX_FLAG_MORE : 0));
		}
		ASSERT_EQ(0, worker_join(&r->worker));
		EXPECT_EQ(sizeof(r->buf), untouched(r));
		EXPECT_EQ(0, charged(self));
	}
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
		close_stream(self);
		open_stream(_metadata, self);
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

TEST_F(parts, with_which_the_stream_ends_too_early_are_gone)
{
	for_each_round(self) {
		begin_read(self, 0, WHOLE);
		for (int i = 0, last = self->round % 3; i <= last; i++) {
			ASSERT_TRUE(blocked(self, 0));
			ASSERT_EQ(0, send_part(self, i, PART,
					       SHMUX_FLAG_MORE | (i == last ? SHMUX_FLAG_FIN : 0)));
		}
		ASSERT_EQ(-ENODATA, worker_join(&self->readers[0].worker));
		EXPECT_EQ(0, queued(self));
		EXPECT_EQ(0, charged(self));
		close_stream(self);
		open_stream(_metadata, self);
	}
}

TEST_F(parts, that_nobody_waits_for_are_gone_as_well_but_no_message_before_them)
{
	for_each_round(self) {
		for (int i = 0; i < 3; i++)
			ASSERT_EQ(0, send_part(self, i, PART, i < 2 ? SHMUX_FLAG_MORE : 0));
		ASSERT_EQ(0, send_part(self, 0, PART, SHMUX_FLAG_MORE));
		ASSERT_EQ(0, send_part(self, 1, PART, SHMUX_FLAG_MORE | SHMUX_FLAG_FIN));
		check_reads(_metadata, self);
		EXPECT_EQ(-ENODATA, shmux_stream_read(self->far, self->readers[0].buf, WHOLE));
		EXPECT_EQ(0, queued(self));
		EXPECT_EQ(0, charged(self));
		close_stream(self);
		open_stream(_metadata, self);
	}
}

TEST_F(parts, of_which_the_last_ends_the_stream_are_a_message)
{
	struct reader *r = &self->readers[0];

	for_each_round(self) {
		begin_read(self, 0, WHOLE);
		for (int i = 0; i < 3; i++) {
			ASSERT_TRUE(blocked(self, 0));
			ASSERT_EQ(0, send_part(self, i, PART,
					       i < 2 ? SHMUX_FLAG_MORE : SHMUX_FLAG_FIN));
		}
		ASSERT_EQ(WHOLE, worker_join(&r->worker));
		EXPECT_TRUE(is_message(self, r->buf));
		EXPECT_EQ(-ENODATA, shmux_stream_read(self->far, r->buf, WHOLE));
		EXPECT_EQ(0, charged(self));
		close_stream(self);
		open_stream(_metadata, self);
	}
}

/* Two readers wait, one of whom has the parts so far. */
static void hold_parts(struct __test_metadata *_metadata, FIXTURE_DATA(parts) *self)
{
	for (int i = 0; i < 2; i++) {
		begin_read(self, i, WHOLE);
		ASSERT_TRUE(blocked(self, i));
	}
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, send_part(self, i, PART, SHMUX_FLAG_MORE));
		ASSERT_TRUE(blocked(self, 0) && blocked(self, 1));
	}
	EXPECT_EQ(0, queued(self));
}

/* The session is over: nobody has half a message, and nothing of it is kept. */
static void check_over(struct __test_metadata *_metadata, FIXTURE_DATA(parts) *self, int error)
{
	struct shmux_session *s = self->far->s;

	for (int i = 0; i < 2; i++)
		ASSERT_EQ(error, worker_join(&self->readers[i].worker));
	EXPECT_EQ(error, shmux_stream_read(self->far, self->readers[0].buf, WHOLE));
	shmux_lock(&s->lock);
	shmux__session_get(s);
	shmux_unlock(&s->lock);
	close_stream(self);
	shmux_lock(&s->lock);
	EXPECT_EQ(0, s->rx_queued);
	shmux__session_put_unlock(s);
}

TEST_F(parts, are_nobodys_if_the_peer_hangs_up)
{
	hold_parts(_metadata, self);
	shmux_session_close(self->pair.session, 0);
	self->pair.session = NULL;
	check_over(_metadata, self, -ECONNRESET);
}

TEST_F(parts, are_nobodys_if_the_peer_breaks_the_protocol)
{
	hold_parts(_metadata, self);
	ASSERT_EQ(0, send_part(self, 2, PART, SHMUX_FLAG_STOP));
	check_over(_metadata, self, -EPROTO);
}

TEST_F(parts, are_nobodys_if_another_thread_closes_the_session)
{
	hold_parts(_metadata, self);
	shmux_session_close(self->pair.far.side.session, 0);
	self->pair.far.side.session = NULL;
	check_over(_metadata, self, -ECONNRESET);
}

TEST_HARNESS_MAIN
