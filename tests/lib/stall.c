// SPDX-License-Identifier: LGPL-2.1-or-later
/* stall.c - streams that nobody reads: whom they hold up, and how much they hold */
#include <errno.h>
#include <poll.h>

#include "effort.h"
#include "harness.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define KIB 1024u
#define WINDOW (256 * KIB) /* the least that yamux has */
#define BUDGET (2048 * KIB)

FIXTURE(stall)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *near; /* the one that is read */
};

PAIR_VARIANTS(stall);

FIXTURE_SETUP(stall)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, NULL,
			       SESSION_OPTIONS(.window = WINDOW, .budget = BUDGET,
					       .streams_max = 200)));
	self->far = &self->pair.far;
}

FIXTURE_TEARDOWN(stall)
{
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

/* Write until the peer gives no more credit, however often it takes note. */
static uint64_t fill(struct far *far, struct shmux_stream *st)
{
	static char buf[16 * KIB];
	uint64_t taken = 0;
	int tries = 0;

	while (tries < 5) {
		ssize_t n = shmux_stream_try_write(st, buf, sizeof(buf));

		if (n > 0) {
			taken += (uint64_t)n;
			tries = 0;
			continue;
		}
		far_pump(far);
		tries++;
	}
	return taken;
}

/* What the far end holds and has promised to hold is bounded. */
static void check_bounded(struct __test_metadata *_metadata, const FIXTURE_VARIANT(stall) * variant,
			  struct far *far)
{
	struct shmux_session_counters counters;

	ASSERT_EQ(0, far_counters(far, &counters));
	EXPECT_LE(counters.rx_queued, BUDGET);
	/* What yamux itself grants is not asked for. */
	if (!pair_is_yamux(variant->kind))
		EXPECT_LE(counters.granted, BUDGET);
	EXPECT_LE(counters.rx_queued, counters.granted);
}

static void check_echoes(struct __test_metadata *_metadata, struct far *far,
			 struct shmux_stream *near, int rounds)
{
	char buf[64];

	for (int i = 0; i < rounds; i++) {
		pattern_fill(buf, sizeof(buf), (uint64_t)i * 64, 1);
		ASSERT_EQ(64, shmux_stream_write(near, buf, sizeof(buf)));
		ASSERT_EQ(64, far_recv(far, buf, sizeof(buf), SHMUX_WAITALL));
		ASSERT_EQ(-1, pattern_check(buf, sizeof(buf), (uint64_t)i * 64, 1));
		ASSERT_EQ(64, far_write(far, buf, sizeof(buf)));
		ASSERT_EQ(64, shmux_stream_read(near, buf, sizeof(buf)));
	}
}

TEST_F(stall, one_stream_takes_no_more_than_its_window)
{
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));

	EXPECT_LE(fill(self->far, self->near), WINDOW);
	check_bounded(_metadata, variant, self->far);
}

TEST_F(stall, stream_that_nobody_reads_holds_up_no_other)
{
	struct shmux_stream *stalled;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &stalled));
	EXPECT_LT(0, fill(self->far, stalled));
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));

	check_echoes(_metadata, self->far, self->near, 200);
	shmux_stream_close(stalled);
}

static int64_t side_read_oldest(struct side *side)
{
	return bulk_read(side->streams[0], side->in);
}

/* It has taken in all that it has granted: what stops the writer is credit, not the kernel. */
static bool has_taken_all(struct far *far)
{
	struct shmux_session_counters counters;

	return far_pump(far) >= 0 && !far_counters(far, &counters) && counters.rx_queued >= WINDOW;
}

TEST_F(stall, blocked_writer_of_one_stream_holds_up_no_other)
{
	struct bulk bulk = { .len = 4 * WINDOW, .piece = 4 * WINDOW, .seed = 1 };
	struct bulk_job job = { .bulk = bulk };
	struct worker writer;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &job.st));
	worker_start(&writer, bulk_write_job, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	if (pair_is_yamux(variant->kind))
		ASSERT_TRUE(wait_until(has_taken_all(self->far)));
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	check_echoes(_metadata, self->far, self->near, 200);
	EXPECT_FALSE(worker_is_done(&writer));

	/* It goes on when it is read at last. */
	EXPECT_EQ(4 * WINDOW, far_call(self->far, side_read_oldest, &bulk, sizeof(bulk), NULL, 0));
	EXPECT_EQ(4 * WINDOW, worker_join(&writer));
	shmux_stream_close(job.st);
}

TEST_F(stall, many_stalled_streams_stay_within_the_budget)
{
	struct shmux_stream *stalled[100];
	uint64_t taken = 0;

	for (size_t i = 0; i < ARRAY_SIZE(stalled); i++) {
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &stalled[i]));
		taken += fill(self->far, stalled[i]);
		check_bounded(_metadata, variant, self->far);
	}
	/* Over yamux it cannot be: who sends more than that is reset. */
	if (!pair_is_yamux(variant->kind))
		EXPECT_LE(taken, BUDGET);

	/* A new one still has its first grant. */
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	check_echoes(_metadata, self->far, self->near, 200);
	check_bounded(_metadata, variant, self->far);
	for (size_t i = 0; i < ARRAY_SIZE(stalled); i++)
		shmux_stream_close(stalled[i]);
}

static int64_t side_close_others(struct side *side)
{
	for (size_t i = 0; i < side->nr_streams; i++)
		shmux_stream_close(side->streams[i]);
	side->nr_streams = 0;
	return 0;
}

TEST_F(stall, budget_comes_back_when_the_stalled_streams_are_closed)
{
	struct shmux_session_counters counters;
	struct shmux_stream *stalled[20];
	uint64_t first = 0, again = 0;

	for (int round = 0; round < 3; round++) {
		again = 0;
		for (size_t i = 0; i < ARRAY_SIZE(stalled); i++) {
			ASSERT_EQ(0, pair_open_stream(&self->pair, 0, &stalled[i]));
			again += fill(self->far, stalled[i]);
		}
		if (!round)
			first = again;
		for (size_t i = 0; i < ARRAY_SIZE(stalled); i++)
			shmux_stream_close(stalled[i]);
		far_close(self->far);
		far_run(self->far, side_close_others);
		ASSERT_TRUE(wait_until(
			session_pump(self->pair.session) >= 0 && far_pump(self->far) >= 0 &&
			!far_counters(self->far, &counters) && !counters.streams_open));
		EXPECT_EQ(0, counters.rx_queued);
		EXPECT_EQ(0, counters.granted);
	}
	EXPECT_LE(first * 9 / 10, again);
}

static uint64_t far_granted(struct far *far)
{
	struct shmux_session_counters counters;

	far_pump(far);
	return far_counters(far, &counters) ? UINT64_MAX : counters.granted;
}

TEST_F(stall, bytes_that_cross_the_end_of_reading_are_charged_to_nobody_in_the_end)
{
	static const char some[200];

	for (int reset = 0; reset < 2; reset++) {
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
		shmux_session_cork(self->pair.session);
		ASSERT_EQ(200, shmux_stream_write(self->near, some, sizeof(some)));
		ASSERT_EQ(0, reset ? far_reset(self->far, 7) : far_shutdown(self->far, SHMUX_READ));
		shmux_session_uncork(self->pair.session);
		ASSERT_LE(0, far_pump(self->far));

		shmux_stream_close(self->near);
		self->near = NULL;
		far_close(self->far);
		EXPECT_TRUE(wait_until(!far_granted(self->far)));
	}
}

TEST_F(stall, smallest_writes_stay_within_the_window)
{
	uint64_t nr = 0;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	for (int tries = 0; tries < 5;) {
		if (shmux_stream_try_write(self->near, "x", 1) == 1) {
			nr++;
			tries = 0;
		} else {
			far_pump(self->far);
			tries++;
		}
	}
	EXPECT_LT(0, nr);
	EXPECT_LE(nr, WINDOW);
	check_bounded(_metadata, variant, self->far);
}

TEST_F(stall, smallest_messages_are_charged_for_the_memory_they_take)
{
	uint64_t nr = 0;
	char byte;

	NOT_OVER_YAMUX("carries no messages");
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_MESSAGES, &self->near));
	for (int tries = 0; tries < 5;) {
		if (shmux_stream_try_write(self->near, "", 0) == 0) {
			nr++;
			tries = 0;
		} else {
			far_pump(self->far);
			tries++;
		}
		ASSERT_LE(nr, WINDOW / 64);
	}
	EXPECT_LT(0, nr);
	for (uint64_t i = 0; i < nr; i++) {
		ASSERT_EQ(0, far_read(self->far, &byte, 1));
	}
	EXPECT_EQ(-EAGAIN, far_try_read(self->far, &byte, 1));
}

static int64_t side_rss(struct side *side)
{
	(void)side;
	return process_rss();
}

TEST_F(stall, unread_bytes_of_streams_that_have_ended_take_no_more_than_the_budget)
{
	enum {
		LEN = 300
	};
	const int nr = (int)effort_count(4000);
	const uint64_t budget = 4096 * KIB;
	char buf[LEN] = "";
	struct iovec iov = { .iov_base = buf, .iov_len = 1 };
	struct shmux_stream *st;
	struct pair pair;
	int64_t before, growth;

	if (variant->kind == PAIR_SAME_PROCESS || process_is_sanitized())
		SKIP(return, "only a process of its own has a memory of its own");
	ASSERT_EQ(0, pair_open(&pair, variant->kind, NULL,
			       SESSION_OPTIONS(.budget = budget, .first_grant = 512,
					       .streams_max = 8000)));
	before = far_run(&pair.far, side_rss);
	for (int i = 0; i < nr; i++) {
		ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st));
		/* Little by little, so that it needs more than one buffer. */
		ASSERT_EQ(1, shmux_stream_write(st, buf, 1));
		iov.iov_len = LEN - 1;
		ASSERT_EQ(LEN - 1, shmux_stream_send(st, &iov, 1, SHMUX_FIN));
		shmux_stream_close(st);
		far_pump(&pair.far);
	}
	growth = far_run(&pair.far, side_rss) - before;
	EXPECT_LE(growth, (int64_t)budget * 3 / 2)
	{
		TH_LOG("%lld KiB for %d KiB", (long long)growth / KIB, nr * LEN / 1024);
	}
	EXPECT_EQ(0, pair_close(&pair));
}

static int64_t side_accept_if_any(struct side *side)
{
	struct shmux_stream *st;

	while (!shmux_session_accept(side->session, SHMUX_NOWAIT, &st))
		side_add(side, st);
	return 0;
}

TEST_F(stall, streams_that_have_ended_unread_keep_new_ones_out_once_the_budget_is_used)
{
	enum {
		BUDGET_OF_FEW = 16 * KIB
	};
	struct shmux_session_counters counters = { 0 };
	uint32_t code = 0;
	struct pair pair;
	int i;

	NOT_OVER_YAMUX("resets who sends what there is no budget for");
	ASSERT_EQ(0, pair_open(&pair, variant->kind, NULL,
			       SESSION_OPTIONS(.budget = BUDGET_OF_FEW, .window = 4096,
					       .message_max = 4096, .first_grant = 512,
					       .streams_max = 8)));
	for (i = 0; i < 100 && !code; i++) {
		static const char some[500];
		struct shmux_stream *st;

		ASSERT_EQ(0, shmux_session_open(pair.session, 0, &st));
		shmux_stream_try_write(st, some, sizeof(some));
		far_run(&pair.far, side_accept_if_any);
		shmux_session_state(pair.session);
		shmux_stream_reset_code(st, &code);
		shmux_stream_close(st);
		ASSERT_EQ(0, far_counters(&pair.far, &counters));
		ASSERT_LE(counters.granted, BUDGET_OF_FEW);
	}
	EXPECT_EQ(SHMUX_CODE_LIMIT, code);
	EXPECT_LT(BUDGET_OF_FEW / 512 / 2, i);
	EXPECT_EQ(0, pair_close(&pair));
}

TEST_F(stall, writer_counts_its_stalls)
{
	struct shmux_session_counters counters;
	struct bulk bulk = { .len = 4 * WINDOW, .piece = 4 * WINDOW, .seed = 1 };
	struct bulk_job job = { .bulk = bulk };
	struct worker writer;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	job.st = self->near;
	worker_start(&writer, bulk_write_job, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));

	counters = session_counters(self->pair.session);
	/* A wire is full sooner than a window. */
	EXPECT_LT(0, counters.credit_stalls +
			     (pair_is_yamux(variant->kind) ? counters.room_stalls : 0));
	EXPECT_EQ(4 * WINDOW, far_call(self->far, side_bulk_read, &bulk, sizeof(bulk), NULL, 0));
	EXPECT_EQ(4 * WINDOW, worker_join(&writer));
}

TEST_F(stall, two_full_rings_do_not_wait_for_each_other)
{
	const struct shmux_session_options *options = SESSION_OPTIONS(.ring_slots = 64);
	struct bulk_job job = { .bulk = { .len = 2000 * KIB, .piece = 1000, .seed = 1 } };
	struct worker writer;
	struct pair pair;

	/* Both write and read at once, over the smallest rings there are. */
	ASSERT_EQ(0, pair_open(&pair, variant->kind, options, options));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &job.st));
	worker_start(&writer, bulk_write_job, &job);
	far_begin(&pair.far, side_bulk_exchange, &job.bulk, sizeof(job.bulk), 0);
	EXPECT_EQ(2000 * KIB, bulk_read(job.st, &job.bulk));
	EXPECT_EQ(2000 * KIB, worker_join(&writer));
	EXPECT_EQ(2000 * KIB, far_finish(&pair.far, NULL));
	shmux_stream_close(job.st);
	EXPECT_EQ(0, pair_close(&pair));
}

/* Fill the other's ring with what it does not read, as far as it goes. */
static int64_t side_flood(struct side *side)
{
	uint64_t end = shmux_now() + LONG_ENOUGH;
	int64_t taken = 0;

	while (shmux_stream_try_write(side->stream, "x", 1) == 1 && shmux_now() < end)
		taken++;
	return taken;
}

TEST_F(stall, writer_into_a_full_ring_takes_note_of_what_comes_in)
{
	const struct shmux_session_options *options =
		SESSION_OPTIONS(.ring_slots = 64, .window = 65536, .first_grant = 65536);
	struct shmux_stream *st;
	struct bulk_job job = { .bulk = { .len = 50000, .piece = 10, .seed = 1 } };
	struct worker writer;
	struct pair pair;
	int64_t flooded;
	char byte;

	/* Both rings full of bytes; then both sides go on writing. */
	ASSERT_EQ(0, pair_open(&pair, variant->kind, options, options));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st));
	flooded = far_run(&pair.far, side_flood);
	ASSERT_LT(0, flooded);
	job.st = st;
	worker_start(&writer, bulk_write_job, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	far_begin(&pair.far, side_bulk_exchange, &job.bulk, sizeof(job.bulk), 0);
	for (int64_t i = 0; i < flooded; i++) {
		ASSERT_EQ(1, shmux_stream_read(st, &byte, 1));
	}
	EXPECT_EQ(50000, bulk_read(st, &job.bulk));
	EXPECT_EQ(50000, worker_join(&writer));
	EXPECT_EQ(50000, far_finish(&pair.far, NULL));
	shmux_stream_close(st);
	EXPECT_EQ(0, pair_close(&pair));
}

/*
 * What is not read lies here and there in the arena, so that there is no large
 * chunk though most of it is free.
 */
FIXTURE(scattered)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *stalled, *near;
};

PAIR_VARIANTS_OF_REGIONS(scattered);

enum {
	BLOCK = 4 * KIB,
	CHUNK = 4 * BLOCK,
	NR_BLOCKS = 16,
	PIECE = 1000,
	NR_PIECES = 4
};

FIXTURE_SETUP(scattered)
{
	struct shmux_span spans[NR_BLOCKS];

	ASSERT_EQ(0, pair_open(&self->pair, variant->kind,
			       SESSION_OPTIONS(.arena_size = NR_BLOCKS * BLOCK),
			       SESSION_OPTIONS(.first_grant = 128 * KIB, .streams_max = 8)));
	self->far = &self->pair.far;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->stalled));
	for (int i = 0; i < NR_BLOCKS; i++) {
		ASSERT_EQ(0, shmux_stream_reserve(self->stalled, BLOCK, &spans[i], SHMUX_NOWAIT));
	}
	for (int i = 0; i < NR_BLOCKS; i++) {
		if (i % 4) {
			shmux_stream_cancel(self->stalled, &spans[i]);
			continue;
		}
		pattern_fill(spans[i].data, PIECE, (uint64_t)i / 4 * PIECE, 1);
		ASSERT_EQ(PIECE, shmux_stream_submit(self->stalled, &spans[i], PIECE, 0));
	}
	ASSERT_LE(0, far_pump(self->far));
}

static int64_t side_read_stalled(struct side *side)
{
	struct bulk bulk = { .len = NR_PIECES * PIECE, .piece = 700, .seed = 1 };

	return bulk_read(side->streams[0], &bulk);
}

FIXTURE_TEARDOWN(scattered)
{
	/* It is all there still. */
	if (!_metadata->aborted) {
		EXPECT_EQ(NR_PIECES * PIECE, far_run(self->far, side_read_stalled));
	}
	shmux_stream_close(self->near);
	shmux_stream_close(self->stalled);
	PAIR_TEARDOWN(&self->pair);
}

TEST_F(scattered, pieces_of_a_stream_that_nobody_reads_hold_up_no_writer)
{
	struct bulk bulk = { .len = 20 * CHUNK, .piece = CHUNK, .seed = 2 };

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	shmux_stream_set_deadline(self->near, SHMUX_WRITE, shmux_now() + LONG_ENOUGH);

	far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);
	EXPECT_EQ(20 * CHUNK, bulk_write(self->near, &bulk));
	shmux_stream_shutdown(self->near, SHMUX_WRITE);
	EXPECT_EQ(20 * CHUNK, far_finish(self->far, NULL));
}

static int64_t side_read_message(struct side *side)
{
	char buf[3 * CHUNK];

	SIDE_EQ(sizeof(buf), shmux_stream_read(side->stream, buf, sizeof(buf)));
	return pattern_check(buf, sizeof(buf), 0, 3);
}

TEST_F(scattered, pieces_of_a_stream_that_nobody_reads_hold_up_no_long_message)
{
	char message[3 * CHUNK];

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_MESSAGES, &self->near));
	shmux_stream_set_deadline(self->near, SHMUX_WRITE, shmux_now() + LONG_ENOUGH);
	pattern_fill(message, sizeof(message), 0, 3);

	far_begin(self->far, side_read_message, NULL, 0, 0);
	EXPECT_EQ(sizeof(message), shmux_stream_write(self->near, message, sizeof(message)));
	shmux_stream_shutdown(self->near, SHMUX_WRITE);
	EXPECT_EQ(-1, far_finish(self->far, NULL));
}

static int64_t side_read_the_end(struct side *side)
{
	char byte;

	return shmux_stream_read(side->stream, &byte, 1);
}

TEST_F(scattered, pieces_of_a_stream_that_nobody_reads_hold_up_no_reservation)
{
	struct shmux_span span;
	int err;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	shmux_stream_set_deadline(self->near, SHMUX_WRITE, shmux_now() + LONG_ENOUGH);

	far_begin(self->far, side_read_the_end, NULL, 0, 0);
	err = shmux_stream_reserve(self->near, CHUNK, &span, 0);
	EXPECT_EQ(0, err);
	if (!err)
		shmux_stream_cancel(self->near, &span);
	shmux_stream_shutdown(self->near, SHMUX_WRITE);
	EXPECT_EQ(0, far_finish(self->far, NULL));
}

TEST_F(scattered, pieces_of_a_stream_that_nobody_reads_hold_up_nobody_who_does_not_wait)
{
	static char buf[CHUNK];
	uint64_t until = shmux_now() + LONG_ENOUGH;
	ssize_t n;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	far_begin(self->far, side_read_the_end, NULL, 0, 0);
	while ((n = shmux_stream_try_write(self->near, buf, CHUNK)) == -EAGAIN &&
	       shmux_now() < until)
		;
	EXPECT_LT(0, n);
	shmux_stream_shutdown(self->near, SHMUX_WRITE);
	EXPECT_EQ(1, far_finish(self->far, NULL));
}

TEST_F(scattered, poller_is_told_when_pieces_that_nobody_reads_have_made_way)
{
	struct shmux_session *session = self->pair.session;
	struct pollfd fd = { .fd = shmux_session_fd(session), .events = POLLIN };
	static char buf[CHUNK];
	ssize_t n;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	session_pump(session);
	far_begin(self->far, side_read_the_end, NULL, 0, 0);
	while ((n = shmux_stream_try_write(self->near, buf, CHUNK)) == -EAGAIN &&
	       poll(&fd, 1, (int)(LONG_ENOUGH / MSEC)) == 1)
		session_pump(session);
	EXPECT_LT(0, n);
	shmux_stream_shutdown(self->near, SHMUX_WRITE);
	EXPECT_EQ(1, far_finish(self->far, NULL));
}

TEST_F(scattered, who_tries_again_and_again_asks_the_peer_to_make_way_once)
{
	static char buf[CHUNK];
	uint64_t sent;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	sent = session_counters(self->pair.session).frames_sent;
	for (int i = 0; i < 1000; i++)
		EXPECT_EQ(-EAGAIN, shmux_stream_try_write(self->near, buf, CHUNK));
	EXPECT_EQ(sent + 1, session_counters(self->pair.session).frames_sent);
	far_pump(self->far);
	EXPECT_EQ(CHUNK, shmux_stream_try_write(self->near, buf, CHUNK));
}

static const void *peeked; /* over there */

static int64_t side_peek(struct side *side)
{
	return shmux_stream_peek(side->streams[0], PIECE, &peeked);
}

static int64_t side_check_peeked(struct side *side)
{
	(void)side;
	return pattern_check(peeked, PIECE, 0, 1);
}

TEST_F(scattered, what_is_peeked_at_stays_where_it_is_and_makes_way_when_it_is_so_no_more)
{
	struct shmux_span spans[NR_PIECES];

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	EXPECT_EQ(PIECE, far_run(self->far, side_peek));

	/* The peer is asked, and gives back all but that one. */
	EXPECT_EQ(-EAGAIN, shmux_stream_reserve(self->near, CHUNK, &spans[0], SHMUX_NOWAIT));
	far_pump(self->far);
	for (int i = 0; i < NR_PIECES - 1; i++) {
		ASSERT_EQ(0, shmux_stream_reserve(self->near, CHUNK, &spans[i], SHMUX_NOWAIT));
		memset(spans[i].data, 0, CHUNK);
	}
	EXPECT_EQ(-EAGAIN,
		  shmux_stream_reserve(self->near, CHUNK, &spans[NR_PIECES - 1], SHMUX_NOWAIT));
	EXPECT_EQ(-1, far_run(self->far, side_check_peeked));

	EXPECT_EQ(PIECE, far_run(self->far, side_peek));
	ASSERT_EQ(0, shmux_stream_reserve(self->near, CHUNK, &spans[NR_PIECES - 1], SHMUX_NOWAIT));
	memset(spans[NR_PIECES - 1].data, 0, CHUNK);
	EXPECT_EQ(-1, far_run(self->far, side_check_peeked));
	for (int i = 0; i < NR_PIECES; i++)
		shmux_stream_cancel(self->near, &spans[i]);
}

/* A sender whose peer is behind writes in larger pieces: never in one that is all of the arena. */
TEST_F(scattered, span_that_is_reserved_holds_up_no_writer_whose_peer_is_behind)
{
	struct bulk bulk = { .len = 20 * CHUNK, .piece = 4 * CHUNK, .seed = 2 };
	struct shmux_stream *unread;
	struct shmux_span spans[NR_BLOCKS - NR_PIECES], span;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &unread));
	for (int i = 0; i < NR_BLOCKS - NR_PIECES; i++)
		ASSERT_EQ(0, shmux_stream_reserve(unread, BLOCK, &spans[i], SHMUX_NOWAIT));
	for (int i = 0; i < NR_BLOCKS - NR_PIECES; i++) {
		memset(spans[i].data, 0, PIECE);
		ASSERT_EQ(PIECE, shmux_stream_submit(unread, &spans[i], PIECE, 0));
	}
	far_pump(self->far);
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	ASSERT_EQ(0, shmux_stream_reserve(self->near, BLOCK, &span, SHMUX_NOWAIT));
	shmux_stream_set_deadline(self->near, SHMUX_WRITE, shmux_now() + LONG_ENOUGH);

	far_begin(self->far, side_bulk_read, &bulk, sizeof(bulk), 0);
	EXPECT_EQ(20 * CHUNK, bulk_write(self->near, &bulk));
	shmux_stream_shutdown(self->near, SHMUX_WRITE);
	EXPECT_EQ(20 * CHUNK, far_finish(self->far, NULL));
	shmux_stream_cancel(self->near, &span);
	shmux_stream_close(unread);
}

TEST_HARNESS_MAIN
