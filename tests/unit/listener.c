// SPDX-License-Identifier: LGPL-2.1-or-later
/* listener.c - tests of a listener's meetings with clients that are made by hand */
#include "harness.h"

#include <sys/un.h>

#include <shmux/shmux.h>

#include "meeting.h"

FIXTURE(meeting)
{
	struct shmux_listener *listener;
	int client;
	pid_t child;		/* or 0 */
};

/* Connect to the abstract name that stands for @name. */
static int connect_to(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "shmux/%s", name);

	if (connect(fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)))
		return -1;
	return fd;
}

FIXTURE_SETUP(meeting)
{
	char name[NAME_SIZE];

	name_make(name);
	self->child = 0;
	ASSERT_EQ(0, shmux_listener_open(name, NULL, &self->listener));
	self->client = connect_to(name);
	ASSERT_LE(0, self->client);
}

FIXTURE_TEARDOWN(meeting)
{
	if (self->child)
		kill_and_reap(self->child);
	close(self->client);
	shmux_listener_close(self->listener);
}

/* Serve whoever is there; nobody gets as far as a stream. */
static int serve(struct shmux_listener *l)
{
	struct shmux_stream *stream;

	return shmux_listener_accept(l, SHMUX_NOWAIT, &stream);
}

/* A hello in order, and a region whose header makes no sense. */
static int say_nonsense(int fd)
{
	struct message m = message_valid(HELLO);
	int memfd = memfd_with(OWN_SIZE, GOOD_SEALS, 0);
	int err;

	m.size_max = SHMUX_REGION_SIZE_MAX;
	err = hand_send(fd, &m, sizeof(m), &memfd, 1, true);
	close(memfd);
	return err;
}

/* In the child the sockets stay open: what is told of them names nobody here. */
TEST_F(meeting, that_failed_is_over_for_the_listener_though_a_forked_child_holds_its_socket)
{
	struct message m;
	int memfd;

	ASSERT_EQ(-EAGAIN, serve(self->listener));
	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		pause();
		_exit(0);
	}

	ASSERT_EQ(0, say_nonsense(self->client));
	EXPECT_EQ(-EAGAIN, serve(self->listener));

	/* It answered before it looked at the header; then it hung up. */
	EXPECT_EQ(sizeof(m), hand_receive(self->client, &m, &memfd));
	EXPECT_EQ(ANSWER, m.kind);
	close(memfd);
	EXPECT_EQ(0, hand_receive(self->client, &m, &memfd));
	EXPECT_EQ(-EAGAIN, serve(self->listener));
	EXPECT_FALSE(is_readable(shmux_listener_fd(self->listener)));
}

TEST_HARNESS_MAIN
