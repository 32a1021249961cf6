// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * send.c - writing to a stream: by copy, and in place
 *
 * Owns the sender's half of flow control: a record goes out when there is
 * credit for it and room in the link, else the caller waits, has -EAGAIN, or
 * times out, knowing how much was taken.
 */
#include <string.h>

#include "core/core.h"
#include "core/iov.h"
#include "core/wait.h"

/*
 * Large writes go in chunks of so many bytes: the peer copies the first out while
 * the next is copied in. A peer that is behind has enough to copy; then larger
 * ones cost less (one way 14 GB/s, not 12).
 */
#define FRAGMENT 16384u
#define FRAGMENT_BEHIND 65536u

/*
 * Who finds no chunk waits so long, ns, for the peer to read and give some back,
 * before it asks for them: to give them back unread costs the peer a copy.
 */
#define CHUNK_PATIENCE UINT64_C(1000000)

/* A call that writes, and may wait. */
struct writer {
	struct shmux__waiter waiter;
	uint64_t ask_at;	/* for chunks; 0: there were some, or it has asked */
};

static void writer_init(struct writer *w, struct shmux_stream *st)
{
	shmux__waiter_init(&w->waiter, st->s, st, WAIT_WRITE);
	w->ask_at = 0;
}

/* Where a call reads from: a list of buffers and how far it is. */
struct source {
	const struct iovec *iov;
	int nr;
	size_t pos;		/* in the first of @iov */
	size_t left;		/* in all */
};

static int source_init(struct source *src, const struct iovec *iov, int nr)
{
	src->iov = iov;
	src->nr = nr;
	src->pos = 0;
	return shmux__iov_size(iov, nr, &src->left);
}

/* The next contiguous bytes. */
static const char *source_at(struct source *src, size_t *len)
{
	while (src->nr && src->pos == src->iov->iov_len) {
		src->iov++;
		src->nr--;
		src->pos = 0;
	}
	if (!src->nr) {
		*len = 0;
		return NULL;
	}
	*len = src->iov->iov_len - src->pos;
	return (const char *)src->iov->iov_base + src->pos;
}

static void source_skip(struct source *src, size_t n)
{
	src->left -= n;
	while (n > src->iov->iov_len - src->pos) {
		n -= src->iov->iov_len - src->pos;
		src->pos = 0;
		src->iov++;
		src->nr--;
	}
	src->pos += n;
}

/* Copy the next @n bytes to @dst, which is in a chunk of @l, or @l is NULL. */
static void source_copy(struct source *src, struct shmux__link *l, char *dst,
			size_t n)
{
	const char *at;
	size_t len;

	while (n) {
		at = source_at(src, &len);
		if (len > n)
			len = n;
		if (l)
			l->ops->chunk_fill(l, dst, at, len);
		else
			memcpy(dst, at, len);
		source_skip(src, len);
		dst += len;
		n -= len;
	}
}

/* May this stream be written to? */
static int send_error(const struct shmux_stream *st)
{
	if (__builtin_expect(!(st->state & (STREAM_RESET | STREAM_FIN_SENT |
					    STREAM_STOP_RECEIVED)) &&
			     !st->s->error, 1))
		return 0;
	if (st->state & STREAM_RESET)
		return -ECONNRESET;
	if (st->state & (STREAM_FIN_SENT | STREAM_STOP_RECEIVED))
		return -EPIPE;
	return st->s->error;
}

static uint64_t send_deadline(const struct shmux_stream *st)
{
	return st->extra ? st->extra->deadline[1] : SHMUX_NEVER;
}

/* Tell the peer, once, that we have no credit for @want bytes. */
static void say_blocked(struct shmux_stream *st, size_t want)
{
	struct shmux_body_u32 body = {
		.value = want < SHMUX_WINDOW_MAX ? (uint32_t)want :
						   SHMUX_WINDOW_MAX,
	};

	st->state &= ~(STREAM_GAVE_UP | STREAM_OWES_REFUND);
	if (st->state & STREAM_BLOCKED_SENT)
		return;
	if (!(st->s->link->features & SHMUX_FEATURE_BLOCKED)) {
		/* It would not understand; it grants at half of the limit. */
		st->state |= STREAM_BLOCKED_SENT;
		return;
	}
	if (!shmux__link_send(st->s->link, SHMUX_FRAME_BLOCKED, 0, st->id,
			      &body, sizeof(body)))
		st->state |= STREAM_BLOCKED_SENT;
}

void shmux__stream_may_write(struct shmux_stream *st)
{
	st->state &= ~STREAM_BLOCKED_SENT;
	shmux__wake_stream(st, WAIT_WRITE);
	if (st->state & STREAM_WANTS_WRITE)
		shmux__stream_event(st, STREAM_EVENT_WRITE);
}

/*
 * Payload goes out. The peer takes it for a sign that we are blocked no more: one
 * who waits for more credit than this took has to say so again.
 */
static inline void unblocked(struct shmux_stream *st)
{
	if (__builtin_expect(!(st->state & (STREAM_BLOCKED_SENT |
					    STREAM_GAVE_UP)), 1))
		return;
	st->state &= ~(STREAM_GAVE_UP | STREAM_OWES_REFUND);
	if (st->state & STREAM_BLOCKED_SENT)
		shmux__stream_may_write(st);
}

/* What a try ran into. */
#define NO_CREDIT	(-ENOBUFS)
#define NO_ROOM		(-EAGAIN)
#define NO_SPAN		(-ENOSR)	/* we keep all we may */
#define NO_CHUNK	(-ENOSPC)

/*
 * There is no chunk, perhaps because the peer holds what nobody reads. Return:
 * how long to wait for one.
 */
static uint64_t lack_chunk(struct writer *w, uint64_t deadline)
{
	struct shmux_session *s = w->waiter.s;

	if (!w->ask_at)
		w->ask_at = shmux_clock_now() + CHUNK_PATIENCE;
	if (shmux_clock_left(w->ask_at))
		return w->ask_at < deadline ? w->ask_at : deadline;
	/* Without room to ask the next try does. */
	if (!shmux__control_ask(s))
		w->ask_at = 0;
	return deadline;
}

void shmux__stream_refund(struct shmux_stream *st)
{
	st->state |= STREAM_OWES_REFUND;
	shmux__stream_control(st);
}

/*
 * Who waited for credit or amid a message waits no more. Unless somebody else
 * writes, the peer is to have back what the stream was granted, now and later.
 */
static void give_up(struct shmux_stream *st, const struct shmux__waiter *w)
{
	const struct shmux__waiter *other;

	if (!(st->state & (STREAM_BLOCKED_SENT | STREAM_MESSAGES)) ||
	    (st->state & STREAM_WANTS_WRITE) ||
	    !(st->s->link->features & SHMUX_FEATURE_BLOCKED))
		return;
	for (other = st->waiters; other; other = other->next)
		if (other != w && (other->kind & WAIT_WRITE))
			return;
	st->state |= STREAM_GAVE_UP;
	shmux__stream_refund(st);
}

/*
 * A try has met @err. Wait until there may be more. Return: 0 to try again, or
 * the error that ends the call.
 */
static int send_wait(struct shmux_stream *st, struct writer *w, int err,
		     size_t want, unsigned int flags)
{
	struct shmux_session *s = st->s;
	uint64_t until = send_deadline(st);
	bool room;

	if (err == NO_CREDIT) {
		s->counters.credit_stalls++;
		say_blocked(st, want);
	} else if (err == NO_ROOM || err == NO_CHUNK || err == NO_SPAN) {
		s->counters.room_stalls++;
	} else {
		if (err == -EPROTO)
			shmux__session_die(s, err);
		return err;
	}
	/* To say that the credit is out takes room as well. */
	room = err != NO_CREDIT || !(st->state & STREAM_BLOCKED_SENT);
	if (flags & SHMUX_NOWAIT) {
		if (err == NO_CHUNK)
			shmux__control_ask(s);
		shmux__session_check(s);
		if (s->error)
			return s->error;
		st->state |= STREAM_WANTS_WRITE;
		if (err == NO_SPAN)
			s->wants_span = true;
		else if (room)
			shmux__room_missed(s);
		return -EAGAIN;
	}
	if (err == NO_CHUNK)
		until = lack_chunk(w, until);
	err = shmux__wait(&w->waiter, until, room);
	err = shmux__waited(err, send_deadline(st));
	if (err && send_error(st))
		return send_error(st);
	return err;
}

/* The call ends with @err, or 0. */
static void writer_end(struct writer *w, int err)
{
	struct shmux_stream *st = w->waiter.st;

	if ((err == -ETIMEDOUT || err == -ECANCELED) && !send_error(st))
		give_up(st, &w->waiter);
	shmux__wait_end(&w->waiter);
}

/* Credit has come back, or the turn to send a message: to those who wait. */
static void may_go_on(struct shmux_stream *st)
{
	shmux__wake_stream(st, WAIT_WRITE);
	if (st->state & STREAM_WANTS_WRITE)
		shmux__stream_event(st, STREAM_EVENT_WRITE);
}

/* Account for a record of payload that had @had bytes and now has @now. */
static void spent(struct shmux_stream *st, uint32_t had, uint32_t now)
{
	const struct shmux__link *l = st->s->link;

	st->tx_credit -= shmux__cost(l, now) - (had ? shmux__cost(l, had) : 0);
	st->s->counters.bytes_sent += now - had;
}

/* Send bytes without a chunk. Return: @n, or what it ran into. */
SHMUX_INLINE ssize_t put_inline(struct shmux_stream *st, const char *buf,
				uint32_t n, uint32_t fin, bool may_append)
{
	struct shmux__link *l = st->s->link;
	int had, err;

	if (may_append && !fin) {
		had = shmux__link_append(l, st->id, buf, n);
		if (had >= 0) {
			spent(st, (uint32_t)had, (uint32_t)had + n);
			return n;
		}
	}
	err = shmux__link_send(l, SHMUX_FRAME_DATA, fin, st->id, buf, n);
	if (err)
		return err;
	spent(st, 0, n);
	if (fin)
		st->state |= STREAM_FIN_SENT;
	return n;
}

/* Send the next piece of the @n bytes at @buf, which are more than one. */
static ssize_t put_piece(struct shmux_stream *st, const char *buf, uint32_t n,
			 bool may_append)
{
	struct shmux__link *l = st->s->link;
	ssize_t sent = put_inline(st, buf, l->piece, 0, may_append);

	/* What is no more than a piece by now has gone as good as already. */
	if (sent > 0 && l->ops->pieces_sent)
		l->ops->pieces_sent(l, n > 2 * l->piece ? l->piece : n);
	return sent;
}

SHMUX_INLINE ssize_t put_chunk(struct shmux_stream *st, const char *buf,
			       uint32_t n, uint32_t fin)
{
	struct shmux__link *l = st->s->link;
	uint32_t most = l->behind ? FRAGMENT_BEHIND : FRAGMENT;
	struct shmux__chunk c;
	int err;

	if (most > l->chunk_max)
		most = l->chunk_max;
	if (n > most) {
		n = most;
		fin = 0;
	}
	err = l->ops->chunk_get(l, n, &c);
	if (err)
		return err;
	l->ops->chunk_fill(l, c.data, buf, n);
	l->ops->chunk_send(l, fin, st->id, &c, n);
	l->frames_sent++;
	spent(st, 0, n);
	if (fin)
		st->state |= STREAM_FIN_SENT;
	return n;
}

/* Send some bytes of a byte stream. Return: how many, or what it ran into. */
static ssize_t put_bytes(struct shmux_stream *st, const char *buf, size_t len,
			 bool last, unsigned int flags)
{
	struct shmux_session *s = st->s;
	struct shmux__link *l = s->link;
	bool may_append = s->corked || (flags & SHMUX_MORE) || !last;
	uint32_t fin = last && (flags & SHMUX_FIN) ? SHMUX_FLAG_FIN : 0;
	uint32_t n, credit = st->tx_credit;
	ssize_t sent;

	if (credit < l->cost_min)
		return NO_CREDIT;
	n = len < credit ? (uint32_t)len : credit;
	if (n < len)
		fin = 0;
	if (n > l->chunk_above) {
		sent = put_chunk(st, buf, n, fin);
		if (sent == NO_CHUNK && n <= l->pieces_max)
			sent = put_piece(st, buf, n, may_append);
	} else if (n > l->piece) {
		sent = put_piece(st, buf, n, may_append);
	} else {
		sent = put_inline(st, buf, n, fin, may_append);
	}
	if (sent > 0)
		unblocked(st);
	return sent;
}

/* Buffers of less are put together, to so many bytes. */
#define GATHER_BELOW	512u
#define GATHER_MAX	4096u

/* Is the next of several buffers so small that it should go with those behind it? */
static inline bool are_small(struct source *src)
{
	size_t len;

	if (src->nr < 2)
		return false;
	source_at(src, &len);
	return len < GATHER_BELOW;
}

/*
 * Copy the next buffers to @dst, up to one that is not small: at most @max bytes, which
 * is not 0. Return: how many. The source is not moved on; in a loop of its own its
 * words would be stored for each buffer (64 buffers of 64 bytes: 5 ns each).
 */
static size_t gather(const struct source *src, char *dst, size_t max)
{
	const struct iovec *iov = src->iov, *end = iov + src->nr;
	const char *at = (const char *)iov->iov_base + src->pos;
	size_t left = max, len = iov->iov_len - src->pos;

	while (len < GATHER_BELOW) {
		if (len > left)
			len = left;
		if (len <= 64)
			shmux_copy_small(dst, at, len);
		else
			memcpy(dst, at, len);
		dst += len;
		left -= len;
		if (!left || ++iov == end)
			break;
		at = iov->iov_base;
		len = iov->iov_len;
	}
	return max - left;
}

/*
 * Send the next small buffers in one record (64 of 64 bytes: 5.5 ns each; in a chunk
 * 6.3, and twice as much as here where cores are far apart). Return: bytes, or what
 * it ran into.
 */
static SHMUX_ASIDE ssize_t put_gathered(struct shmux_stream *st,
					struct source *src, unsigned int flags)
{
	struct shmux__link *l = st->s->link;
	uint32_t fin = flags & SHMUX_FIN ? SHMUX_FLAG_FIN : 0;
	size_t len = st->tx_credit;
	char buf[GATHER_MAX];
	ssize_t sent;

	if (len < l->cost_min)
		return NO_CREDIT;
	if (len > sizeof(buf))
		len = sizeof(buf);
	if (len > l->gather_max)
		len = l->gather_max;
	len = gather(src, buf, len);
	for (;;) {
		bool last = len == src->left;

		sent = put_inline(st, buf, (uint32_t)len, last ? fin : 0,
				  st->s->corked || (flags & SHMUX_MORE) ||
				  !last);
		if (sent != NO_ROOM || len <= SHMUX_CREDIT_MIN)
			break;
		/* As much as there is room for. */
		len = len / 2 > SHMUX_CREDIT_MIN ? len / 2 : SHMUX_CREDIT_MIN;
	}
	if (sent > 0) {
		source_skip(src, (size_t)sent);
		unblocked(st);
	}
	return sent;
}

/*
 * What a call that may wait has written is on its way when it returns. Nothing
 * comes of a deadline here: all has been taken.
 */
static void see_off(struct writer *w, unsigned int flags)
{
	struct shmux_session *s = w->waiter.s;
	int err = 0;

	if (s->corked || (flags & (SHMUX_NOWAIT | SHMUX_MORE)) || s->error)
		return;
	shmux__publish(s);
	while (shmux__unsent(s) && !s->error && !err)
		err = shmux__wait(&w->waiter, send_deadline(w->waiter.st), true);
}

/* With no obstacle on the way but credit? @but: states that are none. */
static inline bool go_straight(const struct shmux_stream *st, uint32_t but)
{
	return shmux__link_is_shm(st->s->link) &&
	       !(st->state & ~but &
		 (STREAM_MESSAGES | STREAM_TX_BUSY | STREAM_OWES_ABORT |
		  STREAM_RESET | STREAM_FIN_SENT | STREAM_STOP_RECEIVED |
		  STREAM_BLOCKED_SENT | STREAM_GAVE_UP)) &&
	       !st->s->error;
}

/* The same of so few that they cost the least there is, which we have. */
static inline bool cost_least(const struct shmux_stream *st, size_t len,
			      uint32_t but)
{
	return len - 1 < SHMUX_CREDIT_MIN &&
	       st->tx_credit >= SHMUX_CREDIT_MIN && go_straight(st, but);
}

/* Bytes of a byte stream. */
static inline bool are_few(const struct shmux_stream *st, size_t len)
{
	return cost_least(st, len, 0);
}

/* Bytes of a byte stream, as many as are one chunk? */
static inline bool are_a_chunk(const struct shmux_stream *st, size_t len)
{
	return len > st->s->link->chunk_above && len <= FRAGMENT &&
	       len <= st->s->link->chunk_max && len <= st->tx_credit &&
	       go_straight(st, 0);
}

/*
 * A message. Not under a cork: to post it is to publish it, and to hold it back to
 * join it to the one before.
 */
static inline bool is_short(const struct shmux_stream *st, size_t len)
{
	return cost_least(st, len, STREAM_MESSAGES) && !st->s->corked &&
	       len <= st->s->link->peer_message_max;
}

/* Not to be published yet. Return: whether there was room. */
SHMUX_INLINE bool hold_few(struct shmux_stream *st, const void *buf,
			   uint32_t len)
{
	struct shmux_session *s = st->s;
	struct shmux__link *l = s->link;
	int had = shmux__shm_append(shmux__shm(l), st->id, buf, len);

	if (had >= 0) {
		st->tx_credit -= shmux__cost(l, (uint32_t)had + len) -
				 shmux__cost(l, (uint32_t)had);
	} else {
		if (shmux__shm_send(shmux__shm(l), SHMUX_FRAME_DATA, 0, st->id,
				    buf, len))
			return false;
		l->frames_sent++;
		st->tx_credit -= SHMUX_CREDIT_MIN;
	}
	s->counters.bytes_sent += len;
	return true;
}

/* Of a call: not to wait once there is something to read. */
#define OR_READ		0x80000000u

static ssize_t send_bytes(struct shmux_stream *st, struct source *src,
			  unsigned int flags)
{
	struct shmux_session *s = st->s;
	struct writer w;
	size_t done = 0, len;
	const char *at;
	ssize_t n;
	bool hold;
	int err;

	writer_init(&w, st);
	if (flags & OR_READ)
		w.waiter.kind |= WAIT_READ;
	for (;;) {
		err = send_error(st);
		if (err)
			break;
		if (!src->left) {
			/* No payload to carry it. */
			if ((flags & SHMUX_FIN) &&
			    !(st->state & STREAM_FIN_SENT)) {
				st->state |= STREAM_FIN_SENT | STREAM_OWES_FIN;
				shmux__stream_control(st);
			}
			break;
		}
		hold = s->corked;
		if (are_small(src)) {
			n = put_gathered(st, src, flags);
			hold = hold || (flags & SHMUX_MORE);
		} else {
			at = source_at(src, &len);
			n = put_bytes(st, at, len, len == src->left, flags);
			if (n > 0)
				source_skip(src, (size_t)n);
		}
		if (n > 0) {
			w.ask_at = 0;
			done += (size_t)n;
			if (!src->left)
				break;
			/* Not to wake a sleeper for a part. */
			if (!hold && n >= (ssize_t)s->link->piece &&
			    !shmux__link_peer_asleep(s->link))
				shmux__publish(s);
			continue;
		}
		if ((flags & OR_READ) && (st->rx_first ||
					  (st->state & STREAM_FIN_RECEIVED))) {
			err = -EAGAIN;
			break;
		}
		err = send_wait(st, &w, (int)n, src->left, flags);
		if (err)
			break;
	}
	if (st->state & STREAM_FIN_SENT)
		shmux__stream_settle(st);
	if (!err && !shmux__link_is_shm(s->link))
		see_off(&w, flags);
	writer_end(&w, err);
	return done ? (ssize_t)done : err;
}

/* Send a message that is small enough for the ring. Return: 0 or NO_ROOM. */
static int put_small(struct shmux_stream *st, const struct source *src,
		     uint32_t fin)
{
	struct source from = *src;
	char buf[4096];
	size_t len = from.left, at_len;
	const char *at = source_at(&from, &at_len);

	if (at_len < len) {
		source_copy(&from, NULL, buf, len);
		at = buf;
	}
	return shmux__link_send(st->s->link, SHMUX_FRAME_DATA, fin, st->id, at,
				(uint32_t)len);
}

/* Send the next part of a message. Return: its length, or what it ran into. */
static ssize_t put_part(struct shmux_stream *st, struct source *src,
			uint32_t part, uint32_t fin)
{
	struct shmux__link *l = st->s->link;
	uint32_t n = src->left < part ? (uint32_t)src->left : part;
	struct shmux__chunk c;
	char buf[4096];
	int err;

	/* No part is so short that it costs more than its length. */
	if (src->left - n && src->left - n < SHMUX_CREDIT_MIN)
		n -= SHMUX_CREDIT_MIN;
	if (!l->chunk_max) {
		struct source from = *src;

		source_copy(&from, NULL, buf, n);
		err = shmux__link_send(l, SHMUX_FRAME_DATA,
				       n < src->left ? SHMUX_FLAG_MORE : fin,
				       st->id, buf, n);
		if (err)
			return err;
		*src = from;
		return n;
	}
	err = l->ops->chunk_get(l, n, &c);
	if (err)
		return err;
	source_copy(src, l, c.data, n);
	l->ops->chunk_send(l, src->left ? SHMUX_FLAG_MORE : fin, st->id, &c, n);
	l->frames_sent++;
	return n;
}

/* Has the message before been sent, or taken back, to its end? */
static bool may_begin(struct shmux_stream *st)
{
	if (st->state & STREAM_OWES_ABORT)
		shmux__control_flush(st->s);
	return !(st->state & (STREAM_TX_BUSY | STREAM_OWES_ABORT));
}

static ssize_t send_message(struct shmux_stream *st, struct source *src,
			    unsigned int flags)
{
	struct shmux_session *s = st->s;
	struct shmux__link *l = s->link;
	uint32_t fin = flags & SHMUX_FIN ? SHMUX_FLAG_FIN : 0, part;
	size_t len = src->left;
	struct writer w;
	uint32_t cost, left = 0;
	bool begun = false;
	ssize_t n;
	int err;

	if (len > l->peer_message_max)
		return -EMSGSIZE;
	part = l->chunk_max ? l->chunk_max : l->inline_max;
	/* One that needs the peer's help amid its parts cannot go unwaited. */
	if ((flags & SHMUX_NOWAIT) && l->chunk_max && len > part)
		return -EMSGSIZE;
	/* Of more than one chunk, the first are read while the next are written. */
	if (len > part && part > FRAGMENT_BEHIND)
		part = FRAGMENT_BEHIND;
	cost = shmux__cost(l, (uint32_t)len);

	writer_init(&w, st);
	for (;;) {
		err = send_error(st);
		if (err)
			break;
		if (!begun && !may_begin(st))
			n = NO_ROOM;
		else if (!begun && st->tx_credit < cost)
			n = NO_CREDIT;
		else if (len <= l->inline_max)
			n = put_small(st, src, fin);
		else
			n = put_part(st, src, part, fin);
		if (n >= 0) {
			w.ask_at = 0;
			if (!begun) {
				st->tx_credit -= cost;
				left = cost;
				st->state |= STREAM_TX_BUSY;
				begun = true;
			}
			left -= len <= l->inline_max ? left : (uint32_t)n;
			if (len <= l->inline_max || !src->left)
				break;
			if (!s->corked)
				shmux__publish(s);
			continue;
		}
		err = send_wait(st, &w, (int)n, cost, flags);
		if (err)
			break;
	}
	if (begun) {
		st->state &= ~STREAM_TX_BUSY;
		/* Of parts that were not sent. */
		if (err)
			st->tx_credit += left;
		/* At our FIN the peer drops the part by itself. */
		if (err && !(st->state & (STREAM_DETACHED | STREAM_FIN_SENT))) {
			st->state |= STREAM_OWES_ABORT;
			shmux__stream_control(st);
		}
		may_go_on(st);
		unblocked(st);
	}
	if (!err) {
		s->counters.bytes_sent += len;
		if (fin) {
			st->state |= STREAM_FIN_SENT;
			shmux__stream_settle(st);
		}
	}
	writer_end(&w, err);
	return err ? err : (ssize_t)len;
}

/* Return: false: as shmux__shm_post(). */
SHMUX_INLINE bool post_few(struct shmux_stream *st, const void *buf,
			   size_t len)
{
	struct shmux_session *s = st->s;

	if (!shmux__shm_post(shmux__shm(s->link), st->id, buf, (uint32_t)len))
		return false;
	s->link->frames_sent++;
	s->counters.bytes_sent += len;
	st->tx_credit -= SHMUX_CREDIT_MIN;
	return true;
}

/* The lock is held, and dropped. */
static SHMUX_ASIDE ssize_t
send_slow(struct shmux_stream *st, const struct iovec *iov, int nr,
	  unsigned int flags)
{
	struct source src;
	ssize_t n = source_init(&src, iov, nr);

	if (!n && (st->state & STREAM_MESSAGES))
		n = send_message(st, &src, flags);
	else if (!n)
		n = send_bytes(st, &src, flags);
	shmux__leave_more(st->s, (flags & SHMUX_MORE) && n >= 0);
	return n;
}

static SHMUX_ASIDE ssize_t
write_slow(struct shmux_stream *st, const void *buf, size_t len,
	   unsigned int flags)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
	ssize_t n = 0;

	if (are_a_chunk(st, len))
		n = put_chunk(st, buf, (uint32_t)len, 0);
	if (n > 0) {
		shmux__leave_more(st->s, flags & SHMUX_MORE);
		return n;
	}
	/* It may not come to light once more. */
	if (n == -EPROTO)
		shmux__session_die(st->s, -EPROTO);
	return send_slow(st, &iov, 1, flags);
}

static SHMUX_ASIDE ssize_t
send_held(struct shmux_stream *st, const void *buf, size_t len,
	  unsigned int flags)
{
	struct shmux_session *s = st->s;
	int err = shmux__enter(s);

	if (err)
		return err;
	shmux__drain_more(s, !(flags & SHMUX_NOWAIT));
	if (!are_few(st, len) || !hold_few(st, buf, (uint32_t)len))
		return write_slow(st, buf, len, flags);
	shmux_unlock(&s->lock);
	return (ssize_t)len;
}

static SHMUX_ASIDE ssize_t
write_corked(struct shmux_stream *st, const void *buf, size_t len,
	     unsigned int flags)
{
	if (!hold_few(st, buf, (uint32_t)len))
		return write_slow(st, buf, len, flags);
	shmux_unlock(&st->s->lock);
	return (ssize_t)len;
}

/* @flags: SHMUX_NOWAIT or none. */
SHMUX_INLINE ssize_t send_now(struct shmux_stream *st, const void *buf,
			      size_t len, unsigned int flags)
{
	struct shmux_session *s = st->s;
	int err = shmux__enter(s);

	if (__builtin_expect(err != 0, 0))
		return err;
	shmux__drain(s);
	if (__builtin_expect(are_few(st, len), 1)) {
		if (s->corked)
			return write_corked(st, buf, len, flags);
		if (post_few(st, buf, len)) {
			shmux__leave(s);
			return (ssize_t)len;
		}
	} else if (is_short(st, len) && post_few(st, buf, len)) {
		shmux__leave(s);
		return (ssize_t)len;
	}
	return write_slow(st, buf, len, flags);
}

static SHMUX_ASIDE ssize_t
send_one(struct shmux_stream *st, const void *buf, size_t len,
	 unsigned int flags)
{
	return send_now(st, buf, len, flags);
}

static SHMUX_ASIDE ssize_t
send_many(struct shmux_stream *st, const struct iovec *iov, int nr,
	  unsigned int flags)
{
	int err = shmux__enter(st->s);

	if (err)
		return err;
	shmux__drain_more(st->s, (flags & SHMUX_MORE) && !(flags & SHMUX_NOWAIT));
	return send_slow(st, iov, nr, flags);
}

ssize_t shmux_stream_send(struct shmux_stream *st, const struct iovec *iov,
			  int nr, unsigned int flags)
{
	if (flags & ~(SHMUX_NOWAIT | SHMUX_MORE | SHMUX_FIN))
		return -EINVAL;
	if (nr != 1 || (flags & SHMUX_FIN))
		return send_many(st, iov, nr, flags);
	if (flags & SHMUX_MORE)
		return send_held(st, iov->iov_base, iov->iov_len, flags);
	return send_one(st, iov->iov_base, iov->iov_len, flags);
}

ssize_t shmux__stream_send_or_read(struct shmux_stream *st,
				   const struct iovec *iov, int nr)
{
	struct shmux_session *s = st->s;
	struct source src;
	ssize_t n = shmux__enter(s);

	if (n)
		return n;
	shmux__drain(s);
	n = source_init(&src, iov, nr);
	if (!n)
		n = send_bytes(st, &src, OR_READ);
	shmux__leave(s);
	return n;
}

ssize_t shmux_stream_write(struct shmux_stream *st, const void *buf, size_t len)
{
	return send_now(st, buf, len, 0);
}

ssize_t shmux_stream_writev(struct shmux_stream *st, const struct iovec *iov,
			    int nr)
{
	return shmux_stream_send(st, iov, nr, 0);
}

ssize_t shmux_stream_try_write(struct shmux_stream *st, const void *buf,
			       size_t len)
{
	return send_one(st, buf, len, SHMUX_NOWAIT);
}

ssize_t shmux_stream_try_writev(struct shmux_stream *st,
				const struct iovec *iov, int nr)
{
	return shmux_stream_send(st, iov, nr, SHMUX_NOWAIT);
}

/* A span's private words. */
#define SPAN_HANDLE	0
#define SPAN_CREDIT	1	/* taken from the stream */
#define SPAN_SIZE	2	/* of the chunk */

static struct shmux__chunk span_chunk(const struct shmux_span *span)
{
	return (struct shmux__chunk){
		.data = span->data,
		.size = (uint32_t)span->private_[SPAN_SIZE],
		.handle = (uint32_t)span->private_[SPAN_HANDLE],
	};
}

int shmux_stream_reserve(struct shmux_stream *st, size_t n,
			 struct shmux_span *span, unsigned int flags)
{
	struct shmux_session *s = st->s;
	struct shmux__link *l = s->link;
	struct writer w;
	struct shmux__chunk c;
	uint32_t cost;
	int err;

	if (!n || (flags & ~SHMUX_NOWAIT))
		return -EINVAL;
	if (!l->chunk_max)
		return -EOPNOTSUPP;
	if (n > shmux_stream_reserve_max(st))
		return -EMSGSIZE;
	cost = shmux__cost(l, (uint32_t)n);
	err = shmux__enter(s);
	if (err)
		return err;
	shmux__drain(s);
	writer_init(&w, st);
	for (;;) {
		err = send_error(st);
		if (err)
			break;
		if (st->tx_credit < cost)
			err = NO_CREDIT;
		else if (s->nr_spans >= l->chunks_kept)
			err = NO_SPAN;
		else
			err = l->ops->chunk_get(l, (uint32_t)n, &c);
		if (!err) {
			s->nr_spans++;
			st->tx_credit -= cost;
			span->data = c.data;
			span->size = n;
			span->private_[SPAN_HANDLE] = c.handle;
			span->private_[SPAN_CREDIT] = cost;
			span->private_[SPAN_SIZE] = c.size;
			break;
		}
		err = send_wait(st, &w, err, cost, flags);
		if (err)
			break;
	}
	writer_end(&w, err);
	shmux__leave(s);
	return err;
}

/* Under the lock: the span is spent. */
static void span_return(struct shmux_stream *st, struct shmux_span *span)
{
	struct shmux_session *s = st->s;
	struct shmux__chunk c = span_chunk(span);

	s->nr_spans--;
	if (!s->error)
		s->link->ops->chunk_put(s->link, &c);
	st->tx_credit += (uint32_t)span->private_[SPAN_CREDIT];
	may_go_on(st);
	shmux__room_made(s);
}

ssize_t shmux_stream_submit(struct shmux_stream *st, struct shmux_span *span,
			    size_t len, unsigned int flags)
{
	struct shmux_session *s = st->s;
	struct shmux__link *l = s->link;
	uint32_t fin = flags & SHMUX_FIN ? SHMUX_FLAG_FIN : 0;
	struct shmux__chunk c;
	struct shmux__waiter w;
	ssize_t n = (ssize_t)len;
	int err;

	if (!span->data)
		return -EINVAL;
	err = shmux__enter(s);
	if (err) {
		span->data = NULL;
		return err;
	}
	shmux__drain(s);
	shmux__waiter_init(&w, s, st, WAIT_WRITE);
	while (!(err = send_error(st)) && !may_begin(st)) {
		err = shmux__wait(&w, send_deadline(st), true);
		err = shmux__waited(err, send_deadline(st));
		if (err)
			break;
	}
	shmux__wait_end(&w);
	if (len > span->size || (flags & ~(SHMUX_MORE | SHMUX_FIN)))
		err = -EINVAL;
	if (err) {
		span_return(st, span);
		n = err;
	} else if (!len && !(st->state & STREAM_MESSAGES)) {
		span_return(st, span);
		if (fin) {
			st->state |= STREAM_FIN_SENT | STREAM_OWES_FIN;
			shmux__stream_control(st);
		}
	} else {
		c = span_chunk(span);
		st->tx_credit += (uint32_t)span->private_[SPAN_CREDIT] -
				 shmux__cost(l, (uint32_t)len);
		l->ops->chunk_send(l, fin, st->id, &c, (uint32_t)len);
		s->nr_spans--;
		/* What was reserved beyond @len is free. */
		shmux__room_made(s);
		unblocked(st);
		s->counters.bytes_sent += len;
		l->frames_sent++;
		if (fin) {
			st->state |= STREAM_FIN_SENT;
			shmux__stream_settle(st);
		}
	}
	span->data = NULL;
	span->size = 0;
	shmux__leave_more(s, (flags & SHMUX_MORE) && n >= 0);
	return n;
}

void shmux_stream_cancel(struct shmux_stream *st, struct shmux_span *span)
{
	struct shmux_session *s = st->s;

	if (!span->data || shmux__enter(s))
		return;
	span_return(st, span);
	span->data = NULL;
	span->size = 0;
	shmux__leave(s);
}
