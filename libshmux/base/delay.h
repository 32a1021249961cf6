/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * delay.h - where a test may hold a thread up
 *
 * Between two steps of a protocol between threads, so that what another does
 * meanwhile is tried, however unlikely. Nothing unless SHMUX_TEST_DELAYS is
 * defined; then a program that has a shmux__test_delay() has it called.
 */
#ifndef SHMUX_BASE_DELAY_H
#define SHMUX_BASE_DELAY_H

#ifdef SHMUX_TEST_DELAYS

void shmux__test_delay(void) __attribute__((weak));

static inline void shmux_delay(void)
{
	if (shmux__test_delay)
		shmux__test_delay();
}

#else

static inline void shmux_delay(void)
{
}

#endif

#endif /* SHMUX_BASE_DELAY_H */
