// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * credit.c - see credit.h
 *
 * Growth: each time half a limit has been consumed the limit is quadrupled, so
 * a busy stream reaches its window after a few grants and an idle one holds
 * next to nothing. Beyond FAIR bytes a stream gets at most half of what is left,
 * and the first grants of all streams that may be opened are never given away.
 *
 * A message goes out when there is credit for all of it, and credit that has been
 * granted does not come back before it is used. So enough for the longest one is
 * kept in reserve for streams that ask: what they took of it is not granted to
 * them again, once read, but goes back. They take turns, and a message gets all
 * that it lacks or nothing: two that had half each would wait for each other.
 */
#include "core/credit.h"

#include <errno.h>

#define FAIR 65536u

/* Where the peer cannot be told to stop it is to go on, though nobody reads. */
static bool takes_payload(const struct shmux_stream *st)
{
	uint32_t ends = STREAM_FIN_RECEIVED | STREAM_RESET | STREAM_DETACHED;

	if (!st->s->link->never_stops)
		ends |= STREAM_STOP_SENT;
	return !(st->state & ends);
}

int shmux__credit_open(struct shmux_stream *st)
{
	struct shmux_session *s = st->s;
	uint32_t first = s->options.first_grant;

	if (s->options.budget - s->budget_used < first)
		return -ENOSPC;
	s->budget_used += first;
	st->rx_limit = st->rx_granted = first;
	st->rx_owed = 0;
	return 0;
}

/* Budget has come back: streams that found none may try again. */
static void freed(struct shmux_session *s)
{
	if (!shmux_list_empty(&s->starved))
		s->owes |= OWES_STARVED;
}

void shmux__credit_close(struct shmux_stream *st)
{
	struct shmux_session *s = st->s;
	uint32_t kept = st->rx_limit - st->rx_granted - st->rx_owed;

	/* What is queued stays charged until it is read. */
	s->budget_used -= st->rx_limit - kept;
	st->rx_limit = kept;
	st->rx_granted = st->rx_owed = 0;
	freed(s);
}

void shmux__credit_stop(struct shmux_stream *st)
{
	if (takes_payload(st))
		return;
	st->s->budget_used -= st->rx_owed;
	st->rx_limit -= st->rx_owed;
	st->rx_owed = 0;
	freed(st->s);
}

uint64_t shmux__credit_spare(const struct shmux_session *s)
{
	uint64_t kept = (uint64_t)s->options.first_grant *
			(s->options.streams_max - s->nr_streams);

	return s->budget_used + kept < s->options.budget ?
		       s->options.budget - s->budget_used - kept : 0;
}

/* Of what is spare, for the longest message of a stream that has asked. */
static uint64_t reserve(const struct shmux_session *s)
{
	return s->options.message_max > s->options.first_grant ?
		       s->options.message_max - s->options.first_grant : 0;
}

/* What is spare beside the reserve. */
static uint64_t free_room(const struct shmux_session *s)
{
	uint64_t spare = shmux__credit_spare(s), kept = reserve(s);

	return spare > kept ? spare - kept : 0;
}

/* Let the limit grow to @limit, as far as the window and @room allow. */
static void grow(struct shmux_stream *st, uint64_t limit, uint64_t room)
{
	struct shmux_session *s = st->s;
	uint64_t more;

	if (limit > s->options.window)
		limit = s->options.window;
	if (limit <= st->rx_limit)
		return;
	more = limit - st->rx_limit;
	if (more > room)
		more = room;
	st->rx_limit += (uint32_t)more;
	st->rx_owed += (uint32_t)more;
	s->budget_used += more;
}

void shmux__credit_consumed(struct shmux_stream *st, uint32_t cost)
{
	struct shmux_session *s = st->s;

	if (!takes_payload(st)) {
		st->rx_limit -= cost;
		s->budget_used -= cost;
		freed(s);
		return;
	}
	st->rx_owed += cost;
	if (st->rx_owed >= st->rx_limit / 2 ||
	    (st->state & (STREAM_HUNGRY | STREAM_INDEBTED)))
		shmux__stream_control(st);
}

void shmux__credit_wanted(struct shmux_stream *st, uint32_t want)
{
	if (!takes_payload(st))
		return;
	st->state |= STREAM_HUNGRY;
	/* Less than a record costs would be of no use. */
	st->rx_want = want > SHMUX_CREDIT_MIN ? want : SHMUX_CREDIT_MIN;
	shmux__stream_control(st);
}

void shmux__credit_expect(struct shmux_stream *st, uint32_t n)
{
	if (!takes_payload(st))
		return;
	grow(st, n, free_room(st->s));
	if (!st->rx_owed)
		return;
	/* Less than half of the limit is granted only where it is wanted. */
	if (st->rx_owed < st->rx_limit / 2) {
		st->state |= STREAM_HUNGRY;
		st->rx_want = SHMUX_CREDIT_MIN;
	}
	shmux__stream_control(st);
}

int shmux__credit_refunded(struct shmux_stream *st, uint32_t n)
{
	struct shmux_session *s = st->s;
	uint32_t back = n;

	if (n > st->rx_granted)
		return -EPROTO;
	st->rx_granted -= n;
	st->state &= ~STREAM_HUNGRY;
	/* It stays entitled to the first grant, if to anything. */
	if (takes_payload(st)) {
		if (back > st->rx_limit - s->options.first_grant)
			back = st->rx_limit - s->options.first_grant;
		st->rx_owed += n - back;
		shmux__stream_control(st);
	}
	st->rx_limit -= back;
	s->budget_used -= back;
	freed(s);
	return 0;
}

/* Of @owed, what others need more urgently than that it is granted again. */
static uint32_t to_share(const struct shmux_stream *st, uint32_t owed)
{
	uint64_t spare = shmux__credit_spare(st->s), kept = reserve(st->s);
	uint64_t back = spare < kept ? kept - spare : 0;

	if (back > st->rx_limit - st->s->options.first_grant)
		back = st->rx_limit - st->s->options.first_grant;
	if (!shmux_list_empty(&st->s->starved) && st->rx_limit > FAIR &&
	    back < st->rx_limit - FAIR)
		back = st->rx_limit - FAIR;
	return back < owed ? (uint32_t)back : owed;
}

static void give_back(struct shmux_stream *st, uint32_t back)
{
	st->rx_limit -= back;
	st->rx_owed -= back;
	st->s->budget_used -= back;
	freed(st->s);
}

/* What is unread, and what the peer has asked for. */
static uint64_t due(const struct shmux_stream *st)
{
	uint32_t unread = st->rx_limit - st->rx_granted - st->rx_owed;

	return (uint64_t)unread + st->rx_want;
}

/* What its limit is to be for what the peer has asked for. */
static uint64_t wanted_limit(const struct shmux_stream *st)
{
	uint32_t window = st->s->options.window;
	uint64_t limit = due(st);

	if (!takes_payload(st) || !(st->state & STREAM_HUNGRY) ||
	    limit <= st->rx_limit)
		return st->rx_limit;
	if (limit <= window)
		return limit;
	/* A message does not fit before some of what is unread has been read. */
	return st->state & STREAM_MESSAGES ? st->rx_limit : window;
}

bool shmux__credit_starved(const struct shmux_stream *st)
{
	return wanted_limit(st) > st->rx_limit;
}

bool shmux__credit_feed(struct shmux_stream *st)
{
	uint64_t limit = wanted_limit(st), more = limit - st->rx_limit;
	uint64_t spare = shmux__credit_spare(st->s);

	if (more > spare && ((st->state & STREAM_MESSAGES) || !spare))
		return false;
	grow(st, limit, spare);
	if (more && shmux__credit_spare(st->s) < reserve(st->s))
		st->state |= STREAM_INDEBTED;
	return true;
}

/* Of what it is owed, what the peer waits for and can make use of. */
static uint32_t awaited(const struct shmux_stream *st)
{
	uint32_t lacks;

	if (!(st->state & STREAM_HUNGRY) || st->rx_granted >= st->rx_want)
		return 0;
	/* Half of a message's credit is as good as none. */
	if ((st->state & STREAM_MESSAGES) && due(st) > st->rx_limit)
		return 0;
	lacks = st->rx_want - st->rx_granted;
	return lacks < st->rx_owed ? lacks : st->rx_owed;
}

uint32_t shmux__credit_take(struct shmux_stream *st)
{
	struct shmux_session *s = st->s;
	bool hungry = st->state & STREAM_HUNGRY;
	uint64_t limit = (uint64_t)st->rx_limit * 4;
	uint32_t back, owed;

	if (!takes_payload(st) || (!hungry && !st->rx_owed))
		return 0;
	/* If others wait, it is not its turn. */
	if (hungry && shmux_list_empty(&s->starved))
		shmux__credit_feed(st);
	back = to_share(st, st->rx_owed - awaited(st));
	if (back)
		give_back(st, back);
	else if (hungry)
		grow(st, limit > FAIR ? limit : FAIR, free_room(s));
	else if (st->rx_owed >= st->rx_limit / 2)
		grow(st, limit, limit > FAIR ? free_room(s) / 2 : free_room(s));
	if (shmux__credit_spare(s) >= reserve(s))
		st->state &= ~STREAM_INDEBTED;
	if (!hungry && st->rx_owed < st->rx_limit / 2)
		return 0;
	owed = st->rx_owed;
	st->rx_owed = 0;
	st->rx_granted += owed;
	return owed;
}
