/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copy_past.h - copying what another processor will read, past our caches */
#ifndef SHMUX_BASE_COPY_PAST_H
#define SHMUX_BASE_COPY_PAST_H

#include <stddef.h>

#ifdef __x86_64__
#define SHMUX_CAN_COPY_PAST 1
#else
#define SHMUX_CAN_COPY_PAST 0
#endif

/* As memcpy, whatever the alignment; what is stored after it is seen after it. */
void shmux_copy_past(void *dst, const void *src, size_t n);

#endif /* SHMUX_BASE_COPY_PAST_H */
