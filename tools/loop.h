/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* loop.h - how a loop waits for the events of its epoll descriptor */
#ifndef TOOLS_LOOP_H
#define TOOLS_LOOP_H

#include <stdint.h>

struct epoll_event;

/* How long a loop spins: learned. Begins as 0. */
struct loop_spin {
	uint64_t now;		/* ns */
	unsigned int crowded;	/* waits for which it does not */
};

/*
 * As epoll_wait(2). Where events come soon after one another, it polls for a while
 * before it sleeps, since to wake takes longer; others that want the CPU have it.
 */
int loop_wait(struct loop_spin *spin, int epoll, struct epoll_event *events, int max,
	      int timeout_ms);

#endif /* TOOLS_LOOP_H */
