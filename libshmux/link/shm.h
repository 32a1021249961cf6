/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * shm.h - the shared-memory link: ring, arena and return ring over a region
 *
 * The fields are private to shm.c and to the inline functions here, which are
 * the fast path of the operations of link.h.
 */
#ifndef SHMUX_LINK_SHM_H
#define SHMUX_LINK_SHM_H

#include <errno.h>

#include "link/arena.h"
#include "link/fill.h"
#include "link/link.h"
#include "link/returns.h"
#include "link/ring.h"
#include "region/region.h"

#define SHMUX_NO_CHUNK SHMUX_ARENA_ORDERS

struct shmux__shm {
	struct shmux__link link;
	struct shmux__region *region;
	struct shmux_region_header *own;
	const struct shmux_region_header *peer;

	/* Sending. */
	struct shmux__producer tx;
	uint32_t last;		/* index of the last record, if it may grow */
	uint32_t last_id;	/* its stream; 0: it may not */
	uint32_t last_len;	/* not yet in its word, if it has grown */
	uint32_t last_tail;	/* bytes of its last slot in use; 0: as it came */
	uint32_t reasons;	/* what of the unpublished the peer may wait for */
	uint32_t kicked;	/* armed word of the peer that was rung for */
	struct shmux__arena arena;
	struct shmux__returns_rx returned;
	char *arena_data;
	uint32_t kept_for_control;	/* slots; constant */
	uint32_t wanted;		/* slots that were not there last time */
	uint32_t wanted_chunk;		/* smallest order that was not there, or SHMUX_NO_CHUNK */
	bool wanted_slots;		/* somebody lacked only those */
	bool broken;		/* the peer gave back what it had not */

	/* Receiving. */
	struct shmux__consumer rx;
	uint32_t rx_nr;		/* slots of the last record, a guess for the next */
	struct shmux__returns_tx give_back;
	const char *peer_data;	/* the peer's region */
	uint32_t peer_arena_offset, peer_arena_size;	/* as checked once */

	/* Sleeping. */
	uint32_t armed;		/* our armed word */
	uint32_t seen_kicks;	/* the peer's kicks, as of arm */
	uint32_t seen_consumer;	/* the peer's index, as of begin_wait */
	uint32_t seen_returned;	/* chunks that had come back by then */

	struct shmux__fill fill;
};

/* Sizes of our region. */
struct shmux__shm_sizes {
	uint32_t ring_slots;
	uint32_t arena_size;
	uint32_t peer_arena_max;	/* largest arena of a peer's we return to */
	uint32_t first_grant;
	uint32_t message_max;
};

extern const struct shmux__link_ops shmux__shm_ops;

/* Bytes of a region with these sizes, or 0 if it would be too large. */
uint32_t shmux__shm_size(const struct shmux__shm_sizes *sizes);

/* Bytes of it before its arena: they are written sooner or later, all of them. */
uint32_t shmux__shm_populate(const struct shmux__shm_sizes *sizes);

/* Write the header into a fresh, zeroed region of one in this role. */
void shmux__shm_format(const struct shmux__shm_sizes *sizes,
		       enum shmux_role role, void *own);

/*
 * A link over a region, which is the link's from then on, on failure too.
 * Return: 0; -EPROTONOSUPPORT, -EPROTO, -E2BIG: what the peer says of its
 * region cannot be; -ENOMEM.
 */
int shmux__shm_open(struct shmux__region *region,
		    const struct shmux__shm_sizes *sizes,
		    struct shmux__link **link);

static inline struct shmux__shm *shmux__shm(struct shmux__link *l)
{
	return (struct shmux__shm *)l;
}

/* As below, where there were not when we last looked; shm.c. */
int shmux__shm_room_slow(struct shmux__shm *s, uint32_t nr, uint32_t kept);

/* Are @nr slots free? Looks at the peer's index only if it must. */
static inline int shmux__shm_room(struct shmux__shm *s, uint32_t nr,
				  uint32_t kept)
{
	if (__builtin_expect(shmux__producer_fits(&s->tx, nr, kept), 1))
		return 0;
	return shmux__shm_room_slow(s, nr, kept);
}

static inline uint32_t shmux__shm_reasons(uint32_t type)
{
	if (type == SHMUX_FRAME_OPEN || type >= SHMUX_FRAME_GOAWAY)
		return SHMUX_ARMED_FRAMES | SHMUX_ARMED_SESSION;
	return SHMUX_ARMED_FRAMES;
}

/* The last record grows no more. Before another is added, or any published. */
static inline void shmux__shm_finish(struct shmux__shm *s)
{
	if (s->last_id && s->last_tail)
		shmux__producer_set_word(&s->tx, s->last, SHMUX_FRAME_DATA, 0,
					 s->last_len);
	s->last_id = 0;
}

static inline int shmux__shm_send(struct shmux__shm *s, uint32_t type,
				  uint32_t flags, uint32_t id, const void *body,
				  uint32_t len)
{
	uint32_t kept = s->tx.kept;
	int err;

	/* The last slots are for what must be said: ends, resets, credit. */
	if (type == SHMUX_FRAME_DATA || type == SHMUX_FRAME_OPEN)
		kept += s->kept_for_control;
	err = shmux__shm_room(s, shmux__ring_slots(len), kept);
	if (err)
		return err;
	shmux__shm_finish(s);
	s->last = s->tx.next;
	s->last_len = len;
	s->last_tail = 0;
	s->last_id = type == SHMUX_FRAME_DATA && !flags ? id : 0;
	s->reasons |= shmux__shm_reasons(type);
	shmux__producer_add(&s->tx, type, flags, id, body, len);
	return 0;
}

/*
 * Send a record of payload without flags, visible at once: what is left to publish
 * is the look whether the peer sleeps. Return: false: something is held back, or
 * there is no room as far as we know.
 */
SHMUX_INLINE bool shmux__shm_post(struct shmux__shm *s, uint32_t id,
				  const void *body, uint32_t len)
{
	if (s->tx.published != s->tx.next ||
	    !shmux__producer_fits(&s->tx, shmux__ring_slots(len),
				  s->tx.kept + s->kept_for_control))
		return false;
	shmux__producer_post(&s->tx, SHMUX_FRAME_DATA, 0, id, body, len);
	s->reasons |= SHMUX_ARMED_FRAMES;
	return true;
}

SHMUX_INLINE int shmux__shm_append(struct shmux__shm *s, uint32_t id,
				   const void *body, uint32_t len)
{
	uint32_t had = s->last_len, tail = s->last_tail;

	if (s->last_id != id || had + len > s->link.append_max)
		return -EAGAIN;
	if (!tail)
		tail = shmux__ring_tail(had);
	if (len > SHMUX_SLOT_SIZE - tail &&
	    shmux__shm_room(s, shmux__ring_further(len - (SHMUX_SLOT_SIZE - tail)),
			    s->tx.kept + s->kept_for_control))
		return -EAGAIN;
	s->last_tail = shmux__producer_grow(&s->tx, tail, body, len);
	s->last_len = had + len;
	return (int)had;
}

/* The peer is armed: the bells to ring, if it was not rung for; shm.c. */
uint32_t shmux__shm_kick(struct shmux__shm *s, uint32_t armed,
			 uint32_t reasons);

/* The bells of the peer's that must be rung, given what has come true. */
static inline uint32_t shmux__shm_look(struct shmux__shm *s, uint32_t reasons)
{
	uint32_t armed;

	/*
	 * [B4] Pairs with the peer's in arm: either it sees what we published
	 * when it looks again, or we see that it is armed.
	 */
	shmux_fence();
	armed = shmux_load_relaxed(&s->peer->armed);
	if (__builtin_expect(!(armed & SHMUX_ARMED_ODD), 1))
		return 0;
	return shmux__shm_kick(s, armed, reasons);
}

static inline uint32_t shmux__shm_publish(struct shmux__shm *s)
{
	uint32_t reasons = s->reasons;

	shmux__shm_finish(s);
	shmux__producer_publish(&s->tx);
	if (shmux__consumer_due(&s->rx)) {
		shmux__consumer_publish(&s->rx);
		reasons |= SHMUX_ARMED_ROOM;
	}
	if (!reasons)
		return 0;
	s->reasons = 0;
	return shmux__shm_look(s, reasons);
}

/* Was anything added that is not published? */
static inline bool shmux__shm_holds_back(const struct shmux__shm *s)
{
	return s->tx.published != s->tx.next;
}

static inline bool shmux__shm_ready(struct shmux__shm *s, uint32_t reasons)
{
	if (shmux__consumer_ready(&s->rx))
		return true;
	if (__builtin_expect(!(reasons & SHMUX_ARMED_ROOM), 1))
		return false;
	return shmux_load_relaxed(s->tx.peer_consumer) != s->seen_consumer ||
	       shmux_load_relaxed(&s->returned.next) != s->seen_returned ||
	       shmux__returns_ready(&s->returned);
}

/*
 * The line that who polls slot @index asks for as well: where records take two slots
 * to eight, their second, so that both travel at once (64 bytes there and back: 305
 * ns, not 350, on Intel).
 */
static inline const uint32_t *shmux__shm_further(const struct shmux__shm *s,
						 uint32_t index)
{
	bool further = shmux_load_relaxed(&s->rx_nr) - 2 < 7;

	return shmux__consumer_slot(&s->rx, index + further);
}

/*
 * Between two polls. What the processor has loaded ahead, and does in vain, delays
 * what it does when the line has come: 64 bytes there and back 180 ns without the
 * pause, 140 with it (AMD).
 */
static inline void shmux__shm_await(const uint32_t *further)
{
	shmux_load_relaxed(further);
	shmux_await();
}

/* Everything but the common frames; shm.c. */
int shmux__shm_decode(struct shmux__shm *s, struct shmux__frame *f,
		      uint32_t len);

static inline int shmux__shm_receive(struct shmux__shm *s,
				     struct shmux__frame *f)
{
	uint32_t word = shmux__consumer_word(&s->rx), len, nr;
	const struct shmux__consumer now = s->rx;
	const uint32_t *slot;

	if (word & SHMUX_WORD_TAG)
		return 0;
	/* Amid a batch, too, or the producer would wait for its end. */
	if (__builtin_expect(shmux__consumer_due(&now), 0)) {
		shmux__consumer_publish(&s->rx);
		s->reasons |= SHMUX_ARMED_ROOM;
	}
	slot = shmux__consumer_slot(&now, now.next);
	len = word >> SHMUX_WORD_LEN_SHIFT;
	nr = shmux__ring_slots(len);
	f->type = word >> SHMUX_WORD_TYPE_SHIFT & 0xf;
	f->flags = word >> SHMUX_WORD_FLAGS_SHIFT & 0xf;
	f->id = shmux_load_relaxed(&slot[1]);
	f->len = len;
	f->data = NULL;
	f->index = now.next;
	if (nr > (now.mask + 1) / 2)
		return -EPROTO;
	shmux_store_relaxed(&s->rx.next, now.next + nr);
	shmux_store_relaxed(&s->rx_nr, nr);
	if (__builtin_expect(f->type != SHMUX_FRAME_DATA, 0))
		return shmux__shm_decode(s, f, len);
	return 1;
}

/*
 * The same for the one record that somebody waits for, if it is of at most
 * SHMUX_CREDIT_MIN bytes for stream @id, all of which @size takes, and there is
 * nothing behind it or to be told. Polls so many times for it: straight on from the
 * poll that sees it. Return: bytes at @dst; 0: it is not so.
 */
SHMUX_INLINE uint32_t shmux__shm_receive_few(struct shmux__shm *s, uint32_t id,
					     void *dst, size_t size,
					     uint32_t polls)
{
	const struct shmux__consumer now = s->rx;
	const uint32_t *slot = shmux__consumer_slot(&now, now.next);
	const uint32_t *further = shmux__shm_further(s, now.next);
	uint32_t word, len, nr;

	while ((word = shmux__consumer_word(&now)) & SHMUX_WORD_TAG) {
		if (!polls--)
			return 0;
		shmux__shm_await(further);
	}
	len = word >> SHMUX_WORD_LEN_SHIFT;
	nr = len > SHMUX_SLOT_FIRST_BODY ? 2 : 1;
	if ((word & (SHMUX_WORD_TYPE | SHMUX_WORD_FLAGS)) !=
		    SHMUX_FRAME_DATA << SHMUX_WORD_TYPE_SHIFT ||
	    len - 1 >= SHMUX_CREDIT_MIN || len > size ||
	    shmux_load_relaxed(&slot[1]) != id ||
	    shmux__consumer_due(&now) ||
	    shmux__consumer_more(&now, nr))
		return 0;
	shmux_store_relaxed(&s->rx.next, now.next + nr);
	shmux_store_relaxed(&s->rx_nr, nr);
	shmux__consumer_copy_few(&now, now.next, dst, len);
	return len;
}

/*
 * The same if it came in a chunk, which is given back, and without polling; @size is
 * what the stream may take, too; shm.c.
 */
uint32_t shmux__shm_receive_chunk(struct shmux__shm *s, uint32_t id, void *dst,
				  size_t size);

static inline void shmux__shm_copy(struct shmux__shm *s,
				   const struct shmux__frame *f, uint32_t pos,
				   void *dst, uint32_t n)
{
	shmux__consumer_copy(&s->rx, f->index, pos, dst, n);
}

/*
 * The seam. Each call goes to the link's table, or, for the shared-memory link,
 * straight to the code above.
 */
static inline bool shmux__link_is_shm(const struct shmux__link *l)
{
	return __builtin_expect(l->ops == &shmux__shm_ops, 1);
}

static inline int shmux__link_send(struct shmux__link *l, uint32_t type,
				   uint32_t flags, uint32_t id,
				   const void *body, uint32_t len)
{
	int err;

	if (shmux__link_is_shm(l))
		err = shmux__shm_send(shmux__shm(l), type, flags, id, body,
				      len);
	else
		err = l->ops->send(l, type, flags, id, body, len);
	l->frames_sent += !err;
	return err;
}

static inline int shmux__link_append(struct shmux__link *l, uint32_t id,
				     const void *body, uint32_t len)
{
	if (shmux__link_is_shm(l))
		return shmux__shm_append(shmux__shm(l), id, body, len);
	return l->ops->append(l, id, body, len);
}

static inline uint32_t shmux__link_publish(struct shmux__link *l)
{
	if (shmux__link_is_shm(l))
		return shmux__shm_publish(shmux__shm(l));
	return l->ops->publish(l);
}

/* Does the peer sleep, and would the next publication wake it? A hint. */
static inline bool shmux__link_peer_asleep(struct shmux__link *l)
{
	uint32_t armed;

	if (!shmux__link_is_shm(l))
		return false;
	armed = shmux_load_relaxed(&shmux__shm(l)->peer->armed);
	return (armed & SHMUX_ARMED_ODD) && armed != shmux__shm(l)->kicked;
}

static inline bool shmux__link_ready(struct shmux__link *l, uint32_t reasons)
{
	if (shmux__link_is_shm(l))
		return shmux__shm_ready(shmux__shm(l), reasons);
	return l->ops->ready(l, reasons);
}

/* Has anything come? Under the lock. */
static inline bool shmux__link_look(struct shmux__link *l)
{
	if (shmux__link_is_shm(l))
		return shmux__shm_ready(shmux__shm(l), 0);
	return l->ops->look ? l->ops->look(l) : l->ops->ready(l, 0);
}

static inline int shmux__link_receive(struct shmux__link *l,
				      struct shmux__frame *f)
{
	if (shmux__link_is_shm(l))
		return shmux__shm_receive(shmux__shm(l), f);
	return l->ops->receive(l, f);
}

static inline void shmux__link_copy(struct shmux__link *l,
				    const struct shmux__frame *f, uint32_t pos,
				    void *dst, uint32_t n)
{
	if (f->data)
		__builtin_memcpy(dst, (const char *)f->data + pos, n);
	else if (shmux__link_is_shm(l))
		shmux__shm_copy(shmux__shm(l), f, pos, dst, n);
	else
		l->ops->copy(l, f, pos, dst, n);
}

/* The same of a frame of at most SHMUX_CREDIT_MIN bytes, not in a chunk: all. */
static inline void shmux__link_copy_few(struct shmux__link *l,
					const struct shmux__frame *f, char *dst)
{
	if (shmux__link_is_shm(l))
		shmux__consumer_copy_few(&shmux__shm(l)->rx, f->index, dst,
					 f->len);
	else
		l->ops->copy(l, f, 0, dst, f->len);
}

#endif /* SHMUX_LINK_SHM_H */
