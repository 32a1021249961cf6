// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fill.c - how chunks are filled: a copy is a copy, and the quickest way is found
 *
 * Time is what the test says: a lap takes so long of each way.
 */
#include "harness.h"

#include "base/copy_past.h"
#include "link/fill.h"
#include "pattern.h"

#define LAPS 20000u

FIXTURE(fill)
{
	struct shmux__fill fill;
	uint64_t now;
	uint64_t takes[3];	/* a lap of each way */
};

FIXTURE_SETUP(fill)
{
	shmux__fill_init(&self->fill);
	self->now = 12345;
}

FIXTURE_TEARDOWN(fill)
{
}

static void takes(FIXTURE_DATA(fill) *self, uint64_t hot, uint64_t turn, uint64_t past)
{
	self->takes[SHMUX__WAY_HOT] = hot;
	self->takes[SHMUX__WAY_TURN] = turn;
	self->takes[SHMUX__WAY_PAST] = past;
}

/* Return: how many of the next @nr laps were of @way. */
static uint32_t laps(FIXTURE_DATA(fill) *self, uint32_t nr, enum shmux__way way)
{
	uint32_t of_it = 0;

	while (nr--) {
		of_it += self->fill.way == way;
		self->now += self->takes[self->fill.way];
		shmux__fill_lap(&self->fill, self->now);
	}
	return of_it;
}

static bool settles_for(FIXTURE_DATA(fill) *self, enum shmux__way way)
{
	return laps(self, LAPS, way) > LAPS * 98 / 100;
}

TEST_F(fill, begins_with_the_chunk_that_was_freed_last)
{
	EXPECT_EQ(SHMUX__WAY_HOT, self->fill.way);
}

TEST_F(fill, tries_nothing_else_at_first)
{
	takes(self, 500, 100, 100);
	EXPECT_EQ(SHMUX__FILL_FIRST, laps(self, SHMUX__FILL_FIRST, SHMUX__WAY_HOT));
}

TEST_F(fill, finds_that_chunks_in_turn_are_quicker)
{
	takes(self, 500, 100, 200);
	/* Known after two trials, and then all but a few more. */
	laps(self, SHMUX__FILL_FIRST + 24, SHMUX__WAY_HOT);
	EXPECT_TRUE(settles_for(self, SHMUX__WAY_TURN));
}

TEST_F(fill, finds_that_past_the_caches_is_quicker)
{
	if (!SHMUX_CAN_COPY_PAST)
		SKIP(return, "this processor has no such stores here");
	takes(self, 500, 300, 100);
	/* After what it has found at first. */
	laps(self, SHMUX__FILL_FIRST + 48, SHMUX__WAY_HOT);
	EXPECT_TRUE(settles_for(self, SHMUX__WAY_PAST));
}

TEST_F(fill, finds_that_past_the_caches_is_quicker_where_turns_make_no_difference)
{
	if (!SHMUX_CAN_COPY_PAST)
		SKIP(return, "this processor has no such stores here");
	takes(self, 500, 500, 100);
	laps(self, SHMUX__FILL_FIRST + 60, SHMUX__WAY_HOT);
	EXPECT_TRUE(settles_for(self, SHMUX__WAY_PAST));
}

TEST_F(fill, finds_that_the_chunk_freed_last_is_quicker)
{
	takes(self, 100, 130, 220);
	EXPECT_TRUE(settles_for(self, SHMUX__WAY_HOT));
}

TEST_F(fill, does_not_change_for_little)
{
	takes(self, 100, 90, 90);
	EXPECT_TRUE(settles_for(self, SHMUX__WAY_HOT));
	/* Nor back. */
	takes(self, 100, 50, 90);
	laps(self, 2000, SHMUX__WAY_HOT);
	takes(self, 45, 50, 45);
	EXPECT_TRUE(settles_for(self, SHMUX__WAY_TURN));
}

TEST_F(fill, notices_within_two_gigabytes_that_the_peer_has_moved)
{
	takes(self, 100, 110, 220);
	laps(self, LAPS, SHMUX__WAY_HOT);
	takes(self, 500, 110, 220);
	laps(self, 2048, SHMUX__WAY_HOT);
	EXPECT_TRUE(settles_for(self, SHMUX__WAY_TURN));
	takes(self, 50, 110, 220);
	laps(self, 2048, SHMUX__WAY_HOT);
	EXPECT_TRUE(settles_for(self, SHMUX__WAY_HOT));
}

TEST_F(fill, is_not_misled_by_laps_in_which_somebody_dawdled)
{
	uint64_t random = 7, dawdles;
	uint32_t turn = 0, n;

	for (n = 0; n < LAPS; n++) {
		/* More than every other lap, whichever way it goes. */
		random = random * 6364136223846793005u + 1442695040888963407u;
		dawdles = random >> 60 < 9 ? 10000 : 0;
		takes(self, 200 + dawdles, 100 + dawdles, 150 + dawdles);
		turn += laps(self, 1, SHMUX__WAY_TURN);
	}
	EXPECT_LT(LAPS * 95 / 100, turn);
}

/* Its laps take as long as its caller likes, which is now and then a little more. */
TEST_F(fill, does_not_change_for_what_happens_once)
{
	enum shmux__way before = SHMUX__WAY_HOT;
	uint32_t n, trials = 0, hot = 0;

	takes(self, 100, 100, 100);
	for (n = 0; n < LAPS; n++) {
		/* Every other trial is lucky. */
		if (before == SHMUX__WAY_HOT && self->fill.way != before)
			trials++;
		self->takes[SHMUX__WAY_TURN] = self->takes[SHMUX__WAY_PAST] =
			trials % 2 ? 100 : 50;
		before = self->fill.way;
		hot += laps(self, 1, SHMUX__WAY_HOT);
	}
	EXPECT_LT(4, trials);
	EXPECT_LT(LAPS * 70 / 100, hot);
	EXPECT_EQ(SHMUX__WAY_HOT, self->fill.usual);
}

TEST_F(fill, counts_a_lap_of_more_bytes_as_one)
{
	self->fill.laps = 1;
	self->fill.settling = false;
	self->fill.since = 1000;
	self->fill.sent = 4 * SHMUX__FILL_LAP;
	shmux__fill_lap(&self->fill, 1000 + 4 * 250);
	EXPECT_EQ(250, self->fill.best[SHMUX__WAY_HOT]);
}

TEST_F(fill, counts_the_lap_in_which_the_way_changed_for_none)
{
	enum shmux__way before = SHMUX__WAY_HOT;
	uint32_t n, hot = 0;
	uint64_t took;

	for (n = 0; n < LAPS; n++) {
		/* It is over in no time: the peer has yet to read it. */
		took = self->fill.way == before ? 100 : 1;
		takes(self, took, took, took);
		before = self->fill.way;
		hot += laps(self, 1, SHMUX__WAY_HOT);
	}
	EXPECT_LT(LAPS * 98 / 100, hot);
}

TEST_F(fill, counts_a_lap_by_what_is_sent)
{
	uint64_t since;

	self->fill.since = 1;
	for (size_t n = 0; n < SHMUX__FILL_LAP; n += 65536) {
		EXPECT_EQ(1, self->fill.since);
		shmux__fill_sent(&self->fill, 65536);
	}
	since = self->fill.since;
	EXPECT_NE(1, since);
	EXPECT_EQ(0, self->fill.sent);
}

TEST_F(fill, copies_whichever_way_it_goes)
{
	static char from[65536], to[65536];
	uint32_t way;

	pattern_fill(from, sizeof(from), 0, 1);
	for (way = 0; way < SHMUX__NR_WAYS; way++) {
		self->fill.way = (enum shmux__way)way;
		memset(to, 0, sizeof(to));
		shmux__fill(&self->fill, to, from, sizeof(from));
		EXPECT_EQ(-1, pattern_check(to, sizeof(to), 0, 1));
		shmux__fill(&self->fill, to, from + 1, 100);
		EXPECT_EQ(-1, pattern_check(to, 100, 1, 1));
	}
}

/* Whatever the alignment of both, and not a byte more. */
TEST(a_copy_past_the_caches_is_a_copy)
{
	static char from[512], to[512], want[512];
	size_t at, off, n;

	pattern_fill(from, sizeof(from), 0, 2);
	for (at = 0; at < 66; at++)
		for (off = 0; off < 17; off++)
			for (n = 0; n <= 300; n += n < 140 ? 1 : 13) {
				memset(to, 0xee, sizeof(to));
				memset(want, 0xee, sizeof(want));
				memcpy(want + at, from + off, n);
				shmux_copy_past(to + at, from + off, n);
				ASSERT_EQ(0, memcmp(want, to, sizeof(to)));
			}
}

TEST_HARNESS_MAIN
