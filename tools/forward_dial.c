// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * forward_dial.c - the session that forward has with TARGET, when that is one
 *
 * There is one at a time for new streams; those that have gone away are left to run
 * out. To dial may take a while, so a thread does it and tells the loop. Who speaks
 * yamux over descriptors that are there waits for nobody, and a child is to live as
 * long as the thread that has made it: those are made by the loop itself.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "forward.h"

/* So long may a target take to answer. */
#define PATIENCE UINT64_C(10000000000) /* ns */

struct forward_dial {
	const char *address;
	int fd;			/* eventfd */
	int error;
	struct shmux_session *s;
	pthread_t thread;
};

static void *dial(void *arg)
{
	struct forward_dial *d = arg;

	d->error = shmux_session_dial(d->address, &forward_session_options,
				      shmux_now() + PATIENCE, &d->s);
	eventfd_write(d->fd, 1);
	return NULL;
}

static int begin(struct forward *fw)
{
	struct forward_dial *d = calloc(1, sizeof(*d));
	int error;

	if (!d)
		return -ENOMEM;
	d->address = fw->target.text;
	d->fd = fw->dial_fd;
	error = pthread_create(&d->thread, NULL, dial, d);
	if (error) {
		free(d);
		return -error;
	}
	fw->dial = d;
	return -EAGAIN;
}

static int have(struct forward *fw, struct shmux_session *s)
{
	int error;

	forward_session_add(fw, s, false, &error);
	/* Dead on arrival: of an only one the loop will see the end. */
	if (!error && !fw->current && !fw->is_over)
		error = -ECONNRESET;
	return error;
}

void forward_dial_ready(struct forward *fw, struct forward_watch *w, uint32_t events)
{
	struct forward_dial *d = fw->dial;
	eventfd_t count;

	(void)w;
	(void)events;
	if (eventfd_read(fw->dial_fd, &count) || !d)
		return;
	pthread_join(d->thread, NULL);
	fw->dial = NULL;
	fw->dial_error = d->error ? d->error : have(fw, d->s);
	fw->look_again = true;
	free(d);
}

int forward_dial_now(struct forward *fw)
{
	struct shmux_session *s;
	int error;

	error = shmux_session_dial(fw->target.text, &forward_session_options,
				   shmux_now() + PATIENCE, &s);
	return error ? error : have(fw, s);
}

/* Return: 0: there is a session; -EAGAIN: there may be one soon. */
static int have_session(struct forward *fw)
{
	int error = fw->dial_error;

	if (fw->current)
		return 0;
	if (fw->is_over)
		return -ECONNRESET;
	if (fw->dial)
		return -EAGAIN;
	fw->dial_error = 0;
	if (!error)
		error = fw->target.is_only ? forward_dial_now(fw) : begin(fw);
	if (forward_is_lack(error)) {
		forward_back_off(fw);
		return -EAGAIN;
	}
	/* An only one that was dead on arrival is no error, and no session. */
	return error || fw->current ? error : -ECONNRESET;
}

int forward_dial_open(struct forward *fw, struct shmux_stream **st,
		      struct forward_session **session)
{
	struct forward_session *found;
	int error;

	/* Of one that is over by now, or has gone away, there is a next. */
	for (;;) {
		error = have_session(fw);
		found = fw->current;
		if (error || !found)
			return error;
		*session = found;
		forward_session_cork(fw, found);
		error = shmux_session_open(found->s, SHMUX_STREAM_BYTES | SHMUX_STREAM_NOWAIT, st);
		if (error == -ENOSPC) {
			forward_back_off(fw);
			return -EAGAIN;
		}
		if (!error)
			found->was_used = true;
		if (!error || error == -EAGAIN)
			return error;
		if (error != -ESHUTDOWN && error != -ECONNRESET)
			return error;
		/* It runs out; but one that never took any is no better next time. */
		fw->sweep = true;
		fw->current = NULL;
		if (!found->was_used)
			return error;
	}
}
