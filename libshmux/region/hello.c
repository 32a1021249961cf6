// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * hello.c - see hello.h
 *
 * Owns what is common to all kinds of hello; what is said is each kind's.
 */
#include "region/hello.h"

#include <errno.h>

#include "region/device.h"
#include "region/hello_kind.h"

int shmux__hello_open(int fd, enum shmux_role role, const struct shmux__hello_params *params,
		      struct shmux__hello **hello)
{
	if (shmux__device_is_of(fd))
		return shmux__hello_kmod_open(fd, role, params, hello);
	return shmux__hello_memfd_open(fd, role, params, hello);
}

int shmux__hello_step(struct shmux__hello *h, struct shmux__region **region)
{
	int err;

	if (h->spent)
		return h->err ? h->err : -EINVAL;
	err = h->ops->step(h);
	if (err == -EAGAIN)
		return err;
	h->spent = true;
	h->err = err;
	if (err)
		return err;
	*region = h->region;
	h->region = NULL;
	return 0;
}

int shmux__hello_admit(const struct shmux__hello *h, int socket)
{
	int err;

	if (!h->params.admit)
		return 0;
	err = h->params.admit(h->params.arg, &h->peer, socket);
	/* -EAGAIN would have our caller step on. */
	return err > 0 || err == -EAGAIN ? -EACCES : err;
}

int shmux__hello_fd(const struct shmux__hello *h)
{
	return h->fd;
}

short shmux__hello_events(const struct shmux__hello *h)
{
	return h->ops->events(h);
}

const struct shmux_peer *shmux__hello_peer(const struct shmux__hello *h)
{
	return &h->peer;
}

bool shmux__hello_was_answered(const struct shmux__hello *h)
{
	return h->was_answered;
}

bool shmux__hello_was_refused(const struct shmux__hello *h)
{
	return h->was_refused;
}

void shmux__hello_close(struct shmux__hello *h)
{
	struct shmux__region *region;

	if (!h)
		return;
	region = h->region;
	h->ops->free(h);
	if (region)
		region->ops->close(region);
}
