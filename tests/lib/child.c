// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * child.c - exec: addresses: a child at the other end, how it ends, and how we do
 *
 * The child is this program: with "--as PART" for its first words it plays that
 * part, and says by its exit status what it thinks.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmux/shmux.h>

#include "harness.h"
#include "effort.h"
#include "far.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define AS "exec:/proc/self/exe --as "

/* --- the parts ------------------------------------------------------------------- */

static struct shmux_session *join(void)
{
	struct shmux_listener *l;
	struct shmux_session *s;

	if (shmux_listener_open("stdio:", NULL, &l) || shmux_listener_accept_session(l, 0, &s))
		_exit(99);
	shmux_listener_close(l);
	return s;
}

static struct shmux_stream *take(struct shmux_session *s)
{
	struct shmux_stream *st;

	if (shmux_session_accept(s, 0, &st))
		_exit(98);
	return st;
}

/* Echo, while it prints what nobody asked for; leave when it is told so by EOF. */
static int as_echo(int argc, char **argv)
{
	struct shmux_listener *l;
	struct shmux_stream *st;
	char buf[4096];
	ssize_t n;

	(void)argc;
	(void)argv;
	if (shmux_listener_open("stdio:", NULL, &l))
		return 99;
	while (!shmux_listener_accept(l, 0, &st)) {
		printf("# a library prints\n");
		fflush(stdout);
		while ((n = shmux_stream_read(st, buf, sizeof(buf))) > 0)
			if (shmux_stream_write(st, buf, (size_t)n) != n)
				return 97;
		shmux_stream_shutdown(st, SHMUX_WRITE);
		shmux_stream_close(st);
	}
	shmux_listener_close(l);
	return 0;
}

/* Open a stream ourselves, and say so. */
static int as_client(int argc, char **argv)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	char byte;

	(void)argc;
	(void)argv;
	if (shmux_session_dial("stdio:", NULL, SHMUX_NEVER, &s) || shmux_session_open(s, 0, &st) ||
	    shmux_stream_write(st, "client", 6) != 6)
		return 99;
	while (shmux_stream_read(st, &byte, 1) > 0)
		;
	shmux_stream_close(st);
	return shmux_session_close(s, 0) ? 98 : 0;
}

/* Write the pattern to the first stream, @argv[1] bytes, and leave with @argv[0]. */
static int as_write_and_exit(int argc, char **argv)
{
	struct shmux_session *s = join();
	struct shmux_stream *st = take(s);
	size_t len = argc > 1 ? (size_t)atoi(argv[1]) : 0;
	char *buf = malloc(len + 1);

	pattern_fill(buf, len, 0, 3);
	if (shmux_stream_write(st, buf, len) != (ssize_t)len)
		return 97;
	return argc > 0 ? atoi(argv[0]) : 0;
}

/* Fork a child, which holds everything, then be killed. */
static int as_fork_and_die(int argc, char **argv)
{
	struct shmux_session *s = join();
	struct shmux_stream *st = take(s);

	(void)argc;
	(void)argv;
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, 0);
		sleep(20);
		_exit(0);
	}
	if (shmux_stream_write(st, "last", 4) != 4)
		return 97;
	raise(SIGKILL);
	return 0;
}

enum { PROMISED = 200000, KEPT = 150000 };

/* By hand: begin a long payload on the stream that they have opened, and do the same. */
static int as_break_off(int argc, char **argv)
{
	static const unsigned char head[12] = { 0, 0, 0, 2, 0, 0, 0, 1, 0, 3, 0x0d, 0x40 };
	static char payload[KEPT];
	char opening[12];

	(void)argc;
	(void)argv;
	/* Before it, there is none that could be written to. */
	if (read(0, opening, sizeof(opening)) != sizeof(opening))
		return 96;
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, 0);
		sleep(20);
		_exit(0);
	}
	pattern_fill(payload, sizeof(payload), 0, 4);
	if (write(1, head, sizeof(head)) != sizeof(head) ||
	    write(1, payload, sizeof(payload)) != sizeof(payload))
		return 97;
	raise(SIGKILL);
	return 0;
}

static int __attribute__((noreturn)) as_sleep(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	for (;;)
		pause();
}

/* Heed neither the end of the input nor what asks to leave. */
static int as_ignore(int argc, char **argv)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	as_sleep(argc, argv);
}

/* When the input ends, take some time, and leave a file. */
static int as_leave_slowly(int argc, char **argv)
{
	char buf[256];

	while (read(0, buf, sizeof(buf)) > 0)
		;
	usleep(50000);
	if (argc < 1 || open(argv[0], O_CREAT | O_WRONLY, 0600) < 0)
		return 99;
	return 5;
}

/* Are these our words? */
static int as_words(int argc, char **argv)
{
	return argc == 3 && !strcmp(argv[0], "a b") && !strcmp(argv[1], "") &&
			       !strcmp(argv[2], "c\"d") ?
		       0 :
		       1;
}

/* The sanitizers handle some signals themselves. */
static bool is_handled(int sig)
{
	return process_is_sanitized() && (sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE ||
					  sig == SIGILL || sig == SIGABRT);
}

/* Have we got the three descriptors alone, signals as they are usually, and no more? */
static int as_look(int argc, char **argv)
{
	struct sigaction action;
	sigset_t mask;

	(void)argc;
	(void)argv;
	for (int fd = 0; fd < 1000; fd++)
		if ((fd < 3) != (fcntl(fd, F_GETFD) >= 0))
			return 10;
	if (sigprocmask(SIG_SETMASK, NULL, &mask))
		return 11;
	for (int sig = 1; sig < 32; sig++) {
		if (sigismember(&mask, sig))
			return 12;
		if (sigaction(sig, NULL, &action) ||
		    (!is_handled(sig) && (action.sa_handler != SIG_DFL) != (sig == SIGHUP)))
			return 13;
	}
	return 0;
}

/* Write without end to a session that nobody reads. */
static int as_flood(int argc, char **argv)
{
	static const char frames[4096];

	(void)argc;
	(void)argv;
	signal(SIGPIPE, SIG_IGN);
	while (write(1, frames, sizeof(frames)) > 0)
		;
	return 6;
}

static const struct {
	const char *name;
	int (*play)(int argc, char **argv);
} parts[] = {
	{ "echo", as_echo },
	{ "client", as_client },
	{ "write-and-exit", as_write_and_exit },
	{ "fork-and-die", as_fork_and_die },
	{ "break-off", as_break_off },
	{ "sleep", as_sleep },
	{ "ignore", as_ignore },
	{ "leave-slowly", as_leave_slowly },
	{ "words", as_words },
	{ "look", as_look },
	{ "flood", as_flood },
};

static void __attribute__((constructor(101))) play_a_part(int argc, char **argv)
{
	if (argc < 3 || strcmp(argv[1], "--as"))
		return;
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strcmp(argv[2], parts[i].name))
			_exit(parts[i].play(argc - 3, argv + 3));
	_exit(100);
}

/* --- the tests --------------------------------------------------------------------- */

FIXTURE(child)
{
	int nr_fds;
	struct shmux_session *s;
	struct shmux_stream *st;
	char directory[NAME_SIZE];
};

FIXTURE_SETUP(child)
{
	self->nr_fds = process_nr_fds();
	ASSERT_EQ(0, directory_make(self->directory));
}

static bool have_no_children(void)
{
	return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

FIXTURE_TEARDOWN(child)
{
	shmux_stream_close(self->st);
	shmux_session_close(self->s, 0);
	directory_remove(self->directory);
	if (_metadata->aborted)
		return;
	EXPECT_TRUE(have_no_children());
	EXPECT_EQ(self->nr_fds, process_nr_fds());
	EXPECT_FALSE(process_leaks());
}

static int dial(FIXTURE_DATA(child) * self, const char *address)
{
	return shmux_session_dial(address, NULL, shmux_now() + LONG_ENOUGH, &self->s);
}

/* And a stream, which the child has something from. */
static int dial_stream(FIXTURE_DATA(child) * self, const char *address)
{
	int err = dial(self, address);

	return err ? err : shmux_session_open(self->s, 0, &self->st);
}

static int status_of(FIXTURE_DATA(child) * self, int *status)
{
	return shmux_session_child_status(self->s, shmux_now() + LONG_ENOUGH, NULL, status);
}

static bool exits_with(FIXTURE_DATA(child) * self, int expected)
{
	int status;

	return !status_of(self, &status) && WIFEXITED(status) && WEXITSTATUS(status) == expected;
}

static bool echoes(struct shmux_stream *st)
{
	char buf[8];

	return shmux_stream_write(st, "hello", 5) == 5 && !shmux_stream_shutdown(st, SHMUX_WRITE) &&
	       shmux_stream_read(st, buf, sizeof(buf)) == 5 && !memcmp(buf, "hello", 5) &&
	       shmux_stream_read(st, buf, sizeof(buf)) == 0;
}

TEST_F(child, a_child_serves_streams_over_its_stdio_and_may_print)
{
	struct shmux_peer peer;
	pid_t pid = 0;
	int status;

	ASSERT_EQ(0, dial_stream(self, AS "echo"));
	EXPECT_TRUE(echoes(self->st));
	EXPECT_EQ(-ETIMEDOUT, shmux_session_child_status(self->s, 0, &pid, &status));
	shmux_session_peer(self->s, &peer);
	EXPECT_LT(0, pid);
	EXPECT_NE(getpid(), pid);
	EXPECT_EQ(pid, peer.pid);
	EXPECT_EQ((uid_t)-1, peer.uid);
	EXPECT_EQ((gid_t)-1, peer.gid);
}

TEST_F(child, a_context_has_one_child_for_many_streams_and_a_new_one_after_its_death)
{
	struct shmux_dial_options o = { .size = sizeof(o), .deadline = shmux_now() + LONG_ENOUGH };
	struct shmux_stream *st[2];
	struct shmux_context *c;
	pid_t pid[2], second;

	ASSERT_EQ(0, shmux_context_open(NULL, &c));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(0, shmux_context_dial(c, AS "echo", &o, &st[i]));
		EXPECT_TRUE(echoes(st[i]));
		EXPECT_EQ(-ETIMEDOUT, shmux_session_child_status(shmux_stream_session(st[i]), 0,
								 &pid[i], NULL));
	}
	EXPECT_EQ(pid[0], pid[1]);
	shmux_stream_close(st[0]);
	ASSERT_EQ(0, kill(pid[0], SIGKILL));
	EXPECT_EQ(0, shmux_session_child_status(shmux_stream_session(st[1]),
						shmux_now() + LONG_ENOUGH, NULL, NULL));
	shmux_stream_close(st[1]);
	ASSERT_EQ(0, shmux_context_dial(c, AS "echo", &o, &st[0]));
	EXPECT_TRUE(echoes(st[0]));
	shmux_session_child_status(shmux_stream_session(st[0]), 0, &second, NULL);
	EXPECT_NE(pid[0], second);
	shmux_stream_close(st[0]);
	shmux_context_close(c);
	EXPECT_TRUE(have_no_children());
}

TEST_F(child, a_listener_takes_the_streams_of_the_child_that_it_starts)
{
	struct shmux_listener *l;
	char buf[8];

	ASSERT_EQ(0, shmux_listener_open(AS "client", NULL, &l));
	EXPECT_STREQ(AS "client", shmux_listener_address(l));
	ASSERT_EQ(0, shmux_listener_accept(l, 0, &self->st));
	EXPECT_EQ(6, shmux_stream_read(self->st, buf, sizeof(buf)));
	shmux_stream_close(self->st);
	self->st = NULL;
	EXPECT_EQ(-ESHUTDOWN, shmux_listener_accept(l, 0, &self->st));
	shmux_listener_close(l);
}

TEST_F(child, a_child_that_is_killed_ends_what_waits_for_it_and_says_how)
{
	char byte;
	pid_t pid;
	int status;
	uint64_t before;

	ASSERT_EQ(0, dial_stream(self, AS "echo"));
	ASSERT_EQ(1, shmux_stream_write(self->st, "x", 1));
	ASSERT_EQ(1, shmux_stream_read(self->st, &byte, 1));
	ASSERT_EQ(-ETIMEDOUT, shmux_session_child_status(self->s, 0, &pid, NULL));

	before = shmux_now();
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(self->st, &byte, 1));
	EXPECT_GT(effort_bound(100 * MSEC), shmux_now() - before);
	ASSERT_EQ(0, status_of(self, &status));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_EQ(SHMUX_SESSION_DEAD, shmux_session_state(self->s));
	/* It has been waited for. */
	EXPECT_TRUE(have_no_children());
}

TEST_F(child, what_a_child_wrote_before_it_left_is_read_and_its_status_is_known)
{
	static char buf[200000];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	ASSERT_EQ(0, dial_stream(self, AS "write-and-exit 7 200000"));
	ASSERT_EQ(sizeof(buf), shmux_stream_recv(self->st, &iov, 1, SHMUX_WAITALL));
	EXPECT_EQ(-1, pattern_check(buf, sizeof(buf), 0, 3));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(self->st, buf, 1));
	EXPECT_TRUE(exits_with(self, 7));
}

/* The grandchild is ours by now, and lives: no more. */
static bool end_grandchild(void)
{
	pid_t grandchild = 0;
	FILE *children;
	char path[64];
	int status;

	if (waitpid(-1, &status, WNOHANG))
		return false;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	children = fopen(path, "re");
	if (!children || fscanf(children, "%d", &grandchild) != 1 || fclose(children))
		return false;
	return !kill(grandchild, SIGKILL) && waitpid(grandchild, &status, 0) == grandchild;
}

TEST_F(child, a_grandchild_that_holds_the_wire_does_not_hide_the_childs_death)
{
	uint64_t before;
	char buf[8];
	int status;

	/* It would live on among ours. */
	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	ASSERT_EQ(0, dial_stream(self, AS "fork-and-die"));
	before = shmux_now();
	EXPECT_EQ(4, shmux_stream_read(self->st, buf, sizeof(buf)));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(self->st, buf, sizeof(buf)));
	EXPECT_GT(effort_bound(1000 * MSEC), shmux_now() - before);
	/* It was told, not found out by asking again and again. */
	EXPECT_GT(20, session_counters(self->s).sleeps);
	ASSERT_EQ(0, status_of(self, &status));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_TRUE(end_grandchild());
}

TEST_F(child, nor_does_it_amid_a_long_payload)
{
	static char buf[PROMISED];
	struct iovec iov = { buf, sizeof(buf) };
	int status;

	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	ASSERT_EQ(0, dial_stream(self, AS "break-off"));
	EXPECT_EQ(KEPT, shmux_stream_recv(self->st, &iov, 1, SHMUX_WAITALL));
	EXPECT_EQ(-1, pattern_check(buf, KEPT, 0, 4));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(self->st, buf, sizeof(buf)));
	ASSERT_EQ(0, status_of(self, &status));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	EXPECT_TRUE(end_grandchild());
}

TEST_F(child, an_event_loop_learns_of_it_too)
{
	struct shmux_event event;
	struct pollfd pfd = { .events = POLLIN };
	bool dead = false;
	pid_t pid;
	int nr;

	ASSERT_EQ(0, dial_stream(self, AS "sleep"));
	pfd.fd = shmux_session_fd(self->s);
	ASSERT_LE(0, pfd.fd);
	while (shmux_session_pump(self->s, &event, 1) > 0)
		;
	ASSERT_EQ(-ETIMEDOUT, shmux_session_child_status(self->s, 0, &pid, NULL));
	kill(pid, SIGTERM);
	while (!dead && poll(&pfd, 1, 10000) == 1)
		while ((nr = shmux_session_pump(self->s, &event, 1)) > 0)
			dead |= !event.stream && (event.events & SHMUX_EVENT_DEAD);
	EXPECT_TRUE(dead);
}

TEST_F(child, what_cannot_be_run_is_the_dials_error)
{
	char path[NAME_SIZE + 16], address[NAME_SIZE + 32];
	struct shmux_listener *l;
	int fd;

	EXPECT_EQ(-ENOENT, dial(self, "exec:/there/is/no/such/program"));
	EXPECT_EQ(-ENOENT, dial(self, "exec:there-is-no-such-program with arguments"));
	EXPECT_EQ(-ENOENT, dial(self, "exec:''"));
	EXPECT_EQ(-EACCES, dial(self, "exec:/"));
	EXPECT_EQ(-ENOENT, shmux_listener_open("exec:/there/is/no/such/program", NULL, &l));
	snprintf(path, sizeof(path), "%s/file", self->directory);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ASSERT_EQ(1, write(fd, "x", 1));
	snprintf(address, sizeof(address), "exec:%s", path);
	EXPECT_EQ(-EACCES, dial(self, address));
	ASSERT_EQ(0, fchmod(fd, 0700));
	close(fd);
	EXPECT_EQ(-ENOEXEC, dial(self, address));
	EXPECT_TRUE(have_no_children());
	EXPECT_EQ(self->nr_fds, process_nr_fds());
}

TEST_F(child, a_command_is_found_by_path)
{
	char path[3 * NAME_SIZE], link[NAME_SIZE + 16];

	snprintf(link, sizeof(link), "%s/us", self->directory);
	snprintf(path, sizeof(path), "/there/is/none:/etc/passwd:%s:/usr/bin:/bin",
		 self->directory);
	ASSERT_EQ(0, symlink("/proc/self/exe", link));
	setenv("PATH", path, 1);
	ASSERT_EQ(0, dial_stream(self, "exec:us --as echo"));
	EXPECT_TRUE(echoes(self->st));
}

TEST_F(child, words_arrive_as_they_were_quoted)
{
	ASSERT_EQ(0, dial(self, AS "words 'a b' \"\" c\\\"d"));
	EXPECT_TRUE(exits_with(self, 0));
}

static void do_nothing(int sig)
{
	(void)sig;
}

TEST_F(child, a_child_begins_with_three_descriptors_and_without_our_signals)
{
	int fd = dup(2), pipe_fd = dup2(2, 700);
	sigset_t mask;

	ASSERT_LE(0, fd);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGUSR1, do_nothing);
	sigfillset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	ASSERT_EQ(0, dial(self, AS "look"));
	EXPECT_TRUE(exits_with(self, 0));
	sigprocmask(SIG_SETMASK, NULL, &mask);
	EXPECT_TRUE(sigismember(&mask, SIGTERM));
	close(fd);
	close(pipe_fd);
}

TEST_F(child, who_has_no_standard_descriptors_has_children_that_do)
{
	bool had_three;
	int saved[3];

	for (int fd = 0; fd < 3; fd++) {
		saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
		close(fd);
	}
	/* It gets beyond its descriptors, to that SIGHUP is not ignored. */
	had_three = !dial(self, AS "look") && exits_with(self, 13);
	shmux_session_close(self->s, 0);
	self->s = NULL;
	for (int fd = 0; fd < 3; fd++) {
		dup2(saved[fd], fd);
		close(saved[fd]);
	}
	EXPECT_TRUE(had_three);
}

TEST_F(child, closing_waits_for_a_child_that_leaves_by_itself)
{
	char file[NAME_SIZE + 16], address[2 * NAME_SIZE + 64];

	snprintf(file, sizeof(file), "%s/left", self->directory);
	snprintf(address, sizeof(address), AS "leave-slowly %s", file);
	ASSERT_EQ(0, dial(self, address));
	EXPECT_EQ(0, shmux_session_close(self->s, shmux_now() + LONG_ENOUGH));
	self->s = NULL;
	EXPECT_EQ(0, access(file, F_OK));
	EXPECT_TRUE(have_no_children());
}

TEST_F(child, a_child_that_does_not_leave_is_killed_at_the_deadline)
{
	uint64_t before;

	ASSERT_EQ(0, dial(self, AS "ignore"));
	before = shmux_now();
	EXPECT_EQ(0, shmux_session_close(self->s, shmux_now() + 50 * MSEC));
	self->s = NULL;
	EXPECT_LE(50 * MSEC, shmux_now() - before);
	EXPECT_GT(effort_bound(200 * MSEC), shmux_now() - before);
	EXPECT_TRUE(have_no_children());
}

TEST_F(child, a_child_that_waits_for_room_to_write_leaves_as_well)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, dial(self, AS "flood"));
	EXPECT_EQ(-EPROTO, shmux_session_accept(self->s, 0, &st));
	EXPECT_TRUE(exits_with(self, 6));
}

TEST_F(child, a_session_without_a_child_has_no_status)
{
	int fds[2], status;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	ASSERT_EQ(0, shmux_session_yamux(fds[0], fds[0], SHMUX_ROLE_DIALLER, NULL, &self->s));
	EXPECT_EQ(-ENODATA, status_of(self, &status));
	close(fds[1]);
}

TEST_F(child, a_program_that_ignores_its_children_is_told_that_nobody_knows)
{
	int status = 77;
	char byte;

	signal(SIGCHLD, SIG_IGN);
	ASSERT_EQ(0, dial_stream(self, AS "write-and-exit 3 1"));
	EXPECT_EQ(1, shmux_stream_read(self->st, &byte, 1));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(self->st, &byte, 1));
	EXPECT_EQ(-ESRCH, status_of(self, &status));
	EXPECT_EQ(77, status);
}

TEST_F(child, a_program_that_waits_for_all_its_children_is_told_so_too)
{
	int status = 77;
	char byte;
	pid_t pid;

	ASSERT_EQ(0, dial_stream(self, AS "write-and-exit 3 1"));
	ASSERT_EQ(-ETIMEDOUT, shmux_session_child_status(self->s, 0, &pid, NULL));
	EXPECT_EQ(pid, waitpid(-1, &status, 0));
	EXPECT_EQ(3, WEXITSTATUS(status));
	EXPECT_EQ(1, shmux_stream_read(self->st, &byte, 1));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(self->st, &byte, 1));
	EXPECT_EQ(-ESRCH, status_of(self, &status));
}

TEST_F(child, no_other_child_of_the_programs_is_waited_for)
{
	pid_t other = fork();
	int status;

	if (!other)
		_exit(4);
	ASSERT_EQ(0, dial(self, AS "words"));
	EXPECT_TRUE(exits_with(self, 1));
	EXPECT_EQ(other, waitpid(other, &status, 0));
	EXPECT_EQ(4, WEXITSTATUS(status));
}

/* --- the end of the parent ----------------------------------------------------------- */

static int64_t side_dial_child(struct side *side)
{
	pid_t pid;

	SIDE_EQ(0, shmux_session_dial(side->in, NULL, shmux_now() + LONG_ENOUGH, &side->session));
	SIDE_EQ(-ETIMEDOUT, shmux_session_child_status(side->session, 0, &pid, NULL));
	return pid;
}

static int64_t dial_child_job(void *side)
{
	return side_dial_child(side);
}

static int64_t side_dial_child_in_thread(struct side *side)
{
	struct worker w;

	worker_start(&w, dial_child_job, side);
	return worker_join(&w);
}

TEST_F(child, the_parents_death_ends_a_child_that_does_not_even_read)
{
	struct far parent;
	pid_t pid;
	int status;

	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	ASSERT_EQ(0, far_start(&parent, FAR_CHILD));
	pid = (pid_t)far_call(&parent, side_dial_child, AS "sleep", sizeof(AS "sleep"), NULL, 0);
	ASSERT_LT(0, pid);
	far_kill(&parent);
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST_F(child, the_end_of_the_thread_that_dialled_does_not)
{
	struct far parent;
	int status;
	pid_t pid;

	ASSERT_EQ(0, prctl(PR_SET_CHILD_SUBREAPER, 1));
	ASSERT_EQ(0, far_start(&parent, FAR_CHILD));
	pid = (pid_t)far_call(&parent, side_dial_child_in_thread, AS "echo", sizeof(AS "echo"),
			      NULL, 0);
	ASSERT_LT(0, pid);
	EXPECT_EQ(0, far_open(&parent, 0));
	EXPECT_EQ(1, far_write(&parent, "x", 1));
	far_kill(&parent);
	/* The end of its input does. */
	EXPECT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
}

TEST_HARNESS_MAIN
