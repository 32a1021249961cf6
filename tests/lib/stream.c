// SPDX-License-Identifier: LGPL-2.1-or-later
/* stream.c - byte streams: reading, writing, and the ways in which they end */
#include <errno.h>
#include <limits.h>

#include "effort.h"
#include "harness.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define MIB (1024u * 1024u)

FIXTURE(stream)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *near;
};

PAIR_VARIANTS(stream);

FIXTURE_SETUP(stream)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, NULL, NULL));
	self->far = &self->pair.far;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
}

FIXTURE_TEARDOWN(stream)
{
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

/* The far end reads exactly @text, and there is nothing behind it. */
static void check_far_reads(struct __test_metadata *_metadata, struct far *far, const char *text)
{
	size_t len = strlen(text);
	char buf[256] = "";

	ASSERT_EQ((ssize_t)len, far_recv(far, buf, len, SHMUX_WAITALL));
	EXPECT_STREQ(text, buf);
	EXPECT_EQ(-EAGAIN, far_try_read(far, buf, 1));
}

/* Reading tells the end, once and again. */
static void check_ended(struct __test_metadata *_metadata, struct shmux_stream *st)
{
	char buf[8];

	EXPECT_EQ(0, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_EQ(0, shmux_stream_try_read(st, buf, sizeof(buf)));
}

static void check_far_ended(struct __test_metadata *_metadata, struct far *far)
{
	char buf[8];

	EXPECT_EQ(0, far_read(far, buf, sizeof(buf)));
	EXPECT_EQ(0, far_try_read(far, buf, sizeof(buf)));
}

/* Neither direction goes on. */
static void check_reset(struct __test_metadata *_metadata, struct shmux_stream *st)
{
	char buf[8];

	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_EQ(-ECONNRESET, shmux_stream_try_read(st, buf, sizeof(buf)));
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(st, "x", 1));
	EXPECT_EQ(-ECONNRESET, shmux_stream_try_write(st, "x", 1));
}

static int64_t read_one(void *arg)
{
	char buf[8];

	return shmux_stream_read(arg, buf, sizeof(buf));
}

/* More than any window takes. */
static int64_t write_much(void *arg)
{
	size_t len = 16 * MIB;
	char *buf = calloc(1, len);
	int64_t ret = shmux_stream_write(arg, buf, len);

	free(buf);
	return ret;
}

TEST_F(stream, reader_gets_the_bytes_that_were_written)
{
	ASSERT_EQ(5, shmux_stream_write(self->near, "hello", 5));

	check_far_reads(_metadata, self->far, "hello");
}

TEST_F(stream, bytes_go_both_ways)
{
	char buf[8] = "";

	ASSERT_EQ(4, shmux_stream_write(self->near, "ping", 4));
	check_far_reads(_metadata, self->far, "ping");
	ASSERT_EQ(4, far_write(self->far, "pong", 4));

	EXPECT_EQ(4, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("pong", buf);
}

TEST_F(stream, reader_does_not_wait_for_more_than_there_is)
{
	char buf[100] = "";

	ASSERT_EQ(5, shmux_stream_write(self->near, "hello", 5));

	EXPECT_EQ(5, far_read(self->far, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
}

TEST_F(stream, short_read_leaves_the_rest)
{
	char buf[8] = "";

	ASSERT_EQ(5, shmux_stream_write(self->near, "hello", 5));

	ASSERT_EQ(2, far_read(self->far, buf, 2));
	EXPECT_STREQ("he", buf);
	check_far_reads(_metadata, self->far, "llo");
}

TEST_F(stream, writes_are_not_told_apart)
{
	char buf[16] = "";

	ASSERT_EQ(5, shmux_stream_write(self->near, "hello", 5));
	ASSERT_EQ(6, shmux_stream_write(self->near, " world", 6));
	ASSERT_TRUE(wait_until(far_next_len(self->far) == 11));

	EXPECT_EQ(11, far_read(self->far, buf, sizeof(buf)));
	EXPECT_STREQ("hello world", buf);
}

TEST_F(stream, blocked_reader_wakes_when_bytes_come)
{
	struct worker reader;

	worker_start(&reader, read_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_EQ(3, far_write(self->far, "abc", 3));

	EXPECT_EQ(3, worker_join(&reader));
}

TEST_F(stream, writev_gathers_and_readv_scatters)
{
	char one[3] = "", two[5] = "", three[10] = "";
	struct iovec from[] = { { "ab", 2 }, { "", 0 }, { "cdef", 4 }, { "g", 1 } };
	struct iovec to[] = { { one, 2 }, { two, 0 }, { two, 4 }, { three, 9 } };

	ASSERT_EQ(7, shmux_stream_writev(self->near, from, 4));
	check_far_reads(_metadata, self->far, "abcdefg");

	ASSERT_EQ(7, far_write(self->far, "abcdefg", 7));
	ASSERT_TRUE(wait_until(shmux_stream_next_len(self->near) == 7));
	EXPECT_EQ(7, shmux_stream_readv(self->near, to, 4));
	EXPECT_STREQ("ab", one);
	EXPECT_STREQ("cdef", two);
	EXPECT_STREQ("g", three);
}

/* Of all lengths to 80, and every seventh about as long as would still be copied. */
static size_t mixed_length(int i)
{
	return i % 7 ? (size_t)i % 81 : 480 + (size_t)i % 64;
}

TEST_F(stream, writev_of_many_small_buffers_arrives_whole_and_in_order)
{
	enum { NR = 512, ROUNDS = 40, LONGEST = 544 };
	static char buf[NR * LONGEST];
	struct bulk bulk = { .piece = 4096, .seed = 3 };
	struct iovec iov[NR];
	uint64_t position = 0;
	size_t len;

	for (int i = 0; i < ROUNDS * NR; i++)
		bulk.len += mixed_length(i);
	far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);
	for (int i = 0, round = 0; round < ROUNDS; round++) {
		len = 0;
		for (int n = 0; n < NR; n++, i++) {
			iov[n] = (struct iovec){ buf + len, mixed_length(i) };
			len += iov[n].iov_len;
		}
		pattern_fill(buf, len, position, bulk.seed);
		ASSERT_EQ((ssize_t)len, shmux_stream_writev(self->near, iov, NR));
		position += len;
	}

	EXPECT_EQ((int64_t)bulk.len, far_finish(self->far, NULL));
}

TEST_F(stream, half_close_goes_with_small_buffers_of_which_the_last_is_empty)
{
	struct iovec iov[] = { { "a", 1 }, { "bc", 2 }, { "", 0 } };
	char buf[8];

	ASSERT_EQ(3, shmux_stream_send(self->near, iov, 3, SHMUX_FIN));

	ASSERT_EQ(3, far_recv(self->far, buf, 3, SHMUX_WAITALL));
	check_far_ended(_metadata, self->far);
}

TEST_F(stream, half_close_goes_with_the_last_of_more_small_buffers_than_go_together)
{
	enum { NR = 200, LEN = 64 };
	static char buf[NR * LEN];
	struct bulk bulk = { .piece = 4096, .seed = 5, .len = sizeof(buf) };
	struct iovec iov[NR];

	pattern_fill(buf, sizeof(buf), 0, bulk.seed);
	for (int i = 0; i < NR; i++)
		iov[i] = (struct iovec){ buf + (size_t)i * LEN, LEN };
	far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);

	ASSERT_EQ((ssize_t)sizeof(buf), shmux_stream_send(self->near, iov, NR, SHMUX_FIN));

	EXPECT_EQ((int64_t)sizeof(buf), far_finish(self->far, NULL));
	check_far_ended(_metadata, self->far);
}

TEST_F(stream, try_writev_and_try_readv_do_the_same_without_waiting)
{
	char one[3] = "", two[5] = "";
	struct iovec from[] = { { "ab", 2 }, { "cdef", 4 } };
	struct iovec to[] = { { one, 2 }, { two, 4 } };

	EXPECT_EQ(-EAGAIN, shmux_stream_try_readv(self->near, to, 2));
	ASSERT_EQ(6, shmux_stream_try_writev(self->near, from, 2));
	check_far_reads(_metadata, self->far, "abcdef");

	ASSERT_EQ(6, far_write(self->far, "uvwxyz", 6));
	ASSERT_TRUE(wait_until(shmux_stream_next_len(self->near) == 6));
	EXPECT_EQ(6, shmux_stream_try_readv(self->near, to, 2));
	EXPECT_STREQ("uv", one);
	EXPECT_STREQ("wxyz", two);
}

TEST_F(stream, empty_write_sends_nothing)
{
	char buf[8];

	EXPECT_EQ(0, shmux_stream_write(self->near, "", 0));
	EXPECT_EQ(0, shmux_stream_try_write(self->near, "", 0));

	EXPECT_EQ(-EAGAIN, far_try_read(self->far, buf, sizeof(buf)));
}

TEST_F(stream, try_read_of_nothing_is_eagain)
{
	char buf[8];

	EXPECT_EQ(-EAGAIN, shmux_stream_try_read(self->near, buf, sizeof(buf)));
	EXPECT_EQ(0, shmux_stream_next_len(self->near));
}

TEST_F(stream, next_len_counts_the_bytes_that_can_be_read)
{
	char buf[8];

	ASSERT_EQ(5, far_write(self->far, "hello", 5));
	ASSERT_TRUE(wait_until(shmux_stream_next_len(self->near) == 5));

	ASSERT_EQ(2, shmux_stream_read(self->near, buf, 2));
	EXPECT_EQ(3, shmux_stream_next_len(self->near));
}

TEST_F(stream, waitall_fills_the_buffer_from_several_writes)
{
	struct bulk bulk = { .len = 300, .piece = 7, .seed = 1 };
	char buf[300];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	far_begin(self->far, side_bulk_write, &bulk, sizeof(bulk), 0);
	EXPECT_EQ(300, shmux_stream_recv(self->near, &iov, 1, SHMUX_WAITALL));
	EXPECT_EQ(300, far_finish(self->far, NULL));

	EXPECT_EQ(-1, pattern_check(buf, sizeof(buf), 0, 1));
}

TEST_F(stream, waitall_returns_what_there_was_when_the_stream_ends)
{
	char buf[8] = "";
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	ASSERT_EQ(3, far_send(self->far, "abc", 3, SHMUX_FIN));

	EXPECT_EQ(3, shmux_stream_recv(self->near, &iov, 1, SHMUX_WAITALL));
	EXPECT_STREQ("abc", buf);
	EXPECT_EQ(0, shmux_stream_recv(self->near, &iov, 1, SHMUX_WAITALL));
}

TEST_F(stream, waitall_returns_what_was_read_before_an_error_and_the_error_next_time)
{
	char buf[8] = "";
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	ASSERT_EQ(3, far_write(self->far, "abc", 3));
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, shmux_now() + 20 * MSEC));

	EXPECT_EQ(3, shmux_stream_recv(self->near, &iov, 1, SHMUX_WAITALL));
	EXPECT_STREQ("abc", buf);
	EXPECT_EQ(-ETIMEDOUT, shmux_stream_recv(self->near, &iov, 1, SHMUX_WAITALL));
}

/* What try_write takes until it takes no more; the pattern goes on at @position. */
static uint64_t fill(struct shmux_stream *st, uint64_t position)
{
	static char buf[10000];
	uint64_t taken = 0;
	ssize_t n;

	do {
		pattern_fill(buf, sizeof(buf), position + taken, 1);
		n = shmux_stream_try_write(st, buf, sizeof(buf));
		if (n > 0)
			taken += (uint64_t)n;
	} while (n > 0);
	return n == -EAGAIN ? taken : 0;
}

TEST_F(stream, try_write_takes_what_there_is_room_for_and_loses_nothing)
{
	struct bulk bulk = { .piece = 5000, .seed = 1 };
	uint64_t taken = 0, more;

	/* Credit grows while the other side takes note. */
	while ((more = fill(self->near, taken))) {
		taken += more;
		ASSERT_LT(taken, 64u * MIB);
		ASSERT_LE(0, far_pump(self->far));
	}
	ASSERT_LT(0, taken);
	bulk.len = taken;
	ASSERT_EQ((int64_t)taken,
		  pair_call(&self->pair, side_bulk_read, &bulk, sizeof(bulk), NULL, 0));

	/* There is room again. */
	ASSERT_TRUE(wait_until(shmux_stream_try_write(self->near, "x", 1) == 1));
	check_far_reads(_metadata, self->far, "x");
}

TEST_F(stream, try_write_that_takes_a_part_says_how_much)
{
	size_t len = 32 * MIB;
	char *buf = malloc(len);
	struct bulk bulk = { .piece = 65536, .seed = 7 };
	ssize_t n;

	pattern_fill(buf, len, 0, 7);
	n = shmux_stream_try_write(self->near, buf, len);
	free(buf);
	ASSERT_LT(0, n);
	ASSERT_LT(n, (ssize_t)len);
	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));

	bulk.len = (uint64_t)n;
	EXPECT_EQ(n, pair_call(&self->pair, side_bulk_read, &bulk, sizeof(bulk), NULL, 0));
	check_far_ended(_metadata, self->far);
}

TEST_F(stream, reader_drains_then_sees_the_end_after_peer_shuts_down)
{
	char buf[8] = "";

	ASSERT_EQ(5, shmux_stream_write(self->near, "hello", 5));
	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));

	EXPECT_EQ(5, far_read(self->far, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
	check_far_ended(_metadata, self->far);
}

TEST_F(stream, write_may_carry_the_half_close)
{
	struct iovec iov = { .iov_base = "hello", .iov_len = 5 };
	char buf[8] = "";

	ASSERT_EQ(5, shmux_stream_send(self->near, &iov, 1, SHMUX_FIN));

	EXPECT_EQ(5, far_read(self->far, buf, sizeof(buf)));
	check_far_ended(_metadata, self->far);
	EXPECT_EQ(-EPIPE, shmux_stream_write(self->near, "x", 1));
}

TEST_F(stream, empty_write_may_carry_the_half_close)
{
	struct iovec iov = { .iov_base = "", .iov_len = 0 };

	ASSERT_EQ(0, shmux_stream_send(self->near, &iov, 1, SHMUX_FIN));

	check_far_ended(_metadata, self->far);
	EXPECT_EQ(-EPIPE, shmux_stream_write(self->near, "x", 1));
}

TEST_F(stream, half_close_leaves_the_other_direction_open)
{
	char buf[8] = "";

	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));
	check_far_ended(_metadata, self->far);

	ASSERT_EQ(5, far_write(self->far, "still", 5));
	EXPECT_EQ(5, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("still", buf);
}

TEST_F(stream, writing_after_ones_own_half_close_is_epipe)
{
	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));

	EXPECT_EQ(-EPIPE, shmux_stream_write(self->near, "x", 1));
	EXPECT_EQ(-EPIPE, shmux_stream_try_write(self->near, "x", 1));
}

TEST_F(stream, half_closing_again_is_no_error)
{
	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));

	EXPECT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));
	EXPECT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_READ));
	EXPECT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_READ));
}

TEST_F(stream, blocked_reader_wakes_when_the_peer_half_closes)
{
	struct worker reader;

	worker_start(&reader, read_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_EQ(0, far_shutdown(self->far, SHMUX_WRITE));

	EXPECT_EQ(0, worker_join(&reader));
}

TEST_F(stream, both_directions_may_end_each_in_its_time)
{
	char buf[8];

	ASSERT_EQ(1, shmux_stream_write(self->near, "a", 1));
	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));
	ASSERT_EQ(1, far_write(self->far, "b", 1));
	ASSERT_EQ(0, far_shutdown(self->far, SHMUX_WRITE));

	EXPECT_EQ(1, shmux_stream_read(self->near, buf, sizeof(buf)));
	check_ended(_metadata, self->near);
	EXPECT_EQ(1, far_read(self->far, buf, sizeof(buf)));
	check_far_ended(_metadata, self->far);
}

TEST_F(stream, first_write_after_the_peers_stop_sending_is_epipe)
{
	NOT_OVER_YAMUX("does not tell that nobody reads any more");
	ASSERT_EQ(1, shmux_stream_write(self->near, "x", 1));
	ASSERT_EQ(0, far_shutdown(self->far, SHMUX_READ));

	EXPECT_EQ(-EPIPE, shmux_stream_write(self->near, "x", 1));
	EXPECT_EQ(-EPIPE, shmux_stream_try_write(self->near, "x", 1));
}

TEST_F(stream, stop_sending_leaves_the_other_direction_open)
{
	char buf[8] = "";

	ASSERT_EQ(0, far_shutdown(self->far, SHMUX_READ));
	ASSERT_EQ(5, far_write(self->far, "still", 5));

	EXPECT_EQ(5, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("still", buf);
}

TEST_F(stream, stop_sending_drops_what_is_unread)
{
	struct shmux_session_counters counters;
	char buf[8];

	ASSERT_EQ(5, shmux_stream_write(self->near, "hello", 5));
	ASSERT_TRUE(wait_until(far_next_len(self->far) == 5));
	ASSERT_EQ(0, far_shutdown(self->far, SHMUX_READ));

	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
	ASSERT_EQ(0, far_counters(self->far, &counters));
	EXPECT_EQ(0, counters.rx_queued);
}

TEST_F(stream, blocked_writer_wakes_at_the_peers_stop_sending)
{
	struct worker writer;
	int64_t written;

	NOT_OVER_YAMUX("does not tell that nobody reads any more");
	worker_start(&writer, write_much, self->near);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	ASSERT_EQ(0, far_shutdown(self->far, SHMUX_READ));

	/* It took something before. */
	written = worker_join(&writer);
	EXPECT_LT(0, written);
	EXPECT_LT(written, 16 * MIB);
	EXPECT_EQ(-EPIPE, shmux_stream_write(self->near, "x", 1));
}

TEST_F(stream, reset_tells_the_peer_its_code)
{
	uint32_t code = 0;

	NOT_OVER_YAMUX("carries no code");
	EXPECT_EQ(-ENODATA, shmux_stream_reset_code(self->near, &code));
	ASSERT_EQ(0, far_reset(self->far, SHMUX_CODE_USER + 44));

	check_reset(_metadata, self->near);
	EXPECT_EQ(0, shmux_stream_reset_code(self->near, &code));
	EXPECT_EQ(SHMUX_CODE_USER + 44, code);
}

TEST_F(stream, reset_loses_what_is_on_its_way)
{
	ASSERT_EQ(5, far_write(self->far, "hello", 5));
	ASSERT_TRUE(wait_until(shmux_stream_next_len(self->near) == 5));
	ASSERT_EQ(5, shmux_stream_write(self->near, "hello", 5));
	ASSERT_EQ(0, far_reset(self->far, SHMUX_CODE_USER));

	check_reset(_metadata, self->near);
}

TEST_F(stream, reset_stops_the_side_that_resets)
{
	ASSERT_EQ(0, shmux_stream_reset(self->near, SHMUX_CODE_USER));

	check_reset(_metadata, self->near);
	EXPECT_EQ(-ECONNRESET, shmux_stream_shutdown(self->near, SHMUX_WRITE));
	EXPECT_EQ(-ECONNRESET, shmux_stream_reset(self->near, SHMUX_CODE_USER));
}

TEST_F(stream, blocked_reader_wakes_at_a_reset)
{
	struct worker reader;

	worker_start(&reader, read_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_EQ(0, far_reset(self->far, SHMUX_CODE_USER));

	EXPECT_EQ(-ECONNRESET, worker_join(&reader));
}

TEST_F(stream, blocked_writer_wakes_at_a_reset)
{
	struct worker writer;
	int64_t written;

	worker_start(&writer, write_much, self->near);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	ASSERT_EQ(0, far_reset(self->far, SHMUX_CODE_USER));

	written = worker_join(&writer);
	EXPECT_LT(0, written);
	EXPECT_LT(written, 16 * MIB);
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(self->near, "x", 1));
}

TEST_F(stream, blocked_reader_wakes_when_it_resets_its_own_stream)
{
	struct worker reader;

	worker_start(&reader, read_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_EQ(0, shmux_stream_reset(self->near, SHMUX_CODE_USER));

	EXPECT_EQ(-ECONNRESET, worker_join(&reader));
}

TEST_F(stream, what_was_written_before_close_is_delivered_then_the_end)
{
	char buf[8] = "";

	ASSERT_EQ(5, shmux_stream_write(self->near, "hello", 5));
	shmux_stream_close(self->near);
	self->near = NULL;

	EXPECT_EQ(5, far_read(self->far, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
	check_far_ended(_metadata, self->far);
}

TEST_F(stream, writing_to_a_closed_peer_is_epipe)
{
	NOT_OVER_YAMUX("does not tell that nobody reads any more");
	far_close(self->far);

	EXPECT_EQ(-EPIPE, shmux_stream_write(self->near, "x", 1));
	check_ended(_metadata, self->near);
}

TEST_F(stream, closing_with_unread_bytes_does_not_disturb_the_peers_reading)
{
	char buf[8] = "";

	NOT_OVER_YAMUX("does not tell that nobody reads any more");
	ASSERT_EQ(5, shmux_stream_write(self->near, "first", 5));
	ASSERT_EQ(4, far_write(self->far, "last", 4));
	far_close(self->far);

	EXPECT_EQ(4, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("last", buf);
	check_ended(_metadata, self->near);
	EXPECT_EQ(-EPIPE, shmux_stream_write(self->near, "x", 1));
}

TEST_F(stream, close_cancels_the_calls_blocked_on_the_stream)
{
	struct worker reader;

	worker_start(&reader, read_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	shmux_stream_close(self->near);
	self->near = NULL;

	EXPECT_EQ(-ECANCELED, worker_join(&reader));
}

TEST_F(stream, closing_nothing_is_allowed)
{
	shmux_stream_close(NULL);
}

TEST_F(stream, late_bytes_for_a_closed_stream_do_not_reach_the_next_one)
{
	char buf[8] = "";

	/* They write to each other's closed streams without having noticed. */
	for (uint32_t i = effort_count(1500); i--;) {
		shmux_stream_close(self->near);
		ASSERT_LE(-EPIPE, far_write(self->far, "old", 3));
		far_close(self->far);
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
		ASSERT_EQ(3, far_write(self->far, "new", 3));
		ASSERT_EQ(3, shmux_stream_read(self->near, buf, sizeof(buf)));
		ASSERT_STREQ("new", buf);
	}
}

static int64_t side_id(struct side *side)
{
	SIDE_EQ(0, shmux_stream_is_message(side->stream));
	SIDE_TRUE(shmux_stream_session(side->stream) == side->session);
	return shmux_stream_id(side->stream);
}

TEST_F(stream, both_sides_know_the_same_id)
{
	EXPECT_NE(0, shmux_stream_id(self->near));
	EXPECT_EQ((int64_t)shmux_stream_id(self->near), far_run(self->far, side_id));
	EXPECT_EQ(0, shmux_stream_is_message(self->near));
	EXPECT_EQ(self->pair.session, shmux_stream_session(self->near));
}

TEST_F(stream, carries_a_pointer_of_the_callers)
{
	EXPECT_EQ(NULL, shmux_stream_user(self->near));
	shmux_stream_set_user(self->near, self);

	EXPECT_EQ(self, shmux_stream_user(self->near));
}

struct addresses {
	int local_ret, peer_ret;
	char local[SHMUX_ADDRESS_MAX], peer[SHMUX_ADDRESS_MAX];
};

static int64_t side_addresses(struct side *side)
{
	struct addresses *a = side->out;

	a->local_ret = shmux_stream_local_address(side->stream, a->local, sizeof(a->local));
	a->peer_ret = shmux_stream_peer_address(side->stream, a->peer, sizeof(a->peer));
	return getpid();
}

TEST_F(stream, knows_its_addresses)
{
	struct addresses far;
	char local[SHMUX_ADDRESS_MAX], peer[SHMUX_ADDRESS_MAX];
	char near_pid[32], far_pid[32];

	NOT_OVER_YAMUX("does not tell who the peer is");
	snprintf(near_pid, sizeof(near_pid), "pid:%d", getpid());
	snprintf(far_pid, sizeof(far_pid), "pid:%d",
		 (int)far_call(self->far, side_addresses, NULL, 0, &far, sizeof(far)));

	ASSERT_EQ(0, far.local_ret);
	ASSERT_EQ(0, far.peer_ret);
	ASSERT_EQ(0, shmux_stream_local_address(self->near, local, sizeof(local)));
	ASSERT_EQ(0, shmux_stream_peer_address(self->near, peer, sizeof(peer)));
	EXPECT_STREQ(near_pid, local);
	EXPECT_STREQ(near_pid, far.peer);
	if (variant->kind == PAIR_LISTENER) {
		EXPECT_STREQ(self->pair.name, peer);
		EXPECT_STREQ(peer, far.local);
	} else {
		EXPECT_STREQ(far_pid, peer);
		EXPECT_STREQ(far_pid, far.local);
	}
}

TEST_F(stream, address_that_does_not_fit_is_erange)
{
	char buf[SHMUX_ADDRESS_MAX];

	EXPECT_EQ(-ERANGE, shmux_stream_local_address(self->near, buf, 1));
	EXPECT_EQ(-ERANGE, shmux_stream_peer_address(self->near, buf, 1));
}

TEST_F(stream, unknown_flags_are_refused)
{
	char buf[8] = "";
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	EXPECT_EQ(-EINVAL, shmux_stream_send(self->near, &iov, 1, 0x80));
	EXPECT_EQ(-EINVAL, shmux_stream_send(self->near, &iov, 1, SHMUX_WAITALL));
	EXPECT_EQ(-EINVAL, shmux_stream_recv(self->near, &iov, 1, 0x80 | SHMUX_NOWAIT));
	EXPECT_EQ(-EINVAL, shmux_stream_recv(self->near, &iov, 1, SHMUX_FIN | SHMUX_NOWAIT));
}

TEST_F(stream, unknown_directions_are_refused)
{
	EXPECT_EQ(-EINVAL, shmux_stream_shutdown(self->near, 0));
	EXPECT_EQ(-EINVAL, shmux_stream_shutdown(self->near, 4));
	EXPECT_EQ(-EINVAL, shmux_stream_set_deadline(self->near, 0, SHMUX_NEVER));
	EXPECT_EQ(-EINVAL, shmux_stream_set_deadline(self->near, 4, SHMUX_NEVER));
}

TEST_F(stream, absurd_vectors_are_refused)
{
	char byte = 0;
	struct iovec huge[] = { { &byte, SSIZE_MAX }, { &byte, SSIZE_MAX } };

	EXPECT_EQ(-EINVAL, shmux_stream_writev(self->near, huge, -1));
	EXPECT_EQ(-EINVAL, shmux_stream_writev(self->near, huge, 2));
	EXPECT_EQ(-EINVAL, shmux_stream_try_readv(self->near, huge, -1));
	EXPECT_EQ(-EINVAL, shmux_stream_try_readv(self->near, huge, 2));
}

/* One transfer of @len bytes from near to far and one back, each with its end. */
static void check_transfer(struct __test_metadata *_metadata, struct pair *pair, uint64_t len,
			   size_t piece)
{
	struct bulk bulk = { .len = len, .piece = piece, .seed = 5, .flags = SHMUX_FIN };
	struct shmux_stream *near;
	char buf[8];

	ASSERT_EQ(0, pair_open_stream(pair, SHMUX_STREAM_BYTES, &near));
	far_begin(&pair->far, side_bulk_read, &bulk, sizeof(bulk), 0);
	EXPECT_EQ((int64_t)len, bulk_write(near, &bulk));
	ASSERT_EQ((int64_t)len, far_finish(&pair->far, NULL));
	check_far_ended(_metadata, &pair->far);

	far_begin(&pair->far, side_bulk_write, &bulk, sizeof(bulk), 0);
	EXPECT_EQ((int64_t)len, bulk_read(near, &bulk));
	ASSERT_EQ((int64_t)len, far_finish(&pair->far, NULL));
	EXPECT_EQ(0, shmux_stream_read(near, buf, sizeof(buf)));
	shmux_stream_close(near);
	far_close(&pair->far);
}

TEST_F(stream, content_survives_at_every_length_around_a_boundary)
{
	static const uint64_t around[] = {
		1, 56, 64, 116, 128, 176, 256, 1024, 4096, 8192, 65536, 65536 + 4096, MIB, 4 * MIB,
	};

	far_close(self->far);
	for (size_t i = 0; i < ARRAY_SIZE(around); i++) {
		for (int64_t d = around[i] > 1 ? -1 : 0; d <= 1; d++)
			check_transfer(_metadata, &self->pair, around[i] + (uint64_t)d,
				       around[i] + (uint64_t)d);
	}
}

TEST_F(stream, content_survives_when_small_writes_add_up)
{
	far_close(self->far);
	check_transfer(_metadata, &self->pair, 300000, 1);
	check_transfer(_metadata, &self->pair, 3 * MIB, 61);
	check_transfer(_metadata, &self->pair, 3 * MIB, 4097);
}

TEST_F(stream, content_survives_over_32_megabytes)
{
	far_close(self->far);
	check_transfer(_metadata, &self->pair, 32 * MIB, 256 * 1024);
	check_transfer(_metadata, &self->pair, 32 * MIB, 32 * MIB);
}

TEST_F(stream, both_directions_carry_much_at_once)
{
	struct bulk bulk = { .len = 16 * MIB, .piece = 50000, .seed = 9 };
	struct bulk_job job = { self->near, bulk };
	struct worker writer;

	worker_start(&writer, bulk_write_job, &job);
	far_begin(self->far, side_bulk_exchange, &bulk, sizeof(bulk), 0);

	EXPECT_EQ(16 * MIB, bulk_read(self->near, &bulk));
	EXPECT_EQ(16 * MIB, worker_join(&writer));
	EXPECT_EQ(16 * MIB, far_finish(self->far, NULL));
}

TEST_HARNESS_MAIN
