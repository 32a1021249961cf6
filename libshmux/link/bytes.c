// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * bytes.c - see bytes.h
 *
 * Owns the frames that are not yet written, those that are not yet taken, and the
 * ids of the wire. How much may be under way on a stream is the session's to know.
 *
 * What a call has published is in the kernel when it returns, or in our buffer
 * until whoever is next in a call finds room there: a call that may wait does.
 */
#include "link/bytes.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "base/errno.h"
#include "base/lock.h"
#include "base/yield.h"
#include "link/child.h"
#include "link/ids.h"
#include "link/wire.h"
#include "link/yamux.h"

#define TX_SIZE		(160u << 10)
#define TX_FULL		(64u << 10)	/* unsent; then only what must be said */
#define RX_SIZE		(64u << 10)
#define PIECE		(32u << 10)	/* longest frame that we make */
#define DIRECT		4096u	/* from here on payload goes straight to the kernel */
#define FRAMES_MAX	65536u	/* on their way; more may be, but of next to nothing */
#define POLLS_PER_CALL	(SHMUX_AWAITS_PER_US / 12)	/* that one of the kernel's is worth */

/* struct shmux__wire_stream::state */
#define WIRE_UNACKED	0x1u	/* ours, and not accepted yet */
#define WIRE_OWES_ACK	0x2u	/* the peer's: the next frame says that we know it */
#define WIRE_FIN	0x4u	/* the peer's last payload has come */

/* struct bytes::news */
#define NEWS_HERE	0x1u	/* there is a frame in the buffer, or the end */
#define NEWS_KERNEL	0x2u	/* the kernel has something, or the end */
#define NEWS_ROOM	0x4u	/* the kernel takes more of what is unsent */
#define NEWS_CHILD	0x8u	/* our child has ended, it seems */

struct bytes {
	struct shmux__link link;
	struct shmux__wire wire;
	struct shmux__ids ids;
	uint32_t next_wire;	/* id of what we open next; 0: there are no more */
	uint32_t nr_unacked;

	/* Sending: what is in the buffer from @tx_pos to @tx_end. */
	unsigned char *tx;
	uint32_t tx_pos, tx_end;
	uint32_t last_id;	/* the last frame's stream, if it may grow */
	uint32_t last;		/* where in @tx that frame is */
	uint32_t freed;		/* times that room was made */
	uint32_t seen_freed;	/* as of begin_wait */
	uint64_t ping_sent;
	bool deaf;		/* the peer: nobody reads what we write */
	bool guilty;		/* the peer: it broke the protocol */

	/* Receiving: what is in the buffer from @rx_pos to @rx_end. */
	unsigned char *rx;
	uint32_t rx_pos, rx_end;
	bool drained;		/* the kernel had no more when last asked */
	bool ended;		/* and will have no more */
	uint32_t payload_left;	/* of a frame of payload */
	uint32_t payload_id;	/* its stream; 0: it goes nowhere */
	bool payload_fin;
	bool take_in;		/* nobody waits for it */
	bool long_ones;		/* the last payload was, and so may be the next */
	struct shmux__frame held[3];	/* what else a frame has said */
	uint32_t nr_held, next_held;

	/* Sleeping. */
	int poke_fd;		/* or -1 */
	int epoll_fd;		/* or -1 */
	uint32_t epoll_out;	/* EPOLLOUT while there is something to write */
	uint32_t news;		/* NEWS_*; the leader may look, unlocked */
	uint32_t full;		/* the kernel took not all; the leader may look, unlocked */
	uint32_t writable;	/* it has said since that it takes more */
	bool turned_away;	/* somebody's payload, of which it took nothing */
	struct shmux_yield yield;	/* of who spins */
	uint32_t asked;		/* something of the peer, and has not given way since */
	bool asleep;		/* the leader is, or is about to be */
	bool asleep_for_room;	/* and has not been told of any */

	struct shmux__child child;	/* who is at the other end, or none */
};

static struct bytes *bytes(struct shmux__link *l)
{
	return (struct bytes *)l;
}

/* --- sending --------------------------------------------------------------- */

static uint32_t unsent(const struct bytes *b)
{
	return b->tx_end - b->tx_pos;
}

static void poke(struct bytes *b)
{
	uint64_t one = 1;
	int saved = errno;

	if (b->poke_fd >= 0 && write(b->poke_fd, &one, sizeof(one)) < 0)
		errno = saved;
}

/*
 * For a frame, or for another stream. The leader may look, unlocked; one who sleeps
 * already is told, since the kernel may have no more to tell him.
 */
static void made_room(struct bytes *b)
{
	shmux_store_relaxed(&b->freed, b->freed + 1);
	if (!b->asleep_for_room)
		return;
	b->asleep_for_room = false;
	poke(b);
}

/* There is something unsent, or no longer: who waits is to know. */
static void watch_out(struct bytes *b)
{
	uint32_t out = unsent(b) || b->turned_away ? EPOLLOUT : 0;
	bool one = b->wire.in == b->wire.out;
	struct epoll_event ev = { .events = out | (one ? EPOLLIN : 0) };
	int op = one ? EPOLL_CTL_MOD : out ? EPOLL_CTL_ADD : EPOLL_CTL_DEL;

	if (out && !b->full && b->asleep)
		poke(b);
	shmux_store_relaxed(&b->full, out);
	if (b->epoll_fd < 0 || out == b->epoll_out)
		return;
	SHMUX_KEEP_ERRNO(epoll_ctl(b->epoll_fd, op, b->wire.out, &ev));
	b->epoll_out = out;
}

/* The peer reads no more, and so will soon be silent, too. */
static void gone(struct bytes *b)
{
	b->deaf = true;
	b->tx_pos = b->tx_end = 0;
	b->turned_away = false;
	b->drained = false;	/* what it said before is there */
	shmux_store_relaxed(&b->full, 0);
	shmux_store_relaxed(&b->news, NEWS_HERE);
	if (b->asleep)
		poke(b);
}

/*
 * Write what is in the buffer and, behind it, @body, whose header is the last thing
 * in the buffer. Return: whether it is on its way: if the kernel takes nothing of
 * it, it is as if it had never been.
 */
static bool flush(struct bytes *b, const void *body, uint32_t len)
{
	struct iovec iov[2] = {
		{ .iov_base = b->tx + b->tx_pos, .iov_len = unsent(b) },
		{ .iov_base = (void *)body, .iov_len = len },
	};
	size_t left = unsent(b) + len, n;
	ssize_t written;

	b->last_id = 0;
	while (left && !b->deaf) {
		written = shmux__wire_write(&b->wire, iov, len ? 2 : 1);
		if (written == -EPIPE)
			gone(b);
		if (written < 0)
			break;
		left -= (size_t)written;
		n = (size_t)written < iov[0].iov_len ? (size_t)written :
						       iov[0].iov_len;
		iov[0].iov_base = (char *)iov[0].iov_base + n;
		iov[0].iov_len -= n;
		n = (size_t)written - n;
		if (n)
			iov[1].iov_base = (char *)iov[1].iov_base + n;
		iov[1].iov_len -= n;
		made_room(b);
	}
	if (b->deaf)
		return true;
	if (len && iov[0].iov_len >= YAMUX_HEADER_SIZE) {
		b->turned_away = true;
		iov[0].iov_len -= YAMUX_HEADER_SIZE;
		iov[1].iov_len = 0;
		b->tx_end -= YAMUX_HEADER_SIZE;
	} else if (!left) {
		b->turned_away = false;
	}
	b->tx_pos = b->tx_end - (uint32_t)iov[0].iov_len;
	if (!iov[0].iov_len)
		b->tx_pos = b->tx_end = 0;
	/* It was seen to that this fits. */
	if (body)
		memcpy(b->tx + b->tx_end, iov[1].iov_base, iov[1].iov_len);
	b->tx_end += (uint32_t)iov[1].iov_len;
	watch_out(b);
	return !len || !b->turned_away;
}

/* The kernel takes more: who was turned away may come again. */
static void readmit(struct bytes *b)
{
	if (!b->turned_away || !shmux_load_relaxed(&b->writable))
		return;
	b->turned_away = false;
	made_room(b);
	watch_out(b);
}

/* Who does not wait, and is not told, may ask again and again. */
static bool admits(struct bytes *b)
{
	if (b->turned_away && shmux__wire_takes(&b->wire)) {
		shmux_store_relaxed(&b->writable, 1);
		readmit(b);
	}
	return !b->turned_away;
}

/* See to it that @size bytes fit behind what is unsent. Return: whether they do. */
static bool make_room(struct bytes *b, uint32_t size)
{
	if (unsent(b) + size > TX_SIZE)
		return false;
	if (b->tx_end + size > TX_SIZE) {
		memmove(b->tx, b->tx + b->tx_pos, unsent(b));
		b->tx_end -= b->tx_pos;
		b->tx_pos = 0;
		b->last_id = 0;
	}
	return true;
}

static void put_header(struct bytes *b, uint8_t type, uint32_t flags,
		       uint32_t wire, uint32_t len)
{
	struct yamux_header h = {
		.version = YAMUX_VERSION,
		.type = type,
		.flags = (uint16_t)flags,
		.id = wire,
		.len = len,
	};

	yamux_encode(&h, b->tx + b->tx_end);
	b->tx_end += YAMUX_HEADER_SIZE;
	b->last_id = 0;
}

/* A frame without payload, if there is room. Return: 0 or -EAGAIN. */
static int put(struct bytes *b, uint8_t type, uint32_t flags, uint32_t wire,
	       uint32_t len)
{
	if (b->deaf)
		return 0;
	if (!make_room(b, YAMUX_HEADER_SIZE))
		return -EAGAIN;
	put_header(b, type, flags, wire, len);
	return 0;
}

/* Of a stream: it says that we know of it, if that was not said before. */
static int put_of(struct bytes *b, struct shmux__wire_stream *ws, uint32_t flags,
		  uint32_t len)
{
	uint32_t ack = ws->state & WIRE_OWES_ACK ? YAMUX_ACK : 0;
	int err = put(b, YAMUX_WINDOW_UPDATE, flags | ack, ws->wire, len);

	if (!err)
		ws->state &= ~WIRE_OWES_ACK;
	return err;
}

static void forget(struct bytes *b, struct shmux__wire_stream *ws)
{
	if (ws->state & WIRE_UNACKED) {
		b->nr_unacked--;
		made_room(b);
	}
	shmux__ids_remove(&b->ids, ws);
}

static int open_stream(struct bytes *b, uint32_t id)
{
	struct shmux__wire_stream *ws;

	if (!b->next_wire)
		return -ESHUTDOWN;
	if (b->nr_unacked == YAMUX_UNACKED_MAX || unsent(b) > TX_FULL ||
	    !make_room(b, YAMUX_HEADER_SIZE))
		return -EAGAIN;
	ws = shmux__ids_add(&b->ids, id, b->next_wire);
	if (!ws)
		return -ENOMEM;
	ws->state = WIRE_UNACKED;
	b->nr_unacked++;
	if (!b->deaf)
		put_header(b, YAMUX_WINDOW_UPDATE, YAMUX_SYN, ws->wire, 0);
	b->next_wire = b->next_wire < UINT32_MAX - 2 ? b->next_wire + 2 : 0;
	return 0;
}

static int send_data(struct bytes *b, struct shmux__wire_stream *ws,
		     uint32_t flags, const void *body, uint32_t len)
{
	uint32_t wire_flags = flags & SHMUX_FLAG_FIN ? YAMUX_FIN : 0;

	if (b->deaf)
		return 0;
	if (!admits(b) || unsent(b) > TX_FULL ||
	    !make_room(b, YAMUX_HEADER_SIZE + len))
		return -EAGAIN;
	if (ws->state & WIRE_OWES_ACK)
		wire_flags |= YAMUX_ACK;
	shmux_store_relaxed(&b->asked, 1);
	b->last = b->tx_end;
	put_header(b, YAMUX_DATA, wire_flags, ws->wire, len);
	if (len >= DIRECT) {
		if (!flush(b, body, len))
			return -EAGAIN;
	} else {
		if (len)
			memcpy(b->tx + b->tx_end, body, len);
		b->tx_end += len;
		if (!flags)
			b->last_id = ws->id;
	}
	ws->state &= ~WIRE_OWES_ACK;
	return 0;
}

static int send_reset(struct bytes *b, struct shmux__wire_stream *ws)
{
	int err = put_of(b, ws, YAMUX_RST, 0);

	if (!err)
		forget(b, ws);
	return err;
}

static int send_ping(struct bytes *b, const uint32_t token[2])
{
	int err = put(b, YAMUX_PING, YAMUX_SYN, 0, token[0]);

	if (!err)
		b->ping_sent = (uint64_t)token[1] << 32 | token[0];
	return err;
}

static uint32_t value_of(const void *body)
{
	struct shmux_body_u32 value;

	memcpy(&value, body, sizeof(value));
	return value.value;
}

static int bytes_send(struct shmux__link *l, uint32_t type, uint32_t flags,
		      uint32_t id, const void *body, uint32_t len)
{
	struct shmux__wire_stream *ws;
	struct bytes *b = bytes(l);

	if (type == SHMUX_FRAME_OPEN)
		return open_stream(b, id);
	if (type == SHMUX_FRAME_PING)
		return send_ping(b, body);
	if (type == SHMUX_FRAME_GOAWAY)
		return put(b, YAMUX_GO_AWAY, 0, 0, YAMUX_GO_AWAY_NORMAL);
	ws = shmux__ids_find(&b->ids, id);
	if (!ws)
		return 0;	/* it is over, and the peer knows */
	switch (type) {
	case SHMUX_FRAME_DATA:
		return send_data(b, ws, flags, body, len);
	case SHMUX_FRAME_CREDIT:
		return put_of(b, ws, 0, value_of(body));
	case SHMUX_FRAME_END:
		/* Of stop-sending the wire knows nothing. */
		return flags & SHMUX_FLAG_FIN ?
			       put_of(b, ws, YAMUX_FIN, 0) : 0;
	case SHMUX_FRAME_RESET:
		return send_reset(b, ws);
	default:
		return -EPROTO;	/* of a feature that we do not have */
	}
}

static int bytes_append(struct shmux__link *l, uint32_t id, const void *body,
			uint32_t len)
{
	struct bytes *b = bytes(l);
	struct yamux_header h;
	uint32_t had;

	if (b->last_id != id || !id)
		return -EAGAIN;
	h = yamux_decode(b->tx + b->last);
	had = h.len;
	if (had + len > l->append_max || unsent(b) > TX_FULL ||
	    b->tx_end + len > TX_SIZE)
		return -EAGAIN;
	h.len += len;
	yamux_encode(&h, b->tx + b->last);
	memcpy(b->tx + b->tx_end, body, len);
	b->tx_end += len;
	return (int)had;
}

static uint32_t bytes_publish(struct shmux__link *l)
{
	struct bytes *b = bytes(l);

	readmit(b);
	shmux_store_relaxed(&b->writable, 0);
	if (unsent(b))
		flush(b, NULL, 0);
	return 0;
}

static bool bytes_unsent(struct shmux__link *l)
{
	return unsent(bytes(l)) != 0;
}

static void bytes_ring(struct shmux__link *l, uint32_t bells)
{
	(void)l;
	(void)bells;
}

static void bytes_accepted(struct shmux__link *l, uint32_t id)
{
	struct shmux__wire_stream *ws = shmux__ids_find(&bytes(l)->ids, id);

	/* Without room the next frame says it. */
	if (ws && (ws->state & WIRE_OWES_ACK))
		put_of(bytes(l), ws, 0, 0);
}

static void bytes_release(struct shmux__link *l, uint32_t id)
{
	struct shmux__wire_stream *ws = shmux__ids_find(&bytes(l)->ids, id);

	if (ws)
		forget(bytes(l), ws);
}

/* --- receiving ------------------------------------------------------------- */

static uint32_t left(const struct bytes *b)
{
	return b->rx_end - b->rx_pos;
}

/* Is there a frame to be had from what we have? */
static bool have(const struct bytes *b)
{
	return b->next_held < b->nr_held || left(b) >= YAMUX_HEADER_SIZE ||
	       (b->payload_left && left(b));
}

/*
 * Put what is left in front. Return: how many bytes to read behind it: of what looks
 * like a long payload only the header, since the rest may be placed.
 */
static uint32_t make_rx_room(struct bytes *b)
{
	if (b->rx_pos) {
		memmove(b->rx, b->rx + b->rx_pos, left(b));
		b->rx_end -= b->rx_pos;
		b->rx_pos = 0;
	}
	if (b->long_ones && !b->payload_left && b->rx_end < YAMUX_HEADER_SIZE)
		return YAMUX_HEADER_SIZE - b->rx_end;
	return RX_SIZE - b->rx_end;
}

/* Is the next thing to come payload that can be placed? */
static bool placeable(const struct bytes *b)
{
	return b->payload_left >= DIRECT && b->payload_id && !left(b);
}

static ssize_t read_in(struct bytes *b, uint32_t room)
{
	struct iovec iov = { .iov_base = b->rx + b->rx_end, .iov_len = room };

	return shmux__wire_read(&b->wire, &iov, 1);
}

/*
 * A read of at most @room bytes has returned @n. Return: whether there is more. What
 * our child has written is there when it has ended, and then it is all: who else
 * may have its output is nobody.
 */
static bool filled(struct bytes *b, ssize_t n, uint32_t room)
{
	/* Less than asked for is all there was. */
	b->drained = n < (ssize_t)room;
	b->ended = !n || (b->drained && b->child.ended);
	if (n <= 0)
		return false;
	b->rx_end += (uint32_t)n;
	return true;
}

/* Ask the kernel, unless it had nothing. Return: whether there is more now. */
static bool fill(struct bytes *b)
{
	uint32_t room;

	if (b->drained || b->ended)
		return false;
	b->take_in = false;
	room = make_rx_room(b);
	return filled(b, read_in(b, room), room);
}

static void hold(struct bytes *b, uint8_t type, uint8_t flags, uint32_t id,
		 uint32_t value)
{
	if (b->next_held == b->nr_held)
		b->next_held = b->nr_held = 0;
	b->held[b->nr_held++] = (struct shmux__frame){
		.type = type,
		.flags = flags,
		.id = id,
		.value = { value },
	};
}

/* It sent what it may not: it loses the stream, and no other. */
static void lose(struct bytes *b, struct shmux__wire_stream *ws)
{
	hold(b, SHMUX_FRAME_RESET, 0, ws->id, SHMUX_CODE_NONE);
	put_of(b, ws, YAMUX_RST, 0);
	forget(b, ws);
}

static int on_session(struct bytes *b, const struct yamux_header *h)
{
	uint64_t token;

	if (h->id)
		return -EPROTO;
	if (h->type == YAMUX_GO_AWAY) {
		hold(b, SHMUX_FRAME_GOAWAY, 0, 0, h->len);
		return 0;
	}
	if (h->flags & YAMUX_SYN) {
		/* Who asks more than we can answer does not read. */
		put(b, YAMUX_PING, YAMUX_ACK, 0, h->len);
		return 0;
	}
	/* Of the last ones that were sent, by their lower half. */
	token = (b->ping_sent & ~(uint64_t)UINT32_MAX) | h->len;
	if (token > b->ping_sent)
		token -= UINT64_C(1) << 32;
	if (token && token <= b->ping_sent) {
		hold(b, SHMUX_FRAME_PONG, 0, 0, (uint32_t)token);
		b->held[b->nr_held - 1].value[1] = (uint32_t)(token >> 32);
	}
	return 0;
}

static int on_stream(struct bytes *b, const struct yamux_header *h)
{
	uint32_t role = h->id & 1 ? SHMUX_ROLE_DIALLER : SHMUX_ROLE_ACCEPTOR;
	uint32_t payload = h->type == YAMUX_DATA ? h->len : 0;
	struct shmux__wire_stream *ws;

	if (!h->id)
		return -EPROTO;
	ws = shmux__ids_find_wire(&b->ids, h->id);
	if (h->flags & YAMUX_SYN) {
		if (ws || role == b->link.role)
			return -EPROTO;
		ws = shmux__ids_enter(&b->ids, h->id);
		if (!ws)
			return -ENOMEM;
		ws->state = WIRE_OWES_ACK;
		hold(b, SHMUX_FRAME_OPEN, 0, ws->id, 0);
	}
	b->payload_left = payload;
	b->payload_id = ws ? ws->id : 0;
	b->payload_fin = false;
	if (payload)
		b->long_ones = payload >= DIRECT;
	if (!ws) {
		/* It writes to what we have closed. */
		if (payload && !(h->flags & (YAMUX_RST | YAMUX_FIN)))
			put(b, YAMUX_WINDOW_UPDATE, YAMUX_RST, h->id, 0);
		return 0;
	}
	if ((h->flags & YAMUX_ACK) && (ws->state & WIRE_UNACKED)) {
		ws->state &= ~WIRE_UNACKED;
		b->nr_unacked--;
		made_room(b);
	}
	if (h->flags & YAMUX_RST) {
		hold(b, SHMUX_FRAME_RESET, 0, ws->id, SHMUX_CODE_NONE);
		b->payload_id = 0;
		return 0;
	}
	if (payload && (ws->state & WIRE_FIN)) {
		lose(b, ws);
		b->payload_id = 0;
		return 0;
	}
	if (h->type == YAMUX_WINDOW_UPDATE && h->len)
		hold(b, SHMUX_FRAME_CREDIT, 0, ws->id, h->len);
	if ((h->flags & YAMUX_FIN) && !(ws->state & WIRE_FIN)) {
		ws->state |= WIRE_FIN;
		if (payload)
			b->payload_fin = true;
		else
			hold(b, SHMUX_FRAME_END, SHMUX_FLAG_FIN, ws->id, 0);
	}
	return 0;
}

static int on_header(struct bytes *b)
{
	struct yamux_header h = yamux_decode(b->rx + b->rx_pos);

	b->rx_pos += YAMUX_HEADER_SIZE;
	if (h.version != YAMUX_VERSION || h.type > YAMUX_GO_AWAY ||
	    (h.flags & ~YAMUX_FLAGS))
		return -EPROTO;
	return h.type <= YAMUX_WINDOW_UPDATE ? on_stream(b, &h) :
					       on_session(b, &h);
}

/* The next part of the payload. Return: whether it is anybody's. */
static bool take_payload(struct bytes *b, struct shmux__frame *f)
{
	uint32_t n = left(b) < b->payload_left ? left(b) : b->payload_left;

	*f = (struct shmux__frame){
		.type = SHMUX_FRAME_DATA,
		.id = b->payload_id,
		.len = n,
		.data = b->rx + b->rx_pos,
	};
	b->rx_pos += n;
	b->payload_left -= n;
	if (b->payload_fin && !b->payload_left)
		f->flags = SHMUX_FLAG_FIN;
	return f->id != 0;
}

/* It may go straight to who waits for it; not if it was offered, and nobody does. */
static bool may_place(const struct bytes *b)
{
	return placeable(b) && !b->take_in && !b->drained && !b->ended;
}

static void offer(const struct bytes *b, struct shmux__frame *f)
{
	*f = (struct shmux__frame){
		.type = SHMUX__FRAME_OFFER,
		.id = b->payload_id,
		.len = b->payload_left,
	};
}

/* What follows it is most likely the header of another: have that as well. */
static uint32_t bytes_place(struct shmux__link *l, void *dst, uint32_t n)
{
	struct bytes *b = bytes(l);
	struct iovec iov[2] = {
		{ .iov_base = dst, .iov_len = n },
		{ .iov_base = b->rx, .iov_len = YAMUX_HEADER_SIZE },
	};
	bool last = n == b->payload_left;
	uint32_t room = last ? n + YAMUX_HEADER_SIZE : n;
	ssize_t got;

	b->take_in = !dst;
	if (!dst)
		return 0;
	got = shmux__wire_read(&b->wire, iov, last ? 2 : 1);
	b->rx_pos = b->rx_end = 0;
	if (!filled(b, got, room))
		return 0;
	b->rx_end = got > (ssize_t)n ? (uint32_t)got - n : 0;
	if (got > (ssize_t)n)
		got = (ssize_t)n;
	b->payload_left -= (uint32_t)got;
	if (b->payload_fin && !b->payload_left)
		hold(b, SHMUX_FRAME_END, SHMUX_FLAG_FIN, b->payload_id, 0);
	return (uint32_t)got;
}

static int receive(struct bytes *b, struct shmux__frame *f)
{
	int err;

	for (;;) {
		if (b->next_held < b->nr_held) {
			*f = b->held[b->next_held++];
			return 1;
		}
		if (may_place(b)) {
			offer(b, f);
			return 1;
		}
		if (b->payload_left && left(b)) {
			if (take_payload(b, f))
				return 1;
			continue;
		}
		if (b->payload_left || left(b) < YAMUX_HEADER_SIZE) {
			if (fill(b))
				continue;
			/* Who hears nothing any more says nothing either. */
			return b->ended || b->deaf ? -ECONNRESET : 0;
		}
		err = on_header(b);
		if (err)
			return err;
	}
}

static void note_news(struct bytes *b)
{
	bool news = have(b) || !b->drained || b->ended || b->deaf;

	shmux_store_relaxed(&b->news, news ? NEWS_HERE : 0);
}

static void look_after_child(struct bytes *b)
{
	if (shmux_load_relaxed(&b->news) & NEWS_CHILD)
		shmux__child_has_ended(&b->child);
}

static int bytes_receive(struct shmux__link *l, struct shmux__frame *f)
{
	struct bytes *b = bytes(l);
	int n;

	look_after_child(b);
	if (shmux_load_relaxed(&b->news) & NEWS_KERNEL)
		b->drained = false;
	n = receive(b, f);
	b->guilty |= n == -EPROTO;
	note_news(b);
	return n;
}

static void bytes_copy(struct shmux__link *l, const struct shmux__frame *f,
		       uint32_t pos, void *dst, uint32_t n)
{
	(void)l;
	memcpy(dst, (const char *)f->data + pos, n);
}

static bool bytes_look(struct shmux__link *l)
{
	struct bytes *b = bytes(l);

	look_after_child(b);
	if (!have(b)) {
		b->drained = false;
		fill(b);
		note_news(b);
	}
	return shmux_load_relaxed(&b->news);
}

/* --- chunks: there are none ------------------------------------------------ */

static int bytes_chunk_get(struct shmux__link *l, uint32_t size,
			   struct shmux__chunk *c)
{
	(void)l;
	(void)size;
	(void)c;
	return -EOPNOTSUPP;
}

static void bytes_chunk_fill(struct shmux__link *l, void *dst, const void *src,
			     size_t n)
{
	(void)l;
	(void)dst;
	(void)src;
	(void)n;
}

static void bytes_chunk_send(struct shmux__link *l, uint32_t flags, uint32_t id,
			     const struct shmux__chunk *c, uint32_t len)
{
	(void)l;
	(void)flags;
	(void)id;
	(void)c;
	(void)len;
}

static void bytes_chunk_put(struct shmux__link *l, const struct shmux__chunk *c)
{
	(void)l;
	(void)c;
}

/* Payload is read out of our buffer before the next frame is received. */
static void bytes_chunk_return(struct shmux__link *l, uint32_t handle)
{
	(void)l;
	(void)handle;
}

/* --- sleeping -------------------------------------------------------------- */

static int bytes_begin_wait(struct shmux__link *l)
{
	struct bytes *b = bytes(l);
	bool news;

	bytes_publish(l);
	news = b->freed != b->seen_freed;
	shmux_store_relaxed(&b->seen_freed, b->freed);
	return news;
}

static bool bytes_ready(struct shmux__link *l, uint32_t reasons)
{
	struct bytes *b = bytes(l);

	return shmux_load_relaxed(&b->news) ||
	       ((reasons & SHMUX_ARMED_ROOM) &&
		shmux_load_relaxed(&b->freed) != shmux_load_relaxed(&b->seen_freed));
}

static void bytes_disarm(struct shmux__link *l)
{
	bytes(l)->asleep = bytes(l)->asleep_for_room = false;
}

static uint32_t bytes_arm(struct shmux__link *l, uint32_t reasons_and_bells)
{
	struct bytes *b = bytes(l);

	bytes_disarm(l);
	bytes_publish(l);
	b->asleep = reasons_and_bells & SHMUX_ARMED_FUTEX;
	b->asleep_for_room = b->asleep && (reasons_and_bells & SHMUX_ARMED_ROOM);
	/* Without one the sleeper looks from time to time. */
	if (b->poke_fd < 0 && !shmux_single_threaded())
		b->poke_fd = SHMUX_KEEP_ERRNO(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	return 0;
}

static bool bytes_rung(struct shmux__link *l)
{
	(void)l;
	return false;
}

/*
 * Ask the kernel for news, for so long. Unlocked. Return: whether it takes more of
 * what is unsent.
 */
static bool ask(struct bytes *b, uint64_t timeout)
{
	struct timespec ts = shmux_clock_timespec(timeout);
	struct pollfd fds[4] = {
		{ .fd = b->wire.in, .events = POLLIN },
		{ .fd = b->poke_fd, .events = POLLIN },
		{ .fd = shmux_load_relaxed(&b->full) ? b->wire.out : -1,
		  .events = POLLOUT },
		{ .fd = b->child.pidfd, .events = POLLIN },
	};
	int saved = errno;
	uint64_t count;

	if (ppoll(fds, 4, timeout == UINT64_MAX ? NULL : &ts, NULL) > 0) {
		if (fds[1].revents && read(b->poke_fd, &count, sizeof(count)) < 0)
			errno = saved;
		if (fds[3].revents)
			shmux_store_relaxed(&b->news, NEWS_KERNEL | NEWS_CHILD);
		else if (fds[0].revents || (fds[2].revents & (POLLERR | POLLHUP)))
			shmux_store_relaxed(&b->news, NEWS_KERNEL);
	}
	errno = saved;
	if (fds[2].revents & POLLOUT)
		shmux_store_relaxed(&b->writable, 1);
	return fds[2].revents & POLLOUT;
}

/*
 * Nobody else can have the link meanwhile: wait in the very call that reads. Return:
 * whether it could be tried.
 */
static bool sleep_reading(struct bytes *b)
{
	uint32_t room;
	ssize_t n;

	if (!b->link.sleep_looks || b->full || b->ended || b->deaf ||
	    placeable(b))
		return false;
	room = make_rx_room(b);
	n = shmux__wire_wait(&b->wire, b->rx + b->rx_end, room);
	if (n == -EINTR)
		return true;
	/* Whoever shares the description has made it so that none waits. */
	if (n == -EAGAIN) {
		b->link.sleep_looks = false;
		return false;
	}
	filled(b, n, room);
	note_news(b);
	return true;
}

#define SLICE UINT64_C(50000000) /* ns between looks at a poke without a descriptor */

static int bytes_sleep(struct shmux__link *l, uint32_t bells,
		       const uint32_t *poke, uint64_t timeout)
{
	struct bytes *b = bytes(l);

	(void)bells;
	/* [B9] Pairs with the release in shmux__wake(). */
	if (poke && shmux_load_acquire(poke))
		return 0;
	if (!poke && timeout == UINT64_MAX && sleep_reading(b))
		return 0;
	if (poke && b->poke_fd < 0 && timeout > SLICE)
		timeout = SLICE;
	ask(b, timeout);
	return 0;
}

static void bytes_poke(struct shmux__link *l, const uint32_t *word)
{
	(void)word;
	poke(bytes(l));
}

/* Unlocked, but nobody else can have the link. Return: whether it could be tried. */
static bool poll_reading(struct bytes *b)
{
	uint32_t room;

	if (!shmux_single_threaded() || b->full || b->ended || b->deaf ||
	    b->child.pid || placeable(b))
		return false;
	room = make_rx_room(b);
	filled(b, read_in(b, room), room);
	note_news(b);
	return true;
}

static void give_way(struct bytes *b)
{
	shmux_store_relaxed(&b->asked, 0);
	shmux_yield(&b->yield, 0);
}

static void bytes_poll(struct shmux__link *l, uint32_t reasons,
		       const uint32_t *poke, uint32_t nr)
{
	struct bytes *b = bytes(l);

	/* An answer takes the peer a while. */
	if (shmux_load_relaxed(&b->asked) && !bytes_ready(l, reasons))
		give_way(b);
	for (nr = nr / POLLS_PER_CALL + 1; nr; nr--) {
		if (bytes_ready(l, reasons) || shmux_load_relaxed(poke))
			return;
		/* Who spins does not publish by arming again. */
		if (!poll_reading(b) && ask(b, 0) &&
		    !shmux_load_relaxed(&b->news))
			shmux_store_relaxed(&b->news, NEWS_ROOM);
		if (!bytes_ready(l, reasons))
			give_way(b);
	}
}

/* Who spins gives way to the peer; but not where that has taken long. */
static bool bytes_same_cpu(struct shmux__link *l)
{
	return !shmux_may_yield(&bytes(l)->yield);
}

/* --- the rest -------------------------------------------------------------- */

static int bytes_check_alive(struct shmux__link *l)
{
	struct bytes *b = bytes(l);

	if (b->ended || b->deaf)
		return -ECONNRESET;
	if (b->child.pid && shmux__child_has_ended(&b->child))
		return -ECONNRESET;
	return shmux__wire_check(&b->wire);
}

static int open_epoll(struct bytes *b)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd >= 0 && (epoll_ctl(fd, EPOLL_CTL_ADD, b->wire.in, &ev) ||
			(b->child.pidfd >= 0 &&
			 epoll_ctl(fd, EPOLL_CTL_ADD, b->child.pidfd, &ev)))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int bytes_descriptors(struct shmux__link *l, int fds[2])
{
	struct bytes *b = bytes(l);

	if (b->epoll_fd < 0) {
		b->epoll_fd = SHMUX_KEEP_ERRNO(open_epoll(b));
		b->epoll_out = 0;
		watch_out(b);
	}
	/* Without one, room is found out about with the next that comes. */
	fds[0] = b->epoll_fd >= 0 ? b->epoll_fd : b->wire.in;
	return 1;
}

static int bytes_clear(struct shmux__link *l)
{
	/* It may be that: the epoll has not said. */
	shmux_store_relaxed(&bytes(l)->writable, 1);
	bytes_publish(l);
	return bytes_check_alive(l);
}

static bool bytes_has_room(struct shmux__link *l)
{
	struct bytes *b = bytes(l);

	return unsent(b) <= TX_FULL / 2 && !b->turned_away &&
	       b->nr_unacked < YAMUX_UNACKED_MAX;
}

static uint32_t bytes_ring_depth(struct shmux__link *l)
{
	(void)l;
	return 0;
}

static void bytes_arena(struct shmux__link *l, uint64_t *lent, uint64_t *used)
{
	(void)l;
	*lent = *used = 0;
}

static void bytes_last_word(struct shmux__link *l, uint32_t id)
{
	(void)l;
	(void)id;
}

static uint32_t bytes_heard_last(struct shmux__link *l, uint32_t nr)
{
	(void)l;
	(void)nr;
	return 0;
}

static void bytes_announce(struct shmux__link *l, uint32_t open_streams)
{
	(void)l;
	(void)open_streams;
}

static void bytes_hang_up(struct shmux__link *l)
{
	struct bytes *b = bytes(l);

	if (b->guilty)
		put(b, YAMUX_GO_AWAY, 0, 0, YAMUX_GO_AWAY_PROTOCOL);
	bytes_publish(l);
	shmux__wire_hang_up(&b->wire);
	/* Lest it waits for room to tell us what we do not read any more. */
	if (b->child.pid)
		shutdown(b->wire.in, SHUT_RD);
}

static void bytes_close(struct shmux__link *l)
{
	struct bytes *b = bytes(l);
	int saved = errno;

	if (b->epoll_fd >= 0)
		close(b->epoll_fd);
	if (b->poke_fd >= 0)
		close(b->poke_fd);
	shmux__wire_close(&b->wire);
	if (b->child.pid)
		shmux__child_close(&b->child);
	shmux__ids_exit(&b->ids);
	free(b->rx);
	free(b->tx);
	free(b);
	errno = saved;
}

const struct shmux__link_ops shmux__bytes_ops = {
	.name = "bytes",
	.send = bytes_send,
	.append = bytes_append,
	.chunk_get = bytes_chunk_get,
	.chunk_fill = bytes_chunk_fill,
	.chunk_send = bytes_chunk_send,
	.chunk_put = bytes_chunk_put,
	.publish = bytes_publish,
	.unsent = bytes_unsent,
	.ring = bytes_ring,
	.accepted = bytes_accepted,
	.release = bytes_release,
	.look = bytes_look,
	.receive = bytes_receive,
	.copy = bytes_copy,
	.place = bytes_place,
	.chunk_return = bytes_chunk_return,
	.begin_wait = bytes_begin_wait,
	.ready = bytes_ready,
	.arm = bytes_arm,
	.disarm = bytes_disarm,
	.rung = bytes_rung,
	.sleep = bytes_sleep,
	.poke = bytes_poke,
	.poll = bytes_poll,
	.same_cpu = bytes_same_cpu,
	.check_alive = bytes_check_alive,
	.descriptors = bytes_descriptors,
	.clear = bytes_clear,
	.has_room = bytes_has_room,
	.ring_depth = bytes_ring_depth,
	.arena = bytes_arena,
	.last_word = bytes_last_word,
	.heard_last = bytes_heard_last,
	.announce = bytes_announce,
	.hang_up = bytes_hang_up,
	.close = bytes_close,
};

/* Whoever has made the other end of a socket; of a pipe nobody can tell. */
static void ask_who(struct bytes *b)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	b->link.peer = (struct shmux_peer){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (!b->wire.in_is_socket ||
	    SHMUX_KEEP_ERRNO(getsockopt(b->wire.in, SOL_SOCKET, SO_PEERCRED,
					&cred, &len)))
		return;
	b->link.peer.pid = cred.pid;
	b->link.peer.uid = cred.uid;
	b->link.peer.gid = cred.gid;
}

int shmux__bytes_open(int in, int out, enum shmux_role role,
		      struct shmux__link **link)
{
	struct shmux__wire wire;
	struct bytes *b;
	uint32_t seed;
	int err = shmux__wire_open(&wire, in, out);

	if (err)
		return err;
	b = SHMUX_KEEP_ERRNO(calloc(1, sizeof(*b)));
	if (!b) {
		shmux__wire_close(&wire);
		return -ENOMEM;
	}
	b->wire = wire;
	b->poke_fd = b->epoll_fd = b->child.pidfd = -1;
	/* What hides the buckets is no secret worth waiting for. */
	if (SHMUX_KEEP_ERRNO(getrandom(&seed, sizeof(seed), GRND_NONBLOCK)) < 0)
		seed = (uint32_t)(uintptr_t)b;
	shmux__ids_init(&b->ids, role, seed);
	b->next_wire = role == SHMUX_ROLE_DIALLER ? 1 : 2;
	b->link = (struct shmux__link){
		.ops = &shmux__bytes_ops,
		.inline_max = PIECE,
		.append_max = PIECE,
		/* Less than goes by itself: they are to join one frame, and be held back. */
		.gather_max = DIRECT / 2,
		.piece = PIECE,
		.pieces_max = UINT32_MAX,
		.chunk_above = UINT32_MAX,
		.cost_min = 1,
		.peer_first_grant = YAMUX_WINDOW,
		.first_grant = YAMUX_WINDOW,
		.peer_ring_slots = FRAMES_MAX,
		.role = role,
		.tells_death = true,
		.sleep_looks = wire.in_is_socket,
		.forgives = true,
		.never_stops = true,
	};
	ask_who(b);
	b->tx = SHMUX_KEEP_ERRNO(malloc(TX_SIZE));
	b->rx = SHMUX_KEEP_ERRNO(malloc(RX_SIZE));
	if (!b->tx || !b->rx) {
		bytes_close(&b->link);
		return -ENOMEM;
	}
	*link = &b->link;
	return 0;
}

int shmux__bytes_open_child(struct shmux__child *child, int fd,
			    enum shmux_role role, struct shmux__link **link)
{
	int err = shmux__bytes_open(fd, fd, role, link);

	if (err) {
		shmux__child_close(child);
		return err;
	}
	bytes(*link)->child = *child;
	(*link)->sleep_looks = false;	/* its death would not be seen */
	/* Who has made the socket is us; whom it runs as, nobody knows. */
	(*link)->peer = (struct shmux_peer){
		.pid = child->pid, .uid = (uid_t)-1, .gid = (gid_t)-1
	};
	return 0;
}

struct shmux__child *shmux__bytes_child(struct shmux__link *l)
{
	return l->ops == &shmux__bytes_ops && bytes(l)->child.pid ?
		       &bytes(l)->child : NULL;
}

void shmux__bytes_leave_ids(struct shmux__link *l, uint32_t left)
{
	uint32_t last = l->role == SHMUX_ROLE_DIALLER ? UINT32_MAX - 2 :
							UINT32_MAX - 1;

	bytes(l)->next_wire = left ? last - 2 * (left - 1) : 0;
}
