// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * arena.c - the books of an arena, beside a naive model
 *
 * The model is one byte for each block, and a list of chunks. It does not know
 * which chunk comes next, only which there may be: one that is free all over,
 * aligned to its size, and, where a chunk is refused, that there was none.
 */
#include "harness.h"

#include "link/arena.h"
#include "pattern.h"

enum chunk_state {
	CHUNK_RESERVED,
	CHUNK_LENT,
};

struct chunk {
	uint32_t block, order;
	enum chunk_state state;
};

FIXTURE(arena)
{
	struct shmux__arena arena;
	uint32_t nr_blocks;
	uint8_t *used;		/* a byte each block */
	struct chunk *chunks;
	uint32_t nr_chunks, nr_used, nr_lent;
	uint64_t random;
};

FIXTURE_VARIANT(arena)
{
	uint32_t nr_blocks;
};

FIXTURE_VARIANT_ADD(arena, one_block)
{
	.nr_blocks = 1,
};

FIXTURE_VARIANT_ADD(arena, smallest)
{
	.nr_blocks = 16,
};

FIXTURE_VARIANT_ADD(arena, power_of_two)
{
	.nr_blocks = 1024,
};

FIXTURE_VARIANT_ADD(arena, one_more_than_a_power_of_two)
{
	.nr_blocks = 257,
};

FIXTURE_VARIANT_ADD(arena, one_less_than_a_power_of_two)
{
	.nr_blocks = 255,
};

FIXTURE_VARIANT_ADD(arena, odd)
{
	.nr_blocks = 683,
};

FIXTURE_SETUP(arena)
{
	self->nr_blocks = variant->nr_blocks;
	self->used = calloc(self->nr_blocks, 1);
	self->chunks = calloc(self->nr_blocks, sizeof(*self->chunks));
	self->random = 1;
	ASSERT_NE(NULL, self->used);
	ASSERT_NE(NULL, self->chunks);
	ASSERT_EQ(0, shmux__arena_init(&self->arena, self->nr_blocks));
}

FIXTURE_TEARDOWN(arena)
{
	shmux__arena_exit(&self->arena);
	free(self->used);
	free(self->chunks);
}

/* --- the model ----------------------------------------------------------- */

static bool is_free(const FIXTURE_DATA(arena) *self, uint32_t block, uint32_t order)
{
	uint32_t i;

	for (i = 0; i < 1u << order; i++)
		if (block + i >= self->nr_blocks || self->used[block + i])
			return false;
	return true;
}

/* Is there any place for a chunk of this order? */
static bool has_place(const FIXTURE_DATA(arena) *self, uint32_t order)
{
	uint32_t block;

	for (block = 0; block + (1u << order) <= self->nr_blocks; block += 1u << order)
		if (is_free(self, block, order))
			return true;
	return false;
}

static void mark(FIXTURE_DATA(arena) *self, uint32_t from, uint32_t to, uint8_t used)
{
	for (; from < to; from++) {
		self->used[from] = used;
		self->nr_used += used ? 1 : -1u;
	}
}

static void check_counts(struct __test_metadata *_metadata, const FIXTURE_DATA(arena) *self)
{
	ASSERT_EQ(self->nr_used, self->arena.nr_used);
	ASSERT_EQ(self->nr_lent, self->arena.nr_lent);
}

static void note_got(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self, uint32_t block,
		     uint32_t order)
{
	ASSERT_TRUE(is_free(self, block, order));
	ASSERT_EQ(0, block % (1u << order));
	mark(self, block, block + (1u << order), 1);
	self->chunks[self->nr_chunks++] = (struct chunk){ block, order, CHUNK_RESERVED };
}

/* Get a chunk. Return: whether there was one; that it is right is checked. */
static bool get(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self, uint32_t order)
{
	int32_t block = shmux__arena_get(&self->arena, order);

	/* Refused only if there is no place at all. */
	if (block < 0) {
		EXPECT_FALSE(has_place(self, order));
	} else {
		note_got(_metadata, self, (uint32_t)block, order);
	}
	check_counts(_metadata, self);
	return block >= 0;
}

static void get_hot(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self, uint32_t order)
{
	int32_t block = shmux__arena_get_hot(&self->arena, order);

	if (block >= 0)
		note_got(_metadata, self, (uint32_t)block, order);
	check_counts(_metadata, self);
}

/* If there is none, the place whose turn it was is not free. */
static void get_in_turn(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self,
			uint32_t order)
{
	int32_t block = shmux__arena_get_in_turn(&self->arena, order);
	uint32_t size = 1u << order;

	if (block >= 0) {
		note_got(_metadata, self, (uint32_t)block, order);
		EXPECT_EQ((uint32_t)block + size, self->arena.turn);
	} else if (size <= self->nr_blocks / 2 && size <= SHMUX_ARENA_TURN) {
		EXPECT_FALSE(is_free(self, self->arena.turn - size, order));
	}
	check_counts(_metadata, self);
}

static void shrink(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self, uint32_t i,
		   uint32_t order)
{
	struct chunk *c = &self->chunks[i];

	shmux__arena_shrink(&self->arena, c->block, order);
	if (order < c->order) {
		mark(self, c->block + (1u << order), c->block + (1u << c->order), 0);
		c->order = order;
	}
	check_counts(_metadata, self);
}

static void lend(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self, uint32_t i)
{
	shmux__arena_lend(&self->arena, self->chunks[i].block);
	self->chunks[i].state = CHUNK_LENT;
	self->nr_lent++;
	check_counts(_metadata, self);
}

/* Give a chunk back, by its owner or by the peer, as its state demands. */
static void give_back(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self, uint32_t i)
{
	struct chunk c = self->chunks[i];

	if (c.state == CHUNK_LENT) {
		ASSERT_EQ(0, shmux__arena_return(&self->arena, c.block));
		self->nr_lent--;
	} else {
		shmux__arena_put(&self->arena, c.block);
	}
	mark(self, c.block, c.block + (1u << c.order), 0);
	self->chunks[i] = self->chunks[--self->nr_chunks];
	check_counts(_metadata, self);
}

static void give_all_back(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self)
{
	while (self->nr_chunks)
		give_back(_metadata, self,
			  random_between(&self->random, 0, self->nr_chunks - 1));
}

static uint32_t top_order(const FIXTURE_DATA(arena) *self)
{
	uint32_t order = 0;

	while (2u << order <= self->nr_blocks)
		order++;
	return order;
}

/* Everything is free: the largest chunks are to be had, and fill the arena. */
static void check_whole(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self)
{
	uint32_t left = self->nr_blocks, order;

	ASSERT_EQ(0, self->arena.nr_used);
	ASSERT_EQ(0, self->arena.nr_lent);
	while (left) {
		for (order = 0; 2u << order <= left; order++)
			;
		ASSERT_TRUE(get(_metadata, self, order));
		left -= 1u << order;
	}
	ASSERT_FALSE(get(_metadata, self, 0));
	give_all_back(_metadata, self);
}

static void check_return_refused(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self,
				 uint32_t block)
{
	EXPECT_EQ(-1, shmux__arena_return(&self->arena, block));
	check_counts(_metadata, self);
}

/* --- the tests ----------------------------------------------------------- */

static void step(struct __test_metadata *_metadata, FIXTURE_DATA(arena) *self)
{
	uint32_t order = random_between(&self->random, 0, top_order(self) + 1);
	uint32_t i = 0;

	/* Small ones more often. */
	order = random_between(&self->random, 0, order);
	if (self->nr_chunks)
		i = random_between(&self->random, 0, self->nr_chunks - 1);
	switch (random_between(&self->random, 0, 8)) {
	case 0:
	case 1:
		get(_metadata, self, order);
		break;
	case 2:
		get_hot(_metadata, self, order);
		break;
	case 3:
		if (self->nr_chunks && self->chunks[i].state == CHUNK_RESERVED)
			shrink(_metadata, self, i, order);
		break;
	case 4:
		if (self->nr_chunks && self->chunks[i].state == CHUNK_RESERVED)
			lend(_metadata, self, i);
		break;
	case 5:
	case 6:
		if (self->nr_chunks)
			give_back(_metadata, self, i);
		break;
	case 7:
		/* Anything that is not the start of a lent chunk. */
		i = random_between(&self->random, 0, self->nr_blocks + 10);
		for (uint32_t k = 0; k < self->nr_chunks; k++)
			if (self->chunks[k].block == i && self->chunks[k].state == CHUNK_LENT)
				return;
		check_return_refused(_metadata, self, i);
		break;
	case 8:
		get_in_turn(_metadata, self, order);
		break;
	}
}

TEST_F(arena, random_chunks_never_overlap_and_all_join_again_at_the_end)
{
	uint32_t round, i;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < 4000; i++)
			step(_metadata, self);
		give_all_back(_metadata, self);
		check_whole(_metadata, self);
	}
}

TEST_F(arena, fresh_arena_can_be_had_in_its_largest_chunks)
{
	check_whole(_metadata, self);
}

TEST_F(arena, every_block_can_be_had_as_a_chunk_of_its_own)
{
	uint32_t i;

	for (i = 0; i < self->nr_blocks; i++)
		ASSERT_TRUE(get(_metadata, self, 0));
	EXPECT_FALSE(get(_metadata, self, 0));
	give_all_back(_metadata, self);
	check_whole(_metadata, self);
}

TEST_F(arena, chunk_larger_than_the_arena_is_refused)
{
	EXPECT_EQ(-1, shmux__arena_get(&self->arena, top_order(self) + 1));
	EXPECT_EQ(-1, shmux__arena_get_hot(&self->arena, top_order(self) + 1));
	EXPECT_EQ(-1, shmux__arena_get(&self->arena, 31));
	EXPECT_EQ(-1, shmux__arena_get_hot(&self->arena, 31));
	EXPECT_EQ(-1, shmux__arena_get_in_turn(&self->arena, top_order(self) + 1));
	EXPECT_EQ(-1, shmux__arena_get_in_turn(&self->arena, 31));
}

TEST_F(arena, end_of_a_chunk_that_shrinks_can_be_had_again)
{
	uint32_t top = top_order(self), order;

	ASSERT_TRUE(get(_metadata, self, top));
	shrink(_metadata, self, 0, 0);
	for (order = 0; order < top; order++)
		ASSERT_TRUE(get(_metadata, self, order));
	give_all_back(_metadata, self);
	check_whole(_metadata, self);
}

TEST_F(arena, shrinking_to_what_it_is_or_more_changes_nothing)
{
	uint32_t top = top_order(self);

	ASSERT_TRUE(get(_metadata, self, top));
	shrink(_metadata, self, 0, top);
	shrink(_metadata, self, 0, top + 3);
	give_all_back(_metadata, self);
	check_whole(_metadata, self);
}

TEST_F(arena, second_return_of_a_chunk_is_refused)
{
	uint32_t block;

	ASSERT_TRUE(get(_metadata, self, 0));
	lend(_metadata, self, 0);
	block = self->chunks[0].block;
	give_back(_metadata, self, 0);
	check_return_refused(_metadata, self, block);
	check_whole(_metadata, self);
}

TEST_F(arena, return_of_what_was_never_lent_is_refused)
{
	uint32_t i;

	for (i = 0; i < self->nr_blocks; i++)
		check_return_refused(_metadata, self, i);
	ASSERT_TRUE(get(_metadata, self, top_order(self)));
	for (i = 0; i < self->nr_blocks; i++)
		check_return_refused(_metadata, self, i);
	give_all_back(_metadata, self);
	check_whole(_metadata, self);
}

TEST_F(arena, return_of_the_inside_of_a_lent_chunk_is_refused)
{
	uint32_t i;

	ASSERT_TRUE(get(_metadata, self, top_order(self)));
	lend(_metadata, self, 0);
	for (i = 0; i < self->nr_blocks; i++)
		if (i != self->chunks[0].block)
			check_return_refused(_metadata, self, i);
	give_all_back(_metadata, self);
	check_whole(_metadata, self);
}

/* What was the start of a lent chunk once is inside of another now. */
TEST_F(arena, return_of_a_start_that_has_been_joined_away_is_refused)
{
	uint32_t top = top_order(self), i;

	while (get(_metadata, self, 0))
		lend(_metadata, self, self->nr_chunks - 1);
	give_all_back(_metadata, self);
	ASSERT_TRUE(get(_metadata, self, top));
	lend(_metadata, self, 0);
	for (i = 0; i < self->nr_blocks; i++)
		if (i != self->chunks[0].block)
			check_return_refused(_metadata, self, i);
	give_all_back(_metadata, self);
	check_whole(_metadata, self);
}

TEST_F(arena, return_of_a_block_outside_of_the_arena_is_refused)
{
	while (get(_metadata, self, 0))
		lend(_metadata, self, self->nr_chunks - 1);
	check_return_refused(_metadata, self, self->nr_blocks);
	check_return_refused(_metadata, self, self->nr_blocks + 1);
	check_return_refused(_metadata, self, 1u << 24);
	check_return_refused(_metadata, self, INT32_MAX);
	check_return_refused(_metadata, self, 0x80000000u);
	check_return_refused(_metadata, self, UINT32_MAX);
	give_all_back(_metadata, self);
	check_whole(_metadata, self);
}

TEST(chunk_freed_last_is_the_next_to_be_used)
{
	struct shmux__arena arena;
	int32_t block[3];
	int i;

	ASSERT_EQ(0, shmux__arena_init(&arena, 16));
	for (i = 0; i < 3; i++)
		block[i] = shmux__arena_get(&arena, 0);
	shmux__arena_put(&arena, (uint32_t)block[1]);
	shmux__arena_lend(&arena, (uint32_t)block[0]);
	EXPECT_EQ(0, shmux__arena_return(&arena, (uint32_t)block[0]));
	EXPECT_EQ(block[0], shmux__arena_get_hot(&arena, 0));
	EXPECT_EQ(block[1], shmux__arena_get_hot(&arena, 0));
	shmux__arena_exit(&arena);
}

TEST(hot_get_neither_splits_nor_joins)
{
	struct shmux__arena arena;

	ASSERT_EQ(0, shmux__arena_init(&arena, 16));
	EXPECT_EQ(-1, shmux__arena_get_hot(&arena, 0));
	EXPECT_EQ(0, shmux__arena_get(&arena, 0));
	shmux__arena_put(&arena, 0);
	EXPECT_EQ(-1, shmux__arena_get_hot(&arena, 4));
	EXPECT_EQ(0, shmux__arena_get(&arena, 4));
	shmux__arena_exit(&arena);
}

TEST(chunks_in_turn_lie_one_behind_the_other_and_begin_again_at_the_start)
{
	struct shmux__arena arena;
	uint32_t at, lap;
	int32_t block;

	ASSERT_EQ(0, shmux__arena_init(&arena, 4 * SHMUX_ARENA_TURN));
	for (lap = 0; lap < 3; lap++)
		for (at = 0; at < SHMUX_ARENA_TURN; at += 16) {
			block = shmux__arena_get_in_turn(&arena, 4);
			ASSERT_EQ((int32_t)at, block);
			shmux__arena_lend(&arena, (uint32_t)block);
			ASSERT_EQ(0, shmux__arena_return(&arena, (uint32_t)block));
		}
	shmux__arena_exit(&arena);
}

TEST(chunk_in_turn_that_is_not_free_is_passed_over)
{
	struct shmux__arena arena;

	ASSERT_EQ(0, shmux__arena_init(&arena, 128));
	EXPECT_EQ(0, shmux__arena_get_in_turn(&arena, 4));
	EXPECT_EQ(16, shmux__arena_get_in_turn(&arena, 4));
	EXPECT_EQ(32, shmux__arena_get_in_turn(&arena, 4));
	shmux__arena_put(&arena, 32);
	shmux__arena_put(&arena, 0);
	EXPECT_EQ(48, shmux__arena_get_in_turn(&arena, 4));
	EXPECT_EQ(0, shmux__arena_get_in_turn(&arena, 3));
	EXPECT_EQ(8, shmux__arena_get_in_turn(&arena, 3));
	EXPECT_EQ(-1, shmux__arena_get_in_turn(&arena, 4));
	EXPECT_EQ(32, shmux__arena_get_in_turn(&arena, 4));
	EXPECT_EQ(-1, shmux__arena_get_in_turn(&arena, 4));
	EXPECT_EQ(64, arena.nr_used);
	shmux__arena_exit(&arena);
}

TEST(chunks_in_turn_are_of_one_half_of_a_small_arena)
{
	struct shmux__arena arena;

	ASSERT_EQ(0, shmux__arena_init(&arena, 16));
	EXPECT_EQ(0, shmux__arena_get_in_turn(&arena, 2));
	EXPECT_EQ(4, shmux__arena_get_in_turn(&arena, 2));
	EXPECT_EQ(-1, shmux__arena_get_in_turn(&arena, 2));
	EXPECT_EQ(8, shmux__arena_get(&arena, 3));
	shmux__arena_exit(&arena);
}

TEST(small_chunks_in_turn_leave_room_for_large_ones_once_they_are_back)
{
	struct shmux__arena arena;
	uint32_t at;

	ASSERT_EQ(0, shmux__arena_init(&arena, 4 * SHMUX_ARENA_TURN));
	for (at = 0; at < SHMUX_ARENA_TURN; at++)
		ASSERT_EQ((int32_t)at, shmux__arena_get_in_turn(&arena, 0));
	for (at = 0; at < SHMUX_ARENA_TURN; at++)
		if (at != 100)
			shmux__arena_put(&arena, at);
	for (at = 0; at < SHMUX_ARENA_TURN; at += 16)
		ASSERT_EQ(at == 96 ? -1 : (int32_t)at, shmux__arena_get_in_turn(&arena, 4));
	EXPECT_EQ(SHMUX_ARENA_TURN - 15, arena.nr_used);
	shmux__arena_exit(&arena);
}

TEST(order_is_that_of_the_smallest_chunk_that_is_large_enough)
{
	uint32_t blocks, order;

	for (blocks = 0; blocks <= 5000; blocks++) {
		order = shmux__arena_order(blocks);
		ASSERT_LE(blocks, 1u << order);
		if (order)
			ASSERT_GT(blocks, 1u << (order - 1));
	}
	EXPECT_EQ(18, shmux__arena_order(1u << 18));
	EXPECT_EQ(19, shmux__arena_order((1u << 18) + 1));
}

/* 1 GiB, the largest that the protocol knows. */
TEST(largest_arena_there_is_can_be_had_as_one_chunk)
{
	struct shmux__arena arena;

	ASSERT_EQ(0, shmux__arena_init(&arena, 1u << 18));
	EXPECT_EQ(0, shmux__arena_get(&arena, 18));
	EXPECT_EQ(-1, shmux__arena_get(&arena, 0));
	shmux__arena_put(&arena, 0);
	EXPECT_EQ(0, shmux__arena_get(&arena, 0));
	EXPECT_EQ(1u << 17, (uint32_t)shmux__arena_get(&arena, 17));
	shmux__arena_exit(&arena);
}

TEST_HARNESS_MAIN
