// SPDX-License-Identifier: GPL-2.0-only
/*
 * listener.c - see listener.h
 */
#include "listener.h"

#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/stringhash.h>
#include <linux/user_namespace.h>

#include "bell.h"
#include "counters.h"
#include "net.h"
#include "owner.h"
#include "session.h"
#include "trace.h"

static bool is_name_char(u8 c)
{
	return (isascii(c) && isalnum(c)) || (c && strchr("._-+@", c));
}

/* Return: whether it is a name, padded with zeros. */
static bool is_name(const u8 *name)
{
	u32 len = 0;

	while (len < SHMUX_NAME_MAX && is_name_char(name[len]))
		len++;
	return len && !memchr_inv(name + len, 0, SHMUX_NAME_SIZE - len);
}

static u32 hash_of(const struct shmux_net *sn, const char *name)
{
	return full_name_hash(sn, name, strlen(name));
}

static struct shmux_listener *find(struct shmux_net *sn, const char *name)
{
	struct shmux_listener *l;

	lockdep_assert_held(&sn->lock);
	hash_for_each_possible(sn->names, l, node, hash_of(sn, name))
		if (!strcmp(l->name, name))
			return l;
	return NULL;
}

/* Who may connect. Return: 0 or -EINVAL. */
static int set_access(struct shmux_listener *l,
		      const struct shmux_ioc_listen *arg)
{
	l->mode = arg->mode;
	l->uid = current_euid();
	l->gid = current_egid();
	if (arg->flags & SHMUX_LISTEN_UID)
		l->uid = make_kuid(current_user_ns(), arg->uid);
	if (arg->flags & SHMUX_LISTEN_GID)
		l->gid = make_kgid(current_user_ns(), arg->gid);
	return uid_valid(l->uid) && gid_valid(l->gid) ? 0 : -EINVAL;
}

static bool may_connect(const struct shmux_listener *l)
{
	if (uid_eq(current_euid(), l->uid))
		return l->mode & 0200;
	if (in_egroup_p(l->gid))
		return l->mode & 0020;
	return l->mode & 0002;
}

struct shmux_listener *shmux_listener_new(const struct shmux_ioc_listen *arg)
{
	struct shmux_listener *l;
	int err;

	if (!is_name(arg->name) || !arg->backlog || arg->backlog > U16_MAX ||
	    arg->mode & ~0777)
		return ERR_PTR(-EINVAL);
	l = kzalloc(sizeof(*l), GFP_KERNEL_ACCOUNT);
	if (!l)
		return ERR_PTR(-ENOMEM);
	err = set_access(l, arg);
	if (err)
		goto err_free;
	memcpy(l->name, arg->name, sizeof(l->name));
	l->backlog = arg->backlog;
	l->born = ktime_get();
	kref_init(&l->ref);
	INIT_LIST_HEAD(&l->queue);
	INIT_LIST_HEAD(&l->line);
	init_waitqueue_head(&l->wq);
	l->sn = shmux_net_get_current();
	err = shmux_quota_charge(&l->charge, l->sn, SHMUX_LISTENERS, 1);
	if (err)
		goto err_put_net;
	l->who = shmux_who_get_current();
	shmux_owner_set(&l->owner);
	err = xa_alloc_cyclic(&l->sn->listeners, &l->number, NULL, xa_limit_31b,
			      &l->sn->next_listener, GFP_KERNEL_ACCOUNT);
	if (err < 0) {
		err = -ENOMEM;
		goto err_put_who;
	}

	spin_lock(&l->sn->lock);
	if (find(l->sn, l->name)) {
		err = -EADDRINUSE;
	} else {
		err = 0;
		hash_add(l->sn->names, &l->node, hash_of(l->sn, l->name));
		/* Its place is reserved: this does not allocate. */
		xa_store(&l->sn->listeners, l->number, l, GFP_ATOMIC);
	}
	spin_unlock(&l->sn->lock);
	if (err)
		goto err_erase;
	return l;

err_erase:
	xa_erase(&l->sn->listeners, l->number);
err_put_who:
	put_pid(l->owner);
	shmux_who_put(&l->who);
	shmux_quota_uncharge(&l->charge);
err_put_net:
	shmux_net_put(l->sn);
err_free:
	kfree(l);
	return ERR_PTR(err);
}

static void release(struct kref *ref)
{
	struct shmux_listener *l = container_of(ref, struct shmux_listener, ref);

	put_pid(l->owner);
	shmux_who_put(&l->who);
	shmux_quota_uncharge(&l->charge);
	shmux_net_put(l->sn);
	kfree(l);
}

/*
 * The first of the queue, which is over then, or of the line, which finds out for
 * itself. Return: it, kept; or NULL.
 */
static struct shmux_session *turn_away_one(struct shmux_listener *l)
{
	struct shmux_session *s;

	lockdep_assert_held(&l->sn->lock);
	s = list_first_entry_or_null(&l->queue, struct shmux_session, queue);
	if (s) {
		kref_get(&s->ref);
		shmux_session_end(s, SHMUX_CAUSE_NOBODY, 1);
		return s;
	}
	s = list_first_entry_or_null(&l->line, struct shmux_session, queue);
	if (s) {
		kref_get(&s->ref);
		list_del_init(&s->queue);
	}
	return s;
}

void shmux_listener_close(struct shmux_listener *l)
{
	struct shmux_net *sn = l->sn;
	struct shmux_session *s;

	spin_lock(&sn->lock);
	if (!l->closed) {
		WRITE_ONCE(l->closed, true);
		hash_del(&l->node);
		xa_erase(&sn->listeners, l->number);
	}
	while ((s = turn_away_one(l))) {
		spin_unlock(&sn->lock);
		shmux_session_tell(s);
		shmux_session_put(s);
		cond_resched();
		spin_lock(&sn->lock);
	}
	spin_unlock(&sn->lock);
	wake_up_interruptible_poll(&l->wq, EPOLLIN | EPOLLHUP);
}

void shmux_listener_free(struct shmux_listener *l)
{
	shmux_listener_close(l);
	kref_put(&l->ref, release);
}

void shmux_listener_adopt(struct shmux_listener *l)
{
	spin_lock(&l->sn->lock);
	shmux_owner_set(&l->owner);
	spin_unlock(&l->sn->lock);
}

bool shmux_listener_is_owned(struct shmux_listener *l)
{
	bool owned;

	spin_lock(&l->sn->lock);
	owned = shmux_owner_is_current(l->owner);
	spin_unlock(&l->sn->lock);
	return owned;
}

/* Nobody is in the line before it. */
static bool is_next(const struct shmux_listener *l,
		    const struct shmux_session *s)
{
	return list_empty(&l->line) || list_first_entry(&l->line,
			struct shmux_session, queue) == s;
}

/*
 * Queue a session, or line it up; either way PEER tells who listens. @who is the
 * caller, and @was gets who was noted before, to be put. Return: 0; -EAGAIN: it is
 * in the line; or as CONNECT fails.
 */
static int enqueue(struct shmux_listener *l, struct shmux_end *e,
		   struct shmux_who *who, struct shmux_who was[2])
{
	struct shmux_session *s = e->session;

	lockdep_assert_held(&s->sn->lock);
	if (!may_connect(l))
		return -EACCES;
	was[1] = s->ends[1].who;
	s->ends[1].who = shmux_who_get(&l->who);
	if (l->len >= l->backlog || !is_next(l, s)) {
		if (list_empty(&s->queue))
			list_add_tail(&s->queue, &l->line);
		return -EAGAIN;
	}
	was[0] = e->who;
	e->who = *who;
	*who = (struct shmux_who){};
	shmux_owner_set(&e->owner);
	memcpy(s->name, l->name, sizeof(s->name));
	s->listener = l;
	list_move_tail(&s->queue, &l->queue);
	WRITE_ONCE(l->len, l->len + 1);
	/* Pairs with the acquire in shmux_end_is_ready(). */
	smp_store_release(&e->ready, true);
	return 0;
}

static int try_enqueue(struct shmux_end *e, const char *name)
{
	struct shmux_who who = shmux_who_get_current(), was[2] = {};
	struct shmux_session *s = e->session;
	struct shmux_listener *l = NULL;
	int err = -ECONNRESET;

	spin_lock(&s->sn->lock);
	if (!s->over) {
		l = find(s->sn, name);
		err = l ? enqueue(l, e, &who, was) : -ECONNREFUSED;
		if (!err)
			kref_get(&l->ref);
	}
	spin_unlock(&s->sn->lock);
	if (!err) {
		shmux_count(SHMUX_A_COUNTER_CONNECTS);
		trace_shmux_connect(s);
		wake_up_interruptible_poll(&l->wq, EPOLLIN | EPOLLRDNORM);
		shmux_listener_offer(l->sn, l->name);
		kref_put(&l->ref, release);
	}
	shmux_who_put(&was[0]);
	shmux_who_put(&was[1]);
	shmux_who_put(&who);
	return err;
}

/* One CONNECT at a time. Return: 0, -EBADFD or -ECONNRESET. */
static int begin_connect(struct shmux_session *s)
{
	int err = 0;

	spin_lock(&s->sn->lock);
	if (s->over)
		err = -ECONNRESET;
	else if (s->joined || s->listener || s->connecting)
		err = -EBADFD;
	else
		s->connecting = true;
	spin_unlock(&s->sn->lock);
	return err;
}

/* Not in a queue, nor in the line any more. */
static void end_connect(struct shmux_session *s)
{
	spin_lock(&s->sn->lock);
	s->connecting = false;
	if (!s->listener)
		list_del_init(&s->queue);
	spin_unlock(&s->sn->lock);
}

int shmux_listener_connect(struct shmux_end *e, const u8 *name,
			   const struct shmux_deadline *deadline)
{
	struct shmux_session *s = e->session;
	int err, waited;

	if (!is_name(name))
		return -EINVAL;
	/* Pairs with the release in shmux_end_create(). */
	if (shmux_end_side(e) || !smp_load_acquire(&e->region))
		return -EBADFD;
	err = begin_connect(s);
	if (err)
		return err;
	waited = shmux_wait_until(e->wq, (err = try_enqueue(e, name)) != -EAGAIN,
				  deadline);
	end_connect(s);
	/* We may have been offered room that we have not taken. */
	if (waited || err)
		shmux_listener_offer(s->sn, name);
	return waited ?: err;
}

void shmux_listener_offer(struct shmux_net *sn, const char *name)
{
	struct shmux_session *s = NULL;
	struct shmux_listener *l;

	spin_lock(&sn->lock);
	l = find(sn, name);
	if (l && l->len < l->backlog)
		s = list_first_entry_or_null(&l->line, struct shmux_session,
					     queue);
	/* It stays in the line until it takes it, or leaves. */
	if (s)
		kref_get(&s->ref);
	spin_unlock(&sn->lock);
	if (s) {
		shmux_bell_tell(&s->ends[0]);
		shmux_session_put(s);
	}
}

int shmux_listener_wait(struct shmux_listener *l,
			const struct shmux_deadline *deadline)
{
	int err;

	err = shmux_wait_until(l->wq, READ_ONCE(l->len) || READ_ONCE(l->closed),
			       deadline);
	if (err)
		return err;
	return READ_ONCE(l->closed) ? -ECONNRESET : 0;
}

struct shmux_end *shmux_listener_take(struct shmux_listener *l)
{
	struct shmux_end *e = NULL;
	struct shmux_session *s;

	spin_lock(&l->sn->lock);
	s = list_first_entry_or_null(&l->queue, struct shmux_session, queue);
	if (s) {
		shmux_listener_unqueue(s);
		l->nr_accepted++;
		e = shmux_session_join(s);
	}
	spin_unlock(&l->sn->lock);
	if (e) {
		shmux_count(SHMUX_A_COUNTER_ACCEPTS);
		shmux_listener_offer(l->sn, l->name);
	}
	return e;
}

void shmux_listener_unqueue(struct shmux_session *s)
{
	lockdep_assert_held(&s->sn->lock);
	list_del_init(&s->queue);
	if (s->listener)
		WRITE_ONCE(s->listener->len, s->listener->len - 1);
	s->listener = NULL;
}

__poll_t shmux_listener_poll(struct shmux_listener *l, struct file *file,
			     poll_table *wait)
{
	__poll_t events = 0;

	poll_wait(file, &l->wq, wait);
	spin_lock(&l->sn->lock);
	if (l->len)
		events |= EPOLLIN | EPOLLRDNORM;
	if (l->closed)
		events |= EPOLLIN | EPOLLRDNORM | EPOLLHUP;
	spin_unlock(&l->sn->lock);
	return events;
}
