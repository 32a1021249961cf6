/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stray.h - descriptors that a peer sends along, and nobody asked for
 *
 * The last close of a file may wait for as long as whoever made it likes: a TCP
 * socket that lingers over what nobody reads. The kernel closes what is dropped
 * with an unread message too, in whoever drops it. So they are taken, made
 * harmless, and closed here.
 */
#ifndef SHMUX_REGION_STRAY_H
#define SHMUX_REGION_STRAY_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifndef SCM_PIDFD		/* Linux 6.5 */
#define SCM_PIDFD 0x04
#endif

/* The kernel's own limit (SCM_MAX_FD); more in one message cannot be sent. */
#define SHMUX_STRAY_MAX 253

/* Room for them all, and for what else a socket may have been set to tell. */
#define SHMUX_STRAY_SPACE (CMSG_SPACE(SHMUX_STRAY_MAX * sizeof(int)) + 512)

/* Close @fd, of which nothing is known, without waiting. */
void shmux__stray_close(int fd);

/*
 * Take at most @max messages off @socket, without waiting, and close what came
 * along. Return: 0: it is empty; -EAGAIN: perhaps not; -ECONNRESET.
 */
int shmux__stray_drain(int socket, int max);

/* As readv(2), with @flags of recv(2), and close what came along. */
ssize_t shmux__stray_recv(int socket, const struct iovec *iov, int nr, int flags);

/*
 * Have urgent bytes (MSG_OOB) come among the others: a read that passes one over has the
 * kernel drop what came with it.
 */
void shmux__stray_inline(int socket);

/* Let no more come with what is sent from now on. Return: whether that is so. */
bool shmux__stray_forbid(int socket);

/* The same for what is left in a socket that is about to be closed. */
void shmux__stray_shutdown(int socket);

#endif /* SHMUX_REGION_STRAY_H */
