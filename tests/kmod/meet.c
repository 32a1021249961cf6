// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * meet.c - how two ends come to be ready, or one refuses
 */
#include "device.h"
#include "process.h"
#include "worker.h"

/* near is in the queue, which has no room for another. */
FIXTURE(meet)
{
	char name[SHMUX_NAME_SIZE];
	int listener, near;
};

FIXTURE_SETUP(meet)
{
	strcpy(self->name, name_new());
	self->listener = listener_new_for(self->name, 1, EVERYBODY);
	ASSERT_LE(0, self->listener);
	self->near = end_new_queued(self->name, NO_WAIT);
	ASSERT_LE(0, self->near);
}

FIXTURE_TEARDOWN(meet)
{
	close(self->near);
	close(self->listener);
}

struct meeting {
	struct worker worker;
	int fd;
	uint64_t timeout;
};

static int64_t meet_job(void *arg)
{
	struct meeting *m = arg;

	return end_meet_timed(m->fd, &m->timeout);
}

static void meeting_start(struct meeting *m, int fd, uint64_t timeout)
{
	*m = (struct meeting){ .fd = fd, .timeout = timeout };
	worker_start(&m->worker, meet_job, m);
}

static int64_t refusal_job(void *arg)
{
	struct meeting *m = arg;

	return end_refusal(m->fd);
}

TEST_F(meet, connector_waits_until_the_acceptor_is_ready)
{
	struct meeting m;
	int far;

	meeting_start(&m, self->near, HANGS);
	ASSERT_TRUE(worker_wait_blocked(&m.worker));
	far = listener_accept(self->listener, NO_WAIT);
	ASSERT_LE(0, far);
	ASSERT_TRUE(worker_wait_blocked(&m.worker));
	ASSERT_EQ(0, end_create(far));
	ASSERT_TRUE(worker_wait_blocked(&m.worker));

	EXPECT_EQ(0, end_meet(far, NO_WAIT));

	EXPECT_EQ(0, worker_join(&m.worker));
	EXPECT_GT(HANGS, m.timeout);
	EXPECT_LT(0, m.timeout);
	close(far);
}

TEST_F(meet, acceptor_need_not_wait)
{
	int far = listener_accept_with_region(self->listener);

	ASSERT_LE(0, far);
	EXPECT_EQ(POLLOUT, file_polls(far, POLLOUT));
	EXPECT_EQ(0, end_meet(far, NO_WAIT));
	close(far);
}

TEST_F(meet, poll_tells_the_connector_that_it_need_not_wait)
{
	int far = listener_accept_with_region(self->listener);

	ASSERT_LE(0, far);
	EXPECT_EQ(0, file_polls(self->near, POLLOUT));
	EXPECT_EQ(-EAGAIN, end_meet(self->near, NO_WAIT));

	ASSERT_EQ(0, end_meet(far, NO_WAIT));

	EXPECT_EQ(POLLOUT, file_polls(self->near, POLLOUT));
	EXPECT_EQ(0, end_meet(self->near, NO_WAIT));
	EXPECT_EQ(POLLOUT, file_polls(self->near, POLLOUT));
	close(far);
}

static int64_t poll_job(void *arg)
{
	return file_await(*(int *)arg, POLLOUT);
}

TEST_F(meet, wakes_who_polls)
{
	struct worker worker;
	int far = listener_accept_with_region(self->listener);

	ASSERT_LE(0, far);
	worker_start(&worker, poll_job, &self->near);
	ASSERT_TRUE(worker_wait_blocked(&worker));

	ASSERT_EQ(0, end_meet(far, NO_WAIT));

	EXPECT_EQ(POLLOUT, worker_join(&worker));
	close(far);
}

TEST_F(meet, in_vain_is_ready_all_the_same)
{
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	ASSERT_EQ(0, end_create(ends.near));
	ASSERT_EQ(0, end_create(ends.far));

	EXPECT_EQ(-EAGAIN, end_meet(ends.near, NO_WAIT));
	EXPECT_EQ(0, end_meet(ends.far, NO_WAIT));
	EXPECT_EQ(0, end_meet(ends.near, NO_WAIT));
	ends_close(&ends);
}

TEST_F(meet, both_ends_of_a_pair_may_wait_for_each_other)
{
	struct meeting near, far;
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	ASSERT_EQ(0, end_create(ends.near));
	ASSERT_EQ(0, end_create(ends.far));
	meeting_start(&near, ends.near, HANGS);
	ASSERT_TRUE(worker_wait_blocked(&near.worker));
	meeting_start(&far, ends.far, HANGS);

	EXPECT_EQ(0, worker_join(&near.worker));
	EXPECT_EQ(0, worker_join(&far.worker));
	ends_close(&ends);
}

TEST_F(meet, several_threads_may)
{
	struct meeting m[3];
	int far = listener_accept(self->listener, NO_WAIT);

	ASSERT_LE(0, far);
	for (int i = 0; i < 3; i++) {
		meeting_start(&m[i], self->near, HANGS);
		ASSERT_TRUE(worker_wait_blocked(&m[i].worker));
	}
	ASSERT_EQ(0, end_create(far));
	ASSERT_EQ(0, end_meet(far, NO_WAIT));
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(0, worker_join(&m[i].worker));
	close(far);
}

TEST_F(meet, shows_what_was_written_before_it)
{
	int far = listener_accept_with_region(self->listener);
	char *own, *seen;

	ASSERT_LE(0, far);
	own = region_map_own(far, PAGE);
	ASSERT_NE(MAP_FAILED, own);
	strcpy(own, "hello");
	ASSERT_EQ(0, end_meet(far, NO_WAIT));
	ASSERT_EQ(0, end_meet(self->near, NO_WAIT));

	seen = region_map_peer(self->near, PAGE);
	ASSERT_NE(MAP_FAILED, seen);
	EXPECT_STREQ("hello", seen);
	munmap(seen, PAGE);
	munmap(own, PAGE);
	close(far);
}

/* --- the time ----------------------------------------------------------------- */

TEST_F(meet, ends_when_its_time_is_over)
{
	uint64_t left = A_WHILE, begin = shmux_now();

	EXPECT_EQ(-ETIMEDOUT, end_meet_timed(self->near, &left));

	EXPECT_LE(A_WHILE, shmux_now() - begin);
	EXPECT_EQ(0, left);
}

TEST_F(meet, that_a_signal_ends_can_be_made_again)
{
	struct meeting m;
	int far;

	meeting_start(&m, self->near, HANGS);
	ASSERT_TRUE(worker_wait_blocked(&m.worker));
	worker_interrupt(&m.worker, 0);
	EXPECT_EQ(-EINTR, worker_join(&m.worker));
	EXPECT_GT(HANGS, m.timeout);
	EXPECT_LT(0, m.timeout);

	meeting_start(&m, self->near, m.timeout);
	ASSERT_TRUE(worker_wait_blocked(&m.worker));
	far = listener_accept_with_region(self->listener);
	ASSERT_LE(0, far);
	ASSERT_EQ(0, end_meet(far, NO_WAIT));
	EXPECT_EQ(0, worker_join(&m.worker));
	close(far);
}

/* --- refusal -------------------------------------------------------------------- */

TEST_F(meet, refusal_needs_no_region_and_says_why)
{
	struct meeting m = { .fd = self->near };
	int far = listener_accept(self->listener, NO_WAIT);
	uint32_t seen = 0;

	ASSERT_LE(0, far);
	worker_start(&m.worker, refusal_job, &m);
	ASSERT_TRUE(worker_wait_blocked(&m.worker));

	EXPECT_EQ(0, end_refuse(far, EPROTONOSUPPORT));

	EXPECT_EQ(EPROTONOSUPPORT, worker_join(&m.worker));
	EXPECT_EQ(POLLIN | POLLOUT | POLLHUP | POLLRDHUP,
		  file_polls(self->near, POLLIN | POLLOUT | POLLRDHUP));
	EXPECT_EQ(-ECONNRESET, end_wait(self->near, &seen, HANGS));
	close(far);
}

TEST_F(meet, refusal_outlives_who_refused)
{
	int far = listener_accept(self->listener, NO_WAIT);

	ASSERT_LE(0, far);
	ASSERT_EQ(0, end_refuse(far, EACCES));
	close(far);

	EXPECT_EQ(EACCES, end_refusal(self->near));
	EXPECT_EQ(EACCES, end_refusal(self->near));
}

TEST_F(meet, refusal_wakes_who_waits_for_a_kick)
{
	int far = listener_accept(self->listener, NO_WAIT);
	struct worker worker;

	ASSERT_LE(0, far);
	worker_start(&worker, end_wait_job, &self->near);
	ASSERT_TRUE(worker_wait_blocked(&worker));

	ASSERT_EQ(0, end_refuse(far, EPERM));

	EXPECT_EQ(-ECONNRESET, worker_join(&worker));
	close(far);
}

TEST_F(meet, with_an_end_that_died_first_is_refused)
{
	int far = listener_accept_with_region(self->listener);

	ASSERT_LE(0, far);
	close(self->near);
	self->near = -1;

	EXPECT_EQ(-ECONNRESET, end_meet(far, HANGS));
	close(far);
}

TEST_F(meet, with_an_acceptor_that_dies_is_broken_off)
{
	struct meeting m;
	int far = listener_accept(self->listener, NO_WAIT);

	ASSERT_LE(0, far);
	meeting_start(&m, self->near, HANGS);
	ASSERT_TRUE(worker_wait_blocked(&m.worker));

	close(far);

	EXPECT_EQ(-ECONNRESET, worker_join(&m.worker));
}

TEST_F(meet, with_a_listener_that_goes_is_refused)
{
	struct meeting m;

	meeting_start(&m, self->near, HANGS);
	ASSERT_TRUE(worker_wait_blocked(&m.worker));

	close(self->listener);
	self->listener = -1;

	EXPECT_EQ(-ECONNREFUSED, worker_join(&m.worker));
	EXPECT_EQ(-ECONNREFUSED, end_meet(self->near, NO_WAIT));
	EXPECT_EQ(POLLHUP, file_polls(self->near, 0));
}

TEST_F(meet, of_an_accepted_end_outlives_the_listener)
{
	int far = listener_accept(self->listener, NO_WAIT);

	ASSERT_LE(0, far);
	close(self->listener);
	self->listener = -1;

	ASSERT_EQ(0, end_create(far));
	EXPECT_EQ(0, end_meet(far, NO_WAIT));
	EXPECT_EQ(0, end_meet(self->near, NO_WAIT));
	close(far);
}

TEST_F(meet, with_an_end_that_was_ready_succeeds_though_it_has_died)
{
	int far = listener_accept_with_region(self->listener);
	char *own, *seen;

	ASSERT_LE(0, far);
	own = region_map_own(far, PAGE);
	ASSERT_NE(MAP_FAILED, own);
	strcpy(own, "farewell");
	ASSERT_EQ(0, end_meet(far, NO_WAIT));
	munmap(own, PAGE);
	close(far);

	EXPECT_EQ(0, end_meet(self->near, HANGS));
	seen = region_map_peer(self->near, PAGE);
	ASSERT_NE(MAP_FAILED, seen);
	EXPECT_STREQ("farewell", seen);
	munmap(seen, PAGE);
}

TEST_F(meet, end_that_is_ready_cannot_refuse_any_more)
{
	int far = listener_accept(self->listener, NO_WAIT);

	ASSERT_LE(0, far);
	EXPECT_EQ(-EBADFD, end_refuse(self->near, ECANCELED));
	ASSERT_EQ(0, end_create(far));
	ASSERT_EQ(0, end_meet(far, NO_WAIT));
	EXPECT_EQ(-EBADFD, end_refuse(far, ECANCELED));
	EXPECT_EQ(0, end_meet(self->near, NO_WAIT));
	close(far);
}

TEST_HARNESS_MAIN
