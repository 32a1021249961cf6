// SPDX-License-Identifier: LGPL-2.1-or-later
/* deadline.c - calls that give up: at a time, or because another thread says so */
#include <errno.h>
#include <sys/socket.h>

#include "harness.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define MIB (1024u * 1024u)
#define SOON (20 * MSEC)

FIXTURE(deadline)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *near;
};

PAIR_VARIANTS(deadline);

FIXTURE_SETUP(deadline)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, NULL, NULL));
	self->far = &self->pair.far;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
}

FIXTURE_TEARDOWN(deadline)
{
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

/* A write of what no window takes. */
enum { MUCH = 16 * MIB };

static int64_t write_much(void *arg)
{
	char *buf = malloc(MUCH);
	int64_t ret;

	pattern_fill(buf, MUCH, 0, 6);
	ret = shmux_stream_write(arg, buf, MUCH);
	free(buf);
	return ret;
}

static int64_t read_some(void *arg)
{
	char buf[8];

	return shmux_stream_read(arg, buf, sizeof(buf));
}

/* The far end gets the first @len bytes of write_much(), and not one more. */
static void check_far_gets_just(struct __test_metadata *_metadata, struct pair *pair,
				struct shmux_stream *near, int64_t len)
{
	struct bulk bulk = { .len = (uint64_t)len, .piece = 10000, .seed = 6 };
	char byte;

	ASSERT_EQ(len, pair_call(pair, side_bulk_read, &bulk, sizeof(bulk), NULL, 0));
	EXPECT_EQ(-EAGAIN, far_try_read(&pair->far, &byte, 1));
	ASSERT_EQ(0, shmux_stream_shutdown(near, SHMUX_WRITE));
	EXPECT_EQ(0, far_read(&pair->far, &byte, 1));
}

static int64_t side_read_one(struct side *side)
{
	char byte;

	return shmux_stream_read(side->stream, &byte, 1);
}

TEST_F(deadline, blocked_read_times_out_when_it_has_passed)
{
	uint64_t start = shmux_now();
	char buf[8];

	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, start + SOON));

	EXPECT_EQ(-ETIMEDOUT, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_LE(start + SOON, shmux_now());
	EXPECT_LT(shmux_now(), start + LONG_ENOUGH);
}

TEST_F(deadline, past_deadline_does_not_wait)
{
	char buf[8];

	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, 1));

	EXPECT_EQ(-ETIMEDOUT, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_EQ(-EAGAIN, shmux_stream_try_read(self->near, buf, sizeof(buf)));
}

TEST_F(deadline, past_deadline_keeps_nobody_from_reading_what_is_there)
{
	char buf[8];

	ASSERT_EQ(3, far_write(self->far, "abc", 3));
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, 1));

	EXPECT_EQ(3, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_EQ(-ETIMEDOUT, shmux_stream_read(self->near, buf, sizeof(buf)));
}

TEST_F(deadline, past_deadline_keeps_nobody_from_writing_what_there_is_room_for)
{
	char buf[8] = "";

	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_WRITE, 1));

	ASSERT_EQ(3, shmux_stream_write(self->near, "abc", 3));
	EXPECT_EQ(3, far_read(self->far, buf, sizeof(buf)));
}

TEST_F(deadline, stream_goes_on_after_a_time_out)
{
	char buf[8] = "";

	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, 1));
	ASSERT_EQ(-ETIMEDOUT, shmux_stream_read(self->near, buf, sizeof(buf)));
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, SHMUX_NEVER));

	ASSERT_EQ(3, far_write(self->far, "abc", 3));
	EXPECT_EQ(3, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("abc", buf);
}

TEST_F(deadline, each_direction_has_its_own)
{
	char buf[8] = "";

	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_WRITE, 1));
	far_begin(self->far, side_read_one, NULL, 0, 0);
	ASSERT_TRUE(far_wait_blocked(self->far));
	ASSERT_EQ(1, shmux_stream_write(self->near, "x", 1));
	ASSERT_EQ(1, far_finish(self->far, NULL));

	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, shmux_now() + LONG_ENOUGH));
	ASSERT_EQ(3, far_write(self->far, "abc", 3));
	EXPECT_EQ(3, shmux_stream_read(self->near, buf, sizeof(buf)));
}

TEST_F(deadline, timed_out_write_says_how_much_was_taken_and_sends_nothing_later)
{
	int64_t n;

	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_WRITE, shmux_now() + SOON));
	n = write_much(self->near);
	ASSERT_LT(0, n);
	ASSERT_LT(n, MUCH);

	check_far_gets_just(_metadata, &self->pair, self->near, n);
}

TEST_F(deadline, write_that_has_taken_nothing_times_out)
{
	static char buf[65536];

	while (shmux_stream_try_write(self->near, buf, sizeof(buf)) > 0)
		;
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_WRITE, shmux_now() + SOON));

	EXPECT_EQ(-ETIMEDOUT, shmux_stream_write(self->near, "x", 1));
}

TEST_F(deadline, read_in_progress_is_woken_when_another_thread_sets_one)
{
	struct worker reader;

	worker_start(&reader, read_some, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, shmux_now() + SOON));

	EXPECT_EQ(-ETIMEDOUT, worker_join(&reader));
}

TEST_F(deadline, read_in_progress_is_woken_when_it_is_moved_into_the_past)
{
	struct worker reader;

	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ,
					       shmux_now() + 1000 * LONG_ENOUGH));
	worker_start(&reader, read_some, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, 1));

	EXPECT_EQ(-ETIMEDOUT, worker_join(&reader));
}

TEST_F(deadline, read_in_progress_goes_on_when_it_is_moved_into_the_future)
{
	uint64_t first = shmux_now() + 500 * MSEC;
	struct worker reader;

	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, first));
	worker_start(&reader, read_some, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, SHMUX_NEVER));
	ASSERT_TRUE(wait_until(shmux_now() > first + SOON));
	EXPECT_FALSE(worker_is_done(&reader));

	ASSERT_EQ(3, far_write(self->far, "abc", 3));
	EXPECT_EQ(3, worker_join(&reader));
}

TEST_F(deadline, write_in_progress_is_woken_with_what_it_has_done)
{
	struct worker writer;
	int64_t n;

	worker_start(&writer, write_much, self->near);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_WRITE, 1));

	n = worker_join(&writer);
	ASSERT_LT(0, n);
	ASSERT_LT(n, MUCH);
	check_far_gets_just(_metadata, &self->pair, self->near, n);
}

TEST_F(deadline, unblock_cancels_a_read_in_progress)
{
	struct worker reader;
	char buf[8] = "";

	worker_start(&reader, read_some, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	shmux_stream_unblock(self->near, SHMUX_READ);
	EXPECT_EQ(-ECANCELED, worker_join(&reader));

	/* Later ones are not touched. */
	ASSERT_EQ(3, far_write(self->far, "abc", 3));
	EXPECT_EQ(3, shmux_stream_read(self->near, buf, sizeof(buf)));
}

TEST_F(deadline, unblock_cancels_a_write_in_progress_with_what_it_has_done)
{
	struct worker writer;
	int64_t n;

	worker_start(&writer, write_much, self->near);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	shmux_stream_unblock(self->near, SHMUX_WRITE);

	n = worker_join(&writer);
	ASSERT_LT(0, n);
	ASSERT_LT(n, MUCH);
	check_far_gets_just(_metadata, &self->pair, self->near, n);
}

TEST_F(deadline, unblock_of_one_direction_leaves_the_other_alone)
{
	struct worker reader;

	worker_start(&reader, read_some, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	shmux_stream_unblock(self->near, SHMUX_WRITE);
	ASSERT_EQ(3, far_write(self->far, "abc", 3));

	EXPECT_EQ(3, worker_join(&reader));
}

TEST_F(deadline, unblock_touches_no_later_call)
{
	char buf[8] = "";

	shmux_stream_unblock(self->near, SHMUX_READ | SHMUX_WRITE);
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, shmux_now() + SOON));

	EXPECT_EQ(-ETIMEDOUT, shmux_stream_read(self->near, buf, sizeof(buf)));
}

TEST_F(deadline, unblock_of_one_stream_leaves_others_alone)
{
	struct shmux_stream *other;
	struct worker reader, cancelled;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &other));
	worker_start(&cancelled, read_some, self->near);
	ASSERT_TRUE(worker_wait_blocked(&cancelled));
	worker_start(&reader, read_some, other);
	ASSERT_TRUE(worker_wait_blocked(&reader));

	shmux_stream_unblock(self->near, SHMUX_READ);
	EXPECT_EQ(-ECANCELED, worker_join(&cancelled));
	ASSERT_EQ(3, far_write(self->far, "abc", 3));
	EXPECT_EQ(3, worker_join(&reader));
	shmux_stream_close(other);
}

TEST_F(deadline, waitall_returns_what_it_has_when_it_passes)
{
	char buf[8] = "";
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	ASSERT_EQ(3, far_write(self->far, "abc", 3));
	ASSERT_EQ(0, shmux_stream_set_deadline(self->near, SHMUX_READ, shmux_now() + SOON));

	EXPECT_EQ(3, shmux_stream_recv(self->near, &iov, 1, SHMUX_WAITALL));
}

static int64_t accept_one(void *arg)
{
	struct shmux_stream *st;

	return shmux_session_accept(arg, 0, &st);
}

TEST_F(deadline, accept_times_out)
{
	uint64_t start = shmux_now();
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_session_set_deadline(self->pair.session, start + SOON));
	EXPECT_EQ(-ETIMEDOUT, shmux_session_accept(self->pair.session, 0, &st));
	EXPECT_LE(start + SOON, shmux_now());
	EXPECT_EQ(-EAGAIN, shmux_session_accept(self->pair.session, SHMUX_NOWAIT, &st));
}

TEST_F(deadline, accept_in_progress_is_woken_when_it_is_moved)
{
	struct worker acceptor;

	worker_start(&acceptor, accept_one, self->pair.session);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	ASSERT_EQ(0, shmux_session_set_deadline(self->pair.session, shmux_now() + SOON));

	EXPECT_EQ(-ETIMEDOUT, worker_join(&acceptor));
}

TEST_F(deadline, unblock_cancels_an_accept_in_progress)
{
	struct worker acceptor;

	worker_start(&acceptor, accept_one, self->pair.session);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	shmux_session_unblock(self->pair.session);

	EXPECT_EQ(-ECANCELED, worker_join(&acceptor));
}

static int64_t ping(void *arg)
{
	return shmux_session_ping(arg, SHMUX_NEVER, NULL);
}

TEST_F(deadline, ping_of_a_silent_peer_times_out_or_is_cancelled)
{
	struct worker pinger;

	EXPECT_EQ(-ETIMEDOUT, shmux_session_ping(self->pair.session, shmux_now() + SOON, NULL));

	worker_start(&pinger, ping, self->pair.session);
	ASSERT_TRUE(worker_wait_blocked(&pinger));
	shmux_session_unblock(self->pair.session);
	EXPECT_EQ(-ECANCELED, worker_join(&pinger));
}

static int64_t drain(void *arg)
{
	return shmux_session_drain(arg, SHMUX_NEVER);
}

TEST_F(deadline, drain_with_a_stream_open_times_out_or_is_cancelled)
{
	struct worker drainer;

	EXPECT_EQ(-ETIMEDOUT, shmux_session_drain(self->pair.session, shmux_now() + SOON));

	worker_start(&drainer, drain, self->pair.session);
	ASSERT_TRUE(worker_wait_blocked(&drainer));
	shmux_session_unblock(self->pair.session);
	EXPECT_EQ(-ECANCELED, worker_join(&drainer));
}

/* Without a session: attaching, dialling and listening. */
FIXTURE(attempt)
{
	int nr_fds;
	char name[NAME_SIZE];
};

FIXTURE_SETUP(attempt)
{
	self->nr_fds = process_nr_fds();
	name_make(self->name);
}

FIXTURE_TEARDOWN(attempt)
{
	EXPECT_EQ(self->nr_fds, process_nr_fds());
	EXPECT_FALSE(process_leaks());
}

TEST_F(attempt, to_attach_to_a_silent_peer_times_out)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET };
	struct shmux_session *session;
	uint64_t start;
	int fds[2];

	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, types[i % 2] | SOCK_CLOEXEC, 0, fds));
		start = shmux_now();
		EXPECT_EQ(-ETIMEDOUT, shmux_session_attach(fds[0], i / 2, NULL, start + SOON,
							   &session));
		EXPECT_LE(start + SOON, shmux_now());
		close(fds[1]);
	}
}

TEST_F(attempt, to_dial_a_listener_that_never_accepts_times_out)
{
	struct shmux_listener *listener;
	struct shmux_session *session;
	uint64_t start = shmux_now();

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &listener));

	EXPECT_EQ(-ETIMEDOUT, shmux_session_dial(self->name, NULL, start + SOON, &session));
	EXPECT_LE(start + SOON, shmux_now());
	shmux_listener_close(listener);
}

TEST_F(attempt, to_dial_through_a_context_times_out)
{
	struct shmux_dial_options options = { .size = sizeof(options) };
	struct shmux_listener *listener;
	struct shmux_context *context;
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &listener));
	ASSERT_EQ(0, shmux_context_open(NULL, &context));

	options.deadline = shmux_now() + SOON;
	EXPECT_EQ(-ETIMEDOUT, shmux_context_dial(context, self->name, &options, &st));
	EXPECT_LE(options.deadline, shmux_now());
	shmux_context_close(context);
	shmux_listener_close(listener);
}

struct dial {
	struct shmux_context *context;
	const char *name;
};

static int64_t dial(void *arg)
{
	struct dial *job = arg;
	struct shmux_stream *st;

	return shmux_context_dial(job->context, job->name, NULL, &st);
}

TEST_F(attempt, to_dial_is_cancelled_by_unblock)
{
	struct shmux_listener *listener;
	struct worker dialler;
	struct dial job = { .name = self->name };

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &listener));
	ASSERT_EQ(0, shmux_context_open(NULL, &job.context));
	worker_start(&dialler, dial, &job);
	ASSERT_TRUE(worker_wait_blocked(&dialler));
	shmux_context_unblock(job.context);

	EXPECT_EQ(-ECANCELED, worker_join(&dialler));
	shmux_context_close(job.context);
	shmux_listener_close(listener);
}

static int64_t accept_stream(void *arg)
{
	struct shmux_stream *st;

	return shmux_listener_accept(arg, 0, &st);
}

TEST_F(attempt, to_accept_at_a_listener_times_out)
{
	uint64_t start = shmux_now();
	struct shmux_listener *listener;
	struct shmux_session *session;
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &listener));
	ASSERT_EQ(0, shmux_listener_set_deadline(listener, start + SOON));

	EXPECT_EQ(-ETIMEDOUT, shmux_listener_accept(listener, 0, &st));
	EXPECT_LE(start + SOON, shmux_now());
	EXPECT_EQ(-EAGAIN, shmux_listener_accept(listener, SHMUX_NOWAIT, &st));
	shmux_listener_close(listener);

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &listener));
	ASSERT_EQ(0, shmux_listener_set_deadline(listener, shmux_now() + SOON));
	EXPECT_EQ(-ETIMEDOUT, shmux_listener_accept_session(listener, 0, &session));
	shmux_listener_close(listener);
}

TEST_F(attempt, to_accept_is_woken_when_the_deadline_is_moved)
{
	struct shmux_listener *listener;
	struct worker acceptor;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &listener));
	worker_start(&acceptor, accept_stream, listener);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	ASSERT_EQ(0, shmux_listener_set_deadline(listener, shmux_now() + SOON));

	EXPECT_EQ(-ETIMEDOUT, worker_join(&acceptor));
	shmux_listener_close(listener);
}

TEST_F(attempt, to_accept_is_cancelled_by_unblock)
{
	struct shmux_listener *listener;
	struct worker acceptor;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &listener));
	worker_start(&acceptor, accept_stream, listener);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	shmux_listener_unblock(listener);

	EXPECT_EQ(-ECANCELED, worker_join(&acceptor));
	shmux_listener_close(listener);
}

TEST_HARNESS_MAIN
