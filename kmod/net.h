/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: what belongs to one network namespace
 *
 * Names live here, and every listener and session has a number here by which
 * it is looked up and listed.
 *
 * One spinlock a namespace, shmux_net.lock, guards all that changes slowly: the
 * names, the queues of listeners, the states of both ends of each session. What
 * is fast, to kick and to wait, takes no lock of ours (bell.h). Under it no other
 * is taken but the xarrays' own, and nobody is woken: who waits may be many.
 *
 * A listener and a session hold a reference to the namespace, as a socket does:
 * when it goes none is left.
 */
#ifndef KMOD_NET_H
#define KMOD_NET_H

#include <linux/hashtable.h>
#include <linux/mutex.h>
#include <linux/ratelimit_types.h>
#include <linux/spinlock.h>
#include <linux/xarray.h>
#include <net/net_namespace.h>

#include "quota.h"

/**
 * struct shmux_net - our part of a network namespace
 * @net: it
 * @lock: see above
 * @names: of listeners (@lock)
 * @listeners: by number
 * @sessions: by number
 * @next_listener: where the search for a number begins
 * @next_session: likewise
 * @tells: whoever tells of a session, so that its events come in order
 * @often: how often a quota that is hit is told of
 * @usage: what its processes have (quota.c's lock)
 */
struct shmux_net {
	struct net *net;
	spinlock_t lock;	/* names, queues, states */
	DECLARE_HASHTABLE(names, 8);
	struct xarray listeners;
	struct xarray sessions;
	u32 next_listener;
	u32 next_session;
	struct mutex tells;	/* events of sessions */
	struct ratelimit_state often;
	u64 usage[SHMUX_NR_RESOURCES];
};

/**
 * shmux_net_get_current() - the caller's namespace
 *
 * Return: it, with a reference to be put.
 */
struct shmux_net *shmux_net_get_current(void);

/**
 * shmux_net_of() - our part of a namespace
 * @net: a namespace, kept by the caller
 *
 * Return: its part.
 */
struct shmux_net *shmux_net_of(struct net *net);

static inline void shmux_net_put(struct shmux_net *sn)
{
	put_net(sn->net);
}

int shmux_net_init(void);
void shmux_net_exit(void);

#endif /* KMOD_NET_H */
