// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * quota.c - what a user, a network namespace and all together may have
 */
#include <grp.h>
#include <sched.h>

#include "device.h"
#include "genl.h"
#include "process.h"

#define USER 1001
#define PLENTY (1ULL << 40)
#define FEW 3

/* Nothing else has anything; all limits are out of reach until a test says one. */
FIXTURE(quota)
{
	uint64_t before[SHMUX_NR_SCOPES][SHMUX_NR_RESOURCES];
};

FIXTURE_SETUP(quota)
{
	if (geteuid())
		SKIP_TEST("must be root to set limits");
	for (int s = 0; s < SHMUX_NR_SCOPES; s++) {
		for (int r = 0; r < SHMUX_NR_RESOURCES; r++) {
			self->before[s][r] = limit_max(s, r);
			ASSERT_EQ(0, limit_set(s, r, PLENTY));
		}
	}
}

FIXTURE_TEARDOWN(quota)
{
	for (int s = 0; s < SHMUX_NR_SCOPES; s++) {
		for (int r = 0; r < SHMUX_NR_RESOURCES; r++) {
			EXPECT_TRUE(wait_until(limit_used(s, r) == 0));
			limit_set(s, r, self->before[s][r]);
		}
	}
}

FIXTURE_VARIANT(quota)
{
	uint32_t scope;
	bool others; /* of another user, in another namespace, may have more */
};

FIXTURE_VARIANT_ADD(quota, of_a_user){ .scope = SHMUX_SCOPE_USER };
FIXTURE_VARIANT_ADD(quota, of_a_namespace){ .scope = SHMUX_SCOPE_NET };
FIXTURE_VARIANT_ADD(quota, of_all){ .scope = SHMUX_SCOPE_TOTAL };

static int make_listener(void)
{
	return listener_new_for(name_new(), 1, EVERYBODY);
}

/* One region of a page; that it is a session as well does not matter. */
static int make_page(void)
{
	int fd = device_open();
	int err = fd < 0 ? fd : end_create_sized(fd, PAGE, 0, ANY_SIZE);

	if (!err)
		return fd;
	close(fd);
	return err;
}

static int make_pair(void)
{
	struct ends ends;
	int err = ends_pair(&ends);

	if (err)
		return err;
	close(ends.far);
	return ends.near;
}

/* As many as FEW can be had, and one more when one has gone. */
static void spend(struct __test_metadata *_metadata, int (*make)(void))
{
	int fds[FEW];

	for (int i = 0; i < FEW; i++) {
		fds[i] = make();
		ASSERT_LE(0, fds[i]);
	}
	EXPECT_EQ(-EDQUOT, make());
	EXPECT_EQ(-EDQUOT, make());
	close(fds[0]);
	fds[0] = make();
	EXPECT_LE(0, fds[0]);
	EXPECT_EQ(-EDQUOT, make());
	for (int i = 0; i < FEW; i++)
		close(fds[i]);
}

TEST_F(quota, limits_listeners)
{
	ASSERT_EQ(0, limit_set(variant->scope, SHMUX_LISTENERS, FEW));
	spend(_metadata, make_listener);
}

TEST_F(quota, limits_sessions)
{
	ASSERT_EQ(0, limit_set(variant->scope, SHMUX_SESSIONS, FEW));
	spend(_metadata, end_new);
	spend(_metadata, make_pair);
}

TEST_F(quota, limits_bytes)
{
	ASSERT_EQ(0, limit_set(variant->scope, SHMUX_BYTES, FEW * PAGE));
	spend(_metadata, make_page);
}

TEST_F(quota, counts_a_pair_as_one_session_and_nothing_for_who_accepts)
{
	const char *name = name_new();
	int listener = listener_new(name), end, far;
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	EXPECT_EQ(1, limit_used(variant->scope, SHMUX_SESSIONS));
	end = end_new_queued(name, NO_WAIT);
	ASSERT_LE(0, end);
	EXPECT_EQ(2, limit_used(variant->scope, SHMUX_SESSIONS));
	far = listener_accept(listener, NO_WAIT);
	ASSERT_LE(0, far);
	EXPECT_EQ(2, limit_used(variant->scope, SHMUX_SESSIONS));
	EXPECT_EQ(1, limit_used(variant->scope, SHMUX_LISTENERS));
	EXPECT_EQ(SMALL, limit_used(variant->scope, SHMUX_BYTES));
	ASSERT_EQ(0, end_create(far));
	EXPECT_EQ(2 * SMALL, limit_used(variant->scope, SHMUX_BYTES));
	close(far);
	close(end);
	close(listener);
	ends_close(&ends);
}

TEST_F(quota, counts_what_is_declared_and_not_what_is_there)
{
	int fd = device_open();

	ASSERT_EQ(0, end_create_sized(fd, 256 * PAGE, 0, ANY_SIZE));
	EXPECT_EQ(256 * PAGE, limit_used(variant->scope, SHMUX_BYTES));
	close(fd);
}

TEST_F(quota, that_refuses_a_region_leaves_a_file_that_can_have_a_smaller_one)
{
	struct ends ends;
	int fd = device_open();

	ASSERT_EQ(0, limit_set(variant->scope, SHMUX_BYTES, FEW * PAGE));
	ASSERT_EQ(0, ends_pair(&ends));

	EXPECT_EQ(-EDQUOT, end_create_sized(fd, (FEW + 1) * PAGE, 0, ANY_SIZE));
	EXPECT_EQ(-EDQUOT, end_create_sized(ends.near, (FEW + 1) * PAGE, 0, ANY_SIZE));

	EXPECT_EQ(0, limit_used(variant->scope, SHMUX_BYTES));
	EXPECT_EQ(1, limit_used(variant->scope, SHMUX_SESSIONS));
	EXPECT_EQ(0, end_create_sized(fd, (FEW - 1) * PAGE, 0, ANY_SIZE));
	EXPECT_EQ(0, end_create_sized(ends.near, PAGE, 0, ANY_SIZE));
	ends_close(&ends);
	close(fd);
}

TEST_F(quota, that_is_lowered_takes_nothing_away)
{
	int fds[2] = { make_listener(), make_listener() };

	ASSERT_LE(0, fds[1]);
	ASSERT_EQ(0, limit_set(variant->scope, SHMUX_LISTENERS, 1));

	EXPECT_EQ(2, limit_used(variant->scope, SHMUX_LISTENERS));
	EXPECT_EQ(-EDQUOT, make_listener());
	close(fds[0]);
	EXPECT_EQ(-EDQUOT, make_listener());
	close(fds[1]);
	fds[0] = make_listener();
	EXPECT_LE(0, fds[0]);
	close(fds[0]);
}

TEST_F(quota, of_zero_lets_nobody_have_anything)
{
	int fd = device_open();

	ASSERT_EQ(0, limit_set(variant->scope, SHMUX_SESSIONS, 0));
	EXPECT_EQ(-EDQUOT, end_create(fd));
	EXPECT_EQ(-EDQUOT, end_pair(fd));
	/* The file is nothing yet. */
	EXPECT_EQ(0, listener_take(fd, name_new(), 1, EVERYBODY));
	close(fd);
}

TEST_F(quota, counts_a_session_and_its_regions_as_long_as_one_is_mapped)
{
	char *own, *theirs;
	struct ends ends;

	ASSERT_EQ(0, ends_open(&ends));
	own = region_map_own(ends.near, PAGE);
	theirs = region_map_peer(ends.near, PAGE);
	ASSERT_NE(MAP_FAILED, own);
	ASSERT_NE(MAP_FAILED, theirs);
	ends_close(&ends);
	munmap(own, PAGE);
	EXPECT_EQ(1, limit_used(variant->scope, SHMUX_SESSIONS));
	EXPECT_EQ(2 * SMALL, limit_used(variant->scope, SHMUX_BYTES));

	munmap(theirs, PAGE);
	EXPECT_TRUE(wait_until(limit_used(variant->scope, SHMUX_BYTES) == 0));
	EXPECT_EQ(0, limit_used(variant->scope, SHMUX_SESSIONS));
}

TEST_F(quota, counts_what_a_dead_end_made_as_long_as_the_other_has_it)
{
	struct ends ends;

	ASSERT_EQ(0, ends_open(&ends));
	close(ends.far);
	ends.far = -1;
	EXPECT_EQ(2 * SMALL, limit_used(variant->scope, SHMUX_BYTES));
	ends_close(&ends);
}

/* --- whose it is -------------------------------------------------------------------- */

/* One limit, of users; what others have does not matter. */
FIXTURE(user)
{
	uint64_t before;
};

FIXTURE_SETUP(user)
{
	if (geteuid())
		SKIP_TEST("must be root to set limits");
	self->before = limit_max(SHMUX_SCOPE_USER, SHMUX_LISTENERS);
	ASSERT_EQ(0, limit_set(SHMUX_SCOPE_USER, SHMUX_LISTENERS, FEW));
}

FIXTURE_TEARDOWN(user)
{
	EXPECT_TRUE(wait_until(limit_used(SHMUX_SCOPE_TOTAL, SHMUX_LISTENERS) == 0));
	limit_set(SHMUX_SCOPE_USER, SHMUX_LISTENERS, self->before);
}

/* Become somebody else, for good. */
static void become(uid_t uid)
{
	must(!setgroups(0, NULL));
	must(!setresgid(uid, uid, uid));
	must(!setresuid(uid, uid, uid));
}

static void take_few(void)
{
	for (int i = 0; i < FEW; i++)
		must(make_listener() >= 0);
	must(make_listener() == -EDQUOT);
}

TEST_F(user, has_a_quota_of_its_own)
{
	struct child one, other;

	if (child_fork(&one)) {
		become(USER);
		take_few();
		child_say(&one, 't');
		child_hear(&one);
		_exit(0);
	}
	ASSERT_EQ('t', child_hear(&one));
	if (child_fork(&other)) {
		become(USER + 1);
		take_few();
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&other));
	/* Another process of the first user has none left. */
	if (child_fork(&other)) {
		become(USER);
		must(make_listener() == -EDQUOT);
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&other));
	child_kill(&one);
}

TEST_F(user, has_what_is_left_in_its_namespace)
{
	uint64_t before = limit_max(SHMUX_SCOPE_NET, SHMUX_LISTENERS);
	int fds[FEW];
	struct child c;

	ASSERT_EQ(0, limit_set(SHMUX_SCOPE_NET, SHMUX_LISTENERS, FEW));
	for (int i = 0; i < FEW; i++) {
		fds[i] = make_listener();
		ASSERT_LE(0, fds[i]);
	}
	if (child_fork(&c)) {
		become(USER);
		must(make_listener() == -EDQUOT);
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
	if (child_fork(&c)) {
		must(!unshare(CLONE_NEWNET));
		become(USER);
		take_few();
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
	for (int i = 0; i < FEW; i++)
		close(fds[i]);
	EXPECT_EQ(0, limit_set(SHMUX_SCOPE_NET, SHMUX_LISTENERS, before));
}

TEST_F(user, is_charged_for_what_it_has_given_away)
{
	struct child c;
	int fds[FEW];

	if (child_fork(&c)) {
		become(USER);
		for (int i = 0; i < FEW; i++) {
			int fd = make_listener();

			must(fd >= 0);
			must(!fd_send(c.fd, fd));
			child_hear(&c);
			close(fd);
		}
		must(make_listener() == -EDQUOT);
		child_say(&c, 'e');
		child_hear(&c);
		must(make_listener() >= 0);
		_exit(0);
	}
	for (int i = 0; i < FEW; i++) {
		fds[i] = fd_receive(c.fd);
		ASSERT_LE(0, fds[i]);
		ASSERT_EQ(0, file_adopt(fds[i]));
		child_say(&c, 'n');
	}
	ASSERT_EQ('e', child_hear(&c));
	EXPECT_EQ(0, limit_used(SHMUX_SCOPE_USER, SHMUX_LISTENERS));
	EXPECT_EQ(FEW, limit_used(SHMUX_SCOPE_TOTAL, SHMUX_LISTENERS));
	close(fds[0]);
	child_say(&c, 'g');
	EXPECT_EQ(0, child_end(&c));
	close(fds[1]);
	close(fds[2]);
}

/*
 * Several users inside a user namespace that USER has made. Who may write more
 * than one line of a map is root outside, the test.
 */
TEST_F(user, who_makes_users_is_charged_for_them)
{
	char path[64], text[64];
	struct child c;

	if (child_fork(&c)) {
		become(USER);
		must(!prctl(PR_SET_DUMPABLE, 1));
		if (unshare(CLONE_NEWUSER))
			_exit(errno == EPERM || errno == ENOSPC ? 4 : 1);
		child_say(&c, 'u');
		child_hear(&c);
		for (uid_t uid = 1; uid <= FEW; uid++) {
			must(!setresuid(-1, uid, -1));
			must(make_listener() >= 0);
			must(!setresuid(-1, 0, -1));
		}
		must(!setresuid(-1, FEW + 1, -1));
		must(make_listener() == -EDQUOT);
		_exit(0);
	}
	if (child_hear(&c) != 'u') {
		ASSERT_EQ(4, child_end(&c));
		SKIP(return, "may not make a user namespace");
	}
	snprintf(path, sizeof(path), "/proc/%d/uid_map", c.pid);
	snprintf(text, sizeof(text), "0 %d 1\n1 50000 10\n", USER);
	ASSERT_TRUE(proc_write(path, text));
	child_say(&c, 'g');
	EXPECT_EQ(0, child_end(&c));
}

TEST_HARNESS_MAIN
