// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * child.c - see child.h
 *
 * Between vfork and exec the child runs in our memory, on our stack, while this
 * thread stands still: child_run() and what it calls change nothing of ours but
 * @error, and call nothing that is not async-signal-safe.
 */
#include "link/child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "region/pidfd.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define LAST_WAIT UINT64_C(100000000)	/* ns that one who is killed may take */
#define PAUSE UINT64_C(2000000)		/* ns between looks, without a pidfd */
#define PATH_DEFAULT "/bin:/usr/bin"

/* What the child needs; made before. */
struct start {
	char *const *words;
	const char *path;	/* the directories to look in, or NULL: as it is */
	char *room;		/* for one of those, with the word behind it */
	int fd;			/* its end; above standard error */
	pid_t parent;		/* who must not be dead already; 0: it may be */
	int error;		/* out */
};

/* --- in the child ---------------------------------------------------------- */

/* Handlers are the parent's, and would run in its memory. */
static void reset_signals(void)
{
	struct sigaction was, as_usual = { .sa_handler = SIG_DFL };
	sigset_t none;
	int sig;

	for (sig = 1; sig < NSIG; sig++) {
		if ((sig == SIGHUP || sig == SIGINT || sig == SIGQUIT) &&
		    !sigaction(sig, NULL, &was) && was.sa_handler == SIG_IGN)
			continue;
		sigaction(sig, &as_usual, NULL);
	}
	sigemptyset(&none);
	pthread_sigmask(SIG_SETMASK, &none, NULL);
}

/* Of all that is above standard error. */
static void set_close_on_exec(void)
{
	struct rlimit limit;
	int fd;

	if (!syscall(SYS_close_range, STDERR_FILENO + 1, UINT_MAX,
		     CLOSE_RANGE_CLOEXEC))
		return;
	/* Before Linux 5.11, or in a sandbox. */
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur > 65536)
		limit.rlim_cur = 65536;
	for (fd = STDERR_FILENO + 1; fd < (int)limit.rlim_cur; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/*
 * The call alone: what a compiler's instruments do before an exec they would do in
 * our memory.
 */
static int exec(const char *path, char *const words[])
{
	syscall(SYS_execve, path, words, environ);
	return errno;
}

/* Return: errno. What is found and may not be run tells more than what is not. */
static int exec_by_path(const struct start *s)
{
	const char *dir = s->path, *end;
	int error = ENOENT;
	size_t len;

	for (;; dir = end + 1) {
		end = strchrnul(dir, ':');
		len = (size_t)(end - dir);
		memcpy(s->room, dir, len);
		if (len)
			s->room[len++] = '/';	/* else where we are */
		memcpy(s->room + len, s->words[0], strlen(s->words[0]) + 1);
		switch (exec(s->room, s->words)) {
		case EACCES:
			error = EACCES;
			break;
		case ENOENT:
		case ENOTDIR:
		case ENAMETOOLONG:
		case ELOOP:
		case ESTALE:
		case ENODEV:
		case ETIMEDOUT:
			break;
		default:
			return errno;
		}
		if (!*end)
			return error;
	}
}

static int child_run(const struct start *s)
{
	int null;

	/* What it does not heed, if anything, is that its input ends. */
	if (s->parent) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		/* From within another pid namespace it is not seen: 0. */
		if (getppid() && getppid() != s->parent)
			_exit(127);
	}
	if (dup2(s->fd, STDIN_FILENO) < 0 || dup2(s->fd, STDOUT_FILENO) < 0)
		return errno;
	if (fcntl(STDERR_FILENO, F_GETFD) < 0) {
		null = open("/dev/null", O_WRONLY);
		if (null >= 0 && null != STDERR_FILENO)
			dup2(null, STDERR_FILENO);
	}
	set_close_on_exec();
	reset_signals();
	if (s->path)
		return exec_by_path(s);
	return exec(s->words[0], s->words);
}

/* --- in the parent --------------------------------------------------------- */

/* Ask for its end, without waiting. @flags: WNOWAIT: it is to stay; or 0. */
static int ask(const struct shmux__child *c, int flags, siginfo_t *info)
{
	int err;

	flags |= WEXITED | WNOHANG;
	info->si_pid = 0;
	do {
		err = c->pidfd < 0 ? -1 :
				     waitid(P_PIDFD, (id_t)c->pidfd, info, flags);
		/* There is no pidfd, or this kernel waits for none (before 5.4). */
		if (c->pidfd < 0 || (err && errno == EINVAL))
			err = waitid(P_PID, (id_t)c->pid, info, flags);
	} while (err && errno == EINTR);
	return err;
}

/* Its end may be there, or somebody else has waited for it. */
static void reap(struct shmux__child *c)
{
	siginfo_t info;

	if (ask(c, 0, &info))
		c->status = SHMUX_STATUS_UNKNOWN;
	else if (!info.si_pid)
		return;
	else if (info.si_code == CLD_EXITED)
		c->status = (info.si_status & 0xff) << 8;
	else
		c->status = info.si_status |
			    (info.si_code == CLD_DUMPED ? 0x80 : 0);
	c->ended = true;
}

/* That of the process's main thread ends with the process. */
static bool in_main_thread(void)
{
	return syscall(SYS_gettid) == getpid();
}

static pid_t spawn(struct start *s)
{
	sigset_t all, before;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pid = vfork();
	if (!pid) {
		s->error = child_run(s);
		_exit(127);
	}
	if (pid < 0)
		s->error = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return pid;
}

/* Of a child that has not come to exec. */
static void forget(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int start(struct shmux__child *c, struct start *s)
{
	s->error = 0;
	s->parent = in_main_thread() ? getpid() : 0;
	c->pid = spawn(s);
	if (c->pid < 0)
		return -s->error;
	if (s->error) {
		forget(c->pid);
		return -s->error;
	}
	c->ended = false;
	c->pidfd = shmux__pidfd_open(c->pid);
	if (c->pidfd >= -1)
		return 0;	/* the kernel may not know it, or not want us to */
	if (c->pidfd == -ESRCH) {
		/* It has ended, and somebody else has waited for it. */
		c->pidfd = -1;
		c->ended = true;
		c->status = SHMUX_STATUS_UNKNOWN;
		return 0;
	}
	kill(c->pid, SIGKILL);
	forget(c->pid);
	return c->pidfd;
}

/* Our ends never stand where a program expects its standard ones. */
static int above_standard(int *fd)
{
	int old = *fd, err = 0;

	if (old > STDERR_FILENO)
		return 0;
	*fd = fcntl(old, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (*fd < 0)
		err = -errno;
	close(old);
	return err;
}

/* PATH as it is now; getenv() is said to be no function for threads. */
static const char *directories(void)
{
	char *const *e;

	for (e = environ; e && *e; e++)
		if (!strncmp(*e, "PATH=", strlen("PATH=")))
			return *e + strlen("PATH=");
	return PATH_DEFAULT;
}

int shmux__child_start(struct shmux__child *c, char *const words[], int *fd)
{
	struct start s = { .words = words };
	int fds[2], err;

	if (!*words[0])
		return -ENOENT;		/* PATH would lead to a directory */
	if (!strchr(words[0], '/')) {
		s.path = directories();
		s.room = malloc(strlen(s.path) + strlen(words[0]) + 2);
		if (!s.room)
			return -ENOMEM;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)) {
		err = -errno;
		goto out;
	}
	err = above_standard(&fds[0]);
	if (!err)
		err = above_standard(&fds[1]);
	s.fd = fds[1];
	if (!err)
		err = start(c, &s);
	if (fds[1] >= 0)
		close(fds[1]);
	if (err && fds[0] >= 0)
		close(fds[0]);
	*fd = fds[0];
out:
	free(s.room);
	return err;
}

bool shmux__child_has_ended(struct shmux__child *c)
{
	int saved = errno;

	if (!c->ended)
		reap(c);
	errno = saved;
	return c->ended;
}

/* Without a pidfd, or the memory to wait on it. Return: whether it has ended. */
static bool look_again(const struct shmux__child *c, uint64_t left)
{
	struct timespec ts = shmux_clock_timespec(left < PAUSE ? left : PAUSE);
	siginfo_t info;

	if (ask(c, WNOWAIT, &info) || info.si_pid)
		return true;
	nanosleep(&ts, NULL);
	return false;
}

void shmux__child_wait(const struct shmux__child *c, uint64_t deadline)
{
	struct pollfd pfd = { .fd = c->pidfd, .events = POLLIN };
	int saved = errno, n = -1;
	struct timespec ts;
	uint64_t left;

	while (n <= 0 && (left = shmux_clock_left(deadline))) {
		ts = shmux_clock_timespec(left);
		if (c->pidfd >= 0)
			n = ppoll(&pfd, 1, left == UINT64_MAX ? NULL : &ts, NULL);
		if (n < 0 && (c->pidfd < 0 || errno != EINTR))
			n = look_again(c, left);
	}
	errno = saved;
}

int shmux__child_status(const struct shmux__child *c, int *status)
{
	if (!c->ended)
		return -ETIMEDOUT;
	if (c->status == SHMUX_STATUS_UNKNOWN)
		return -ESRCH;
	if (status)
		*status = c->status;
	return 0;
}

void shmux__child_end(struct shmux__child *c)
{
	int saved = errno;

	if (!shmux__child_has_ended(c)) {
		if (c->pidfd < 0 || syscall(SYS_pidfd_send_signal, c->pidfd,
					    SIGKILL, NULL, 0))
			kill(c->pid, SIGKILL);
		shmux__child_wait(c, shmux_clock_now() + LAST_WAIT);
		shmux__child_has_ended(c);
	}
	/* Should the kernel not be done with it, it stays with us as a zombie. */
	if (!c->ended)
		c->status = SHMUX_STATUS_UNKNOWN;
	c->ended = true;
	errno = saved;
}

void shmux__child_close(struct shmux__child *c)
{
	int saved = errno;

	shmux__child_end(c);
	if (c->pidfd >= 0)
		close(c->pidfd);
	errno = saved;
}
