// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * control.c - control frames that wait for room in the ring
 *
 * A frame that answers the peer (credit, refusal, pong) is never waited for: it
 * is noted, and sent as soon as there is room, at the end of whichever call
 * comes next. What is noted is bounded by the streams and by a constant.
 */
#include <stdlib.h>

#include "base/errno.h"
#include "core/credit.h"
#include "core/core.h"
#include "core/wait.h"

static int send_u32(struct shmux_session *s, uint32_t type, uint32_t id,
		    uint32_t value)
{
	struct shmux_body_u32 body = { .value = value };

	return shmux__link_send(s->link, type, 0, id, &body, sizeof(body));
}

/* Give back the credit that nobody wants any more, down to the first grant. */
static int flush_refund(struct shmux_stream *st)
{
	uint32_t first = st->s->link->peer_first_grant, n;
	int err;

	n = st->tx_credit > first ? st->tx_credit - first : 0;
	/* At our FIN all of it goes back; and nothing may be all there is to say. */
	if (!(st->state & STREAM_FIN_SENT) &&
	    (n || (st->state & STREAM_BLOCKED_SENT))) {
		err = send_u32(st->s, SHMUX_FRAME_REFUND, st->id, n);
		if (err)
			return err;
		st->tx_credit -= n;
	}
	st->state &= ~(STREAM_OWES_REFUND | STREAM_BLOCKED_SENT);
	return 0;
}

/* What one stream owes. Return: 0, or -EAGAIN: to be tried again. */
static int flush_stream(struct shmux_stream *st)
{
	struct shmux_session *s = st->s;
	uint32_t granted, flags = 0;
	int err;

	if (st->state & STREAM_DETACHED)
		return 0;
	if (st->state & STREAM_OWES_RESET) {
		err = send_u32(s, SHMUX_FRAME_RESET, st->id, st->code);
		if (!err)
			shmux__stream_detach(st);
		return err;
	}
	if (st->state & STREAM_OWES_ABORT) {
		err = shmux__link_send(s->link, SHMUX_FRAME_DATA,
				       SHMUX_FLAG_ABORT, st->id, NULL, 0);
		if (err)
			return err;
		st->state &= ~STREAM_OWES_ABORT;
	}
	if (st->state & STREAM_OWES_REFUND) {
		err = flush_refund(st);
		if (err)
			return err;
	}
	if (st->state & (STREAM_OWES_FIN | STREAM_OWES_STOP)) {
		if (st->state & STREAM_OWES_FIN)
			flags |= SHMUX_FLAG_FIN;
		if (st->state & STREAM_OWES_STOP)
			flags |= SHMUX_FLAG_STOP;
		err = shmux__link_send(s->link, SHMUX_FRAME_END, flags, st->id,
				       NULL, 0);
		if (err)
			return err;
		st->state &= ~(STREAM_OWES_FIN | STREAM_OWES_STOP);
	}
	granted = shmux__credit_take(st);
	if (!granted)
		return 0;
	err = send_u32(s, SHMUX_FRAME_CREDIT, st->id, granted);
	if (err) {
		st->rx_granted -= granted;
		st->rx_owed += granted;
	}
	return err;
}

/* Put it on the control list, whether it starved or not. */
static void enlist(struct shmux_stream *st)
{
	if (st->state & STREAM_STARVED) {
		shmux_list_remove(&st->control);
		/* It may have kept the next one waiting. */
		st->s->owes |= OWES_STARVED;
	}
	st->state &= ~STREAM_STARVED;
	st->state |= STREAM_ON_CONTROL;
	shmux_list_append(&st->s->control, &st->control);
}

void shmux__stream_control(struct shmux_stream *st)
{
	if (!(st->state & STREAM_ON_CONTROL))
		enlist(st);
}

static struct shmux_stream *first(const struct shmux_list *list)
{
	return shmux_container_of(list->next, struct shmux_stream, control);
}

/*
 * The next stream that owes something. Those that found no budget follow, each
 * in its turn, as long as there is enough for it.
 */
static struct shmux_stream *next(struct shmux_session *s)
{
	if (shmux_list_empty(&s->control)) {
		if (!(s->owes & OWES_STARVED))
			return NULL;
		if (shmux_list_empty(&s->starved) ||
		    !shmux__credit_feed(first(&s->starved))) {
			s->owes &= ~OWES_STARVED;
			return NULL;
		}
		enlist(first(&s->starved));
	}
	return first(&s->control);
}

static int flush_owed(struct shmux_session *s)
{
	struct shmux__refusal *r;
	int err;

	while (s->nr_refusals) {
		r = &s->refusals[s->nr_refusals - 1];
		err = send_u32(s, SHMUX_FRAME_RESET, r->id, r->code);
		if (err)
			return err;
		s->nr_refusals--;
	}
	s->owes &= ~OWES_REFUSALS;
	if (s->owes & OWES_PONG) {
		err = shmux__link_send(s->link, SHMUX_FRAME_PONG, 0, 0,
				       s->pong, sizeof(s->pong));
		if (err)
			return err;
		s->owes &= ~OWES_PONG;
	}
	if (s->owes & OWES_GO_AWAY) {
		err = send_u32(s, SHMUX_FRAME_GOAWAY, 0, s->go_away_code);
		if (err)
			return err;
		s->owes &= ~OWES_GO_AWAY;
	}
	return 0;
}

void shmux__control_flush(struct shmux_session *s)
{
	struct shmux_stream *st;
	int err = 0;

	if (s->owes)
		err = flush_owed(s);
	while (!err && (st = next(s))) {
		err = flush_stream(st);
		if (err)
			break;
		shmux_list_remove(&st->control);
		st->state &= ~STREAM_ON_CONTROL;
		shmux__stream_settle(st);
		if (st->state & STREAM_CLOSED) {
			shmux__stream_reap(st);
		} else if (shmux__credit_starved(st)) {
			st->state |= STREAM_STARVED;
			shmux_list_append(&s->starved, &st->control);
		}
	}
	if (shmux_list_empty(&s->control))
		s->link->ops->last_word(s->link, 0);
	if (err == -EPROTO)
		shmux__session_die(s, err);
	else if (err)
		shmux__room_wanted(s);
}

int shmux__control_ask(struct shmux_session *s)
{
	struct shmux__link *l = s->link;
	int err;

	if (l->frames_sent == s->asked_for_chunks ||
	    !(l->features & SHMUX_FEATURE_BLOCKED))
		return 0;
	err = send_u32(s, SHMUX_FRAME_BLOCKED, 0, 0);
	if (!err)
		s->asked_for_chunks = l->frames_sent;
	return err;
}

int shmux__control_refuse(struct shmux_session *s, uint32_t id, uint32_t code)
{
	struct shmux__refusal *more;
	uint32_t size = s->refusals_size;
	int err;

	if (size && s->nr_refusals == size) {
		/* Amid a batch: the peer may be reading those before. */
		err = flush_owed(s);
		if (err == -EPROTO)
			return err;
		shmux__publish(s);
	}
	if (s->nr_refusals == size) {
		/*
		 * Opens without end, and our answers are not even read: each open
		 * of an honest peer reads what has come, so no more of its opens
		 * are without an answer than its ring holds.
		 */
		if (size >= SHMUX_REFUSALS_MAX &&
		    size >= s->link->peer_ring_slots)
			return -EPROTO;
		size = size ? size * 2 : 16;
		more = SHMUX_KEEP_ERRNO(realloc(s->refusals,
						size * sizeof(*more)));
		if (!more)
			return -ENOMEM;
		s->refusals = more;
		s->refusals_size = size;
	}
	s->refusals[s->nr_refusals++] =
		(struct shmux__refusal){ .id = id, .code = code };
	s->owes |= OWES_REFUSALS;
	return 0;
}
