/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * child.h - a process of ours, whose standard input and output are the wire
 *
 * Both are one socket. Its end is told by a pidfd, also while others hold that
 * socket; where the kernel has none, by the end of the socket alone. It is waited
 * for by itself, so that no other child of the program's is touched; where the
 * program waits for any child, or ignores SIGCHLD, we do not learn how it ended.
 */
#ifndef SHMUX_LINK_CHILD_H
#define SHMUX_LINK_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SHMUX_STATUS_UNKNOWN (-1)

struct shmux__child {
	pid_t pid;		/* 0: there is none */
	int pidfd;		/* or -1 */
	bool ended;
	int status;		/* then: as of wait(2), or SHMUX_STATUS_UNKNOWN */
};

/*
 * Start @words[0], as found by PATH, with what follows as its arguments. It has
 * our standard error and no other descriptor of ours; no signal is blocked or
 * ignored but SIGHUP, SIGINT and SIGQUIT, which stay ignored if they are.
 * @fd: out: our end, close-on-exec.
 *
 * Return: 0; -ENOENT, -EACCES, -ENOEXEC...: as execve(2); -EAGAIN: too many
 * processes; -EMFILE, -ENFILE, -ENOMEM.
 */
int shmux__child_start(struct shmux__child *c, char *const words[], int *fd);

/* Has it ended? If so it is waited for: nothing of it is left. */
bool shmux__child_has_ended(struct shmux__child *c);

/* Wait until it has; needs no lock, and leaves the rest to who looks next. */
void shmux__child_wait(const struct shmux__child *c, uint64_t deadline);

/*
 * How it ended, as of wait(2). Return: 0; -ETIMEDOUT: it has not; -ESRCH: nobody
 * knows.
 */
int shmux__child_status(const struct shmux__child *c, int *status);

/*
 * Kill it, unless it has ended. A process that is killed is gone as soon as the
 * kernel can: that is waited for, at most a tenth of a second.
 */
void shmux__child_end(struct shmux__child *c);

/* The same, and let go of it. */
void shmux__child_close(struct shmux__child *c);

#endif /* SHMUX_LINK_CHILD_H */
