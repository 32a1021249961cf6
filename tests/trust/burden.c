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
	FLOOD_CHUNKS_WANTED_BACK,
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
	case FLOOD_CHUNKS_WANTED_BACK:
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
	uint32_t cost = record_cost(f.len), id = attacker_id(s, i, 1);
	struct shmux_body_descriptor at = { attacker_header(s)->arena_offset, f.len };
	struct shmux__producer *tx = &attacker_shm(s)->tx;
	uint32_t none = 0;

	shmux__producer_refresh(tx);
	if (flooded[i].credit < cost || !shmux__producer_fits(tx, 1 + shmux__ring_slots(f.len), 0))
		return false;
	flooded[i].credit -= cost;
	flooded[i].nr_said++;
	if (f.type == SHMUX_FRAME_DESCRIPTOR)
		attacker_add(s, f.type, 0, id, &at, sizeof(at));
	else
		attacker_add(s, f.type, f.flags, id, body, f.len);
	if (flood->kind == FLOOD_CHUNKS_WANTED_BACK)
		attacker_add(s, SHMUX_FRAME_BLOCKED, 0, 0, &none, sizeof(none));
	return true;
}

/* Send all there is credit for, and ask for more. Return: frames. */
static int64_t side_flood(struct side *side)
{
	const struct flood *flood = side->in;
	struct shmux_session *s = side->session;
	bool messages = flood->kind >= FLOOD_TINY_MESSAGES &&
			flood->kind <= FLOOD_PARTS_OF_A_MESSAGE;
	struct shmux_body_open open = { .flags = messages };
	/* For a message there is all the credit it takes, or none. */
	uint32_t i, want = messages ? 4096 : SHMUX_WINDOW_MAX;
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
			attacker_add(s, SHMUX_FRAME_BLOCKED, 0, attacker_id(s, i, 1), &want,
				     sizeof(want));
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
		"chunks wanted back",
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
	EXPECT_GT(4 * early + cpu_time_step(), late);
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

/* --- a peer that says nothing --------------------------------------------- */

#define SHORT (20 * MSEC)

static uint64_t soon_at;

/* What a call returned that had SHORT; it took that long, and next to no CPU. */
#define EXPECT_IN_TIME(expected, call)                                             \
	do {                                                                       \
		uint64_t begun_ = shmux_now(), cpu_ = cpu_time();                  \
                                                                                   \
		EXPECT_EQ(expected, call);                                         \
		EXPECT_LE(soon_at, shmux_now());                                   \
		EXPECT_GE(effort_bound(SHORT + 100 * MSEC), shmux_now() - begun_); \
		EXPECT_GE(effort_bound(10 * MSEC), cpu_time() - cpu_);             \
	} while (0)

static void soon(struct shmux_stream *st)
{
	soon_at = shmux_now() + SHORT;
	shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, soon_at);
}

TEST_F(peer, peer_that_says_nothing_keeps_no_call_beyond_its_deadline)
{
	static char much[200000];
	struct iovec iov = { .iov_base = much, .iov_len = sizeof(much) };
	struct shmux_stream *st, *messages, *none;
	struct shmux_view view;
	struct shmux_span span;
	const void *data;

	join(_metadata, self, variant, &small);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	ASSERT_EQ(0, shmux_session_open(self->s, SHMUX_STREAM_MESSAGES, &messages));
	soon(st);
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_stream_read(st, much, 1));
	soon(st);
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL));
	soon(st);
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_stream_peek(st, 1, &data));
	soon(st);
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_stream_discard(st, 1));
	soon(st);
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_stream_take(st, &view, 0));
	soon(messages);
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_stream_read(messages, much, sizeof(much)));
	/* What there is credit for is taken, and that is what is told. */
	soon(st);
	EXPECT_IN_TIME(GRANT, shmux_stream_write(st, much, sizeof(much)));
	soon(st);
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_stream_write(st, much, 1));
	soon(st);
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_stream_reserve(st, 100, &span, 0));
	soon(messages);
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_stream_write(messages, much, GRANT + 1));
	EXPECT_EQ(0, shmux_session_set_deadline(self->s, shmux_now() + SHORT));
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_session_accept(self->s, 0, &none));
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_session_ping(self->s, shmux_now() + SHORT, NULL));
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_session_drain(self->s, shmux_now() + SHORT));
	EXPECT_EQ(0, verdict(self));
	check_friend(_metadata, self);
	shmux_stream_close(messages);
	shmux_stream_close(st);
	EXPECT_EQ(0, verdict(self));
}

TEST_F(peer, close_waits_for_a_silent_peer_until_its_deadline_and_no_longer)
{
	struct shmux_stream *st;

	join(_metadata, self, variant, &small);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_session_close(self->s, shmux_now() + SHORT));
	self->s = NULL;
	EXPECT_EQ(-ECONNRESET, shmux_stream_try_write(st, "x", 1));
	shmux_stream_close(st);
}

TEST_F(peer, peer_that_holds_everything_stalls_its_own_writers_and_nobody_else)
{
	static char much[300000];
	struct shmux_session_counters c;
	struct shmux_stream *large, *little;
	uint64_t before;
	ssize_t n;

	join(_metadata, self, variant, &tight);
	before = allocated();
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &large));
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &little));
	soon(large);
	/* All of the arena. */
	EXPECT_IN_TIME(65536, shmux_stream_write(large, much, sizeof(much)));
	EXPECT_EQ(-EAGAIN, shmux_stream_try_write(large, much, sizeof(much)));
	EXPECT_EQ(-EAGAIN, fill_ring(little));
	soon(little);
	EXPECT_IN_TIME(-ETIMEDOUT, shmux_stream_write(little, much, 1));
	check_friend(_metadata, self);
	c = session_counters(self->s);
	EXPECT_EQ(65536, c.arena_used);
	EXPECT_GE(64, c.ring_depth);
	EXPECT_GE(before + 65536, allocated());
	/* It lets go after all. */
	EXPECT_LT(0, far_run(&self->foe, side_hear));
	n = shmux_stream_try_write(large, much, sizeof(much));
	EXPECT_LT(0, n);
	EXPECT_LT(0, shmux_stream_try_write(little, much, 1));
	/* Their ends find no room; they are closed nevertheless. */
	EXPECT_EQ(-EAGAIN, fill_ring(little));
	shmux_stream_close(large);
	shmux_stream_close(little);
	EXPECT_EQ(0, verdict(self));
}

/* --- a peer that rings, or is to be rung for, without end ------------------ */

TEST_F(peer, peer_that_never_arms_is_never_kicked)
{
	struct shmux_stream *st;

	join(_metadata, self, variant, &roomy);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	for (int i = 0; i < 1000; i++) {
		EXPECT_EQ(1, shmux_stream_try_write(st, "x", 1));
		if (i % 50 == 0)
			far_run(&self->foe, side_hear);
	}
	EXPECT_EQ(0, session_counters(self->s).kicks_sent);
	shmux_stream_close(st);
}

/* Arm anew all the time, for everything and by every bell, until the victim parts. */
static int64_t side_arm_without_end(struct side *side)
{
	struct shmux_session *s = side->session;
	struct shmux_region_header *h = attacker_header(s);
	uint32_t armed = 0, credit, i;

	for (i = 0;; i++) {
		armed = (armed | (SHMUX_ARMED_STEP - 1)) + 1;
		shmux_store_relaxed(&h->armed, armed | SHMUX_ARMED_ODD | SHMUX_ARMED_REASONS |
						       SHMUX_ARMED_FUTEX | SHMUX_ARMED_SOCKET);
		if (i % 256)
			continue;
		credit = (uint32_t)attacker_hear(s) * SHMUX_CREDIT_MIN;
		if (credit && attacker_wait_room(s, 1, true))
			attacker_say(s, SHMUX_FRAME_CREDIT, 0, *(const uint32_t *)side->in, &credit,
				     4);
		sched_yield();
		if (s->link->ops->check_alive(s->link))
			return i;
	}
}

TEST_F(peer, peer_that_is_always_armed_costs_at_most_a_kick_for_each_call)
{
	const struct shmux_session_counters *c;
	struct shmux_stream *st;
	uint64_t until, calls = 0;
	uint32_t id;

	join(_metadata, self, variant, &roomy);
	c = &self->s->counters;
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	id = shmux_stream_id(st);
	far_begin(&self->foe, side_arm_without_end, &id, sizeof(id), 0);
	until = shmux_now() + LONG_ENOUGH;
	while (c->kicks_sent < 50 && shmux_now() < until) {
		calls++;
		EXPECT_TRUE(may_be(shmux_stream_try_write(st, "x", 1)));
	}
	TH_LOG("%llu kicks for %llu calls", (unsigned long long)c->kicks_sent,
	       (unsigned long long)calls);
	EXPECT_LE(50, c->kicks_sent);
	EXPECT_GE(calls, c->kicks_sent);
	EXPECT_EQ(0, verdict(self));
	check_friend(_metadata, self);
	shmux_stream_close(st);
	shmux_session_close(self->s, 0);
	self->s = NULL;
	EXPECT_LE(0, far_finish(&self->foe, NULL));
}

/* Ring all bells, with nothing to tell, until the victim parts. */
static int64_t side_kick_without_end(struct side *side)
{
	struct shmux_session *s = side->session;
	struct shmux_region_header *h = attacker_header(s);
	int64_t i;

	for (i = 0;; i++) {
		shmux_store_release(&h->kicks, h->kicks + 1);
		s->link->ops->ring(s->link, SHMUX_ARMED_FUTEX | SHMUX_ARMED_SOCKET);
		if (i % 64 == 0 && s->link->ops->check_alive(s->link))
			return i;
	}
}

/* Say what wakes everybody, and means nothing, until the victim parts. */
static int64_t side_talk_without_end(struct side *side)
{
	struct shmux_session *s = side->session;
	uint32_t zero[2] = { 0, 0 }, id = *(const uint32_t *)side->in;
	int64_t i;

	for (i = 0;; i++) {
		if (!attacker_wait_room(s, 5, true))
			return i;
		attacker_add(s, SHMUX_FRAME_PONG, 0, 0, zero, 8);
		attacker_add(s, SHMUX_FRAME_CREDIT, 0, id, zero, 4);
		attacker_add(s, SHMUX_FRAME_PING, 0, 0, zero, 8);
		attacker_add(s, SHMUX_FRAME_BLOCKED, 0, id, zero, 4);
		attacker_add(s, SHMUX_FRAME_REFUND, 0, id, zero, 4);
		attacker_add(s, SHMUX_FRAME_BLOCKED, 0, 0, zero, 4);
		attacker_publish(s);
		if (i % 64 == 0 && s->link->ops->check_alive(s->link))
			return i;
	}
}

static void check_deadlines_under(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self,
				  side_fn storm)
{
	static char much[100000];
	struct shmux_event events[4];
	struct shmux_stream *st, *none;
	uint64_t begun, longest = 0, took;
	uint32_t id;
	int fd;

	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	id = shmux_stream_id(st);
	EXPECT_EQ(GRANT, shmux_stream_try_write(st, much, sizeof(much)));
	far_begin(&self->foe, storm, &id, sizeof(id), 0);
	for (int i = 0; i < 8; i++) {
		begun = shmux_now();
		shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, begun + SHORT);
		shmux_session_set_deadline(self->s, begun + SHORT);
		switch (i % 4) {
		case 0:
			EXPECT_EQ(-ETIMEDOUT, shmux_stream_read(st, much, 10));
			break;
		case 1:
			EXPECT_EQ(-ETIMEDOUT, shmux_stream_write(st, much, sizeof(much)));
			break;
		case 2:
			EXPECT_EQ(-ETIMEDOUT, shmux_session_accept(self->s, 0, &none));
			break;
		case 3:
			EXPECT_EQ(-ETIMEDOUT, shmux_session_drain(self->s, begun + SHORT));
			break;
		}
		took = shmux_now() - begun;
		EXPECT_LE(SHORT, took);
		EXPECT_GE(effort_bound(SHORT + 200 * MSEC), took);
		check_friend(_metadata, self);
	}
	/* In an event loop it is the more calls, but none is long. */
	fd = shmux_session_fd(self->s);
	EXPECT_LE(0, fd);
	for (int i = 0; i < 2000; i++) {
		begun = cpu_time();
		EXPECT_LE(0, shmux_session_pump(self->s, events, 4));
		took = cpu_time() - begun;
		if (took > longest)
			longest = took;
	}
	EXPECT_GE(effort_bound(20 * MSEC), longest);
	EXPECT_EQ(0, self->s->error);
	shmux_stream_close(st);
	shmux_session_close(self->s, 0);
	self->s = NULL;
	EXPECT_LT(0, far_finish(&self->foe, NULL));
	check_friend(_metadata, self);
}

TEST_F(peer, kicks_without_end_keep_no_call_beyond_its_deadline)
{
	join(_metadata, self, variant, &small);
	check_deadlines_under(_metadata, self, side_kick_without_end);
}

TEST_F(peer, frames_without_end_keep_no_call_beyond_its_deadline)
{
	join(_metadata, self, variant, &small);
	check_deadlines_under(_metadata, self, side_talk_without_end);
}

TEST_F(peer, all_that_a_budget_holds_is_given_back_in_a_tenth_of_a_second)
{
	struct shmux_session_options options = {
		.size = sizeof(options),
		.streams_max = 64,
	};
	struct shmux_session_options foes = options;
	struct flood flood = { .nr = 64, .kind = FLOOD_CHUNKS };
	uint64_t begun, took;

	/* Half of it may be held; all of the budget then is. */
	foes.arena_size = 200 << 20;
	join_with(_metadata, self, variant, &options, &foes);
	far_run(&self->foe, side_flood_begin);
	while (far_call(&self->foe, side_flood, &flood, sizeof(flood), NULL, 0))
		ASSERT_EQ(0, verdict(self));
	EXPECT_LE(60u << 20, self->s->held);

	say_words(self, SHMUX_FRAME_BLOCKED, 0, 4, 0, 0);
	begun = cpu_time();
	EXPECT_EQ(0, verdict(self));
	took = cpu_time() - begun;
	EXPECT_EQ(0, self->s->held);
	EXPECT_GE(effort_bound(100 * MSEC), took)
	{
		TH_LOG("took %llu us", (unsigned long long)took / 1000);
	}
}

/* Fill the ring with such frames, that mean no stream. */
static int64_t side_fill_ring(struct side *side)
{
	const struct frame *f = side->in;
	struct shmux_session *s = side->session;
	int64_t nr = 0;

	shmux__producer_refresh(&attacker_shm(s)->tx);
	for (; shmux__producer_fits(&attacker_shm(s)->tx, 1, 0); nr++)
		attacker_add(s, f->type, 0, 0, f->body, f->len);
	attacker_publish(s);
	return nr;
}

TEST_F(peer, asking_for_chunks_without_end_costs_no_more_for_those_that_are_peeked_at)
{
	enum {
		NR = 500,
		LEN = 2000,
		ROUNDS = 5
	};
	static const struct frame fillings[] = {
		{ .type = SHMUX_FRAME_CREDIT, .len = 4 },
		{ .type = SHMUX_FRAME_BLOCKED, .len = 4 },
	};
	struct shmux_session_options options = {
		.size = sizeof(options),
		.first_grant = 4096,
		.streams_max = NR,
	};
	uint64_t least[2] = { UINT64_MAX, UINT64_MAX }, begun, took;
	struct shmux_stream *st[NR];
	struct frame f = { .type = SHMUX_FRAME_DESCRIPTOR, .len = 8 };
	const void *data;

	join(_metadata, self, variant, &options);
	f.body[0] = shmux__shm(self->s->link)->peer_arena_offset;
	f.body[1] = LEN;
	for (int i = 0; i < NR; i++) {
		f.id = foe_id(self, i);
		say_open(self, f.id);
		say_frame(self, &f);
		ASSERT_EQ(0, verdict(self));
		st[i] = take_stream(_metadata, self);
		ASSERT_EQ(LEN, shmux_stream_peek(st[i], LEN, &data));
	}
	/* They are held, and not copies. */
	EXPECT_LE(NR * LEN, self->s->held);
	for (int i = 0; i < 2 * ROUNDS; i++) {
		far_call(&self->foe, side_fill_ring, &fillings[i % 2], sizeof(fillings[0]), NULL,
			 0);
		begun = cpu_time();
		ASSERT_EQ(0, verdict(self));
		took = cpu_time() - begun;
		if (took < least[i % 2])
			least[i % 2] = took;
	}
	TH_LOG("a ring full of credit for nothing %llu us, of asking for chunks %llu us",
	       (unsigned long long)least[0] / 1000, (unsigned long long)least[1] / 1000);
	EXPECT_GE(5 * least[0] + cpu_time_step(), least[1]);
	EXPECT_LE(NR * LEN, self->s->held);
	for (int i = 0; i < NR; i++)
		shmux_stream_close(st[i]);
	EXPECT_EQ(0, self->s->held);
}

/* --- how much one call takes in -------------------------------------------- */

TEST_F(peer, each_call_takes_in_a_bounded_batch_however_much_there_is)
{
	enum {
		BATCH = 32,
		PUMPED = 128
	};
	struct frame pings = { .type = SHMUX_FRAME_PING, .len = 8 };
	struct shmux_event events[4];
	struct shmux_stream *st, *none;
	struct shmux_span span;
	struct shmux_view view;
	const void *data;
	uint64_t before = 0, seen;
	uint32_t code;
	char buf[10];

	join(_metadata, self, variant, &roomy);
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	ASSERT_EQ(0, shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, PAST));
	ASSERT_EQ(0, shmux_session_set_deadline(self->s, PAST));
	far_call(&self->foe, side_fill_ring, &pings, sizeof(pings), NULL, 0);
	for (int i = 0; i < 19; i++) {
		switch (i) {
		case 0:
			shmux_stream_read(st, buf, 1);
			break;
		case 1:
			shmux_stream_try_read(st, buf, 1);
			break;
		case 2:
			shmux_stream_write(st, buf, 1);
			break;
		case 3:
			shmux_stream_try_write(st, buf, 1);
			break;
		case 4:
			shmux_stream_peek(st, 1, &data);
			break;
		case 5:
			shmux_stream_discard(st, 1);
			break;
		case 6:
			shmux_stream_take(st, &view, 0);
			break;
		case 7:
			shmux_stream_next_len(st);
			break;
		case 8:
			shmux_stream_reserve(st, 10, &span, 0);
			break;
		case 9:
			shmux_stream_submit(st, &span, 10, 0);
			break;
		case 10:
			shmux_stream_reset_code(st, &code);
			break;
		case 11:
			shmux_session_accept(self->s, 0, &none);
			break;
		case 12:
			shmux_session_accept(self->s, SHMUX_NOWAIT, &none);
			break;
		case 13:
			shmux_session_ping(self->s, PAST, NULL);
			break;
		case 14:
			shmux_session_drain(self->s, PAST);
			break;
		case 15:
			shmux_session_state(self->s);
			break;
		case 16:
			shmux_session_go_away_code(self->s, &code);
			break;
		case 17:
			shmux_stream_shutdown(st, SHMUX_WRITE);
			break;
		case 18:
			shmux_session_pump(self->s, events, 4);
			break;
		}
		seen = session_counters(self->s).frames_received;
		/* A call that waits drains before it waits, and when it has. */
		EXPECT_GE(before + (i == 18 ? PUMPED : 2 * BATCH), seen)
		{
			TH_LOG("call %d took in %llu frames", i,
			       (unsigned long long)(seen - before));
		}
		EXPECT_LE(before, seen);
		before = seen;
	}
	EXPECT_LE(BATCH * 15, before);
	shmux_stream_close(st);
}

/* --- a death that is none -------------------------------------------------- */

/* Hang up, and go on talking for as long as anybody listens. */
static int64_t side_feign_death(struct side *side)
{
	struct shmux_session *s = side->session;
	struct shmux__producer *tx = &attacker_shm(s)->tx;
	uint64_t heard = shmux_now();
	uint32_t zero[2] = { 0, 0 };
	int64_t nr = side_fill_ring(side);

	attacker_shm(s)->region->ops->hang_up(attacker_shm(s)->region);
	while (shmux_now() - heard < 300 * MSEC) {
		shmux__producer_refresh(tx);
		if (!shmux__producer_fits(tx, 1, 0))
			continue;
		heard = shmux_now();
		for (; shmux__producer_fits(tx, 1, 0); nr++) {
			attacker_add(s, SHMUX_FRAME_PING, 0, 0, zero, 8);
			shmux__producer_publish(tx);
		}
	}
	return nr;
}

TEST_F(peer, peer_that_hangs_up_and_talks_on_is_heard_for_one_ring_and_no_longer)
{
	enum {
		RING = 4096,
		BATCH = 32
	};
	uint64_t begun, before, until = shmux_now() + LONG_ENOUGH;
	struct frame pings = { .type = SHMUX_FRAME_PING, .len = 8 };
	enum shmux_session_state state;

	join(_metadata, self, variant, &roomy);
	far_begin(&self->foe, side_feign_death, &pings, sizeof(pings), 0);
	do {
		before = self->s->counters.frames_received;
		begun = cpu_time();
		state = shmux_session_state(self->s);
	} while (state != SHMUX_SESSION_DEAD && shmux_now() < until);
	EXPECT_GE(effort_bound(50 * MSEC), cpu_time() - begun);
	EXPECT_EQ(-ECONNRESET, self->s->error);
	/* Those that a call begins with, and then a ring. */
	EXPECT_GE(before + RING + 2 * BATCH, self->s->counters.frames_received);
	/* All that was in the ring when it hung up. */
	EXPECT_LE(RING, self->s->counters.frames_received);
	EXPECT_LE(RING, far_finish(&self->foe, NULL));
}

TEST_HARNESS_MAIN
