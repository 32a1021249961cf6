/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ids.h - streams by the id that a wire has for them, and by the session's
 *
 * On a wire whose ids only ever grow, a stream has another id than in the session,
 * where an index is used again (linux/shmux_ring.h). Whoever opens the stream
 * chooses the wire's; the session chooses its own for what it opens, and the link,
 * here, for what the peer opens. Under the session's lock.
 */
#ifndef SHMUX_LINK_IDS_H
#define SHMUX_LINK_IDS_H

#include <stdint.h>

#include <linux/shmux_ring.h>

/* Valid until another is entered. */
struct shmux__wire_stream {
	uint32_t id;		/* the session's */
	uint32_t wire;		/* the wire's; 0: no stream */
	uint32_t next;		/* in its bucket, or among the free: place plus 1 */
	uint32_t state;		/* the link's; 0 at first */
};

/* The streams of one opener. */
struct shmux__wire_streams {
	struct shmux__wire_stream *streams;
	uint32_t size;
	uint32_t nr_used;	/* indexes ever used */
	uint32_t free;		/* first free index plus 1; of the peer's alone */
};

struct shmux__ids {
	struct shmux__wire_streams by_role[2];
	uint32_t *buckets;	/* by the wire's id: place plus 1 */
	uint32_t nr_buckets;	/* power of two, or 0 */
	uint32_t nr;
	uint32_t role;		/* ours */
	uint32_t seed;		/* so that the peer cannot choose the bucket */
};

void shmux__ids_init(struct shmux__ids *ids, uint32_t role, uint32_t seed);
void shmux__ids_exit(struct shmux__ids *ids);

/*
 * Enter what we open: @id and @wire are not in use. Return: the stream, or NULL
 * without memory.
 */
struct shmux__wire_stream *shmux__ids_add(struct shmux__ids *ids, uint32_t id,
					  uint32_t wire);

/*
 * Enter what the peer opens; @wire is not in use. Return: the stream, with an id of
 * its own, or NULL without memory or ids.
 */
struct shmux__wire_stream *shmux__ids_enter(struct shmux__ids *ids,
					    uint32_t wire);

/* By the session's id; by the wire's. Return: NULL if there is none. */
struct shmux__wire_stream *shmux__ids_find(const struct shmux__ids *ids,
					   uint32_t id);
struct shmux__wire_stream *shmux__ids_find_wire(const struct shmux__ids *ids,
						uint32_t wire);

void shmux__ids_remove(struct shmux__ids *ids, struct shmux__wire_stream *ws);

#endif /* SHMUX_LINK_IDS_H */
