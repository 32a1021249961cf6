/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hello_kind.h - what one kind of hello provides, and what all have in common
 *
 * For hello.c and the kinds themselves. Each begins with struct shmux__hello.
 */
#ifndef SHMUX_REGION_HELLO_KIND_H
#define SHMUX_REGION_HELLO_KIND_H

#include "region/hello.h"
#include "region/region.h"

struct shmux__hello_ops {
	/*
	 * Go on without waiting. Return: 0: @region is whole; -EAGAIN; or how it
	 * has ended, @was_refused if by the other side. Not called again then.
	 */
	int (*step)(struct shmux__hello *h);

	/* What @fd is polled for until the next step. */
	short (*events)(const struct shmux__hello *h);

	/* Let go of everything but @region, and free. */
	void (*free)(struct shmux__hello *h);
};

struct shmux__hello {
	const struct shmux__hello_ops *ops;
	struct shmux__hello_params params;
	enum shmux_role role;
	int fd; /* the region's, which closes it */
	struct shmux__region *region;
	struct shmux_peer peer;
	bool was_answered;		/* by @peer */
	bool was_refused; /* by the other side: @err is its */
	bool spent; /* over, @err being how */
	int err;
};

/* Over a connected AF_UNIX socket. As shmux__hello_open(). */
int shmux__hello_memfd_open(int fd, enum shmux_role role, const struct shmux__hello_params *params,
			    struct shmux__hello **hello);

/* Over a file of the device's. Likewise. */
int shmux__hello_kmod_open(int fd, enum shmux_role role,
			   const struct shmux__hello_params *params,
			   struct shmux__hello **hello);

/*
 * Ask whoever decides about @h->peer, which has come by @socket, or -1. Return:
 * 0 or -errno.
 */
int shmux__hello_admit(const struct shmux__hello *h, int socket);

#endif /* SHMUX_REGION_HELLO_KIND_H */
