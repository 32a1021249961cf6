// SPDX-License-Identifier: LGPL-2.1-or-later
/* terminals.c - see terminals.h */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <termios.h>
#include <unistd.h>

#include "terminals.h"

/* What is on its way from one master to the other. */
struct load {
	char buf[4096];
	size_t pos, end;
};

/* Return: whether there will be more. */
static bool carry(struct load *load, int from, int to)
{
	ssize_t n;

	if (load->pos == load->end) {
		n = read(from, load->buf, sizeof(load->buf));
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		load->pos = 0;
		load->end = (size_t)n;
	}
	n = write(to, load->buf + load->pos, load->end - load->pos);
	if (n < 0)
		return errno == EAGAIN;
	load->pos += (size_t)n;
	return true;
}

/* Until there is something to read, or room for what has been read. */
static void wait_for_either(const int masters[2], const struct load loads[2])
{
	struct pollfd fds[2];

	for (int i = 0; i < 2; i++) {
		bool full = loads[i].pos < loads[i].end;
		bool must_write = loads[!i].pos < loads[!i].end;

		fds[i].fd = masters[i];
		fds[i].events = (short)((full ? 0 : POLLIN) | (must_write ? POLLOUT : 0));
	}
	poll(fds, 2, -1);
}

static void carry_between(const int masters[2])
{
	static struct load loads[2];

	while (carry(&loads[0], masters[0], masters[1]) && carry(&loads[1], masters[1], masters[0]))
		wait_for_either(masters, loads);
}

static int open_one(int *master, int *slave)
{
	struct termios raw;

	if (openpty(master, slave, NULL, NULL, NULL))
		return -errno;
	if (tcgetattr(*slave, &raw))
		return -errno;
	cfmakeraw(&raw);
	if (tcsetattr(*slave, TCSANOW, &raw) || fcntl(*slave, F_SETFD, FD_CLOEXEC) ||
	    fcntl(*master, F_SETFD, FD_CLOEXEC) || fcntl(*master, F_SETFL, O_NONBLOCK))
		return -errno;
	return 0;
}

static pid_t start_carrier(const int masters[2], const int slaves[2])
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid < 0 ? -errno : pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(slaves[0]);
	close(slaves[1]);
	if (getppid() == parent)
		carry_between(masters);
	_exit(0);
}

pid_t terminals_open(int fds[2])
{
	int masters[2] = { -1, -1 }, slaves[2] = { -1, -1 };
	pid_t pid;

	pid = open_one(&masters[0], &slaves[0]);
	if (!pid)
		pid = open_one(&masters[1], &slaves[1]);
	if (!pid)
		pid = start_carrier(masters, slaves);
	for (int i = 0; i < 2; i++) {
		close(masters[i]);
		if (pid < 0)
			close(slaves[i]);
	}
	memcpy(fds, slaves, sizeof(slaves));
	return pid;
}
