/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * rx.h - what a stream has received and nobody has read
 *
 * A queue of nodes: payload in private memory, or in a chunk of the peer's
 * arena that we hold, until the peer needs it. Small payloads of a byte stream
 * share a node. Under the session's lock.
 */
#ifndef SHMUX_CORE_RX_H
#define SHMUX_CORE_RX_H

#include "core/core.h"

struct shmux__rx {
	struct shmux__rx *next;
	const char *data;	/* @buf, in the peer's arena, or a copy of that */
	uint32_t len;		/* bytes at @data */
	uint32_t pos;		/* of them read */
	uint32_t cost;		/* credit to give back when it goes */
	uint32_t handle;	/* of the chunk */
	uint32_t size;		/* of @buf; 0: the payload came in a chunk */
	bool more;		/* the message goes on in the next node */
	char buf[];
};

/* Queue payload, from @pos of the frame on. Return: 0 or -ENOMEM. */
int shmux__rx_add(struct shmux_stream *st, const struct shmux__frame *f,
		  uint32_t pos, uint32_t cost);

/* Take the first node off the queue; it is the caller's. */
struct shmux__rx *shmux__rx_pop(struct shmux_stream *st);

/* Give a node back: chunk, memory, credit. */
void shmux__rx_free(struct shmux_stream *st, struct shmux__rx *node);

/* Drop the part of a message that has been received so far. */
void shmux__rx_abort(struct shmux_stream *st);

/* Drop everything. */
void shmux__rx_clear(struct shmux_stream *st);

/* The same, but what the caller peeks at stays until its next reading call. */
void shmux__rx_discard(struct shmux_stream *st);

void shmux__rx_unpeek(struct shmux_stream *st);

/* A reading call begins: what was peeked at may go. */
static inline void shmux__rx_begin(struct shmux_stream *st)
{
	if (__builtin_expect(st->state & STREAM_PEEKED, 0))
		shmux__rx_unpeek(st);
}

/*
 * The peer finds no chunk in its arena: copy out what is queued there, and give
 * it back; what the caller peeks at once it does so no more.
 */
void shmux__rx_give_way(struct shmux_session *s);

/*
 * Copy at most @size bytes out and consume them; with a message stream they
 * are of the first message. Return: bytes.
 */
size_t shmux__rx_copy(struct shmux_stream *st, char *buf, size_t size);

/*
 * Copy all that is queued, the parts of a message that is not whole, to @buf. Its
 * cost, which is not given back, is @cost. Return: bytes.
 */
size_t shmux__rx_take_parts(struct shmux_stream *st, char *buf, uint32_t *cost);

/* Queue them again. Return: 0, -ENOMEM. */
int shmux__rx_put_back(struct shmux_stream *st, const char *buf, size_t n,
		       uint32_t cost);

/* Bytes of the first message; there is one. */
size_t shmux__rx_message_len(const struct shmux_stream *st);

/*
 * Give back the credit of what has been read of the first node. Who waits for
 * more, with bytes left unread, may wait for just that.
 */
void shmux__rx_settle(struct shmux_stream *st);

/* Let the first node hold @n bytes or more; they are queued. -ENOMEM. */
int shmux__rx_gather(struct shmux_stream *st, size_t n);

/* The memory of the spare nodes. */
void shmux__rx_exit(struct shmux_session *s);

#endif /* SHMUX_CORE_RX_H */
