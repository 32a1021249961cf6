// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * procs.c - processes, as /proc shows them to us
 */
#include "procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

void procs_for_each(void (*each)(void *arg, pid_t pid), void *arg)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		int pid = atoi(entry->d_name);

		if (pid > 0)
			each(arg, pid);
	}
	closedir(dir);
}

struct search {
	struct procs_holder *holders;
	size_t nr;
};

static int compare(const void *a, const void *b)
{
	unsigned int x = ((const struct procs_holder *)a)->inode;
	unsigned int y = ((const struct procs_holder *)b)->inode;

	return (x > y) - (x < y);
}

static void look_at_descriptors(void *arg, pid_t pid)
{
	struct search *search = arg;
	char path[64], link[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	dir = opendir(path);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		struct procs_holder key, *holder;
		ssize_t len = readlinkat(dirfd(dir), entry->d_name, link, sizeof(link) - 1);

		if (len <= 0)
			continue;
		link[len] = '\0';
		if (sscanf(link, "socket:[%u]", &key.inode) != 1)
			continue;
		holder = bsearch(&key, search->holders, search->nr, sizeof(key), compare);
		if (holder && (!holder->pid || pid < holder->pid))
			holder->pid = pid;
	}
	closedir(dir);
}

void procs_find_holders(struct procs_holder *holders, size_t nr)
{
	struct search search = { holders, nr };

	qsort(holders, nr, sizeof(*holders), compare);
	procs_for_each(look_at_descriptors, &search);
}

pid_t procs_holder_of(const struct procs_holder *holders, size_t nr, unsigned int inode)
{
	struct procs_holder key = { .inode = inode }, *holder;

	holder = bsearch(&key, holders, nr, sizeof(key), compare);
	return holder ? holder->pid : 0;
}

static ssize_t read_file(pid_t pid, const char *name, char *buf, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size);
	close(fd);
	return n;
}

void procs_command(pid_t pid, char *buf, size_t size)
{
	ssize_t len = read_file(pid, "cmdline", buf, size - 1);

	/* Kernel threads, and who wiped theirs, still have a short name. */
	if (len <= 0)
		len = read_file(pid, "comm", buf, size - 1);
	while (len > 0 && (buf[len - 1] == '\0' || buf[len - 1] == '\n'))
		len--;
	buf[len > 0 ? len : 0] = '\0';
	for (ssize_t i = 0; i < len; i++)
		if (!buf[i])
			buf[i] = ' ';
	text_make_printable(buf);
}

int procs_uid(pid_t pid, uid_t *uid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (stat(path, &st))
		return -errno;
	*uid = st.st_uid;
	return 0;
}
