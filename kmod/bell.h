/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: kicks, and who waits for them
 *
 * A kick adds to a count and wakes; a wait sleeps until the count differs from
 * what the caller has seen. Neither takes a lock of ours, save for an eventfd's:
 * the count is changed before the queue is looked at, and the queue joined
 * before the count is. So one of the two sees the other.
 *
 * That an end is ready, or a session over, is told in the same way.
 */
#ifndef KMOD_BELL_H
#define KMOD_BELL_H

#include <linux/poll.h>
#include <linux/types.h>

#include "timeout.h"

struct eventfd_ctx;
struct shmux_end;

/**
 * shmux_bell_kick() - kick
 * @e: an end, kept
 * @sync: the caller is about to sleep
 *
 * Context: any but a raw lock's.
 */
void shmux_bell_kick(struct shmux_end *e, bool sync);

/**
 * shmux_bell_tell() - wake everybody, without a kick
 * @e: an end, kept, of which something has changed
 *
 * Context: any but a raw lock's.
 */
void shmux_bell_tell(struct shmux_end *e);

/**
 * shmux_bell_wait() - sleep until kicked
 * @e: an end
 * @seen: the count that is no news
 * @kicks: out: the count
 * @deadline: for the waiting
 *
 * Context: may sleep.
 * Return: 0, -EINTR, -ETIMEDOUT, -EAGAIN; -ECONNRESET: there is no news, and the
 * session is over.
 */
int shmux_bell_wait(struct shmux_end *e, u32 seen, u32 *kicks,
		    const struct shmux_deadline *deadline);

/**
 * shmux_bell_poll() - what poll tells of an end
 * @e: an end
 * @file: its file
 * @wait: as given to poll
 *
 * Return: EPOLL*.
 */
__poll_t shmux_bell_poll(struct shmux_end *e, struct file *file,
			 poll_table *wait);

/**
 * shmux_bell_set() - have an eventfd signalled as well
 * @e: an end
 * @bell: an eventfd, the end's from now on, or NULL for none
 */
void shmux_bell_set(struct shmux_end *e, struct eventfd_ctx *bell);

#endif /* KMOD_BELL_H */
