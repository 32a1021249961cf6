// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fill.c - learning how to fill chunks
 *
 * What counts is neither our copying nor the peer's but how soon the next megabyte
 * is through, with all that both sides do. So laps are timed, some of the way that
 * was best, then some of one of the others; the shortest of each is the one amid
 * which nobody dawdled. A trial that was lost makes the next one rarer. One that was
 * won is repeated: laps of who waits for something else differ by chance.
 */
#include "link/fill.h"

#include <string.h>

#include "base/clock.h"

#define COUNTED		3u	/* laps of each way that are compared */
#define RUN_MIN		8u
#define RUN_MAX		512u

void shmux__fill_init(struct shmux__fill *f)
{
	*f = (struct shmux__fill){
		.best = { UINT64_MAX, UINT64_MAX, UINT64_MAX },
		.laps = SHMUX__FILL_FIRST,
		.run = RUN_MIN,
		.settling = true,
	};
}

static void take_way(struct shmux__fill *f, enum shmux__way way, uint32_t laps)
{
	/* Of the way before, some is still to be read. */
	f->settling = way != f->way;
	f->way = way;
	f->best[way] = UINT64_MAX;
	f->laps = laps;
}

/* The others take turns. */
static enum shmux__way next_to_try(struct shmux__fill *f)
{
	if (f->won)
		return f->tried;
	do
		f->tried = (enum shmux__way)((f->tried + 1u) % SHMUX__NR_WAYS);
	while (f->tried == f->usual);
	return f->tried;
}

void shmux__fill_lap(struct shmux__fill *f, uint64_t now)
{
	uint64_t took = now - f->since;

	/* The last chunk may be a large one. */
	if (f->sent > SHMUX__FILL_LAP)
		took = took * SHMUX__FILL_LAP / f->sent;
	f->since = now;
	f->sent = 0;
	if (f->settling) {
		f->settling = false;
		return;
	}
	if (f->laps <= COUNTED && took < f->best[f->way])
		f->best[f->way] = took;
	if (--f->laps)
		return;
	if (f->way == f->usual) {
		take_way(f, next_to_try(f), COUNTED);
	} else if (f->best[f->way] >= f->best[f->usual] / 8 * 7) {
		if (!f->won)
			f->run = f->run < RUN_MAX / 2 ? f->run * 2 : RUN_MAX;
		f->won = false;
		take_way(f, f->usual, f->run);
	} else if (!f->won) {
		f->won = true;
		take_way(f, f->usual, RUN_MIN);
	} else {
		f->won = false;
		f->usual = f->way;
		f->run = RUN_MIN;
		take_way(f, f->usual, f->run);
	}
}

void shmux__fill(const struct shmux__fill *f, void *dst, const void *src,
		 size_t n)
{
	if (f->way == SHMUX__WAY_PAST && n > SHMUX__FILL_MIN)
		shmux_copy_past(dst, src, n);
	else
		memcpy(dst, src, n);
}

void shmux__fill_sent(struct shmux__fill *f, size_t n)
{
	f->sent += (uint32_t)n;
	if (f->sent >= SHMUX__FILL_LAP)
		shmux__fill_lap(f, shmux_clock_now());
}
