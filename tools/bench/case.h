/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * case.h - what a benchmark case is, and what every case does alike
 *
 * A case is measured in two processes of its own, @near and @far, forked by
 * the driver (measure.c) for each slice and killed by it afterwards: @far
 * serves for ever, @near measures until its time is up. The driver only waits.
 *
 * What is included in every figure of every system, limits too:
 *  - The sender writes every payload byte (bench_fill(), a value that changes
 *    with each message) and the receiver reads every one (bench_check(),
 *    which sums 64-bit words and stops the run if the sum is wrong).
 *  - Where the path copies, the sender fills a buffer of its own and the
 *    system copies out of it; the receiver reads the buffer the system copied
 *    into. Where it does not, both work in place.
 *  - A round trip is: fill, send, receive, check, fill, send, receive, check.
 *    Each is one sample, taken from one reading of the clock to the next;
 *    nothing is subtracted.
 *  - A sample is two messages: the one that asked, the one that answered. What was
 *    used of the machine is told a message, and is that of both ends, between the
 *    first and the last reading of the clock.
 *  - One way, @near receives. Only what it received between two readings of
 *    its own clock, with @far sending at full speed throughout, is counted.
 */
#ifndef SHMUX_BENCH_CASE_H
#define SHMUX_BENCH_CASE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

/* A row of a table names what it has, and leaves out what it has not. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

struct bench_run;

/* The shortest run that has a row. */
enum bench_level {
	BENCH_QUICK,		/* under a minute */
	BENCH_USUAL,		/* about five */
	BENCH_FULL,		/* every cell */
};

/*
 * A row of the JSON file, and how to measure it. Absent values are 0, NULL.
 * The keys of a row, by which it is found, are all but its functions, its level
 * and its slice.
 */
struct bench_case {
	const char *system;
	const char *test;
	size_t bytes;
	const char *wait;
	const char *path;
	unsigned int batch;
	const char *placement;	/* split: two CPUs; same: one; free: not pinned */

	/* In the driver, before the fork: 0 or -errno. May be NULL. */
	int (*setup)(struct bench_run *run);
	void (*near)(struct bench_run *run);
	void (*far)(struct bench_run *run);

	enum bench_level level;
	float slice;		/* seconds it takes at least, to have some dozens of samples */

	/* How many at once; 0 where there is but one. */
	unsigned int streams, sessions, threads;
	unsigned int depth;	/* messages under way */
};

/* Whether @bc is of many streams or the like at once. */
static inline bool bench_many(const struct bench_case *bc)
{
	return bc->streams || bc->sessions || bc->threads || bc->depth;
}

/* Rows that can be measured, or cannot, together. */
struct bench_table {
	const struct bench_case *cases;	/* the last one's @system is NULL */

	/*
	 * Return: NULL, or why the rows are absent here, and what to install: half
	 * a sentence. May be NULL: they never are. What is decided by the compiler
	 * has its rows nevertheless, without functions.
	 */
	const char *(*absent)(void);
};

/* Each ends with a case whose @system is NULL. */
extern const struct bench_case bench_limit_cacheline[];
extern const struct bench_case bench_limit_ring_small[];
extern const struct bench_case bench_limit_ring_copy[];
extern const struct bench_case bench_limit_ring_oneway[];
extern const struct bench_case bench_limit_record[];
extern const struct bench_case bench_limit_stream[];
extern const struct bench_case bench_limit_eventfd[];
extern const struct bench_case bench_limit_futex[];
extern const struct bench_case bench_limit_pipe[];
extern const struct bench_case bench_peer_af_unix[];
extern const struct bench_case bench_peer_seqpacket[];
extern const struct bench_case bench_peer_tcp[];
extern const struct bench_case bench_peer_shm[];
extern const struct bench_case bench_peer_mq[];
extern const struct bench_case bench_peer_mq_large[];
extern const struct bench_case bench_peer_zeromq[];
extern const struct bench_case bench_peer_nng[];
extern const struct bench_case bench_peer_mass[];
extern const struct bench_case bench_peer_go_yamux[];
extern const struct bench_case bench_peer_go_smux[];
extern const struct bench_case bench_shmux_rtt[];
extern const struct bench_case bench_shmux_oneway[];
extern const struct bench_case bench_shmux_churn[];
extern const struct bench_case bench_shmux_stalled[];
extern const struct bench_case bench_shmux_streams[];
extern const struct bench_case bench_shmux_sessions[];
extern const struct bench_case bench_shmux_sessions_many[];
extern const struct bench_case bench_shmux_sessions_most[];
extern const struct bench_case bench_shmux_threads[];
extern const struct bench_case bench_shmux_slow[];
extern const struct bench_case bench_shmux_flood[];
extern const struct bench_case bench_shmux_mass[];
extern const struct bench_case bench_shmux_open[];
extern const struct bench_case bench_shmux_dial[];

/* The suite "yamux": the same over a plain socketpair, by our yamux, by Go's. */
extern const struct bench_case bench_yamux_floor[];
extern const struct bench_case bench_yamux_rtt[];
extern const struct bench_case bench_yamux_churn[];
extern const struct bench_case bench_yamux_oneway[];
extern const struct bench_case bench_yamux_go[];

/* Not a row: one that exchanges a few messages and then waits for ever. */
extern const struct bench_case bench_shmux_idle;

enum {
	BENCH_NR_FDS = 4,
	BENCH_SHARED = 64 << 20,		/* bytes at bench_run.shared */
	BENCH_MAX_SAMPLES = 1 << 20,
};

enum bench_end { BENCH_NEAR, BENCH_FAR, BENCH_NR_ENDS };

/* What the ends have used of the machine until some moment. */
struct bench_usage {
	double cpu[BENCH_NR_ENDS];	/* seconds */
	double sleeps;			/* voluntary context switches, of both */
	double kicks;			/* what @kicks of the run counts */
};

/* One slice of one case; lies in memory that all three processes share. */
struct bench_run {
	const struct bench_case *bc;
	pid_t pids[BENCH_NR_ENDS];	/* whose usage counts */

	void *shared;			/* zeroed anew for each slice */
	int fds[BENCH_NR_FDS];		/* setup's; -1 if unused; closed by the driver */

	double ticks_per_ns;
	uint64_t warm, slice;		/* ticks to run before and while measuring */
	uint64_t from, until;		/* @near's clock: measuring begins, will end */
	uint64_t last;			/* @near's clock: last reading */

	uint64_t nr_messages;		/* received between @from and @last */
	uint32_t per_sample;		/* round trips that each sample is of, at first one */
	uint32_t nr_samples;
	uint32_t *samples;		/* ticks, by @per_sample */

	_Atomic uint32_t begun, ended;	/* @near: the time that is measured */
	struct bench_usage before, after;
	/*
	 * In @near: doorbells of shared-memory sessions, those that it has sent and
	 * those that have woken it. NULL where there are none.
	 */
	uint64_t (*kicks)(void);

	bool traced;			/* its system calls are counted */
	_Atomic uint32_t done;		/* what an end suffers from now on is no failure */
	_Atomic uint32_t settled;	/* idle: set when nothing more will be said */
	uint64_t stalled_bytes;		/* stalled-rtt: what the stalled stream took */
	uint64_t idle_bytes;		/* open: what the streams take at both ends */
	uint64_t peak_bytes;		/* resident at once until the end, summed over both */
	char failure[160];
};

/* Ends the calling end's process; the driver prints @what and the errno's name. */
void bench_fail(struct bench_run *run, const char *what, int error) __attribute__((noreturn));

/* Room for @bytes, on pages of its own; the process's until it ends. Fails the run. */
void *bench_buffer(struct bench_run *run, size_t bytes);

/* A clock that costs little. The driver calibrates it. */
static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_ia32_rdtsc();
#else
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
#endif
}

/* A payload may lie anywhere: some libraries hand out what they received where it came. */
typedef uint64_t bench_vector_t __attribute__((vector_size(16), aligned(1), may_alias));
typedef uint64_t bench_half_t __attribute__((aligned(1), may_alias));

/* The 64-bit word that message @seq consists of. */
static inline uint64_t bench_word(uint64_t seq)
{
	return (seq & 0xff) * 0x0101010101010101ull;
}

/* Writes every byte. @len is a multiple of 8. */
static inline void bench_fill(void *buf, size_t len, uint64_t seq)
{
	bench_vector_t *v = buf, value = { bench_word(seq), bench_word(seq) };

	if (len > 512) {
		memset(buf, seq & 0xff, len);
		return;
	}
	for (size_t i = 0; i < len / sizeof(*v); i++)
		v[i] = value;
	if (len % sizeof(*v))
		*(bench_half_t *)(v + len / sizeof(*v)) = value[0];
}

/* Reads every byte. @len is a multiple of 8. */
static inline uint64_t bench_sum(const void *buf, size_t len)
{
	const bench_vector_t *v = buf;
	bench_vector_t a = { 0 }, b = { 0 }, c = { 0 }, d = { 0 };
	size_t n = len / sizeof(*v);

	for (size_t i = 0; i + 4 <= n; i += 4) {
		a += v[i];
		b += v[i + 1];
		c += v[i + 2];
		d += v[i + 3];
	}
	for (size_t left = n % 4; left; left--)
		a += v[n - left];
	if (len % sizeof(*v))
		a[0] += *(const bench_half_t *)(v + n);
	a += b + c + d;
	return a[0] + a[1];
}

/* Reads every byte, and ends the run unless it is message @seq. */
static inline void bench_check(struct bench_run *run, const void *buf, size_t len, uint64_t seq)
{
	if (__builtin_expect(bench_sum(buf, len) != bench_word(seq) * (len / 8), 0))
		bench_fail(run, "the payload that arrived is not the one that was sent", 0);
}

/* Between two looks at a line that the other core will write to. */
static inline void bench_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ __volatile__("yield" ::: "memory");
#endif
}

/* Call once, when both ends are ready to run at full speed. */
static inline void bench_start(struct bench_run *run)
{
	run->last = bench_ticks();
	run->from = run->last + run->warm;
}

/* The warm-up is over, and what is measured begins; it has ended. See usage.c. */
void bench_begin(struct bench_run *run);
void bench_end(struct bench_run *run);

/* Call after each round trip. Return: whether to go on. */
static inline bool bench_lap(struct bench_run *run)
{
	uint64_t now = bench_ticks(), took = now - run->last;
	bool warm = run->last >= run->from;

	run->last = now;
	if (!warm) {
		if (now >= run->from)
			bench_begin(run);
		return true;
	}
	if (__builtin_expect(run->per_sample > 1, 0))
		took /= run->per_sample;
	run->samples[run->nr_samples++] = took < UINT32_MAX ? took : UINT32_MAX;
	if (__builtin_expect(now < run->until && run->nr_samples < BENCH_MAX_SAMPLES, 1))
		return true;
	bench_end(run);
	return false;
}

/* Call after each @nr messages received one way. Return: whether to go on. */
static inline bool bench_took(struct bench_run *run, unsigned int nr)
{
	uint64_t now = bench_ticks();
	bool warm = run->last >= run->from;

	run->last = now;
	if (!warm) {
		if (now >= run->from)
			bench_begin(run);
		return true;
	}
	run->nr_messages += nr;
	if (__builtin_expect(now < run->until || !run->nr_messages, 1))
		return true;
	bench_end(run);
	return false;
}

#endif
