// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * names.c - names that the kernel module and memfd have side by side
 *
 * Most of it takes /dev/shmux. A process that does not see it stands for one that
 * was there before the module; where SHMUX_TEST_MODULE names the module's file,
 * and nobody uses it, it is unloaded and loaded, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "harness.h"
#include "linux/shmux.h"
#include "far.h"
#include "process.h"

#define NOBODY 65534
#define A_WHILE (500 * MSEC)

FIXTURE(names)
{
	int nr_fds;
	char name[NAME_SIZE];
	char kmod[SHMUX_ADDRESS_MAX], memfd[SHMUX_ADDRESS_MAX];
	struct far server, other;
	struct shmux_listener *listener;
};

FIXTURE_SETUP(names)
{
	self->nr_fds = process_nr_fds();
	name_make(self->name);
	snprintf(self->kmod, sizeof(self->kmod), "kmod:%s", self->name);
	snprintf(self->memfd, sizeof(self->memfd), "memfd:%s", self->name);
	ASSERT_EQ(0, far_start(&self->server, FAR_CHILD));
	ASSERT_EQ(0, far_start(&self->other, FAR_CHILD));
}

FIXTURE_TEARDOWN(names)
{
	shmux_listener_close(self->listener);
	if (_metadata->aborted) {
		far_kill(&self->server);
		far_kill(&self->other);
		return;
	}
	EXPECT_EQ(0, far_stop(&self->server));
	EXPECT_EQ(0, far_stop(&self->other));
	EXPECT_EQ(self->nr_fds, process_nr_fds());
	EXPECT_FALSE(process_leaks());
}

static bool device_is_there(void)
{
	return !access(SHMUX_DEVICE, R_OK | W_OK);
}

#define NEED_DEVICE                                                          \
	do {                                                                 \
		if (!device_is_there())                                      \
			SKIP(return, "there is no " SHMUX_DEVICE " to use"); \
	} while (0)
#define NEED_ROOT                                                                        \
	do {                                                                             \
		if (geteuid())                                                           \
			SKIP(return, "only root can be another user, or hide a device"); \
	} while (0)

/* --- who listens and who dials -------------------------------------------------- */

/* What somebody is to do, and as whom. */
struct part {
	char address[SHMUX_ADDRESS_MAX];
	bool before; /* it does not see the device, as before insmod */
	bool forbidden; /* it sees it, and may not open it */
	bool nobody; /* it is another user */
	bool refuses; /* whoever asks to be admitted */
	bool sandboxed; /* it may say to no file what all files do not know */
	unsigned int backlog;
	char sentence[256];
};

static void note_sentence(void *arg, enum shmux_log_level level, const char *sentence)
{
	struct part *part = arg;

	snprintf(part->sentence, sizeof(part->sentence), "%s", sentence);
}

/* Another /dev, with nothing in it but perhaps our device. Return: 0 or -errno. */
static int hide_device(bool is_there)
{
	struct stat st;

	if (stat(SHMUX_DEVICE, &st))
		return errno == ENOENT && !is_there ? 0 : -errno;
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/dev", "tmpfs", 0, "mode=755"))
		return -errno;
	if (is_there &&
	    (mknod(SHMUX_DEVICE, S_IFCHR | 0600, st.st_rdev) || chmod(SHMUX_DEVICE, 0600)))
		return -errno;
	return 0;
}

/* Have the kernel, or its keeper, answer to a request of the module's by EPERM. */
static int sandbox(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
		/* The low half of an argument, on a little-endian machine. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SHMUX_IOC_PEER, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
			       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ?
		       -errno :
		       0;
}

static int become(const struct part *part)
{
	int err = part->before || part->forbidden ? hide_device(part->forbidden) : 0;

	if (!err && part->sandboxed)
		err = sandbox();
	if (!err && part->nobody &&
	    (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
	     setresuid(NOBODY, NOBODY, NOBODY)))
		err = -errno;
	return err;
}

static int refuse(void *arg, const struct shmux_peer *peer)
{
	return -EPERM;
}

static int64_t side_listen(struct side *side)
{
	struct part *part = (struct part *)side->in;
	struct shmux_session_options session = {
		.size = sizeof(session),
		.log = note_sentence,
		.log_arg = part,
	};
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.mode = part->nobody ? 0666 : 0600,
		.backlog = part->backlog,
		.admit = part->refuses ? refuse : NULL,
		.session = &session,
	};
	int err = become(part);

	if (!err)
		err = shmux_listener_open(part->address, &options, &side->listener);
	memcpy(side->out, part, side->out_len);
	return err;
}

static int64_t side_accept(struct side *side)
{
	shmux_listener_set_deadline(side->listener, shmux_now() + LONG_ENOUGH);
	return shmux_listener_accept_session(side->listener, 0, &side->session);
}

/* Also those whom it refuses. */
static int64_t side_accept_for_a_while(struct side *side)
{
	shmux_listener_set_deadline(side->listener, shmux_now() + A_WHILE);
	return shmux_listener_accept_session(side->listener, 0, &side->session);
}

static int64_t side_part(struct side *side)
{
	shmux_session_close(side->session, 0);
	side->session = NULL;
	return 0;
}

/* How a session came about: "kmod:NAME" or "memfd:NAME". */
static int whence(struct shmux_session *session, char address[SHMUX_ADDRESS_MAX])
{
	struct shmux_stream *st;
	int ret = shmux_session_open(session, SHMUX_STREAM_BYTES, &st);

	if (ret)
		return ret;
	ret = shmux_stream_peer_address(st, address, SHMUX_ADDRESS_MAX);
	shmux_stream_close(st);
	return ret;
}

static int64_t side_dial(struct side *side)
{
	const struct part *part = side->in;
	struct shmux_session *session;
	int err = become(part);

	if (!err)
		err = shmux_session_dial(part->address, NULL, shmux_now() + LONG_ENOUGH, &session);
	if (err)
		return err;
	err = whence(session, side->out);
	shmux_session_close(session, 0);
	return err;
}

static int listen_as(struct far *far, const char *address, struct part part)
{
	snprintf(part.address, sizeof(part.address), "%s", address);
	return (int)far_call(far, side_listen, &part, sizeof(part), NULL, 0);
}
#define listen_at(far, address, ...) listen_as(far, address, (struct part){ __VA_ARGS__ })

/* Dial what the server listens to. Return: 0, with how it was met, or -errno. */
static int meet(struct far *server, const char *address, char how[SHMUX_ADDRESS_MAX])
{
	struct shmux_session *session;
	int err;

	how[0] = 0;
	far_begin(server, side_accept, NULL, 0, 0);
	err = shmux_session_dial(address, NULL, shmux_now() + LONG_ENOUGH, &session);
	if (!err) {
		err = whence(session, how);
		shmux_session_close(session, 0);
	}
	if (far_finish(server, NULL))
		err = err ? err : -EIO;
	far_run(server, side_part);
	return err;
}

/* Nobody accepts, so it fails, at once. */
static int dial_alone(const char *address)
{
	struct shmux_session *session;
	int err = shmux_session_dial(address, NULL, shmux_now() + LONG_ENOUGH, &session);

	if (!err)
		shmux_session_close(session, 0);
	return err;
}

#define EXPECT_MET(how_, address)                                 \
	do {                                                      \
		char met_[SHMUX_ADDRESS_MAX];                     \
                                                                  \
		EXPECT_EQ(0, meet(&self->server, address, met_)); \
		EXPECT_STREQ(how_, met_);                         \
	} while (0)

/* --- both kinds ------------------------------------------------------------------ */

TEST_F(names, plain_one_is_listened_to_in_both_and_dialled_by_the_module)
{
	NEED_DEVICE;
	ASSERT_EQ(0, listen_at(&self->server, self->name));
	EXPECT_MET(self->kmod, self->name);
	EXPECT_MET(self->kmod, self->kmod);
	EXPECT_MET(self->memfd, self->memfd);
}

TEST_F(names, memfd_one_is_met_by_who_may_make_no_request_of_the_module)
{
	struct part part = { .sandboxed = true };
	char how[SHMUX_ADDRESS_MAX] = "";

	ASSERT_EQ(0, listen_at(&self->server, self->memfd));
	memcpy(part.address, self->memfd, sizeof(part.address));
	far_begin(&self->server, side_accept, NULL, 0, 0);
	EXPECT_EQ(0, far_call(&self->other, side_dial, &part, sizeof(part), how, sizeof(how)));
	EXPECT_STREQ(self->memfd, how);
	EXPECT_EQ(0, far_finish(&self->server, NULL));
}

TEST_F(names, insisting_is_to_do_without_the_other)
{
	NEED_DEVICE;
	ASSERT_EQ(0, listen_at(&self->server, self->kmod));
	EXPECT_EQ(-ECONNREFUSED, dial_alone(self->memfd));
	EXPECT_MET(self->kmod, self->name);
	EXPECT_MET(self->kmod, self->kmod);

	ASSERT_EQ(0, listen_at(&self->other, self->memfd));
	EXPECT_MET(self->kmod, self->name);
}

TEST_F(names, one_that_memfd_alone_has_is_met_by_memfd)
{
	NEED_DEVICE;
	ASSERT_EQ(0, listen_at(&self->server, self->memfd));
	EXPECT_EQ(-ECONNREFUSED, dial_alone(self->kmod));
	EXPECT_MET(self->memfd, self->name);
}

TEST_F(names, plain_one_that_is_taken_by_the_module_is_left_alone_by_memfd)
{
	NEED_DEVICE;
	ASSERT_EQ(0, listen_at(&self->server, self->kmod));
	EXPECT_EQ(-EADDRINUSE, shmux_listener_open(self->name, NULL, &self->listener));
	EXPECT_EQ(0, shmux_listener_open(self->memfd, NULL, &self->listener));
	EXPECT_MET(self->kmod, self->kmod);
}

TEST_F(names, plain_one_that_is_taken_by_memfd_is_left_alone_by_the_module)
{
	NEED_DEVICE;
	ASSERT_EQ(0, listen_at(&self->server, self->memfd));
	EXPECT_EQ(-EADDRINUSE, shmux_listener_open(self->name, NULL, &self->listener));
	EXPECT_EQ(0, shmux_listener_open(self->kmod, NULL, &self->listener));
	EXPECT_MET(self->memfd, self->memfd);
}

TEST_F(names, plain_one_is_free_in_both_when_its_holder_is_killed)
{
	NEED_DEVICE;
	ASSERT_EQ(0, listen_at(&self->server, self->name));
	far_kill(&self->server);
	EXPECT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
}

TEST_F(names, plain_one_is_free_in_both_when_it_is_closed_whatever_a_forked_child_has)
{
	struct far child;

	NEED_DEVICE;
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	ASSERT_EQ(0, far_start(&child, FAR_CHILD));
	/* It runs, so it has closed what it is to close. */
	far_run(&child, side_part);
	shmux_listener_close(self->listener);
	self->listener = NULL;
	EXPECT_EQ(0, listen_at(&self->server, self->kmod));
	EXPECT_EQ(0, listen_at(&self->other, self->memfd));
	EXPECT_EQ(0, far_stop(&child));
}

/* Hang up for whoever else has these files of the device. */
static void hang_up_all(void)
{
	struct shmux_ioc_hang_up hang_up = { .size = sizeof(hang_up) };

	for (int fd = 3; fd < 100; fd++)
		ioctl(fd, SHMUX_IOC_HANG_UP, &hang_up);
}

TEST_F(names, kmod_one_that_a_forked_child_has_hung_up_is_told_of_now_and_then)
{
	struct shmux_session *session;
	int err, status, nr = 0;
	pid_t child;

	NEED_DEVICE;
	ASSERT_EQ(0, shmux_listener_open(self->kmod, NULL, &self->listener));
	child = fork();
	if (!child) {
		hang_up_all();
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	shmux_listener_set_deadline(self->listener, shmux_now() + A_WHILE);
	do {
		err = shmux_listener_accept_session(self->listener, 0, &session);
	} while (err == -ECONNRESET && ++nr < 1000);
	EXPECT_EQ(-ETIMEDOUT, err);
	EXPECT_LT(0, nr);
}

/* --- with it and without ------------------------------------------------------------ */

TEST_F(names, kmod_one_without_the_module_is_enodev)
{
	struct part part = { .before = true };
	char how[SHMUX_ADDRESS_MAX];

	if (device_is_there())
		NEED_ROOT;
	EXPECT_EQ(-ENODEV, listen_at(&self->server, self->kmod, .before = true));
	memcpy(part.address, self->kmod, sizeof(part.address));
	EXPECT_EQ(-ENODEV,
		  far_call(&self->other, side_dial, &part, sizeof(part), how, sizeof(how)));
}

TEST_F(names, server_that_was_there_before_the_module_is_found_by_clients_that_came_after)
{
	NEED_DEVICE;
	NEED_ROOT;
	ASSERT_EQ(0, listen_at(&self->server, self->name, .before = true));
	EXPECT_EQ(-ECONNREFUSED, dial_alone(self->kmod));
	EXPECT_MET(self->memfd, self->name);
}

TEST_F(names, client_that_was_there_before_the_module_finds_a_server_that_came_after)
{
	struct part part = { .before = true };
	char how[SHMUX_ADDRESS_MAX] = "";

	NEED_DEVICE;
	NEED_ROOT;
	ASSERT_EQ(0, listen_at(&self->server, self->name));
	far_begin(&self->server, side_accept, NULL, 0, 0);
	memcpy(part.address, self->name, sizeof(self->name));
	EXPECT_EQ(0, far_call(&self->other, side_dial, &part, sizeof(part), how, sizeof(how)));
	EXPECT_STREQ(self->memfd, how);
	EXPECT_EQ(0, far_finish(&self->server, NULL));
}

/* Return: whether it could be done. */
static bool unload(void)
{
	return wait_until(!syscall(SYS_delete_module, "shmux", O_NONBLOCK) || errno != EAGAIN) &&
	       access(SHMUX_DEVICE, F_OK);
}

static bool load(const char *file)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	bool done = fd >= 0 && !syscall(SYS_finit_module, fd, "", 0);

	close(fd);
	return done && wait_until(device_is_there());
}

TEST_F(names, plain_one_is_found_though_the_module_is_loaded_or_unloaded_in_between)
{
	const char *file = getenv("SHMUX_TEST_MODULE");

	if (!file)
		SKIP(return, "SHMUX_TEST_MODULE does not name the module to load");
	NEED_ROOT;
	ASSERT_TRUE(unload());
	ASSERT_EQ(0, listen_at(&self->server, self->name));
	EXPECT_MET(self->memfd, self->name);
	ASSERT_TRUE(load(file));
	EXPECT_MET(self->memfd, self->name);

	/* The next one is there for both. */
	far_kill(&self->server);
	ASSERT_EQ(0, far_start(&self->server, FAR_CHILD));
	ASSERT_EQ(0, listen_at(&self->server, self->name));
	EXPECT_MET(self->kmod, self->name);

	/* And back again. */
	far_kill(&self->server);
	ASSERT_TRUE(unload());
	ASSERT_EQ(0, far_start(&self->server, FAR_CHILD));
	ASSERT_EQ(0, listen_at(&self->server, self->name));
	EXPECT_MET(self->memfd, self->name);
	ASSERT_TRUE(load(file));
}

TEST_F(names, who_may_not_open_the_device_goes_without_it_and_says_so)
{
	struct part part = { .forbidden = true, .nobody = true };
	char how[SHMUX_ADDRESS_MAX] = "";

	NEED_DEVICE;
	NEED_ROOT;
	memcpy(part.address, self->name, sizeof(self->name));
	ASSERT_EQ(0,
		  far_call(&self->server, side_listen, &part, sizeof(part), &part, sizeof(part)));
	EXPECT_NE(NULL, strstr(part.sentence, "without the module"))
	{
		TH_LOG("it was '%s'", part.sentence);
	}
	EXPECT_EQ(-ECONNREFUSED, dial_alone(self->kmod));
	far_begin(&self->server, side_accept, NULL, 0, 0);
	EXPECT_EQ(0, far_call(&self->other, side_dial, &part, sizeof(part), how, sizeof(how)));
	EXPECT_STREQ(self->memfd, how);
	EXPECT_EQ(0, far_finish(&self->server, NULL));
}

TEST_F(names, kmod_one_of_who_may_not_open_the_device_is_eacces)
{
	NEED_DEVICE;
	NEED_ROOT;
	EXPECT_EQ(-EACCES, listen_at(&self->server, self->kmod, .forbidden = true, .nobody = true));
}

/* Take names by the module until it gives no more. Return: -errno. */
static int64_t side_spend_quota(struct side *side)
{
	const struct part part = { .nobody = true };
	struct rlimit limit = { .rlim_cur = 65536, .rlim_max = 65536 };
	int err = setrlimit(RLIMIT_NOFILE, &limit) ? -errno : become(&part);
	struct shmux_listener *l;
	char address[NAME_SIZE];

	for (int i = 0; !err && i < 65536 / 8; i++) {
		snprintf(address, sizeof(address), "kmod:%.32s-%d", (const char *)side->in, i);
		err = shmux_listener_open(address, NULL, &l);
	}
	return err;
}

TEST_F(names, plain_one_beyond_the_quota_goes_without_the_module_and_says_so)
{
	struct part part = { .nobody = true };

	NEED_DEVICE;
	NEED_ROOT;
	ASSERT_EQ(-EDQUOT, far_call(&self->other, side_spend_quota, self->name, sizeof(self->name),
				    NULL, 0));
	memcpy(part.address, self->kmod, sizeof(part.address));
	EXPECT_EQ(-EDQUOT,
		  far_call(&self->server, side_listen, &part, sizeof(part), &part, sizeof(part)));
	part.nobody = false; /* that is done */
	memcpy(part.address, self->name, sizeof(self->name));
	EXPECT_EQ(0,
		  far_call(&self->server, side_listen, &part, sizeof(part), &part, sizeof(part)));
	EXPECT_NE(NULL, strstr(part.sentence, "without the module"));
	/* What it has taken goes with it. */
	far_kill(&self->other);
}

/* --- strangers ------------------------------------------------------------------------ */

TEST_F(names, stranger_who_takes_one_by_the_module_and_accepts_nobody_holds_up_nobody)
{
	NEED_DEVICE;
	NEED_ROOT;
	ASSERT_EQ(0, listen_at(&self->other, self->kmod, .nobody = true));
	ASSERT_EQ(0, listen_at(&self->server, self->memfd));
	EXPECT_MET(self->memfd, self->name);
	EXPECT_EQ(-EACCES, dial_alone(self->kmod));
}

/* A place in the module's queue of who listens there. Return: descriptor or -errno. */
static int queue_up(const char *name)
{
	struct shmux_ioc_create create = {
		.size = sizeof(create),
		.region_size = (uint32_t)sysconf(_SC_PAGESIZE),
		.peer_size_max = SHMUX_REGION_MAX,
	};
	struct shmux_ioc_connect connect = { .size = sizeof(connect) };
	int err, fd = open(SHMUX_DEVICE, O_RDWR | O_CLOEXEC);

	memcpy(connect.name, name, strlen(name));
	if (fd < 0 || ioctl(fd, SHMUX_IOC_CREATE, &create) ||
	    ioctl(fd, SHMUX_IOC_CONNECT, &connect)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

TEST_F(names, stranger_who_takes_one_by_the_module_and_has_no_room_holds_up_nobody)
{
	int queued;

	NEED_DEVICE;
	NEED_ROOT;
	ASSERT_EQ(0, listen_at(&self->other, self->kmod, .nobody = true, .backlog = 1));
	queued = queue_up(self->name);
	ASSERT_LE(0, queued);
	ASSERT_EQ(-EAGAIN, queue_up(self->name));

	EXPECT_EQ(-EACCES, dial_alone(self->name));
	ASSERT_EQ(0, listen_at(&self->server, self->memfd));
	EXPECT_MET(self->memfd, self->name);
	EXPECT_EQ(-EACCES, dial_alone(self->kmod));
	close(queued);
}

TEST_F(names, stranger_who_takes_one_by_the_module_and_accepts_is_met_by_nobody)
{
	NEED_DEVICE;
	NEED_ROOT;
	ASSERT_EQ(0, listen_at(&self->other, self->kmod, .nobody = true));
	ASSERT_EQ(0, listen_at(&self->server, self->memfd));
	far_begin(&self->other, side_accept_for_a_while, NULL, 0, 0);
	EXPECT_MET(self->memfd, self->name);
	/* It may just be in time for who leaves: then it has the dead. */
	if (!far_finish(&self->other, NULL))
		EXPECT_EQ(-ECONNRESET, far_accept(&self->other, 0));
}

TEST_F(names, stranger_who_takes_one_by_the_module_is_told_of_if_nobody_else_is_there)
{
	NEED_DEVICE;
	NEED_ROOT;
	ASSERT_EQ(0, listen_at(&self->other, self->kmod, .nobody = true));
	EXPECT_EQ(-EACCES, dial_alone(self->name));
}

TEST_F(names, refusal_of_one_who_is_accepted_is_the_answer)
{
	NEED_DEVICE;
	ASSERT_EQ(0, listen_at(&self->server, self->name, .refuses = true));
	far_begin(&self->server, side_accept_for_a_while, NULL, 0, 0);
	EXPECT_EQ(-EPERM, dial_alone(self->name));
	EXPECT_EQ(-ETIMEDOUT, far_finish(&self->server, NULL));
}

TEST_F(names, mode_is_kept_by_the_module)
{
	struct part part = { .nobody = true };
	char how[SHMUX_ADDRESS_MAX];

	NEED_DEVICE;
	NEED_ROOT;
	ASSERT_EQ(0, listen_at(&self->server, self->kmod));
	memcpy(part.address, self->kmod, sizeof(part.address));
	EXPECT_EQ(-EACCES,
		  far_call(&self->other, side_dial, &part, sizeof(part), how, sizeof(how)));
}

TEST_HARNESS_MAIN
