// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * lock.c - the slow halves of lock.h: waiting for the lock, waking who waits
 *
 * After U. Drepper, "Futexes Are Tricky" (2011), the three-state mutex, with a
 * short spin in front: the lock is held for less than a microsecond.
 */
#include "base/lock.h"

#include <linux/membarrier.h>

#include "base/futex.h"

#define SPINS 100
#define SLICE UINT64_C(1000000)	/* ns */

struct shmux_lock_sleepers shmux_lock_sleepers = { .nr = 1 };

/* When the library is loaded: with one thread the kernel has nothing to wait for. */
__attribute__((constructor)) static void lock_prepare(void)
{
	int saved = errno;

	if (!SHMUX_TSAN &&
	    !syscall(SYS_membarrier,
		     MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0))
		__atomic_sub_fetch(&shmux_lock_sleepers.nr, 1,
				   __ATOMIC_RELAXED);
	errno = saved;
}

/* Each other thread passes a barrier. Interrupts the processors that run them. */
static void others_fence(void)
{
	int saved = errno;

	syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
	errno = saved;
}

/*
 * No wake-up is lost, unless that call is forbidden later, or who holds the lock
 * runs another copy of the library, with a count of its own: then a slice is lost.
 */
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
	__atomic_add_fetch(&shmux_lock_sleepers.nr, 1, __ATOMIC_RELAXED);
	/* [B14] Pairs with the looks in shmux_unlock(). */
	others_fence();
	/* [B8] And says that somebody sleeps. */
	while (__atomic_exchange_n(&l->word, 2, __ATOMIC_ACQUIRE) != 0)
		shmux_futex_wait(&l->word, 2, SLICE);
	__atomic_sub_fetch(&shmux_lock_sleepers.nr, 1, __ATOMIC_RELAXED);
}

/* [B8] Release here. */
void shmux_unlock_slow(struct shmux_lock *l)
{
	if (__atomic_exchange_n(&l->word, 0, __ATOMIC_RELEASE) == 2)
		shmux_unlock_wake(l);
}

void shmux_unlock_wake(struct shmux_lock *l)
{
	shmux_futex_wake(&l->word, 1);
}
