/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * delays.h - hold threads up at random where the library lets a test do so
 *
 * Where one thread hands over to another (base/delay.h), in a build with
 * SHMUX_TEST_DELAYS. Included by one file of a program.
 */
#ifndef TESTS_TRUST_DELAYS_H
#define TESTS_TRUST_DELAYS_H

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/delay.h"
#include "pattern.h"

static uint32_t delays_on;

static inline void delays_set(bool on)
{
	shmux_store_relaxed(&delays_on, on);
}

/* Whether there are any in this build. */
static inline bool delays_possible(void)
{
#ifdef SHMUX_TEST_DELAYS
	return true;
#else
	return false;
#endif
}

/* Called by the library. */
void shmux__test_delay(void)
{
	static __thread uint64_t random;
	int saved = errno;

	if (!shmux_load_relaxed(&delays_on))
		return;
	if (!random)
		random = (uint64_t)gettid();
	switch (random_between(&random, 0, 7)) {
	case 0:
		usleep(random_between(&random, 0, 200));
		break;
	case 1:
	case 2:
		sched_yield();
		break;
	}
	errno = saved;
}

#endif /* TESTS_TRUST_DELAYS_H */
