/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bytes.h - the byte link: yamux over one descriptor, or over two
 *
 * What the wire has no words for: the code of a reset is SHMUX_CODE_NONE when it
 * arrives; who no longer reads lets the peer write into the void, and resets the
 * stream if it has no more to write either; streams of messages, and that credit
 * is wanted or given back, are features that it does not have.
 */
#ifndef SHMUX_LINK_BYTES_H
#define SHMUX_LINK_BYTES_H

#include "link/link.h"

struct shmux__child;

extern const struct shmux__link_ops shmux__bytes_ops;

/*
 * A link that reads from @in and writes to @out, which may be the same: stream
 * sockets, pipes or terminals. Both are the link's from then on, on failure too.
 * Return: 0; -EBADF; -EINVAL: neither socket, pipe nor terminal, or a socket of
 * packets, or a pseudo-terminal's master; -EACCES: a pipe or a terminal that is
 * another user's; -ENXIO: a pipe that nobody reads from; -ECONNRESET: a terminal that
 * has been hung up; -EMFILE, -ENFILE, -ENOMEM.
 */
int shmux__bytes_open(int in, int out, enum shmux_role role,
		      struct shmux__link **link);

/*
 * To a child that has just been started: from then on it is the link's, which
 * ends it as it closes; on failure too. When it ends, the link does.
 */
int shmux__bytes_open_child(struct shmux__child *child, int fd,
			    enum shmux_role role, struct shmux__link **link);

/* Return: the child at the other end, or NULL. */
struct shmux__child *shmux__bytes_child(struct shmux__link *l);

/* For tests, as 2^31 streams take long: ids are left for @left that we open. */
void shmux__bytes_leave_ids(struct shmux__link *l, uint32_t left);

#endif /* SHMUX_LINK_BYTES_H */
