// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * session.c - a session's life, and what concerns it as a whole
 */
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/core.h"
#include "core/credit.h"
#include "core/options.h"
#include "core/rx.h"
#include "core/wait.h"
#include "link/bytes.h"
#include "link/child.h"

#define SLICE UINT64_C(50000000)	/* ns between looks at @cancelled */

/* How long an answer of check_alive is believed, ns. */
#define ALIVE_AGE UINT64_C(30000000)

/* A word that reads 1 here and 0 in a child that we fork. */
static uint32_t *alive_open(void)
{
	uint32_t *word = mmap(NULL, SHMUX_PART_ALIGN, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (word == MAP_FAILED)
		return NULL;
	if (madvise(word, SHMUX_PART_ALIGN, MADV_WIPEONFORK)) {
		munmap(word, SHMUX_PART_ALIGN);
		return NULL;
	}
	*word = 1;
	return word;
}

/*
 * The wire itself says what each stream may be sent at first, whether we have the
 * memory or not. So the budget is of what lies here unread.
 */
static void grant_as_told(struct shmux_session *s)
{
	struct shmux_session_options *o = &s->options;

	s->rx_queued_max = o->budget;
	o->first_grant = s->link->first_grant;
	if (o->window < o->first_grant)
		o->window = o->first_grant;
	o->budget += (uint64_t)o->first_grant * o->streams_max;
	o->message_max = 0;
}

int shmux__session_new(struct shmux__link *link,
		       const struct shmux_session_options *options,
		       const char *address, struct shmux_session **session)
{
	size_t size = strlen(address) + 1;
	struct shmux_session *s = calloc(1, sizeof(*s) + size);
	int saved = errno;

	if (s)
		s->alive = alive_open();
	errno = saved;
	if (!s || !s->alive) {
		free(s);
		link->ops->close(link);
		return -ENOMEM;
	}
	s->refs = 1;
	s->link = link;
	s->options = *options;
	s->rx_queued_max = UINT64_MAX;
	if (link->first_grant)
		grant_as_told(s);
	s->spin_now = SHMUX_SPIN_FIRST;
	s->woken_on = SHMUX_NO_CPU;
	s->accept_deadline = SHMUX_NEVER;
	s->epoll_fd = s->event_fd = -1;
	shmux_list_init(&s->waiters);
	shmux_list_init(&s->control);
	shmux_list_init(&s->starved);
	shmux_list_init(&s->kept);
	shmux__table_init(&s->tables[0], 0, options->streams_max);
	shmux__table_init(&s->tables[1], 1, options->streams_max);
	shmux_slab_init(&s->streams, sizeof(struct shmux_stream));
	s->alive_checked = shmux_clock_now();
	s->id = s->alive_checked ^ (uint64_t)(uintptr_t)s << 16;
	s->address = memcpy(s + 1, address, size);
	*session = s;
	return 0;
}

static void free_stream(struct shmux_stream *st)
{
	shmux__rx_clear(st);
	free(st->extra);
}

static void session_free(struct shmux_session *s)
{
	struct shmux_stream *st;
	int saved = errno;

	/* Nothing is sent any more: chunks need not be given back. */
	if (!s->error)
		s->error = -ECONNRESET;
	/* Detached ones that nobody has accepted are in no table. */
	while ((st = shmux__fifo_pop_queue(&s->accept_queue)))
		if (st->state & STREAM_DETACHED)
			free_stream(st);
	shmux__table_each(&s->tables[0], free_stream);
	shmux__table_each(&s->tables[1], free_stream);
	shmux__table_exit(&s->tables[0]);
	shmux__table_exit(&s->tables[1]);
	shmux_slab_exit(&s->streams);
	shmux__rx_exit(s);
	free(s->refusals);
	if (s->event_fd >= 0)
		close(s->event_fd);
	if (s->epoll_fd >= 0)
		close(s->epoll_fd);
	s->link->ops->close(s->link);
	munmap((void *)s->alive, SHMUX_PART_ALIGN);
	free(s);
	errno = saved;
}

void shmux__session_get(struct shmux_session *s)
{
	s->refs++;
}

void shmux__session_put_unlock(struct shmux_session *s)
{
	bool last = --s->refs == 0;

	shmux_unlock(&s->lock);
	if (last)
		session_free(s);
}

void shmux__session_log(struct shmux_session *s, enum shmux_log_level level,
			const char *format, ...)
{
	char sentence[256];
	va_list args;

	if (!s->options.log)
		return;
	va_start(args, format);
	vsnprintf(sentence, sizeof(sentence), format, args);
	va_end(args);
	s->options.log(s->options.log_arg, level, sentence);
}

static void note_death(struct shmux_stream *st)
{
	shmux__stream_event(st, STREAM_EVENT_READ | STREAM_EVENT_WRITE);
}

void shmux__session_die(struct shmux_session *s, int error)
{
	if (s->error)
		return;
	if (error == -EPROTO)
		shmux__session_log(s, SHMUX_LOG_ERROR,
				   "session with process %ld: it broke the protocol (EPROTO)",
				   (long)s->link->peer.pid);
	else if (error == -ENOMEM)
		shmux__session_log(s, SHMUX_LOG_ERROR,
				   "session with process %ld: no memory (ENOMEM)",
				   (long)s->link->peer.pid);
	s->error = error;
	s->link->ops->hang_up(s->link);
	shmux__wake_session(s, WAIT_READ | WAIT_WRITE | WAIT_SESSION);
	if (s->events_on) {
		shmux__table_each(&s->tables[0], note_death);
		shmux__table_each(&s->tables[1], note_death);
	}
	s->dead_event = true;
	shmux__events_tell(s);
	if (s->notify)
		s->notify(s->notify_arg);
}

void shmux__session_lost(struct shmux_session *s)
{
	/* No more than fits in its ring: one that only feigns death writes on. */
	uint32_t left = s->link->peer_ring_slots / SHMUX_DRAIN_BATCH + 1;

	/* What it said before its death can still be read. */
	while (!s->error && left-- && shmux__link_look(s->link))
		shmux__pump(s, SHMUX_DRAIN_BATCH);
	if (!s->error)
		shmux__pump_last_words(s);
	if (!s->error)
		shmux__session_log(s, SHMUX_LOG_INFO,
				   "session with process %ld: it has gone",
				   (long)s->link->peer.pid);
	shmux__session_die(s, -ECONNRESET);
}

void shmux__session_check(struct shmux_session *s)
{
	uint64_t now = shmux_clock_now();

	if (s->error || now - s->alive_checked < ALIVE_AGE)
		return;
	s->alive_checked = now;
	if (s->link->ops->check_alive(s->link))
		shmux__session_lost(s);
}

static void go_away(struct shmux_session *s, uint32_t code)
{
	if (s->going_away)
		return;
	s->going_away = true;
	s->go_away_code = code;
	s->owes |= OWES_GO_AWAY;
	shmux__wake_session(s, WAIT_SESSION);
}

int shmux__session_open(struct shmux_session *s, unsigned int flags,
			uint64_t deadline, const uint32_t *cancelled,
			struct shmux_stream **stream)
{
	struct shmux_body_open body = {
		.flags = flags & SHMUX_STREAM_MESSAGES ? SHMUX_OPEN_MESSAGES :
							 0,
	};
	struct shmux__table *t;
	struct shmux_stream *st = NULL;
	struct shmux__waiter w;
	uint64_t slice;
	int err;

	if (flags & ~(SHMUX_STREAM_MESSAGES | SHMUX_STREAM_NOWAIT |
		      SHMUX_STREAM_MORE))
		return -EINVAL;
	if ((flags & SHMUX_STREAM_MESSAGES) &&
	    !(s->link->features & SHMUX_FEATURE_MESSAGES))
		return -EOPNOTSUPP;
	err = shmux__enter(s);
	if (err)
		return err;
	shmux__drain_more(s, (flags & SHMUX_STREAM_MORE) &&
				     !(flags & SHMUX_STREAM_NOWAIT) &&
				     s->nr_streams < s->options.streams_max);
	t = &s->tables[s->link->role];
	shmux__waiter_init(&w, s, NULL, WAIT_SESSION);
	for (;;) {
		if (s->error)
			err = s->error;
		else if (s->going_away || s->peer_going_away)
			err = -ESHUTDOWN;
		else if (s->nr_streams >= s->options.streams_max)
			err = -ENOSPC;
		if (err)
			break;
		st = shmux__stream_new(s);
		if (!st) {
			err = -ENOMEM;
			break;
		}
		err = shmux__credit_open(st);
		if (err)
			goto err_free;
		err = shmux__table_add(t, st, &st->id);
		if (err)
			goto err_credit;
		err = shmux__link_send(s->link, SHMUX_FRAME_OPEN, 0, st->id,
				       &body, sizeof(body));
		if (!err)
			break;
		shmux__table_release(t, st->id);
		st->state |= STREAM_DETACHED;
err_credit:
		shmux__credit_close(st);
err_free:
		shmux_slab_put(&s->streams, st);
		if (err != -EAGAIN)
			break;
		s->counters.room_stalls++;
		if (flags & SHMUX_STREAM_NOWAIT) {
			shmux__session_check(s);
			if (s->error)
				continue;
			s->wants_open = true;
			shmux__room_missed(s);
			break;
		}
		if (cancelled && shmux_load_relaxed(cancelled)) {
			err = -ECANCELED;
			break;
		}
		slice = cancelled ? shmux_clock_now() + SLICE : SHMUX_NEVER;
		err = shmux__wait(&w, slice < deadline ? slice : deadline, true);
		if (err == -ETIMEDOUT && shmux_clock_left(deadline))
			err = 0;
		if (err)
			break;
	}
	if (err == -EPROTO)
		shmux__session_die(s, err);
	/* The wire has no more ids. */
	if (err == -ESHUTDOWN && !s->peer_going_away)
		go_away(s, SHMUX_CODE_NONE);
	if (!err) {
		if (flags & SHMUX_STREAM_MESSAGES)
			st->state |= STREAM_MESSAGES;
		st->state |= STREAM_ACCEPTED;
		s->nr_streams++;
		s->counters.streams_opened++;
		s->link->ops->announce(s->link, s->nr_streams);
		shmux__session_get(s);
		*stream = st;
	}
	shmux__wait_end(&w);
	shmux__leave_more(s, (flags & SHMUX_STREAM_MORE) && !err);
	return err;
}

int shmux_session_open(struct shmux_session *s, unsigned int flags,
		       struct shmux_stream **stream)
{
	return shmux__session_open(s, flags, SHMUX_NEVER, NULL, stream);
}

void shmux__tell_accepted_slow(struct shmux_session *s)
{
	if (!s->error)
		s->link->ops->accepted(s->link, s->held_accept);
	s->held_accept = 0;
}

int shmux__session_next(struct shmux_session *s, unsigned int flags,
			struct shmux_stream **stream)
{
	struct shmux_stream *st;

	while ((st = shmux__fifo_pop_queue(&s->accept_queue))) {
		shmux_store_relaxed(&s->accept_depth, s->accept_depth - 1);
		st->state &= ~STREAM_ON_QUEUE;
		if (st->state & STREAM_RESET) {
			/* Opened and taken back: nobody need know. */
			st->state |= STREAM_CLOSED;
			shmux__rx_clear(st);
			shmux__stream_reap(st);
			continue;
		}
		st->state |= STREAM_ACCEPTED;
		if (s->link->ops->accepted) {
			shmux__tell_accepted(s);
			s->held_accept = st->id;
			if (!(flags & SHMUX_MORE))
				shmux__tell_accepted(s);
		}
		if (st->rx_first || (st->state & STREAM_FIN_RECEIVED))
			shmux__stream_event(st, STREAM_EVENT_READ);
		shmux__session_get(s);
		*stream = st;
		return 0;
	}
	if (s->error)
		return s->error;
	if (s->peer_going_away || s->going_away)
		return -ESHUTDOWN;
	return -EAGAIN;
}

int shmux_session_accept(struct shmux_session *s, unsigned int flags,
			 struct shmux_stream **stream)
{
	struct shmux__waiter w;
	int err, waited = 0;

	if (flags & ~(SHMUX_NOWAIT | SHMUX_MORE))
		return -EINVAL;
	err = shmux__enter(s);
	if (err)
		return err;
	if (s->accept_depth || (flags & SHMUX_NOWAIT) ||
	    !shmux__sleep_looks(s, s->accept_deadline))
		shmux__drain(s);
	shmux__waiter_init(&w, s, NULL, WAIT_SESSION);
	for (;;) {
		err = shmux__session_next(s, flags, stream);
		if (err != -EAGAIN)
			break;
		if (waited) {
			err = waited;
			break;
		}
		if (flags & SHMUX_NOWAIT) {
			shmux__session_check(s);
			err = shmux__session_next(s, flags, stream);
			break;
		}
		waited = shmux__wait(&w, s->accept_deadline, false);
		waited = shmux__waited(waited, s->accept_deadline);
	}
	/* Its caller will wait elsewhere. */
	if (err)
		shmux__tell_accepted(s);
	shmux__wait_end(&w);
	shmux__leave(s);
	return err;
}

int shmux_session_set_deadline(struct shmux_session *s, uint64_t deadline)
{
	int err = shmux__enter(s);

	if (err)
		return err;
	s->accept_deadline = deadline;
	shmux__wake_session(s, WAIT_SESSION);
	shmux__leave(s);
	return 0;
}

void shmux_session_unblock(struct shmux_session *s)
{
	if (shmux__enter(s))
		return;
	shmux__cancel_session(s, WAIT_SESSION);
	shmux__leave(s);
}

void shmux_session_cork(struct shmux_session *s)
{
	if (shmux__enter(s))
		return;
	s->corked = true;
	shmux_unlock(&s->lock);
}

void shmux_session_uncork(struct shmux_session *s)
{
	if (shmux__enter(s))
		return;
	s->corked = false;
	shmux__leave(s);
}

int shmux_session_go_away(struct shmux_session *s, uint32_t code)
{
	int err = shmux__enter(s);

	if (err)
		return err;
	err = s->error;
	if (!err)
		go_away(s, code);
	shmux__leave(s);
	return err;
}

int shmux_session_go_away_code(struct shmux_session *s, uint32_t *code)
{
	int err = shmux__enter(s);

	if (err)
		return err;
	shmux__drain(s);
	if (s->peer_going_away)
		*code = s->peer_go_away_code;
	else
		err = -ENODATA;
	shmux__leave(s);
	return err;
}

/* Is there a stream, or something of one that is over and not on its way yet? */
static bool is_open(struct shmux_session *s)
{
	return s->nr_streams || shmux__unsent(s);
}

static int drain(struct shmux_session *s, uint64_t deadline)
{
	struct shmux__waiter w;
	int err = 0;

	shmux__waiter_init(&w, s, NULL, WAIT_SESSION);
	while (is_open(s) && !s->error && !err) {
		err = shmux__wait(&w, deadline,
				  shmux__owes(s) || shmux__unsent(s));
		if (!s->error && shmux__owes(s))
			shmux__control_flush(s);
	}
	shmux__wait_end(&w);
	if (!is_open(s))
		return 0;
	return s->error ? s->error : err;
}

int shmux_session_drain(struct shmux_session *s, uint64_t deadline)
{
	int err = shmux__enter(s);

	if (err)
		return err;
	shmux__drain(s);
	if (shmux__owes(s))
		shmux__control_flush(s);
	err = drain(s, deadline);
	shmux__leave(s);
	return err;
}

/* Streams that nobody has accepted, and nobody will. */
void shmux__session_refuse_all(struct shmux_session *s)
{
	struct shmux_stream *st;

	s->refuses = true;
	while ((st = shmux__fifo_pop_queue(&s->accept_queue))) {
		shmux_store_relaxed(&s->accept_depth, s->accept_depth - 1);
		st->state &= ~STREAM_ON_QUEUE;
		shmux__rx_clear(st);
		st->state |= STREAM_CLOSED;
		if (!(st->state & STREAM_DETACHED)) {
			st->state |= STREAM_RESET | STREAM_OWES_RESET;
			st->code = SHMUX_CODE_REFUSED;
			shmux__credit_stop(st);
			shmux__stream_control(st);
		}
		if (st->state & STREAM_DETACHED)
			shmux__stream_reap(st);
	}
}

/*
 * Our child has its end in sight: wait for it, without the lock, and see to it. A
 * child that was not given the time is killed with the link, or now.
 */
static void end_child(struct shmux_session *s, uint64_t deadline)
{
	struct shmux__child *c = shmux__bytes_child(s->link);

	if (!c)
		return;
	if (deadline && !c->ended) {
		shmux_unlock(&s->lock);
		shmux__child_wait(c, deadline);
		shmux_lock(&s->lock);
	}
	shmux__child_end(c);
}

int shmux_session_close(struct shmux_session *s, uint64_t deadline)
{
	int err;

	if (!s)
		return 0;
	err = shmux__enter(s);
	if (err)
		return err;
	/* Those blocked on the session itself leave before it may go. */
	while (shmux__cancel_session(s, WAIT_SESSION)) {
		shmux_unlock(&s->lock);
		sched_yield();
		shmux_lock(&s->lock);
	}
	if (!s->error) {
		s->corked = false;
		go_away(s, SHMUX_CODE_NONE);
		shmux__session_refuse_all(s);
		shmux__control_flush(s);
		if (deadline)
			drain(s, deadline);
		else
			shmux__drain(s);
	}
	if (!s->error) {
		shmux__control_flush(s);
		shmux__publish(s);
		/* However it ended: this tells. */
		err = is_open(s) ? -ETIMEDOUT : 0;
		shmux__session_die(s, -ECONNRESET);
	}
	s->notify = NULL;
	end_child(s, deadline);
	shmux__session_put_unlock(s);
	return err;
}

int shmux_session_child_status(struct shmux_session *s, uint64_t deadline,
			       pid_t *pid, int *status)
{
	struct shmux__child *c;
	int err = shmux__enter(s);

	if (err)
		return err;
	c = shmux__bytes_child(s->link);
	if (!c) {
		shmux_unlock(&s->lock);
		return -ENODATA;
	}
	if (pid)
		*pid = c->pid;
	if (!shmux__child_has_ended(c) && deadline) {
		/* What is held back may be what it waits for. */
		shmux__tell_accepted(s);
		if (!s->error)
			shmux__publish(s);
		/* A close meanwhile ends it, and does not take it from us. */
		shmux__session_get(s);
		shmux_unlock(&s->lock);
		shmux__child_wait(c, deadline);
		shmux_lock(&s->lock);
		shmux__child_has_ended(c);
		err = shmux__child_status(c, status);
		shmux__session_put_unlock(s);
		return err;
	}
	err = shmux__child_status(c, status);
	shmux_unlock(&s->lock);
	return err;
}

int shmux_session_ping(struct shmux_session *s, uint64_t deadline,
		       uint64_t *rtt)
{
	struct shmux__waiter w;
	uint64_t token, begun;
	uint32_t body[2];
	int err = shmux__enter(s);

	if (err)
		return err;
	shmux__drain(s);
	shmux__waiter_init(&w, s, NULL, WAIT_SESSION);
	begun = shmux_clock_now();
	for (;;) {
		/* The peer answers the last one it finds: they go out in order. */
		token = s->ping_sent + 1;
		body[0] = (uint32_t)token;
		body[1] = (uint32_t)(token >> 32);
		err = s->error;
		if (!err)
			err = shmux__link_send(s->link, SHMUX_FRAME_PING, 0, 0,
					       body, sizeof(body));
		if (err != -EAGAIN)
			break;
		err = shmux__wait(&w, deadline, true);
		if (err)
			break;
	}
	if (err == -EPROTO)
		shmux__session_die(s, err);
	if (!err)
		s->ping_sent = token;
	while (!err && s->ping_answered < token) {
		err = s->error;
		if (!err)
			err = shmux__wait(&w, deadline, false);
		if (s->ping_answered >= token)
			err = 0;
	}
	if (!err && rtt)
		*rtt = shmux_clock_now() - begun;
	shmux__wait_end(&w);
	shmux__leave(s);
	return err;
}

uint64_t shmux_session_id(const struct shmux_session *s)
{
	return s->id;
}

enum shmux_role shmux_session_role(const struct shmux_session *s)
{
	return s->link->role;
}

enum shmux_session_state shmux_session_state(struct shmux_session *s)
{
	enum shmux_session_state state = SHMUX_SESSION_OPEN;

	if (shmux__enter(s))
		return SHMUX_SESSION_DEAD;
	shmux__drain(s);
	shmux__session_check(s);
	if (s->error)
		state = SHMUX_SESSION_DEAD;
	else if (s->going_away || s->peer_going_away)
		state = SHMUX_SESSION_GOING_AWAY;
	shmux__leave(s);
	return state;
}

void shmux_session_peer(const struct shmux_session *s, struct shmux_peer *peer)
{
	*peer = s->link->peer;
}

int shmux_session_counters(struct shmux_session *s,
			   struct shmux_session_counters *counters)
{
	struct shmux_session_counters c;
	size_t size = counters->size;
	int err;

	if (size < sizeof(size))
		return -EINVAL;
	err = shmux__enter(s);
	if (err)
		return err;
	c = s->counters;
	c.size = size;
	c.frames_sent = s->link->frames_sent;
	c.streams_open = s->nr_streams;
	c.accept_depth = s->accept_depth;
	c.ring_depth = s->link->ops->ring_depth(s->link);
	s->link->ops->arena(s->link, &c.chunks_lent, &c.arena_used);
	c.rx_queued = s->rx_queued;
	c.granted = s->budget_used;
	shmux__leave(s);
	memcpy(counters, &c, size < sizeof(c) ? size : sizeof(c));
	return 0;
}

const char *shmux_version(void)
{
	return "0.1.0";
}

uint64_t shmux_now(void)
{
	return shmux_clock_now();
}
