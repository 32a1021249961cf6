// SPDX-License-Identifier: LGPL-2.1-or-later
/* idle.c - who waits for a peer that says nothing sleeps, and hardly wakes */
#include <errno.h>
#include <sys/resource.h>
#include <time.h>

#include "effort.h"
#include "harness.h"
#include "pair.h"
#include "process.h"

/* How long to look on, and what is allowed meanwhile. */
#define WHILE (SEC / 2)
#define WAKE_UPS_MAX 10 /* 20 a second */
/*
 * 1 %, most of it until it sleeps at first. A guest is charged for what its host
 * takes of a CPU, which has nothing to do with us and comes in slices.
 */
#define CPU_MAX (effort_is_emulated() ? WHILE / 2 : effort_is_stress() ? 5 * MSEC : 20 * MSEC)

FIXTURE(idle)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *near;
};

PAIR_VARIANTS(idle);

FIXTURE_SETUP(idle)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, NULL, NULL));
	self->far = &self->pair.far;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
}

FIXTURE_TEARDOWN(idle)
{
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

/* A call that blocks until @deadline, and what it cost its thread. */
struct wait {
	int64_t (*call)(struct wait *wait);
	struct shmux_stream *st;
	struct shmux_listener *listener;
	int64_t ret;
	uint64_t cpu;		/* ns */
	long wake_ups;
};

static uint64_t thread_cpu(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

static long thread_sleeps(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_nvcsw;
}

static int64_t measure(void *arg)
{
	struct wait *wait = arg;
	uint64_t cpu = thread_cpu();
	long wake_ups = thread_sleeps();

	wait->ret = wait->call(wait);
	wait->cpu = thread_cpu() - cpu;
	wait->wake_ups = thread_sleeps() - wake_ups;
	return wait->ret;
}

static int64_t wait_read(struct wait *wait)
{
	char byte;

	shmux_stream_set_deadline(wait->st, SHMUX_READ, shmux_now() + WHILE);
	return shmux_stream_read(wait->st, &byte, 1);
}

static char much[4 << 20];

static int64_t wait_write(struct wait *wait)
{
	shmux_stream_set_deadline(wait->st, SHMUX_WRITE, shmux_now() + WHILE);
	return shmux_stream_write(wait->st, much, sizeof(much));
}

static int64_t wait_accept(struct wait *wait)
{
	struct shmux_session *session = shmux_stream_session(wait->st);
	struct shmux_stream *st;

	shmux_session_set_deadline(session, shmux_now() + WHILE);
	return shmux_session_accept(session, 0, &st);
}

static int64_t wait_listen(struct wait *wait)
{
	struct shmux_stream *st;

	shmux_listener_set_deadline(wait->listener, shmux_now() + WHILE);
	return shmux_listener_accept(wait->listener, 0, &st);
}

static void check_cheap(struct __test_metadata *_metadata, const struct wait *wait)
{
	EXPECT_GE(WAKE_UPS_MAX, wait->wake_ups);
	EXPECT_GE(CPU_MAX, wait->cpu);
}

TEST_F(idle, blocked_reader_hardly_wakes)
{
	struct wait wait = { .call = wait_read, .st = self->near };

	EXPECT_EQ(-ETIMEDOUT, measure(&wait));
	check_cheap(_metadata, &wait);
}

TEST_F(idle, blocked_writer_hardly_wakes)
{
	struct wait wait = { .call = wait_write, .st = self->near };

	/* What it can write it has written. */
	while (shmux_stream_try_write(self->near, much, sizeof(much)) > 0)
		;
	EXPECT_EQ(-ETIMEDOUT, measure(&wait));
	check_cheap(_metadata, &wait);
}

TEST_F(idle, blocked_accept_hardly_wakes)
{
	struct wait wait = { .call = wait_accept, .st = self->near };

	EXPECT_EQ(-ETIMEDOUT, measure(&wait));
	check_cheap(_metadata, &wait);
}

TEST_F(idle, many_blocked_threads_hardly_wake)
{
	struct wait waits[8];
	struct worker readers[8];

	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		waits[i] = (struct wait){ .call = wait_read };
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &waits[i].st));
	}
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++)
		worker_start(&readers[i], measure, &waits[i]);
	for (size_t i = 0; i < ARRAY_SIZE(waits); i++) {
		EXPECT_EQ(-ETIMEDOUT, worker_join(&readers[i]));
		check_cheap(_metadata, &waits[i]);
		shmux_stream_close(waits[i].st);
	}
}

TEST_F(idle, blocked_listener_hardly_wakes)
{
	struct wait wait = { .call = wait_listen };
	char name[NAME_SIZE];

	name_make(name);
	ASSERT_EQ(0, shmux_listener_open(name, NULL, &wait.listener));
	EXPECT_EQ(-ETIMEDOUT, measure(&wait));
	check_cheap(_metadata, &wait);
	shmux_listener_close(wait.listener);
}

/* An echo now and then, and nothing in between. */
TEST_F(idle, sleeper_is_woken_at_once_however_often)
{
	char byte;

	far_begin(self->far, side_echo, NULL, 0, 0);
	for (int i = 0; i < 20; i++) {
		ASSERT_TRUE(far_wait_blocked(self->far));
		ASSERT_EQ(1, shmux_stream_write(self->near, "x", 1));
		ASSERT_EQ(1, shmux_stream_read(self->near, &byte, 1));
	}
	ASSERT_EQ(0, shmux_stream_shutdown(self->near, SHMUX_WRITE));
	EXPECT_EQ(20, far_finish(self->far, NULL));
}

TEST_HARNESS_MAIN
