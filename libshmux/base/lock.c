// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * lock.c - the slow halves of lock.h: waiting for the lock, waking who waits
 *
 * After U. Drepper, "Futexes Are Tricky" (2011), the three-state mutex, with a
 * short spin in front: the lock is held for less than a microsecond.
 */
#include "base/lock.h"

#include "base/futex.h"

#define SPINS 100

void shmux_lock_slow(struct shmux_lock *l)
{
	uint32_t seen;
	int i;

	/* [B8] Pairs with the release in shmux_unlock(), whoever wins. */
	for (i = 0; i < SPINS; i++) {
		seen = 0;
		if (shmux_load_relaxed(&l->word) == 0 &&
		    __atomic_compare_exchange_n(&l->word, &seen, 1, false,
						__ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return;
		shmux_relax();
	}
	/* [B8] And says that somebody sleeps. */
	while (__atomic_exchange_n(&l->word, 2, __ATOMIC_ACQUIRE) != 0)
		shmux_futex_wait(&l->word, 2, UINT64_MAX);
}

void shmux_unlock_slow(struct shmux_lock *l)
{
	shmux_futex_wake(&l->word, 1);
}
