// SPDX-License-Identifier: LGPL-2.1-or-later
/* direct.c - see direct.h */
#include "core/direct.h"

#include "core/credit.h"
#include "core/rx.h"

/* Who may have payload of this stream unseen. */
static struct shmux__waiter *taker(const struct shmux_stream *st,
				   const struct shmux__frame *offer)
{
	if (!st || (st->state & (STREAM_FIN_RECEIVED | STREAM_STOP_SENT |
				 STREAM_RESET)))
		return NULL;
	return shmux__direct_reader(st, offer);
}

/* Is its call about to return? */
static bool has_enough(const struct shmux__waiter *w)
{
	return w && w->want && w->done >= w->want;
}

int shmux__take_offer(struct shmux_session *s, const struct shmux__frame *offer)
{
	struct shmux_stream *st = shmux__session_find(s, offer->id);
	struct shmux__waiter *w = taker(st, offer);
	size_t n = offer->len;

	if (w && n > w->size - w->done)
		n = w->size - w->done;
	if (w && n > st->rx_granted)
		n = st->rx_granted;
	if (!w || !n) {
		if (has_enough(s->leader))
			return 1;
		s->link->ops->place(s->link, NULL, 0);
		return 0;
	}
	n = s->link->ops->place(s->link, w->buf + w->done, (uint32_t)n);
	if (!n)
		return 0;
	st->state &= ~STREAM_HUNGRY;
	st->rx_granted -= (uint32_t)n;
	s->counters.bytes_received += n;
	w->done += n;
	shmux__credit_consumed(st, (uint32_t)n);
	shmux__wake_stream(st, WAIT_READ);
	shmux__stream_event(st, STREAM_EVENT_READ);
	return 0;
}

struct shmux__waiter *shmux__take_parts(struct shmux_stream *st,
					const struct shmux__frame *f)
{
	struct shmux__waiter *w = st->waiters;

	if (!(st->state & STREAM_IN_MESSAGE) || st->rx_whole ||
	    shmux__part_holder(st))
		return NULL;
	while (w && (!(w->kind & WAIT_READ) || !w->buf || w->cancelled ||
		     w->message_done ||
		     w->size < (size_t)st->rx_queued + f->len))
		w = w->next;
	if (w) {
		w->done = shmux__rx_take_parts(st, w->buf, &w->cost);
		w->in_message = true;
	}
	return w;
}

static void forget_parts(struct shmux__waiter *w)
{
	w->in_message = false;
	w->done = 0;
	w->cost = 0;
}

int shmux__leave_parts(struct shmux__waiter *w)
{
	struct shmux_stream *st = w->st;
	int err = 0;

	if (st->state & (STREAM_FIN_RECEIVED | STREAM_STOP_SENT | STREAM_RESET))
		shmux__credit_consumed(st, w->cost);
	else
		err = shmux__rx_put_back(st, w->buf, w->done, w->cost);
	if (!err)
		forget_parts(w);
	return err;
}

void shmux__drop_parts(struct shmux_stream *st)
{
	struct shmux__waiter *w = shmux__part_holder(st);

	if (!w)
		return;
	shmux__credit_consumed(st, w->cost);
	forget_parts(w);
}
