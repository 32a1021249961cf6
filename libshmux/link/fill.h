/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* fill.h - which chunks to fill, and how, learned by what is quicker */
#ifndef SHMUX_LINK_FILL_H
#define SHMUX_LINK_FILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/copy_past.h"

/*
 * The chunk that was freed last is still in our cache. Where the ends share that
 * cache this is what counts; where each has one of its own, its lines are in the
 * reader's, too, and have to be taken back one by one: then chunks in turn are
 * quicker, by as much as four times, if they are more than those caches hold. And
 * where the ends share no cache at all, what is copied past ours is.
 */
enum shmux__way {
	SHMUX__WAY_HOT,		/* the chunk freed last, through the caches */
	SHMUX__WAY_TURN,	/* chunks in turn, through the caches */
	SHMUX__WAY_PAST,	/* chunks in turn, past the caches */
};

#if SHMUX_CAN_COPY_PAST
#define SHMUX__NR_WAYS 3u
#else
#define SHMUX__NR_WAYS 2u
#endif

/*
 * How one side fills its chunks. Nothing says beforehand where the ends run, and
 * that may change: the ways are tried.
 */
struct shmux__fill {
	uint64_t since;		/* when the lap began, ns */
	uint64_t best[3];	/* the shortest lap of each way that counts, ns */
	uint32_t sent;		/* bytes, in this lap */
	uint32_t laps;		/* to go, until another way is tried or has been */
	uint32_t run;		/* laps from one trial to the next */
	enum shmux__way way;	/* that is taken */
	enum shmux__way usual;	/* that was best, until now */
	enum shmux__way tried;	/* last */
	bool won;		/* the last trial, which is to be repeated soon */
	bool settling;		/* this lap counts for no way */
};

/* Chunks with no more payload do not count; the ring is as quick for it. */
#define SHMUX__FILL_MIN 2048u

/* Bytes of a lap, or some more: as many as are under way at once, most of the time. */
#define SHMUX__FILL_LAP (1u << 20)

/*
 * Laps that count before anything is tried: who sends less uses no more memory than
 * the first way does.
 */
#define SHMUX__FILL_FIRST 8u

void shmux__fill_init(struct shmux__fill *f);

/* Copy to a chunk, as memcpy. */
void shmux__fill(const struct shmux__fill *f, void *dst, const void *src,
		 size_t n);

/* So much payload is sent, whoever has filled the chunk, or without one. */
void shmux__fill_sent(struct shmux__fill *f, size_t n);

/* A lap is over @now. */
void shmux__fill_lap(struct shmux__fill *f, uint64_t now);

#endif /* SHMUX_LINK_FILL_H */
