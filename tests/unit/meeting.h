/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * meeting.h - two ends that say hello to each other, or a hand-made one
 *
 * The bytes of a hello are restated here, not included: they are what another
 * build of the library, older or newer, would send.
 */
#ifndef TESTS_UNIT_MEETING_H
#define TESTS_UNIT_MEETING_H

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/shmux_ring.h>

#include "process.h"
#include "region/hello.h"
#include "region/region.h"

#define OWN_SIZE (256u << 10)
#define PEER_SIZE_MAX (1u << 20)

/* --- ends --------------------------------------------------------------- */

struct end {
	const char *text;		/* what it writes into its region */
	struct shmux__hello_params params;
	int admit_status;
	int nr_admits, nr_formats;
	int nr_inheritable;		/* descriptors, amid the hello */
	struct shmux_peer admitted;
	struct shmux__hello *hello;
	struct shmux__region *region;
	int err;			/* of its last step */
};

static inline void end_format(void *arg, void *own)
{
	struct end *end = arg;

	end->nr_formats++;
	strcpy(own, end->text);
}

/* Descriptors that a program which we become would have. */
static inline int nr_inheritable(void)
{
	int fd, flags, nr = 0;

	for (fd = 0; fd < 256; fd++) {
		flags = fcntl(fd, F_GETFD);
		nr += flags >= 0 && !(flags & FD_CLOEXEC);
	}
	return nr;
}

static inline int end_admit(void *arg, const struct shmux_peer *peer, int fd)
{
	struct end *end = arg;

	(void)fd;
	end->nr_admits++;
	end->nr_inheritable = nr_inheritable();
	end->admitted = *peer;
	return end->admit_status;
}

static inline void end_init(struct end *end, const char *text)
{
	memset(end, 0, sizeof(*end));
	end->text = text;
	end->params.size = OWN_SIZE;
	end->params.peer_size_max = PEER_SIZE_MAX;
	end->params.format = end_format;
	end->params.admit = end_admit;
	end->params.arg = end;
	end->err = -EAGAIN;
}

static inline int end_open(struct end *end, int fd, enum shmux_role role)
{
	end->err = shmux__hello_open(fd, role, &end->params, &end->hello);
	if (!end->err)
		end->err = -EAGAIN;
	return end->err == -EAGAIN ? 0 : end->err;
}

static inline int end_step(struct end *end)
{
	end->err = shmux__hello_step(end->hello, &end->region);
	return end->err;
}

/* Step as often as the descriptor calls for it. Return: 0 or -errno. */
static inline int end_finish(struct end *end)
{
	while (end_step(end) == -EAGAIN) {
		struct pollfd p = {
			.fd = shmux__hello_fd(end->hello),
			.events = shmux__hello_events(end->hello),
		};

		if (poll(&p, 1, 10000) != 1)
			return -ETIMEDOUT;
	}
	return end->err;
}

static inline void end_close(struct end *end)
{
	shmux__hello_close(end->hello);
	end->hello = NULL;
	if (end->region)
		end->region->ops->close(end->region);
	end->region = NULL;
}

/* Let both go on until neither can. */
static inline void ends_meet(struct end *dialler, struct end *acceptor)
{
	int i;

	for (i = 0; i < 4; i++) {
		if (dialler->err == -EAGAIN)
			end_step(dialler);
		if (acceptor->err == -EAGAIN)
			end_step(acceptor);
	}
}

/* --- a hello made by hand ----------------------------------------------- */

enum { HELLO = 1, ANSWER = 2, REFUSAL = 3 };

struct message {
	uint32_t magic, version, kind;
	int32_t status;
	uint32_t size, size_max;
	uint32_t reserved[10];
};

static inline struct message message_valid(uint32_t kind)
{
	struct message m = {
		.magic = 0x686d6873,
		.version = SHMUX_VERSION,
		.kind = kind,
		.size = OWN_SIZE,
		.size_max = PEER_SIZE_MAX,
	};

	return m;
}

/* Send @len bytes with descriptors and, if not NULL, credentials. */
static inline int hand_send_as(int fd, const void *bytes, size_t len, const int *fds,
			       int nr_fds, const struct ucred *cred, int flags)
{
	union {
		char bytes[2048];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { (void *)(uintptr_t)bytes, len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	size_t used = 0;

	if (cred) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_CREDENTIALS;
		c->cmsg_len = CMSG_LEN(sizeof(*cred));
		memcpy(CMSG_DATA(c), cred, sizeof(*cred));
		used += CMSG_SPACE(sizeof(*cred));
		c = CMSG_NXTHDR(&msg, c);
	}
	if (nr_fds) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)nr_fds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * (size_t)nr_fds);
		used += CMSG_SPACE(sizeof(int) * (size_t)nr_fds);
	}
	msg.msg_controllen = used;
	if (!used)
		msg.msg_control = NULL;
	return sendmsg(fd, &msg, MSG_NOSIGNAL | flags) == (ssize_t)len ? 0 : -errno;
}

/* The same with our own credentials, if wanted. */
static inline int hand_send(int fd, const void *bytes, size_t len, const int *fds,
			    int nr_fds, bool cred)
{
	const struct ucred self = { getpid(), geteuid(), getegid() };

	return hand_send_as(fd, bytes, len, fds, nr_fds, cred ? &self : NULL, 0);
}

/* Receive a message and the one descriptor with it, or -1. */
static inline int hand_receive(int fd, struct message *m, int *memfd)
{
	union {
		char bytes[256];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { m, sizeof(*m) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *c;
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	*memfd = -1;
	if (n < 0)
		return -errno;
	for (c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
		if (c->cmsg_type == SCM_RIGHTS)
			memcpy(memfd, CMSG_DATA(c), sizeof(*memfd));
	return (int)n;
}

#define GOOD_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static inline int memfd_with(size_t size, int seals, unsigned int flags)
{
	int fd = memfd_create("shmux-test", MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);

	if (fd >= 0 && (ftruncate(fd, (off_t)size) ||
			(seals && fcntl(fd, F_ADD_SEALS, seals)))) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* --- older kernels ------------------------------------------------------- */

enum kernel {
	KERNEL_THIS,
	KERNEL_6_1,	/* no SO_PASSPIDFD, SO_PEERPIDFD, SO_PASSRIGHTS, MFD_NOEXEC_SEAL */
	KERNEL_5_2,	/* no pidfd_open, no futex_waitv either */
};

#define FILTER_IF_CALL(call, skip)                                                        \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),            \
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, skip)
#define FILTER_FAIL(err) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (err))

/* From here on have this process see what an older kernel lacks. */
static inline int kernel_pretend(enum kernel kernel)
{
	/* The low half of an argument, on a little-endian machine. */
	struct sock_filter filter[] = {
		FILTER_IF_CALL(SYS_setsockopt, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 76 /* SO_PASSPIDFD */, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 83 /* SO_PASSRIGHTS */, 0, 1),
		FILTER_FAIL(ENOPROTOOPT),
		FILTER_IF_CALL(SYS_getsockopt, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 77 /* SO_PEERPIDFD */, 0, 1),
		FILTER_FAIL(ENOPROTOOPT),
		FILTER_IF_CALL(SYS_memfd_create, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 8 /* MFD_NOEXEC_SEAL */, 0, 1),
		FILTER_FAIL(EINVAL),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JA, kernel == KERNEL_5_2 ? 0 : 3, 0, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_futex_waitv, 0, 1),
		FILTER_FAIL(ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	if (kernel == KERNEL_THIS)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return -errno;
	return 0;
}

/* Can a process watch another by a pidfd, as it seems? valgrind knows neither way. */
static inline bool kernel_has_pidfds(void)
{
	int fd = (int)syscall(SYS_pidfd_open, getpid(), 0), on = 1, sockets[2];
	bool has = fd >= 0;

	if (has)
		close(fd);
	else if (!socketpair(AF_UNIX, SOCK_STREAM, 0, sockets)) {
		has = !setsockopt(sockets[0], SOL_SOCKET, 76 /* SO_PASSPIDFD */, &on,
				  sizeof(on));
		close(sockets[0]);
		close(sockets[1]);
	}
	return has;
}

/* --- other processes ---------------------------------------------------- */

static inline bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static inline void kill_and_reap(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#endif /* TESTS_UNIT_MEETING_H */
