// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * wait.c - see wait.h
 *
 * Owns who leads, how long it spins, and how it sleeps.
 */
#include "core/wait.h"

#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/delay.h"
#include "base/errno.h"
#include "base/futex.h"

#define SLICE		UINT64_C(60000000)	/* ns */
#define SPIN_MOST	UINT64_C(150000)	/* beyond this it does not pay */
#define SPIN_LEAST	UINT64_C(1000)
#define POLLS_PER_CLOCK	(SHMUX_AWAITS_PER_US / 3)
#define POLLS_ALONE	SHMUX_AWAITS_PER_US
#define POLLS_HERE	(SHMUX_AWAITS_PER_US / 12)	/* before the peer may run */
#define REWATCH_MAX	4
#define YIELD_LEVELS	10

/* The leader polls the eventfd. It is ours and not full: this cannot block. */
static void poke_deep(struct shmux_session *s)
{
	uint64_t one = 1;
	int saved = errno;

	if (s->event_fd >= 0 && write(s->event_fd, &one, sizeof(one)) < 0)
		errno = saved;
}

void shmux__wake_slow(struct shmux__waiter *w)
{
	struct shmux_session *s = w->s;

	/* [B9] Pairs with the load in spin(): what we did under the lock is done. */
	shmux_store_release(&w->poke, 1);
	shmux_delay();
	if (w->asleep) {
		s->woken_on = w->cpu;
		shmux_futex_wake(&w->poke, 1);
	} else if (w == s->leader && s->leader_deep) {
		poke_deep(s);
	} else if (w == s->leader && s->leader_asleep) {
		s->link->ops->poke(s->link, &w->poke);
	}
}

void shmux__wake_again(struct shmux_session *s)
{
	if (s->leader_deep && s->leader->poke)
		poke_deep(s);
}

int shmux__clear(struct shmux_session *s)
{
	int err = s->link->ops->clear(s->link);

	/* The bell may have been for one who sleeps on it, and will not hear it now. */
	if (s->leader_deep)
		shmux__wake(s->leader);
	return err;
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

static void ring(struct shmux_session *s, uint32_t bells)
{
	if (bells)
		s->link->ops->ring(s->link, bells);
}

/* Return: bells that the caller rings, at once or as it goes to sleep. */
static uint32_t arm(struct shmux_session *s, uint32_t reasons_and_bells)
{
	uint32_t bells = s->link->ops->arm(s->link, reasons_and_bells);

	if (bells)
		s->counters.kicks_sent++;
	return bells;
}

/* Is there anything that waits for ring room or a chunk? */
static bool wants_room(const struct shmux_session *s)
{
	return s->nr_room || s->wants_room || shmux__owes(s);
}

bool shmux__watch(struct shmux_session *s, uint32_t reasons)
{
	bool news;

	s->watch |= reasons;
	if (s->leader || s->error)
		return false;
	ring(s, arm(s, s->watch | SHMUX_ARMED_SOCKET |
			       (wants_room(s) ? SHMUX_ARMED_ROOM : 0)));
	news = shmux__link_look(s->link);
	if (wants_room(s) && s->link->ops->has_room(s->link)) {
		if (s->wants_room) {
			s->room_seen = true;
			shmux__events_tell(s);
		}
		/* Those who wait for room, and nobody leads, are awake. */
		news |= s->in_pump || shmux__owes(s);
	}
	return news;
}

/* The peer outpaces us, or another thread is to go on: let the poller. */
static void tell_poller(struct shmux_session *s)
{
	shmux__events_tell(s);
	if (s->notify)
		s->notify(s->notify_arg);
}

void shmux__tell_left_slow(struct shmux_session *s)
{
	if (s->error || !s->link->ops->ready(s->link, 0))
		return;
	if (s->leader && s->leader_asleep)
		shmux__wake(s->leader);
	else if (!s->leader && s->watch && !s->in_pump)
		tell_poller(s);
}

void shmux__room_wanted(struct shmux_session *s)
{
	if (s->error || s->in_pump)
		return;
	if (s->leader) {
		/* Once: it may be who asks, and is awake. */
		if (!s->leader_room)
			shmux__wake(s->leader);
		s->leader_room = true;
	} else if (s->watch && shmux__watch(s, 0)) {
		tell_poller(s);
	}
}

void shmux__room_missed(struct shmux_session *s)
{
	if (!s->events_on)
		return;
	s->wants_room = true;
	shmux__room_wanted(s);
}

/*
 * A link that writes to the kernel has its descriptor polled for room while there is
 * something to write. Who has just written it all has to tell.
 */
static void room_look(struct shmux_session *s)
{
	if (s->room_seen || !s->link->ops->has_room(s->link))
		return;
	s->room_seen = true;
	shmux__events_tell(s);
}

void shmux__ring(struct shmux_session *s, uint32_t bells)
{
	s->counters.kicks_sent++;
	s->link->ops->ring(s->link, bells);
}

void shmux__publish_slow(struct shmux_session *s)
{
	uint32_t bells = s->link->ops->publish(s->link);

	if (bells)
		shmux__ring(s, bells);
	if (s->wants_room)
		room_look(s);
}

/* Nobody leads any more; the poller's reasons are to be armed again. */
static void rewatch(struct shmux_session *s)
{
	int i;

	for (i = 0; i < REWATCH_MAX && shmux__watch(s, s->watch); i++) {
		shmux__pump(s, SHMUX_DRAIN_BATCH);
		if (!s->error && shmux__owes(s))
			shmux__control_flush(s);
	}
	if (i < REWATCH_MAX || s->error)
		return;
	tell_poller(s);
}

void shmux__wait_end_slow(struct shmux__waiter *w)
{
	struct shmux_session *s = w->s;

	delist(w);
	shmux_delay();
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

static int cpu_now(void)
{
	return SHMUX_KEEP_ERRNO(sched_getcpu());
}

/* Did the peer last wait on our CPU? Then it cannot answer while we poll. */
static bool peer_is_here(struct shmux_session *s)
{
	return shmux__link_is_shm(s->link) && s->link->ops->same_cpu(s->link);
}

/* Are others to run, of whom some are on this CPU? Who never sleeps has no other way. */
static bool may_let_run(struct shmux_session *s, uint64_t budget)
{
	return budget == SHMUX_SPIN_ENDLESS || shmux_may_yield(&s->yield);
}

static void let_run(struct shmux_session *s, uint64_t budget)
{
	if (budget == SHMUX_SPIN_ENDLESS)
		sched_yield();
	else
		shmux_yield(&s->yield, YIELD_LEVELS);
}

/*
 * Whoever was woken on this CPU cannot run while we spin, and the peer may wait for
 * what it is to do. Return: whether it is to go first, which is told once.
 */
static bool others_first(struct shmux_session *s)
{
	int cpu = s->woken_on;

	s->woken_on = SHMUX_NO_CPU;
	return cpu != SHMUX_NO_CPU && cpu == cpu_now();
}

enum spin_result { SPIN_NEWS, SPIN_POKED, SPIN_OVER };

/* Unlocked. Poll until there is news, or for @budget ns, or until @deadline. */
static enum spin_result spin(struct shmux__waiter *w, uint32_t reasons,
			     uint64_t budget, uint64_t deadline,
			     uint64_t *begun)
{
	struct shmux__link *l = w->s->link;
	uint64_t now, end = 0, check = 0;
	bool yield;

	for (;;) {
		yield = peer_is_here(w->s) && may_let_run(w->s, budget);
		l->ops->poll(l, reasons, &w->poke,
			     yield ? POLLS_HERE : POLLS_PER_CLOCK);
		if (shmux__link_ready(l, reasons))
			return SPIN_NEWS;
		/* [B9] Pairs with the release in shmux__wake(). */
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
		if (yield)
			let_run(w->s, budget);
	}
}

uint32_t shmux__polls_alone(struct shmux_session *s)
{
	if (spin_budget(s) < SPIN_LEAST || peer_is_here(s))
		return 0;
	shmux__publish(s);
	return POLLS_ALONE;
}

/*
 * A futex is the quickest bell but tells no death, so a sleep on it is at most a
 * SLICE. Who has slept that long sleeps on, without waking in vain, on the
 * descriptors, which tell death at once. Other threads poke it by the eventfd;
 * that is not to be had while it stands for events that the pump has not told.
 * Where the bell tells death there is no need of any of this.
 */
static bool can_sleep_deep(struct shmux_session *s)
{
	int saved = errno;

	if (s->told || s->link->tells_death)
		return false;
	if (shmux_single_threaded() || s->event_fd >= 0)
		return true;
	s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	errno = saved;
	return s->event_fd >= 0;
}

/* Unlocked. */
static void sleep_deep(struct shmux_session *s, uint64_t timeout)
{
	struct timespec ts = shmux_clock_timespec(timeout);
	struct pollfd fds[3];
	int links[2], nr, i, saved = errno;

	nr = s->link->ops->descriptors(s->link, links);
	for (i = 0; i < nr; i++)
		fds[i] = (struct pollfd){ .fd = links[i], .events = POLLIN };
	fds[nr++] = (struct pollfd){ .fd = s->event_fd, .events = POLLIN };
	ppoll(fds, (nfds_t)nr, timeout == UINT64_MAX ? NULL : &ts, NULL);
	errno = saved;
}

/* Awake again from a deep sleep: take what came over the descriptors. */
static void wake_deep(struct shmux_session *s)
{
	uint64_t count;
	int saved = errno;

	if (s->event_fd >= 0 && !s->told &&
	    read(s->event_fd, &count, sizeof(count)) < 0)
		errno = saved;
	if (!s->error && (s->link->ops->clear(s->link) ||
			  s->link->ops->check_alive(s->link)))
		shmux__session_lost(s);
}

/*
 * Sleep until there is news, a poke, or the deadline. Return: 0, -ETIMEDOUT. What
 * was not published yet is, and the peer is rung with the call that sleeps.
 */
static int sleep_armed(struct shmux__waiter *w, uint32_t reasons,
		       uint64_t deadline)
{
	struct shmux_session *s = w->s;
	struct shmux__link *l = s->link;
	const uint32_t *poke = shmux_single_threaded() ? NULL : &w->poke;
	const uint64_t slice = l->tells_death ? UINT64_MAX : SLICE;
	uint32_t bells;
	uint64_t left;
	bool died;
	int err = 0;

	s->leader_asleep = true;
	w->slept = true;
	bells = arm(s, reasons | SHMUX_ARMED_FUTEX);
	shmux_delay();
	while (!shmux__link_ready(l, reasons) && !w->poke && !s->error) {
		left = shmux_clock_left(deadline);
		if (!left) {
			err = -ETIMEDOUT;
			break;
		}
		s->counters.sleeps++;
		if (s->leader_deep) {
			shmux_unlock(&s->lock);
			shmux_delay();
			ring(s, bells);
			sleep_deep(s, left);
			shmux_delay();
			shmux_lock(&s->lock);
			wake_deep(s);
		} else {
			shmux_unlock(&s->lock);
			shmux_delay();
			died = l->ops->sleep(l, bells, poke,
					     left < slice ? left : slice);
			shmux_delay();
			shmux_lock(&s->lock);
			if (died)	/* believed once check_alive says so */
				s->alive_checked = 0;
		}
		bells = 0;
		if (l->ops->rung(l)) {
			s->counters.kicks_received++;
			/* Rung for nothing: it has hung up. */
			if (!shmux__link_ready(l, reasons)) {
				s->alive_checked = 0;
				shmux__session_check(s);
			}
			break;
		}
		if (!s->leader_deep)
			shmux__session_check(s);
		s->leader_deep = can_sleep_deep(s);
		bells = arm(s, reasons | (s->leader_deep ? SHMUX_ARMED_SOCKET :
							   SHMUX_ARMED_FUTEX));
		shmux_delay();
	}
	ring(s, bells);
	s->leader_asleep = s->leader_deep = false;
	/* Once rung for, the value is spent: no store, no line to fetch. */
	if (!l->ops->rung(l))
		l->ops->disarm(l);
	return err;
}

/* Ring room or chunks have come back: those who wait for them try again. */
static void wake_room(struct shmux_session *s)
{
	struct shmux_list *pos, *tmp;
	struct shmux__waiter *w;

	shmux_list_for_each_safe(pos, tmp, &s->waiters) {
		w = shmux_container_of(pos, struct shmux__waiter, node);
		if (w->room)
			shmux__wake(w);
	}
}

void shmux__room_made(struct shmux_session *s)
{
	if (s->nr_room)
		wake_room(s);
	if (s->wants_span && s->events_on)
		s->wants_room = s->room_seen = true;
	s->wants_span = false;
	if (s->wants_room)
		shmux__events_tell(s);
}

/*
 * Take note of the room there is, and let those have it who wait: writers, the
 * control frames that are owed, the poller. Return: whether there was any news.
 */
static bool use_room(struct shmux_session *s)
{
	int news = s->link->ops->begin_wait(s->link);

	if (news < 0) {
		shmux__session_die(s, news);
		return true;
	}
	if (!news)
		return false;
	wake_room(s);
	if (shmux__owes(s))
		shmux__control_flush(s);
	if (s->wants_room)
		shmux__events_tell(s);
	return true;
}

/*
 * Who does not spin gives others a turn, even if there is always news; the peer, too,
 * where it shares our CPU: to be woken costs more than to run, unless to wake it and
 * to sleep is one call. Return: whether there is any news.
 */
static bool give_way(struct shmux_session *s, uint32_t reasons)
{
	bool yield = !s->link->rings_free && peer_is_here(s) &&
		     shmux_may_yield(&s->yield);

	shmux_unlock(&s->lock);
	shmux_delay();
	if (yield)
		shmux_yield(&s->yield, YIELD_LEVELS);
	shmux_delay();
	shmux_lock(&s->lock);
	return yield && shmux__link_ready(s->link, reasons);
}

static int lead(struct shmux__waiter *w, uint64_t deadline)
{
	struct shmux_session *s = w->s;
	uint32_t reasons = SHMUX_ARMED_FRAMES |
			   (wants_room(s) ? SHMUX_ARMED_ROOM : 0);
	uint64_t begun = 0, budget = spin_budget(s), now;
	enum spin_result result = SPIN_OVER;
	bool yield;
	int err = 0;

	s->leader = w;
	s->leader_room = reasons & SHMUX_ARMED_ROOM;
	/*
	 * Who sleeps at once publishes as it arms, where to ring with the sleep is
	 * cheaper than before: else the peer may have answered by then.
	 */
	if (budget > SHMUX_SPIN_NONE || s->leader_room || !s->link->rings_free)
		shmux__publish(s);
	if (s->leader_room && use_room(s))
		return 0;
	if (budget > SHMUX_SPIN_NONE) {
		do {
			yield = others_first(s) && may_let_run(s, budget);
			shmux_unlock(&s->lock);
			shmux_delay();
			if (yield)
				let_run(s, budget);
			result = spin(w, reasons, budget, deadline, &begun);
			shmux_delay();
			shmux_lock(&s->lock);
			if (result == SPIN_OVER) {
				shmux__session_check(s);
				now = shmux_clock_now();
				if (now >= deadline)
					return -ETIMEDOUT;
			}
		} while (result == SPIN_OVER && budget == SHMUX_SPIN_ENDLESS &&
			 !s->error && !w->poke);
	} else {
		if (s->options.spin == SHMUX_SPIN_ADAPTIVE)
			begun = shmux_clock_now();
		if (give_way(s, reasons))
			result = SPIN_NEWS;
		if (s->error || w->poke)
			shmux__publish(s);
	}
	if (result == SPIN_OVER && !s->error && !w->poke) {
		err = sleep_armed(w, reasons, deadline);
		if (!err && s->options.spin == SHMUX_SPIN_ADAPTIVE)
			learn(s, shmux_clock_now() - begun, true);
	} else if (s->options.spin == SHMUX_SPIN_ADAPTIVE && begun) {
		learn(s, shmux_clock_now() - begun, false);
	}
	if (!s->error) {
		/* It is awake. */
		shmux_store_relaxed(&w->poke, 1);
		shmux__pump(s, SHMUX_DRAIN_BATCH);
	}
	if (s->leader_room && !s->error)
		use_room(s);
	/* With frames for others coming in all the time, too. */
	if (!err && deadline != SHMUX_NEVER && !shmux_clock_left(deadline))
		err = -ETIMEDOUT;
	return err;
}

static int follow(struct shmux__waiter *w, uint64_t deadline)
{
	struct shmux_session *s = w->s;
	uint64_t left = shmux_clock_left(deadline);
	int err = 0;

	if (!left)
		return -ETIMEDOUT;
	shmux__publish(s);
	w->cpu = cpu_now();
	w->asleep = true;
	s->counters.sleeps++;
	shmux_unlock(&s->lock);
	shmux_delay();
	/* [B9] Pairs with the release in shmux__wake(). */
	while (!shmux_load_acquire(&w->poke) && !err)
		err = shmux_futex_wait(&w->poke, 0,
				       shmux_clock_left(deadline));
	shmux_delay();
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
	w->room = room;
	s->nr_room += room;
	/* What we wait for may come of what we owe: credit, say. */
	shmux__tell_accepted(s);
	if (!s->error && shmux__owes(s))
		shmux__control_flush(s);
	if (!w->poke) {
		if (!s->leader || s->leader == w) {
			err = lead(w, deadline);
		} else {
			/* The leader is to look for what we wait for. */
			if (room && !s->leader_room)
				shmux__wake(s->leader);
			err = follow(w, deadline);
		}
	}
	s->nr_room -= room;
	w->room = false;
	shmux_store_relaxed(&w->poke, 0);
	return w->cancelled ? -ECANCELED : err;
}
