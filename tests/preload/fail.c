// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fail.c - a fault injector, to be loaded by LD_PRELOAD; see fail.h
 *
 * Stands before each function of libc that the library imports and that can
 * fail, and hands on to the next one by that name, which may be a sanitizer's.
 * What a call cannot meet in truth is not injected: a wake-up that is said to
 * have failed though there was a sleeper would be a lie of the test's.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* The functions, and what each can meet. */
#define FUNCTIONS(X)                                                     \
	X(accept4, EMFILE, ENFILE, ENOMEM, ENOBUFS, EINTR, ECONNABORTED) \
	X(aligned_alloc, ENOMEM)                                         \
	X(bind, ENOMEM, EACCES)                                          \
	X(calloc, ENOMEM)                                                \
	X(chmod, EPERM, ENOENT, EACCES)                                  \
	X(close, EINTR, EIO)                                             \
	X(connect, EINTR, EAGAIN, ENOMEM, ECONNREFUSED)                  \
	X(epoll_create1, EMFILE, ENFILE, ENOMEM)                         \
	X(epoll_ctl, ENOSPC, ENOMEM)                                     \
	X(epoll_wait, EINTR)                                             \
	X(eventfd, EMFILE, ENFILE, ENOMEM)                               \
	X(fchmod, EPERM)                                                 \
	X(fchownat, EPERM, ENOMEM)                                       \
	X(fcntl, EMFILE, EPERM, ENOMEM)                                  \
	X(flock, EINTR, EWOULDBLOCK, ENOLCK)                             \
	X(fstat, ENOMEM)                                                 \
	X(fstatfs, ENOMEM)                                               \
	X(ftruncate, ENOMEM, ENOSPC, EFBIG)                              \
	X(getaddrinfo, ENOMEM)                                           \
	X(getsockname, ENOBUFS)                                          \
	X(getsockopt, ENOBUFS)                                           \
	X(listen, ENOMEM, EADDRINUSE)                                    \
	X(lstat, ENOMEM, EACCES)                                         \
	X(madvise, ENOMEM, EAGAIN)                                       \
	X(malloc, ENOMEM)                                                \
	X(memfd_create, EMFILE, ENFILE, ENOMEM, EINVAL)                  \
	X(mmap, ENOMEM, EAGAIN, ENFILE)                                  \
	X(nanosleep, EINTR)                                              \
	X(open, EMFILE, ENFILE, ENOMEM, EACCES)                          \
	X(poll, EINTR, ENOMEM)                                           \
	X(ppoll, EINTR, ENOMEM)                                          \
	X(realloc, ENOMEM)                                               \
	X(recv, EINTR)                                                   \
	X(recvmsg, EINTR, EAGAIN, ENOMEM)                                \
	X(sched_getcpu, ENOSYS)                                          \
	X(send, ENOBUFS, ENOMEM)                                         \
	X(sendmsg, EINTR, EAGAIN, ENOBUFS, ENOMEM, ETOOMANYREFS)         \
	X(setsockopt, ENOMEM)                                            \
	X(socket, EMFILE, ENFILE, ENOMEM, ENOBUFS)                       \
	X(socketpair, EMFILE, ENFILE, ENOMEM)                            \
	X(syscall, EINTR, EMFILE, ENFILE, ENOMEM, EAGAIN, ENOSYS, EPERM) \
	X(timerfd_create, EMFILE, ENFILE, ENOMEM)                        \
	X(unlink, EACCES, ENOMEM)                                        \
	X(writev, EINTR, EAGAIN, ENOMEM)

#define NUMBER(name, ...) FN_##name,
enum {
	FUNCTIONS(NUMBER) NR_FUNCTIONS
};

#define ENTRY(name, ...) { #name, (const int[]){ __VA_ARGS__, 0 }, NULL, 0 },
static struct function {
	const char *name;
	const int *errors;
	void *next;
	long failed;
} functions[] = { FUNCTIONS(ENTRY) };

/* Whether there has ever been a plan: before that, threads may not be ready. */
static bool planned;

/* Of this thread; where it is found without a call, which malloc could not make. */
static __thread struct {
	struct fail_plan plan;
	struct fail_report report;
	bool on;
} own __attribute__((tls_model("initial-exec")));

static struct fail_holdings held;

/* The real one. Uses no memory of its own, so that malloc can be found. */
static void *next_of(int fn)
{
	struct function *f = &functions[fn];
	void *next = __atomic_load_n(&f->next, __ATOMIC_RELAXED);

	if (!next) {
		next = dlsym(RTLD_NEXT, f->name);
		__atomic_store_n(&f->next, next, __ATOMIC_RELAXED);
	}
	return next;
}

static bool can_meet(const int *errors, int error)
{
	for (; *errors; errors++)
		if (*errors == error)
			return true;
	return false;
}

/* Is this call, which can meet @errors, to fail? Sets errno if so. */
static bool fails_with(int fn, const int *errors)
{
	struct fail_plan *p = &own.plan;
	int error = 0;

	if (!__atomic_load_n(&planned, __ATOMIC_RELAXED) || !own.on)
		return false;
	if (p->function && strcmp(p->function, functions[fn].name) != 0)
		return false;
	if (p->mode == FAIL_FROM) {
		if (!can_meet(errors, p->error))
			return false;
		if (++own.report.calls >= p->n)
			error = p->error;
	} else if (++own.report.calls == p->n && p->mode == FAIL_ONCE) {
		for (unsigned int i = 0; errors[i]; i++)
			if (i == p->which)
				error = errors[i];
	}
	if (!error)
		return false;
	if (!own.report.failed++) {
		own.report.function = functions[fn].name;
		own.report.error = error;
	}
	__atomic_add_fetch(&functions[fn].failed, 1, __ATOMIC_RELAXED);
	errno = error;
	return true;
}

static bool fails(int fn)
{
	return fails_with(fn, functions[fn].errors);
}

static void hold(long *what, long n)
{
	__atomic_add_fetch(what, n, __ATOMIC_RELAXED);
}

#define NEXT(name) ((__typeof__(name) *)next_of(FN_##name))

/* Those that return -1, and need no thought. */
#define PLAIN(type, name, params, args)                         \
	type name params                                        \
	{                                                       \
		return fails(FN_##name) ? -1 : NEXT(name) args; \
	}

PLAIN(int, accept4, (int fd, struct sockaddr *addr, socklen_t *len, int flags),
      (fd, addr, len, flags))
PLAIN(int, bind, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
PLAIN(int, connect, (int fd, const struct sockaddr *addr, socklen_t len), (fd, addr, len))
PLAIN(int, epoll_create1, (int flags), (flags))
PLAIN(int, epoll_wait, (int fd, struct epoll_event *events, int max, int timeout),
      (fd, events, max, timeout))
PLAIN(int, eventfd, (unsigned int count, int flags), (count, flags))
PLAIN(int, chmod, (const char *path, mode_t mode), (path, mode))
PLAIN(int, fchmod, (int fd, mode_t mode), (fd, mode))
PLAIN(int, fchownat, (int fd, const char *path, uid_t uid, gid_t gid, int flags),
      (fd, path, uid, gid, flags))
PLAIN(int, flock, (int fd, int how), (fd, how))
PLAIN(int, fstat, (int fd, struct stat *st), (fd, st))
PLAIN(int, fstatfs, (int fd, struct statfs *st), (fd, st))
PLAIN(int, ftruncate, (int fd, off_t len), (fd, len))
PLAIN(int, getsockopt, (int fd, int level, int option, void *value, socklen_t *len),
      (fd, level, option, value, len))
PLAIN(int, getsockname, (int fd, struct sockaddr *addr, socklen_t *len), (fd, addr, len))
PLAIN(int, listen, (int fd, int backlog), (fd, backlog))
PLAIN(int, lstat, (const char *path, struct stat *st), (path, st))
PLAIN(int, madvise, (void *addr, size_t len, int advice), (addr, len, advice))
PLAIN(int, nanosleep, (const struct timespec *time, struct timespec *left), (time, left))
PLAIN(int, poll, (struct pollfd * fds, nfds_t nr, int timeout), (fds, nr, timeout))
PLAIN(int, ppoll,
      (struct pollfd * fds, nfds_t nr, const struct timespec *time, const sigset_t *mask),
      (fds, nr, time, mask))
PLAIN(ssize_t, recv, (int fd, void *buf, size_t size, int flags), (fd, buf, size, flags))
PLAIN(ssize_t, recvmsg, (int fd, struct msghdr *msg, int flags), (fd, msg, flags))
PLAIN(int, sched_getcpu, (void), ())
PLAIN(ssize_t, send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags))
PLAIN(ssize_t, sendmsg, (int fd, const struct msghdr *msg, int flags), (fd, msg, flags))
PLAIN(int, setsockopt, (int fd, int level, int option, const void *value, socklen_t len),
      (fd, level, option, value, len))
PLAIN(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
PLAIN(int, socketpair, (int domain, int type, int protocol, int fds[2]),
      (domain, type, protocol, fds))
PLAIN(int, timerfd_create, (int clock, int flags), (clock, flags))
PLAIN(int, unlink, (const char *path), (path))
PLAIN(ssize_t, writev, (int fd, const struct iovec *iov, int nr), (fd, iov, nr))

/* EINVAL is for what a kernel before 6.3 does not know. */
int memfd_create(const char *name, unsigned int flags)
{
	static const int old[] = { EMFILE, ENFILE, ENOMEM, 0 };
	bool failed = flags & MFD_NOEXEC_SEAL ? fails(FN_memfd_create) :
						fails_with(FN_memfd_create, old);

	return failed ? -1 : NEXT(memfd_create)(name, flags);
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		struct addrinfo **found)
{
	if (fails(FN_getaddrinfo))
		return EAI_MEMORY;
	return NEXT(getaddrinfo)(host, service, hints, found);
}

/* Whatever it says, the descriptor is gone. */
int close(int fd)
{
	int ret = NEXT(close)(fd);

	return fails(FN_close) ? -1 : ret;
}

/* To forget a descriptor takes no memory. */
int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
	if (op == EPOLL_CTL_ADD && fails(FN_epoll_ctl))
		return -1;
	return NEXT(epoll_ctl)(epoll_fd, op, fd, event);
}

int fcntl(int fd, int command, ...)
{
	static const int no_descriptor[] = { EMFILE, ENOMEM, 0 };
	static const int no_seals[] = { EPERM, ENOMEM, 0 };
	va_list args;
	long arg;

	va_start(args, command);
	arg = va_arg(args, long);
	va_end(args);
	if (command == F_DUPFD_CLOEXEC && fails_with(FN_fcntl, no_descriptor))
		return -1;
	if (command == F_ADD_SEALS && fails_with(FN_fcntl, no_seals))
		return -1;
	return NEXT(fcntl)(fd, command, arg);
}

int open(const char *path, int flags, ...)
{
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = va_arg(args, mode_t);
	va_end(args);
	return fails(FN_open) ? -1 : NEXT(open)(path, flags, mode);
}

long syscall(long number, ...)
{
	static const int slept[] = { EINTR, EAGAIN, 0 };
	static const int slept_on_both[] = { EINTR, EAGAIN, ENOMEM, ENOSYS, EPERM, 0 };
	static const int no_pidfd[] = { EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM, 0 };
	bool failed = false;
	va_list args;
	long a[6];

	va_start(args, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	/* As before Linux 6.6: what stands in for it is met on each kernel. */
	if (number == SYS_fchmodat2) {
		errno = ENOSYS;
		return -1;
	}
	if (number == SYS_futex && ((int)a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT)
		failed = fails_with(FN_syscall, slept);
	else if (number == SYS_futex_waitv)
		failed = fails_with(FN_syscall, slept_on_both);
	else if (number == SYS_pidfd_open)
		failed = fails_with(FN_syscall, no_pidfd);
	return failed ? -1 : NEXT(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- memory -------------------------------------------------------------- */

void *malloc(size_t size)
{
	void *p = fails(FN_malloc) ? NULL : NEXT(malloc)(size);

	hold(&held.heap, p != NULL);
	return p;
}

void *calloc(size_t nr, size_t size)
{
	void *p = fails(FN_calloc) ? NULL : NEXT(calloc)(nr, size);

	hold(&held.heap, p != NULL);
	return p;
}

void *aligned_alloc(size_t align, size_t size)
{
	void *p = fails(FN_aligned_alloc) ? NULL : NEXT(aligned_alloc)(align, size);

	hold(&held.heap, p != NULL);
	return p;
}

void *realloc(void *old, size_t size)
{
	void *p = fails(FN_realloc) ? NULL : NEXT(realloc)(old, size);

	hold(&held.heap, p && !old);
	return p;
}

/*
 * To find the real free() libc may free what a search before it left: that is
 * dropped, being a few bytes, once.
 */
void free(void *p)
{
	static void (*next)(void *p);
	static bool searching;

	if (!next && !searching) {
		searching = true;
		next = (void (*)(void *))dlsym(RTLD_NEXT, "free");
	}
	hold(&held.heap, -(p != NULL));
	if (next)
		next(p);
}

void *mmap(void *addr, size_t len, int prot, int flags, int fd, off_t offset)
{
	void *p = fails(FN_mmap) ? MAP_FAILED : NEXT(mmap)(addr, len, prot, flags, fd, offset);

	hold(&held.mapped, p == MAP_FAILED ? 0 : (long)len);
	return p;
}

int munmap(void *addr, size_t len)
{
	static int (*next)(void *addr, size_t len);
	int ret;

	if (!next)
		next = (int (*)(void *, size_t))dlsym(RTLD_NEXT, "munmap");
	ret = next(addr, len);
	hold(&held.mapped, ret ? 0 : -(long)len);
	return ret;
}

/* --- the test's side ------------------------------------------------------ */

static void plan(const struct fail_plan *p)
{
	own.plan = *p;
	own.report = (struct fail_report){ .calls = 0 };
	__atomic_store_n(&planned, true, __ATOMIC_RELAXED);
}

static void on(void)
{
	own.on = true;
}

static void off(void)
{
	own.on = false;
}

static struct fail_report report(void)
{
	return own.report;
}

static struct fail_holdings holdings(void)
{
	return held;
}

static const struct function *find(const char *name)
{
	for (int i = 0; i < NR_FUNCTIONS; i++)
		if (!strcmp(functions[i].name, name))
			return &functions[i];
	return NULL;
}

static bool knows(const char *name)
{
	return find(name) != NULL;
}

static long nr_failed(const char *name)
{
	const struct function *f = find(name);

	return f ? f->failed : 0;
}

static const char *name(int i)
{
	return i < NR_FUNCTIONS ? functions[i].name : NULL;
}

const struct fail_control *fail_control(void)
{
	static const struct fail_control control = {
		.plan = plan,
		.on = on,
		.off = off,
		.report = report,
		.holdings = holdings,
		.knows = knows,
		.nr_failed = nr_failed,
		.name = name,
	};

	return &control;
}
