// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer.c - what a hostile peer may write into its region, place by place
 *
 * frames.c tries the frames, burden.c what costs the victim memory or time, and
 * mutate.c all of it at random.
 */
#include "foe.h"

/* --- the header ----------------------------------------------------------- */

static const uint32_t edges[] = {
	0,    1,    2,		3,	    63,		64,	    65,
	4095, 4096, 0x7fffffff, 0x80000000, 0xfffff000, 0xfffffffe, 0xffffffff,
};

TEST_F(peer, constants_that_change_after_the_check_are_not_looked_at)
{
	uint32_t offset;
	size_t i;

	join(_metadata, self, variant, &small);
	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		for (offset = 0; offset < HEADER(armed); offset += 4)
			write_word(self, offset, edges[i]);
		check_alive(_metadata, self, (uint32_t)i);
	}
}

TEST_F(peer, words_of_the_header_that_are_hints_end_nothing)
{
	static const uint32_t hints[] = {
		HEADER(cpu),
		HEADER(reserved1),
		HEADER(kicks),
		HEADER(reserved2),
		HEADER(reserved3),
		HEADER(open_streams),
		HEADER(sleeps),
		HEADER(reserved4),
		HEADER(nr_last_words),
		HEADER(last_words),
		HEADER(last_words[SHMUX_LAST_WORDS_MAX - 1]),
	};
	size_t i, k;

	join(_metadata, self, variant, &small);
	for (k = 0; k < ARRAY_SIZE(edges); k++) {
		for (i = 0; i < ARRAY_SIZE(hints); i++)
			write_word(self, hints[i], edges[k]);
		check_alive(_metadata, self, (uint32_t)k);
	}
}

TEST_F(peer, last_words_are_heard_once_the_peer_is_gone_whatever_they_name)
{
	struct shmux_stream *st;
	char c;
	uint32_t i;

	join(_metadata, self, variant, &small);
	say_open(self, foe_id(self, 3));
	ASSERT_EQ(0, verdict(self));
	st = take_stream(_metadata, self);
	ASSERT_NE(NULL, st);
	for (i = 0; i < SHMUX_LAST_WORDS_MAX; i++)
		write_word(self, HEADER(last_words[i]),
			   i % 3 ? foe_id(self, i % 7) : random_next(&self->random) | 1);
	write_word(self, HEADER(nr_last_words), UINT32_MAX);
	far_kill(&self->foe);
	EXPECT_TRUE(wait_until(verdict(self)));
	EXPECT_EQ(-ECONNRESET, verdict(self));
	/* It was named, more than once: its end is an orderly one. */
	EXPECT_EQ(0, shmux_stream_try_read(st, &c, 1));
	EXPECT_EQ(-EPIPE, shmux_stream_try_write(st, "x", 1));
	shmux_stream_close(st);
}

static int64_t side_scribble(struct side *side)
{
	struct shmux__region *r = attacker_shm(side->session)->region;
	uint64_t random = *(const uint64_t *)side->in;
	uint32_t *word = r->own;

	for (uint32_t i = 0; i < r->own_size / 4; i++)
		shmux_store_relaxed(&word[i], random_next(&random));
	return 0;
}

TEST_F(peer, random_bytes_all_over_its_region_end_its_session_at_worst)
{
	uint64_t seed = effort_seed();
	struct shmux_stream *st, *own;

	for (int i = 0; i < 40; i++) {
		join(_metadata, self, variant, &small);
		say_open(self, foe_id(self, 0));
		ASSERT_EQ(0, verdict(self));
		st = take_stream(_metadata, self);
		ASSERT_EQ(0, shmux_session_open(self->s, SHMUX_STREAM_MESSAGES, &own));
		ASSERT_EQ(0, far_call(&self->foe, side_scribble, &seed, sizeof(seed), NULL, 0));
		exercise(_metadata, self, st);
		exercise(_metadata, self, own);
		EXPECT_TRUE(verdict(self) == 0 || verdict(self) == -EPROTO);
		part(self);
		random_next(&seed);
	}
	check_friend(_metadata, self);
}

/* --- slots and records ---------------------------------------------------- */

/* Tell the victim that a record of @len bytes is there; it is not. */
static int64_t side_say_length(struct side *side)
{
	const struct frame *f = side->in;
	struct shmux__producer *tx = &attacker_shm(side->session)->tx;

	shmux_store_relaxed(shmux__producer_slot(tx, tx->next) + 1, f->id);
	shmux_store_release(shmux__producer_slot(tx, tx->next),
			    shmux__ring_word(f->type, f->flags, f->len,
					     SHMUX_TAG(tx->next, tx->order)));
	return 0;
}

static void say_length(FIXTURE_DATA(peer) *self, uint32_t type, uint32_t id, uint32_t len)
{
	struct frame f = { .type = type, .id = id, .len = len };

	far_call(&self->foe, side_say_length, &f, sizeof(f), NULL, 0);
}

TEST_F(peer, record_that_is_longer_than_half_of_the_ring_is_a_breach)
{
	/* Half of 64 slots. */
	static const uint32_t half = SHMUX_SLOT_FIRST_BODY + 31 * SHMUX_SLOT_NEXT_BODY;
	static const uint32_t lens[] = { half + 1, half + 60, 64 * 60, 64 * 64, 65534, 65535 };
	size_t i;

	join(_metadata, self, variant, &small);
	say_length(self, SHMUX_FRAME_DATA, foe_id(self, 0), half);
	EXPECT_EQ(0, verdict(self));
	part(self);
	for (i = 0; i < ARRAY_SIZE(lens); i++) {
		join(_metadata, self, variant, &small);
		say_length(self, SHMUX_FRAME_DATA, foe_id(self, 0), lens[i]);
		EXPECT_EQ(-EPROTO, verdict(self))
		{
			TH_LOG("a record of %u bytes", lens[i]);
		}
		part(self);
	}
}

TEST_F(peer, body_of_a_length_that_its_type_has_not_is_a_breach)
{
	uint32_t type, len;

	for (type = SHMUX_FRAME_OPEN; type <= 15; type++) {
		if (type == SHMUX_FRAME_DATA)
			continue;
		for (len = 1; len <= 13; len += 4) {
			join(_metadata, self, variant, &small);
			say_length(self, type, foe_id(self, 0), len);
			EXPECT_EQ(-EPROTO, verdict(self))
			{
				TH_LOG("a frame of type %u with %u bytes", type, len);
			}
			part(self);
		}
	}
}

/* Write @in, with its tag changed, over every slot; @out: nothing. */
static int64_t side_wrong_laps(struct side *side)
{
	struct shmux__producer *tx = &attacker_shm(side->session)->tx;
	uint32_t wrong = *(const uint32_t *)side->in, i, tag;

	for (i = 0; i <= tx->mask; i++) {
		tag = (SHMUX_TAG(tx->next + i, tx->order) + wrong) & SHMUX_WORD_TAG;
		shmux_store_release(shmux__producer_slot(tx, tx->next + i),
				    shmux__ring_word(SHMUX_FRAME_DATA, 0, 65535, tag));
	}
	return 0;
}

TEST_F(peer, slot_words_of_other_laps_are_no_news)
{
	uint32_t wrong;

	join(_metadata, self, variant, &small);
	for (wrong = 1; wrong < 256; wrong++) {
		far_call(&self->foe, side_wrong_laps, &wrong, sizeof(wrong), NULL, 0);
		ASSERT_EQ(0, verdict(self));
		ASSERT_EQ(-EAGAIN, shmux_session_accept(self->s, SHMUX_NOWAIT,
							&(struct shmux_stream *){ NULL }));
		/* The right word still is, in hundreds of laps. */
		check_alive(_metadata, self, wrong);
	}
}

/* --- what the victim has sent --------------------------------------------- */

TEST_F(peer, consumer_index_that_cannot_be_ends_the_session_of_who_needs_it)
{
	/* 56 are out when it is looked at: ahead, beyond the ring, backwards. */
	static const uint32_t wrongs[] = {
		57, 64, 65, 112, 128, 0x7fffffff, 0x80000000, 0x80000004, 0xffffffc0, 0xffffffff,
	};
	struct shmux_stream *st;

	for (size_t i = 0; i < ARRAY_SIZE(wrongs); i++) {
		join(_metadata, self, variant, &tight);
		ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
		write_word(self, HEADER(consumer), wrongs[i]);
		EXPECT_EQ(-EPROTO, fill_ring(st))
		{
			TH_LOG("an index of %u", wrongs[i]);
		}
		EXPECT_EQ(-EPROTO, verdict(self));
		shmux_stream_close(st);
		part(self);
	}
}

TEST_F(peer, consumer_index_that_runs_backwards_ends_the_session)
{
	struct shmux_stream *st;

	join(_metadata, self, variant, &tight);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	EXPECT_EQ(-EAGAIN, fill_ring(st));
	write_word(self, HEADER(consumer), 4);
	EXPECT_EQ(-EAGAIN, fill_ring(st));
	write_word(self, HEADER(consumer), 3);
	EXPECT_EQ(-EPROTO, fill_ring(st));
	shmux_stream_close(st);
}

static int64_t write_much(void *arg)
{
	static const char much[500000];

	return shmux_stream_write(arg, much, sizeof(much));
}

static int64_t write_small(void *arg)
{
	static const char some[8000];

	return shmux_stream_write(arg, some, sizeof(some));
}

TEST_F(peer, consumer_index_that_cannot_be_wakes_a_blocked_writer)
{
	struct shmux_stream *st;
	struct worker w;
	int64_t n;

	join(_metadata, self, variant, &tight);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	worker_start(&w, write_small, st);
	EXPECT_TRUE(worker_wait_blocked(&w));
	write_word(self, HEADER(consumer), 1000);
	far_run(&self->foe, side_kick);
	n = worker_join(&w);
	/* It had sent a part, and tells so. */
	EXPECT_TRUE(n > 0 && n < 8000);
	EXPECT_EQ(-EPROTO, verdict(self));
	EXPECT_EQ(-EPROTO, shmux_stream_try_write(st, "x", 1));
	shmux_stream_close(st);
}

TEST_F(peer, consumer_index_that_cannot_be_ends_an_event_loop_that_waits_for_room)
{
	struct shmux_event events[4];
	struct pollfd fd = { .events = POLLIN };
	struct shmux_stream *st;

	join(_metadata, self, variant, &tight);
	fd.fd = shmux_session_fd(self->s);
	ASSERT_LE(0, fd.fd);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	EXPECT_EQ(-EAGAIN, fill_ring(st));
	while (shmux_session_pump(self->s, events, 4))
		EXPECT_EQ(-EAGAIN, fill_ring(st));
	write_word(self, HEADER(consumer), 1000);
	far_run(&self->foe, side_kick);
	EXPECT_EQ(1, poll(&fd, 1, LONG_ENOUGH / MSEC));
	/* It is told that it may write; so it does, and finds out. */
	ASSERT_EQ(1, shmux_session_pump(self->s, events, 4));
	EXPECT_EQ(SHMUX_EVENT_WRITE, events[0].events);
	EXPECT_EQ(-EPROTO, fill_ring(st));
	while (shmux_session_pump(self->s, events, 1) && !(events[0].events & SHMUX_EVENT_DEAD))
		;
	EXPECT_EQ(SHMUX_EVENT_DEAD, events[0].events);
	shmux_stream_close(st);
}

/* Two chunks of two blocks are lent, one of one block is reserved. */
static struct shmux_stream *lend_some(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self,
				      struct shmux_span *span, uint32_t lent[2], uint32_t *reserved)
{
	struct shmux_stream *st = NULL;
	char *arena = attacker_shm(self->s)->arena_data;

	EXPECT_EQ(0, shmux_session_open(self->s, 0, &st));
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(0, shmux_stream_reserve(st, 8192, span, SHMUX_NOWAIT));
		lent[i] = first_block(self) +
			  (uint32_t)((char *)span->data - arena) / SHMUX_BLOCK_SIZE;
		EXPECT_EQ(8192, shmux_stream_submit(st, span, 8192, 0));
	}
	EXPECT_EQ(0, shmux_stream_reserve(st, 100, span, SHMUX_NOWAIT));
	*reserved = first_block(self) + (uint32_t)((char *)span->data - arena) / SHMUX_BLOCK_SIZE;
	return st;
}

TEST_F(peer, chunk_given_back_that_was_not_lent_ends_the_session)
{
	static const char *const what[] = {
		"twice",
		"one that is only reserved",
		"one that is free",
		"within a chunk",
		"before the arena",
		"in the header",
		"behind the arena",
		"as far as a word can say",
		"after a right one",
	};
	uint32_t lent[2], reserved, first;
	struct shmux_span span;
	struct shmux_stream *st;
	int err;

	for (size_t i = 0; i < ARRAY_SIZE(what); i++) {
		join(_metadata, self, variant, &tight);
		st = lend_some(_metadata, self, &span, lent, &reserved);
		first = first_block(self);
		switch (i) {
		case 0:
			give_back(self, lent[0], lent[0]);
			break;
		case 1:
			give_back(self, reserved);
			break;
		case 2:
			give_back(self, first + 15);
			break;
		case 3:
			give_back(self, lent[0] + 1);
			break;
		case 4:
			give_back(self, first - 1);
			break;
		case 5:
			give_back(self, 0);
			break;
		case 6:
			give_back(self, first + 16);
			break;
		case 7:
			give_back(self, 0xffffff);
			break;
		case 8:
			give_back(self, lent[1], lent[1] + 1);
			break;
		}
		/* The counters look, and end nothing; who needs a chunk is told. */
		session_counters(self->s);
		shmux_stream_cancel(st, &span);
		do {
			err = shmux_stream_reserve(st, 16384, &span, SHMUX_NOWAIT);
		} while (!err);
		EXPECT_EQ(-EPROTO, err)
		{
			TH_LOG("a chunk given back: %s", what[i]);
		}
		EXPECT_EQ(-EPROTO, verdict(self));
		shmux_stream_close(st);
		part(self);
	}
}

TEST_F(peer, return_words_of_other_laps_are_no_news)
{
	uint32_t lent[2], reserved, tag, i;
	struct shmux_span span;
	struct shmux_stream *st;

	join(_metadata, self, variant, &tight);
	st = lend_some(_metadata, self, &span, lent, &reserved);
	for (tag = 0; tag < 256; tag++) {
		if (tag == 1)
			continue;
		for (i = 0; i < 8; i++)
			write_word(self, SHMUX_HEADER_SIZE + 4 * i, lent[0] << 8 | tag);
		EXPECT_EQ(2, session_counters(self->s).chunks_lent);
	}
	shmux_stream_cancel(st, &span);
	give_back(self, lent[0]);
	EXPECT_EQ(1, session_counters(self->s).chunks_lent);
	EXPECT_EQ(0, verdict(self));
	shmux_stream_close(st);
}

TEST_F(peer, chunk_given_back_that_was_not_lent_wakes_a_blocked_writer)
{
	struct shmux_stream *st;
	struct worker w;
	int64_t n;

	join(_metadata, self, variant, &tight);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	worker_start(&w, write_much, st);
	EXPECT_TRUE(worker_wait_blocked(&w));
	give_back(self, 0);
	/* It had sent a part, and tells so. */
	n = worker_join(&w);
	EXPECT_TRUE(n > 0 && n < 500000);
	EXPECT_EQ(-EPROTO, verdict(self));
	EXPECT_EQ(-EPROTO, shmux_stream_try_write(st, "x", 1));
	shmux_stream_close(st);
}

/* --- descriptors ---------------------------------------------------------- */

struct descriptor {
	const char *what;
	uint32_t offset, len;
	bool wrong;
};

TEST_F(peer, descriptor_that_reaches_out_of_the_arena_is_a_breach)
{
	/* Parts of a region with these options: see parts below. */
	enum {
		RETURNS = 4096,
		RING = 8192,
		ARENA = 12288,
		END = ARENA + 65536
	};
	static const struct descriptor tries[] = {
		{ "in the header", 0, 64, true },
		{ "in the return ring", RETURNS, 64, true },
		{ "in the ring", RING, 64, true },
		{ "a block before the arena", ARENA - 4096, 64, true },
		{ "behind the arena", END, 64, true },
		{ "behind the arena, with nothing", END, 0, true },
		{ "at the end of all numbers", 0xfffff000, 4096, true },
		{ "that wraps", 0xfffff000, 0x2000, true },
		{ "not at a block", ARENA + 64, 64, true },
		{ "in the last byte of the arena", END - 1, 1, true },
		{ "over the end by one", END - 4096, 4097, true },
		{ "longer than the arena", ARENA, 65537, true },
		{ "as long as a word can say", ARENA, 0xffffffff, true },
		{ "as long as wraps to the start", ARENA + 4096, 0xffffffff - 4095, true },
		{ "the last block", END - 4096, 256, false },
		{ "the first block", ARENA, 256, false },
		{ "nothing", ARENA, 0, false },
	};
	struct shmux_stream *st;
	char buf[300];

	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		/* With so much credit that the length alone is wrong. */
		join(_metadata, self, variant, &tight);
		ASSERT_EQ(ARENA, attacker_shm(self->s)->peer_arena_offset);
		ASSERT_EQ(END, attacker_shm(self->s)->region->peer_size);
		say_open(self, foe_id(self, 0));
		say_words(self, SHMUX_FRAME_DESCRIPTOR, foe_id(self, 0), 8, tries[i].offset,
			  tries[i].len);
		EXPECT_EQ(tries[i].wrong ? -EPROTO : 0, verdict(self))
		{
			TH_LOG("a descriptor: %s", tries[i].what);
		}
		st = take_stream(_metadata, self);
		ASSERT_NE(NULL, st);
		EXPECT_EQ(tries[i].wrong    ? -EPROTO :
			  tries[i].len == 0 ? -EAGAIN :
					      (ssize_t)tries[i].len,
			  shmux_stream_try_read(st, buf, sizeof(buf)));
		shmux_stream_close(st);
		part(self);
	}
}

TEST_F(peer, descriptors_that_overlap_give_what_lies_there)
{
	struct shmux_stream *st;
	struct shmux_view views[4];
	char buf[4096];
	uint32_t arena, i;

	join(_metadata, self, variant, &roomy);
	say_open(self, foe_id(self, 0));
	arena = attacker_shm(self->s)->peer_arena_offset;
	for (i = 0; i < 4; i++)
		write_word(self, arena + 4096 * i, 0x01010101 * i);
	/* The same one twice, one within, and one that reaches into the next. */
	say_words(self, SHMUX_FRAME_DESCRIPTOR, foe_id(self, 0), 8, arena, 16384);
	say_words(self, SHMUX_FRAME_DESCRIPTOR, foe_id(self, 0), 8, arena, 16384);
	say_words(self, SHMUX_FRAME_DESCRIPTOR, foe_id(self, 0), 8, arena + 4096, 4096);
	say_words(self, SHMUX_FRAME_DESCRIPTOR, foe_id(self, 0), 8, arena + 8192, 5000);
	ASSERT_EQ(0, verdict(self));
	st = take_stream(_metadata, self);
	ASSERT_NE(NULL, st);
	for (i = 0; i < 4; i++)
		ASSERT_LT(0, shmux_stream_take(st, &views[i], SHMUX_NOWAIT));
	EXPECT_EQ(views[0].data, views[1].data);
	EXPECT_EQ(4096, views[2].len);
	EXPECT_EQ(1, *(const char *)views[2].data);
	EXPECT_EQ(2, *(const char *)views[3].data);
	/* Held, it changes as its owner likes; its length does not. */
	write_word(self, arena + 4096, 0x09090909);
	EXPECT_EQ(9, *(const char *)views[2].data);
	for (i = 4; i--;)
		shmux_stream_release(st, &views[i]);
	/* Read, it is a copy. */
	say_words(self, SHMUX_FRAME_DESCRIPTOR, foe_id(self, 0), 8, arena + 8192, 4096);
	EXPECT_EQ(4096, shmux_stream_try_read(st, buf, sizeof(buf)));
	write_word(self, arena + 8192, 0);
	EXPECT_EQ(2, buf[0]);
	check_alive(_metadata, self, 1);
	shmux_stream_close(st);
}

/* --- credit --------------------------------------------------------------- */

TEST_F(peer, credit_beyond_the_largest_window_is_a_breach)
{
	static const struct {
		uint32_t grants[3];
		int err;
	} tries[] = {
		{ { 0, 0, 0 }, 0 },
		{ { SHMUX_WINDOW_MAX - GRANT, 0, 0 }, 0 },
		{ { SHMUX_WINDOW_MAX - GRANT, 1, 0 }, -EPROTO },
		{ { SHMUX_WINDOW_MAX - GRANT + 1, 0, 0 }, -EPROTO },
		{ { SHMUX_WINDOW_MAX / 2, SHMUX_WINDOW_MAX / 2 - GRANT, 1 }, -EPROTO },
		{ { 0x80000000, 0x80000000, 0 }, -EPROTO },
		{ { 0xffffffff, 0, 0 }, -EPROTO },
		{ { 0xffffffff - GRANT + 1, 0, 0 }, -EPROTO },
	};
	struct shmux_stream *st;

	for (size_t i = 0; i < ARRAY_SIZE(tries); i++) {
		join(_metadata, self, variant, &small);
		ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
		for (int k = 0; k < 3; k++)
			say_words(self, SHMUX_FRAME_CREDIT, shmux_stream_id(st), 4,
				  tries[i].grants[k], 0);
		EXPECT_EQ(tries[i].err, verdict(self))
		{
			TH_LOG("credit of %u, %u, %u", tries[i].grants[0], tries[i].grants[1],
			       tries[i].grants[2]);
		}
		exercise(_metadata, self, st);
		part(self);
	}
}

TEST_F(peer, reservations_given_up_do_not_make_credit_wrap)
{
	struct shmux_stream *st;
	struct shmux_span spans[3];

	join(_metadata, self, variant, &roomy);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, shmux_stream_reserve(st, 262144, &spans[i], SHMUX_NOWAIT));
	say_words(self, SHMUX_FRAME_CREDIT, shmux_stream_id(st), 4,
		  SHMUX_WINDOW_MAX - st->tx_credit, 0);
	ASSERT_EQ(0, verdict(self));
	for (int i = 0; i < 3; i++)
		shmux_stream_cancel(st, &spans[i]);
	EXPECT_LE(SHMUX_WINDOW_MAX, st->tx_credit);
	say_words(self, SHMUX_FRAME_CREDIT, shmux_stream_id(st), 4, 1, 0);
	EXPECT_EQ(-EPROTO, verdict(self));
	shmux_stream_close(st);
}

TEST_F(peer, payload_beyond_the_credit_is_a_breach)
{
	/* Of 256 the last one is too much. */
	static const uint32_t lens[][3] = {
		{ 256, 1 }, { 257 }, { 193, 64 }, { 64, 193 }, { 1, 193 }, { 300 }, { 1, 1, 129 },
	};
	struct shmux_stream *st;

	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		join(_metadata, self, variant, &small);
		say_open(self, foe_id(self, 0));
		for (int k = 0; k < 3 && lens[i][k]; k++) {
			EXPECT_EQ(0, verdict(self));
			say(self, SHMUX_FRAME_DATA, 0, foe_id(self, 0), lens[i][k]);
		}
		EXPECT_EQ(-EPROTO, verdict(self))
		{
			TH_LOG("payload of %u, %u, %u", lens[i][0], lens[i][1], lens[i][2]);
		}
		st = take_stream(_metadata, self);
		exercise(_metadata, self, st);
		part(self);
	}
}

static int64_t read_all(void *arg)
{
	static char buf[1000];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	return shmux_stream_recv(arg, &iov, 1, SHMUX_WAITALL);
}

TEST_F(peer, payload_beyond_the_credit_is_a_breach_for_a_reader_in_wait_too)
{
	static const uint32_t last[] = { 1, 64, 65 };
	struct shmux_stream *st, *own;
	struct worker w;

	for (size_t i = 0; i < ARRAY_SIZE(last); i++) {
		join(_metadata, self, variant, &small);
		say_open(self, foe_id(self, 0));
		ASSERT_EQ(0, verdict(self));
		st = take_stream(_metadata, self);
		ASSERT_NE(NULL, st);
		/* The ring is brimful, so that nothing can be granted again. */
		ASSERT_EQ(0, shmux_session_open(self->s, 0, &own));
		say_words(self, SHMUX_FRAME_CREDIT, shmux_stream_id(own), 4, 65536, 0);
		EXPECT_EQ(-EAGAIN, fill_ring(own));
		for (int k = 0; k < 20; k++)
			EXPECT_EQ(-ETIMEDOUT, shmux_session_ping(self->s, PAST, NULL));
		worker_start(&w, read_all, st);
		EXPECT_TRUE(worker_wait_blocked(&w));
		for (int k = 0; k < 4; k++)
			say(self, SHMUX_FRAME_DATA, 0, foe_id(self, 0), 64);
		EXPECT_TRUE(wait_until(session_counters(self->s).bytes_received == 256));
		EXPECT_FALSE(worker_is_done(&w));
		say(self, SHMUX_FRAME_DATA, 0, foe_id(self, 0), last[i]);
		EXPECT_EQ(256, worker_join(&w));
		EXPECT_EQ(-EPROTO, verdict(self))
		{
			TH_LOG("%u bytes too much", last[i]);
		}
		shmux_stream_close(own);
		shmux_stream_close(st);
		part(self);
	}
}

TEST_F(peer, hunger_of_the_peer_gets_it_no_more_than_window_and_budget)
{
	static const uint32_t wants[] = { 1, 65536, 65537, 0x7fffffff, 0xffffffff };
	struct shmux_session_options options = small;
	uint32_t i, k;

	/* Budget for six windows beside the first grants. */
	options.streams_max = 64;
	options.backlog = 64;
	options.budget = 6 * 65536 + 64 * GRANT;
	join(_metadata, self, variant, &options);
	for (i = 0; i < 64; i++) {
		say_open(self, foe_id(self, i));
		verdict(self);
		far_run(&self->foe, side_hear);
	}
	for (k = 0; k < ARRAY_SIZE(wants); k++) {
		for (i = 0; i < 64; i++) {
			say_words(self, SHMUX_FRAME_BLOCKED, foe_id(self, i), 4, wants[k], 0);
			ASSERT_EQ(0, verdict(self));
			far_run(&self->foe, side_hear);
		}
		EXPECT_GE(options.budget, session_counters(self->s).granted);
	}
	/* It has all of it now. */
	EXPECT_LE(options.budget - 65536, session_counters(self->s).granted);
	check_friend(_metadata, self);
}

TEST_HARNESS_MAIN
