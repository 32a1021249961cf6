// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * control.c - control frames that wait for room in the ring
 *
 * A frame that answers the peer (credit, refusal, pong) is never waited for: it
 * is noted, and sent as soon as there is room, at the end of whichever call
 * comes next. What is noted is bounded by the streams and by a constant.
 */
#include <stdlib.h>

#include "core/credit.h"
#include "core/core.h"

static int send_u32(struct shmux_session *s, uint32_t type, uint32_t id,
		    uint32_t value)
{
	struct shmux_body_u32 body = { .value = value };

	return shmux__link_send(s->link, type, 0, id, &body, sizeof(body));
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

static void push(struct shmux__fifo *f, struct shmux_stream *st)
{
	st->next_control = NULL;
	if (f->last)
		f->last->next_control = st;
	else
		f->first = st;
	f->last = st;
}

static struct shmux_stream *pop(struct shmux__fifo *f)
{
	struct shmux_stream *st = f->first;

	f->first = st->next_control;
	if (!f->first)
		f->last = NULL;
	return st;
}

void shmux__stream_control(struct shmux_stream *st)
{
	struct shmux_session *s = st->s;

	if (st->state & STREAM_STARVED) {
		s->owes |= OWES_STARVED;
	} else if (!(st->state & STREAM_ON_CONTROL)) {
		st->state |= STREAM_ON_CONTROL;
		push(&s->control, st);
	}
}

/* Those that found no budget are tried again. */
static void retry_starved(struct shmux_session *s)
{
	struct shmux_stream *st;

	s->owes &= ~OWES_STARVED;
	while (s->starved.first) {
		st = pop(&s->starved);
		st->state &= ~STREAM_STARVED;
		st->state |= STREAM_ON_CONTROL;
		push(&s->control, st);
	}
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

	if (s->owes & OWES_STARVED)
		retry_starved(s);
	if (s->owes)
		err = flush_owed(s);
	while (!err && (st = s->control.first)) {
		err = flush_stream(st);
		if (err)
			break;
		pop(&s->control);
		st->state &= ~STREAM_ON_CONTROL;
		shmux__stream_settle(st);
		if (st->state & STREAM_CLOSED) {
			shmux__stream_reap(st);
		} else if (shmux__credit_starved(st)) {
			st->state |= STREAM_STARVED;
			push(&s->starved, st);
		}
	}
	if (!s->control.first)
		s->link->ops->last_word(s->link, 0);
	if (err == -EPROTO)
		shmux__session_die(s, err);
}

int shmux__control_refuse(struct shmux_session *s, uint32_t id, uint32_t code)
{
	struct shmux__refusal *more;
	uint32_t size;

	if (s->nr_refusals == s->refusals_size) {
		size = s->refusals_size ? s->refusals_size * 2 : 16;
		/* Opens without end, and our answers are not even read. */
		if (size > SHMUX_REFUSALS_MAX)
			return -EPROTO;
		more = realloc(s->refusals, size * sizeof(*more));
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
