// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * exhaustion.c - a session of yamux that has used up its ids, and what a context does
 *
 * A wire has 2^31 ids for each side, and none is used twice. So that a test need not
 * open as many streams it has all but a few of them left out.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmux/shmux.h>

#include "harness.h"
#include "far.h"
#include "process.h"

#include "core/core.h"
#include "link/bytes.h"

FIXTURE(exhaustion)
{
	char address[SHMUX_ADDRESS_MAX];
	struct shmux_context *context;
	struct shmux_stream *st[4];
	struct far server;
};

static void echo_byte(struct shmux_stream *st)
{
	char byte;

	if (shmux_stream_read(st, &byte, 1) == 1)
		shmux_stream_write(st, &byte, 1);
}

/* Echo a byte of each stream as it comes, another when all have, and see them end. */
static int echo(struct shmux_listener *l, int nr)
{
	struct shmux_stream *st[4];
	char byte;
	int i, got;

	for (got = 0; got < nr && !shmux_listener_accept(l, 0, &st[got]); got++)
		echo_byte(st[got]);
	for (i = 0; i < got; i++)
		echo_byte(st[i]);
	for (i = 0; i < got; i++) {
		shmux_stream_read(st[i], &byte, 1);
		shmux_stream_close(st[i]);
	}
	return got;
}

/* The child of an exec: address. */
static void __attribute__((constructor(101))) be_the_child(int argc, char **argv)
{
	struct shmux_listener *l;

	if (argc < 2 || strcmp(argv[1], "--as-child"))
		return;
	if (shmux_listener_open("stdio:", NULL, &l))
		_exit(99);
	echo(l, 2);
	_exit(0);
}

static int64_t side_listen(struct side *side)
{
	int err = shmux_listener_open(side->in, NULL, &side->listener);

	if (!err)
		snprintf(side->out, side->out_len, "%s", shmux_listener_address(side->listener));
	return err;
}

static int64_t side_serve(struct side *side)
{
	return echo(side->listener, *(const int *)side->in);
}

FIXTURE_SETUP(exhaustion)
{
	ASSERT_EQ(0, far_start(&self->server, FAR_CHILD));
	ASSERT_EQ(0, shmux_context_open(NULL, &self->context));
}

FIXTURE_TEARDOWN(exhaustion)
{
	for (size_t i = 0; i < ARRAY_SIZE(self->st); i++)
		shmux_stream_close(self->st[i]);
	shmux_context_close(self->context);
	if (_metadata->aborted)
		far_kill(&self->server);
	else
		EXPECT_EQ(0, far_stop(&self->server));
}

static int dial(FIXTURE_DATA(exhaustion) * self, int i)
{
	struct shmux_dial_options o = { .size = sizeof(o), .deadline = shmux_now() + LONG_ENOUGH };

	return shmux_context_dial(self->context, self->address, &o, &self->st[i]);
}

static bool echoes(struct shmux_stream *st)
{
	char byte = 0;

	return shmux_stream_write(st, "x", 1) == 1 && shmux_stream_read(st, &byte, 1) == 1 &&
	       byte == 'x';
}

static struct shmux_session *session_of(FIXTURE_DATA(exhaustion) * self, int i)
{
	return shmux_stream_session(self->st[i]);
}

TEST_F(exhaustion, a_session_without_ids_opens_no_more_and_its_streams_run_on)
{
	struct shmux_stream *far, *none;
	struct shmux_session *s[2];
	int fds[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	for (int role = 0; role < 2; role++)
		ASSERT_EQ(0, shmux_session_yamux(fds[role], fds[role], role, NULL, &s[role]));
	for (int role = 0; role < 2; role++) {
		shmux__bytes_leave_ids(s[role]->link, 2);
		for (int i = 0; i < 2; i++)
			ASSERT_EQ(0, shmux_session_open(s[role], 0, &self->st[2 * role + i]));
	}
	for (int role = 0; role < 2; role++) {
		EXPECT_EQ(-ESHUTDOWN, shmux_session_open(s[role], 0, &none));
		EXPECT_EQ(SHMUX_SESSION_GOING_AWAY, shmux_session_state(s[role]));
		for (int i = 0; i < 2; i++) {
			ASSERT_EQ(1, shmux_stream_write(self->st[2 * role + i], "x", 1));
			ASSERT_EQ(0, shmux_session_accept(s[!role], SHMUX_NOWAIT, &far));
			EXPECT_EQ(1, shmux_stream_write(far, "y", 1));
			EXPECT_EQ(1,
				  shmux_stream_try_read(self->st[2 * role + i], &(char){ 0 }, 1));
			shmux_stream_close(far);
		}
	}
	shmux_session_close(s[0], 0);
	shmux_session_close(s[1], 0);
}

TEST_F(exhaustion, a_context_dials_a_new_session_and_the_old_one_drains)
{
	int nr = 3;

	ASSERT_EQ(0,
		  far_call(&self->server, side_listen, "yamux+tcp:127.0.0.1:0",
			   sizeof("yamux+tcp:127.0.0.1:0"), self->address, sizeof(self->address)));
	far_begin(&self->server, side_serve, &nr, sizeof(nr), 0);
	ASSERT_EQ(0, dial(self, 0));
	EXPECT_TRUE(echoes(self->st[0]));
	shmux__bytes_leave_ids(session_of(self, 0)->link, 1);
	ASSERT_EQ(0, dial(self, 1));
	EXPECT_TRUE(echoes(self->st[1]));
	EXPECT_EQ(session_of(self, 0), session_of(self, 1));

	ASSERT_EQ(0, dial(self, 2));
	EXPECT_TRUE(echoes(self->st[2]));
	EXPECT_NE(session_of(self, 0), session_of(self, 2));
	EXPECT_EQ(1, shmux_context_nr_sessions(self->context));
	for (int i = 0; i < 3; i++)
		EXPECT_TRUE(echoes(self->st[i]));
	for (int i = 0; i < 3; i++) {
		shmux_stream_close(self->st[i]);
		self->st[i] = NULL;
	}
	EXPECT_EQ(3, far_finish(&self->server, NULL));
}

TEST_F(exhaustion, of_a_command_there_is_a_new_child_and_the_old_one_ends_with_its_streams)
{
	pid_t pid[3];

	snprintf(self->address, sizeof(self->address), "exec:/proc/self/exe --as-child");
	ASSERT_EQ(0, dial(self, 0));
	shmux__bytes_leave_ids(session_of(self, 0)->link, 1);
	EXPECT_TRUE(echoes(self->st[0]));
	ASSERT_EQ(0, dial(self, 1));
	EXPECT_TRUE(echoes(self->st[1]));
	ASSERT_EQ(0, dial(self, 2));
	EXPECT_TRUE(echoes(self->st[2]));
	for (int i = 0; i < 3; i++)
		shmux_session_child_status(session_of(self, i), 0, &pid[i], NULL);
	EXPECT_EQ(pid[0], pid[1]);
	EXPECT_NE(pid[0], pid[2]);
	EXPECT_TRUE(echoes(self->st[0]));

	EXPECT_EQ(0, waitpid(pid[0], NULL, WNOHANG));
	for (int i = 0; i < 2; i++) {
		shmux_stream_close(self->st[i]);
		self->st[i] = NULL;
	}
	EXPECT_EQ(-1, waitpid(pid[0], NULL, WNOHANG));
	EXPECT_EQ(-ETIMEDOUT, shmux_session_child_status(session_of(self, 2), 0, NULL, NULL));
}

TEST_F(exhaustion, of_descriptors_there_is_no_other_session_and_the_error_says_so)
{
	struct shmux_session *far;
	struct shmux_stream *st;
	int fds[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	ASSERT_EQ(0, shmux_session_yamux(fds[1], fds[1], SHMUX_ROLE_ACCEPTOR, NULL, &far));
	snprintf(self->address, sizeof(self->address), "fd:%d", fds[0]);
	ASSERT_EQ(0, dial(self, 0));
	shmux__bytes_leave_ids(session_of(self, 0)->link, 0);
	EXPECT_EQ(-ESHUTDOWN, dial(self, 1));
	EXPECT_EQ(-ESHUTDOWN, dial(self, 1));
	ASSERT_EQ(1, shmux_stream_write(self->st[0], "x", 1));
	ASSERT_EQ(0, shmux_session_accept(far, SHMUX_NOWAIT, &st));
	shmux_stream_close(st);
	shmux_session_close(far, 0);
}

TEST_HARNESS_MAIN
