/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * arena.h - the books of our arena: which blocks are free, reserved or lent
 *
 * Private memory of the owner; the peer sees the arena, never the books. Chunks
 * are 1 << order blocks. Free chunks of an order are a stack, so the chunk that
 * was freed last, whose lines are still in the cache, is used first; or, for who
 * wants them to be in no cache, chunks in the order in which they lie. Neighbours
 * are joined only when a larger chunk cannot be had otherwise. Blocks are
 * numbered from the arena's start. One thread at a time.
 */
#ifndef SHMUX_LINK_ARENA_H
#define SHMUX_LINK_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#define SHMUX_ARENA_ORDERS 20

/*
 * So many blocks are used in turn, or half of the arena if that is less: 2 MiB, more
 * than most cores have of L2.
 */
#define SHMUX_ARENA_TURN 512u

struct shmux__arena_block;

struct shmux__arena {
	struct shmux__arena_block *blocks;
	uint32_t nr_blocks;
	uint32_t top;			/* largest order */
	uint32_t free[SHMUX_ARENA_ORDERS];	/* stacks: block + 1, or 0 */
	uint32_t nr_used;		/* blocks reserved or lent */
	uint32_t nr_lent;		/* chunks lent */
	uint32_t turn;			/* where the next chunk in turn begins */
	bool joined;			/* nothing was freed since the last join */
};

int shmux__arena_init(struct shmux__arena *a, uint32_t nr_blocks);
void shmux__arena_exit(struct shmux__arena *a);

/* Order of the smallest chunk of at least @nr_blocks blocks. */
static inline uint32_t shmux__arena_order(uint32_t nr_blocks)
{
	return nr_blocks <= 1 ? 0 : 32 - (uint32_t)__builtin_clz(nr_blocks - 1);
}

/*
 * Reserve a chunk. The first looks only at free chunks of just this order; the
 * second also splits larger and joins smaller ones; the third takes the place
 * whose turn it is, or, if that is not free, none, and another's turn is next.
 * Return: its first block, or -1 if there is none.
 */
int32_t shmux__arena_get_hot(struct shmux__arena *a, uint32_t order);
int32_t shmux__arena_get(struct shmux__arena *a, uint32_t order);
int32_t shmux__arena_get_in_turn(struct shmux__arena *a, uint32_t order);

/* Would shmux__arena_get() find one? */
bool shmux__arena_has(struct shmux__arena *a, uint32_t order);

/* Give back the end of a reserved chunk that is larger than @order. */
void shmux__arena_shrink(struct shmux__arena *a, uint32_t block,
			 uint32_t order);

/* A reserved chunk is given to the peer. */
void shmux__arena_lend(struct shmux__arena *a, uint32_t block);

/* A reserved chunk is not used after all. */
void shmux__arena_put(struct shmux__arena *a, uint32_t block);

/*
 * The peer gives a chunk back. Return: 0, or -1 if @block, which may be any
 * number, is not the start of a lent chunk.
 */
int shmux__arena_return(struct shmux__arena *a, uint32_t block);

#endif /* SHMUX_LINK_ARENA_H */
