/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * hello.h - the rendezvous: from a connected descriptor to a region
 *
 * Over an AF_UNIX socket the dialler speaks first, the acceptor answers; each
 * hands over its memfd and its credentials. Over an end of /dev/shmux the module
 * knows all that. A hello never blocks: it is stepped whenever its descriptor
 * is ready, so that a silent client delays nobody.
 */
#ifndef SHMUX_REGION_HELLO_H
#define SHMUX_REGION_HELLO_H

#include <stdbool.h>
#include <stdint.h>

#include <shmux/common.h>
#include <shmux/session.h>

struct shmux__region;
struct shmux__hello;

struct shmux__hello_params {
	uint32_t size;			/* of our region, bytes, page multiple */
	uint32_t populate;		/* of these, those that are soon written */
	uint64_t peer_size_max;		/* largest region we take */

	/* Write what the peer is to find in our fresh, zeroed region. */
	void (*format)(void *arg, void *own);

	/*
	 * 0, or a negative errno that refuses the peer. NULL admits. @fd: the
	 * socket, or -1 if it is none.
	 */
	int (*admit)(void *arg, const struct shmux_peer *peer, int fd);
	void *arg;

	/*
	 * Who connected, or who listens, is to say hello itself: its death ends
	 * the hello, though somebody else may have its end of the socket. Not
	 * for a pair, whose ends are both whoever's that made it.
	 */
	bool in_person;
};

/*
 * Begin on @fd, which is the hello's from now on, on failure too. It is a
 * connected socket; or an end of the device, or a file of it that is nothing yet,
 * to be connected before the first step. @params is copied. Return: 0;
 * -ECONNREFUSED: nobody is there any more; or -errno.
 */
int shmux__hello_open(int fd, enum shmux_role role,
		      const struct shmux__hello_params *params,
		      struct shmux__hello **hello);

/*
 * Go on without waiting. Return: 0 and a region, the hello being spent (still
 * to be closed); -EAGAIN: step again when shmux__hello_fd() has
 * shmux__hello_events() (POLLIN or POLLOUT), and now and then, to learn of a
 * death that somebody hides who has the other end, too; or the errno that
 * ended it: of ours, or as the other side told us. When an acceptor refuses, it
 * tells the dialler so.
 */
int shmux__hello_step(struct shmux__hello *hello,
		      struct shmux__region **region);
int shmux__hello_fd(const struct shmux__hello *hello);
short shmux__hello_events(const struct shmux__hello *hello);

/*
 * Who is at the other end: as they have said hello; until then who connected or
 * listened, as far as the kernel knows.
 */
const struct shmux_peer *shmux__hello_peer(const struct shmux__hello *hello);

/* Whether they have said hello, or, by the module, refused to. */
bool shmux__hello_was_answered(const struct shmux__hello *hello);

/* Whether the errno that ended it is the other side's. */
bool shmux__hello_was_refused(const struct shmux__hello *hello);
void shmux__hello_close(struct shmux__hello *hello);

#endif /* SHMUX_REGION_HELLO_H */
