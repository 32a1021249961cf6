/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * table.h - stream ids: from id to stream, and which are free
 *
 * One table a role: ids that we choose, and ids that the peer chose. A table
 * grows by pages of 512 entries as indexes are used. Under the session's lock.
 */
#ifndef SHMUX_CORE_TABLE_H
#define SHMUX_CORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/shmux_ring.h>

struct shmux_stream;

#define SHMUX_TABLE_PAGE_BITS 9
#define SHMUX_TABLE_PAGE (1u << SHMUX_TABLE_PAGE_BITS)

/*
 * An entry is a stream, or 0, or, in the table of our own ids, a free index:
 * bit 0 set, bits 1 to 22 the next free index plus 1, bits 32 and up the
 * generation it had.
 */
struct shmux__table {
	uint64_t **pages;
	uint32_t nr_pages;
	uint32_t limit;		/* indexes are below this */
	uint32_t nr_used;	/* indexes ever used */
	uint32_t free;		/* first free index plus 1, or 0 */
	uint32_t role;		/* of who opens: bit 31 of its ids */
};

void shmux__table_init(struct shmux__table *t, uint32_t role, uint32_t limit);
void shmux__table_exit(struct shmux__table *t);

/* Choose an id for @st. Return: 0; -ENOSPC; -ENOMEM. */
int shmux__table_add(struct shmux__table *t, struct shmux_stream *st,
		     uint32_t *id);

/* Enter an id that the peer chose. Return: 0; -EEXIST; -ENOSPC; -ENOMEM. */
int shmux__table_enter(struct shmux__table *t, struct shmux_stream *st,
		       uint32_t id);

/* Our own id is free again, or the peer's is forgotten. */
void shmux__table_release(struct shmux__table *t, uint32_t id);
void shmux__table_forget(struct shmux__table *t, uint32_t id);

/* Calls @fn for every stream. */
void shmux__table_each(struct shmux__table *t,
		       void (*fn)(struct shmux_stream *st));

/* The entry at an id's index; its generation is for the caller to compare. */
static inline struct shmux_stream *
shmux__table_find(const struct shmux__table *t, uint32_t id)
{
	uint32_t index = id & SHMUX_ID_INDEX_MAX;
	uint32_t page = index >> SHMUX_TABLE_PAGE_BITS;
	uint64_t entry;

	if (page >= t->nr_pages || !t->pages[page])
		return NULL;
	entry = t->pages[page][index & (SHMUX_TABLE_PAGE - 1)];
	return entry & 1 ? NULL : (struct shmux_stream *)(uintptr_t)entry;
}

#endif /* SHMUX_CORE_TABLE_H */
