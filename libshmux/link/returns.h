/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * returns.h - the two ends of a return ring
 *
 * The taker of chunks writes words into its own region, the lender reads them.
 * A word carries a block number and a tag; there is no index to publish, and
 * room for every block that can be lent. One thread at a time uses an end.
 */
#ifndef SHMUX_LINK_RETURNS_H
#define SHMUX_LINK_RETURNS_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/shmux_ring.h>

#include "base/barrier.h"

struct shmux__returns_tx {
	uint32_t *words;	/* in our region */
	uint32_t mask, order;	/* constant */
	uint32_t next;
};

struct shmux__returns_rx {
	const uint32_t *words;	/* in the peer's region */
	uint32_t mask, order;	/* constant */
	uint32_t next;
};

static inline void shmux__returns_tx_init(struct shmux__returns_tx *r,
					  void *words, uint32_t nr)
{
	r->words = words;
	r->mask = nr - 1;
	r->order = (uint32_t)__builtin_ctz(nr);
	r->next = 0;
}

static inline void shmux__returns_rx_init(struct shmux__returns_rx *r,
					  const void *words, uint32_t nr)
{
	r->words = words;
	r->mask = nr - 1;
	r->order = (uint32_t)__builtin_ctz(nr);
	r->next = 0;
}

static inline void shmux__returns_put(struct shmux__returns_tx *r,
				      uint32_t block)
{
	/* [B3] Pairs with the acquire in shmux__returns_get(): we read no more. */
	shmux_store_release(&r->words[r->next & r->mask],
			    block << 8 | SHMUX_TAG(r->next, r->order));
	r->next++;
}

static inline bool shmux__returns_ready(const struct shmux__returns_rx *r)
{
	/* One who polls may be overtaken by one who holds the lock and takes. */
	uint32_t next = shmux_load_relaxed(&r->next);

	return (shmux_load_relaxed(&r->words[next & r->mask]) &
		SHMUX_WORD_TAG) == SHMUX_TAG(next, r->order);
}

/* The next block given back. Return: false if there is none. */
static inline bool shmux__returns_get(struct shmux__returns_rx *r,
				      uint32_t *block)
{
	/* [B3] Pairs with the release in shmux__returns_put(). */
	uint32_t word = shmux_load_acquire(&r->words[r->next & r->mask]);

	if ((word & SHMUX_WORD_TAG) != SHMUX_TAG(r->next, r->order))
		return false;
	*block = word >> 8;
	shmux_store_relaxed(&r->next, r->next + 1);
	return true;
}

#endif /* SHMUX_LINK_RETURNS_H */
