// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_futex.c - two shared futexes: the kernel's wake-up, both ends asleep in turn
 *
 * The payload is the four bytes of the word slept on.
 */
#include "case.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

struct word {
	_Alignas(256) _Atomic uint32_t value;
};

static void ring(struct bench_run *run, struct word *tx, uint32_t n)
{
	atomic_store_explicit(&tx->value, n, memory_order_release);
	if (syscall(SYS_futex, &tx->value, FUTEX_WAKE, 1, NULL, NULL, 0) < 0)
		bench_fail(run, "FUTEX_WAKE", errno);
}

static void await(struct bench_run *run, struct word *rx, uint32_t n)
{
	while (atomic_load_explicit(&rx->value, memory_order_acquire) != n)
		if (syscall(SYS_futex, &rx->value, FUTEX_WAIT, n - 1, NULL, NULL, 0) < 0 &&
		    errno != EAGAIN)
			bench_fail(run, "FUTEX_WAIT", errno);
}

static void near(struct bench_run *run)
{
	struct word *tx = run->shared, *rx = tx + 1;
	uint32_t n = 1;

	bench_start(run);
	do {
		ring(run, tx, n);
		await(run, rx, n++);
	} while (bench_lap(run));
}

static void far(struct bench_run *run)
{
	struct word *rx = run->shared, *tx = rx + 1;

	for (uint32_t n = 1;; n++) {
		await(run, rx, n);
		ring(run, tx, n);
	}
}

const struct bench_case bench_limit_futex[] = {
	{ "futex", "rtt", 4, "block", "copy", 0, "same", NULL, near, far },
	{ "futex", "rtt", 4, "block", "copy", 0, "split", NULL, near, far },
	{ "futex", "rtt", 4, "block", "copy", 0, "free", NULL, near, far },
	{ 0 }
};
