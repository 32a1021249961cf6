// SPDX-License-Identifier: LGPL-2.1-or-later
/* slab.c - see slab.h */
#include "base/slab.h"

#include <stdlib.h>

#include "base/errno.h"

#define FIRST_SIZE 1024
#define LAST_SIZE 65536

void shmux_slab_init(struct shmux_slab *slab, size_t object_size)
{
	*slab = (struct shmux_slab){
		.object_size = object_size,
		.next_size = FIRST_SIZE,
	};
}

void shmux_slab_exit(struct shmux_slab *slab)
{
	void *at = slab->slabs, *next;

	for (; at; at = next) {
		next = *(void **)at;
		free(at);
	}
	slab->slabs = NULL;
}

/* Begin a new slab. */
static int grow(struct shmux_slab *slab)
{
	/* A cache line for the link keeps the objects aligned to one. */
	char *at = SHMUX_KEEP_ERRNO(aligned_alloc(64, slab->next_size));

	if (!at)
		return -1;
	*(void **)(void *)at = slab->slabs;
	slab->slabs = at;
	slab->fresh = at + 64;
	slab->end = at + slab->next_size;
	if (slab->next_size < LAST_SIZE)
		slab->next_size *= 2;
	return 0;
}

void *shmux_slab_get(struct shmux_slab *slab)
{
	void *object = slab->free;

	if (object) {
		slab->free = *(void **)object;
		return object;
	}
	if ((size_t)(slab->end - slab->fresh) < slab->object_size &&
	    grow(slab))
		return NULL;
	object = slab->fresh;
	slab->fresh += slab->object_size;
	return object;
}

void shmux_slab_put(struct shmux_slab *slab, void *object)
{
	*(void **)object = slab->free;
	slab->free = object;
}
