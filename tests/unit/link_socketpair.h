/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link_socketpair.h - a link that carries frames over a connected socket
 *
 * For tests only: it shares no memory, has no chunks and no bells, and is as
 * unlike the shared-memory link as the seam between link and session allows. A
 * frame travels as a header and its body. Room is what the peer has said it has
 * taken, so that the socket itself never fills up: what is published is sent
 * when publish() returns, as link.h demands.
 */
#ifndef TESTS_UNIT_LINK_SOCKETPAIR_H
#define TESTS_UNIT_LINK_SOCKETPAIR_H

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "link/link.h"

#define LINK_SOCKETPAIR_INLINE_MAX 1000u	/* no multiple of anything */
#define LINK_SOCKETPAIR_ROOM 16384u		/* cost of what may be under way */
#define LINK_SOCKETPAIR_COST_MIN 64u		/* of a frame, however small */
#define LINK_SOCKETPAIR_ACK 0xffu		/* our own: body says what was taken */
#define LINK_SOCKETPAIR_LAST_WORDS 64u

struct link_socketpair_header {
	uint32_t type, flags, id, len;
};

struct link_socketpair {
	struct shmux__link link;
	int fd;
	int wake_fd;		/* wakes our own sleeper */
	bool waits_for_room;	/* armed for that */

	/* Sending. Costs run freely. */
	uint32_t sent, acked, seen_acked;
	char out[2 * LINK_SOCKETPAIR_ROOM];	/* not published */
	uint32_t out_len;
	uint32_t last;		/* offset in @out of the last frame, if @may_grow */
	bool may_grow;
	uint32_t last_words[LINK_SOCKETPAIR_LAST_WORDS];
	uint32_t nr_last_words;

	/* Receiving. */
	uint32_t taken, told;
	char in[4 * LINK_SOCKETPAIR_ROOM];
	uint32_t in_pos, in_len;
};

static inline struct link_socketpair *link_socketpair(struct shmux__link *l)
{
	return (struct link_socketpair *)l;
}

static inline uint32_t link_socketpair_cost(uint32_t len)
{
	uint32_t size = (uint32_t)sizeof(struct link_socketpair_header) + len;

	return size > LINK_SOCKETPAIR_COST_MIN ? size : LINK_SOCKETPAIR_COST_MIN;
}

static inline uint32_t link_socketpair_room(const struct link_socketpair *p)
{
	return LINK_SOCKETPAIR_ROOM - (p->sent - p->acked);
}

/* --- sending -------------------------------------------------------------- */

static inline void link_socketpair_put(struct link_socketpair *p, uint32_t type, uint32_t flags,
				       uint32_t id, const void *body, uint32_t len)
{
	struct link_socketpair_header h = { type, flags, id, len };

	memcpy(p->out + p->out_len, &h, sizeof(h));
	if (len)
		memcpy(p->out + p->out_len + sizeof(h), body, len);
	p->out_len += (uint32_t)sizeof(h) + len;
}

static inline int link_socketpair_send(struct shmux__link *l, uint32_t type, uint32_t flags,
				       uint32_t id, const void *body, uint32_t len)
{
	struct link_socketpair *p = link_socketpair(l);

	if (link_socketpair_cost(len) > link_socketpair_room(p))
		return -EAGAIN;
	p->sent += link_socketpair_cost(len);
	p->last = p->out_len;
	p->may_grow = type == SHMUX_FRAME_DATA && !flags;
	link_socketpair_put(p, type, flags, id, body, len);
	return 0;
}

static inline int link_socketpair_append(struct shmux__link *l, uint32_t id, const void *body,
					 uint32_t len)
{
	struct link_socketpair *p = link_socketpair(l);
	struct link_socketpair_header h;
	uint32_t had, more;

	if (!p->may_grow)
		return -EAGAIN;
	memcpy(&h, p->out + p->last, sizeof(h));
	had = h.len;
	h.len += len;
	more = link_socketpair_cost(h.len) - link_socketpair_cost(had);
	if (h.id != id || h.len > l->inline_max || more > link_socketpair_room(p))
		return -EAGAIN;
	p->sent += more;
	memcpy(p->out + p->last, &h, sizeof(h));
	memcpy(p->out + p->out_len, body, len);
	p->out_len += len;
	return (int)had;
}

static inline int link_socketpair_chunk_get(struct shmux__link *l, uint32_t size,
					    struct shmux__chunk *c)
{
	(void)l;
	(void)size;
	(void)c;
	/* There are none: nobody may ask. */
	abort();
}

static inline void link_socketpair_chunk_send(struct shmux__link *l, uint32_t flags, uint32_t id,
					      const struct shmux__chunk *c, uint32_t len)
{
	(void)l;
	(void)flags;
	(void)id;
	(void)c;
	(void)len;
	abort();
}

static inline void link_socketpair_chunk_put(struct shmux__link *l, const struct shmux__chunk *c)
{
	(void)l;
	(void)c;
	abort();
}

static inline void link_socketpair_chunk_return(struct shmux__link *l, uint32_t handle)
{
	(void)l;
	(void)handle;
	abort();
}

/* All that is in @out goes out, and what we have taken from @due bytes on. */
static inline void link_socketpair_flush(struct link_socketpair *p, uint32_t due)
{
	uint32_t taken = p->taken - p->told;
	ssize_t n;

	if (taken >= due) {
		link_socketpair_put(p, LINK_SOCKETPAIR_ACK, 0, 0, &taken, sizeof(taken));
		p->told = p->taken;
	}
	p->may_grow = false;
	if (!p->out_len)
		return;
	n = send(p->fd, p->out, p->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n >= 0 ? n != p->out_len : errno != EPIPE && errno != ECONNRESET) {
		perror("# the socket does not take what its room was for");
		abort();
	}
	p->out_len = 0;
}

static inline uint32_t link_socketpair_publish(struct shmux__link *l)
{
	link_socketpair_flush(link_socketpair(l), LINK_SOCKETPAIR_ROOM / 4);
	return 0;
}

static inline void link_socketpair_ring(struct shmux__link *l, uint32_t bells)
{
	(void)l;
	(void)bells;
}

static inline void link_socketpair_wake(struct link_socketpair *p)
{
	uint64_t one = 1;

	if (write(p->wake_fd, &one, sizeof(one)) < 0)
		perror("# wake");
}

/* Take back what woke us. */
static inline void link_socketpair_unwake(struct link_socketpair *p)
{
	uint64_t count;

	if (read(p->wake_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		perror("# unwake");
}

/* --- receiving ------------------------------------------------------------ */

/* Is a whole frame, or an acknowledgement, in our buffer? */
static inline bool link_socketpair_whole(const struct link_socketpair *p,
					 struct link_socketpair_header *h)
{
	uint32_t left = p->in_len - p->in_pos;

	if (left < sizeof(*h))
		return false;
	memcpy(h, p->in + p->in_pos, sizeof(*h));
	return left - sizeof(*h) >= h->len;
}

/* Take what has come. Return: whether there was anything. */
static inline bool link_socketpair_fill(struct link_socketpair *p)
{
	ssize_t n;

	memmove(p->in, p->in + p->in_pos, p->in_len - p->in_pos);
	p->in_len -= p->in_pos;
	p->in_pos = 0;
	n = recv(p->fd, p->in + p->in_len, sizeof(p->in) - p->in_len, MSG_DONTWAIT);
	if (n <= 0)
		return false;
	p->in_len += (uint32_t)n;
	return true;
}

static inline int link_socketpair_decode(struct link_socketpair *p,
					 const struct link_socketpair_header *h,
					 struct shmux__frame *f)
{
	static const uint32_t body_len[] = {
		[SHMUX_FRAME_OPEN] = 8,	   [SHMUX_FRAME_CREDIT] = 4,
		[SHMUX_FRAME_RESET] = 4,   [SHMUX_FRAME_BLOCKED] = 4,
		[SHMUX_FRAME_GOAWAY] = 4,  [SHMUX_FRAME_PING] = 8,
		[SHMUX_FRAME_PONG] = 8,	   [SHMUX_FRAME_REFUND] = 4,
	};

	memset(f, 0, sizeof(*f));
	f->type = (uint8_t)h->type;
	f->flags = (uint8_t)h->flags;
	f->id = h->id;
	f->index = p->in_pos + (uint32_t)sizeof(*h);
	if (h->type == SHMUX_FRAME_DATA) {
		f->len = h->len;
	} else {
		if (h->type == SHMUX_FRAME_CONT || h->type > SHMUX_FRAME_REFUND ||
		    h->len != body_len[h->type])
			return -EPROTO;
		memcpy(f->value, p->in + f->index, h->len);
	}
	p->in_pos = f->index + h->len;
	p->taken += link_socketpair_cost(h->len);
	return 1;
}

static inline int link_socketpair_receive(struct shmux__link *l, struct shmux__frame *f)
{
	struct link_socketpair *p = link_socketpair(l);
	struct link_socketpair_header h;
	uint32_t more;

	for (;;) {
		while (!link_socketpair_whole(p, &h))
			if (!link_socketpair_fill(p))
				return 0;
		if (h.type != LINK_SOCKETPAIR_ACK)
			return link_socketpair_decode(p, &h, f);
		memcpy(&more, p->in + p->in_pos + sizeof(h), sizeof(more));
		if (more > p->sent - p->acked)
			return -EPROTO;
		p->acked += more;
		/* The sleeper that waits for it will not find it in the socket. */
		if (p->waits_for_room)
			link_socketpair_wake(p);
		p->in_pos += (uint32_t)sizeof(h) + h.len;
	}
}

static inline void link_socketpair_copy(struct shmux__link *l, const struct shmux__frame *f,
					uint32_t pos, void *dst, uint32_t n)
{
	if (n)
		memcpy(dst, link_socketpair(l)->in + f->index + pos, n);
}

/* --- sleeping ------------------------------------------------------------- */

/* Return: 1 if there are bytes, 0 at the peer's end, -1 if there is nothing. */
static inline int link_socketpair_look(const struct link_socketpair *p)
{
	char byte;

	return (int)recv(p->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
}

static inline int link_socketpair_begin_wait(struct shmux__link *l)
{
	struct link_socketpair *p = link_socketpair(l);
	bool news = p->seen_acked != p->acked;

	p->seen_acked = p->acked;
	return news;
}

static inline bool link_socketpair_ready(struct shmux__link *l, uint32_t reasons)
{
	struct link_socketpair *p = link_socketpair(l);
	struct link_socketpair_header h;

	return link_socketpair_whole(p, &h) || link_socketpair_look(p) > 0 ||
	       ((reasons & SHMUX_ARMED_ROOM) && p->acked != p->seen_acked);
}

static inline uint32_t link_socketpair_arm(struct shmux__link *l, uint32_t reasons_and_bells)
{
	struct link_socketpair *p = link_socketpair(l);

	link_socketpair_unwake(p);
	p->waits_for_room = reasons_and_bells & SHMUX_ARMED_ROOM;
	link_socketpair_flush(p, 1);
	return 0;
}

static inline void link_socketpair_disarm(struct shmux__link *l)
{
	link_socketpair(l)->waits_for_room = false;
}

static inline bool link_socketpair_rung(struct shmux__link *l)
{
	return link_socketpair_look(link_socketpair(l)) >= 0;
}

static inline int link_socketpair_sleep(struct shmux__link *l, uint32_t bells,
					const uint32_t *poke, uint64_t timeout)
{
	struct link_socketpair *p = link_socketpair(l);
	struct pollfd polls[2] = {
		{ .fd = p->fd, .events = POLLIN | POLLRDHUP },
		{ .fd = p->wake_fd, .events = POLLIN },
	};
	struct timespec ts = shmux_clock_timespec(timeout);

	(void)bells; /* it has none */
	if (poke && __atomic_load_n(poke, __ATOMIC_ACQUIRE))
		return 0;
	ppoll(polls, 2, &ts, NULL);
	if (polls[1].revents)
		link_socketpair_unwake(p);
	return 0;
}

static inline void link_socketpair_poke(struct shmux__link *l, const uint32_t *poke)
{
	(void)poke;
	link_socketpair_wake(link_socketpair(l));
}

static inline void link_socketpair_poll(struct shmux__link *l, uint32_t reasons,
					const uint32_t *poke, uint32_t nr)
{
	while (nr-- && !link_socketpair_ready(l, reasons) &&
	       !(poke && __atomic_load_n(poke, __ATOMIC_ACQUIRE)))
		;
}

static inline bool link_socketpair_same_cpu(struct shmux__link *l)
{
	(void)l;
	return false;
}

/* --- the rest ------------------------------------------------------------- */

static inline int link_socketpair_check_alive(struct shmux__link *l)
{
	struct pollfd polled = { .fd = link_socketpair(l)->fd, .events = POLLRDHUP };

	return poll(&polled, 1, 0) > 0 ? -ECONNRESET : 0;
}

static inline int link_socketpair_descriptors(struct shmux__link *l, int fds[2])
{
	fds[0] = link_socketpair(l)->fd;
	fds[1] = link_socketpair(l)->wake_fd;
	return 2;
}

static inline int link_socketpair_clear(struct shmux__link *l)
{
	link_socketpair_unwake(link_socketpair(l));
	return link_socketpair_check_alive(l);
}

static inline bool link_socketpair_has_room(struct shmux__link *l)
{
	return link_socketpair_room(link_socketpair(l)) >= LINK_SOCKETPAIR_ROOM / 8;
}

static inline uint32_t link_socketpair_ring_depth(struct shmux__link *l)
{
	return link_socketpair(l)->sent - link_socketpair(l)->acked;
}

static inline void link_socketpair_arena(struct shmux__link *l, uint64_t *lent, uint64_t *used)
{
	(void)l;
	*lent = *used = 0;
}

static inline void link_socketpair_last_word(struct shmux__link *l, uint32_t id)
{
	struct link_socketpair *p = link_socketpair(l);

	if (!id)
		p->nr_last_words = 0;
	else if (p->nr_last_words < LINK_SOCKETPAIR_LAST_WORDS)
		p->last_words[p->nr_last_words++] = id;
}

static inline uint32_t link_socketpair_heard_last(struct shmux__link *l, uint32_t nr)
{
	(void)l;
	(void)nr;
	return 0;
}

static inline void link_socketpair_announce(struct shmux__link *l, uint32_t open_streams)
{
	(void)l;
	(void)open_streams;
}

static inline void link_socketpair_hang_up(struct shmux__link *l)
{
	struct link_socketpair *p = link_socketpair(l);
	uint32_t i;

	/* Beyond all room; they are few, and the last that we say. */
	for (i = 0; i < p->nr_last_words; i++)
		link_socketpair_put(p, SHMUX_FRAME_END, SHMUX_FLAG_FIN | SHMUX_FLAG_STOP,
				    p->last_words[i], NULL, 0);
	p->nr_last_words = 0;
	link_socketpair_flush(p, UINT32_MAX);
	shutdown(p->fd, SHUT_RDWR);
}

static inline void link_socketpair_close(struct shmux__link *l)
{
	struct link_socketpair *p = link_socketpair(l);

	close(p->fd);
	close(p->wake_fd);
	free(p);
}

static const struct shmux__link_ops link_socketpair_ops = {
	.name = "socketpair",
	.send = link_socketpair_send,
	.append = link_socketpair_append,
	.chunk_get = link_socketpair_chunk_get,
	.chunk_send = link_socketpair_chunk_send,
	.chunk_put = link_socketpair_chunk_put,
	.publish = link_socketpair_publish,
	.ring = link_socketpair_ring,
	.receive = link_socketpair_receive,
	.copy = link_socketpair_copy,
	.chunk_return = link_socketpair_chunk_return,
	.begin_wait = link_socketpair_begin_wait,
	.ready = link_socketpair_ready,
	.arm = link_socketpair_arm,
	.disarm = link_socketpair_disarm,
	.rung = link_socketpair_rung,
	.sleep = link_socketpair_sleep,
	.poke = link_socketpair_poke,
	.poll = link_socketpair_poll,
	.same_cpu = link_socketpair_same_cpu,
	.check_alive = link_socketpair_check_alive,
	.descriptors = link_socketpair_descriptors,
	.clear = link_socketpair_clear,
	.has_room = link_socketpair_has_room,
	.ring_depth = link_socketpair_ring_depth,
	.arena = link_socketpair_arena,
	.last_word = link_socketpair_last_word,
	.heard_last = link_socketpair_heard_last,
	.announce = link_socketpair_announce,
	.hang_up = link_socketpair_hang_up,
	.close = link_socketpair_close,
};

/*
 * A link over one end of a stream socketpair, which is the link's from then on.
 * @options are those of both ends' sessions. Return: the link, or NULL.
 */
static inline struct shmux__link *
link_socketpair_open(int fd, enum shmux_role role, const struct shmux_session_options *options)
{
	struct link_socketpair *p = calloc(1, sizeof(*p));
	int size = 1 << 20;

	if (!p)
		return NULL;
	p->fd = fd;
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	/* A small frame takes far more of the buffer than its bytes. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	p->link.ops = &link_socketpair_ops;
	p->link.inline_max = LINK_SOCKETPAIR_INLINE_MAX;
	p->link.chunk_max = 0;
	p->link.gather_max = LINK_SOCKETPAIR_INLINE_MAX;
	p->link.piece = LINK_SOCKETPAIR_INLINE_MAX;
	p->link.pieces_max = UINT32_MAX;
	p->link.chunk_above = UINT32_MAX;
	p->link.cost_min = SHMUX_CREDIT_MIN;
	p->link.peer_first_grant = options->first_grant;
	p->link.features = SHMUX_FEATURES;
	p->link.peer_message_max = options->message_max;
	p->link.peer_arena_size = 0;
	p->link.role = role;
	p->link.peer.pid = getpid();
	return &p->link;
}

#endif /* TESTS_UNIT_LINK_SOCKETPAIR_H */
