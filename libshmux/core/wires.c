// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * wires.c - see wires.h
 *
 * Owns what becomes of standard input and output, and the words of a command.
 */
#include "core/wires.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "core/words.h"
#include "link/bytes.h"
#include "link/child.h"

static bool is_null_device(int fd)
{
	struct stat st;

	return !fstat(fd, &st) && S_ISCHR(st.st_mode) &&
	       st.st_rdev == makedev(1, 3);
}

/* Are they one socket, as of who gave both ends of it the same one? */
static bool are_one_socket(int a, int b)
{
	struct stat x, y;

	return !fstat(a, &x) && !fstat(b, &y) && S_ISSOCK(x.st_mode) &&
	       x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Have whatever reads and prints, unaware, do so where it does no harm. */
static void point_away(int null)
{
	int err = fcntl(STDERR_FILENO, F_GETFD);

	dup2(null, STDIN_FILENO);
	dup2(err < 0 ? null : STDERR_FILENO, STDOUT_FILENO);
}

static int open_stdio(enum shmux_role role, struct shmux__link **link)
{
	int in, out, null, err = 0;

	if (is_null_device(STDIN_FILENO))
		return -EBUSY;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return -errno;
	in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (in < 0 || out < 0)
		err = -errno;
	if (err) {
		close(in < 0 ? out : in);
	} else {
		if (are_one_socket(in, out)) {
			close(out);
			out = in;
		}
		err = shmux__bytes_open(in, out, role, link);
	}
	if (!err)
		point_away(null);
	close(null);
	return err;
}

static int open_exec(const char *command, enum shmux_role role,
		     struct shmux__link **link)
{
	int i, nr = shmux__words_cut(command, NULL), err;
	char **words = calloc((size_t)nr + 1, sizeof(*words));
	char *text = malloc(strlen(command) + 1);
	struct shmux__child child;
	int fd;

	if (!words || !text) {
		err = -ENOMEM;
		goto out;
	}
	shmux__words_cut(command, text);
	words[0] = text;
	for (i = 1; i < nr; i++)
		words[i] = words[i - 1] + strlen(words[i - 1]) + 1;
	err = shmux__child_start(&child, words, &fd);
	if (!err)
		err = shmux__bytes_open_child(&child, fd, role, link);
out:
	free(text);
	free(words);
	return err;
}

int shmux__wires_open(const struct shmux__address *address, enum shmux_role role,
		      struct shmux__link **link)
{
	switch (address->kind) {
	case SHMUX_ADDRESS_STDIO:
		return open_stdio(role, link);
	case SHMUX_ADDRESS_EXEC:
		return open_exec(address->command, role, link);
	default:
		return shmux__bytes_open(address->in, address->out, role, link);
	}
}
