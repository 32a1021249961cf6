// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * memfd.c - regions of shared memory that need no module
 *
 * Owns both mappings, the rendezvous socket once it is connected, and the pidfd
 * of the peer. How the memfds and the identity travel is the hello's
 * (hello_memfd.c); what lies in the memory is the link's.
 *
 * Bells. A futex is the fast one: the sleeper waits on a word of the waker's,
 * in the mapping that it may only read. A byte over the socket is the one that
 * epoll sees. Neither can be turned against who rings it: a wake never sleeps,
 * and the send is MSG_DONTWAIT whatever the peer has done to its end. A full
 * socket buffer loses nothing, because the peer has not yet taken a byte that
 * was sent before, and will look at the memory after it has.
 *
 * Both are system calls, which order what was stored before: [B7].
 *
 * Death. The hang-up of the socket, or the exit of the process that said hello,
 * whichever is first: a child which that process forked keeps the socket open.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <linux/time_types.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "region/memfd.h"
#include "region/pidfd.h"
#include "region/region.h"
#include "region/stray.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* Nobody can resize, map for writing or unseal. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/*
 * How many of the peer's threads one ring wakes. A link has one sleeper, a few
 * while one relieves another; a peer that parks thousands shall not slow us.
 */
#define RING_SLEEPERS 16

/* How long a poke may go unnoticed where FUTEX_WAITV (Linux 5.16) is missing. */
#define SLICE (5 * SHMUX_NSEC_PER_SEC / 1000)

/* How often one ring asks for the memory that a byte takes. */
#define RING_TRIES 16

/* How many receives one clear does. */
#define CLEAR_RECEIVES 64

struct memfd_region {
	struct shmux__region region;
	int fd;			/* rendezvous socket */
	int pidfd;		/* of the peer, or -1 */
	bool strays;		/* descriptors may be among what the peer has sent */
	bool forbidden;		/* but not among what it sends now */
	pid_t owner;		/* a forked child has the object, not the memory */
	uint32_t no_waitv;	/* the kernel has no FUTEX_WAITV */
};

static void memfd_hang_up(struct shmux__region *r);

static struct memfd_region *to_memfd(struct shmux__region *r)
{
	return (struct memfd_region *)r;
}

/* On a word that processes share. Never touches errno. */
static int futex(const uint32_t *word, int op, uint32_t value,
		 const struct __kernel_old_timespec *timeout)
{
	int saved = errno;
	int err = 0;

	if (syscall(SYS_futex, word, op, value, timeout, NULL, 0) < 0)
		err = -errno;
	errno = saved;
	return err;
}

/* Sleep on @word alone. Return: 0 or -ETIMEDOUT. */
static int sleep_on_word(const uint32_t *word, uint32_t seen, uint64_t timeout)
{
	struct __kernel_old_timespec ts, *limit = NULL;

	if (timeout / SHMUX_NSEC_PER_SEC < INT_MAX) {	/* else for ever */
		ts.tv_sec = (long)(timeout / SHMUX_NSEC_PER_SEC);
		ts.tv_nsec = (long)(timeout % SHMUX_NSEC_PER_SEC);
		limit = &ts;
	}
	return futex(word, FUTEX_WAIT, seen, limit) == -ETIMEDOUT ? -ETIMEDOUT : 0;
}

/* Sleep on both. Return: 0, -ETIMEDOUT, or -ENOSYS: not on this kernel. */
static int sleep_on_both(const uint32_t *word, uint32_t seen,
			 const uint32_t *poke, uint64_t timeout)
{
	struct futex_waitv waiters[2] = {
		{ .val = seen, .uaddr = (uintptr_t)word, .flags = FUTEX_32 },
		{ .val = 0, .uaddr = (uintptr_t)poke,
		  .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
	};
	struct __kernel_timespec ts, *limit = NULL;
	int saved = errno;
	int err = 0;

	if (timeout / SHMUX_NSEC_PER_SEC < INT_MAX) {
		uint64_t until = shmux_clock_now() + timeout;

		ts.tv_sec = (long long)(until / SHMUX_NSEC_PER_SEC);
		ts.tv_nsec = (long long)(until % SHMUX_NSEC_PER_SEC);
		limit = &ts;
	}
	if (syscall(SYS_futex_waitv, waiters, 2, 0, limit, CLOCK_MONOTONIC) < 0) {
		if (errno == ETIMEDOUT)
			err = -ETIMEDOUT;
		else if (errno == ENOSYS || errno == EPERM)	/* a sandbox */
			err = -ENOSYS;
	}
	errno = saved;
	return err;
}

/* As sleep_on_both(); a poke that falls before a sleep costs a slice. [B9] */
static int sleep_in_slices(const uint32_t *word, uint32_t seen,
			   const uint32_t *poke, uint64_t timeout)
{
	while (!shmux_load_acquire(poke)) {
		uint64_t slice = timeout < SLICE ? timeout : SLICE;

		if (sleep_on_word(word, seen, slice) != -ETIMEDOUT)
			break;
		if (slice == timeout)
			return -ETIMEDOUT;
		if (timeout != UINT64_MAX)
			timeout -= slice;
	}
	return 0;
}

static int memfd_sleep(struct shmux__region *r, const uint32_t *word,
		       uint32_t seen, const uint32_t *poke, uint64_t timeout)
{
	struct memfd_region *m = to_memfd(r);
	int err;

	if (!poke)
		return sleep_on_word(word, seen, timeout);
	if (!shmux_load_relaxed(&m->no_waitv)) {
		err = sleep_on_both(word, seen, poke, timeout);
		if (err != -ENOSYS)
			return err;
		/* Tells memfd_poke; one that misses it costs a slice. */
		shmux_store_relaxed(&m->no_waitv, 1);
	}
	return sleep_in_slices(word, seen, poke, timeout);
}

/*
 * The peer is rung once, and may wait for that for ever. If the kernel has no
 * memory for a byte, not now nor soon, then it had better hear that we are gone.
 */
static void ring_socket(struct shmux__region *r)
{
	int i;

	for (i = 0; i < RING_TRIES; i++) {
		if (send(to_memfd(r)->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return;
		if (errno != ENOBUFS && errno != ENOMEM)
			return;		/* full, or nobody there */
		sched_yield();
	}
	memfd_hang_up(r);
}

static void memfd_ring(struct shmux__region *r, const uint32_t *word,
		       uint32_t bells)
{
	if (bells & SHMUX_ARMED_FUTEX)
		futex(word, FUTEX_WAKE, RING_SLEEPERS, NULL);
	if (bells & SHMUX_ARMED_SOCKET) {
		int saved = errno;

		ring_socket(r);
		errno = saved;
	}
}

static void memfd_poke(struct shmux__region *r, const uint32_t *word,
		       const uint32_t *poke)
{
	if (shmux_load_relaxed(&to_memfd(r)->no_waitv))
		futex(word, FUTEX_WAKE, INT_MAX, NULL);
	else
		futex(poke, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
}

static int memfd_check_alive(struct shmux__region *r)
{
	struct memfd_region *m = to_memfd(r);
	struct pollfd fds[2] = {
		{ .fd = m->fd, .events = POLLRDHUP },
		{ .fd = m->pidfd, .events = POLLIN },
	};

	int saved = errno;
	int err;

	/*
	 * A negative descriptor is passed over; an error tells of no death. Who
	 * is dead has stored nothing since: [B7].
	 */
	err = poll(fds, 2, 0) > 0 ? -ECONNRESET : 0;
	errno = saved;
	return err;
}

static int memfd_descriptors(struct shmux__region *r, int fds[2])
{
	struct memfd_region *m = to_memfd(r);
	int nr = 0;

	fds[nr++] = m->fd;
	if (m->pidfd >= 0)
		fds[nr++] = m->pidfd;
	return nr;
}

/*
 * Whoever keeps to the protocol rings once for each time we arm: a call that brings
 * less than it might has brought all. Return: whether anything came: 1 or 0; or
 * -ECONNRESET.
 */
static int drain(int fd)
{
	char bytes[256];
	int i, came = 0;

	for (i = 0; i < CLEAR_RECEIVES; i++) {
		ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			return -ECONNRESET;
		came = 1;
		if ((size_t)n < sizeof(bytes))
			break;
	}
	return came;
}

static int memfd_clear(struct shmux__region *r)
{
	struct memfd_region *m = to_memfd(r);
	int saved = errno;
	int err;

	if (m->strays) {
		err = shmux__stray_drain(m->fd, CLEAR_RECEIVES);
		/* What came before it was forbidden has been taken. */
		if (!err && m->forbidden)
			m->strays = false;
	} else {
		err = drain(m->fd);
	}
	errno = saved;
	/* What is left, and a death, keep it readable: we are called again. */
	if (err > 0)
		return 0;
	return err == -ECONNRESET ? err : memfd_check_alive(r);
}

static void memfd_hang_up(struct shmux__region *r)
{
	struct memfd_region *m = to_memfd(r);
	int saved = errno;

	/*
	 * Not close: the peer is told even while a forked child of ours holds
	 * the socket. In that child the conversation is its parent's.
	 */
	if (m->owner == getpid())
		shutdown(m->fd, SHUT_RDWR);
	errno = saved;
}

static void memfd_close(struct shmux__region *r)
{
	struct memfd_region *m = to_memfd(r);
	int saved = errno;

	/* In a forked child other things may be where the mappings were. */
	if (m->owner == getpid()) {
		if (r->own)
			munmap(r->own, r->own_size);
		if (r->peer)
			munmap((void *)(uintptr_t)r->peer, r->peer_size);
	}
	if (m->owner == getpid() && m->strays)
		shmux__stray_shutdown(m->fd);
	memfd_hang_up(r);
	close(m->fd);
	if (m->pidfd >= 0)
		close(m->pidfd);
	free(m);
	errno = saved;
}

static const struct shmux__region_ops memfd_ops = {
	.name = "memfd",
	.sleep = memfd_sleep,
	.ring = memfd_ring,
	.poke = memfd_poke,
	.check_alive = memfd_check_alive,
	.descriptors = memfd_descriptors,
	.clear = memfd_clear,
	.hang_up = memfd_hang_up,
	.close = memfd_close,
};

int shmux__memfd_open(int fd, enum shmux_role role,
		      struct shmux__region **region)
{
	struct memfd_region *m = calloc(1, sizeof(*m));

	if (!m)
		return -ENOMEM;

	m->region.ops = &memfd_ops;
	m->region.role = role;
	m->fd = fd;
	m->pidfd = -1;
	m->strays = true;
	m->owner = getpid();
	*region = &m->region;
	return 0;
}

static bool size_makes_sense(uint32_t size)
{
	return size >= SHMUX_HEADER_SIZE && size <= SHMUX_REGION_SIZE_MAX &&
	       size % SHMUX_PART_ALIGN == 0;
}

/* -EAGAIN, of memory that must be locked, would have our caller try again. */
static int map_error(int err)
{
	return err == EAGAIN ? -ENOMEM : -err;
}

/* Map @size bytes of @memfd; a forked child shall not have them. */
static int map(int memfd, uint32_t size, int prot, void **addr)
{
	void *p = mmap(NULL, size, prot, MAP_SHARED, memfd, 0);
	int err;

	if (p == MAP_FAILED)
		return map_error(errno);
	if (madvise(p, size, MADV_DONTFORK)) {
		err = map_error(errno);
		munmap(p, size);
		return err;
	}
	*addr = p;
	return 0;
}

/* ftruncate beyond the limit would not only fail, but raise SIGXFSZ. */
static int check_file_limit(uint32_t size)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_FSIZE, &limit))
		return -errno;
	return size > limit.rlim_cur ? -EFBIG : 0;
}

int shmux__memfd_make(struct shmux__region *region, uint32_t size)
{
	void *own = NULL;
	int err, fd;

	if (!size_makes_sense(size))
		return -EINVAL;
	err = check_file_limit(size);
	if (err)
		return err;

	fd = memfd_create("shmux", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
	if (fd < 0 && errno == EINVAL)	/* before Linux 6.3 */
		fd = memfd_create("shmux", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;

	if (ftruncate(fd, size)) {
		err = -errno;
		goto err_close;
	}
	err = map(fd, size, PROT_READ | PROT_WRITE, &own);
	if (err)
		goto err_close;
	/* FUTURE_WRITE spares the mapping that is there already: ours. */
	if (fcntl(fd, F_ADD_SEALS, SEALS)) {
		err = -errno;
		goto err_unmap;
	}

	region->own = own;
	region->own_size = size;
	return fd;

err_unmap:
	munmap(own, size);
err_close:
	close(fd);
	return err;
}

/*
 * Whether @memfd can be read for ever without a surprise. Only a memfd has
 * F_SEAL_SHRINK, so no other file can be truncated under our feet (SIGBUS);
 * hugetlb takes seals too, but may fail a page fault for want of huge pages.
 *
 * The seals come first. Whatever is looked at before they are known to be there
 * can change until then. And of a file of a stranger's file system (FUSE) they
 * are all that can be asked without waiting for the stranger's answer.
 * What fails after that is no fault of the peer's.
 */
static int verify(int memfd, uint32_t size)
{
	struct statfs fs;
	struct stat st;
	int seals;

	seals = fcntl(memfd, F_GET_SEALS);
	if (seals < 0 || (seals & SEALS) != SEALS)
		return -EPROTO;
	if (fstat(memfd, &st) || fstatfs(memfd, &fs))
		return -errno;
	if (!S_ISREG(st.st_mode) || (unsigned long)fs.f_type != TMPFS_MAGIC)
		return -EPROTO;
	if (st.st_size < 0 || (uint64_t)st.st_size != size)
		return -EPROTO;
	return 0;
}

int shmux__memfd_take(struct shmux__region *region, int memfd, uint32_t size,
		      uint64_t size_max)
{
	void *peer = NULL;
	int err;

	if (!size_makes_sense(size))
		return -EPROTO;
	if (size > size_max)
		return -E2BIG;
	err = verify(memfd, size);
	if (err)
		return err;
	err = map(memfd, size, PROT_READ, &peer);
	if (err)	/* -EACCES: handed over for writing only */
		return err == -EACCES ? -EPROTO : err;

	region->peer = peer;
	region->peer_size = size;
	return 0;
}

int shmux__memfd_watch(struct shmux__region *region,
		       const struct shmux_peer *identity, int pidfd)
{
	struct memfd_region *m = to_memfd(region);
	int one = 1;

	region->identity = *identity;
	/*
	 * Where the kernel does not hand over a pidfd with the message (before
	 * 6.5), a peer that died meanwhile may have left its pid to another
	 * process. Then its hang-up is the only sign of its death, as it is
	 * without pidfds at all.
	 */
	if (pidfd < 0 && pidfd != -ESRCH && pidfd != -EMFILE && pidfd != -ENFILE)
		pidfd = shmux__pidfd_open(identity->pid);
	if (pidfd == -ESRCH)
		/*
		 * It has said hello, perhaps more, and is gone. That can still be
		 * read: a session that is dead from the start, for pollers too.
		 */
		memfd_hang_up(region);
	else if (pidfd < -1)
		return pidfd;
	else
		m->pidfd = pidfd;

	/* Bells bring none. */
	m->forbidden = shmux__stray_forbid(m->fd);
	/* The smallest there is holds bells enough, and costs us little. */
	setsockopt(m->fd, SOL_SOCKET, SO_SNDBUF, &one, sizeof(one));
	return 0;
}
