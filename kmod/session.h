/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: sessions and their two ends
 *
 * A session is the two ends together; it is there as long as a file is one of
 * them. A file holds one reference; a listener's queue holds none, since the
 * connector's file does and takes the session out of the queue before it lets
 * go.
 *
 *   lone     CREATE on a fresh file: end 0 alone, with a region
 *   queued   CONNECT: end 0 is ready and waits in a listener's queue
 *   joined   ACCEPT, or PAIR: both ends are somebody's
 *   over     one end has died, hung up, or refused; or nobody was left to accept.
 *            From any of the others, once and for ever.
 *
 * Whether an end is ready is its own matter; a session is open when both are.
 *
 * Everything here changes under the namespace's lock (net.h), and what is set
 * once is read without it: @region, @ready, @joined, @over, with acquire.
 *
 * Teardown: the end dies (out of the queue, over, everybody woken), then the
 * file's reference is put. After the last one a region may be mapped still: then
 * the session lingers, is shown, and is charged for, until it is not. In the end
 * nobody can find it but by its number, from which it is taken under the lock, and
 * it is freed.
 */
#ifndef KMOD_SESSION_H
#define KMOD_SESSION_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include <linux/shmux.h>
#include <linux/shmux_netlink.h>

#include "quota.h"
#include "timeout.h"
#include "who.h"

struct eventfd_ctx;
struct shmux_listener;
struct shmux_region;

/**
 * struct shmux_end - one side of a session
 * @session: which (constant)
 * @wq: who waits or polls here
 * @kicks: it has been given
 * @told: as many of them as a WAIT has told; racy, may lag behind
 * @region: ours (lock; set once)
 * @peer_size_max: largest region we take (lock; with @region)
 * @ready: it may be looked at (lock; set once)
 * @who: is at this end (lock)
 * @owner: whose exit is its death (lock)
 * @bell: an eventfd, or NULL (@bell_lock)
 * @bell_lock: guards it
 * @nr_waits: WAITs; racy
 * @nr_sleeps: of which slept; racy
 */
struct shmux_end {
	struct shmux_session *session;
	wait_queue_head_t wq;
	atomic_t kicks;
	u32 told;
	struct shmux_region *region;
	u32 peer_size_max;
	bool ready;
	struct shmux_who who;
	struct pid *owner;
	struct eventfd_ctx *bell;
	spinlock_t bell_lock;	/* @bell */
	u64 nr_waits;
	u64 nr_sleeps;
};

/**
 * struct shmux_session - see above
 * @ref: files
 * @sn: namespace, kept (constant)
 * @number: in it (constant)
 * @born: CLOCK_MONOTONIC (constant)
 * @charge: for one session (constant)
 * @name: that it was connected to, zero-padded, or none (lock)
 * @queue: place in the queue of @listener, or among those that wait for room
 *	there; once nobody has it, among those that linger (lock; theirs)
 * @listener: in whose queue it is, or NULL (lock)
 * @connecting: somebody is in CONNECT (lock)
 * @joined: both ends are somebody's (lock; set once)
 * @over: a cause, or 0 (lock; set once)
 * @side: which end was the cause (lock; before @over)
 * @refusal: the errno of a refusal (lock; before @over)
 * @ends: 0 is the connector's
 */
struct shmux_session {
	struct kref ref;
	struct shmux_net *sn;
	u32 number;
	ktime_t born;
	struct shmux_charge charge;
	char name[SHMUX_NAME_SIZE];
	struct list_head queue;
	struct shmux_listener *listener;
	bool connecting;
	bool joined;
	enum shmux_cause over;
	u32 side;
	u32 refusal;
	struct shmux_end ends[2];
};

static inline u32 shmux_end_side(const struct shmux_end *e)
{
	return e - e->session->ends;
}

static inline struct shmux_end *shmux_end_other(struct shmux_end *e)
{
	return &e->session->ends[!shmux_end_side(e)];
}

static inline enum shmux_cause
shmux_session_over(const struct shmux_session *s)
{
	/* Pairs with the release in shmux_session_end(). */
	return smp_load_acquire(&s->over);
}

static inline bool shmux_session_joined(const struct shmux_session *s)
{
	/* Pairs with the release in shmux_session_join(). */
	return smp_load_acquire(&s->joined);
}

/**
 * shmux_end_is_ready() - may its region be looked at?
 * @e: an end
 *
 * Return: whether its owner has said so.
 */
bool shmux_end_is_ready(const struct shmux_end *e);

/**
 * shmux_session_new() - one that is lone
 *
 * Context: may sleep.
 * Return: it, with a reference for the file that is end 0, owned by the caller;
 * or an ERR_PTR: -EDQUOT, -ENOMEM.
 */
struct shmux_session *shmux_session_new(void);

/**
 * shmux_session_put() - let go
 * @s: kept by kref_get() on its @ref
 *
 * Context: does not sleep.
 */
void shmux_session_put(struct shmux_session *s);

/**
 * shmux_session_settle() - let those go that linger without need
 *
 * Context: may sleep.
 * Return: whether there were any that linger.
 */
bool shmux_session_settle(void);

/* When nobody has any more; those that linger go, too. */
void shmux_session_exit(void);

/**
 * shmux_session_join() - give away the other end
 * @s: lone or queued
 *
 * Context: the namespace's lock is held.
 * Return: end 1, with a reference for the file that is going to be it; its owner
 * is the caller.
 */
struct shmux_end *shmux_session_join(struct shmux_session *s);

/**
 * shmux_session_end() - it is over
 * @s: any
 * @cause: why
 * @side: by whom
 *
 * Does nothing if it is over already. Who waits for it is not woken, nor who
 * waits for the room that it leaves in a queue: see shmux_session_tell().
 *
 * Context: the namespace's lock is held.
 * Return: whether it was not over before.
 */
bool shmux_session_end(struct shmux_session *s, enum shmux_cause cause,
		       u32 side);

/**
 * shmux_session_tell() - wake everybody at both ends, for something has happened
 * @s: any, kept
 *
 * Context: any but a raw lock's. Not under the namespace's lock: who waits may be
 * many, and strangers.
 */
void shmux_session_tell(struct shmux_session *s);

/**
 * shmux_end_create() - give an end its region
 * @e: without one
 * @arg: checked
 *
 * Context: may sleep; not twice at once on one end.
 * Return: 0, -EMSGSIZE, -ECONNRESET, or as shmux_region_new().
 */
int shmux_end_create(struct shmux_end *e, const struct shmux_ioc_create *arg);

/**
 * shmux_end_meet() - be ready or refuse, and wait for the other
 * @e: an end
 * @arg: checked; @refusal is written
 * @deadline: for the waiting
 *
 * Context: may sleep.
 * Return: as MEET does.
 */
int shmux_end_meet(struct shmux_end *e, struct shmux_ioc_meet *arg,
		   const struct shmux_deadline *deadline);

/**
 * shmux_end_peer() - who is at the other end
 * @e: an end
 * @arg: checked, and written
 *
 * Context: may sleep.
 * Return: as PEER does.
 */
int shmux_end_peer(struct shmux_end *e, struct shmux_ioc_peer *arg);

/**
 * shmux_end_adopt() - the caller owns it from now on
 * @e: an end
 */
void shmux_end_adopt(struct shmux_end *e);

/**
 * shmux_end_is_owned() - is it the caller's?
 * @e: an end
 *
 * Return: whether the caller's process owns it.
 */
bool shmux_end_is_owned(struct shmux_end *e);

/**
 * shmux_end_die() - let the other end see that this one is dead
 * @e: an end
 * @cause: SHMUX_CAUSE_HANG_UP or _DEATH
 *
 * Context: may sleep.
 */
void shmux_end_die(struct shmux_end *e, enum shmux_cause cause);

/**
 * shmux_end_put() - its file goes
 * @e: an end; not to be touched again
 *
 * Context: may sleep.
 */
void shmux_end_put(struct shmux_end *e);

#endif /* KMOD_SESSION_H */
