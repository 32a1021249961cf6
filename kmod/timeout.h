/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: time-outs
 *
 * Callers say nanoseconds from now and are told what is left; within a call
 * there is a deadline. Absolute times would be wrong in a time namespace.
 */
#ifndef KMOD_TIMEOUT_H
#define KMOD_TIMEOUT_H

#include <linux/ktime.h>
#include <linux/minmax.h>
#include <linux/wait.h>

#include <linux/shmux.h>

/**
 * struct shmux_deadline - until when to wait
 * @at: of CLOCK_MONOTONIC; KTIME_MAX: for ever
 * @late: what it is to be late: -ETIMEDOUT, or -EAGAIN for who does not wait
 */
struct shmux_deadline {
	ktime_t at;
	int late;
};

static inline struct shmux_deadline shmux_deadline_in(u64 timeout)
{
	if (!timeout)
		return (struct shmux_deadline){ .late = -EAGAIN };
	if (timeout >= KTIME_MAX)
		return (struct shmux_deadline){ .at = KTIME_MAX };
	return (struct shmux_deadline){
		.at = ktime_add_safe(ktime_get(), ns_to_ktime(timeout)),
		.late = -ETIMEDOUT,
	};
}

/* Return: ns, as a caller says them. */
static inline u64 shmux_deadline_left(const struct shmux_deadline *d)
{
	s64 left;

	if (d->at == KTIME_MAX)
		return SHMUX_FOREVER;
	if (!d->at)
		return 0;
	left = ktime_to_ns(ktime_sub(d->at, ktime_get()));
	return max_t(s64, left, 0);
}

/*
 * Sleep on @wq until @condition is true. Evaluates to 0, -EINTR, or what it is
 * to be late.
 */
#define shmux_wait_until(wq, condition, deadline)				\
({										\
	const struct shmux_deadline *__d = (deadline);				\
	u64 __left = shmux_deadline_left(__d);					\
	int __err = 0;								\
										\
	if (!(condition)) {							\
		__err = !__left ? -ETIME :					\
			wait_event_interruptible_hrtimeout(wq, condition,	\
				__left == SHMUX_FOREVER ? KTIME_MAX :		\
							  ns_to_ktime(__left));	\
		if (__err == -ETIME)						\
			__err = __d->late;					\
		else if (__err)							\
			__err = -EINTR;						\
	}									\
	__err;									\
})

#endif /* KMOD_TIMEOUT_H */
