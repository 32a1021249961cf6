// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pump.c - what each frame does
 *
 * Owns the receiving half of the protocol: which frame is legal in which state
 * of a stream, and what follows. The link has checked the frame's form, not its
 * sense. Anything illegal ends the session with -EPROTO and nothing else.
 */
#include "core/core.h"
#include "core/credit.h"
#include "core/direct.h"
#include "core/rx.h"
#include "core/wait.h"

static void return_chunk(struct shmux_session *s, const struct shmux__frame *f)
{
	if (f->data)
		s->link->ops->chunk_return(s->link, f->handle);
}

/* More has come on a stream than it was granted, or than we keep. */
static int too_much(struct shmux_stream *st)
{
	if (!st->s->link->forgives)
		return -EPROTO;
	shmux__session_log(st->s, SHMUX_LOG_ERROR,
			   "session with process %ld: stream %u is reset, more has come than we take",
			   (long)st->s->link->peer.pid, st->id);
	shmux__stream_reset(st, SHMUX_CODE_LIMIT);
	return 0;
}

/* To a reader's buffer. Return: bytes, all of them or as many as there is room for. */
static uint32_t place(struct shmux_session *s, struct shmux__waiter *w,
		      const struct shmux__frame *f)
{
	uint32_t n = f->len;

	if (n > w->size - w->done)
		n = (uint32_t)(w->size - w->done);
	shmux__link_copy(s->link, f, 0, w->buf + w->done, n);
	w->done += n;
	return n;
}

/* All of the frame has been read. */
static void consumed(struct shmux_session *s, struct shmux_stream *st,
		     const struct shmux__frame *f, uint32_t cost)
{
	return_chunk(s, f);
	shmux__credit_consumed(st, cost);
}

static void in_message(struct shmux_stream *st, const struct shmux__frame *f)
{
	if (f->flags & SHMUX_FLAG_MORE)
		st->state |= STREAM_IN_MESSAGE;
	else
		st->state &= ~STREAM_IN_MESSAGE;
}

/* It is given up: what has come of it is dropped. */
static void abort_message(struct shmux_stream *st)
{
	shmux__drop_parts(st);
	shmux__rx_abort(st);
	st->state &= ~STREAM_IN_MESSAGE;
}

/* A part of a message, which one reader has from its beginning, or none. */
static int deliver_part(struct shmux_session *s, struct shmux_stream *st,
			const struct shmux__frame *f, uint32_t cost)
{
	struct shmux__waiter *w = shmux__direct_reader(st, f);
	int err = 0;

	if (!w)
		w = shmux__take_parts(st, f);
	if (w) {
		place(s, w, f);
		w->cost += cost;
		w->in_message = f->flags & SHMUX_FLAG_MORE;
		w->message_done = !w->in_message;
		consumed(s, st, f, w->message_done ? w->cost : 0);
	} else {
		w = shmux__part_holder(st);
		/* It is longer than the reader's buffer. */
		if (w)
			err = shmux__leave_parts(w);
		if (!err && s->rx_queued + f->len > s->rx_queued_max) {
			consumed(s, st, f, cost);
			return too_much(st);
		}
		if (!err)
			err = shmux__rx_add(st, f, 0, cost);
	}
	in_message(st, f);
	return err;
}

/* Payload of a stream that is read. */
static int deliver(struct shmux_session *s, struct shmux_stream *st,
		   const struct shmux__frame *f)
{
	struct shmux__waiter *w;
	uint32_t cost = shmux__cost(s->link, f->len), n = 0;

	if (st->state & STREAM_MESSAGES)
		return deliver_part(s, st, f, cost);
	w = shmux__direct_reader(st, f);
	if (w)
		n = place(s, w, f);
	if (w && n == f->len) {
		consumed(s, st, f, cost);
		/* A chunk that came alone: so may the next. */
		s->few = f->data && w->done == n &&
			 shmux__link_is_shm(s->link) &&
			 !shmux__shm_ready(shmux__shm(s->link), 0);
		return 0;
	}
	if (s->rx_queued + f->len - n > s->rx_queued_max) {
		/* It is not kept, so nobody else will say so. */
		shmux__credit_consumed(st, cost);
		return too_much(st);
	}
	return shmux__rx_add(st, f, n, cost);
}

static void end_received(struct shmux_stream *st, uint32_t flags)
{
	if (flags & SHMUX_FLAG_FIN) {
		st->state |= STREAM_FIN_RECEIVED;
		if (st->state & STREAM_IN_MESSAGE)
			abort_message(st);
		shmux__credit_close(st);
		shmux__wake_stream(st, WAIT_READ);
		shmux__stream_event(st, STREAM_EVENT_READ);
	}
	if (flags & SHMUX_FLAG_STOP) {
		st->state |= STREAM_STOP_RECEIVED;
		shmux__wake_stream(st, WAIT_WRITE);
		shmux__stream_event(st, STREAM_EVENT_WRITE);
	}
	shmux__stream_settle(st);
}

/* Would payload of the next record go to a reader as it is, and no questions? */
static inline bool takes_small(const struct shmux_stream *st)
{
	return !st->rx_first && st->rx_granted >= SHMUX_CREDIT_MIN &&
	       !(st->state & (STREAM_IN_MESSAGE | STREAM_FIN_RECEIVED |
			      STREAM_STOP_SENT | STREAM_RESET | STREAM_HUNGRY |
			      STREAM_INDEBTED | STREAM_DETACHED));
}

static inline void took_small(struct shmux_session *s, struct shmux_stream *st,
			      uint32_t len)
{
	st->rx_granted -= SHMUX_CREDIT_MIN;
	s->counters.bytes_received += len;
	st->rx_owed += SHMUX_CREDIT_MIN;
	if (st->rx_owed >= st->rx_limit / 2)
		shmux__stream_control(st);
}

/* Small payload for one reader who waits for just that: a straight line. */
static bool deliver_small(struct shmux_session *s, struct shmux_stream *st,
			  const struct shmux__frame *f)
{
	struct shmux__waiter *w = st->waiters;

	if (f->flags || f->len - 1 >= SHMUX_CREDIT_MIN || f->data || !w ||
	    w->next || !w->buf || w->cancelled || f->len > w->size - w->done ||
	    w->message_done || !takes_small(st))
		return false;
	shmux__link_copy_few(s->link, f, w->buf + w->done);
	w->done += f->len;
	w->message_done = st->state & STREAM_MESSAGES;
	took_small(s, st, f->len);
	shmux__wake(w);
	if (s->events_on)
		shmux__stream_event_slow(st, STREAM_EVENT_READ);
	return true;
}

/* The same of one that came in a chunk. */
static SHMUX_ASIDE uint32_t receive_chunk(struct shmux_stream *st, void *buf,
					  size_t size)
{
	struct shmux_session *s = st->s;
	uint32_t len;

	if (size > st->rx_granted)
		size = st->rx_granted;
	len = shmux__shm_receive_chunk(shmux__shm(s->link), st->id, buf, size);
	if (!len)
		return 0;
	s->counters.frames_received++;
	s->counters.bytes_received += len;
	st->rx_granted -= len;
	shmux__credit_consumed(st, len);
	return len;
}

uint32_t shmux__receive_few(struct shmux_stream *st, void *buf, size_t size)
{
	struct shmux_session *s = st->s;
	struct shmux__shm *l = shmux__shm(s->link);
	uint32_t len, polls = 0;

	if (!takes_small(st) || st->waiters || s->leader || s->error ||
	    s->events_on || shmux__owes(s))
		return 0;
	if (shmux_single_threaded() && !shmux__shm_ready(l, 0))
		polls = shmux__polls_alone(s);
	len = shmux__shm_receive_few(l, st->id, buf, size, polls);
	if (!len)
		return receive_chunk(st, buf, size);
	s->counters.frames_received++;
	took_small(s, st, len);
	return len;
}

/*
 * The stream of a frame; that of who takes it first. So the processor need not wait
 * for the id to know where the payload goes: it bets on the comparison.
 */
static struct shmux_stream *find(struct shmux_session *s, uint32_t id)
{
	const struct shmux__waiter *w = s->reader ? s->reader : s->leader;
	struct shmux_stream *st = w ? w->st : NULL;

	if (st && st->id == id && !(st->state & STREAM_DETACHED))
		return st;
	return shmux__session_find(s, id);
}

static int on_data(struct shmux_session *s, const struct shmux__frame *f)
{
	struct shmux_stream *st = find(s, f->id);
	uint32_t cost;
	int err;

	if (__builtin_expect(st && deliver_small(s, st, f), 1)) {
		s->few = shmux__link_is_shm(s->link);
		return 0;
	}
	s->few = false;
	if (!st) {
		return_chunk(s, f);
		return 0;
	}
	cost = shmux__cost(s->link, f->len);
	if (st->state & STREAM_FIN_RECEIVED)
		return -EPROTO;
	if (f->flags & SHMUX_FLAG_ABORT) {
		if (f->len)
			return -EPROTO;
		return_chunk(s, f);
		if (st->state & STREAM_IN_MESSAGE)
			abort_message(st);
		return 0;
	}
	if (f->flags & SHMUX_FLAG_STOP)
		return -EPROTO;
	if (cost > st->rx_granted) {
		/* It may not know yet that it has lost the stream for that. */
		if (s->link->forgives && (st->state & STREAM_RESET))
			return 0;
		return too_much(st);
	}
	st->rx_granted -= cost;
	s->counters.bytes_received += f->len;

	if ((st->state & (STREAM_STOP_SENT | STREAM_RESET)) ||
	    (!f->len && !(st->state & STREAM_MESSAGES))) {
		return_chunk(s, f);
		shmux__credit_consumed(st, cost);
	} else {
		st->state &= ~STREAM_HUNGRY;
		err = deliver(s, st, f);
		if (err)
			return err;
		shmux__wake_stream(st, WAIT_READ);
		shmux__stream_event(st, STREAM_EVENT_READ);
	}
	if (f->flags & SHMUX_FLAG_FIN)
		end_received(st, SHMUX_FLAG_FIN);
	return 0;
}

static int on_open(struct shmux_session *s, const struct shmux__frame *f)
{
	uint32_t role = f->id >> SHMUX_ID_ROLE_SHIFT;
	struct shmux_stream *st;
	int err;

	if (role == s->link->role ||
	    !(f->id >> SHMUX_ID_GEN_SHIFT & SHMUX_ID_GEN_MASK) ||
	    (f->value[0] & ~SHMUX_OPEN_MESSAGES))
		return -EPROTO;
	if (s->going_away)
		return shmux__control_refuse(s, f->id, SHMUX_CODE_GOING_AWAY);
	if (s->refuses)
		return shmux__control_refuse(s, f->id, SHMUX_CODE_REFUSED);
	if (s->accept_depth >= s->options.backlog)
		return shmux__control_refuse(s, f->id, SHMUX_CODE_BACKLOG);
	if (s->nr_streams >= s->options.streams_max)
		return shmux__control_refuse(s, f->id, SHMUX_CODE_LIMIT);

	st = shmux__stream_new(s);
	if (!st)
		return shmux__control_refuse(s, f->id, SHMUX_CODE_LIMIT);
	err = shmux__table_enter(&s->tables[role], st, f->id);
	if (!err) {
		err = shmux__credit_open(st);
		if (err)
			shmux__table_forget(&s->tables[role], f->id);
	}
	if (err) {
		shmux_slab_put(&s->streams, st);
		/* An index in use: opened twice. */
		if (err == -EEXIST)
			return -EPROTO;
		return shmux__control_refuse(s, f->id, SHMUX_CODE_LIMIT);
	}
	st->id = f->id;
	if (f->value[0] & SHMUX_OPEN_MESSAGES)
		st->state |= STREAM_MESSAGES;
	s->nr_streams++;
	s->counters.streams_opened++;
	s->link->ops->announce(s->link, s->nr_streams);
	st->state |= STREAM_ON_QUEUE;
	shmux__fifo_push_queue(&s->accept_queue, st);
	shmux_store_relaxed(&s->accept_depth, s->accept_depth + 1);
	shmux__wake_session(s, WAIT_SESSION);
	if (s->events_on && !s->accept_event) {
		s->accept_event = true;
		shmux__events_tell(s);
	}
	if (s->notify)
		s->notify(s->notify_arg);
	return 0;
}

static int on_credit(struct shmux_session *s, const struct shmux__frame *f)
{
	struct shmux_stream *st = shmux__session_find(s, f->id);
	uint32_t more;

	if (!st)
		return 0;
	more = f->value[0];
	if (st->tx_credit > SHMUX_WINDOW_MAX)
		return -EPROTO;
	if (more > SHMUX_WINDOW_MAX - st->tx_credit) {
		if (!s->link->forgives)
			return -EPROTO;
		more = SHMUX_WINDOW_MAX - st->tx_credit;
	}
	st->tx_credit += more;
	if (__builtin_expect(st->state & STREAM_GAVE_UP, 0))
		shmux__stream_refund(st);
	shmux__stream_may_write(st);
	return 0;
}

static int on_refund(struct shmux_session *s, const struct shmux__frame *f)
{
	struct shmux_stream *st = shmux__session_find(s, f->id);

	return st ? shmux__credit_refunded(st, f->value[0]) : 0;
}

static int on_end(struct shmux_session *s, const struct shmux__frame *f)
{
	struct shmux_stream *st = shmux__session_find(s, f->id);

	if (!(f->flags & (SHMUX_FLAG_FIN | SHMUX_FLAG_STOP)) ||
	    (f->flags & ~(SHMUX_FLAG_FIN | SHMUX_FLAG_STOP)))
		return -EPROTO;
	if (!st)
		return 0;
	if (((f->flags & SHMUX_FLAG_FIN) &&
	     (st->state & STREAM_FIN_RECEIVED)) ||
	    ((f->flags & SHMUX_FLAG_STOP) &&
	     (st->state & STREAM_STOP_RECEIVED)))
		return -EPROTO;
	end_received(st, f->flags);
	return 0;
}

static int on_reset(struct shmux_session *s, const struct shmux__frame *f)
{
	struct shmux_stream *st = shmux__session_find(s, f->id);

	if (!st)
		return 0;
	st->state |= STREAM_RESET;
	st->code = f->value[0];
	shmux__rx_discard(st);
	shmux__stream_detach(st);
	shmux__wake_stream(st, WAIT_READ | WAIT_WRITE);
	shmux__stream_event(st, STREAM_EVENT_READ | STREAM_EVENT_WRITE);
	return 0;
}

static int on_blocked(struct shmux_session *s, const struct shmux__frame *f)
{
	struct shmux_stream *st;

	if (!f->id) {
		shmux__rx_give_way(s);
		return 0;
	}
	st = shmux__session_find(s, f->id);
	if (st)
		shmux__credit_wanted(st, f->value[0]);
	return 0;
}

static int on_pong(struct shmux_session *s, const struct shmux__frame *f)
{
	uint64_t token = (uint64_t)f->value[1] << 32 | f->value[0];

	if (token > s->ping_sent)
		return -EPROTO;
	if (token > s->ping_answered)
		s->ping_answered = token;
	shmux__wake_session(s, WAIT_SESSION);
	return 0;
}

static int handle(struct shmux_session *s, const struct shmux__frame *f)
{
	s->counters.frames_received++;
	switch (f->type) {
	case SHMUX_FRAME_DATA:
		return on_data(s, f);
	case SHMUX_FRAME_OPEN:
		return on_open(s, f);
	case SHMUX_FRAME_CREDIT:
		return on_credit(s, f);
	case SHMUX_FRAME_END:
		return on_end(s, f);
	case SHMUX_FRAME_RESET:
		return on_reset(s, f);
	case SHMUX_FRAME_BLOCKED:
		return on_blocked(s, f);
	case SHMUX_FRAME_GOAWAY:
		if (!s->peer_going_away)
			s->peer_go_away_code = f->value[0];
		s->peer_going_away = true;
		shmux__wake_session(s, WAIT_SESSION);
		if (s->notify)
			s->notify(s->notify_arg);
		return 0;
	case SHMUX_FRAME_PING:
		s->pong[0] = f->value[0];
		s->pong[1] = f->value[1];
		s->owes |= OWES_PONG;
		return 0;
	case SHMUX_FRAME_PONG:
		return on_pong(s, f);
	case SHMUX_FRAME_REFUND:
		return on_refund(s, f);
	case SHMUX__FRAME_OFFER:
		return shmux__take_offer(s, f);
	default:
		return -EPROTO;
	}
}

void shmux__pump(struct shmux_session *s, int max)
{
	struct shmux__frame f;
	int err = 1;

	while (max-- && (err = shmux__link_receive(s->link, &f)) > 0) {
		err = handle(s, &f);
		if (err)
			break;
	}
	if (__builtin_expect(err < 0, 0)) {
		shmux__session_die(s, err);
		return;
	}
	if (shmux__owes(s))
		shmux__control_flush(s);
}

void shmux__drain_slow(struct shmux_session *s)
{
	shmux__pump(s, SHMUX_DRAIN_BATCH);
	shmux__tell_left(s);
}

/* Of so many calls that hold back one asks the kernel. */
#define HELD_PER_ASK 16u

void shmux__drain_more_slow(struct shmux_session *s)
{
	if (++s->unasked < HELD_PER_ASK && !s->link->ops->ready(s->link, 0))
		return;
	s->unasked = 0;
	shmux__drain(s);
}

void shmux__pump_last_words(struct shmux_session *s)
{
	struct shmux_stream *st;
	uint32_t i, id, flags;

	for (i = 0; (id = s->link->ops->heard_last(s->link, i)); i++) {
		st = shmux__session_find(s, id);
		if (!st)
			continue;
		flags = st->state & STREAM_FIN_RECEIVED ? 0 : SHMUX_FLAG_FIN;
		if (!(st->state & STREAM_STOP_RECEIVED))
			flags |= SHMUX_FLAG_STOP;
		end_received(st, flags);
	}
}
