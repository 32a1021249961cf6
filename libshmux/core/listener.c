// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * listener.c - a name, those who connect to it, and the streams they open
 *
 * Owns one epoll descriptor with: the listening socket, a meeting for each
 * client that has not finished its hello, the descriptors of each session, an
 * eventfd by which other threads of the process wake the accept, and a timer. One
 * thread at a time polls; others that accept wait for it.
 *
 * Strangers can connect at will, and say nothing. So meetings are bounded; who
 * has the most loses its oldest, and a flood of one user's costs that user only.
 * When descriptors run out, meetings make way too; if there is none left, the
 * listening socket is left alone for REST, and who connects waits in its backlog.
 * The death of a client that has not said hello, while a child of its has the
 * socket too, is found by looking now and then.
 *
 * Locks: the listener's is taken first, then a session's. A session that has
 * something for the listener (notify) is called with its own lock held, so it
 * takes none: it puts its member on a list without a lock.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/errno.h"
#include "base/futex.h"
#include "core/core.h"
#include "core/dial.h"
#include "core/options.h"
#include "core/wait.h"
#include "core/who.h"
#include "region/endpoint.h"
#include "region/hello.h"

#define EVENTS 64
#define MEETINGS_MAX 256
#define HEAPS 64	/* of meetings, by user */
#define CONNECTS 16	/* taken at once, before sessions have their turn */
#define SWEEP UINT64_C(100000000)	/* ns between looks for dead clients */
#define REST UINT64_C(20000000)	/* ns without a look at the listening socket */
#define SENTENCES 16	/* a second, at most, about those who got no session */

enum member_kind {
	MEMBER_ENDPOINT,
	MEMBER_WAKE,
	MEMBER_TIMER,
	MEMBER_MEETING,
	MEMBER_SESSION,
};

/* Something that the epoll descriptor watches. */
struct member {
	enum member_kind kind;
	struct shmux_listener *l;
	struct shmux_list node;		/* meetings or sessions of the listener */
	struct shmux__meeting meeting;
	uint32_t heap;			/* that the meeting counts in */
	struct shmux_session *session;
	struct member *next_told;	/* on @told */
	uint32_t told;			/* it is */
	bool gone;			/* freed after the batch of events */
	struct member *next_gone;
};

struct shmux_listener {
	struct shmux_lock lock;
	struct shmux__address address;
	struct shmux__endpoint endpoint;
	struct shmux_listener_options options;
	struct shmux_session_options session_options;
	int epoll_fd, wake_fd, timer_fd;
	struct member endpoint_member, wake_member, timer_member;
	struct shmux_list meetings, sessions;
	uint32_t nr_meetings;
	bool rests;			/* does not look at the listening socket */
	uint32_t heaps[HEAPS];		/* how many meetings, by user */
	uint64_t log_since;		/* when the second began */
	uint32_t nr_sentences;		/* in this second, also those not said */
	struct shmux_list fresh;	/* sessions nobody has been given */
	struct member *told;		/* without the lock */
	struct member *gone;
	uint32_t asleep;		/* somebody may be: write to wake_fd */
	bool polling;			/* a thread is in epoll_wait */
	uint32_t turn;			/* futex of those that wait for it */
	uint64_t deadline;
	uint32_t cancels;		/* times unblock was called */
	bool by_session;		/* accept_session is used */
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

	if (__atomic_exchange_n(&m->told, 1, __ATOMIC_ACQ_REL))
		return;
	m->next_told = __atomic_load_n(&l->told, __ATOMIC_RELAXED);
	/* Pairs with the exchange in take_told(). */
	while (!__atomic_compare_exchange_n(&l->told, &m->next_told, m, true,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	/* Pairs with the fence in poll_once(): it sees us, or we see it sleep. */
	shmux_fence();
	if (shmux_load_relaxed(&l->asleep))
		wake(l);
}

/*
 * Is @gid among the supplementary groups of the peer? The kernel knows those of
 * who connected, so that must have been the one that said hello.
 */
static bool is_in_group(const struct shmux_peer *peer, int fd, gid_t gid)
{
#ifdef SO_PEERGROUPS
	gid_t groups[256];
	struct ucred connected;
	socklen_t connected_len = sizeof(connected);
	socklen_t len = sizeof(groups), i;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &connected, &connected_len) ||
	    connected.pid != peer->pid || connected.uid != peer->uid ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len))
		return false;
	for (i = 0; i < len / sizeof(gid_t); i++)
		if (shmux__who_is_group(groups[i], gid))
			return true;
#endif
	return false;
}

/* May a process with these credentials connect, as with a file's mode? */
static bool may_connect(const struct shmux_listener *l,
			const struct shmux_peer *peer, int fd)
{
	if (shmux__who_is_user(peer, l->options.uid))
		return l->options.mode & 0200;
	if (l->options.mode & 0002)
		return true;
	if (!(l->options.mode & 0020))
		return false;
	return shmux__who_is_group(peer->gid, l->options.gid) ||
	       is_in_group(peer, fd, l->options.gid);
}

static int admit(void *arg, const struct shmux_peer *peer, int fd)
{
	struct shmux_listener *l = arg;

	if (!may_connect(l, peer, fd))
		return -EACCES;
	return l->options.admit ? l->options.admit(l->options.admit_arg, peer) :
				  0;
}

static int watch_fd(struct shmux_listener *l, int fd, struct member *m)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = m };

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

static void unwatch_fd(struct shmux_listener *l, int fd)
{
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* Other events of the batch may name it still. */
static void member_free_later(struct shmux_listener *l, struct member *m)
{
	m->gone = true;
	m->next_gone = l->gone;
	l->gone = m;
}

static void free_gone(struct shmux_listener *l)
{
	struct member *m;

	while ((m = l->gone)) {
		l->gone = m->next_gone;
		free(m);
	}
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
		unwatch_fd(l, fds[nr]);
	shmux_unlock(&s->lock);

	/* It may be on the list of those with news: nobody adds it again. */
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
	member_free_later(l, m);
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
		if (shmux__clear(s) || l->ops->check_alive(l))
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

/* A hello is done: serve the session. */
static int session_adopt(struct shmux_listener *l, struct shmux_session *s)
{
	struct member *m = calloc(1, sizeof(*m));
	int fds[2], nr, err = 0;

	if (!m) {
		shmux_session_close(s, 0);
		return -ENOMEM;
	}
	m->kind = MEMBER_SESSION;
	m->l = l;
	m->session = s;
	nr = s->link->ops->descriptors(s->link, fds);
	while (nr-- && !err)
		err = watch_fd(l, fds[nr], m);
	if (err) {
		nr = s->link->ops->descriptors(s->link, fds);
		while (nr--)
			unwatch_fd(l, fds[nr]);
		shmux_session_close(s, 0);
		free(m);
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

/* A client got no session. Strangers shall not fill the log. */
static void meeting_log(struct shmux_listener *l, struct member *m, int err)
{
	const struct shmux_session_options *o = &l->session_options;
	uint64_t now = shmux_clock_now();
	char sentence[64];

	if (!o->log)
		return;
	if (now - l->log_since >= SHMUX_NSEC_PER_SEC) {
		if (l->nr_sentences > SENTENCES) {
			snprintf(sentence, sizeof(sentence),
				 "%u more clients got no session",
				 l->nr_sentences - SENTENCES);
			o->log(o->log_arg, SHMUX_LOG_INFO, sentence);
		}
		l->log_since = now;
		l->nr_sentences = 0;
	}
	if (l->nr_sentences++ < SENTENCES)
		shmux__meeting_log(&m->meeting, l->address.text, err);
}

/* It is over: its socket is no longer watched. */
static void meeting_forget(struct shmux_listener *l, struct member *m)
{
	shmux__meeting_close(&m->meeting);
	shmux_list_remove(&m->node);
	l->nr_meetings--;
	l->heaps[m->heap]--;
	member_free_later(l, m);
}

static void meeting_drop(struct shmux_listener *l, struct member *m)
{
	unwatch_fd(l, shmux__hello_fd(m->meeting.hello));
	meeting_forget(l, m);
}

/* The user with the most meetings loses the one that has lasted longest. */
static void meeting_make_way(struct shmux_listener *l)
{
	struct shmux_list *pos, *tmp;
	uint32_t i, most = 0;
	struct member *m;

	for (i = 1; i < HEAPS; i++)
		if (l->heaps[i] > l->heaps[most])
			most = i;
	shmux_list_for_each_safe(pos, tmp, &l->meetings) {
		m = shmux_container_of(pos, struct member, node);
		if (m->heap != most)
			continue;
		meeting_log(l, m, -ETIMEDOUT);
		meeting_drop(l, m);
		return;
	}
}

/* For the end of a rest, or for the next sweep; for nothing without either. */
static void timer_arm(struct shmux_listener *l)
{
	uint64_t ns = l->rests ? REST : l->nr_meetings ? SWEEP : 0;
	struct itimerspec in = { .it_value = shmux_clock_timespec(ns) };

	timerfd_settime(l->timer_fd, 0, &in, NULL);
}

/*
 * Go on with a meeting that is not watched. It may end by closing its socket,
 * which a forked child of ours may hold: then the epoll descriptor would still
 * tell of it, and name a member that is gone.
 */
static void meeting_serve(struct shmux_listener *l, struct member *m)
{
	struct epoll_event ev = { .data.ptr = m };
	struct shmux_session *s;
	struct member *fresh;
	int err;

	err = shmux__meeting_step(&m->meeting, l->address.text, &s);
	if (err == -EAGAIN) {
		ev.events = (uint32_t)shmux__hello_events(m->meeting.hello);
		if (!epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD,
			       shmux__hello_fd(m->meeting.hello), &ev)) {
			if (l->nr_meetings == 1)
				timer_arm(l);
			return;
		}
		err = -errno;
	}
	if (err)
		meeting_log(l, m, err);
	/* Its socket is the session's now, and watched as such, if at all. */
	meeting_forget(l, m);
	if (err)
		return;
	if (!l->by_session) {
		session_adopt(l, s);
		return;
	}
	fresh = calloc(1, sizeof(*fresh));
	if (!fresh) {
		shmux_session_close(s, 0);
		return;
	}
	fresh->kind = MEMBER_SESSION;
	fresh->session = s;
	shmux_list_append(&l->fresh, &fresh->node);
}

/* Leave the listening socket alone for a while, or turn to it again. */
static void endpoint_rest(struct shmux_listener *l, bool rest)
{
	struct epoll_event ev = {
		.events = rest ? 0 : EPOLLIN,
		.data.ptr = &l->endpoint_member,
	};

	epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, l->endpoint.fd, &ev);
	l->rests = rest;
	timer_arm(l);
}

/* Those with whom it is over without their having hung up. */
static void meetings_sweep(struct shmux_listener *l)
{
	struct shmux_list *pos, *tmp;
	struct member *m;

	shmux_list_for_each_safe(pos, tmp, &l->meetings) {
		m = shmux_container_of(pos, struct member, node);
		unwatch_fd(l, shmux__hello_fd(m->meeting.hello));
		meeting_serve(l, m);
	}
	timer_arm(l);
}

/* Whether there are descriptors for what a hello brings: a memfd and a pidfd. */
static bool has_room(const struct shmux_listener *l)
{
	int fds[2], nr = 0;
	bool room;

	while (nr < 2 && (fds[nr] = fcntl(l->wake_fd, F_DUPFD_CLOEXEC, 0)) >= 0)
		nr++;
	room = nr == 2;
	while (nr)
		close(fds[--nr]);
	return room;
}

/* Somebody connects. Return: 0, -EAGAIN, or why it cannot be had now. */
static int connection_take(struct shmux_listener *l)
{
	struct member *m;
	int err, fd;

	fd = shmux__endpoint_accept(&l->endpoint);
	if (fd < 0 && fd != -EAGAIN && l->nr_meetings) {
		meeting_make_way(l);
		fd = shmux__endpoint_accept(&l->endpoint);
	}
	if (fd < 0 && fd != -EAGAIN)
		endpoint_rest(l, true);
	if (fd < 0)
		return fd;
	/* What its hello brings is lost if there is no descriptor for it. */
	while (l->nr_meetings && !has_room(l))
		meeting_make_way(l);
	m = calloc(1, sizeof(*m));
	if (!m) {
		close(fd);
		return -ENOMEM;
	}
	m->kind = MEMBER_MEETING;
	m->l = l;
	err = shmux__meeting_open(&m->meeting, fd, SHMUX_ROLE_ACCEPTOR,
				  true, &l->session_options, admit, l);
	if (err) {
		free(m);
		return 0;
	}
	shmux_list_append(&l->meetings, &m->node);
	m->heap = shmux__meeting_peer(&m->meeting)->uid % HEAPS;
	l->heaps[m->heap]++;
	l->nr_meetings++;
	/* First: what it has said already saves it from being one too many. */
	meeting_serve(l, m);
	if (l->nr_meetings > MEETINGS_MAX)
		meeting_make_way(l);
	return 0;
}

/* Serve the sessions that have said they have news. */
static void serve_told(struct shmux_listener *l)
{
	/* Pairs with the release in notify(). */
	struct member *m = __atomic_exchange_n(&l->told, NULL, __ATOMIC_ACQ_REL);
	struct member *next;

	for (; m; m = next) {
		next = m->next_told;
		__atomic_store_n(&m->told, 0, __ATOMIC_RELEASE);
		if (!m->gone && session_serve(m->session, false))
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
	struct member *m;
	uint64_t count;
	int nr, i, n, err = 0;

	shmux_store_relaxed(&l->asleep, 1);
	/* Pairs with the fence in notify(). */
	shmux_fence();
	if (__atomic_load_n(&l->told, __ATOMIC_RELAXED))
		timeout = 0;
	if (timeout) {
		l->polling = true;
		shmux_unlock(&l->lock);
	}
	nr = epoll_wait(l->epoll_fd, events, EVENTS, timeout);
	if (timeout) {
		shmux_lock(&l->lock);
		l->polling = false;
		l->turn++;
		shmux_futex_wake(&l->turn, INT32_MAX);
	}
	for (i = 0; i < nr; i++) {
		m = events[i].data.ptr;
		if (m->gone)
			continue;
		switch (m->kind) {
		case MEMBER_ENDPOINT:
			for (n = 0; n < CONNECTS && !err; n++)
				err = connection_take(l);
			if (err == -EAGAIN)
				err = 0;
			break;
		case MEMBER_WAKE:
			if (read(l->wake_fd, &count, sizeof(count)) < 0)
				continue;
			break;
		case MEMBER_TIMER:
			if (l->rests)
				endpoint_rest(l, false);
			else
				meetings_sweep(l);
			break;
		case MEMBER_MEETING:
			unwatch_fd(l, shmux__hello_fd(m->meeting.hello));
			meeting_serve(l, m);
			break;
		case MEMBER_SESSION:
			if (session_serve(m->session, true))
				session_drop(l, m);
			break;
		}
	}
	serve_told(l);
	free_gone(l);
	return err;
}

int shmux_listener_open(const char *address,
			const struct shmux_listener_options *options,
			struct shmux_listener **listener)
{
	int err, saved = errno;
	struct shmux_listener *l = SHMUX_KEEP_ERRNO(calloc(1, sizeof(*l)));
	struct shmux_listener_options *o;
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;

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
	o->session = NULL;
	if (!o->backlog)
		o->backlog = 128;
	if (!o->mode)
		o->mode = 0600;
	if (o->flags & SHMUX_LISTENER_UID)
		uid = o->uid;
	else
		o->uid = geteuid();
	if (o->flags & SHMUX_LISTENER_GID)
		gid = o->gid;
	else
		o->gid = getegid();
	l->deadline = SHMUX_NEVER;
	l->owner = getpid();
	shmux_list_init(&l->meetings);
	shmux_list_init(&l->sessions);
	shmux_list_init(&l->fresh);
	l->endpoint_member.kind = MEMBER_ENDPOINT;
	l->wake_member.kind = MEMBER_WAKE;
	l->timer_member.kind = MEMBER_TIMER;

	err = shmux__endpoint_open(&l->endpoint, &l->address.sun,
				   l->address.sun_len, (int)o->backlog,
				   o->mode & 0666, uid, gid);
	if (err)
		goto err_free;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->epoll_fd < 0) {
		err = -errno;
		goto err_close_endpoint;
	}
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->wake_fd < 0) {
		err = -errno;
		goto err_close_epoll;
	}
	l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (l->timer_fd < 0) {
		err = -errno;
		goto err_close_wake;
	}
	err = watch_fd(l, l->endpoint.fd, &l->endpoint_member);
	if (!err)
		err = watch_fd(l, l->wake_fd, &l->wake_member);
	if (!err)
		err = watch_fd(l, l->timer_fd, &l->timer_member);
	if (err)
		goto err_close_timer;
	*listener = l;
	errno = saved;
	return 0;

err_close_timer:
	close(l->timer_fd);
err_close_wake:
	close(l->wake_fd);
err_close_epoll:
	close(l->epoll_fd);
err_close_endpoint:
	shmux__endpoint_close(&l->endpoint);
err_free:
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
		err = shmux__session_next(m->session, stream);
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
	cancels = l->cancels;
	for (;;) {
		err = session ? next_session(l, session) :
				next_stream(l, stream);
		if (err != -EAGAIN)
			break;
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
	return l->epoll_fd;
}

const char *shmux_listener_address(const struct shmux_listener *l)
{
	return l->address.text;
}

void shmux_listener_close(struct shmux_listener *l)
{
	struct shmux_list *pos, *tmp;
	struct member *m;
	int saved = errno;

	if (!l || l->owner != getpid())
		return;
	shmux_list_for_each_safe(pos, tmp, &l->meetings)
		meeting_drop(l, shmux_container_of(pos, struct member, node));
	shmux_list_for_each_safe(pos, tmp, &l->sessions)
		session_drop(l, shmux_container_of(pos, struct member, node));
	shmux_list_for_each_safe(pos, tmp, &l->fresh) {
		m = shmux_container_of(pos, struct member, node);
		shmux_session_close(m->session, 0);
		free(m);
	}
	free_gone(l);
	close(l->timer_fd);
	close(l->wake_fd);
	close(l->epoll_fd);
	/* Now there is a descriptor for its lock, if none was left. */
	shmux__endpoint_close(&l->endpoint);
	free(l);
	errno = saved;
}
