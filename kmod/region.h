/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: regions
 *
 * Memory that one end of a session writes and both read. It is a file of shmem's
 * that has no name and no descriptor, of a size that nobody can change. Mappings
 * refer to that file, not to ours: they outlive the session, and futexes work.
 *
 * Made at CREATE, constant from then on, freed with the session (session.h), which
 * waits until no mapping is there any more: so long its maker is charged.
 */
#ifndef KMOD_REGION_H
#define KMOD_REGION_H

#include "quota.h"

struct file;
struct vm_area_struct;

/**
 * struct shmux_region - one
 * @file: shmem's, open for writing: what the owner maps (constant)
 * @view: the same, open for reading only: what the other end maps. So it is
 *	the file, too, that refuses writing, to whoever maps anew what is mapped
 *	(remap_file_pages) or opens what a mapping stands for (constant)
 * @size: bytes (constant)
 * @charge: for @size bytes (constant)
 */
struct shmux_region {
	struct file *file;
	struct file *view;
	u32 size;
	struct shmux_charge charge;
};

/**
 * shmux_region_new() - make one, charged to the caller
 * @sn: the session's namespace
 * @size: bytes, whole pages
 * @populate: bytes from the start that are to be there, and paid for, now
 *
 * Context: may sleep.
 * Return: it, or an ERR_PTR: -EDQUOT, -ENOMEM, -ENFILE, -EINTR.
 */
struct shmux_region *shmux_region_new(struct shmux_net *sn, u32 size,
				      u32 populate);

/**
 * shmux_region_is_mapped() - does a mapping need it?
 * @r: it, or NULL
 *
 * Return: whether some process has it mapped.
 */
bool shmux_region_is_mapped(const struct shmux_region *r);

/**
 * shmux_region_free() - when no end has it any more
 * @r: it, or NULL
 *
 * Context: may sleep.
 */
void shmux_region_free(struct shmux_region *r);

/**
 * shmux_region_map() - map a part of it
 * @r: it
 * @vma: from mmap, its offset being that into the region
 * @writable: by its owner; others may only read, for ever
 *
 * Context: as in mmap of a file.
 * Return: 0; -EINVAL: not shared, or beyond the end; -EACCES: to be written or
 * executed where that may not be.
 */
int shmux_region_map(struct shmux_region *r, struct vm_area_struct *vma,
		     bool writable);

#endif /* KMOD_REGION_H */
