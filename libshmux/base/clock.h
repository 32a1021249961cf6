/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* clock.h - CLOCK_MONOTONIC in nanoseconds, and what is left until a deadline */
#ifndef SHMUX_BASE_CLOCK_H
#define SHMUX_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SHMUX_NSEC_PER_SEC UINT64_C(1000000000)

static inline uint64_t shmux_clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * SHMUX_NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Nanoseconds from now until @deadline, 0 if it has passed. */
static inline uint64_t shmux_clock_left(uint64_t deadline)
{
	uint64_t now;

	if (deadline == UINT64_MAX)
		return UINT64_MAX;
	now = shmux_clock_now();
	return deadline > now ? deadline - now : 0;
}

static inline struct timespec shmux_clock_timespec(uint64_t ns)
{
	struct timespec ts = {
		.tv_sec = (time_t)(ns / SHMUX_NSEC_PER_SEC),
		.tv_nsec = (long)(ns % SHMUX_NSEC_PER_SEC),
	};

	return ts;
}

#endif /* SHMUX_BASE_CLOCK_H */
