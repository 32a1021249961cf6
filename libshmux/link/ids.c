// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ids.c - see ids.h
 *
 * A place is the session's id without its generation: role and index. What is free
 * among the peer's keeps its generation, so that the next id differs.
 */
#include "link/ids.h"

#include <stdlib.h>
#include <string.h>

#include "base/errno.h"

#define GENERATION (SHMUX_ID_GEN_MASK << SHMUX_ID_GEN_SHIFT)

static uint32_t role_of(uint32_t id)
{
	return id >> SHMUX_ID_ROLE_SHIFT;
}

static uint32_t place_of(uint32_t id)
{
	return id & ~GENERATION;
}

static struct shmux__wire_stream *at(const struct shmux__ids *ids, uint32_t place)
{
	return &ids->by_role[role_of(place)].streams[place & SHMUX_ID_INDEX_MAX];
}

/* Of a hash that mixes all bits: Murmur's last steps. */
static uint32_t *bucket(const struct shmux__ids *ids, uint32_t wire)
{
	uint32_t h = wire ^ ids->seed;

	h ^= h >> 16;
	h *= 0x85ebca6bu;
	h ^= h >> 13;
	h *= 0xc2b2ae35u;
	h ^= h >> 16;
	return &ids->buckets[h & (ids->nr_buckets - 1)];
}

void shmux__ids_init(struct shmux__ids *ids, uint32_t role, uint32_t seed)
{
	*ids = (struct shmux__ids){ .role = role, .seed = seed };
}

void shmux__ids_exit(struct shmux__ids *ids)
{
	free(ids->by_role[0].streams);
	free(ids->by_role[1].streams);
	free(ids->buckets);
}

static void link_in(struct shmux__ids *ids, struct shmux__wire_stream *ws)
{
	uint32_t *first = bucket(ids, ws->wire);

	ws->next = *first;
	*first = place_of(ws->id) + 1;
}

/* Have at least as many buckets as streams. Return: 0 or -ENOMEM. */
static int more_buckets(struct shmux__ids *ids)
{
	uint32_t nr = ids->nr_buckets ? ids->nr_buckets * 2 : 16, role, i;
	struct shmux__wire_streams *of;
	uint32_t *buckets;

	if (ids->nr < ids->nr_buckets)
		return 0;
	buckets = SHMUX_KEEP_ERRNO(calloc(nr, sizeof(*buckets)));
	if (!buckets)
		return -ENOMEM;
	free(ids->buckets);
	ids->buckets = buckets;
	ids->nr_buckets = nr;
	for (role = 0; role < 2; role++) {
		of = &ids->by_role[role];
		for (i = 0; i < of->nr_used; i++)
			if (of->streams[i].wire)
				link_in(ids, &of->streams[i]);
	}
	return 0;
}

/* Have an entry for @index. Return: 0 or -ENOMEM. */
static int make(struct shmux__wire_streams *of, uint32_t index)
{
	struct shmux__wire_stream *streams;
	uint32_t size = of->size ? of->size : 16;

	if (index >= of->size) {
		while (size <= index)
			size *= 2;
		streams = SHMUX_KEEP_ERRNO(realloc(of->streams,
						   size * sizeof(*streams)));
		if (!streams)
			return -ENOMEM;
		of->streams = streams;
		of->size = size;
	}
	if (index >= of->nr_used) {
		memset(of->streams + of->nr_used, 0,
		       (index + 1 - of->nr_used) * sizeof(*of->streams));
		of->nr_used = index + 1;
	}
	return 0;
}

static struct shmux__wire_stream *enter(struct shmux__ids *ids, uint32_t id,
					uint32_t wire)
{
	struct shmux__wire_stream *ws = at(ids, place_of(id));

	*ws = (struct shmux__wire_stream){ .id = id, .wire = wire };
	link_in(ids, ws);
	ids->nr++;
	return ws;
}

struct shmux__wire_stream *shmux__ids_add(struct shmux__ids *ids, uint32_t id,
					  uint32_t wire)
{
	if (more_buckets(ids) ||
	    make(&ids->by_role[role_of(id)], id & SHMUX_ID_INDEX_MAX))
		return NULL;
	return enter(ids, id, wire);
}

struct shmux__wire_stream *shmux__ids_enter(struct shmux__ids *ids,
					    uint32_t wire)
{
	uint32_t role = !ids->role, index, generation = 0;
	struct shmux__wire_streams *of = &ids->by_role[role];

	if (more_buckets(ids))
		return NULL;
	if (of->free) {
		index = of->free - 1;
		of->free = of->streams[index].next;
		generation = of->streams[index].id >> SHMUX_ID_GEN_SHIFT &
			     SHMUX_ID_GEN_MASK;
	} else {
		index = of->nr_used;
		if (index > SHMUX_ID_INDEX_MAX || make(of, index))
			return NULL;
	}
	generation = (generation + 1) & SHMUX_ID_GEN_MASK;
	if (!generation)
		generation = 1;
	return enter(ids, role << SHMUX_ID_ROLE_SHIFT |
				  generation << SHMUX_ID_GEN_SHIFT | index,
		     wire);
}

struct shmux__wire_stream *shmux__ids_find(const struct shmux__ids *ids,
					   uint32_t id)
{
	const struct shmux__wire_streams *of = &ids->by_role[role_of(id)];
	struct shmux__wire_stream *ws;

	if ((id & SHMUX_ID_INDEX_MAX) >= of->nr_used)
		return NULL;
	ws = at(ids, place_of(id));
	return ws->wire && ws->id == id ? ws : NULL;
}

struct shmux__wire_stream *shmux__ids_find_wire(const struct shmux__ids *ids,
						uint32_t wire)
{
	struct shmux__wire_stream *ws;
	uint32_t place;

	if (!ids->nr_buckets)
		return NULL;
	for (place = *bucket(ids, wire); place; place = ws->next) {
		ws = at(ids, place - 1);
		if (ws->wire == wire)
			return ws;
	}
	return NULL;
}

void shmux__ids_remove(struct shmux__ids *ids, struct shmux__wire_stream *ws)
{
	struct shmux__wire_streams *of = &ids->by_role[role_of(ws->id)];
	uint32_t *link = bucket(ids, ws->wire);

	while (at(ids, *link - 1) != ws)
		link = &at(ids, *link - 1)->next;
	*link = ws->next;
	ws->wire = 0;
	ids->nr--;
	if (role_of(ws->id) == ids->role)
		return;		/* the session's to use again */
	ws->next = of->free;
	of->free = (ws->id & SHMUX_ID_INDEX_MAX) + 1;
}
