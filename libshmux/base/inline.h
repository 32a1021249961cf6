/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* inline.h - functions that are a part of their caller, whatever their size */
#ifndef SHMUX_BASE_INLINE_H
#define SHMUX_BASE_INLINE_H

/* Of the straight lines through the library: there a call costs what it does. */
#define SHMUX_INLINE static inline __attribute__((always_inline))

/* What they leave aside, so that it does not take their registers. */
#define SHMUX_ASIDE __attribute__((noinline))

#endif /* SHMUX_BASE_INLINE_H */
