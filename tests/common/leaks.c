// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * leaks.c - after every test: no descriptor and no region is left
 *
 * The harness forks a child for each test, which leaves by _exit(). Every test
 * program is linked with --wrap=_exit, so that a test which has passed is looked
 * at once more on its way out: a descriptor that it was not born with, or a
 * mapping of a memfd, fails it. The processes that a test itself forks are not
 * looked at: many of them end in the middle of something, on purpose.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NR_FDS 4096
#define LEAKED 254	/* exit status; the harness calls it a step */

void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));

/* Of a build for coverage: write what has been counted, which _exit() would not. */
void __gcov_dump(void) __attribute__((weak));

static pid_t harness;		/* forks the tests */
static pid_t test;		/* what we are, if we are one */
static bool was_open[NR_FDS];

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void note_birth(void)
{
	if (getppid() != harness)
		return;
	test = getpid();
	for (int fd = 0; fd < NR_FDS; fd++)
		was_open[fd] = is_open(fd);
}

static void __attribute__((constructor)) watch_births(void)
{
	harness = getpid();
	if (pthread_atfork(NULL, NULL, note_birth)) {
		fprintf(stderr, "# pthread_atfork failed\n");
		__real__exit(2);
	}
}

/* Say what @fd is. /proc may not be ours to read any more. */
static void complain_fd(int fd)
{
	char link[64], what[128];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, what, sizeof(what));
	fprintf(stderr, "# leak: descriptor %d is left open: %.*s\n", fd, n > 0 ? (int)n : 1,
		n > 0 ? what : "?");
}

static int count_fds(void)
{
	int nr = 0;

	for (int fd = 0; fd < NR_FDS; fd++) {
		if (!is_open(fd) || was_open[fd])
			continue;
		complain_fd(fd);
		nr++;
	}
	return nr;
}

/* The harness has none, so whatever there is has been left. */
static int count_mappings(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int nr = 0;

	/* A test of limits may have left us none to open; nobody reads any more. */
	if (!maps && errno == EMFILE && !close(STDIN_FILENO))
		maps = fopen("/proc/self/maps", "re");
	if (!maps) {
		fprintf(stderr, "# leak: /proc/self/maps: %s\n", strerror(errno));
		return 1;
	}
	while (fgets(line, sizeof(line), maps)) {
		/* A memfd's, or the module's. */
		if (!strstr(line, " /memfd:") && !strstr(line, " /shmux (deleted)"))
			continue;
		fprintf(stderr, "# leak: still mapped: %s", line);
		nr++;
	}
	fclose(maps);
	return nr;
}

void __wrap__exit(int status)
{
	if (test && getpid() == test && status == 0 && count_fds() + count_mappings())
		status = LEAKED;
	if (__gcov_dump)
		__gcov_dump();
	__real__exit(status);
}
