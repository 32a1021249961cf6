// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * busy.c - while both sides are busy there is no system call at all
 *
 * Counted twice: by the library's own counters, and by the kernel, which can be
 * told to signal a thread's system calls instead of making them (syscall user
 * dispatch).
 */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <ucontext.h>

#include "harness.h"
#include "pair.h"
#include "process.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define DISPATCH_OFF 0
#define DISPATCH_ON 1
#define ALLOW 0
#define BLOCK 1
#define SYSCALL_SIZE 2 /* of the instruction, in bytes */

#if defined(__x86_64__)
/* What the kernel looks at before each system call. */
static volatile char selector;
static volatile sig_atomic_t nr_calls;
static volatile int first_call;

/* Note the call, let all go on until the next round, and make it after all. */
static void on_call(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	(void)sig;
	selector = ALLOW;
	if (!nr_calls)
		first_call = info->si_syscall;
	nr_calls++;
	uc->uc_mcontext.gregs[REG_RIP] -= SYSCALL_SIZE;
	uc->uc_mcontext.gregs[REG_RAX] = info->si_syscall;
}

/* Return: whether the kernel can do it. */
static bool count_begin(void)
{
	struct sigaction action = { .sa_sigaction = on_call, .sa_flags = SA_SIGINFO };

	nr_calls = 0;
	selector = ALLOW;
	return !sigaction(SIGSYS, &action, NULL) &&
	       !prctl(PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_ON, 0L, 0L, &selector);
}

/* From here on the next call is counted. */
static void count_arm(void)
{
	selector = BLOCK;
}

/* Return: how often a call met an armed counter. */
static int count_end(void)
{
	selector = ALLOW;
	prctl(PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_OFF, 0L, 0L, 0L);
	if (nr_calls)
		fprintf(stderr, "# the first system call was number %d\n", first_call);
	return nr_calls;
}
#else
static bool count_begin(void)
{
	return false;
}

static void count_arm(void)
{
}

static int count_end(void)
{
	return 0;
}
#endif

/* Whether the library's calls can be counted here, and reading the clock is none. */
static bool can_count(void)
{
	/* The sanitizer's malloc makes some of its own. */
	if (process_is_sanitized() || !count_begin())
		return false;
	count_arm();
	for (int i = 0; i < 100; i++)
		shmux_now();
	return count_end() == 0;
}

FIXTURE(busy)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *near;
};

FIXTURE_VARIANT(busy)
{
	enum pair_kind kind;
};

FIXTURE_VARIANT_ADD(busy, two_processes)
{
	.kind = PAIR_TWO_PROCESSES,
};

FIXTURE_VARIANT_ADD(busy, listener)
{
	.kind = PAIR_LISTENER,
};

static int64_t side_use_second_cpu(struct side *side)
{
	(void)side;
	return process_use_cpu(1) ? 0 : SIDE_FAILED;
}

FIXTURE_SETUP(busy)
{
	const struct shmux_session_options *options =
		SESSION_OPTIONS(.spin = SHMUX_SPIN_ENDLESS);

	if (process_nr_cpus() < 2)
		SKIP_TEST("two sides that spin need a CPU each");
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, options, options));
	self->far = &self->pair.far;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	/* Where they share one, who spins yields it. */
	ASSERT_EQ(0, far_run(self->far, side_use_second_cpu));
	ASSERT_TRUE(process_use_cpu(0));
}

FIXTURE_TEARDOWN(busy)
{
	shmux_stream_close(self->near);
	if (self->pair.session)
		PAIR_TEARDOWN(&self->pair);
}

/* How long a rally may take, how many rounds warm up, the number of the last. */
#define PATIENCE (5 * SEC)
#define WARM_UP 100u
#define LAST UINT32_MAX

struct rally {
	uint32_t nr;		/* rounds */
	size_t len;
	bool counted;		/* by the kernel */
	bool zerocopy;
};

/* What happened during a rally, on one side. */
struct tally {
	int nr_calls;		/* rounds with a system call in them */
	uint64_t kicks, sleeps;
};

static bool send_one(struct shmux_stream *st, const struct rally *rally, uint32_t i, char *buf)
{
	struct shmux_span span;

	if (!rally->zerocopy) {
		memcpy(buf, &i, sizeof(i));
		return shmux_stream_write(st, buf, rally->len) == (ssize_t)rally->len;
	}
	if (shmux_stream_reserve(st, rally->len, &span, 0))
		return false;
	memcpy(span.data, &i, sizeof(i));
	return shmux_stream_submit(st, &span, rally->len, 0) == (ssize_t)rally->len;
}

/* Return: the number that came, or one that never does. */
static uint32_t recv_one(struct shmux_stream *st, const struct rally *rally, char *buf)
{
	struct iovec iov = { .iov_base = buf, .iov_len = rally->len };
	struct shmux_view view;
	uint32_t number = LAST - 1;
	size_t got = 0;

	if (!rally->zerocopy) {
		if (shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL) == (ssize_t)rally->len)
			memcpy(&number, buf, sizeof(number));
		return number;
	}
	while (got < rally->len) {
		if (shmux_stream_take(st, &view, 0) < (ssize_t)sizeof(number))
			return LAST - 1;
		if (!got)
			memcpy(&number, view.data, sizeof(number));
		got += view.len;
		shmux_stream_release(st, &view);
	}
	return number;
}

/*
 * One side of a rally. Who serves says when it is over: after so many rounds, or
 * when it has taken too long. Return: rounds after the warm-up.
 */
static int64_t play(struct shmux_stream *st, const struct rally *rally, bool serves,
		    struct tally *tally)
{
	static char buf[65536];
	struct shmux_session_counters before, after;
	uint64_t end = shmux_now() + PATIENCE;
	uint32_t i, ball = 0;

	for (i = 0; ball != LAST; i++) {
		if (i == WARM_UP && rally->counted && !count_begin())
			return SIDE_FAILED;
		if (i <= WARM_UP)
			before = session_counters(shmux_stream_session(st));
		if (i >= WARM_UP && rally->counted)
			count_arm();
		if (serves) {
			ball = i + 1 < WARM_UP + rally->nr && shmux_now() < end ? i : LAST;
			if (!send_one(st, rally, ball, buf) || recv_one(st, rally, buf) != ball)
				return SIDE_FAILED;
		} else {
			ball = recv_one(st, rally, buf);
			if ((ball != i && ball != LAST) || !send_one(st, rally, ball, buf))
				return SIDE_FAILED;
		}
	}
	tally->nr_calls = rally->counted ? count_end() : 0;
	after = session_counters(shmux_stream_session(st));
	tally->kicks = after.kicks_sent - before.kicks_sent;
	tally->sleeps = after.sleeps - before.sleeps;
	return i > WARM_UP ? i - WARM_UP : 0;
}

static int64_t side_play(struct side *side)
{
	return play(side->stream, side->in, false, side->out);
}

static void check_rally(struct __test_metadata *_metadata, FIXTURE_DATA(busy) *self,
			const struct rally *rally)
{
	struct tally near = { .nr_calls = -1 }, far = { .nr_calls = -1 };
	int64_t done;

	/* This harness runs a test even if its setup has skipped it. */
	if (!self->near)
		return;
	far_begin(self->far, side_play, rally, sizeof(*rally), sizeof(far));
	done = play(self->near, rally, true, &near);
	ASSERT_LE(0, done);
	ASSERT_EQ(done, far_finish(self->far, &far));
	EXPECT_EQ(0, near.kicks);
	EXPECT_EQ(0, far.kicks);
	EXPECT_EQ(0, near.sleeps);
	EXPECT_EQ(0, far.sleeps);
	if (done < rally->nr && _metadata->passed)
		SKIP(return, "others want the CPUs: %lld rounds took too long", (long long)done);
	/* When the other is held up for long one asks whether it lives. */
	EXPECT_GE(rally->nr / 500, (uint32_t)near.nr_calls);
	EXPECT_GE(rally->nr / 500, (uint32_t)far.nr_calls);
}

TEST_F(busy, round_trips_need_no_kick_and_no_sleep)
{
	check_rally(_metadata, self, &(struct rally){ .nr = 20000, .len = 64 });
	check_rally(_metadata, self, &(struct rally){ .nr = 5000, .len = 16384 });
}

TEST_F(busy, round_trips_need_no_system_call)
{
	if (!can_count())
		SKIP(return, "this kernel cannot tell the system calls of a thread");
	check_rally(_metadata, self, &(struct rally){ .nr = 20000, .len = 64, .counted = true });
	check_rally(_metadata, self, &(struct rally){ .nr = 5000, .len = 16384, .counted = true });
}

TEST_F(busy, zero_copy_round_trips_need_no_system_call)
{
	bool counted = can_count();
	struct rally rally = { .nr = 5000, .len = 64, .counted = counted, .zerocopy = true };

	check_rally(_metadata, self, &rally);
	rally.len = 16384;
	check_rally(_metadata, self, &rally);
}

TEST_HARNESS_MAIN
