// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * hello_memfd.c - the rendezvous of two memfd regions, over a socket
 *
 * Owns the socket and the half-made region until both sides have said hello.
 * What is in the region's memory is written by @format and read by the link;
 * who may come is for @admit to say.
 *
 *   dialler                               acceptor
 *   makes its region
 *   HELLO, memfd, credentials    ------>  verifies, maps, admits
 *                                         makes its region
 *   verifies, admits, maps       <------  ANSWER, memfd, credentials
 *                                    or   REFUSAL, why
 *
 * A message is 64 bytes in every version, so that an old and a new end can tell
 * each other apart. Memfd and credentials come with its first byte. Over a
 * SOCK_STREAM it may arrive in pieces; no byte beyond it is taken, because the
 * next ones may be bells.
 *
 * Credentials are sent explicitly: what the kernel adds by itself depends on
 * whether the receiver had asked for it before the message was sent.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "region/hello_kind.h"
#include "region/memfd.h"
#include "region/pidfd.h"
#include "region/region.h"
#include "region/stray.h"

/* Linux 6.5; a few architectures number their socket options otherwise. */
#if !defined(SO_PASSPIDFD) && !defined(__sparc__) && !defined(__hppa__)
#define SO_PASSPIDFD 76
#endif

#define HELLO_MAGIC 0x686d6873u	/* "shmh" read as bytes */

enum hello_kind {
	HELLO = 1,
	ANSWER = 2,
	REFUSAL = 3,
};

struct hello_message {
	uint32_t magic;		/* HELLO_MAGIC */
	uint32_t version;	/* SHMUX_VERSION */
	uint32_t kind;		/* enum hello_kind */
	int32_t status;		/* of a REFUSAL: negative errno; else 0 */
	uint32_t size;		/* of the sender's region; 0 in a REFUSAL */
	uint32_t size_max;	/* largest region the sender takes; likewise */
	uint32_t reserved[10];	/* 0 */
};

_Static_assert(sizeof(struct hello_message) == 64, "the same in every version");

/* What the kernel hands over beside the bytes. */
struct ancillary {
	int memfd;		/* or -1 */
	int nr_fds;		/* how many there were; all but @memfd are closed */
	int pidfd;		/* or -1; another negative number is an error */
	bool has_cred;
	struct ucred cred;
};

enum hello_state {
	SEND,
	RECEIVE,
};

struct hello {
	struct shmux__hello common;
	enum hello_state state;
	int type;		/* SOCK_SEQPACKET or SOCK_STREAM */

	int memfd;		/* our memory, until it is sent */
	struct hello_message in;
	size_t in_len;		/* bytes of @in that have come */
	struct ancillary anc;	/* of its first byte */
};

static struct hello *to_hello(struct shmux__hello *h)
{
	return (struct hello *)h;
}

static int set_option(int fd, int option, int value)
{
	return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) ?
		       -errno : 0;
}

/*
 * Have the kernel say who sends. Only while a hello is awaited: bells need no
 * credentials, and a SOCK_SEQPACKET that sends while it asks for them is given
 * an abstract name.
 */
static int ask_credentials(int fd, int on)
{
#ifdef SO_PASSPIDFD
	set_option(fd, SO_PASSPIDFD, on);	/* not before Linux 6.5 */
#endif
	return set_option(fd, SO_PASSCRED, on);
}

static int check_socket(int fd, int *type)
{
	int domain;
	socklen_t len = sizeof(int);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, type, &len))
		return errno == ENOTSOCK ? -EINVAL : -errno;
	if (domain != AF_UNIX || (*type != SOCK_SEQPACKET && *type != SOCK_STREAM))
		return -EINVAL;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC))
		return -errno;
	if (*type == SOCK_STREAM)
		shmux__stray_inline(fd);
	return 0;
}

/* --- messages ----------------------------------------------------------- */

/* What a socket says of a peer that is no longer there. */
static int hang_up(int err)
{
	switch (err) {
	case EPIPE:
	case ENOTCONN:
	case ECONNREFUSED:
		return -ECONNRESET;
	case ETOOMANYREFS:	/* too many of our descriptors are under way */
		return -EMFILE;
	default:
		return -err;
	}
}

static ssize_t send_once(int fd, const struct msghdr *msg)
{
	ssize_t n;

	do {
		n = sendmsg(fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

/* One send takes all: the kernel does not split so short a message. */
static int send_message(int fd, const struct hello_message *message, int memfd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) +
			   CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct ucred cred = {
		.pid = getpid(),
		.uid = geteuid(),
		.gid = getegid(),
	};
	struct iovec iov = {
		.iov_base = (void *)(uintptr_t)message,
		.iov_len = sizeof(*message),
	};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = CMSG_SPACE(sizeof(cred)) +
				  (memfd < 0 ? 0 : CMSG_SPACE(sizeof(int))),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_CREDENTIALS;
	c->cmsg_len = CMSG_LEN(sizeof(cred));
	memcpy(CMSG_DATA(c), &cred, sizeof(cred));
	if (memfd >= 0) {
		c = (struct cmsghdr *)(void *)(control.bytes +
					       CMSG_SPACE(sizeof(cred)));
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(memfd));
		memcpy(CMSG_DATA(c), &memfd, sizeof(memfd));
	}

	n = send_once(fd, &msg);
	if (n == -EINVAL) {
		/*
		 * Our user namespace has no name for us, and credentials without
		 * a name cannot be sent. Who has asked for them, as a listener
		 * has, is given them by the kernel.
		 */
		msg.msg_control = control.bytes + CMSG_SPACE(sizeof(cred));
		msg.msg_controllen -= CMSG_SPACE(sizeof(cred));
		n = send_once(fd, &msg);
	}
	if (n < 0)
		return hang_up((int)-n);
	return n == sizeof(*message) ? 0 : -ECONNRESET;
}

static void ancillary_init(struct ancillary *a)
{
	memset(a, 0, sizeof(*a));
	a->memfd = -1;
	a->pidfd = -1;
}

static void ancillary_close(struct ancillary *a)
{
	if (a->memfd >= 0)
		shmux__stray_close(a->memfd);
	if (a->pidfd >= 0)
		close(a->pidfd);
	ancillary_init(a);
}

static void take_fds(struct ancillary *a, const struct cmsghdr *c)
{
	size_t nr = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	size_t i;
	int fd;

	for (i = 0; i < nr; i++) {
		memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
		if (a->nr_fds++)
			shmux__stray_close(fd);
		else
			a->memfd = fd;
	}
}

static void take_ancillary(struct ancillary *a, struct msghdr *msg)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		switch (c->cmsg_type) {
		case SCM_RIGHTS:
			take_fds(a, c);
			break;
		case SCM_CREDENTIALS:
			memcpy(&a->cred, CMSG_DATA(c), sizeof(a->cred));
			a->has_cred = true;
			break;
		case SCM_PIDFD:
			memcpy(&a->pidfd, CMSG_DATA(c), sizeof(a->pidfd));
			break;
		}
	}
}

/*
 * Receive into @h->in what is still missing. Return: 0: something came, with
 * @a, the caller's to close; -EAGAIN; or another -errno.
 */
static int receive_piece(struct hello *h, struct ancillary *a)
{
	union {
		char bytes[CMSG_SPACE(sizeof(struct ucred)) +
			   CMSG_SPACE(sizeof(int)) + SHMUX_STRAY_SPACE];
		struct cmsghdr align;
	} control;
	struct iovec iov = {
		.iov_base = (char *)&h->in + h->in_len,
		.iov_len = sizeof(h->in) - h->in_len,
	};
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int flags = MSG_DONTWAIT | MSG_CMSG_CLOEXEC;
	ssize_t n;

	ancillary_init(a);
	do {
		n = recvmsg(h->common.fd, &msg, flags);
	} while (n < 0 && errno == EINTR);
	/*
	 * A peer that hangs up with bytes of ours unread leaves this error, and
	 * its last message behind it: take a second look.
	 */
	if (n < 0 && errno == ECONNRESET)
		n = recvmsg(h->common.fd, &msg, flags);
	if (n < 0)
		return hang_up(errno);

	take_ancillary(a, &msg);
	h->in_len += (size_t)n;
	if (n == 0 && !a->nr_fds) {
		ancillary_close(a);
		return -ECONNRESET;
	}
	if (msg.msg_flags & MSG_TRUNC)
		goto err_proto;
	if (msg.msg_flags & MSG_CTRUNC) {
		/* Was none left to us to take it, or was it kept from us? */
		int spare = fcntl(h->common.fd, F_DUPFD_CLOEXEC, 0);

		if (spare < 0) {
			n = -errno;
			ancillary_close(a);
			return (int)n;
		}
		close(spare);
		goto err_proto;
	}
	return 0;

err_proto:
	ancillary_close(a);
	return -EPROTO;
}

/* Return: 0 when @h->in and @h->anc are complete, -EAGAIN, or another -errno. */
static int receive_message(struct hello *h)
{
	struct ancillary a;
	int err;

	while (h->in_len < sizeof(h->in)) {
		bool first = h->in_len == 0;

		err = receive_piece(h, &a);
		if (err)
			return err;
		if (first) {
			h->anc = a;
		} else {
			err = a.nr_fds ? -EPROTO : 0;
			ancillary_close(&a);
			if (err)
				return err;
		}
		if (h->in_len < sizeof(h->in) && h->type != SOCK_STREAM)
			return -EPROTO;		/* a packet too short */
	}
	return 0;
}

/*
 * Credentials that nobody sent look like those of a process of which our
 * namespaces know nothing, and such a one may be let in by name ("nobody").
 * Then it must have been the one that connected, too.
 */
static bool is_anonymous(int fd, const struct ucred *cred)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);
	const uint32_t overflow_id = 65534;

	if (cred->pid || cred->uid != overflow_id || cred->gid != overflow_id)
		return false;
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) ||
	       peer.pid || peer.uid != overflow_id || peer.gid != overflow_id;
}

/* For want of anything better, until it has said hello. */
static void ask_who_connected(struct hello *h)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(h->common.fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		return;
	h->common.peer = (struct shmux_peer){
		.pid = cred.pid,
		.uid = cred.uid,
		.gid = cred.gid,
	};
}

static int check_message(struct hello *h)
{
	const struct hello_message *m = &h->in;
	uint32_t want = h->common.role == SHMUX_ROLE_DIALLER ? ANSWER : HELLO;
	size_t i;

	if (m->magic != HELLO_MAGIC)
		return -EPROTO;
	if (m->version != SHMUX_VERSION)
		return -EPROTONOSUPPORT;
	for (i = 0; i < sizeof(m->reserved) / sizeof(m->reserved[0]); i++)
		if (m->reserved[i])
			return -EPROTO;

	if (want == ANSWER && m->kind == REFUSAL) {
		/* -EAGAIN would have our caller step on. */
		if (m->status >= 0 || m->status < -4095 || m->status == -EAGAIN)
			return -EPROTO;
		h->common.was_refused = true;
		return m->status;
	}
	if (m->kind != want || m->status)
		return -EPROTO;
	if (h->anc.nr_fds != 1 || !h->anc.has_cred ||
	    is_anonymous(h->common.fd, &h->anc.cred))
		return -EPROTO;
	return 0;
}

/* --- steps -------------------------------------------------------------- */

static int make_region(struct hello *h)
{
	int memfd = shmux__memfd_make(h->common.region, h->common.params.size);

	if (memfd < 0)
		return memfd;
	h->memfd = memfd;
	if (h->common.params.format)
		h->common.params.format(h->common.params.arg, h->common.region->own);
	return 0;
}

static int send_own(struct hello *h)
{
	uint64_t size_max = h->common.params.peer_size_max;
	struct hello_message m = {
		.magic = HELLO_MAGIC,
		.version = SHMUX_VERSION,
		.kind = h->common.role == SHMUX_ROLE_DIALLER ? HELLO : ANSWER,
		.size = h->common.params.size,
		.size_max = size_max < SHMUX_REGION_SIZE_MAX ?
				    (uint32_t)size_max : SHMUX_REGION_SIZE_MAX,
	};
	int err = send_message(h->common.fd, &m, h->memfd);

	if (err)
		return err;
	close(h->memfd);
	h->memfd = -1;
	return 0;
}

/* If it cannot be sent at once, hanging up must do. */
static void send_refusal(struct hello *h, int err)
{
	struct hello_message m = {
		.magic = HELLO_MAGIC,
		.version = SHMUX_VERSION,
		.kind = REFUSAL,
		.status = err,
	};

	send_message(h->common.fd, &m, -1);
}

/* A whole message is there: take the peer's region, if all of it is in order. */
static int take_peer(struct hello *h)
{
	struct ancillary *a = &h->anc;
	int err;

	err = check_message(h);
	if (err)
		return err;
	if (h->common.params.size > h->in.size_max)
		return -E2BIG;

	h->common.peer = (struct shmux_peer){
		.pid = a->cred.pid,
		.uid = a->cred.uid,
		.gid = a->cred.gid,
	};
	h->common.was_answered = true;
	err = shmux__memfd_watch(h->common.region, &h->common.peer, a->pidfd);
	a->pidfd = -1;
	if (err)
		return err;

	err = shmux__memfd_take(h->common.region, a->memfd, h->in.size,
				h->common.params.peer_size_max);
	if (err)
		return err;
	return shmux__hello_admit(&h->common, h->common.fd);
}

static int step_dialler(struct hello *h)
{
	int err;

	if (h->state == SEND) {
		err = send_own(h);
		if (err)
			return err;
		h->state = RECEIVE;
		err = ask_credentials(h->common.fd, 1);
		if (err)
			return err;
	}
	err = receive_message(h);
	if (err)
		return err;
	ask_credentials(h->common.fd, 0);
	return take_peer(h);
}

static int step_acceptor(struct hello *h)
{
	int err;

	if (h->state == RECEIVE) {
		err = receive_message(h);
		if (err == -EAGAIN)
			return err;
		ask_credentials(h->common.fd, 0);
		if (!err)
			err = take_peer(h);
		if (err) {
			send_refusal(h, err);
			return err;
		}
		ancillary_close(&h->anc);
		err = make_region(h);
		if (err) {
			send_refusal(h, err);
			return err;
		}
		h->state = SEND;
	}
	return send_own(h);
}

static int step(struct hello *h)
{
	return h->common.role == SHMUX_ROLE_DIALLER ? step_dialler(h) : step_acceptor(h);
}

static int hello_step(struct shmux__hello *hello)
{
	struct hello *h = to_hello(hello);
	int err;

	err = step(h);
	if (err == -EAGAIN) {
		/*
		 * Asked each time, rather than to keep a descriptor for every
		 * silent client.
		 */
		if (!hello->params.in_person ||
		    !shmux__pidfd_peer_is_dead(hello->fd))
			return err;
		/* It may have said it just before. */
		err = step(h);
		if (err == -EAGAIN)
			err = -ECONNRESET;
	}
	ancillary_close(&h->anc);
	return err;
}

static short hello_events(const struct shmux__hello *hello)
{
	const struct hello *h = (const struct hello *)hello;

	return h->state == SEND ? POLLOUT : POLLIN;
}

static void hello_free(struct shmux__hello *hello)
{
	struct hello *h = to_hello(hello);

	ancillary_close(&h->anc);
	if (h->memfd >= 0)
		close(h->memfd);
	free(h);
}

static const struct shmux__hello_ops memfd_hello_ops = {
	.step = hello_step,
	.events = hello_events,
	.free = hello_free,
};

int shmux__hello_memfd_open(int fd, enum shmux_role role,
			    const struct shmux__hello_params *params,
			    struct shmux__hello **hello)
{
	struct hello *h;
	int err, type = 0;

	err = check_socket(fd, &type);
	if (err)
		goto err_close;
	h = calloc(1, sizeof(*h));
	if (!h) {
		err = -ENOMEM;
		goto err_close;
	}

	h->common.ops = &memfd_hello_ops;
	h->common.params = *params;
	h->common.role = role;
	h->common.fd = fd;
	h->type = type;
	h->memfd = -1;
	ancillary_init(&h->anc);
	ask_who_connected(h);
	/* One that connected may have said all that it had to say. */
	if (role == SHMUX_ROLE_DIALLER && params->in_person &&
	    shmux__pidfd_peer_is_dead(fd)) {
		err = -ECONNREFUSED;
		goto err_free;
	}
	err = shmux__memfd_open(fd, role, &h->common.region);
	if (err)
		goto err_free;

	if (role == SHMUX_ROLE_DIALLER) {
		err = make_region(h);
		h->state = SEND;
	} else {
		err = ask_credentials(fd, 1);
		h->state = RECEIVE;
	}
	if (err) {
		shmux__hello_close(&h->common);
		return err;
	}
	*hello = &h->common;
	return 0;

err_free:
	free(h);
err_close:
	if (fd >= 0)
		close(fd);
	return err;
}
