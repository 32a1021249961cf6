// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * netlink.c - what the module tells by generic netlink, and to whom
 */
#include <grp.h>
#include <sched.h>

#include "genl.h"
#include "process.h"
#include "usage.h"
#include "worker.h"

#define USER 1001
#define GROUP 2002
#define OVERFLOW 65534

/* A session, as a dump tells it; the last one that is on @name, or a pair. */
static const struct nlmsghdr *find_session(const struct genl *g, const char *name)
{
	const struct nlmsghdr *found = NULL;

	for (unsigned int i = 0; i < g->nr; i++) {
		const char *its = genl_string(genl_message(g, i), SHMUX_A_SESSION_NAME);

		if (name ? its && !strcmp(its, name) : !its)
			found = genl_message(g, i);
	}
	return found;
}

static const struct nlmsghdr *find_listener(const struct genl *g, const char *name)
{
	for (unsigned int i = 0; i < g->nr; i++)
		if (!strcmp(genl_string(genl_message(g, i), SHMUX_A_LISTENER_NAME), name))
			return genl_message(g, i);
	return NULL;
}

static bool has(const struct nlmsghdr *m, int attr)
{
	return genl_find(m, attr, 0);
}

/* A listener, and the answers to the question that a test has asked last. */
FIXTURE(netlink)
{
	char name[SHMUX_NAME_SIZE];
	int listener;
	struct ends ends;
	struct genl g;
	const struct nlmsghdr *m;
};

FIXTURE_SETUP(netlink)
{
	strcpy(self->name, name_new());
	self->ends = (struct ends){ -1, -1 };
	self->listener = listener_new(self->name);
	ASSERT_LE(0, self->listener);
}

FIXTURE_TEARDOWN(netlink)
{
	genl_free(&self->g);
	ends_close(&self->ends);
	close(self->listener);
}

static void look_for_session(FIXTURE_DATA(netlink) * self)
{
	genl_free(&self->g);
	self->g = genl_dump(SHMUX_CMD_SESSION_GET);
	self->m = find_session(&self->g, self->name);
}

static void look_for_listener(FIXTURE_DATA(netlink) * self)
{
	genl_free(&self->g);
	self->g = genl_dump(SHMUX_CMD_LISTENER_GET);
	self->m = find_listener(&self->g, self->name);
}

/* near has connected, far is accepted and both are ready. */
static void open_session(struct __test_metadata *_metadata, FIXTURE_DATA(netlink) * self)
{
	self->ends.near = end_new_queued(self->name, NO_WAIT);
	ASSERT_LE(0, self->ends.near);
	self->ends.far = listener_accept(self->listener, NO_WAIT);
	ASSERT_LE(0, self->ends.far);
	ASSERT_EQ(0, end_create_sized(self->ends.far, 2 * SMALL, SMALL, ANY_SIZE));
	ASSERT_EQ(0, ends_meet(&self->ends));
}

/* --- sessions --------------------------------------------------------------- */

#define EXPECT_PHASE(phase, cause)                                          \
	do {                                                                \
		look_for_session(self);                                     \
		ASSERT_NE(NULL, self->m);                                   \
		EXPECT_EQ(phase, genl_u32(self->m, SHMUX_A_SESSION_PHASE)); \
		EXPECT_EQ(cause, genl_u32(self->m, SHMUX_A_SESSION_CAUSE)); \
	} while (0)

TEST_F(netlink, a_session_is_told_with_both_its_ends)
{
	open_session(_metadata, self);

	EXPECT_PHASE(SHMUX_PHASE_OPEN, SHMUX_CAUSE_NONE);
	EXPECT_EQ(SHMUX_CMD_SESSION_GET, genl_command(self->m));
	EXPECT_FALSE(has(self->m, SHMUX_A_SESSION_SIDE));
	EXPECT_LT(0, genl_u64(self->m, SHMUX_A_SESSION_AGE));
	for (int end = SHMUX_A_SESSION_CONNECTOR; end <= SHMUX_A_SESSION_ACCEPTOR; end++) {
		EXPECT_EQ((uint32_t)getpid(), genl_u32(self->m, end, SHMUX_A_END_PID));
		EXPECT_EQ((uint32_t)getpid(), genl_u32(self->m, end, SHMUX_A_END_OWNER));
		EXPECT_EQ(geteuid(), genl_u32(self->m, end, SHMUX_A_END_UID));
		EXPECT_EQ(getegid(), genl_u32(self->m, end, SHMUX_A_END_GID));
	}
	EXPECT_EQ(SMALL, genl_u64(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_SIZE));
	EXPECT_EQ(0, genl_u64(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_RESIDENT));
	EXPECT_EQ(2 * SMALL, genl_u64(self->m, SHMUX_A_SESSION_ACCEPTOR, SHMUX_A_END_SIZE));
	EXPECT_EQ(SMALL, genl_u64(self->m, SHMUX_A_SESSION_ACCEPTOR, SHMUX_A_END_RESIDENT));
}

TEST_F(netlink, a_lone_end_has_no_name_and_no_other_end)
{
	self->ends.near = end_new();
	ASSERT_LE(0, self->ends.near);

	self->g = genl_dump(SHMUX_CMD_SESSION_GET);
	self->m = find_session(&self->g, NULL);
	ASSERT_NE(NULL, self->m);
	EXPECT_EQ(SHMUX_PHASE_LONE, genl_u32(self->m, SHMUX_A_SESSION_PHASE));
	EXPECT_TRUE(has(self->m, SHMUX_A_SESSION_CONNECTOR));
	EXPECT_FALSE(has(self->m, SHMUX_A_SESSION_ACCEPTOR));
}

TEST_F(netlink, a_pair_has_no_name_and_two_ends)
{
	ASSERT_EQ(0, ends_open(&self->ends));

	self->g = genl_dump(SHMUX_CMD_SESSION_GET);
	self->m = find_session(&self->g, NULL);
	ASSERT_NE(NULL, self->m);
	EXPECT_EQ(SHMUX_PHASE_OPEN, genl_u32(self->m, SHMUX_A_SESSION_PHASE));
	EXPECT_EQ(SMALL, genl_u64(self->m, SHMUX_A_SESSION_ACCEPTOR, SHMUX_A_END_SIZE));
}

TEST_F(netlink, how_far_a_session_is_is_told)
{
	self->ends.near = end_new_queued(self->name, NO_WAIT);
	ASSERT_LE(0, self->ends.near);
	EXPECT_PHASE(SHMUX_PHASE_QUEUED, SHMUX_CAUSE_NONE);
	EXPECT_FALSE(has(self->m, SHMUX_A_SESSION_ACCEPTOR));

	self->ends.far = listener_accept(self->listener, NO_WAIT);
	ASSERT_LE(0, self->ends.far);
	EXPECT_PHASE(SHMUX_PHASE_JOINED, SHMUX_CAUSE_NONE);
	EXPECT_EQ(0, genl_u64(self->m, SHMUX_A_SESSION_ACCEPTOR, SHMUX_A_END_SIZE));

	ASSERT_EQ(0, end_create(self->ends.far));
	EXPECT_PHASE(SHMUX_PHASE_JOINED, SHMUX_CAUSE_NONE);
	ASSERT_EQ(0, ends_meet(&self->ends));
	EXPECT_PHASE(SHMUX_PHASE_OPEN, SHMUX_CAUSE_NONE);

	ASSERT_EQ(0, file_hang_up(self->ends.far));
	EXPECT_PHASE(SHMUX_PHASE_OVER, SHMUX_CAUSE_HANG_UP);
	EXPECT_EQ(1, genl_u32(self->m, SHMUX_A_SESSION_SIDE));
	ends_close(&self->ends);
	look_for_session(self);
	EXPECT_EQ(NULL, self->m);
}

TEST_F(netlink, a_refusal_is_told_as_the_cause)
{
	self->ends.near = end_new_queued(self->name, NO_WAIT);
	self->ends.far = listener_accept(self->listener, NO_WAIT);
	ASSERT_LE(0, self->ends.far);

	end_refuse(self->ends.far, EPERM);
	EXPECT_PHASE(SHMUX_PHASE_OVER, SHMUX_CAUSE_REFUSAL);
	EXPECT_EQ(1, genl_u32(self->m, SHMUX_A_SESSION_SIDE));
}

TEST_F(netlink, that_nobody_is_left_to_accept_is_told_as_the_cause)
{
	self->ends.near = end_new_queued(self->name, NO_WAIT);
	ASSERT_LE(0, self->ends.near);

	ASSERT_EQ(0, file_hang_up(self->listener));
	EXPECT_PHASE(SHMUX_PHASE_OVER, SHMUX_CAUSE_NOBODY);
}

TEST_F(netlink, death_is_told_as_the_cause)
{
	struct child c;

	if (child_fork(&c)) {
		must((self->ends.near = end_new_queued(self->name, NO_WAIT)) >= 0);
		child_say(&c, 'q');
		child_hear(&c);
		_exit(0);
	}
	ASSERT_EQ('q', child_hear(&c));
	self->ends.far = listener_accept(self->listener, NO_WAIT);
	ASSERT_LE(0, self->ends.far);

	child_kill(&c);
	EXPECT_PHASE(SHMUX_PHASE_OVER, SHMUX_CAUSE_DEATH);
	EXPECT_EQ(0, genl_u32(self->m, SHMUX_A_SESSION_SIDE));
}

TEST_F(netlink, kicks_waits_and_sleeps_are_counted)
{
	uint32_t seen = 0;

	open_session(_metadata, self);
	for (int i = 0; i < 3; i++)
		ASSERT_EQ(0, end_kick(self->ends.near));
	ASSERT_EQ(0, end_wait(self->ends.far, &seen, HANGS));
	ASSERT_EQ(-ETIMEDOUT, end_wait(self->ends.far, &seen, A_WHILE));

	look_for_session(self);
	EXPECT_EQ(3, genl_u64(self->m, SHMUX_A_SESSION_ACCEPTOR, SHMUX_A_END_KICKS));
	EXPECT_EQ(2, genl_u64(self->m, SHMUX_A_SESSION_ACCEPTOR, SHMUX_A_END_WAITS));
	EXPECT_EQ(1, genl_u64(self->m, SHMUX_A_SESSION_ACCEPTOR, SHMUX_A_END_SLEEPS));
	EXPECT_EQ(0, genl_u64(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_KICKS));
	EXPECT_EQ(0, genl_u64(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_WAITS));
}

TEST_F(netlink, what_is_touched_of_a_region_is_told_as_resident)
{
	volatile char *region;

	open_session(_metadata, self);
	region = region_map_own(self->ends.near, SMALL);
	ASSERT_NE(MAP_FAILED, region);
	region[0] = region[2 * PAGE] = 'x';

	look_for_session(self);
	EXPECT_EQ(2 * PAGE, genl_u64(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_RESIDENT));
	munmap((void *)region, SMALL);
}

TEST_F(netlink, adoption_changes_the_owner_and_not_who_connected)
{
	struct child c;

	open_session(_metadata, self);
	if (child_fork(&c)) {
		must(!file_adopt(self->ends.near));
		child_say(&c, 'a');
		child_hear(&c);
		_exit(0);
	}
	ASSERT_EQ('a', child_hear(&c));

	look_for_session(self);
	EXPECT_EQ((uint32_t)getpid(),
		  genl_u32(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_PID));
	EXPECT_EQ((uint32_t)c.pid, genl_u32(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_OWNER));
	child_kill(&c);
}

TEST_F(netlink, a_session_is_found_by_its_number)
{
	uint32_t number;

	open_session(_metadata, self);
	look_for_session(self);
	number = genl_u32(self->m, SHMUX_A_SESSION_NUMBER);
	genl_free(&self->g);

	self->g = genl_ask(SHMUX_CMD_SESSION_GET, 0, GENL_U32(SHMUX_A_SESSION_NUMBER, number));
	ASSERT_EQ(0, self->g.error);
	ASSERT_EQ(1, self->g.nr);
	EXPECT_STREQ(self->name, genl_string(genl_message(&self->g, 0), SHMUX_A_SESSION_NAME));
	EXPECT_EQ(number, genl_u32(genl_message(&self->g, 0), SHMUX_A_SESSION_NUMBER));
	genl_free(&self->g);
	ends_close(&self->ends);
	self->g = genl_ask(SHMUX_CMD_SESSION_GET, 0, GENL_U32(SHMUX_A_SESSION_NUMBER, number));
	EXPECT_EQ(-ENOENT, self->g.error);
}

TEST_F(netlink, a_question_without_its_number_makes_no_sense)
{
	self->g = genl_ask(SHMUX_CMD_SESSION_GET, 0);
	EXPECT_EQ(-EINVAL, self->g.error);
	genl_free(&self->g);
	self->g = genl_ask(SHMUX_CMD_LISTENER_GET, 0);
	EXPECT_EQ(-EINVAL, self->g.error);
	genl_free(&self->g);
	self->g = genl_ask(SHMUX_CMD_SESSION_GET, 0,
			   { .type = SHMUX_A_SESSION_NUMBER, .len = 2, .value = 1 });
	EXPECT_GT(0, self->g.error);
	genl_free(&self->g);
	self->g = genl_ask(SHMUX_CMD_QUOTA_HIT, 0);
	EXPECT_EQ(-EOPNOTSUPP, self->g.error);
}

#define MANY 300

TEST_F(netlink, a_dump_tells_each_of_many_once)
{
	int fds[MANY], seen = 0;
	uint32_t last = 0;

	for (int i = 0; i < MANY; i++)
		ASSERT_LE(0, fds[i] = end_new());

	self->g = genl_dump(SHMUX_CMD_SESSION_GET);
	ASSERT_EQ(0, self->g.error);
	/* More than one answer has room for. */
	EXPECT_LT(GENL_BUFFER, self->g.len);
	for (unsigned int i = 0; i < self->g.nr; i++) {
		uint32_t number = genl_u32(genl_message(&self->g, i), SHMUX_A_SESSION_NUMBER);

		EXPECT_TRUE(!i || number > last);
		last = number;
		seen++;
	}
	EXPECT_EQ(MANY, seen);
	for (int i = 0; i < MANY; i++)
		close(fds[i]);
}

static int64_t come_and_go(void *arg)
{
	bool *stop = arg;

	while (!__atomic_load_n(stop, __ATOMIC_RELAXED)) {
		int fd = end_new();

		if (fd < 0)
			return fd;
		close(fd);
	}
	return 0;
}

TEST_F(netlink, a_dump_holds_while_sessions_come_and_go)
{
	struct worker w;
	bool stop = false;

	open_session(_metadata, self);
	worker_start(&w, come_and_go, &stop);
	for (int i = 0; i < 300; i++) {
		look_for_session(self);
		ASSERT_EQ(0, self->g.error);
		ASSERT_NE(NULL, self->m);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	EXPECT_EQ(0, worker_join(&w));
}

/* --- listeners -------------------------------------------------------------- */

TEST_F(netlink, a_listener_is_told_with_whom_it_admits)
{
	struct shmux_ioc_listen arg;
	int fd = device_open();

	close(self->listener);
	arg = listen_arg(self->name, 7, 0620);
	arg.flags = SHMUX_LISTEN_UID | SHMUX_LISTEN_GID;
	arg.uid = USER;
	arg.gid = GROUP;
	ASSERT_EQ(0, request(fd, SHMUX_IOC_LISTEN, &arg));
	self->listener = fd;

	look_for_listener(self);
	ASSERT_NE(NULL, self->m);
	EXPECT_EQ((uint32_t)getpid(), genl_u32(self->m, SHMUX_A_LISTENER_PID));
	EXPECT_EQ(geteuid(), genl_u32(self->m, SHMUX_A_LISTENER_UID));
	EXPECT_EQ(getegid(), genl_u32(self->m, SHMUX_A_LISTENER_GID));
	EXPECT_EQ(USER, genl_u32(self->m, SHMUX_A_LISTENER_OWNER_UID));
	EXPECT_EQ(GROUP, genl_u32(self->m, SHMUX_A_LISTENER_OWNER_GID));
	EXPECT_EQ(0620, genl_u32(self->m, SHMUX_A_LISTENER_MODE) & 0777);
	EXPECT_EQ(7, genl_u32(self->m, SHMUX_A_LISTENER_BACKLOG));
	EXPECT_LT(0, genl_u64(self->m, SHMUX_A_LISTENER_AGE));
}

TEST_F(netlink, who_waits_at_a_listener_and_who_was_accepted_is_counted)
{
	int other = end_new_queued(self->name, NO_WAIT);

	self->ends.near = end_new_queued(self->name, NO_WAIT);
	ASSERT_LE(0, self->ends.near);
	look_for_listener(self);
	EXPECT_EQ(2, genl_u32(self->m, SHMUX_A_LISTENER_QUEUED));
	EXPECT_EQ(0, genl_u64(self->m, SHMUX_A_LISTENER_ACCEPTED));

	self->ends.far = listener_accept(self->listener, NO_WAIT);
	ASSERT_LE(0, self->ends.far);
	look_for_listener(self);
	EXPECT_EQ(1, genl_u32(self->m, SHMUX_A_LISTENER_QUEUED));
	EXPECT_EQ(1, genl_u64(self->m, SHMUX_A_LISTENER_ACCEPTED));
	close(other);
}

TEST_F(netlink, a_listener_is_found_by_its_number_until_it_has_gone)
{
	uint32_t number;

	look_for_listener(self);
	number = genl_u32(self->m, SHMUX_A_LISTENER_NUMBER);
	genl_free(&self->g);
	self->g = genl_ask(SHMUX_CMD_LISTENER_GET, 0, GENL_U32(SHMUX_A_LISTENER_NUMBER, number));
	ASSERT_EQ(0, self->g.error);
	EXPECT_STREQ(self->name, genl_string(genl_message(&self->g, 0), SHMUX_A_LISTENER_NAME));

	close(self->listener);
	self->listener = -1;
	look_for_listener(self);
	EXPECT_EQ(NULL, self->m);
	genl_free(&self->g);
	self->g = genl_ask(SHMUX_CMD_LISTENER_GET, 0, GENL_U32(SHMUX_A_LISTENER_NUMBER, number));
	EXPECT_EQ(-ENOENT, self->g.error);
}

/* --- who asks --------------------------------------------------------------- */

/* A child that is in new namespaces; as child_fork(). */
static bool child_fork_in(struct child *c, int flags)
{
	if (!child_fork(c))
		return false;
	must(!unshare(flags));
	return true;
}

TEST_F(netlink, another_network_namespace_is_told_nothing)
{
	struct child c;

	NEEDS_ROOT("to make namespaces");
	open_session(_metadata, self);
	if (child_fork_in(&c, CLONE_NEWNET)) {
		struct genl g = genl_dump(SHMUX_CMD_SESSION_GET);

		must(!g.error && !g.nr);
		genl_free(&g);
		g = genl_dump(SHMUX_CMD_LISTENER_GET);
		must(!g.error && !g.nr);
		must((self->listener = listener_new(self->name)) >= 0);
		g = genl_dump(SHMUX_CMD_LISTENER_GET);
		must(!g.error && g.nr == 1);
		must(limit_used(SHMUX_SCOPE_NET, SHMUX_LISTENERS) == 1);
		must(limit_used(SHMUX_SCOPE_NET, SHMUX_SESSIONS) == 0);
		must(limit_used(SHMUX_SCOPE_TOTAL, SHMUX_LISTENERS) == 2);
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
}

TEST_F(netlink, pids_are_of_the_pid_namespace_of_who_asks)
{
	struct child c;

	NEEDS_ROOT("to make namespaces");
	open_session(_metadata, self);
	if (child_fork_in(&c, CLONE_NEWPID)) {
		pid_t inner = fork();
		int own, status;

		if (inner) {
			must(inner > 0 && waitpid(inner, &status, 0) == inner && !status);
			_exit(0);
		}
		must((own = end_new_queued(self->name, NO_WAIT)) >= 0);
		look_for_session(self);
		must(self->m);
		must(genl_u32(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_PID) == 1);
		must(genl_u32(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_OWNER) == 1);
		close(own);
		look_for_session(self);
		must(genl_u32(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_PID) == 0);
		look_for_listener(self);
		must(genl_u32(self->m, SHMUX_A_LISTENER_PID) == 0);
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
}

TEST_F(netlink, users_are_of_the_user_namespace_of_who_asks)
{
	struct child c;

	open_session(_metadata, self);
	if (child_fork_in(&c, CLONE_NEWUSER)) {
		look_for_session(self);
		must(self->m);
		must(genl_u32(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_UID) == OVERFLOW);
		must(genl_u32(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_GID) == OVERFLOW);
		look_for_listener(self);
		must(genl_u32(self->m, SHMUX_A_LISTENER_UID) == OVERFLOW);
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
}

static void become_user(void)
{
	must(!setgroups(0, NULL) && !setresgid(GROUP, GROUP, GROUP) &&
	     !setresuid(USER, USER, USER));
}

TEST_F(netlink, any_user_may_ask)
{
	struct child c;

	NEEDS_ROOT("to be others");
	open_session(_metadata, self);
	if (child_fork(&c)) {
		become_user();
		look_for_session(self);
		must(self->m);
		must(genl_u32(self->m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_UID) == 0);
		look_for_listener(self);
		must(self->m);
		must(limit_max(SHMUX_SCOPE_USER, SHMUX_SESSIONS) > 0);
		counter_get(SHMUX_A_COUNTER_KICKS);
		close(events_open());
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
}

/* --- limits ----------------------------------------------------------------- */

TEST_F(netlink, each_scope_and_resource_has_its_limit)
{
	self->g = genl_dump(SHMUX_CMD_LIMIT_GET);

	EXPECT_EQ(0, self->g.error);
	ASSERT_EQ(SHMUX_NR_SCOPES * SHMUX_NR_RESOURCES, self->g.nr);
	for (unsigned int i = 0; i < self->g.nr; i++) {
		const struct nlmsghdr *m = genl_message(&self->g, i);

		EXPECT_EQ(i / SHMUX_NR_RESOURCES, genl_u32(m, SHMUX_A_LIMIT_SCOPE));
		EXPECT_EQ(i % SHMUX_NR_RESOURCES, genl_u32(m, SHMUX_A_LIMIT_RESOURCE));
		EXPECT_LT(0, genl_u64(m, SHMUX_A_LIMIT_MAX_USE));
		EXPECT_FALSE(has(m, SHMUX_A_LIMIT_UID));
	}
}

TEST_F(netlink, what_is_used_is_told_by_scope_and_given_back)
{
	for (int scope = 0; scope < SHMUX_NR_SCOPES; scope++) {
		EXPECT_EQ(1, limit_used(scope, SHMUX_LISTENERS));
		EXPECT_EQ(0, limit_used(scope, SHMUX_SESSIONS));
		EXPECT_EQ(0, limit_used(scope, SHMUX_BYTES));
	}
	open_session(_metadata, self);
	for (int scope = 0; scope < SHMUX_NR_SCOPES; scope++) {
		EXPECT_EQ(1, limit_used(scope, SHMUX_SESSIONS));
		EXPECT_EQ(3 * SMALL, limit_used(scope, SHMUX_BYTES));
	}
	ends_close(&self->ends);
	for (int scope = 0; scope < SHMUX_NR_SCOPES; scope++) {
		EXPECT_EQ(0, limit_used(scope, SHMUX_SESSIONS));
		EXPECT_EQ(0, limit_used(scope, SHMUX_BYTES));
	}
}

TEST_F(netlink, a_limit_is_set_and_no_other)
{
	uint64_t before[SHMUX_NR_SCOPES][SHMUX_NR_RESOURCES];

	NEEDS_ROOT("to set limits");
	for (int i = 0; i < SHMUX_NR_SCOPES; i++)
		for (int j = 0; j < SHMUX_NR_RESOURCES; j++)
			before[i][j] = limit_max(i, j);
	for (int i = 0; i < SHMUX_NR_SCOPES; i++) {
		for (int j = 0; j < SHMUX_NR_RESOURCES; j++) {
			ASSERT_EQ(0, limit_set(i, j, 1234567890123));
			for (int k = 0; k < SHMUX_NR_SCOPES; k++)
				for (int l = 0; l < SHMUX_NR_RESOURCES; l++)
					EXPECT_EQ(k == i && l == j ? 1234567890123 : before[k][l],
						  limit_max(k, l));
			ASSERT_EQ(0, limit_set(i, j, before[i][j]));
		}
	}
}

TEST_F(netlink, a_limit_is_set_of_what_there_is_alone)
{
	NEEDS_ROOT("to set limits");
	EXPECT_GT(0, limit_set(SHMUX_NR_SCOPES, SHMUX_SESSIONS, 1));
	EXPECT_GT(0, limit_set(SHMUX_SCOPE_USER, SHMUX_NR_RESOURCES, 1));
	EXPECT_GT(0, limit_set(-1, SHMUX_SESSIONS, 1));
	self->g = genl_ask(SHMUX_CMD_LIMIT_SET, 0, GENL_U32(SHMUX_A_LIMIT_RESOURCE, SHMUX_SESSIONS),
			   GENL_U64(SHMUX_A_LIMIT_MAX_USE, 1));
	EXPECT_EQ(-EINVAL, self->g.error);
	genl_free(&self->g);
	self->g = genl_ask(SHMUX_CMD_LIMIT_SET, 0, GENL_U32(SHMUX_A_LIMIT_SCOPE, SHMUX_SCOPE_USER),
			   GENL_U64(SHMUX_A_LIMIT_MAX_USE, 1));
	EXPECT_EQ(-EINVAL, self->g.error);
	genl_free(&self->g);
	self->g = genl_ask(SHMUX_CMD_LIMIT_SET, 0, GENL_U32(SHMUX_A_LIMIT_SCOPE, SHMUX_SCOPE_USER),
			   GENL_U32(SHMUX_A_LIMIT_RESOURCE, SHMUX_SESSIONS));
	EXPECT_EQ(-EINVAL, self->g.error);
}

TEST_F(netlink, a_limit_is_set_by_the_machines_administrator_alone)
{
	uint64_t before = limit_max(SHMUX_SCOPE_USER, SHMUX_SESSIONS);
	struct child c;

	NEEDS_ROOT("to set limits");
	if (child_fork(&c)) {
		become_user();
		must(limit_set(SHMUX_SCOPE_USER, SHMUX_SESSIONS, 1) == -EPERM);
		/* Root in namespaces of its own is nobody here. */
		must(!unshare(CLONE_NEWUSER | CLONE_NEWNET));
		must(limit_set(SHMUX_SCOPE_NET, SHMUX_SESSIONS, 1) == -EPERM);
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(before, limit_max(SHMUX_SCOPE_USER, SHMUX_SESSIONS));
	/* In another network namespace it is the same one. */
	if (child_fork_in(&c, CLONE_NEWNET)) {
		must(!limit_set(SHMUX_SCOPE_USER, SHMUX_SESSIONS, before - 1));
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(before - 1, limit_max(SHMUX_SCOPE_USER, SHMUX_SESSIONS));
	EXPECT_EQ(0, limit_set(SHMUX_SCOPE_USER, SHMUX_SESSIONS, before));
}

/* --- counters --------------------------------------------------------------- */

TEST_F(netlink, the_machines_counters_count)
{
	uint64_t before[SHMUX_A_COUNTER_MAX + 1];
	uint32_t seen = 0;
	struct child c;

	for (int i = SHMUX_A_COUNTER_CONNECTS; i <= SHMUX_A_COUNTER_MAX; i++)
		before[i] = counter_get(i);
	open_session(_metadata, self);
	ASSERT_EQ(0, end_kick(self->ends.near));
	ASSERT_EQ(0, end_wait(self->ends.far, &seen, HANGS));
	ASSERT_EQ(-ETIMEDOUT, end_wait(self->ends.far, &seen, A_WHILE));
	if (child_fork(&c)) {
		must(!file_adopt(self->ends.near));
		_exit(0);
	}
	ASSERT_EQ(0, child_end(&c));

	EXPECT_EQ(before[SHMUX_A_COUNTER_CONNECTS] + 1, counter_get(SHMUX_A_COUNTER_CONNECTS));
	EXPECT_EQ(before[SHMUX_A_COUNTER_ACCEPTS] + 1, counter_get(SHMUX_A_COUNTER_ACCEPTS));
	EXPECT_EQ(before[SHMUX_A_COUNTER_KICKS] + 1, counter_get(SHMUX_A_COUNTER_KICKS));
	EXPECT_EQ(before[SHMUX_A_COUNTER_WAITS] + 2, counter_get(SHMUX_A_COUNTER_WAITS));
	EXPECT_EQ(before[SHMUX_A_COUNTER_SLEEPS] + 1, counter_get(SHMUX_A_COUNTER_SLEEPS));
	EXPECT_EQ(before[SHMUX_A_COUNTER_WAKES], counter_get(SHMUX_A_COUNTER_WAKES));
	EXPECT_EQ(before[SHMUX_A_COUNTER_DEATHS] + 1, counter_get(SHMUX_A_COUNTER_DEATHS));
	EXPECT_EQ(before[SHMUX_A_COUNTER_QUOTA_HITS], counter_get(SHMUX_A_COUNTER_QUOTA_HITS));
}

TEST_F(netlink, a_sleep_that_a_kick_ends_is_a_wake)
{
	uint64_t wakes = counter_get(SHMUX_A_COUNTER_WAKES);
	struct worker w;

	open_session(_metadata, self);
	worker_start(&w, end_wait_job, &self->ends.far);
	ASSERT_TRUE(worker_wait_blocked(&w));
	ASSERT_EQ(0, end_kick(self->ends.near));
	EXPECT_EQ(0, worker_join(&w));

	EXPECT_EQ(wakes + 1, counter_get(SHMUX_A_COUNTER_WAKES));
}

/* --- events ----------------------------------------------------------------- */

/* As the other fixture, with somebody who hears. */
FIXTURE(events)
{
	char name[SHMUX_NAME_SIZE];
	int listener, heard;
	struct ends ends;
	struct genl g;
};

FIXTURE_SETUP(events)
{
	strcpy(self->name, name_new());
	self->listener = listener_new(self->name);
	ASSERT_LE(0, self->listener);
	self->heard = events_open();
	self->ends.near = end_new_queued(self->name, NO_WAIT);
	ASSERT_LE(0, self->ends.near);
	self->ends.far = listener_accept(self->listener, NO_WAIT);
	ASSERT_LE(0, self->ends.far);
	ASSERT_EQ(0, end_create(self->ends.far));
}

FIXTURE_TEARDOWN(events)
{
	genl_free(&self->g);
	ends_close(&self->ends);
	close(self->listener);
	close(self->heard);
}

/* One event has come: @command of our session. */
#define EXPECT_EVENT(command)                                                               \
	do {                                                                                \
		genl_free(&self->g);                                                        \
		self->g = events_await(self->heard);                                        \
		ASSERT_EQ(1, self->g.nr);                                                   \
		EXPECT_EQ(command, genl_command(genl_message(&self->g, 0)));                \
		EXPECT_STREQ(self->name,                                                    \
			     genl_string(genl_message(&self->g, 0), SHMUX_A_SESSION_NAME)); \
	} while (0)

#define EXPECT_SILENCE()                            \
	do {                                        \
		genl_free(&self->g);                \
		self->g = events_take(self->heard); \
		EXPECT_EQ(0, self->g.nr);           \
		EXPECT_EQ(0, self->g.error);        \
	} while (0)

TEST_F(events, a_session_is_up_when_both_ends_are_ready)
{
	const struct nlmsghdr *m;

	ASSERT_EQ(-EAGAIN, end_meet(self->ends.near, NO_WAIT));
	EXPECT_SILENCE();
	ASSERT_EQ(0, end_meet(self->ends.far, NO_WAIT));

	EXPECT_EVENT(SHMUX_CMD_SESSION_UP);
	m = genl_message(&self->g, 0);
	EXPECT_EQ(SHMUX_PHASE_OPEN, genl_u32(m, SHMUX_A_SESSION_PHASE));
	EXPECT_EQ((uint32_t)getpid(), genl_u32(m, SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_PID));
	EXPECT_EQ((uint32_t)getpid(), genl_u32(m, SHMUX_A_SESSION_ACCEPTOR, SHMUX_A_END_PID));
	ASSERT_EQ(0, end_meet(self->ends.near, NO_WAIT));
	EXPECT_SILENCE();
}

TEST_F(events, a_session_is_down_once_when_an_end_has_closed)
{
	ASSERT_EQ(0, ends_meet(&self->ends));
	EXPECT_EVENT(SHMUX_CMD_SESSION_UP);

	close(self->ends.near);
	self->ends.near = -1;
	EXPECT_EVENT(SHMUX_CMD_SESSION_DOWN);
	EXPECT_EQ(SHMUX_CAUSE_HANG_UP, genl_u32(genl_message(&self->g, 0), SHMUX_A_SESSION_CAUSE));
	EXPECT_EQ(0, genl_u32(genl_message(&self->g, 0), SHMUX_A_SESSION_SIDE));
	ends_close(&self->ends);
	EXPECT_SILENCE();
}

TEST_F(events, a_refused_session_is_down)
{
	end_refuse(self->ends.far, EPERM);

	EXPECT_EVENT(SHMUX_CMD_SESSION_DOWN);
	EXPECT_EQ(SHMUX_CAUSE_REFUSAL, genl_u32(genl_message(&self->g, 0), SHMUX_A_SESSION_CAUSE));
	EXPECT_EQ(1, genl_u32(genl_message(&self->g, 0), SHMUX_A_SESSION_SIDE));
}

TEST_F(events, the_death_of_a_process_is_told_as_that)
{
	struct child c;

	ASSERT_EQ(0, ends_meet(&self->ends));
	EXPECT_EVENT(SHMUX_CMD_SESSION_UP);
	if (child_fork(&c)) {
		must(!file_adopt(self->ends.near));
		child_say(&c, 'a');
		child_hear(&c);
		_exit(0);
	}
	ASSERT_EQ('a', child_hear(&c));
	child_kill(&c);

	EXPECT_EVENT(SHMUX_CMD_PEER_DEATH);
	EXPECT_EQ(SHMUX_CAUSE_DEATH, genl_u32(genl_message(&self->g, 0), SHMUX_A_SESSION_CAUSE));
	EXPECT_EQ((uint32_t)c.pid, genl_u32(genl_message(&self->g, 0), SHMUX_A_SESSION_CONNECTOR,
					    SHMUX_A_END_OWNER));
}

TEST_F(events, a_session_that_nobody_has_joined_ends_in_silence)
{
	int lone = end_new(), queued = end_new_queued(self->name, NO_WAIT);

	ASSERT_LE(0, lone);
	ASSERT_LE(0, queued);
	close(lone);
	close(queued);
	EXPECT_SILENCE();
}

TEST_F(events, a_limit_that_is_hit_is_told_with_who_hit_it)
{
	uint64_t before = limit_max(SHMUX_SCOPE_USER, SHMUX_SESSIONS);
	uint64_t hits = counter_get(SHMUX_A_COUNTER_QUOTA_HITS);
	const struct nlmsghdr *m;

	NEEDS_ROOT("to set limits");
	ASSERT_EQ(0, limit_set(SHMUX_SCOPE_USER, SHMUX_SESSIONS, 1));
	EXPECT_TRUE(quota_hit_is_told());
	ASSERT_EQ(0, limit_set(SHMUX_SCOPE_USER, SHMUX_SESSIONS, before));

	self->g = events_take(self->heard);
	ASSERT_EQ(1, self->g.nr);
	m = genl_message(&self->g, 0);
	EXPECT_EQ(SHMUX_CMD_QUOTA_HIT, genl_command(m));
	EXPECT_EQ(SHMUX_SCOPE_USER, genl_u32(m, SHMUX_A_LIMIT_SCOPE));
	EXPECT_EQ(SHMUX_SESSIONS, genl_u32(m, SHMUX_A_LIMIT_RESOURCE));
	EXPECT_EQ(1, genl_u64(m, SHMUX_A_LIMIT_MAX_USE));
	EXPECT_EQ(geteuid(), genl_u32(m, SHMUX_A_LIMIT_UID));
	EXPECT_LT(hits, counter_get(SHMUX_A_COUNTER_QUOTA_HITS));
}

TEST_F(events, a_limit_that_only_what_lingers_stands_at_is_not_hit)
{
	uint64_t before = limit_max(SHMUX_SCOPE_TOTAL, SHMUX_SESSIONS);
	uint64_t hits = counter_get(SHMUX_A_COUNTER_QUOTA_HITS);
	int fd = end_new();
	void *own = region_map_own(fd, PAGE);
	struct usage usage;

	ASSERT_NE(MAP_FAILED, own);
	ASSERT_EQ(0, usage_get(&usage));
	ASSERT_EQ(0, limit_set(SHMUX_SCOPE_TOTAL, SHMUX_SESSIONS, usage.used[SHMUX_SESSIONS]));
	close(fd);
	munmap(own, PAGE);
	fd = end_new();
	EXPECT_LE(0, fd);
	close(fd);
	EXPECT_EQ(hits, counter_get(SHMUX_A_COUNTER_QUOTA_HITS));
	ASSERT_EQ(0, limit_set(SHMUX_SCOPE_TOTAL, SHMUX_SESSIONS, before));
}

TEST_F(events, hits_without_end_are_told_a_few_times)
{
	uint64_t before = limit_max(SHMUX_SCOPE_USER, SHMUX_SESSIONS);
	uint64_t hits = counter_get(SHMUX_A_COUNTER_QUOTA_HITS);
	struct child c;

	NEEDS_ROOT("to set limits");
	ASSERT_EQ(0, limit_set(SHMUX_SCOPE_USER, SHMUX_SESSIONS, 1));
	/* Where nobody has been told of any yet. */
	if (child_fork_in(&c, CLONE_NEWNET)) {
		int heard = events_open();
		struct genl g;

		for (int i = 0; i < 100; i++)
			must(end_new() == -EDQUOT);
		g = events_take(heard);
		/* Ten at once, and ten after five seconds. */
		must(!g.error && g.nr >= 10 && g.nr <= 20);
		for (unsigned int i = 0; i < g.nr; i++)
			must(genl_command(genl_message(&g, i)) == SHMUX_CMD_QUOTA_HIT);
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
	ASSERT_EQ(0, limit_set(SHMUX_SCOPE_USER, SHMUX_SESSIONS, before));

	EXPECT_EQ(hits + 100, counter_get(SHMUX_A_COUNTER_QUOTA_HITS));
}

TEST_F(events, what_happens_in_one_network_namespace_is_not_heard_in_another)
{
	struct child c;

	NEEDS_ROOT("to make namespaces");
	if (child_fork_in(&c, CLONE_NEWNET)) {
		int heard = events_open();
		struct genl g;

		child_say(&c, 'h');
		child_hear(&c);
		g = events_take(heard);
		must(!g.error && !g.nr);
		/* It hears of itself; pids are not told there. */
		must(!ends_open(&self->ends));
		g = events_await(heard);
		must(g.nr == 1 && genl_command(genl_message(&g, 0)) == SHMUX_CMD_SESSION_UP);
		must(genl_u32(genl_message(&g, 0), SHMUX_A_SESSION_CONNECTOR, SHMUX_A_END_PID) ==
		     0);
		_exit(0);
	}
	ASSERT_EQ('h', child_hear(&c));
	ASSERT_EQ(0, ends_meet(&self->ends));
	EXPECT_EVENT(SHMUX_CMD_SESSION_UP);
	child_say(&c, 'g');
	EXPECT_EQ(0, child_end(&c));
	EXPECT_SILENCE();
}

TEST_HARNESS_MAIN
