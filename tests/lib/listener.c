// SPDX-License-Identifier: LGPL-2.1-or-later
/* listener.c - names, who may connect, and the next stream of whichever session */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "harness.h"
#include "linux/shmux_ring.h"
#include "far.h"
#include "process.h"

#define SOON (20 * MSEC)
#define NOBODY 65534

/* Clients that dial us from a child, or from this process. */
FIXTURE(listener)
{
	int nr_fds;
	char name[NAME_SIZE];
	char directory[NAME_SIZE];
	char path[SHMUX_ADDRESS_MAX];		/* an address in @directory */
	struct shmux_listener *listener;
	struct far clients[3];
};

FIXTURE_VARIANT(listener)
{
	enum far_place place;
	bool path;
};

FIXTURE_VARIANT_ADD(listener, same_process)
{
	.place = FAR_SAME_PROCESS,
};

FIXTURE_VARIANT_ADD(listener, by_name)
{
	.place = FAR_CHILD,
};

FIXTURE_VARIANT_ADD(listener, by_path)
{
	.place = FAR_CHILD,
	.path = true,
};

FIXTURE_SETUP(listener)
{
	self->nr_fds = process_nr_fds();
	for (size_t i = 0; i < ARRAY_SIZE(self->clients); i++) {
		ASSERT_EQ(0, far_start(&self->clients[i], variant->place));
	}
	ASSERT_EQ(0, directory_make(self->directory));
	snprintf(self->path, sizeof(self->path), "memfd:%s/socket", self->directory);
	if (variant->path) {
		/* Whoever the test has connect must be able to get there. */
		ASSERT_EQ(0, chmod(self->directory, 0755));
		memcpy(self->name, self->path, sizeof(self->name));
	} else {
		name_make(self->name);
	}
}

FIXTURE_TEARDOWN(listener)
{
	shmux_listener_close(self->listener);
	for (size_t i = 0; i < ARRAY_SIZE(self->clients); i++) {
		if (_metadata->aborted)
			far_kill(&self->clients[i]);
		EXPECT_EQ(0, far_stop(&self->clients[i]));
	}
	directory_remove(self->directory);
	if (!_metadata->aborted) {
		EXPECT_EQ(self->nr_fds, process_nr_fds());
		EXPECT_FALSE(process_leaks());
	}
}

struct dial {
	char address[SHMUX_ADDRESS_MAX];
	uint64_t deadline;
	uid_t uid;		/* become this user first, if not 0 */
	gid_t gid;
};

/* In a context of its own; the stream becomes side->stream. */
static int64_t side_dial(struct side *side)
{
	const struct dial *dial = side->in;
	struct shmux_dial_options options = {
		.size = sizeof(options),
		.deadline = dial->deadline ? dial->deadline : shmux_now() + LONG_ENOUGH,
	};

	if (dial->gid)
		SIDE_TRUE(!setgroups(0, NULL) && !setresgid(dial->gid, dial->gid, dial->gid));
	if (dial->uid)
		SIDE_TRUE(!setresuid(dial->uid, dial->uid, dial->uid) &&
			  !prctl(PR_SET_DUMPABLE, 1)); /* the sanitizer looks into us */
	if (!side->context)
		SIDE_EQ(0, shmux_context_open(NULL, &side->context));
	if (side->stream)
		side_add(side, side->stream);
	side->stream = NULL;
	return shmux_context_dial(side->context, dial->address, &options, &side->stream);
}

static void begin_dial(struct far *far, const char *address)
{
	struct dial dial = { .deadline = 0 };

	snprintf(dial.address, sizeof(dial.address), "%s", address);
	far_begin(far, side_dial, &dial, sizeof(dial), 0);
}

static int dial_as(struct far *far, const char *address, uint64_t deadline, uid_t uid, gid_t gid)
{
	struct dial dial = { .deadline = deadline, .uid = uid, .gid = gid };

	snprintf(dial.address, sizeof(dial.address), "%s", address);
	return (int)far_call(far, side_dial, &dial, sizeof(dial), NULL, 0);
}

/* Dial and accept. */
static struct shmux_stream *connect_one(struct __test_metadata *_metadata,
					struct shmux_listener *listener, struct far *client,
					const char *address)
{
	struct shmux_stream *st = NULL;

	begin_dial(client, address);
	ASSERT_EQ(0, shmux_listener_set_deadline(listener, shmux_now() + LONG_ENOUGH));
	ASSERT_EQ(0, shmux_listener_accept(listener, 0, &st));
	ASSERT_EQ(0, far_finish(client, NULL));
	return st;
}

/* What one writes the other reads, both ways. */
static void check_works(struct __test_metadata *_metadata, struct shmux_stream *near,
			struct far *far)
{
	char buf[8] = "";

	ASSERT_EQ(4, far_write(far, "ping", 4));
	EXPECT_EQ(4, shmux_stream_read(near, buf, sizeof(buf)));
	EXPECT_STREQ("ping", buf);
	ASSERT_EQ(4, shmux_stream_write(near, "pong", 4));
	EXPECT_EQ(4, far_read(far, buf, sizeof(buf)));
	EXPECT_STREQ("pong", buf);
}

TEST_F(listener, accepts_a_stream_of_a_dialler)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	EXPECT_STREQ(self->name, shmux_listener_address(self->listener));
	st = connect_one(_metadata, self->listener, &self->clients[0], self->name);

	check_works(_metadata, st, &self->clients[0]);
	shmux_stream_close(st);
}

TEST_F(listener, accepts_the_streams_of_several_sessions)
{
	struct shmux_stream *st[3], *second;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	for (int i = 0; i < 3; i++)
		st[i] = connect_one(_metadata, self->listener, &self->clients[i], self->name);
	EXPECT_NE(shmux_stream_session(st[0]), shmux_stream_session(st[1]));
	/* A second one of the first session. */
	second = connect_one(_metadata, self->listener, &self->clients[0], self->name);
	EXPECT_EQ(shmux_stream_session(st[0]), shmux_stream_session(second));

	check_works(_metadata, second, &self->clients[0]);
	check_works(_metadata, st[1], &self->clients[1]);
	check_works(_metadata, st[2], &self->clients[2]);
	for (int i = 0; i < 3; i++)
		shmux_stream_close(st[i]);
	shmux_stream_close(second);
}

TEST_F(listener, streams_work_while_nobody_accepts)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	st = connect_one(_metadata, self->listener, &self->clients[0], self->name);

	for (int i = 0; i < 10; i++)
		check_works(_metadata, st, &self->clients[0]);
	shmux_stream_close(st);
}

TEST_F(listener, name_in_use_is_eaddrinuse)
{
	struct shmux_listener *second;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));

	EXPECT_EQ(-EADDRINUSE, shmux_listener_open(self->name, NULL, &second));
}

TEST_F(listener, name_is_free_when_it_has_been_closed)
{
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	shmux_listener_close(self->listener);
	self->listener = NULL;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
}

static int64_t side_listen(struct side *side)
{
	return shmux_listener_open(side->in, NULL, &side->listener);
}

TEST_F(listener, name_is_free_the_moment_its_holder_dies)
{
	struct shmux_stream *st;

	if (variant->place != FAR_CHILD)
		SKIP(return, "it takes two processes");
	ASSERT_EQ(0, far_call(&self->clients[1], side_listen, self->name, sizeof(self->name), NULL,
			      0));
	EXPECT_EQ(-EADDRINUSE, shmux_listener_open(self->name, NULL, &self->listener));
	far_kill(&self->clients[1]);

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	st = connect_one(_metadata, self->listener, &self->clients[0], self->name);
	check_works(_metadata, st, &self->clients[0]);
	shmux_stream_close(st);
}

TEST_F(listener, plain_name_and_memfd_name_are_the_same)
{
	char address[SHMUX_ADDRESS_MAX];
	struct shmux_listener *second;
	struct shmux_stream *st;

	if (variant->path)
		SKIP(return, "it is about names");
	snprintf(address, sizeof(address), "%s%s",
		 strncmp(self->name, "memfd:", 6) ? "memfd:" : "", self->name);
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	EXPECT_EQ(-EADDRINUSE, shmux_listener_open(address, NULL, &second));

	st = connect_one(_metadata, self->listener, &self->clients[0], address);
	check_works(_metadata, st, &self->clients[0]);
	shmux_stream_close(st);
}

TEST_F(listener, addresses_that_are_none_are_refused)
{
	static const char *const bad[] = {
		"", "memfd:", "a/b", "a b", "a:b", "memfd:a:b", "/tmp/x", "memfd:x/y", "kmod:",
		"\n", "name\xc3\xa9", "inet:x",
	};
	struct shmux_listener *listener;
	struct shmux_session *session;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-EINVAL, shmux_listener_open(bad[i], NULL, &listener)) {
			TH_LOG("address '%s'", bad[i]);
		}
		EXPECT_EQ(-EINVAL, shmux_session_dial(bad[i], NULL, 1, &session)) {
			TH_LOG("address '%s'", bad[i]);
		}
	}
}

TEST_F(listener, longest_name_is_64_bytes)
{
	struct shmux_listener *listener;
	struct shmux_session *session;
	char name[66];

	memset(name, 'n', 65);
	name[65] = 0;
	snprintf(name, sizeof(name), "%-65s", self->directory + strlen("/tmp/"));
	for (int i = 0; i < 65; i++) {
		if (name[i] == ' ')
			name[i] = 'n';
	}
	EXPECT_EQ(-ENAMETOOLONG, shmux_listener_open(name, NULL, &listener));
	EXPECT_EQ(-ENAMETOOLONG, shmux_session_dial(name, NULL, 1, &session));

	name[64] = 0;
	EXPECT_EQ(0, shmux_listener_open(name, NULL, &self->listener));
}

TEST_F(listener, longest_path_is_107_bytes)
{
	struct shmux_listener *listener;
	struct shmux_session *session;
	char address[SHMUX_ADDRESS_MAX];

	memset(address, 'p', sizeof(address));
	memcpy(address, self->path, strlen(self->path));
	address[strlen("memfd:") + 108] = 0;
	EXPECT_EQ(-ENAMETOOLONG, shmux_listener_open(address, NULL, &listener));
	EXPECT_EQ(-ENAMETOOLONG, shmux_session_dial(address, NULL, 1, &session));

	address[strlen("memfd:") + 107] = 0;
	EXPECT_EQ(0, shmux_listener_open(address, NULL, &self->listener));
}

TEST_F(listener, path_in_a_missing_directory_is_enoent)
{
	char address[SHMUX_ADDRESS_MAX];
	struct shmux_listener *listener;
	struct shmux_session *session;

	snprintf(address, sizeof(address), "memfd:%s/none/socket", self->directory);

	EXPECT_EQ(-ENOENT, shmux_listener_open(address, NULL, &listener));
	EXPECT_EQ(-ENOENT, shmux_session_dial(address, NULL, shmux_now() + LONG_ENOUGH, &session));
}

TEST_F(listener, path_of_a_file_that_is_no_socket_is_left_alone)
{
	struct shmux_listener *listener;
	struct stat st;
	int fd = open(self->path + strlen("memfd:"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	ASSERT_LE(0, fd);
	ASSERT_EQ(8, write(fd, "precious", 8));
	close(fd);

	EXPECT_GT(0, shmux_listener_open(self->path, NULL, &listener));
	ASSERT_EQ(0, stat(self->path + strlen("memfd:"), &st));
	EXPECT_TRUE(S_ISREG(st.st_mode));
	EXPECT_EQ(8, st.st_size);
}

TEST_F(listener, path_is_removed_when_it_is_closed)
{
	struct stat st;

	ASSERT_EQ(0, shmux_listener_open(self->path, NULL, &self->listener));
	ASSERT_EQ(0, stat(self->path + strlen("memfd:"), &st));
	EXPECT_TRUE(S_ISSOCK(st.st_mode));
	shmux_listener_close(self->listener);
	self->listener = NULL;

	EXPECT_EQ(-1, stat(self->path + strlen("memfd:"), &st));
	EXPECT_EQ(ENOENT, errno);
}

TEST_F(listener, mode_is_that_of_the_path)
{
	struct shmux_listener_options options = { .size = sizeof(options) };
	static const mode_t modes[] = { 0, 0600, 0660, 0666, 0200 };
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		options.mode = modes[i];
		ASSERT_EQ(0, shmux_listener_open(self->path, &options, &self->listener));
		ASSERT_EQ(0, stat(self->path + strlen("memfd:"), &st));
		EXPECT_EQ(modes[i] ? modes[i] : 0600, st.st_mode & 07777);
		shmux_listener_close(self->listener);
		self->listener = NULL;
	}
}

static int64_t side_relisten(struct side *side)
{
	int ret, nr = 0;

	for (int i = 0; i < 200; i++) {
		ret = shmux_listener_open(side->in, NULL, &side->listener);
		SIDE_TRUE(ret == 0 || ret == -EADDRINUSE);
		if (!ret) {
			shmux_listener_close(side->listener);
			side->listener = NULL;
			nr++;
		}
	}
	return nr;
}

TEST_F(listener, restarters_that_race_for_a_name_do_not_take_it_from_each_other)
{
	int64_t nr = 0;

	for (int i = 0; i < 3; i++)
		far_begin(&self->clients[i], side_relisten, self->name, sizeof(self->name), 0);
	for (int i = 0; i < 3; i++) {
		int64_t n = far_finish(&self->clients[i], NULL);

		EXPECT_LE(0, n);
		nr += n;
	}
	EXPECT_LT(0, nr);
	EXPECT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
}

/* An admit callback that notes who asked. */
struct gate {
	int verdict;
	int asked;
	struct shmux_peer peer;
};

static int gate_admit(void *arg, const struct shmux_peer *peer)
{
	struct gate *gate = arg;

	gate->asked++;
	gate->peer = *peer;
	return gate->verdict;
}

TEST_F(listener, admit_is_asked_with_who_connects)
{
	struct gate gate = { .verdict = 0 };
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.admit = gate_admit,
		.admit_arg = &gate,
	};
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_listener_open(self->name, &options, &self->listener));
	st = connect_one(_metadata, self->listener, &self->clients[0], self->name);

	EXPECT_EQ(1, gate.asked);
	EXPECT_EQ(variant->place == FAR_CHILD ? self->clients[0].pid : getpid(), gate.peer.pid);
	EXPECT_EQ(geteuid(), gate.peer.uid);
	EXPECT_EQ(getegid(), gate.peer.gid);
	shmux_stream_close(st);
}

/* Accept until the client's attempt has ended; nobody is to come. */
static void check_nobody_comes(struct __test_metadata *_metadata, struct shmux_listener *listener,
			       struct far *client, int error)
{
	struct shmux_stream *st;

	ASSERT_TRUE(wait_until(shmux_listener_accept(listener, SHMUX_NOWAIT, &st) != -EAGAIN ||
			       far_is_done(client)));
	EXPECT_EQ(error, far_finish(client, NULL));
}

TEST_F(listener, admit_refuses_with_eacces)
{
	struct gate gate = { .verdict = -EACCES };
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.admit = gate_admit,
		.admit_arg = &gate,
	};
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_listener_open(self->name, &options, &self->listener));
	begin_dial(&self->clients[0], self->name);
	check_nobody_comes(_metadata, self->listener, &self->clients[0], -EACCES);
	EXPECT_EQ(1, gate.asked);

	/* The next one may be luckier. */
	gate.verdict = 0;
	st = connect_one(_metadata, self->listener, &self->clients[1], self->name);
	check_works(_metadata, st, &self->clients[1]);
	shmux_stream_close(st);
}

TEST_F(listener, other_users_are_refused_by_default)
{
	if (geteuid() || variant->place != FAR_CHILD)
		SKIP(return, "it takes root and two processes");
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));

	if (variant->path) {
		/* The file system says so already. */
		EXPECT_EQ(-EACCES, dial_as(&self->clients[0], self->name, 0, NOBODY, NOBODY));
	} else {
		struct dial dial = { .uid = NOBODY, .gid = NOBODY };

		memcpy(dial.address, self->name, sizeof(self->name));
		far_begin(&self->clients[0], side_dial, &dial, sizeof(dial), 0);
		check_nobody_comes(_metadata, self->listener, &self->clients[0], -EACCES);
	}
}

/* A listener with @options admits @uid and @gid. */
static void check_admits(struct __test_metadata *_metadata, FIXTURE_DATA(listener) *self,
			 const struct shmux_listener_options *options, uid_t uid, gid_t gid)
{
	struct dial dial = { .uid = uid, .gid = gid };
	struct shmux_stream *st;

	memcpy(dial.address, self->name, sizeof(self->name));
	ASSERT_EQ(0, shmux_listener_open(self->name, options, &self->listener));
	far_begin(&self->clients[0], side_dial, &dial, sizeof(dial), 0);
	ASSERT_EQ(0, shmux_listener_set_deadline(self->listener, shmux_now() + LONG_ENOUGH));
	ASSERT_EQ(0, shmux_listener_accept(self->listener, 0, &st));
	ASSERT_EQ(0, far_finish(&self->clients[0], NULL));
	check_works(_metadata, st, &self->clients[0]);
	shmux_stream_close(st);
}

TEST_F(listener, mode_admits_everybody)
{
	struct shmux_listener_options options = { .size = sizeof(options), .mode = 0602 };

	if (geteuid() || variant->place != FAR_CHILD)
		SKIP(return, "it takes root and two processes");
	check_admits(_metadata, self, &options, NOBODY, NOBODY);
}

TEST_F(listener, mode_admits_another_owner)
{
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.flags = SHMUX_LISTENER_UID,
		.uid = NOBODY,
		.mode = 0200,
	};

	if (geteuid() || variant->place != FAR_CHILD)
		SKIP(return, "it takes root and two processes");
	check_admits(_metadata, self, &options, NOBODY, NOBODY);
}

TEST_F(listener, mode_admits_a_group)
{
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.flags = SHMUX_LISTENER_GID,
		.gid = 12345,
		.mode = 0620,
	};

	if (geteuid() || variant->place != FAR_CHILD)
		SKIP(return, "it takes root and two processes");
	check_admits(_metadata, self, &options, NOBODY, 12345);
}

TEST_F(listener, bad_options_are_refused)
{
	struct shmux_session_options session = { .size = sizeof(session), .ring_slots = 100 };
	struct shmux_listener_options options = { .size = 0 };
	struct shmux_listener *listener;

	EXPECT_EQ(-EINVAL, shmux_listener_open(self->name, &options, &listener));
	options.size = sizeof(options);
	options.flags = 0x80;
	EXPECT_EQ(-EINVAL, shmux_listener_open(self->name, &options, &listener));
	options.flags = 0;
	options.mode = 010000;
	EXPECT_EQ(-EINVAL, shmux_listener_open(self->name, &options, &listener));
	options.mode = 0;
	options.session = &session;
	EXPECT_EQ(-EINVAL, shmux_listener_open(self->name, &options, &listener));
}

/* A socket that is connected to @path and says nothing. */
static int silent_client(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%.100s", path);
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr))) {
		close(fd);
		return -1;
	}
	return fd;
}

TEST_F(listener, silent_client_delays_nobody)
{
	struct shmux_stream *st;
	int silent[20];

	if (!variant->path)
		SKIP(return, "a socket is needed that one can connect to by hand");
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
		silent[i] = silent_client(self->name + strlen("memfd:"));
		ASSERT_LE(0, silent[i]);
	}
	for (int i = 0; i < 3; i++) {
		st = connect_one(_metadata, self->listener, &self->clients[i], self->name);
		check_works(_metadata, st, &self->clients[i]);
		shmux_stream_close(st);
	}
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		close(silent[i]);
}

TEST_F(listener, call_takes_in_a_few_of_those_who_connect_and_then_looks_after_others)
{
	struct shmux_stream *st;
	int silent[100], before;

	if (!variant->path)
		SKIP(return, "a socket is needed that one can connect to by hand");
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
		silent[i] = silent_client(self->name + strlen("memfd:"));
		ASSERT_LE(0, silent[i]);
	}
	for (int taken = 0, more; taken < 100; taken += more) {
		before = process_nr_fds();
		EXPECT_EQ(-EAGAIN, shmux_listener_accept(self->listener, SHMUX_NOWAIT, &st));
		more = process_nr_fds() - before;
		ASSERT_LE(1, more);
		ASSERT_GE(16, more);
	}
	for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
		close(silent[i]);
}

TEST_F(listener, client_that_talks_nonsense_delays_nobody)
{
	struct shmux_stream *st;
	char nonsense[512];
	int fd;

	if (!variant->path)
		SKIP(return, "a socket is needed that one can connect to by hand");
	memset(nonsense, 'x', sizeof(nonsense));
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	for (size_t len = 0; len < sizeof(nonsense); len += 37) {
		fd = silent_client(self->name + strlen("memfd:"));
		ASSERT_LE(0, fd);
		ASSERT_EQ((ssize_t)len, send(fd, nonsense, len, MSG_NOSIGNAL));
		if (len % 2)
			shutdown(fd, SHUT_WR);
		close(fd);
	}
	st = connect_one(_metadata, self->listener, &self->clients[0], self->name);
	check_works(_metadata, st, &self->clients[0]);
	shmux_stream_close(st);
}

TEST_F(listener, dialler_that_gave_up_is_passed_over)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	EXPECT_EQ(-ETIMEDOUT, dial_as(&self->clients[0], self->name, shmux_now() + SOON, 0, 0));
	EXPECT_EQ(-ETIMEDOUT, dial_as(&self->clients[1], self->name, shmux_now() + SOON, 0, 0));

	st = connect_one(_metadata, self->listener, &self->clients[2], self->name);
	check_works(_metadata, st, &self->clients[2]);
	shmux_stream_close(st);
}

TEST_F(listener, short_backlog_makes_diallers_wait_and_loses_none)
{
	struct shmux_listener_options options = { .size = sizeof(options), .backlog = 1 };
	struct shmux_stream *st[3];

	ASSERT_EQ(0, shmux_listener_open(self->name, &options, &self->listener));
	for (int i = 0; i < 3; i++)
		begin_dial(&self->clients[i], self->name);
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, shmux_listener_accept(self->listener, 0, &st[i]));
	}
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, far_finish(&self->clients[i], NULL));
		shmux_stream_close(st[i]);
	}
}

TEST_F(listener, dead_client_is_forgotten)
{
	struct shmux_stream *st, *none;
	int nr_fds;
	char buf[8];

	if (variant->place != FAR_CHILD)
		SKIP(return, "it takes two processes");
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	st = connect_one(_metadata, self->listener, &self->clients[0], self->name);
	nr_fds = process_nr_fds();
	for (int i = 0; i < 2; i++) {
		struct shmux_stream *dead =
			connect_one(_metadata, self->listener, &self->clients[1 + i], self->name);

		far_kill(&self->clients[1 + i]);
		EXPECT_EQ(-ECONNRESET, shmux_stream_read(dead, buf, sizeof(buf)));
		shmux_stream_close(dead);
	}

	/* Minus the pipes to the two that are gone. */
	EXPECT_TRUE(wait_until(shmux_listener_accept(self->listener, SHMUX_NOWAIT, &none) ==
				       -EAGAIN &&
			       process_nr_fds() == nr_fds - 2));
	check_works(_metadata, st, &self->clients[0]);
	shmux_stream_close(st);
}

TEST_F(listener, accept_session_hands_the_session_over)
{
	struct shmux_session *session;
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	begin_dial(&self->clients[0], self->name);
	ASSERT_EQ(0, shmux_listener_accept_session(self->listener, 0, &session));
	ASSERT_EQ(0, far_finish(&self->clients[0], NULL));
	shmux_listener_close(self->listener);
	self->listener = NULL;

	ASSERT_EQ(0, shmux_session_accept(session, 0, &st));
	check_works(_metadata, st, &self->clients[0]);
	EXPECT_EQ(SHMUX_ROLE_ACCEPTOR, shmux_session_role(session));
	shmux_stream_close(st);
	shmux_session_close(session, 0);
}

TEST_F(listener, accept_of_none_is_eagain)
{
	struct shmux_session *session;
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	EXPECT_EQ(-EAGAIN, shmux_listener_accept(self->listener, SHMUX_NOWAIT, &st));
	shmux_listener_close(self->listener);

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	EXPECT_EQ(-EAGAIN, shmux_listener_accept_session(self->listener, SHMUX_NOWAIT, &session));
}

TEST_F(listener, open_streams_outlive_it)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	st = connect_one(_metadata, self->listener, &self->clients[0], self->name);
	shmux_listener_close(self->listener);
	self->listener = NULL;

	check_works(_metadata, st, &self->clients[0]);
	shmux_stream_close(st);
}

/* A stream over the session that there is; then read from it. */
static int64_t side_dial_and_read(struct side *side)
{
	int ret = (int)side_dial(side);
	char buf[8];

	return ret ? ret : shmux_stream_read(side->stream, buf, sizeof(buf));
}

TEST_F(listener, new_streams_are_refused_after_it_was_closed)
{
	struct dial dial = { .deadline = 0 };
	struct shmux_stream *st;
	struct shmux_event event;
	int64_t ret;

	memcpy(dial.address, self->name, sizeof(self->name));
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	st = connect_one(_metadata, self->listener, &self->clients[0], self->name);
	shmux_listener_close(self->listener);
	self->listener = NULL;

	/*
	 * We are in a call now and then. The session may be left for good, then
	 * nobody listens there; or the stream may be opened and reset.
	 */
	far_begin(&self->clients[0], side_dial_and_read, &dial, sizeof(dial), 0);
	ASSERT_TRUE(wait_until(shmux_session_pump(shmux_stream_session(st), &event, 1) < 0 ||
			       far_is_done(&self->clients[0])));
	ret = far_finish(&self->clients[0], NULL);
	EXPECT_TRUE(ret == -ECONNRESET || ret == -ECONNREFUSED || ret == -ENOENT ||
		    ret == -ESHUTDOWN) {
		TH_LOG("it was %lld", (long long)ret);
	}
	shmux_stream_close(st);
}

TEST_F(listener, closing_with_clients_waiting_refuses_them)
{
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	begin_dial(&self->clients[0], self->name);
	ASSERT_TRUE(far_wait_blocked(&self->clients[0]));
	shmux_listener_close(self->listener);
	self->listener = NULL;

	EXPECT_GT(0, far_finish(&self->clients[0], NULL));
}

TEST_F(listener, descriptor_is_readable_when_somebody_connects_or_opens)
{
	struct pollfd ready = { .events = POLLIN };
	struct shmux_stream *st[2] = { NULL, NULL }, *none;
	uint64_t end = shmux_now() + LONG_ENOUGH;
	int ret;

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	ready.fd = shmux_listener_fd(self->listener);
	ASSERT_LE(0, ready.fd);
	EXPECT_EQ(-EAGAIN, shmux_listener_accept(self->listener, SHMUX_NOWAIT, &none));
	EXPECT_EQ(0, poll(&ready, 1, 0));

	/* The second one is a stream of the session that is there. */
	for (int i = 0; i < 2; i++) {
		begin_dial(&self->clients[0], self->name);
		do {
			ASSERT_EQ(1, poll(&ready, 1, 10000));
			ret = shmux_listener_accept(self->listener, SHMUX_NOWAIT, &st[i]);
		} while (ret == -EAGAIN && shmux_now() < end);
		ASSERT_EQ(0, ret);
		EXPECT_EQ(-EAGAIN, shmux_listener_accept(self->listener, SHMUX_NOWAIT, &none));
		ASSERT_EQ(0, far_finish(&self->clients[0], NULL));
	}
	check_works(_metadata, st[1], &self->clients[0]);
	shmux_stream_close(st[0]);
	shmux_stream_close(st[1]);
}

static int64_t accept_one(void *arg)
{
	struct shmux_stream *st;
	int ret = shmux_listener_accept(arg, 0, &st);

	if (!ret)
		shmux_stream_close(st);
	return ret;
}

TEST_F(listener, several_threads_may_accept)
{
	struct worker acceptors[3];

	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	for (int i = 0; i < 3; i++)
		worker_start(&acceptors[i], accept_one, self->listener);
	for (int i = 0; i < 3; i++)
		begin_dial(&self->clients[i], self->name);
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, worker_join(&acceptors[i]));
		EXPECT_EQ(0, far_finish(&self->clients[i], NULL));
	}
}

TEST_F(listener, blocked_stream_and_blocked_accept_serve_one_session_together)
{
	struct shmux_stream *st;
	struct worker acceptor;

	/* Whichever of the two pumps, the other's news are not lost. */
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	st = connect_one(_metadata, self->listener, &self->clients[0], self->name);
	worker_start(&acceptor, accept_one, self->listener);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	for (int i = 0; i < 100; i++)
		check_works(_metadata, st, &self->clients[0]);
	begin_dial(&self->clients[0], self->name);
	EXPECT_EQ(0, worker_join(&acceptor));
	EXPECT_EQ(0, far_finish(&self->clients[0], NULL));
	shmux_stream_close(st);
}

TEST_HARNESS_MAIN
