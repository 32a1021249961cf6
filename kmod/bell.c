// SPDX-License-Identifier: GPL-2.0-only
/*
 * bell.c - see bell.h
 */
#include "bell.h"

#include <linux/atomic.h>
#include <linux/eventfd.h>
#include <linux/hrtimer.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "counters.h"
#include "session.h"
#include "trace.h"

/*
 * Only a waker that is about to sleep says anything in @flags: then the woken
 * may have its CPU.
 */
static int wake(struct wait_queue_entry *entry, unsigned int mode, int flags,
		void *key)
{
	if (flags)
		flags |= SHMUX_WF_CURRENT_CPU;
	return default_wake_function(entry, mode, flags, key);
}

static void ring(struct shmux_end *e, bool sync, __poll_t events)
{
	/*
	 * Pairs with prepare_to_wait() in sleep_for_news(), and the barriers in
	 * shmux_bell_poll() and shmux_bell_set().
	 */
	smp_mb();
	/* Behind that barrier. */
	if (waitqueue_active(&e->wq)) {
		if (sync)
			wake_up_interruptible_sync_poll(&e->wq, events);
		else
			wake_up_interruptible_poll(&e->wq, events);
	}
	if (READ_ONCE(e->bell)) {
		spin_lock(&e->bell_lock);
		if (e->bell)
			shmux_eventfd_signal(e->bell);
		spin_unlock(&e->bell_lock);
	}
}

void shmux_bell_kick(struct shmux_end *e, bool sync)
{
	/* What was written before is seen by who sees the count: look(). */
	smp_mb__before_atomic();
	atomic_inc(&e->kicks);
	shmux_count(SHMUX_A_COUNTER_KICKS);
	trace_shmux_kick(e, sync);
	ring(e, sync, EPOLLIN | EPOLLRDNORM);
}

void shmux_bell_tell(struct shmux_end *e)
{
	__poll_t events = EPOLLOUT | EPOLLWRNORM;

	if (shmux_session_over(e->session))
		events |= EPOLLIN | EPOLLRDNORM | EPOLLHUP | EPOLLRDHUP;
	ring(e, false, events);
}

/* Is there news? Return: 0, -ECONNRESET, or -EAGAIN: there is none. */
static int look(struct shmux_end *e, u32 seen, u32 *kicks)
{
	int over = shmux_session_over(e->session);

	/* Pairs with the barrier in shmux_bell_kick(). */
	*kicks = atomic_read_acquire(&e->kicks);
	if (*kicks != seen)
		return 0;
	return over ? -ECONNRESET : -EAGAIN;
}

static int sleep_for_news(struct shmux_end *e, u32 seen, u32 *kicks,
			  const struct shmux_deadline *deadline)
{
	ktime_t at = deadline->at;
	struct wait_queue_entry entry;
	bool late = false;
	int err;

	init_waitqueue_func_entry(&entry, wake);
	entry.private = current;
	INIT_LIST_HEAD(&entry.entry);
	for (;;) {
		prepare_to_wait(&e->wq, &entry, TASK_INTERRUPTIBLE);
		err = look(e, seen, kicks);
		if (err != -EAGAIN)
			break;
		if (late) {
			err = deadline->late;
			break;
		}
		if (signal_pending(current)) {
			err = -EINTR;
			break;
		}
		late = !schedule_hrtimeout_range(at == KTIME_MAX ? NULL : &at,
						 current->timer_slack_ns,
						 HRTIMER_MODE_ABS);
	}
	finish_wait(&e->wq, &entry);
	return err;
}

int shmux_bell_wait(struct shmux_end *e, u32 seen, u32 *kicks,
		    const struct shmux_deadline *deadline)
{
	int err = look(e, seen, kicks);

	WRITE_ONCE(e->nr_waits, READ_ONCE(e->nr_waits) + 1);
	shmux_count(SHMUX_A_COUNTER_WAITS);
	trace_shmux_wait(e, seen);
	if (err == -EAGAIN && deadline->at) {
		WRITE_ONCE(e->nr_sleeps, READ_ONCE(e->nr_sleeps) + 1);
		shmux_count(SHMUX_A_COUNTER_SLEEPS);
		err = sleep_for_news(e, seen, kicks, deadline);
		if (!err || err == -ECONNRESET)
			shmux_count(SHMUX_A_COUNTER_WAKES);
		trace_shmux_wake(e, *kicks, err);
	}
	WRITE_ONCE(e->told, *kicks);
	return err;
}

__poll_t shmux_bell_poll(struct shmux_end *e, struct file *file,
			 poll_table *wait)
{
	__poll_t events = 0;

	poll_wait(file, &e->wq, wait);
	/* Pairs with the barrier in ring(). */
	smp_mb();
	if (shmux_session_over(e->session))
		events |= EPOLLIN | EPOLLRDNORM | EPOLLOUT | EPOLLWRNORM |
			  EPOLLHUP | EPOLLRDHUP;
	if (atomic_read(&e->kicks) != READ_ONCE(e->told))
		events |= EPOLLIN | EPOLLRDNORM;
	if (shmux_end_is_ready(shmux_end_other(e)))
		events |= EPOLLOUT | EPOLLWRNORM;
	return events;
}

void shmux_bell_set(struct shmux_end *e, struct eventfd_ctx *bell)
{
	struct eventfd_ctx *was;

	spin_lock(&e->bell_lock);
	was = e->bell;
	WRITE_ONCE(e->bell, bell);
	spin_unlock(&e->bell_lock);
	if (was)
		eventfd_ctx_put(was);
	if (!bell)
		return;
	/* Pairs with the barrier in ring(). */
	smp_mb();
	if (atomic_read(&e->kicks) != READ_ONCE(e->told) ||
	    shmux_session_over(e->session))
		ring(e, false, 0);
}
