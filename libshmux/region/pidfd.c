// SPDX-License-Identifier: LGPL-2.1-or-later
/* pidfd.c - see pidfd.h */
#include "region/pidfd.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 6.5; a few architectures number their socket options otherwise. */
#if !defined(SO_PEERPIDFD) && !defined(__sparc__) && !defined(__hppa__)
#define SO_PEERPIDFD 77
#endif

/* @err, a positive errno, as pidfd.h has it. */
static int failed(int err)
{
	switch (err) {
	case ESRCH:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return -err;
	default:		/* not there, or a sandbox that forbids it */
		return -1;
	}
}

int shmux__pidfd_open(pid_t pid)
{
	int fd;

	if (pid <= 0)		/* in a pid namespace that we do not see */
		return -1;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? failed(errno) : fd;
}

static int open_peer(int socket)
{
	struct ucred cred;
	socklen_t len;
#ifdef SO_PEERPIDFD
	int fd;

	len = sizeof(fd);
	if (!getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &len))
		return fd;
	/* Up to Linux 6.14 that is all that is said of one who is dead and gone. */
	if (errno == EINVAL)
		return -ESRCH;
	if (errno != ENOPROTOOPT)
		return failed(errno);
#endif
	len = sizeof(cred);
	if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return -1;
	return shmux__pidfd_open(cred.pid);
}

bool shmux__pidfd_peer_is_dead(int socket)
{
	struct pollfd fd = { .fd = open_peer(socket), .events = POLLIN };
	bool dead = fd.fd == -ESRCH;

	if (fd.fd >= 0) {
		dead = poll(&fd, 1, 0) > 0;
		close(fd.fd);
	}
	return dead;
}
