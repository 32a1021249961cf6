// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * credit.c - see credit.h
 *
 * Growth: each time half a limit has been consumed the limit is quadrupled, so
 * a busy stream reaches its window after a few grants and an idle one holds
 * next to nothing. Beyond FAIR bytes a stream gets at most half of what is left,
 * and the first grants of all streams that may be opened are never given away.
 */
#include "core/credit.h"

#define FAIR 65536u

static bool takes_payload(const struct shmux_stream *st)
{
	return !(st->state & (STREAM_FIN_RECEIVED | STREAM_STOP_SENT |
			      STREAM_RESET | STREAM_DETACHED));
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

/* Let the limit grow to @limit, as far as window and budget allow. */
static void grow(struct shmux_stream *st, uint64_t limit)
{
	struct shmux_session *s = st->s;
	uint64_t room = shmux__credit_spare(s), more;

	if (limit > s->options.window)
		limit = s->options.window;
	if (limit <= st->rx_limit)
		return;
	more = limit - st->rx_limit;
	if (limit > FAIR && !(st->state & STREAM_HUNGRY))
		room /= 2;
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
	if (st->rx_owed >= st->rx_limit / 2 || (st->state & STREAM_HUNGRY))
		shmux__stream_control(st);
}

void shmux__credit_wanted(struct shmux_stream *st, uint32_t want)
{
	if (!takes_payload(st))
		return;
	st->state |= STREAM_HUNGRY;
	st->rx_want = want;
	shmux__stream_control(st);
}

/* Others have nothing: give part of a large limit back instead of granting it. */
static void share(struct shmux_stream *st)
{
	uint32_t back = st->rx_limit - FAIR;

	if (back > st->rx_owed)
		back = st->rx_owed;
	st->rx_limit -= back;
	st->rx_owed -= back;
	st->s->budget_used -= back;
	freed(st->s);
}

uint32_t shmux__credit_take(struct shmux_stream *st)
{
	uint64_t limit = (uint64_t)st->rx_limit * 4;
	uint32_t owed;

	if (!takes_payload(st))
		return 0;
	if (!(st->state & STREAM_HUNGRY) && st->rx_owed < st->rx_limit / 2)
		return 0;
	if (st->state & STREAM_HUNGRY) {
		if (limit < st->rx_want)
			limit = st->rx_want;
		if (limit < FAIR)
			limit = FAIR;
		grow(st, limit);
	} else if (st->rx_limit > FAIR && !shmux_list_empty(&st->s->starved)) {
		share(st);
	} else {
		grow(st, limit);
	}
	owed = st->rx_owed;
	st->rx_owed = 0;
	st->rx_granted += owed;
	return owed;
}

bool shmux__credit_starved(const struct shmux_stream *st)
{
	return takes_payload(st) && (st->state & STREAM_HUNGRY) &&
	       st->rx_granted < st->rx_want &&
	       st->rx_limit < st->s->options.window;
}
