// SPDX-License-Identifier: LGPL-2.1-or-later
/* pipe_turns.c - see pipe_turns.h */
#include "facade/pipe_turns.h"

#include <errno.h>
#include <sched.h>

#include <shmux/stream.h>

#include "base/barrier.h"
#include "base/clock.h"
#include "base/futex.h"

/* --- under the lock --- */

/* Why the call is not to go on, or 0. */
static int call_error(const struct shmux__turns *t, const struct shmux__call *c)
{
	if (t->closing || c->cancels != t->cancels)
		return -ECANCELED;
	return t->shut && !c->ends ? -EPIPE : 0;
}

static void call_wake(struct shmux__call *c)
{
	shmux_store_relaxed(&c->poke, 1);
	shmux_futex_wake(&c->poke, 1);
}

/* Who waits is to look again. */
static void kick(struct shmux__turns *t)
{
	struct shmux_list *pos, *tmp;

	if (t->busy) {
		t->armed = 0;
		shmux_stream_set_deadline(t->st, SHMUX_READ | SHMUX_WRITE, 0);
	}
	shmux_list_for_each_safe(pos, tmp, &t->waiting)
		call_wake(shmux_container_of(pos, struct shmux__call, node));
}

/* --- turns --- */

void shmux__turns_init(struct shmux__turns *t, struct shmux_stream *st)
{
	*t = (struct shmux__turns){ .st = st, .deadline = SHMUX_NEVER };
	shmux_list_init(&t->waiting);
}

int shmux__turns_take(struct shmux__turns *t, struct shmux__call *c,
		      unsigned int flags, bool ends)
{
	uint64_t left;
	int err;

	*c = (struct shmux__call){ .flags = flags, .ends = ends };
	shmux_lock(&t->lock);
	t->users++;
	c->cancels = t->cancels;
	err = call_error(t, c);
	if (!err && !t->busy) {
		t->busy = c->has_turn = true;
	} else if (!err) {
		shmux_list_append(&t->waiting, &c->node);
		while (!c->has_turn && !err) {
			left = shmux_clock_left(t->deadline);
			if (flags & SHMUX_NOWAIT)
				err = -EAGAIN;
			else
				err = left ? call_error(t, c) : -ETIMEDOUT;
			if (err)
				break;
			shmux_store_relaxed(&c->poke, 0);
			shmux_unlock(&t->lock);
			shmux_futex_wait(&c->poke, 0, left);
			shmux_lock(&t->lock);
		}
		if (!c->has_turn)
			shmux_list_remove(&c->node);
		else
			err = 0;
	}
	if (err)
		t->users--;
	shmux_unlock(&t->lock);
	return err;
}

void shmux__turns_give(struct shmux__turns *t)
{
	struct shmux__call *next;

	shmux_lock(&t->lock);
	if (shmux_list_empty(&t->waiting)) {
		t->busy = false;
	} else {
		next = shmux_container_of(t->waiting.next, struct shmux__call,
					  node);
		shmux_list_remove(&next->node);
		next->has_turn = true;
		call_wake(next);
	}
	t->users--;
	shmux_unlock(&t->lock);
}

int shmux__turns_arm(struct shmux__turns *t, const struct shmux__call *c,
		     uint64_t until)
{
	int err;

	shmux_lock(&t->lock);
	if (t->deadline < until)
		until = t->deadline;
	err = call_error(t, c);
	if (!err && until != t->armed) {
		err = shmux_stream_set_deadline(
			t->st, SHMUX_READ | SHMUX_WRITE, until);
		t->armed = until;
	}
	shmux_unlock(&t->lock);
	return err;
}

int shmux__turns_waited(struct shmux__turns *t, const struct shmux__call *c)
{
	int err;

	shmux_lock(&t->lock);
	err = call_error(t, c);
	if (!err && !shmux_clock_left(t->deadline))
		err = -ETIMEDOUT;
	shmux_unlock(&t->lock);
	return err;
}

/* --- what ends a wait --- */

void shmux__turns_shut(struct shmux__turns *t, int error, int told)
{
	shmux_lock(&t->lock);
	if (!t->shut) {
		t->shut = true;
		t->shut_error = error;
		if (!t->has_ended)
			t->first_error = told;
		t->has_ended = true;
		kick(t);
	}
	shmux_unlock(&t->lock);
}

void shmux__turns_set_deadline(struct shmux__turns *t, uint64_t deadline)
{
	shmux_lock(&t->lock);
	t->deadline = deadline;
	kick(t);
	shmux_unlock(&t->lock);
}

void shmux__turns_unblock(struct shmux__turns *t)
{
	shmux_lock(&t->lock);
	t->cancels++;
	kick(t);
	shmux_unlock(&t->lock);
}

void shmux__turns_close(struct shmux__turns *t)
{
	shmux_lock(&t->lock);
	t->closing = true;
	while (t->users) {
		kick(t);
		shmux_unlock(&t->lock);
		sched_yield();
		shmux_lock(&t->lock);
	}
	shmux_unlock(&t->lock);
}

/* --- the end --- */

bool shmux__turns_are_shut(struct shmux__turns *t)
{
	bool shut;

	shmux_lock(&t->lock);
	shut = t->shut;
	shmux_unlock(&t->lock);
	return shut;
}

void shmux__turns_note_end(struct shmux__turns *t, int error)
{
	shmux_lock(&t->lock);
	if (!t->has_ended) {
		t->has_ended = true;
		t->first_error = error;
	}
	shmux_unlock(&t->lock);
}

int shmux__turns_error(struct shmux__turns *t, int *error)
{
	int err = 0;

	shmux_lock(&t->lock);
	if (t->has_ended)
		*error = t->first_error;
	else
		err = -ENODATA;
	shmux_unlock(&t->lock);
	return err;
}
