/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fill.h - filling chunks through the caches or past them, whichever is quicker */
#ifndef SHMUX_LINK_FILL_H
#define SHMUX_LINK_FILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * How one side fills its chunks. Where both ends share a CPU, or a cache that is
 * large, memcpy is quicker; where their caches are far apart, the other way is, by
 * as much as five times. Nothing says beforehand which it is, and where they run may
 * change: it is tried.
 */
struct shmux__fill {
	uint64_t since;		/* when the lap began, ns */
	uint64_t best[2];	/* the shortest lap of each way that counts, ns */
	uint32_t filled;	/* bytes, in this lap */
	uint32_t laps;		/* to go, until the other way is tried or has been */
	uint32_t run;		/* laps from one trial to the next */
	bool past;		/* the way that is taken */
	bool trying;
	bool settling;		/* this lap counts for neither */
};

/* Bytes of a lap: more than is under way at once, most of the time. */
#define SHMUX__FILL_LAP (1024u * 1024)

void shmux__fill_init(struct shmux__fill *f);

void shmux__fill(struct shmux__fill *f, void *dst, const void *src, size_t n);

/* A lap is over @now. */
void shmux__fill_lap(struct shmux__fill *f, uint64_t now);

#endif /* SHMUX_LINK_FILL_H */
