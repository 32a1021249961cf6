// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * burden.c - a hostile peer that would have the victim's memory, or its time
 *
 * It sends what is never read, holds what it was lent, feeds in drops, rings
 * without end, or says nothing at all.
 */
#include "foe.h"

/* --- memory --------------------------------------------------------------- */

enum flood_kind {
	FLOOD_TINY,
	FLOOD_TINY_MESSAGES,
	FLOOD_EMPTY_MESSAGES,
	FLOOD_PARTS_OF_A_MESSAGE,
	FLOOD_TINY_BETWEEN_CHUNKS,
	FLOOD_RANDOM,
	FLOOD_CHUNKS,
	NR_FLOODS,
};

struct flood {
	enum flood_kind kind;
	uint32_t nr; /* of streams */
};

/* The @k-th record of a stream. */
static struct frame flood_record(const struct flood *flood, uint32_t k)
{
	struct frame f = { .type = SHMUX_FRAME_DATA, .len = 1 };

	switch (flood->kind) {
	case FLOOD_EMPTY_MESSAGES:
		f.len = 0;
		break;
	case FLOOD_PARTS_OF_A_MESSAGE:
		f.flags = SHMUX_FLAG_MORE;
		break;
	case FLOOD_TINY_BETWEEN_CHUNKS:
		if (!(k & 1))
			break;
		f.type = SHMUX_FRAME_DESCRIPTOR;
		f.len = 961;
		break;
	case FLOOD_RANDOM:
		f.len = k * 2654435761u % 6000;
		break;
	case FLOOD_CHUNKS:
		f.type = SHMUX_FRAME_DESCRIPTOR;
		f.len = 65536;
		break;
	default:
		break;
	}
	return f;
}

/* What the flooding foe knows of its streams. */
static struct {
	uint32_t credit, nr_said;
	bool opened, hungry;
} flooded[64];

static void flood_hear(struct shmux_session *s)
{
	struct shmux__frame f;

	while (shmux__link_receive(s->link, &f) > 0) {
		if (f.type != SHMUX_FRAME_CREDIT)
			continue;
		flooded[f.id & SHMUX_ID_INDEX_MAX].credit += f.value[0];
		flooded[f.id & SHMUX_ID_INDEX_MAX].hungry = false;
	}
	shmux__consumer_publish(&attacker_shm(s)->rx);
}

/* Say a record. Return: whether there was credit and room. */
static bool flood_one(struct shmux_session *s, const struct flood *flood, uint32_t i)
{
	static char body[65536];
	struct frame f = flood_record(flood, flooded[i].nr_said);
	uint32_t cost = shmux__cost(f.len), id = attacker_id(s, i, 1);
	struct shmux_body_descriptor at = { attacker_header(s)->arena_offset, f.len };
	struct shmux__producer *tx = &attacker_shm(s)->tx;

	shmux__producer_refresh(tx);
	if (flooded[i].credit < cost || !shmux__producer_fits(tx, shmux__ring_slots(f.len), 0))
		return false;
	flooded[i].credit -= cost;
	flooded[i].nr_said++;
	if (f.type == SHMUX_FRAME_DESCRIPTOR)
		attacker_add(s, f.type, 0, id, &at, sizeof(at));
	else
		attacker_add(s, f.type, f.flags, id, body, f.len);
	return true;
}

/* Send all there is credit for, and ask for more. Return: frames. */
static int64_t side_flood(struct side *side)
{
	const struct flood *flood = side->in;
	struct shmux_session *s = side->session;
	struct shmux_body_open open = {
		.flags = flood->kind >= FLOOD_TINY_MESSAGES &&
			 flood->kind <= FLOOD_PARTS_OF_A_MESSAGE,
	};
	uint32_t i, all = SHMUX_WINDOW_MAX;
	int64_t nr = 0;

	flood_hear(s);
	for (i = 0; i < flood->nr; i++) {
		if (!flooded[i].opened) {
			flooded[i].opened = true;
			flooded[i].credit = GRANT;
			attacker_add(s, SHMUX_FRAME_OPEN, 0, attacker_id(s, i, 1), &open,
				     sizeof(open));
			nr++;
		}
		while (flood_one(s, flood, i))
			nr++;
		if (!flooded[i].hungry && shmux__producer_fits(&attacker_shm(s)->tx, 1, 0)) {
			flooded[i].hungry = true;
			attacker_add(s, SHMUX_FRAME_BLOCKED, 0, attacker_id(s, i, 1), &all,
				     sizeof(all));
			nr++;
		}
	}
	attacker_publish(s);
	return nr;
}

static int64_t side_flood_begin(struct side *side)
{
	(void)side;
	memset(flooded, 0, sizeof(flooded));
	return 0;
}

TEST_F(peer, whatever_it_sends_unread_takes_memory_in_proportion_to_the_budget)
{
	static const char *const names[] = {
		"tiny records",	       "tiny messages",	 "empty messages", "parts of a message",
		"tiny between chunks", "random lengths", "chunks",
	};
	struct shmux_session_options options = {
		.size = sizeof(options),
		.budget = 4u << 20,
		.streams_max = 16,
	};
	struct flood flood = { .nr = 16 };
	struct shmux_session_counters c;
	uint64_t before, most;

	for (flood.kind = 0; flood.kind < NR_FLOODS; flood.kind++) {
		join(_metadata, self, variant, &options);
		far_run(&self->foe, side_flood_begin);
		before = allocated();
		while (far_call(&self->foe, side_flood, &flood, sizeof(flood), NULL, 0))
			ASSERT_EQ(0, verdict(self));
		most = allocated() - before;
		c = session_counters(self->s);
		TH_LOG("%s: %llu KiB for %llu bytes", names[flood.kind],
		       (unsigned long long)most / 1024, (unsigned long long)c.rx_queued);
		EXPECT_EQ(16, c.streams_open);
		EXPECT_GE(options.budget, c.granted);
		EXPECT_GE(options.budget, c.rx_queued);
		/* It has got all the credit that there is, and used it. */
		EXPECT_LE(options.budget * 9 / 10, c.granted);
		EXPECT_GE(3 * options.budget + 65536, most);
		part(self);
	}
	check_friend(_metadata, self);
}

/* --- the victim's time ---------------------------------------------------- */

TEST_F(peer, look_ahead_that_is_fed_in_drops_costs_no_more_for_the_later_ones)
{
	enum {
		PIECE = 4096,
		ALL = 8 << 20,
		NR = ALL / PIECE,
		QUARTER = NR / 4
	};
	struct shmux_session_options options = {
		.size = sizeof(options),
		.window = 2 * ALL,
		.first_grant = 2 * ALL,
		.streams_max = 2,
	};
	struct shmux_stream *st;
	const void *data;
	uint64_t early = 0, late = 0, begun, took;
	uint32_t arena;

	join(_metadata, self, variant, &options);
	say_open(self, foe_id(self, 0));
	ASSERT_EQ(0, verdict(self));
	st = take_stream(_metadata, self);
	ASSERT_NE(NULL, st);
	ASSERT_EQ(0, shmux_stream_set_deadline(st, SHMUX_READ, PAST));
	arena = attacker_shm(self->s)->peer_arena_offset;
	for (int i = 0; i < NR; i++) {
		ASSERT_EQ(-ETIMEDOUT, shmux_stream_peek(st, ALL, &data));
		say_words(self, SHMUX_FRAME_DESCRIPTOR, foe_id(self, 0), 8, arena, PIECE);
		begun = cpu_time();
		if (i < NR - 1)
			ASSERT_EQ(-ETIMEDOUT, shmux_stream_peek(st, ALL, &data));
		took = cpu_time() - begun;
		if (i < QUARTER)
			early += took;
		else if (i >= NR - QUARTER)
			late += took;
	}
	TH_LOG("%llu us for the first quarter, %llu us for the last",
	       (unsigned long long)early / 1000, (unsigned long long)late / 1000);
	EXPECT_GT(4 * early, late);
	EXPECT_EQ(ALL, shmux_stream_peek(st, ALL, &data));
	shmux_stream_close(st);
}

/* --- a peer that does not give back --------------------------------------- */

/* Pump until there is nothing. Return: whether a writer was told to go on. */
static bool told_to_write(FIXTURE_DATA(peer) *self)
{
	struct shmux_event events[4];
	bool told = false;
	int n;

	do {
		n = shmux_session_pump(self->s, events, 4);
		for (int i = 0; i < n; i++)
			told |= events[i].events & SHMUX_EVENT_WRITE;
	} while (n == 4);
	return told;
}

TEST_F(peer, event_loop_does_not_spin_while_the_peer_holds_all_but_a_bit_of_the_arena)
{
	static char much[16384];
	struct shmux_span span;
	struct shmux_stream *st;
	struct pollfd fd = { .events = POLLIN };
	int rounds = 0;

	join(_metadata, self, variant, &tight);
	fd.fd = shmux_session_fd(self->s);
	ASSERT_LE(0, fd.fd);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	for (int i = 0; i < 16; i++) {
		ASSERT_EQ(0, shmux_stream_reserve(st, 4096, &span, SHMUX_NOWAIT));
		ASSERT_EQ(4096, shmux_stream_submit(st, &span, 4096, 0));
	}
	/* The ring is consumed, but only two blocks apart come back. */
	write_word(self, HEADER(consumer), 17);
	give_back(self, first_block(self) + 3, first_block(self) + 8);
	ASSERT_EQ(-EAGAIN, shmux_stream_try_write(st, much, sizeof(much)));
	/* As an event loop would: until it may sleep. */
	do {
		if (told_to_write(self))
			EXPECT_EQ(-EAGAIN, shmux_stream_try_write(st, much, sizeof(much)));
	} while (++rounds < 20 && poll(&fd, 1, 0));
	EXPECT_GT(20, rounds);
	/* Enough for a chunk comes back: it goes on. */
	for (uint32_t i = 4; i < 8; i++)
		give_back(self, first_block(self) + i);
	ASSERT_EQ(1, poll(&fd, 1, LONG_ENOUGH / MSEC));
	EXPECT_TRUE(told_to_write(self));
	EXPECT_EQ(sizeof(much), shmux_stream_try_write(st, much, sizeof(much)));
	shmux_stream_close(st);
}

TEST_F(peer, writer_of_little_goes_on_though_the_peer_holds_all_of_the_arena)
{
	struct shmux_span span;
	struct shmux_stream *st;
	struct pollfd fd = { .events = POLLIN };

	join(_metadata, self, variant, &tight);
	fd.fd = shmux_session_fd(self->s);
	ASSERT_LE(0, fd.fd);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, shmux_stream_reserve(st, 16384, &span, SHMUX_NOWAIT));
		ASSERT_EQ(16384, shmux_stream_submit(st, &span, 16384, 0));
	}
	EXPECT_EQ(-EAGAIN, fill_ring(st));
	while (told_to_write(self))
		EXPECT_EQ(-EAGAIN, fill_ring(st));
	/* The ring is consumed, of the arena nothing comes back. */
	write_word(self, HEADER(consumer), 40);
	far_run(&self->foe, side_kick);
	ASSERT_EQ(1, poll(&fd, 1, LONG_ENOUGH / MSEC));
	EXPECT_TRUE(told_to_write(self));
	EXPECT_EQ(5, shmux_stream_try_write(st, "hello", 5));
	shmux_stream_close(st);
}

TEST_HARNESS_MAIN
