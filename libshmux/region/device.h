/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device.h - names and connections of /dev/shmux
 *
 * What is asked of the device is in uapi/linux/shmux.h; here it is in our
 * errnos. Descriptors are close-on-exec.
 */
#ifndef SHMUX_REGION_DEVICE_H
#define SHMUX_REGION_DEVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <shmux/common.h>

/* A file that is nothing yet. Return: descriptor; -ENODEV: no module; -errno. */
int shmux__device_open(void);

/* Whether @fd is of the device, whatever it has become. */
bool shmux__device_is_of(int fd);

/*
 * Take a name. @uid and @gid decide with @mode who may connect. Return: a
 * listener, readable when shmux__device_accept() has something to do;
 * -EADDRINUSE; as shmux__device_open(); or another -errno.
 */
int shmux__device_listen(const char *name, unsigned int backlog, mode_t mode,
			 uid_t uid, gid_t gid);

/* Give the name up, although a forked child may have the listener, too. */
void shmux__device_unlisten(int listener);

/* The next that has connected: its end. Return: descriptor, -EAGAIN or -errno. */
int shmux__device_accept(int listener);

/*
 * Have @fd, which has a region, join the queue of who listens by @name; for room
 * in it wait at most @timeout ns. Return: 0; -EAGAIN: there was none; -ECONNREFUSED:
 * nobody listens; -EACCES: not to us; or another -errno.
 */
int shmux__device_connect(int fd, const char *name, uint64_t timeout);

/*
 * Who is at the other end of @fd, which has connected, or has found no room, or is
 * met. Until then it is who listens, and has no region. Return: 0; -ENOTCONN; or
 * another -errno.
 */
int shmux__device_peer(int fd, struct shmux_peer *peer, uint32_t *region_size);

/* Two ends, joined, without regions. Return: 0 or -errno. */
int shmux__device_pair(int fds[2]);

#endif /* SHMUX_REGION_DEVICE_H */
