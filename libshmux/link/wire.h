/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wire.h - bytes in and out over descriptors, never blocking
 *
 * Others may share the descriptions: none of their flags is changed. A socket is
 * told with each call not to block; a pipe or a terminal is opened anew, through
 * /proc, for a description of our own. Nobody is sent a SIGPIPE. Descriptors that
 * come along are closed, so that who sent them cannot have that take long.
 */
#ifndef SHMUX_LINK_WIRE_H
#define SHMUX_LINK_WIRE_H

#include <stdbool.h>
#include <sys/types.h>
#include <sys/uio.h>

struct shmux__wire {
	int in, out;		/* may be the same */
	bool in_is_socket, out_is_socket;
	bool brings_fds;	/* @in: the peer may send descriptors along */
};

/*
 * The descriptors are the wire's from then on, on failure too. Return: 0; -EBADF;
 * -EINVAL: neither stream socket, pipe nor terminal, or a pseudo-terminal's master,
 * or not open for this direction; -EACCES: a pipe or a terminal that is another
 * user's; -ENXIO: a pipe that nobody reads from; -ECONNRESET: a terminal that has
 * been hung up; -EMFILE, -ENFILE, -ENOMEM.
 */
int shmux__wire_open(struct shmux__wire *w, int in, int out);

/* Return: bytes; 0: the other end is closed; -EAGAIN: there is nothing. */
ssize_t shmux__wire_read(struct shmux__wire *w, const struct iovec *iov, int nr);

/*
 * The same, of a socket and into one buffer, but wait for it. Return: also -EINTR;
 * -EAGAIN: the description, which others may share, does not wait, or not for so long.
 */
ssize_t shmux__wire_wait(struct shmux__wire *w, void *buf, size_t size);

/* Return: bytes, at least 1; -EAGAIN: no room; -EPIPE: nobody will read it. */
ssize_t shmux__wire_write(struct shmux__wire *w, const struct iovec *iov, int nr);

/* A system call: would a write find room? */
bool shmux__wire_takes(const struct shmux__wire *w);

/* A system call: 0, or -ECONNRESET: the other end is closed. */
int shmux__wire_check(const struct shmux__wire *w);

/* The other end sees ours; what was written, and has come, can still be read. */
void shmux__wire_hang_up(struct shmux__wire *w);
void shmux__wire_close(struct shmux__wire *w);

#endif /* SHMUX_LINK_WIRE_H */
