// SPDX-License-Identifier: LGPL-2.1-or-later
/* stray.c - see stray.h */
#include "stray.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool stray_can_be_forbidden(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;
	bool can = !setsockopt(fd, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &off, sizeof(off));

	close(fd);
	return can;
}

int stray_send(int socket, const void *bytes, size_t nr, int fd, int flags)
{
	struct iovec iov = { .iov_base = (void *)bytes, .iov_len = nr };
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control = { .header = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	n = sendmsg(socket, &msg, MSG_NOSIGNAL | flags);
	if (n < 0)
		return -errno;
	return n == (ssize_t)nr ? 0 : -EAGAIN;
}

int stray_lingering(int seconds, int *listening)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct linger linger = { 1, seconds };
	static const char bytes[65536];
	socklen_t len = sizeof(addr);
	int fd;

	*listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(*listening, (struct sockaddr *)&addr, len) || listen(*listening, 1) ||
	    getsockname(*listening, (struct sockaddr *)&addr, &len))
		return -1;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&addr, len))
		return -1;
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	return fd;
}
