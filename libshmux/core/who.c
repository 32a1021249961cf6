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

bool shmux__who_is_group(gid_t gid, gid_t want)
{
	return gid == want && (want != NOBODY || all_are_mapped("/proc/self/gid_map"));
}
