// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * table.c - see table.h
 *
 * A free index of our own remembers its generation in the entry itself, so that
 * the id it gets next differs from the one before. The index freed last is used
 * first: its lines are hot.
 */
#include "core/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/errno.h"

void shmux__table_init(struct shmux__table *t, uint32_t role, uint32_t limit)
{
	*t = (struct shmux__table){ .role = role, .limit = limit };
}

void shmux__table_exit(struct shmux__table *t)
{
	uint32_t i;

	for (i = 0; i < t->nr_pages; i++)
		free(t->pages[i]);
	free(t->pages);
	t->pages = NULL;
	t->nr_pages = 0;
}

/* The entry at @index, whose page is there. */
static uint64_t *entry_at(const struct shmux__table *t, uint32_t index)
{
	return &t->pages[index >> SHMUX_TABLE_PAGE_BITS]
			[index & (SHMUX_TABLE_PAGE - 1)];
}

/* The entry at @index, made if need be. Return: NULL if it could not be. */
static uint64_t *entry_make(struct shmux__table *t, uint32_t index)
{
	uint32_t page = index >> SHMUX_TABLE_PAGE_BITS, nr = t->nr_pages;
	uint64_t **pages, *entries;

	if (page >= nr) {
		nr = nr ? nr : 1;
		while (nr <= page)
			nr *= 2;
		pages = SHMUX_KEEP_ERRNO(realloc(t->pages,
						 nr * sizeof(*pages)));
		if (!pages)
			return NULL;
		memset(pages + t->nr_pages, 0,
		       (nr - t->nr_pages) * sizeof(*pages));
		t->pages = pages;
		t->nr_pages = nr;
	}
	entries = t->pages[page];
	if (!entries) {
		entries = SHMUX_KEEP_ERRNO(calloc(SHMUX_TABLE_PAGE,
						  sizeof(*entries)));
		if (!entries)
			return NULL;
		t->pages[page] = entries;
	}
	return &entries[index & (SHMUX_TABLE_PAGE - 1)];
}

static uint32_t make_id(const struct shmux__table *t, uint32_t index,
			uint32_t generation)
{
	return t->role << SHMUX_ID_ROLE_SHIFT |
	       generation << SHMUX_ID_GEN_SHIFT | index;
}

int shmux__table_add(struct shmux__table *t, struct shmux_stream *st,
		     uint32_t *id)
{
	uint32_t index, generation = 0;
	uint64_t *entry;

	if (t->free) {
		index = t->free - 1;
		entry = entry_at(t, index);
		t->free = (uint32_t)*entry >> 1;
		generation = (uint32_t)(*entry >> 32);
	} else {
		if (t->nr_used >= t->limit)
			return -ENOSPC;
		index = t->nr_used;
		entry = entry_make(t, index);
		if (!entry)
			return -ENOMEM;
		t->nr_used++;
	}
	generation = (generation + 1) & SHMUX_ID_GEN_MASK;
	if (!generation)
		generation = 1;
	*entry = (uintptr_t)st;
	*id = make_id(t, index, generation);
	return 0;
}

int shmux__table_enter(struct shmux__table *t, struct shmux_stream *st,
		       uint32_t id)
{
	uint32_t index = id & SHMUX_ID_INDEX_MAX;
	uint64_t *entry;

	if (index >= t->limit)
		return -ENOSPC;
	entry = entry_make(t, index);
	if (!entry)
		return -ENOMEM;
	if (*entry)
		return -EEXIST;
	*entry = (uintptr_t)st;
	return 0;
}

void shmux__table_release(struct shmux__table *t, uint32_t id)
{
	uint32_t index = id & SHMUX_ID_INDEX_MAX;
	uint64_t generation = id >> SHMUX_ID_GEN_SHIFT & SHMUX_ID_GEN_MASK;

	*entry_at(t, index) = generation << 32 | (uint64_t)t->free << 1 | 1;
	t->free = index + 1;
}

void shmux__table_forget(struct shmux__table *t, uint32_t id)
{
	*entry_at(t, id & SHMUX_ID_INDEX_MAX) = 0;
}

void shmux__table_each(struct shmux__table *t,
		       void (*fn)(struct shmux_stream *st))
{
	uint32_t page, i;
	uint64_t entry;

	for (page = 0; page < t->nr_pages; page++) {
		for (i = 0; t->pages[page] && i < SHMUX_TABLE_PAGE; i++) {
			entry = t->pages[page][i];
			if (entry && !(entry & 1))
				fn((struct shmux_stream *)(uintptr_t)entry);
		}
	}
}
