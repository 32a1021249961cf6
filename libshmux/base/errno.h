/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* errno.h - calls into libc that are to leave our caller's errno alone */
#ifndef SHMUX_BASE_ERRNO_H
#define SHMUX_BASE_ERRNO_H

#include <errno.h>

/* The value of @expr, which may change errno: it is as before afterwards. */
#define SHMUX_KEEP_ERRNO(expr)                                                 \
	({                                                                     \
		int saved_ = errno;                                            \
		__typeof__(expr) value_ = (expr);                              \
		errno = saved_;                                                \
		value_;                                                        \
	})

#endif /* SHMUX_BASE_ERRNO_H */
