// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * name.c - names, who may connect by them, and the queue
 */
#include <grp.h>
#include <sched.h>

#include "device.h"
#include "process.h"
#include "worker.h"

FIXTURE(name)
{
	char name[SHMUX_NAME_SIZE];
	int listener; /* that everybody may connect to; two may wait */
};

FIXTURE_SETUP(name)
{
	strcpy(self->name, name_new());
	self->listener = listener_new_for(self->name, 2, EVERYBODY);
	ASSERT_LE(0, self->listener);
}

FIXTURE_TEARDOWN(name)
{
	if (self->listener >= 0)
		close(self->listener);
}

/* Return: 0 if somebody can listen by this name, or -errno. */
static int try_listen(const char *name)
{
	int fd = listener_new(name);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int try_connect(const char *name)
{
	int fd = end_new_queued(name, NO_WAIT);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

/* --- what is a name ------------------------------------------------------------------ */

TEST(grammar_is_letters_digits_and_six_others)
{
	char name[SHMUX_NAME_SIZE];

	strcpy(name, name_new());
	for (int c = 1; c < 256; c++) {
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || strchr("._-+@", c);

		name[4] = (char)c;
		EXPECT_EQ(good ? 0 : -EINVAL, try_listen(name))
		{
			TH_LOG("character %d", c);
		}
		EXPECT_EQ(good ? -ECONNREFUSED : -EINVAL, try_connect(name));
	}
}

TEST(name_may_be_any_character_alone)
{
	const char *names[] = { "a", "0", ".", "_", "-", "+", "@", "..", "@." };

	/* Somebody may have it, here; then it is a name as well. */
	for (int i = 0; i < 9; i++) {
		int err = try_listen(names[i]);

		EXPECT_TRUE(err == 0 || err == -EADDRINUSE);
	}
}

TEST(name_is_not_empty)
{
	EXPECT_EQ(-EINVAL, try_listen(""));
	EXPECT_EQ(-EINVAL, try_connect(""));
}

/* A name that no other test has, with no room for another character. */
static void name_new_longest(char name[SHMUX_NAME_SIZE])
{
	const char *unique = name_new();

	memset(name, 0, SHMUX_NAME_SIZE);
	memset(name, 'x', SHMUX_NAME_MAX);
	memcpy(name, unique, strlen(unique));
}

TEST(longest_name_has_64_characters)
{
	char name[SHMUX_NAME_SIZE + 1] = { 0 };
	int fd;

	name_new_longest(name);
	ASSERT_EQ(SHMUX_NAME_MAX, strlen(name));
	fd = listener_new(name);
	EXPECT_LE(0, fd);
	EXPECT_EQ(0, try_connect(name));
	close(fd);
	for (int len = SHMUX_NAME_MAX; len < SHMUX_NAME_SIZE; len++) {
		name[len] = 'x';
		EXPECT_EQ(-EINVAL, try_listen(name));
		EXPECT_EQ(-EINVAL, try_connect(name));
	}
}

TEST(longest_names_that_differ_in_their_last_character_are_two)
{
	char name[SHMUX_NAME_SIZE];
	int fd;

	name_new_longest(name);
	fd = listener_new(name);
	ASSERT_LE(0, fd);
	name[SHMUX_NAME_MAX - 1] = '-';
	EXPECT_EQ(-ECONNREFUSED, try_connect(name));
	EXPECT_EQ(0, try_listen(name));
	close(fd);
}

TEST(capitals_make_another_name)
{
	char name[SHMUX_NAME_SIZE];
	int fd;

	strcpy(name, name_new());
	fd = listener_new(name);
	ASSERT_LE(0, fd);
	name[0] = 'T';
	EXPECT_EQ(-ECONNREFUSED, try_connect(name));
	EXPECT_EQ(0, try_listen(name));
	close(fd);
}

TEST(backlog_is_1_to_65535_and_the_mode_has_nine_bits)
{
	const uint32_t wrong_backlogs[] = { 0, 65536, UINT32_MAX };
	const uint32_t wrong_modes[] = { 01000, 010222, 1u << 31 };

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(-EINVAL, listener_new_for(name_new(), wrong_backlogs[i], EVERYBODY));
		EXPECT_EQ(-EINVAL, listener_new_for(name_new(), 1, wrong_modes[i]));
	}
	for (uint32_t mode = 0; mode <= 0777; mode += 0111) {
		int fd = listener_new_for(name_new(), 65535, mode);

		EXPECT_LE(0, fd);
		close(fd);
	}
}

/* --- whose it is ------------------------------------------------------------------------ */

TEST_F(name, has_one_listener)
{
	EXPECT_EQ(-EADDRINUSE, try_listen(self->name));
	EXPECT_EQ(0, try_connect(self->name));
}

TEST_F(name, that_was_taken_leaves_a_file_that_can_take_another)
{
	int fd = device_open();

	EXPECT_EQ(-EADDRINUSE, listener_take(fd, self->name, 1, EVERYBODY));
	EXPECT_EQ(0, listener_take(fd, name_new(), 1, EVERYBODY));
	close(fd);
}

TEST_F(name, is_free_when_its_listener_is_closed)
{
	close(self->listener);
	self->listener = -1;
	EXPECT_EQ(-ECONNREFUSED, try_connect(self->name));
	EXPECT_EQ(0, try_listen(self->name));
}

TEST_F(name, is_free_when_its_listener_hangs_up)
{
	EXPECT_EQ(0, file_hang_up(self->listener));
	EXPECT_EQ(-ECONNREFUSED, try_connect(self->name));
	EXPECT_EQ(0, try_listen(self->name));
	EXPECT_EQ(POLLHUP, file_polls(self->listener, 0));
}

TEST_F(name, is_not_free_while_a_copy_of_the_descriptor_is_open)
{
	int copy = dup(self->listener);

	close(self->listener);
	self->listener = copy;
	EXPECT_EQ(-EADDRINUSE, try_listen(self->name));
	EXPECT_EQ(0, try_connect(self->name));
}

/* A child that listens, with a child of its own that holds a copy until let go. */
struct family {
	struct child owner;
	int leash;
};

static void family_start(struct __test_metadata *_metadata, struct family *f, const char *name)
{
	struct child holder;
	int leash[2], fd;
	char byte;

	ASSERT_EQ(0, pipe2(leash, O_CLOEXEC));
	if (child_fork(&f->owner)) {
		close(leash[1]);
		fd = listener_new(name);
		must(fd >= 0);
		if (child_fork(&holder)) {
			prctl(PR_SET_PDEATHSIG, 0);
			child_say(&f->owner, 'h');
			must(!read(leash[0], &byte, 1));
			_exit(0);
		}
		if (child_hear(&f->owner) == 'x')
			_exit(0);
		close(fd);
		child_say(&f->owner, 'c');
		child_hear(&f->owner);
		_exit(0);
	}
	close(leash[0]);
	f->leash = leash[1];
	ASSERT_EQ('h', child_hear(&f->owner));
	ASSERT_EQ(-EADDRINUSE, try_listen(name));
}

TEST(name_is_free_when_its_owner_is_killed_though_a_child_has_a_copy)
{
	const char *name = name_new();
	struct family f;

	family_start(_metadata, &f, name);
	EXPECT_EQ(-SIGKILL, child_kill(&f.owner));
	EXPECT_EQ(0, try_listen(name));
	close(f.leash);
}

TEST(name_is_free_when_its_owner_exits_though_a_child_has_a_copy)
{
	const char *name = name_new();
	struct family f;

	family_start(_metadata, &f, name);
	child_say(&f.owner, 'x');
	EXPECT_EQ(0, child_end(&f.owner));
	EXPECT_EQ(0, try_listen(name));
	close(f.leash);
}

TEST(name_is_not_free_when_its_owner_closes_it_and_exits_and_a_child_has_a_copy)
{
	const char *name = name_new();
	struct family f;

	family_start(_metadata, &f, name);
	child_say(&f.owner, 'c');
	ASSERT_EQ('c', child_hear(&f.owner));
	EXPECT_EQ(-EADDRINUSE, try_listen(name));
	EXPECT_EQ(-SIGKILL, child_kill(&f.owner));
	EXPECT_EQ(-EADDRINUSE, try_listen(name));

	close(f.leash);
	EXPECT_TRUE(wait_until(try_listen(name) == 0));
}

TEST_F(name, is_not_free_when_a_process_exits_that_has_a_copy)
{
	struct child c;

	if (child_fork(&c))
		_exit(0);
	EXPECT_EQ(0, child_end(&c));
	EXPECT_EQ(-EADDRINUSE, try_listen(self->name));
	EXPECT_EQ(0, try_connect(self->name));
}

TEST_F(name, is_free_when_who_adopted_the_listener_is_killed)
{
	struct child c;

	if (child_fork(&c)) {
		must(!file_adopt(self->listener));
		child_say(&c, 'a');
		child_hear(&c);
	}
	ASSERT_EQ('a', child_hear(&c));
	EXPECT_EQ(-EADDRINUSE, try_listen(self->name));

	EXPECT_EQ(-SIGKILL, child_kill(&c));

	EXPECT_EQ(0, try_listen(self->name));
}

TEST(name_is_not_free_when_who_listened_exits_after_another_adopted)
{
	const char *name = name_new();
	struct child c;
	int fd;

	if (child_fork(&c)) {
		int listener = listener_new(name);

		must(listener >= 0);
		must(!fd_send(c.fd, listener));
		child_hear(&c);
		_exit(0);
	}
	fd = fd_receive(c.fd);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, file_adopt(fd));
	child_say(&c, 'x');
	EXPECT_EQ(0, child_end(&c));

	EXPECT_EQ(-EADDRINUSE, try_listen(name));
	close(fd);
	EXPECT_EQ(0, try_listen(name));
}

/* --- network namespaces ------------------------------------------------------------------- */

static int netns_open(void)
{
	return open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
}

TEST_F(name, belongs_to_a_network_namespace)
{
	int home = netns_open(), other, end;

	if (unshare(CLONE_NEWNET) && errno == EPERM)
		SKIP(close(home); return, "may not make a network namespace");

	EXPECT_EQ(-ECONNREFUSED, try_connect(self->name));
	other = listener_new(self->name);
	EXPECT_LE(0, other);
	end = end_new_queued(self->name, NO_WAIT);
	EXPECT_LE(0, end);
	EXPECT_EQ(POLLIN, file_polls(other, POLLIN));
	EXPECT_EQ(0, file_polls(self->listener, POLLIN));
	close(end);

	ASSERT_EQ(0, setns(home, CLONE_NEWNET));
	close(other);
	EXPECT_EQ(-EADDRINUSE, try_listen(self->name));
	close(home);
}

TEST_F(name, is_taken_in_the_namespace_of_who_listens_wherever_the_file_was_opened)
{
	int home = netns_open(), fd = device_open(), other;

	if (unshare(CLONE_NEWNET) && errno == EPERM)
		SKIP(close(home); close(fd); return, "may not make a network namespace");
	other = device_open();
	EXPECT_EQ(0, listener_take(fd, self->name, 1, EVERYBODY));

	ASSERT_EQ(0, setns(home, CLONE_NEWNET));
	EXPECT_EQ(-EADDRINUSE, listener_take(other, self->name, 1, EVERYBODY));
	close(home);
	close(fd);
	close(other);
}

TEST_F(name, is_looked_for_in_the_namespace_of_who_made_the_region_wherever_it_connects)
{
	int home = netns_open(), fd = end_new(), other, far;

	if (unshare(CLONE_NEWNET) && errno == EPERM)
		SKIP(close(home); close(fd); return, "may not make a network namespace");
	other = listener_new(self->name);
	EXPECT_LE(0, other);

	EXPECT_EQ(0, end_connect(fd, self->name, NO_WAIT));

	EXPECT_EQ(-EAGAIN, listener_accept(other, NO_WAIT));
	far = listener_accept(self->listener, NO_WAIT);
	EXPECT_LE(0, far);
	close(far);
	close(fd);
	close(other);
	close(home);
}

TEST(listener_and_session_outlive_their_namespace)
{
	const char *name = name_new();
	uint32_t seen = 0;
	struct ends ends;
	struct child c;
	int listener;

	if (child_fork(&c)) {
		if (unshare(CLONE_NEWNET))
			_exit(2);
		listener = listener_new(name);
		must(listener >= 0);
		must(!ends_open(&ends));
		must(!fd_send(c.fd, listener));
		must(!fd_send(c.fd, ends.near));
		must(!fd_send(c.fd, ends.far));
		close(listener);
		ends_close(&ends);
		_exit(0);
	}
	listener = fd_receive(c.fd);
	if (listener < 0) {
		ASSERT_EQ(2, child_end(&c));
		SKIP(return, "may not make a network namespace");
	}
	ends.near = fd_receive(c.fd);
	ends.far = fd_receive(c.fd);
	EXPECT_EQ(0, child_end(&c));

	EXPECT_EQ(-EAGAIN, listener_accept(listener, NO_WAIT));
	EXPECT_EQ(0, end_kick(ends.near));
	EXPECT_EQ(0, end_wait(ends.far, &seen, NO_WAIT));
	ends_close(&ends);
	close(listener);
}

/* --- who may connect ------------------------------------------------------------------------ */

struct visitor {
	uid_t uid;
	gid_t gid, extra; /* @extra: a supplementary group */
};

/* Return: what a process of these credentials is told, other than 0. */
static int connect_as(const char *name, const struct visitor *v)
{
	struct child c;

	if (child_fork(&c)) {
		must(!setgroups(1, &v->extra));
		must(!setresgid(v->gid, v->gid, v->gid));
		must(!setresuid(v->uid, v->uid, v->uid));
		_exit(-try_connect(name));
	}
	return -child_end(&c);
}

#define OWNER 1001
#define GROUP 2002

struct admission {
	uint32_t mode;
	int owner, member, extra, stranger;
};

TEST(mode_says_who_may_connect)
{
	const struct visitor owner = { OWNER, 3, 3 }, member = { 3, GROUP, 3 },
			     extra = { 3, 3, GROUP }, stranger = { 3, 3, 3 };
	const struct admission cases[] = {
		{ 0000, -EACCES, -EACCES, -EACCES, -EACCES },
		{ 0200, 0, -EACCES, -EACCES, -EACCES },
		{ 0020, -EACCES, 0, 0, -EACCES },
		{ 0220, 0, 0, 0, -EACCES },
		{ 0222, 0, 0, 0, 0 },
		/* The owner is not everybody else, nor is the group. */
		{ 0022, -EACCES, 0, 0, 0 },
		{ 0002, -EACCES, -EACCES, -EACCES, 0 },
		{ 0202, 0, -EACCES, -EACCES, 0 },
		/* Bits that do not count. */
		{ 0555, -EACCES, -EACCES, -EACCES, -EACCES },
		{ 0777, 0, 0, 0, 0 },
	};

	NEEDS_ROOT("to be others");
	for (int i = 0; i < 10; i++) {
		const char *name = name_new();
		struct shmux_ioc_listen arg = listen_arg(name, 16, cases[i].mode);
		int fd = device_open();

		arg.flags = SHMUX_LISTEN_UID | SHMUX_LISTEN_GID;
		arg.uid = OWNER;
		arg.gid = GROUP;
		ASSERT_EQ(0, request(fd, SHMUX_IOC_LISTEN, &arg));
		EXPECT_EQ(cases[i].owner, connect_as(name, &owner));
		EXPECT_EQ(cases[i].member, connect_as(name, &member));
		EXPECT_EQ(cases[i].extra, connect_as(name, &extra));
		EXPECT_EQ(cases[i].stranger, connect_as(name, &stranger))
		{
			TH_LOG("mode %03o", cases[i].mode);
		}
		close(fd);
	}
}

TEST(mode_is_about_the_effective_ids_of_who_listens_unless_it_says_others)
{
	const struct visitor owner = { OWNER, 3, 3 }, member = { 3, GROUP, 3 };
	char name[SHMUX_NAME_SIZE], other[SHMUX_NAME_SIZE];
	struct child c;

	NEEDS_ROOT("to be others");
	strcpy(name, name_new());
	strcpy(other, name_new());
	if (child_fork(&c)) {
		must(!setresgid(-1, GROUP, -1));
		must(!setresuid(-1, OWNER, -1));
		must(listener_new_for(name, 1, 0200) >= 0);
		must(listener_new_for(other, 1, 0020) >= 0);
		child_say(&c, 'l');
		child_hear(&c);
	}
	ASSERT_EQ('l', child_hear(&c));
	EXPECT_EQ(0, connect_as(name, &owner));
	EXPECT_EQ(-EACCES, connect_as(name, &member));
	EXPECT_EQ(-EACCES, connect_as(other, &owner));
	EXPECT_EQ(0, connect_as(other, &member));
	/* Root is nobody special. */
	EXPECT_EQ(-EACCES, try_connect(name));
	child_kill(&c);
}

TEST(mode_is_about_the_effective_ids_of_who_connects)
{
	const char *name = name_new();
	struct child c;
	int fd;

	NEEDS_ROOT("to be others");
	fd = listener_new_for(name, 1, 0200);
	ASSERT_LE(0, fd);
	if (child_fork(&c)) {
		must(!setresuid(-1, OWNER, -1));
		must(try_connect(name) == -EACCES);
		must(!setresuid(-1, 0, -1));
		must(!try_connect(name));
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
	close(fd);
}

TEST(id_that_is_none_is_refused)
{
	struct shmux_ioc_listen arg = listen_arg(name_new(), 1, EVERYBODY);
	int fd = device_open();

	arg.flags = SHMUX_LISTEN_UID;
	arg.uid = UINT32_MAX;
	EXPECT_EQ(-EINVAL, request(fd, SHMUX_IOC_LISTEN, &arg));
	arg.flags = SHMUX_LISTEN_GID;
	arg.gid = UINT32_MAX;
	EXPECT_EQ(-EINVAL, request(fd, SHMUX_IOC_LISTEN, &arg));
	close(fd);
}

TEST_F(name, end_that_was_turned_away_may_try_elsewhere)
{
	const char *name = name_new();
	int closed = listener_new_for(name, 1, 0), fd = end_new();

	ASSERT_LE(0, closed);
	EXPECT_EQ(-EACCES, end_connect(fd, name, NO_WAIT));
	EXPECT_EQ(-ECONNREFUSED, end_connect(fd, name_new(), HANGS));
	EXPECT_EQ(0, end_connect(fd, self->name, NO_WAIT));
	close(closed);
	close(fd);
}

/* --- the queue --------------------------------------------------------------------------------- */

/* An end whose region begins with @mark, in the queue. */
static int queue_marked(const char *name, char mark)
{
	int fd = device_open();
	char *own;

	if (end_create_sized(fd, PAGE, 0, ANY_SIZE))
		return -1;
	own = region_map_own(fd, PAGE);
	*own = mark;
	munmap(own, PAGE);
	return end_connect(fd, name, NO_WAIT) ? -1 : fd;
}

/* Return: the mark of who is at the other end of an accepted one. */
static char mark_of(int fd)
{
	char *theirs = region_map_peer(fd, PAGE), mark;

	if (theirs == MAP_FAILED)
		return 0;
	mark = *theirs;
	munmap(theirs, PAGE);
	return mark;
}

/* Accept one. Return: its mark. */
static char accept_mark(int listener)
{
	int fd = listener_accept(listener, NO_WAIT);
	char mark = fd < 0 ? 0 : mark_of(fd);

	if (fd >= 0)
		close(fd);
	return mark;
}

TEST(queue_is_accepted_in_its_order)
{
	const char *name = name_new();
	int listener = listener_new_for(name, 5, EVERYBODY), fds[5];

	for (int i = 0; i < 5; i++) {
		fds[i] = queue_marked(name, (char)('a' + i));
		ASSERT_LE(0, fds[i]);
	}
	for (int i = 0; i < 5; i++)
		EXPECT_EQ('a' + i, accept_mark(listener));
	EXPECT_EQ(-EAGAIN, listener_accept(listener, NO_WAIT));
	for (int i = 0; i < 5; i++)
		close(fds[i]);
	close(listener);
}

TEST(queue_does_not_hand_out_who_has_gone)
{
	const char *name = name_new();
	int listener = listener_new_for(name, 5, EVERYBODY), fds[5];

	for (int i = 0; i < 5; i++) {
		fds[i] = queue_marked(name, (char)('a' + i));
		ASSERT_LE(0, fds[i]);
	}
	close(fds[0]);
	ASSERT_EQ(0, file_hang_up(fds[2]));
	close(fds[4]);

	EXPECT_EQ('b', accept_mark(listener));
	EXPECT_EQ('d', accept_mark(listener));
	EXPECT_EQ(0, file_polls(listener, POLLIN));
	EXPECT_EQ(-EAGAIN, listener_accept(listener, NO_WAIT));
	for (int i = 1; i < 4; i++)
		close(fds[i]);
	close(listener);
}

TEST_F(name, queue_that_is_full_takes_nobody)
{
	int one = queue_marked(self->name, '1'), two = queue_marked(self->name, '2');
	struct shmux_ioc_peer listens;
	int three = end_new();
	uint64_t left = A_WHILE;

	ASSERT_LE(0, one);
	ASSERT_LE(0, two);
	EXPECT_EQ(-ENOTCONN, end_peer(three, &listens));
	EXPECT_EQ(-EAGAIN, end_connect(three, self->name, NO_WAIT));
	EXPECT_EQ(0, end_peer(three, &listens));
	EXPECT_EQ(getpid(), listens.pid);
	EXPECT_EQ(0, listens.region_size);
	EXPECT_EQ(-ETIMEDOUT, end_connect_timed(three, self->name, &left));
	EXPECT_EQ(0, left);

	EXPECT_EQ('1', accept_mark(self->listener));
	EXPECT_EQ(0, end_connect(three, self->name, NO_WAIT));
	close(one);
	close(two);
	close(three);
}

TEST_F(name, queue_has_room_again_when_who_waited_has_gone)
{
	int one = queue_marked(self->name, '1'), two = queue_marked(self->name, '2');

	ASSERT_EQ(-EAGAIN, try_connect(self->name));
	close(one);
	EXPECT_EQ(0, try_connect(self->name));
	close(two);
}

struct caller {
	struct worker worker;
	char name[SHMUX_NAME_SIZE];
	int fd;
	uint64_t timeout;
};

static int64_t connect_job(void *arg)
{
	struct caller *c = arg;

	return end_connect_timed(c->fd, c->name, &c->timeout);
}

static int64_t accept_job(void *arg)
{
	struct caller *c = arg;

	return listener_accept_timed(c->fd, &c->timeout);
}

static void caller_start(struct caller *c, worker_fn fn, const char *name, int fd, uint64_t timeout)
{
	*c = (struct caller){ .fd = fd, .timeout = timeout };
	strcpy(c->name, name);
	worker_start(&c->worker, fn, c);
}

static void fill(struct __test_metadata *_metadata, FIXTURE_DATA(name) * self, int fds[2])
{
	for (int i = 0; i < 2; i++) {
		fds[i] = queue_marked(self->name, (char)('1' + i));
		ASSERT_LE(0, fds[i]);
	}
}

TEST_F(name, queue_that_is_full_is_waited_for)
{
	struct caller callers[3];
	int fds[2], far;

	fill(_metadata, self, fds);
	for (int i = 0; i < 3; i++) {
		caller_start(&callers[i], connect_job, self->name, end_new(), HANGS);
		ASSERT_TRUE(worker_wait_blocked(&callers[i].worker));
	}

	for (int i = 0; i < 5; i++) {
		far = listener_accept(self->listener, HANGS);
		EXPECT_LE(0, far);
		close(far);
	}

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, worker_join(&callers[i].worker));
		EXPECT_GT(HANGS, callers[i].timeout);
		EXPECT_LT(0, callers[i].timeout);
		close(callers[i].fd);
	}
	close(fds[0]);
	close(fds[1]);
}

TEST_F(name, room_in_the_queue_is_for_who_has_waited_longest)
{
	struct caller callers[3];
	int fds[2], far;

	fill(_metadata, self, fds);
	for (int i = 0; i < 3; i++) {
		caller_start(&callers[i], connect_job, self->name, end_new(), HANGS);
		ASSERT_TRUE(worker_wait_blocked(&callers[i].worker));
	}
	/* Who gives up is passed over. */
	ASSERT_EQ(0, file_hang_up(callers[0].fd));
	EXPECT_EQ(-ECONNRESET, worker_join(&callers[0].worker));

	far = listener_accept(self->listener, HANGS);
	EXPECT_LE(0, far);
	close(far);
	EXPECT_EQ(0, worker_join(&callers[1].worker));
	EXPECT_TRUE(worker_wait_blocked(&callers[2].worker));

	ASSERT_EQ(0, file_hang_up(fds[1]));
	EXPECT_EQ(0, worker_join(&callers[2].worker));
	for (int i = 0; i < 3; i++)
		close(callers[i].fd);
	close(fds[0]);
	close(fds[1]);
}

TEST_F(name, queue_is_waited_for_by_one_thread_of_an_end)
{
	struct caller caller;
	int fds[2];

	fill(_metadata, self, fds);
	caller_start(&caller, connect_job, self->name, end_new(), HANGS);
	ASSERT_TRUE(worker_wait_blocked(&caller.worker));

	EXPECT_EQ(-EBADFD, end_connect(caller.fd, self->name, NO_WAIT));

	ASSERT_EQ(0, file_hang_up(caller.fd));
	EXPECT_EQ(-ECONNRESET, worker_join(&caller.worker));
	close(caller.fd);
	close(fds[0]);
	close(fds[1]);
}

/* The first of what /proc/sys/fs/file-nr says. */
static long nr_files(void)
{
	FILE *f = fopen("/proc/sys/fs/file-nr", "r");
	long nr = -1;

	if (f) {
		if (fscanf(f, "%ld", &nr) != 1)
			nr = -1;
		fclose(f);
	}
	return nr;
}

static int64_t accept_all_job(void *arg)
{
	struct caller *c = arg;
	int fd;

	while ((fd = listener_accept(c->fd, HANGS)) >= 0)
		close(fd);
	return fd;
}

TEST_F(name, who_comes_and_goes_costs_who_accepts_nothing)
{
	struct caller caller;
	long before;
	int fd;

	if (!getenv("SHMUX_TEST_MODULE"))
		SKIP(return, "counts the files of the whole machine: needs one of its own");
	caller_start(&caller, accept_all_job, self->name, self->listener, HANGS);
	ASSERT_TRUE(worker_wait_blocked(&caller.worker));
	before = nr_files();
	ASSERT_LE(0, before);
	for (int i = 0; i < 2000; i++) {
		fd = end_new();
		ASSERT_LE(0, fd);
		if (!end_connect(fd, self->name, HANGS))
			file_hang_up(fd);
		close(fd);
	}
	EXPECT_GT(before + 500, nr_files());

	ASSERT_EQ(0, file_hang_up(self->listener));
	EXPECT_EQ(-ECONNRESET, worker_join(&caller.worker));
}

TEST_F(name, queue_that_is_full_is_waited_for_in_vain_when_the_listener_goes)
{
	struct caller caller;
	int fds[2];

	fill(_metadata, self, fds);
	caller_start(&caller, connect_job, self->name, end_new(), HANGS);
	ASSERT_TRUE(worker_wait_blocked(&caller.worker));

	close(self->listener);
	self->listener = -1;

	EXPECT_EQ(-ECONNREFUSED, worker_join(&caller.worker));
	EXPECT_EQ(-ECONNREFUSED, end_meet(fds[0], HANGS));
	EXPECT_EQ(-ECONNREFUSED, end_meet(fds[1], HANGS));
	close(caller.fd);
	close(fds[0]);
	close(fds[1]);
}

static void interrupt(struct __test_metadata *_metadata, struct caller *c)
{
	ASSERT_TRUE(worker_wait_blocked(&c->worker));
	worker_interrupt(&c->worker, 0);
	EXPECT_EQ(-EINTR, worker_join(&c->worker));
	EXPECT_GT(HANGS, c->timeout);
	EXPECT_LT(0, c->timeout);
}

TEST_F(name, connect_that_a_signal_ends_can_be_made_again)
{
	struct caller c;
	int fds[2];

	fill(_metadata, self, fds);
	caller_start(&c, connect_job, self->name, end_new(), HANGS);
	interrupt(_metadata, &c);

	worker_start(&c.worker, connect_job, &c);
	ASSERT_TRUE(worker_wait_blocked(&c.worker));
	close(fds[0]);
	EXPECT_EQ(0, worker_join(&c.worker));
	close(c.fd);
	close(fds[1]);
}

TEST_F(name, accept_that_a_signal_ends_can_be_made_again)
{
	struct caller c;
	int end, far;

	caller_start(&c, accept_job, self->name, self->listener, HANGS);
	interrupt(_metadata, &c);

	worker_start(&c.worker, accept_job, &c);
	ASSERT_TRUE(worker_wait_blocked(&c.worker));
	end = end_new_queued(self->name, NO_WAIT);
	far = (int)worker_join(&c.worker);
	EXPECT_LE(0, far);
	close(far);
	close(end);
}

TEST_F(name, accept_ends_when_its_time_is_over)
{
	uint64_t left = A_WHILE, begin = shmux_now();

	EXPECT_EQ(-ETIMEDOUT, listener_accept_timed(self->listener, &left));
	EXPECT_LE(A_WHILE, shmux_now() - begin);
	EXPECT_EQ(0, left);
}

TEST_F(name, accept_waits_for_somebody_in_any_number_of_threads)
{
	struct caller callers[2];
	int ends[2], far;

	for (int i = 0; i < 2; i++) {
		caller_start(&callers[i], accept_job, self->name, self->listener, HANGS);
		ASSERT_TRUE(worker_wait_blocked(&callers[i].worker));
	}
	for (int i = 0; i < 2; i++)
		ends[i] = end_new_queued(self->name, HANGS);
	for (int i = 0; i < 2; i++) {
		far = (int)worker_join(&callers[i].worker);
		EXPECT_LE(0, far);
		close(far);
		close(ends[i]);
	}
}

TEST_F(name, accept_ends_when_the_listener_hangs_up)
{
	struct caller c;

	caller_start(&c, accept_job, self->name, self->listener, HANGS);
	ASSERT_TRUE(worker_wait_blocked(&c.worker));
	ASSERT_EQ(0, file_hang_up(self->listener));
	EXPECT_EQ(-ECONNRESET, worker_join(&c.worker));
}

TEST_F(name, poll_tells_that_somebody_waits)
{
	struct epoll_event event = { .events = EPOLLIN };
	int epoll = epoll_create1(EPOLL_CLOEXEC), end;

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->listener, &event));
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	end = end_new_queued(self->name, NO_WAIT);
	EXPECT_EQ(1, epoll_wait(epoll, &event, 1, 0));
	close(end);
	EXPECT_EQ(0, epoll_wait(epoll, &event, 1, 0));
	close(epoll);
}

TEST_HARNESS_MAIN
