/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: listeners and names
 *
 * A listener is a file that has taken a name in its network namespace. Sessions
 * that have connected wait in its queue until they are accepted.
 *
 * A session that finds the queue full waits in a line of its own, and is woken,
 * first come, first served, when there is room: it tries again then.
 *
 * Everything changes under the namespace's lock (net.h); nobody is woken under it,
 * as those that wait may be many. A listener is closed, by its file's end or its
 * owner's, once: the name is free, and those that wait learn that nobody is there.
 * Its memory goes with the last reference, which may be that of who wakes.
 */
#ifndef KMOD_LISTENER_H
#define KMOD_LISTENER_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/poll.h>
#include <linux/uidgid.h>
#include <linux/wait.h>

#include <linux/shmux.h>

#include "quota.h"
#include "timeout.h"
#include "who.h"

struct shmux_end;
struct shmux_net;
struct shmux_session;

/**
 * struct shmux_listener - see above
 * @ref: its file, and who wakes its waiters
 * @sn: namespace, kept (constant)
 * @number: in it (constant)
 * @node: among the names (lock)
 * @name: zero-terminated (constant)
 * @who: said LISTEN (constant)
 * @owner: whose exit closes it (lock)
 * @uid: see SHMUX_IOC_LISTEN (constant)
 * @gid: likewise (constant)
 * @mode: likewise (constant)
 * @backlog: likewise (constant)
 * @closed: nobody can connect any more (lock; set once)
 * @queue: sessions that wait (lock)
 * @len: of the queue (lock)
 * @line: sessions that wait for room in it (lock)
 * @wq: who waits for it to be filled
 * @charge: for one listener (constant)
 * @born: CLOCK_MONOTONIC (constant)
 * @nr_accepted: sessions (lock)
 */
struct shmux_listener {
	struct kref ref;
	struct shmux_net *sn;
	u32 number;
	struct hlist_node node;
	char name[SHMUX_NAME_SIZE];
	struct shmux_who who;
	struct pid *owner;
	kuid_t uid;
	kgid_t gid;
	u32 mode;
	u32 backlog;
	bool closed;
	struct list_head queue;
	struct list_head line;
	u32 len;
	wait_queue_head_t wq;
	struct shmux_charge charge;
	ktime_t born;
	u64 nr_accepted;
};

/**
 * shmux_listener_new() - take a name
 * @arg: sizes and flags checked
 *
 * Context: may sleep.
 * Return: it, the caller's to free; or an ERR_PTR as LISTEN fails.
 */
struct shmux_listener *
shmux_listener_new(const struct shmux_ioc_listen *arg);

/**
 * shmux_listener_close() - give the name up
 * @l: any
 *
 * Context: may sleep.
 */
void shmux_listener_close(struct shmux_listener *l);

/**
 * shmux_listener_free() - its file goes
 * @l: not to be touched again
 *
 * Context: may sleep.
 */
void shmux_listener_free(struct shmux_listener *l);

/**
 * shmux_listener_adopt() - the caller owns it from now on
 * @l: any
 */
void shmux_listener_adopt(struct shmux_listener *l);

/**
 * shmux_listener_is_owned() - is it the caller's?
 * @l: any
 *
 * Return: whether the caller's process owns it.
 */
bool shmux_listener_is_owned(struct shmux_listener *l);

/**
 * shmux_listener_connect() - join the queue of whoever has a name
 * @e: end 0, with a region
 * @name: zero-padded
 * @deadline: for the waiting
 *
 * Context: may sleep.
 * Return: as CONNECT does.
 */
int shmux_listener_connect(struct shmux_end *e, const u8 *name,
			   const struct shmux_deadline *deadline);

/**
 * shmux_listener_wait() - until somebody is in the queue
 * @l: any
 * @deadline: for the waiting
 *
 * Context: may sleep.
 * Return: 0, -EINTR, -ETIMEDOUT, -EAGAIN; -ECONNRESET: it is closed.
 */
int shmux_listener_wait(struct shmux_listener *l,
			const struct shmux_deadline *deadline);

/**
 * shmux_listener_take() - the first in the queue
 * @l: any
 *
 * Return: the other end of its session, for the file that is going to be that;
 * or NULL.
 */
struct shmux_end *shmux_listener_take(struct shmux_listener *l);

/**
 * shmux_listener_unqueue() - a session leaves the queue or the line it is in
 * @s: any
 *
 * To be followed by shmux_listener_offer().
 *
 * Context: the namespace's lock is held.
 */
void shmux_listener_unqueue(struct shmux_session *s);

/**
 * shmux_listener_offer() - there may be room again
 * @sn: a namespace
 * @name: of a listener, if it is there
 *
 * Wakes the first in the line, if there is room in the queue.
 *
 * Context: does not sleep.
 */
void shmux_listener_offer(struct shmux_net *sn, const char *name);

/**
 * shmux_listener_poll() - what poll tells of a listener
 * @l: any
 * @file: its file
 * @wait: as given to poll
 *
 * Return: EPOLL*.
 */
__poll_t shmux_listener_poll(struct shmux_listener *l, struct file *file,
			     poll_table *wait);

#endif /* KMOD_LISTENER_H */
