// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * example.c - examples/raw-device.c does what it says
 */
#define main raw_device_main
#include "../../examples/raw-device.c"
#undef main

#include "device.h"
#include "process.h"

/* The example in a child; what it prints can be read from child.fd. */
static void play(struct child *c, const char *role, const char *name)
{
	if (child_fork(c)) {
		char *args[] = { "raw-device", (char *)role, (char *)name, NULL };

		must(dup2(c->fd, STDOUT_FILENO) == STDOUT_FILENO);
		exit(raw_device_main(3, args));
	}
}

/* All that it prints until it ends. */
static void read_all(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, size - 1 - len)) > 0)
		len += n;
	text[len] = 0;
}

TEST(example_server_and_client_talk_by_the_device_alone)
{
	char text[2][1024], expected[2][1024];
	const char *name = name_new();
	struct child server, client;

	play(&server, "server", name);
	ASSERT_TRUE(wait_until(process_sleeps(server.pid, server.pid)));
	play(&client, "client", name);
	read_all(server.fd, text[0], sizeof(text[0]));
	read_all(client.fd, text[1], sizeof(text[1]));

	snprintf(expected[0], sizeof(expected[0]),
		 "server: met process %d of user %u\n"
		 "server: heard 'ping 1'\n"
		 "server: heard 'ping 2'\n"
		 "server: heard 'ping 3'\n"
		 "server: the client has gone\n",
		 client.pid, geteuid());
	snprintf(expected[1], sizeof(expected[1]),
		 "client: met process %d of user %u\n"
		 "client: heard 'pong 1'\n"
		 "client: heard 'pong 2'\n"
		 "client: heard 'pong 3'\n",
		 server.pid, geteuid());
	EXPECT_STREQ(expected[0], text[0]);
	EXPECT_STREQ(expected[1], text[1]);
	EXPECT_EQ(0, child_end(&client));
	EXPECT_EQ(0, child_end(&server));
}

/* ^Z, where it sleeps, and fg. Return: whether it sleeps on. */
static bool stop_and_go(pid_t pid)
{
	int status;

	if (!wait_until(process_sleeps(pid, pid)) || kill(pid, SIGSTOP) ||
	    waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status) || kill(pid, SIGCONT))
		return false;
	return wait_until(process_sleeps(pid, pid));
}

TEST(example_goes_on_where_it_was_stopped)
{
	char text[1024], expected[1024];
	const char *name = name_new();
	struct child server;
	struct board *ours;
	int end;

	play(&server, "server", name);
	/* Before somebody comes, */
	ASSERT_TRUE(stop_and_go(server.pid));
	end = end_new_queued(name, HANGS);
	ASSERT_LE(0, end);
	/* before it is met, */
	ASSERT_TRUE(stop_and_go(server.pid));
	ASSERT_EQ(0, end_meet(end, HANGS));
	/* and, the second time for certain, before it is its turn. */
	ASSERT_TRUE(stop_and_go(server.pid));
	ASSERT_TRUE(stop_and_go(server.pid));
	ours = region_map_own(end, sizeof(*ours));
	ASSERT_NE(MAP_FAILED, ours);
	strcpy(ours->text, "hello");
	atomic_store(&ours->turn, 1);
	EXPECT_EQ(0, end_kick(end));
	munmap(ours, sizeof(*ours));
	close(end);
	read_all(server.fd, text, sizeof(text));
	snprintf(expected, sizeof(expected),
		 "server: met process %d of user %u\n"
		 "server: heard 'hello'\n"
		 "server: the client has gone\n",
		 getpid(), geteuid());
	EXPECT_STREQ(expected, text);
	EXPECT_EQ(0, child_end(&server));
}

TEST_HARNESS_MAIN
