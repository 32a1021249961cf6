// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * kmod.c - regions that the kernel module makes
 *
 * Owns both mappings and the one descriptor, an end of /dev/shmux. How the two
 * ends meet is the hello's (hello_kmod.c); what lies in the memory is the
 * link's.
 *
 * Bells. There is one, the kick, whoever waits and however: a count that the
 * module keeps wakes a WAIT and makes the descriptor readable. A kick never
 * waits. A kick that was meant for another wakes a sleeper for one look more.
 * It is a system call, which orders what was stored before: [B7].
 *
 * Death. The module tells it: to a sleeper and by the descriptor, at once,
 * whichever child of the peer's still has the other end.
 */
#include "region/kmod.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/shmux.h>

#include "base/barrier.h"
#include "region/region.h"

struct kmod_region {
	struct shmux__region region;
	int fd;
	uint32_t kicks;		/* that we know of */
	pid_t owner;		/* a forked child has the object, not the memory */
};

static struct kmod_region *to_kmod(struct shmux__region *r)
{
	return (struct kmod_region *)r;
}

/* Ask the module. Return: 0 or -errno; errno is not touched. */
static int ask(struct shmux__region *r, unsigned long request, void *what)
{
	int saved = errno;
	int err = ioctl(to_kmod(r)->fd, request, what) ? -errno : 0;

	errno = saved;
	return err;
}

/* As ask(), for a request whose argument is no pointer. */
static void kick(struct shmux__region *r, unsigned long flags)
{
	int saved = errno;

	ioctl(to_kmod(r)->fd, SHMUX_IOC_KICK, flags);
	errno = saved;
}

/* Wait until there are other kicks than @wait->seen. Return: 0 or -errno. */
static int wait_kick(struct shmux__region *r, struct shmux_ioc_wait *wait)
{
	int err;

	wait->kicks = wait->seen;
	err = ask(r, SHMUX_IOC_WAIT, wait);
	/*
	 * [B13] Pairs with the load in sleep_and(): a thread that knows of these
	 * kicks, and is not told of them, sees what came before them.
	 */
	shmux_store_release(&to_kmod(r)->kicks, wait->kicks);
	return err;
}

/* Sleep, having kicked the other end if @flags say SHMUX_WAIT_KICK. */
static int sleep_and(struct shmux__region *r, uint32_t flags,
		     const uint32_t *word, uint32_t seen, const uint32_t *poke,
		     uint64_t timeout)
{
	struct shmux_ioc_wait wait = {
		.size = sizeof(wait),
		.flags = flags,
		.timeout = timeout,
	};
	int err = 0;

	for (;;) {
		/* Before the words: what changes them is followed by a kick. [B13] */
		wait.seen = shmux_load_acquire(&to_kmod(r)->kicks);
		if (err || shmux_load_relaxed(word) != seen ||
		    (poke && shmux_load_relaxed(poke)))
			break;
		err = wait_kick(r, &wait);
		wait.flags = 0;
		if (err == -EINTR)
			err = 0;
	}
	if (wait.flags & SHMUX_WAIT_KICK)
		kick(r, 0);
	if (err == -EAGAIN)	/* a @timeout of 0 */
		err = -ETIMEDOUT;
	return err == -ECONNRESET || err == -ETIMEDOUT ? err : 0;
}

static int kmod_sleep(struct shmux__region *r, const uint32_t *word,
		      uint32_t seen, const uint32_t *poke, uint64_t timeout)
{
	return sleep_and(r, 0, word, seen, poke, timeout);
}

static int kmod_ring_and_sleep(struct shmux__region *r, const uint32_t *rung,
			       uint32_t bells, const uint32_t *word,
			       uint32_t seen, const uint32_t *poke,
			       uint64_t timeout)
{
	(void)rung;
	return sleep_and(r, bells ? SHMUX_WAIT_KICK : 0, word, seen, poke,
			 timeout);
}

static void kmod_ring(struct shmux__region *r, const uint32_t *word,
		      uint32_t bells)
{
	(void)word;
	if (bells)
		kick(r, 0);
}

static void kmod_poke(struct shmux__region *r, const uint32_t *word,
		      const uint32_t *poke)
{
	(void)word;
	(void)poke;
	kick(r, SHMUX_KICK_SELF);
}

static int kmod_check_alive(struct shmux__region *r)
{
	struct pollfd fd = { .fd = to_kmod(r)->fd };
	int saved = errno;
	int err;

	/* Who is dead has stored nothing since: [B7]. */
	err = poll(&fd, 1, 0) > 0 && (fd.revents & POLLHUP) ? -ECONNRESET : 0;
	errno = saved;
	return err;
}

static int kmod_descriptors(struct shmux__region *r, int fds[2])
{
	fds[0] = to_kmod(r)->fd;
	return 1;
}

static int kmod_clear(struct shmux__region *r)
{
	struct shmux_ioc_wait wait = {
		.size = sizeof(wait),
		.seen = shmux_load_relaxed(&to_kmod(r)->kicks),
	};

	if (wait_kick(r, &wait) == -ECONNRESET)
		return -ECONNRESET;
	/* A kick hides a death that came after it. */
	return kmod_check_alive(r);
}

static void kmod_hang_up(struct shmux__region *r)
{
	struct shmux_ioc_hang_up hang_up = { .size = sizeof(hang_up) };

	/*
	 * Not close: the peer is told even while a forked child of ours holds
	 * the end. In that child the conversation is its parent's.
	 */
	if (to_kmod(r)->owner == getpid())
		ask(r, SHMUX_IOC_HANG_UP, &hang_up);
}

static void kmod_close(struct shmux__region *r)
{
	struct kmod_region *k = to_kmod(r);
	int saved = errno;

	/* In a forked child other things may be where the mappings were. */
	if (k->owner == getpid()) {
		if (r->own)
			munmap(r->own, r->own_size);
		if (r->peer)
			munmap((void *)(uintptr_t)r->peer, r->peer_size);
	}
	kmod_hang_up(r);
	close(k->fd);
	free(k);
	errno = saved;
}

static const struct shmux__region_ops kmod_ops = {
	.name = "kmod",
	.sleep = kmod_sleep,
	.ring_and_sleep = kmod_ring_and_sleep,
	.ring = kmod_ring,
	.poke = kmod_poke,
	.check_alive = kmod_check_alive,
	.descriptors = kmod_descriptors,
	.clear = kmod_clear,
	.hang_up = kmod_hang_up,
	.close = kmod_close,
};

int shmux__kmod_open(int fd, enum shmux_role role,
		     struct shmux__region **region)
{
	struct kmod_region *k = calloc(1, sizeof(*k));

	if (!k)
		return -ENOMEM;

	k->region.ops = &kmod_ops;
	k->region.role = role;
	k->region.tells_death = true;
	k->fd = fd;
	k->owner = getpid();
	*region = &k->region;
	return 0;
}

/* Map @size bytes of one of the two; a forked child shall not have them. */
static int map(int fd, uint32_t offset, uint32_t size, int prot, void **addr)
{
	void *p = mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)offset);
	int err;

	if (p == MAP_FAILED)
		/* -EAGAIN: of memory that must be locked; our caller would go on. */
		return errno == EAGAIN ? -ENOMEM : -errno;
	if (madvise(p, size, MADV_DONTFORK)) {
		err = errno == EAGAIN ? -ENOMEM : -errno;
		munmap(p, size);
		return err;
	}
	*addr = p;
	return 0;
}

int shmux__kmod_make(struct shmux__region *region, uint32_t size,
		     uint32_t populate, uint64_t peer_size_max)
{
	struct shmux_ioc_create create = {
		.size = sizeof(create),
		.region_size = size,
		.populate = populate,
		.peer_size_max = peer_size_max < SHMUX_REGION_MAX ?
					 (uint32_t)peer_size_max : SHMUX_REGION_MAX,
	};
	void *own = NULL;
	int err;

	err = ask(region, SHMUX_IOC_CREATE, &create);
	if (err == -EBADFD)
		return -EINVAL; /* a listener, or an end that has been used */
	if (err)
		return err == -EMSGSIZE ? -E2BIG : err;
	err = map(to_kmod(region)->fd, SHMUX_MMAP_OWN, size, PROT_READ | PROT_WRITE,
		  &own);
	if (err)
		return err;

	region->own = own;
	region->own_size = size;
	return 0;
}

int shmux__kmod_take(struct shmux__region *region, uint32_t size,
		     const struct shmux_peer *identity)
{
	void *peer = NULL;
	int err;

	/* That it is in our bounds the module has seen to. */
	if (size < SHMUX_HEADER_SIZE || size % SHMUX_PART_ALIGN)
		return -EPROTO;
	err = map(to_kmod(region)->fd, SHMUX_MMAP_PEER, size, PROT_READ, &peer);
	if (err)
		return err;

	region->peer = peer;
	region->peer_size = size;
	region->identity = *identity;
	return 0;
}
