/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * region.h - two regions, a bell, a peer and its death
 *
 * A region object holds one side of a session's memory: our own region, mapped
 * read-write, and the peer's, mapped read-only; the means to sleep and to wake
 * the peer; who the peer is; and whether it lives. It knows nothing of what is
 * in the memory beyond its size. A link is built on it (link/link.h).
 *
 * Not thread safe, except ops->ring, ops->poke and the sleeps, which may run
 * at once; close when none of them runs any more.
 */
#ifndef SHMUX_REGION_REGION_H
#define SHMUX_REGION_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/shmux_ring.h>
#include <shmux/common.h>
#include <shmux/session.h>

struct shmux__region;

struct shmux__region_ops {
	const char *name;

	/*
	 * Sleep while *@word == @seen, at most @timeout ns. @word lies in the
	 * peer's region. With @poke, a private word of this process, sleep also
	 * only while *@poke == 0 (memfd: FUTEX_WAITV; where the kernel has none,
	 * in slices of 5 ms). Return: 0 (look again, whatever woke us);
	 * -ETIMEDOUT; or, if the region tells death, -ECONNRESET.
	 */
	int (*sleep)(struct shmux__region *r, const uint32_t *word,
		     uint32_t seen, const uint32_t *poke, uint64_t timeout);

	/*
	 * Ring @bells of the peer's, of @rung, and sleep: as ring and then sleep,
	 * in one system call. NULL where it takes two.
	 */
	int (*ring_and_sleep)(struct shmux__region *r, const uint32_t *rung,
			      uint32_t bells, const uint32_t *word,
			      uint32_t seen, const uint32_t *poke,
			      uint64_t timeout);

	/*
	 * Ring the peer's bells: SHMUX_ARMED_FUTEX, _SOCKET or both. @word is
	 * ours and has been changed before. Never blocks, whatever the peer does.
	 */
	void (*ring)(struct shmux__region *r, const uint32_t *word,
		     uint32_t bells);

	/* Wake our own sleeper on @word and @poke; *@poke has been set. */
	void (*poke)(struct shmux__region *r, const uint32_t *word,
		     const uint32_t *poke);

	/* A system call: 0, or -ECONNRESET once the peer is dead. */
	int (*check_alive)(struct shmux__region *r);

	/*
	 * Descriptors that become readable at a kick by SHMUX_ARMED_SOCKET and at
	 * the peer's death. Writes at most 2 to @fds. Return: how many.
	 */
	int (*descriptors)(struct shmux__region *r, int fds[2]);

	/*
	 * Take kicks that have come by them, without waiting; those left keep
	 * them readable. Return: 0, or -ECONNRESET: the peer has hung up or died,
	 * which may be said only when no kick is left.
	 */
	int (*clear)(struct shmux__region *r);

	/* Let the peer see our end, as if we had died; mappings stay. */
	void (*hang_up)(struct shmux__region *r);

	/* Unmap, close, free @r. The peer sees our end. */
	void (*close)(struct shmux__region *r);
};

struct shmux__region {
	const struct shmux__region_ops *ops;
	void *own;			/* read-write */
	const void *peer;		/* read-only */
	uint32_t own_size;		/* bytes */
	uint32_t peer_size;		/* bytes */
	enum shmux_role role;
	bool tells_death;		/* to a sleeper, at once */
	struct shmux_peer identity;	/* of the peer, as of connect */
};

#endif /* SHMUX_REGION_REGION_H */
