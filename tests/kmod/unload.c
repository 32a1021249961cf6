// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * unload.c - the module stays while anybody has a file of it
 *
 * That it can be unloaded when nobody has, and leaves nothing behind, is seen
 * when all tests have run.
 */
#include "device.h"
#include "process.h"
#include "worker.h"

static int unload(void)
{
	return syscall(SYS_delete_module, "shmux", O_NONBLOCK) ? -errno : 0;
}

FIXTURE(unload)
{};

FIXTURE_SETUP(unload)
{
	if (geteuid())
		SKIP_TEST("must be root to unload a module");
}

FIXTURE_TEARDOWN(unload)
{
}

TEST_F(unload, is_refused_while_the_device_is_open)
{
	int fd = device_open();

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EAGAIN, unload());
	close(fd);
}

TEST_F(unload, is_refused_while_there_is_an_end_that_was_given)
{
	struct ends ends;

	ASSERT_EQ(0, ends_open(&ends));
	close(ends.near);
	ends.near = -1;
	EXPECT_EQ(-EAGAIN, unload());
	ends_close(&ends);

	ASSERT_EQ(0, ends_dial(&ends));
	close(ends.near);
	ends.near = -1;
	EXPECT_EQ(-EAGAIN, unload());
	ends_close(&ends);
}

TEST_F(unload, is_refused_while_somebody_sleeps_in_it)
{
	struct worker worker;
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	worker_start(&worker, end_wait_job, &ends.far);
	ASSERT_TRUE(worker_wait_blocked(&worker));
	close(ends.far);
	EXPECT_EQ(-EAGAIN, unload());
	close(ends.near);
	EXPECT_EQ(-ECONNRESET, worker_join(&worker));
}

TEST_F(unload, is_refused_while_an_end_is_under_way)
{
	struct ends ends;
	int socks[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks));
	ASSERT_EQ(0, ends_pair(&ends));
	ASSERT_EQ(0, fd_send(socks[0], ends.far));
	ends_close(&ends);
	EXPECT_EQ(-EAGAIN, unload());
	close(socks[0]);
	close(socks[1]);
}

/* Whatever one can do with a file in short, without end. */
static void bustle(struct child *c)
{
	for (;;) {
		struct ends ends;
		uint32_t seen = 0;

		must(!ends_open(&ends));
		must(!end_kick(ends.near));
		must(!end_wait(ends.far, &seen, HANGS));
		ends_close(&ends);
		must(!ends_dial(&ends));
		ends_close(&ends);
		child_say(c, 'r');
	}
}

/* So many rounds of each. */
static void hear_rounds(struct child *children, int nr, int rounds)
{
	for (int i = 0; i < nr; i++)
		for (int k = 0; k < rounds; k++)
			child_hear(&children[i]);
}

TEST_F(unload, is_refused_under_load_and_harms_nobody)
{
	enum { NR = 3, ROUNDS = 10 };
	struct child children[NR];
	struct ends ends;

	ASSERT_EQ(0, ends_open(&ends));
	for (int i = 0; i < NR; i++)
		if (child_fork(&children[i]))
			bustle(&children[i]);
	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < 50; i++)
			ASSERT_EQ(-EAGAIN, unload());
		/* They go on all the while. */
		hear_rounds(children, NR, 1);
	}
	for (int i = 0; i < NR; i++)
		EXPECT_EQ(-SIGKILL, child_kill(&children[i]));
	EXPECT_EQ(0, end_kick(ends.near));
	EXPECT_EQ(-EAGAIN, unload());
	ends_close(&ends);
}

TEST_F(unload, leaves_what_is_mapped)
{
	const char *module = getenv("SHMUX_TEST_MODULE");
	struct ends ends;
	char *own, *seen;
	int fd;

	if (!module)
		SKIP(return, "SHMUX_TEST_MODULE does not name the module to load again");
	fd = open(module, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ends_open(&ends));
	own = region_map_own(ends.near, SMALL);
	seen = region_map_peer(ends.far, SMALL);
	ASSERT_NE(MAP_FAILED, own);
	ASSERT_NE(MAP_FAILED, seen);
	own[0] = 1;
	ends_close(&ends);

	ASSERT_TRUE(wait_until(unload() != -EAGAIN));
	EXPECT_NE(0, access(SHMUX_DEVICE, F_OK));
	own[1] = 2;
	own[SMALL - 1] = 3;
	EXPECT_EQ(1, seen[0]);
	EXPECT_EQ(2, seen[1]);
	EXPECT_EQ(3, seen[SMALL - 1]);

	/* And the next one knows nothing of it. */
	ASSERT_EQ(0, syscall(SYS_finit_module, fd, "", 0));
	close(fd);
	EXPECT_EQ(3, seen[SMALL - 1]);
	EXPECT_EQ(0, munmap(own, SMALL));
	EXPECT_EQ(3, seen[SMALL - 1]);
	EXPECT_EQ(0, munmap(seen, SMALL));
}

TEST_HARNESS_MAIN
