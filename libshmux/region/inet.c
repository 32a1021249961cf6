// SPDX-License-Identifier: LGPL-2.1-or-later
/* inet.c - see inet.h */
#include "region/inet.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/clock.h"

#define SLICE UINT64_C(50000000)	/* ns between looks at @cancelled */

static int errno_of(int gai)
{
	switch (gai) {
	case 0:
		return 0;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_AGAIN:
		return -EHOSTUNREACH;
	case EAI_SYSTEM:
		return errno ? -errno : -EHOSTUNREACH;
	default:
		return -ENOENT;
	}
}

int shmux__inet_resolve(const char *host, uint16_t port, bool listens,
			struct addrinfo **found)
{
	struct addrinfo hints = {
		.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST |
			    (listens ? AI_PASSIVE : 0),
		.ai_socktype = SOCK_STREAM,
	};
	char service[8];
	int err;

	snprintf(service, sizeof(service), "%u", port);
	err = getaddrinfo(*host ? host : NULL, service, &hints, found);
	if (err == EAI_NONAME) {
		hints.ai_flags &= ~AI_NUMERICHOST;
		err = getaddrinfo(*host ? host : NULL, service, &hints, found);
	}
	return errno_of(err);
}

void shmux__inet_set_port(struct sockaddr *addr, uint16_t port)
{
	if (addr->sa_family == AF_INET)
		((struct sockaddr_in *)addr)->sin_port = htons(port);
	else if (addr->sa_family == AF_INET6)
		((struct sockaddr_in6 *)addr)->sin6_port = htons(port);
}

int shmux__inet_port_of(int fd, uint16_t *port)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);

	memset(&addr, 0, sizeof(addr));
	if (getsockname(fd, (struct sockaddr *)&addr, &len))
		return -errno;
	*port = ntohs(addr.ss_family == AF_INET ?
			      ((struct sockaddr_in *)&addr)->sin_port :
			      ((struct sockaddr_in6 *)&addr)->sin6_port);
	return 0;
}

static void set(int fd, int level, int option, int value)
{
	setsockopt(fd, level, option, &value, sizeof(value));
}

/*
 * Not TCP_USER_TIMEOUT: it would also end a connection whose peer answers, but has
 * had no room for longer than that.
 */
void shmux__inet_tune(int fd, uint64_t keepalive)
{
	int idle = (int)(keepalive / SHMUX_NSEC_PER_SEC);

	set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (!idle)
		return;
	set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle);
	set(fd, IPPROTO_TCP, TCP_KEEPINTVL, idle < 3 ? 1 : idle / 3);
	set(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
}

/* Until it is connected, or not. */
static int wait_connected(int fd, uint64_t deadline, const uint32_t *cancelled)
{
	struct pollfd pfd = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	struct timespec ts;
	uint64_t left;
	int err;

	for (;;) {
		left = shmux_clock_left(deadline);
		ts = shmux_clock_timespec(left < SLICE ? left : SLICE);
		if (ppoll(&pfd, 1, &ts, NULL) > 0)
			break;
		if (!left)
			return -ETIMEDOUT;
		/* Pairs with whoever cancels; there is nothing else to order. */
		if (cancelled && shmux_load_relaxed(cancelled))
			return -ECANCELED;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len))
		return -errno;
	return -err;
}

static int connect_to(const struct addrinfo *ai, uint64_t deadline,
		      const uint32_t *cancelled)
{
	int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			0);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (connect(fd, ai->ai_addr, ai->ai_addrlen))
		err = -errno;
	/* For want of something of the kernel's, not of a moment. */
	if (err == -EAGAIN)
		err = -ENOMEM;
	/* One that is interrupted goes on as one that need not wait. */
	if (err == -EINPROGRESS || err == -EINTR)
		err = wait_connected(fd, deadline, cancelled);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int shmux__inet_connect(const char *host, uint16_t port, uint64_t deadline,
			const uint32_t *cancelled)
{
	struct addrinfo *found, *ai;
	int fd = -ENOENT, err;

	err = shmux__inet_resolve(host, port, false, &found);
	if (err)
		return err;
	for (ai = found; ai; ai = ai->ai_next) {
		fd = connect_to(ai, deadline, cancelled);
		if (fd >= 0 || fd == -ECANCELED || !shmux_clock_left(deadline))
			break;
	}
	freeaddrinfo(found);
	return fd;
}
