// SPDX-License-Identifier: GPL-2.0-only
/*
 * main.c - the device: files, requests, loading and unloading
 *
 * Owns struct shmux_file: which of the two things a file has become, once and
 * for its whole life. What they do is theirs (session.h, bell.h, listener.h).
 * Arguments are copied and checked here, and copied back.
 */
#include <linux/anon_inodes.h>
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <linux/shmux.h>

#include "bell.h"
#include "listener.h"
#include "net.h"
#include "netlink.h"
#include "quota.h"
#include "region.h"
#include "session.h"
#include "timeout.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/**
 * struct shmux_file - an opened file
 * @lock: held by requests that make it something, or make a region
 * @end: what it is, or NULL (@lock; set once)
 * @listener: what it is, or NULL (@lock; set once)
 */
struct shmux_file {
	struct mutex lock;	/* @end and @listener */
	struct shmux_end *end;
	struct shmux_listener *listener;
};

static const struct file_operations shmux_fops;

static struct shmux_end *end_of(const struct shmux_file *f)
{
	/* Pairs with the release in become_end(). */
	return smp_load_acquire(&f->end);
}

static struct shmux_listener *listener_of(const struct shmux_file *f)
{
	/* Pairs with the release in become_listener(). */
	return smp_load_acquire(&f->listener);
}

static void become_end(struct shmux_file *f, struct shmux_end *e)
{
	/* Pairs with the acquire in end_of(). */
	smp_store_release(&f->end, e);
}

static void become_listener(struct shmux_file *f, struct shmux_listener *l)
{
	/* Pairs with the acquire in listener_of(). */
	smp_store_release(&f->listener, l);
}

static struct shmux_file *file_new(void)
{
	struct shmux_file *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);

	if (f)
		mutex_init(&f->lock);
	return f;
}

/* --- descriptors that we give --------------------------------------------- */

/**
 * struct shmux_gift - a descriptor that is about to be the caller's
 * @fd: its number, reserved
 * @file: what it stands for, or NULL if there is none
 */
struct shmux_gift {
	int fd;
	struct file *file;
};

static int gift_prepare(struct shmux_gift *g)
{
	struct shmux_file *f = file_new();
	int err;

	if (!f)
		return -ENOMEM;
	g->file = anon_inode_getfile("[shmux]", &shmux_fops, f, O_RDWR);
	if (IS_ERR(g->file)) {
		err = PTR_ERR(g->file);
		kfree(f);
		goto err_clear;
	}
	g->fd = get_unused_fd_flags(O_CLOEXEC);
	if (g->fd < 0) {
		err = g->fd;
		fput(g->file);
		goto err_clear;
	}
	return 0;

err_clear:
	g->file = NULL;
	return err;
}

static void gift_drop(struct shmux_gift *g)
{
	if (!g->file)
		return;
	put_unused_fd(g->fd);
	fput(g->file);
	g->file = NULL;
}

static void gift_give(struct shmux_gift *g)
{
	if (g->file)
		fd_install(g->fd, g->file);
}

/* --- requests ------------------------------------------------------------- */

union shmux_arg {
	struct shmux_ioc_create create;
	struct shmux_ioc_listen listen;
	struct shmux_ioc_connect connect;
	struct shmux_ioc_accept accept;
	struct shmux_ioc_pair pair;
	struct shmux_ioc_meet meet;
	struct shmux_ioc_peer peer;
	struct shmux_ioc_wait wait;
	struct shmux_ioc_eventfd eventfd;
	struct shmux_ioc_adopt adopt;
	struct shmux_ioc_hang_up hang_up;
	struct {
		u32 size;
		u32 flags;
	};
};

static int on_create(struct shmux_file *f, union shmux_arg *u,
		     struct shmux_gift *gift)
{
	const struct shmux_ioc_create *arg = &u->create;
	struct shmux_session *s = NULL;
	struct shmux_end *e = f->end;
	int err;

	if (arg->pad || !arg->region_size || !PAGE_ALIGNED(arg->region_size) ||
	    arg->region_size > SHMUX_REGION_MAX ||
	    arg->populate > arg->region_size)
		return -EINVAL;
	if (f->listener || (e && e->region))
		return -EBADFD;
	if (!e) {
		s = shmux_session_new();
		if (IS_ERR(s))
			return PTR_ERR(s);
		e = &s->ends[0];
	}
	err = shmux_end_create(e, arg);
	if (!s)
		return err;
	if (err)
		shmux_end_put(e);
	else
		become_end(f, e);
	return err;
}

static int on_listen(struct shmux_file *f, union shmux_arg *u,
		     struct shmux_gift *gift)
{
	struct shmux_listener *l;

	if (f->end || f->listener)
		return -EBADFD;
	l = shmux_listener_new(&u->listen);
	if (IS_ERR(l))
		return PTR_ERR(l);
	become_listener(f, l);
	return 0;
}

static int on_connect(struct shmux_file *f, union shmux_arg *u,
		      struct shmux_gift *gift)
{
	struct shmux_deadline deadline = shmux_deadline_in(u->connect.timeout);
	struct shmux_end *e = end_of(f);
	int err;

	if (!e)
		return -EBADFD;
	err = shmux_listener_connect(e, u->connect.name, &deadline);
	u->connect.timeout = shmux_deadline_left(&deadline);
	return err;
}

static int on_accept(struct shmux_file *f, union shmux_arg *u,
		     struct shmux_gift *gift)
{
	struct shmux_deadline deadline = shmux_deadline_in(u->accept.timeout);
	struct shmux_listener *l = listener_of(f);
	struct shmux_file *given;
	struct shmux_end *e;
	int err;

	if (u->accept.pad)
		return -EINVAL;
	if (!l)
		return -EBADFD;
	for (;;) {
		err = shmux_listener_wait(l, &deadline);
		if (err)
			break;
		/* Once: what is put here goes only when we return. */
		if (!gift->file)
			err = gift_prepare(gift);
		if (err)
			break;
		e = shmux_listener_take(l);
		if (e) {
			given = gift->file->private_data;
			become_end(given, e);
			u->accept.fd = gift->fd;
			break;
		}
		/* Another was quicker, or who had connected is gone. */
	}
	u->accept.timeout = shmux_deadline_left(&deadline);
	return err;
}

static int on_pair(struct shmux_file *f, union shmux_arg *u,
		   struct shmux_gift *gift)
{
	struct shmux_session *s;
	struct shmux_file *given;
	struct shmux_end *e;
	int err;

	if (u->pair.pad)
		return -EINVAL;
	if (f->end || f->listener)
		return -EBADFD;
	s = shmux_session_new();
	if (IS_ERR(s))
		return PTR_ERR(s);
	err = gift_prepare(gift);
	if (err) {
		shmux_end_put(&s->ends[0]);
		return err;
	}
	spin_lock(&s->sn->lock);
	e = shmux_session_join(s);
	e->who = shmux_who_get(&s->ends[0].who);
	spin_unlock(&s->sn->lock);
	given = gift->file->private_data;
	become_end(given, e);
	become_end(f, &s->ends[0]);
	u->pair.fd = gift->fd;
	return 0;
}

static int on_meet(struct shmux_file *f, union shmux_arg *u,
		   struct shmux_gift *gift)
{
	struct shmux_deadline deadline = shmux_deadline_in(u->meet.timeout);
	struct shmux_end *e = end_of(f);
	int err;

	if (u->meet.refuse > MAX_ERRNO)
		return -EINVAL;
	if (!e)
		return -EBADFD;
	err = shmux_end_meet(e, &u->meet, &deadline);
	u->meet.timeout = shmux_deadline_left(&deadline);
	return err;
}

static int on_peer(struct shmux_file *f, union shmux_arg *u,
		   struct shmux_gift *gift)
{
	struct shmux_end *e = end_of(f);

	if (u->peer.pad)
		return -EINVAL;
	if (!e)
		return -EBADFD;
	return shmux_end_peer(e, &u->peer);
}

static int on_kick(struct shmux_file *f, unsigned long flags)
{
	struct shmux_end *e = end_of(f);

	if (flags & ~SHMUX_KICK_SELF)
		return -EINVAL;
	if (!e)
		return -EBADFD;
	if (!(flags & SHMUX_KICK_SELF)) {
		if (!shmux_session_joined(e->session))
			return -ENOTCONN;
		if (shmux_session_over(e->session))
			return -ECONNRESET;
		e = shmux_end_other(e);
	}
	shmux_bell_kick(e, false);
	return 0;
}

static int on_wait(struct shmux_file *f, union shmux_arg *u,
		   struct shmux_gift *gift)
{
	struct shmux_deadline deadline = shmux_deadline_in(u->wait.timeout);
	struct shmux_end *e = end_of(f);
	int err;

	if (!e)
		return -EBADFD;
	if (u->wait.flags & SHMUX_WAIT_KICK) {
		if (!shmux_session_joined(e->session))
			return -ENOTCONN;
		if (!shmux_session_over(e->session))
			shmux_bell_kick(shmux_end_other(e),
					deadline.at &&
					atomic_read(&e->kicks) == u->wait.seen);
	}
	err = shmux_bell_wait(e, u->wait.seen, &u->wait.kicks, &deadline);
	u->wait.timeout = shmux_deadline_left(&deadline);
	return err;
}

static int on_eventfd(struct shmux_file *f, union shmux_arg *u,
		      struct shmux_gift *gift)
{
	struct shmux_end *e = end_of(f);
	struct eventfd_ctx *bell = NULL;

	if (u->eventfd.pad || u->eventfd.fd < -1)
		return -EINVAL;
	if (!e)
		return -EBADFD;
	if (u->eventfd.fd >= 0) {
		bell = eventfd_ctx_fdget(u->eventfd.fd);
		if (IS_ERR(bell))
			return PTR_ERR(bell);
	}
	shmux_bell_set(e, bell);
	return 0;
}

static int on_adopt(struct shmux_file *f, union shmux_arg *u,
		    struct shmux_gift *gift)
{
	struct shmux_listener *l = listener_of(f);
	struct shmux_end *e = end_of(f);

	if (e)
		shmux_end_adopt(e);
	else if (l)
		shmux_listener_adopt(l);
	else
		return -EBADFD;
	return 0;
}

static int on_hang_up(struct shmux_file *f, union shmux_arg *u,
		      struct shmux_gift *gift)
{
	struct shmux_listener *l = listener_of(f);
	struct shmux_end *e = end_of(f);

	if (e)
		shmux_end_die(e, SHMUX_CAUSE_HANG_UP);
	else if (l)
		shmux_listener_close(l);
	else
		return -EBADFD;
	return 0;
}

/**
 * struct shmux_request - how a request is treated
 * @size: of its argument, as it has always been
 * @flags: that there are
 * @locks: it makes the file something, or makes a region
 * @tells: what it writes in the argument is copied back, whatever it returns
 * @run: does it. What it leaves in the gift is given if all is well.
 */
struct shmux_request {
	u32 size;
	u32 flags;
	bool locks;
	bool tells;
	int (*run)(struct shmux_file *f, union shmux_arg *u,
		   struct shmux_gift *gift);
};

static const struct shmux_request shmux_requests[] = {
	[_IOC_NR(SHMUX_IOC_CREATE)] = {
		.size = sizeof(struct shmux_ioc_create),
		.run = on_create,
		.locks = true,
	},
	[_IOC_NR(SHMUX_IOC_LISTEN)] = {
		.size = sizeof(struct shmux_ioc_listen),
		.run = on_listen,
		.flags = SHMUX_LISTEN_UID | SHMUX_LISTEN_GID,
		.locks = true,
	},
	[_IOC_NR(SHMUX_IOC_CONNECT)] = {
		.size = sizeof(struct shmux_ioc_connect),
		.run = on_connect,
		.tells = true,
	},
	[_IOC_NR(SHMUX_IOC_ACCEPT)] = {
		.size = sizeof(struct shmux_ioc_accept),
		.run = on_accept,
		.tells = true,
	},
	[_IOC_NR(SHMUX_IOC_PAIR)] = {
		.size = sizeof(struct shmux_ioc_pair),
		.run = on_pair,
		.locks = true,
		.tells = true,
	},
	[_IOC_NR(SHMUX_IOC_MEET)] = {
		.size = sizeof(struct shmux_ioc_meet),
		.run = on_meet,
		.tells = true,
	},
	[_IOC_NR(SHMUX_IOC_PEER)] = {
		.size = sizeof(struct shmux_ioc_peer),
		.run = on_peer,
		.tells = true,
	},
	[_IOC_NR(SHMUX_IOC_WAIT)] = {
		.size = sizeof(struct shmux_ioc_wait),
		.run = on_wait,
		.flags = SHMUX_WAIT_KICK,
		.tells = true,
	},
	[_IOC_NR(SHMUX_IOC_EVENTFD)] = {
		.size = sizeof(struct shmux_ioc_eventfd),
		.run = on_eventfd,
	},
	[_IOC_NR(SHMUX_IOC_ADOPT)] = {
		.size = sizeof(struct shmux_ioc_adopt),
		.run = on_adopt,
	},
	[_IOC_NR(SHMUX_IOC_HANG_UP)] = {
		.size = sizeof(struct shmux_ioc_hang_up),
		.run = on_hang_up,
	},
};

static long shmux_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct shmux_file *f = file->private_data;
	const struct shmux_request *r;
	void __user *to = (void __user *)arg;
	struct shmux_gift gift = {};
	union shmux_arg u;
	u32 size;
	int err;

	if (cmd == SHMUX_IOC_KICK)
		return on_kick(f, arg);
	if (_IOC_TYPE(cmd) != SHMUX_IOC_TYPE ||
	    cmd != _IO(SHMUX_IOC_TYPE, _IOC_NR(cmd)) ||
	    _IOC_NR(cmd) >= ARRAY_SIZE(shmux_requests))
		return -ENOTTY;
	r = &shmux_requests[array_index_nospec(_IOC_NR(cmd),
					       ARRAY_SIZE(shmux_requests))];
	if (!r->run)
		return -ENOTTY;
	if (get_user(size, (u32 __user *)to))
		return -EFAULT;
	if (size < r->size)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(&u, r->size, to, size);
	if (err)
		return err;
	/* It may have been changed since. */
	u.size = size;
	if (u.flags & ~r->flags)
		return -EINVAL;
	/* What cannot be told had better not be done. */
	if (r->tells && copy_to_user(to, &u, r->size))
		return -EFAULT;

	if (r->locks) {
		err = mutex_lock_interruptible(&f->lock);
		if (err)
			return -EINTR;
	}
	err = r->run(f, &u, &gift);
	if (r->locks)
		mutex_unlock(&f->lock);

	if (r->tells && copy_to_user(to, &u, r->size))
		err = -EFAULT;
	if (err)
		gift_drop(&gift);
	else
		gift_give(&gift);
	return err;
}

/* --- files ---------------------------------------------------------------- */

static int shmux_open(struct inode *inode, struct file *file)
{
	struct shmux_file *f = file_new();

	if (!f)
		return -ENOMEM;
	file->private_data = f;
	return nonseekable_open(inode, file);
}

/*
 * A process closes its descriptor. When it does so because it exits, that is the
 * death of what it owns, whoever else may hold a copy.
 */
static int shmux_flush(struct file *file, fl_owner_t id)
{
	struct shmux_file *f = file->private_data;
	struct shmux_listener *l = listener_of(f);
	struct shmux_end *e = end_of(f);

	/* A thread may have descriptors of its own, and end before the others. */
	if (!(current->flags & PF_EXITING) ||
	    (atomic_read(&current->signal->live) &&
	     !(READ_ONCE(current->signal->flags) & SIGNAL_GROUP_EXIT)))
		return 0;
	if (e && shmux_end_is_owned(e))
		shmux_end_die(e, SHMUX_CAUSE_DEATH);
	if (l && shmux_listener_is_owned(l))
		shmux_listener_close(l);
	return 0;
}

static int shmux_release(struct inode *inode, struct file *file)
{
	struct shmux_file *f = file->private_data;

	if (f->end)
		shmux_end_put(f->end);
	if (f->listener)
		shmux_listener_free(f->listener);
	kfree(f);
	return 0;
}

static __poll_t shmux_poll(struct file *file, poll_table *wait)
{
	struct shmux_file *f = file->private_data;
	struct shmux_listener *l = listener_of(f);
	struct shmux_end *e = end_of(f);

	if (e)
		return shmux_bell_poll(e, file, wait);
	if (l)
		return shmux_listener_poll(l, file, wait);
	return EPOLLERR;
}

static int shmux_mmap(struct file *file, struct vm_area_struct *vma)
{
	const unsigned long peer = SHMUX_MMAP_PEER >> PAGE_SHIFT;
	struct shmux_file *f = file->private_data;
	struct shmux_end *e = end_of(f);
	struct shmux_region *r;
	bool own = vma->vm_pgoff < peer;

	if (!e)
		return -EBADFD;
	if (!own) {
		e = shmux_end_other(e);
		if (!shmux_end_is_ready(e))
			return -ENOTCONN;
		vma->vm_pgoff -= peer;
	}
	/* Pairs with the release in shmux_end_create(). */
	r = smp_load_acquire(&e->region);
	if (!r)
		return -EBADFD;
	return shmux_region_map(r, vma, own);
}

static const struct file_operations shmux_fops = {
	.owner = THIS_MODULE,
	.open = shmux_open,
	.flush = shmux_flush,
	.release = shmux_release,
	.poll = shmux_poll,
	.mmap = shmux_mmap,
	.unlocked_ioctl = shmux_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice shmux_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "shmux",
	.fops = &shmux_fops,
	.mode = 0666,
};

static int __init shmux_init(void)
{
	int err;

	shmux_quota_init();
	err = shmux_net_init();
	if (err)
		return err;
	err = shmux_netlink_init();
	if (err)
		goto err_net;
	err = misc_register(&shmux_device);
	if (err)
		goto err_netlink;
	return 0;

err_netlink:
	shmux_netlink_exit();
err_net:
	shmux_net_exit();
	return err;
}

/* Nobody has a file of ours any more. */
static void __exit shmux_exit(void)
{
	misc_deregister(&shmux_device);
	shmux_netlink_exit();
	shmux_session_exit();
	shmux_net_exit();
}

module_init(shmux_init);
module_exit(shmux_exit);

MODULE_DESCRIPTION("Shared memory and doorbells for two processes to talk");
MODULE_LICENSE("GPL");
