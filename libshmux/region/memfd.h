/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memfd.h - a region made of two sealed memfds, futexes and the rendezvous socket
 *
 * The hello builds one step by step: open, then make and take in either order,
 * then watch. What has not been done yet is absent, and close copes with that.
 */
#ifndef SHMUX_REGION_MEMFD_H
#define SHMUX_REGION_MEMFD_H

#include <stdint.h>

#include <shmux/common.h>
#include <shmux/session.h>

struct shmux__region;

/*
 * A region that has only its socket, @fd: the region's from now on, on failure
 * it stays the caller's. Return: 0 or -ENOMEM.
 */
int shmux__memfd_open(int fd, enum shmux_role role,
		      struct shmux__region **region);

/*
 * Make our own memory: zeroed, mapped, and sealed so that nobody else can ever
 * write it or change its size. Return: a memfd, the caller's to hand to the
 * peer and to close; -EINVAL for a size that is not in whole pages or out of
 * range; -EFBIG: above RLIMIT_FSIZE; or another -errno.
 */
int shmux__memfd_make(struct shmux__region *region, uint32_t size);

/*
 * Verify and map the peer's memory. @memfd stays the caller's. Return: 0;
 * -E2BIG: @size, as the peer announced it, is above @size_max; -EPROTO: not a
 * memfd of that size, sealed as ours are; -ENOMEM or another -errno of ours.
 */
int shmux__memfd_take(struct shmux__region *region, int memfd, uint32_t size,
		      uint64_t size_max);

/*
 * Say who the peer is and watch for its death. @pidfd is as it came with
 * SCM_PIDFD, the region's from now on, or -1: then it is opened by the pid. A
 * peer that is dead already is no error. Return: 0; -EMFILE, -ENFILE, -ENOMEM.
 */
int shmux__memfd_watch(struct shmux__region *region,
		       const struct shmux_peer *identity, int pidfd);

#endif /* SHMUX_REGION_MEMFD_H */
