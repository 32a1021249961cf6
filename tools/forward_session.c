// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * forward_session.c - the sessions of forward, near ones and far ones
 *
 * Owns when a session is pumped, corked and closed. A far one is made by
 * forward_dial.c, a near one comes from the listener.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "forward.h"
#include "say.h"

enum { EVENTS = 128 };

/* For what the peer has not taken yet, and a child that is to end; ns. */
#define LAST_WORDS UINT64_C(2000000000)

/* A session that was lost is worth a sentence, one that ended is not. */
static void log_sentence(void *arg, enum shmux_log_level level, const char *sentence)
{
	(void)arg;
	if (level == SHMUX_LOG_ERROR)
		fprintf(stderr, "shmux: %s\n", sentence);
}

/*
 * Many streams, most of them small, and a first grant that a request or its answer
 * fits in. The budget bounds what may lie here unread.
 */
const struct shmux_session_options forward_session_options = {
	.size = sizeof(forward_session_options),
	.budget = UINT64_C(256) << 20,
	.first_grant = 4096,
	.streams_max = 32768,
	.backlog = 4096,
	.log = log_sentence,
};

static void mark_dead(struct forward *fw, struct forward_session *session)
{
	if (session->is_dead)
		return;
	session->is_dead = true;
	forward_unwatch(fw, shmux_session_fd(session->s));
	forward_conns_lost(fw, session);
	/* One that has gone away before it ended is no loss. */
	if (session->is_near ? fw->listen.is_only : session == fw->current && fw->target.is_only)
		fw->is_over = session->is_lost = true;
	if (fw->current == session)
		fw->current = NULL;
	fw->sweep = true;
	/* Who waits for a stream of it is to have another one. */
	fw->look_again = true;
}

static void note_event(struct forward *fw, struct forward_session *session,
		       const struct shmux_event *event)
{
	struct forward_end *end = event->user;

	if (end) {
		end->readable |= (event->events & SHMUX_EVENT_READ) != 0;
		if (event->events & SHMUX_EVENT_WRITE)
			end->writable = end->is_shaken = true;
		forward_conn_mark(fw, end->conn);
	} else if (!event->stream) {
		if (event->events & SHMUX_EVENT_ACCEPT)
			session->has_pending = true;
		if (event->events & SHMUX_EVENT_WRITE)
			fw->look_again = true;
	}
}

static void pump(struct forward *fw, struct forward_session *session)
{
	struct shmux_event events[EVENTS];
	bool is_dead = false;
	int n;

	do {
		n = shmux_session_pump(session->s, events, EVENTS);
		for (int i = 0; i < n; i++) {
			note_event(fw, session, &events[i]);
			if (events[i].events & SHMUX_EVENT_DEAD)
				is_dead = true;
		}
	} while (n == EVENTS);
	if (n < 0 || is_dead)
		mark_dead(fw, session);
}

static void session_ready(struct forward *fw, struct forward_watch *w, uint32_t events)
{
	(void)events;
	pump(fw, (struct forward_session *)w);
}

struct forward_session *forward_session_add(struct forward *fw, struct shmux_session *s,
					    bool is_near, int *error)
{
	struct forward_session *session = calloc(1, sizeof(*session));
	int fd = shmux_session_fd(s);

	*error = session ? 0 : -ENOMEM;
	if (!*error && fd < 0)
		*error = fd;
	if (!*error) {
		session->watch.ready = session_ready;
		session->s = s;
		session->is_near = is_near;
		*error = forward_watch(fw, fd, EPOLLIN, &session->watch);
	}
	if (*error) {
		free(session);
		shmux_session_close(s, 0);
		return NULL;
	}
	LIST_INSERT_HEAD(&fw->sessions, session, all);
	if (!is_near)
		fw->current = session;
	/* What was there before is told by the first pump. */
	pump(fw, session);
	return session;
}

void forward_session_cork(struct forward *fw, struct forward_session *session)
{
	if (session->is_corked || session->is_dead)
		return;
	session->is_corked = true;
	LIST_INSERT_HEAD(&fw->corked, session, corked);
	shmux_session_cork(session->s);
}

void forward_sessions_flush(struct forward *fw)
{
	struct forward_session *session;

	while ((session = LIST_FIRST(&fw->corked))) {
		LIST_REMOVE(session, corked);
		session->is_corked = false;
		shmux_session_uncork(session->s);
	}
}

static void accept_streams(struct forward *fw, struct forward_session *session)
{
	struct shmux_stream *st;

	while (forward_may_accept(fw)) {
		if (shmux_session_accept(session->s, SHMUX_NOWAIT, &st)) {
			session->has_pending = false;
			return;
		}
		forward_conn_take_stream(fw, st, session);
	}
}

void forward_sessions_accept(struct forward *fw)
{
	struct forward_session *session;

	LIST_FOREACH(session, &fw->sessions, all)
		if (session->has_pending)
			accept_streams(fw, session);
}

/* Of a lost session's child. Return: what a shell would take it for; 0: there is none. */
static int say_child(const struct forward_session *session, const char *address)
{
	int status, error;

	error = shmux_session_child_status(session->s, shmux_now() + LAST_WORDS, NULL, &status);
	if (error == -ENODATA)
		return SAY_DONE;
	if (error)
		return say_cannot(error, NULL, "tell how %s has ended", address);
	if (WIFSIGNALED(status)) {
		fprintf(stderr, "shmux: %s was killed by signal %d\n", address, WTERMSIG(status));
		return 128 + WTERMSIG(status);
	}
	if (WEXITSTATUS(status))
		fprintf(stderr, "shmux: %s has left with status %d\n", address,
			WEXITSTATUS(status));
	return WEXITSTATUS(status);
}

/* Last words that the peer has not taken yet are waited for. */
static void close_session(struct forward *fw, struct forward_session *session, uint64_t deadline)
{
	if (session->is_corked)
		LIST_REMOVE(session, corked);
	if (!session->is_dead)
		forward_unwatch(fw, shmux_session_fd(session->s));
	if (fw->current == session)
		fw->current = NULL;
	LIST_REMOVE(session, all);
	if (session->is_lost)
		fw->status = say_child(session, session->is_near ? fw->listen.text : fw->target.text);
	shmux_session_close(session->s, deadline);
	free(session);
}

void forward_sessions_sweep(struct forward *fw)
{
	struct forward_session *session, *next;
	bool is_done;

	if (!fw->sweep)
		return;
	fw->sweep = false;
	for (session = LIST_FIRST(&fw->sessions); session; session = next) {
		next = LIST_NEXT(session, all);
		/* A near one is its peer's to end; of the far ones we keep the last. */
		if (session->is_near)
			is_done = (session->is_dead && !session->has_pending) || fw->is_draining;
		else
			is_done = session != fw->current;
		if (is_done && !session->nr_conns)
			close_session(fw, session, shmux_now() + LAST_WORDS);
	}
}

void forward_sessions_drain(struct forward *fw)
{
	struct forward_session *session;

	LIST_FOREACH(session, &fw->sessions, all)
		if (session->is_near && !session->is_dead)
			shmux_session_go_away(session->s, 0);
	fw->sweep = true;
}

void forward_sessions_close(struct forward *fw)
{
	uint64_t deadline = shmux_now() + LAST_WORDS;
	struct forward_session *session, *next;

	for (session = LIST_FIRST(&fw->sessions); session; session = next) {
		next = LIST_NEXT(session, all);
		close_session(fw, session, deadline);
	}
}
