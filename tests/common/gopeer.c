// SPDX-License-Identifier: LGPL-2.1-or-later
/* gopeer.c - see gopeer.h */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gopeer.h"

/* Beside this program: build/tests/interop/x, build/tests/go/gopeer. */
static const char *program(void)
{
	static char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);

	if (n < 0)
		return "";
	path[n] = 0;
	strcat(dirname(dirname(path)), "/go/gopeer");
	return path;
}

bool gopeer_is_there(const char **why)
{
	*why = "the program in Go was not built: golang-go or golang-github-hashicorp-yamux-dev is missing";
	return !access(program(), X_OK);
}

/* @theirs: what becomes its standard input and output. */
static void become(const int theirs[2], const char *const *args)
{
	const char *argv[16] = { "gopeer" };

	for (int i = 0; args[i] && i < 14; i++)
		argv[i + 1] = args[i];
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(theirs[0], 0) < 0 || dup2(theirs[1], 1) < 0)
		_exit(126);
	execv(program(), (char *const *)argv);
	fprintf(stderr, "# %s: %s\n", program(), strerror(errno));
	_exit(127);
}

static int open_wires(bool pipes, int ours[2], int theirs[2])
{
	int there[2], back[2];

	if (!pipes) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, there))
			return -errno;
		ours[0] = ours[1] = there[0];
		theirs[0] = theirs[1] = there[1];
		return 0;
	}
	if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
		return -errno;
	ours[0] = back[0];
	ours[1] = there[1];
	theirs[0] = there[0];
	theirs[1] = back[1];
	return 0;
}

int gopeer_spawn(struct gopeer *g, bool pipes, const char *const *args)
{
	int theirs[2] = { -1, -1 }, err = open_wires(pipes, g->stdio, theirs);

	if (err)
		return err;
	g->pid = fork();
	if (g->pid < 0)
		return -errno;
	if (!g->pid)
		become(theirs, args);
	close(theirs[0]);
	if (theirs[1] != theirs[0])
		close(theirs[1]);
	return 0;
}

int gopeer_join(struct gopeer *g, enum shmux_role role, const struct shmux_session_options *options)
{
	g->watch = dup(g->stdio[0]);
	if (g->watch < 0)
		return -errno;
	return shmux_session_yamux(g->stdio[0], g->stdio[1], role, options, &g->session);
}

int gopeer_start(struct gopeer *g, bool pipes, enum shmux_role role,
		 const struct shmux_session_options *options, const char *const *args)
{
	const char *all[16] = { NULL };
	int err, nr = 0;

	for (; args && args[nr] && nr < 12; nr++)
		all[nr] = args[nr];
	if (role == SHMUX_ROLE_ACCEPTOR)
		all[nr++] = "-client";
	all[nr++] = "peer";
	err = gopeer_spawn(g, pipes, all);
	if (!err)
		err = gopeer_join(g, role, options);
	return err ? err : shmux_session_open(g->session, 0, &g->control);
}

static bool say(struct shmux_stream *st, const char *format, va_list args)
{
	char line[256];
	int len = vsnprintf(line, sizeof(line) - 1, format, args);

	line[len++] = '\n';
	return shmux_stream_write(st, line, (size_t)len) == len;
}

bool gopeer_say(struct gopeer *g, struct shmux_stream *st, const char *format, ...)
{
	va_list args;
	bool said;

	va_start(args, format);
	said = say(st, format, args);
	va_end(args);
	return said;
}

struct shmux_stream *gopeer_tell(struct gopeer *g, const char *format, ...)
{
	struct shmux_stream *st;
	va_list args;
	bool said;

	if (shmux_session_open(g->session, 0, &st))
		return NULL;
	va_start(args, format);
	said = say(st, format, args);
	va_end(args);
	if (said)
		return st;
	shmux_stream_close(st);
	return NULL;
}

/* What follows the line stays in the stream. */
const char *gopeer_line(struct gopeer *g, struct shmux_stream *st)
{
	size_t len = 0;
	ssize_t n;

	while ((n = shmux_stream_read(st, g->answer + len, 1)) == 1) {
		if (g->answer[len] == '\n') {
			g->answer[len] = 0;
			return g->answer;
		}
		if (++len == sizeof(g->answer))
			return "it is too long";
	}
	return n ? strerror((int)-n) : "the stream has ended";
}

const char *gopeer_ask(struct gopeer *g, const char *format, ...)
{
	va_list args;
	bool said;

	va_start(args, format);
	said = say(g->control, format, args);
	va_end(args);
	return said ? gopeer_line(g, g->control) : "it cannot be asked";
}

static bool echo(struct shmux_stream *st)
{
	char buf[16384];
	ssize_t n;

	while ((n = shmux_stream_try_read(st, buf, sizeof(buf))) > 0)
		if (shmux_stream_write(st, buf, (size_t)n) != n)
			return false;
	if (n != -EAGAIN)
		shmux_stream_close(st);
	return !n || n == -EAGAIN;
}

/* Those that wait to be accepted. Return: whether they could be echoed. */
static bool echo_new(struct gopeer *g)
{
	struct shmux_stream *st;

	while (!shmux_session_accept(g->session, SHMUX_NOWAIT, &st)) {
		shmux_stream_set_user(st, g);
		if (!echo(st))
			return false;
	}
	return true;
}

const char *gopeer_serve(struct gopeer *g)
{
	struct pollfd fd = { .fd = shmux_session_fd(g->session), .events = POLLIN };
	struct shmux_event events[64];
	struct shmux_stream *st;
	int n, i;

	for (;;) {
		if (!echo_new(g))
			return "a stream cannot be echoed";
		n = shmux_session_pump(g->session, events, 64);
		if (n < 0)
			return strerror(-n);
		if (!n && poll(&fd, 1, -1) < 0)
			return strerror(errno);
		for (i = 0; i < n; i++) {
			st = events[i].stream;
			if (!st && (events[i].events & SHMUX_EVENT_DEAD))
				return "the session is over";
			if (!st || !(events[i].events & SHMUX_EVENT_READ))
				continue;
			if (st == g->control)
				return gopeer_line(g, st);
			if (shmux_stream_user(st) == g && !echo(st))
				return "a stream cannot be echoed";
		}
	}
}

void gopeer_leave(struct gopeer *g)
{
	shmux_stream_close(g->control);
	shmux_session_close(g->session, 0);
	close(g->watch);
	g->control = NULL;
	g->session = NULL;
}

int gopeer_wait(struct gopeer *g)
{
	int status;
	pid_t pid = waitpid(g->pid, &status, 0);

	g->pid = 0;
	if (pid < 0)
		return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
