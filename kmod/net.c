// SPDX-License-Identifier: GPL-2.0-only
/*
 * net.c - see net.h
 */
#include "net.h"

#include <linux/nsproxy.h>
#include <linux/ratelimit.h>
#include <linux/sched.h>
#include <net/netns/generic.h>

static unsigned int shmux_net_id;

struct shmux_net *shmux_net_of(struct net *net)
{
	return net_generic(net, shmux_net_id);
}

struct shmux_net *shmux_net_get_current(void)
{
	return shmux_net_of(get_net(current->nsproxy->net_ns));
}

static int __net_init shmux_net_begin(struct net *net)
{
	struct shmux_net *sn = shmux_net_of(net);

	sn->net = net;
	spin_lock_init(&sn->lock);
	mutex_init(&sn->tells);
	hash_init(sn->names);
	ratelimit_state_init(&sn->often, 5 * HZ, 10);
	/* It is we who say nothing, not the log. */
	ratelimit_set_flags(&sn->often, RATELIMIT_MSG_ON_RELEASE);
	xa_init_flags(&sn->listeners, XA_FLAGS_ALLOC1);
	xa_init_flags(&sn->sessions, XA_FLAGS_ALLOC1);
	return 0;
}

static void __net_exit shmux_net_end(struct net *net)
{
	struct shmux_net *sn = shmux_net_of(net);

	WARN_ON_ONCE(!xa_empty(&sn->listeners));
	WARN_ON_ONCE(!xa_empty(&sn->sessions));
}

static struct pernet_operations shmux_net_ops = {
	.init = shmux_net_begin,
	.exit = shmux_net_end,
	.id = &shmux_net_id,
	.size = sizeof(struct shmux_net),
};

int __init shmux_net_init(void)
{
	return register_pernet_subsys(&shmux_net_ops);
}

void shmux_net_exit(void)
{
	unregister_pernet_subsys(&shmux_net_ops);
}
