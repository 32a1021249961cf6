/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wait.h - blocking: one leads, the others follow
 *
 * A call that cannot go on becomes a waiter. One waiter of a session is the
 * leader: it polls the link, without the lock while it spins or sleeps (but see
 * shmux__polls_alone()), pumps what comes and wakes those whom it concerns. The
 * others sleep on a word of their own. A leader that is done hands over to the
 * waiter that has waited longest. While it sleeps any call may receive, and pokes
 * it if that concerns it; while it is awake, of shared memory, a call that reads.
 *
 * All under the session's lock, which shmux__wait() drops while it waits.
 */
#ifndef SHMUX_CORE_WAIT_H
#define SHMUX_CORE_WAIT_H

#include "core/core.h"

/* What a waiter waits for. */
#define WAIT_READ	0x01u
#define WAIT_WRITE	0x02u
#define WAIT_SESSION	0x04u	/* accept, ping, drain */

struct shmux__waiter {
	struct shmux_list node;		/* in the session's waiters */
	struct shmux__waiter *next;	/* in the stream's */
	struct shmux_session *s;
	struct shmux_stream *st;	/* or NULL */
	uint32_t kind;
	uint32_t poke;			/* 0 while there is nothing to look at */
	int cpu;			/* on which it fell asleep, as a follower */
	bool enlisted;
	bool asleep;			/* as a follower */
	bool cancelled;
	bool slept;			/* once at least */
	bool room;			/* waits for ring room or a chunk */

	/* A reader's buffer; payload may be copied straight into it. */
	char *buf;
	size_t size, done;
	size_t want;			/* bytes with which the call returns, if it is known */
	bool in_message;		/* @done bytes of one, to be continued */
	bool message_done;
	uint32_t cost;			/* of those bytes, which is still owed */
};

static inline void shmux__waiter_init(struct shmux__waiter *w,
				      struct shmux_session *s,
				      struct shmux_stream *st, uint32_t kind)
{
	w->s = s;
	w->st = st;
	w->kind = kind;
	w->poke = 0;
	w->enlisted = w->asleep = w->cancelled = w->slept = w->room = false;
	w->buf = NULL;
	w->size = w->done = w->want = 0;
	w->in_message = w->message_done = false;
	w->cost = 0;
}

/*
 * Wait until something has happened that the caller should look at, or until
 * @deadline. @room: the caller waits for ring room or a chunk. Return: 0;
 * -ETIMEDOUT; -ECANCELED. The caller looks at its condition before it believes
 * an error.
 */
int shmux__wait(struct shmux__waiter *w, uint64_t deadline, bool room);

/*
 * Nothing has come, and nobody else can want the lock: there is one thread. Return:
 * how often to poll, if a wait would, before becoming a waiter: that takes as long as
 * an answer. If it is not 0 what was held back has been published.
 */
uint32_t shmux__polls_alone(struct shmux_session *s);

/*
 * What a wait has returned, if its deadline is @deadline by now: another thread
 * may have moved it on, in time, while we were on our way back.
 */
static inline int shmux__waited(int err, uint64_t deadline)
{
	return err == -ETIMEDOUT && shmux_clock_left(deadline) ? 0 : err;
}

/* The call is over. Hands over if it led. Nothing to do if it never waited. */
void shmux__wait_end_slow(struct shmux__waiter *w);

static inline void shmux__wait_end(struct shmux__waiter *w)
{
	if (w->enlisted)
		shmux__wait_end_slow(w);
}

/* Wake a waiter; wake those of a stream, or of the session, of some kinds. */
void shmux__wake_slow(struct shmux__waiter *w);

static inline void shmux__wake(struct shmux__waiter *w)
{
	if (!w->poke)
		shmux__wake_slow(w);
}

void shmux__wake_stream_slow(struct shmux_stream *st, uint32_t kinds);
void shmux__wake_session(struct shmux_session *s, uint32_t kinds);
void shmux__cancel_stream(struct shmux_stream *st, uint32_t kinds);
/* Return: whether there was any. */
bool shmux__cancel_session(struct shmux_session *s, uint32_t kinds);

static inline void shmux__wake_stream(struct shmux_stream *st, uint32_t kinds)
{
	if (st->waiters)
		shmux__wake_stream_slow(st, kinds);
}

/*
 * Take note of what the peer has said, as shmux__drain(); payload that the
 * waiter, a reader, waits for goes straight into its buffer.
 */
static inline void shmux__drain_into(struct shmux__waiter *w)
{
	struct shmux_session *s = w->s;
	struct shmux_stream *st = w->st;

	if (!shmux__reader_has_news(s))
		return;
	w->next = st->waiters;
	st->waiters = w;
	s->reader = w;
	/* It is awake. */
	shmux_store_relaxed(&w->poke, 1);
	shmux__drain_slow(s);
	s->reader = NULL;
	st->waiters = w->next;
	shmux_store_relaxed(&w->poke, 0);
}

/*
 * A poller (epoll) is to be woken for @reasons, if nobody leads. Return: true if
 * something has come already.
 */
bool shmux__watch(struct shmux_session *s, uint32_t reasons);

/*
 * Something waits for room since just now, without a waiter of its own: whoever
 * sleeps for the session must do so for room, too.
 */
void shmux__room_wanted(struct shmux_session *s);

/* A call that does not wait met a full link: the pump tells when it is not. */
void shmux__room_missed(struct shmux_session *s);

/* Room was made by a call of ours, of which the peer will not tell. */
void shmux__room_made(struct shmux_session *s);

/*
 * Take what came over the link's descriptors, in a call that has polled them.
 * Return: as the link's clear.
 */
int shmux__clear(struct shmux_session *s);

/* The session's eventfd has been read: a poke that it stood for is repeated. */
void shmux__wake_again(struct shmux_session *s);

#endif /* SHMUX_CORE_WAIT_H */
