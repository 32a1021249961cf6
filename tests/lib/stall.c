// SPDX-License-Identifier: LGPL-2.1-or-later
/* stall.c - streams that nobody reads: whom they hold up, and how much they hold */
#include <errno.h>

#include "kselftest_harness.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define KIB 1024u
#define WINDOW (64 * KIB)
#define BUDGET (512 * KIB)

FIXTURE(stall)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *near;	/* the one that is read */
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
static void check_bounded(struct __test_metadata *_metadata, struct far *far)
{
	struct shmux_session_counters counters;

	ASSERT_EQ(0, far_counters(far, &counters));
	EXPECT_LE(counters.rx_queued, BUDGET);
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
	check_bounded(_metadata, self->far);
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

TEST_F(stall, blocked_writer_of_one_stream_holds_up_no_other)
{
	struct bulk bulk = { .len = 4 * WINDOW, .piece = 4 * WINDOW, .seed = 1 };
	struct bulk_job job = { .bulk = bulk };
	struct worker writer;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &job.st));
	worker_start(&writer, bulk_write_job, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	check_echoes(_metadata, self->far, self->near, 200);
	EXPECT_FALSE(worker_is_done(&writer));

	/* It goes on when it is read at last. */
	EXPECT_EQ(4 * WINDOW,
		  far_call(self->far, side_read_oldest, &bulk, sizeof(bulk), NULL, 0));
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
		check_bounded(_metadata, self->far);
	}
	EXPECT_LE(taken, BUDGET);

	/* A new one still has its first grant. */
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	check_echoes(_metadata, self->far, self->near, 200);
	check_bounded(_metadata, self->far);
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
		ASSERT_TRUE(wait_until(session_pump(self->pair.session) >= 0 &&
				       far_pump(self->far) >= 0 &&
				       !far_counters(self->far, &counters) &&
				       !counters.streams_open));
		EXPECT_EQ(0, counters.rx_queued);
		EXPECT_EQ(0, counters.granted);
	}
	EXPECT_LE(first * 9 / 10, again);
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
	check_bounded(_metadata, self->far);
}

TEST_F(stall, smallest_messages_are_charged_for_the_memory_they_take)
{
	uint64_t nr = 0;
	char byte;

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
	enum { NR = 4000, LEN = 300 };
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
	for (int i = 0; i < NR; i++) {
		ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st));
		/* Little by little, so that it needs more than one buffer. */
		ASSERT_EQ(1, shmux_stream_write(st, buf, 1));
		iov.iov_len = LEN - 1;
		ASSERT_EQ(LEN - 1, shmux_stream_send(st, &iov, 1, SHMUX_FIN));
		shmux_stream_close(st);
		far_pump(&pair.far);
	}
	growth = far_run(&pair.far, side_rss) - before;
	EXPECT_LE(growth, (int64_t)budget * 3 / 2) {
		TH_LOG("%lld KiB for %d KiB", (long long)growth / KIB, NR * LEN / 1024);
	}
	EXPECT_EQ(0, pair_close(&pair));
}

TEST_F(stall, writer_counts_its_stalls)
{
	struct bulk bulk = { .len = 4 * WINDOW, .piece = 4 * WINDOW, .seed = 1 };
	struct bulk_job job = { .bulk = bulk };
	struct worker writer;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	job.st = self->near;
	worker_start(&writer, bulk_write_job, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));

	EXPECT_LT(0, session_counters(self->pair.session).credit_stalls);
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

TEST_HARNESS_MAIN
