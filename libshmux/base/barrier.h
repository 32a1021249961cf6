/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * barrier.h - loads and stores of words that another thread or process shares
 *
 * Each use names its partner in a comment, and its number in BARRIERS.md, where it
 * is argued why it is enough. Nothing here is wider than 32 bits:
 * a 64-bit atomic load faults on read-only pages on 32-bit x86.
 */
#ifndef SHMUX_BASE_BARRIER_H
#define SHMUX_BASE_BARRIER_H

#include <stdint.h>

static inline uint32_t shmux_load_relaxed(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline uint32_t shmux_load_acquire(const uint32_t *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void shmux_store_relaxed(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELAXED);
}

static inline void shmux_store_release(uint32_t *p, uint32_t v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

/*
 * Orders every load and store before it with every one after it. On x86 a
 * locked add to the stack does so in half the time of mfence; elsewhere, and
 * where the sanitizer must see it, the compiler's own.
 */
static inline void shmux_fence(void)
{
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
	__asm__ __volatile__("lock; addl $0, -4(%%rsp)" ::: "memory", "cc");
#elif defined(__i386__) && !defined(__SANITIZE_THREAD__)
	__asm__ __volatile__("lock; addl $0, -4(%%esp)" ::: "memory", "cc");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Tell the CPU that we spin. */
static inline void shmux_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

/* Of those below, with a look each, roughly. */
#if defined(__x86_64__)
#define SHMUX_AWAITS_PER_US 192u
#else
#define SHMUX_AWAITS_PER_US 768u
#endif

/*
 * Between two looks at a word that another core will store to. A processor that
 * looks ahead has dozens of them under way, which it has to undo when the line goes:
 * 64 bytes there and back take 180 ns so, 166 with shmux_relax() and 140 with
 * this (AMD, cores that share an L3).
 */
static inline void shmux_await(void)
{
#if defined(__x86_64__)
	__asm__ __volatile__("lfence" ::: "memory");
#else
	shmux_relax();
#endif
}

#endif /* SHMUX_BASE_BARRIER_H */
