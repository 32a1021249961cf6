/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * kmod.h - a region that /dev/shmux makes, rings and watches
 *
 * The hello builds one step by step: open, then make, then, once the two have
 * met, take. What has not been done yet is absent, and close copes with that.
 */
#ifndef SHMUX_REGION_KMOD_H
#define SHMUX_REGION_KMOD_H

#include <stdint.h>

#include <shmux/common.h>
#include <shmux/session.h>

struct shmux__region;

/*
 * A region that has only its end, @fd: the region's from now on, on failure it
 * stays the caller's. Return: 0 or -ENOMEM.
 */
int shmux__kmod_open(int fd, enum shmux_role role,
		     struct shmux__region **region);

/*
 * Make our own memory: zeroed and mapped, the first @populate bytes there at
 * once. We take one of at most @peer_size_max of the peer's. Return: 0;
 * -E2BIG: one is larger than the other side takes; -EDQUOT; -ENOMEM; -EINVAL:
 * not in whole pages or out of range; or another -errno.
 */
int shmux__kmod_make(struct shmux__region *region, uint32_t size,
		     uint32_t populate, uint64_t peer_size_max);

/*
 * Map the peer's memory of @size bytes, and say who it is. Return: 0; -EPROTO:
 * a size that cannot be; -ENOMEM; or another -errno of ours.
 */
int shmux__kmod_take(struct shmux__region *region, uint32_t size,
		     const struct shmux_peer *identity);

#endif /* SHMUX_REGION_KMOD_H */
