/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server.h - what a command that serves asks of its process */
#ifndef TOOLS_SERVER_H
#define TOOLS_SERVER_H

#include <stdint.h>

/* As many descriptors as it may have. Without them it serves fewer. */
void server_allow_many_descriptors(void);

/*
 * SIGTERM, SIGINT and @more, if not 0, are read from now on, and not delivered.
 * Return: a signalfd(2), close-on-exec, without waiting; or -1 and errno.
 */
int server_open_signals(int more);

struct epoll_event;

/* How long a loop spins: learned. Begins as 0. */
struct server_spin {
	uint64_t now;		/* ns */
	unsigned int crowded;	/* waits for which it does not */
};

/*
 * As epoll_wait(2). Where events come soon after one another, it polls for a while
 * before it sleeps, since to wake takes longer; others that want the CPU have it.
 */
int server_wait(struct server_spin *spin, int epoll, struct epoll_event *events, int max,
		int timeout_ms);

#endif /* TOOLS_SERVER_H */
