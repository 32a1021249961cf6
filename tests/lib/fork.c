// SPDX-License-Identifier: LGPL-2.1-or-later
/* fork.c - what a fork and a death mean to a session */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "harness.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

FIXTURE(fork)
{
	struct pair pair;
	struct far *far;
	struct shmux_session *session;
	struct shmux_stream *near;
};

PAIR_VARIANTS(fork);

FIXTURE_SETUP(fork)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, NULL, NULL));
	self->far = &self->pair.far;
	self->session = self->pair.session;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
}

FIXTURE_TEARDOWN(fork)
{
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

static void check_works(struct __test_metadata *_metadata, struct shmux_stream *near,
			struct far *far)
{
	char buf[8] = "";

	ASSERT_EQ(4, shmux_stream_write(near, "ping", 4));
	EXPECT_EQ(4, far_read(far, buf, sizeof(buf)));
	EXPECT_STREQ("ping", buf);
	ASSERT_EQ(4, far_write(far, "pong", 4));
	EXPECT_EQ(4, shmux_stream_read(near, buf, sizeof(buf)));
	EXPECT_STREQ("pong", buf);
}

/* Every call that can say so says that this process has no business here. */
static int64_t check_inert(struct shmux_session *session, struct shmux_stream *near)
{
	struct shmux_session_counters counters = { .size = sizeof(counters) };
	struct shmux_event event;
	struct shmux_stream *st;
	struct shmux_span span;
	struct shmux_view view;
	const void *data;
	char buf[8] = "";

	SIDE_EQ(-ECHILD, shmux_stream_read(near, buf, sizeof(buf)));
	SIDE_EQ(-ECHILD, shmux_stream_try_read(near, buf, sizeof(buf)));
	SIDE_EQ(-ECHILD, shmux_stream_write(near, buf, sizeof(buf)));
	SIDE_EQ(-ECHILD, shmux_stream_try_write(near, buf, sizeof(buf)));
	SIDE_EQ(-ECHILD, shmux_stream_peek(near, 1, &data));
	SIDE_EQ(-ECHILD, shmux_stream_discard(near, 1));
	SIDE_EQ(-ECHILD, shmux_stream_take(near, &view, 0));
	SIDE_EQ(shmux_stream_reserve_max(near) ? -ECHILD : -EOPNOTSUPP,
		shmux_stream_reserve(near, 1, &span, 0));
	SIDE_EQ(-ECHILD, shmux_stream_next_len(near));
	SIDE_EQ(-ECHILD, shmux_stream_shutdown(near, SHMUX_WRITE));
	SIDE_EQ(-ECHILD, shmux_stream_reset(near, SHMUX_CODE_USER));
	SIDE_EQ(-ECHILD, shmux_session_open(session, 0, &st));
	SIDE_EQ(-ECHILD, shmux_session_accept(session, 0, &st));
	SIDE_EQ(-ECHILD, shmux_session_ping(session, SHMUX_NEVER, NULL));
	SIDE_EQ(-ECHILD, shmux_session_pump(session, &event, 1));
	SIDE_EQ(-ECHILD, shmux_session_go_away(session, 0));
	SIDE_EQ(-ECHILD, shmux_session_drain(session, SHMUX_NEVER));
	SIDE_TRUE(shmux_session_counters(session, &counters) <= 0);
	return 0;
}

/* Run in a forked child. Return: what became of it. */
static int in_child(struct shmux_session *session, struct shmux_stream *near, bool close)
{
	int status = -1;
	pid_t pid = fork();

	if (!pid) {
		if (check_inert(session, near))
			_exit(1);
		/* Letting go is allowed and disturbs nobody. */
		if (close) {
			shmux_stream_close(near);
			shmux_session_close(session, shmux_now() + LONG_ENOUGH);
		}
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return status;
}

TEST_F(fork, session_is_inert_in_a_child)
{
	ASSERT_EQ(4, far_write(self->far, "data", 4));
	ASSERT_TRUE(wait_until(shmux_stream_next_len(self->near) == 4));

	EXPECT_EQ(0, in_child(self->session, self->near, false));
	EXPECT_EQ(4, shmux_stream_discard(self->near, 4));
	check_works(_metadata, self->near, self->far);
}

TEST_F(fork, span_of_the_parents_is_submitted_by_the_parent_alone)
{
	struct shmux_span span;
	char buf[8] = "";
	int status = -1;
	pid_t pid;

	NOT_OVER_YAMUX("has no spans");
	ASSERT_EQ(0, shmux_stream_reserve(self->near, 4, &span, 0));
	memcpy(span.data, "span", 4);
	pid = fork();
	if (!pid)
		_exit(shmux_stream_submit(self->near, &span, 4, 0) != -ECHILD || span.data);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);

	EXPECT_EQ(4, shmux_stream_submit(self->near, &span, 4, 0));
	EXPECT_EQ(4, far_read(self->far, buf, sizeof(buf)));
	EXPECT_STREQ("span", buf);
}

TEST_F(fork, closing_in_a_child_does_not_disturb_the_parent)
{
	EXPECT_EQ(0, in_child(self->session, self->near, true));

	check_works(_metadata, self->near, self->far);
	EXPECT_EQ(SHMUX_SESSION_OPEN, shmux_session_state(self->session));
}

TEST_F(fork, event_loop_of_the_parent_outlives_a_childs_close)
{
	struct pollfd fd = { .events = POLLIN };
	struct shmux_event event;
	int n = 0;

	fd.fd = shmux_session_fd(self->session);
	while (shmux_session_pump(self->session, &event, 1) > 0)
		;
	EXPECT_EQ(0, in_child(self->session, self->near, true));
	ASSERT_EQ(1, far_write(self->far, "x", 1));

	while (!n) {
		ASSERT_EQ(1, poll(&fd, 1, 10000));
		n = shmux_session_pump(self->session, &event, 1);
	}
	EXPECT_EQ(1, n);
	EXPECT_EQ(self->near, event.stream);
}

static int64_t read_one(void *arg)
{
	char buf[8];

	return shmux_stream_read(arg, buf, sizeof(buf));
}

static int64_t write_much(void *arg)
{
	size_t len = 16 << 20;
	char *buf = calloc(1, len);
	int64_t ret = shmux_stream_write(arg, buf, len);

	free(buf);
	return ret;
}

static int64_t accept_one(void *arg)
{
	struct shmux_stream *st;

	return shmux_session_accept(arg, 0, &st);
}

TEST_F(fork, death_of_the_peer_wakes_a_blocked_reader)
{
	struct worker reader;
	uint32_t code = 0;

	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot die alone");
	worker_start(&reader, read_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	far_kill(self->far);

	EXPECT_EQ(-ECONNRESET, worker_join(&reader));
	EXPECT_EQ(SHMUX_SESSION_DEAD, shmux_session_state(self->session));
	EXPECT_EQ(0, shmux_stream_reset_code(self->near, &code));
	EXPECT_EQ(SHMUX_CODE_ABANDONED, code);
}

TEST_F(fork, death_of_the_peer_wakes_a_blocked_writer_with_its_count)
{
	struct worker writer;

	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot die alone");
	worker_start(&writer, write_much, self->near);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	far_kill(self->far);

	EXPECT_LT(0, worker_join(&writer));
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(self->near, "x", 1));
}

TEST_F(fork, death_of_the_peer_wakes_every_thread)
{
	struct shmux_stream *st[4];
	struct worker readers[4], acceptor;

	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot die alone");
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st[i]));
		worker_start(&readers[i], read_one, st[i]);
		ASSERT_TRUE(worker_wait_blocked(&readers[i]));
	}
	worker_start(&acceptor, accept_one, self->session);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	far_kill(self->far);

	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(-ECONNRESET, worker_join(&readers[i]));
		shmux_stream_close(st[i]);
	}
	EXPECT_EQ(-ECONNRESET, worker_join(&acceptor));
}

TEST_F(fork, what_had_arrived_can_be_read_after_the_peers_death)
{
	static char buf[100000];
	struct bulk bulk = { .len = 20000, .piece = 700, .seed = 8 };
	uint64_t got = 0;
	ssize_t n;

	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot die alone");
	/* More than the first grant has to wait for our taking note of it. */
	far_begin(self->far, side_bulk_write, &bulk, sizeof(bulk), 0);
	ASSERT_TRUE(wait_until(session_pump(self->session) >= 0 && far_is_done(self->far)));
	ASSERT_EQ(20000, far_finish(self->far, NULL));
	far_kill(self->far);

	while ((n = shmux_stream_read(self->near, buf, sizeof(buf))) > 0) {
		EXPECT_EQ(-1, pattern_check(buf, (size_t)n, got, 8));
		got += (uint64_t)n;
	}
	EXPECT_EQ(-ECONNRESET, n);
	EXPECT_EQ(20000, got);
}

TEST_F(fork, streams_opened_before_the_peers_death_can_be_accepted_and_read)
{
	struct shmux_stream *st;
	char buf[8] = "";

	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot die alone");
	ASSERT_EQ(0, far_open(self->far, 0));
	ASSERT_EQ(4, far_write(self->far, "last", 4));
	ASSERT_EQ(0, far_shutdown(self->far, SHMUX_WRITE));
	far_kill(self->far);

	ASSERT_EQ(0, shmux_session_accept(self->session, 0, &st));
	EXPECT_EQ(4, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_STREQ("last", buf);
	EXPECT_EQ(0, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);
	EXPECT_EQ(-ECONNRESET, shmux_session_accept(self->session, 0, &st));
}

/* A grandchild that holds every descriptor until the pipe @in is closed by us. */
static int64_t side_fork(struct side *side)
{
	const int *pipe_fds = side->in;
	char byte;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, 0);
		close(pipe_fds[1]);
		while (read(pipe_fds[0], &byte, 1) > 0)
			;
		_exit(0);
	}
	return pid;
}

TEST_F(fork, death_is_noticed_though_a_child_of_the_peer_holds_its_descriptors)
{
	struct worker reader;
	struct pair pair;
	struct shmux_stream *st;
	int fds[2];

	NOT_OVER_YAMUX("does not tell which process the peer is");
	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot die alone");
	/* One more session, whose far side knows the pipe. */
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, pair_open(&pair, variant->kind, NULL, NULL));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st));
	ASSERT_LT(0, far_call(&pair.far, side_fork, fds, sizeof(fds), NULL, 0));
	worker_start(&reader, read_one, st);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	far_kill(&pair.far);

	EXPECT_EQ(-ECONNRESET, worker_join(&reader));
	shmux_stream_close(st);
	EXPECT_EQ(0, pair_close(&pair));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(fork, death_is_noticed_by_an_event_loop_though_a_child_holds_the_descriptors)
{
	struct pollfd fd = { .events = POLLIN };
	struct shmux_event events[8];
	struct shmux_stream *st;
	struct pair pair;
	bool dead = false;
	int fds[2], n;

	NOT_OVER_YAMUX("does not tell which process the peer is");
	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot die alone");
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, pair_open(&pair, variant->kind, NULL, NULL));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st));
	ASSERT_LT(0, far_call(&pair.far, side_fork, fds, sizeof(fds), NULL, 0));
	fd.fd = shmux_session_fd(pair.session);
	while (shmux_session_pump(pair.session, events, 8) > 0)
		;
	far_kill(&pair.far);

	while (!dead) {
		ASSERT_EQ(1, poll(&fd, 1, 10000));
		n = shmux_session_pump(pair.session, events, 8);
		for (int i = 0; i < n; i++)
			dead |= !!(events[i].events & SHMUX_EVENT_DEAD);
		dead |= shmux_session_state(pair.session) == SHMUX_SESSION_DEAD;
	}
	shmux_stream_close(st);
	EXPECT_EQ(0, pair_close(&pair));
	close(fds[0]);
	close(fds[1]);
}

/* Exit without closing anything. */
static int64_t side_exit(struct side *side)
{
	(void)side;
	_exit(0);
}

TEST_F(fork, exit_without_closing_is_a_death_too)
{
	char buf[8] = "";

	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot die alone");
	ASSERT_EQ(4, far_write(self->far, "last", 4));
	EXPECT_EQ(SIDE_DEAD, far_run(self->far, side_exit));

	EXPECT_EQ(4, shmux_stream_read(self->near, buf, sizeof(buf)));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(self->near, buf, sizeof(buf)));
	far_kill(self->far);
}

TEST_F(fork, peer_that_is_stopped_is_not_dead)
{
	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot be stopped alone");
	ASSERT_EQ(0, kill(self->far->pid, SIGSTOP));
	EXPECT_EQ(-ETIMEDOUT,
		  shmux_session_ping(self->session, shmux_now() + 50 * MSEC, NULL));
	EXPECT_EQ(SHMUX_SESSION_OPEN, shmux_session_state(self->session));

	ASSERT_EQ(0, kill(self->far->pid, SIGCONT));
	check_works(_metadata, self->near, self->far);
}

TEST_HARNESS_MAIN
