// SPDX-License-Identifier: LGPL-2.1-or-later
/* session.c - sessions: opening and accepting streams, leaving, looking at them */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "harness.h"
#include "linux/shmux.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "process.h"

#define SOON (20 * MSEC)

FIXTURE(session)
{
	struct pair pair;
	struct far *far;
	struct shmux_session *near;
};

PAIR_VARIANTS(session);

FIXTURE_SETUP(session)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, SESSION_OPTIONS(.streams_max = 40),
			       SESSION_OPTIONS(.backlog = 16, .streams_max = 20)));
	self->far = &self->pair.far;
	self->near = self->pair.session;
}

FIXTURE_TEARDOWN(session)
{
	PAIR_TEARDOWN(&self->pair);
}

/* A stream opened at either side carries bytes both ways. */
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

/* In a test: what arrives of it. */
#define CODE(code) (pair_is_yamux(variant->kind) ? SHMUX_CODE_NONE : (code))

/* The peer has reset @st for @code, as one learns by reading and writing. */
static void check_refused(struct __test_metadata *_metadata, struct shmux_stream *st, uint32_t code)
{
	uint32_t seen = ~0u;
	char buf[8];

	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(st, "x", 1));
	EXPECT_EQ(0, shmux_stream_reset_code(st, &seen));
	EXPECT_EQ(code, seen);
}

/* The peer's go-away may be what is known of its end. */
static bool is_over(int ret)
{
	return ret == -ECONNRESET || ret == -ESHUTDOWN;
}

static void check_dead(struct __test_metadata *_metadata, struct shmux_session *session)
{
	struct shmux_stream *st;

	EXPECT_TRUE(is_over(shmux_session_open(session, 0, &st)));
	EXPECT_TRUE(is_over(shmux_session_accept(session, 0, &st)));
	EXPECT_EQ(-ECONNRESET, shmux_session_ping(session, shmux_now() + LONG_ENOUGH, NULL));
	EXPECT_EQ(SHMUX_SESSION_DEAD, shmux_session_state(session));
}

/* Accept until there is none. Return: how many, or -errno. */
static int64_t side_accept_all(struct side *side)
{
	struct shmux_stream *st;
	int64_t nr = 0;
	int ret;

	while (!(ret = shmux_session_accept(side->session, SHMUX_NOWAIT, &st))) {
		side_add(side, st);
		nr++;
	}
	return ret == -EAGAIN ? nr : ret;
}

static int64_t side_close_all(struct side *side)
{
	for (size_t i = 0; i < side->nr_streams; i++)
		shmux_stream_close(side->streams[i]);
	side->nr_streams = 0;
	return 0;
}

TEST_F(session, either_side_opens_streams)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	check_works(_metadata, st, self->far);
	shmux_stream_close(st);

	ASSERT_EQ(0, far_open(self->far, SHMUX_STREAM_BYTES));
	ASSERT_EQ(0, shmux_session_accept(self->near, 0, &st));
	check_works(_metadata, st, self->far);
	shmux_stream_close(st);
}

TEST_F(session, both_sides_may_open_at_once)
{
	struct shmux_stream *opened, *accepted;
	char buf[8] = "";

	ASSERT_EQ(0, shmux_session_open(self->near, 0, &opened));
	ASSERT_EQ(0, far_open(self->far, 0));
	ASSERT_EQ(4, far_write(self->far, "mine", 4));
	ASSERT_EQ(0, shmux_session_accept(self->near, 0, &accepted));
	EXPECT_NE(shmux_stream_id(opened), shmux_stream_id(accepted));
	EXPECT_EQ(4, shmux_stream_read(accepted, buf, sizeof(buf)));

	ASSERT_EQ(0, far_accept(self->far, 0));
	check_works(_metadata, opened, self->far);
	shmux_stream_close(opened);
	shmux_stream_close(accepted);
}

TEST_F(session, stream_can_be_written_to_before_it_is_accepted)
{
	struct shmux_stream *st;
	char buf[8] = "";

	ASSERT_EQ(0, shmux_session_open(self->near, 0, &st));
	ASSERT_EQ(5, shmux_stream_write(st, "early", 5));
	shmux_stream_close(st);

	ASSERT_EQ(0, far_accept(self->far, 0));
	EXPECT_EQ(5, far_read(self->far, buf, sizeof(buf)));
	EXPECT_STREQ("early", buf);
	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
}

TEST_F(session, streams_are_accepted_in_the_order_of_their_opening)
{
	struct shmux_stream *st[10];
	char byte;

	for (int i = 0; i < 10; i++) {
		byte = (char)('0' + i);
		ASSERT_EQ(0, shmux_session_open(self->near, 0, &st[i]));
		ASSERT_EQ(1, shmux_stream_write(st[i], &byte, 1));
	}
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, far_accept(self->far, 0));
		ASSERT_EQ(1, far_read(self->far, &byte, 1));
		EXPECT_EQ('0' + i, byte);
		shmux_stream_close(st[i]);
	}
}

static int64_t accept_one(void *arg)
{
	struct shmux_stream *st;
	int ret = shmux_session_accept(arg, 0, &st);

	if (!ret)
		shmux_stream_close(st);
	return ret;
}

TEST_F(session, blocked_accept_wakes_when_the_peer_opens)
{
	struct worker acceptor;

	worker_start(&acceptor, accept_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	ASSERT_EQ(0, far_open(self->far, 0));

	EXPECT_EQ(0, worker_join(&acceptor));
}

TEST_F(session, accept_of_none_is_eagain)
{
	struct shmux_stream *st;

	EXPECT_EQ(-EAGAIN, shmux_session_accept(self->near, SHMUX_NOWAIT, &st));
	EXPECT_EQ(-EAGAIN, far_accept(self->far, SHMUX_NOWAIT));
}

TEST_F(session, unknown_flags_are_refused)
{
	struct shmux_stream *st;

	EXPECT_EQ(-EINVAL, shmux_session_open(self->near, 0x80, &st));
	EXPECT_EQ(-EINVAL, shmux_session_accept(self->near, 0x80 | SHMUX_NOWAIT, &st));
}

TEST_F(session, full_backlog_resets_the_stream_with_its_own_code)
{
	struct shmux_stream *st[18];

	for (int i = 0; i < 18; i++) {
		ASSERT_EQ(0, shmux_session_open(self->near, 0, &st[i]));
	}
	ASSERT_LE(0, far_pump(self->far));
	check_refused(_metadata, st[16], CODE(SHMUX_CODE_BACKLOG));
	check_refused(_metadata, st[17], CODE(SHMUX_CODE_BACKLOG));

	/* Those that wait are not disturbed. */
	EXPECT_EQ(16, far_run(self->far, side_accept_all));
	for (int i = 0; i < 16; i++) {
		EXPECT_EQ(1, shmux_stream_write(st[i], "x", 1));
	}
	for (int i = 0; i < 18; i++)
		shmux_stream_close(st[i]);
}

TEST_F(session, streams_beyond_the_peers_limit_are_reset_with_its_own_code)
{
	struct shmux_stream *st[22];

	for (int i = 0; i < 22; i++) {
		ASSERT_EQ(0, shmux_session_open(self->near, 0, &st[i]));
		if (i == 10) {
			EXPECT_EQ(11, far_run(self->far, side_accept_all));
		}
	}
	EXPECT_EQ(9, far_run(self->far, side_accept_all));
	check_refused(_metadata, st[20], CODE(SHMUX_CODE_LIMIT));
	check_refused(_metadata, st[21], CODE(SHMUX_CODE_LIMIT));

	/* Closing makes room. */
	for (int i = 0; i < 22; i++)
		shmux_stream_close(st[i]);
	far_run(self->far, side_close_all);
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st[0]));
	check_works(_metadata, st[0], self->far);
	shmux_stream_close(st[0]);
}

static int64_t side_open_fifteen(struct side *side)
{
	struct shmux_stream *st;

	for (int i = 0; i < 15; i++) {
		SIDE_EQ(0, shmux_session_open(side->session, 0, &st));
		side_add(side, st);
	}
	return 0;
}

TEST_F(session, streams_that_both_have_opened_count_against_the_limit)
{
	struct shmux_stream *st[6];

	ASSERT_EQ(0, far_run(self->far, side_open_fifteen));
	for (int i = 0; i < 6; i++) {
		ASSERT_EQ(0, shmux_session_open(self->near, 0, &st[i]));
	}
	EXPECT_EQ(5, far_run(self->far, side_accept_all));
	check_refused(_metadata, st[5], CODE(SHMUX_CODE_LIMIT));
	for (int i = 0; i < 6; i++)
		shmux_stream_close(st[i]);
}

TEST_F(session, opening_beyond_ones_own_limit_is_enospc)
{
	struct shmux_stream *st[40], *beyond;

	/* Forty are ours; the peer resets some of them, but they are still open here. */
	for (int i = 0; i < 40; i++) {
		ASSERT_EQ(0, shmux_session_open(self->near, 0, &st[i]));
	}
	EXPECT_EQ(-ENOSPC, shmux_session_open(self->near, 0, &beyond));

	shmux_stream_reset(st[7], SHMUX_CODE_USER);
	shmux_stream_close(st[7]);
	EXPECT_EQ(0, shmux_session_open(self->near, 0, &st[7]));
	for (int i = 0; i < 40; i++)
		shmux_stream_close(st[i]);
}

TEST_F(session, after_go_away_neither_side_opens_streams)
{
	struct shmux_stream *st;

	EXPECT_EQ(SHMUX_SESSION_OPEN, shmux_session_state(self->near));
	EXPECT_EQ(SHMUX_SESSION_OPEN, far_state(self->far));
	ASSERT_EQ(0, shmux_session_go_away(self->near, 0));

	EXPECT_EQ(-ESHUTDOWN, shmux_session_open(self->near, 0, &st));
	ASSERT_LE(0, far_pump(self->far));
	EXPECT_EQ(-ESHUTDOWN, far_open(self->far, 0));
	EXPECT_EQ(-ESHUTDOWN, far_accept(self->far, 0));
	EXPECT_EQ(-ESHUTDOWN, far_accept(self->far, SHMUX_NOWAIT));
	EXPECT_EQ(SHMUX_SESSION_GOING_AWAY, shmux_session_state(self->near));
	EXPECT_EQ(SHMUX_SESSION_GOING_AWAY, far_state(self->far));
}

TEST_F(session, streams_run_on_after_go_away)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	ASSERT_EQ(0, shmux_session_go_away(self->near, 0));

	check_works(_metadata, st, self->far);
	shmux_stream_close(st);
}

TEST_F(session, streams_opened_before_go_away_are_still_accepted)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_session_open(self->near, 0, &st));
	ASSERT_EQ(0, shmux_session_go_away(self->near, 0));

	ASSERT_EQ(0, far_accept(self->far, 0));
	check_works(_metadata, st, self->far);
	EXPECT_EQ(-ESHUTDOWN, far_accept(self->far, 0));
	shmux_stream_close(st);
}

static int64_t side_go_away(struct side *side)
{
	return shmux_session_go_away(side->session, SHMUX_CODE_USER);
}

TEST_F(session, blocked_accept_wakes_at_the_peers_go_away)
{
	struct worker acceptor;

	worker_start(&acceptor, accept_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	ASSERT_EQ(0, far_run(self->far, side_go_away));

	EXPECT_EQ(-ESHUTDOWN, worker_join(&acceptor));
}

TEST_F(session, blocked_accept_wakes_when_the_peer_closes)
{
	struct worker acceptor;

	worker_start(&acceptor, accept_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	far_close_session(self->far);

	EXPECT_TRUE(is_over((int)worker_join(&acceptor)));
}

static int64_t drain(void *arg)
{
	return shmux_session_drain(arg, shmux_now() + LONG_ENOUGH);
}

TEST_F(session, drain_waits_until_no_stream_is_open)
{
	struct shmux_stream *st;
	struct worker drainer;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	ASSERT_EQ(0, shmux_session_go_away(self->near, 0));
	worker_start(&drainer, drain, self->near);
	ASSERT_TRUE(worker_wait_blocked(&drainer));
	shmux_stream_close(st);
	far_close(self->far);

	EXPECT_EQ(0, worker_join(&drainer));
	EXPECT_EQ(0, shmux_session_drain(self->near, 1));
}

TEST_F(session, closing_drains_first)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	shmux_stream_close(st);
	far_close(self->far);

	EXPECT_EQ(0, shmux_session_close(self->near, shmux_now() + LONG_ENOUGH));
	self->pair.session = NULL;
}

TEST_F(session, closing_never_waits_for_a_silent_peer_beyond_the_deadline)
{
	uint64_t start;
	struct shmux_stream *st;
	char buf[8];

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	start = shmux_now();
	EXPECT_EQ(-ETIMEDOUT, shmux_session_close(self->near, start + SOON));
	self->pair.session = NULL;

	EXPECT_LE(start + SOON, shmux_now());
	EXPECT_LT(shmux_now(), start + LONG_ENOUGH);
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(st, "x", 1));
	shmux_stream_close(st);
}

TEST_F(session, closing_with_no_deadline_does_not_wait)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));

	EXPECT_EQ(-ETIMEDOUT, shmux_session_close(self->near, 0));
	self->pair.session = NULL;
	shmux_stream_close(st);
}

TEST_F(session, what_was_written_before_closing_can_still_be_read)
{
	struct shmux_stream *st;
	char buf[8] = "";

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	ASSERT_EQ(5, shmux_stream_write(st, "hello", 5));
	shmux_stream_close(st);
	shmux_session_close(self->near, 0);
	self->pair.session = NULL;

	EXPECT_EQ(5, far_read(self->far, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
}

/* Fill the ring, close the stream and then the session. Return: bytes written. */
static int64_t side_write_and_leave(struct side *side)
{
	int64_t nr = 0;

	while (shmux_stream_try_write(side->stream, "x", 1) == 1)
		nr++;
	shmux_stream_close(side->stream);
	side->stream = NULL;
	shmux_session_close(side->session, 0);
	side->session = NULL;
	return nr;
}

TEST_F(session, end_of_a_stream_is_told_though_the_ring_was_full_when_the_peer_left)
{
	const struct shmux_session_options *options =
		SESSION_OPTIONS(.ring_slots = 64, .first_grant = 1 << 20);
	struct shmux_stream *st;
	struct pair pair;
	int64_t written;
	char byte;

	NOT_OVER_YAMUX("has no ring");
	ASSERT_EQ(0, pair_open(&pair, variant->kind, options, options));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st));
	written = far_run(&pair.far, side_write_and_leave);
	ASSERT_LT(0, written);

	for (int64_t i = 0; i < written; i++) {
		ASSERT_EQ(1, shmux_stream_read(st, &byte, 1));
	}
	EXPECT_EQ(0, shmux_stream_read(st, &byte, 1));
	shmux_stream_close(st);
	EXPECT_EQ(0, pair_close(&pair));
}

/* Bytes until the end of the stream, or the error. */
static int64_t side_count_to_the_end(struct side *side)
{
	int64_t nr = 0;
	ssize_t n;
	char byte;

	shmux_stream_set_deadline(side->stream, SHMUX_READ, shmux_now() + UINT64_C(10000000000));
	while ((n = shmux_stream_read(side->stream, &byte, 1)) == 1)
		nr++;
	return n ? n : nr;
}

TEST_F(session, half_close_into_a_full_ring_is_told_without_a_further_call)
{
	const struct shmux_session_options *options =
		SESSION_OPTIONS(.ring_slots = 64, .first_grant = 1 << 20);
	struct shmux_stream *st;
	int64_t written = 0;
	struct pair pair;

	ASSERT_EQ(0, pair_open(&pair, variant->kind, options, options));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st));
	while (shmux_stream_try_write(st, "x", 1) == 1)
		written++;
	ASSERT_LT(0, written);
	ASSERT_EQ(0, shmux_stream_shutdown(st, SHMUX_WRITE));

	EXPECT_EQ(written, pair_call(&pair, side_count_to_the_end, NULL, 0, NULL, 0));
	shmux_stream_close(st);
	EXPECT_EQ(0, pair_close(&pair));
}

TEST_F(session, stream_that_was_open_when_the_peer_closed_is_reset_after_its_bytes)
{
	struct shmux_stream *st;
	char buf[8] = "";
	uint32_t code = 0;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	ASSERT_EQ(5, shmux_stream_write(st, "hello", 5));
	shmux_session_close(self->near, 0);
	self->pair.session = NULL;

	EXPECT_EQ(5, far_read(self->far, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
	EXPECT_EQ(-ECONNRESET, far_read(self->far, buf, sizeof(buf)));
	EXPECT_EQ(0, far_reset_code(self->far, &code));
	EXPECT_EQ(SHMUX_CODE_ABANDONED, code);
	EXPECT_EQ(SHMUX_SESSION_DEAD, far_state(self->far));
	shmux_stream_close(st);
}

TEST_F(session, stream_that_waited_to_be_accepted_can_still_be_after_the_peer_closed)
{
	struct shmux_stream *st;
	char buf[8] = "";

	ASSERT_EQ(0, shmux_session_open(self->near, 0, &st));
	ASSERT_EQ(5, shmux_stream_write(st, "hello", 5));
	shmux_stream_close(st);
	shmux_session_close(self->near, 0);
	self->pair.session = NULL;

	ASSERT_EQ(0, far_accept(self->far, 0));
	EXPECT_EQ(5, far_read(self->far, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
	EXPECT_EQ(0, far_read(self->far, buf, sizeof(buf)));
}

TEST_F(session, peer_that_closed_leaves_a_dead_session)
{
	far_close_session(self->far);

	ASSERT_TRUE(wait_until(session_pump(self->near) < 0 ||
			       shmux_session_state(self->near) == SHMUX_SESSION_DEAD));
	check_dead(_metadata, self->near);
}

TEST_F(session, close_wakes_the_accept_blocked_in_another_thread)
{
	struct worker acceptor;

	worker_start(&acceptor, accept_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	shmux_session_close(self->near, 0);
	self->pair.session = NULL;

	EXPECT_NE(0, worker_join(&acceptor));
}

TEST_F(session, closing_nothing_is_allowed)
{
	EXPECT_EQ(0, shmux_session_close(NULL, 0));
}

TEST_F(session, ping_is_answered_while_the_peer_is_in_a_call)
{
	uint64_t rtt = 0;
	struct shmux_stream *st;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	far_begin(self->far, side_echo, NULL, 0, 0);
	for (int i = 0; i < 10; i++) {
		EXPECT_EQ(0, shmux_session_ping(self->near, shmux_now() + LONG_ENOUGH, &rtt));
	}
	EXPECT_LT(0, rtt);
	EXPECT_LT(rtt, LONG_ENOUGH);
	EXPECT_EQ(0, shmux_session_ping(self->near, shmux_now() + LONG_ENOUGH, NULL));
	ASSERT_EQ(0, shmux_stream_shutdown(st, SHMUX_WRITE));
	EXPECT_EQ(0, far_finish(self->far, NULL));
	shmux_stream_close(st);
}

static int64_t side_role(struct side *side)
{
	return (int)shmux_session_role(side->session);
}

TEST_F(session, each_side_knows_its_role)
{
	EXPECT_EQ(SHMUX_ROLE_DIALLER, shmux_session_role(self->near));
	EXPECT_EQ(SHMUX_ROLE_ACCEPTOR, far_run(self->far, side_role));
}

static int64_t side_peer(struct side *side)
{
	shmux_session_peer(side->session, side->out);
	return getpid();
}

TEST_F(session, each_side_knows_who_the_peer_is)
{
	struct shmux_peer peer, ours;
	pid_t pid = (pid_t)far_call(self->far, side_peer, NULL, 0, &peer, sizeof(peer));

	NOT_OVER_YAMUX("does not tell who the peer is");
	EXPECT_EQ(getpid(), peer.pid);
	EXPECT_EQ(geteuid(), peer.uid);
	EXPECT_EQ(getegid(), peer.gid);
	shmux_session_peer(self->near, &ours);
	EXPECT_EQ(pid, ours.pid);
	EXPECT_EQ(geteuid(), ours.uid);
	EXPECT_EQ(getegid(), ours.gid);
	if (variant->kind != PAIR_SAME_PROCESS) {
		EXPECT_NE(getpid(), ours.pid);
	}
}

TEST_F(session, counters_count_bytes_and_streams)
{
	struct shmux_session_counters near, far;
	struct shmux_stream *st;
	char buf[8];

	ASSERT_EQ(0, shmux_session_open(self->near, 0, &st));
	ASSERT_EQ(5, shmux_stream_write(st, "hello", 5));
	ASSERT_LE(0, far_pump(self->far));
	ASSERT_EQ(0, far_counters(self->far, &far));
	EXPECT_EQ(1, far.accept_depth);
	EXPECT_EQ(5, far.rx_queued);
	EXPECT_LE(5, far.granted);

	ASSERT_EQ(0, far_accept(self->far, 0));
	ASSERT_EQ(5, far_read(self->far, buf, sizeof(buf)));
	near = session_counters(self->near);
	ASSERT_EQ(0, far_counters(self->far, &far));
	EXPECT_EQ(5, near.bytes_sent);
	EXPECT_EQ(5, far.bytes_received);
	EXPECT_EQ(0, near.bytes_received);
	EXPECT_LE(2, near.frames_sent);
	EXPECT_EQ(near.frames_sent, far.frames_received);
	EXPECT_EQ(1, near.streams_open);
	EXPECT_EQ(1, far.streams_open);
	EXPECT_EQ(1, near.streams_opened);
	EXPECT_EQ(1, far.streams_opened);
	EXPECT_EQ(0, far.accept_depth);
	EXPECT_EQ(0, far.rx_queued);

	shmux_stream_close(st);
	far_close(self->far);
	ASSERT_TRUE(wait_until(session_pump(self->near) >= 0 &&
			       !session_counters(self->near).streams_open));
	EXPECT_EQ(1, session_counters(self->near).streams_opened);
}

TEST_F(session, counters_tell_how_much_of_the_ring_and_arena_is_in_use)
{
	struct shmux_session_counters counters;
	struct shmux_stream *st;
	struct shmux_span span;

	NOT_OVER_YAMUX("has neither");
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	ASSERT_LE(0, far_pump(self->far));
	EXPECT_EQ(0, session_counters(self->near).ring_depth);
	ASSERT_LT(0, shmux_stream_try_write(st, "unread", 6));
	EXPECT_EQ(1, session_counters(self->near).ring_depth);
	ASSERT_LE(0, far_pump(self->far));
	EXPECT_EQ(0, session_counters(self->near).ring_depth);

	/* A grant that is large enough has to come first. */
	far_begin(self->far, side_echo, NULL, 0, 0);
	ASSERT_EQ(0, shmux_stream_reserve(st, 20000, &span, 0));
	counters = session_counters(self->near);
	EXPECT_LE(20000, counters.arena_used);
	shmux_stream_cancel(st, &span);
	EXPECT_EQ(0, session_counters(self->near).arena_used);
	ASSERT_EQ(0, shmux_stream_shutdown(st, SHMUX_WRITE));
	EXPECT_EQ(6, far_finish(self->far, NULL));
	shmux_stream_close(st);
}

TEST_F(session, counters_that_do_not_say_their_size_are_refused)
{
	struct shmux_session_counters counters = { .size = 0 };

	EXPECT_EQ(-EINVAL, shmux_session_counters(self->near, &counters));
}

/* How many streams can be opened and closed in 4 s, at most 3 million. */
enum {
	NR_CHURN = 3000000
};

TEST_F_TIMEOUT(session, ids_never_run_out, 60)
{
	struct shmux_stream *near, *far;
	uint64_t end = shmux_now() + 4 * SEC;
	uint64_t nr = 0;

	if (variant->kind != PAIR_SAME_PROCESS)
		SKIP(return, "one thread does it all");
	while (nr < NR_CHURN && (nr % 1024 || shmux_now() < end)) {
		ASSERT_EQ(0, shmux_session_open(self->near, 0, &near));
		ASSERT_EQ(0, shmux_session_accept(self->far->side.session, SHMUX_NOWAIT, &far));
		shmux_stream_close(near);
		shmux_stream_close(far);
		nr++;
	}
	TH_LOG("%llu streams opened and closed", (unsigned long long)nr);
	EXPECT_EQ(nr, session_counters(self->near).streams_opened);
	EXPECT_LT(100000, nr);
	ASSERT_EQ(0, shmux_session_drain(self->near, shmux_now() + LONG_ENOUGH));
	EXPECT_EQ(0, session_counters(self->far->side.session).streams_open);
}

/* Accept, echo, close, until the go-away. Return: how many streams. */
static int64_t side_serve(struct side *side)
{
	struct shmux_stream *st;
	int64_t nr = 0;
	char buf[64];
	ssize_t n;

	while (!shmux_session_accept(side->session, 0, &st)) {
		n = shmux_stream_read(st, buf, sizeof(buf));
		SIDE_EQ(n, shmux_stream_write(st, buf, (size_t)n));
		SIDE_EQ(0, shmux_stream_read(st, buf, sizeof(buf)));
		shmux_stream_close(st);
		nr++;
	}
	return nr;
}

TEST_F(session, thousands_of_short_streams_follow_one_another)
{
	struct shmux_stream *st;
	uint32_t seen;

	far_begin(self->far, side_serve, NULL, 0, 0);
	for (uint32_t i = 0; i < 5000; i++) {
		ASSERT_EQ(0, shmux_session_open(self->near, 0, &st));
		ASSERT_EQ(4, shmux_stream_write(st, &i, 4));
		ASSERT_EQ(0, shmux_stream_shutdown(st, SHMUX_WRITE));
		ASSERT_EQ(4, shmux_stream_read(st, &seen, 4));
		ASSERT_EQ(i, seen);
		ASSERT_EQ(0, shmux_stream_read(st, &seen, 4));
		shmux_stream_close(st);
	}
	ASSERT_EQ(0, shmux_session_go_away(self->near, 0));
	EXPECT_EQ(5000, far_finish(self->far, NULL));
}

static int64_t side_attach_as_dialler(struct side *side)
{
	struct shmux_session *session;
	int ret = shmux_session_attach(side->fd, SHMUX_ROLE_DIALLER, NULL,
				       shmux_now() + LONG_ENOUGH, &session);

	side->fd = -1;
	if (!ret)
		shmux_session_close(session, 0);
	return ret;
}

/* Without a session at first. */
FIXTURE(attach)
{
	struct far far;
	int nr_fds;
	int fds[2];
};

FIXTURE_SETUP(attach)
{
	self->nr_fds = process_nr_fds();
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, self->fds));
}

FIXTURE_TEARDOWN(attach)
{
	EXPECT_EQ(self->nr_fds, process_nr_fds());
	EXPECT_FALSE(process_leaks());
}

TEST_F(attach, goes_over_a_stream_socket_in_either_role)
{
	struct shmux_session *session = NULL;

	ASSERT_EQ(0, far_start_with(&self->far, FAR_CHILD, self->fds[1], self->fds[0]));
	far_begin(&self->far, side_attach_as_dialler, NULL, 0, 0);

	EXPECT_EQ(0, shmux_session_attach(self->fds[0], SHMUX_ROLE_ACCEPTOR, NULL,
					  shmux_now() + LONG_ENOUGH, &session));
	EXPECT_EQ(0, far_finish(&self->far, NULL));
	EXPECT_EQ(SHMUX_ROLE_ACCEPTOR, shmux_session_role(session));
	shmux_session_close(session, 0);
	EXPECT_EQ(0, far_stop(&self->far));
}

static int64_t side_attach_as_acceptor(struct side *side)
{
	int fd = side->fd;

	side->fd = -1;
	return shmux_session_attach(fd, SHMUX_ROLE_ACCEPTOR, NULL, shmux_now() + LONG_ENOUGH,
				    &side->session);
}

TEST_F(attach, to_a_pair_that_was_made_before_the_fork_joins_the_two)
{
	struct shmux_session *session = NULL;
	struct shmux_peer peer;

	close(self->fds[0]);
	close(self->fds[1]);
	ASSERT_EQ(0, shmux_session_pair(self->fds));
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->fds[0], F_GETFD));
	EXPECT_EQ(FD_CLOEXEC, fcntl(self->fds[1], F_GETFD));
	ASSERT_EQ(0, far_start_with(&self->far, FAR_CHILD, self->fds[1], self->fds[0]));
	far_begin(&self->far, side_attach_as_acceptor, NULL, 0, 0);

	EXPECT_EQ(0, shmux_session_attach(self->fds[0], SHMUX_ROLE_DIALLER, NULL,
					  shmux_now() + LONG_ENOUGH, &session));
	EXPECT_EQ(0, far_finish(&self->far, NULL));
	shmux_session_peer(session, &peer);
	EXPECT_EQ(self->far.pid, peer.pid);
	EXPECT_EQ(getuid(), peer.uid);
	shmux_session_close(session, 0);
	EXPECT_EQ(0, far_stop(&self->far));
}

TEST_F(attach, to_a_pair_whose_other_end_is_closed_is_econnreset)
{
	struct shmux_session *session;
	int fds[2];

	close(self->fds[0]);
	close(self->fds[1]);
	ASSERT_EQ(0, shmux_session_pair(fds));
	close(fds[1]);
	EXPECT_EQ(-ECONNRESET, shmux_session_attach(fds[0], SHMUX_ROLE_DIALLER, NULL,
						    shmux_now() + LONG_ENOUGH, &session));
	EXPECT_EQ(-1, fcntl(fds[0], F_GETFD));
}

/* A file of the device's, instead of the pair. */
static int device_instead(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
	return open(SHMUX_DEVICE, O_RDWR | O_CLOEXEC);
}

#define EXPECT_NOT_TO_ATTACH(fd)                                                                \
	do {                                                                                    \
		struct shmux_session *session_;                                                 \
                                                                                                \
		EXPECT_EQ(-EINVAL, shmux_session_attach(fd, SHMUX_ROLE_DIALLER, NULL,           \
							shmux_now() + LONG_ENOUGH, &session_)); \
		EXPECT_EQ(-1, fcntl(fd, F_GETFD));                                              \
	} while (0)

TEST_F(attach, to_the_device_as_it_comes_fails)
{
	int fd = device_instead(self->fds);

	if (fd < 0)
		SKIP(return, "there is no " SHMUX_DEVICE " to use");
	EXPECT_NOT_TO_ATTACH(fd);
}

TEST_F(attach, to_what_listens_at_the_device_fails)
{
	struct shmux_ioc_listen listen = { .size = sizeof(listen), .backlog = 1, .mode = 0600 };
	int fd = device_instead(self->fds);

	if (fd < 0)
		SKIP(return, "there is no " SHMUX_DEVICE " to use");
	name_make((char *)listen.name);
	ASSERT_EQ(0, ioctl(fd, SHMUX_IOC_LISTEN, &listen));
	EXPECT_NOT_TO_ATTACH(fd);
}

TEST_F(attach, to_an_end_of_the_device_that_has_a_region_fails)
{
	struct shmux_ioc_create create = {
		.size = sizeof(create),
		.region_size = (uint32_t)sysconf(_SC_PAGESIZE),
		.peer_size_max = SHMUX_REGION_MAX,
	};
	int fd = device_instead(self->fds);

	if (fd < 0)
		SKIP(return, "there is no " SHMUX_DEVICE " to use");
	ASSERT_EQ(0, ioctl(fd, SHMUX_IOC_CREATE, &create));
	EXPECT_NOT_TO_ATTACH(fd);
}

TEST_F(attach, of_two_diallers_fails)
{
	struct shmux_session *session;

	ASSERT_EQ(0, far_start_with(&self->far, FAR_CHILD, self->fds[1], self->fds[0]));
	far_begin(&self->far, side_attach_as_dialler, NULL, 0, 0);

	EXPECT_GT(0, shmux_session_attach(self->fds[0], SHMUX_ROLE_DIALLER, NULL,
					  shmux_now() + LONG_ENOUGH, &session));
	EXPECT_GT(0, far_finish(&self->far, NULL));
	EXPECT_EQ(0, far_stop(&self->far));
}

/* The ends of a pair of the device's do not say which is which. */
TEST_F(attach, of_two_in_the_same_role_over_the_device_is_eproto_at_both)
{
	static int64_t (*const jobs[])(struct side *) = { side_attach_as_dialler,
							  side_attach_as_acceptor };
	struct shmux_session *session;
	int fds[2], i;

	close(self->fds[0]);
	close(self->fds[1]);
	if (access(SHMUX_DEVICE, R_OK | W_OK))
		SKIP(return, "there is no " SHMUX_DEVICE " to use");
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, shmux_session_pair(fds));
		ASSERT_EQ(0, far_start_with(&self->far, FAR_CHILD, fds[1], fds[0]));
		far_begin(&self->far, jobs[i], NULL, 0, 0);

		EXPECT_EQ(-EPROTO,
			  shmux_session_attach(fds[0], i ? SHMUX_ROLE_ACCEPTOR : SHMUX_ROLE_DIALLER,
					       NULL, shmux_now() + LONG_ENOUGH, &session));
		EXPECT_EQ(-EPROTO, far_finish(&self->far, NULL));
		EXPECT_EQ(0, far_stop(&self->far));
	}
}

TEST_F(attach, to_a_peer_that_hung_up_is_econnreset)
{
	struct shmux_session *session;

	close(self->fds[1]);

	EXPECT_EQ(-ECONNRESET, shmux_session_attach(self->fds[0], SHMUX_ROLE_ACCEPTOR, NULL,
						    shmux_now() + LONG_ENOUGH, &session));
	EXPECT_EQ(-1, fcntl(self->fds[0], F_GETFD));
}

TEST_F(attach, to_a_peer_that_talks_nonsense_is_eproto)
{
	char nonsense[4096];
	struct shmux_session *session;

	memset(nonsense, 'x', sizeof(nonsense));
	ASSERT_EQ((ssize_t)sizeof(nonsense), write(self->fds[1], nonsense, sizeof(nonsense)));

	EXPECT_EQ(-EPROTO, shmux_session_attach(self->fds[0], SHMUX_ROLE_ACCEPTOR, NULL,
						shmux_now() + LONG_ENOUGH, &session));
	EXPECT_EQ(-1, fcntl(self->fds[0], F_GETFD));
	close(self->fds[1]);
}

TEST_F(attach, in_an_unknown_role_is_refused_and_closes_the_descriptor)
{
	struct shmux_session *session;

	EXPECT_EQ(-EINVAL, shmux_session_attach(self->fds[0], (enum shmux_role)2, NULL, SHMUX_NEVER,
						&session));
	EXPECT_EQ(-1, fcntl(self->fds[0], F_GETFD));
	close(self->fds[1]);
}

TEST_F(attach, to_what_is_no_socket_fails)
{
	struct shmux_session *session;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	EXPECT_GT(0, shmux_session_attach(fd, SHMUX_ROLE_DIALLER, NULL, shmux_now() + LONG_ENOUGH,
					  &session));
	EXPECT_GT(0, shmux_session_attach(-1, SHMUX_ROLE_DIALLER, NULL, SHMUX_NEVER, &session));
	close(self->fds[0]);
	close(self->fds[1]);
}

TEST_F(attach, uses_at_most_four_descriptors_a_side)
{
	struct pair pair;

	close(self->fds[0]);
	close(self->fds[1]);
	ASSERT_EQ(0, pair_open(&pair, PAIR_SAME_PROCESS, NULL, NULL));

	/* Both sides are here. */
	EXPECT_LE(process_nr_fds(), self->nr_fds + 8);
	EXPECT_LE(0, shmux_session_fd(pair.session));
	EXPECT_LE(0, shmux_session_fd(pair.far.side.session));
	EXPECT_LE(process_nr_fds(), self->nr_fds + 8);
	EXPECT_EQ(0, pair_close(&pair));
}

TEST_F(attach, leaves_every_descriptor_close_on_exec)
{
	bool inherited[64];
	struct pair pair;

	close(self->fds[0]);
	close(self->fds[1]);
	for (int fd = 0; fd < 64; fd++)
		inherited[fd] = fcntl(fd, F_GETFD) >= 0;
	ASSERT_EQ(0, pair_open(&pair, PAIR_SAME_PROCESS, NULL, NULL));
	EXPECT_LE(0, shmux_session_fd(pair.session));

	for (int fd = 0; fd < 64; fd++) {
		int flags = fcntl(fd, F_GETFD);

		if (flags >= 0 && !inherited[fd]) {
			EXPECT_TRUE(flags & FD_CLOEXEC);
		}
	}
	EXPECT_EQ(0, pair_close(&pair));
}

TEST_F(attach, gives_each_session_an_id_of_its_own)
{
	struct pair one, two;

	close(self->fds[0]);
	close(self->fds[1]);
	ASSERT_EQ(0, pair_open(&one, PAIR_SAME_PROCESS, NULL, NULL));
	ASSERT_EQ(0, pair_open(&two, PAIR_SAME_PROCESS, NULL, NULL));

	EXPECT_NE(shmux_session_id(one.session), shmux_session_id(two.session));
	EXPECT_EQ(0, pair_close(&two));
	EXPECT_EQ(0, pair_close(&one));
}

TEST_HARNESS_MAIN
