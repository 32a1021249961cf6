// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * hello_kmod.c - the rendezvous of two regions that the module makes
 *
 * Owns the end of the device and the half-made region until the two have met.
 * What is in the region's memory is written by @format and read by the link;
 * who may come is for @admit to say.
 *
 *   dialler, or either end of a pair      acceptor
 *   makes its region
 *   connects, and so is ready             asks who it is, admits
 *                                         makes its region
 *   both meet                             or refuses, saying why
 *   asks who it is, admits, maps          maps
 *
 * Who has connected is ready, so an acceptor never waits.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/shmux.h>

#include "region/device.h"
#include "region/hello_kind.h"
#include "region/kmod.h"

#define ERRNO_MAX 4095

static int make_region(struct shmux__hello *h)
{
	const struct shmux__hello_params *p = &h->params;
	int err = shmux__kmod_make(h->region, p->size, p->populate,
				   p->peer_size_max);

	if (!err && p->format)
		p->format(p->arg, h->region->own);
	return err;
}

static void refuse(struct shmux__hello *h, int err)
{
	struct shmux_ioc_meet meet = {
		.size = sizeof(meet),
		.refuse = (uint32_t)-err,
	};

	if (err < -ERRNO_MAX)
		meet.refuse = EACCES;
	ioctl(h->fd, SHMUX_IOC_MEET, &meet);
}

/* Return: 0; -EAGAIN; -ECONNRESET; or why the other side refuses us. */
static int meet(struct shmux__hello *h)
{
	struct shmux_ioc_meet meet = { .size = sizeof(meet) };

	if (!ioctl(h->fd, SHMUX_IOC_MEET, &meet))
		return 0;
	switch (errno) {
	case EINTR:
		return -EAGAIN;
	case EBADFD:		/* nothing yet, or a listener */
		return -EINVAL;
	case ECONNABORTED:
		h->was_refused = true;
		/* -EAGAIN would have our caller step on. */
		if (!meet.refusal || meet.refusal > ERRNO_MAX ||
		    meet.refusal == EAGAIN)
			return -EPROTO;
		return -(int)meet.refusal;
	default:
		return -errno;
	}
}

/* Let in who has connected, or tell it why not. */
static int answer(struct shmux__hello *h)
{
	int err = shmux__hello_admit(h, -1);

	if (!err)
		err = make_region(h);
	if (err)
		refuse(h, err);
	return err;
}

static int hello_step(struct shmux__hello *h)
{
	uint32_t size = 0;
	int err, peer_err;

	if (!h->region->own) {
		err = answer(h);
		if (err)
			return err;
	}
	err = meet(h);
	if (err == -EAGAIN)
		return err;
	/* Also of one that refuses us. */
	if (!err || h->was_refused) {
		peer_err = shmux__device_peer(h->fd, &h->peer, &size);
		h->was_answered = !peer_err;
		err = err ? err : peer_err;
	}
	if (!err && h->role == SHMUX_ROLE_DIALLER)
		err = shmux__hello_admit(h, -1);
	if (!err)
		err = shmux__kmod_take(h->region, size, &h->peer);
	return err;
}

static short hello_events(const struct shmux__hello *h)
{
	(void)h;
	return POLLOUT;
}

static void hello_free(struct shmux__hello *h)
{
	free(h);
}

static const struct shmux__hello_ops kmod_hello_ops = {
	.step = hello_step,
	.events = hello_events,
	.free = hello_free,
};

int shmux__hello_kmod_open(int fd, enum shmux_role role,
			   const struct shmux__hello_params *params,
			   struct shmux__hello **hello)
{
	struct shmux__hello *h;
	uint32_t size = 0;
	int err;

	h = calloc(1, sizeof(*h));
	if (!h) {
		err = -ENOMEM;
		goto err_close;
	}
	h->ops = &kmod_hello_ops;
	h->params = *params;
	h->role = role;
	h->fd = fd;
	err = shmux__kmod_open(fd, role, &h->region);
	if (err)
		goto err_free;

	/* Of a pair's ends either may come first. */
	if (role == SHMUX_ROLE_DIALLER || !params->in_person)
		err = make_region(h);
	else
		err = shmux__device_peer(h->fd, &h->peer, &size);
	if (err) {
		shmux__hello_close(h);
		return err;
	}
	*hello = h;
	return 0;

err_free:
	free(h);
err_close:
	close(fd);
	return err;
}
