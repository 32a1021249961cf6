// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * header.c - fuzzes the check of the peer's region header
 * PROVES: a_header_that_is_taken_can_be_used_to_its_corners
 *
 * The input is the size of the peer's region and the words of its header, of
 * which those not named are right. What is taken is used to its corners.
 */
#include "link/shm.h"

#include "fuzz.h"

#define PEER_MAX (256u << 20) /* room for a ring that is too large */

static const struct shmux__shm_sizes sizes = {
	.ring_slots = 64,
	.arena_size = 65536,
	.peer_arena_max = 256u << 10,
	.first_grant = 256,
	.message_max = 16384,
};

static struct shared own, peer;
static int nr_closes;

static void region_ring(struct shmux__region *r, const uint32_t *word, uint32_t bells)
{
	(void)r;
	(void)word;
	(void)bells;
}

static void region_hang_up(struct shmux__region *r)
{
	(void)r;
}

static void region_close(struct shmux__region *r)
{
	(void)r;
	nr_closes++;
}

static const struct shmux__region_ops region_ops = {
	.name = "fuzz",
	.ring = region_ring,
	.hang_up = region_hang_up,
	.close = region_close,
};

static void touch(const struct shmux__region *r, uint64_t offset, uint64_t size)
{
	const volatile char *at = r->peer;

	HOLD(offset >= SHMUX_HEADER_SIZE && size && offset + size <= r->peer_size);
	(void)at[offset];
	(void)at[offset + size - 1];
}

/* The parts lie in the region, one behind the other, and are used so. */
static void use(struct shmux__region *r, const struct shmux_region_header *said,
		struct shmux__link *link)
{
	struct shmux__shm *s = shmux__shm(link);
	uint32_t i, block;
	struct shmux__frame f;

	HOLD(said->magic == SHMUX_MAGIC && said->version == SHMUX_VERSION);
	HOLD(said->size == r->peer_size);
	HOLD(said->role == SHMUX_ROLE_ACCEPTOR + 1);
	for (i = 0; i < 3; i++)
		HOLD(!said->reserved0[i]);
	/* A power of two each. */
	HOLD(__builtin_popcount(said->ring_slots) == 1);
	HOLD(__builtin_popcount(said->returns_slots) == 1);
	HOLD(said->ring_slots >= SHMUX_RING_SLOTS_MIN && said->ring_slots <= SHMUX_RING_SLOTS_MAX);
	HOLD(said->arena_size >= SHMUX_ARENA_SIZE_MIN && said->arena_size <= SHMUX_ARENA_SIZE_MAX);
	HOLD(said->arena_size % SHMUX_BLOCK_SIZE == 0);
	HOLD((said->returns_offset | said->ring_offset | said->arena_offset) % SHMUX_PART_ALIGN ==
	     0);

	touch(r, said->returns_offset, (uint64_t)said->returns_slots * 4);
	touch(r, said->ring_offset, (uint64_t)said->ring_slots * SHMUX_SLOT_SIZE);
	touch(r, said->arena_offset, said->arena_size);
	HOLD(said->returns_offset + (uint64_t)said->returns_slots * 4 <= said->ring_offset);
	HOLD(said->ring_offset + (uint64_t)said->ring_slots * 64 <= said->arena_offset);
	HOLD(link->peer_ring_slots == said->ring_slots && s->rx.mask == said->ring_slots - 1);
	HOLD(link->peer_first_grant >= SHMUX_CREDIT_MIN);
	HOLD(link->peer_first_grant <= SHMUX_WINDOW_MAX);
	HOLD(link->peer_message_max <= SHMUX_WINDOW_MAX);
	HOLD(!(link->features & ~SHMUX_FEATURES));

	/* As many chunks as there are can be given back, by either. */
	HOLD(said->returns_slots >= sizes.arena_size / SHMUX_BLOCK_SIZE);
	for (i = 0; i < said->arena_size / SHMUX_BLOCK_SIZE; i++)
		link->ops->chunk_return(link, i);
	HOLD(!memcmp(own.readable + SHMUX_HEADER_SIZE, "\1\0\0\0", 4));
	for (i = 0; i < said->ring_slots && i < 256; i++) {
		if (link->ops->receive(link, &f) <= 0)
			break;
		if (f.data)
			HOLD((const char *)f.data + f.len <= (const char *)r->peer + r->peer_size);
	}
	while (shmux__returns_get(&s->returned, &block) && s->returned.next < said->returns_slots)
		;
	link->ops->has_room(link);
	link->ops->begin_wait(link);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct shmux_region_header *said, constants;
	struct shmux__region r = { .ops = &region_ops };
	struct shmux__link *link;
	uint32_t word, value, peer_size;
	uint8_t b;
	int err;

	if (!own.size) {
		shared_open(&own, shmux__shm_size(&sizes));
		shared_open(&peer, PEER_MAX);
	}
	said = (struct shmux_region_header *)(void *)peer.writable;
	memset(own.writable, 0, SHMUX_HEADER_SIZE + 4096);
	memset(said, 0, SHMUX_HEADER_SIZE);
	shmux__shm_format(&sizes, SHMUX_ROLE_DIALLER, own.writable);
	shmux__shm_format(&sizes, SHMUX_ROLE_ACCEPTOR, said);

	peer_size = said->size;
	b = input_u8(&in);
	if (b >= 0xf0)
		said->size = peer_size = 1u << (b & 0x0f) << 20;
	else if (b)
		said->size = peer_size = b << 12;
	if (peer_size < SHMUX_HEADER_SIZE || peer_size > PEER_MAX)
		return 0;
	while (!input_is_empty(&in)) {
		b = input_u8(&in);
		value = b & 0x40 ? input_u32(&in) : input_number(&in);
		/* In pages, where that is what makes sense. */
		if (b & 0x20)
			value *= SHMUX_PART_ALIGN;
		word = b & 0x80 ? input_u16(&in) : b & 0x0fu;
		/* The last page ends with the region, as it would. */
		word %= peer_size / 4;
		((uint32_t *)(void *)peer.writable)[word] = value;
	}
	constants = *said;

	r.own = own.writable;
	r.own_size = own.size;
	/* So that its end is where nobody may look. */
	r.peer_size = peer_size;
	r.peer = peer.readable;
	nr_closes = 0;
	err = shmux__shm_open(&r, &sizes, &link);
	if (err) {
		HOLD(err == -EPROTO || err == -EPROTONOSUPPORT || err == -E2BIG);
	} else {
		use(&r, &constants, link);
		link->ops->close(link);
	}
	HOLD(nr_closes == 1);
	return 0;
}
