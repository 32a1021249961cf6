// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * rx.c - the queue of what a stream has received, beside a naive model
 *
 * The model is one array of bytes with the lengths of the whole messages in it,
 * and the bytes of the one that is not whole yet behind them.
 */
#include <malloc.h>

#include "core/rx.h"
#include "core/credit.h"
#include "effort.h"
#include "harness.h"
#include "pattern.h"

enum {
	WINDOW = 1 << 16,
	FRAGMENT = 400,
	CHUNKED = 2000,
	STEPS = 200000,
	NR_CHUNKS = WINDOW / SHMUX_CREDIT_MIN
};

/* Chunks that the queue holds, by handle. */
static char *chunks[NR_CHUNKS];

static void chunk_return(struct shmux__link *l, uint32_t handle)
{
	free(chunks[handle]);
	chunks[handle] = NULL;
}

static uint32_t chunk_lend(size_t len)
{
	uint32_t handle = 0;

	while (chunks[handle])
		handle++;
	chunks[handle] = malloc(len + 1);
	return handle;
}

static void copy(struct shmux__link *l, const struct shmux__frame *f, uint32_t pos, void *dst,
		 uint32_t n)
{
	memcpy(dst, (const char *)(uintptr_t)(f->value[0] | (uint64_t)f->value[1] << 32) + pos, n);
}

static const struct shmux__link_ops ops = { .copy = copy, .chunk_return = chunk_return };

FIXTURE(rx)
{
	struct shmux__link link;
	struct shmux_session session;
	struct shmux_stream st;
	uint64_t random;

	char bytes[WINDOW];
	uint32_t lens[WINDOW / SHMUX_CREDIT_MIN];
	uint32_t nr_messages, whole_len, part_len;
};

FIXTURE_SETUP(rx)
{
	self->link = (struct shmux__link){ .ops = &ops, .cost_min = SHMUX_CREDIT_MIN,
					     .peer_arena_size = 1 << 20 };
	self->session.link = &self->link;
	self->session.options.window = WINDOW;
	self->session.options.budget = WINDOW;
	shmux_list_init(&self->session.control);
	shmux_list_init(&self->session.starved);
	shmux_list_init(&self->session.kept);
	self->st.s = &self->session;
	self->st.state = STREAM_MESSAGES;
	self->st.rx_limit = self->st.rx_granted = WINDOW;
	self->session.budget_used = WINDOW;
	self->random = effort_seed();
}

FIXTURE_TEARDOWN(rx)
{
	shmux__rx_clear(&self->st);
	for (int i = 0; i < NR_CHUNKS; i++)
		EXPECT_EQ(NULL, chunks[i]);
	EXPECT_EQ(0, self->session.held);
	EXPECT_EQ(WINDOW, self->st.rx_granted + self->st.rx_owed);
	shmux__rx_exit(&self->session);
}

/* One more part of a message; @more says that it is not the last. */
static void receive(struct __test_metadata *_metadata, FIXTURE_DATA(rx) * self, bool more)
{
	bool chunk = random_between(&self->random, 0, 9) == 0;
	uint32_t len = random_between(&self->random, 0, chunk ? CHUNKED : FRAGMENT);
	uint32_t at = self->whole_len + self->part_len, cost = shmux__cost(&self->link, len);
	struct shmux__frame f = { .len = len, .flags = more ? SHMUX_FLAG_MORE : 0 };
	uint64_t src;
	char *data;

	if (cost > self->st.rx_granted)
		return;
	if (chunk)
		f.handle = chunk_lend(len);
	data = chunk ? chunks[f.handle] : self->bytes + at;
	for (uint32_t i = 0; i < len; i++)
		data[i] = (char)random_next(&self->random);
	memmove(self->bytes + at, data, len);
	src = (uint64_t)(uintptr_t)data;
	f.value[0] = (uint32_t)src;
	f.value[1] = (uint32_t)(src >> 32);
	f.data = chunk ? data : NULL;

	self->st.rx_granted -= cost;
	ASSERT_EQ(0, shmux__rx_add(&self->st, &f, 0, cost));
	self->part_len += len;
	if (!more) {
		self->lens[self->nr_messages++] = self->part_len;
		self->whole_len += self->part_len;
		self->part_len = 0;
	}
}

static void give_up(FIXTURE_DATA(rx) * self)
{
	shmux__rx_abort(&self->st);
	self->part_len = 0;
}

/* Look at the first message in one piece, as a peek does. */
static void gather(struct __test_metadata *_metadata, FIXTURE_DATA(rx) * self)
{
	if (!self->nr_messages)
		return;
	ASSERT_EQ(0, shmux__rx_gather(&self->st, self->lens[0]));
	ASSERT_LE(self->lens[0], self->st.rx_first->len - self->st.rx_first->pos);
	EXPECT_EQ(0, memcmp(self->bytes, self->st.rx_first->data + self->st.rx_first->pos,
			    self->lens[0]));
}

static void read_one(struct __test_metadata *_metadata, FIXTURE_DATA(rx) * self)
{
	static char buf[WINDOW];
	uint32_t len = self->lens[0];

	if (!self->nr_messages)
		return;
	ASSERT_EQ(len, shmux__rx_message_len(&self->st));
	ASSERT_EQ(len, shmux__rx_copy(&self->st, buf, len));
	ASSERT_EQ(0, memcmp(self->bytes, buf, len));
	self->whole_len -= len;
	memmove(self->bytes, self->bytes + len, self->whole_len + self->part_len);
	memmove(self->lens, self->lens + 1, --self->nr_messages * sizeof(self->lens[0]));
	/* Grant all again. */
	self->st.rx_granted += self->st.rx_owed;
	self->st.rx_owed = 0;
}

/* Every chunk goes back, but not what was in it. */
static void give_way(struct __test_metadata *_metadata, FIXTURE_DATA(rx) * self)
{
	shmux__rx_give_way(&self->session);
	for (int i = 0; i < NR_CHUNKS; i++)
		ASSERT_EQ(NULL, chunks[i]);
	EXPECT_EQ(0, self->session.held);
}

TEST_F(rx, messages_come_out_whole_whatever_parts_are_given_up_or_looked_at_or_copied_out)
{
	for (int i = 0; i < STEPS; i++) {
		switch (random_between(&self->random, 0, 9)) {
		case 0:
			give_up(self);
			break;
		case 1:
			gather(_metadata, self);
			break;
		case 2 ... 3:
			read_one(_metadata, self);
			break;
		case 4:
			if (!random_between(&self->random, 0, 9))
				give_way(_metadata, self);
			break;
		default:
			receive(_metadata, self, random_between(&self->random, 0, 2));
			break;
		}
		ASSERT_EQ(self->nr_messages != 0, self->st.rx_whole != NULL);
		ASSERT_EQ(self->whole_len + self->part_len, self->st.rx_queued);
	}
}

TEST_F(rx, no_node_costs_less_than_it_holds_however_much_is_looked_at)
{
	static char buf[WINDOW];
	uint32_t sum;

	self->st.state = 0;
	for (int i = 0; i < STEPS; i++) {
		switch (random_between(&self->random, 0, 9)) {
		case 0:
			ASSERT_EQ(0,
				  shmux__rx_gather(&self->st, random_between(&self->random, 0,
									     self->st.rx_queued)));
			break;
		case 1:
			shmux__rx_settle(&self->st);
			if (!random_between(&self->random, 0, 9))
				give_way(_metadata, self);
			break;
		case 2 ... 4:
			shmux__rx_copy(&self->st, buf,
				       random_between(&self->random, 0, 3 * FRAGMENT));
			self->st.rx_granted += self->st.rx_owed;
			self->st.rx_owed = 0;
			break;
		default:
			self->whole_len = self->nr_messages = 0;
			receive(_metadata, self, false);
			break;
		}
		sum = 0;
		for (struct shmux__rx *node = self->st.rx_first; node; node = node->next) {
			ASSERT_LE(node->len - node->pos, node->cost);
			sum += node->cost;
		}
		ASSERT_EQ(self->st.rx_limit, self->st.rx_granted + self->st.rx_owed + sum);
	}
}

/* Payload that comes in a chunk; the first @pos bytes went to a reader. Return: its handle. */
static uint32_t receive_chunk(struct __test_metadata *_metadata, FIXTURE_DATA(rx) * self,
			      uint32_t len, uint32_t pos)
{
	struct shmux__frame f = { .len = len, .handle = chunk_lend(len) };
	uint32_t cost = shmux__cost(&self->link, len);

	pattern_fill(chunks[f.handle], len, 0, f.handle);
	f.data = chunks[f.handle];
	self->st.rx_granted -= cost;
	EXPECT_EQ(0, shmux__rx_add(&self->st, &f, pos, cost));
	return f.handle;
}

static int nr_held(void)
{
	int nr = 0;

	for (int i = 0; i < NR_CHUNKS; i++)
		nr += chunks[i] != NULL;
	return nr;
}

TEST_F(rx, chunks_are_held_up_to_half_of_the_blocks_of_the_arena)
{
	self->st.state = 0;
	self->link.peer_arena_size = 16 * SHMUX_BLOCK_SIZE;
	for (int i = 0; i < 16; i++)
		receive_chunk(_metadata, self, CHUNKED, 0);
	EXPECT_EQ(8, nr_held());
	EXPECT_EQ(16 * CHUNKED, self->st.rx_queued);
}

TEST_F(rx, what_is_copied_out_takes_memory_for_what_is_unread_and_no_more)
{
	enum {
		LEN = 60000,
		DIRECT = 58000
	};
	static char buf[LEN];
	uint32_t handle;

	self->st.state = 0;
	handle = receive_chunk(_metadata, self, LEN, DIRECT);
	EXPECT_EQ(LEN - DIRECT - 1, shmux__rx_copy(&self->st, buf, LEN - DIRECT - 1));
	shmux__rx_settle(&self->st);
	EXPECT_EQ(SHMUX_CREDIT_MIN, self->st.rx_first->cost);

	shmux__rx_give_way(&self->session);
	EXPECT_EQ(NULL, chunks[handle]);
	EXPECT_EQ(1, self->st.rx_queued);
	EXPECT_GE(SHMUX_CREDIT_MIN, malloc_usable_size((void *)(uintptr_t)self->st.rx_first->data));
	EXPECT_EQ(1, shmux__rx_copy(&self->st, buf, LEN));
	EXPECT_EQ(-1, pattern_check(buf, 1, LEN - 1, handle));
}

TEST_F(rx, chunk_that_is_peeked_at_is_given_back_when_it_is_so_no_more_and_asked_for_once)
{
	static char buf[CHUNKED];
	uint32_t first, second;
	const char *data;

	self->st.state = 0;
	first = receive_chunk(_metadata, self, CHUNKED, 0);
	second = receive_chunk(_metadata, self, CHUNKED, 0);
	self->st.state |= STREAM_PEEKED;
	data = self->st.rx_first->data;

	shmux__rx_give_way(&self->session);
	EXPECT_EQ(chunks[first], data);
	EXPECT_EQ(data, self->st.rx_first->data);
	EXPECT_EQ(NULL, chunks[second]);
	/* Who asks again finds nothing to look at. */
	EXPECT_TRUE(shmux_list_empty(&self->session.kept));
	shmux__rx_give_way(&self->session);
	EXPECT_EQ(chunks[first], data);

	shmux__rx_begin(&self->st);
	EXPECT_EQ(NULL, chunks[first]);
	EXPECT_EQ(0, self->session.held);
	EXPECT_EQ(CHUNKED, shmux__rx_copy(&self->st, buf, CHUNKED));
	EXPECT_EQ(-1, pattern_check(buf, CHUNKED, 0, first));
	EXPECT_EQ(CHUNKED, shmux__rx_copy(&self->st, buf, CHUNKED));
	EXPECT_EQ(-1, pattern_check(buf, CHUNKED, 0, second));
}

TEST_F(rx, chunk_that_was_taken_stays_with_the_caller)
{
	struct shmux__rx *node;
	uint32_t handle;

	self->st.state = 0;
	handle = receive_chunk(_metadata, self, CHUNKED, 0);
	node = shmux__rx_pop(&self->st);
	shmux__rx_give_way(&self->session);
	EXPECT_EQ(chunks[handle], node->data);
	shmux__rx_free(&self->st, node);
	EXPECT_EQ(NULL, chunks[handle]);
}

TEST_HARNESS_MAIN
