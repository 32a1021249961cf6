/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * inet.h - hosts and ports: to what they lead, and connections to them
 *
 * A name of a host is looked up by getaddrinfo(3), which takes as long as it
 * likes; a number takes no time. An empty host is the machine itself: all of its
 * addresses for who listens, the loopback ones for who connects.
 */
#ifndef SHMUX_REGION_INET_H
#define SHMUX_REGION_INET_H

#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/*
 * Return: 0 and what is to be freed by freeaddrinfo(); -ENOENT: there is no such
 * name; -EHOSTUNREACH: nobody can be asked; or another -errno.
 */
int shmux__inet_resolve(const char *host, uint16_t port, bool listens,
			struct addrinfo **found);

/* The port of an address of IPv4 or IPv6; the one that @fd is bound to. */
void shmux__inet_set_port(struct sockaddr *addr, uint16_t port);
int shmux__inet_port_of(int fd, uint16_t *port);

/*
 * Connect to the first address that can be. Return: descriptor, non-blocking;
 * -ETIMEDOUT; -ECANCELED (looked at every 50 ms); as the lookup; or as connect(2),
 * of the last address.
 */
int shmux__inet_connect(const char *host, uint16_t port, uint64_t deadline,
			const uint32_t *cancelled);

/*
 * Have small frames go out at once, and the peer's kernel asked for a sign of life
 * after @keepalive ns, as shmux/session.h has it.
 */
void shmux__inet_tune(int fd, uint64_t keepalive);

#endif /* SHMUX_REGION_INET_H */
