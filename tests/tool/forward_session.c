// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * forward_session.c - `shmux forward` from session to session
 *
 * The test dials one name and listens to another, between which streams are joined.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <shmux/shmux.h>

#include "effort.h"
#include "forwarder.h"
#include "harness.h"
#include "linux/shmux_ring.h"
#include "process.h"

FIXTURE(forward_session)
{
	char near[NAME_SIZE], far[NAME_SIZE];
	struct forwarder forwarder;
	struct shmux_listener *listener;
	struct shmux_session *client; /* with the forwarder */
	struct shmux_session *server; /* which has dialled us; NULL at first */
};

/* A stream, at both its ends. */
struct joined {
	struct shmux_stream *client, *server;
};

static uint64_t soon(void)
{
	return shmux_now() + LONG_ENOUGH;
}

static void set_patience(struct shmux_stream *st)
{
	shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, soon());
}

FIXTURE_SETUP(forward_session)
{
	name_make(self->near);
	name_make(self->far);
	ASSERT_EQ(0, shmux_listener_open(self->far, NULL, &self->listener));
	ASSERT_EQ(0, forwarder_start(&self->forwarder, self->near, self->far, NULL, 0));
	ASSERT_EQ(0, shmux_session_dial(self->near, NULL, soon(), &self->client));
}

FIXTURE_TEARDOWN(forward_session)
{
	shmux_session_close(self->client, 0);
	shmux_session_close(self->server, 0);
	shmux_listener_close(self->listener);
	if (self->forwarder.pid)
		forwarder_end(&self->forwarder, SIGKILL);
}

/* The session in which the forwarder reaches us from now on. */
static int take_server(FIXTURE_DATA(forward_session) * self)
{
	shmux_listener_set_deadline(self->listener, soon());
	return shmux_listener_accept_session(self->listener, 0, &self->server);
}

static int join_from(FIXTURE_DATA(forward_session) * self, struct shmux_session *client,
		     struct joined *j)
{
	int err = shmux_session_open(client, SHMUX_STREAM_BYTES, &j->client);

	if (err)
		return err;
	set_patience(j->client);
	if (!self->server)
		err = take_server(self);
	if (!err)
		shmux_session_set_deadline(self->server, soon());
	if (!err)
		err = shmux_session_accept(self->server, 0, &j->server);
	if (!err)
		set_patience(j->server);
	return err;
}

static int join(FIXTURE_DATA(forward_session) * self, struct joined *j)
{
	return join_from(self, self->client, j);
}

static void part(struct joined *j)
{
	shmux_stream_close(j->client);
	shmux_stream_close(j->server);
}

static bool pass(struct shmux_stream *from, struct shmux_stream *to, const char *word)
{
	ssize_t len = (ssize_t)strlen(word);
	char buf[64] = "";
	struct iovec iov = { .iov_base = buf, .iov_len = (size_t)len };

	return shmux_stream_write(from, word, (size_t)len) == len &&
	       shmux_stream_recv(to, &iov, 1, SHMUX_WAITALL) == len && !strcmp(buf, word);
}

static bool talk(const struct joined *j)
{
	return pass(j->client, j->server, "ping") && pass(j->server, j->client, "pong");
}

static ssize_t hear(struct shmux_stream *st)
{
	char buf[64];

	return shmux_stream_read(st, buf, sizeof(buf));
}

TEST_F(forward_session, half_close_goes_through_and_the_other_direction_runs_on)
{
	struct joined j;

	for (int turn = 0; turn < 2; turn++) {
		struct shmux_stream *first, *second;

		ASSERT_EQ(0, join(self, &j));
		ASSERT_TRUE(talk(&j));
		first = turn ? j.server : j.client;
		second = turn ? j.client : j.server;
		ASSERT_EQ(0, shmux_stream_shutdown(first, SHMUX_WRITE));
		EXPECT_EQ(0, hear(second));
		EXPECT_TRUE(pass(second, first, "still here"));
		ASSERT_EQ(0, shmux_stream_shutdown(second, SHMUX_WRITE));
		EXPECT_EQ(0, hear(first));
		part(&j);
	}
}

TEST_F(forward_session, reset_goes_through_either_way_with_its_code)
{
	struct joined other, j;
	uint32_t code;

	ASSERT_EQ(0, join(self, &other));
	for (int turn = 0; turn < 2; turn++) {
		ASSERT_EQ(0, join(self, &j));
		ASSERT_TRUE(talk(&j));
		shmux_stream_reset(turn ? j.server : j.client, SHMUX_CODE_USER + 77);
		EXPECT_EQ(-ECONNRESET, hear(turn ? j.client : j.server));
		ASSERT_EQ(0, shmux_stream_reset_code(turn ? j.client : j.server, &code));
		EXPECT_EQ(SHMUX_CODE_USER + 77, code);
		part(&j);
		EXPECT_TRUE(talk(&other));
	}
	part(&other);
}

TEST_F(forward_session, stop_sending_goes_through_either_way)
{
	struct joined j;

	for (int turn = 0; turn < 2; turn++) {
		struct shmux_stream *reader, *writer;

		ASSERT_EQ(0, join(self, &j));
		ASSERT_TRUE(talk(&j));
		reader = turn ? j.server : j.client;
		writer = turn ? j.client : j.server;
		ASSERT_EQ(0, shmux_stream_shutdown(reader, SHMUX_READ));
		EXPECT_TRUE(wait_until(shmux_stream_try_write(writer, "", 0) == -EPIPE));
		EXPECT_TRUE(pass(reader, writer, "I still write"));
		part(&j);
	}
}

TEST_F(forward_session, stream_of_messages_is_reset)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_session_open(self->client, SHMUX_STREAM_MESSAGES, &st));
	set_patience(st);
	EXPECT_EQ(-ECONNRESET, hear(st));
	shmux_stream_close(st);
}

TEST_F(forward_session, target_that_goes_away_keeps_its_streams_and_is_dialled_again)
{
	struct shmux_session *before;
	struct joined old, j;

	ASSERT_EQ(0, join(self, &old));
	before = self->server;
	ASSERT_EQ(0, shmux_session_go_away(before, 0));
	self->server = NULL;
	ASSERT_EQ(0, join(self, &j));
	EXPECT_NE(before, self->server);
	EXPECT_TRUE(talk(&j));
	EXPECT_TRUE(talk(&old));
	part(&old);

	/* With its last stream it is over. */
	EXPECT_TRUE(wait_until(shmux_session_state(before) == SHMUX_SESSION_DEAD));
	EXPECT_TRUE(talk(&j));
	part(&j);
	shmux_session_close(before, 0);
}

TEST_F(forward_session, target_that_only_ever_goes_away_costs_each_connection_one_try)
{
	struct shmux_session *extra;
	struct shmux_stream *st;

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, shmux_session_open(self->client, SHMUX_STREAM_BYTES, &st));
		set_patience(st);
		ASSERT_EQ(0, take_server(self));
		shmux_session_close(self->server, 0);
		self->server = NULL;
		EXPECT_EQ(-ECONNRESET, hear(st));
		shmux_stream_close(st);
	}
	EXPECT_EQ(-EAGAIN, shmux_listener_accept_session(self->listener, SHMUX_NOWAIT, &extra));
}

/*
 * Take the session in which the forwarder reaches us, and go away before it looks.
 * Return: 0, or -errno.
 */
static int turn_away(FIXTURE_DATA(forward_session) * self)
{
	pid_t pid = self->forwarder.pid;
	uint64_t until = soon();
	int err;

	do {
		usleep(1000);
		if (kill(pid, SIGSTOP) || !wait_until(process_state(pid, pid) == 'T'))
			return -ESRCH;
		err = shmux_listener_accept_session(self->listener, SHMUX_NOWAIT, &self->server);
		if (!err)
			err = shmux_session_go_away(self->server, 0);
		kill(pid, SIGCONT);
	} while (err == -EAGAIN && shmux_now() < until);
	return err;
}

TEST_F(forward_session, target_that_has_gone_away_before_its_first_stream_is_not_dialled_again)
{
	struct shmux_session *extra;
	struct shmux_stream *st;

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, shmux_session_open(self->client, SHMUX_STREAM_BYTES, &st));
		set_patience(st);
		ASSERT_EQ(0, turn_away(self));
		EXPECT_EQ(-ECONNRESET, hear(st));
		EXPECT_EQ(-EAGAIN, shmux_listener_accept_session(self->listener, SHMUX_NOWAIT,
								 &extra));
		shmux_session_close(self->server, 0);
		self->server = NULL;
		shmux_stream_close(st);
	}
}

TEST_F(forward_session, client_that_dies_takes_its_own_connections_along_and_no_others)
{
	struct shmux_session *another;
	struct joined j, other;

	ASSERT_EQ(0, shmux_session_dial(self->near, NULL, soon(), &another));
	ASSERT_EQ(0, join(self, &other));
	ASSERT_EQ(0, join_from(self, another, &j));
	ASSERT_TRUE(talk(&j));
	shmux_session_close(another, 0);

	EXPECT_EQ(-ECONNRESET, hear(j.server));
	EXPECT_TRUE(talk(&other));
	part(&j);
	part(&other);
}

TEST_F(forward_session, first_signal_lets_streams_run_to_their_end_and_opens_no_more)
{
	struct shmux_stream *st;
	struct joined j;
	int err;

	ASSERT_EQ(0, join(self, &j));
	ASSERT_TRUE(talk(&j));
	ASSERT_EQ(0, kill(self->forwarder.pid, SIGTERM));
	EXPECT_TRUE(wait_until((err = shmux_session_open(self->client, SHMUX_STREAM_BYTES, &st)) ||
			       (shmux_stream_close(st), false)));
	EXPECT_EQ(-ESHUTDOWN, err);
	EXPECT_TRUE(talk(&j));
	part(&j);
	shmux_session_close(self->server, 0);
	self->server = NULL;
	EXPECT_EQ(0, forwarder_wait(&self->forwarder));
}

TEST_F(forward_session, thousands_of_streams_share_two_sessions)
{
	enum {
		NR = 5000
	};
	static struct joined j[NR];
	uint32_t nr = effort_count(NR);
	int64_t before = forwarder_rss(&self->forwarder), each;

	for (uint32_t i = 0; i < nr; i++)
		ASSERT_EQ(0, join(self, &j[i]));
	for (uint32_t i = nr; i--;)
		ASSERT_TRUE(talk(&j[i]));
	EXPECT_EQ((int)nr, forwarder_nr_open(&self->forwarder));
	each = (forwarder_rss(&self->forwarder) - before) / nr;
	fprintf(stderr, "# %u streams: %lld bytes each\n", nr, (long long)each);
	if (!process_is_sanitized())
		EXPECT_GT(4096, each);
	for (uint32_t i = 0; i < nr; i++)
		part(&j[i]);
	/* What found a ring full is said by a later call. */
	EXPECT_TRUE(wait_until(shmux_session_state(self->client) == SHMUX_SESSION_OPEN &&
			       shmux_session_state(self->server) == SHMUX_SESSION_OPEN &&
			       forwarder_nr_open(&self->forwarder) == 0));
}

TEST_HARNESS_MAIN
