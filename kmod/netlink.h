/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: what is told by generic netlink
 *
 * Answers and events (uapi/linux/shmux_netlink.h). Reads what others own, under
 * their locks, and changes nothing but limits.
 */
#ifndef KMOD_NETLINK_H
#define KMOD_NETLINK_H

#include <linux/uidgid.h>

#include <linux/shmux_netlink.h>

struct shmux_net;
struct shmux_session;

/**
 * shmux_netlink_tell() - something has happened to a session
 * @s: which, kept
 * @cmd: what
 *
 * Does nothing while nobody listens. An event that finds no memory is lost.
 *
 * Context: may sleep.
 */
void shmux_netlink_tell(struct shmux_session *s, enum shmux_cmd cmd);

/**
 * shmux_netlink_tell_quota() - somebody wanted more than there is
 * @sn: where
 * @scope: whose limit
 * @resource: of what
 * @user: who
 *
 * Context: may sleep.
 */
void shmux_netlink_tell_quota(struct shmux_net *sn, enum shmux_scope scope,
			      enum shmux_resource resource, kuid_t user);

int shmux_netlink_init(void);
void shmux_netlink_exit(void);

#endif /* KMOD_NETLINK_H */
