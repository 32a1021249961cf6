// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * device.c - see device.h
 *
 * Owns the ways to ask for a file of the device's, and for what listens and
 * connects there. Ends are the hello's and the region's.
 */
#include "region/device.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/shmux.h>

int shmux__device_open(void)
{
	int fd = open(SHMUX_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	return errno == ENOENT || errno == ENXIO ? -ENODEV : -errno;
}

bool shmux__device_is_of(int fd)
{
	struct shmux_ioc_peer peer = { .size = sizeof(peer) };

	/* Nobody else knows the request, or would refuse it so. */
	return !ioctl(fd, SHMUX_IOC_PEER, &peer) || errno == EBADFD ||
	       errno == ENOTCONN;
}

/* Names that an address holds fit. */
static void set_name(__u8 field[SHMUX_NAME_SIZE], const char *name)
{
	memcpy(field, name, strnlen(name, SHMUX_NAME_MAX));
}

int shmux__device_listen(const char *name, unsigned int backlog, mode_t mode,
			 uid_t uid, gid_t gid)
{
	struct shmux_ioc_listen listen = {
		.size = sizeof(listen),
		.flags = SHMUX_LISTEN_UID | SHMUX_LISTEN_GID,
		.backlog = backlog,
		.mode = mode,
		.uid = uid,
		.gid = gid,
	};
	int err, fd = shmux__device_open();

	if (fd < 0)
		return fd;
	set_name(listen.name, name);
	if (ioctl(fd, SHMUX_IOC_LISTEN, &listen)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

void shmux__device_unlisten(int listener)
{
	struct shmux_ioc_hang_up hang_up = { .size = sizeof(hang_up) };

	ioctl(listener, SHMUX_IOC_HANG_UP, &hang_up);
	close(listener);
}

int shmux__device_accept(int listener)
{
	struct shmux_ioc_accept accept = { .size = sizeof(accept) };
	int err;

	do {
		err = ioctl(listener, SHMUX_IOC_ACCEPT, &accept);
	} while (err && errno == EINTR);
	return err ? -errno : accept.fd;
}

int shmux__device_connect(int fd, const char *name, uint64_t timeout)
{
	struct shmux_ioc_connect connect = {
		.size = sizeof(connect),
		.timeout = timeout,
	};

	set_name(connect.name, name);
	if (!ioctl(fd, SHMUX_IOC_CONNECT, &connect))
		return 0;
	return errno == EINTR || errno == ETIMEDOUT ? -EAGAIN : -errno;
}

int shmux__device_peer(int fd, struct shmux_peer *peer, uint32_t *region_size)
{
	struct shmux_ioc_peer ask = { .size = sizeof(ask) };

	if (ioctl(fd, SHMUX_IOC_PEER, &ask))
		return -errno;
	*peer = (struct shmux_peer){
		.pid = ask.pid,
		.uid = ask.uid,
		.gid = ask.gid,
	};
	*region_size = ask.region_size;
	return 0;
}

int shmux__device_pair(int fds[2])
{
	struct shmux_ioc_pair pair = { .size = sizeof(pair) };
	int err, fd = shmux__device_open();

	if (fd < 0)
		return fd;
	if (ioctl(fd, SHMUX_IOC_PAIR, &pair)) {
		err = -errno;
		close(fd);
		return err;
	}
	fds[0] = fd;
	fds[1] = pair.fd;
	return 0;
}
