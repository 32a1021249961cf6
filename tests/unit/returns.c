// SPDX-License-Identifier: LGPL-2.1-or-later
/* returns.c - both ends of a return ring, beside a naive model: a queue */
#include "harness.h"

#include "link/returns.h"
#include "pattern.h"

#define BLOCK_MAX ((1u << 24) - 1)	/* what fits into a word */

FIXTURE(returns)
{
	struct shmux__returns_tx tx;
	struct shmux__returns_rx rx;
	uint32_t *memory, *words;
	uint32_t *queue;		/* the model: what is under way */
	uint32_t nr, put, got;
	uint64_t random;
};

FIXTURE_VARIANT(returns)
{
	uint32_t nr;
	uint32_t laps_left;	/* before the index wraps at 2^32; 0: from 0 */
};

FIXTURE_VARIANT_ADD(returns, smallest)
{
	.nr = 64,
};

FIXTURE_VARIANT_ADD(returns, large)
{
	.nr = 4096,
};

FIXTURE_VARIANT_ADD(returns, smallest_at_index_wrap)
{
	.nr = 64,
	.laps_left = 2,
};

FIXTURE_VARIANT_ADD(returns, large_at_index_wrap)
{
	.nr = 4096,
	.laps_left = 2,
};

FIXTURE_SETUP(returns)
{
	self->nr = variant->nr;
	self->random = 1;
	self->queue = calloc(self->nr, sizeof(*self->queue));
	self->memory = calloc(self->nr + 2, sizeof(*self->memory));
	ASSERT_NE(NULL, self->queue);
	ASSERT_NE(NULL, self->memory);
	self->words = self->memory + 1;
	shmux__returns_tx_init(&self->tx, self->words, self->nr);
	shmux__returns_rx_init(&self->rx, self->words, self->nr);
	self->tx.next = self->rx.next = -(variant->laps_left * self->nr);
}

FIXTURE_TEARDOWN(returns)
{
	EXPECT_EQ(0, self->memory[0]);
	EXPECT_EQ(0, self->memory[self->nr + 1]);
	free(self->memory);
	free(self->queue);
}

static uint32_t under_way(const FIXTURE_DATA(returns) *self)
{
	return self->put - self->got;
}

static void put(FIXTURE_DATA(returns) *self, uint32_t block)
{
	self->queue[self->put++ % self->nr] = block;
	shmux__returns_put(&self->tx, block);
}

static void get(struct __test_metadata *_metadata, FIXTURE_DATA(returns) *self)
{
	uint32_t block;

	ASSERT_TRUE(shmux__returns_ready(&self->rx));
	ASSERT_TRUE(shmux__returns_get(&self->rx, &block));
	ASSERT_EQ(self->queue[self->got++ % self->nr], block);
}

static void check_empty(struct __test_metadata *_metadata, FIXTURE_DATA(returns) *self)
{
	uint32_t block = 4711;

	ASSERT_FALSE(shmux__returns_ready(&self->rx));
	ASSERT_FALSE(shmux__returns_get(&self->rx, &block));
	ASSERT_EQ(4711, block);
}

TEST_F(returns, random_blocks_come_out_in_order_for_hundreds_of_laps)
{
	uint32_t laps = self->nr == 64 ? 700 : 20, n;

	while (self->put < laps * self->nr) {
		n = random_between(&self->random, 0, self->nr - under_way(self));
		while (n--)
			put(self, random_between(&self->random, 0, BLOCK_MAX));
		n = random_between(&self->random, 0, under_way(self));
		while (n--)
			get(_metadata, self);
		if (!under_way(self))
			check_empty(_metadata, self);
	}
}

TEST_F(returns, there_is_room_for_as_many_as_there_are_words)
{
	uint32_t lap, i;

	for (lap = 0; lap < 300; lap++) {
		for (i = 0; i < self->nr; i++)
			put(self, i);
		for (i = 0; i < self->nr; i++)
			get(_metadata, self);
		check_empty(_metadata, self);
	}
}

/* A block number whose low bits look like the tag of any lap. */
TEST_F(returns, what_was_returned_a_lap_ago_is_not_taken_for_news)
{
	uint32_t i;

	for (i = 0; i < 600 * 64; i++) {
		put(self, random_next(&self->random) >> 8);
		get(_metadata, self);
		check_empty(_metadata, self);
	}
}

TEST_F(returns, every_bit_of_a_block_number_arrives)
{
	int bit;

	put(self, 0);
	get(_metadata, self);
	for (bit = 0; bit < 24; bit++) {
		put(self, 1u << bit);
		get(_metadata, self);
	}
	put(self, BLOCK_MAX);
	get(_metadata, self);
	check_empty(_metadata, self);
}

TEST_HARNESS_MAIN
