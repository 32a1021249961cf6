// SPDX-License-Identifier: LGPL-2.1-or-later
/* batch.c - several writes, one publication, at most one kick */
#include <errno.h>

#include "harness.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

FIXTURE(batch)
{
	struct pair pair;
	struct far *far;
	struct shmux_session *session;
	struct shmux_stream *near;
};

PAIR_VARIANTS(batch);

FIXTURE_SETUP(batch)
{
	const struct shmux_session_options *options =
		SESSION_OPTIONS(.spin = SHMUX_SPIN_NONE, .first_grant = 65536);

	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, options, options));
	self->far = &self->pair.far;
	self->session = self->pair.session;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
}

FIXTURE_TEARDOWN(batch)
{
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

static void check_far_has(struct __test_metadata *_metadata, struct far *far, size_t len)
{
	ssize_t seen = far_next_len(far);

	/* It takes note of so much a call; nothing more may come than that. */
	EXPECT_TRUE(wait_until(seen == (ssize_t)len || (seen = far_next_len(far)) > (ssize_t)len));
	EXPECT_EQ((ssize_t)len, seen);
}

static uint64_t kicks(struct shmux_session *session)
{
	return session_counters(session).kicks_sent;
}

/* Read @in bytes in one call. */
static int64_t side_read_all(struct side *side)
{
	size_t len = *(const size_t *)side->in;
	char *buf = malloc(len);
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	int64_t n = shmux_stream_recv(side->stream, &iov, 1, SHMUX_WAITALL);

	free(buf);
	return n;
}

/* Accept, and write what nobody has asked for. */
static int64_t side_accept_and_greet(struct side *side)
{
	struct shmux_stream *st;

	SIDE_EQ(0, shmux_session_accept(side->session, 0, &st));
	side_add(side, st);
	return shmux_stream_write(st, "hello", 5);
}

TEST_F(batch, what_is_written_under_a_cork_is_published_at_uncork)
{
	shmux_session_cork(self->session);
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(3, shmux_stream_write(self->near, "abc", 3));
	}
	check_far_has(_metadata, self->far, 0);
	shmux_session_uncork(self->session);

	check_far_has(_metadata, self->far, 30);
}

TEST_F(batch, cork_holds_what_is_written_on_every_stream)
{
	struct shmux_stream *other;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &other));
	shmux_session_cork(self->session);
	ASSERT_EQ(3, shmux_stream_write(self->near, "abc", 3));
	ASSERT_EQ(5, shmux_stream_write(other, "other", 5));
	check_far_has(_metadata, self->far, 0);
	shmux_session_uncork(self->session);

	check_far_has(_metadata, self->far, 5);
	shmux_stream_close(other);
}

TEST_F(batch, cork_costs_at_most_one_kick)
{
	size_t len = 100 * 3;
	uint64_t before;

	NOT_OVER_YAMUX("has no kicks; yamux.c counts what it sends");
	far_begin(self->far, side_read_all, &len, sizeof(len), 0);
	ASSERT_TRUE(far_wait_blocked(self->far));
	before = kicks(self->session);
	shmux_session_cork(self->session);
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(3, shmux_stream_write(self->near, "abc", 3));
	}
	EXPECT_EQ(before, kicks(self->session));
	shmux_session_uncork(self->session);

	EXPECT_EQ(300, far_finish(self->far, NULL));
	EXPECT_EQ(before + 1, kicks(self->session));
}

TEST_F(batch, many_writes_to_one_sleep_cost_one_kick)
{
	uint64_t before;

	NOT_OVER_YAMUX("has no kicks");
	/* It has pumped less than there could be, so it is armed, and stays so. */
	ASSERT_LE(0, far_pump(self->far));
	before = kicks(self->session);
	for (int i = 0; i < 500; i++) {
		ASSERT_EQ(3, shmux_stream_write(self->near, "abc", 3));
	}

	EXPECT_LE(kicks(self->session), before + 1);
	check_far_has(_metadata, self->far, 1500);
}

TEST_F(batch, nobody_is_kicked_who_is_awake)
{
	uint64_t before = kicks(self->session);

	/* The far end is in no call, so it is not armed. */
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(3, shmux_stream_write(self->near, "abc", 3));
	}

	EXPECT_EQ(before, kicks(self->session));
}

TEST_F(batch, more_holds_a_write_back_until_the_next)
{
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };

	ASSERT_EQ(3, shmux_stream_send(self->near, &iov, 1, SHMUX_MORE));
	ASSERT_EQ(3, shmux_stream_send(self->near, &iov, 1, SHMUX_MORE));
	check_far_has(_metadata, self->far, 0);
	ASSERT_EQ(3, shmux_stream_send(self->near, &iov, 1, 0));

	check_far_has(_metadata, self->far, 9);
}

TEST_F(batch, more_holds_small_buffers_back_however_many)
{
	enum { NR = 100, LEN = 64 };
	static char bytes[LEN];
	struct iovec iov[NR];

	for (int i = 0; i < NR; i++)
		iov[i] = (struct iovec){ bytes, LEN };
	/* The far end is in no call, so it counts as awake. */
	ASSERT_EQ(NR * LEN, shmux_stream_send(self->near, iov, NR, SHMUX_MORE));
	check_far_has(_metadata, self->far, 0);
	ASSERT_EQ(LEN, shmux_stream_write(self->near, bytes, LEN));

	check_far_has(_metadata, self->far, (NR + 1) * LEN);
}

TEST_F(batch, what_more_holds_goes_with_a_read_of_what_is_queued)
{
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
	char buf[64] = { 0 };

	for (int i = 0; i < 20; i++) {
		ASSERT_EQ((ssize_t)sizeof(buf), far_write(self->far, buf, sizeof(buf)));
	}
	ASSERT_EQ((ssize_t)sizeof(buf), shmux_stream_read(self->near, buf, sizeof(buf)));
	ASSERT_EQ(3, shmux_stream_send(self->near, &iov, 1, SHMUX_MORE));
	check_far_has(_metadata, self->far, 0);
	ASSERT_EQ((ssize_t)sizeof(buf), shmux_stream_read(self->near, buf, sizeof(buf)));

	check_far_has(_metadata, self->far, 3);
}

TEST_F(batch, more_costs_at_most_one_kick)
{
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
	size_t len = 100 * 3;
	uint64_t before;

	NOT_OVER_YAMUX("has no kicks; yamux.c counts what it sends");
	far_begin(self->far, side_read_all, &len, sizeof(len), 0);
	ASSERT_TRUE(far_wait_blocked(self->far));
	before = kicks(self->session);
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(3, shmux_stream_send(self->near, &iov, 1, i < 99 ? SHMUX_MORE : 0));
	}

	EXPECT_EQ(300, far_finish(self->far, NULL));
	EXPECT_EQ(before + 1, kicks(self->session));
}

TEST_F(batch, opening_that_more_follows_goes_with_the_first_write)
{
	struct shmux_stream *st;
	char buf[8];

	ASSERT_EQ(0, shmux_session_open(self->session, SHMUX_STREAM_MORE, &st));
	EXPECT_EQ(-EAGAIN, far_accept(self->far, SHMUX_NOWAIT));
	ASSERT_EQ(3, shmux_stream_write(st, "abc", 3));

	EXPECT_EQ(0, far_accept(self->far, 0));
	EXPECT_EQ(3, far_read(self->far, buf, sizeof(buf)));
	shmux_stream_close(st);
}

TEST_F(batch, opening_held_back_is_published_before_a_call_waits)
{
	struct shmux_stream *st;
	char buf[8];

	far_begin(self->far, side_accept_and_greet, NULL, 0, 0);
	ASSERT_EQ(0, shmux_session_open(self->session, SHMUX_STREAM_MORE, &st));
	EXPECT_EQ(5, shmux_stream_read(st, buf, sizeof(buf)));

	EXPECT_EQ(5, far_finish(self->far, NULL));
	shmux_stream_close(st);
}

TEST_F(batch, opening_held_back_is_published_by_close)
{
	struct shmux_stream *st;
	char buf[8];

	ASSERT_EQ(0, shmux_session_open(self->session, SHMUX_STREAM_MORE, &st));
	shmux_stream_close(st);

	EXPECT_EQ(0, far_accept(self->far, 0));
	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
}

TEST_F(batch, opening_held_back_and_first_write_cost_one_kick)
{
	struct shmux_stream *st;
	uint64_t before;

	NOT_OVER_YAMUX("has no kicks; yamux.c counts what it sends");
	far_begin(self->far, side_accept_and_greet, NULL, 0, 0);
	ASSERT_TRUE(far_wait_blocked(self->far));
	before = kicks(self->session);
	ASSERT_EQ(0, shmux_session_open(self->session, SHMUX_STREAM_MORE, &st));
	EXPECT_EQ(before, kicks(self->session));
	ASSERT_EQ(3, shmux_stream_write(st, "abc", 3));

	EXPECT_EQ(before + 1, kicks(self->session));
	EXPECT_EQ(5, far_finish(self->far, NULL));
	shmux_stream_close(st);
}

TEST_F(batch, what_more_holds_back_is_published_by_the_half_close)
{
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
	char buf[8];

	ASSERT_EQ(3, shmux_stream_send(self->near, &iov, 1, SHMUX_MORE));
	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));

	EXPECT_EQ(3, far_read(self->far, buf, sizeof(buf)));
	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
}

TEST_F(batch, what_more_holds_back_is_published_by_close)
{
	struct iovec iov = { .iov_base = "abc", .iov_len = 3 };
	char buf[8];

	ASSERT_EQ(3, shmux_stream_send(self->near, &iov, 1, SHMUX_MORE));
	shmux_stream_close(self->near);
	self->near = NULL;

	EXPECT_EQ(3, far_read(self->far, buf, sizeof(buf)));
	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
}

TEST_F(batch, what_is_held_back_is_published_before_a_call_waits)
{
	struct iovec iov = { .iov_base = "ping", .iov_len = 4 };
	char buf[8];

	/* Neither the cork nor MORE lets a request wait for its answer. */
	far_begin(self->far, side_echo, NULL, 0, 0);
	ASSERT_EQ(4, shmux_stream_send(self->near, &iov, 1, SHMUX_MORE));
	EXPECT_EQ(4, shmux_stream_read(self->near, buf, sizeof(buf)));
	shmux_session_cork(self->session);
	ASSERT_EQ(4, shmux_stream_write(self->near, "pong", 4));
	EXPECT_EQ(4, shmux_stream_read(self->near, buf, sizeof(buf)));
	shmux_session_uncork(self->session);

	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));
	EXPECT_EQ(8, far_finish(self->far, NULL));
}

TEST_F(batch, what_is_held_back_is_published_when_there_is_no_more_room)
{
	struct bulk bulk = { .len = 8 << 20, .piece = 50, .seed = 1 };

	/* Far more than the ring, the window or the arena hold. */
	far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);
	shmux_session_cork(self->session);
	EXPECT_EQ(8 << 20, bulk_write(self->near, &bulk));
	shmux_session_uncork(self->session);
	/* Over a wire the last of it may have to wait for room, and then for a call. */
	while (!far_is_done(self->far) && session_pump(self->session) >= 0)
		usleep(200);
	EXPECT_EQ(8 << 20, far_finish(self->far, NULL));
}

TEST_F(batch, everything_arrives_in_order_with_and_without_more)
{
	struct bulk bulk = { .len = 1 << 20, .piece = 300, .seed = 2 };
	char buf[1000];
	struct iovec iov = { .iov_base = buf };
	uint64_t random = 5, done = 0;

	far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);
	while (done < bulk.len) {
		iov.iov_len = random_between(&random, 1, sizeof(buf));
		if (iov.iov_len > bulk.len - done)
			iov.iov_len = bulk.len - done;
		pattern_fill(buf, iov.iov_len, done, 2);
		done += iov.iov_len;
		ASSERT_EQ((ssize_t)iov.iov_len,
			  shmux_stream_send(self->near, &iov, 1,
					    done < bulk.len && random_between(&random, 0, 3) ?
						    SHMUX_MORE :
						    0));
	}
	EXPECT_EQ(1 << 20, far_finish(self->far, NULL));
}

TEST_HARNESS_MAIN
