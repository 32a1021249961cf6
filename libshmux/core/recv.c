// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * recv.c - reading from a stream: by copy, in place, and looking ahead
 */
#include <string.h>

#include "core/core.h"
#include "core/direct.h"
#include "core/iov.h"
#include "core/rx.h"
#include "core/wait.h"

/*
 * With more than this many bytes queued a read does not look for news first: it
 * would be behind the next read, and the queue stays short enough for the cache.
 */
#define ENOUGH 4096u

/*
 * The same of a read that can take no more than is queued: the next few reads can do
 * without, and the peer gets ahead by as much. Right behind it each record would be
 * waited for (32 requests under way: 72 ns for each, not 64).
 */
#define ENOUGH_TO_FILL 256u

/* Where to look is to ask the kernel all that it can take is enough. */
static inline bool has_enough(const struct shmux_stream *st, size_t size)
{
	return st->rx_queued > ENOUGH ||
	       (st->rx_queued >= size &&
		(st->rx_queued > ENOUGH_TO_FILL ||
		 !shmux__link_is_shm(st->s->link)));
}

/* Is there anything to be read: a byte, or a whole message? */
static bool readable(const struct shmux_stream *st)
{
	return st->state & STREAM_MESSAGES ? st->rx_whole != NULL :
					     st->rx_first != NULL;
}

#define AT_END (-ENODATA)

/* Why nothing will come any more, AT_END among it; 0: something may. */
static int recv_error(const struct shmux_stream *st)
{
	if (st->state & STREAM_RESET)
		return -ECONNRESET;
	if (st->state & (STREAM_FIN_RECEIVED | STREAM_STOP_SENT))
		return AT_END;
	return st->s->error;
}

/* The end is 0 on a byte stream. */
static ssize_t end_of(const struct shmux_stream *st, int err)
{
	return err == AT_END && !(st->state & STREAM_MESSAGES) ? 0 : err;
}

static uint64_t recv_deadline(const struct shmux_stream *st)
{
	return st->extra ? st->extra->deadline[0] : SHMUX_NEVER;
}

/* Nothing is there: wait. Return: 0 to look again, or what ends the call. */
static int recv_wait(struct shmux_stream *st, struct shmux__waiter *w,
		     unsigned int flags)
{
	struct shmux_session *s = st->s;
	int err = recv_error(st);

	if (err)
		return err;
	if (flags & SHMUX_NOWAIT) {
		shmux__session_check(s);
		if (readable(st))
			return 0;
		err = recv_error(st);
		return err ? err : -EAGAIN;
	}
	err = shmux__wait(w, recv_deadline(st), false);
	return shmux__waited(err, recv_deadline(st));
}

/* Read into one buffer of a byte stream. @try_few: that was not tried yet. */
SHMUX_INLINE ssize_t recv_bytes(struct shmux_stream *st, char *buf, size_t size,
				unsigned int flags, bool try_few)
{
	struct shmux__waiter w;
	size_t want = flags & SHMUX_WAITALL ? size : 1;
	uint32_t few = 0;
	int err = 0;

	if (has_enough(st, size) &&
	    (!(flags & SHMUX_WAITALL) || st->rx_queued >= size))
		return (ssize_t)shmux__rx_copy(st, buf, size);

	if (try_few && shmux__may_receive_few(st) && !(flags & SHMUX_NOWAIT))
		few = shmux__receive_few(st, buf, size);
	if (few >= want)
		return (ssize_t)few;

	shmux__waiter_init(&w, st->s, st, WAIT_READ);
	w.buf = buf;
	w.size = size;
	w.done = few;
	w.want = want;
	if (readable(st) || (flags & SHMUX_NOWAIT) ||
	    !shmux__sleep_looks(st->s, recv_deadline(st)))
		shmux__drain_into(&w);
	for (;;) {
		if (st->rx_first)
			w.done += shmux__rx_copy(st, buf + w.done,
						 size - w.done);
		if (w.done >= want || err)
			break;
		err = recv_wait(st, &w, flags);
	}
	shmux__wait_end(&w);
	return w.done ? (ssize_t)w.done : end_of(st, err);
}

/*
 * Read into several buffers of a byte stream, one after another: all of them
 * together may be more than the window.
 */
static ssize_t recv_scattered(struct shmux_stream *st, const struct iovec *iov,
			      int nr, unsigned int flags)
{
	size_t done = 0;
	ssize_t n = 0;

	for (; nr; iov++, nr--) {
		if (!iov->iov_len)
			continue;
		n = recv_bytes(st, iov->iov_base, iov->iov_len, flags, true);
		if (n <= 0)
			break;
		done += (size_t)n;
		if ((size_t)n < iov->iov_len)
			break;
		/* The rest only if it is there. */
		if (!(flags & SHMUX_WAITALL) && !st->rx_first)
			break;
	}
	return done ? (ssize_t)done : n;
}

/* Copy the message of @len bytes out to several buffers. */
static void scatter(struct shmux_stream *st, const struct iovec *iov, int nr,
		    size_t len)
{
	char *at, none[1];
	size_t n;

	if (!len)
		shmux__rx_copy(st, none, 0);
	for (; len && nr; iov++, nr--) {
		at = iov->iov_base;
		n = iov->iov_len < len ? iov->iov_len : len;
		len -= n;
		while (n) {
			size_t part = shmux__rx_copy(st, at, n);

			at += part;
			n -= part;
		}
	}
}

/* Read a message. */
static ssize_t recv_message(struct shmux_stream *st, const struct iovec *iov,
			    int nr, size_t size, unsigned int flags)
{
	struct shmux__waiter w;
	size_t len;
	ssize_t n;
	int err = 0;

	shmux__waiter_init(&w, st->s, st, WAIT_READ);
	if (nr == 1) {
		w.buf = iov->iov_base;
		w.size = size;
	}
	for (;;) {
		if (w.message_done) {
			n = (ssize_t)w.done;
			break;
		}
		if (st->rx_whole) {
			len = shmux__rx_message_len(st);
			n = -EMSGSIZE;
			if (len <= size) {
				scatter(st, iov, nr, len);
				n = (ssize_t)len;
			}
			break;
		}
		if (err) {
			n = err;
			break;
		}
		err = recv_wait(st, &w, flags);
	}
	if (w.in_message && shmux__leave_parts(&w))
		shmux__session_die(st->s, -ENOMEM);
	shmux__wait_end(&w);
	return n;
}

/* @try_few: as above. */
static ssize_t recv_locked(struct shmux_stream *st, const struct iovec *iov,
			   int nr, size_t size, unsigned int flags,
			   bool try_few)
{
	ssize_t n;

	shmux__rx_begin(st);
	if (!(st->state & STREAM_MESSAGES))
		return recv_scattered(st, iov, nr, flags);
	if (try_few && nr == 1 && shmux__may_receive_few(st) &&
	    !(flags & SHMUX_NOWAIT)) {
		n = shmux__receive_few(st, iov->iov_base, size);
		if (n)
			return n;
	}
	if (!has_enough(st, size) || !readable(st))
		shmux__drain_to_read(st->s);
	return recv_message(st, iov, nr, size, flags);
}

ssize_t shmux_stream_recv(struct shmux_stream *st, const struct iovec *iov,
			  int nr, unsigned int flags)
{
	struct shmux_session *s = st->s;
	size_t size;
	ssize_t n;
	int err;

	if ((flags & ~(SHMUX_NOWAIT | SHMUX_WAITALL)) ||
	    shmux__iov_size(iov, nr, &size))
		return -EINVAL;
	err = shmux__enter(s);
	if (err)
		return err;
	n = recv_locked(st, iov, nr, size, flags, true);
	shmux__leave(s);
	return n;
}

/* Is it known, without asking the kernel, that nothing is to be drained? */
static inline bool no_news(struct shmux_session *s)
{
	return shmux__link_is_shm(s->link) && !shmux__has_news(s);
}

/* The lock is held, and dropped. */
static SHMUX_ASIDE ssize_t
read_slow(struct shmux_stream *st, void *buf, size_t size)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	ssize_t n;

	if (size - 1 < SSIZE_MAX && !(st->state & STREAM_MESSAGES)) {
		shmux__rx_begin(st);
		n = recv_bytes(st, buf, size, 0, false);
	} else {
		n = size > SSIZE_MAX ? -EINVAL :
				       recv_locked(st, &iov, 1, size, 0, false);
	}
	shmux__leave(st->s);
	return n;
}

ssize_t shmux_stream_read(struct shmux_stream *st, void *buf, size_t size)
{
	struct shmux_session *s = st->s;
	const bool shm = shmux__link_is_shm(s->link);
	struct shmux__rx *node;
	uint32_t few;
	int err = shmux__enter(s);

	if (__builtin_expect(err != 0, 0))
		return err;
	/* Of one who waits for little. */
	if (shmux__may_receive_few(st) && size - 1 < SSIZE_MAX &&
	    !(st->state & STREAM_PEEKED)) {
		few = shmux__receive_few(st, buf, size);
		if (few) {
			shmux__leave_few(s);
			return (ssize_t)few;
		}
	}
	/* The common case of a busy stream in a straight line. */
	if (size - 1 < 64 && st->rx_first &&
	    !(st->state & (STREAM_MESSAGES | STREAM_PEEKED)) &&
	    (st->rx_queued > (shm ? ENOUGH_TO_FILL : ENOUGH) || no_news(s))) {
		node = st->rx_first;
		if (node->len - node->pos > size) {
			shmux_copy_small(buf, node->data + node->pos, size);
			node->pos += (uint32_t)size;
			st->rx_queued -= (uint32_t)size;
			s->rx_queued -= size;
			if (shm)
				shmux__leave_queued(s);
			else
				shmux_unlock(&s->lock);
			return (ssize_t)size;
		}
	}
	return read_slow(st, buf, size);
}

ssize_t shmux_stream_readv(struct shmux_stream *st, const struct iovec *iov,
			   int nr)
{
	return shmux_stream_recv(st, iov, nr, 0);
}

ssize_t shmux_stream_try_read(struct shmux_stream *st, void *buf, size_t size)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };

	return shmux_stream_recv(st, &iov, 1, SHMUX_NOWAIT);
}

ssize_t shmux_stream_try_readv(struct shmux_stream *st,
			       const struct iovec *iov, int nr)
{
	return shmux_stream_recv(st, iov, nr, SHMUX_NOWAIT);
}

/* Is as much queued behind the first node as in it, or more? */
static bool scattered(const struct shmux_stream *st)
{
	const struct shmux__rx *first = st->rx_first;

	return first && st->rx_queued / 2 >= first->len - first->pos;
}

ssize_t shmux_stream_peek(struct shmux_stream *st, size_t n, const void **data)
{
	struct shmux_session *s = st->s;
	const struct shmux__rx *node;
	struct shmux__waiter w;
	size_t len = 0;
	int err, gathered;
	bool messages;

	err = shmux__enter(s);
	if (err)
		return err;
	messages = st->state & STREAM_MESSAGES;
	if (!n || (n > shmux_stream_peek_max(st) && !messages)) {
		shmux_unlock(&s->lock);
		return -EINVAL;
	}
	shmux__rx_begin(st);
	if (messages ? !readable(st) : st->rx_queued < n)
		shmux__drain_to_read(s);
	shmux__waiter_init(&w, s, st, WAIT_READ);
	for (;;) {
		if (messages ? readable(st) : st->rx_queued >= n)
			break;
		if (err)
			break;
		/*
		 * What is queued already may be shown together first, but not for
		 * each drop that has come: as much again at least.
		 */
		if (!messages && scattered(st) &&
		    shmux__rx_gather(st, st->rx_queued)) {
			err = -ENOMEM;
			break;
		}
		shmux__rx_settle(st);
		err = recv_wait(st, &w, 0);
	}
	shmux__wait_end(&w);
	if (messages && readable(st)) {
		err = 0;
		len = shmux__rx_message_len(st);
	} else if (!messages && (st->rx_queued >= n || err == AT_END)) {
		err = 0;
		len = st->rx_queued < n ? st->rx_queued : n;
	}
	if (!err) {
		gathered = shmux__rx_gather(st, len);
		node = st->rx_first;
		if (node)
			st->state |= STREAM_PEEKED;
		*data = node ? node->data + node->pos : "";
		if (gathered)
			err = gathered;
		else if (!messages && node)
			len = node->len - node->pos;
	}
	shmux__leave(s);
	return err ? err : (ssize_t)len;
}

ssize_t shmux_stream_discard(struct shmux_stream *st, size_t n)
{
	struct shmux_session *s = st->s;
	struct shmux__waiter w;
	size_t done = 0, len;
	char waste[512];
	bool messages;
	ssize_t ret;
	int err = shmux__enter(s);

	if (err)
		return err;
	messages = st->state & STREAM_MESSAGES;
	shmux__rx_begin(st);
	shmux__drain_to_read(s);
	shmux__waiter_init(&w, s, st, WAIT_READ);
	while (done < n || messages) {
		if (messages && readable(st)) {
			n = shmux__rx_message_len(st);
			do {
				len = shmux__rx_copy(st, waste, sizeof(waste));
				done += len;
			} while (done < n);
			break;
		}
		if (!messages && st->rx_first) {
			len = n - done < sizeof(waste) ? n - done :
							 sizeof(waste);
			done += shmux__rx_copy(st, waste, len);
			continue;
		}
		if (err)
			break;
		err = recv_wait(st, &w, 0);
	}
	shmux__wait_end(&w);
	ret = done || !err ? (ssize_t)done : end_of(st, err);
	shmux__leave(s);
	return ret;
}

/* A view's private word. */
#define VIEW_NODE 0

ssize_t shmux_stream_take(struct shmux_stream *st, struct shmux_view *view,
			  unsigned int flags)
{
	struct shmux_session *s = st->s;
	struct shmux__waiter w;
	struct shmux__rx *node;
	ssize_t n;
	int err;

	if (flags & ~SHMUX_NOWAIT)
		return -EINVAL;
	err = shmux__enter(s);
	if (err)
		return err;
	shmux__rx_begin(st);
	if (!readable(st))
		shmux__drain_to_read(s);
	shmux__waiter_init(&w, s, st, WAIT_READ);
	while (!readable(st) && !err)
		err = recv_wait(st, &w, flags);
	shmux__wait_end(&w);
	if (readable(st)) {
		node = shmux__rx_pop(st);
		view->data = node->data + node->pos;
		view->len = node->len - node->pos;
		view->more = node->more;
		view->private_[VIEW_NODE] = (uintptr_t)node;
		n = (ssize_t)view->len;
	} else {
		view->data = NULL;
		view->len = 0;
		view->private_[VIEW_NODE] = 0;
		n = end_of(st, err);
	}
	shmux__leave(s);
	return n;
}

void shmux_stream_release(struct shmux_stream *st, struct shmux_view *view)
{
	struct shmux_session *s = st->s;

	if (!view->private_[VIEW_NODE] || shmux__enter(s))
		return;
	shmux__rx_free(st, (struct shmux__rx *)view->private_[VIEW_NODE]);
	view->private_[VIEW_NODE] = 0;
	view->data = NULL;
	view->len = 0;
	shmux__leave(s);
}

ssize_t shmux_stream_next_len(struct shmux_stream *st)
{
	struct shmux_session *s = st->s;
	ssize_t n = shmux__enter(s);
	int err;

	if (n)
		return n;
	shmux__drain_to_read(s);
	/* Who asks and asks learns of the peer's death. */
	if (!readable(st) && !recv_error(st))
		shmux__session_check(s);
	if (readable(st) && !(st->state & (STREAM_RESET | STREAM_STOP_SENT))) {
		n = (ssize_t)(st->state & STREAM_MESSAGES ?
				      shmux__rx_message_len(st) :
				      st->rx_queued);
	} else {
		err = recv_error(st);
		n = err ? end_of(st, err) :
			  st->state & STREAM_MESSAGES ? -EAGAIN : 0;
	}
	shmux__leave(s);
	return n;
}
