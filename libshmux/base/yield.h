/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * yield.h - letting the peer run, which may be waiting for this very CPU
 *
 * To yield is quicker than to sleep and be woken, unless somebody else takes the CPU
 * meanwhile, for whole ticks: who is woken comes first, who has yielded last. So a
 * yield that takes long, be it because the peer works that long, is followed by waits
 * that do without, twice as many each time as far as that goes, until many in a row
 * were short.
 */
#ifndef SHMUX_BASE_YIELD_H
#define SHMUX_BASE_YIELD_H

#include <sched.h>
#include <stdbool.h>

#include "base/clock.h"

#define SHMUX_YIELD_LONG	UINT64_C(100000)	/* ns */
#define SHMUX_YIELD_SKIP	64u
#define SHMUX_YIELD_SHORTS	1024u

struct shmux_yield {
	uint32_t skip;		/* waits that are to do without */
	uint32_t level;		/* the next time SHMUX_YIELD_SKIP << level */
	uint32_t shorts;	/* in a row */
};

/* Is this wait to yield? */
static inline bool shmux_may_yield(struct shmux_yield *y)
{
	if (!y->skip)
		return true;
	y->skip--;
	return false;
}

/* @levels: how often the waits without are doubled, at most. */
static inline void shmux_yield(struct shmux_yield *y, uint32_t levels)
{
	uint64_t begun = shmux_clock_now();

	sched_yield();
	if (shmux_clock_now() - begun > SHMUX_YIELD_LONG) {
		y->shorts = 0;
		y->skip = SHMUX_YIELD_SKIP << y->level;
		if (y->level < levels)
			y->level++;
	} else if (y->level && ++y->shorts == SHMUX_YIELD_SHORTS) {
		y->shorts = 0;
		y->level = 0;
	}
}

#endif /* SHMUX_BASE_YIELD_H */
