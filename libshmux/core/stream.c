// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * stream.c - what a stream is: its birth, its ends, and its small questions
 *
 * Sending is in send.c, receiving in recv.c.
 */
#include "core/core.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/errno.h"
#include "core/credit.h"
#include "core/rx.h"
#include "core/wait.h"

struct shmux_stream *shmux__stream_new(struct shmux_session *s)
{
	struct shmux_stream *st = shmux_slab_get(&s->streams);

	if (!st)
		return NULL;
	memset(st, 0, sizeof(*st));
	st->s = s;
	st->tx_credit = s->link->peer_first_grant;
	return st;
}

void shmux__stream_reap(struct shmux_stream *st)
{
	if (st->state & (STREAM_ON_CONTROL | STREAM_STARVED | STREAM_ON_QUEUE))
		return;
	shmux_slab_put(&st->s->streams, st);
}

void shmux__stream_detach(struct shmux_stream *st)
{
	struct shmux_session *s = st->s;
	uint32_t role = st->id >> SHMUX_ID_ROLE_SHIFT;

	if (st->state & STREAM_DETACHED)
		return;
	st->state |= STREAM_DETACHED;
	if (role == s->link->role)
		shmux__table_release(&s->tables[role], st->id);
	else
		shmux__table_forget(&s->tables[role], st->id);
	if (s->link->ops->release)
		s->link->ops->release(s->link, st->id);
	shmux__credit_close(st);
	s->nr_streams--;
	s->link->ops->announce(s->link, s->nr_streams);
	if (!s->nr_streams)
		shmux__wake_session(s, WAIT_SESSION);
}

void shmux__stream_settle(struct shmux_stream *st)
{
	uint32_t state = st->state;
	bool fin_sent = (state & STREAM_FIN_SENT) && !(state & STREAM_OWES_FIN);
	bool stop_sent = (state & STREAM_STOP_SENT) &&
			 !(state & STREAM_OWES_STOP);

	/* After its FIN, and its STOP or our FIN, a side says nothing more. */
	if ((fin_sent && (stop_sent || (state & STREAM_FIN_RECEIVED))) ||
	    ((state & STREAM_FIN_RECEIVED) &&
	     (fin_sent || (state & STREAM_STOP_RECEIVED))))
		shmux__stream_detach(st);
}

/* Take note that something is to be said; leave() says it. */
static void owe(struct shmux_stream *st, uint32_t what)
{
	if (st->state & STREAM_DETACHED)
		return;
	st->state |= what;
	shmux__stream_control(st);
}

static void stop_reading(struct shmux_stream *st)
{
	if (st->state & STREAM_STOP_SENT)
		return;
	st->state |= STREAM_STOP_SENT;
	shmux__rx_discard(st);
	shmux__credit_stop(st);
	if (!(st->state & STREAM_FIN_RECEIVED))
		owe(st, STREAM_OWES_STOP);
	shmux__wake_stream(st, WAIT_READ);
}

static void stop_writing(struct shmux_stream *st)
{
	if (st->state & STREAM_FIN_SENT)
		return;
	st->state |= STREAM_FIN_SENT;
	owe(st, STREAM_OWES_FIN);
	shmux__wake_stream(st, WAIT_WRITE);
}

int shmux_stream_shutdown(struct shmux_stream *st, unsigned int how)
{
	struct shmux_session *s = st->s;
	int err;

	if (!how || (how & ~(SHMUX_READ | SHMUX_WRITE)))
		return -EINVAL;
	err = shmux__enter(s);
	if (err)
		return err;
	shmux__drain(s);
	if ((st->state & STREAM_RESET) || s->error) {
		err = -ECONNRESET;
	} else {
		if (how & SHMUX_WRITE)
			stop_writing(st);
		if (how & SHMUX_READ)
			stop_reading(st);
	}
	shmux__leave(s);
	return err;
}

void shmux__stream_expect(struct shmux_stream *st, uint32_t n)
{
	if (shmux__enter(st->s))
		return;
	shmux__credit_expect(st, n);
	shmux__leave(st->s);
}

void shmux__stream_reset(struct shmux_stream *st, uint32_t code)
{
	st->state |= STREAM_RESET;
	st->code = code;
	shmux__rx_discard(st);
	shmux__credit_stop(st);
	owe(st, STREAM_OWES_RESET);
	shmux__wake_stream(st, WAIT_READ | WAIT_WRITE);
}

int shmux_stream_reset(struct shmux_stream *st, uint32_t code)
{
	struct shmux_session *s = st->s;
	int err = shmux__enter(s);

	if (err)
		return err;
	if ((st->state & STREAM_RESET) || s->error) {
		err = -ECONNRESET;
	} else {
		shmux__stream_reset(st, code);
	}
	shmux__leave(s);
	return err;
}

int shmux_stream_reset_code(struct shmux_stream *st, uint32_t *code)
{
	struct shmux_session *s = st->s;
	int err = shmux__enter(s);

	if (err)
		return err;
	shmux__drain(s);
	if (st->state & STREAM_RESET)
		*code = st->code;
	else if (s->error && !(st->state & STREAM_DETACHED))
		*code = SHMUX_CODE_ABANDONED;
	else
		err = -ENODATA;
	shmux__leave(s);
	return err;
}

void shmux_stream_close(struct shmux_stream *st)
{
	struct shmux_session *s;

	if (!st)
		return;
	s = st->s;
	/* In a forked child the session is the parent's: nothing is ours. */
	if (shmux__enter(s))
		return;
	while (st->waiters) {
		shmux__cancel_stream(st, WAIT_READ | WAIT_WRITE);
		shmux_unlock(&s->lock);
		sched_yield();
		shmux_lock(&s->lock);
	}
	if (!s->error && !(st->state & STREAM_RESET)) {
		stop_writing(st);
		stop_reading(st);
	}
	shmux__rx_clear(st);
	if (!s->error) {
		if (shmux__owes(s))
			shmux__control_flush(s);
		if (!s->corked)
			shmux__publish(s);
	}
	/*
	 * What is still owed, for want of room, is said later from the control
	 * list, which then frees the stream. Elsewhere it goes now.
	 */
	if (s->error)
		shmux__stream_detach(st);
	else if (!(st->state & (STREAM_DETACHED | STREAM_RESET)))
		s->link->ops->last_word(s->link, st->id);
	st->state |= STREAM_CLOSED;
	free(st->extra);
	st->extra = NULL;
	if (st->state & STREAM_STARVED)
		shmux__stream_control(st);
	else if (st->state & STREAM_DETACHED)
		shmux__stream_reap(st);
	shmux__session_put_unlock(s);
}

void shmux__stream_event_slow(struct shmux_stream *st, uint32_t event)
{
	struct shmux_session *s = st->s;

	if (!(st->state & STREAM_ACCEPTED) || (st->state & STREAM_CLOSED))
		return;
	st->state |= event;
	if (!(st->state & STREAM_ON_QUEUE)) {
		st->state |= STREAM_ON_QUEUE;
		shmux__fifo_push_queue(&s->ready, st);
		shmux__events_tell(s);
	}
}

int shmux_stream_set_deadline(struct shmux_stream *st, unsigned int how,
			      uint64_t deadline)
{
	struct shmux_session *s = st->s;
	int err;

	if (!how || (how & ~(SHMUX_READ | SHMUX_WRITE)))
		return -EINVAL;
	err = shmux__enter(s);
	if (err)
		return err;
	if (!st->extra) {
		if (deadline == SHMUX_NEVER)
			goto out;
		st->extra = SHMUX_KEEP_ERRNO(malloc(sizeof(*st->extra)));
		if (!st->extra) {
			err = -ENOMEM;
			goto out;
		}
		st->extra->deadline[0] = SHMUX_NEVER;
		st->extra->deadline[1] = SHMUX_NEVER;
	}
	if (how & SHMUX_READ)
		st->extra->deadline[0] = deadline;
	if (how & SHMUX_WRITE)
		st->extra->deadline[1] = deadline;
	/* Those who wait look at it again. */
	shmux__wake_stream(st, (how & SHMUX_READ ? WAIT_READ : 0) |
				       (how & SHMUX_WRITE ? WAIT_WRITE : 0));
out:
	shmux__leave(s);
	return err;
}

void shmux_stream_unblock(struct shmux_stream *st, unsigned int how)
{
	struct shmux_session *s = st->s;

	if (shmux__enter(s))
		return;
	shmux__cancel_stream(st, (how & SHMUX_READ ? WAIT_READ : 0) |
					 (how & SHMUX_WRITE ? WAIT_WRITE : 0));
	shmux__leave(s);
}

size_t shmux_stream_message_max(struct shmux_stream *st)
{
	return st->s->link->peer_message_max;
}

size_t shmux_stream_peek_max(struct shmux_stream *st)
{
	return st->s->options.window / 2;
}

size_t shmux_stream_reserve_max(struct shmux_stream *st)
{
	const struct shmux__link *l = st->s->link;

	return l->chunk_max < l->peer_message_max ? l->chunk_max :
						    l->peer_message_max;
}

uint32_t shmux_stream_id(const struct shmux_stream *st)
{
	return st->id;
}

int shmux_stream_is_message(const struct shmux_stream *st)
{
	bool locked = !shmux__enter(st->s);
	bool messages = st->state & STREAM_MESSAGES;

	if (locked)
		shmux_unlock(&st->s->lock);
	return messages;
}

struct shmux_session *shmux_stream_session(struct shmux_stream *st)
{
	return st->s;
}

void shmux_stream_set_user(struct shmux_stream *st, void *user)
{
	/* The caller says in which order; a pump may look meanwhile. */
	__atomic_store_n(&st->user, user, __ATOMIC_RELAXED);
}

void *shmux_stream_user(const struct shmux_stream *st)
{
	return __atomic_load_n(&st->user, __ATOMIC_RELAXED);
}

static int say_address(const struct shmux_session *s, bool listening_side,
		       pid_t pid, char *buf, size_t size)
{
	int n;

	if (listening_side && s->address[0])
		n = snprintf(buf, size, "%s", s->address);
	else
		n = snprintf(buf, size, "pid:%ld", (long)pid);
	return n >= 0 && (size_t)n < size ? 0 : -ERANGE;
}

int shmux_stream_local_address(struct shmux_stream *st, char *buf, size_t size)
{
	const struct shmux_session *s = st->s;

	return say_address(s, s->link->role == SHMUX_ROLE_ACCEPTOR, getpid(),
			   buf, size);
}

int shmux_stream_peer_address(struct shmux_stream *st, char *buf, size_t size)
{
	const struct shmux_session *s = st->s;

	return say_address(s, s->link->role == SHMUX_ROLE_DIALLER,
			   s->link->peer.pid, buf, size);
}
