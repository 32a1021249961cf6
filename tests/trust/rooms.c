// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * rooms.c - other users, and other namespaces: who meets whom
 *
 * A listener and those who dial it are processes of their own, each in a room:
 * a user, namespaces, a root directory. Who is allowed or refused is what the
 * two of them said, and whoever refuses says so in a sentence to both.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "harness.h"

#include <shmux/shmux.h>

#include "over.h"
#include "process.h"

#define ANN 12345
#define BOB 54321
#define NOBODY 65534
#define CLUB 34567 /* a group */

/* --- rooms ------------------------------------------------------------------ */

struct room {
	uid_t uid; /* and gid of that number; root stays as it is */
	gid_t group; /* a supplementary one, if not 0 */
	int unshare; /* CLONE_NEW... */
	const char *map; /* in a user namespace: who one is; NULL maps nobody */
	pid_t join; /* or into the user namespace of this process */
	const char *root;
	mode_t umask;
	bool hurry; /* do not look for leaks */
};

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = write(fd, text, strlen(text));
	close(fd);
	return n == (ssize_t)strlen(text) ? 0 : -errno;
}

static int become(const struct room *r)
{
	if (r->uid && (setgroups(r->group ? 1 : 0, &r->group) ||
		       setresgid(r->uid, r->uid, r->uid) || setresuid(r->uid, r->uid, r->uid)))
		return -errno;
	prctl(PR_SET_DUMPABLE, 1); /* its files in /proc are its own */
	return 0;
}

static int user_namespace(const char *inside)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	char map[64];
	int err;

	if (unshare(CLONE_NEWUSER))
		return -errno;
	if (!inside)
		return 0;
	snprintf(map, sizeof(map), "%s %u 1", inside, uid);
	err = put("/proc/self/uid_map", map);
	if (!err)
		err = put("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "%s %u 1", inside, gid);
	return err ? err : put("/proc/self/gid_map", map);
}

/* Into the user namespace of @pid, as its nobody. */
static int join(pid_t pid)
{
	char path[64];
	int fd, err;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = setns(fd, CLONE_NEWUSER) || setresgid(NOBODY, NOBODY, NOBODY) ||
			      setresuid(NOBODY, NOBODY, NOBODY) || prctl(PR_SET_DUMPABLE, 1) ?
		      -errno :
		      0;
	close(fd);
	return err;
}

/* Return: 0, or -errno; then the room cannot be had. */
static int room_enter(const struct room *wanted)
{
	int others = wanted->unshare & ~CLONE_NEWUSER, err = 0;
	struct room room = *wanted, *r = &room;
	char same[16];

	/* Who is not root is itself in a user namespace, and has the right there. */
	if (geteuid() && (others || r->root) && !(r->unshare & CLONE_NEWUSER)) {
		snprintf(same, sizeof(same), "%u", geteuid());
		r->unshare |= CLONE_NEWUSER;
		r->map = same;
	}

	if (r->umask)
		umask(r->umask);
	if (r->join)
		return join(r->join);
	/* A user namespace gives the right to the others, else root has it. */
	if (r->unshare & CLONE_NEWUSER) {
		err = become(r);
		if (!err)
			err = user_namespace(r->map);
	}
	if (!err && others && unshare(others))
		err = -errno;
	if (!err && r->root && (chroot(r->root) || chdir("/")))
		err = -errno;
	if (!err && !(r->unshare & CLONE_NEWUSER))
		err = become(r);
	return err;
}

/* --- who is in them ---------------------------------------------------------- */

/* Shared with one process. */
struct told {
	uint32_t state; /* of a listener: LISTENING when it does */
	uint32_t stop;
	int ret;
	struct shmux_peer peer; /* whom it sees */
	struct shmux_peer seen; /* as whom the other side sees it */
	int nr_sentences; /* why there is no session, and the last one */
	char sentence[256];
};

enum {
	LISTENING = 1,
	FAILED
};

struct listening {
	struct room room;
	const char *address;
	struct shmux_listener_options options;
};

struct dialling {
	struct room room;
	const char *address;
	struct shmux_dial_options options;
};

static void note(void *arg, enum shmux_log_level level, const char *sentence)
{
	struct told *told = arg;

	(void)level;
	if (strncmp(sentence, "no session", strlen("no session")))
		return;
	/*
	 * Over the module a dialler knows who listens before it is answered. Whether
	 * a listener that it does not accept sees it come and go is chance.
	 */
	if (over_kmod() && strstr(sentence, "it hung up amid the hello"))
		return;
	snprintf(told->sentence, sizeof(told->sentence), "%s", sentence);
	__atomic_add_fetch(&told->nr_sentences, 1, __ATOMIC_RELEASE);
}

/* The sanitizer finds no leaks without /proc, and is slow at it. */
static bool leaks(const struct room *r)
{
	return !r->root && !r->hurry && process_leaks();
}

/* Tell each who comes as whom it is seen. Return: exit status. */
static int listener_main(const struct listening *what, struct told *told)
{
	struct shmux_session_options session = {
		.size = sizeof(session),
		.log = note,
		.log_arg = told,
	};
	struct shmux_listener_options options = what->options;
	struct shmux_listener *l;
	struct shmux_stream *st;
	struct shmux_peer peer;

	told->ret = room_enter(&what->room);
	if (!told->ret) {
		options.size = sizeof(options);
		options.session = &session;
		told->ret = shmux_listener_open(what->address, &options, &l);
	} else {
		told->ret = -ENOSYS;
	}
	__atomic_store_n(&told->state, told->ret ? FAILED : LISTENING, __ATOMIC_RELEASE);
	if (told->ret)
		return 0;
	while (!__atomic_load_n(&told->stop, __ATOMIC_ACQUIRE)) {
		shmux_listener_set_deadline(l, shmux_now() + 5 * MSEC);
		if (shmux_listener_accept(l, 0, &st))
			continue;
		shmux_session_peer(shmux_stream_session(st), &peer);
		shmux_stream_write(st, &peer, sizeof(peer));
		shmux_stream_close(st);
	}
	shmux_listener_close(l);
	return leaks(&what->room);
}

/* Dial, in one process more if that has a pid namespace of its own. */
static int dialler_main(const struct dialling *what, struct told *told)
{
	struct shmux_session_options session = {
		.size = sizeof(session),
		.log = note,
		.log_arg = told,
	};
	struct shmux_context_options options = { .size = sizeof(options), .session = &session };
	struct shmux_dial_options dial = what->options;
	struct shmux_context *context;
	struct shmux_stream *st;
	int status;
	pid_t pid;

	if (room_enter(&what->room)) {
		told->ret = -ENOSYS;
		return 0;
	}
	if (what->room.unshare & CLONE_NEWPID) {
		pid = fork();
		if (pid)
			return waitpid(pid, &status, 0) == pid ? status : 1;
	}
	dial.size = sizeof(dial);
	dial.deadline = shmux_now() + LONG_ENOUGH;
	if (shmux_context_open(&options, &context))
		return 1;
	told->ret = shmux_context_dial(context, what->address, &dial, &st);
	if (!told->ret) {
		shmux_session_peer(shmux_stream_session(st), &told->peer);
		if (shmux_stream_read(st, &told->seen, sizeof(told->seen)) != sizeof(told->seen))
			told->ret = -EIO;
		shmux_stream_close(st);
	}
	shmux_context_close(context);
	return leaks(&what->room);
}

FIXTURE(rooms)
{
	int nr_fds;
	char name[NAME_SIZE];
	char directory[NAME_SIZE];
	char path[SHMUX_ADDRESS_MAX];
	struct told *told; /* of the listener, then of the dialler */
	pid_t listener;
};

FIXTURE_SETUP(rooms)
{
	self->nr_fds = process_nr_fds();
	over_name(self->name);
	ASSERT_EQ(0, directory_make(self->directory));
	ASSERT_EQ(0, chmod(self->directory, 01777));
	snprintf(self->path, sizeof(self->path), "memfd:%s/socket", self->directory);
	self->told = mmap(NULL, 2 * sizeof(struct told), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->told);
}

FIXTURE_TEARDOWN(rooms)
{
	if (self->listener) {
		kill(self->listener, SIGKILL);
		waitpid(self->listener, NULL, 0);
	}
	munmap(self->told, 2 * sizeof(struct told));
	directory_remove(self->directory);
	if (!_metadata->aborted)
		EXPECT_EQ(self->nr_fds, process_nr_fds());
}

/* Return: what its open returned; -ENOSYS: its room cannot be had. */
static int listener_start(struct __test_metadata *_metadata, FIXTURE_DATA(rooms) * self,
			  const struct listening *what)
{
	struct told *told = &self->told[0];
	pid_t parent = getpid();

	memset(told, 0, sizeof(*told));
	self->listener = fork();
	ASSERT_LE(0, self->listener);
	if (!self->listener) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(getppid() == parent ? listener_main(what, told) : 1);
	}
	EXPECT_TRUE(wait_until(__atomic_load_n(&told->state, __ATOMIC_ACQUIRE)));
	return told->ret;
}

static void listener_stop(struct __test_metadata *_metadata, FIXTURE_DATA(rooms) * self)
{
	int status;

	__atomic_store_n(&self->told[0].stop, 1, __ATOMIC_RELEASE);
	ASSERT_EQ(self->listener, waitpid(self->listener, &status, 0));
	self->listener = 0;
	EXPECT_EQ(0, status);
}

/* Return: what its dial returned; -ENOSYS: its room cannot be had. */
static int dial(struct __test_metadata *_metadata, FIXTURE_DATA(rooms) * self,
		const struct dialling *what)
{
	struct told *told = &self->told[1];
	int status;
	pid_t pid;

	memset(told, 0, sizeof(*told));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(dialler_main(what, told));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	return told->ret;
}

/* Both were told, each from where it stands. */
static void check_sentences(struct __test_metadata *_metadata, FIXTURE_DATA(rooms) * self,
			    const char *listener, const char *dialler)
{
	struct told *l = &self->told[0], *d = &self->told[1];

	EXPECT_TRUE(!listener || wait_until(__atomic_load_n(&l->nr_sentences, __ATOMIC_ACQUIRE)));
	EXPECT_EQ(listener ? 1 : 0, l->nr_sentences);
	EXPECT_EQ(dialler ? 1 : 0, d->nr_sentences);
	EXPECT_TRUE(!listener || strstr(l->sentence, listener))
	{
		TH_LOG("the listener was told '%s'", l->sentence);
	}
	EXPECT_TRUE(!dialler || strstr(d->sentence, dialler))
	{
		TH_LOG("the dialler was told '%s'", d->sentence);
	}
	l->nr_sentences = 0;
}

#define WE_DO_NOT_ADMIT "we do not admit that user (EACCES)"
#define IT_DOES_NOT_ADMIT "it does not admit our user (EACCES)"
#define WE_DO_NOT_ACCEPT "we accept no listener of that user (EACCES)"
#define ITS_FILE "its file does not let us connect (EACCES)"
#define THE_MODULE "it does not let us connect (EACCES)"

/* By its mode, of a name: the module does not ask the listener. */
static void check_not_admitted(struct __test_metadata *_metadata, FIXTURE_DATA(rooms) * self)
{
	if (over_kmod())
		check_sentences(_metadata, self, NULL, THE_MODULE);
	else
		check_sentences(_metadata, self, WE_DO_NOT_ADMIT, IT_DOES_NOT_ADMIT);
}

#define NEEDS_ROOT()                                                    \
	do {                                                            \
		if (geteuid())                                          \
			SKIP(return, "only root can be several users"); \
	} while (0)

/* Else, without /proc, a socket's mode cannot be more than the umask lets it. */
#define NEEDS_FCHMODAT2()                                                       \
	do {                                                                    \
		if (syscall(452, -1, "", 0, 0) && errno == ENOSYS)              \
			SKIP(return, "there is no fchmodat2 before Linux 6.6"); \
	} while (0)

/* --- users -------------------------------------------------------------------- */

static int refuse_bob(void *arg, const struct shmux_peer *peer)
{
	(void)arg;
	return peer->uid == BOB ? -EACCES : 0;
}

static const struct shmux_listener_options listener_says[] = {
	{ .mode = 0 },
	{ .mode = 0602 },
	{ .mode = 0666, .admit = refuse_bob },
	{ .mode = 0200, .flags = SHMUX_LISTENER_UID, .uid = BOB },
	{ .mode = 0620, .flags = SHMUX_LISTENER_GID, .gid = CLUB },
	{ .mode = 0020, .flags = SHMUX_LISTENER_GID, .gid = CLUB },
};

static const struct shmux_dial_options dialler_says[] = {
	{ .flags = 0 },
	{ .flags = SHMUX_DIAL_ANY_UID },
	{ .flags = SHMUX_DIAL_UID, .uid = ANN },
	{ .flags = SHMUX_DIAL_UID, .uid = 0 },
};

/* As said in listener.h, in the plainest way. */
static bool model_admits(uid_t owner, const struct shmux_listener_options *o, uid_t uid,
			 gid_t group)
{
	mode_t mode = o->mode ? o->mode : 0600;

	if (o->flags & SHMUX_LISTENER_UID)
		owner = o->uid;
	if (uid == owner)
		return mode & 0200 && !(o->admit && uid == BOB);
	if (mode & 0002)
		return !(o->admit && uid == BOB);
	return mode & 0020 && group == CLUB;
}

/* What the file system says of it; root it never holds up. */
static bool model_can_reach(uid_t owner, const struct shmux_listener_options *o, uid_t uid,
			    gid_t group)
{
	struct shmux_listener_options without = *o;

	without.admit = NULL;
	return uid == 0 || model_admits(owner, &without, uid, group);
}

/* What the module says of it, to root as to others. */
static bool model_can_connect(uid_t owner, const struct shmux_listener_options *o, uid_t uid,
			      gid_t group)
{
	struct shmux_listener_options without = *o;

	without.admit = NULL;
	return model_admits(owner, &without, uid, group);
}

static bool model_accepts(uid_t own, const struct shmux_dial_options *o, uid_t listener)
{
	if (o->flags & SHMUX_DIAL_ANY_UID)
		return true;
	if (o->flags & SHMUX_DIAL_UID)
		return listener == o->uid;
	return listener == own || listener == 0;
}

/* Every dialler against this listener. */
static void check_listener(struct __test_metadata *_metadata, FIXTURE_DATA(rooms) * self, uid_t uid,
			   const struct shmux_listener_options *says, const char *address)
{
	static const struct room rooms[] = {
		{ .uid = 0 },
		{ .uid = ANN },
		{ .uid = BOB },
		{ .uid = BOB, .group = CLUB },
	};
	struct listening listening = {
		.room = { .uid = uid, .group = CLUB },
		.address = address,
		.options = *says,
	};
	bool path = address == self->path, module = !path && over_kmod();
	char lock[SHMUX_ADDRESS_MAX];
	int ret;

	/* It stays, and is whoever's who was the first. */
	snprintf(lock, sizeof(lock), "%s/socket.lock", self->directory);
	unlink(lock);
	ret = listener_start(_metadata, self, &listening);

	if (path && uid && says->flags & SHMUX_LISTENER_UID && says->uid != uid) {
		EXPECT_EQ(-EPERM, ret); /* only root gives a file away */
		waitpid(self->listener, NULL, 0);
		self->listener = 0;
		return;
	}
	ASSERT_EQ(0, ret);
	for (size_t i = 0; i < ARRAY_SIZE(rooms); i++) {
		const struct room *r = &rooms[i];

		for (size_t j = 0; j < ARRAY_SIZE(dialler_says); j++) {
			struct dialling d = {
				.room = { .uid = r->uid, .group = r->group, .hurry = j > 0 },
				.address = address,
				.options = dialler_says[j],
			};

			const char *to_listener = NULL, *to_dialler = NULL;

			if (path && !model_can_reach(uid, says, r->uid, r->group)) {
				to_dialler = ITS_FILE;
			} else if (module && !model_can_connect(uid, says, r->uid, r->group)) {
				to_dialler = THE_MODULE;
			} else if (module && uid && !model_accepts(r->uid, &d.options, uid)) {
				/* Who listens is known before it answers, but for root. */
				to_dialler = WE_DO_NOT_ACCEPT;
				/* Who would be refused as well is told so, or not: by chance. */
				if (!model_admits(uid, says, r->uid, r->group))
					continue;
			} else if (!model_admits(uid, says, r->uid, r->group)) {
				to_listener = WE_DO_NOT_ADMIT;
				to_dialler = IT_DOES_NOT_ADMIT;
			} else if (!model_accepts(r->uid, &d.options, uid)) {
				to_dialler = WE_DO_NOT_ACCEPT;
			}
			ret = dial(_metadata, self, &d);
			EXPECT_EQ(to_dialler ? -EACCES : 0, ret)
			{
				TH_LOG("listener %u says mode 0%o, flags %u; dialler %u (%u) says flags %u, uid %u",
				       uid, says->mode, says->flags, r->uid, r->group,
				       d.options.flags, d.options.uid);
			}
			check_sentences(_metadata, self, to_listener, to_dialler);
			if (!ret) {
				EXPECT_EQ(uid, self->told[1].peer.uid);
				EXPECT_EQ(r->uid, self->told[1].seen.uid);
			}
		}
	}
	listener_stop(_metadata, self);
}

static void check_users(struct __test_metadata *_metadata, FIXTURE_DATA(rooms) * self,
			const char *address)
{
	static const uid_t uids[] = { 0, ANN, BOB };

	for (size_t i = 0; i < ARRAY_SIZE(uids); i++)
		for (size_t j = 0; j < ARRAY_SIZE(listener_says); j++)
			check_listener(_metadata, self, uids[i], &listener_says[j], address);
}

TEST_F(rooms, users_meet_at_a_name_as_listener_and_dialler_said)
{
	NEEDS_ROOT();
	check_users(_metadata, self, self->name);
}

TEST_F(rooms, users_meet_at_a_path_as_listener_and_dialler_said)
{
	NEEDS_ROOT();
	check_users(_metadata, self, self->path);
}

/* --- user namespaces ------------------------------------------------------------ */

/* What a listener and a dialler in these rooms come to. */
static int meet(struct __test_metadata *_metadata, FIXTURE_DATA(rooms) * self,
		const struct listening *l, const struct dialling *d)
{
	int ret = listener_start(_metadata, self, l);

	if (!ret)
		ret = dial(_metadata, self, d);
	return ret;
}

#define NEEDS(ret, what)                                             \
	do {                                                         \
		if ((ret) == -ENOSYS)                                \
			SKIP(return, "%s cannot be had here", what); \
	} while (0)

TEST_F(rooms, user_in_a_user_namespace_is_itself_to_its_own_listener)
{
	struct listening l = { .room = { .uid = ANN }, .address = self->name };
	struct dialling d = {
		.room = { .uid = ANN, .unshare = CLONE_NEWUSER, .map = "0" },
		.address = self->name,
	};
	int ret;

	NEEDS_ROOT();
	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a user namespace");
	EXPECT_EQ(0, ret);
	EXPECT_EQ(ANN, self->told[1].seen.uid);
	EXPECT_EQ(0, self->told[1].peer.uid); /* who is root in there */
	listener_stop(_metadata, self);
}

TEST_F(rooms, root_of_a_user_namespace_is_not_root_outside)
{
	struct listening l = { .address = self->name };
	struct dialling d = {
		.room = { .uid = ANN, .unshare = CLONE_NEWUSER, .map = "0" },
		.address = self->name,
		.options = { .flags = SHMUX_DIAL_ANY_UID },
	};
	int ret;

	NEEDS_ROOT();
	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a user namespace");
	EXPECT_EQ(-EACCES, ret);
	check_not_admitted(_metadata, self);
	if (!over_kmod())
		EXPECT_NE(NULL, strstr(self->told[0].sentence, "of user 12345:"));
	listener_stop(_metadata, self);
}

TEST_F(rooms, root_outside_is_not_root_of_a_user_namespace)
{
	struct listening l = { .address = self->name, .options = { .mode = 0602 } };
	struct dialling d = {
		.room = { .uid = ANN, .unshare = CLONE_NEWUSER, .map = "0" },
		.address = self->name,
	};
	int ret;

	NEEDS_ROOT();
	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a user namespace");
	EXPECT_EQ(-EACCES, ret);
	check_sentences(_metadata, self, NULL, WE_DO_NOT_ACCEPT);
	EXPECT_NE(NULL, strstr(self->told[1].sentence, "of user 65534:"));

	d.options.flags = SHMUX_DIAL_ANY_UID;
	EXPECT_EQ(0, dial(_metadata, self, &d));
	EXPECT_EQ(NOBODY, self->told[1].peer.uid);
	EXPECT_EQ(ANN, self->told[1].seen.uid);
	listener_stop(_metadata, self);
}

TEST_F(rooms, user_whom_the_namespace_does_not_know_is_not_nobody_to_a_listener_that_is)
{
	struct listening l = {
		.room = { .uid = BOB, .unshare = CLONE_NEWUSER, .map = "65534" },
		.address = self->name,
	};
	struct dialling d = {
		.room = { .uid = ANN },
		.address = self->name,
		.options = { .flags = SHMUX_DIAL_ANY_UID },
	};
	int ret;

	NEEDS_ROOT();
	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a user namespace");
	EXPECT_EQ(-EACCES, ret);
	check_not_admitted(_metadata, self);

	/* One of its own it knows all the same. */
	d.room = (struct room){ .join = self->listener };
	EXPECT_EQ(0, dial(_metadata, self, &d));
	EXPECT_EQ(NOBODY, self->told[1].seen.uid);
	listener_stop(_metadata, self);
}

TEST_F(rooms, group_that_the_namespace_does_not_know_is_not_nogroup)
{
	struct listening l = {
		.room = { .uid = BOB, .unshare = CLONE_NEWUSER, .map = "65534" },
		.address = self->name,
		.options = { .mode = 0660 }, /* of its own group, 65534 in there */
	};
	struct dialling d = {
		.room = { .uid = ANN, .group = CLUB },
		.address = self->name,
		.options = { .flags = SHMUX_DIAL_ANY_UID },
	};
	int ret;

	NEEDS_ROOT();
	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a user namespace");
	EXPECT_EQ(-EACCES, ret);
	listener_stop(_metadata, self);
}

TEST_F(rooms, listener_whom_the_namespace_does_not_know_is_not_nobody_to_a_dialler_that_is)
{
	static const char *const maps[] = { "65534", NULL };
	struct listening l = {
		.room = { .uid = ANN },
		.address = self->name,
		.options = { .mode = 0602 },
	};
	struct dialling d = {
		.room = { .uid = BOB, .unshare = CLONE_NEWUSER },
		.address = self->name,
	};
	int ret;

	NEEDS_ROOT();
	ret = listener_start(_metadata, self, &l);
	ASSERT_EQ(0, ret);
	for (int i = 0; i < 4; i++) {
		d.room.map = maps[i & 1];
		d.options.flags = i & 2 ? SHMUX_DIAL_UID : 0;
		d.options.uid = NOBODY;
		ret = dial(_metadata, self, &d);
		NEEDS(ret, "a user namespace");
		EXPECT_EQ(-EACCES, ret);
		check_sentences(_metadata, self, NULL, WE_DO_NOT_ACCEPT);
	}
	listener_stop(_metadata, self);
}

/* --- other namespaces ------------------------------------------------------------ */

TEST_F(rooms, name_is_known_in_its_own_network_namespace_only)
{
	struct listening l = { .address = self->name };
	struct dialling d = { .room = { .unshare = CLONE_NEWNET }, .address = self->name };
	struct shmux_listener *second;
	int ret;

	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a network namespace");
	EXPECT_EQ(-ECONNREFUSED, ret);
	EXPECT_EQ(0, dial(_metadata, self, &(struct dialling){ .address = self->name }));
	EXPECT_EQ(-EADDRINUSE, shmux_listener_open(self->name, NULL, &second));

	/* In another one it is free. */
	ASSERT_EQ(0, room_enter(&d.room));
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &second));
	shmux_listener_close(second);
	listener_stop(_metadata, self);
}

TEST_F(rooms, path_leads_from_one_network_namespace_into_another)
{
	struct listening l = { .room = { .unshare = CLONE_NEWNET }, .address = self->path };
	struct dialling d = { .room = { .unshare = CLONE_NEWNET }, .address = self->path };
	int ret;

	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a network namespace");
	EXPECT_EQ(0, ret);
	EXPECT_LT(0, self->told[1].seen.pid);
	listener_stop(_metadata, self);
}

TEST_F(rooms, dialler_in_a_pid_namespace_is_known_by_its_pid_outside)
{
	struct listening l = { .address = self->name };
	struct dialling d = { .room = { .unshare = CLONE_NEWPID }, .address = self->name };
	int ret;

	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a pid namespace");
	EXPECT_EQ(0, ret);
	EXPECT_LT(1, self->told[1].seen.pid);
	EXPECT_EQ(0, self->told[1].peer.pid); /* whom one does not see from in there */
	listener_stop(_metadata, self);
}

TEST_F(rooms, dialler_in_a_chroot_that_has_only_the_sockets_directory_is_served)
{
	struct listening l = { .address = self->path };
	struct dialling d = {
		.room = { .uid = geteuid() ? 0 : NOBODY, .root = self->directory },
		.address = "memfd:/socket",
		.options = { .flags = SHMUX_DIAL_ANY_UID },
	};
	int ret;

	l.room.uid = d.room.uid;
	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a chroot");
	EXPECT_EQ(0, ret);
	EXPECT_EQ(geteuid() ? geteuid() : NOBODY, self->told[1].peer.uid);
	d.options.flags = 0;
	EXPECT_EQ(0, dial(_metadata, self, &d));

	/* Another user is another user in there, too. */
	if (!geteuid()) {
		d.room.uid = ANN;
		EXPECT_EQ(-EACCES, dial(_metadata, self, &d));
		check_sentences(_metadata, self, NULL, ITS_FILE);
	}
	listener_stop(_metadata, self);
}

TEST_F(rooms, listener_in_a_chroot_gives_its_socket_the_mode_it_was_told_whatever_the_umask)
{
	struct listening l = {
		.room = { .uid = geteuid() ? 0 : ANN, .root = self->directory, .umask = 077 },
		.address = "memfd:/socket",
		.options = { .mode = 0666 },
	};
	struct dialling d = {
		.room = { .uid = BOB },
		.address = self->path,
		.options = { .flags = SHMUX_DIAL_ANY_UID },
	};
	int ret;

	NEEDS_ROOT();
	NEEDS_FCHMODAT2();
	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a chroot");
	EXPECT_EQ(0, ret);
	EXPECT_EQ(ANN, self->told[1].peer.uid);
	listener_stop(_metadata, self);
}

#define CONTAINER \
	(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS)

TEST_F(rooms, container_that_shares_only_the_sockets_directory_meets_those_who_admit_it)
{
	struct listening l = { .room = { .uid = ANN }, .address = self->path };
	struct dialling d = {
		.room = { .uid = ANN, .unshare = CONTAINER, .map = "0", .root = self->directory },
		.address = "memfd:/socket",
	};
	int ret;

	NEEDS_ROOT();
	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a container");
	EXPECT_EQ(0, ret);
	EXPECT_EQ(ANN, self->told[1].seen.uid);
	EXPECT_EQ(0, self->told[1].peer.uid);

	/* Of another user it is refused, by the file. */
	d.room.uid = BOB;
	EXPECT_EQ(-EACCES, dial(_metadata, self, &d));
	check_sentences(_metadata, self, NULL, ITS_FILE);
	listener_stop(_metadata, self);

	/* By the listener, where that is root's and the file is everybody's. */
	l.room.uid = 0;
	l.options.mode = 0666;
	l.options.admit = refuse_bob;
	d.options.flags = SHMUX_DIAL_ANY_UID;
	EXPECT_EQ(-EACCES, meet(_metadata, self, &l, &d));
	check_sentences(_metadata, self, WE_DO_NOT_ADMIT, IT_DOES_NOT_ADMIT);

	/* And by itself, which knows no root but its own. */
	d.room.uid = ANN;
	d.options.flags = 0;
	EXPECT_EQ(-EACCES, dial(_metadata, self, &d));
	check_sentences(_metadata, self, NULL, WE_DO_NOT_ACCEPT);
	d.options.flags = SHMUX_DIAL_ANY_UID;
	EXPECT_EQ(0, dial(_metadata, self, &d));
	listener_stop(_metadata, self);
}

TEST_F(rooms, listener_in_a_container_meets_those_outside_whom_it_admits)
{
	struct listening l = {
		.room = { .uid = ANN,
			  .unshare = CONTAINER & ~CLONE_NEWPID,
			  .map = "0",
			  .root = self->directory },
		.address = "memfd:/socket",
		.options = { .mode = 0666 },
	};
	struct dialling d = { .room = { .uid = BOB }, .address = self->path };
	int ret;

	NEEDS_ROOT();
	NEEDS_FCHMODAT2();
	ret = meet(_metadata, self, &l, &d);
	NEEDS(ret, "a container");
	EXPECT_EQ(-EACCES, ret);
	check_sentences(_metadata, self, NULL, WE_DO_NOT_ACCEPT);
	EXPECT_NE(NULL, strstr(self->told[1].sentence, "of user 12345:"));

	d.options.flags = SHMUX_DIAL_UID;
	d.options.uid = ANN;
	EXPECT_EQ(0, dial(_metadata, self, &d));
	EXPECT_EQ(NOBODY, self->told[1].seen.uid); /* it does not know Bob */
	listener_stop(_metadata, self);
}

TEST_HARNESS_MAIN
