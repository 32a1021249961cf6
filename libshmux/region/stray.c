// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * stray.c - see stray.h
 *
 * What is left to a hostile peer: a file of its own file system (FUSE), whose
 * close waits for the answer of who serves it; a Unix socket with one that lingers
 * in its queue; and what it sends while we have no descriptor free, because then
 * the kernel drops it.
 */
#include "region/stray.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

/* Linux 6.16; a few architectures number their socket options otherwise. */
#if !defined(SO_PASSRIGHTS) && !defined(__sparc__) && !defined(__hppa__)
#define SO_PASSRIGHTS 83
#endif

/* Far more messages, or pages, than a socket's buffer holds. */
#define LEFT_MAX 4096

void shmux__stray_close(int fd)
{
	static const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	static const struct linger off;

	/*
	 * Disconnected too: then it has nothing left to linger over, should
	 * somebody who still has it turn that on again.
	 */
	if (!setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof(off)))
		connect(fd, &nobody, sizeof(nobody));
	close(fd);
}

static void close_all(struct msghdr *msg)
{
	struct cmsghdr *c;
	size_t i, nr;
	int fd;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		/* A pidfd is the kernel's, asked for while a hello was awaited. */
		if (c->cmsg_level != SOL_SOCKET ||
		    (c->cmsg_type != SCM_RIGHTS && c->cmsg_type != SCM_PIDFD))
			continue;
		nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (i = 0; i < nr; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (fd >= 0)
				shmux__stray_close(fd);
		}
	}
}

static int drain(int socket, int max, bool packets)
{
	union {
		char bytes[SHMUX_STRAY_SPACE];
		struct cmsghdr align;
	} control;
	char bytes[4096];
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };

	while (max--) {
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.bytes,
			.msg_controllen = sizeof(control.bytes),
		};
		ssize_t n = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0 && errno != EINTR)
			return -ECONNRESET;
		if (n < 0)
			continue;
		close_all(&msg);
		/*
		 * A packet of no bytes looks like the end, but for what it brings. A
		 * stream has none, and its end may bring credentials: nobody's.
		 */
		if (n == 0 && (!packets || !msg.msg_controllen))
			return -ECONNRESET;
	}
	return -EAGAIN;
}

int shmux__stray_drain(int socket, int max)
{
	return drain(socket, max, true);
}

ssize_t shmux__stray_recv(int socket, const struct iovec *iov, int nr, int flags)
{
	union {
		char bytes[SHMUX_STRAY_SPACE];
		struct cmsghdr align;
	} control;
	struct msghdr msg = {
		.msg_iov = (struct iovec *)iov,
		.msg_iovlen = (size_t)nr,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	ssize_t n = recvmsg(socket, &msg, flags | MSG_CMSG_CLOEXEC);

	if (n >= 0 && msg.msg_controllen)
		close_all(&msg);
	return n;
}

void shmux__stray_inline(int socket)
{
	const int on = 1;

	setsockopt(socket, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
}

bool shmux__stray_forbid(int socket)
{
#ifdef SO_PASSRIGHTS
	const int off = 0;

	return !setsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
#else
	(void)socket;
	return false;
#endif
}

void shmux__stray_shutdown(int socket)
{
	socklen_t len = sizeof(int);
	const int on = 1;
	int type;

	if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &len))
		return;
	/* Nothing more comes; every packet, also an empty one, brings something. */
	shutdown(socket, SHUT_RDWR);
	setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	shmux__stray_inline(socket);
	drain(socket, LEFT_MAX, type != SOCK_STREAM);
}
