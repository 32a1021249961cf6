// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * arena.c - a lazy binary buddy allocator over the blocks of our arena
 *
 * It owns the books and nothing else: neither the memory, nor the return ring.
 * The peer's word reaches it in shmux__arena_return() alone.
 */
#include "link/arena.h"

#include <errno.h>
#include <stdlib.h>

enum block_state {
	BLOCK_INSIDE,		/* not the first block of a chunk */
	BLOCK_FREE,
	BLOCK_RESERVED,
	BLOCK_LENT,
};

/* Meaningful for the first block of a chunk; links are block + 1, or 0. */
struct shmux__arena_block {
	uint32_t above, below;	/* in the stack of its order, if free */
	uint8_t state;
	uint8_t order;
};

static void push(struct shmux__arena *a, uint32_t block, uint32_t order)
{
	struct shmux__arena_block *b = &a->blocks[block];

	b->state = BLOCK_FREE;
	b->order = (uint8_t)order;
	b->above = 0;
	b->below = a->free[order];
	if (b->below)
		a->blocks[b->below - 1].above = block + 1;
	a->free[order] = block + 1;
}

/* Take a free chunk out of its stack. */
static void unlink_block(struct shmux__arena *a, uint32_t block)
{
	struct shmux__arena_block *b = &a->blocks[block];

	if (b->above)
		a->blocks[b->above - 1].below = b->below;
	else
		a->free[b->order] = b->below;
	if (b->below)
		a->blocks[b->below - 1].above = b->above;
}

int shmux__arena_init(struct shmux__arena *a, uint32_t nr_blocks)
{
	uint32_t at, order;

	*a = (struct shmux__arena){ .nr_blocks = nr_blocks };
	a->blocks = calloc(nr_blocks, sizeof(*a->blocks));
	if (!a->blocks)
		return -ENOMEM;

	/* The largest powers of two, from the start: a chunk is aligned to its size. */
	for (at = 0; at < nr_blocks; at += 1u << order) {
		order = 31 - (uint32_t)__builtin_clz(nr_blocks - at);
		if (order >= SHMUX_ARENA_ORDERS)
			order = SHMUX_ARENA_ORDERS - 1;
		if (order > a->top)
			a->top = order;
		push(a, at, order);
	}
	a->joined = true;
	return 0;
}

void shmux__arena_exit(struct shmux__arena *a)
{
	free(a->blocks);
	a->blocks = NULL;
}

int32_t shmux__arena_get_hot(struct shmux__arena *a, uint32_t order)
{
	uint32_t block;

	if (order > a->top || !a->free[order])
		return -1;
	block = a->free[order] - 1;
	unlink_block(a, block);
	a->blocks[block].state = BLOCK_RESERVED;
	a->nr_used += 1u << order;
	return (int32_t)block;
}

/*
 * Reserve the chunk of @order that @block is the start of, or inside of, out of
 * the free one of @from that begins at @at.
 */
static int32_t split(struct shmux__arena *a, uint32_t at, uint32_t from,
		     uint32_t block, uint32_t order)
{
	uint32_t half;

	unlink_block(a, at);
	while (from > order) {
		from--;
		half = at + (1u << from);
		if (block < half) {
			push(a, half, from);
		} else {
			push(a, at, from);
			at = half;
		}
	}
	a->blocks[at].state = BLOCK_RESERVED;
	a->blocks[at].order = (uint8_t)order;
	a->nr_used += 1u << order;
	return (int32_t)at;
}

/* Join all free neighbours, smallest first. */
static void join(struct shmux__arena *a)
{
	uint32_t order, link, block, buddy, next;

	for (order = 0; order < a->top; order++) {
		for (link = a->free[order]; link; link = next) {
			block = link - 1;
			buddy = block ^ (1u << order);
			next = a->blocks[block].below;
			if (buddy + (1u << order) > a->nr_blocks ||
			    a->blocks[buddy].state != BLOCK_FREE ||
			    a->blocks[buddy].order != order)
				continue;
			if (next == buddy + 1)
				next = a->blocks[buddy].below;
			unlink_block(a, block);
			unlink_block(a, buddy);
			a->blocks[block | buddy].state = BLOCK_INSIDE;
			push(a, block & buddy, order + 1);
		}
	}
	a->joined = true;
}

/* The order of the smallest free chunk that is no smaller than @order, or -1. */
static int32_t find(struct shmux__arena *a, uint32_t order)
{
	uint32_t from;

	if (order > a->top)
		return -1;
	for (;;) {
		for (from = order; from <= a->top; from++)
			if (a->free[from])
				return (int32_t)from;
		if (a->joined || a->nr_blocks - a->nr_used < 1u << order)
			return -1;
		join(a);
	}
}

int32_t shmux__arena_get(struct shmux__arena *a, uint32_t order)
{
	int32_t from = find(a, order);
	uint32_t block;

	if (from < 0)
		return -1;
	block = a->free[from] - 1;
	return split(a, block, (uint32_t)from, block, order);
}

/* Make one free chunk of those in a place, if they are free, all of them. */
static bool gather(struct shmux__arena *a, uint32_t block, uint32_t order)
{
	uint32_t end = block + (1u << order), at;

	for (at = block; at < end; at += 1u << a->blocks[at].order)
		if (a->blocks[at].state != BLOCK_FREE)
			return false;
	for (at = block; at < end; at += 1u << a->blocks[at].order) {
		unlink_block(a, at);
		a->blocks[at].state = BLOCK_INSIDE;
	}
	push(a, block, order);
	return true;
}

/* The order of the free chunk that begins at @block or has it inside, or -1. */
static int32_t free_around(const struct shmux__arena *a, uint32_t block,
			   uint32_t order)
{
	uint32_t from, at;

	for (from = order; from <= a->top; from++) {
		at = block & ~((1u << from) - 1);
		if (a->blocks[at].state == BLOCK_FREE &&
		    a->blocks[at].order == from)
			return (int32_t)from;
	}
	return -1;
}

int32_t shmux__arena_get_in_turn(struct shmux__arena *a, uint32_t order)
{
	uint32_t end = a->nr_blocks / 2, size, block;
	int32_t from;

	if (order > a->top)
		return -1;
	if (end > SHMUX_ARENA_TURN)
		end = SHMUX_ARENA_TURN;
	size = 1u << order;
	if (size > end)
		return -1;
	block = (a->turn + size - 1) & ~(size - 1);
	if (block + size > end)
		block = 0;
	a->turn = block + size;
	from = free_around(a, block, order);
	if (from < 0) {
		if (!gather(a, block, order))
			return -1;
		from = (int32_t)order;
	}
	return split(a, block & ~((1u << from) - 1), (uint32_t)from, block,
		     order);
}

bool shmux__arena_has(struct shmux__arena *a, uint32_t order)
{
	return find(a, order) >= 0;
}

void shmux__arena_shrink(struct shmux__arena *a, uint32_t block, uint32_t order)
{
	struct shmux__arena_block *b = &a->blocks[block];

	while (b->order > order) {
		b->order--;
		push(a, block + (1u << b->order), b->order);
		a->nr_used -= 1u << b->order;
		a->joined = false;
	}
}

void shmux__arena_lend(struct shmux__arena *a, uint32_t block)
{
	a->blocks[block].state = BLOCK_LENT;
	a->nr_lent++;
}

void shmux__arena_put(struct shmux__arena *a, uint32_t block)
{
	uint32_t order = a->blocks[block].order;

	a->nr_used -= 1u << order;
	a->joined = false;
	push(a, block, order);
}

int shmux__arena_return(struct shmux__arena *a, uint32_t block)
{
	if (block >= a->nr_blocks || a->blocks[block].state != BLOCK_LENT)
		return -1;
	a->nr_lent--;
	shmux__arena_put(a, block);
	return 0;
}
