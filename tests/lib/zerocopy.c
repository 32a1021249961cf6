// SPDX-License-Identifier: LGPL-2.1-or-later
/* zerocopy.c - bytes written and read where they lie */
#include <errno.h>

#include "harness.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define KIB 1024u
#define MIB (1024u * KIB)

FIXTURE(zerocopy)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *near;
};

PAIR_VARIANTS_OF_REGIONS(zerocopy);

FIXTURE_SETUP(zerocopy)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, NULL, NULL));
	self->far = &self->pair.far;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
}

FIXTURE_TEARDOWN(zerocopy)
{
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

static void check_far_reads(struct __test_metadata *_metadata, struct far *far, const char *text)
{
	size_t len = strlen(text);
	char buf[256] = "";

	ASSERT_EQ((ssize_t)len, far_recv(far, buf, len, SHMUX_WAITALL));
	EXPECT_STREQ(text, buf);
	EXPECT_EQ(-EAGAIN, far_try_read(far, buf, 1));
}

/* A span with @text in it. */
static struct shmux_span span_of(struct __test_metadata *_metadata, struct shmux_stream *st,
				 const char *text)
{
	struct shmux_span span;

	ASSERT_EQ(0, shmux_stream_reserve(st, strlen(text), &span, 0));
	ASSERT_LE(strlen(text), span.size);
	memcpy(span.data, text, strlen(text));
	return span;
}

/* Nothing of our arena is in use any more, once the peer's news have been heard. */
static void check_arena_is_free(struct __test_metadata *_metadata, struct shmux_session *session)
{
	EXPECT_TRUE(wait_until(session_pump(session) >= 0 &&
			       !session_counters(session).arena_used &&
			       !session_counters(session).chunks_lent));
}

/* Let the far side write @len bytes of pattern; ended by side_bulk_write. */
static void begin_far_bulk(struct far *far, uint64_t len, size_t piece)
{
	struct bulk bulk = { .len = len, .piece = piece, .seed = 3 };

	far_begin(far, side_bulk_write, &bulk, sizeof(bulk), 0);
}

TEST_F(zerocopy, submitted_bytes_arrive)
{
	struct shmux_span span = span_of(_metadata, self->near, "hello");

	ASSERT_EQ(5, shmux_stream_submit(self->near, &span, 5, 0));

	EXPECT_EQ(NULL, span.data);
	EXPECT_EQ(0, span.size);
	check_far_reads(_metadata, self->far, "hello");
}

TEST_F(zerocopy, less_than_was_reserved_may_be_submitted)
{
	struct shmux_span span;

	ASSERT_EQ(0, shmux_stream_reserve(self->near, 100, &span, 0));
	memcpy(span.data, "abc", 3);
	ASSERT_EQ(3, shmux_stream_submit(self->near, &span, 3, 0));

	check_far_reads(_metadata, self->far, "abc");
}

TEST_F(zerocopy, submitting_nothing_sends_nothing)
{
	struct shmux_span span = span_of(_metadata, self->near, "hello");
	char buf[8];

	ASSERT_EQ(0, shmux_stream_submit(self->near, &span, 0, 0));

	EXPECT_EQ(-EAGAIN, far_try_read(self->far, buf, sizeof(buf)));
	check_arena_is_free(_metadata, self->pair.session);
}

TEST_F(zerocopy, more_than_was_reserved_is_refused_and_the_span_is_given_back)
{
	struct shmux_span span = span_of(_metadata, self->near, "hello");
	char buf[8];

	EXPECT_EQ(-EINVAL, shmux_stream_submit(self->near, &span, span.size + 1, 0));

	EXPECT_EQ(NULL, span.data);
	EXPECT_EQ(-EAGAIN, far_try_read(self->far, buf, sizeof(buf)));
	check_arena_is_free(_metadata, self->pair.session);
}

TEST_F(zerocopy, cancelled_span_sends_nothing)
{
	struct shmux_span span = span_of(_metadata, self->near, "hello");
	char buf[8];

	shmux_stream_cancel(self->near, &span);

	EXPECT_EQ(NULL, span.data);
	EXPECT_EQ(-EAGAIN, far_try_read(self->far, buf, sizeof(buf)));
	ASSERT_EQ(4, shmux_stream_write(self->near, "next", 4));
	check_far_reads(_metadata, self->far, "next");
}

TEST_F(zerocopy, cancelling_gives_room_and_credit_back)
{
	struct shmux_span span;

	ASSERT_EQ(0, shmux_stream_reserve(self->near, 200, &span, SHMUX_NOWAIT));
	shmux_stream_cancel(self->near, &span);
	for (int i = 0; i < 100000; i++) {
		ASSERT_EQ(0, shmux_stream_reserve(self->near, 200, &span, SHMUX_NOWAIT));
		shmux_stream_cancel(self->near, &span);
	}
	check_arena_is_free(_metadata, self->pair.session);
}

TEST_F(zerocopy, several_spans_arrive_in_the_order_of_their_submission)
{
	struct shmux_span one = span_of(_metadata, self->near, "one ");
	struct shmux_span two = span_of(_metadata, self->near, "two ");
	struct shmux_span three = span_of(_metadata, self->near, "three ");

	ASSERT_EQ(6, shmux_stream_submit(self->near, &three, 6, 0));
	ASSERT_EQ(4, shmux_stream_submit(self->near, &one, 4, 0));
	ASSERT_EQ(4, shmux_stream_submit(self->near, &two, 4, 0));

	check_far_reads(_metadata, self->far, "three one two ");
}

TEST_F(zerocopy, held_span_does_not_hold_up_a_write)
{
	struct shmux_span span = span_of(_metadata, self->near, "later");

	ASSERT_EQ(5, shmux_stream_write(self->near, "first", 5));
	check_far_reads(_metadata, self->far, "first");
	ASSERT_EQ(5, shmux_stream_submit(self->near, &span, 5, 0));
	check_far_reads(_metadata, self->far, "later");
}

TEST_F(zerocopy, submit_may_carry_the_half_close)
{
	struct shmux_span span = span_of(_metadata, self->near, "last");
	char buf[8] = "";

	ASSERT_EQ(4, shmux_stream_submit(self->near, &span, 4, SHMUX_FIN));

	EXPECT_EQ(4, far_recv(self->far, buf, sizeof(buf), SHMUX_WAITALL));
	EXPECT_STREQ("last", buf);
	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
	EXPECT_EQ(-EPIPE, shmux_stream_reserve(self->near, 1, &span, 0));
}

TEST_F(zerocopy, submit_with_more_is_published_with_the_next)
{
	struct shmux_span span = span_of(_metadata, self->near, "one ");
	char buf[8];

	ASSERT_EQ(4, shmux_stream_submit(self->near, &span, 4, SHMUX_MORE));
	EXPECT_EQ(-EAGAIN, far_try_read(self->far, buf, sizeof(buf)));
	span = span_of(_metadata, self->near, "two");
	ASSERT_EQ(3, shmux_stream_submit(self->near, &span, 3, 0));

	check_far_reads(_metadata, self->far, "one two");
}

TEST_F(zerocopy, span_submitted_after_the_half_close_is_epipe)
{
	struct shmux_span span = span_of(_metadata, self->near, "late");
	char buf[8];

	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));

	EXPECT_EQ(-EPIPE, shmux_stream_submit(self->near, &span, 4, 0));
	EXPECT_EQ(NULL, span.data);
	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
	check_arena_is_free(_metadata, self->pair.session);
}

TEST_F(zerocopy, span_submitted_after_a_reset_is_econnreset)
{
	struct shmux_span span = span_of(_metadata, self->near, "late");

	ASSERT_EQ(0, far_reset(self->far, SHMUX_CODE_USER));

	EXPECT_EQ(-ECONNRESET, shmux_stream_submit(self->near, &span, 4, 0));
	EXPECT_EQ(NULL, span.data);
	check_arena_is_free(_metadata, self->pair.session);
}

TEST_F(zerocopy, reserving_too_much_is_emsgsize)
{
	struct shmux_span span;
	size_t max = shmux_stream_reserve_max(self->near);

	EXPECT_LE(4 * KIB, max);
	EXPECT_EQ(-EMSGSIZE, shmux_stream_reserve(self->near, max + 1, &span, 0));
	EXPECT_EQ(-EMSGSIZE, shmux_stream_reserve(self->near, SIZE_MAX, &span, 0));
}

TEST_F(zerocopy, reserving_nothing_is_refused)
{
	struct shmux_span span;

	EXPECT_EQ(-EINVAL, shmux_stream_reserve(self->near, 0, &span, 0));
}

TEST_F(zerocopy, unknown_flags_are_refused)
{
	struct shmux_span span;
	struct shmux_view view;

	EXPECT_EQ(-EINVAL, shmux_stream_reserve(self->near, 1, &span, 0x80));
	EXPECT_EQ(-EINVAL, shmux_stream_take(self->near, &view, 0x80 | SHMUX_NOWAIT));
	span = span_of(_metadata, self->near, "x");
	EXPECT_EQ(-EINVAL, shmux_stream_submit(self->near, &span, 1, 0x80));
}

/* Write @len bytes of pattern in spans of @piece bytes. */
static int64_t submit_bulk(struct shmux_stream *st, uint64_t len, size_t piece)
{
	struct shmux_span span;
	uint64_t done = 0;

	while (done < len) {
		size_t n = len - done < piece ? len - done : piece;

		SIDE_EQ(0, shmux_stream_reserve(st, n, &span, 0));
		SIDE_TRUE(span.size >= n);
		pattern_fill(span.data, n, done, 3);
		SIDE_EQ(n, shmux_stream_submit(st, &span, n, 0));
		done += n;
	}
	return (int64_t)done;
}

TEST_F(zerocopy, as_much_as_the_limit_can_be_reserved)
{
	size_t max = shmux_stream_reserve_max(self->near);
	struct bulk bulk = { .len = max, .piece = 65536, .seed = 3 };

	far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);
	EXPECT_EQ((int64_t)max, submit_bulk(self->near, max, max));

	EXPECT_EQ((int64_t)max, far_finish(self->far, NULL));
}

TEST_F(zerocopy, content_survives_in_spans_of_every_length)
{
	static const size_t pieces[] = { 1, 48, 57, 117, 500, 4096, 4097, 30000, 65536 };
	struct bulk bulk = { .piece = 65536, .seed = 3 };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		bulk.len = pieces[i] * 100;
		far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);
		EXPECT_EQ((int64_t)bulk.len, submit_bulk(self->near, bulk.len, pieces[i]));
		ASSERT_EQ((int64_t)bulk.len, far_finish(self->far, NULL));
	}
	check_arena_is_free(_metadata, self->pair.session);
}

TEST_F(zerocopy, reserve_without_waiting_is_eagain_when_credit_is_out)
{
	struct shmux_span span;
	int ret, nr = 0;

	do {
		ret = shmux_stream_reserve(self->near, 1000, &span, SHMUX_NOWAIT);
		if (!ret) {
			ASSERT_EQ(1000, shmux_stream_submit(self->near, &span, 1000, 0));
		}
		ASSERT_GT(100000, nr++);
	} while (!ret);

	EXPECT_EQ(-EAGAIN, ret);
}

TEST_F(zerocopy, blocked_reserve_times_out)
{
	struct shmux_span span;

	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_WRITE, shmux_now() + 20 * MSEC));

	EXPECT_EQ(-ETIMEDOUT,
		  shmux_stream_reserve(self->near, shmux_stream_reserve_max(self->near), &span, 0));
	check_arena_is_free(_metadata, self->pair.session);
}

TEST_F(zerocopy, taken_bytes_are_those_that_were_written)
{
	struct shmux_view view;

	ASSERT_EQ(5, far_write(self->far, "hello", 5));

	ASSERT_EQ(5, shmux_stream_take(self->near, &view, 0));
	EXPECT_EQ(5, view.len);
	EXPECT_EQ(0, memcmp(view.data, "hello", 5));
	shmux_stream_release(self->near, &view);
	EXPECT_EQ(NULL, view.data);
	EXPECT_EQ(0, view.len);
}

TEST_F(zerocopy, take_of_nothing_is_eagain_and_zero_at_the_end)
{
	struct shmux_view view;

	EXPECT_EQ(-EAGAIN, shmux_stream_take(self->near, &view, SHMUX_NOWAIT));
	ASSERT_EQ(0, far_shutdown(self->far, SHMUX_WRITE));

	EXPECT_EQ(0, shmux_stream_take(self->near, &view, 0));
	EXPECT_EQ(0, shmux_stream_take(self->near, &view, SHMUX_NOWAIT));
}

TEST_F(zerocopy, reading_goes_on_after_what_was_taken)
{
	struct shmux_view view;
	char buf[8] = "";

	ASSERT_EQ(5, far_write(self->far, "taken", 5));
	ASSERT_EQ(5, shmux_stream_take(self->near, &view, 0));
	ASSERT_EQ(4, far_write(self->far, "read", 4));

	EXPECT_EQ(4, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("read", buf);
	EXPECT_EQ(0, memcmp(view.data, "taken", 5));
	shmux_stream_release(self->near, &view);
}

TEST_F(zerocopy, taking_goes_on_after_what_was_read)
{
	struct shmux_view view;
	char buf[8] = "";

	ASSERT_EQ(10, far_write(self->far, "readtaken.", 10));

	ASSERT_EQ(4, shmux_stream_read(self->near, buf, 4));
	EXPECT_STREQ("read", buf);
	ASSERT_EQ(6, shmux_stream_take(self->near, &view, 0));
	EXPECT_EQ(0, memcmp(view.data, "taken.", 6));
	shmux_stream_release(self->near, &view);
}

/* Take everything, hold up to @hold views, release them in a scattered order. */
static void check_taken(struct __test_metadata *_metadata, struct shmux_stream *st, uint64_t len,
			size_t hold)
{
	struct {
		struct shmux_view view;
		uint64_t position;
	} held[16];
	uint64_t random = 1, taken = 0;
	size_t nr = 0, i;

	while (taken < len || nr) {
		if (taken < len && nr < hold) {
			ASSERT_LT(0, shmux_stream_take(st, &held[nr].view, 0));
			held[nr].position = taken;
			taken += held[nr++].view.len;
			continue;
		}
		i = random_between(&random, 0, (uint32_t)nr - 1);
		ASSERT_EQ(-1, pattern_check(held[i].view.data, held[i].view.len, held[i].position,
					    3));
		shmux_stream_release(st, &held[i].view);
		held[i] = held[--nr];
	}
	ASSERT_EQ(len, taken);
}

TEST_F(zerocopy, several_views_can_be_held_and_released_in_any_order)
{
	static const size_t pieces[] = { 40, 500, 5000, 65536 };

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		begin_far_bulk(self->far, 2 * MIB, pieces[i]);
		check_taken(_metadata, self->near, 2 * MIB, 5);
		ASSERT_EQ(2 * MIB, far_finish(self->far, NULL));
	}
}

static int64_t side_arena_is_free(struct side *side)
{
	SIDE_TRUE(wait_until(session_pump(side->session) >= 0 &&
			     !session_counters(side->session).arena_used &&
			     !session_counters(side->session).chunks_lent));
	return 0;
}

TEST_F(zerocopy, released_chunks_go_back_to_their_owner)
{
	begin_far_bulk(self->far, 8 * MIB, 65536);
	check_taken(_metadata, self->near, 8 * MIB, 3);
	ASSERT_EQ(8 * MIB, far_finish(self->far, NULL));

	EXPECT_EQ(0, far_run(self->far, side_arena_is_free));
}

static int64_t side_look(struct side *side)
{
	return shmux_session_state(side->session) == SHMUX_SESSION_DEAD;
}

/* Sent, but not yet seen when the reader gives the stream up by @how. */
static void check_crossing(struct __test_metadata *_metadata, FIXTURE_DATA(zerocopy) *self,
			   int (*how)(struct far *far))
{
	struct shmux_span span;

	shmux_session_cork(self->pair.session);
	ASSERT_EQ(0, shmux_stream_reserve(self->near, 200, &span, 0));
	memset(span.data, 'x', 200);
	ASSERT_EQ(200, shmux_stream_submit(self->near, &span, 200, 0));
	ASSERT_EQ(1, session_counters(self->pair.session).chunks_lent);
	ASSERT_EQ(0, how(self->far));
	shmux_session_uncork(self->pair.session);

	ASSERT_EQ(0, far_run(self->far, side_look));
	check_arena_is_free(_metadata, self->pair.session);
}

static int stop_reading(struct far *far)
{
	return far_shutdown(far, SHMUX_READ);
}

static int reset(struct far *far)
{
	return far_reset(far, 7);
}

TEST_F(zerocopy, chunk_that_crosses_a_reset_goes_back_to_its_owner)
{
	check_crossing(_metadata, self, reset);
}

TEST_F(zerocopy, chunk_that_crosses_the_end_of_reading_goes_back_to_its_owner)
{
	check_crossing(_metadata, self, stop_reading);
}

TEST_F(zerocopy, who_holds_much_stalls_the_sender_until_the_release)
{
	enum { NR = 4096 };
	struct shmux_view *views = calloc(NR, sizeof(*views));
	static char buf[8192];
	uint64_t held = 0;
	int stalled = 0, nr = 0;

	/* Take all that comes, until nothing more comes. */
	while (stalled < 20 && held < 8 * MIB) {
		stalled = far_try_write(self->far, buf, sizeof(buf)) > 0 ? 0 : stalled + 1;
		while (nr < NR && shmux_stream_take(self->near, &views[nr], SHMUX_NOWAIT) > 0) {
			held += views[nr++].len;
		}
	}
	EXPECT_LT(0, held);
	EXPECT_LT(held, 8 * MIB);
	EXPECT_EQ(-EAGAIN, far_try_write(self->far, buf, 1));
	while (nr) {
		shmux_stream_release(self->near, &views[--nr]);
	}
	free(views);

	EXPECT_TRUE(wait_until(far_try_write(self->far, buf, 1) == 1));
}

TEST_F(zerocopy, views_stay_readable_when_the_peer_has_died)
{
	struct shmux_view views[4];
	uint64_t position = 0;
	int nr = 0;

	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot die alone");
	begin_far_bulk(self->far, 100000, 50000);
	while (nr < 4 && position < 100000) {
		ASSERT_LT(0, shmux_stream_take(self->near, &views[nr], 0));
		position += views[nr++].len;
	}
	far_kill(self->far);

	position = 0;
	for (int i = 0; i < nr; i++) {
		EXPECT_EQ(-1, pattern_check(views[i].data, views[i].len, position, 3));
		position += views[i].len;
	}
	while (nr)
		shmux_stream_release(self->near, &views[--nr]);
}

TEST_F(zerocopy, peek_shows_bytes_and_consumes_none)
{
	const void *data;
	char buf[8] = "";

	ASSERT_EQ(5, far_write(self->far, "hello", 5));

	ASSERT_EQ(5, shmux_stream_peek(self->near, 5, &data));
	EXPECT_EQ(0, memcmp(data, "hello", 5));
	ASSERT_LE(2, shmux_stream_peek(self->near, 2, &data));
	EXPECT_EQ(0, memcmp(data, "he", 2));
	EXPECT_EQ(5, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
}

static int64_t peek_eight(void *arg)
{
	const void *data;
	ssize_t n = shmux_stream_peek(arg, 8, &data);

	return n >= 8 && !memcmp(data, "abcdefgh", 8) ? 8 : n;
}

TEST_F(zerocopy, peek_waits_for_as_many_bytes_as_asked)
{
	struct worker peeker;

	ASSERT_EQ(3, far_write(self->far, "abc", 3));
	worker_start(&peeker, peek_eight, self->near);
	ASSERT_TRUE(worker_wait_blocked(&peeker));
	ASSERT_EQ(5, far_write(self->far, "defgh", 5));

	EXPECT_EQ(8, worker_join(&peeker));
}

TEST_F(zerocopy, peek_joins_what_came_in_pieces)
{
	static const size_t pieces[] = { 1, 33, 700, 9000 };
	size_t max = shmux_stream_peek_max(self->near);
	const void *data;

	ASSERT_LE(4 * KIB, max);
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		begin_far_bulk(self->far, max, pieces[i]);
		ASSERT_LE((ssize_t)max, shmux_stream_peek(self->near, max, &data));
		EXPECT_EQ(-1, pattern_check(data, max, 0, 3));
		ASSERT_EQ((ssize_t)max, shmux_stream_discard(self->near, max));
		ASSERT_EQ((int64_t)max, far_finish(self->far, NULL));
	}
}

TEST_F(zerocopy, peek_moves_on_by_discard)
{
	const void *data;
	uint64_t position = 0;
	size_t step = 1;

	begin_far_bulk(self->far, 300000, 1111);
	while (position + 4096 <= 300000) {
		ASSERT_LE(4096, shmux_stream_peek(self->near, 4096, &data));
		ASSERT_EQ(-1, pattern_check(data, 4096, position, 3));
		ASSERT_EQ((ssize_t)step, shmux_stream_discard(self->near, step));
		position += step;
		step = step * 5 % 4093 + 1;
	}
	ASSERT_EQ((ssize_t)(300000 - position),
		  shmux_stream_discard(self->near, 300000 - position));
	EXPECT_EQ(300000, far_finish(self->far, NULL));
}

TEST_F(zerocopy, peek_at_the_end_shows_what_is_left)
{
	const void *data;

	ASSERT_EQ(3, far_send(self->far, "abc", 3, SHMUX_FIN));

	ASSERT_EQ(3, shmux_stream_peek(self->near, 8, &data));
	EXPECT_EQ(0, memcmp(data, "abc", 3));
	EXPECT_EQ(3, shmux_stream_discard(self->near, 8));
	EXPECT_EQ(0, shmux_stream_peek(self->near, 8, &data));
	EXPECT_EQ(0, shmux_stream_discard(self->near, 8));
}

TEST_F(zerocopy, peek_that_times_out_loses_nothing)
{
	const void *data;
	char buf[8] = "";

	ASSERT_EQ(3, far_write(self->far, "abc", 3));
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, shmux_now() + 20 * MSEC));

	EXPECT_EQ(-ETIMEDOUT, shmux_stream_peek(self->near, 8, &data));
	EXPECT_EQ(3, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("abc", buf);
}

TEST_F(zerocopy, peek_of_nothing_or_too_much_is_refused)
{
	const void *data;

	EXPECT_EQ(-EINVAL, shmux_stream_peek(self->near, 0, &data));
	EXPECT_EQ(-EINVAL,
		  shmux_stream_peek(self->near, shmux_stream_peek_max(self->near) + 1, &data));
}

TEST_F(zerocopy, discard_waits_for_bytes_that_are_still_to_come)
{
	char buf[8] = "";

	begin_far_bulk(self->far, 4 * MIB, 30000);
	ASSERT_EQ(4 * MIB - 3, shmux_stream_discard(self->near, 4 * MIB - 3));
	ASSERT_EQ(4 * MIB, far_finish(self->far, NULL));

	EXPECT_EQ(3, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_EQ(-1, pattern_check(buf, 3, 4 * MIB - 3, 3));
}

TEST_F(zerocopy, unread_chunks_are_copied_away_when_the_senders_arena_runs_low)
{
	struct shmux_stream *others[24], *reader;
	struct bulk bulk = { .len = 65536, .piece = 65536, .seed = 3 };
	char *buf = malloc(512 * KIB);

	/* Streams that nobody reads fill the arena; one that is read goes on. */
	pattern_fill(buf, 512 * KIB, 0, 3);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &others[i]));
		/* The far end grants more as it takes note. */
		for (size_t sent = 0, tries = 0; sent < 512 * KIB && tries < 50; tries++) {
			ssize_t n = shmux_stream_try_write(others[i], buf + sent, 512 * KIB - sent);

			if (n > 0)
				sent += (size_t)n;
			far_pump(self->far);
		}
	}
	free(buf);
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &reader));
	far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);
	EXPECT_EQ(65536, bulk_write(reader, &bulk));
	EXPECT_EQ(65536, far_finish(self->far, NULL));
	shmux_stream_close(reader);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		shmux_stream_close(others[i]);
}

TEST_HARNESS_MAIN
