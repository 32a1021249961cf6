// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * listener.c - what comes in by a name: sessions, or the streams of all of them
 *
 * Owns one epoll descriptor with: the gate by which clients come in (gate.h), the
 * descriptors of each session, and an eventfd by which other threads of the
 * process wake the accept. One thread at a time polls; others that accept wait
 * for it.
 *
 * Locks: the listener's is taken first, then a session's. A session that has
 * something for the listener (notify) is called with its own lock held, so it
 * takes none: it puts its member on a list without a lock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/errno.h"
#include "base/futex.h"
#include "core/core.h"
#include "core/gate.h"
#include "core/options.h"
#include "core/wait.h"
#include "core/wires.h"

#define EVENTS 64

/* A session that is served, or has not been given to anybody yet. */
struct member {
	struct shmux__watched watched;
	struct shmux_listener *l;
	struct shmux_list node;		/* of the listener's sessions, or fresh */
	struct shmux_session *session;
	struct member *next_told;	/* on @told */
	uint32_t told;			/* it is */
};

struct shmux_listener {
	struct shmux_lock lock;
	char *text;
	struct shmux__address address;	/* of @text */
	struct shmux_listener_options options;
	struct shmux_session_options session_options;
	struct shmux__loop loop;
	struct shmux__gate gate;
	int wake_fd;
	struct shmux__watched wake_watched;
	struct shmux_list sessions;
	struct shmux_list fresh;	/* sessions nobody has been given */
	struct member *told;		/* without the lock */
	uint32_t asleep;		/* somebody may be: write to wake_fd */
	bool polling;			/* a thread is in epoll_wait */
	uint32_t turn;			/* futex of those that wait for it */
	uint64_t deadline;
	uint32_t cancels;		/* times unblock was called */
	bool by_session;		/* accept_session is used */
	bool only_one;			/* session, ever; the address has no more */
	struct shmux_session *only;	/* until the first accept says by what */
	pid_t owner;			/* a forked child has no part in it */
};

static void wake(struct shmux_listener *l)
{
	uint64_t one = 1;
	int saved = errno;

	/* Our own, and non-blocking: full means that it is readable anyway. */
	if (write(l->wake_fd, &one, sizeof(one)) < 0)
		errno = saved;
}

/* Called with a session's lock: it has news for the listener. */
static void notify(void *arg)
{
	struct member *m = arg;
	struct shmux_listener *l = m->l;

	/* [B10] Pairs with the store in serve_told(). */
	if (__atomic_exchange_n(&m->told, 1, __ATOMIC_ACQ_REL))
		return;
	m->next_told = __atomic_load_n(&l->told, __ATOMIC_RELAXED);
	/* [B10] Pairs with the exchange in serve_told(). */
	while (!__atomic_compare_exchange_n(&l->told, &m->next_told, m, true,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	/* [B11] Pairs with the fence in poll_once(): it sees us, or we see it sleep. */
	shmux_fence();
	if (shmux_load_relaxed(&l->asleep))
		wake(l);
}

/* Stop serving a session; the reference is the caller's then. */
static struct shmux_session *session_release(struct shmux_listener *l,
					     struct member *m)
{
	struct shmux_session *s = m->session;
	struct member **at, *list;
	int fds[2], nr;

	shmux_lock(&s->lock);
	s->notify = NULL;
	s->watch &= ~SHMUX_ARMED_SESSION;
	nr = s->link->ops->descriptors(s->link, fds);
	while (nr--)
		shmux__loop_remove(&l->loop, fds[nr]);
	shmux_unlock(&s->lock);

	/* It may be on the list of those with news: nobody adds it again. [B10] */
	if (m->told) {
		list = __atomic_exchange_n(&l->told, NULL, __ATOMIC_ACQ_REL);
		for (at = &list; *at; at = &(*at)->next_told)
			if (*at == m) {
				*at = m->next_told;
				break;
			}
		while (list) {
			struct member *next = list->next_told;

			shmux_store_relaxed(&list->told, 0);
			notify(list);
			list = next;
		}
	}
	shmux_list_remove(&m->node);
	shmux__loop_free_later(&l->loop, &m->watched);
	return s;
}

/* Let a session go: it ends with its last stream, or now. */
static void session_drop(struct shmux_listener *l, struct member *m)
{
	struct shmux_session *s = session_release(l, m);

	shmux_lock(&s->lock);
	if (s->refs == 1) {
		shmux_unlock(&s->lock);
		shmux_session_close(s, 0);
		return;
	}
	if (!s->error) {
		shmux__session_refuse_all(s);
		if (shmux__owes(s))
			shmux__control_flush(s);
		shmux__publish(s);
	}
	shmux__session_put_unlock(s);
}

/* Look after a session. Return: whether it is over and may be let go. */
static bool session_serve(struct shmux_session *s, bool by_event)
{
	struct shmux__link *l = s->link;
	int i;
	bool over;

	shmux_lock(&s->lock);
	if (!s->error && by_event) {
		s->counters.kicks_received += l->ops->rung(l);
		/* Kicks without anything to them may hide a death. */
		if (shmux__clear(s) ||
		    (!shmux__link_look(l) && l->ops->check_alive(l)))
			shmux__session_lost(s);
	}
	if (!s->leader || s->leader_asleep) {
		for (i = 0; i < 4 && !s->error; i++) {
			shmux__drain(s);
			if (!s->error && shmux__owes(s))
				shmux__control_flush(s);
			if (!shmux__watch(s, SHMUX_ARMED_SESSION))
				break;
		}
		/* There is more: it comes again. */
		if (i == 4 && s->notify)
			s->notify(s->notify_arg);
	}
	over = s->error && !s->accept_queue.first;
	shmux__leave(s);
	return over;
}

static int session_ready(struct shmux__watched *w)
{
	struct member *m = shmux_container_of(w, struct member, watched);

	if (session_serve(m->session, true))
		session_drop(m->l, m);
	return 0;
}

/* Serve a session that has come in. Return: 0 or -errno, and it is the caller's. */
static int session_adopt(struct shmux_listener *l, struct member *m)
{
	struct shmux_session *s = m->session;
	int fds[2], nr, i, err = 0;

	nr = s->link->ops->descriptors(s->link, fds);
	for (i = 0; i < nr && !err; i++)
		err = shmux__loop_add(&l->loop, fds[i], EPOLLIN, &m->watched);
	if (err) {
		while (i--)
			shmux__loop_remove(&l->loop, fds[i]);
		return err;
	}
	shmux_list_append(&l->sessions, &m->node);
	shmux_lock(&s->lock);
	s->notify = notify;
	s->notify_arg = m;
	shmux_unlock(&s->lock);
	if (session_serve(s, false))
		session_drop(l, m);
	return 0;
}

/* The gate has let a session in. */
static void admitted(void *arg, struct shmux_session *s)
{
	struct shmux_listener *l = arg;
	struct member *m = calloc(1, sizeof(*m));

	if (m) {
		m->watched.ready = session_ready;
		m->l = l;
		m->session = s;
		if (l->by_session) {
			shmux_list_append(&l->fresh, &m->node);
			return;
		}
		if (!session_adopt(l, m))
			return;
	}
	shmux_session_close(s, 0);
	free(m);
}

/* Serve the sessions that have said they have news. */
static void serve_told(struct shmux_listener *l)
{
	/* [B10] Pairs with the release in notify(). */
	struct member *m = __atomic_exchange_n(&l->told, NULL, __ATOMIC_ACQ_REL);
	struct member *next;

	for (; m; m = next) {
		next = m->next_told;
		__atomic_store_n(&m->told, 0, __ATOMIC_RELEASE);
		if (!m->watched.gone && session_serve(m->session, false))
			session_drop(l, m);
	}
}

/*
 * Serve what is ready, waiting at most @timeout ms for something. Called with
 * the lock, which is dropped while asleep. Return: 0 or -errno.
 */
static int poll_once(struct shmux_listener *l, int timeout)
{
	struct epoll_event events[EVENTS];
	int nr, err;

	shmux_store_relaxed(&l->asleep, 1);
	/* [B11] Pairs with the fence in notify(). */
	shmux_fence();
	if (__atomic_load_n(&l->told, __ATOMIC_RELAXED))
		timeout = 0;
	if (timeout) {
		l->polling = true;
		shmux_unlock(&l->lock);
	}
	nr = epoll_wait(l->loop.fd, events, EVENTS, timeout);
	if (timeout) {
		shmux_lock(&l->lock);
		l->polling = false;
		l->turn++;
		shmux_futex_wake(&l->turn, INT32_MAX);
	}
	err = shmux__loop_serve(events, nr);
	serve_told(l);
	shmux__loop_free_gone(&l->loop);
	return err;
}

static int wake_ready(struct shmux__watched *w)
{
	struct shmux_listener *l =
		shmux_container_of(w, struct shmux_listener, wake_watched);
	uint64_t count;

	/* Our own, and non-blocking: what it counts tells nothing. */
	(void)!read(l->wake_fd, &count, sizeof(count));
	return 0;
}

/* A copy of an address, with room for a port in place of 0. */
static char *copy_address(const char *address)
{
	size_t len = strlen(address);
	char *text = malloc(len + sizeof("65535"));

	if (text)
		memcpy(text, address, len + 1);
	return text;
}

/* Have the address say which port the kernel has chosen. */
static void say_port(struct shmux_listener *l)
{
	if (l->address.kind == SHMUX_ADDRESS_TCP)
		sprintf(strrchr(l->text, ':'), ":%u", l->address.port);
}

/* The one session of an address that leads to no more. Return: 0 or -errno. */
static int open_only(struct shmux_listener *l)
{
	const struct shmux_listener_options *o = &l->options;
	struct shmux__link *link;
	int err;

	if (shmux__address_knows_user(&l->address) ||
	    l->address.kind == SHMUX_ADDRESS_TCP)
		return 0;
	err = shmux__wires_open(&l->address, SHMUX_ROLE_ACCEPTOR, &link);
	if (err)
		return err;
	err = o->admit ? o->admit(o->admit_arg, &link->peer) : 0;
	if (err) {
		link->ops->close(link);
		return err;
	}
	err = shmux__session_new(link, &l->session_options, l->text, &l->only);
	l->only_one = true;
	/* Who polls is to come and take it. */
	if (!err)
		wake(l);
	return err;
}

int shmux_listener_open(const char *address,
			const struct shmux_listener_options *options,
			struct shmux_listener **listener)
{
	int err, saved = errno;
	struct shmux_listener *l = SHMUX_KEEP_ERRNO(calloc(1, sizeof(*l)));
	struct shmux_listener_options *o;

	if (!l)
		return -ENOMEM;
	o = &l->options;
	err = shmux__options_copy(o, sizeof(*o), options);
	if (!err && (o->flags & ~(SHMUX_LISTENER_UID | SHMUX_LISTENER_GID)))
		err = -EINVAL;
	if (!err && ((o->mode & ~(mode_t)0777) || o->backlog > 65535))
		err = -EINVAL;
	if (!err)
		err = shmux__options_resolve(o->session, &l->session_options,
					     NULL);
	if (!err)
		err = shmux__address_parse(address, &l->address);
	if (err)
		goto err_free;
	l->text = copy_address(address);
	if (!l->text) {
		err = -ENOMEM;
		goto err_free;
	}
	shmux__address_parse(l->text, &l->address);
	o->session = NULL;
	if (!o->backlog)
		o->backlog = 128;
	if (!o->mode)
		o->mode = 0600;
	if (!(o->flags & SHMUX_LISTENER_UID))
		o->uid = geteuid();
	if (!(o->flags & SHMUX_LISTENER_GID))
		o->gid = getegid();
	l->deadline = SHMUX_NEVER;
	l->owner = getpid();
	shmux_list_init(&l->sessions);
	shmux_list_init(&l->fresh);

	err = shmux__loop_open(&l->loop);
	if (err)
		goto err_free;
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0) {
		err = -errno;
		goto err_close_loop;
	}
	l->wake_watched.ready = wake_ready;
	err = shmux__loop_add(&l->loop, l->wake_fd, EPOLLIN, &l->wake_watched);
	if (err)
		goto err_close_wake;
	l->gate.loop = &l->loop;
	l->gate.address = &l->address;
	l->gate.options = o;
	l->gate.session_options = &l->session_options;
	l->gate.admitted = admitted;
	l->gate.arg = l;
	err = shmux__gate_open(&l->gate);
	if (err)
		goto err_close_wake;
	say_port(l);
	err = open_only(l);
	if (err)
		goto err_close_gate;
	*listener = l;
	errno = saved;
	return 0;

err_close_gate:
	shmux__gate_close(&l->gate);
err_close_wake:
	close(l->wake_fd);
err_close_loop:
	shmux__loop_close(&l->loop);
err_free:
	free(l->text);
	free(l);
	errno = saved;
	return err;
}

/* The next stream of any session. Return: 0 or -EAGAIN. */
static int next_stream(struct shmux_listener *l, struct shmux_stream **stream)
{
	struct shmux_list *pos, *tmp;
	struct member *m;
	int err;

	shmux_list_for_each_safe(pos, tmp, &l->sessions) {
		m = shmux_container_of(pos, struct member, node);
		/* Racy on purpose: one that is missed has notified us. */
		if (!shmux_load_relaxed(&m->session->accept_depth))
			continue;
		shmux_lock(&m->session->lock);
		err = shmux__session_next(m->session, 0, stream);
		shmux__leave(m->session);
		if (!err) {
			/* Whoever comes next begins with another session. */
			shmux_list_remove(&m->node);
			shmux_list_append(&l->sessions, &m->node);
			return 0;
		}
	}
	return -EAGAIN;
}

static int next_session(struct shmux_listener *l,
			struct shmux_session **session)
{
	struct member *m;

	if (shmux_list_empty(&l->fresh))
		return -EAGAIN;
	m = shmux_container_of(l->fresh.next, struct member, node);
	shmux_list_remove(&m->node);
	*session = m->session;
	free(m);
	return 0;
}

/* Accept a stream or a session, whichever pointer is given. */
static int accept_any(struct shmux_listener *l, unsigned int flags,
		      struct shmux_stream **stream,
		      struct shmux_session **session)
{
	int err, failed = 0, saved = errno, timeout;
	uint32_t cancels, turn;
	uint64_t left;

	if (flags & ~SHMUX_NOWAIT)
		return -EINVAL;
	if (l->owner != getpid())
		return -ECHILD;
	shmux_lock(&l->lock);
	if (session)
		l->by_session = true;
	if (l->only) {
		struct shmux_session *only = l->only;

		l->only = NULL;
		admitted(l, only);
	}
	cancels = l->cancels;
	for (;;) {
		err = session ? next_session(l, session) :
				next_stream(l, stream);
		if (err != -EAGAIN)
			break;
		if (l->only_one && shmux_list_empty(&l->sessions)) {
			err = -ESHUTDOWN;
			break;
		}
		if (failed) {
			err = failed;
			break;
		}
		if (flags & SHMUX_NOWAIT) {
			left = 0;
		} else {
			left = shmux_clock_left(l->deadline);
			if (l->cancels != cancels) {
				err = -ECANCELED;
				break;
			}
		}
		if (l->polling) {
			/* Another thread serves; it tells when it is done. */
			if (!left) {
				failed = flags & SHMUX_NOWAIT ? -EAGAIN :
								-ETIMEDOUT;
				continue;
			}
			turn = l->turn;
			shmux_unlock(&l->lock);
			shmux_futex_wait(&l->turn, turn, left);
			shmux_lock(&l->lock);
			continue;
		}
		/* Round up: a deadline is not to be missed by being early. */
		timeout = left > UINT64_C(1000000) * 3600000 ?
				  3600000 : (int)((left + 999999) / 1000000);
		failed = poll_once(l, timeout);
		if (!failed && !left)
			failed = flags & SHMUX_NOWAIT ? -EAGAIN : -ETIMEDOUT;
	}
	shmux_unlock(&l->lock);
	errno = saved;
	return err;
}

int shmux_listener_accept(struct shmux_listener *l, unsigned int flags,
			  struct shmux_stream **stream)
{
	return accept_any(l, flags, stream, NULL);
}

int shmux_listener_accept_session(struct shmux_listener *l, unsigned int flags,
				  struct shmux_session **session)
{
	return accept_any(l, flags, NULL, session);
}

int shmux_listener_set_deadline(struct shmux_listener *l, uint64_t deadline)
{
	shmux_lock(&l->lock);
	l->deadline = deadline;
	l->turn++;
	shmux_futex_wake(&l->turn, INT32_MAX);
	shmux_unlock(&l->lock);
	wake(l);
	return 0;
}

void shmux_listener_unblock(struct shmux_listener *l)
{
	shmux_lock(&l->lock);
	l->cancels++;
	l->turn++;
	shmux_futex_wake(&l->turn, INT32_MAX);
	shmux_unlock(&l->lock);
	wake(l);
}

int shmux_listener_fd(struct shmux_listener *l)
{
	shmux_lock(&l->lock);
	/* Whoever polls it may be asleep at any time. */
	shmux_store_relaxed(&l->asleep, 1);
	shmux_unlock(&l->lock);
	return l->loop.fd;
}

const char *shmux_listener_address(const struct shmux_listener *l)
{
	return l->text;
}

void shmux_listener_close(struct shmux_listener *l)
{
	struct shmux_list *pos, *tmp;
	struct member *m;
	int saved = errno;

	if (!l || l->owner != getpid())
		return;
	shmux_list_for_each_safe(pos, tmp, &l->sessions)
		session_drop(l, shmux_container_of(pos, struct member, node));
	shmux_list_for_each_safe(pos, tmp, &l->fresh) {
		m = shmux_container_of(pos, struct member, node);
		shmux_session_close(m->session, 0);
		free(m);
	}
	shmux_session_close(l->only, 0);
	shmux__gate_close(&l->gate);
	close(l->wake_fd);
	shmux__loop_close(&l->loop);
	free(l->text);
	free(l);
	errno = saved;
}
