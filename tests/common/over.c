// SPDX-License-Identifier: LGPL-2.1-or-later
/* over.c - see over.h */
#include "over.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/shmux.h>

bool over_kmod(void)
{
	const char *over = getenv("SHMUX_TEST_OVER");

	if (!over || !*over || !strcmp(over, "memfd"))
		return false;
	if (!strcmp(over, "kmod"))
		return true;
	fprintf(stderr, "# SHMUX_TEST_OVER is neither kmod nor memfd\n");
	exit(2);
}

int over_pair(int type, int fds[2])
{
	struct shmux_ioc_pair pair = { .size = sizeof(pair) };
	int err;

	if (!over_kmod())
		return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) ? -errno : 0;
	fds[0] = open(SHMUX_DEVICE, O_RDWR | O_CLOEXEC);
	if (fds[0] < 0)
		return -errno;
	if (ioctl(fds[0], SHMUX_IOC_PAIR, &pair)) {
		err = -errno;
		close(fds[0]);
		return err;
	}
	fds[1] = pair.fd;
	return 0;
}

const char *over_scheme(void)
{
	return over_kmod() ? "kmod:" : "memfd:";
}

void over_name(char name[NAME_SIZE])
{
	char plain[NAME_SIZE];

	name_make(plain);
	snprintf(name, NAME_SIZE, "%s%.50s", over_scheme(), plain);
}

const char *over_plain(const char *address)
{
	const char *colon = strchr(address, ':');

	return colon ? colon + 1 : address;
}
