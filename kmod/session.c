// SPDX-License-Identifier: GPL-2.0-only
/*
 * session.c - see session.h; how ends are woken is in bell.c
 */
#include "session.h"

#include <linux/err.h>
#include <linux/mutex.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/workqueue.h>

#include "bell.h"
#include "counters.h"
#include "listener.h"
#include "net.h"
#include "netlink.h"
#include "owner.h"
#include "region.h"
#include "trace.h"

static void end_init(struct shmux_end *e, struct shmux_session *s)
{
	e->session = s;
	init_waitqueue_head(&e->wq);
	spin_lock_init(&e->bell_lock);
}

static void end_exit(struct shmux_end *e)
{
	shmux_bell_set(e, NULL);
	put_pid(e->owner);
	shmux_who_put(&e->who);
	shmux_region_free(e->region);
}

struct shmux_session *shmux_session_new(void)
{
	struct shmux_session *s;
	int err;

	s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);
	if (!s)
		return ERR_PTR(-ENOMEM);
	kref_init(&s->ref);
	INIT_LIST_HEAD(&s->queue);
	s->born = ktime_get();
	end_init(&s->ends[0], s);
	end_init(&s->ends[1], s);
	s->sn = shmux_net_get_current();
	err = shmux_quota_charge(&s->charge, s->sn, SHMUX_SESSIONS, 1);
	if (err)
		goto err_free;
	s->ends[0].who = shmux_who_get_current();
	shmux_owner_set(&s->ends[0].owner);
	/* From now on it can be found, but only to be looked at. */
	err = xa_alloc_cyclic(&s->sn->sessions, &s->number, s, xa_limit_31b,
			      &s->sn->next_session, GFP_KERNEL_ACCOUNT);
	if (err < 0)
		goto err_end;
	return s;

err_end:
	end_exit(&s->ends[0]);
	shmux_quota_uncharge(&s->charge);
err_free:
	shmux_net_put(s->sn);
	kfree(s);
	return ERR_PTR(err == -EDQUOT ? err : -ENOMEM);
}

static bool is_mapped(const struct shmux_session *s)
{
	return shmux_region_is_mapped(s->ends[0].region) ||
	       shmux_region_is_mapped(s->ends[1].region);
}

static void destroy(struct shmux_session *s)
{
	struct shmux_net *sn = s->sn;

	spin_lock(&sn->lock);
	xa_erase(&sn->sessions, s->number);
	spin_unlock(&sn->lock);

	end_exit(&s->ends[0]);
	end_exit(&s->ends[1]);
	shmux_quota_uncharge(&s->charge);
	shmux_net_put(sn);
	kfree(s);
}

/* Between looks whether the mappings of those that linger have gone. */
#define LINGER_CHECK (HZ / 2)

static DEFINE_SPINLOCK(linger_lock);
static LIST_HEAD(lingering);
/* Held by who looks through them. */
static DEFINE_MUTEX(linger_check_lock);

static void linger_check(struct work_struct *work);
static DECLARE_DELAYED_WORK(linger_work, linger_check);

bool shmux_session_settle(void)
{
	struct shmux_session *s, *tmp;
	LIST_HEAD(look);
	bool any;

	mutex_lock(&linger_check_lock);
	spin_lock(&linger_lock);
	list_splice_init(&lingering, &look);
	spin_unlock(&linger_lock);
	any = !list_empty(&look);
	list_for_each_entry_safe(s, tmp, &look, queue) {
		if (!is_mapped(s)) {
			list_del(&s->queue);
			destroy(s);
		}
		cond_resched();
	}
	spin_lock(&linger_lock);
	list_splice(&look, &lingering);
	if (!list_empty(&lingering))
		schedule_delayed_work(&linger_work, LINGER_CHECK);
	spin_unlock(&linger_lock);
	mutex_unlock(&linger_check_lock);
	return any;
}

static void linger_check(struct work_struct *work)
{
	shmux_session_settle();
}

static void session_free(struct kref *ref)
{
	struct shmux_session *s = container_of(ref, struct shmux_session, ref);

	if (!is_mapped(s)) {
		destroy(s);
		return;
	}
	spin_lock(&linger_lock);
	list_add_tail(&s->queue, &lingering);
	spin_unlock(&linger_lock);
	schedule_delayed_work(&linger_work, LINGER_CHECK);
}

void shmux_session_put(struct shmux_session *s)
{
	kref_put(&s->ref, session_free);
}

void shmux_session_exit(void)
{
	struct shmux_session *s, *tmp;

	cancel_delayed_work_sync(&linger_work);
	list_for_each_entry_safe(s, tmp, &lingering, queue)
		destroy(s);
}

struct shmux_end *shmux_session_join(struct shmux_session *s)
{
	struct shmux_end *e = &s->ends[1];

	lockdep_assert_held(&s->sn->lock);
	kref_get(&s->ref);
	shmux_owner_set(&e->owner);
	/* Pairs with the acquire in shmux_session_joined(). */
	smp_store_release(&s->joined, true);
	return e;
}

bool shmux_session_end(struct shmux_session *s, enum shmux_cause cause,
		       u32 side)
{
	lockdep_assert_held(&s->sn->lock);
	if (s->over)
		return false;
	shmux_listener_unqueue(s);
	s->side = side;
	/* Pairs with the acquire in shmux_session_over(). */
	smp_store_release(&s->over, cause);
	trace_shmux_death(s);
	return true;
}

void shmux_session_tell(struct shmux_session *s)
{
	shmux_bell_tell(&s->ends[0]);
	shmux_bell_tell(&s->ends[1]);
}

int shmux_end_create(struct shmux_end *e, const struct shmux_ioc_create *arg)
{
	struct shmux_session *s = e->session;
	struct shmux_end *other = shmux_end_other(e);
	struct shmux_who who, was = {};
	struct shmux_region *r;
	int err = 0;

	if (shmux_session_over(s))
		return -ECONNRESET;
	r = shmux_region_new(s->sn, arg->region_size, arg->populate);
	if (IS_ERR(r))
		return PTR_ERR(r);
	who = shmux_who_get_current();

	spin_lock(&s->sn->lock);
	if (s->over) {
		err = -ECONNRESET;
	} else if (other->region &&
		   (r->size > other->peer_size_max ||
		    other->region->size > arg->peer_size_max)) {
		err = -EMSGSIZE;
	} else {
		was = e->who;
		e->who = who;
		shmux_owner_set(&e->owner);
		e->peer_size_max = arg->peer_size_max;
		/* Pairs with the acquire where it is mapped. */
		smp_store_release(&e->region, r);
	}
	spin_unlock(&s->sn->lock);

	if (err) {
		shmux_region_free(r);
		shmux_who_put(&who);
	}
	shmux_who_put(&was);
	return err;
}

static int refuse(struct shmux_end *e, u32 refusal)
{
	struct shmux_session *s = e->session;
	bool news = false;
	int err = 0;

	spin_lock(&s->sn->lock);
	if (!s->joined || e->ready) {
		err = -EBADFD;
	} else if (s->over) {
		err = -ECONNRESET;
	} else {
		s->refusal = refusal;
		news = shmux_session_end(s, SHMUX_CAUSE_REFUSAL, shmux_end_side(e));
	}
	spin_unlock(&s->sn->lock);
	if (news) {
		shmux_session_tell(s);
		shmux_netlink_tell(s, SHMUX_CMD_SESSION_DOWN);
	}
	return err;
}

/* Say that we are ready. Return: 0 or -errno. */
static int be_ready(struct shmux_end *e)
{
	struct shmux_session *s = e->session;
	bool news = false, open = false;
	int err = 0;

	spin_lock(&s->sn->lock);
	if (!e->region || !(s->joined || s->listener || s->over)) {
		err = -EBADFD;
	} else if (!e->ready && !s->over) {
		/* Pairs with the acquire in shmux_end_is_ready(). */
		smp_store_release(&e->ready, true);
		news = true;
		open = shmux_end_other(e)->ready;
	}
	spin_unlock(&s->sn->lock);
	if (news)
		shmux_session_tell(s);
	if (open)
		shmux_netlink_tell(s, SHMUX_CMD_SESSION_UP);
	return err;
}

bool shmux_end_is_ready(const struct shmux_end *e)
{
	/* Pairs with the release in be_ready(), or where it is queued. */
	return smp_load_acquire(&e->ready);
}

int shmux_end_meet(struct shmux_end *e, struct shmux_ioc_meet *arg,
		   const struct shmux_deadline *deadline)
{
	struct shmux_end *other = shmux_end_other(e);
	struct shmux_session *s = e->session;
	int err;

	if (arg->refuse)
		return refuse(e, arg->refuse);
	err = be_ready(e);
	if (err)
		return err;
	err = shmux_wait_until(e->wq, shmux_end_is_ready(other) ||
			       shmux_session_over(s), deadline);
	if (err)
		return err;
	/* It may have died since; what it has written can be read. */
	if (shmux_end_is_ready(other) && shmux_end_is_ready(e))
		return 0;
	switch (shmux_session_over(s)) {
	case SHMUX_CAUSE_REFUSAL:
		if (s->side == shmux_end_side(e))
			return -ECONNRESET;
		arg->refusal = s->refusal;
		return -ECONNABORTED;
	case SHMUX_CAUSE_NOBODY:
		return -ECONNREFUSED;
	default:
		return -ECONNRESET;
	}
}

int shmux_end_peer(struct shmux_end *e, struct shmux_ioc_peer *arg)
{
	struct shmux_end *other = shmux_end_other(e);
	struct shmux_session *s = e->session;
	struct shmux_who who = {};
	int err = 0;

	spin_lock(&s->sn->lock);
	if (other->who.pid) {
		who = shmux_who_get(&other->who);
		arg->region_size = other->region ? other->region->size : 0;
	}
	spin_unlock(&s->sn->lock);
	if (!who.pid)
		return -ENOTCONN;

	arg->pid = shmux_who_pid(&who);
	arg->uid = shmux_who_uid(&who);
	arg->gid = shmux_who_gid(&who);
	if (!arg->label)
		arg->label_size = 0;
	err = shmux_who_copy_label(&who, u64_to_user_ptr(arg->label),
				   &arg->label_size);
	shmux_who_put(&who);
	return err;
}

void shmux_end_adopt(struct shmux_end *e)
{
	spin_lock(&e->session->sn->lock);
	shmux_owner_set(&e->owner);
	spin_unlock(&e->session->sn->lock);
}

bool shmux_end_is_owned(struct shmux_end *e)
{
	bool owned;

	spin_lock(&e->session->sn->lock);
	owned = shmux_owner_is_current(e->owner);
	spin_unlock(&e->session->sn->lock);
	return owned;
}

void shmux_end_die(struct shmux_end *e, enum shmux_cause cause)
{
	struct shmux_session *s = e->session;
	bool news;

	spin_lock(&s->sn->lock);
	news = shmux_session_end(s, cause, shmux_end_side(e));
	spin_unlock(&s->sn->lock);
	if (!news)
		return;
	shmux_listener_offer(s->sn, s->name);
	if (cause == SHMUX_CAUSE_DEATH)
		shmux_count(SHMUX_A_COUNTER_DEATHS);
	shmux_session_tell(s);
	if (shmux_session_joined(s))
		shmux_netlink_tell(s, cause == SHMUX_CAUSE_DEATH ?
					      SHMUX_CMD_PEER_DEATH :
					      SHMUX_CMD_SESSION_DOWN);
}

void shmux_end_put(struct shmux_end *e)
{
	shmux_end_die(e, SHMUX_CAUSE_HANG_UP);
	shmux_session_put(e->session);
}
