// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fill.c - how chunks are filled: a copy is a copy, and the quicker way is found
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
	uint64_t takes[2];	/* a lap, through the caches and past them */
};

FIXTURE_SETUP(fill)
{
	shmux__fill_init(&self->fill);
	self->now = 12345;
}

FIXTURE_TEARDOWN(fill)
{
}

/* Return: how many of the next @nr laps were of the way past the caches. */
static uint32_t laps(FIXTURE_DATA(fill) *self, uint32_t nr)
{
	uint32_t past = 0;

	while (nr--) {
		past += self->fill.past;
		self->now += self->takes[self->fill.past];
		shmux__fill_lap(&self->fill, self->now);
	}
	return past;
}

TEST_F(fill, begins_through_the_caches)
{
	EXPECT_FALSE(self->fill.past);
}

TEST_F(fill, finds_that_past_the_caches_is_quicker)
{
	self->takes[0] = 500;
	self->takes[1] = 100;
	/* Known after eight laps, and then all but a few trials. */
	laps(self, 8);
	EXPECT_LT(LAPS * 98 / 100, laps(self, LAPS));
}

TEST_F(fill, finds_that_through_the_caches_is_quicker)
{
	self->takes[0] = 100;
	self->takes[1] = 220;
	laps(self, 8);
	EXPECT_GT(LAPS * 2 / 100, laps(self, LAPS));
}

TEST_F(fill, does_not_change_for_little)
{
	self->takes[0] = 100;
	self->takes[1] = 90;
	EXPECT_GT(LAPS * 2 / 100, laps(self, LAPS));
	/* Nor back. */
	self->takes[1] = 50;
	laps(self, 2000);
	self->takes[0] = 45;
	EXPECT_LT(LAPS * 98 / 100, laps(self, LAPS));
}

TEST_F(fill, notices_within_a_gigabyte_that_the_peer_has_moved)
{
	self->takes[0] = 100;
	self->takes[1] = 110;
	laps(self, LAPS);
	self->takes[0] = 500;
	laps(self, 1024);
	EXPECT_LT(LAPS * 98 / 100, laps(self, LAPS));
	self->takes[0] = 50;
	laps(self, 1024);
	EXPECT_GT(LAPS * 2 / 100, laps(self, LAPS));
}

TEST_F(fill, is_not_misled_by_laps_in_which_somebody_dawdled)
{
	uint64_t random = 7;
	uint32_t past = 0, n;

	for (n = 0; n < LAPS; n++) {
		/* More than every other lap, whichever way it goes. */
		random = random * 6364136223846793005u + 1442695040888963407u;
		self->takes[0] = 200 + (random >> 60 < 9 ? 10000 : 0);
		self->takes[1] = 100 + (random >> 60 < 9 ? 10000 : 0);
		past += laps(self, 1);
	}
	EXPECT_LT(LAPS * 95 / 100, past);
}

TEST_F(fill, counts_the_lap_in_which_the_way_changed_for_neither)
{
	bool before = false;
	uint32_t n, past = 0;

	for (n = 0; n < LAPS; n++) {
		/* It is over in no time: the peer has yet to read it. */
		self->takes[0] = self->fill.past == before ? 100 : 1;
		self->takes[1] = self->takes[0];
		before = self->fill.past;
		past += laps(self, 1);
	}
	EXPECT_GT(LAPS * 2 / 100, past);
}

TEST_F(fill, counts_a_lap_by_the_bytes_of_large_copies)
{
	static char from[65536], to[65536];
	uint64_t since;

	pattern_fill(from, sizeof(from), 0, 1);
	self->fill.since = 1;
	shmux__fill(&self->fill, to, from, 4095);
	EXPECT_EQ(0, self->fill.filled);
	for (size_t n = 0; n < SHMUX__FILL_LAP; n += sizeof(from)) {
		EXPECT_EQ(1, self->fill.since);
		shmux__fill(&self->fill, to, from, sizeof(from));
	}
	since = self->fill.since;
	EXPECT_EQ(SHMUX_CAN_COPY_PAST, since != 1);
	EXPECT_EQ(0, self->fill.filled % SHMUX__FILL_LAP);
	EXPECT_EQ(-1, pattern_check(to, sizeof(to), 0, 1));
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
