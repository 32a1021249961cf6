// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fill.c - learning how to fill chunks
 *
 * What counts is neither our copying nor the peer's but how soon the next megabyte
 * is through, with all that both sides do. So laps are timed, some of one way, then
 * as many of the other; the shortest of each is the one amid which nobody dawdled. A
 * trial that was lost makes the next one rarer.
 */
#include "link/fill.h"

#include <string.h>

#include "base/clock.h"
#include "base/copy_past.h"

#define FILL_MIN	4096u	/* bytes; fewer do not count */
#define COUNTED		3u	/* laps of each way that are compared */
#define RUN_MIN		8u
#define RUN_MAX		512u

void shmux__fill_init(struct shmux__fill *f)
{
	*f = (struct shmux__fill){
		.best = { UINT64_MAX, UINT64_MAX },
		.laps = COUNTED,
		.run = RUN_MIN,
		.settling = true,
	};
}

static void take_way(struct shmux__fill *f, bool past, uint32_t laps)
{
	/* Of the way before, some is still to be read. */
	f->settling = past != f->past;
	f->past = past;
	f->best[past] = UINT64_MAX;
	f->laps = laps;
}

void shmux__fill_lap(struct shmux__fill *f, uint64_t now)
{
	uint64_t took = now - f->since;

	f->since = now;
	f->filled = 0;
	if (f->settling) {
		f->settling = false;
		return;
	}
	if (f->laps <= COUNTED && took < f->best[f->past])
		f->best[f->past] = took;
	if (--f->laps)
		return;
	f->trying = !f->trying;
	if (f->trying) {
		take_way(f, !f->past, COUNTED);
	} else if (f->best[f->past] < f->best[!f->past] / 8 * 7) {
		f->run = RUN_MIN;
		take_way(f, f->past, f->run);
	} else {
		f->run = f->run < RUN_MAX / 2 ? f->run * 2 : RUN_MAX;
		take_way(f, !f->past, f->run);
	}
}

void shmux__fill(struct shmux__fill *f, void *dst, const void *src, size_t n)
{
	if (!SHMUX_CAN_COPY_PAST || n < FILL_MIN) {
		memcpy(dst, src, n);
		return;
	}
	if (f->past)
		shmux_copy_past(dst, src, n);
	else
		memcpy(dst, src, n);
	f->filled += (uint32_t)n;
	if (f->filled >= SHMUX__FILL_LAP)
		shmux__fill_lap(f, shmux_clock_now());
}
