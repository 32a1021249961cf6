/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lock.h - a mutex that costs a process without threads nothing
 *
 * One word: 0 free, 1 held, 2 held and somebody may sleep on it. While the
 * process has a single thread, as the C library tells, no atomic operation is
 * spent. That a thread is started or ends while the lock is held is harmless:
 * the word says the same either way.
 */
#ifndef SHMUX_BASE_LOCK_H
#define SHMUX_BASE_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/single_threaded.h>

#include "base/barrier.h"

struct shmux_lock {
	uint32_t word;
};

void shmux_lock_slow(struct shmux_lock *l);
void shmux_unlock_slow(struct shmux_lock *l);

/* True while no other thread of this process can run. */
static inline bool shmux_single_threaded(void)
{
#if defined(__SANITIZE_THREAD__)
	return false;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
	return false;
#else
	return __libc_single_threaded;
#endif
#else
	return __libc_single_threaded;
#endif
}

/* [B8] Acquire here pairs with release in shmux_unlock(). */
static inline void shmux_lock(struct shmux_lock *l)
{
	uint32_t expected = 0;

	if (shmux_single_threaded())
		shmux_store_relaxed(&l->word, 1);
	else if (!__atomic_compare_exchange_n(&l->word, &expected, 1, false,
					      __ATOMIC_ACQUIRE,
					      __ATOMIC_RELAXED))
		shmux_lock_slow(l);
}

/* [B8] Release here. */
static inline void shmux_unlock(struct shmux_lock *l)
{
	if (shmux_single_threaded())
		shmux_store_relaxed(&l->word, 0);
	else if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2)
		shmux_unlock_slow(l);
}

#endif /* SHMUX_BASE_LOCK_H */
