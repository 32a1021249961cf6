/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * direct.h - payload that goes straight to a reader who waits for it
 *
 * Under the session's lock.
 */
#ifndef SHMUX_CORE_DIRECT_H
#define SHMUX_CORE_DIRECT_H

#include "core/wait.h"

/* The reader whose buffer this payload may go to straight away, or NULL. */
static inline struct shmux__waiter *
shmux__direct_reader(const struct shmux_stream *st, const struct shmux__frame *f)
{
	struct shmux__waiter *w;

	if (st->rx_first)
		return NULL;
	for (w = st->waiters; w; w = w->next)
		if ((w->kind & WAIT_READ) && w->buf && !w->cancelled)
			break;
	if (!w)
		return NULL;
	if (!(st->state & STREAM_MESSAGES))
		return w->done < w->size ? w : NULL;
	if (w->message_done || (st->state & STREAM_IN_MESSAGE) ||
	    (f->flags & SHMUX_FLAG_MORE) || f->len > w->size)
		return NULL;
	return w;
}

/*
 * What is to come of a long payload goes straight to who waits for it, which saves a
 * copy. Return: 0, or 1: the pump is not to go on, since the leader has what it wants
 * and may be about to ask for this.
 */
int shmux__take_offer(struct shmux_session *s, const struct shmux__frame *offer);

#endif /* SHMUX_CORE_DIRECT_H */
