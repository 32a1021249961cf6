/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dial.h - from an address or a connected descriptor to a session
 *
 * A plain NAME is dialled by the kernel module and by memfd. Over whatever is no
 * shared memory there is yamux, which begins without a word: connected is all.
 */
#ifndef SHMUX_CORE_DIAL_H
#define SHMUX_CORE_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include <shmux/session.h>

#include "core/address.h"

/* Whom to accept, and when to give up. */
struct shmux__dial_terms {
	uint64_t deadline;		/* absolute, ns */
	const uint32_t *cancelled;	/* looked at every 50 ms, or NULL */

	/* Is the listener's user one that we accept? Return: 0 or -errno. */
	int (*accepts)(const void *arg, const struct shmux_peer *peer);
	/* Asked then, of whom we meet; or NULL. */
	int (*check)(const void *arg, const struct shmux_peer *peer);
	const void *arg;
	bool by_user;			/* who is no user that we know will not do */
};

/* Connect and meet; blocks. @options are resolved. */
int shmux__dial(const struct shmux__address *address,
		const struct shmux_session_options *options,
		const struct shmux__dial_terms *terms,
		struct shmux_session **session);

/* Is @peer, which @address has led to, one to talk to? Return: 0 or -errno. */
int shmux__dial_admits(const struct shmux__address *address,
		       const struct shmux__dial_terms *terms,
		       const struct shmux_peer *peer);

/* One that accepts our own uid and root. */
int shmux__dial_accepts_own(const void *arg, const struct shmux_peer *peer);

#endif /* SHMUX_CORE_DIAL_H */
