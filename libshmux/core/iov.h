/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* iov.h - the sum of a list of buffers */
#ifndef SHMUX_CORE_IOV_H
#define SHMUX_CORE_IOV_H

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <sys/uio.h>

/* Return: 0 and the bytes in all, or -EINVAL if they cannot be told. */
static inline int shmux__iov_size(const struct iovec *iov, int nr, size_t *size)
{
	size_t sum = 0, seen = 0;
	int i;

	*size = 0;
	if (nr < 0)
		return -EINVAL;
	for (i = 0; i < nr; i++) {
		sum += iov[i].iov_len;
		/* What has no top bit does not overflow with its like. */
		seen |= sum | iov[i].iov_len;
	}
	if (seen > (size_t)SSIZE_MAX)
		return -EINVAL;
	*size = sum;
	return 0;
}

#endif /* SHMUX_CORE_IOV_H */
