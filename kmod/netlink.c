// SPDX-License-Identifier: GPL-2.0-only
/*
 * netlink.c - see netlink.h
 */
#include "netlink.h"

#include <linux/fs.h>
#include <linux/pid_namespace.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <linux/user_namespace.h>
#include <net/genetlink.h>
#include <net/sock.h>

#include "counters.h"
#include "listener.h"
#include "net.h"
#include "quota.h"
#include "region.h"
#include "session.h"

DEFINE_PER_CPU(struct shmux_counters, shmux_counters);

static struct genl_family shmux_family;

enum { GROUP_EVENTS };

/**
 * struct viewer - in whose terms things are told
 * @users: its user namespace
 * @pids: its pid namespace, or NULL: it is told no pids
 */
struct viewer {
	struct user_namespace *users;
	struct pid_namespace *pids;
};

static struct viewer asker(const struct sk_buff *skb)
{
	return (struct viewer){
		.users = sk_user_ns(NETLINK_CB(skb).sk),
		.pids = task_active_pid_ns(current),
	};
}

static struct viewer everybody(const struct shmux_net *sn)
{
	return (struct viewer){
		.users = sn->net->user_ns,
		.pids = sn->net == &init_net ? &init_pid_ns : NULL,
	};
}

static u32 pid_for(const struct viewer *v, struct pid *pid)
{
	return v->pids ? pid_nr_ns(pid, v->pids) : 0;
}

/* --- sessions ------------------------------------------------------------- */

static u64 resident(const struct shmux_region *r)
{
	return r ? (u64)READ_ONCE(r->file->f_mapping->nrpages) << PAGE_SHIFT : 0;
}

static int put_end(struct sk_buff *skb, const struct viewer *v, int attr,
		   struct shmux_end *e)
{
	struct nlattr *nest;

	if (!e->who.pid)
		return 0;
	nest = nla_nest_start(skb, attr);
	if (!nest ||
	    nla_put_u32(skb, SHMUX_A_END_PID, pid_for(v, e->who.pid)) ||
	    nla_put_u32(skb, SHMUX_A_END_UID,
			from_kuid_munged(v->users, e->who.cred->euid)) ||
	    nla_put_u32(skb, SHMUX_A_END_GID,
			from_kgid_munged(v->users, e->who.cred->egid)) ||
	    nla_put_u32(skb, SHMUX_A_END_OWNER,
			e->owner ? pid_for(v, e->owner) : 0) ||
	    nla_put_u64_64bit(skb, SHMUX_A_END_SIZE,
			      e->region ? e->region->size : 0, SHMUX_A_END_PAD) ||
	    nla_put_u64_64bit(skb, SHMUX_A_END_RESIDENT, resident(e->region),
			      SHMUX_A_END_PAD) ||
	    nla_put_u64_64bit(skb, SHMUX_A_END_KICKS,
			      (u32)atomic_read(&e->kicks), SHMUX_A_END_PAD) ||
	    nla_put_u64_64bit(skb, SHMUX_A_END_WAITS, READ_ONCE(e->nr_waits),
			      SHMUX_A_END_PAD) ||
	    nla_put_u64_64bit(skb, SHMUX_A_END_SLEEPS, READ_ONCE(e->nr_sleeps),
			      SHMUX_A_END_PAD))
		return -EMSGSIZE;
	nla_nest_end(skb, nest);
	return 0;
}

static u32 phase_of(const struct shmux_session *s)
{
	if (s->over)
		return SHMUX_PHASE_OVER;
	if (s->joined)
		return s->ends[0].ready && s->ends[1].ready ?
			       SHMUX_PHASE_OPEN : SHMUX_PHASE_JOINED;
	return s->listener ? SHMUX_PHASE_QUEUED : SHMUX_PHASE_LONE;
}

/* The namespace's lock is held. Return: 0 or -EMSGSIZE. */
static int put_session(struct sk_buff *skb, const struct viewer *v, u32 portid,
		       u32 seq, int flags, u8 cmd, struct shmux_session *s)
{
	void *hdr;

	lockdep_assert_held(&s->sn->lock);
	hdr = genlmsg_put(skb, portid, seq, &shmux_family, flags, cmd);
	if (!hdr)
		return -EMSGSIZE;
	if (nla_put_u32(skb, SHMUX_A_SESSION_NUMBER, s->number) ||
	    (s->name[0] && nla_put_string(skb, SHMUX_A_SESSION_NAME, s->name)) ||
	    nla_put_u32(skb, SHMUX_A_SESSION_PHASE, phase_of(s)) ||
	    nla_put_u32(skb, SHMUX_A_SESSION_CAUSE, s->over) ||
	    (s->over && nla_put_u32(skb, SHMUX_A_SESSION_SIDE, s->side)) ||
	    nla_put_u64_64bit(skb, SHMUX_A_SESSION_AGE,
			      ktime_to_ns(ktime_sub(ktime_get(), s->born)),
			      SHMUX_A_SESSION_PAD) ||
	    put_end(skb, v, SHMUX_A_SESSION_CONNECTOR, &s->ends[0]) ||
	    (s->joined &&
	     put_end(skb, v, SHMUX_A_SESSION_ACCEPTOR, &s->ends[1]))) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

static int session_get(struct sk_buff *skb, struct genl_info *info)
{
	struct shmux_net *sn = shmux_net_of(genl_info_net(info));
	struct viewer v = asker(skb);
	struct shmux_session *s;
	struct sk_buff *reply;
	int err = -ENOENT;

	if (GENL_REQ_ATTR_CHECK(info, SHMUX_A_SESSION_NUMBER))
		return -EINVAL;
	reply = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	spin_lock(&sn->lock);
	s = xa_load(&sn->sessions,
		    nla_get_u32(info->attrs[SHMUX_A_SESSION_NUMBER]));
	if (s)
		err = put_session(reply, &v, info->snd_portid, info->snd_seq, 0,
				  SHMUX_CMD_SESSION_GET, s);
	spin_unlock(&sn->lock);
	if (err) {
		nlmsg_free(reply);
		return err;
	}
	return genlmsg_reply(reply, info);
}

static int session_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct shmux_net *sn = shmux_net_of(sock_net(skb->sk));
	struct viewer v = asker(cb->skb);
	unsigned long number = cb->args[0];
	struct shmux_session *s;
	int err = 0;

	do {
		spin_lock(&sn->lock);
		s = xa_find(&sn->sessions, &number, ULONG_MAX, XA_PRESENT);
		if (s)
			err = put_session(skb, &v, NETLINK_CB(cb->skb).portid,
					  cb->nlh->nlmsg_seq, NLM_F_MULTI,
					  SHMUX_CMD_SESSION_GET, s);
		spin_unlock(&sn->lock);
		if (!err)
			number++;
	} while (s && !err);
	cb->args[0] = number;
	return skb->len ?: err;
}

void shmux_netlink_tell(struct shmux_session *s, enum shmux_cmd cmd)
{
	struct viewer v = everybody(s->sn);
	struct sk_buff *skb;
	int err;

	if (!genl_has_listeners(&shmux_family, s->sn->net, GROUP_EVENTS))
		return;
	skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!skb)
		return;
	/* That it is up comes before that it is down, or not at all. */
	mutex_lock(&s->sn->tells);
	spin_lock(&s->sn->lock);
	err = cmd == SHMUX_CMD_SESSION_UP && s->over ?
		      -ECONNRESET : put_session(skb, &v, 0, 0, 0, cmd, s);
	spin_unlock(&s->sn->lock);
	if (err)
		nlmsg_free(skb);
	else
		genlmsg_multicast_netns(&shmux_family, s->sn->net, skb, 0,
					GROUP_EVENTS, GFP_KERNEL);
	mutex_unlock(&s->sn->tells);
}

/* --- listeners ------------------------------------------------------------ */

/* The namespace's lock is held. Return: 0 or -EMSGSIZE. */
static int put_listener(struct sk_buff *skb, const struct viewer *v, u32 portid,
			u32 seq, int flags, struct shmux_listener *l)
{
	void *hdr;

	lockdep_assert_held(&l->sn->lock);
	hdr = genlmsg_put(skb, portid, seq, &shmux_family, flags,
			  SHMUX_CMD_LISTENER_GET);
	if (!hdr)
		return -EMSGSIZE;
	if (nla_put_u32(skb, SHMUX_A_LISTENER_NUMBER, l->number) ||
	    nla_put_string(skb, SHMUX_A_LISTENER_NAME, l->name) ||
	    nla_put_u32(skb, SHMUX_A_LISTENER_PID, pid_for(v, l->who.pid)) ||
	    nla_put_u32(skb, SHMUX_A_LISTENER_UID,
			from_kuid_munged(v->users, l->who.cred->euid)) ||
	    nla_put_u32(skb, SHMUX_A_LISTENER_GID,
			from_kgid_munged(v->users, l->who.cred->egid)) ||
	    nla_put_u32(skb, SHMUX_A_LISTENER_OWNER_UID,
			from_kuid_munged(v->users, l->uid)) ||
	    nla_put_u32(skb, SHMUX_A_LISTENER_OWNER_GID,
			from_kgid_munged(v->users, l->gid)) ||
	    nla_put_u32(skb, SHMUX_A_LISTENER_MODE, l->mode) ||
	    nla_put_u32(skb, SHMUX_A_LISTENER_BACKLOG, l->backlog) ||
	    nla_put_u32(skb, SHMUX_A_LISTENER_QUEUED, l->len) ||
	    nla_put_u64_64bit(skb, SHMUX_A_LISTENER_ACCEPTED, l->nr_accepted,
			      SHMUX_A_LISTENER_PAD) ||
	    nla_put_u64_64bit(skb, SHMUX_A_LISTENER_AGE,
			      ktime_to_ns(ktime_sub(ktime_get(), l->born)),
			      SHMUX_A_LISTENER_PAD)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

static int listener_get(struct sk_buff *skb, struct genl_info *info)
{
	struct shmux_net *sn = shmux_net_of(genl_info_net(info));
	struct viewer v = asker(skb);
	struct shmux_listener *l;
	struct sk_buff *reply;
	int err = -ENOENT;

	if (GENL_REQ_ATTR_CHECK(info, SHMUX_A_LISTENER_NUMBER))
		return -EINVAL;
	reply = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	spin_lock(&sn->lock);
	l = xa_load(&sn->listeners,
		    nla_get_u32(info->attrs[SHMUX_A_LISTENER_NUMBER]));
	if (l)
		err = put_listener(reply, &v, info->snd_portid, info->snd_seq,
				   0, l);
	spin_unlock(&sn->lock);
	if (err) {
		nlmsg_free(reply);
		return err;
	}
	return genlmsg_reply(reply, info);
}

static int listener_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct shmux_net *sn = shmux_net_of(sock_net(skb->sk));
	struct viewer v = asker(cb->skb);
	unsigned long number = cb->args[0];
	struct shmux_listener *l;
	int err = 0;

	do {
		spin_lock(&sn->lock);
		l = xa_find(&sn->listeners, &number, ULONG_MAX, XA_PRESENT);
		if (l)
			err = put_listener(skb, &v, NETLINK_CB(cb->skb).portid,
					   cb->nlh->nlmsg_seq, NLM_F_MULTI, l);
		spin_unlock(&sn->lock);
		if (!err)
			number++;
	} while (l && !err);
	cb->args[0] = number;
	return skb->len ?: err;
}

/* --- limits --------------------------------------------------------------- */

static int put_limit(struct sk_buff *skb, enum shmux_scope scope,
		     enum shmux_resource resource)
{
	return nla_put_u32(skb, SHMUX_A_LIMIT_SCOPE, scope) ||
	       nla_put_u32(skb, SHMUX_A_LIMIT_RESOURCE, resource) ||
	       nla_put_u64_64bit(skb, SHMUX_A_LIMIT_MAX_USE,
				 shmux_quota_limit(scope, resource),
				 SHMUX_A_LIMIT_PAD) ?
		       -EMSGSIZE : 0;
}

static int limit_dump(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct shmux_net *sn = shmux_net_of(sock_net(skb->sk));
	enum shmux_resource resource;
	enum shmux_scope scope;
	void *hdr;

	for (; cb->args[0] < SHMUX_NR_SCOPES * SHMUX_NR_RESOURCES;
	     cb->args[0]++) {
		scope = cb->args[0] / SHMUX_NR_RESOURCES;
		resource = cb->args[0] % SHMUX_NR_RESOURCES;
		hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid,
				  cb->nlh->nlmsg_seq, &shmux_family, NLM_F_MULTI,
				  SHMUX_CMD_LIMIT_GET);
		if (!hdr)
			break;
		if (put_limit(skb, scope, resource) ||
		    nla_put_u64_64bit(skb, SHMUX_A_LIMIT_USED,
				      shmux_quota_used(scope, resource, sn,
						       current_euid()),
				      SHMUX_A_LIMIT_PAD)) {
			genlmsg_cancel(skb, hdr);
			break;
		}
		genlmsg_end(skb, hdr);
	}
	return skb->len;
}

static int limit_set(struct sk_buff *skb, struct genl_info *info)
{
	if (GENL_REQ_ATTR_CHECK(info, SHMUX_A_LIMIT_SCOPE) ||
	    GENL_REQ_ATTR_CHECK(info, SHMUX_A_LIMIT_RESOURCE) ||
	    GENL_REQ_ATTR_CHECK(info, SHMUX_A_LIMIT_MAX_USE))
		return -EINVAL;
	shmux_quota_set(nla_get_u32(info->attrs[SHMUX_A_LIMIT_SCOPE]),
			nla_get_u32(info->attrs[SHMUX_A_LIMIT_RESOURCE]),
			nla_get_u64(info->attrs[SHMUX_A_LIMIT_MAX_USE]));
	return 0;
}

void shmux_netlink_tell_quota(struct shmux_net *sn, enum shmux_scope scope,
			      enum shmux_resource resource, kuid_t user)
{
	struct viewer v = everybody(sn);
	struct sk_buff *skb;
	void *hdr;

	if (!genl_has_listeners(&shmux_family, sn->net, GROUP_EVENTS))
		return;
	if (!__ratelimit(&sn->often))
		return;
	skb = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!skb)
		return;
	hdr = genlmsg_put(skb, 0, 0, &shmux_family, 0, SHMUX_CMD_QUOTA_HIT);
	if (!hdr || put_limit(skb, scope, resource) ||
	    nla_put_u32(skb, SHMUX_A_LIMIT_UID,
			from_kuid_munged(v.users, user))) {
		nlmsg_free(skb);
		return;
	}
	genlmsg_end(skb, hdr);
	genlmsg_multicast_netns(&shmux_family, sn->net, skb, 0, GROUP_EVENTS,
				GFP_KERNEL);
}

/* --- counters ------------------------------------------------------------- */

static u64 counter(enum shmux_a_counter what)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu(shmux_counters, cpu).nr[what];
	return sum;
}

static int counter_get(struct sk_buff *skb, struct genl_info *info)
{
	struct sk_buff *reply;
	void *hdr;
	int i;

	reply = genlmsg_new(NLMSG_GOODSIZE, GFP_KERNEL);
	if (!reply)
		return -ENOMEM;
	hdr = genlmsg_put_reply(reply, info, &shmux_family, 0,
				SHMUX_CMD_COUNTER_GET);
	if (!hdr)
		goto err_free;
	for (i = SHMUX_A_COUNTER_CONNECTS; i <= SHMUX_A_COUNTER_MAX; i++)
		if (nla_put_u64_64bit(reply, i, counter(i),
				      SHMUX_A_COUNTER_PAD))
			goto err_free;
	genlmsg_end(reply, hdr);
	return genlmsg_reply(reply, info);

err_free:
	nlmsg_free(reply);
	return -EMSGSIZE;
}

/* --- the family ----------------------------------------------------------- */

static const struct nla_policy listener_policy[] = {
	[SHMUX_A_LISTENER_NUMBER] = { .type = NLA_U32 },
};

static const struct nla_policy session_policy[] = {
	[SHMUX_A_SESSION_NUMBER] = { .type = NLA_U32 },
};

static const struct nla_policy limit_policy[] = {
	[SHMUX_A_LIMIT_SCOPE] = NLA_POLICY_MAX(NLA_U32, SHMUX_NR_SCOPES - 1),
	[SHMUX_A_LIMIT_RESOURCE] =
		NLA_POLICY_MAX(NLA_U32, SHMUX_NR_RESOURCES - 1),
	[SHMUX_A_LIMIT_MAX_USE] = { .type = NLA_U64 },
};

static const struct genl_ops shmux_ops[] = {
	{
		.cmd = SHMUX_CMD_LISTENER_GET,
		.doit = listener_get,
		.dumpit = listener_dump,
		.policy = listener_policy,
		.maxattr = ARRAY_SIZE(listener_policy) - 1,
	},
	{
		.cmd = SHMUX_CMD_SESSION_GET,
		.doit = session_get,
		.dumpit = session_dump,
		.policy = session_policy,
		.maxattr = ARRAY_SIZE(session_policy) - 1,
	},
	{
		.cmd = SHMUX_CMD_LIMIT_GET,
		.dumpit = limit_dump,
	},
	{
		.cmd = SHMUX_CMD_LIMIT_SET,
		.doit = limit_set,
		.flags = GENL_ADMIN_PERM,
		.policy = limit_policy,
		.maxattr = ARRAY_SIZE(limit_policy) - 1,
	},
	{
		.cmd = SHMUX_CMD_COUNTER_GET,
		.doit = counter_get,
	},
};

static const struct genl_multicast_group shmux_groups[] = {
	[GROUP_EVENTS] = { .name = SHMUX_GENL_EVENTS },
};

static struct genl_family shmux_family = {
	.name = SHMUX_GENL_NAME,
	.version = SHMUX_GENL_VERSION,
	.netnsok = true,
	.module = THIS_MODULE,
	.ops = shmux_ops,
	.n_ops = ARRAY_SIZE(shmux_ops),
	.mcgrps = shmux_groups,
	.n_mcgrps = ARRAY_SIZE(shmux_groups),
};

int __init shmux_netlink_init(void)
{
	return genl_register_family(&shmux_family);
}

void shmux_netlink_exit(void)
{
	genl_unregister_family(&shmux_family);
}
