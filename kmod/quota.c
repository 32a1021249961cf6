// SPDX-License-Identifier: GPL-2.0-only
/*
 * quota.c - see quota.h
 *
 * Owns the accounts of users. An account is there as long as anything is charged
 * to it.
 */
#include "quota.h"

#include <linux/cred.h>
#include <linux/hashtable.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "counters.h"
#include "net.h"
#include "netlink.h"
#include "session.h"

/**
 * struct shmux_account - a user
 * @node: in accounts (quota_lock)
 * @uid: who
 * @nr: charges that name it (quota_lock)
 * @usage: what they come to (quota_lock)
 */
struct shmux_account {
	struct hlist_node node;
	kuid_t uid;
	u32 nr;
	u64 usage[SHMUX_NR_RESOURCES];
};

static DEFINE_SPINLOCK(quota_lock);
static DEFINE_HASHTABLE(accounts, 7);
static u64 total[SHMUX_NR_RESOURCES];

static unsigned long user_listeners = 1024;
module_param(user_listeners, ulong, 0444);
MODULE_PARM_DESC(user_listeners, "Listeners that a user may have");

static unsigned long user_sessions = 16384;
module_param(user_sessions, ulong, 0444);
MODULE_PARM_DESC(user_sessions, "Sessions that a user may have made");

static unsigned long user_bytes;
module_param(user_bytes, ulong, 0444);
MODULE_PARM_DESC(user_bytes, "Bytes that a user's regions may declare (0: half of the memory)");

static unsigned long net_listeners = 4096;
module_param(net_listeners, ulong, 0444);
MODULE_PARM_DESC(net_listeners, "Listeners in a network namespace");

static unsigned long net_sessions = 65536;
module_param(net_sessions, ulong, 0444);
MODULE_PARM_DESC(net_sessions, "Sessions in a network namespace");

static unsigned long net_bytes;
module_param(net_bytes, ulong, 0444);
MODULE_PARM_DESC(net_bytes, "Bytes that regions of a network namespace declare (0: the memory)");

static unsigned long total_listeners = 16384;
module_param(total_listeners, ulong, 0444);
MODULE_PARM_DESC(total_listeners, "Listeners in all");

static unsigned long total_sessions = 262144;
module_param(total_sessions, ulong, 0444);
MODULE_PARM_DESC(total_sessions, "Sessions in all");

static unsigned long total_bytes;
module_param(total_bytes, ulong, 0444);
MODULE_PARM_DESC(total_bytes, "Bytes that all regions may declare (0: twice the memory)");

/* What holds now (quota_lock). */
static u64 limits[SHMUX_NR_SCOPES][SHMUX_NR_RESOURCES];

static struct shmux_account *account_find(kuid_t uid)
{
	struct shmux_account *a;

	lockdep_assert_held(&quota_lock);
	hash_for_each_possible(accounts, a, node, __kuid_val(uid))
		if (uid_eq(a->uid, uid))
			return a;
	return NULL;
}

/* The account of @uid, which @fresh becomes where there is none. */
static struct shmux_account *account_get(kuid_t uid,
					 struct shmux_account **fresh)
{
	struct shmux_account *a = account_find(uid);

	if (!a) {
		a = *fresh;
		*fresh = NULL;
		a->uid = uid;
		hash_add(accounts, &a->node, __kuid_val(uid));
	}
	a->nr++;
	return a;
}

static void account_put(struct shmux_account *a)
{
	lockdep_assert_held(&quota_lock);
	if (!a || --a->nr)
		return;
	hash_del(&a->node);
	kfree(a);
}

/* Who answers for what the caller does, beside the caller. */
static kuid_t outer_user(void)
{
	struct user_namespace *ns = current_user_ns();

	if (ns == &init_user_ns)
		return current_euid();
	while (ns->parent != &init_user_ns)
		ns = ns->parent;
	return ns->owner;
}

static bool fits(u64 used, u64 amount, enum shmux_scope scope,
		 enum shmux_resource resource)
{
	u64 limit = limits[scope][resource];

	return used <= limit && amount <= limit - used;
}

/* Return: the first scope whose limit it would break, or SHMUX_NR_SCOPES. */
static enum shmux_scope scope_hit(const struct shmux_charge *c)
{
	enum shmux_resource r = c->resource;

	if (!fits(c->user->usage[r], c->amount, SHMUX_SCOPE_USER, r) ||
	    (c->outer &&
	     !fits(c->outer->usage[r], c->amount, SHMUX_SCOPE_USER, r)))
		return SHMUX_SCOPE_USER;
	if (!fits(c->sn->usage[r], c->amount, SHMUX_SCOPE_NET, r))
		return SHMUX_SCOPE_NET;
	if (!fits(total[r], c->amount, SHMUX_SCOPE_TOTAL, r))
		return SHMUX_SCOPE_TOTAL;
	return SHMUX_NR_SCOPES;
}

static void add(const struct shmux_charge *c, u64 amount)
{
	c->user->usage[c->resource] += amount;
	if (c->outer)
		c->outer->usage[c->resource] += amount;
	c->sn->usage[c->resource] += amount;
	total[c->resource] += amount;
}

/* Return: 0, -EDQUOT and *@hit, or -ENOMEM. */
static int charge(struct shmux_charge *c, enum shmux_scope *hit)
{
	kuid_t user = current_euid(), outer = outer_user();
	struct shmux_account *fresh[2];
	int err = 0;

	fresh[0] = kzalloc(sizeof(*fresh[0]), GFP_KERNEL_ACCOUNT);
	fresh[1] = kzalloc(sizeof(*fresh[1]), GFP_KERNEL_ACCOUNT);
	if (!fresh[0] || !fresh[1]) {
		err = -ENOMEM;
		goto out;
	}

	spin_lock(&quota_lock);
	c->user = account_get(user, &fresh[0]);
	/* What root keeps in namespaces is bound by theirs, not by root's quota. */
	if (!uid_eq(user, outer) && !uid_eq(outer, GLOBAL_ROOT_UID))
		c->outer = account_get(outer, &fresh[1]);
	*hit = scope_hit(c);
	if (*hit == SHMUX_NR_SCOPES) {
		add(c, c->amount);
	} else {
		account_put(c->outer);
		account_put(c->user);
		c->outer = NULL;
		err = -EDQUOT;
	}
	spin_unlock(&quota_lock);
out:
	kfree(fresh[1]);
	kfree(fresh[0]);
	return err;
}

int shmux_quota_charge(struct shmux_charge *to, struct shmux_net *sn,
		       enum shmux_resource resource, u64 amount)
{
	struct shmux_charge c = {
		.sn = sn,
		.resource = resource,
		.amount = amount,
	};
	enum shmux_scope hit;
	int err;

	err = charge(&c, &hit);
	/* What has just been unmapped may be charged for still. */
	if (err == -EDQUOT && shmux_session_settle())
		err = charge(&c, &hit);
	if (!err) {
		*to = c;
	} else if (err == -EDQUOT) {
		shmux_count(SHMUX_A_COUNTER_QUOTA_HITS);
		shmux_netlink_tell_quota(sn, hit, resource, current_euid());
	}
	return err;
}

void shmux_quota_uncharge(struct shmux_charge *charge)
{
	if (!charge->amount)
		return;
	spin_lock(&quota_lock);
	add(charge, -charge->amount);
	account_put(charge->outer);
	account_put(charge->user);
	spin_unlock(&quota_lock);
	*charge = (struct shmux_charge){};
}

u64 shmux_quota_limit(enum shmux_scope scope, enum shmux_resource resource)
{
	u64 limit;

	spin_lock(&quota_lock);
	limit = limits[scope][resource];
	spin_unlock(&quota_lock);
	return limit;
}

u64 shmux_quota_used(enum shmux_scope scope, enum shmux_resource resource,
		     const struct shmux_net *sn, kuid_t user)
{
	struct shmux_account *a;
	u64 used = 0;

	spin_lock(&quota_lock);
	switch (scope) {
	case SHMUX_SCOPE_USER:
		a = account_find(user);
		if (a)
			used = a->usage[resource];
		break;
	case SHMUX_SCOPE_NET:
		used = sn->usage[resource];
		break;
	default:
		used = total[resource];
	}
	spin_unlock(&quota_lock);
	return used;
}

void shmux_quota_set(enum shmux_scope scope, enum shmux_resource resource,
		     u64 limit)
{
	spin_lock(&quota_lock);
	limits[scope][resource] = limit;
	spin_unlock(&quota_lock);
}

void __init shmux_quota_init(void)
{
	u64 memory = (u64)totalram_pages() << PAGE_SHIFT;

	limits[SHMUX_SCOPE_USER][SHMUX_LISTENERS] = user_listeners;
	limits[SHMUX_SCOPE_USER][SHMUX_SESSIONS] = user_sessions;
	limits[SHMUX_SCOPE_USER][SHMUX_BYTES] = user_bytes ?: memory / 2;
	limits[SHMUX_SCOPE_NET][SHMUX_LISTENERS] = net_listeners;
	limits[SHMUX_SCOPE_NET][SHMUX_SESSIONS] = net_sessions;
	limits[SHMUX_SCOPE_NET][SHMUX_BYTES] = net_bytes ?: memory;
	limits[SHMUX_SCOPE_TOTAL][SHMUX_LISTENERS] = total_listeners;
	limits[SHMUX_SCOPE_TOTAL][SHMUX_SESSIONS] = total_sessions;
	limits[SHMUX_SCOPE_TOTAL][SHMUX_BYTES] = total_bytes ?: 2 * memory;
}
