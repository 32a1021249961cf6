/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * meeting.h - from a connected descriptor to a session
 *
 * A meeting is a hello (region/hello.h) with what it needs of a session's
 * options. A dialler waits for its meeting; a listener steps many at once.
 */
#ifndef SHMUX_CORE_MEETING_H
#define SHMUX_CORE_MEETING_H

#include <stdbool.h>
#include <stdint.h>

#include <shmux/session.h>

#include "link/shm.h"

struct shmux__hello;

/* Stays where it is from open to close. */
struct shmux__meeting {
	struct shmux__hello *hello;
	const struct shmux_session_options *options;	/* resolved; outlive it */
	enum shmux_role role;
	struct shmux__shm_sizes sizes;
	int (*admit)(void *arg, const struct shmux_peer *peer, int fd);
	void *admit_arg;
};

/*
 * Begin on what a hello begins on, which is the meeting's, on failure too.
 * @in_person: not a pair's, see region/hello.h.
 */
int shmux__meeting_open(struct shmux__meeting *m, int fd, enum shmux_role role,
			bool in_person,
			const struct shmux_session_options *options,
			int (*admit)(void *arg, const struct shmux_peer *peer,
				     int fd),
			void *admit_arg);

/*
 * Go on without waiting. Return: 0 and a session; -EAGAIN; or how it ended. In
 * any case but -EAGAIN the meeting is still to be closed.
 */
int shmux__meeting_step(struct shmux__meeting *m, const char *address,
			struct shmux_session **session);
void shmux__meeting_close(struct shmux__meeting *m);

/* Who wants to meet us, or whom we wanted to; until close. */
const struct shmux_peer *
shmux__meeting_peer(const struct shmux__meeting *m);

/* Tell the log why a meeting has ended with @err; until close. */
void shmux__meeting_log(const struct shmux__meeting *m, const char *address,
			int err);

/*
 * Step until it is over, and tell the log how it ended. @deadline: absolute, ns;
 * @cancelled: looked at every 50 ms, or NULL. Return: as a step; -ETIMEDOUT;
 * -ECANCELED. The meeting is still to be closed.
 */
int shmux__meeting_finish(struct shmux__meeting *m, const char *address,
			  uint64_t deadline, const uint32_t *cancelled,
			  struct shmux_session **session);

/* Why there is no session with them. */
const char *shmux__meeting_reason(int err, bool was_refused,
				  enum shmux_role role);

/* Tell the log. */
__attribute__((format(printf, 2, 3))) void
shmux__say(const struct shmux_session_options *o, const char *format, ...);

#endif /* SHMUX_CORE_MEETING_H */
