/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attacker.h - the hands of a hostile peer
 *
 * It is joined to its victim by the library's own rendezvous, and then writes
 * what it likes into its region, past the session on its own side. That session
 * stays idle; what the victim says is received from its link.
 */
#ifndef TESTS_TRUST_ATTACKER_H
#define TESTS_TRUST_ATTACKER_H

#include <sched.h>
#include <string.h>

#include "core/core.h"
#include "far.h"

/* What a record of @len bytes of payload costs. */
static inline uint32_t record_cost(uint32_t len)
{
	return len > SHMUX_CREDIT_MIN ? len : SHMUX_CREDIT_MIN;
}

static inline struct shmux__shm *attacker_shm(struct shmux_session *s)
{
	return shmux__shm(s->link);
}

static inline struct shmux_region_header *attacker_header(struct shmux_session *s)
{
	return attacker_shm(s)->own;
}

/* An id that the attacker may open. */
static inline uint32_t attacker_id(struct shmux_session *s, uint32_t index, uint32_t generation)
{
	return (uint32_t)s->link->role << SHMUX_ID_ROLE_SHIFT | generation << SHMUX_ID_GEN_SHIFT |
	       index;
}

/* Make visible what was added; ring if the victim is armed. */
static inline void attacker_publish(struct shmux_session *s)
{
	uint32_t bells;

	attacker_shm(s)->reasons |= SHMUX_ARMED_REASONS;
	bells = shmux__link_publish(s->link);
	if (bells)
		s->link->ops->ring(s->link, bells);
}

/* Add a record, legal or not. It is for the caller to know that it fits. */
static inline void attacker_add(struct shmux_session *s, uint32_t type, uint32_t flags, uint32_t id,
				const void *body, uint32_t len)
{
	shmux__producer_add(&attacker_shm(s)->tx, type, flags, id, body, len);
}

static inline void attacker_say(struct shmux_session *s, uint32_t type, uint32_t flags, uint32_t id,
				const void *body, uint32_t len)
{
	attacker_add(s, type, flags, id, body, len);
	attacker_publish(s);
}

/*
 * Take what the victim has said, tell that it is consumed, and give back every
 * chunk. Return: frames.
 */
static inline int attacker_hear(struct shmux_session *s)
{
	struct shmux__frame f;
	int nr = 0;

	while (shmux__link_receive(s->link, &f) > 0) {
		nr++;
		if (f.data)
			s->link->ops->chunk_return(s->link, f.handle);
	}
	if (nr) {
		shmux__consumer_publish(&attacker_shm(s)->rx);
		attacker_publish(s);
	}
	return nr;
}

/*
 * Wait until @nr slots are free, having published; hear meanwhile what the victim
 * says, if @hears. Return: whether they are, or the victim has hung up.
 */
static inline bool attacker_wait_room(struct shmux_session *s, uint32_t nr, bool hears)
{
	struct shmux__producer *tx = &attacker_shm(s)->tx;

	while (!shmux__producer_fits(tx, nr, 0)) {
		attacker_publish(s);
		if (hears)
			attacker_hear(s);
		shmux__producer_refresh(tx);
		if (shmux__producer_fits(tx, nr, 0))
			break;
		if (s->link->ops->check_alive(s->link))
			return false;
		sched_yield();
	}
	return true;
}

#endif /* TESTS_TRUST_ATTACKER_H */
