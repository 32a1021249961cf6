// SPDX-License-Identifier: LGPL-2.1-or-later
/* message.c - message streams: one write is one read */
#include <errno.h>

#include "harness.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

FIXTURE(message)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *near;
	size_t max;
	char *buf; /* of @max + 1 bytes */
};

PAIR_VARIANTS_OF_REGIONS(message);

FIXTURE_SETUP(message)
{
	/* The limit on what goes far is the far end's. */
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, NULL,
			       SESSION_OPTIONS(.message_max = 300000)));
	self->far = &self->pair.far;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_MESSAGES, &self->near));
	self->max = shmux_stream_message_max(self->near);
	self->buf = malloc(self->max + 1);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(message)
{
	free(self->buf);
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

/* The far end's next message is @text. */
static void check_far_gets(struct __test_metadata *_metadata, struct far *far, const char *text)
{
	char buf[256] = "";

	EXPECT_EQ((ssize_t)strlen(text), far_read(far, buf, sizeof(buf)));
	EXPECT_STREQ(text, buf);
}

static void check_far_has_no_more(struct __test_metadata *_metadata, struct far *far)
{
	char buf[8];

	EXPECT_EQ(-EAGAIN, far_try_read(far, buf, sizeof(buf)));
	EXPECT_EQ(-EAGAIN, far_next_len(far));
}

TEST_F(message, boundaries_are_kept)
{
	ASSERT_EQ(3, shmux_stream_write(self->near, "one", 3));
	ASSERT_EQ(5, shmux_stream_write(self->near, "three", 5));
	ASSERT_EQ(3, shmux_stream_write(self->near, "six", 3));

	check_far_gets(_metadata, self->far, "one");
	check_far_gets(_metadata, self->far, "three");
	check_far_gets(_metadata, self->far, "six");
	check_far_has_no_more(_metadata, self->far);
}

static int64_t side_is_message(struct side *side)
{
	return shmux_stream_is_message(side->stream);
}

TEST_F(message, both_sides_know_that_it_is_a_message_stream)
{
	EXPECT_EQ(1, shmux_stream_is_message(self->near));
	EXPECT_EQ(1, far_run(self->far, side_is_message));
}

TEST_F(message, empty_message_is_a_message)
{
	char buf[8];

	ASSERT_EQ(0, shmux_stream_write(self->near, "", 0));
	ASSERT_EQ(1, shmux_stream_write(self->near, "x", 1));
	ASSERT_EQ(0, shmux_stream_try_write(self->near, "", 0));

	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
	check_far_gets(_metadata, self->far, "x");
	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
	check_far_has_no_more(_metadata, self->far);
}

TEST_F(message, waitall_does_not_glue_messages_together)
{
	char buf[8];

	ASSERT_EQ(1, shmux_stream_write(self->near, "a", 1));
	ASSERT_EQ(1, shmux_stream_write(self->near, "b", 1));

	EXPECT_EQ(1, far_recv(self->far, buf, sizeof(buf), SHMUX_WAITALL));
	EXPECT_EQ(1, far_recv(self->far, buf, sizeof(buf), SHMUX_WAITALL));
}

TEST_F(message, cork_does_not_glue_messages_together)
{
	shmux_session_cork(self->pair.session);
	ASSERT_EQ(3, shmux_stream_write(self->near, "one", 3));
	ASSERT_EQ(5, shmux_stream_write(self->near, "three", 5));
	check_far_has_no_more(_metadata, self->far);
	shmux_session_uncork(self->pair.session);

	check_far_gets(_metadata, self->far, "one");
	check_far_gets(_metadata, self->far, "three");
	check_far_has_no_more(_metadata, self->far);
}

TEST_F(message, next_len_is_that_of_the_next_message)
{
	EXPECT_EQ(-EAGAIN, shmux_stream_next_len(self->near));
	ASSERT_EQ(5, far_write(self->far, "seven", 5));
	ASSERT_EQ(2, far_write(self->far, "to", 2));

	ASSERT_TRUE(wait_until(shmux_stream_next_len(self->near) >= 0));
	EXPECT_EQ(5, shmux_stream_next_len(self->near));
	ASSERT_EQ(5, shmux_stream_read(self->near, self->buf, 8));
	EXPECT_EQ(2, shmux_stream_next_len(self->near));
}

TEST_F(message, buffer_that_is_too_short_is_emsgsize_and_the_message_stays)
{
	char buf[8] = "";

	ASSERT_EQ(5, shmux_stream_write(self->near, "hello", 5));
	ASSERT_EQ(4, shmux_stream_write(self->near, "next", 4));

	EXPECT_EQ(-EMSGSIZE, far_read(self->far, buf, 4));
	EXPECT_EQ(-EMSGSIZE, far_try_read(self->far, buf, 1));
	EXPECT_EQ(5, far_next_len(self->far));
	check_far_gets(_metadata, self->far, "hello");
	check_far_gets(_metadata, self->far, "next");
}

static int64_t side_read_one(struct side *side)
{
	char buf[64];

	return shmux_stream_read(side->stream, buf, sizeof(buf));
}

/* What comes next is expected to be like one for which a reader waited: small. */
static void far_waits_for_a_small_one(struct __test_metadata *_metadata, FIXTURE_DATA(message) *self)
{
	far_begin(self->far, side_read_one, NULL, 0, 0);
	ASSERT_TRUE(far_wait_blocked(self->far));
	ASSERT_EQ(1, shmux_stream_write(self->near, "x", 1));
	ASSERT_EQ(1, far_finish(self->far, NULL));
}

TEST_F(message, small_ones_are_whole_one_by_one_and_others_are_not_taken_for_them)
{
	char buf[65], expected[65];
	ssize_t len;

	far_waits_for_a_small_one(_metadata, self);
	for (len = 1; len <= 64; len++) {
		pattern_fill(expected, sizeof(expected), 0, len);
		ASSERT_EQ(len, shmux_stream_write(self->near, expected, len));
		ASSERT_EQ(len, far_read(self->far, buf, len % 2 ? len : 65));
		ASSERT_EQ(0, memcmp(expected, buf, len));
	}

	ASSERT_EQ(4, shmux_stream_write(self->near, "four", 4));
	EXPECT_EQ(-EMSGSIZE, far_read(self->far, buf, 3));
	EXPECT_EQ(4, far_read(self->far, buf, 4));
	far_waits_for_a_small_one(_metadata, self);
	ASSERT_EQ(0, shmux_stream_write(self->near, "", 0));
	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
	far_waits_for_a_small_one(_metadata, self);
	ASSERT_EQ(65, shmux_stream_write(self->near, expected, 65));
	EXPECT_EQ(-EMSGSIZE, far_read(self->far, buf, 64));
	EXPECT_EQ(65, far_read(self->far, buf, sizeof(buf)));
}

TEST_F(message, buffer_of_just_the_length_is_enough)
{
	char buf[8] = "";

	ASSERT_EQ(5, shmux_stream_write(self->near, "hello", 5));

	EXPECT_EQ(5, far_read(self->far, buf, 5));
	EXPECT_STREQ("hello", buf);
}

TEST_F(message, writev_is_one_message_and_readv_scatters_it)
{
	struct iovec from[] = { { "ab", 2 }, { "", 0 }, { "cdef", 4 } };
	char one[2] = "", two[8] = "";
	struct iovec to[] = { { one, 1 }, { two, 7 } };

	ASSERT_EQ(6, shmux_stream_writev(self->near, from, 3));
	check_far_gets(_metadata, self->far, "abcdef");

	ASSERT_EQ(6, far_write(self->far, "uvwxyz", 6));
	EXPECT_EQ(6, shmux_stream_readv(self->near, to, 2));
	EXPECT_STREQ("u", one);
	EXPECT_STREQ("vwxyz", two);
}

static int64_t side_message_max(struct side *side)
{
	return (int64_t)shmux_stream_message_max(side->stream);
}

TEST_F(message, longest_message_is_what_the_peer_takes)
{
	EXPECT_EQ(300000, self->max);
	/* Nothing was said at the near end: the window's default. */
	EXPECT_EQ(1 << 20, far_run(self->far, side_message_max));
}

TEST_F(message, longest_message_arrives_whole)
{
	struct bulk bulk = { .len = self->max, .piece = self->max, .seed = 2 };

	far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);
	pattern_fill(self->buf, self->max, 0, 2);
	EXPECT_EQ((ssize_t)self->max, shmux_stream_write(self->near, self->buf, self->max));

	EXPECT_EQ((int64_t)self->max, far_finish(self->far, NULL));
}

TEST_F(message, longest_message_fits_a_window_of_just_its_length)
{
	static const uint32_t windows[] = { 4096, 4097, 16384, 16385, 16400, 32768 + 63, 100001 };
	const struct shmux_session_options *options;
	struct shmux_stream *st;
	struct pair pair;

	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		struct bulk bulk = { .len = windows[i], .piece = windows[i], .seed = 1 };

		options = SESSION_OPTIONS(.arena_size = 65536, .window = windows[i]);
		ASSERT_EQ(0, pair_open(&pair, variant->kind, options, options));
		ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_MESSAGES, &st));
		ASSERT_EQ(windows[i], shmux_stream_message_max(st));
		shmux_stream_set_deadline(st, SHMUX_WRITE, shmux_now() + 2 * SEC);
		far_begin(&pair.far, side_bulk_read, &bulk, sizeof(bulk), 0);
		EXPECT_EQ(windows[i], bulk_write(st, &bulk))
		{
			TH_LOG("window %u", windows[i]);
		}
		shmux_stream_close(st);
		EXPECT_EQ(windows[i], far_finish(&pair.far, NULL));
		EXPECT_EQ(0, pair_close(&pair));
	}
}

TEST_F(message, longer_than_the_longest_is_emsgsize_and_nothing_is_sent)
{
	memset(self->buf, 'x', self->max + 1);
	EXPECT_EQ(-EMSGSIZE, shmux_stream_write(self->near, self->buf, self->max + 1));
	EXPECT_EQ(-EMSGSIZE, shmux_stream_try_write(self->near, self->buf, self->max + 1));

	ASSERT_EQ(4, shmux_stream_write(self->near, "next", 4));
	check_far_gets(_metadata, self->far, "next");
	check_far_has_no_more(_metadata, self->far);
}

TEST_F(message, few_bytes_may_be_more_than_the_peer_takes)
{
	struct shmux_stream *st;
	struct pair pair;

	ASSERT_EQ(0, pair_open(&pair, variant->kind, NULL, SESSION_OPTIONS(.message_max = 10)));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_MESSAGES, &st));

	EXPECT_EQ(-EMSGSIZE, shmux_stream_write(st, "0123456789a", 11));
	EXPECT_EQ(10, shmux_stream_write(st, "0123456789", 10));
	check_far_gets(_metadata, &pair.far, "0123456789");

	shmux_stream_close(st);
	PAIR_TEARDOWN(&pair);
}

TEST_F(message, end_is_enodata_after_the_last_message)
{
	char buf[8];

	ASSERT_EQ(4, shmux_stream_write(self->near, "last", 4));
	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));

	check_far_gets(_metadata, self->far, "last");
	EXPECT_EQ(-ENODATA, far_read(self->far, buf, sizeof(buf)));
	EXPECT_EQ(-ENODATA, far_try_read(self->far, buf, sizeof(buf)));
}

TEST_F(message, last_message_may_carry_the_half_close)
{
	struct iovec iov = { .iov_base = "last", .iov_len = 4 };
	char buf[8];

	ASSERT_EQ(4, shmux_stream_send(self->near, &iov, 1, SHMUX_FIN));

	check_far_gets(_metadata, self->far, "last");
	EXPECT_EQ(-ENODATA, far_read(self->far, buf, sizeof(buf)));
	EXPECT_EQ(-EPIPE, shmux_stream_write(self->near, "x", 1));
}

TEST_F(message, empty_last_message_is_told_from_the_end)
{
	struct iovec iov = { .iov_base = "", .iov_len = 0 };
	char buf[8];

	ASSERT_EQ(0, shmux_stream_send(self->near, &iov, 1, SHMUX_FIN));

	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
	EXPECT_EQ(-ENODATA, far_read(self->far, buf, sizeof(buf)));
}

TEST_F(message, end_after_close_is_enodata)
{
	char buf[8];

	far_close(self->far);

	EXPECT_EQ(-ENODATA, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_EQ(-EPIPE, shmux_stream_write(self->near, "x", 1));
}

TEST_F(message, try_write_takes_all_or_nothing)
{
	char text[64];
	unsigned int nr = 0;
	ssize_t n;

	/* Nobody reads: it ends before the window does. */
	do {
		n = shmux_stream_try_write(self->near, text,
					   (size_t)snprintf(text, sizeof(text), "message %u", nr));
		if (n > 0) {
			ASSERT_EQ((ssize_t)strlen(text), n);
			nr++;
		}
		ASSERT_GT(100000, nr);
	} while (n > 0);
	ASSERT_EQ(-EAGAIN, n);
	ASSERT_LT(0, nr);

	for (unsigned int i = 0; i < nr; i++) {
		snprintf(text, sizeof(text), "message %u", i);
		check_far_gets(_metadata, self->far, text);
	}
	check_far_has_no_more(_metadata, self->far);
}

/* A length for the @i-th message; mostly short, some long, some empty. */
static size_t length(uint64_t *random, size_t max)
{
	switch (random_between(random, 0, 9)) {
	case 0:
		return 0;
	case 1:
		return random_between(random, 0, (uint32_t)max);
	case 2:
	case 3:
		return random_between(random, 0, 70000);
	default:
		return random_between(random, 0, 300);
	}
}

enum {
	NR_MESSAGES = 2000
};

static int64_t side_read_messages(struct side *side)
{
	uint64_t random = 17;
	size_t max = *(const size_t *)side->in;
	char *buf = malloc(max);
	ssize_t want, got = 0;
	int64_t wrong = -1;
	uint32_t i;

	for (i = 0; i < NR_MESSAGES; i++) {
		want = (ssize_t)length(&random, max);
		got = shmux_stream_read(side->stream, buf, max);
		if (got != want)
			break;
		wrong = pattern_check(buf, (size_t)got, 0, i);
		if (wrong >= 0)
			break;
	}
	free(buf);
	SIDE_EQ(want, got);
	SIDE_EQ(-1, wrong);
	return i;
}

TEST_F(message, many_of_all_lengths_arrive_in_order)
{
	uint64_t random = 17;
	size_t len;

	far_begin(self->far, side_read_messages, &self->max, sizeof(self->max), 0);
	for (uint32_t i = 0; i < NR_MESSAGES; i++) {
		len = length(&random, self->max);
		pattern_fill(self->buf, len, 0, i);
		ASSERT_EQ((ssize_t)len, shmux_stream_write(self->near, self->buf, len));
	}
	EXPECT_EQ(NR_MESSAGES, far_finish(self->far, NULL));
	check_far_has_no_more(_metadata, self->far);
}

TEST_F(message, write_that_times_out_half_way_has_sent_nothing)
{
	memset(self->buf, 'x', self->max);
	/* The far end is in no call, so it gives no more credit. */
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_WRITE, shmux_now() + 20 * MSEC));
	EXPECT_EQ(-ETIMEDOUT, shmux_stream_write(self->near, self->buf, self->max));
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_WRITE, SHMUX_NEVER));

	check_far_has_no_more(_metadata, self->far);
	ASSERT_EQ(4, shmux_stream_write(self->near, "next", 4));
	check_far_gets(_metadata, self->far, "next");
	check_far_has_no_more(_metadata, self->far);
}

struct long_write {
	struct shmux_stream *st;
	char *buf;
	size_t len;
};

static int64_t write_long(void *arg)
{
	struct long_write *job = arg;

	return shmux_stream_write(job->st, job->buf, job->len);
}

TEST_F(message, write_that_is_cancelled_half_way_has_sent_nothing)
{
	struct long_write job = { self->near, self->buf, self->max };
	struct worker writer;

	memset(self->buf, 'x', self->max);
	worker_start(&writer, write_long, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	shmux_stream_unblock(self->near, SHMUX_WRITE);
	EXPECT_EQ(-ECANCELED, worker_join(&writer));

	check_far_has_no_more(_metadata, self->far);
	ASSERT_EQ(4, shmux_stream_write(self->near, "next", 4));
	check_far_gets(_metadata, self->far, "next");
}

TEST_F(message, two_threads_messages_do_not_mix)
{
	struct long_write jobs[2];
	struct worker writers[2];
	uint64_t seen[256] = { 0 };
	ssize_t n;

	/* Fragments of two long messages may not be interleaved. */
	for (int i = 0; i < 2; i++) {
		jobs[i] = (struct long_write){ self->near, malloc(self->max), self->max };
		memset(jobs[i].buf, 'a' + i, self->max);
		worker_start(&writers[i], write_long, &jobs[i]);
	}
	for (int i = 0; i < 2; i++) {
		n = far_read(self->far, self->buf, self->max);
		ASSERT_EQ((ssize_t)self->max, n);
		for (ssize_t k = 1; k < n; k++) {
			ASSERT_EQ(self->buf[0], self->buf[k]);
		}
		seen[(unsigned char)self->buf[0]]++;
	}
	EXPECT_EQ(1, seen['a']);
	EXPECT_EQ(1, seen['b']);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ((int64_t)self->max, worker_join(&writers[i]));
		free(jobs[i].buf);
	}
}

TEST_F(message, peek_shows_the_whole_message_and_consumes_nothing)
{
	const void *data;
	char buf[8] = "";

	ASSERT_EQ(5, far_write(self->far, "hello", 5));
	ASSERT_EQ(4, far_write(self->far, "next", 4));

	ASSERT_EQ(5, shmux_stream_peek(self->near, 1, &data));
	EXPECT_EQ(0, memcmp(data, "hello", 5));
	ASSERT_EQ(5, shmux_stream_peek(self->near, 8, &data));
	EXPECT_EQ(5, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
}

TEST_F(message, discard_drops_the_next_message_whatever_its_length)
{
	char buf[8] = "";

	ASSERT_EQ(5, far_write(self->far, "hello", 5));
	ASSERT_EQ(4, far_write(self->far, "next", 4));

	EXPECT_EQ(5, shmux_stream_discard(self->near, 1));
	EXPECT_EQ(4, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("next", buf);
}

TEST_F(message, take_shows_a_message_in_views_that_say_whether_more_follow)
{
	struct bulk bulk = { .len = 200000, .piece = 200000, .seed = 4 };
	struct shmux_view view;
	uint64_t taken = 0;

	/* A write of the whole length is one message; then a second one. */
	far_begin(self->far, side_bulk_write, &bulk, sizeof(bulk), 0);
	do {
		ASSERT_LT(0, shmux_stream_take(self->near, &view, 0));
		ASSERT_EQ(-1, pattern_check(view.data, view.len, taken, 4));
		taken += view.len;
		ASSERT_EQ(taken < bulk.len, !!view.more);
		shmux_stream_release(self->near, &view);
	} while (taken < bulk.len);
	EXPECT_EQ(200000, far_finish(self->far, NULL));
	EXPECT_EQ(-EAGAIN, shmux_stream_take(self->near, &view, SHMUX_NOWAIT));
}

TEST_F(message, take_of_an_empty_message_is_an_empty_view)
{
	struct shmux_view view;

	ASSERT_EQ(0, far_write(self->far, "", 0));
	ASSERT_EQ(1, far_write(self->far, "x", 1));

	ASSERT_EQ(0, shmux_stream_take(self->near, &view, 0));
	EXPECT_EQ(0, view.len);
	EXPECT_EQ(0, view.more);
	shmux_stream_release(self->near, &view);
	ASSERT_EQ(1, shmux_stream_take(self->near, &view, 0));
	shmux_stream_release(self->near, &view);
}

TEST_F(message, each_submit_is_a_message)
{
	struct shmux_span span;

	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, shmux_stream_reserve(self->near, 8, &span, 0));
		memcpy(span.data, i ? "two" : "one", 3);
		ASSERT_EQ(3, shmux_stream_submit(self->near, &span, 3, i ? 0 : SHMUX_MORE));
	}
	ASSERT_EQ(0, shmux_stream_reserve(self->near, 8, &span, 0));
	ASSERT_EQ(0, shmux_stream_submit(self->near, &span, 0, 0));

	check_far_gets(_metadata, self->far, "one");
	check_far_gets(_metadata, self->far, "two");
	check_far_gets(_metadata, self->far, "");
	check_far_has_no_more(_metadata, self->far);
}

TEST_F(message, reset_in_the_middle_of_a_message_leaves_no_part_of_it)
{
	struct long_write job = { self->near, self->buf, self->max };
	struct worker writer;
	char buf[8];

	memset(self->buf, 'x', self->max);
	worker_start(&writer, write_long, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	ASSERT_EQ(0, shmux_stream_reset(self->near, SHMUX_CODE_USER));

	EXPECT_EQ(-ECONNRESET, worker_join(&writer));
	EXPECT_EQ(-ECONNRESET, far_read(self->far, buf, sizeof(buf)));
}

static int64_t side_echo_bytes(struct side *side)
{
	struct shmux_stream *bytes = side->streams[1];
	char buf[64];
	ssize_t n = shmux_stream_read(bytes, buf, sizeof(buf));

	return shmux_stream_write(bytes, buf, (size_t)n);
}

TEST_F(message, byte_and_message_streams_live_in_one_session)
{
	struct shmux_stream *bytes, *messages;
	char buf[16] = "";

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &bytes));
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_MESSAGES, &messages));

	ASSERT_EQ(3, shmux_stream_write(messages, "one", 3));
	ASSERT_EQ(3, shmux_stream_write(bytes, "ab", 3));
	ASSERT_EQ(3, shmux_stream_write(messages, "two", 3));
	check_far_gets(_metadata, self->far, "one");
	check_far_gets(_metadata, self->far, "two");
	EXPECT_EQ(3, far_run(self->far, side_echo_bytes));
	EXPECT_EQ(3, shmux_stream_read(bytes, buf, sizeof(buf)));
	EXPECT_STREQ("ab", buf);

	shmux_stream_close(bytes);
	shmux_stream_close(messages);
}

/* Ample credit, but an arena that holds a part of a long message at a time. */
FIXTURE(part)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *near;
	char *buf; /* of LONG bytes */
};

PAIR_VARIANTS_OF_REGIONS(part);

enum {
	LONG = 200000
};

FIXTURE_SETUP(part)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, SESSION_OPTIONS(.arena_size = 65536),
			       SESSION_OPTIONS(.first_grant = 1 << 20)));
	self->far = &self->pair.far;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_MESSAGES, &self->near));
	self->buf = malloc(LONG);
	ASSERT_NE(NULL, self->buf);
}

FIXTURE_TEARDOWN(part)
{
	free(self->buf);
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

/* The far end is in no call, so no chunk comes back: stuck in the middle. */
static void check_times_out(struct __test_metadata *_metadata, struct shmux_stream *st, char *buf)
{
	memset(buf, 'x', LONG);
	ASSERT_EQ(0, shmux_stream_set_deadline(st, SHMUX_WRITE, shmux_now() + 10 * MSEC));
	EXPECT_EQ(-ETIMEDOUT, shmux_stream_write(st, buf, LONG));
	ASSERT_EQ(0, shmux_stream_set_deadline(st, SHMUX_WRITE, SHMUX_NEVER));
}

TEST_F(part, of_a_message_that_timed_out_is_never_read)
{
	check_times_out(_metadata, self->near, self->buf);

	check_far_has_no_more(_metadata, self->far);
	ASSERT_EQ(4, shmux_stream_write(self->near, "next", 4));
	check_far_gets(_metadata, self->far, "next");
	check_far_has_no_more(_metadata, self->far);
}

TEST_F(part, of_a_message_that_was_cancelled_is_never_read)
{
	struct long_write job = { self->near, self->buf, LONG };
	struct worker writer;

	memset(self->buf, 'x', LONG);
	worker_start(&writer, write_long, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	shmux_stream_unblock(self->near, SHMUX_WRITE);
	EXPECT_EQ(-ECANCELED, worker_join(&writer));

	ASSERT_EQ(4, shmux_stream_write(self->near, "next", 4));
	check_far_gets(_metadata, self->far, "next");
	check_far_has_no_more(_metadata, self->far);
}

TEST_F(part, of_a_message_before_the_end_is_never_read)
{
	char buf[8];

	check_times_out(_metadata, self->near, self->buf);
	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));

	EXPECT_EQ(-ENODATA, far_read(self->far, buf, sizeof(buf)));
}

TEST_F(part, of_a_message_that_was_given_up_costs_no_credit_for_ever)
{
	struct bulk bulk = { .len = LONG, .piece = LONG, .seed = 2 };

	for (int i = 0; i < 20; i++) {
		check_times_out(_metadata, self->near, self->buf);
		check_far_has_no_more(_metadata, self->far);
	}

	far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_WRITE, shmux_now() + LONG_ENOUGH));
	EXPECT_EQ(LONG, bulk_write(self->near, &bulk));
	EXPECT_EQ(LONG, far_finish(self->far, NULL));
}

/* The first message is all 'x', of LONG bytes. */
static int64_t side_read_long(struct side *side)
{
	char *buf = malloc(LONG);
	ssize_t n = shmux_stream_read(side->stream, buf, LONG), i = 0;

	while (i < n && buf[i] == 'x')
		i++;
	free(buf);
	SIDE_EQ(n, i);
	return n;
}

struct submission {
	struct shmux_stream *st;
	struct shmux_span span;
};

static int64_t submit_four(void *arg)
{
	struct submission *submission = arg;

	return shmux_stream_submit(submission->st, &submission->span, 4, 0);
}

TEST_F(part, of_a_long_message_is_not_mixed_with_another_threads_submit)
{
	struct long_write job = { self->near, self->buf, LONG };
	struct submission next = { .st = self->near };
	struct worker writer, submitter;

	ASSERT_EQ(0, shmux_stream_reserve(self->near, 4, &next.span, 0));
	memcpy(next.span.data, "next", 4);
	memset(self->buf, 'x', LONG);
	worker_start(&writer, write_long, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	worker_start(&submitter, submit_four, &next);
	ASSERT_TRUE(worker_wait_blocked(&submitter));

	EXPECT_EQ(LONG, far_run(self->far, side_read_long));
	EXPECT_EQ(LONG, worker_join(&writer));
	EXPECT_EQ(4, worker_join(&submitter));
	check_far_gets(_metadata, self->far, "next");
	check_far_has_no_more(_metadata, self->far);
}

TEST_F(part, of_a_long_message_is_not_mixed_with_another_threads_message)
{
	struct long_write job = { self->near, self->buf, LONG };
	struct long_write other = { self->near, "next", 4 };
	struct worker writer, second;

	memset(self->buf, 'x', LONG);
	worker_start(&writer, write_long, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	EXPECT_EQ(-EAGAIN, shmux_stream_try_write(self->near, "now?", 4));
	worker_start(&second, write_long, &other);
	ASSERT_TRUE(worker_wait_blocked(&second));

	EXPECT_EQ(LONG, far_run(self->far, side_read_long));
	EXPECT_EQ(LONG, worker_join(&writer));
	EXPECT_EQ(4, worker_join(&second));
	check_far_gets(_metadata, self->far, "next");
	check_far_has_no_more(_metadata, self->far);
}

FIXTURE(tight)
{
	struct pair pair;
	struct shmux_stream *near[4];
};

PAIR_VARIANTS_OF_REGIONS(tight);

enum {
	TIGHT_LEN = 60000
};

/* A budget for one of the longest messages, not for two. */
FIXTURE_SETUP(tight)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, NULL,
			       SESSION_OPTIONS(.window = 65536, .budget = 100000,
					       .message_max = TIGHT_LEN, .streams_max = 4)));
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_MESSAGES, &self->near[i]));
}

FIXTURE_TEARDOWN(tight)
{
	for (int i = 0; i < 4; i++)
		shmux_stream_close(self->near[i]);
	PAIR_TEARDOWN(&self->pair);
}

static int64_t side_read_tight(struct side *side)
{
	size_t number = *(const size_t *)side->in;
	static char buf[TIGHT_LEN];

	return shmux_stream_read(number < side->nr_streams ? side->streams[number] : side->stream,
				 buf, sizeof(buf));
}

static int64_t write_tight(void *arg)
{
	static const char buf[TIGHT_LEN];

	return shmux_stream_write(arg, buf, sizeof(buf));
}

TEST_F(tight, longest_messages_go_on_one_stream_after_the_other)
{
	struct worker writer;

	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < 4; i++) {
			worker_start(&writer, write_tight, self->near[i]);
			EXPECT_EQ(TIGHT_LEN, far_call(&self->pair.far, side_read_tight, &i,
						      sizeof(i), NULL, 0));
			EXPECT_EQ(TIGHT_LEN, worker_join(&writer));
		}
	}
}

/* Read of each stream one message, in the order in which they come. */
static int64_t side_read_all(struct side *side)
{
	static char buf[TIGHT_LEN];
	bool done[4] = { false };
	struct shmux_stream *st;
	size_t nr_done = 0;
	ssize_t n;

	while (nr_done < 4) {
		for (size_t i = 0; i < 4; i++) {
			st = i < side->nr_streams ? side->streams[i] : side->stream;
			n = done[i] ? -EAGAIN : shmux_stream_try_read(st, buf, sizeof(buf));
			if (n == -EAGAIN)
				continue;
			SIDE_EQ(TIGHT_LEN, n);
			done[i] = true;
			nr_done++;
		}
	}
	return 4;
}

TEST_F(tight, who_gave_up_waiting_for_credit_keeps_none_from_others)
{
	struct worker writer;
	size_t i;

	/* One message lies unread, so that there is nothing for the next. */
	worker_start(&writer, write_tight, self->near[0]);
	EXPECT_TRUE(wait_until(far_pump(&self->pair.far) >= 0 && worker_is_done(&writer)));
	EXPECT_EQ(TIGHT_LEN, worker_join(&writer));
	shmux_stream_set_deadline(self->near[1], SHMUX_WRITE, shmux_now() + 1000000);
	EXPECT_EQ(-ETIMEDOUT, write_tight(self->near[1]));
	shmux_stream_set_deadline(self->near[1], SHMUX_WRITE, SHMUX_NEVER);

	i = 0;
	EXPECT_EQ(TIGHT_LEN, far_call(&self->pair.far, side_read_tight, &i, sizeof(i), NULL, 0));
	for (i = 2; i < 4; i++) {
		worker_start(&writer, write_tight, self->near[i]);
		EXPECT_EQ(TIGHT_LEN,
			  far_call(&self->pair.far, side_read_tight, &i, sizeof(i), NULL, 0));
		EXPECT_EQ(TIGHT_LEN, worker_join(&writer));
	}
	/* Nor is it left without for good. */
	i = 1;
	worker_start(&writer, write_tight, self->near[1]);
	EXPECT_EQ(TIGHT_LEN, far_call(&self->pair.far, side_read_tight, &i, sizeof(i), NULL, 0));
	EXPECT_EQ(TIGHT_LEN, worker_join(&writer));
}

TEST_F(tight, longest_messages_of_all_streams_at_once_take_turns)
{
	struct worker writers[4];

	for (int i = 0; i < 4; i++)
		worker_start(&writers[i], write_tight, self->near[i]);
	EXPECT_EQ(4, far_run(&self->pair.far, side_read_all));
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(TIGHT_LEN, worker_join(&writers[i]));
}

TEST_HARNESS_MAIN
