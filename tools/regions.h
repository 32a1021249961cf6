/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_REGIONS_H
#define SHMUX_TOOLS_REGIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Who made a region. */
enum region_maker {
	REGION_OF_MEMFD,
	REGION_OF_MODULE,
};

/* A region that somebody reads: one of the two of a session. */
struct region {
	enum region_maker maker;
	pid_t owner;			/* maps it read-write */
	pid_t reader;			/* maps it read-only */
	uint64_t start;			/* where, in the owner */
};

struct regions {
	struct region *all;
	size_t nr;
};

/* What one end of a session shows to onlookers. */
struct region_facts {
	bool known;
	uint32_t depth;			/* slots filled, not said by the peer to be consumed */
	uint32_t consumed;		/* slots that it has said to be, ever; mod 2^32 */
	uint32_t slots;			/* in the ring */
	uint32_t streams;		/* open */
};

/* Look at all processes that we may look at. Return: 0 or -errno. */
int regions_open(struct regions *r);
void regions_close(struct regions *r);

/* How many sessions @a and @b have with each other, as far as regions of @maker tell. */
unsigned int regions_count(const struct regions *r, enum region_maker maker, pid_t a, pid_t b);

/*
 * The facts of each end, unless that is not permitted or the two have several
 * sessions over @maker's regions, which cannot be told apart.
 */
void regions_look(const struct regions *r, enum region_maker maker, pid_t a, pid_t b,
		  struct region_facts *of_a, struct region_facts *of_b);

#endif /* SHMUX_TOOLS_REGIONS_H */
