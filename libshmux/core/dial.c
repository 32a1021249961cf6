// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * dial.c - see dial.h
 *
 * Owns the blocking half of the rendezvous: the waiting that region/hello.h
 * leaves to its caller.
 */
#include "core/dial.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/core.h"
#include "core/options.h"
#include "core/who.h"
#include "region/device.h"
#include "region/endpoint.h"
#include "region/hello.h"

/* ns between looks at @cancelled, and whether the listener lives */
#define SLICE UINT64_C(50000000)

static void meeting_format(void *arg, void *own)
{
	const struct shmux__meeting *m = arg;

	shmux__shm_format(&m->sizes, own);
}

static int meeting_admit(void *arg, const struct shmux_peer *peer, int fd)
{
	const struct shmux__meeting *m = arg;

	return m->admit ? m->admit(m->admit_arg, peer, fd) : 0;
}

int shmux__meeting_open(struct shmux__meeting *m, int fd, enum shmux_role role,
			bool in_person,
			const struct shmux_session_options *options,
			int (*admit)(void *arg, const struct shmux_peer *peer,
				     int fd),
			void *admit_arg)
{
	struct shmux__hello_params params = {
		.peer_size_max = options->peer_size_max,
		.format = meeting_format,
		.admit = meeting_admit,
		.arg = m,
		.in_person = in_person,
	};

	m->options = options;
	m->role = role;
	m->sizes = shmux__options_sizes(options);
	m->admit = admit;
	m->admit_arg = admit_arg;
	params.size = shmux__shm_size(&m->sizes);
	params.populate = shmux__shm_populate(&m->sizes);
	return shmux__hello_open(fd, role, &params, &m->hello);
}

int shmux__meeting_step(struct shmux__meeting *m, const char *address,
			struct shmux_session **session)
{
	struct shmux__region *region;
	struct shmux__link *link;
	int err;

	err = shmux__hello_step(m->hello, &region);
	if (err)
		return err;
	err = shmux__shm_open(region, &m->sizes, &link);
	if (err)
		return err;
	return shmux__session_new(link, m->options, address, session);
}

void shmux__meeting_close(struct shmux__meeting *m)
{
	shmux__hello_close(m->hello);
}

const struct shmux_peer *shmux__meeting_peer(const struct shmux__meeting *m)
{
	return shmux__hello_peer(m->hello);
}

/* Why we have no session with them. */
static const char *reason(int err, bool was_refused, enum shmux_role role)
{
	switch (err) {
	case -EACCES:
		if (was_refused)
			return "it does not admit our user (EACCES)";
		return role == SHMUX_ROLE_DIALLER ?
			       "we accept no listener of that user (EACCES)" :
			       "we do not admit that user (EACCES)";
	case -EPROTO:
		return was_refused ? "it says that we broke the protocol (EPROTO)" :
				     "it broke the protocol (EPROTO)";
	case -EPROTONOSUPPORT:
		return "we have no version in common (EPROTONOSUPPORT)";
	case -E2BIG:
		return "one side's region is larger than the other takes (E2BIG)";
	case -ECONNRESET:
		return "it hung up amid the hello (ECONNRESET)";
	case -EMFILE:
	case -ENFILE:
		return was_refused ? "it has no descriptor left (EMFILE)" :
				     "we have no descriptor left (EMFILE)";
	case -ENOMEM:
		return was_refused ? "it has no memory left (ENOMEM)" :
				     "we have no memory left (ENOMEM)";
	case -EDQUOT:
		return was_refused ? "its quota of shared memory is spent (EDQUOT)" :
				     "our quota of shared memory is spent (EDQUOT)";
	case -ETIMEDOUT:
		return "it has said nothing for too long (ETIMEDOUT)";
	default:
		return was_refused ? "it refused us" : "we refused it";
	}
}

void shmux__say(const struct shmux_session_options *o, const char *format, ...)
{
	char sentence[256];
	va_list args;

	if (!o->log)
		return;
	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	o->log(o->log_arg, SHMUX_LOG_INFO, sentence);
}

void shmux__meeting_log(const struct shmux__meeting *m, const char *address,
			int err)
{
	const struct shmux_peer *peer = shmux__hello_peer(m->hello);

	shmux__say(m->options, "no session at %s with process %ld of user %lu: %s",
	    *address ? address : "a socket", (long)peer->pid,
	    (unsigned long)peer->uid,
	    reason(err, shmux__hello_was_refused(m->hello), m->role));
}

/* Step until it is over. */
static int wait_for(struct shmux__meeting *m, const char *address,
		    const struct shmux__dial_terms *terms,
		    struct shmux_session **session)
{
	struct pollfd pfd = { .fd = shmux__hello_fd(m->hello) };
	struct timespec ts;
	uint64_t left;
	int err;

	for (;;) {
		err = shmux__meeting_step(m, address, session);
		if (err != -EAGAIN)
			return err;
		left = shmux_clock_left(terms->deadline);
		if (!left)
			return -ETIMEDOUT;
		if (terms->cancelled && shmux_load_relaxed(terms->cancelled))
			return -ECANCELED;
		ts = shmux_clock_timespec(left < SLICE ? left : SLICE);
		pfd.events = shmux__hello_events(m->hello);
		ppoll(&pfd, 1, &ts, NULL);
	}
}

/* Go through with it. It is still to be closed. */
static int meet(struct shmux__meeting *m, const char *address,
		const struct shmux__dial_terms *terms,
		struct shmux_session **session)
{
	int err = wait_for(m, address, terms, session);

	/* Who waits for a listener tries again after a hang-up, and again. */
	if (err && err != -ECANCELED && err != -ECONNRESET)
		shmux__meeting_log(m, address, err);
	return err;
}

static int dial_admit(void *arg, const struct shmux_peer *peer, int fd)
{
	const struct shmux__dial_terms *terms = arg;
	int err = terms->accepts(terms->arg, peer);

	(void)fd;
	return err || !terms->check ? err : terms->check(terms->arg, peer);
}

static int dial_memfd(const struct shmux__address *address,
		      const struct shmux_session_options *options,
		      const struct shmux__dial_terms *terms,
		      struct shmux_session **session)
{
	struct shmux__meeting m;
	int err, fd;

	fd = shmux__endpoint_connect(&address->sun, address->sun_len,
				     terms->deadline, terms->cancelled);
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
			   reason(err, false, SHMUX_ROLE_DIALLER));
	return err;
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
	err = shmux__device_connect(fd, address->name, terms->deadline,
				    terms->cancelled);
	if (err == -EACCES)
		shmux__say(options, "no session at %s: it does not let us connect (EACCES)",
			   address->kmod);
	if (!err)
		err = look_who_listens(fd, address, options, terms);
	if (!err)
		err = meet(&m, address->kmod, terms, session);
	*is_final = !err || err == -ETIMEDOUT || err == -ECANCELED ||
		    (shmux__hello_was_answered(m.hello) &&
		     !terms->accepts(terms->arg, shmux__meeting_peer(&m)));
	shmux__meeting_close(&m);
	return err;
}

int shmux__dial(const struct shmux__address *address,
		const struct shmux_session_options *options,
		const struct shmux__dial_terms *terms,
		struct shmux_session **session)
{
	bool is_final = false;
	int err, memfd_err, fd;

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
