// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shm.c - the shared-memory link
 *
 * Owns the layout of our region and the check of the peer's; puts ring, arena
 * and return ring together into the operations of link.h. It is the one file
 * that reads words the peer wrote (with the inline functions of shm.h, ring.h
 * and returns.h): each is loaded once and checked here, and what goes up is
 * either right or -EPROTO. It knows frames, not streams.
 */
#include "link/shm.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/errno.h"

_Static_assert(sizeof(struct shmux_region_header) <= SHMUX_HEADER_SIZE,
	       "the header has a page");
#define LINE(n) ((size_t)(n) * SHMUX_LINE_SIZE)
_Static_assert(offsetof(struct shmux_region_header, nr_last_words) ==
		       LINE(5), "a line each");
_Static_assert(offsetof(struct shmux_region_header, armed) ==
		       LINE(1), "line 1");
_Static_assert(offsetof(struct shmux_region_header, kicks) ==
		       LINE(2), "line 2");
_Static_assert(offsetof(struct shmux_region_header, consumer) ==
		       LINE(3), "line 3");
_Static_assert(offsetof(struct shmux_region_header, open_streams) ==
		       LINE(4), "line 4");
_Static_assert(SHMUX_SLOT_FIRST_BODY + 8 == SHMUX_SLOT_SIZE &&
	       SHMUX_SLOT_NEXT_BODY + 4 == SHMUX_SLOT_SIZE, "a slot is a line");

/* The longest payload in slots. */
#define INLINE_MAX 4096u

/* Small payloads are put together in records up to here. */
#define APPEND_MAX 4096u

/*
 * A write goes out in pieces, so that the peer copies the first out while the next
 * is copied in: 4 KB there and back take 2.2 µs in four pieces, 2.4 in one, 2.6 in
 * a chunk, on a processor where chunks are best used hot. Where they are not, the
 * slots of the ring are no better, and 4 KB take 2.1 µs in pieces, 1.4 in a chunk.
 */
#define PIECE 1024u
#define PIECES_MAX 8192u

/* So many ends can be said though payload has filled the ring. */
#define KEPT_FOR_CONTROL 64u

#define RETURNS_BATCH 64u
#define HOT_CHUNKS 16u
#define HOT_BLOCKS (256u * 1024 / SHMUX_BLOCK_SIZE)

static uint32_t part(uint32_t size)
{
	return (size + SHMUX_PART_ALIGN - 1) & ~(SHMUX_PART_ALIGN - 1);
}

/* Return words for every block of an arena of @size bytes: a power of two. */
static uint32_t returns_slots(uint32_t size)
{
	uint32_t blocks = size / SHMUX_BLOCK_SIZE, slots = 64;

	while (slots < blocks)
		slots *= 2;
	return slots;
}

uint32_t shmux__shm_size(const struct shmux__shm_sizes *sizes)
{
	uint64_t size = SHMUX_HEADER_SIZE;

	size += part(returns_slots(sizes->peer_arena_max) * 4);
	size += part(sizes->ring_slots * SHMUX_SLOT_SIZE);
	size += part(sizes->arena_size);
	return size <= SHMUX_REGION_SIZE_MAX ? (uint32_t)size : 0;
}

uint32_t shmux__shm_populate(const struct shmux__shm_sizes *sizes)
{
	return SHMUX_HEADER_SIZE +
	       part(returns_slots(sizes->peer_arena_max) * 4) +
	       part(sizes->ring_slots * SHMUX_SLOT_SIZE);
}

void shmux__shm_format(const struct shmux__shm_sizes *sizes,
		       enum shmux_role role, void *own)
{
	struct shmux_region_header *h = own;

	h->magic = SHMUX_MAGIC;
	h->version = SHMUX_VERSION;
	h->features = SHMUX_FEATURES;
	h->size = shmux__shm_size(sizes);
	h->returns_offset = SHMUX_HEADER_SIZE;
	h->returns_slots = returns_slots(sizes->peer_arena_max);
	h->ring_offset = h->returns_offset + part(h->returns_slots * 4);
	h->ring_slots = sizes->ring_slots;
	h->arena_offset = h->ring_offset +
			  part(sizes->ring_slots * SHMUX_SLOT_SIZE);
	h->arena_size = sizes->arena_size;
	h->first_grant = sizes->first_grant;
	h->message_max = sizes->message_max;
	h->role = (uint32_t)role + 1;
}

static bool power_of_two(uint32_t n)
{
	return n && !(n & (n - 1));
}

/* Does [@offset, @offset + @size) start a part and lie between the ends? */
static bool part_fits(uint32_t offset, uint64_t size, uint32_t from,
		      uint32_t end)
{
	return offset % SHMUX_PART_ALIGN == 0 && offset >= from &&
	       offset <= end && size <= end - offset;
}

/* Check the constants of the peer's header, of which @h is our copy. */
static int check_header(const struct shmux_region_header *h,
			const struct shmux_region_header *own,
			uint32_t region_size)
{
	uint32_t returns_end, ring_end, i;

	if (h->magic != SHMUX_MAGIC)
		return -EPROTO;
	if (h->version != SHMUX_VERSION ||
	    (h->features & SHMUX_FEATURES_REQUIRED) != SHMUX_FEATURES_REQUIRED)
		return -EPROTONOSUPPORT;
	for (i = 0; i < sizeof(h->reserved0) / sizeof(h->reserved0[0]); i++)
		if (h->reserved0[i])
			return -EPROTO;
	/* Two that both dial, say, would call their streams by the same names. */
	if (h->role != 3 - own->role)
		return -EPROTO;
	if (h->size != region_size ||
	    !power_of_two(h->ring_slots) || !power_of_two(h->returns_slots) ||
	    h->ring_slots < SHMUX_RING_SLOTS_MIN ||
	    h->ring_slots > SHMUX_RING_SLOTS_MAX ||
	    h->arena_size < SHMUX_ARENA_SIZE_MIN ||
	    h->arena_size > SHMUX_ARENA_SIZE_MAX ||
	    h->arena_size % SHMUX_BLOCK_SIZE ||
	    h->first_grant < SHMUX_CREDIT_MIN ||
	    h->first_grant > SHMUX_WINDOW_MAX ||
	    h->message_max > SHMUX_WINDOW_MAX)
		return -EPROTO;
	if (!part_fits(h->returns_offset, (uint64_t)h->returns_slots * 4,
		       SHMUX_HEADER_SIZE, region_size))
		return -EPROTO;
	returns_end = h->returns_offset + h->returns_slots * 4;
	if (!part_fits(h->ring_offset,
		       (uint64_t)h->ring_slots * SHMUX_SLOT_SIZE, returns_end,
		       region_size))
		return -EPROTO;
	ring_end = h->ring_offset + h->ring_slots * SHMUX_SLOT_SIZE;
	if (!part_fits(h->arena_offset, h->arena_size, ring_end, region_size))
		return -EPROTO;
	/* Each side must be able to give back all that the other can lend. */
	if (h->returns_slots < own->arena_size / SHMUX_BLOCK_SIZE ||
	    own->returns_slots < h->arena_size / SHMUX_BLOCK_SIZE)
		return -E2BIG;
	return 0;
}

static uint32_t at_most(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

int shmux__shm_open(struct shmux__region *region,
		    const struct shmux__shm_sizes *sizes,
		    struct shmux__link **link)
{
	struct shmux_region_header own, peer;
	struct shmux__shm *s;
	char *base;
	int err = -ENOMEM;

	/* Our copy: from here on the peer cannot change what was checked. */
	memcpy(&peer, region->peer, sizeof(peer));
	memset(&own, 0, sizeof(own));
	shmux__shm_format(sizes, region->role, &own);

	s = aligned_alloc(SHMUX_LINE_SIZE,
			  (sizeof(*s) + SHMUX_LINE_SIZE - 1) /
				  SHMUX_LINE_SIZE * SHMUX_LINE_SIZE);
	if (!s)
		goto err_close_region;
	memset(s, 0, sizeof(*s));

	err = check_header(&peer, &own, region->peer_size);
	if (err)
		goto err_free;
	shmux__fill_init(&s->fill);
	err = shmux__arena_init(&s->arena, own.arena_size / SHMUX_BLOCK_SIZE);
	if (err)
		goto err_free;

	base = region->own;
	s->region = region;
	s->own = region->own;
	s->peer = region->peer;
	s->peer_data = region->peer;
	s->arena_data = base + own.arena_offset;
	s->peer_arena_offset = peer.arena_offset;
	s->peer_arena_size = peer.arena_size;
	shmux__producer_init(&s->tx, base + own.ring_offset, own.ring_slots,
			     &s->peer->consumer);
	shmux__consumer_init(&s->rx, s->peer_data + peer.ring_offset,
			     peer.ring_slots, &s->own->consumer);
	shmux__returns_tx_init(&s->give_back, base + own.returns_offset,
			       own.returns_slots);
	shmux__returns_rx_init(&s->returned,
			       s->peer_data + peer.returns_offset,
			       peer.returns_slots);

	s->link.ops = &shmux__shm_ops;
	s->link.inline_max = at_most(INLINE_MAX, own.ring_slots / 4 *
							 SHMUX_SLOT_NEXT_BODY);
	s->wanted_chunk = SHMUX_NO_CHUNK;
	s->kept_for_control = at_most(KEPT_FOR_CONTROL, own.ring_slots / 8);
	s->link.append_max = at_most(APPEND_MAX, own.ring_slots / 4 *
							 SHMUX_SLOT_NEXT_BODY);
	/*
	 * A peer that polls may leave a quarter of the ring, less a slot, consumed
	 * and untold for as long as it likes. With the longest record, a quarter
	 * and a slot, and what is left to control, an eighth, that makes five
	 * eighths: so whoever waits for room has it once the ring is drained.
	 */
	s->link.chunks_kept = own.ring_slots / 8 * 3;
	s->link.gather_max = s->link.inline_max;
	s->link.piece = at_most(PIECE, s->link.inline_max);
	s->link.pieces_max = s->link.chunk_above = PIECES_MAX;
	s->link.cost_min = SHMUX_CREDIT_MIN;
	s->link.chunk_max = own.arena_size / 4;
	s->link.chunk_max = 1u << (31 - __builtin_clz(s->link.chunk_max));
	s->link.peer_first_grant = peer.first_grant;
	s->link.features = peer.features & SHMUX_FEATURES;
	s->link.peer_message_max = peer.message_max;
	s->link.peer_ring_slots = peer.ring_slots;
	s->link.peer_arena_size = peer.arena_size;
	s->link.role = region->role;
	s->link.peer = region->identity;
	s->link.tells_death = region->tells_death;
	s->link.rings_free = region->ops->ring_and_sleep;
	*link = &s->link;
	return 0;

err_free:
	free(s);
err_close_region:
	region->ops->close(region);
	return err;
}

static int shm_send(struct shmux__link *l, uint32_t type, uint32_t flags,
		    uint32_t id, const void *body, uint32_t len)
{
	return shmux__shm_send(shmux__shm(l), type, flags, id, body, len);
}

static int shm_append(struct shmux__link *l, uint32_t id, const void *body,
		      uint32_t len)
{
	return shmux__shm_append(shmux__shm(l), id, body, len);
}

/*
 * Take in what the peer has given back. Of a batch the first comes to lie on
 * top: of those the chunk that was read longest ago is written next, unless they
 * are written in turn. One that the peer has just read is slower to get back (64 KB
 * there and back: 22 µs, not 17).
 */
static int take_returns(struct shmux__shm *s)
{
	uint32_t first = (uint32_t)(s->arena_data - (char *)s->own) /
			 SHMUX_BLOCK_SIZE;
	uint32_t blocks[RETURNS_BATCH], nr;

	if (s->broken)
		return -EPROTO;
	do {
		nr = 0;
		while (nr < RETURNS_BATCH &&
		       shmux__returns_get(&s->returned, &blocks[nr]))
			nr++;
		for (uint32_t i = nr; i--;)
			if (shmux__arena_return(&s->arena, blocks[i] - first))
				s->broken = true;
		if (s->broken)
			return -EPROTO;
	} while (nr == RETURNS_BATCH);
	return 0;
}

/*
 * Are so many chunks out that it is time to look whether some are back? A look
 * costs a line that the peer writes; to look late uses more of the arena than
 * the cache holds.
 */
static bool returns_due(const struct shmux__shm *s)
{
	return s->arena.nr_lent >= HOT_CHUNKS ||
	       s->arena.nr_used >= HOT_BLOCKS;
}

static uint32_t order_of(uint32_t size)
{
	return shmux__arena_order((size + SHMUX_BLOCK_SIZE - 1) /
				  SHMUX_BLOCK_SIZE);
}

int shmux__shm_room_slow(struct shmux__shm *s, uint32_t nr, uint32_t kept)
{
	if (shmux__producer_refresh(&s->tx))
		return -EPROTO;
	if (shmux__producer_fits(&s->tx, nr, kept))
		return 0;
	/* The peer may be asleep with only some frames as a reason. */
	s->reasons |= SHMUX_ARMED_REASONS;
	s->wanted = nr + kept;
	s->wanted_slots = true;
	return -EAGAIN;
}

static int shm_chunk_get(struct shmux__link *l, uint32_t size,
			 struct shmux__chunk *c)
{
	struct shmux__shm *s = shmux__shm(l);
	uint32_t order = order_of(size);
	int32_t block;
	int err;

	err = shmux__shm_room(s, 1, s->tx.kept + s->kept_for_control);
	if (err)
		return err;
	if (returns_due(s)) {
		if (take_returns(s))
			return -EPROTO;
		l->behind = s->arena.nr_lent >= HOT_CHUNKS / 2;
	}
	block = -1;
	if (s->fill.way != SHMUX__WAY_HOT)
		block = shmux__arena_get_in_turn(&s->arena, order);
	if (block < 0)
		block = shmux__arena_get_hot(&s->arena, order);
	if (block < 0)
		block = shmux__arena_get(&s->arena, order);
	if (block < 0) {
		if (take_returns(s))
			return -EPROTO;
		block = shmux__arena_get(&s->arena, order);
		if (block < 0) {
			s->wanted_chunk = at_most(s->wanted_chunk, order);
			return -ENOSPC;
		}
	}
	s->tx.kept++;
	c->handle = (uint32_t)block;
	c->size = SHMUX_BLOCK_SIZE << order;
	c->data = s->arena_data + (size_t)block * SHMUX_BLOCK_SIZE;
	return 0;
}

static void shm_chunk_fill(struct shmux__link *l, void *dst, const void *src,
			   size_t n)
{
	shmux__fill(&shmux__shm(l)->fill, dst, src, n);
}

/* Payload has gone that counts. */
static void passed(struct shmux__shm *s, uint32_t n)
{
	shmux__fill_sent(&s->fill, n);
	s->link.chunk_above = s->fill.way == SHMUX__WAY_HOT ? PIECES_MAX :
							      SHMUX__FILL_MIN;
}

static void shm_pieces_sent(struct shmux__link *l, uint32_t n)
{
	passed(shmux__shm(l), n);
}

static void shm_chunk_send(struct shmux__link *l, uint32_t flags, uint32_t id,
			   const struct shmux__chunk *c, uint32_t len)
{
	struct shmux__shm *s = shmux__shm(l);
	struct shmux_body_descriptor body = {
		.offset = (uint32_t)((char *)c->data - (char *)s->own),
		.len = len,
	};

	if (len > SHMUX__FILL_MIN)
		passed(s, len);
	shmux__arena_shrink(&s->arena, c->handle, order_of(len));
	shmux__arena_lend(&s->arena, c->handle);
	s->tx.kept--;
	shmux__shm_finish(s);
	s->reasons |= SHMUX_ARMED_FRAMES;
	shmux__producer_add(&s->tx, SHMUX_FRAME_DESCRIPTOR, flags, id, &body,
			    sizeof(body));
}

static void shm_chunk_put(struct shmux__link *l, const struct shmux__chunk *c)
{
	struct shmux__shm *s = shmux__shm(l);

	s->tx.kept--;
	shmux__arena_put(&s->arena, c->handle);
}

uint32_t shmux__shm_kick(struct shmux__shm *s, uint32_t armed,
			 uint32_t reasons)
{
	if (armed == s->kicked || !(armed & reasons))
		return 0;
	/* Less than a quarter, too, for a writer that sleeps for room. */
	if (armed & SHMUX_ARMED_ROOM)
		shmux__consumer_publish(&s->rx);
	s->kicked = armed;
	/* [B5] Pairs with the acquire of the sleeper that reads it before it arms. */
	shmux_store_release(&s->own->kicks, s->own->kicks + 1);
	return armed & (SHMUX_ARMED_FUTEX | SHMUX_ARMED_SOCKET);
}

static uint32_t shm_publish(struct shmux__link *l)
{
	return shmux__shm_publish(shmux__shm(l));
}

static void shm_ring(struct shmux__link *l, uint32_t bells)
{
	struct shmux__shm *s = shmux__shm(l);

	s->region->ops->ring(s->region, &s->own->kicks, bells);
}

static uint32_t body_word(struct shmux__shm *s, const struct shmux__frame *f,
			  uint32_t nr)
{
	return shmux_load_relaxed(shmux__consumer_slot(&s->rx, f->index) + 2 +
				  nr);
}

static int decode_descriptor(struct shmux__shm *s, struct shmux__frame *f)
{
	uint32_t offset = body_word(s, f, 0), len = body_word(s, f, 1);
	uint32_t at = offset - s->peer_arena_offset;

	if (offset < s->peer_arena_offset || at % SHMUX_BLOCK_SIZE ||
	    at >= s->peer_arena_size || len > s->peer_arena_size - at)
		return -EPROTO;
	f->type = SHMUX_FRAME_DATA;
	f->data = s->peer_data + offset;
	f->handle = offset / SHMUX_BLOCK_SIZE;
	f->len = len;
	return 1;
}

int shmux__shm_decode(struct shmux__shm *s, struct shmux__frame *f,
		      uint32_t len)
{
	static const uint8_t body_len[16] = {
		[SHMUX_FRAME_OPEN] = sizeof(struct shmux_body_open),
		[SHMUX_FRAME_DESCRIPTOR] = sizeof(struct shmux_body_descriptor),
		[SHMUX_FRAME_CREDIT] = sizeof(struct shmux_body_u32),
		[SHMUX_FRAME_RESET] = sizeof(struct shmux_body_u32),
		[SHMUX_FRAME_BLOCKED] = sizeof(struct shmux_body_u32),
		[SHMUX_FRAME_GOAWAY] = sizeof(struct shmux_body_u32),
		[SHMUX_FRAME_PING] = sizeof(struct shmux_body_ping),
		[SHMUX_FRAME_PONG] = sizeof(struct shmux_body_ping),
		[SHMUX_FRAME_REFUND] = sizeof(struct shmux_body_u32),
	};

	if (f->type == SHMUX_FRAME_CONT || f->type > SHMUX_FRAME_REFUND ||
	    len != body_len[f->type])
		return -EPROTO;
	if (f->type == SHMUX_FRAME_DESCRIPTOR)
		return decode_descriptor(s, f);
	f->len = 0;
	if (len >= 4)
		f->value[0] = body_word(s, f, 0);
	if (len >= 8)
		f->value[1] = body_word(s, f, 1);
	return 1;
}

static int shm_receive(struct shmux__link *l, struct shmux__frame *f)
{
	return shmux__shm_receive(shmux__shm(l), f);
}

static void shm_copy(struct shmux__link *l, const struct shmux__frame *f,
		     uint32_t pos, void *dst, uint32_t n)
{
	shmux__shm_copy(shmux__shm(l), f, pos, dst, n);
}

static void shm_chunk_return(struct shmux__link *l, uint32_t handle)
{
	struct shmux__shm *s = shmux__shm(l);

	shmux__returns_put(&s->give_back, handle);
	s->reasons |= SHMUX_ARMED_ROOM;
}

uint32_t shmux__shm_receive_chunk(struct shmux__shm *s, uint32_t id, void *dst,
				  size_t size)
{
	uint32_t word = shmux__consumer_word(&s->rx);
	const uint32_t *slot = shmux__consumer_slot(&s->rx, s->rx.next);
	struct shmux__frame f = { .index = s->rx.next };

	if ((word & (SHMUX_WORD_TAG | SHMUX_WORD_TYPE | SHMUX_WORD_FLAGS)) !=
		    SHMUX_FRAME_DESCRIPTOR << SHMUX_WORD_TYPE_SHIFT ||
	    word >> SHMUX_WORD_LEN_SHIFT != sizeof(struct shmux_body_descriptor) ||
	    shmux_load_relaxed(&slot[1]) != id ||
	    shmux__consumer_due(&s->rx) || shmux__consumer_more(&s->rx, 1) ||
	    decode_descriptor(s, &f) < 0 || f.len < SHMUX_CREDIT_MIN ||
	    f.len > size)
		return 0;
	shmux_store_relaxed(&s->rx.next, s->rx.next + 1);
	shmux_store_relaxed(&s->rx_nr, 1);
	memcpy(dst, f.data, f.len);
	shm_chunk_return(&s->link, f.handle);
	return f.len;
}

static int shm_begin_wait(struct shmux__link *l)
{
	struct shmux__shm *s = shmux__shm(l);
	bool news;

	if (shmux__producer_refresh(&s->tx) || take_returns(s))
		return -EPROTO;
	/* Also what another thread, which wanted room, has taken note of. */
	news = s->tx.consumer != s->seen_consumer ||
	       s->returned.next != s->seen_returned;
	s->seen_consumer = s->tx.consumer;
	s->seen_returned = s->returned.next;
	return news;
}

static bool shm_ready(struct shmux__link *l, uint32_t reasons)
{
	return shmux__shm_ready(shmux__shm(l), reasons);
}

static uint32_t cpu_here(void)
{
	return (uint32_t)(SHMUX_KEEP_ERRNO(sched_getcpu()) + 1);
}

static bool shm_same_cpu(struct shmux__link *l)
{
	struct shmux__shm *s = shmux__shm(l);
	uint32_t here = cpu_here();

	if (shmux_load_relaxed(&s->own->cpu) != here)
		shmux_store_relaxed(&s->own->cpu, here);
	return here && shmux_load_relaxed(&s->peer->cpu) == here;
}

static void shm_poll(struct shmux__link *l, uint32_t reasons,
		     const uint32_t *poke, uint32_t nr)
{
	struct shmux__shm *s = shmux__shm(l);
	uint32_t index = shmux_load_relaxed(&s->rx.next);
	const uint32_t *slot = shmux__consumer_slot(&s->rx, index);
	const uint32_t *further = shmux__shm_further(s, index);
	uint32_t tag = SHMUX_TAG(index, s->rx.order);

	if (reasons & SHMUX_ARMED_ROOM) {
		while (nr-- && !shm_ready(l, reasons) &&
		       !shmux_load_relaxed(poke))
			shmux_relax();
		return;
	}
	while (nr-- && ((shmux_load_relaxed(slot) ^ tag) & SHMUX_WORD_TAG) &&
	       !shmux_load_relaxed(poke))
		shmux__shm_await(further);
}

static uint32_t shm_arm(struct shmux__link *l, uint32_t reasons_and_bells)
{
	struct shmux__shm *s = shmux__shm(l);
	uint32_t reasons = s->reasons;

	shmux__shm_finish(s);
	shmux__producer_publish(&s->tx);
	if (s->rx.published != s->rx.next) {
		shmux__consumer_publish(&s->rx);
		reasons |= SHMUX_ARMED_ROOM;
	}
	s->reasons = 0;

	/* Armed for just this since before, and not rung for: that holds. */
	if ((s->armed & (SHMUX_ARMED_STEP - 1)) ==
		    (SHMUX_ARMED_ODD | reasons_and_bells) &&
	    shmux_load_relaxed(&s->peer->kicks) == s->seen_kicks)
		return reasons ? shmux__shm_look(s, reasons) : 0;

	/*
	 * What we sleep on is the peer's word, read before we arm: a kick that
	 * falls between the second look and the sleep changes it. [B5] Pairs
	 * with the release in shmux__shm_kick().
	 */
	s->seen_kicks = shmux_load_acquire(&s->peer->kicks);
	s->armed = (s->armed | (SHMUX_ARMED_STEP - 1)) + 1;
	s->armed |= SHMUX_ARMED_ODD | reasons_and_bells;
	shmux_store_relaxed(&s->own->cpu, cpu_here());
	shmux_store_relaxed(&s->own->armed, s->armed);
	/* [B4] Our fence of the pair; it serves also for what was published above. */
	return shmux__shm_look(s, reasons);
}

static void shm_disarm(struct shmux__link *l)
{
	struct shmux__shm *s = shmux__shm(l);

	if (!(s->armed & SHMUX_ARMED_ODD))
		return;
	s->armed &= ~(SHMUX_ARMED_STEP - 1);
	shmux_store_relaxed(&s->own->armed, s->armed);
}

static bool shm_rung(struct shmux__link *l)
{
	struct shmux__shm *s = shmux__shm(l);

	return shmux_load_relaxed(&s->peer->kicks) != s->seen_kicks;
}

static int shm_sleep(struct shmux__link *l, uint32_t bells,
		     const uint32_t *poke, uint64_t timeout)
{
	struct shmux__shm *s = shmux__shm(l);
	const struct shmux__region_ops *ops = s->region->ops;
	int err;

	shmux_store_relaxed(&s->own->sleeps, s->own->sleeps + 1);
	if (bells && ops->ring_and_sleep) {
		err = ops->ring_and_sleep(s->region, &s->own->kicks, bells,
					  &s->peer->kicks, s->seen_kicks, poke,
					  timeout);
	} else {
		if (bells)
			shm_ring(l, bells);
		err = ops->sleep(s->region, &s->peer->kicks, s->seen_kicks,
				 poke, timeout);
	}
	return err == -ECONNRESET ? err : 0;
}

static void shm_poke(struct shmux__link *l, const uint32_t *poke)
{
	struct shmux__shm *s = shmux__shm(l);

	s->region->ops->poke(s->region, &s->peer->kicks, poke);
}

static int shm_check_alive(struct shmux__link *l)
{
	struct shmux__shm *s = shmux__shm(l);

	return s->region->ops->check_alive(s->region);
}

static int shm_descriptors(struct shmux__link *l, int fds[2])
{
	struct shmux__shm *s = shmux__shm(l);

	return s->region->ops->descriptors(s->region, fds);
}

static int shm_clear(struct shmux__link *l)
{
	struct shmux__shm *s = shmux__shm(l);

	return s->region->ops->clear(s->region);
}

static bool shm_has_room(struct shmux__link *l)
{
	struct shmux__shm *s = shmux__shm(l);

	if (shmux__producer_refresh(&s->tx))
		return true;	/* the next write finds out */
	/* What the last one needed that met a full ring, and then some. */
	if (!shmux__producer_fits(&s->tx, s->wanted, 0) ||
	    !shmux__producer_fits(&s->tx, (s->tx.mask + 1) / 8,
				  s->tx.kept + s->kept_for_control))
		return false;
	/* The bits that a peer leaves of the arena are no room for a chunk. */
	if (s->wanted_chunk != SHMUX_NO_CHUNK && !s->wanted_slots &&
	    !shmux__returns_ready(&s->returned) &&
	    !shmux__arena_has(&s->arena, s->wanted_chunk))
		return false;
	/* Who is told tries again, and says so if it is not enough. */
	s->wanted_chunk = SHMUX_NO_CHUNK;
	s->wanted_slots = false;
	return true;
}

static uint32_t shm_ring_depth(struct shmux__link *l)
{
	struct shmux__shm *s = shmux__shm(l);

	shmux__producer_refresh(&s->tx);
	return shmux__producer_used(&s->tx);
}

static void shm_arena(struct shmux__link *l, uint64_t *lent, uint64_t *used)
{
	struct shmux__shm *s = shmux__shm(l);

	take_returns(s);
	*lent = s->arena.nr_lent;
	*used = (uint64_t)s->arena.nr_used * SHMUX_BLOCK_SIZE;
}

static void shm_last_word(struct shmux__link *l, uint32_t id)
{
	struct shmux_region_header *h = shmux__shm(l)->own;
	uint32_t nr = h->nr_last_words;

	if (!id) {
		if (nr)
			shmux_store_relaxed(&h->nr_last_words, 0);
	} else if (nr < SHMUX_LAST_WORDS_MAX) {
		h->last_words[nr] = id;
		/* [B6] Pairs with the acquire in shm_heard_last(). */
		shmux_store_release(&h->nr_last_words, nr + 1);
	}
}

static uint32_t shm_heard_last(struct shmux__link *l, uint32_t nr)
{
	const struct shmux_region_header *h = shmux__shm(l)->peer;

	/* [B6] Pairs with the release in shm_last_word(); its death with [B7]. */
	if (nr >= SHMUX_LAST_WORDS_MAX ||
	    nr >= shmux_load_acquire(&h->nr_last_words))
		return 0;
	return shmux_load_relaxed(&h->last_words[nr]);
}

static void shm_announce(struct shmux__link *l, uint32_t open_streams)
{
	shmux_store_relaxed(&shmux__shm(l)->own->open_streams, open_streams);
}

static void shm_hang_up(struct shmux__link *l)
{
	struct shmux__shm *s = shmux__shm(l);

	/* A peer that sleeps on the futex does not see the socket's end. [B5] */
	shmux_store_release(&s->own->kicks, s->own->kicks + 1);
	s->region->ops->ring(s->region, &s->own->kicks, SHMUX_ARMED_FUTEX);
	s->region->ops->hang_up(s->region);
}

static void shm_close(struct shmux__link *l)
{
	struct shmux__shm *s = shmux__shm(l);

	shm_hang_up(l);
	s->region->ops->close(s->region);
	shmux__arena_exit(&s->arena);
	free(s);
}

const struct shmux__link_ops shmux__shm_ops = {
	.name = "shm",
	.send = shm_send,
	.append = shm_append,
	.chunk_get = shm_chunk_get,
	.chunk_fill = shm_chunk_fill,
	.pieces_sent = shm_pieces_sent,
	.chunk_send = shm_chunk_send,
	.chunk_put = shm_chunk_put,
	.publish = shm_publish,
	.ring = shm_ring,
	.receive = shm_receive,
	.copy = shm_copy,
	.chunk_return = shm_chunk_return,
	.begin_wait = shm_begin_wait,
	.ready = shm_ready,
	.arm = shm_arm,
	.disarm = shm_disarm,
	.rung = shm_rung,
	.sleep = shm_sleep,
	.poke = shm_poke,
	.poll = shm_poll,
	.same_cpu = shm_same_cpu,
	.check_alive = shm_check_alive,
	.descriptors = shm_descriptors,
	.clear = shm_clear,
	.has_room = shm_has_room,
	.ring_depth = shm_ring_depth,
	.arena = shm_arena,
	.last_word = shm_last_word,
	.heard_last = shm_heard_last,
	.announce = shm_announce,
	.hang_up = shm_hang_up,
	.close = shm_close,
};
