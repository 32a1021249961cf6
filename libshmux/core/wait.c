// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * wait.c - see wait.h
 *
 * Owns who leads, how long it spins, and how it sleeps. A sleeping leader looks
 * every SLICE whether the peer lives: a forked child that holds the peer's
 * descriptors hides the hang-up, and a futex has none.
 */
#include "core/wait.h"

#include <limits.h>
#include <sched.h>

#include "base/futex.h"

#define SLICE		UINT64_C(60000000)	/* ns */
#define SPIN_MOST	UINT64_C(150000)	/* beyond this it does not pay */
#define SPIN_LEAST	UINT64_C(1000)
#define POLLS_PER_CLOCK	256u
#define REWATCH_MAX	4

void shmux__wake(struct shmux__waiter *w)
{
	struct shmux_session *s = w->s;

	if (w->poke)
		return;
	/* Pairs with the load in spin(): what we did under the lock is done. */
	shmux_store_release(&w->poke, 1);
	if (w->asleep)
		shmux_futex_wake(&w->poke, 1);
	else if (w == s->leader && s->leader_asleep)
		s->link->ops->poke(s->link, &w->poke);
}

void shmux__wake_stream_slow(struct shmux_stream *st, uint32_t kinds)
{
	struct shmux__waiter *w;

	for (w = st->waiters; w; w = w->next)
		if (w->kind & kinds)
			shmux__wake(w);
}

void shmux__wake_session(struct shmux_session *s, uint32_t kinds)
{
	struct shmux_list *pos, *tmp;
	struct shmux__waiter *w;

	shmux_list_for_each_safe(pos, tmp, &s->waiters) {
		w = shmux_container_of(pos, struct shmux__waiter, node);
		if (w->kind & kinds)
			shmux__wake(w);
	}
}

void shmux__cancel_stream(struct shmux_stream *st, uint32_t kinds)
{
	struct shmux__waiter *w;

	for (w = st->waiters; w; w = w->next)
		if (w->kind & kinds) {
			w->cancelled = true;
			shmux__wake(w);
		}
}

bool shmux__cancel_session(struct shmux_session *s, uint32_t kinds)
{
	struct shmux_list *pos, *tmp;
	struct shmux__waiter *w;
	bool any = false;

	shmux_list_for_each_safe(pos, tmp, &s->waiters) {
		w = shmux_container_of(pos, struct shmux__waiter, node);
		if (w->kind & kinds) {
			any = w->cancelled = true;
			shmux__wake(w);
		}
	}
	return any;
}

static void enlist(struct shmux__waiter *w)
{
	w->enlisted = true;
	shmux_list_append(&w->s->waiters, &w->node);
	if (w->st) {
		w->next = w->st->waiters;
		w->st->waiters = w;
	}
}

static void delist(struct shmux__waiter *w)
{
	struct shmux__waiter **at;

	w->enlisted = false;
	shmux_list_remove(&w->node);
	if (!w->st)
		return;
	for (at = &w->st->waiters; *at != w; at = &(*at)->next)
		;
	*at = w->next;
}

bool shmux__watch(struct shmux_session *s, uint32_t reasons)
{
	struct shmux__link *l = s->link;
	uint32_t bells;

	s->watch = reasons;
	if (s->leader || s->error)
		return false;
	bells = l->ops->arm(l, reasons | SHMUX_ARMED_SOCKET);
	if (bells) {
		s->counters.kicks_sent++;
		l->ops->ring(l, bells);
	}
	return shmux__link_ready(l, 0);
}

/* Nobody leads any more; the poller's reasons are to be armed again. */
static void rewatch(struct shmux_session *s)
{
	int i;

	for (i = 0; i < REWATCH_MAX && shmux__watch(s, s->watch); i++)
		shmux__pump(s, SHMUX_DRAIN_BATCH);
	if (i < REWATCH_MAX || s->error)
		return;
	/* The peer outpaces us: let the poller go on. */
	shmux__events_tell(s);
	if (s->notify)
		s->notify(s->notify_arg);
}

void shmux__wait_end_slow(struct shmux__waiter *w)
{
	struct shmux_session *s = w->s;

	delist(w);
	if (s->leader == w)
		s->leader = NULL;
	if (s->leader)
		return;
	if (!shmux_list_empty(&s->waiters)) {
		/* It finds out that nobody leads, and does. */
		shmux__wake(shmux_container_of(s->waiters.next,
					       struct shmux__waiter, node));
		return;
	}
	if (s->watch)
		rewatch(s);
}

/* How long to spin before this sleep. */
static uint64_t spin_budget(const struct shmux_session *s)
{
	if (s->options.spin != SHMUX_SPIN_ADAPTIVE)
		return s->options.spin;
	return s->spin_now;
}

/*
 * Learn. @total is how long the wait has taken, spinning and sleeping. Where
 * spinning longer would have met the answer it is worth it next time; unless
 * both ends share a CPU: then the peer can run only while we sleep.
 */
static void learn(struct shmux_session *s, uint64_t total, bool slept)
{
	if (s->options.spin != SHMUX_SPIN_ADAPTIVE)
		return;
	if (s->link->ops->same_cpu(s->link))
		s->spin_now = 0;
	else if (total <= SPIN_MOST)
		s->spin_now = SPIN_MOST;
	else if (slept)
		s->spin_now = s->spin_now > 2 * SPIN_LEAST ? s->spin_now / 2 : 0;
}

enum spin_result { SPIN_NEWS, SPIN_POKED, SPIN_OVER };

/* Unlocked. Poll until there is news, or for @budget ns, or until @deadline. */
static enum spin_result spin(struct shmux__waiter *w, uint32_t reasons,
			     uint64_t budget, uint64_t deadline,
			     uint64_t *begun)
{
	struct shmux__link *l = w->s->link;
	uint64_t now, end = 0, check = 0;

	for (;;) {
		l->ops->poll(l, reasons, &w->poke, POLLS_PER_CLOCK);
		if (shmux__link_ready(l, reasons))
			return SPIN_NEWS;
		/* Pairs with the release in shmux__wake(). */
		if (shmux_load_acquire(&w->poke))
			return SPIN_POKED;
		now = shmux_clock_now();
		if (!end) {
			*begun = now;
			end = now + budget;
			if (end < now || end > deadline)
				end = deadline;
			check = now + SLICE;
		}
		if (now >= end || now >= check)
			return SPIN_OVER;
	}
}

/* Sleep until there is news, a poke, or the deadline. Return: 0, -ETIMEDOUT. */
static int sleep_armed(struct shmux__waiter *w, uint32_t reasons,
		       uint64_t deadline)
{
	struct shmux_session *s = w->s;
	struct shmux__link *l = s->link;
	const uint32_t *poke = shmux_single_threaded() ? NULL : &w->poke;
	uint64_t left, begun;
	uint32_t bells;
	int err = 0;

	bells = l->ops->arm(l, reasons | SHMUX_ARMED_FUTEX);
	s->leader_asleep = true;
	w->slept = true;
	if (bells) {
		s->counters.kicks_sent++;
		l->ops->ring(l, bells);
	}
	while (!shmux__link_ready(l, reasons) && !w->poke && !s->error) {
		left = shmux_clock_left(deadline);
		if (!left) {
			err = -ETIMEDOUT;
			break;
		}
		s->counters.sleeps++;
		begun = s->alive_checked;
		shmux_unlock(&s->lock);
		l->ops->sleep(l, poke, left < SLICE ? left : SLICE);
		shmux_lock(&s->lock);
		if (l->ops->rung(l)) {
			s->counters.kicks_received++;
			/* Rung for nothing: it has hung up. */
			if (!shmux__link_ready(l, reasons)) {
				s->alive_checked = 0;
				shmux__session_check(s);
			}
			break;
		}
		if (begun == s->alive_checked)
			shmux__session_check(s);
	}
	s->leader_asleep = false;
	/* Once rung for, the value is spent: no store, no line to fetch. */
	if (!l->ops->rung(l))
		l->ops->disarm(l);
	return err;
}

static int lead(struct shmux__waiter *w, uint64_t deadline, bool room)
{
	struct shmux_session *s = w->s;
	struct shmux__link *l = s->link;
	uint32_t reasons = SHMUX_ARMED_FRAMES | (room ? SHMUX_ARMED_ROOM : 0);
	uint64_t begun = 0, budget = spin_budget(s), now;
	enum spin_result result = SPIN_OVER;
	int err = 0;

	s->leader = w;
	shmux__publish(s);
	l->ops->begin_wait(l);

	if (budget > SHMUX_SPIN_NONE) {
		do {
			shmux_unlock(&s->lock);
			result = spin(w, reasons, budget, deadline, &begun);
			shmux_lock(&s->lock);
			if (result == SPIN_OVER) {
				shmux__session_check(s);
				now = shmux_clock_now();
				if (now >= deadline)
					return -ETIMEDOUT;
			}
		} while (result == SPIN_OVER && budget == SHMUX_SPIN_ENDLESS &&
			 !s->error && !w->poke);
	} else if (s->options.spin == SHMUX_SPIN_ADAPTIVE) {
		begun = shmux_clock_now();
	}
	if (result == SPIN_OVER && !s->error && !w->poke) {
		err = sleep_armed(w, reasons, deadline);
		if (!err && s->options.spin == SHMUX_SPIN_ADAPTIVE)
			learn(s, shmux_clock_now() - begun, true);
	} else if (s->options.spin == SHMUX_SPIN_ADAPTIVE && begun) {
		learn(s, shmux_clock_now() - begun, false);
	}
	if (!s->error)
		shmux__pump(s, SHMUX_DRAIN_BATCH);
	return err;
}

static int follow(struct shmux__waiter *w, uint64_t deadline)
{
	struct shmux_session *s = w->s;
	uint64_t left = shmux_clock_left(deadline);
	int err = 0;

	if (!left)
		return -ETIMEDOUT;
	if (!s->corked)
		shmux__publish(s);
	w->asleep = true;
	s->counters.sleeps++;
	shmux_unlock(&s->lock);
	/* Pairs with the release in shmux__wake(). */
	while (!shmux_load_acquire(&w->poke) && !err)
		err = shmux_futex_wait(&w->poke, 0,
				       shmux_clock_left(deadline));
	shmux_lock(&s->lock);
	w->asleep = false;
	return w->poke ? 0 : err;
}

int shmux__wait(struct shmux__waiter *w, uint64_t deadline, bool room)
{
	struct shmux_session *s = w->s;
	int err = 0;

	if (!w->enlisted)
		enlist(w);
	if (!w->poke) {
		if (!s->leader || s->leader == w)
			err = lead(w, deadline, room);
		else
			err = follow(w, deadline);
	}
	shmux_store_relaxed(&w->poke, 0);
	return w->cancelled ? -ECANCELED : err;
}
