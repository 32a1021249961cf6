// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * events.c - a session in somebody's event loop
 *
 * Owns the one pollable descriptor: an epoll descriptor over the link's own and
 * an eventfd of ours, which is written when another call of this process has
 * taken what the pump should tell. Owns the queue of streams that are ready.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/core.h"
#include "core/wait.h"

static int add(int epoll_fd, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

/* From now on note what each stream is ready for; also what it is already. */
static void note_stream(struct shmux_stream *st)
{
	uint32_t events = 0;

	if (st->rx_first || (st->state & STREAM_FIN_RECEIVED))
		events |= STREAM_EVENT_READ;
	if (st->tx_credit >= st->s->link->cost_min)
		events |= STREAM_EVENT_WRITE;
	if (events)
		shmux__stream_event_slow(st, events);
}

static void turn_on(struct shmux_session *s)
{
	if (s->events_on)
		return;
	s->events_on = true;
	s->accept_event = s->accept_depth != 0;
	s->dead_event = s->error != 0;
	shmux__table_each(&s->tables[0], note_stream);
	shmux__table_each(&s->tables[1], note_stream);
}

static int make_fd(struct shmux_session *s)
{
	int fds[2], nr, i, err = 0, saved = errno;

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0) {
		err = -errno;
		goto out;
	}
	if (s->event_fd < 0)
		s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->event_fd < 0) {
		err = -errno;
		goto err_close_epoll;
	}
	err = add(s->epoll_fd, s->event_fd);
	nr = s->error ? 0 : s->link->ops->descriptors(s->link, fds);
	for (i = 0; i < nr && !err; i++)
		err = add(s->epoll_fd, fds[i]);
	if (!err) {
		/* Readable until the first pump has armed. */
		shmux__events_tell(s);
		goto out;
	}
err_close_epoll:
	close(s->epoll_fd);
	s->epoll_fd = -1;
out:
	errno = saved;
	return err;
}

int shmux_session_fd(struct shmux_session *s)
{
	int fd = shmux__enter(s);

	if (fd)
		return fd;
	turn_on(s);
	if (s->epoll_fd < 0)
		fd = make_fd(s);
	if (!fd)
		fd = s->epoll_fd;
	shmux__leave(s);
	return fd;
}

void shmux__events_tell(struct shmux_session *s)
{
	uint64_t one = 1;
	int saved = errno;

	if (s->in_pump || s->told || s->event_fd < 0)
		return;
	s->told = true;
	/* An eventfd of our own: the counter cannot be full after one write. */
	if (write(s->event_fd, &one, sizeof(one)) < 0)
		s->told = false;
	errno = saved;
}

/* Take back what was told. */
static void untell(struct shmux_session *s)
{
	uint64_t count;
	int saved = errno;

	if (!s->told)
		return;
	s->told = false;
	if (read(s->event_fd, &count, sizeof(count)) < 0)
		errno = saved;
	shmux__wake_again(s);
}

static void note_writable(struct shmux_stream *st)
{
	if ((st->state & STREAM_WANTS_WRITE) &&
	    st->tx_credit >= st->s->link->cost_min)
		shmux__stream_event_slow(st, STREAM_EVENT_WRITE);
}

/* Hand out what is ready. */
static int harvest(struct shmux_session *s, struct shmux_event *events, int max)
{
	struct shmux_stream *st;
	int nr = 0;

	if (s->accept_event && nr < max) {
		s->accept_event = false;
		events[nr++] = (struct shmux_event){
			.events = SHMUX_EVENT_ACCEPT,
		};
	}
	if (s->open_event && nr < max) {
		s->open_event = false;
		events[nr++] = (struct shmux_event){
			.events = SHMUX_EVENT_WRITE,
		};
	}
	while (nr < max && (st = shmux__fifo_pop_queue(&s->ready))) {
		st->state &= ~STREAM_ON_QUEUE;
		if (st->state & STREAM_CLOSED) {
			if (st->state & STREAM_DETACHED)
				shmux__stream_reap(st);
			continue;
		}
		events[nr++] = (struct shmux_event){
			.stream = st,
			.user = shmux_stream_user(st),
			.events = (st->state & STREAM_EVENT_READ ?
					   SHMUX_EVENT_READ : 0) |
				  (st->state & STREAM_EVENT_WRITE ?
					   SHMUX_EVENT_WRITE : 0),
		};
		st->state &= ~(STREAM_EVENT_READ | STREAM_EVENT_WRITE);
		if (events[nr - 1].events & SHMUX_EVENT_WRITE)
			st->state &= ~STREAM_WANTS_WRITE;
	}
	if (s->dead_event && nr < max && !s->ready.first) {
		s->dead_event = false;
		events[nr++] = (struct shmux_event){
			.events = SHMUX_EVENT_DEAD,
		};
	}
	return nr;
}

int shmux_session_pump(struct shmux_session *s, struct shmux_event *events,
		       int max)
{
	struct shmux__link *l = s->link;
	int nr = shmux__enter(s);
	bool leads, idle, rung;

	if (nr)
		return nr;
	if (!events || max < 1) {
		shmux_unlock(&s->lock);
		return -EINVAL;
	}
	s->in_pump = true;
	s->watch |= SHMUX_ARMED_FRAMES;
	turn_on(s);
	shmux__tell_accepted(s);
	leads = s->leader && !s->leader_asleep;
	idle = !(leads ? shmux__link_ready(l, 0) : shmux__link_look(l)) &&
	       !s->told && !s->ready.first;
	untell(s);
	rung = !s->error && l->ops->rung(l);
	s->counters.kicks_received += rung;
	/* Woken for nothing that we know of: a stray byte, or a death. */
	if (!s->error && ((rung || idle) && shmux__clear(s)))
		shmux__session_lost(s);
	if (!s->error && idle && l->ops->check_alive(l))
		shmux__session_lost(s);
	if (!s->error && !leads)
		shmux__pump(s, SHMUX_DRAIN_BATCH * 4);
	if (s->wants_room && !s->error && (s->room_seen || l->ops->has_room(l))) {
		s->open_event |= s->wants_open;
		s->wants_room = s->room_seen = s->wants_open = false;
		shmux__table_each(&s->tables[0], note_writable);
		shmux__table_each(&s->tables[1], note_writable);
	}
	nr = harvest(s, events, max);

	/*
	 * Less than asked for: everything told, so the caller will poll. Look
	 * again after arming; what has come meanwhile is told by the eventfd.
	 */
	if (nr < max && !s->error && !leads) {
		if (!shmux__owes(s))
			shmux__publish(s);
		if (shmux__watch(s, SHMUX_ARMED_FRAMES)) {
			s->in_pump = false;
			shmux__events_tell(s);
		}
	}
	if (!leads)
		shmux__tell_left(s);
	s->in_pump = false;
	shmux__leave(s);
	return nr;
}
