/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * endpoint.h - the socket that a name stands for in the kernel
 *
 * Close-on-exec. Abstract names and paths, of SOCK_SEQPACKET for shared memory and
 * of SOCK_STREAM for bytes; and ports.
 */
#ifndef SHMUX_REGION_ENDPOINT_H
#define SHMUX_REGION_ENDPOINT_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "base/list.h"

struct shmux__endpoint {
	int fd;				/* listening, non-blocking */
	int type;
	struct sockaddr_un addr;	/* none: a port's */
	socklen_t addr_len;
	pid_t owner;			/* a forked child leaves the path alone */
	dev_t dev;			/* of a path: which file is ours */
	ino_t ino;
	struct shmux_list node;		/* of all endpoints, for fork */
};

/*
 * Bind and listen. @e stays where it is until close. A path is probed, unlinked
 * if dead and bound under a lock on PATH.lock; it gets @mode, and @uid and @gid
 * unless they are -1.
 */
int shmux__endpoint_open(struct shmux__endpoint *e,
			 const struct sockaddr_un *addr, socklen_t addr_len,
			 int type, int backlog, mode_t mode, uid_t uid,
			 gid_t gid);

/* Listen to @addr, of TCP; IPv6's without those of IPv4 that it may stand for. */
int shmux__endpoint_open_inet(struct shmux__endpoint *e,
			      const struct sockaddr *addr, socklen_t addr_len,
			      int backlog);

/* Stop listening; unlink a path if it is still ours. */
void shmux__endpoint_close(struct shmux__endpoint *e);

/* The next connection, non-blocking. Return: descriptor, -EAGAIN or -errno. */
int shmux__endpoint_accept(struct shmux__endpoint *e);

/*
 * Connect. Waits while the listener's backlog is full, but at most until
 * @deadline (absolute, ns) or until *@cancelled becomes non-zero, which it
 * looks at every 50 ms. Return: descriptor, non-blocking; -ETIMEDOUT;
 * -ECANCELED; -ECONNREFUSED; -ENOENT; or another -errno.
 */
int shmux__endpoint_connect(const struct sockaddr_un *addr, socklen_t addr_len,
			    int type, uint64_t deadline,
			    const uint32_t *cancelled);

#endif /* SHMUX_REGION_ENDPOINT_H */
