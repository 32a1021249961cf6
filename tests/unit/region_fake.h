/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * region_fake.h - two regions in one process, of plain memory
 *
 * Each end's own memory is the other end's peer memory, at the same address, so
 * that a thread sanitizer sees who shares what. Bells are futexes of this
 * process; what is asked of a region is counted.
 */
#ifndef TESTS_UNIT_REGION_FAKE_H
#define TESTS_UNIT_REGION_FAKE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/barrier.h"
#include "base/futex.h"
#include "link/shm.h"
#include "region/region.h"

struct region_fake {
	struct shmux__region region;
	uint32_t nr_rings, nr_sleeps, nr_hang_ups, nr_closes;
	uint32_t bells;			/* of the last ring */
	const uint32_t *slept_on;	/* of the last sleep */
	uint32_t seen;
};

static inline struct region_fake *region_fake(struct shmux__region *r)
{
	return (struct region_fake *)r;
}

static inline int region_fake_sleep(struct shmux__region *r, const uint32_t *word, uint32_t seen,
				    const uint32_t *poke, uint64_t timeout)
{
	(void)poke;
	region_fake(r)->nr_sleeps++;
	region_fake(r)->slept_on = word;
	region_fake(r)->seen = seen;
	return shmux_futex_wait(word, seen, timeout);
}

static inline void region_fake_ring(struct shmux__region *r, const uint32_t *word, uint32_t bells)
{
	region_fake(r)->nr_rings++;
	region_fake(r)->bells = bells;
	if (bells & SHMUX_ARMED_FUTEX)
		shmux_futex_wake(word, 1);
}

static inline void region_fake_poke(struct shmux__region *r, const uint32_t *word,
				    const uint32_t *poke)
{
	(void)r;
	(void)poke;
	shmux_futex_wake(word, 1);
}

static inline int region_fake_check_alive(struct shmux__region *r)
{
	return region_fake(r)->nr_hang_ups ? -ECONNRESET : 0;
}

static inline int region_fake_descriptors(struct shmux__region *r, int fds[2])
{
	(void)r;
	(void)fds;
	return 0;
}

static inline void region_fake_hang_up(struct shmux__region *r)
{
	region_fake(r)->nr_hang_ups++;
}

static inline void region_fake_close(struct shmux__region *r)
{
	region_fake(r)->nr_closes++;
}

static const struct shmux__region_ops region_fake_ops = {
	.name = "fake",
	.sleep = region_fake_sleep,
	.ring = region_fake_ring,
	.poke = region_fake_poke,
	.check_alive = region_fake_check_alive,
	.descriptors = region_fake_descriptors,
	.clear = region_fake_check_alive,
	.hang_up = region_fake_hang_up,
	.close = region_fake_close,
};

/* Two ends that say what @near and @far ask for. Return: 0 or -ENOMEM. */
static inline int region_fake_pair(struct region_fake pair[2],
				   const struct shmux__shm_sizes *near,
				   const struct shmux__shm_sizes *far)
{
	const struct shmux__shm_sizes *sizes[2] = { near, far };
	int i;

	memset(pair, 0, 2 * sizeof(*pair));
	for (i = 0; i < 2; i++) {
		struct shmux__region *r = &pair[i].region;

		r->ops = &region_fake_ops;
		r->role = i ? SHMUX_ROLE_ACCEPTOR : SHMUX_ROLE_DIALLER;
		r->own_size = shmux__shm_size(sizes[i]);
		r->own = aligned_alloc(SHMUX_PART_ALIGN, r->own_size);
		if (!r->own)
			return -ENOMEM;
		memset(r->own, 0, r->own_size);
		shmux__shm_format(sizes[i], r->role, r->own);
	}
	for (i = 0; i < 2; i++) {
		pair[i].region.peer = pair[!i].region.own;
		pair[i].region.peer_size = pair[!i].region.own_size;
	}
	return 0;
}

static inline void region_fake_free(struct region_fake pair[2])
{
	free(pair[0].region.own);
	free(pair[1].region.own);
}

#endif /* TESTS_UNIT_REGION_FAKE_H */
