/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pidfd.h - another process, by descriptor: whether it lives
 *
 * Its sockets do not tell: a child which it forked keeps them open.
 */
#ifndef SHMUX_REGION_PIDFD_H
#define SHMUX_REGION_PIDFD_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * Return: a descriptor that is readable once the process is dead; -ESRCH: it is;
 * -EMFILE, -ENFILE, -ENOMEM; or -1: this kernel does not tell, or not of a
 * process that our namespace does not show.
 *
 * Of a pid that was its process's a moment ago, and may be another's.
 */
int shmux__pidfd_open(pid_t pid);

/*
 * Is who is at the other end of a connected AF_UNIX socket dead? That is who
 * called connect, listen or socketpair, whoever may have the socket now. Where
 * it cannot be told, it is not.
 */
bool shmux__pidfd_peer_is_dead(int socket);

#endif /* SHMUX_REGION_PIDFD_H */
