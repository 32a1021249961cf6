// SPDX-License-Identifier: LGPL-2.1-or-later
/* endpoint.c - tests of names: who has them, and what becomes of them */
#include <pthread.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "harness.h"

#include "base/barrier.h"
#include "meeting.h"
#include "region/endpoint.h"

#define NOBODY ((uid_t)-1)

struct place {
	struct sockaddr_un addr;
	socklen_t len;
};

static void place_abstract(struct place *p, const char *name)
{
	memset(p, 0, sizeof(*p));
	p->addr.sun_family = AF_UNIX;
	snprintf(p->addr.sun_path + 1, sizeof(p->addr.sun_path) - 1, "%s", name);
	p->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
}

static void place_path(struct place *p, const char *directory, const char *name)
{
	memset(p, 0, sizeof(*p));
	p->addr.sun_family = AF_UNIX;
	snprintf(p->addr.sun_path, sizeof(p->addr.sun_path), "%.60s/%.40s", directory, name);
	p->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
			     strlen(p->addr.sun_path) + 1);
}

FIXTURE(endpoint)
{
	int nr_fds;
	char directory[NAME_SIZE];
	struct place name, path;
	struct shmux__endpoint e, other;
};

FIXTURE_SETUP(endpoint)
{
	char name[NAME_SIZE];

	self->nr_fds = process_nr_fds();
	name_make(name);
	ASSERT_EQ(0, directory_make(self->directory));
	place_abstract(&self->name, name);
	place_path(&self->path, self->directory, "socket");
	self->e.fd = self->other.fd = -1;
}

FIXTURE_TEARDOWN(endpoint)
{
	shmux__endpoint_close(&self->e);
	shmux__endpoint_close(&self->other);
	directory_remove(self->directory);
	EXPECT_EQ(self->nr_fds, process_nr_fds());
}

static int open_mode(struct shmux__endpoint *e, const struct place *p, mode_t mode)
{
	return shmux__endpoint_open(e, &p->addr, p->len, SOCK_SEQPACKET, 128, mode, NOBODY, NOBODY);
}

/* A listener that soon has enough. */
static int open_small(struct shmux__endpoint *e, const struct place *p)
{
	return shmux__endpoint_open(e, &p->addr, p->len, SOCK_SEQPACKET, 2, 0600, NOBODY, NOBODY);
}

static int open_place(struct shmux__endpoint *e, const struct place *p)
{
	return open_mode(e, p, 0600);
}

/* Return: a descriptor or -errno, at once. */
static int connect_place(const struct place *p)
{
	static const uint32_t never;

	return shmux__endpoint_connect(&p->addr, p->len, SOCK_SEQPACKET, 0, &never);
}

static bool somebody_listens(const struct place *p)
{
	int fd = connect_place(p);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Connect until the backlog is full. Return: how many did. */
static int fill_backlog(const struct place *p, int fds[16])
{
	int nr = 0;

	while (nr < 16 && (fds[nr] = connect_place(p)) >= 0)
		nr++;
	return nr;
}

/* What a listener that was killed leaves at a path. */
static int leave_dead_socket(const struct place *p)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int err = bind(fd, (const struct sockaddr *)&p->addr, p->len) || listen(fd, 1);

	close(fd);
	return err;
}

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) ? 0 : st.st_mode & 07777;
}

TEST_F(endpoint, a_name_belongs_to_one_at_a_time)
{
	ASSERT_EQ(0, open_place(&self->e, &self->name));
	EXPECT_EQ(-EADDRINUSE, open_place(&self->other, &self->name));
	shmux__endpoint_close(&self->e);
	EXPECT_EQ(0, open_place(&self->other, &self->name));
}

TEST_F(endpoint, a_name_is_free_the_moment_its_holder_dies)
{
	int ready[2], status;
	char byte;
	pid_t child;

	ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (open_place(&self->e, &self->name) || write(ready[1], "", 1) != 1)
			_exit(1);
		pause();
	}
	ASSERT_EQ(1, read(ready[0], &byte, 1));
	EXPECT_EQ(-EADDRINUSE, open_place(&self->other, &self->name));
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	EXPECT_EQ(0, open_place(&self->other, &self->name));
	close(ready[0]);
	close(ready[1]);
}

TEST_F(endpoint, a_forked_child_has_no_part_in_a_name)
{
	int up[2], leash[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe2(up, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(leash, O_CLOEXEC));
	ASSERT_EQ(0, open_place(&self->e, &self->name));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(leash[1]);
		_exit(write(up[1], "", 1) != 1 || read(leash[0], &byte, 1));
	}
	ASSERT_EQ(1, read(up[0], &byte, 1));
	EXPECT_TRUE(somebody_listens(&self->name));
	shmux__endpoint_close(&self->e);
	EXPECT_FALSE(somebody_listens(&self->name));
	EXPECT_EQ(0, open_place(&self->other, &self->name));
	close(up[0]);
	close(up[1]);
	close(leash[0]);
	close(leash[1]);
	waitpid(child, NULL, 0);
}

TEST_F(endpoint, an_address_that_names_nothing_is_einval)
{
	struct place p = { .addr.sun_family = AF_UNIX,
			   .len = offsetof(struct sockaddr_un, sun_path) };

	EXPECT_EQ(-EINVAL, open_place(&self->e, &p));
	p.len = sizeof(p.addr) + 1;
	EXPECT_EQ(-EINVAL, open_place(&self->e, &p));
}

TEST_F(endpoint, clients_are_accepted_in_turn_and_without_waiting)
{
	int a, b, fd;

	ASSERT_EQ(0, open_place(&self->e, &self->path));
	EXPECT_EQ(-EAGAIN, shmux__endpoint_accept(&self->e));
	a = connect_place(&self->path);
	ASSERT_LE(0, a);
	b = connect_place(&self->path);
	ASSERT_LE(0, b);
	EXPECT_EQ(3, send(a, "one", 3, 0));
	fd = shmux__endpoint_accept(&self->e);
	ASSERT_LE(0, fd);
	EXPECT_EQ(O_NONBLOCK, fcntl(fd, F_GETFL) & O_NONBLOCK);
	EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
	EXPECT_EQ(O_NONBLOCK, fcntl(a, F_GETFL) & O_NONBLOCK);
	EXPECT_EQ(FD_CLOEXEC, fcntl(a, F_GETFD));
	EXPECT_TRUE(is_readable(fd));
	close(fd);
	fd = shmux__endpoint_accept(&self->e);
	ASSERT_LE(0, fd);
	EXPECT_FALSE(is_readable(fd));
	EXPECT_EQ(-EAGAIN, shmux__endpoint_accept(&self->e));
	close(fd);
	close(a);
	close(b);
}

TEST_F(endpoint, a_client_that_hides_its_credentials_is_known_all_the_same)
{
	struct message m = message_valid(HELLO);
	struct end acceptor;
	int client, fd, memfd;

	end_init(&acceptor, "acceptor");
	ASSERT_EQ(0, open_place(&self->e, &self->name));
	client = connect_place(&self->name);
	ASSERT_LE(0, client);
	fd = shmux__endpoint_accept(&self->e);
	ASSERT_LE(0, fd);
	memfd = memfd_with(OWN_SIZE, GOOD_SEALS, 0);
	EXPECT_EQ(0, hand_send(client, &m, sizeof(m), &memfd, 1, false));
	close(memfd);

	ASSERT_EQ(0, end_open(&acceptor, fd, SHMUX_ROLE_ACCEPTOR));
	EXPECT_EQ(0, end_step(&acceptor));
	EXPECT_EQ(getpid(), acceptor.admitted.pid);
	EXPECT_EQ(getuid(), acceptor.admitted.uid);
	end_close(&acceptor);
	close(client);
}

/* --- paths --------------------------------------------------------------- */

TEST_F(endpoint, a_path_belongs_to_one_at_a_time)
{
	ASSERT_EQ(0, open_place(&self->e, &self->path));
	EXPECT_EQ(-EADDRINUSE, open_place(&self->other, &self->path));
	EXPECT_TRUE(somebody_listens(&self->path));
}

TEST_F(endpoint, a_path_whose_backlog_is_full_is_in_use)
{
	int fds[16], nr;

	ASSERT_EQ(0, open_small(&self->e, &self->path));
	nr = fill_backlog(&self->path, fds);
	EXPECT_LT(nr, 16);
	EXPECT_EQ(-EADDRINUSE, open_place(&self->other, &self->path));
	while (nr)
		close(fds[--nr]);
}

TEST_F(endpoint, a_path_is_removed_at_close_and_its_lock_stays)
{
	char lock[128];

	snprintf(lock, sizeof(lock), "%s.lock", self->path.addr.sun_path);
	ASSERT_EQ(0, open_place(&self->e, &self->path));
	shmux__endpoint_close(&self->e);
	EXPECT_FALSE(exists(self->path.addr.sun_path));
	EXPECT_TRUE(exists(lock));
	EXPECT_EQ(0600, mode_of(lock));
	EXPECT_EQ(0, open_place(&self->e, &self->path));
}

TEST_F(endpoint, a_dead_socket_is_replaced)
{
	ASSERT_EQ(0, leave_dead_socket(&self->path));
	EXPECT_FALSE(somebody_listens(&self->path));
	EXPECT_EQ(0, open_place(&self->e, &self->path));
	EXPECT_TRUE(somebody_listens(&self->path));
}

TEST_F(endpoint, a_socket_of_another_kind_that_is_alive_is_kept)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ASSERT_EQ(0, bind(fd, (struct sockaddr *)&self->path.addr, self->path.len));
	EXPECT_EQ(-EADDRINUSE, open_place(&self->e, &self->path));
	EXPECT_TRUE(exists(self->path.addr.sun_path));
	close(fd);
}

TEST_F(endpoint, what_is_no_socket_is_kept)
{
	const char *path = self->path.addr.sun_path;
	struct stat before, after;
	int fd;

	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	ASSERT_LE(0, fd);
	EXPECT_EQ(5, write(fd, "diary", 5));
	close(fd);
	ASSERT_EQ(0, lstat(path, &before));
	EXPECT_EQ(-EADDRINUSE, open_place(&self->e, &self->path));
	ASSERT_EQ(0, lstat(path, &after));
	EXPECT_EQ(before.st_ino, after.st_ino);
	EXPECT_EQ(5, after.st_size);
	EXPECT_EQ(0644, after.st_mode & 0777);
	unlink(path);

	ASSERT_EQ(0, symlink("/nowhere", path));
	EXPECT_EQ(-EADDRINUSE, open_place(&self->e, &self->path));
	EXPECT_TRUE(exists(path));
	unlink(path);

	ASSERT_EQ(0, mkdir(path, 0700));
	EXPECT_EQ(-EADDRINUSE, open_place(&self->e, &self->path));
	EXPECT_EQ(0, rmdir(path));
}

TEST_F(endpoint, a_lock_that_is_a_link_is_not_followed)
{
	char lock[128];

	snprintf(lock, sizeof(lock), "%s.lock", self->path.addr.sun_path);
	ASSERT_EQ(0, symlink("elsewhere", lock));
	EXPECT_EQ(-ELOOP, open_place(&self->e, &self->path));
	EXPECT_FALSE(exists(self->path.addr.sun_path));
}

TEST_F(endpoint, a_lock_that_a_stranger_keeps_does_not_hold_us_for_ever)
{
	char lock[128];
	int fd;

	snprintf(lock, sizeof(lock), "%s.lock", self->path.addr.sun_path);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_EQ(0, flock(fd, LOCK_EX));
	EXPECT_EQ(-EADDRINUSE, open_place(&self->e, &self->path));
	close(fd);
	EXPECT_EQ(0, open_place(&self->e, &self->path));
}

TEST_F(endpoint, of_many_that_restart_at_once_exactly_one_gets_the_path)
{
	enum { ROUNDS = 30, RESTARTERS = 6 };
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		int go[2], result[2], winners = 0;
		pid_t children[RESTARTERS];
		char byte;

		ASSERT_EQ(0, leave_dead_socket(&self->path));
		ASSERT_EQ(0, pipe2(go, O_CLOEXEC));
		ASSERT_EQ(0, pipe2(result, O_CLOEXEC));
		for (i = 0; i < RESTARTERS; i++) {
			children[i] = fork();
			ASSERT_LE(0, children[i]);
			if (!children[i]) {
				close(go[1]);
				if (read(go[0], &byte, 1))	/* until it is closed */
					_exit(3);
				byte = (char)-open_place(&self->e, &self->path);
				if (write(result[1], &byte, 1) == 1)
					pause();
				_exit(2);
			}
		}
		close(go[0]);
		close(go[1]);
		for (i = 0; i < RESTARTERS; i++) {
			ASSERT_EQ(1, read(result[0], &byte, 1));
			if (!byte)
				winners++;
			else
				EXPECT_EQ(EADDRINUSE, byte);
		}
		EXPECT_EQ(1, winners);
		EXPECT_TRUE(somebody_listens(&self->path));
		for (i = 0; i < RESTARTERS; i++)
			kill_and_reap(children[i]);
		close(result[0]);
		close(result[1]);
		unlink(self->path.addr.sun_path);
	}
}

TEST_F(endpoint, a_close_leaves_alone_what_another_put_at_the_path)
{
	ASSERT_EQ(0, open_place(&self->e, &self->path));
	ASSERT_EQ(0, unlink(self->path.addr.sun_path));
	ASSERT_EQ(0, open_place(&self->other, &self->path));
	shmux__endpoint_close(&self->e);
	EXPECT_TRUE(somebody_listens(&self->path));
}

TEST_F(endpoint, a_forked_child_that_closes_its_copy_leaves_the_path)
{
	pid_t child;

	ASSERT_EQ(0, open_place(&self->e, &self->path));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		shmux__endpoint_close(&self->e);
		_exit(0);
	}
	waitpid(child, NULL, 0);
	EXPECT_TRUE(somebody_listens(&self->path));
}

TEST_F(endpoint, a_path_gets_its_mode_whatever_the_umask)
{
	static const mode_t masks[] = { 0, 022, 077, 0777 }, modes[] = { 0600, 0660, 0666, 0200 };
	size_t i, j;

	for (i = 0; i < 4; i++) {
		for (j = 0; j < 4; j++) {
			mode_t old = umask(masks[i]);

			EXPECT_EQ(0, open_mode(&self->e, &self->path, modes[j]));
			umask(old);
			EXPECT_EQ(modes[j], mode_of(self->path.addr.sun_path));
			shmux__endpoint_close(&self->e);
			EXPECT_FALSE(exists(self->path.addr.sun_path));
		}
	}
}

TEST_F(endpoint, a_path_gets_its_owner)
{
	struct stat st;

	if (geteuid())
		SKIP(return, "only root can give a file away");
	ASSERT_EQ(0, shmux__endpoint_open(&self->e, &self->path.addr, self->path.len, SOCK_SEQPACKET, 4, 0660,
					  12345, 54321));
	ASSERT_EQ(0, lstat(self->path.addr.sun_path, &st));
	EXPECT_EQ(12345, st.st_uid);
	EXPECT_EQ(54321, st.st_gid);
	EXPECT_EQ(0660, st.st_mode & 07777);
}

TEST_F(endpoint, an_owner_that_cannot_be_given_leaves_no_socket_behind)
{
	directory_remove(self->directory);
	if (!geteuid() && (setegid(65534) || seteuid(65534)))
		SKIP(return, "cannot become another user: %s", strerror(errno));
	ASSERT_EQ(0, directory_make(self->directory));
	place_path(&self->path, self->directory, "socket");
	EXPECT_EQ(-EPERM, shmux__endpoint_open(&self->e, &self->path.addr, self->path.len, SOCK_SEQPACKET, 4,
					       0600, 0, NOBODY));
	EXPECT_FALSE(exists(self->path.addr.sun_path));
}

TEST_F(endpoint, a_path_that_cannot_be_is_a_clean_error)
{
	struct place p;
	int fd;

	place_path(&p, self->directory, "missing/socket");
	EXPECT_EQ(-ENOENT, open_place(&self->e, &p));
	EXPECT_EQ(-ENOENT, connect_place(&p));
	place_path(&p, "/proc", "socket");
	EXPECT_EQ(-ENOENT, open_place(&self->e, &p));

	place_path(&p, self->directory, "file");
	fd = open(p.addr.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ASSERT_LE(0, fd);
	close(fd);
	EXPECT_EQ(-ECONNREFUSED, connect_place(&p));
	place_path(&p, self->directory, "file/socket");
	EXPECT_EQ(-ENOTDIR, open_place(&self->e, &p));
	EXPECT_EQ(-ENOTDIR, connect_place(&p));
}

TEST_F(endpoint, the_longest_path_works)
{
	struct place p = self->path;
	size_t len = strlen(p.addr.sun_path);

	/* All 108 bytes, without a NUL at the end. */
	memset(p.addr.sun_path + len, 'x', sizeof(p.addr.sun_path) - len);
	p.len = sizeof(p.addr);
	ASSERT_EQ(0, open_place(&self->e, &p));
	EXPECT_TRUE(somebody_listens(&p));
	shmux__endpoint_close(&self->e);
	EXPECT_FALSE(somebody_listens(&p));
}

TEST_F(endpoint, a_directory_without_permission_is_eacces)
{
	struct place p;

	if (!geteuid() && (setegid(65534) || seteuid(65534)))
		SKIP(return, "cannot become another user: %s", strerror(errno));
	place_path(&p, "/etc", "shmux-test-socket");
	EXPECT_EQ(-EACCES, open_place(&self->e, &p));
	if (!getuid())
		EXPECT_EQ(0, seteuid(0));
}

/* --- connecting ----------------------------------------------------------- */

struct dial {
	pthread_t thread;
	const struct place *place;
	uint64_t deadline;
	uint32_t cancelled;
	int result;
};

static void *dial_run(void *arg)
{
	struct dial *d = arg;

	d->result = shmux__endpoint_connect(&d->place->addr, d->place->len, SOCK_SEQPACKET, d->deadline,
					    &d->cancelled);
	return NULL;
}

TEST_F(endpoint, a_connect_where_nobody_listens_is_refused_at_once)
{
	EXPECT_EQ(-ECONNREFUSED, connect_place(&self->name));
	EXPECT_EQ(-ENOENT, connect_place(&self->path));
	ASSERT_EQ(0, leave_dead_socket(&self->path));
	EXPECT_EQ(-ECONNREFUSED, connect_place(&self->path));
}

TEST_F(endpoint, a_connect_waits_for_room_in_the_backlog)
{
	struct dial d = { .place = &self->name, .deadline = shmux_now() + LONG_ENOUGH };
	int fds[16], nr, fd;

	ASSERT_EQ(0, open_small(&self->e, &self->name));
	nr = fill_backlog(&self->name, fds);
	ASSERT_LT(nr, 16);
	ASSERT_EQ(0, pthread_create(&d.thread, NULL, dial_run, &d));
	usleep(120000);
	fd = shmux__endpoint_accept(&self->e);
	EXPECT_LE(0, fd);
	close(fd);
	pthread_join(d.thread, NULL);
	EXPECT_LE(0, d.result);
	EXPECT_EQ(O_NONBLOCK, fcntl(d.result, F_GETFL) & O_NONBLOCK);
	close(d.result);
	while (nr)
		close(fds[--nr]);
}

TEST_F(endpoint, a_connect_waits_no_longer_than_until_its_deadline)
{
	struct dial d = { .place = &self->name };
	int fds[16], nr;

	ASSERT_EQ(0, open_small(&self->e, &self->name));
	nr = fill_backlog(&self->name, fds);
	d.deadline = shmux_now() + 70 * MSEC;
	dial_run(&d);
	EXPECT_EQ(-ETIMEDOUT, d.result);
	EXPECT_LE(d.deadline, shmux_now() + MSEC);
	while (nr)
		close(fds[--nr]);
}

TEST_F(endpoint, a_connect_can_be_cancelled)
{
	struct dial d = { .place = &self->name, .deadline = SHMUX_NEVER };
	int fds[16], nr;

	ASSERT_EQ(0, open_small(&self->e, &self->name));
	nr = fill_backlog(&self->name, fds);
	ASSERT_EQ(0, pthread_create(&d.thread, NULL, dial_run, &d));
	usleep(20000);
	shmux_store_relaxed(&d.cancelled, 1);
	pthread_join(d.thread, NULL);
	EXPECT_EQ(-ECANCELED, d.result);
	while (nr)
		close(fds[--nr]);
}

TEST_F(endpoint, a_connect_that_waits_is_refused_when_the_listener_closes)
{
	struct dial d = { .place = &self->path, .deadline = SHMUX_NEVER };
	int fds[16], nr;

	ASSERT_EQ(0, open_small(&self->e, &self->path));
	nr = fill_backlog(&self->path, fds);
	ASSERT_EQ(0, pthread_create(&d.thread, NULL, dial_run, &d));
	usleep(20000);
	shmux__endpoint_close(&self->e);
	pthread_join(d.thread, NULL);
	EXPECT_TRUE(d.result == -ECONNREFUSED || d.result == -ENOENT) {
		TH_LOG("it was %d", d.result);
	}
	while (nr)
		close(fds[--nr]);
}

TEST_HARNESS_MAIN
