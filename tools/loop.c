// SPDX-License-Identifier: LGPL-2.1-or-later
/* loop.c - see loop.h */
#include "loop.h"

#include <sched.h>
#include <shmux/common.h>
#include <stdbool.h>
#include <sys/epoll.h>

#define SPIN_MOST	UINT64_C(50000)	/* ns; about what it takes to wake */
#define SPIN_LEAST	UINT64_C(1000)
#define YIELD_LONG	UINT64_C(100000)	/* ns; somebody else has had a turn meanwhile */
#define CROWDED_WAITS	64u

static void learn(struct loop_spin *spin, uint64_t took, bool crowded)
{
	if (crowded)
		spin->crowded = CROWDED_WAITS;
	if (spin->crowded) {
		spin->crowded--;
		spin->now = 0;
	} else if (took <= SPIN_MOST) {
		spin->now = SPIN_MOST;
	} else {
		spin->now = spin->now > 2 * SPIN_LEAST ? spin->now / 2 : 0;
	}
}

int loop_wait(struct loop_spin *spin, int epoll, struct epoll_event *events, int max,
	      int timeout_ms)
{
	int n = epoll_wait(epoll, events, max, 0);
	uint64_t begun, now, before;
	bool crowded = false;

	if (n || !timeout_ms)
		return n;
	begun = now = shmux_now();
	while (!n && now - begun < spin->now) {
		before = now;
		sched_yield();
		n = epoll_wait(epoll, events, max, 0);
		now = shmux_now();
		crowded |= now - before > YIELD_LONG;
	}
	if (!n) {
		n = epoll_wait(epoll, events, max, timeout_ms);
		now = shmux_now();
	}
	learn(spin, now - begun, crowded);
	return n;
}
