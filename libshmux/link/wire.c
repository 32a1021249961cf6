// SPDX-License-Identifier: LGPL-2.1-or-later
/* wire.c - see wire.h */
#include "link/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/errno.h"
#include "region/stray.h"

/* What @fd is opened for: O_RDONLY, O_WRONLY, or O_RDWR; or a negative errno. */
static int mode_of(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -errno : flags & O_ACCMODE;
}

static int check_socket(int fd)
{
	socklen_t len = sizeof(int);
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len))
		return -errno;
	return type == SOCK_STREAM ? 0 : -EINVAL;
}

/* A pipe or a terminal? To open a master would be to make another terminal. */
static int check_other(int fd, const struct stat *st)
{
	const dev_t ptmx = makedev(5, 2);

	if (S_ISFIFO(st->st_mode))
		return 0;
	if (!S_ISCHR(st->st_mode) || st->st_rdev == ptmx)
		return -EINVAL;
	if (isatty(fd))
		return 0;
	return errno == EIO ? -ECONNRESET : -EINVAL;
}

/*
 * What stands for @fd from now on: itself if it is a socket, else a description of
 * our own. Return: a descriptor, close-on-exec, or a negative errno; @fd stays.
 */
static int own(int fd, int mode, bool *is_socket)
{
	char path[32];
	struct stat st;
	int err;

	if (fstat(fd, &st))
		return -errno;
	*is_socket = S_ISSOCK(st.st_mode);
	if (*is_socket) {
		err = check_socket(fd);
		if (!err && fcntl(fd, F_SETFD, FD_CLOEXEC))
			err = -errno;
		return err ? err : fd;
	}
	err = check_other(fd, &st);
	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return errno == EIO ? -ECONNRESET : -errno;
	return fd;
}

static bool reads(int mode)
{
	return mode == O_RDONLY || mode == O_RDWR;
}

static bool writes(int mode)
{
	return mode == O_WRONLY || mode == O_RDWR;
}

static int open_both(struct shmux__wire *w, int in, int out)
{
	int in_mode = mode_of(in), out_mode = mode_of(out);

	if (in_mode < 0 || out_mode < 0)
		return in_mode < 0 ? in_mode : out_mode;
	if (!reads(in_mode) || !writes(out_mode))
		return -EINVAL;
	w->in = own(in, in == out ? O_RDWR : O_RDONLY, &w->in_is_socket);
	if (w->in < 0)
		return w->in;
	if (in == out) {
		w->out = w->in;
		w->out_is_socket = w->in_is_socket;
		return 0;
	}
	w->out = own(out, O_WRONLY, &w->out_is_socket);
	if (w->out >= 0)
		return 0;
	if (w->in != in)
		close(w->in);
	return w->out;
}

/* Of what the kernel would drop itself, the last close is in us, and may wait. */
static bool brings_fds(int fd)
{
	socklen_t len = sizeof(int);
	int domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) ||
	       domain == AF_UNIX;
}

/* Of a Unix socket, which does not do so itself: room for some of the longest frames. */
static void widen(int fd)
{
	const int size = 512 << 10;
	socklen_t len = sizeof(int);
	int now;

	/* The kernel tells twice what it was asked for. */
	if (!getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &now, &len) && now < 2 * size)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int shmux__wire_open(struct shmux__wire *w, int in, int out)
{
	int err, saved = errno;

	err = open_both(w, in, out);
	w->brings_fds = !err && w->in_is_socket && brings_fds(w->in);
	if (w->brings_fds) {
		shmux__stray_inline(w->in);
		widen(w->out);
	}
	if (in >= 0 && (err || w->in != in))
		close(in);
	if (out >= 0 && out != in && (err || w->out != out))
		close(out);
	errno = saved;
	return err;
}

static ssize_t read_socket(struct shmux__wire *w, const struct iovec *iov, int nr,
			   int flags)
{
	struct msghdr msg = {
		.msg_iov = (struct iovec *)iov,
		.msg_iovlen = (size_t)nr,
	};

	return w->brings_fds ? shmux__stray_recv(w->in, iov, nr, flags) :
			       recvmsg(w->in, &msg, flags);
}

ssize_t shmux__wire_read(struct shmux__wire *w, const struct iovec *iov, int nr)
{
	int saved = errno;
	ssize_t n;

	do {
		n = w->in_is_socket ? read_socket(w, iov, nr, MSG_DONTWAIT) :
				      readv(w->in, iov, nr);
	} while (n < 0 && errno == EINTR);
	/* A terminal that has hung up says EIO, a socket ECONNRESET. */
	if (n < 0)
		n = errno == EAGAIN ? -EAGAIN : 0;
	errno = saved;
	return n;
}

ssize_t shmux__wire_wait(struct shmux__wire *w, void *buf, size_t size)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	int saved = errno;
	ssize_t n = read_socket(w, &iov, 1, 0);

	if (n < 0)
		n = errno == EAGAIN || errno == EINTR ? -errno : 0;
	errno = saved;
	return n;
}

/* A write to a pipe, with the signal taken back that it may send. */
static ssize_t write_quietly(int fd, const struct iovec *iov, int nr)
{
	const struct timespec at_once = { 0 };
	sigset_t pipe, before, pending;
	bool stands = false;
	ssize_t n;

	sigemptyset(&pipe);
	sigaddset(&pipe, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe, &before);
	/* One that the caller holds back, from before, is not ours to take. */
	if (sigismember(&before, SIGPIPE) && !sigpending(&pending))
		stands = sigismember(&pending, SIGPIPE);
	n = writev(fd, iov, nr);
	if (n < 0)
		n = -errno;
	if (n == -EPIPE && !stands)
		while (sigtimedwait(&pipe, NULL, &at_once) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return n;
}

static ssize_t write_socket(int fd, const struct iovec *iov, int nr)
{
	struct msghdr msg = {
		.msg_iov = (struct iovec *)iov,
		.msg_iovlen = (size_t)nr,
	};
	const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
	ssize_t n;

	/* Of one piece the kernel need not fetch a description first. */
	n = nr == 1 ? send(fd, iov->iov_base, iov->iov_len, flags) :
		      sendmsg(fd, &msg, flags);
	return n < 0 ? -errno : n;
}

ssize_t shmux__wire_write(struct shmux__wire *w, const struct iovec *iov, int nr)
{
	int saved = errno;
	ssize_t n;

	do {
		n = w->out_is_socket ? write_socket(w->out, iov, nr) :
				       write_quietly(w->out, iov, nr);
	} while (n == -EINTR);
	errno = saved;
	return n > 0 || n == -EAGAIN ? n : -EPIPE;
}

bool shmux__wire_takes(const struct shmux__wire *w)
{
	struct pollfd fd = { .fd = w->out, .events = POLLOUT };

	return SHMUX_KEEP_ERRNO(poll(&fd, 1, 0)) > 0;
}

int shmux__wire_check(const struct shmux__wire *w)
{
	struct pollfd fds[2] = {
		{ .fd = w->in, .events = POLLRDHUP },
		{ .fd = w->out },
	};
	int n, saved = errno;

	n = poll(fds, w->in == w->out ? 1 : 2, 0);
	errno = saved;
	return n > 0 ? -ECONNRESET : 0;
}

void shmux__wire_hang_up(struct shmux__wire *w)
{
	int saved = errno;

	if (w->out_is_socket) {
		shutdown(w->out, SHUT_WR);
	} else if (w->out != w->in) {
		/* Another thread may poll it: the number stays in use. */
		dup3(w->in, w->out, O_CLOEXEC);
	}
	errno = saved;
}

void shmux__wire_close(struct shmux__wire *w)
{
	int saved = errno;

	if (w->brings_fds)
		shmux__stray_shutdown(w->in);
	if (w->out != w->in) {
		/* What is sent to it nobody reads. */
		if (w->out_is_socket && brings_fds(w->out))
			shmux__stray_shutdown(w->out);
		close(w->out);
	}
	close(w->in);
	errno = saved;
}
