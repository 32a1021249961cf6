/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * core.h - a session and its streams, as the files of core/ share them
 *
 * Locking. One lock a session guards the session, its streams and its link;
 * while the process has one thread it costs nothing (base/lock.h). It is held
 * for a bounded batch of frames or the copy of one call, never while asleep.
 *
 * Lifetime. A session is freed when its last reference goes: one is the owner's
 * (the caller's handle, a listener's or a context's), one each stream handle's.
 * A stream that is open but not yet accepted belongs to the session.
 *
 * A stream leaves its table when nothing more will be said about its id
 * (stream_detach() in stream.c); its handle lives on until it is closed.
 */
#ifndef SHMUX_CORE_CORE_H
#define SHMUX_CORE_CORE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shmux/listener.h>
#include <shmux/session.h>
#include <shmux/stream.h>

#include "base/clock.h"
#include "base/inline.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/slab.h"
#include "base/yield.h"
#include "core/table.h"
#include "link/link.h"
#include "link/shm.h"

/* How long a new session spins before it has learned, ns. */
#define SHMUX_SPIN_FIRST UINT64_C(20000)

/* Frames that one call takes note of before it goes about its own business. */
#define SHMUX_DRAIN_BATCH 32

/* struct shmux_stream::state */
#define STREAM_MESSAGES		0x0001u
#define STREAM_FIN_SENT		0x0002u
#define STREAM_FIN_RECEIVED	0x0004u
#define STREAM_STOP_SENT	0x0008u
#define STREAM_STOP_RECEIVED	0x0010u
#define STREAM_RESET		0x0020u	/* by either side; @code tells */
#define STREAM_DETACHED		0x0040u	/* not in the table */
#define STREAM_CLOSED		0x0080u	/* no handle; freed once off its lists */
#define STREAM_BLOCKED_SENT	0x0100u	/* told the peer that credit is out */
#define STREAM_HUNGRY		0x0200u	/* the peer told us so: grant at once */
#define STREAM_STARVED		0x0400u	/* and is on the starved list */
#define STREAM_OWES_ABORT	0x0800u	/* half a message is to be dropped */
#define STREAM_IN_MESSAGE	0x1000u	/* received MORE, the rest is to come */
#define STREAM_ON_CONTROL	0x2000u	/* on the session's control list */
#define STREAM_ON_QUEUE		0x4000u	/* on the accept or ready queue */
#define STREAM_ACCEPTED		0x8000u	/* has a handle */
#define STREAM_WANTS_WRITE	0x10000u	/* a write met -EAGAIN: tell when not */
#define STREAM_EVENT_READ	0x20000u
#define STREAM_EVENT_WRITE	0x40000u
#define STREAM_OWES_FIN		0x80000u	/* said at the end of the call */
#define STREAM_OWES_STOP	0x100000u
#define STREAM_OWES_RESET	0x200000u
#define STREAM_TX_BUSY		0x400000u	/* amid the parts of a message */
#define STREAM_PEEKED		0x800000u	/* the caller looks at the first node */
#define STREAM_INDEBTED		0x1000000u	/* took what is kept in reserve */
#define STREAM_GAVE_UP		0x2000000u	/* asked for credit, and wants it no more */
#define STREAM_OWES_REFUND	0x4000000u

struct shmux__rx;
struct shmux__waiter;

/* What few streams have. */
struct shmux__stream_extra {
	uint64_t deadline[2];	/* of reading, of writing; 0 is never */
};

/* An idle stream is this and 8 bytes of table: at most 128 together. */
struct shmux_stream {
	struct shmux_session *s;
	uint32_t id;
	uint32_t state;
	uint32_t tx_credit;		/* bytes that we may still send */
	uint32_t rx_granted;		/* bytes that the peer may still send */
	uint32_t rx_limit;		/* granted, queued, held and owed */
	uint32_t rx_owed;		/* consumed, not granted again yet */
	uint32_t rx_queued;		/* payload bytes in the queue */
	union {
		uint32_t rx_want;	/* bytes the hungry peer has to send */
		uint32_t code;		/* once it is reset */
	};
	struct shmux__rx *rx_first, *rx_last;
	struct shmux__rx *rx_whole;	/* the end of the last whole message */
	struct shmux__waiter *waiters;
	struct shmux_list control;	/* node of the session's control or starved list */
	struct shmux_stream *next_queue;
	struct shmux__stream_extra *extra;
	void *user;
};

_Static_assert(sizeof(struct shmux_stream) <= 112, "an idle stream is small");

/* A FIFO of streams, linked by next_queue. */
struct shmux__fifo {
	struct shmux_stream *first, *last;
};

/* A stream that was refused; the answer waits for room in the ring. */
struct shmux__refusal {
	uint32_t id, code;
};

/* Or as many as the peer's ring has slots. */
#define SHMUX_REFUSALS_MAX 4096

/* struct shmux_session::owes */
#define OWES_PONG	0x1u
#define OWES_GO_AWAY	0x2u
#define OWES_REFUSALS	0x4u
#define OWES_STARVED	0x8u	/* budget came back: look at the starved */

#define SHMUX_NO_CPU (-1)

struct shmux_session {
	struct shmux_lock lock;
	uint32_t refs;
	const uint32_t *alive;		/* reads 0 in a forked child */
	struct shmux__link *link;
	int error;			/* 0 while alive */
	bool corked;
	bool going_away;		/* we said so */
	bool peer_going_away;
	bool refuses;			/* nobody will accept streams any more */
	bool events_on;			/* somebody pumps */
	bool in_pump;			/* just now */
	bool told;			/* @event_fd has been written to */
	bool wants_room;		/* a call without waiting met a full link */
	bool wants_open;		/* an open did */
	bool room_seen;			/* which is not full any more */
	bool wants_span;		/* one met as many spans as may be kept */

	/* Who waits; core/wait.h. */
	struct shmux_list waiters;
	struct shmux__waiter *leader;
	struct shmux__waiter *reader;	/* who takes note of what has come */
	bool leader_asleep;
	bool leader_room;		/* it polls for room, too */
	bool leader_deep;		/* sleeps on the descriptors, not the futex */
	uint32_t nr_room;		/* waiters for room */
	int woken_on;			/* CPU of a follower who was, or SHMUX_NO_CPU */
	struct shmux_yield yield;	/* of who leads */
	uint32_t watch;			/* reasons for which a poller is armed */
	uint64_t spin_now;		/* ns, learned */
	uint64_t alive_checked;		/* when we last asked, ns */

	/* Streams. */
	struct shmux__table tables[2];	/* by role of the opener */
	struct shmux_slab streams;
	uint32_t nr_streams;		/* in the tables */
	struct shmux__fifo accept_queue;
	uint32_t accept_depth;
	struct shmux__fifo ready;	/* streams with events for the pump */
	bool accept_event, open_event, dead_event;	/* not yet told */
	uint32_t held_accept;		/* the peer is to learn of it before we wait */

	/* What is to be said as soon as there is room. */
	struct shmux_list control;
	struct shmux__refusal *refusals;
	uint32_t nr_refusals, refusals_size;
	uint32_t owes;			/* OWES_* */
	uint32_t pong[2], go_away_code;
	uint32_t peer_go_away_code;
	uint64_t asked_for_chunks;	/* frames that had been sent by then */

	/* Receiving. */
	uint64_t budget_used;		/* sum of rx_limit */
	uint32_t unasked;		/* calls since one that held back asked */
	struct shmux_list starved;	/* wait for budget */
	uint64_t held;			/* bytes of the peer's arena that we hold */
	uint64_t rx_queued;		/* sum of the streams' */
	uint64_t rx_queued_max;		/* beyond this who sends more is reset */
	bool few;			/* so was the last payload, or one chunk; shared memory */
	struct shmux_list kept;		/* chunks that nobody reads; rx.c */
	struct shmux__rx *spare_chunk_nodes;
	struct shmux__rx *spare_buffer;
	uint32_t nr_spare;

	/* Sending in place. */
	uint32_t nr_spans;		/* reserved, not yet submitted nor cancelled */

	/* Pings. */
	uint64_t ping_sent, ping_answered;

	/* Whoever looks after the session: a listener. Under the lock. */
	void (*notify)(void *arg);
	void *notify_arg;

	struct shmux_session_options options;
	struct shmux_session_counters counters;
	uint64_t accept_deadline;
	uint64_t id;
	int epoll_fd;			/* of shmux_session_fd(), or -1 */
	int event_fd;			/* others have news for the pump, or the leader */
	const char *address;		/* the listener's; behind this struct */
};

/* session.c */
int shmux__session_new(struct shmux__link *link,
		       const struct shmux_session_options *options,
		       const char *address, struct shmux_session **session);
void shmux__session_get(struct shmux_session *s);	/* under the lock */
/* Drops the lock and a reference. */
void shmux__session_put_unlock(struct shmux_session *s);
/* The session is over: @error for everybody. Under the lock. */
void shmux__session_die(struct shmux_session *s, int error);
/* The peer has gone: take what it left, then die. */
void shmux__session_lost(struct shmux_session *s);
/*
 * As shmux_session_open(), until @deadline, or until *@cancelled, which it looks
 * at every 50 ms, is not 0.
 */
int shmux__session_open(struct shmux_session *s, unsigned int flags,
			uint64_t deadline, const uint32_t *cancelled,
			struct shmux_stream **stream);
/* The next stream to be accepted: 0, -EAGAIN, -ESHUTDOWN, or the error. */
int shmux__session_next(struct shmux_session *s, unsigned int flags,
			struct shmux_stream **stream);

/* Let the peer know that its stream was accepted; without publishing that. */
void shmux__tell_accepted_slow(struct shmux_session *s);

static inline void shmux__tell_accepted(struct shmux_session *s)
{
	if (s->held_accept)
		shmux__tell_accepted_slow(s);
}

/* Nobody accepts streams any more. */
void shmux__session_refuse_all(struct shmux_session *s);
/* Ask the kernel whether the peer lives, unless asked lately. */
void shmux__session_check(struct shmux_session *s);
void shmux__session_log(struct shmux_session *s, enum shmux_log_level level,
			const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* pump.c: frames in. At most @max; all there are. */
void shmux__pump(struct shmux_session *s, int max);
/*
 * The same for the one record for which a reader waits, if that is all there is and
 * is plain enough. May poll for a moment. Return: bytes at @buf; 0: it is not so.
 */
uint32_t shmux__receive_few(struct shmux_stream *st, void *buf, size_t size);

/* Might it be so? As the last payload, so the next. */
static inline bool shmux__may_receive_few(const struct shmux_stream *st)
{
	return !st->rx_first && st->s->few;
}

/* The peer is gone: which streams it had ended, without room to say so. */
void shmux__pump_last_words(struct shmux_session *s);

/* control.c: control frames out, as far as there is room */
void shmux__control_flush(struct shmux_session *s);
/*
 * Ask the peer for the chunks it holds, unless nothing was sent since. Return: 0,
 * or -EAGAIN: no room.
 */
int shmux__control_ask(struct shmux_session *s);
int shmux__control_refuse(struct shmux_session *s, uint32_t id, uint32_t code);

/* stream.c */
struct shmux_stream *shmux__stream_new(struct shmux_session *s);
/* Free one that is closed, unless a list still has it. */
void shmux__stream_reap(struct shmux_stream *st);
void shmux__stream_detach(struct shmux_stream *st);
/* Let the peer send @n bytes, within window and budget, though nobody reads yet. */
void shmux__stream_expect(struct shmux_stream *st, uint32_t n);
/*
 * As shmux_stream_send() of a byte stream, but it does not wait while there is
 * something to read: -EAGAIN, or what was taken until then.
 */
ssize_t shmux__stream_send_or_read(struct shmux_stream *st,
				   const struct iovec *iov, int nr);
/* Leave the table if the last frames have been said and heard. */
void shmux__stream_settle(struct shmux_stream *st);
/* As shmux_stream_reset(), of one that is not reset. */
void shmux__stream_reset(struct shmux_stream *st, uint32_t code);
/* Put on the control list. */
void shmux__stream_control(struct shmux_stream *st);
/* Who could not write may be able to; if not it says so to the peer again. */
void shmux__stream_may_write(struct shmux_stream *st);
/* Have the credit that nobody wants go back to the peer. */
void shmux__stream_refund(struct shmux_stream *st);
/* Name it at the next pump. */
void shmux__stream_event_slow(struct shmux_stream *st, uint32_t event);

static inline void shmux__stream_event(struct shmux_stream *st, uint32_t event)
{
	if (st->s->events_on)
		shmux__stream_event_slow(st, event);
}

/* events.c: there is something for the pump; wake who polls. */
void shmux__events_tell(struct shmux_session *s);

static inline void shmux__fifo_push_queue(struct shmux__fifo *f,
					  struct shmux_stream *st)
{
	st->next_queue = NULL;
	if (f->last)
		f->last->next_queue = st;
	else
		f->first = st;
	f->last = st;
}

static inline struct shmux_stream *shmux__fifo_pop_queue(struct shmux__fifo *f)
{
	struct shmux_stream *st = f->first;

	if (st) {
		f->first = st->next_queue;
		if (!f->first)
			f->last = NULL;
	}
	return st;
}

/* What a frame of @len bytes of payload costs. */
static inline uint32_t shmux__cost(const struct shmux__link *l, uint32_t len)
{
	return len > l->cost_min ? len : l->cost_min;
}

static inline struct shmux_stream *shmux__session_find(struct shmux_session *s,
						       uint32_t id)
{
	struct shmux_stream *st =
		shmux__table_find(&s->tables[id >> SHMUX_ID_ROLE_SHIFT], id);

	return st && st->id == id ? st : NULL;
}

/* Is there anything to be said as soon as there is room? */
static inline bool shmux__owes(const struct shmux_session *s)
{
	return !shmux_list_empty(&s->control) || s->owes;
}

/* Ring, with a publication. */
void shmux__ring(struct shmux_session *s, uint32_t bells);

/* As below, where no memory is shared. */
void shmux__publish_slow(struct shmux_session *s);

/* Make visible what was added, and ring if the peer sleeps. */
static inline void shmux__publish(struct shmux_session *s)
{
	uint32_t bells;

	if (!shmux__link_is_shm(s->link)) {
		shmux__publish_slow(s);
		return;
	}
	bells = shmux__shm_publish(shmux__shm(s->link));
	if (__builtin_expect(bells != 0, 0))
		shmux__ring(s, bells);
}

/* Is something published that has yet to find room in the link? */
static inline bool shmux__unsent(struct shmux_session *s)
{
	return !shmux__link_is_shm(s->link) && s->link->ops->unsent &&
	       s->link->ops->unsent(s->link);
}

/*
 * A call has taken in more than it took note of: the kernel has it no more, and so
 * wakes nobody for it. In shared memory it lies where it did.
 */
void shmux__tell_left_slow(struct shmux_session *s);

static inline void shmux__tell_left(struct shmux_session *s)
{
	if (!shmux__link_is_shm(s->link))
		shmux__tell_left_slow(s);
}

/*
 * May a call that finds nothing to do sleep before it has looked? It then looks as
 * it wakes, which it does at once if there is anything.
 */
static inline bool shmux__sleep_looks(const struct shmux_session *s,
				      uint64_t deadline)
{
	return !shmux__link_is_shm(s->link) && s->link->sleep_looks &&
	       deadline == SHMUX_NEVER && !s->leader && !s->error &&
	       shmux_single_threaded();
}

/* Begin a call. Return: 0 with the lock held, or -ECHILD. */
static inline int shmux__enter(struct shmux_session *s)
{
	if (__builtin_expect(!shmux_load_relaxed(s->alive), 0))
		return -ECHILD;
	shmux_lock(&s->lock);
	return 0;
}

/* Has the peer said anything that is for this call, not for a leader, to take? */
SHMUX_INLINE bool shmux__has_news(struct shmux_session *s)
{
	return (!s->leader || s->leader_asleep) && !s->error &&
	       shmux__link_look(s->link);
}

/*
 * The same of a call that reads. A leader that is awake merely polls shared memory,
 * or has been taken off the CPU by who reads.
 */
SHMUX_INLINE bool shmux__reader_has_news(struct shmux_session *s)
{
	return (!s->leader || s->leader_asleep ||
		shmux__link_is_shm(s->link)) &&
	       !s->error && shmux__link_look(s->link);
}

/* Take note of it. */
void shmux__drain_slow(struct shmux_session *s);

/* Take note of what the peer has said, unless a leader does that already. */
SHMUX_INLINE void shmux__drain(struct shmux_session *s)
{
	if (shmux__has_news(s))
		shmux__drain_slow(s);
}

/* The same of a call that reads. */
SHMUX_INLINE void shmux__drain_to_read(struct shmux_session *s)
{
	if (shmux__reader_has_news(s))
		shmux__drain_slow(s);
}

/* As below, of a call over descriptors that holds back. */
void shmux__drain_more_slow(struct shmux_session *s);

/* The same of a call; one that holds back does not ask the kernel each time. */
SHMUX_INLINE void shmux__drain_more(struct shmux_session *s, bool more)
{
	if (!more || shmux__link_is_shm(s->link))
		shmux__drain(s);
	else
		shmux__drain_more_slow(s);
}

/* End a call. */
static inline void shmux__leave(struct shmux_session *s)
{
	if (__builtin_expect(!s->error, 1)) {
		if (shmux__owes(s))
			shmux__control_flush(s);
		if (!s->corked)
			shmux__publish(s);
	}
	shmux_unlock(&s->lock);
}

/*
 * End a call that has read what was queued already, of shared memory: there is nothing
 * new to tell.
 */
static inline void shmux__leave_queued(struct shmux_session *s)
{
	if (__builtin_expect(shmux__owes(s) ||
			     shmux__shm_holds_back(shmux__shm(s->link)), 0))
		shmux__leave(s);
	else
		shmux_unlock(&s->lock);
}

/* End a call that has received a record and no more, of shared memory. */
static inline void shmux__leave_few(struct shmux_session *s)
{
	if (shmux__shm(s->link)->reasons ||
	    shmux__consumer_due(&shmux__shm(s->link)->rx))
		shmux__leave(s);
	else
		shmux__leave_queued(s);
}

/* End a call that may have been told to hold back. */
static inline void shmux__leave_more(struct shmux_session *s, bool more)
{
	if (more)
		shmux_unlock(&s->lock);
	else
		shmux__leave(s);
}

#endif /* SHMUX_CORE_CORE_H */
