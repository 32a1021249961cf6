/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * direct.h - payload that goes straight to a reader who waits for it
 *
 * The parts of a message are charged for until it is whole: a call that ends before
 * leaves them to the next. Under the session's lock.
 */
#ifndef SHMUX_CORE_DIRECT_H
#define SHMUX_CORE_DIRECT_H

#include "core/wait.h"

/* The reader who has the message so far, all of it, or NULL. */
static inline struct shmux__waiter *
shmux__part_holder(const struct shmux_stream *st)
{
	struct shmux__waiter *w = st->waiters;

	while (w && !w->in_message)
		w = w->next;
	return w;
}

/* The reader whose buffer this payload may go to straight away, or NULL. */
static inline struct shmux__waiter *
shmux__direct_reader(const struct shmux_stream *st, const struct shmux__frame *f)
{
	struct shmux__waiter *w;

	if (st->state & STREAM_IN_MESSAGE) {
		w = shmux__part_holder(st);
		return w && f->len <= w->size - w->done ? w : NULL;
	}
	if (st->rx_first)
		return NULL;
	for (w = st->waiters; w; w = w->next)
		if ((w->kind & WAIT_READ) && w->buf && !w->cancelled)
			break;
	if (!w)
		return NULL;
	if (!(st->state & STREAM_MESSAGES))
		return w->done < w->size ? w : NULL;
	return w->message_done || f->len > w->size ? NULL : w;
}

/*
 * The next part of a message has come, whose parts so far are queued: let a reader
 * who waits, and has room for it, have them. Return: that reader, or NULL.
 */
struct shmux__waiter *shmux__take_parts(struct shmux_stream *st,
					const struct shmux__frame *f);

/*
 * The reader who has parts is to have them no more: they are queued, or dropped if
 * nobody may read them. Return: 0, -ENOMEM.
 */
int shmux__leave_parts(struct shmux__waiter *w);

/* The message is given up, and so are its parts. */
void shmux__drop_parts(struct shmux_stream *st);

/*
 * What is to come of a long payload goes straight to who waits for it, which saves a
 * copy. Return: 0, or 1: the pump is not to go on, since the leader has what it wants
 * and may be about to ask for this.
 */
int shmux__take_offer(struct shmux_session *s, const struct shmux__frame *offer);

#endif /* SHMUX_CORE_DIRECT_H */
