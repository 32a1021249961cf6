// SPDX-License-Identifier: LGPL-2.1-or-later
/* who.c - whom a listener takes for one of its own users */
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/who.h"
#include "harness.h"

#define NOBODY 65534u

enum {
	NO = 0,
	YES = 1,
	CANNOT = 2
};

/* As told of a process that is user @uid. */
static bool is_user(pid_t pid, uid_t uid, uid_t wanted)
{
	const struct shmux_peer peer = { .pid = pid, .uid = uid, .gid = uid };

	return shmux__who_is_user(&peer, wanted);
}

/* Run @ask in a child. Return: what it says. */
static int in_a_child(int (*ask)(pid_t), pid_t arg)
{
	pid_t pid = fork();
	int status;

	if (!pid)
		_exit(ask(arg));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

static int is_nobody_we_know(pid_t pid)
{
	return is_user(pid, NOBODY, NOBODY);
}

/* In a namespace that maps nobody, where we are nobody, too. */
static int is_ours_from_a_namespace(pid_t pid)
{
	return unshare(CLONE_NEWUSER) ? CANNOT : is_nobody_we_know(pid);
}

static int knows_its_like(pid_t pid)
{
	(void)pid;
	return unshare(CLONE_NEWUSER) ? CANNOT : in_a_child(is_nobody_we_know, getpid());
}

TEST(one_of_the_same_user_is_taken_for_it_and_one_of_another_is_not)
{
	EXPECT_TRUE(is_user(getpid(), 1000, 1000));
	EXPECT_FALSE(is_user(getpid(), 1000, 1001));
	EXPECT_FALSE(is_user(getpid(), 0, 1000));
}

TEST(where_nobody_has_a_name_only_a_process_of_the_same_namespace_is_of_us)
{
	int like = in_a_child(knows_its_like, 0);

	if (like == CANNOT)
		SKIP(return, "no user namespace may be made here");
	EXPECT_EQ(YES, like);
	EXPECT_EQ(NO, in_a_child(is_ours_from_a_namespace, getpid()));
	/* One of a process namespace that we do not see. */
	EXPECT_EQ(NO, in_a_child(is_ours_from_a_namespace, 0));
}

TEST_HARNESS_MAIN
