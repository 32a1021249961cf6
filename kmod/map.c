// SPDX-License-Identifier: GPL-2.0-only
/*
 * map.c - how a region comes into a process
 *
 * The mapping is turned over to shmem, whose file takes the place of ours. So
 * what page faults, futexes, control groups and /proc make of it is what they
 * make of any shared memory.
 */
#include <linux/mm.h>

#include "compat.h"
#include "region.h"

int shmux_region_map(struct shmux_region *r, struct vm_area_struct *vma,
		     bool writable)
{
	unsigned long pages = r->size >> PAGE_SHIFT;
	vm_flags_t never = VM_MAYEXEC;

	/* A descriptor for reading only makes it VM_MAYSHARE alone. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (vma->vm_pgoff >= pages || vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	if (!writable) {
		if (vma->vm_flags & VM_WRITE)
			return -EACCES;
		never |= VM_MAYWRITE;
	}
	vma_set_file(vma, writable ? r->file : r->view);
	shmux_vm_flags_mod(vma, VM_DONTEXPAND, never);
	return shmux_call_mmap(vma->vm_file, vma);
}
