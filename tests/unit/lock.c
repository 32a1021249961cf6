// SPDX-License-Identifier: LGPL-2.1-or-later
/* lock.c - tests of the lock by threads that hold it for long, and of who sleeps on it */
#include <errno.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"
#include "worker.h"

#include "base/lock.h"

enum { NR_THREADS = 4, ROUNDS = 20000, KEEPS = 16 };

static struct shmux_lock lock;
static uint64_t rounds;		/* under the lock */

static uint32_t nr_sleepers(void)
{
	return __atomic_load_n(&shmux_lock_sleepers.nr, __ATOMIC_RELAXED);
}

static int64_t take_and_count(void *arg)
{
	uint64_t before;

	(void)arg;
	for (unsigned int i = 0; i < ROUNDS; i++) {
		shmux_lock(&lock);
		before = rounds;
		/* The others come to want it. */
		if (!(i % KEEPS))
			sched_yield();
		rounds = before + 1;
		shmux_unlock(&lock);
	}
	return 0;
}

static void all_take_and_count(void)
{
	struct worker workers[NR_THREADS];

	rounds = 0;
	for (unsigned int i = 0; i < NR_THREADS; i++)
		worker_start(&workers[i], take_and_count, NULL);
	for (unsigned int i = 0; i < NR_THREADS; i++)
		worker_join(&workers[i]);
}

static int64_t take(void *arg)
{
	(void)arg;
	shmux_lock(&lock);
	shmux_unlock(&lock);
	return 0;
}

/* A thread that holds the lock sees another go to sleep on it. Return: by how many more. */
static int64_t keep_until_another_sleeps(void *arg)
{
	uint32_t before = nr_sleepers(), more;
	struct worker other;
	bool blocked;

	(void)arg;
	shmux_lock(&lock);
	worker_start(&other, take, NULL);
	blocked = worker_wait_blocked(&other);
	more = nr_sleepers() - before;
	shmux_unlock(&lock);
	worker_join(&other);
	return blocked ? (int64_t)more : -1;
}

/* Whether this kernel has the barrier that a plain unlock relies on. */
static bool has_barrier(void)
{
	long commands = syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0);

	return !SHMUX_TSAN && commands > 0 && (commands & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

/* From here on this process may not ask for it. */
static int forbid_barrier(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return -errno;
	return 0;
}

TEST(each_of_several_threads_has_it_alone)
{
	all_take_and_count();
	EXPECT_EQ(NR_THREADS * ROUNDS, rounds);
	EXPECT_EQ(0, lock.word);
}

TEST(unlock_is_plain_while_nobody_sleeps_where_the_kernel_has_the_barrier)
{
	EXPECT_EQ(has_barrier() ? 0 : 1, nr_sleepers());
	all_take_and_count();
	EXPECT_EQ(has_barrier() ? 0 : 1, nr_sleepers());
}

TEST(a_child_of_who_loaded_the_library_has_the_barrier)
{
	/* Each test is one. */
	EXPECT_EQ(has_barrier() ? 0 : -1,
		  syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
}

TEST(who_sleeps_is_counted_and_woken)
{
	struct worker keeper;

	worker_start(&keeper, keep_until_another_sleeps, NULL);
	EXPECT_EQ(1, worker_join(&keeper));
	EXPECT_EQ(has_barrier() ? 0 : 1, nr_sleepers());
}

TEST(a_sandbox_that_forbids_the_barrier_later_makes_it_no_less_exclusive)
{
	ASSERT_EQ(0, forbid_barrier());
	all_take_and_count();
	EXPECT_EQ(NR_THREADS * ROUNDS, rounds);
	EXPECT_EQ(0, lock.word);
}

TEST_HARNESS_MAIN
