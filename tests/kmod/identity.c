// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * identity.c - who PEER says is at the other end
 */
#include <grp.h>
#include <sched.h>

#include "device.h"
#include "process.h"
#include "worker.h"

#define OVERFLOW 65534
#define USER 1001
#define GROUP 2002

/* We listen; a child connects, as it is told to. */
FIXTURE(identity)
{
	char name[SHMUX_NAME_SIZE];
	int listener;
	struct child child;
	int far; /* ours, accepted */
	struct shmux_ioc_peer peer;
};

FIXTURE_SETUP(identity)
{
	strcpy(self->name, name_new());
	self->listener = listener_new(self->name);
	ASSERT_LE(0, self->listener);
	self->far = -1;
}

FIXTURE_TEARDOWN(identity)
{
	close(self->far);
	close(self->listener);
}

/* Connect. Return: the end. */
static int dial(const char *name)
{
	int fd = end_new_queued(name, HANGS);

	must(fd >= 0);
	return fd;
}

/* In the child: say that it has connected, and wait for another word. */
static void stay(struct child *c)
{
	child_say(c, 'q');
	child_hear(c);
}

static void accept_child(struct __test_metadata *_metadata, FIXTURE_DATA(identity) * self)
{
	ASSERT_EQ('q', child_hear(&self->child));
	self->far = listener_accept(self->listener, NO_WAIT);
	ASSERT_LE(0, self->far);
	ASSERT_EQ(0, end_peer(self->far, &self->peer));
}

#define EXPECT_PEER(pid_, uid_, gid_)                     \
	do {                                              \
		EXPECT_EQ(pid_, self->peer.pid);          \
		EXPECT_EQ((uid_t)(uid_), self->peer.uid); \
		EXPECT_EQ((gid_t)(gid_), self->peer.gid); \
	} while (0)

/* A process in new namespaces; SKIPs where one may not make them. */
#define UNSHARE(flags) must(!unshare(flags))

static bool may_unshare(int flags)
{
	struct child c;

	if (child_fork(&c))
		_exit(unshare(flags) ? 1 : 0);
	return child_end(&c) == 0;
}

TEST_F(identity, is_the_process_and_the_effective_user_and_group_that_connected)
{
	NEEDS_ROOT("to be others");
	if (child_fork(&self->child)) {
		must(!setresgid(1, GROUP, 2));
		must(!setresuid(1, USER, 0));
		dial(self->name);
		stay(&self->child);
	}
	accept_child(_metadata, self);
	EXPECT_PEER(self->child.pid, USER, GROUP);
	EXPECT_EQ(SMALL, self->peer.region_size);
	child_kill(&self->child);
}

TEST_F(identity, is_as_of_the_connect)
{
	NEEDS_ROOT("to be others");
	if (child_fork(&self->child)) {
		int fd = end_new();

		must(!setresgid(-1, GROUP, -1));
		must(!setresuid(-1, USER, -1));
		must(!end_connect(fd, self->name, NO_WAIT));
		must(!setresuid(-1, 0, -1));
		must(!setresgid(-1, 0, -1));
		stay(&self->child);
	}
	accept_child(_metadata, self);
	EXPECT_PEER(self->child.pid, USER, GROUP);
	child_kill(&self->child);
}

TEST_F(identity, is_of_who_connected_and_not_of_who_made_the_region)
{
	int fd = end_new();

	if (child_fork(&self->child)) {
		must(!end_connect(fd, self->name, NO_WAIT));
		stay(&self->child);
	}
	accept_child(_metadata, self);
	EXPECT_PEER(self->child.pid, geteuid(), getegid());
	child_kill(&self->child);
	close(fd);
}

static int64_t dial_job(void *name)
{
	return dial(name);
}

TEST_F(identity, of_a_thread_is_its_process)
{
	if (child_fork(&self->child)) {
		struct worker worker;

		worker_start(&worker, dial_job, self->name);
		must(worker_join(&worker) >= 0);
		must(worker.tid != getpid());
		stay(&self->child);
	}
	accept_child(_metadata, self);
	EXPECT_PEER(self->child.pid, geteuid(), getegid());
	child_kill(&self->child);
}

TEST_F(identity, does_not_change_when_another_adopts_or_dies)
{
	int fd;

	if (child_fork(&self->child)) {
		must(!fd_send(self->child.fd, dial(self->name)));
		stay(&self->child);
		_exit(0);
	}
	fd = fd_receive(self->child.fd);
	ASSERT_LE(0, fd);
	accept_child(_metadata, self);
	ASSERT_EQ(0, file_adopt(fd));
	ASSERT_EQ(0, end_peer(self->far, &self->peer));
	EXPECT_PEER(self->child.pid, geteuid(), getegid());

	close(fd);
	ASSERT_EQ(0, file_hang_up(self->far));
	ASSERT_EQ(0, end_peer(self->far, &self->peer));
	EXPECT_PEER(self->child.pid, geteuid(), getegid());
	child_say(&self->child, 'x');
	EXPECT_EQ(0, child_end(&self->child));
}

TEST_F(identity, of_an_acceptor_is_who_listened_until_it_makes_its_region)
{
	struct shmux_ioc_peer peer;
	int end;

	/* We listen, the child accepts. */
	end = end_new_queued(self->name, NO_WAIT);
	ASSERT_LE(0, end);
	if (child_fork(&self->child)) {
		int fd = listener_accept(self->listener, NO_WAIT);

		must(fd >= 0);
		stay(&self->child);
		must(!end_create(fd));
		stay(&self->child);
	}
	ASSERT_EQ('q', child_hear(&self->child));
	ASSERT_EQ(0, end_peer(end, &peer));
	EXPECT_EQ(getpid(), peer.pid);

	child_say(&self->child, 'g');
	ASSERT_EQ('q', child_hear(&self->child));
	ASSERT_EQ(0, end_peer(end, &peer));
	EXPECT_EQ(self->child.pid, peer.pid);
	child_kill(&self->child);
	close(end);
}

TEST_F(identity, of_a_listener_is_told_in_its_queue)
{
	struct shmux_ioc_peer peer;
	int end = end_new_queued(self->name, NO_WAIT);

	ASSERT_LE(0, end);
	EXPECT_EQ(0, end_peer(end, &peer));
	EXPECT_EQ(getpid(), peer.pid);
	EXPECT_EQ(0, peer.region_size);
	close(end);
}

TEST(identity_in_a_pair_is_who_made_it_until_it_makes_its_region)
{
	struct shmux_ioc_peer peer;
	struct ends ends;
	struct child c;

	ASSERT_EQ(0, ends_pair(&ends));
	ASSERT_EQ(0, end_peer(ends.near, &peer));
	EXPECT_EQ(getpid(), peer.pid);
	ASSERT_EQ(0, end_peer(ends.far, &peer));
	EXPECT_EQ(getpid(), peer.pid);

	if (child_fork(&c)) {
		must(!end_create(ends.far));
		stay(&c);
	}
	ASSERT_EQ('q', child_hear(&c));
	ASSERT_EQ(0, end_peer(ends.near, &peer));
	EXPECT_EQ(c.pid, peer.pid);
	ASSERT_EQ(0, end_peer(ends.far, &peer));
	EXPECT_EQ(getpid(), peer.pid);
	child_kill(&c);
	ends_close(&ends);
}

TEST(identity_of_nobody_is_refused)
{
	struct shmux_ioc_peer peer;
	int fd = end_new();

	EXPECT_EQ(-ENOTCONN, end_peer(fd, &peer));
	close(fd);
}

/* --- namespaces ----------------------------------------------------------------------- */

/* What the child in the namespace was told of us. */
struct told {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

static void tell(struct child *c, int fd)
{
	struct shmux_ioc_peer peer;
	struct told told;

	/* We have a region by now. */
	must(!end_meet(fd, HANGS));
	must(!end_peer(fd, &peer));
	told = (struct told){ peer.pid, peer.uid, peer.gid };
	must(write(c->fd, &told, sizeof(told)) == sizeof(told));
}

static void hear_told(struct __test_metadata *_metadata, FIXTURE_DATA(identity) * self,
		      struct told *told)
{
	ASSERT_EQ(0, end_create(self->far));
	ASSERT_EQ(0, end_meet(self->far, NO_WAIT));
	child_say(&self->child, 'g');
	ASSERT_EQ(sizeof(*told), read(self->child.fd, told, sizeof(*told)));
}

TEST_F(identity, is_told_in_the_pid_namespace_of_who_asks)
{
	struct told told;
	int pids[2];
	pid_t inner;

	if (!may_unshare(CLONE_NEWPID))
		SKIP(return, "may not make a pid namespace");
	ASSERT_EQ(0, pipe2(pids, O_CLOEXEC));
	if (child_fork(&self->child)) {
		UNSHARE(CLONE_NEWPID);
		inner = fork();
		must(inner >= 0);
		if (!inner) {
			int fd;

			prctl(PR_SET_PDEATHSIG, SIGKILL);
			must(getpid() == 1);
			fd = dial(self->name);
			stay(&self->child);
			tell(&self->child, fd);
			child_hear(&self->child);
			_exit(0);
		}
		must(write(pids[1], &inner, sizeof(inner)) == sizeof(inner));
		for (;;)
			pause();
	}
	ASSERT_EQ(sizeof(inner), read(pids[0], &inner, sizeof(inner)));
	accept_child(_metadata, self);
	EXPECT_PEER(inner, geteuid(), getegid());

	/* Who is inside does not see us. */
	hear_told(_metadata, self, &told);
	EXPECT_EQ(0, told.pid);
	child_kill(&self->child);
	close(pids[0]);
	close(pids[1]);
}

TEST_F(identity, is_told_in_the_user_namespace_of_who_asks)
{
	struct told told;

	NEEDS_ROOT("to be others");
	if (!may_unshare(CLONE_NEWUSER))
		SKIP(return, "may not make a user namespace");
	if (child_fork(&self->child)) {
		int fd;

		must(!setresgid(GROUP, GROUP, GROUP));
		must(!setresuid(USER, USER, USER));
		must(!prctl(PR_SET_DUMPABLE, 1));
		UNSHARE(CLONE_NEWUSER);
		must(proc_write("/proc/self/setgroups", "deny"));
		must(proc_write("/proc/self/uid_map", "0 1001 1"));
		must(proc_write("/proc/self/gid_map", "7 2002 1"));
		must(geteuid() == 0 && getegid() == 7);
		fd = dial(self->name);
		stay(&self->child);
		tell(&self->child, fd);
		child_hear(&self->child);
		_exit(0);
	}
	accept_child(_metadata, self);
	EXPECT_PEER(self->child.pid, USER, GROUP);

	/* Who is inside has no number for us. */
	hear_told(_metadata, self, &told);
	EXPECT_EQ(getpid(), told.pid);
	EXPECT_EQ(OVERFLOW, told.uid);
	EXPECT_EQ(OVERFLOW, told.gid);
	child_kill(&self->child);
}

/* --- security labels ---------------------------------------------------------------------- */

/* Ours with its NUL, as /proc tells it. Return: bytes, 0 if there is none. */
static uint32_t own_label(char *label, size_t size)
{
	int fd = open("/proc/self/attr/current", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, label, size - 1);

	if (fd >= 0)
		close(fd);
	while (n > 0 && (label[n - 1] == '\n' || !label[n - 1]))
		n--;
	if (n <= 0)
		return 0;
	label[n] = 0;
	return (uint32_t)n + 1;
}

static int ask_label(int fd, char *label, uint32_t *size)
{
	struct shmux_ioc_peer arg = ARG(peer, .label = (uintptr_t)label, .label_size = *size);
	int err = request(fd, SHMUX_IOC_PEER, &arg);

	*size = arg.label_size;
	return err;
}

FIXTURE(label)
{
	struct ends ends;
	char own[256];
	uint32_t own_size;
};

FIXTURE_SETUP(label)
{
	ASSERT_EQ(0, ends_pair(&self->ends));
	self->own_size = own_label(self->own, sizeof(self->own));
}

FIXTURE_TEARDOWN(label)
{
	ends_close(&self->ends);
}

TEST_F(label, is_what_proc_says_or_none)
{
	char label[256] = "untouched";
	uint32_t size = sizeof(label);

	EXPECT_EQ(0, ask_label(self->ends.near, label, &size));
	EXPECT_EQ(self->own_size, size);
	EXPECT_STREQ(self->own_size ? self->own : "untouched", label);
}

TEST_F(label, size_is_told_to_who_wants_no_label)
{
	uint32_t size = 0;

	EXPECT_EQ(0, ask_label(self->ends.near, NULL, &size));
	EXPECT_EQ(self->own_size, size);
}

TEST_F(label, is_given_whole_or_not_at_all)
{
	char label[256];
	uint32_t size;

	if (!self->own_size)
		SKIP(return, "this kernel gives no labels");
	for (uint32_t room = 1; room < self->own_size; room++) {
		memset(label, '#', sizeof(label));
		size = room;
		EXPECT_EQ(-ERANGE, ask_label(self->ends.near, label, &size));
		EXPECT_EQ(self->own_size, size);
		EXPECT_EQ('#', label[room]);
	}
	size = self->own_size;
	EXPECT_EQ(0, ask_label(self->ends.near, label, &size));
	EXPECT_STREQ(self->own, label);
}

TEST_F(label, for_memory_that_is_not_ours_is_refused)
{
	uint32_t size = 256;

	if (!self->own_size)
		SKIP(return, "this kernel gives no labels");
	EXPECT_EQ(-EFAULT, ask_label(self->ends.near, (char *)16, &size));
}

TEST_HARNESS_MAIN
