// SPDX-License-Identifier: LGPL-2.1-or-later
/* forwarder.c - see forwarder.h */
#include "forwarder.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

/* This program is BUILD/tests/SUBJECT/PROGRAM. */
int forwarder_tool(char path[256])
{
	ssize_t n = readlink("/proc/self/exe", path, 255);

	if (n < 0)
		return -1;
	path[n] = 0;
	for (int i = 0; i < 3; i++) {
		char *slash = strrchr(path, '/');

		if (!slash)
			return -1;
		*slash = 0;
	}
	if (strlen(path) + 7 > 255)
		return -1;
	strcat(path, "/shmux");
	return 0;
}

static void run(const char *listen, const char *target, const char *option, int err,
		unsigned int nr_files)
{
	struct rlimit limit = { .rlim_cur = nr_files, .rlim_max = nr_files };
	char *argv[6] = { "shmux", "forward" };
	char path[256];
	int n = 2;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (option)
		argv[n++] = (char *)option;
	argv[n++] = (char *)listen;
	argv[n++] = (char *)target;
	if (forwarder_tool(path) || dup2(err, STDERR_FILENO) < 0)
		_exit(126);
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	if (nr_files && setrlimit(RLIMIT_NOFILE, &limit))
		_exit(126);
	execv(path, argv);
	_exit(127);
}

/* Return: bytes of a line, without its end; or -1. */
static int read_line(int fd, char *line, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t len = 0;

	while (len + 1 < size && poll(&p, 1, (int)(LONG_ENOUGH / MSEC)) == 1) {
		if (read(fd, line + len, 1) != 1)
			return -1;
		if (line[len] == '\n') {
			line[len] = 0;
			return (int)len;
		}
		len++;
	}
	return -1;
}

int forwarder_start(struct forwarder *f, const char *listen, const char *target, const char *option,
		    unsigned int nr_files)
{
	char line[256];
	int fds[2];

	*f = (struct forwarder){ .err = -1 };
	if (pipe2(fds, O_CLOEXEC))
		return -1;
	f->pid = fork();
	if (!f->pid)
		run(listen, target, option, fds[1], nr_files);
	close(fds[1]);
	f->err = fds[0];
	while (f->pid > 0 && read_line(f->err, line, sizeof(line)) >= 0) {
		if (sscanf(line, "listening on %127s", f->address) == 1)
			return 0;
		fprintf(stderr, "# %s\n", line);
	}
	return -1;
}

int forwarder_wait(struct forwarder *f)
{
	char line[512];
	int status;

	if (f->pid <= 0)
		return -1;
	if (!wait_until(waitpid(f->pid, &status, WNOHANG) == f->pid)) {
		kill(f->pid, SIGKILL);
		waitpid(f->pid, &status, 0);
	}
	while (read_line(f->err, line, sizeof(line)) >= 0)
		fprintf(stderr, "# forward: %s\n", line);
	close(f->err);
	f->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int forwarder_end(struct forwarder *f, int signal)
{
	if (f->pid <= 0)
		return -1;
	kill(f->pid, signal);
	return forwarder_wait(f);
}

bool forwarder_says(struct forwarder *f, const char *words)
{
	char line[512];

	while (read_line(f->err, line, sizeof(line)) >= 0)
		if (strstr(line, words))
			return true;
	return false;
}

int forwarder_nr_open(struct forwarder *f)
{
	char line[512];
	int nr = -1;

	kill(f->pid, SIGUSR1);
	while (nr < 0 && read_line(f->err, line, sizeof(line)) >= 0)
		sscanf(line, "shmux: %d open", &nr);
	return nr;
}

int64_t forwarder_rss(const struct forwarder *f)
{
	char path[64], line[256];
	long long kib = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", f->pid);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "VmRSS: %lld", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib < 0 ? -1 : kib * 1024;
}

uint64_t forwarder_cpu(const struct forwarder *f)
{
	clockid_t clock;
	struct timespec ts;

	if (clock_getcpuclockid(f->pid, &clock) || clock_gettime(clock, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}
