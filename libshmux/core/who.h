/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* who.h - whether a peer is the user or of the group that it seems to be */
#ifndef SHMUX_CORE_WHO_H
#define SHMUX_CORE_WHO_H

#include <stdbool.h>

#include <shmux/common.h>

bool shmux__who_is_user(const struct shmux_peer *peer, uid_t uid);

/* Whether @gid, as it was told of a peer, is the group @want. */
bool shmux__who_is_group(gid_t gid, gid_t want);

#endif /* SHMUX_CORE_WHO_H */
