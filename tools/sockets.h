/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_SOCKETS_H
#define SHMUX_TOOLS_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <shmux/common.h>

/* The rendezvous socket of a listener, or of one session on its side. */
struct socket {
	unsigned int inode;
	unsigned int peer;		/* inode of the dialler's socket; 0: not known */
	bool listens;
	bool has_uid;
	uid_t uid;			/* who made it */
	char address[SHMUX_ADDRESS_MAX];
};

struct sockets {
	struct socket *all;		/* by inode */
	size_t nr;
};

/*
 * shmux's sockets in our network namespace. Return: 0 or -errno.
 */
int sockets_open(struct sockets *s);
void sockets_close(struct sockets *s);

#endif /* SHMUX_TOOLS_SOCKETS_H */
