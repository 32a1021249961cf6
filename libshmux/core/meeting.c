// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * meeting.c - see meeting.h
 *
 * Owns the blocking half of the rendezvous: the waiting that region/hello.h
 * leaves to its caller.
 */
#include "core/meeting.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "core/core.h"
#include "core/options.h"
#include "region/hello.h"

/* ns between looks at @cancelled, and whether the listener lives */
#define SLICE UINT64_C(50000000)

static void meeting_format(void *arg, void *own)
{
	const struct shmux__meeting *m = arg;

	shmux__shm_format(&m->sizes, m->role, own);
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

const char *shmux__meeting_reason(int err, bool was_refused, enum shmux_role role)
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
	    shmux__meeting_reason(err, shmux__hello_was_refused(m->hello), m->role));
}

/* Step until it is over. */
static int wait_for(struct shmux__meeting *m, const char *address,
		    uint64_t deadline, const uint32_t *cancelled,
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
		left = shmux_clock_left(deadline);
		if (!left)
			return -ETIMEDOUT;
		if (cancelled && shmux_load_relaxed(cancelled))
			return -ECANCELED;
		ts = shmux_clock_timespec(left < SLICE ? left : SLICE);
		pfd.events = shmux__hello_events(m->hello);
		ppoll(&pfd, 1, &ts, NULL);
	}
}

int shmux__meeting_finish(struct shmux__meeting *m, const char *address,
			  uint64_t deadline, const uint32_t *cancelled,
			  struct shmux_session **session)
{
	int err = wait_for(m, address, deadline, cancelled, session);

	/* Who waits for a listener tries again after a hang-up, and again. */
	if (err && err != -ECANCELED && err != -ECONNRESET)
		shmux__meeting_log(m, address, err);
	return err;
}
