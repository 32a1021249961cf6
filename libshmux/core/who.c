// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * who.c - see who.h
 *
 * To a process in a user namespace each user that the namespace does not map
 * looks like "nobody". There nobody is anybody: that we are nobody too, or were
 * asked to admit nobody, does not make a stranger one of us.
 */
#include "core/who.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOBODY 65534u /* kernel.overflowuid and overflowgid, as they always are */

/*
 * Whether each id has a name of its own here. Where /proc cannot tell we
 * believe so: a daemon in a chroot may well be nobody.
 */
static bool all_are_mapped(const char *map)
{
	unsigned long inside, nr;
	char text[128], *at, *end;
	ssize_t n;
	int fd;

	fd = open(map, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return true;
	text[n] = 0;
	/* The first id here, the first outside, and how many. */
	inside = strtoul(text, &at, 10);
	strtoul(at, &at, 10);
	nr = strtoul(at, &end, 10);
	return end != at && inside == 0 && nr >= UINT32_MAX;
}

/* The kernel lets only the same user of the same namespace look there. */
static bool is_our_user(pid_t pid)
{
	char path[64], text[64];

	if (pid <= 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%ld/ns/user", (long)pid);
	return readlink(path, text, sizeof(text)) > 0;
}

bool shmux__who_is_user(const struct shmux_peer *peer, uid_t uid)
{
	if (peer->uid != uid)
		return false;
	if (uid != NOBODY || all_are_mapped("/proc/self/uid_map"))
		return true;
	return uid == geteuid() && is_our_user(peer->pid);
}

/* Whether @gid, as it was told of a peer, is the group @want. */
static bool is_group(gid_t gid, gid_t want)
{
	return gid == want && (want != NOBODY || all_are_mapped("/proc/self/gid_map"));
}

/*
 * Is @gid among the supplementary groups of the peer? The kernel knows those of
 * who connected, so that must have been the one that said hello.
 */
static bool is_in_group(const struct shmux_peer *peer, int fd, gid_t gid)
{
#ifdef SO_PEERGROUPS
	gid_t groups[256];
	struct ucred connected;
	socklen_t connected_len = sizeof(connected);
	socklen_t len = sizeof(groups), i;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &connected, &connected_len) ||
	    connected.pid != peer->pid || connected.uid != peer->uid ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (i = 0; i < len / sizeof(gid_t); i++)
		if (is_group(groups[i], gid))
			return true;
#endif
	return false;
}

bool shmux__who_may(const struct shmux_peer *peer, int fd, mode_t mode,
		    uid_t uid, gid_t gid)
{
	if (shmux__who_is_user(peer, uid))
		return mode & 0200;
	if (mode & 0002)
		return true;
	if (!(mode & 0020))
		return false;
	return is_group(peer->gid, gid) || is_in_group(peer, fd, gid);
}
