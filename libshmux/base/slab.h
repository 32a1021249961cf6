/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slab.h - many objects of one size without an allocator's overhead
 *
 * The first slab holds a few objects, later ones 64 KB. Memory goes back when
 * the slab is freed as a whole. One thread at a time.
 */
#ifndef SHMUX_BASE_SLAB_H
#define SHMUX_BASE_SLAB_H

#include <stddef.h>

struct shmux_slab {
	size_t object_size;	/* at least a pointer's */
	size_t next_size;	/* bytes of the next slab */
	void *free;		/* objects given back */
	char *fresh, *end;	/* never used yet, in the newest slab */
	void *slabs;		/* all of them, linked by their first word */
};

void shmux_slab_init(struct shmux_slab *slab, size_t object_size);
void shmux_slab_exit(struct shmux_slab *slab);

/* Return: an object, its content undefined, or NULL. */
void *shmux_slab_get(struct shmux_slab *slab);
void shmux_slab_put(struct shmux_slab *slab, void *object);

#endif /* SHMUX_BASE_SLAB_H */
