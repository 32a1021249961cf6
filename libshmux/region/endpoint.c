// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * endpoint.c - listening sockets and connections to them
 *
 * Owns the listening descriptor, the socket file of a path and its lock. Who is
 * admitted, and what is said over a connection, is for the hello.
 *
 * Everybody who puts a socket file in place or takes it away holds a lock on
 * PATH.lock, so that of two that restart at once one finds the other alive. The
 * lock file stays: removing it would let two hold "the" lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "region/endpoint.h"
#include "region/pidfd.h"
#include "region/stray.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

#define NSEC_PER_MSEC UINT64_C(1000000)

/*
 * The lock is held for a few system calls. Whoever holds it much longer is no
 * friend, and must not hold us up for ever.
 */
#define LOCK_WAIT_OPEN	(2000 * NSEC_PER_MSEC)
#define LOCK_WAIT_CLOSE	(100 * NSEC_PER_MSEC)
#define LOCK_PAUSE	(2 * NSEC_PER_MSEC)

/* How often a blocked connect looks whether it was cancelled. */
#define CONNECT_SLICE	(50 * NSEC_PER_MSEC)

/*
 * All endpoints of the process. The kernel frees a name when nobody has its
 * socket any more, and nobody shall have it but who listens: so a forked child
 * closes what it has inherited. This list is the one global of the library; fork
 * takes no argument.
 */
static struct {
	pthread_mutex_t lock;
	pthread_once_t once;
	int err;		/* why fork cannot be seen to */
	struct shmux_list list;
} endpoints = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.once = PTHREAD_ONCE_INIT,
	.list = { &endpoints.list, &endpoints.list },
};

/* A path that is certain to end, however the address came. */
struct path {
	char text[sizeof(((struct sockaddr_un *)0)->sun_path) + sizeof(".lock")];
};

static bool is_path(const struct sockaddr_un *addr, socklen_t addr_len)
{
	return addr_len > offsetof(struct sockaddr_un, sun_path) &&
	       addr->sun_path[0];
}

static void path_init(struct path *p, const struct sockaddr_un *addr,
		      const char *suffix)
{
	snprintf(p->text, sizeof(p->text), "%.*s%s",
		 (int)sizeof(addr->sun_path), addr->sun_path, suffix);
}

static int new_socket(int family, int type)
{
	int fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

/* --- the lock ----------------------------------------------------------- */

static int lock_wait(int fd, uint64_t deadline)
{
	const struct timespec pause = shmux_clock_timespec(LOCK_PAUSE);

	while (flock(fd, LOCK_EX | LOCK_NB)) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -errno;
		if (!shmux_clock_left(deadline))
			return -EADDRINUSE;
		nanosleep(&pause, NULL);
	}
	return 0;
}

/* Whether @fd still is what the path names: a cleaner may have been there. */
static bool is_current(int fd, const struct path *lock)
{
	struct stat ours, there;

	return !fstat(fd, &ours) && !lstat(lock->text, &there) &&
	       ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* Return: a descriptor to be closed, which unlocks, or -errno. */
static int lock_path(const struct sockaddr_un *addr, uint64_t wait)
{
	uint64_t deadline = shmux_clock_now() + wait;
	struct path lock;
	int err, fd;

	path_init(&lock, addr, ".lock");
	for (;;) {
		fd = open(lock.text, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
			  O_NONBLOCK | O_NOCTTY, 0600);
		if (fd < 0)
			return -errno;
		err = lock_wait(fd, deadline);
		if (!err && is_current(fd, &lock))
			return fd;
		close(fd);
		if (err)
			return err;
		if (!shmux_clock_left(deadline))
			return -EADDRINUSE;
	}
}

/* --- paths -------------------------------------------------------------- */

/*
 * Make room for a socket at the path, which is locked. Only a socket to which
 * nobody listens any more is removed. Return: 0; -EADDRINUSE; or -errno.
 */
static int clear_path(const struct sockaddr_un *addr, socklen_t addr_len,
		      int type, const struct path *path)
{
	struct stat st;
	int err, fd;

	if (lstat(path->text, &st))
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EADDRINUSE;

	fd = new_socket(AF_UNIX, type);
	if (fd < 0)
		return fd;
	err = connect(fd, (const struct sockaddr *)addr, addr_len) ? -errno : 0;
	/* A child of a dead listener may have its socket still. */
	if (!err && shmux__pidfd_peer_is_dead(fd))
		err = -ECONNREFUSED;
	close(fd);
	if (err != -ECONNREFUSED)
		return -EADDRINUSE;
	return unlink(path->text) && errno != ENOENT ? -errno : 0;
}

/* Of what an O_PATH descriptor stands for; in a chroot there may be no /proc. */
static int set_mode(int fd, mode_t mode)
{
	char self[sizeof("/proc/self/fd/") + 3 * sizeof(int)];

	if (!syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH))
		return 0;
	/* Before Linux 6.6, or in a sandbox. */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return chmod(self, mode) ? -errno : 0;
}

/*
 * Note which file is ours, and give it owner and mode. All through one
 * descriptor, lest somebody who may write the directory swaps what we change.
 */
static int settle_path(struct shmux__endpoint *e, const struct path *path,
		       mode_t mode, uid_t uid, gid_t gid)
{
	struct stat st;
	int err = 0, fd;

	fd = open(path->text, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		err = -errno;
		goto out;
	}
	if (!S_ISSOCK(st.st_mode)) {
		err = -EADDRINUSE;
		goto out;
	}
	e->dev = st.st_dev;
	e->ino = st.st_ino;

	if ((uid != (uid_t)-1 || gid != (gid_t)-1) &&
	    fchownat(fd, "", uid, gid, AT_EMPTY_PATH)) {
		err = -errno;
		goto out;
	}
	/* What the umask has taken away. */
	if ((st.st_mode & 0777) != mode)
		err = set_mode(fd, mode);
out:
	close(fd);
	return err;
}

/* Remove the socket file if it is ours; the path is locked. */
static void unlink_ours(const struct shmux__endpoint *e, const struct path *path)
{
	struct stat st;

	/*
	 * While the socket is open, its inode cannot have become another's. Where
	 * we have just bound it and not come to see it: it is ours, or somebody who
	 * may as well remove it has put his own there.
	 */
	if (!e->ino || (!lstat(path->text, &st) && st.st_dev == e->dev &&
			st.st_ino == e->ino))
		unlink(path->text);
}

static int listen_path(struct shmux__endpoint *e, int backlog, mode_t mode,
		       uid_t uid, gid_t gid)
{
	struct path path;
	int err, lock;

	path_init(&path, &e->addr, "");
	lock = lock_path(&e->addr, LOCK_WAIT_OPEN);
	if (lock < 0)
		return lock;
	err = clear_path(&e->addr, e->addr_len, e->type, &path);
	if (err)
		goto out;

	/* The file is born with the socket's mode: never with more than that. */
	if (fchmod(e->fd, mode) ||
	    bind(e->fd, (struct sockaddr *)&e->addr, e->addr_len)) {
		err = -errno;
		goto out;
	}
	err = settle_path(e, &path, mode, uid, gid);
	if (!err && listen(e->fd, backlog))
		err = -errno;
	if (err)
		unlink_ours(e, &path);
out:
	close(lock);
	return err;
}

static int listen_abstract(struct shmux__endpoint *e, int backlog)
{
	if (bind(e->fd, (struct sockaddr *)&e->addr, e->addr_len) ||
	    listen(e->fd, backlog))
		return -errno;
	return 0;
}

/* --- forks -------------------------------------------------------------- */

static void fork_begin(void)
{
	pthread_mutex_lock(&endpoints.lock);
}

static void fork_done(void)
{
	pthread_mutex_unlock(&endpoints.lock);
}

static void fork_child(void)
{
	struct shmux_list *pos, *tmp;
	struct shmux__endpoint *e;

	shmux_list_for_each_safe(pos, tmp, &endpoints.list) {
		e = shmux_container_of(pos, struct shmux__endpoint, node);
		close(e->fd);
		e->fd = -1;
		shmux_list_remove(&e->node);
	}
	pthread_mutex_unlock(&endpoints.lock);
}

static void watch_forks(void)
{
	endpoints.err = -pthread_atfork(fork_begin, fork_done, fork_child);
}

/* Make the socket; on the list it is from its first moment. */
static int open_listed(struct shmux__endpoint *e, int family)
{
	pthread_once(&endpoints.once, watch_forks);
	if (endpoints.err)
		return endpoints.err;
	pthread_mutex_lock(&endpoints.lock);
	e->fd = new_socket(family, e->type);
	if (e->fd >= 0)
		shmux_list_append(&endpoints.list, &e->node);
	pthread_mutex_unlock(&endpoints.lock);
	return e->fd < 0 ? e->fd : 0;
}

static void close_listed(struct shmux__endpoint *e)
{
	pthread_mutex_lock(&endpoints.lock);
	shmux_list_remove(&e->node);
	close(e->fd);
	e->fd = -1;
	pthread_mutex_unlock(&endpoints.lock);
}

/* --- endpoints ---------------------------------------------------------- */

int shmux__endpoint_open(struct shmux__endpoint *e,
			 const struct sockaddr_un *addr, socklen_t addr_len,
			 int type, int backlog, mode_t mode, uid_t uid,
			 gid_t gid)
{
	int err, one = 1;

	if (addr_len <= offsetof(struct sockaddr_un, sun_path) ||
	    addr_len > sizeof(*addr))
		return -EINVAL;		/* the kernel would choose a name */

	memset(e, 0, sizeof(*e));
	memcpy(&e->addr, addr, addr_len);
	e->addr_len = addr_len;
	e->owner = getpid();
	e->type = type;
	e->fd = -1;
	err = open_listed(e, AF_UNIX);
	if (err)
		return err;

	/*
	 * Accepted sockets inherit this, so that a client which sends no
	 * credentials cannot do so before the hello asks for them.
	 */
	if (type == SOCK_SEQPACKET &&
	    setsockopt(e->fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)))
		err = -errno;
	else if (is_path(addr, addr_len))
		err = listen_path(e, backlog, mode & 0777, uid, gid);
	else
		err = listen_abstract(e, backlog);
	if (err)
		close_listed(e);
	return err;
}

int shmux__endpoint_open_inet(struct shmux__endpoint *e,
			      const struct sockaddr *addr, socklen_t addr_len,
			      int backlog)
{
	const int one = 1;
	int err;

	memset(e, 0, sizeof(*e));
	e->owner = getpid();
	e->type = SOCK_STREAM;
	e->fd = -1;
	err = open_listed(e, addr->sa_family);
	if (err)
		return err;
	/* What an earlier one has left behind in TIME_WAIT is in nobody's way. */
	if (setsockopt(e->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    (addr->sa_family == AF_INET6 &&
	     setsockopt(e->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one))) ||
	    bind(e->fd, addr, addr_len) || listen(e->fd, backlog))
		err = -errno;
	if (err)
		close_listed(e);
	return err;
}

/*
 * Those who have connected and were not accepted. What they have sent may hold
 * descriptors that are not to be closed just so.
 */
static void turn_away(struct shmux__endpoint *e)
{
	int fd;

	shutdown(e->fd, SHUT_RDWR);
	while ((fd = shmux__endpoint_accept(e)) >= 0) {
		shmux__stray_shutdown(fd);
		close(fd);
	}
}

void shmux__endpoint_close(struct shmux__endpoint *e)
{
	struct path path;
	int lock = -1;

	/* In a forked child there is nothing of it. */
	if (e->fd < 0)
		return;
	/* Nor is it ours in one that came about by other means. */
	if (is_path(&e->addr, e->addr_len) && e->owner == getpid()) {
		path_init(&path, &e->addr, "");
		lock = lock_path(&e->addr, LOCK_WAIT_CLOSE);
		/* If the lock is not to be had, the next listener clears up. */
		if (lock >= 0)
			unlink_ours(e, &path);
	}
	/* Over a port no descriptors come. */
	if (e->owner == getpid() && e->addr_len)
		turn_away(e);
	close_listed(e);
	if (lock >= 0)
		close(lock);
}

int shmux__endpoint_accept(struct shmux__endpoint *e)
{
	int fd;

	do {
		fd = accept4(e->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	return fd < 0 ? -errno : fd;
}

static int set_send_timeout(int fd, uint64_t ns)
{
	struct timeval tv = {
		.tv_sec = (time_t)(ns / SHMUX_NSEC_PER_SEC),
		.tv_usec = (suseconds_t)(ns % SHMUX_NSEC_PER_SEC / 1000),
	};

	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) ? -errno : 0;
}

static int set_nonblocking(int fd, bool on)
{
	return fcntl(fd, F_SETFL, on ? O_NONBLOCK : 0) ? -errno : 0;
}

/*
 * The backlog was full. The kernel wakes a blocking connect when there is room;
 * it does so for a non-blocking one only by poll on the listener, which is not
 * ours.
 */
static int connect_slowly(int fd, const struct sockaddr_un *addr,
			  socklen_t addr_len, uint64_t deadline,
			  const uint32_t *cancelled)
{
	int err = set_nonblocking(fd, false);

	while (!err) {
		uint64_t left = shmux_clock_left(deadline);

		/* Pairs with whoever cancels; there is nothing else to order. */
		if ((cancelled && shmux_load_relaxed(cancelled)))
			return -ECANCELED;
		if (left < 1000)	/* a time-out of 0 would mean none */
			return -ETIMEDOUT;
		err = set_send_timeout(fd, left < CONNECT_SLICE ? left : CONNECT_SLICE);
		if (err)
			break;
		if (!connect(fd, (const struct sockaddr *)addr, addr_len)) {
			err = set_send_timeout(fd, 0);
			return err ? err : set_nonblocking(fd, true);
		}
		if (errno != EAGAIN && errno != EINTR)
			err = -errno;
	}
	return err;
}

int shmux__endpoint_connect(const struct sockaddr_un *addr, socklen_t addr_len,
			    int type, uint64_t deadline,
			    const uint32_t *cancelled)
{
	int err = 0, fd = new_socket(AF_UNIX, type);

	if (fd < 0)
		return fd;
	if (connect(fd, (const struct sockaddr *)addr, addr_len))
		err = -errno;
	if (err == -EAGAIN || err == -EINTR)
		err = connect_slowly(fd, addr, addr_len, deadline, cancelled);
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}
