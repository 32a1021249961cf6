/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.h - the two ends of a ring of slots
 *
 * The layout is that of linux/shmux_ring.h. Nothing here knows what a frame
 * means. A producer or a consumer is used by one thread at a time.
 */
#ifndef SHMUX_LINK_RING_H
#define SHMUX_LINK_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/shmux_ring.h>

#include "base/barrier.h"
#include "base/copy.h"
#include "base/inline.h"

_Static_assert(SHMUX_SLOT_FIRST_BODY == 56, "a full first slot is copied as 56 bytes");

/* Further slots that @n bytes take, at least 1. */
static inline uint32_t shmux__ring_further(uint32_t n)
{
	if (n <= SHMUX_SLOT_NEXT_BODY)
		return 1;
	return (n + SHMUX_SLOT_NEXT_BODY - 1) / SHMUX_SLOT_NEXT_BODY;
}

/* Slots that a record with @len bytes of body takes. */
static inline uint32_t shmux__ring_slots(uint32_t len)
{
	if (len <= SHMUX_SLOT_FIRST_BODY)
		return 1;
	return 1 + shmux__ring_further(len - SHMUX_SLOT_FIRST_BODY);
}

/* Bytes of the last slot of a record of @len that are in use. */
static inline uint32_t shmux__ring_tail(uint32_t len)
{
	uint32_t n = len - SHMUX_SLOT_FIRST_BODY;

	if (len <= SHMUX_SLOT_FIRST_BODY)
		return 8 + len;
	return 4 + n - (shmux__ring_further(n) - 1) * SHMUX_SLOT_NEXT_BODY;
}

static inline uint32_t shmux__ring_word(uint32_t type, uint32_t flags,
					uint32_t len, uint32_t tag)
{
	return len << SHMUX_WORD_LEN_SHIFT | flags << SHMUX_WORD_FLAGS_SHIFT |
	       type << SHMUX_WORD_TYPE_SHIFT | tag;
}

/*
 * Our end of our ring. All is private but the slots and what @peer_consumer
 * points to. Records between @published and @next are written but for the
 * first word of the first of them, @held, so the consumer sees none of them.
 */
struct shmux__producer {
	char *slots;
	uint32_t mask;			/* constant */
	uint32_t order;			/* constant */
	uint32_t next;			/* first index not yet filled */
	uint32_t published;		/* all before it can be seen */
	uint32_t held;			/* word to be stored at @published */
	uint32_t consumer;		/* last one of the peer's that was right */
	uint32_t kept;			/* slots promised to reservations */
	const uint32_t *peer_consumer;	/* in the peer's region */
};

static inline void shmux__producer_init(struct shmux__producer *p, void *slots,
					uint32_t nr, const uint32_t *consumer)
{
	p->slots = slots;
	p->mask = nr - 1;
	p->order = (uint32_t)__builtin_ctz(nr);
	p->next = p->published = p->consumer = p->held = p->kept = 0;
	p->peer_consumer = consumer;
}

static inline uint32_t *shmux__producer_slot(const struct shmux__producer *p,
					     uint32_t index)
{
	return (uint32_t *)(void *)(p->slots +
				    (size_t)(index & p->mask) * SHMUX_SLOT_SIZE);
}

static inline uint32_t shmux__producer_used(const struct shmux__producer *p)
{
	return p->next - p->consumer;
}

/*
 * Look how far the peer has consumed. Return: 0, or -1 if it announced an index
 * that cannot be.
 */
static inline int shmux__producer_refresh(struct shmux__producer *p)
{
	/* [B2] Pairs with the release in shmux__consumer_publish(): slots are ours. */
	uint32_t consumer = shmux_load_acquire(p->peer_consumer);

	/* Not back, and not beyond what it could see. */
	if (consumer - p->consumer > p->published - p->consumer)
		return -1;
	p->consumer = consumer;
	return 0;
}

/* Are @nr slots free, beyond @kept ones? As far as we know without a look. */
static inline bool shmux__producer_fits(const struct shmux__producer *p,
					uint32_t nr, uint32_t kept)
{
	return shmux__producer_used(p) + nr + kept <= p->mask + 1;
}

/*
 * Fill the further slots of a record from @index on with @n bytes. Each line is
 * filled in one go: a consumer that looks at it meanwhile takes it
 * away only once. @p is a copy: bytes are stored, which to the compiler might be
 * those of the other.
 */
static inline void shmux__producer_rest(const struct shmux__producer *p,
					uint32_t index, const char *src,
					uint32_t n)
{
	char *slot;

	for (;; index++) {
		slot = (char *)shmux__producer_slot(p, index);
		shmux_store_relaxed((uint32_t *)(void *)slot,
				    shmux__ring_word(SHMUX_FRAME_CONT, 0, 0,
						     SHMUX_TAG(index, p->order)));
		if (n <= SHMUX_SLOT_NEXT_BODY)
			break;
		shmux_copy_small(slot + 4, src, SHMUX_SLOT_NEXT_BODY);
		src += SHMUX_SLOT_NEXT_BODY;
		n -= SHMUX_SLOT_NEXT_BODY;
	}
	shmux_copy_small(slot + 4, src, n);
}

/* Set the first word of the record at @index, not yet published. */
static inline void shmux__producer_set_word(struct shmux__producer *p,
					    uint32_t index, uint32_t type,
					    uint32_t flags, uint32_t len)
{
	uint32_t word = shmux__ring_word(type, flags, len,
					 SHMUX_TAG(index, p->order));

	if (index == p->published)
		p->held = word;
	else
		shmux_store_relaxed(shmux__producer_slot(p, index), word);
}

/* Slots that are claimed at a time. Two gain half as much, sixteen little more. */
#define SHMUX_CLAIM 8u

/*
 * From @index slots have been taken up to @next. Stores leave a processor in order,
 * some sixty of them wait, and one to a line that the other core has waits long. Of
 * small writes each comes with as many stores elsewhere, so one line would be asked
 * for at a time. Store to the slots that are next but one group, which are free, so
 * that all of them are: where nobody reads it. (A prefetch for writing does nothing
 * for a line that is there and merely shared.)
 */
static inline void shmux__producer_claim(const struct shmux__producer *p,
					 uint32_t index, uint32_t next)
{
	uint32_t group = next & ~(SHMUX_CLAIM - 1), i;
	uint32_t *last;

	if (group == (index & ~(SHMUX_CLAIM - 1)) ||
	    group + 2 * SHMUX_CLAIM - p->consumer > p->mask + 1)
		return;
	/* A ring is so many whole groups. */
	last = shmux__producer_slot(p, group + SHMUX_CLAIM) +
	       SHMUX_SLOT_SIZE / 4 - 1;
	for (i = 0; i < SHMUX_CLAIM; i++, last += SHMUX_SLOT_SIZE / 4)
		shmux_store_relaxed(last, 0);
}

/*
 * Let the last record grow by @n bytes; its last slot is in use up to @tail, and
 * the further slots that it takes are free. Its word is set by the caller, once
 * it is known. Return: the new tail.
 */
SHMUX_INLINE uint32_t shmux__producer_grow(struct shmux__producer *p,
					   uint32_t tail, const void *src,
					   uint32_t n)
{
	const struct shmux__producer now = *p;
	char *at = (char *)shmux__producer_slot(&now, now.next - 1) + tail;
	uint32_t room = SHMUX_SLOT_SIZE - tail, nr;

	if (n <= room) {
		shmux_copy_small(at, src, n);
		return tail + n;
	}
	shmux_copy_small(at, src, room);
	n -= room;
	nr = shmux__ring_further(n);
	p->next = now.next + nr;
	shmux__producer_claim(&now, now.next, now.next + nr);
	shmux__producer_rest(&now, now.next, (const char *)src + room, n);
	return 4 + n - (nr - 1) * SHMUX_SLOT_NEXT_BODY;
}

/*
 * Fill the slots of a record from @index on, but for its word; it fits. The first
 * slot is written last and all at once: the consumer polls that line, and would
 * take it away from us between two stores. Return: its word.
 */
static inline uint32_t *shmux__producer_fill(const struct shmux__producer *p,
					     uint32_t index, uint32_t id,
					     const void *body, uint32_t len)
{
	char *slot = (char *)shmux__producer_slot(p, index);

	if (len > SHMUX_SLOT_FIRST_BODY) {
		shmux__producer_rest(p, index + 1,
				     (const char *)body + SHMUX_SLOT_FIRST_BODY,
				     len - SHMUX_SLOT_FIRST_BODY);
		shmux_copy_56(slot + 8, body);
	} else {
		shmux_copy_small(slot + 8, body, len);
	}
	*(uint32_t *)(void *)(slot + 4) = id;
	return (uint32_t *)(void *)slot;
}

/* Add a record; the caller has made sure that it fits. Not yet published. */
static inline void shmux__producer_add(struct shmux__producer *p,
				       uint32_t type, uint32_t flags,
				       uint32_t id, const void *body,
				       uint32_t len)
{
	const struct shmux__producer now = *p;

	shmux__producer_fill(&now, now.next, id, body, len);
	shmux__producer_set_word(p, now.next, type, flags, len);
	p->next = now.next + shmux__ring_slots(len);
}

/* The same, and at once visible: nothing was added that is not. */
SHMUX_INLINE void shmux__producer_post(struct shmux__producer *p,
				       uint32_t type, uint32_t flags,
				       uint32_t id, const void *body,
				       uint32_t len)
{
	const struct shmux__producer now = *p;
	uint32_t *slot = shmux__producer_fill(&now, now.next, id, body, len);

	/* [B1] Pairs with the acquire in shmux__consumer_word(). */
	shmux_store_release(slot, shmux__ring_word(type, flags, len,
						   SHMUX_TAG(now.next,
							     now.order)));
	p->next = p->published = now.next + shmux__ring_slots(len);
}

/* Make all that was added visible. Return: whether there was anything. */
static inline bool shmux__producer_publish(struct shmux__producer *p)
{
	if (p->published == p->next)
		return false;
	/* [B1] Pairs with the acquire in shmux__consumer_word(). */
	shmux_store_release(shmux__producer_slot(p, p->published), p->held);
	p->published = p->next;
	return true;
}

/* Our end of the peer's ring. @slots and nothing else may change under us. */
struct shmux__consumer {
	const char *slots;
	uint32_t mask;			/* constant */
	uint32_t order;			/* constant */
	uint32_t next;			/* index of the next record */
	uint32_t published;		/* what the producer knows of @next */
	uint32_t *own_consumer;		/* in our region */
};

static inline void shmux__consumer_init(struct shmux__consumer *c,
					const void *slots, uint32_t nr,
					uint32_t *own_consumer)
{
	c->slots = slots;
	c->mask = nr - 1;
	c->order = (uint32_t)__builtin_ctz(nr);
	c->next = c->published = 0;
	c->own_consumer = own_consumer;
}

static inline const uint32_t *
shmux__consumer_slot(const struct shmux__consumer *c, uint32_t index)
{
	return (const uint32_t *)(const void *)
		(c->slots + (size_t)(index & c->mask) * SHMUX_SLOT_SIZE);
}

/*
 * The first word of the next record, its tag taken off so that a word of this
 * lap has tag 0 and any other a tag that is not.
 */
static inline uint32_t shmux__consumer_word(const struct shmux__consumer *c)
{
	/* One who polls may be overtaken by the death of the session. */
	uint32_t next = shmux_load_relaxed(&c->next);

	/* [B1] Pairs with the release in shmux__producer_publish(). */
	return shmux_load_acquire(shmux__consumer_slot(c, next)) ^
	       SHMUX_TAG(next, c->order);
}

static inline bool shmux__consumer_ready(const struct shmux__consumer *c)
{
	return !(shmux__consumer_word(c) & SHMUX_WORD_TAG);
}

/* Is there a record behind the next one, which takes @nr slots? */
static inline bool shmux__consumer_more(const struct shmux__consumer *c,
					uint32_t nr)
{
	uint32_t index = c->next + nr;
	uint32_t word = shmux_load_relaxed(shmux__consumer_slot(c, index));

	return !((word ^ SHMUX_TAG(index, c->order)) & SHMUX_WORD_TAG);
}

/* Copy body bytes [@pos, @pos + @n) of the record at @index out. */
static inline void shmux__consumer_copy(const struct shmux__consumer *c,
					uint32_t index, uint32_t pos, void *dst,
					uint32_t n)
{
	/* Bytes are stored, which to the compiler might be those of *@c. */
	const struct shmux__consumer now = *c;
	char *d = dst;
	uint32_t at, room;

	if (pos < SHMUX_SLOT_FIRST_BODY) {
		room = SHMUX_SLOT_FIRST_BODY - pos;
		at = 8 + pos;
	} else {
		pos -= SHMUX_SLOT_FIRST_BODY;
		index += 1 + pos / SHMUX_SLOT_NEXT_BODY;
		pos %= SHMUX_SLOT_NEXT_BODY;
		room = SHMUX_SLOT_NEXT_BODY - pos;
		at = 4 + pos;
	}
	while (n > room) {
		shmux_copy_small(d, (const char *)
				 shmux__consumer_slot(&now, index) + at, room);
		d += room;
		n -= room;
		index++;
		at = 4;
		room = SHMUX_SLOT_NEXT_BODY;
	}
	shmux_copy_small(d, (const char *)shmux__consumer_slot(&now, index) + at,
			 n);
}

/* Copy the @n bytes of body of the record at @index out: one or two slots. */
SHMUX_INLINE void shmux__consumer_copy_few(const struct shmux__consumer *c,
					   uint32_t index, char *dst,
					   uint32_t n)
{
	const struct shmux__consumer now = *c;	/* as above */
	const char *slot = (const char *)shmux__consumer_slot(&now, index);

	if (n <= SHMUX_SLOT_FIRST_BODY) {
		shmux_copy_small(dst, slot + 8, n);
		return;
	}
	shmux_copy_56(dst, slot + 8);
	slot = (const char *)shmux__consumer_slot(&now, index + 1);
	shmux_copy_small(dst + SHMUX_SLOT_FIRST_BODY, slot + 4,
			 n - SHMUX_SLOT_FIRST_BODY);
}

/* Tell the producer how far we are. */
static inline void shmux__consumer_publish(struct shmux__consumer *c)
{
	if (c->published == c->next)
		return;
	/* [B2] Pairs with the acquire in shmux__producer_refresh(). */
	shmux_store_release(c->own_consumer, c->next);
	c->published = c->next;
}

/* Is a quarter of the ring consumed and not told? */
static inline bool shmux__consumer_due(const struct shmux__consumer *c)
{
	return c->next - c->published > c->mask >> 2;
}

#endif /* SHMUX_LINK_RING_H */
