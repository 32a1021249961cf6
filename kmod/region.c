// SPDX-License-Identifier: GPL-2.0-only
/*
 * region.c - see region.h; how they are mapped is in map.c
 */
#include "region.h"

#include <linux/cred.h>
#include <linux/err.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "compat.h"
#include "net.h"

/* Between looks whether the mappings of those that linger have gone. */
#define LINGER_CHECK (HZ / 2)

static DEFINE_SPINLOCK(linger_lock);
static LIST_HEAD(lingering);

static void linger_check(struct work_struct *work);
static DECLARE_DELAYED_WORK(linger_work, linger_check);

/* With the file goes the last reference, unless somebody has it mapped. */
static void destroy(struct shmux_region *r)
{
	struct shmux_net *sn = r->charge.sn;

	fput(r->view);
	fput(r->file);
	shmux_quota_uncharge(&r->charge);
	shmux_net_put(sn);
	kfree(r);
}

static bool is_mapped(const struct shmux_region *r)
{
	return file_count(r->file) > 1 || file_count(r->view) > 1;
}

static void linger_check(struct work_struct *work)
{
	struct shmux_region *r, *tmp;
	LIST_HEAD(gone);
	bool more;

	spin_lock(&linger_lock);
	list_for_each_entry_safe(r, tmp, &lingering, node)
		if (!is_mapped(r))
			list_move(&r->node, &gone);
	more = !list_empty(&lingering);
	spin_unlock(&linger_lock);

	list_for_each_entry_safe(r, tmp, &gone, node)
		destroy(r);
	if (more)
		schedule_delayed_work(&linger_work, LINGER_CHECK);
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
	if (populate) {
		err = vfs_fallocate(r->file, 0, 0, populate);
		if (err)
			goto err_put_view;
	}
	shmux_net_get(sn);
	return r;

err_put_view:
	fput(r->view);
err_put_file:
	fput(r->file);
	/* The memory of the machine's, or of the control group. */
	if (err == -ENOSPC)
		err = -ENOMEM;
err_uncharge:
	shmux_quota_uncharge(&r->charge);
err_free:
	kfree(r);
	return ERR_PTR(err);
}

void shmux_region_free(struct shmux_region *r)
{
	if (!r)
		return;
	if (!is_mapped(r)) {
		destroy(r);
		return;
	}
	spin_lock(&linger_lock);
	list_add_tail(&r->node, &lingering);
	spin_unlock(&linger_lock);
	schedule_delayed_work(&linger_work, LINGER_CHECK);
}

void shmux_region_exit(void)
{
	struct shmux_region *r, *tmp;

	cancel_delayed_work_sync(&linger_work);
	list_for_each_entry_safe(r, tmp, &lingering, node)
		destroy(r);
}
