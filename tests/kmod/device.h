/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device.h - /dev/shmux in one call each, for its tests
 *
 * A function does what the request of its name does, with what most tests mean
 * by it, and returns 0 (or a descriptor) or -errno. A test that is after one
 * field of a structure fills in the structure and calls request().
 */
#ifndef TESTS_KMOD_DEVICE_H
#define TESTS_KMOD_DEVICE_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/shmux.h>

#include "harness.h"

#define PAGE ((uint32_t)sysconf(_SC_PAGESIZE))
#define SMALL (4 * PAGE) /* a region's size, where it does not matter */
#define ANY_SIZE SHMUX_REGION_MAX
#define NO_WAIT 0
#define A_WHILE UINT64_C(20000000) /* ns: for what is to time out */
#define HANGS UINT64_C(60000000000) /* ns: nothing takes as long */

#define EVERYBODY 0222

/* In a test. */
#define NEEDS_ROOT(to_do_what)                                    \
	do {                                                      \
		if (geteuid())                                    \
			SKIP(return, "must be root " to_do_what); \
	} while (0)

/* A structure that says its size; the rest is what is said, or zero. */
#define ARG(type, ...) \
	((struct shmux_ioc_##type){ .size = sizeof(struct shmux_ioc_##type), ##__VA_ARGS__ })

static inline int request(int fd, unsigned long nr, const void *arg)
{
	return ioctl(fd, nr, arg) < 0 ? -errno : 0;
}

/* What was found only when HANGS had run out has come too late: nobody was woken. */
static inline int in_time(int err, uint64_t given, uint64_t left)
{
	return given == HANGS && left < HANGS / 2 && err != -ETIMEDOUT ? -ETIME : err;
}

static inline int device_open(void)
{
	int fd = open(SHMUX_DEVICE, O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* --- ends ------------------------------------------------------------------- */

static inline int end_create_sized(int fd, uint32_t size, uint32_t populate, uint32_t peer_size_max)
{
	struct shmux_ioc_create arg = ARG(create, .region_size = size, .populate = populate,
					  .peer_size_max = peer_size_max);

	return request(fd, SHMUX_IOC_CREATE, &arg);
}

static inline int end_create(int fd)
{
	return end_create_sized(fd, SMALL, 0, ANY_SIZE);
}

/* As it is, however wrong. */
static inline void name_put(__u8 field[SHMUX_NAME_SIZE], const char *name)
{
	for (int i = 0; i < SHMUX_NAME_SIZE && name[i]; i++)
		field[i] = (__u8)name[i];
}

/* What is left of @timeout is written back to it. */
static inline int end_connect_timed(int fd, const char *name, uint64_t *timeout)
{
	struct shmux_ioc_connect arg = ARG(connect, .timeout = *timeout);
	int err;

	name_put(arg.name, name);
	err = in_time(request(fd, SHMUX_IOC_CONNECT, &arg), *timeout, arg.timeout);
	*timeout = arg.timeout;
	return err;
}

static inline int end_connect(int fd, const char *name, uint64_t timeout)
{
	return end_connect_timed(fd, name, &timeout);
}

/* Return: the other end. */
static inline int end_pair(int fd)
{
	struct shmux_ioc_pair arg = ARG(pair, .fd = -1);
	int err = request(fd, SHMUX_IOC_PAIR, &arg);

	return err ? err : arg.fd;
}

static inline int end_meet_timed(int fd, uint64_t *timeout)
{
	struct shmux_ioc_meet arg = ARG(meet, .timeout = *timeout);
	int err = request(fd, SHMUX_IOC_MEET, &arg);

	err = in_time(err, *timeout, arg.timeout);
	*timeout = arg.timeout;
	return err;
}

static inline int end_meet(int fd, uint64_t timeout)
{
	return end_meet_timed(fd, &timeout);
}

static inline int end_refuse(int fd, uint32_t why)
{
	struct shmux_ioc_meet arg = ARG(meet, .refuse = why);

	return request(fd, SHMUX_IOC_MEET, &arg);
}

/* Return: the other's errno, or what MEET said if it did not refuse. */
static inline int end_refusal(int fd)
{
	struct shmux_ioc_meet arg = ARG(meet, .timeout = HANGS);
	int err = in_time(request(fd, SHMUX_IOC_MEET, &arg), HANGS, arg.timeout);

	return err == -ECONNABORTED ? (int)arg.refusal : err;
}

static inline int end_peer(int fd, struct shmux_ioc_peer *arg)
{
	*arg = ARG(peer, .pid = -1, .uid = -1, .gid = -1);
	return request(fd, SHMUX_IOC_PEER, arg);
}

static inline int end_kick(int fd)
{
	return request(fd, SHMUX_IOC_KICK, NULL);
}

static inline int end_kick_self(int fd)
{
	return request(fd, SHMUX_IOC_KICK, (void *)(uintptr_t)SHMUX_KICK_SELF);
}

/* @seen becomes what is told. */
static inline int end_wait_flags(int fd, uint32_t flags, uint32_t *seen, uint64_t timeout)
{
	struct shmux_ioc_wait arg =
		ARG(wait, .flags = flags, .seen = *seen, .kicks = *seen, .timeout = timeout);
	int err = request(fd, SHMUX_IOC_WAIT, &arg);

	*seen = arg.kicks;
	return in_time(err, timeout, arg.timeout);
}

static inline int end_wait(int fd, uint32_t *seen, uint64_t timeout)
{
	return end_wait_flags(fd, 0, seen, timeout);
}

/* For a thread, which is told where the descriptor is. */
static inline int64_t end_wait_job(void *fd)
{
	uint32_t seen = 0;

	return end_wait(*(int *)fd, &seen, HANGS);
}

static inline int end_eventfd(int fd, int eventfd)
{
	struct shmux_ioc_eventfd arg = ARG(eventfd, .fd = eventfd);

	return request(fd, SHMUX_IOC_EVENTFD, &arg);
}

static inline int file_adopt(int fd)
{
	struct shmux_ioc_adopt arg = ARG(adopt);

	return request(fd, SHMUX_IOC_ADOPT, &arg);
}

static inline int file_hang_up(int fd)
{
	struct shmux_ioc_hang_up arg = ARG(hang_up);

	return request(fd, SHMUX_IOC_HANG_UP, &arg);
}

/* What of @events is so now. */
static inline int file_polls(int fd, int events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) < 0 ? -errno : p.revents & (events | POLLHUP | POLLERR);
}

/* Wait until one of @events is so. Return: those that are, or 0 if it hangs. */
static inline int file_await(int fd, int events)
{
	struct pollfd p = { .fd = fd, .events = events };
	struct timespec begin, end;
	int n;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	n = poll(&p, 1, HANGS / 1000000);
	clock_gettime(CLOCK_MONOTONIC, &end);
	if (n < 0)
		return -errno;
	/* When its time is over poll looks once more: it was not woken. */
	if ((uint64_t)(end.tv_sec - begin.tv_sec) * 1000000000 > HANGS / 2)
		return 0;
	return p.revents;
}

/* --- regions ---------------------------------------------------------------- */

static inline void *region_map_own(int fd, size_t size)
{
	return mmap64(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, SHMUX_MMAP_OWN);
}

static inline void *region_map_peer(int fd, size_t size)
{
	return mmap64(NULL, size, PROT_READ, MAP_SHARED, fd, SHMUX_MMAP_PEER);
}

/* --- listeners -------------------------------------------------------------- */

/* A name that no other test has. */
static inline const char *name_new(void)
{
	static char name[SHMUX_NAME_SIZE];
	static unsigned int nr;

	snprintf(name, sizeof(name), "test-%d-%u", getpid(), nr++);
	return name;
}

static inline struct shmux_ioc_listen listen_arg(const char *name, uint32_t backlog, uint32_t mode)
{
	struct shmux_ioc_listen arg = ARG(listen, .backlog = backlog, .mode = mode);

	name_put(arg.name, name);
	return arg;
}

static inline int listener_take(int fd, const char *name, uint32_t backlog, uint32_t mode)
{
	struct shmux_ioc_listen arg = listen_arg(name, backlog, mode);

	return request(fd, SHMUX_IOC_LISTEN, &arg);
}

/* What is left of @timeout is written back to it. Return: a descriptor. */
static inline int listener_accept_timed(int fd, uint64_t *timeout)
{
	struct shmux_ioc_accept arg = ARG(accept, .timeout = *timeout, .fd = -1);
	int err = request(fd, SHMUX_IOC_ACCEPT, &arg);

	err = in_time(err, *timeout, arg.timeout);
	*timeout = arg.timeout;
	return err ? err : arg.fd;
}

static inline int listener_accept(int fd, uint64_t timeout)
{
	return listener_accept_timed(fd, &timeout);
}

/* Who has connected already. Return: the end, with a region, or -errno. */
static inline int listener_accept_with_region(int fd)
{
	int end = listener_accept(fd, NO_WAIT);
	int err = end < 0 ? end : end_create(end);

	if (!err)
		return end;
	close(end);
	return err;
}

/* --- files in a state ------------------------------------------------------- */

/* Return: -errno of what did not work, with nothing left open. */
static inline int listener_new_for(const char *name, uint32_t backlog, uint32_t mode)
{
	int fd = device_open();
	int err = fd < 0 ? fd : listener_take(fd, name, backlog, mode);

	if (!err)
		return fd;
	close(fd);
	return err;
}

static inline int listener_new(const char *name)
{
	return listener_new_for(name, 16, EVERYBODY);
}

/* An end with a region, of no session yet. */
static inline int end_new(void)
{
	int fd = device_open();
	int err = fd < 0 ? fd : end_create(fd);

	if (!err)
		return fd;
	close(fd);
	return err;
}

/* An end in the queue of @name. */
static inline int end_new_queued(const char *name, uint64_t timeout)
{
	int fd = end_new();
	int err = fd < 0 ? fd : end_connect(fd, name, timeout);

	if (!err)
		return fd;
	close(fd);
	return err;
}

/* The two ends of a session. */
struct ends {
	int near, far;
};

static inline void ends_close(struct ends *ends)
{
	if (ends->near >= 0)
		close(ends->near);
	if (ends->far >= 0)
		close(ends->far);
	ends->near = ends->far = -1;
}

/* Joined, without regions. */
static inline int ends_pair(struct ends *ends)
{
	ends->near = device_open();
	ends->far = ends->near < 0 ? ends->near : end_pair(ends->near);
	if (ends->far >= 0)
		return 0;
	close(ends->near);
	return ends->far;
}

static inline int ends_meet(struct ends *ends)
{
	int err = end_meet(ends->near, NO_WAIT);

	if (err && err != -EAGAIN)
		return err;
	err = end_meet(ends->far, NO_WAIT);
	return err ? err : end_meet(ends->near, NO_WAIT);
}

/* A pair that has met. */
static inline int ends_open_sized(struct ends *ends, uint32_t near_size, uint32_t far_size)
{
	int err = ends_pair(ends);

	if (err)
		return err;
	err = end_create_sized(ends->near, near_size, 0, ANY_SIZE);
	if (!err)
		err = end_create_sized(ends->far, far_size, 0, ANY_SIZE);
	if (!err)
		err = ends_meet(ends);
	if (err)
		ends_close(ends);
	return err;
}

static inline int ends_open(struct ends *ends)
{
	return ends_open_sized(ends, SMALL, SMALL);
}

/* A session through a listener: near has connected, far has been accepted. */
static inline int ends_dial(struct ends *ends)
{
	const char *name = name_new();
	int listener = listener_new(name);
	int err;

	ends->near = ends->far = -1;
	if (listener < 0)
		return listener;
	err = ends->near = end_new_queued(name, NO_WAIT);
	if (err >= 0)
		err = ends->far = listener_accept(listener, NO_WAIT);
	if (err >= 0)
		err = end_create(ends->far);
	if (err >= 0)
		err = ends_meet(ends);
	close(listener);
	if (err)
		ends_close(ends);
	return err;
}

/* --- the machine ------------------------------------------------------------- */

static inline bool proc_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

/* --- other processes -------------------------------------------------------- */

/*
 * A child that test and child talk to by single bytes. It dies with the test.
 */
struct child {
	pid_t pid;
	int fd;
};

/* Return: true in the child, which ends by child_leave(). */
static inline bool child_fork(struct child *c)
{
	pid_t parent = getpid();
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		abort();
	c->pid = fork();
	if (c->pid < 0)
		abort();
	c->fd = fds[c->pid ? 0 : 1];
	close(fds[c->pid ? 1 : 0]);
	if (c->pid)
		return false;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	return true;
}

/* In the child: whatever must be so. */
#define must(cond)                                                                        \
	do {                                                                              \
		if (!(cond)) {                                                            \
			fprintf(stderr, "# %s:%d: in the child, not so: %s (errno %d)\n", \
				__FILE__, __LINE__, #cond, errno);                        \
			_exit(1);                                                         \
		}                                                                         \
	} while (0)

/* In either. A child whose test is gone leaves. */
static inline void child_say(struct child *c, char what)
{
	if (send(c->fd, &what, 1, MSG_NOSIGNAL) != 1 && !c->pid)
		_exit(1);
}

/* Return: what the other has said, or 0 if it is gone. */
static inline char child_hear(struct child *c)
{
	char what;

	if (TEMP_FAILURE_RETRY(read(c->fd, &what, 1)) == 1)
		return what;
	if (!c->pid)
		_exit(1);
	return 0;
}

/* Return: exit status, or minus the signal that it died of. */
static inline int child_end(struct child *c)
{
	int status;

	if (TEMP_FAILURE_RETRY(waitpid(c->pid, &status, 0)) != c->pid)
		return -errno;
	close(c->fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int child_kill(struct child *c)
{
	kill(c->pid, SIGKILL);
	return child_end(c);
}

/* Send @fd along, or take one. Return: 0 or the descriptor, or -errno. */
static inline int fd_send(int sock, int fd)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte = 'f';
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(sock, &msg, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

static inline int fd_receive(int sock)
{
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	struct cmsghdr *c;
	int fd;

	if (n <= 0)
		return n ? -errno : -EPIPE;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS)
		return -ENOMSG;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

#endif /* TESTS_KMOD_DEVICE_H */
