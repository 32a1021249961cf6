// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * dial.c - see dial.h
 *
 * Owns which ways there are to an address, and which is taken. What is said on
 * the way, and the waiting, is the meeting's.
 */
#include "core/dial.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "core/core.h"
#include "core/meeting.h"
#include "core/options.h"
#include "core/who.h"
#include "core/wires.h"
#include "link/bytes.h"
#include "region/device.h"
#include "region/endpoint.h"
#include "region/hello.h"
#include "region/inet.h"

/* How long one wait for room is: then we look who listens, and whether to go on. */
#define QUEUE_SLICE UINT64_C(50000000) /* ns */

static int meet(struct shmux__meeting *m, const char *address,
		const struct shmux__dial_terms *terms,
		struct shmux_session **session)
{
	return shmux__meeting_finish(m, address, terms->deadline,
				     terms->cancelled, session);
}

static int accepts_and_checks(const struct shmux__dial_terms *terms,
			      const struct shmux_peer *peer)
{
	int err = terms->accepts(terms->arg, peer);

	return err || !terms->check ? err : terms->check(terms->arg, peer);
}

static int dial_admit(void *arg, const struct shmux_peer *peer, int fd)
{
	(void)fd;
	return accepts_and_checks(arg, peer);
}

int shmux__dial_admits(const struct shmux__address *address,
		       const struct shmux__dial_terms *terms,
		       const struct shmux_peer *peer)
{
	if (shmux__address_knows_user(address))
		return accepts_and_checks(terms, peer);
	if (terms->by_user)
		return -EACCES;
	return terms->check ? terms->check(terms->arg, peer) : 0;
}

static int dial_memfd(const struct shmux__address *address,
		      const struct shmux_session_options *options,
		      const struct shmux__dial_terms *terms,
		      struct shmux_session **session)
{
	struct shmux__meeting m;
	int err, fd;

	fd = shmux__endpoint_connect(&address->sun, address->sun_len,
				     SOCK_SEQPACKET, terms->deadline,
				     terms->cancelled);
	if (fd == -EACCES)
		shmux__say(options, "no session at %s: its file does not let us connect (EACCES)",
			   address->memfd);
	if (fd < 0)
		return fd;
	err = shmux__meeting_open(&m, fd, SHMUX_ROLE_DIALLER, true, options,
				  dial_admit, (void *)(uintptr_t)terms);
	if (err)
		return err;
	err = meet(&m, address->memfd, terms, session);
	shmux__meeting_close(&m);
	return err;
}

/*
 * Who listens is known before it answers, and a stranger is not waited for. That
 * it was root does not tell who will answer.
 */
static int look_who_listens(int fd, const struct shmux__address *address,
			    const struct shmux_session_options *options,
			    const struct shmux__dial_terms *terms)
{
	struct shmux_peer peer;
	uint32_t size;
	int err = shmux__device_peer(fd, &peer, &size);

	if (err || peer.uid == 0)
		return err;
	err = terms->accepts(terms->arg, &peer);
	if (err)
		shmux__say(options, "no session at %s with process %ld of user %lu: %s",
			   address->kmod, (long)peer.pid, (unsigned long)peer.uid,
			   shmux__meeting_reason(err, false, SHMUX_ROLE_DIALLER));
	return err;
}

/* Have @fd queue where we are to be accepted, by somebody whom we accept. */
static int join_queue(int fd, const struct shmux__address *address,
		      const struct shmux_session_options *options,
		      const struct shmux__dial_terms *terms)
{
	uint64_t left = 0;
	int err, stranger;

	/* The first time without waiting: there is room, as a rule. */
	for (;;) {
		err = shmux__device_connect(fd, address->name,
					    left < QUEUE_SLICE ? left : QUEUE_SLICE);
		if (err == -EACCES)
			shmux__say(options, "no session at %s: it does not let us connect (EACCES)",
				   address->kmod);
		if (err && err != -EAGAIN)
			return err;
		/* Where there is no room either: its queue is not waited in. */
		stranger = look_who_listens(fd, address, options, terms);
		if (stranger || !err)
			return stranger;
		/* Pairs with whoever cancels; there is nothing else to order. */
		if (terms->cancelled && shmux_load_relaxed(terms->cancelled))
			return -ECANCELED;
		left = shmux_clock_left(terms->deadline);
		if (!left)
			return -ETIMEDOUT;
	}
}

/*
 * By way of @fd, a file of the device's. @is_final: what we learn is all that
 * there is to learn, since the time is over, or one whom we accept has answered.
 */
static int dial_kmod(int fd, const struct shmux__address *address,
		     const struct shmux_session_options *options,
		     const struct shmux__dial_terms *terms,
		     struct shmux_session **session, bool *is_final)
{
	struct shmux__meeting m;
	int err;

	*is_final = false;
	err = shmux__meeting_open(&m, fd, SHMUX_ROLE_DIALLER, true, options,
				  dial_admit, (void *)(uintptr_t)terms);
	if (err)
		return err;
	err = join_queue(fd, address, options, terms);
	if (!err)
		err = meet(&m, address->kmod, terms, session);
	*is_final = !err || err == -ETIMEDOUT || err == -ECANCELED ||
		    (shmux__hello_was_answered(m.hello) &&
		     !terms->accepts(terms->arg, shmux__meeting_peer(&m)));
	shmux__meeting_close(&m);
	return err;
}

/* A link over what a yamux address leads to. */
static int open_link(const struct shmux__address *address,
		     const struct shmux_session_options *options,
		     const struct shmux__dial_terms *terms,
		     struct shmux__link **link)
{
	int fd;

	switch (address->kind) {
	case SHMUX_ADDRESS_UNIX:
		fd = shmux__endpoint_connect(&address->sun, address->sun_len,
					     SOCK_STREAM, terms->deadline,
					     terms->cancelled);
		break;
	case SHMUX_ADDRESS_TCP:
		if (!address->port)
			return -EINVAL;
		fd = shmux__inet_connect(address->host, address->port,
					 terms->deadline, terms->cancelled);
		if (fd >= 0)
			shmux__inet_tune(fd, options->keepalive);
		break;
	default:
		return shmux__wires_open(address, SHMUX_ROLE_DIALLER, link);
	}
	return fd < 0 ? fd : shmux__bytes_open(fd, fd, SHMUX_ROLE_DIALLER, link);
}

static int dial_yamux(const struct shmux__address *address,
		      const struct shmux_session_options *options,
		      const struct shmux__dial_terms *terms,
		      struct shmux_session **session)
{
	struct shmux__link *link;
	int err = open_link(address, options, terms, &link);

	if (err)
		return err;
	err = shmux__dial_admits(address, terms, &link->peer);
	if (!err)
		return shmux__session_new(link, options, address->text, session);
	shmux__say(options, "no session at %s with process %ld of user %ld: %s",
		   address->text, (long)link->peer.pid, (long)(int)link->peer.uid,
		   shmux__meeting_reason(err, false, SHMUX_ROLE_DIALLER));
	link->ops->close(link);
	return err;
}

int shmux__dial(const struct shmux__address *address,
		const struct shmux_session_options *options,
		const struct shmux__dial_terms *terms,
		struct shmux_session **session)
{
	bool is_final = false;
	int err, memfd_err, fd;

	if (address->kind != SHMUX_ADDRESS_MEMORY)
		return dial_yamux(address, options, terms, session);
	if (!address->kmod[0])
		return dial_memfd(address, options, terms, session);
	fd = shmux__device_open();
	err = fd < 0 ? fd : dial_kmod(fd, address, options, terms, session, &is_final);
	if (is_final || !address->memfd[0])
		return err;

	/*
	 * Who has the name there need not be who we look for; who has it here is
	 * asked for its user just so.
	 */
	memfd_err = dial_memfd(address, options, terms, session);
	/* If nobody is here, what was said there tells more. */
	return memfd_err == -ECONNREFUSED && fd >= 0 ? err : memfd_err;
}

int shmux__dial_accepts_own(const void *arg, const struct shmux_peer *peer)
{
	(void)arg;
	return peer->uid == 0 || shmux__who_is_user(peer, geteuid()) ? 0 : -EACCES;
}

int shmux_session_dial(const char *address,
		       const struct shmux_session_options *options,
		       uint64_t deadline, struct shmux_session **session)
{
	struct shmux__dial_terms terms = {
		.deadline = deadline,
		.accepts = shmux__dial_accepts_own,
	};
	struct shmux_session_options o;
	struct shmux__address a;
	int err, saved = errno;

	err = shmux__options_resolve(options, &o, NULL);
	if (!err)
		err = shmux__address_parse(address, &a);
	if (!err)
		err = shmux__dial(&a, &o, &terms, session);
	errno = saved;
	return err;
}

int shmux_session_attach(int fd, enum shmux_role role,
			 const struct shmux_session_options *options,
			 uint64_t deadline, struct shmux_session **session)
{
	struct shmux__dial_terms terms = { .deadline = deadline };
	struct shmux_session_options o;
	struct shmux__meeting m;
	int err, saved = errno;

	err = shmux__options_resolve(options, &o, NULL);
	if (!err && role != SHMUX_ROLE_DIALLER && role != SHMUX_ROLE_ACCEPTOR)
		err = -EINVAL;
	/* Not ours until now; from now on like every descriptor of ours. */
	if (!err && fcntl(fd, F_SETFD, FD_CLOEXEC))
		err = -EBADF;
	if (!err)
		err = shmux__meeting_open(&m, fd, role, false, &o, NULL, NULL);
	else if (err != -EBADF)
		close(fd);
	if (!err) {
		err = meet(&m, "", &terms, session);
		shmux__meeting_close(&m);
	}
	errno = saved;
	return err;
}

int shmux_session_yamux(int in, int out, enum shmux_role role,
			const struct shmux_session_options *options,
			struct shmux_session **session)
{
	struct shmux_session_options o;
	struct shmux__link *link;
	int err, saved = errno;

	err = shmux__options_resolve(options, &o, NULL);
	if (!err && role != SHMUX_ROLE_DIALLER && role != SHMUX_ROLE_ACCEPTOR)
		err = -EINVAL;
	if (err) {
		close(in);
		if (out != in)
			close(out);
	} else {
		err = shmux__bytes_open(in, out, role, &link);
	}
	if (!err)
		err = shmux__session_new(link, &o, "", session);
	errno = saved;
	return err;
}

int shmux_session_pair(int fds[2])
{
	int err, saved = errno;

	err = shmux__device_pair(fds);
	/* Whatever the reason, there is another way. */
	if (err)
		err = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) ?
			      -errno : 0;
	errno = saved;
	return err;
}
