// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * kick.c - kicks: WAIT, poll and eventfds tell of every one, and of the end
 */
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/utsname.h>

#include "device.h"
#include "effort.h"
#include "pattern.h"
#include "process.h"
#include "worker.h"

#define ROUNDS 200
#define MANY 4

FIXTURE(kick)
{
	struct ends ends;
	int near, far;
};

FIXTURE_SETUP(kick)
{
	ASSERT_EQ(0, ends_open(&self->ends));
	self->near = self->ends.near;
	self->far = self->ends.far;
}

FIXTURE_TEARDOWN(kick)
{
	ends_close(&self->ends);
}

/* A thread in WAIT. */
struct waiter {
	struct worker worker;
	int fd;
	uint32_t flags, seen;
	uint64_t timeout;
};

static int64_t wait_job(void *arg)
{
	struct waiter *w = arg;
	struct shmux_ioc_wait wait =
		ARG(wait, .flags = w->flags, .seen = w->seen, .timeout = w->timeout);
	int err = request(w->fd, SHMUX_IOC_WAIT, &wait);

	err = in_time(err, w->timeout, wait.timeout);
	w->seen = wait.kicks;
	w->timeout = wait.timeout;
	return err;
}

static void waiter_start(struct waiter *w, int fd, uint32_t seen)
{
	*w = (struct waiter){ .fd = fd, .seen = seen, .timeout = HANGS };
	worker_start(&w->worker, wait_job, w);
}

/* Return: what WAIT returned. */
static int waiter_end(struct waiter *w)
{
	return (int)worker_join(&w->worker);
}

/* What has come of an eventfd, which then is zero. */
static uint64_t drain(int eventfd)
{
	uint64_t value = 0;

	return read(eventfd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static int eventfd_new(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* --- WAIT ------------------------------------------------------------------------ */

TEST_F(kick, wakes_the_other_end)
{
	struct waiter w;

	waiter_start(&w, self->near, 0);
	ASSERT_TRUE(worker_wait_blocked(&w.worker));

	ASSERT_EQ(0, end_kick(self->far));

	EXPECT_EQ(0, waiter_end(&w));
	EXPECT_EQ(1, w.seen);
}

TEST_F(kick, that_falls_before_the_wait_is_told)
{
	uint32_t seen = 0;

	ASSERT_EQ(0, end_kick(self->far));

	EXPECT_EQ(0, end_wait(self->near, &seen, HANGS));
	EXPECT_EQ(1, seen);
	EXPECT_EQ(-EAGAIN, end_wait(self->near, &seen, NO_WAIT));
	EXPECT_EQ(1, seen);
}

TEST_F(kick, several_are_told_as_one_by_their_number)
{
	uint32_t seen = 0;

	for (int i = 0; i < 5; i++)
		ASSERT_EQ(0, end_kick(self->far));

	EXPECT_EQ(0, end_wait(self->near, &seen, NO_WAIT));
	EXPECT_EQ(5, seen);
}

TEST_F(kick, is_told_to_everybody_who_has_not_seen_it)
{
	uint32_t one = 0, other = 0;

	ASSERT_EQ(0, end_kick(self->far));

	EXPECT_EQ(0, end_wait(self->near, &one, NO_WAIT));
	EXPECT_EQ(0, end_wait(self->near, &other, NO_WAIT));
	EXPECT_EQ(1, one);
	EXPECT_EQ(1, other);
}

TEST_F(kick, wait_returns_for_any_count_but_the_one_seen)
{
	uint32_t seen = UINT32_MAX;

	EXPECT_EQ(0, end_wait(self->near, &seen, HANGS));
	EXPECT_EQ(0, seen);
}

TEST_F(kick, wakes_every_thread_that_waits)
{
	struct waiter w[MANY];

	for (int i = 0; i < MANY; i++) {
		waiter_start(&w[i], self->near, 0);
		ASSERT_TRUE(worker_wait_blocked(&w[i].worker));
	}

	ASSERT_EQ(0, end_kick(self->far));

	for (int i = 0; i < MANY; i++) {
		EXPECT_EQ(0, waiter_end(&w[i]));
		EXPECT_EQ(1, w[i].seen);
	}
}

TEST_F(kick, of_ones_own_end_wakes_a_thread_of_ours_and_nobody_else)
{
	struct waiter near, far;
	uint32_t seen = 0;

	waiter_start(&near, self->near, 0);
	waiter_start(&far, self->far, 0);
	ASSERT_TRUE(worker_wait_blocked(&near.worker));
	ASSERT_TRUE(worker_wait_blocked(&far.worker));

	ASSERT_EQ(0, end_kick_self(self->near));

	EXPECT_EQ(0, waiter_end(&near));
	EXPECT_EQ(1, near.seen);
	EXPECT_FALSE(worker_is_done(&far.worker));
	EXPECT_EQ(-EAGAIN, end_wait(self->far, &seen, NO_WAIT));
	EXPECT_EQ(0, seen);
	ASSERT_EQ(0, end_kick(self->near));
	EXPECT_EQ(0, waiter_end(&far));
}

TEST_F(kick, is_not_the_kickers_own)
{
	uint32_t seen = 0;

	ASSERT_EQ(0, end_kick(self->near));

	EXPECT_EQ(-EAGAIN, end_wait(self->near, &seen, NO_WAIT));
	EXPECT_EQ(0, seen);
}

TEST(kick_needs_no_region)
{
	struct ends ends;
	uint32_t seen = 0;

	ASSERT_EQ(0, ends_pair(&ends));
	ASSERT_EQ(0, end_kick(ends.far));
	EXPECT_EQ(0, end_wait(ends.near, &seen, NO_WAIT));
	EXPECT_EQ(1, seen);
	ends_close(&ends);
}

TEST(kick_of_the_acceptor_reaches_a_connector_that_waits_in_the_queue)
{
	const char *name = name_new();
	int listener = listener_new(name), end = end_new_queued(name, NO_WAIT), far;
	struct waiter w;

	waiter_start(&w, end, 0);
	ASSERT_TRUE(worker_wait_blocked(&w.worker));
	far = listener_accept(listener, NO_WAIT);
	ASSERT_LE(0, far);

	ASSERT_EQ(0, end_kick(far));

	EXPECT_EQ(0, waiter_end(&w));
	EXPECT_EQ(1, w.seen);
	close(far);
	close(end);
	close(listener);
}

/* --- the time ---------------------------------------------------------------------- */

TEST_F(kick, wait_ends_when_its_time_is_over)
{
	struct waiter w = { .fd = self->near, .timeout = A_WHILE };
	uint64_t begin = shmux_now();

	EXPECT_EQ(-ETIMEDOUT, wait_job(&w));

	EXPECT_LE(A_WHILE, shmux_now() - begin);
	EXPECT_EQ(0, w.timeout);
	EXPECT_EQ(0, w.seen);
}

TEST_F(kick, what_is_left_of_the_time_is_told)
{
	struct waiter w;

	waiter_start(&w, self->near, 0);
	ASSERT_TRUE(worker_wait_blocked(&w.worker));
	ASSERT_EQ(0, end_kick(self->far));
	ASSERT_EQ(0, waiter_end(&w));

	EXPECT_GT(HANGS, w.timeout);
	EXPECT_LT(0, w.timeout);
}

TEST_F(kick, time_that_is_too_long_for_a_clock_does_not_run_out)
{
	const uint64_t times[] = { SHMUX_FOREVER, SHMUX_FOREVER - 1, INT64_MAX, 1ULL << 63 };

	for (int i = 0; i < 4; i++) {
		struct waiter w = { .fd = self->near, .seen = i, .timeout = times[i] };

		worker_start(&w.worker, wait_job, &w);
		EXPECT_TRUE(worker_wait_blocked(&w.worker));
		ASSERT_EQ(0, end_kick(self->far));
		EXPECT_EQ(0, waiter_end(&w));
	}
}

TEST_F(kick, wait_takes_as_long_in_a_time_namespace)
{
	struct child c;

	if (child_fork(&c)) {
		int fd;

		if (unshare(CLONE_NEWTIME))
			_exit(4);
		fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
		must(write(fd, "monotonic 100000 0", 18) == 18);
		if (!fork()) {
			struct waiter w = { .fd = self->near, .timeout = A_WHILE };
			uint64_t begin = shmux_now();

			must(begin > 100000 * SEC);
			must(wait_job(&w) == -ETIMEDOUT);
			must(shmux_now() - begin >= A_WHILE);
			child_say(&c, 'w');
			w.timeout = HANGS;
			must(!wait_job(&w));
			must(w.timeout && w.timeout < HANGS);
			child_say(&c, 'k');
			_exit(0);
		}
		child_hear(&c);
		_exit(0);
	}
	if (child_hear(&c) != 'w') {
		ASSERT_EQ(4, child_end(&c));
		SKIP(return, "may not make a time namespace");
	}
	ASSERT_EQ(0, end_kick(self->far));
	EXPECT_EQ('k', child_hear(&c));
	child_say(&c, 'x');
	EXPECT_EQ(0, child_end(&c));
}

static void interrupt(struct __test_metadata *_metadata, FIXTURE_DATA(kick) * self,
		      uint64_t timeout, int flags)
{
	struct waiter w = { .fd = self->near, .timeout = timeout };

	worker_start(&w.worker, wait_job, &w);
	ASSERT_TRUE(worker_wait_blocked(&w.worker));
	worker_interrupt(&w.worker, flags);
	EXPECT_EQ(-EINTR, waiter_end(&w));
	EXPECT_EQ(0, w.seen);
	if (timeout == SHMUX_FOREVER) {
		EXPECT_EQ(SHMUX_FOREVER, w.timeout);
	} else {
		EXPECT_GT(timeout, w.timeout);
		EXPECT_LT(0, w.timeout);
	}

	/* Made again as it is, it goes on. */
	worker_start(&w.worker, wait_job, &w);
	ASSERT_TRUE(worker_wait_blocked(&w.worker));
	ASSERT_EQ(0, end_kick(self->far));
	EXPECT_EQ(0, waiter_end(&w));
	EXPECT_EQ(1, w.seen);
}

TEST_F(kick, wait_that_a_signal_ends_can_be_made_again)
{
	interrupt(_metadata, self, HANGS, 0);
}

TEST_F(kick, wait_that_a_restarting_signal_ends_can_be_made_again)
{
	interrupt(_metadata, self, HANGS, SA_RESTART);
}

TEST_F(kick, wait_for_ever_that_a_signal_ends_is_still_for_ever)
{
	interrupt(_metadata, self, SHMUX_FOREVER, 0);
}

/* --- kick and wait in one ------------------------------------------------------------ */

/* Answer each kick with one, the last one without waiting for another. */
static int64_t answer_job(void *arg)
{
	struct waiter *w = arg;
	int err = end_wait(w->fd, &w->seen, HANGS);

	for (int i = 1; i < ROUNDS && !err; i++)
		err = end_wait_flags(w->fd, SHMUX_WAIT_KICK, &w->seen, HANGS);
	return err ? err : end_kick(w->fd);
}

TEST_F(kick, round_trips_take_one_system_call_a_side)
{
	struct waiter far = { .fd = self->far };
	uint32_t seen = 0;

	worker_start(&far.worker, answer_job, &far);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, end_wait_flags(self->near, SHMUX_WAIT_KICK, &seen, HANGS));
		ASSERT_EQ(i + 1, seen);
	}

	EXPECT_EQ(0, waiter_end(&far));
	EXPECT_EQ(ROUNDS, far.seen);
	EXPECT_EQ(-EAGAIN, end_wait(self->near, &seen, NO_WAIT));
	EXPECT_EQ(-EAGAIN, end_wait(self->far, &far.seen, NO_WAIT));
	EXPECT_EQ(ROUNDS, seen);
	EXPECT_EQ(ROUNDS, far.seen);
}

TEST_F(kick, with_the_wait_is_given_though_there_is_nothing_to_wait_for)
{
	uint32_t near = 0, far = 0;

	ASSERT_EQ(0, end_kick(self->far));

	EXPECT_EQ(0, end_wait_flags(self->near, SHMUX_WAIT_KICK, &near, NO_WAIT));
	EXPECT_EQ(0, end_wait(self->far, &far, NO_WAIT));
	EXPECT_EQ(1, far);
}

TEST_F(kick, with_the_wait_is_given_once_though_the_time_runs_out)
{
	uint32_t near = 0, far = 0;

	EXPECT_EQ(-ETIMEDOUT, end_wait_flags(self->near, SHMUX_WAIT_KICK, &near, A_WHILE));
	EXPECT_EQ(-EAGAIN, end_wait_flags(self->near, SHMUX_WAIT_KICK, &near, NO_WAIT));

	EXPECT_EQ(0, end_wait(self->far, &far, NO_WAIT));
	EXPECT_EQ(2, far);
}

/* --- none is lost --------------------------------------------------------------------- */

#define KICKS 2000

static int64_t kick_job(void *arg)
{
	struct waiter *w = arg;
	int err = 0;

	for (int i = 0; i < KICKS && !err; i++)
		err = end_kick(w->fd);
	return err;
}

/* Wait until all the kicks have been told. */
static int64_t count_job(void *arg)
{
	struct waiter *w = arg;
	int err = 0;

	while (w->seen != 2 * KICKS && !err)
		err = end_wait(w->fd, &w->seen, HANGS);
	return err;
}

TEST_F(kick, none_is_lost_however_many_kick_and_wait)
{
	struct waiter kickers[2], waiters[2];

	for (int i = 0; i < 2; i++) {
		waiters[i] = (struct waiter){ .fd = self->near };
		worker_start(&waiters[i].worker, count_job, &waiters[i]);
	}
	for (int i = 0; i < 2; i++) {
		kickers[i] = (struct waiter){ .fd = self->far };
		worker_start(&kickers[i].worker, kick_job, &kickers[i]);
	}

	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(0, waiter_end(&kickers[i]));
		EXPECT_EQ(0, waiter_end(&waiters[i]));
		EXPECT_EQ(2 * KICKS, waiters[i].seen);
	}
}

struct producer {
	struct worker worker;
	int fd;
	uint32_t *word;
	uint64_t random;
};

/* Say one more, kick; now and then stop until the other side must be asleep. */
static int64_t produce_job(void *arg)
{
	struct producer *p = arg;
	int err = 0;

	for (uint32_t i = 1; i <= KICKS && !err; i++) {
		__atomic_store_n(p->word, i, __ATOMIC_RELEASE);
		err = end_kick(p->fd);
		if (random_between(&p->random, 0, 15) == 0)
			sched_yield();
	}
	return err;
}

TEST_F(kick, what_was_written_before_it_is_seen_after_it)
{
	struct producer p = { .fd = self->far,
			      .word = region_map_own(self->far, PAGE),
			      .random = effort_seed() };
	uint32_t *word = region_map_peer(self->near, PAGE), seen = 0;

	ASSERT_NE(MAP_FAILED, (void *)p.word);
	ASSERT_NE(MAP_FAILED, (void *)word);
	worker_start(&p.worker, produce_job, &p);

	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) != KICKS) {
		ASSERT_EQ(0, end_wait(self->near, &seen, HANGS));
		ASSERT_LE(seen, __atomic_load_n(word, __ATOMIC_ACQUIRE));
	}

	EXPECT_EQ(0, worker_join(&p.worker));
	munmap(p.word, PAGE);
	munmap(word, PAGE);
}

/* --- poll ------------------------------------------------------------------------------ */

#define HUP (POLLHUP | POLLRDHUP)

TEST(kick_is_not_to_be_polled_for_before_a_file_is_anything)
{
	int fd = device_open();

	EXPECT_EQ(POLLERR, file_polls(fd, POLLIN | POLLOUT));
	ASSERT_EQ(0, end_create(fd));
	EXPECT_EQ(0, file_polls(fd, POLLIN | POLLOUT));
	close(fd);
}

TEST_F(kick, is_polled_until_a_wait_tells_it)
{
	uint32_t seen = 0;

	EXPECT_EQ(0, file_polls(self->near, POLLIN | HUP));
	ASSERT_EQ(0, end_kick(self->far));
	EXPECT_EQ(POLLIN, file_polls(self->near, POLLIN | HUP));
	EXPECT_EQ(POLLIN, file_polls(self->near, POLLIN | HUP));

	ASSERT_EQ(0, end_wait(self->near, &seen, NO_WAIT));

	EXPECT_EQ(0, file_polls(self->near, POLLIN | HUP));
	ASSERT_EQ(0, end_kick(self->far));
	EXPECT_EQ(POLLIN, file_polls(self->near, POLLIN | HUP));
}

TEST_F(kick, that_a_wait_in_vain_has_told_is_polled_no_more)
{
	uint32_t seen = 1;

	ASSERT_EQ(0, end_kick(self->far));
	ASSERT_EQ(-EAGAIN, end_wait(self->near, &seen, NO_WAIT));

	EXPECT_EQ(0, file_polls(self->near, POLLIN));
}

TEST_F(kick, of_ones_own_end_is_polled)
{
	ASSERT_EQ(0, end_kick_self(self->near));

	EXPECT_EQ(POLLIN, file_polls(self->near, POLLIN));
	EXPECT_EQ(0, file_polls(self->far, POLLIN));
}

static int64_t poll_job(void *arg)
{
	struct waiter *w = arg;

	return file_await(w->fd, w->flags);
}

TEST_F(kick, wakes_who_polls)
{
	struct waiter w = { .fd = self->near, .flags = POLLIN };

	worker_start(&w.worker, poll_job, &w);
	ASSERT_TRUE(worker_wait_blocked(&w.worker));

	ASSERT_EQ(0, end_kick(self->far));

	EXPECT_EQ(POLLIN, waiter_end(&w));
}

TEST_F(kick, wakes_an_edge_triggered_epoll_each_time)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->near, &event));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, end_kick(self->far));
		EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 0));
		EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	}
	close(epoll);
}

TEST_F(kick, end_is_polled_for_ever)
{
	uint32_t seen = 0;

	EXPECT_EQ(0, file_polls(self->near, POLLIN | HUP));
	ASSERT_EQ(0, file_hang_up(self->far));

	EXPECT_EQ(POLLIN | HUP, file_polls(self->near, POLLIN | HUP));
	EXPECT_EQ(-ECONNRESET, end_wait(self->near, &seen, HANGS));
	EXPECT_EQ(POLLIN | HUP, file_polls(self->near, POLLIN | HUP));
}

TEST_F(kick, end_wakes_who_polls_for_nothing)
{
	struct waiter w = { .fd = self->near };

	worker_start(&w.worker, poll_job, &w);
	ASSERT_TRUE(worker_wait_blocked(&w.worker));

	ASSERT_EQ(0, file_hang_up(self->far));

	EXPECT_EQ(POLLHUP, waiter_end(&w));
}

/* --- the end ----------------------------------------------------------------------------- */

TEST_F(kick, end_wakes_who_waits)
{
	struct waiter w[2];

	for (int i = 0; i < 2; i++) {
		waiter_start(&w[i], self->near, 0);
		ASSERT_TRUE(worker_wait_blocked(&w[i].worker));
	}

	ASSERT_EQ(0, file_hang_up(self->far));

	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(-ECONNRESET, waiter_end(&w[i]));
		EXPECT_EQ(0, w[i].seen);
	}
}

TEST_F(kick, that_came_before_the_end_is_told_before_it)
{
	uint32_t seen = 0;

	ASSERT_EQ(0, end_kick(self->far));
	ASSERT_EQ(0, file_hang_up(self->far));

	EXPECT_EQ(0, end_wait(self->near, &seen, HANGS));
	EXPECT_EQ(1, seen);
	EXPECT_EQ(-ECONNRESET, end_wait(self->near, &seen, HANGS));
	EXPECT_EQ(1, seen);
	EXPECT_EQ(-ECONNRESET, end_wait(self->near, &seen, NO_WAIT));
}

TEST_F(kick, of_the_dead_is_refused)
{
	uint32_t seen = 0;

	ASSERT_EQ(0, file_hang_up(self->far));

	EXPECT_EQ(-ECONNRESET, end_kick(self->near));
	EXPECT_EQ(-ECONNRESET, end_wait_flags(self->near, SHMUX_WAIT_KICK, &seen, HANGS));
}

/* --- eventfds ------------------------------------------------------------------------------ */

TEST_F(kick, is_signalled_to_the_eventfd)
{
	int efd = eventfd_new();

	ASSERT_EQ(0, end_eventfd(self->near, efd));
	EXPECT_EQ(0, drain(efd));

	ASSERT_EQ(0, end_kick(self->far));
	EXPECT_EQ(1, drain(efd));
	ASSERT_EQ(0, end_kick(self->far));
	ASSERT_EQ(0, end_kick_self(self->near));
	EXPECT_EQ(2, drain(efd));
	ASSERT_EQ(0, end_kick(self->near));
	EXPECT_EQ(0, drain(efd));
	close(efd);
}

TEST_F(kick, many_ends_have_one_eventfd)
{
	struct ends ends;
	int efd = eventfd_new();

	ASSERT_EQ(0, ends_open(&ends));
	ASSERT_EQ(0, end_eventfd(self->near, efd));
	ASSERT_EQ(0, end_eventfd(ends.near, efd));

	ASSERT_EQ(0, end_kick(self->far));
	ASSERT_EQ(0, end_kick(ends.far));

	EXPECT_EQ(2, drain(efd));
	ends_close(&ends);
	close(efd);
}

TEST_F(kick, that_no_wait_has_told_is_signalled_to_a_new_eventfd)
{
	int efd = eventfd_new();
	uint32_t seen = 0;

	ASSERT_EQ(0, end_kick(self->far));
	ASSERT_EQ(0, end_eventfd(self->near, efd));
	EXPECT_LT(0, drain(efd));

	ASSERT_EQ(0, end_wait(self->near, &seen, NO_WAIT));
	ASSERT_EQ(0, end_eventfd(self->near, efd));
	EXPECT_EQ(0, drain(efd));
	close(efd);
}

TEST_F(kick, is_signalled_to_the_newest_eventfd_alone)
{
	int old = eventfd_new(), new = eventfd_new();

	ASSERT_EQ(0, end_eventfd(self->near, old));
	ASSERT_EQ(0, end_eventfd(self->near, new));
	ASSERT_EQ(0, end_kick(self->far));
	EXPECT_EQ(0, drain(old));
	EXPECT_EQ(1, drain(new));

	ASSERT_EQ(0, end_eventfd(self->near, -1));
	ASSERT_EQ(0, end_kick(self->far));
	EXPECT_EQ(0, drain(new));
	close(old);
	close(new);
}

TEST_F(kick, does_not_wait_for_an_eventfd_that_is_full)
{
	int efd = eventfd(0, EFD_CLOEXEC);
	uint64_t full = UINT64_MAX - 1;
	uint32_t seen = 0;

	ASSERT_EQ(8, write(efd, &full, sizeof(full)));
	ASSERT_EQ(0, end_eventfd(self->near, efd));

	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, end_kick(self->far));

	EXPECT_EQ(0, end_wait(self->near, &seen, NO_WAIT));
	EXPECT_EQ(3, seen);
	close(efd);
}

TEST_F(kick, eventfd_that_everybody_has_closed_does_no_harm)
{
	int efd = eventfd_new();
	uint32_t seen = 0;

	ASSERT_EQ(0, end_eventfd(self->near, efd));
	close(efd);

	EXPECT_EQ(0, end_kick(self->far));
	EXPECT_EQ(0, end_wait(self->near, &seen, NO_WAIT));
	EXPECT_EQ(1, seen);
}

TEST_F(kick, end_is_signalled_to_the_eventfd)
{
	int efd = eventfd_new();

	ASSERT_EQ(0, end_eventfd(self->near, efd));
	ASSERT_EQ(0, file_hang_up(self->far));
	EXPECT_LT(0, drain(efd));
	close(efd);
}

TEST_F(kick, end_that_was_before_is_signalled_to_a_new_eventfd)
{
	int efd = eventfd_new();

	ASSERT_EQ(0, file_hang_up(self->far));
	ASSERT_EQ(0, end_eventfd(self->near, efd));
	EXPECT_LT(0, drain(efd));
	close(efd);
}

/* --- the CPU ----------------------------------------------------------------------- */

/* A thread that sleeps far from whoever kicks it, and may run anywhere. */
struct hop {
	struct worker worker;
	int fd;
	int home; /* the CPU that it goes to sleep on */
	uint32_t round; /* in which it is about to sleep */
	uint32_t woken; /* rounds in which it was */
	int cpu; /* on which it was last woken */
	bool answers;
};

static void run_on(int first, int second)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(first, &cpus);
	CPU_SET(second, &cpus);
	must(!sched_setaffinity(0, sizeof(cpus), &cpus));
}

static int64_t hop_job(void *arg)
{
	struct hop *hop = arg;
	uint32_t seen = 0;

	end_wait(hop->fd, &seen, NO_WAIT);
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		run_on(hop->home, hop->home);
		run_on(hop->home, !hop->home);
		__atomic_store_n(&hop->round, round, __ATOMIC_RELEASE);
		must(!end_wait(hop->fd, &seen, HANGS));
		hop->cpu = sched_getcpu();
		__atomic_store_n(&hop->woken, round, __ATOMIC_RELEASE);
		if (hop->answers)
			must(!end_kick(hop->fd));
	}
	return 0;
}

/*
 * In how many rounds was the sleeper woken on the CPU of the kicker, which sleeps
 * with the kick, or goes on?
 */
static int rounds_on_our_cpu(struct __test_metadata *_metadata, FIXTURE_DATA(kick) *self,
			     bool sleeps)
{
	struct hop hop = { .fd = self->far, .home = 1, .answers = sleeps };
	uint32_t seen = 0;
	int nr = 0;

	run_on(0, 0);
	worker_start(&hop.worker, hop_job, &hop);
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		while (__atomic_load_n(&hop.round, __ATOMIC_ACQUIRE) != round)
			sched_yield();
		EXPECT_TRUE(worker_wait_blocked(&hop.worker));
		ASSERT_EQ(0, sleeps ? end_wait_flags(self->near, SHMUX_WAIT_KICK, &seen, HANGS) :
				      end_kick(self->near));
		while (__atomic_load_n(&hop.woken, __ATOMIC_ACQUIRE) != round)
			;
		nr += hop.cpu == 0;
	}
	EXPECT_EQ(0, worker_join(&hop.worker));
	run_on(0, 1);
	return nr;
}

/* From which on a wake-up can ask for the CPU of who wakes. */
static bool kernel_hands_over(void)
{
	int major = 0, minor = 0;
	struct utsname name;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	return major > 6 || (major == 6 && minor >= 6);
}

TEST_F(kick, with_the_wait_hands_the_cpu_over)
{
	int handed, kept;

	if (process_nr_cpus() != 2)
		SKIP(return, "it takes two CPUs");
	kept = rounds_on_our_cpu(_metadata, self, false);
	handed = rounds_on_our_cpu(_metadata, self, true);
	TH_LOG("woken on the kicker's CPU: %d of %d by a kick, %d by a kick with the wait", kept,
	       ROUNDS, handed);
	if (!kernel_hands_over())
		SKIP(return, "no wake-up can ask for a CPU before Linux 6.6");
	EXPECT_LT(ROUNDS * 3 / 4, handed);
	EXPECT_GT(ROUNDS / 4, kept);
}

TEST_HARNESS_MAIN
