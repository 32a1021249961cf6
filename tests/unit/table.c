// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * table.c - stream ids, ours and the peer's, beside a naive model
 *
 * The model of our own ids is a list of those that are open, and for each index
 * the generation it had last. A stream is here no more than an address.
 */
#include <errno.h>

#include "harness.h"

#include "core/table.h"
#include "pattern.h"

#define ROLE 1u
#define LIMIT 1500u	/* more than a page of entries, and no multiple of one */

static uint32_t id_index(uint32_t id)
{
	return id & 0x1fffff;
}

static uint32_t id_generation(uint32_t id)
{
	return id >> 21 & 0x3ff;
}

static uint32_t make_id(uint32_t index, uint32_t generation)
{
	return ROLE << 31 | generation << 21 | index;
}

/* Streams lie at addresses that are multiples of 16. */
static struct shmux_stream *stream_nr(uint32_t nr)
{
	return (struct shmux_stream *)(((uintptr_t)nr + 1) * 16);
}

struct open_id {
	uint32_t id;
	struct shmux_stream *stream;
};

FIXTURE(table)
{
	struct shmux__table table;
	struct open_id open[LIMIT];
	uint32_t nr_open, nr_made;
	uint32_t generation[LIMIT];	/* the index had last, 0: never used */
	uint64_t random;
};

FIXTURE_SETUP(table)
{
	self->random = 1;
	shmux__table_init(&self->table, ROLE, LIMIT);
}

FIXTURE_TEARDOWN(table)
{
	shmux__table_exit(&self->table);
}

static bool is_open(const FIXTURE_DATA(table) *self, uint32_t index)
{
	uint32_t i;

	for (i = 0; i < self->nr_open; i++)
		if (id_index(self->open[i].id) == index)
			return true;
	return false;
}

/* Let the table choose an id; check that it may be that one. */
static uint32_t add(struct __test_metadata *_metadata, FIXTURE_DATA(table) *self)
{
	struct shmux_stream *st = stream_nr(self->nr_made++);
	uint32_t id = 0, index;

	EXPECT_EQ(0, shmux__table_add(&self->table, st, &id));
	index = id_index(id);
	EXPECT_EQ(ROLE, id >> 31);
	EXPECT_GT(LIMIT, index);
	EXPECT_FALSE(is_open(self, index));
	EXPECT_NE(0, id_generation(id));
	EXPECT_NE(self->generation[index % LIMIT], id_generation(id));
	EXPECT_EQ(st, shmux__table_find(&self->table, id));
	self->generation[index % LIMIT] = id_generation(id);
	self->open[self->nr_open++] = (struct open_id){ id, st };
	return id;
}

static struct open_id take_open(FIXTURE_DATA(table) *self, uint32_t i)
{
	struct open_id taken = self->open[i];

	self->open[i] = self->open[--self->nr_open];
	return taken;
}

static void release(struct __test_metadata *_metadata, FIXTURE_DATA(table) *self, uint32_t i)
{
	struct open_id taken = take_open(self, i);

	shmux__table_release(&self->table, taken.id);
	EXPECT_EQ(NULL, shmux__table_find(&self->table, taken.id));
}

static int enter(FIXTURE_DATA(table) *self, uint32_t id)
{
	return shmux__table_enter(&self->table, stream_nr(self->nr_made++), id);
}

/* The callback has no argument. */
static struct shmux_stream *seen[LIMIT + 1];
static uint32_t nr_seen;

static void see(struct shmux_stream *st)
{
	if (nr_seen <= LIMIT)
		seen[nr_seen++] = st;
}

static void check_each_is_seen_once(struct __test_metadata *_metadata, FIXTURE_DATA(table) *self)
{
	uint32_t i, k, times;

	nr_seen = 0;
	shmux__table_each(&self->table, see);
	EXPECT_EQ(self->nr_open, nr_seen);
	for (i = 0; i < self->nr_open; i++) {
		for (k = times = 0; k < nr_seen; k++)
			times += seen[k] == self->open[i].stream;
		EXPECT_EQ(1, times);
	}
}

TEST_F(table, fresh_table_has_nothing)
{
	uint32_t index;

	for (index = 0; index <= SHMUX_ID_INDEX_MAX; index += 97)
		ASSERT_EQ(NULL, shmux__table_find(&self->table, make_id(index, 1)));
	check_each_is_seen_once(_metadata, self);
}

TEST_F(table, random_ids_are_unique_while_open_and_never_zero)
{
	uint32_t i, k;

	for (i = 0; i < 30000; i++) {
		if (self->nr_open < LIMIT && random_between(&self->random, 0, 20) < 11)
			add(_metadata, self);
		else if (self->nr_open)
			release(_metadata, self,
				random_between(&self->random, 0, self->nr_open - 1));
		if (self->nr_open) {
			k = random_between(&self->random, 0, self->nr_open - 1);
			ASSERT_EQ(self->open[k].stream,
				  shmux__table_find(&self->table, self->open[k].id));
		}
		if (i % 3000 == 0)
			check_each_is_seen_once(_metadata, self);
	}
}

TEST_F(table, generation_of_an_index_takes_all_values_but_zero_before_it_comes_again)
{
	uint32_t had[1024] = { 0 }, i, id;

	for (i = 0; i < 3 * 1023; i++) {
		id = add(_metadata, self);
		ASSERT_EQ(0, id_index(id));
		had[id_generation(id)]++;
		release(_metadata, self, 0);
	}
	ASSERT_EQ(0, had[0]);
	for (i = 1; i < 1024; i++)
		ASSERT_EQ(3, had[i]);
}

TEST_F(table, limit_is_reached_and_a_released_id_makes_room)
{
	uint32_t id = 7, i;

	for (i = 0; i < LIMIT; i++)
		add(_metadata, self);
	EXPECT_EQ(-ENOSPC, shmux__table_add(&self->table, stream_nr(0), &id));
	EXPECT_EQ(7, id);
	check_each_is_seen_once(_metadata, self);

	release(_metadata, self, 700);
	add(_metadata, self);
	EXPECT_EQ(-ENOSPC, shmux__table_add(&self->table, stream_nr(0), &id));
	check_each_is_seen_once(_metadata, self);
}

TEST_F(table, all_ids_can_be_released_and_had_again)
{
	uint32_t round, i;

	for (round = 0; round < 5; round++) {
		for (i = 0; i < LIMIT; i++)
			add(_metadata, self);
		while (self->nr_open)
			release(_metadata, self,
				random_between(&self->random, 0, self->nr_open - 1));
		check_each_is_seen_once(_metadata, self);
	}
}

TEST_F(table, id_that_the_peer_chose_is_found_until_it_is_forgotten)
{
	uint32_t ids[] = { make_id(0, 1), make_id(511, 1023), make_id(512, 5),
			   make_id(LIMIT - 1, 77) };
	uint32_t i;

	/* From the largest down, so that the table grows at once. */
	for (i = 4; i--;) {
		ASSERT_EQ(0, enter(self, ids[i]));
		self->open[self->nr_open++] =
			(struct open_id){ ids[i], stream_nr(self->nr_made - 1) };
	}
	check_each_is_seen_once(_metadata, self);
	for (i = 0; i < 4; i++)
		EXPECT_EQ(self->open[i].stream,
			  shmux__table_find(&self->table, self->open[i].id));
	while (self->nr_open) {
		uint32_t id = take_open(self, 0).id;

		shmux__table_forget(&self->table, id);
		EXPECT_EQ(NULL, shmux__table_find(&self->table, id));
	}
	check_each_is_seen_once(_metadata, self);
}

TEST_F(table, id_is_not_entered_twice_whatever_its_generation)
{
	struct shmux_stream *first = stream_nr(self->nr_made);

	ASSERT_EQ(0, enter(self, make_id(9, 1)));
	EXPECT_EQ(-EEXIST, enter(self, make_id(9, 1)));
	EXPECT_EQ(-EEXIST, enter(self, make_id(9, 2)));
	EXPECT_EQ(first, shmux__table_find(&self->table, make_id(9, 1)));

	shmux__table_forget(&self->table, make_id(9, 1));
	EXPECT_EQ(0, enter(self, make_id(9, 2)));
}

TEST_F(table, id_beyond_the_limit_is_not_entered)
{
	EXPECT_EQ(-ENOSPC, enter(self, make_id(LIMIT, 1)));
	EXPECT_EQ(-ENOSPC, enter(self, make_id(SHMUX_ID_INDEX_MAX, 1)));
	EXPECT_EQ(NULL, shmux__table_find(&self->table, make_id(SHMUX_ID_INDEX_MAX, 1)));
	EXPECT_EQ(0, enter(self, make_id(LIMIT - 1, 1)));
}

TEST(largest_table_there_can_be_is_filled_and_emptied)
{
	struct shmux__table table;
	uint32_t nr = SHMUX_ID_INDEX_MAX + 1, i, id, *ids = calloc(nr, sizeof(*ids));

	ASSERT_NE(NULL, ids);
	shmux__table_init(&table, 0, nr);
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, shmux__table_add(&table, stream_nr(i), &ids[i]));
	EXPECT_EQ(-ENOSPC, shmux__table_add(&table, stream_nr(0), &id));
	for (i = 0; i < nr; i++) {
		ASSERT_NE(0, ids[i]);
		ASSERT_EQ(0, ids[i] >> 31);
		ASSERT_EQ(stream_nr(i), shmux__table_find(&table, ids[i]));
	}
	for (i = 0; i < nr; i += 2)
		shmux__table_release(&table, ids[i]);
	for (i = 0; i < nr; i++)
		ASSERT_EQ(i % 2 ? stream_nr(i) : NULL, shmux__table_find(&table, ids[i]));
	for (i = 0; i < nr; i += 2)
		ASSERT_EQ(0, shmux__table_add(&table, stream_nr(i), &ids[i]));
	EXPECT_EQ(-ENOSPC, shmux__table_add(&table, stream_nr(0), &id));
	shmux__table_exit(&table);
	free(ids);
}

TEST_HARNESS_MAIN
