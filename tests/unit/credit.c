// SPDX-License-Identifier: LGPL-2.1-or-later
/* credit.c - who is granted how much of a session's budget */
#include <errno.h>

#include "core/credit.h"
#include "core/core.h"
#include "effort.h"
#include "harness.h"
#include "pattern.h"

enum {
	FIRST = 256,
	FAIR = 65536, /* beyond it a stream shares with others */
	WINDOW = 1 << 20,
	NR_STREAMS = 4,
};

FIXTURE(credit)
{
	struct shmux__link link;
	struct shmux_session session;
	struct shmux_stream streams[NR_STREAMS];
};

FIXTURE_SETUP(credit)
{
	int i;

	memset(self, 0, sizeof(*self));
	self->session.link = &self->link;
	self->session.options.budget = 16 * WINDOW;
	self->session.options.window = WINDOW;
	self->session.options.first_grant = FIRST;
	self->session.options.streams_max = NR_STREAMS;
	shmux_list_init(&self->session.control);
	shmux_list_init(&self->session.starved);
	for (i = 0; i < NR_STREAMS; i++) {
		self->streams[i].s = &self->session;
		ASSERT_EQ(0, shmux__credit_open(&self->streams[i]));
		self->session.nr_streams++;
	}
}

FIXTURE_TEARDOWN(credit)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < NR_STREAMS; i++)
		sum += self->streams[i].rx_limit;
	EXPECT_EQ(sum, self->session.budget_used);
	EXPECT_LE(sum, self->session.options.budget);
}

/* The peer sends all that it was granted, and it is read. Return: what is granted then. */
static uint32_t use_up(struct shmux_stream *st)
{
	uint32_t cost = st->rx_granted;

	st->rx_granted = 0;
	shmux__credit_consumed(st, cost);
	return shmux__credit_take(st);
}

/* Use up until the limit is @limit. */
static void grow_to(struct shmux_stream *st, uint32_t limit)
{
	while (st->rx_limit < limit && use_up(st))
		;
}

TEST_F(credit, of_less_than_half_a_limit_nothing_is_granted)
{
	struct shmux_stream *st = &self->streams[0];

	st->rx_granted -= FIRST / 2 - 1;
	shmux__credit_consumed(st, FIRST / 2 - 1);
	EXPECT_TRUE(shmux_list_empty(&self->session.control));
	EXPECT_EQ(0, shmux__credit_take(st));
	st->rx_granted--;
	shmux__credit_consumed(st, 1);
	EXPECT_FALSE(shmux_list_empty(&self->session.control));
	EXPECT_NE(0, shmux__credit_take(st));
}

TEST_F(credit, each_half_that_is_used_quadruples_the_limit_up_to_the_window)
{
	struct shmux_stream *st = &self->streams[0];
	uint32_t limit;

	for (limit = 4 * FIRST; limit < WINDOW; limit *= 4) {
		EXPECT_EQ(limit, use_up(st));
		EXPECT_EQ(limit, st->rx_limit);
	}
	EXPECT_EQ(WINDOW, use_up(st));
	EXPECT_EQ(WINDOW, use_up(st));
}

TEST_F(credit, first_grants_of_streams_to_come_are_never_given_away)
{
	struct shmux_stream *st = &self->streams[0];

	self->session.options.budget = WINDOW / 2;
	self->session.nr_streams = 1;
	shmux__credit_wanted(st, WINDOW);
	EXPECT_EQ(WINDOW / 2 - 2 * (NR_STREAMS - 1) * FIRST - FIRST, shmux__credit_take(st));
	EXPECT_TRUE(shmux__credit_starved(st));
	self->session.nr_streams = NR_STREAMS;
	shmux__credit_wanted(st, WINDOW);
	EXPECT_EQ((NR_STREAMS - 1) * FIRST, shmux__credit_take(st));
}

TEST_F(credit, a_stream_that_is_not_hungry_takes_at_most_half_of_what_is_left)
{
	struct shmux_stream *st = &self->streams[0];
	uint64_t left;

	grow_to(st, FAIR);
	left = self->session.options.budget = self->session.budget_used + 3 * FIRST * 4;
	left -= self->session.budget_used;
	use_up(st);
	EXPECT_EQ(FAIR + left / 2, st->rx_limit);
}

TEST_F(credit, a_large_stream_gives_back_while_another_starves)
{
	struct shmux_stream *large = &self->streams[0], *hungry = &self->streams[1];

	grow_to(large, WINDOW);
	ASSERT_EQ(WINDOW, large->rx_limit);
	self->session.options.budget = self->session.budget_used;
	shmux__credit_wanted(hungry, FAIR);
	EXPECT_EQ(0, shmux__credit_take(hungry));
	ASSERT_TRUE(shmux__credit_starved(hungry));
	shmux_list_remove(&hungry->control);
	shmux_list_append(&self->session.starved, &hungry->control);

	EXPECT_EQ(FAIR, use_up(large));
	EXPECT_EQ(FAIR, large->rx_limit);
	EXPECT_TRUE(self->session.owes & OWES_STARVED);
	EXPECT_EQ(FAIR - FIRST, shmux__credit_take(hungry));
	EXPECT_FALSE(shmux__credit_starved(hungry));
}

TEST_F(credit, a_large_stream_gives_back_no_more_than_has_been_read)
{
	struct shmux_stream *large = &self->streams[0], *hungry = &self->streams[1];

	grow_to(large, WINDOW);
	shmux_list_append(&self->session.starved, &hungry->control);
	large->rx_granted -= WINDOW / 2;
	shmux__credit_consumed(large, WINDOW / 2);
	EXPECT_EQ(0, shmux__credit_take(large));
	EXPECT_EQ(WINDOW / 2, large->rx_limit);
	EXPECT_EQ(WINDOW / 2, large->rx_granted);
}

TEST_F(credit, a_stream_that_is_stopped_is_granted_nothing_and_keeps_what_is_out)
{
	struct shmux_stream *st = &self->streams[0];

	grow_to(st, FAIR);
	st->rx_granted -= 1000;
	shmux__credit_consumed(st, 1000);
	st->state |= STREAM_STOP_SENT;
	shmux__credit_stop(st);
	shmux__credit_wanted(st, WINDOW);
	EXPECT_EQ(0, shmux__credit_take(st));
	EXPECT_EQ(FAIR - 1000, st->rx_limit);
	EXPECT_EQ(FAIR - 1000, st->rx_granted);
}

TEST_F(credit, what_a_closed_stream_has_queued_stays_charged_until_it_is_read)
{
	struct shmux_stream *st = &self->streams[0];

	st->rx_granted -= 100;
	st->state |= STREAM_DETACHED;
	shmux__credit_close(st);
	EXPECT_EQ(100, st->rx_limit);
	shmux__credit_consumed(st, 100);
	EXPECT_EQ(0, st->rx_limit);
}

enum {
	LONGEST = 60000
};

/* A budget for one and a half of the longest messages. */
static void tighten(FIXTURE_DATA(credit) * self)
{
	self->session.options.message_max = LONGEST;
	self->session.options.window = FAIR;
	self->session.options.budget = LONGEST * 3 / 2 + NR_STREAMS * FIRST;
}

TEST_F(credit, enough_for_the_longest_message_is_kept_for_streams_that_ask)
{
	struct shmux_stream *busy = &self->streams[0], *asks = &self->streams[1];

	tighten(self);
	for (int i = 0; i < 20; i++)
		use_up(busy);
	EXPECT_LE(LONGEST - FIRST, shmux__credit_spare(&self->session));
	shmux__credit_wanted(asks, LONGEST);
	EXPECT_EQ(LONGEST - FIRST, shmux__credit_take(asks));
	EXPECT_FALSE(shmux__credit_starved(asks));
}

TEST_F(credit, who_asks_gets_no_more_of_the_reserve_than_it_asked_for)
{
	struct shmux_stream *first = &self->streams[0], *second = &self->streams[1];

	tighten(self);
	shmux__credit_wanted(first, LONGEST / 2);
	shmux__credit_take(first);
	EXPECT_LE(LONGEST - FIRST, shmux__credit_spare(&self->session));
	shmux__credit_wanted(second, LONGEST);
	EXPECT_EQ(LONGEST - FIRST, shmux__credit_take(second));
}

TEST_F(credit, who_asks_for_a_byte_gets_what_a_record_costs)
{
	struct shmux_stream *st = &self->streams[0];

	tighten(self);
	self->session.options.budget = LONGEST - FIRST + NR_STREAMS * FIRST;
	/* 30 are left, the rest is queued. */
	st->rx_granted = 30;
	shmux__credit_wanted(st, 1);
	EXPECT_EQ(SHMUX_CREDIT_MIN - 30, shmux__credit_take(st));
}

/* As a flush does with one that found too little. */
static void starve(struct shmux_stream *st)
{
	shmux_list_remove(&st->control);
	shmux_list_append(&st->s->starved, &st->control);
}

TEST_F(credit, what_was_taken_of_the_reserve_goes_back_once_read)
{
	struct shmux_stream *first = &self->streams[0], *second = &self->streams[1];

	tighten(self);
	shmux__credit_wanted(first, LONGEST);
	shmux__credit_take(first);
	ASSERT_EQ(LONGEST, first->rx_granted);
	shmux__credit_wanted(second, LONGEST);
	shmux__credit_take(second);
	ASSERT_TRUE(shmux__credit_starved(second));

	/* The message arrives and is read part by part, each less than half. */
	first->state &= ~STREAM_HUNGRY;
	first->rx_granted = 0;
	for (int i = 0; i < 4; i++) {
		shmux__credit_consumed(first, LONGEST / 4);
		shmux__credit_take(first);
	}
	shmux__credit_take(second);
	EXPECT_LE(LONGEST, second->rx_granted);
	EXPECT_FALSE(shmux__credit_starved(second));
	EXPECT_LE(FIRST, first->rx_limit);
}

TEST_F(credit, what_is_refunded_goes_back_down_to_the_first_grant)
{
	struct shmux_stream *st = &self->streams[0], *hungry = &self->streams[1];

	tighten(self);
	shmux__credit_wanted(st, LONGEST);
	shmux__credit_take(st);
	shmux__credit_wanted(hungry, LONGEST);
	shmux__credit_take(hungry);
	ASSERT_TRUE(shmux__credit_starved(hungry));
	starve(hungry);

	EXPECT_EQ(-EPROTO, shmux__credit_refunded(st, st->rx_granted + 1));
	EXPECT_EQ(0, shmux__credit_refunded(st, st->rx_granted - FIRST));
	EXPECT_EQ(FIRST, st->rx_granted);
	EXPECT_EQ(FIRST, st->rx_limit);
	EXPECT_FALSE(st->state & STREAM_HUNGRY);
	EXPECT_TRUE(self->session.owes & OWES_STARVED);
	EXPECT_TRUE(shmux__credit_feed(hungry));

	/* The first grant is its own: it is granted again. */
	EXPECT_EQ(0, shmux__credit_refunded(st, FIRST));
	EXPECT_EQ(FIRST, st->rx_limit);
	EXPECT_EQ(FIRST, shmux__credit_take(st));
}

TEST_F(credit, refund_of_a_stream_that_is_read_no_more_is_not_granted_again)
{
	struct shmux_stream *st = &self->streams[0];

	st->state |= STREAM_STOP_SENT;
	shmux__credit_stop(st);
	EXPECT_EQ(0, shmux__credit_refunded(st, FIRST));
	EXPECT_EQ(0, st->rx_limit);
	EXPECT_EQ(0, shmux__credit_take(st));
}

/* --- nobody waits for ever ---------------------------------------------------- */

/* One stream as its sender sees it: it asks for all of a message, or sends it. */
struct sender {
	uint32_t wants; /* cost of the message that waits for credit; 0: none */
	uint32_t queued; /* sent and not read yet */
	bool asked; /* said BLOCKED, once */
};

static int say(struct shmux__link *l, uint32_t type, uint32_t flags, uint32_t id, const void *body,
	       uint32_t len)
{
	return 0;
}

static void last_word(struct shmux__link *l, uint32_t id)
{
}

FIXTURE(turns)
{
	FIXTURE_DATA(credit) credit;
	struct shmux__link_ops ops;
	struct shmux__link link;
	struct sender senders[NR_STREAMS];
	uint64_t random;
};

FIXTURE_SETUP(turns)
{
	FIXTURE_DATA(credit) *c = &self->credit;

	credit_setup(_metadata, c, NULL);
	tighten(c);
	self->ops = (struct shmux__link_ops){ .send = say, .last_word = last_word };
	self->link.ops = &self->ops;
	c->session.link = &self->link;
	for (int i = 0; i < NR_STREAMS; i++)
		c->streams[i].state = STREAM_MESSAGES;
	self->random = effort_seed();
}

FIXTURE_TEARDOWN(turns)
{
	credit_teardown(_metadata, &self->credit, NULL);
}

/* The sender of stream @i goes on, if it has a message and the credit for it. */
static void send_message(FIXTURE_DATA(turns) * self, int i)
{
	struct shmux_stream *st = &self->credit.streams[i];
	struct sender *sender = &self->senders[i];

	if (!sender->wants)
		return;
	if (st->rx_granted < sender->wants) {
		if (!sender->asked)
			shmux__credit_wanted(st, sender->wants);
		sender->asked = true;
	} else {
		sender->asked = false;
		st->state &= ~STREAM_HUNGRY;
		st->rx_granted -= sender->wants;
		sender->queued += sender->wants;
		sender->wants = 0;
	}
	shmux__control_flush(&self->credit.session);
}

static void read_part(FIXTURE_DATA(turns) * self, int i, uint32_t cost)
{
	self->senders[i].queued -= cost;
	shmux__credit_consumed(&self->credit.streams[i], cost);
	shmux__control_flush(&self->credit.session);
}

TEST_F(turns, every_message_goes_out_in_the_end_whatever_came_before)
{
	struct sender *sender;
	int i, nr_waiting;

	for (int round = 0; round < 2000; round++) {
		for (int step = 0; step < 50; step++) {
			i = (int)random_between(&self->random, 0, NR_STREAMS - 1);
			sender = &self->senders[i];
			if (sender->queued && random_between(&self->random, 0, 1)) {
				read_part(self, i,
					  random_between(&self->random, 1, sender->queued));
				continue;
			}
			if (!sender->wants)
				sender->wants = random_between(
					&self->random, SHMUX_CREDIT_MIN,
					random_between(&self->random, 0, 1) ? LONGEST : 3 * FIRST);
			send_message(self, i);
		}
		/* Now all is read, and those who were told of credit go on. */
		for (int turn = 0; turn < 3 * NR_STREAMS; turn++) {
			nr_waiting = 0;
			for (i = 0; i < NR_STREAMS; i++) {
				if (self->senders[i].queued)
					read_part(self, i, self->senders[i].queued);
				send_message(self, i);
				nr_waiting += self->senders[i].wants != 0;
			}
		}
		ASSERT_EQ(0, nr_waiting);
	}
	for (i = 0; i < NR_STREAMS; i++)
		if (self->senders[i].queued)
			read_part(self, i, self->senders[i].queued);
}

TEST_HARNESS_MAIN
