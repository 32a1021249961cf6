// SPDX-License-Identifier: GPL-2.0-only
/*
 * region.c - see region.h; how they are mapped is in map.c
 */
#include "region.h"

#include <linux/cred.h>
#include <linux/err.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>

#include "compat.h"

/*
 * Have the first @bytes there. Not by fallocate(2): that gives up for any signal,
 * so a process with a fast timer would never get it done.
 */
static int fill(struct file *file, u32 bytes)
{
	struct page *page;
	pgoff_t i;

	for (i = 0; i < DIV_ROUND_UP(bytes, PAGE_SIZE); i++) {
		if (fatal_signal_pending(current))
			return -EINTR;
		page = shmem_read_mapping_page(file->f_mapping, i);
		if (IS_ERR(page))
			return PTR_ERR(page);
		set_page_dirty(page);
		put_page(page);
		cond_resched();
	}
	return 0;
}

struct shmux_region *shmux_region_new(struct shmux_net *sn, u32 size,
				      u32 populate)
{
	struct shmux_region *r;
	int err;

	r = kzalloc(sizeof(*r), GFP_KERNEL_ACCOUNT);
	if (!r)
		return ERR_PTR(-ENOMEM);
	err = shmux_quota_charge(&r->charge, sn, SHMUX_BYTES, size);
	if (err)
		goto err_free;
	r->size = size;
	r->file = shmux_shmem_file(size);
	if (IS_ERR(r->file)) {
		err = PTR_ERR(r->file);
		goto err_uncharge;
	}
	/* Root may open what others have mapped, by /proc/PID/map_files. */
	SHMEM_I(file_inode(r->file))->seals |= F_SEAL_SHRINK | F_SEAL_GROW;
	r->view = dentry_open(&r->file->f_path, O_RDONLY | O_LARGEFILE,
			      current_cred());
	if (IS_ERR(r->view)) {
		err = PTR_ERR(r->view);
		goto err_put_file;
	}
	err = fill(r->file, populate);
	if (err)
		goto err_put_view;
	return r;

err_put_view:
	fput(r->view);
err_put_file:
	fput(r->file);
err_uncharge:
	shmux_quota_uncharge(&r->charge);
err_free:
	kfree(r);
	/* What else shmem has to say is of memory, the machine's or the group's. */
	if (err != -EDQUOT && err != -EINTR && err != -ENFILE)
		err = -ENOMEM;
	return ERR_PTR(err);
}

bool shmux_region_is_mapped(const struct shmux_region *r)
{
	return r && (file_count(r->file) > 1 || file_count(r->view) > 1);
}

void shmux_region_free(struct shmux_region *r)
{
	if (!r)
		return;
	fput(r->view);
	fput(r->file);
	shmux_quota_uncharge(&r->charge);
	kfree(r);
}
