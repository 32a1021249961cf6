/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_PROCS_H
#define SHMUX_TOOLS_PROCS_H

#include <stddef.h>
#include <sys/types.h>

/* Who holds the socket of @inode. */
struct procs_holder {
	unsigned int inode;
	pid_t pid;			/* 0: nobody that we may look at */
};

/* Call @each for every process in our pid namespace. */
void procs_for_each(void (*each)(void *arg, pid_t pid), void *arg);

/*
 * Fill in the pids. Of several processes that hold a socket the first, which
 * is the eldest, counts. @holders is sorted by this.
 */
void procs_find_holders(struct procs_holder *holders, size_t nr);

/* As looked up in what procs_find_holders() left. */
pid_t procs_holder_of(const struct procs_holder *holders, size_t nr, unsigned int inode);

/* The command line, printable, cut to @size. Empty if the process is gone. */
void procs_command(pid_t pid, char *buf, size_t size);

/* Return: 0, or -errno if the process is gone. */
int procs_uid(pid_t pid, uid_t *uid);

#endif /* SHMUX_TOOLS_PROCS_H */
