/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: quotas
 *
 * What is counted: listeners, sessions, and the bytes that regions declare. Who
 * is charged: whoever made the thing, for as long as it is there, wherever its
 * descriptor goes; by user, by network namespace, and all together.
 *
 * A user namespace gives its maker many users. So what is made inside is charged
 * to two users, the one inside and the one that owns the outermost namespace
 * below the initial one, unless that is root.
 */
#ifndef KMOD_QUOTA_H
#define KMOD_QUOTA_H

#include <linux/types.h>
#include <linux/uidgid.h>

#include <linux/shmux_netlink.h>

struct shmux_account;
struct shmux_net;

/**
 * struct shmux_charge - what somebody has been charged
 * @user: the user who made it
 * @outer: the owner of its user namespace, if that is another, or NULL
 * @sn: its network namespace
 * @resource: of what
 * @amount: how much; 0: nothing has been charged
 */
struct shmux_charge {
	struct shmux_account *user;
	struct shmux_account *outer;
	struct shmux_net *sn;
	enum shmux_resource resource;
	u64 amount;
};

/**
 * shmux_quota_charge() - charge the caller
 * @charge: out, to be given back; holds no reference to @sn
 * @sn: the network namespace it is made in
 * @resource: of what
 * @amount: how much
 *
 * What lingers and is not mapped any more does not stand in the way. That there is
 * no more is counted, and told by netlink.
 *
 * Context: may sleep.
 * Return: 0, -EDQUOT or -ENOMEM: nothing has been charged.
 */
int shmux_quota_charge(struct shmux_charge *charge, struct shmux_net *sn,
		       enum shmux_resource resource, u64 amount);

/**
 * shmux_quota_uncharge() - give back
 * @charge: what was charged, or zero; zero afterwards
 */
void shmux_quota_uncharge(struct shmux_charge *charge);

/**
 * shmux_quota_limit() - what may be used
 * @scope: by whom
 * @resource: of what
 *
 * Return: how much.
 */
u64 shmux_quota_limit(enum shmux_scope scope, enum shmux_resource resource);

/**
 * shmux_quota_used() - what is used
 * @scope: by whom
 * @resource: of what
 * @sn: which network namespace, if that is asked
 * @user: which user, if that is asked
 *
 * Return: how much.
 */
u64 shmux_quota_used(enum shmux_scope scope, enum shmux_resource resource,
		     const struct shmux_net *sn, kuid_t user);

/**
 * shmux_quota_set() - say what may be used from now on
 * @scope: by whom
 * @resource: of what
 * @limit: how much; what is used already stays
 */
void shmux_quota_set(enum shmux_scope scope, enum shmux_resource resource,
		     u64 limit);

void shmux_quota_init(void);

#endif /* KMOD_QUOTA_H */
