/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* futex.h - sleeping on a word of this process's own, and waking */
#ifndef SHMUX_BASE_FUTEX_H
#define SHMUX_BASE_FUTEX_H

#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* Sleep while *@word == @seen, at most @timeout ns. Return: 0 or -ETIMEDOUT. */
static inline int shmux_futex_wait(const uint32_t *word, uint32_t seen,
				   uint64_t timeout)
{
	struct timespec ts = shmux_clock_timespec(timeout);
	int saved = errno;
	int err = 0;

	if (syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen,
		    timeout == UINT64_MAX ? NULL : &ts, NULL, 0) &&
	    errno == ETIMEDOUT)
		err = -ETIMEDOUT;
	errno = saved;
	return err;
}

static inline void shmux_futex_wake(const uint32_t *word, int nr)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, nr, NULL, NULL, 0);
	errno = saved;
}

#endif /* SHMUX_BASE_FUTEX_H */
