// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pipe_local.c - a pipe whose two ends are in this process
 *
 * A call that cannot go on lies in the readers' or the writers' queue, on its own
 * stack, and sleeps on a word of its own. Whoever comes with what it lacks copies
 * from one caller's memory to the other's, under the one lock of the pipe, and
 * wakes it. Nobody sleeps with the lock held.
 *
 * In between may lie the bytes of a buffered pipe, and what a writer that does not
 * wait has handed to a reader that did not wait either. They come before those of
 * the writers that wait. While readers wait there are neither.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/errno.h"
#include "base/futex.h"
#include "base/list.h"
#include "base/lock.h"
#include "facade/pipe.h"

/* What a read without waiting asks for at most, in bytes. */
#define DEMAND_MAX 65536u

struct local;

struct end {
	struct shmux_pipe pipe;
	struct local *l;
	uint64_t deadline;
	struct shmux_list calls;	/* that are blocked, by call::of_end */
	int fd;				/* eventfd, or -1 */
	bool fd_ready;			/* it is readable */
};

/* A call that is under way. */
struct call {
	struct shmux_list node;		/* in readers, writers or drainers */
	struct shmux_list of_end;
	struct shmux__cursor at;
	size_t size, done;
	uint32_t poke;			/* slept on */
	bool over;			/* @done and @err say how */
	bool cancelled;
	int err;
};

/* The bytes that lie in between, and where each write's end. */
struct store {
	char *bytes;			/* a ring of @size */
	size_t size, begin, used;
	uint32_t *lens;			/* a ring: what is left of each write */
	size_t lens_size, lens_begin, lens_used;
	size_t cost;			/* @used, and 1 for each that is empty */
	bool growing;			/* more of the last write may come */
};

struct local {
	struct shmux_lock lock;
	struct end reader, writer;
	uint32_t refs;
	struct shmux_list readers, writers, drainers;
	struct store store;
	size_t buffer;			/* constant */
	size_t demand;			/* of a read that did not wait; 0: none */
	bool read_ended, write_ended;	/* by whom */
	int read_error, write_error;	/* given by them */
	int first_error;
	bool dropped;			/* the reader has ended with bytes unread */
};

static struct end *end_of(struct shmux_pipe *p)
{
	return shmux_container_of(p, struct end, pipe);
}

static bool ended(const struct local *l)
{
	return l->read_ended || l->write_ended;
}

/* Room for one more length. Return: 0 or -ENOMEM. */
static int store_grow(struct store *s)
{
	size_t size = s->lens_size ? 2 * s->lens_size : 16, i;
	uint32_t *lens;

	if (s->lens_used < s->lens_size)
		return 0;
	lens = SHMUX_KEEP_ERRNO(malloc(size * sizeof(*lens)));
	if (!lens)
		return -ENOMEM;
	for (i = 0; i < s->lens_used; i++)
		lens[i] = s->lens[(s->lens_begin + i) & (s->lens_size - 1)];
	free(s->lens);
	s->lens = lens;
	s->lens_size = size;
	s->lens_begin = 0;
	return 0;
}

/* Put bytes of a write in, as many as @room says. Return: how many, or -ENOMEM. */
static ssize_t store_put(struct store *s, size_t size,
			 struct shmux__cursor *from, size_t room)
{
	size_t n = from->left < room ? from->left : room, part, at;

	if (!s->bytes) {
		s->bytes = SHMUX_KEEP_ERRNO(malloc(size));
		if (!s->bytes)
			return -ENOMEM;
		s->size = size;
	}
	if (!s->growing || !s->lens_used) {
		if (store_grow(s))
			return -ENOMEM;
		at = (s->lens_begin + s->lens_used++) & (s->lens_size - 1);
		s->lens[at] = 0;
		s->cost += !n;
	} else {
		at = (s->lens_begin + s->lens_used - 1) & (s->lens_size - 1);
	}
	s->lens[at] += (uint32_t)n;
	s->cost += n;
	for (room = n; room; room -= part) {
		at = (s->begin + s->used) % s->size;
		part = room < s->size - at ? room : s->size - at;
		shmux__cursor_read(from, s->bytes + at, part);
		s->used += part;
	}
	s->growing = from->left;
	return (ssize_t)n;
}

/* Take out bytes of the first write. */
static size_t store_get(struct store *s, struct shmux__cursor *to)
{
	uint32_t *len = &s->lens[s->lens_begin & (s->lens_size - 1)];
	size_t n = to->left < *len ? to->left : *len, left, part;

	s->cost -= *len ? n : 1;
	for (left = n; left; left -= part) {
		part = left < s->size - s->begin ? left : s->size - s->begin;
		shmux__cursor_write(to, s->bytes + s->begin, part);
		s->begin = (s->begin + part) % s->size;
		s->used -= part;
	}
	*len -= (uint32_t)n;
	if (!*len) {
		s->lens_begin = (s->lens_begin + 1) & (s->lens_size - 1);
		if (!--s->lens_used)
			s->growing = false;
	}
	return n;
}

static void store_clear(struct store *s)
{
	free(s->bytes);
	free(s->lens);
	*s = (struct store){ 0 };
}

static struct call *first(struct shmux_list *queue)
{
	if (shmux_list_empty(queue))
		return NULL;
	return shmux_container_of(queue->next, struct call, node);
}

static void wake(struct call *c)
{
	if (shmux_load_relaxed(&c->poke))
		return;
	shmux_store_relaxed(&c->poke, 1);
	shmux_futex_wake(&c->poke, 1);
}

static void finish(struct call *c, int err)
{
	shmux_list_remove(&c->node);
	c->over = true;
	c->err = err;
	wake(c);
}

/* Bytes go from a writer that waits to a reader that waits. */
static void hand_over(struct call *r, struct call *w)
{
	size_t n = r->at.left < w->at.left ? r->at.left : w->at.left, part;
	bool empty = !w->at.left;
	char *at;

	while (n) {
		at = shmux__cursor_at(&w->at, n, &part);
		shmux__cursor_write(&r->at, at, part);
		shmux__cursor_skip(&w->at, part);
		r->done += part;
		w->done += part;
		n -= part;
	}
	finish(r, 0);
	if (empty || !w->at.left)
		finish(w, 0);
}

/* Move what can be moved. */
static void move(struct local *l)
{
	struct call *r, *w;
	ssize_t n;

	for (;;) {
		r = first(&l->readers);
		w = first(&l->writers);
		if (r && l->store.lens_used) {
			r->done = store_get(&l->store, &r->at);
			finish(r, 0);
		} else if (r && w) {
			hand_over(r, w);
		} else if (w && l->buffer > l->store.cost) {
			n = store_put(&l->store, l->buffer, &w->at,
				      l->buffer - l->store.cost);
			if (n > 0)
				w->done += (size_t)n;
			if (n < 0)
				finish(w, (int)n);
			else if (!w->at.left)
				finish(w, 0);
		} else {
			break;
		}
	}
	while (!l->store.lens_used && first(&l->drainers))
		finish(first(&l->drainers), 0);
}

/* The descriptor of an end is readable while a call would not return -EAGAIN. */
static void show(struct end *e, bool ready)
{
	uint64_t count = 1;
	int saved = errno;

	if (e->fd < 0 || e->fd_ready == ready)
		return;
	/* Nobody else has it, and it holds 0 or 1: neither can block. */
	if (ready ? write(e->fd, &count, sizeof(count)) > 0 :
		    read(e->fd, &count, sizeof(count)) > 0)
		e->fd_ready = ready;
	errno = saved;
}

/* Every change of the pipe ends here. */
static void unlock(struct local *l)
{
	show(&l->reader, l->store.lens_used || first(&l->writers) || ended(l));
	show(&l->writer,
	     ended(l) || first(&l->readers) ||
		     (!first(&l->writers) && (l->buffer > l->store.cost ||
					      l->demand)));
	shmux_unlock(&l->lock);
}

static void call_begin(struct end *e, struct call *c,
		       const struct shmux__cursor *at, struct shmux_list *queue)
{
	*c = (struct call){ 0 };
	if (at) {
		c->at = *at;
		c->size = at->left;
	}
	shmux_list_append(queue, &c->node);
	shmux_list_append(&e->calls, &c->of_end);
}

/* Sleep until the call is over, one way or another; then it is in no queue. */
static void call_wait(struct end *e, struct call *c, unsigned int flags)
{
	struct local *l = e->l;
	uint64_t left;
	int err = flags & SHMUX_NOWAIT ? -EAGAIN : 0;

	while (!c->over && !err) {
		left = shmux_clock_left(e->deadline);
		if (c->cancelled)
			err = -ECANCELED;
		else if (!left)
			err = -ETIMEDOUT;
		if (err)
			break;
		shmux_store_relaxed(&c->poke, 0);
		unlock(l);
		shmux_futex_wait(&c->poke, 0, left);
		shmux_lock(&l->lock);
	}
	shmux_list_remove(&c->of_end);
	if (!c->over) {
		shmux_list_remove(&c->node);
		c->err = err;
	}
}

static ssize_t result(const struct call *c)
{
	return c->err && !c->done ? c->err : (ssize_t)c->done;
}

/* What a read or a write fails with, now that the pipe has ended. */
static int read_end_error(const struct local *l)
{
	if (l->read_ended)
		return -EPIPE;
	return l->write_error ? l->write_error : -ENODATA;
}

static int write_end_error(const struct local *l)
{
	if (l->write_ended)
		return -EPIPE;
	return l->read_error ? l->read_error : -EPIPE;
}

static ssize_t local_send(struct shmux_pipe *p, struct shmux__cursor *from,
			  unsigned int flags)
{
	struct end *e = end_of(p);
	struct local *l = e->l;
	struct call c;
	ssize_t n;

	shmux_lock(&l->lock);
	if (ended(l)) {
		n = write_end_error(l);
		unlock(l);
		return n;
	}
	call_begin(e, &c, from, &l->writers);
	move(l);
	if ((flags & SHMUX_NOWAIT) && !c.over && !c.done && l->demand &&
	    first(&l->writers) == &c && !l->store.lens_used) {
		/* For the read that has asked: this is all it gets. */
		n = store_put(&l->store, l->buffer ? l->buffer : DEMAND_MAX,
			      &c.at, l->demand);
		l->store.growing = false;
		l->demand = 0;
		if (n >= 0)
			c.done = (size_t)n;
		finish(&c, n < 0 ? (int)n : 0);
	}
	call_wait(e, &c, flags);
	/* What a write left behind is no more to be joined. */
	if (!c.over)
		l->store.growing = false;
	n = result(&c);
	move(l);
	unlock(l);
	return n;
}

static ssize_t local_recv(struct shmux_pipe *p, struct shmux__cursor *to,
			  unsigned int flags)
{
	struct end *e = end_of(p);
	struct local *l = e->l;
	struct call c;
	ssize_t n;

	shmux_lock(&l->lock);
	if (ended(l) && (l->read_ended || !l->store.lens_used)) {
		n = read_end_error(l);
		unlock(l);
		return n;
	}
	call_begin(e, &c, to, &l->readers);
	l->demand = 0;
	move(l);
	if ((flags & SHMUX_NOWAIT) && !c.over && !l->buffer)
		l->demand = c.size && c.size < DEMAND_MAX ? c.size :
			    c.size			  ? DEMAND_MAX :
							    1;
	call_wait(e, &c, flags);
	n = result(&c);
	unlock(l);
	return n;
}

/* All calls of a queue are over. */
static void finish_all(struct shmux_list *queue, int err)
{
	while (first(queue))
		finish(first(queue), err);
}

static void end_it(struct local *l, bool reader, int error)
{
	if (reader ? l->read_ended : l->write_ended)
		return;
	if (!ended(l))
		l->first_error = error ? error : reader ? -EPIPE : 0;
	if (reader) {
		l->read_ended = true;
		l->read_error = error;
		l->dropped = l->store.lens_used;
		finish_all(&l->drainers, write_end_error(l));
		store_clear(&l->store);
	} else {
		l->write_ended = true;
		l->write_error = error;
	}
	finish_all(&l->writers, write_end_error(l));
	if (l->read_ended || !l->store.lens_used)
		finish_all(&l->readers, read_end_error(l));
}

static int local_shutdown(struct shmux_pipe *p, int error, unsigned int flags)
{
	struct end *e = end_of(p);
	struct local *l = e->l;
	struct call c;
	int err = 0;

	shmux_lock(&l->lock);
	end_it(l, p->reader, error);
	if (!p->reader && l->dropped) {
		err = l->read_error ? l->read_error : -EPIPE;
	} else if (!p->reader && l->store.lens_used) {
		call_begin(e, &c, NULL, &l->drainers);
		call_wait(e, &c, flags);
		err = c.err;
		if (l->dropped)
			err = l->read_error ? l->read_error : -EPIPE;
	}
	unlock(l);
	return err;
}

static int local_error(struct shmux_pipe *p, int *error)
{
	struct local *l = end_of(p)->l;
	int err = 0;

	shmux_lock(&l->lock);
	if (ended(l))
		*error = l->first_error;
	else
		err = -ENODATA;
	unlock(l);
	return err;
}

static void poke_all(struct end *e, bool cancel)
{
	struct shmux_list *pos, *tmp;
	struct call *c;

	shmux_list_for_each_safe(pos, tmp, &e->calls) {
		c = shmux_container_of(pos, struct call, of_end);
		c->cancelled |= cancel;
		wake(c);
	}
}

static int local_set_deadline(struct shmux_pipe *p, uint64_t deadline)
{
	struct end *e = end_of(p);

	shmux_lock(&e->l->lock);
	e->deadline = deadline;
	poke_all(e, false);
	unlock(e->l);
	return 0;
}

static void local_unblock(struct shmux_pipe *p)
{
	struct end *e = end_of(p);

	shmux_lock(&e->l->lock);
	poke_all(e, true);
	unlock(e->l);
}

static int local_fd(struct shmux_pipe *p)
{
	struct end *e = end_of(p);
	int fd, saved = errno;

	shmux_lock(&e->l->lock);
	if (e->fd < 0)
		e->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fd = e->fd < 0 ? -errno : e->fd;
	errno = saved;
	unlock(e->l);
	return fd;
}

static void local_close(struct shmux_pipe *p)
{
	struct end *e = end_of(p);
	struct local *l = e->l;
	int saved = errno;
	bool last;

	shmux_lock(&l->lock);
	while (!shmux_list_empty(&e->calls)) {
		poke_all(e, true);
		unlock(l);
		sched_yield();
		shmux_lock(&l->lock);
	}
	end_it(l, p->reader, 0);
	if (e->fd >= 0)
		close(e->fd);
	e->fd = -1;
	last = !--l->refs;
	unlock(l);
	if (last) {
		store_clear(&l->store);
		free(l);
	}
	errno = saved;
}

static const struct shmux__pipe_ops local_ops = {
	.send = local_send,
	.recv = local_recv,
	.shutdown = local_shutdown,
	.error = local_error,
	.close = local_close,
	.set_deadline = local_set_deadline,
	.unblock = local_unblock,
	.fd = local_fd,
};

static void end_init(struct end *e, struct local *l, bool reader)
{
	e->pipe.ops = &local_ops;
	e->pipe.reader = reader;
	e->l = l;
	e->deadline = SHMUX_NEVER;
	shmux_list_init(&e->calls);
	e->fd = -1;
}

int shmux__pipe_local(uint32_t buffer, struct shmux_pipe **reader,
		      struct shmux_pipe **writer)
{
	struct local *l = SHMUX_KEEP_ERRNO(calloc(1, sizeof(*l)));

	if (!l)
		return -ENOMEM;
	l->refs = 2;
	l->buffer = buffer;
	shmux_list_init(&l->readers);
	shmux_list_init(&l->writers);
	shmux_list_init(&l->drainers);
	end_init(&l->reader, l, true);
	end_init(&l->writer, l, false);
	*reader = &l->reader.pipe;
	*writer = &l->writer.pipe;
	return 0;
}
