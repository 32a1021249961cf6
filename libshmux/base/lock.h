/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lock.h - a mutex that costs a process without threads nothing
 *
 * One word: 0 free, 1 held, 2 held and somebody may sleep on it. While the
 * process has a single thread, as the C library tells, no atomic operation is
 * spent. That a thread is started or ends while the lock is held is harmless:
 * the word says the same either way.
 *
 * With threads it is one locked operation, to take it: the lock is given back by
 * a plain store while nobody in this process goes to sleep on any lock. Who does
 * says so in shmux_lock_sleepers, then has every processor that runs a thread of
 * this process pass a barrier, membarrier(2). What is then given back by who had
 * not seen it yet is seen by who looks a second time. tests/spin/lock.pml.
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

/*
 * How many threads sleep on a lock of this process, or are about to; one more
 * where the kernel has no such barrier, for ever. A child that was forked meanwhile
 * counts who slept in its parent: too many is slow, and harmless. Not a part of a
 * lock: who has given a lock back must not touch it, since it may be gone.
 */
extern struct shmux_lock_sleepers {
	_Alignas(64) uint32_t nr;
} shmux_lock_sleepers __attribute__((visibility("hidden")));

void shmux_lock_slow(struct shmux_lock *l);
void shmux_unlock_slow(struct shmux_lock *l);
void shmux_unlock_wake(struct shmux_lock *l);

/* The thread sanitizer sees neither what orders a thread's start nor membarrier(). */
#if defined(__SANITIZE_THREAD__)
#define SHMUX_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHMUX_TSAN 1
#endif
#endif
#ifndef SHMUX_TSAN
#define SHMUX_TSAN 0
#endif

/* True while no other thread of this process can run. */
static inline bool shmux_single_threaded(void)
{
	return !SHMUX_TSAN && __libc_single_threaded;
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

/* Drop it. */
static inline void shmux_unlock(struct shmux_lock *l)
{
	if (shmux_single_threaded()) {
		shmux_store_relaxed(&l->word, 0);
	} else if (shmux_load_relaxed(&shmux_lock_sleepers.nr)) {
		shmux_unlock_slow(l);
	} else {
		shmux_store_release(&l->word, 0);	/* [B8] */
		/* [B14] For the compiler; of who sleeps, the processor's. */
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (shmux_load_relaxed(&shmux_lock_sleepers.nr))
			shmux_unlock_wake(l);
	}
}

#endif /* SHMUX_BASE_LOCK_H */
