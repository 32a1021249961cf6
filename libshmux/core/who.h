/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* who.h - whether a peer is the user it seems to be, and what it may do */
#ifndef SHMUX_CORE_WHO_H
#define SHMUX_CORE_WHO_H

#include <stdbool.h>
#include <sys/types.h>

#include <shmux/common.h>

bool shmux__who_is_user(const struct shmux_peer *peer, uid_t uid);

/*
 * May @peer, which has connected by the socket @fd, write to a file with this
 * mode and owner?
 */
bool shmux__who_may(const struct shmux_peer *peer, int fd, mode_t mode,
		    uid_t uid, gid_t gid);

#endif /* SHMUX_CORE_WHO_H */
