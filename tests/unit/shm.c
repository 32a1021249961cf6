// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shm.c - the shared-memory link, over two fake regions in this process
 *
 * What an honest peer does comes from a second link; what a dishonest one does
 * is written straight into its region.
 */
#include <pthread.h>

#include "harness.h"

#include "loads.h"
#include "pattern.h"
#include "process.h"
#include "region_fake.h"

#define SLOTS 64u
#define ARENA 65536u

static const struct shmux__shm_sizes small = {
	.ring_slots = SLOTS,
	.arena_size = ARENA,
	.peer_arena_max = ARENA,
	.first_grant = 256,
	.message_max = 16384,
};

static const struct shmux__shm_sizes large = {
	.ring_slots = 2048,
	.arena_size = 4u << 20,
	.peer_arena_max = 4u << 20,
	.first_grant = 512,
	.message_max = 1u << 20,
};

/* --- the peer's header ---------------------------------------------------- */

FIXTURE(header)
{
	struct region_fake regions[2];
	struct shmux_region_header *peer;
	struct shmux__link *link;
};

FIXTURE_SETUP(header)
{
	ASSERT_EQ(0, region_fake_pair(self->regions, &small, &small));
	self->peer = self->regions[1].region.own;
}

FIXTURE_TEARDOWN(header)
{
	region_fake_free(self->regions);
}

static int open_near(FIXTURE_DATA(header) *self)
{
	return shmux__shm_open(&self->regions[0].region, &small, &self->link);
}

TEST_F(header, is_taken_when_all_is_right)
{
	ASSERT_EQ(0, open_near(self));
	EXPECT_EQ(256, self->link->peer_first_grant);
	EXPECT_EQ(16384, self->link->peer_message_max);
	EXPECT_EQ(ARENA, self->link->peer_arena_size);
	EXPECT_EQ(SHMUX_ROLE_DIALLER, self->link->role);
	EXPECT_EQ(0, self->regions[0].nr_closes);
	self->link->ops->close(self->link);
	EXPECT_EQ(1, self->regions[0].nr_closes);
}

TEST_F(header, features_in_use_are_those_that_both_sides_state)
{
	static const uint32_t stated[] = {
		0, SHMUX_FEATURE_MESSAGES, SHMUX_FEATURE_BLOCKED, SHMUX_FEATURES,
		UINT32_MAX, ~SHMUX_FEATURES,
	};
	size_t i;

	for (i = 0; i < sizeof(stated) / sizeof(stated[0]); i++) {
		self->peer->features = stated[i];
		ASSERT_EQ(0, open_near(self));
		EXPECT_EQ(stated[i] & SHMUX_FEATURES, self->link->features);
		self->link->ops->close(self->link);
	}
}

/* One word of the header, and what it must not be while all others are right. */
struct wrong {
	const char *name;
	uint32_t offset;
	uint32_t value;
	int err;
};

#define WRONG(member, value, err)                                                         \
	{                                                                                 \
		#member " = " #value, offsetof(struct shmux_region_header, member), value, err \
	}

/* Parts of a region of these sizes; TEST(parts_...) proves them right. */
#define RETURNS_AT 4096u
#define RING_AT 8192u
#define ARENA_AT 12288u
#define END_AT (ARENA_AT + ARENA)

static const struct wrong wrongs[] = {
	WRONG(magic, 0, -EPROTO),
	WRONG(reserved0[0], 1, -EPROTO),
	WRONG(reserved0[2], 1, -EPROTO),
	WRONG(role, 0, -EPROTO),
	WRONG(role, SHMUX_ROLE_DIALLER + 1, -EPROTO), /* ours */
	WRONG(role, 3, -EPROTO),
	WRONG(role, UINT32_MAX, -EPROTO),
	WRONG(magic, SHMUX_MAGIC + 1, -EPROTO),
	WRONG(magic, 0x73686d78, -EPROTO),
	WRONG(version, 0, -EPROTONOSUPPORT),
	WRONG(version, SHMUX_VERSION + 1, -EPROTONOSUPPORT),
	WRONG(version, UINT32_MAX, -EPROTONOSUPPORT),
	WRONG(size, 0, -EPROTO),
	WRONG(size, END_AT - 1, -EPROTO),
	WRONG(size, END_AT + 1, -EPROTO),
	WRONG(size, END_AT - 4096, -EPROTO),
	WRONG(size, END_AT + 4096, -EPROTO),
	WRONG(size, UINT32_MAX, -EPROTO),
	WRONG(returns_offset, 0, -EPROTO),
	WRONG(returns_offset, RETURNS_AT - 64, -EPROTO),
	WRONG(returns_offset, RETURNS_AT + 4, -EPROTO),
	WRONG(returns_offset, RETURNS_AT + 64, -EPROTO),
	WRONG(returns_offset, RING_AT, -EPROTO),
	WRONG(returns_offset, ARENA_AT, -EPROTO),
	WRONG(returns_offset, END_AT, -EPROTO),
	WRONG(returns_offset, END_AT + 4096, -EPROTO),
	WRONG(returns_offset, 0x80000000u, -EPROTO),
	WRONG(returns_offset, 0xfffff000u, -EPROTO),
	WRONG(returns_offset, UINT32_MAX, -EPROTO),
	WRONG(returns_slots, 0, -EPROTO),
	WRONG(returns_slots, 1, -E2BIG),
	WRONG(returns_slots, ARENA / SHMUX_BLOCK_SIZE / 2, -E2BIG),
	WRONG(returns_slots, 63, -EPROTO),
	WRONG(returns_slots, 65, -EPROTO),
	WRONG(returns_slots, 96, -EPROTO),
	WRONG(returns_slots, 2048, -EPROTO),
	WRONG(returns_slots, 1u << 20, -EPROTO),
	WRONG(returns_slots, 1u << 30, -EPROTO),
	WRONG(returns_slots, 1u << 31, -EPROTO),
	WRONG(returns_slots, UINT32_MAX, -EPROTO),
	WRONG(ring_offset, 0, -EPROTO),
	WRONG(ring_offset, RETURNS_AT, -EPROTO),
	WRONG(ring_offset, RING_AT - 64, -EPROTO),
	WRONG(ring_offset, RING_AT + 64, -EPROTO),
	WRONG(ring_offset, RING_AT + 1, -EPROTO),
	WRONG(ring_offset, ARENA_AT, -EPROTO),
	WRONG(ring_offset, END_AT, -EPROTO),
	WRONG(ring_offset, 0x80000000u, -EPROTO),
	WRONG(ring_offset, 0xfffff000u, -EPROTO),
	WRONG(ring_slots, 0, -EPROTO),
	WRONG(ring_slots, 1, -EPROTO),
	WRONG(ring_slots, 32, -EPROTO),
	WRONG(ring_slots, 63, -EPROTO),
	WRONG(ring_slots, 65, -EPROTO),
	WRONG(ring_slots, 128, -EPROTO),
	WRONG(ring_slots, 1u << 20, -EPROTO),
	WRONG(ring_slots, 1u << 21, -EPROTO),
	WRONG(ring_slots, 1u << 26, -EPROTO),
	WRONG(ring_slots, 1u << 31, -EPROTO),
	WRONG(ring_slots, UINT32_MAX, -EPROTO),
	WRONG(arena_offset, 0, -EPROTO),
	WRONG(arena_offset, RETURNS_AT, -EPROTO),
	WRONG(arena_offset, RING_AT, -EPROTO),
	WRONG(arena_offset, ARENA_AT - 64, -EPROTO),
	WRONG(arena_offset, ARENA_AT + 1, -EPROTO),
	WRONG(arena_offset, ARENA_AT + 2048, -EPROTO),
	WRONG(arena_offset, ARENA_AT + 4096, -EPROTO),
	WRONG(arena_offset, END_AT, -EPROTO),
	WRONG(arena_offset, 0xfffff000u, -EPROTO),
	WRONG(arena_size, 0, -EPROTO),
	WRONG(arena_size, 4096, -EPROTO),
	WRONG(arena_size, ARENA - 4096, -EPROTO),
	WRONG(arena_size, ARENA - 1, -EPROTO),
	WRONG(arena_size, ARENA + 1, -EPROTO),
	WRONG(arena_size, ARENA + 2048, -EPROTO),
	WRONG(arena_size, ARENA + 4096, -EPROTO),
	WRONG(arena_size, 1u << 30, -EPROTO),
	WRONG(arena_size, (1u << 30) + 4096, -EPROTO),
	WRONG(arena_size, 1u << 31, -EPROTO),
	WRONG(arena_size, 0xfffff000u, -EPROTO),
	WRONG(first_grant, 0, -EPROTO),
	WRONG(first_grant, SHMUX_CREDIT_MIN - 1, -EPROTO),
	WRONG(first_grant, SHMUX_WINDOW_MAX + 1, -EPROTO),
	WRONG(first_grant, UINT32_MAX, -EPROTO),
	WRONG(message_max, SHMUX_WINDOW_MAX + 1, -EPROTO),
	WRONG(message_max, UINT32_MAX, -EPROTO),
};

TEST_F(header, parts_lie_where_the_tests_below_think)
{
	EXPECT_EQ(RETURNS_AT, self->peer->returns_offset);
	EXPECT_EQ(64, self->peer->returns_slots);
	EXPECT_EQ(RING_AT, self->peer->ring_offset);
	EXPECT_EQ(ARENA_AT, self->peer->arena_offset);
	EXPECT_EQ(END_AT, self->peer->size);
}

TEST_F(header, is_refused_when_one_word_of_it_is_wrong)
{
	struct shmux_region_header right = *self->peer;
	size_t i;
	int err;

	for (i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		const struct wrong *w = &wrongs[i];

		*self->peer = right;
		memcpy((char *)self->peer + w->offset, &w->value, sizeof(w->value));
		self->regions[0].nr_closes = 0;
		err = open_near(self);
		EXPECT_EQ(w->err, err) {
			TH_LOG("%s", w->name);
		}
		EXPECT_EQ(1, self->regions[0].nr_closes) {
			TH_LOG("%s: the region is the link's, on failure too", w->name);
		}
	}
}

TEST_F(header, is_loaded_once)
{
	struct shmux__shm_sizes sizes = small;
	int err;

	if (process_is_sanitized())
		SKIP(return, "the sanitizer copies byte by byte");
	if (!loads_work())
		SKIP(return, "nothing traces single steps here");
	loads_begin(self->peer, self->peer->size);
	err = shmux__shm_open(&self->regions[0].region, &sizes, &self->link);
	loads_end();
	ASSERT_EQ(0, err);
	EXPECT_LT(0, loads.nr);
	EXPECT_EQ(-1, loads_twice(offsetof(struct shmux_region_header, armed)));
	self->link->ops->close(self->link);
}

TEST_F(header, is_refused_when_the_region_is_not_as_large_as_it_says)
{
	self->regions[0].region.peer_size -= 4096;
	EXPECT_EQ(-EPROTO, open_near(self));
	self->regions[0].region.peer_size += 8192;
	EXPECT_EQ(-EPROTO, open_near(self));
}

TEST(peer_with_more_arena_than_we_can_give_back_is_refused)
{
	struct region_fake regions[2];
	struct shmux__link *link;

	ASSERT_EQ(0, region_fake_pair(regions, &small, &large));
	EXPECT_EQ(-E2BIG, shmux__shm_open(&regions[0].region, &small, &link));
	EXPECT_EQ(1, regions[0].nr_closes);
	/* The other way round it is the peer that could not give back. */
	EXPECT_EQ(-E2BIG, shmux__shm_open(&regions[1].region, &large, &link));
	EXPECT_EQ(1, regions[1].nr_closes);
	region_fake_free(regions);
}

TEST(sizes_that_make_a_region_too_large_are_told)
{
	struct shmux__shm_sizes sizes = large;

	sizes.arena_size = SHMUX_ARENA_SIZE_MAX;
	EXPECT_LT(SHMUX_ARENA_SIZE_MAX, shmux__shm_size(&sizes));
	sizes.arena_size = SHMUX_REGION_SIZE_MAX & ~4095u;
	EXPECT_EQ(0, shmux__shm_size(&sizes));
}

/* --- two links ------------------------------------------------------------ */

FIXTURE(shm)
{
	struct region_fake regions[2];
	struct shmux__link *near, *far;
	struct shmux_region_header *own, *peer;	/* near's, and far's */
	uint32_t slots, arena;
	uint64_t random;
};

FIXTURE_VARIANT(shm)
{
	const struct shmux__shm_sizes *sizes;
};

FIXTURE_VARIANT_ADD(shm, small)
{
	.sizes = &small,
};

FIXTURE_VARIANT_ADD(shm, large)
{
	.sizes = &large,
};

FIXTURE_SETUP(shm)
{
	self->random = 1;
	self->slots = variant->sizes->ring_slots;
	self->arena = variant->sizes->arena_size;
	ASSERT_EQ(0, region_fake_pair(self->regions, variant->sizes, variant->sizes));
	self->own = self->regions[0].region.own;
	self->peer = self->regions[1].region.own;
	ASSERT_EQ(0, shmux__shm_open(&self->regions[0].region, variant->sizes, &self->near));
	ASSERT_EQ(0, shmux__shm_open(&self->regions[1].region, variant->sizes, &self->far));
}

FIXTURE_TEARDOWN(shm)
{
	self->near->ops->close(self->near);
	self->far->ops->close(self->far);
	region_fake_free(self->regions);
}

static int send_u32(struct shmux__link *l, uint32_t type, uint32_t id, uint32_t value)
{
	return shmux__link_send(l, type, 0, id, &value, sizeof(value));
}

static uint32_t publish(struct shmux__link *l)
{
	return shmux__link_publish(l);
}

/* The next frame at @l is this payload. */
static void check_payload(struct __test_metadata *_metadata, struct shmux__link *l, uint32_t flags,
			  uint32_t id, const void *expected, uint32_t len)
{
	struct shmux__frame f;
	char *seen = malloc(len + 1);

	ASSERT_EQ(1, shmux__link_receive(l, &f));
	ASSERT_EQ(SHMUX_FRAME_DATA, f.type);
	ASSERT_EQ(flags, f.flags);
	ASSERT_EQ(id, f.id);
	ASSERT_EQ(len, f.len);
	shmux__link_copy(l, &f, 0, seen, len);
	ASSERT_EQ(0, memcmp(expected, seen, len));
	free(seen);
	if (f.data)
		l->ops->chunk_return(l, f.handle);
}

static void check_nothing(struct __test_metadata *_metadata, struct shmux__link *l)
{
	struct shmux__frame f;

	ASSERT_FALSE(shmux__link_ready(l, 0));
	ASSERT_EQ(0, shmux__link_receive(l, &f));
}

TEST_F(shm, every_type_of_frame_arrives_as_it_was_sent)
{
	static const struct {
		uint32_t type, flags, len;
	} kinds[] = {
		{ SHMUX_FRAME_OPEN, 0, 8 },
		{ SHMUX_FRAME_CREDIT, 0, 4 },
		{ SHMUX_FRAME_END, SHMUX_FLAG_FIN, 0 },
		{ SHMUX_FRAME_END, SHMUX_FLAG_FIN | SHMUX_FLAG_STOP, 0 },
		{ SHMUX_FRAME_RESET, 0, 4 },
		{ SHMUX_FRAME_BLOCKED, 0, 4 },
		{ SHMUX_FRAME_GOAWAY, 0, 4 },
		{ SHMUX_FRAME_PING, 0, 8 },
		{ SHMUX_FRAME_PONG, 0, 8 },
		{ SHMUX_FRAME_REFUND, 0, 4 },
	};
	uint32_t body[2] = { 0x12345678, 0x9abcdef0 };
	struct shmux__link *ends[2] = { self->near, self->far };
	struct shmux__frame f;
	size_t i;
	int from;

	for (from = 0; from < 2; from++) {
		for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
			ASSERT_EQ(0, shmux__link_send(ends[from], kinds[i].type, kinds[i].flags,
						      77 + i, body, kinds[i].len));
			publish(ends[from]);
			ASSERT_EQ(1, shmux__link_receive(ends[!from], &f));
			EXPECT_EQ(kinds[i].type, f.type);
			EXPECT_EQ(kinds[i].flags, f.flags);
			EXPECT_EQ(77 + i, f.id);
			EXPECT_EQ(0, f.len);
			EXPECT_EQ(NULL, f.data);
			if (kinds[i].len >= 4)
				EXPECT_EQ(body[0], f.value[0]);
			if (kinds[i].len >= 8)
				EXPECT_EQ(body[1], f.value[1]);
			check_nothing(_metadata, ends[!from]);
		}
	}
}

TEST_F(shm, payload_of_every_length_that_fits_inline_arrives)
{
	char buf[4096];
	uint32_t len;

	ASSERT_LE(self->near->inline_max, sizeof(buf));
	for (len = 0; len <= self->near->inline_max; len++) {
		pattern_fill(buf, len, 0, len);
		ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, len % 16, len + 1, buf,
					      len));
		publish(self->near);
		check_payload(_metadata, self->far, len % 16, len + 1, buf, len);
		publish(self->far);
	}
}

TEST_F(shm, frames_are_not_seen_before_they_are_published)
{
	uint32_t i;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, i));
		check_nothing(_metadata, self->far);
	}
	publish(self->near);
	EXPECT_TRUE(shmux__link_ready(self->far, 0));
}

/* Payload for a reader who waits, who looks up to three times: what it takes straight away. */
static uint32_t receive_few(struct shmux__link *l, uint32_t id, void *dst, size_t size)
{
	return shmux__shm_receive_few(shmux__shm(l), id, dst, size, 2);
}

TEST_F(shm, few_bytes_go_to_who_waits_for_them_whatever_their_number)
{
	char buf[SHMUX_CREDIT_MIN + 1], seen[SHMUX_CREDIT_MIN + 1];
	uint32_t len, i;

	for (i = 0; i < 3 * self->slots; i++) {
		len = 1 + i % SHMUX_CREDIT_MIN;
		pattern_fill(buf, len, 0, i);
		memset(seen, 0x55, sizeof(seen));
		ASSERT_EQ(0, receive_few(self->far, 7, seen, sizeof(seen)));
		ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 7, buf, len));
		ASSERT_EQ(0, receive_few(self->far, 7, seen, sizeof(seen)));
		publish(self->near);
		/* With something to be told the pump is to tell it. */
		if (shmux__consumer_due(&shmux__shm(self->far)->rx)) {
			ASSERT_EQ(0, receive_few(self->far, 7, seen, sizeof(seen)));
			publish(self->far);
		}
		ASSERT_EQ(len, receive_few(self->far, 7, seen, len));
		ASSERT_EQ(0, memcmp(buf, seen, len));
		ASSERT_EQ(0x55, seen[len]);
		check_nothing(_metadata, self->far);
	}
}

TEST_F(shm, few_bytes_that_are_not_plain_or_not_the_last_are_left_to_the_pump)
{
	static const struct {
		uint32_t flags, id, len;
		size_t size;
	} cases[] = {
		{ 0, 7, 40, 39 },
		{ 0, 8, 40, 100 },
		{ SHMUX_FLAG_FIN, 7, 40, 100 },
		{ SHMUX_FLAG_MORE, 7, 40, 100 },
		{ 0, 7, 0, 100 },
		{ 0, 7, SHMUX_CREDIT_MIN + 1, 100 },
	};
	char buf[SHMUX_CREDIT_MIN + 1], seen[100];
	size_t i;

	pattern_fill(buf, sizeof(buf), 0, 3);
	memset(seen, 0x55, sizeof(seen));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, cases[i].flags,
					      cases[i].id, buf, cases[i].len));
		publish(self->near);
		EXPECT_EQ(0, receive_few(self->far, 7, seen, cases[i].size))
		{
			TH_LOG("case %zu", i);
		}
		check_payload(_metadata, self->far, cases[i].flags, cases[i].id, buf,
			      cases[i].len);
	}

	ASSERT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 7, 1));
	publish(self->near);
	EXPECT_EQ(0, receive_few(self->far, 7, seen, sizeof(seen)));
	ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 7, buf, 40));
	publish(self->near);
	EXPECT_EQ(0, receive_few(self->far, 7, seen, sizeof(seen)));
	ASSERT_EQ(1, shmux__link_receive(self->far, &(struct shmux__frame){ 0 }));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 7, buf, 40));
		publish(self->near);
	}
	EXPECT_EQ(0, receive_few(self->far, 7, seen, sizeof(seen)));
	for (i = 0; i < sizeof(seen); i++)
		ASSERT_EQ(0x55, (uint8_t)seen[i]);
	for (i = 0; i < 2; i++)
		check_payload(_metadata, self->far, 0, 7, buf, 40);
	ASSERT_EQ(40, receive_few(self->far, 7, seen, sizeof(seen)));
}

/* Send @buf in a chunk. */
static void send_chunk(struct __test_metadata *_metadata, struct shmux__link *l, uint32_t flags,
		       uint32_t id, const void *buf, uint32_t len)
{
	struct shmux__chunk c;

	ASSERT_EQ(0, l->ops->chunk_get(l, len, &c));
	memcpy(c.data, buf, len);
	l->ops->chunk_send(l, flags, id, &c, len);
	publish(l);
}

TEST_F(shm, chunk_goes_to_who_waits_for_it_and_is_given_back)
{
	char buf[5000], seen[sizeof(buf) + 1];
	struct shmux__shm *near = shmux__shm(self->near), *far = shmux__shm(self->far);
	uint32_t len, i;

	for (i = 0; i < 3 * self->slots; i++) {
		len = SHMUX_CREDIT_MIN + i * 7 % (sizeof(buf) - SHMUX_CREDIT_MIN);
		pattern_fill(buf, len, 0, i);
		memset(seen, 0x55, sizeof(seen));
		ASSERT_EQ(0, shmux__shm_receive_chunk(far, 7, seen, sizeof(seen)));
		send_chunk(_metadata, self->near, 0, 7, buf, len);
		/* With something to be told the pump is to tell it. */
		if (shmux__consumer_due(&far->rx)) {
			ASSERT_EQ(0, shmux__shm_receive_chunk(far, 7, seen, sizeof(seen)));
			publish(self->far);
		}
		ASSERT_EQ(len, shmux__shm_receive_chunk(far, 7, seen, len));
		ASSERT_EQ(0, memcmp(buf, seen, len));
		ASSERT_EQ(0x55, seen[len]);
		check_nothing(_metadata, self->far);
		/* Who waits for room is to be told. */
		ASSERT_TRUE(far->reasons & SHMUX_ARMED_ROOM);
		publish(self->far);
	}
	ASSERT_LE(0, self->near->ops->begin_wait(self->near));
	EXPECT_EQ(0, near->arena.nr_lent);
}

TEST_F(shm, chunk_that_is_not_plain_or_not_the_last_is_left_to_the_pump)
{
	static const struct {
		uint32_t flags, id, len;
		size_t size;
	} cases[] = {
		{ 0, 7, 4000, 3999 },
		{ 0, 8, 4000, 5000 },
		{ SHMUX_FLAG_FIN, 7, 4000, 5000 },
		{ SHMUX_FLAG_MORE, 7, 4000, 5000 },
		{ 0, 7, SHMUX_CREDIT_MIN - 1, 5000 },
	};
	struct shmux__shm *far = shmux__shm(self->far);
	char buf[4000], seen[5000];
	size_t i;

	pattern_fill(buf, sizeof(buf), 0, 3);
	memset(seen, 0x55, sizeof(seen));
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		send_chunk(_metadata, self->near, cases[i].flags, cases[i].id, buf, cases[i].len);
		EXPECT_EQ(0, shmux__shm_receive_chunk(far, 7, seen, cases[i].size))
		{
			TH_LOG("case %zu", i);
		}
		check_payload(_metadata, self->far, cases[i].flags, cases[i].id, buf,
			      cases[i].len);
	}
	for (i = 0; i < 2; i++)
		send_chunk(_metadata, self->near, 0, 7, buf, sizeof(buf));
	EXPECT_EQ(0, shmux__shm_receive_chunk(far, 7, seen, sizeof(seen)));
	for (i = 0; i < 2; i++)
		check_payload(_metadata, self->far, 0, 7, buf, sizeof(buf));
	ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 7, buf, 100));
	publish(self->near);
	EXPECT_EQ(0, shmux__shm_receive_chunk(far, 7, seen, sizeof(seen)));
	check_payload(_metadata, self->far, 0, 7, buf, 100);
	for (i = 0; i < sizeof(seen); i++)
		ASSERT_EQ(0x55, (uint8_t)seen[i]);
}

/* --- random frames, beside a naive model ---------------------------------- */

#define QUEUE 4096u

/* A payload under way. */
struct under_way {
	uint32_t id, flags, len, seed;
};

/* What has been sent and not received, and the chunks either side has. */
struct model {
	struct under_way queue[QUEUE];
	uint32_t sent, received;
	bool open;			/* the last may still grow */
	struct shmux__chunk chunks[8];	/* reserved and not sent */
	uint32_t nr_chunks;
	struct {
		struct shmux__frame frame;
		struct under_way what;
	} held[8];			/* received and not returned */
	uint32_t nr_held;
};

static char payload[1 << 20];

static void model_add(struct model *m, uint32_t id, uint32_t flags, uint32_t len, uint32_t seed)
{
	m->queue[m->sent++ % QUEUE] = (struct under_way){ id, flags, len, seed };
}

static void model_send_inline(struct __test_metadata *_metadata, FIXTURE_DATA(shm) *self,
			      struct model *m)
{
	uint32_t len = random_between(&self->random, 0, self->near->inline_max);
	uint32_t id = random_between(&self->random, 1, 3);
	uint32_t flags = random_between(&self->random, 0, 2) ? 0 : SHMUX_FLAG_MORE;
	uint32_t seed = random_next(&self->random);
	int err;

	if (random_between(&self->random, 0, 3))
		len %= 100;
	pattern_fill(payload, len, 0, seed);
	err = shmux__link_send(self->near, SHMUX_FRAME_DATA, flags, id, payload, len);
	if (err) {
		ASSERT_EQ(-EAGAIN, err);
		return;
	}
	model_add(m, id, flags, len, seed);
	m->open = !flags;
}

static void model_append(struct __test_metadata *_metadata, FIXTURE_DATA(shm) *self,
			 struct model *m)
{
	uint32_t id = random_between(&self->random, 1, 3);
	uint32_t len = random_between(&self->random, 1, 200);
	struct under_way *last = &m->queue[(m->sent - 1) % QUEUE];
	int had;

	/* The payload of a record is one pattern, however it came together. */
	pattern_fill(payload, len, last->len, last->seed);
	had = self->near->ops->append(self->near, id, payload, len);
	if (had < 0) {
		ASSERT_EQ(-EAGAIN, had);
		return;
	}
	ASSERT_TRUE(m->open);
	ASSERT_EQ(last->id, id);
	ASSERT_EQ((int)last->len, had);
	last->len += len;
	ASSERT_LE(last->len, self->near->append_max);
}

static void model_reserve(struct __test_metadata *_metadata, FIXTURE_DATA(shm) *self,
			  struct model *m)
{
	uint32_t size = random_between(&self->random, 1, self->near->chunk_max);
	struct shmux__chunk *c = &m->chunks[m->nr_chunks];
	int err;

	/* Large ones are seldom, since they take their time. */
	if (random_between(&self->random, 0, 7))
		size = 1 + size % 20000 % self->near->chunk_max;
	err = self->near->ops->chunk_get(self->near, size, c);
	if (err) {
		ASSERT_TRUE(err == -EAGAIN || err == -ENOSPC);
		return;
	}
	ASSERT_LE(size, c->size);
	ASSERT_LE((char *)self->own + self->own->arena_offset, (char *)c->data);
	ASSERT_GE((char *)self->own + self->own->size, (char *)c->data + c->size);
	/* Whoever else has part of it will notice. */
	memset(c->data, 0xee, c->size);
	m->nr_chunks++;
}

static void model_submit(struct __test_metadata *_metadata, FIXTURE_DATA(shm) *self,
			 struct model *m)
{
	uint32_t i = random_between(&self->random, 0, m->nr_chunks - 1);
	struct shmux__chunk c = m->chunks[i];
	uint32_t len = random_between(&self->random, 0, c.size);
	uint32_t seed = random_next(&self->random);

	m->chunks[i] = m->chunks[--m->nr_chunks];
	if (!random_between(&self->random, 0, 5)) {
		self->near->ops->chunk_put(self->near, &c);
		return;
	}
	pattern_fill(c.data, len, 0, seed);
	self->near->ops->chunk_send(self->near, SHMUX_FLAG_FIN, 9, &c, len);
	model_add(m, 9, SHMUX_FLAG_FIN, len, seed);
	m->open = false;
}

static void model_receive(struct __test_metadata *_metadata, FIXTURE_DATA(shm) *self,
			  struct model *m)
{
	struct under_way *what = &m->queue[m->received % QUEUE];
	struct shmux__frame f;
	int ret = shmux__link_receive(self->far, &f);

	if (!ret)
		return;
	ASSERT_EQ(1, ret);
	ASSERT_NE(m->sent, m->received);
	m->received++;
	ASSERT_EQ(SHMUX_FRAME_DATA, f.type);
	ASSERT_EQ(what->flags, f.flags);
	ASSERT_EQ(what->id, f.id);
	ASSERT_EQ(what->len, f.len);
	shmux__link_copy(self->far, &f, 0, payload, f.len);
	ASSERT_EQ(-1, pattern_check(payload, f.len, 0, what->seed));
	if (!f.data)
		return;
	if (m->nr_held == 8) {
		self->far->ops->chunk_return(self->far, f.handle);
		return;
	}
	m->held[m->nr_held].frame = f;
	m->held[m->nr_held++].what = *what;
}

/* What is held has stayed as it was. */
static void model_return(struct __test_metadata *_metadata, FIXTURE_DATA(shm) *self,
			 struct model *m)
{
	uint32_t i = random_between(&self->random, 0, m->nr_held - 1);
	struct shmux__frame *f = &m->held[i].frame;

	ASSERT_EQ(-1, pattern_check(f->data, f->len, 0, m->held[i].what.seed));
	self->far->ops->chunk_return(self->far, f->handle);
	m->held[i] = m->held[--m->nr_held];
}

static void model_step(struct __test_metadata *_metadata, FIXTURE_DATA(shm) *self,
		       struct model *m)
{
	switch (random_between(&self->random, 0, 12)) {
	case 0:
	case 1:
	case 2:
		model_send_inline(_metadata, self, m);
		break;
	case 3:
	case 4:
		if (m->sent != m->received)
			model_append(_metadata, self, m);
		break;
	case 5:
		if (m->nr_chunks < 8)
			model_reserve(_metadata, self, m);
		break;
	case 6:
		if (m->nr_chunks)
			model_submit(_metadata, self, m);
		break;
	case 7:
		publish(self->near);
		m->open = false;
		break;
	case 8:
		while (random_between(&self->random, 0, 9))
			model_receive(_metadata, self, m);
		break;
	case 9:
	case 10:
		model_receive(_metadata, self, m);
		break;
	case 11:
		if (m->nr_held)
			model_return(_metadata, self, m);
		break;
	case 12:
		publish(self->far);
		break;
	}
	ASSERT_LE(self->near->ops->ring_depth(self->near), self->slots);
}

TEST_F_TIMEOUT(shm, random_frames_arrive_as_they_were_sent_and_every_chunk_comes_back, 200)
{
	struct model *m = calloc(1, sizeof(*m));
	uint64_t lent, used;
	uint32_t i;

	for (i = 0; i < 60000; i++)
		model_step(_metadata, self, m);
	/* It went round many times. */
	EXPECT_LT(self->slots * 10, shmux__shm(self->far)->rx.next);

	while (m->nr_chunks)
		model_submit(_metadata, self, m);
	publish(self->near);
	while (m->sent != m->received)
		model_receive(_metadata, self, m);
	check_nothing(_metadata, self->far);
	while (m->nr_held)
		model_return(_metadata, self, m);
	self->near->ops->arena(self->near, &lent, &used);
	EXPECT_EQ(0, lent);
	EXPECT_EQ(0, used);
	EXPECT_EQ(0, shmux__shm(self->near)->tx.kept);
	free(m);
}

/* --- appending -------------------------------------------------------------- */

TEST_F(shm, record_that_is_not_published_grows_byte_by_byte)
{
	char buf[8192];
	uint32_t len = 1;

	pattern_fill(buf, sizeof(buf), 0, 1);
	ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 5, buf, 1));
	while (self->near->ops->append(self->near, 5, buf + len, 1) == (int)len)
		len++;
	EXPECT_EQ(self->near->append_max, len);
	publish(self->near);
	check_payload(_metadata, self->far, 0, 5, buf, len);
	check_nothing(_metadata, self->far);
}

TEST_F(shm, record_grows_behind_others_of_its_batch)
{
	struct shmux__frame f;

	ASSERT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 5, "hel", 3));
	ASSERT_EQ(3, self->near->ops->append(self->near, 5, "lo", 2));
	publish(self->near);
	ASSERT_EQ(1, shmux__link_receive(self->far, &f));
	check_payload(_metadata, self->far, 0, 5, "hello", 5);
}

TEST_F(shm, record_does_not_grow_once_published_or_flagged_or_followed_or_of_another_stream)
{
	const struct shmux__link_ops *ops = self->near->ops;
	struct shmux__chunk c;

	EXPECT_EQ(-EAGAIN, ops->append(self->near, 5, "x", 1));

	ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 5, "a", 1));
	EXPECT_EQ(-EAGAIN, ops->append(self->near, 6, "x", 1));
	publish(self->near);
	EXPECT_EQ(-EAGAIN, ops->append(self->near, 5, "x", 1));

	ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, SHMUX_FLAG_FIN, 5, "b", 1));
	EXPECT_EQ(-EAGAIN, ops->append(self->near, 5, "x", 1));

	ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 5, "c", 1));
	ASSERT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 5, 1));
	EXPECT_EQ(-EAGAIN, ops->append(self->near, 5, "x", 1));

	ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 5, "d", 1));
	ASSERT_EQ(0, ops->chunk_get(self->near, 1, &c));
	ops->chunk_send(self->near, 0, 5, &c, 1);
	EXPECT_EQ(-EAGAIN, ops->append(self->near, 5, "x", 1));

	ASSERT_EQ(0, shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 5, "e", 1));
	ops->arm(self->near, SHMUX_ARMED_FRAMES | SHMUX_ARMED_FUTEX);
	EXPECT_EQ(-EAGAIN, ops->append(self->near, 5, "x", 1));
}

TEST_F(shm, record_does_not_grow_into_a_full_ring)
{
	char buf[56] = { 0 };

	while (!shmux__link_send(self->near, SHMUX_FRAME_DATA, 0, 5, buf, 50))
		;
	EXPECT_EQ(50, self->near->ops->append(self->near, 5, buf, 6));
	EXPECT_EQ(-EAGAIN, self->near->ops->append(self->near, 5, buf, 1));
	EXPECT_EQ(self->slots - shmux__shm(self->near)->kept_for_control,
		  self->near->ops->ring_depth(self->near));
}

/* --- what a dishonest peer writes into its ring ----------------------------- */

TEST_F(shm, body_of_the_wrong_length_is_refused_for_each_type)
{
	static const struct {
		uint32_t type, len;
	} fixed[] = {
		{ SHMUX_FRAME_OPEN, 8 },    { SHMUX_FRAME_DESCRIPTOR, 8 },
		{ SHMUX_FRAME_CREDIT, 4 },  { SHMUX_FRAME_END, 0 },
		{ SHMUX_FRAME_RESET, 4 },   { SHMUX_FRAME_BLOCKED, 4 },
		{ SHMUX_FRAME_GOAWAY, 4 },  { SHMUX_FRAME_PING, 8 },
		{ SHMUX_FRAME_PONG, 8 },    { SHMUX_FRAME_REFUND, 4 },
	};
	char body[256] = { 0 };
	struct shmux__frame f;
	uint32_t len;
	size_t i;

	for (i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
		for (len = 0; len < sizeof(body); len++) {
			if (len == fixed[i].len)
				continue;
			ASSERT_EQ(0, shmux__link_send(self->far, fixed[i].type, 0, 1, body, len));
			publish(self->far);
			EXPECT_EQ(-EPROTO, shmux__link_receive(self->near, &f)) {
				TH_LOG("type %u, length %u", fixed[i].type, len);
			}
			publish(self->near);
		}
	}
}

TEST_F(shm, frame_of_a_type_that_there_is_not_is_refused)
{
	static const uint32_t types[] = { SHMUX_FRAME_CONT, 12, 13, 14, 15 };
	char body[64] = { 0 };
	struct shmux__frame f;
	uint32_t len;
	size_t i;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		for (len = 0; len < sizeof(body); len++) {
			ASSERT_EQ(0, shmux__link_send(self->far, types[i], 0, 1, body, len));
			publish(self->far);
			EXPECT_EQ(-EPROTO, shmux__link_receive(self->near, &f)) {
				TH_LOG("type %u, length %u", types[i], len);
			}
			publish(self->near);
		}
	}
}

static int try_descriptor(FIXTURE_DATA(shm) *self, uint32_t offset, uint32_t len,
			  struct shmux__frame *f)
{
	struct shmux_body_descriptor body = { offset, len };

	shmux__link_send(self->far, SHMUX_FRAME_DESCRIPTOR, 0, 1, &body, sizeof(body));
	publish(self->far);
	return shmux__link_receive(self->near, f);
}

TEST_F(shm, descriptor_that_lies_in_the_arena_is_taken)
{
	uint32_t at = self->peer->arena_offset, end = self->peer->size;
	struct shmux__frame f;

	EXPECT_EQ(1, try_descriptor(self, at, 0, &f));
	EXPECT_EQ(0, f.len);
	EXPECT_EQ((char *)self->peer + at, f.data);
	EXPECT_EQ(1, try_descriptor(self, at, self->arena, &f));
	EXPECT_EQ(self->arena, f.len);
	EXPECT_EQ(1, try_descriptor(self, end - 4096, 4096, &f));
	EXPECT_EQ((char *)self->peer + end - 4096, f.data);
	EXPECT_EQ(SHMUX_FRAME_DATA, f.type);
	EXPECT_EQ(1, try_descriptor(self, end - 8192, 4097, &f));
}

TEST_F(shm, descriptor_outside_of_the_arena_is_refused)
{
	uint32_t at = self->peer->arena_offset, end = self->peer->size;
	struct shmux__frame f;

	EXPECT_EQ(-EPROTO, try_descriptor(self, 0, 64, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, 0, 0, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, 4096, 64, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, self->peer->ring_offset, 64, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, at - 4096, 8192, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, end, 0, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, end, 1, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, end + 4096, 64, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, 0x80000000u, 64, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, 0xfffff000u, 64, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, 0xfffff000u, 8192, &f));
}

TEST_F(shm, descriptor_that_is_not_right_is_not_read_by_who_waits_for_it)
{
	uint32_t at = self->peer->arena_offset, end = self->peer->size;
	const struct shmux_body_descriptor bodies[] = {
		{ 0, 64 },
		{ self->peer->ring_offset, 64 },
		{ at - 4096, 8192 },
		{ at + 1, 64 },
		{ at, self->arena + 1 },
		{ end - 4096, 4097 },
		{ end, 64 },
		{ 0x80000000u, 64 },
		{ 0xfffff000u, 8192 },
		{ at, UINT32_MAX },
	};
	char body[12] = { 0 }, seen[64];
	struct shmux__frame f;
	size_t i;

	memset(seen, 0x55, sizeof(seen));
	for (i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		ASSERT_EQ(0, shmux__link_send(self->far, SHMUX_FRAME_DESCRIPTOR, 0, 1, &bodies[i],
					      sizeof(bodies[i])));
		publish(self->far);
		EXPECT_EQ(0, shmux__shm_receive_chunk(shmux__shm(self->near), 1, seen, SIZE_MAX))
		{
			TH_LOG("case %zu", i);
		}
		EXPECT_EQ(-EPROTO, shmux__link_receive(self->near, &f));
	}
	memcpy(body, &at, sizeof(at));
	body[4] = 64;
	for (i = 0; i <= sizeof(body); i++) {
		if (i == sizeof(bodies[0]))
			continue;
		ASSERT_EQ(0, shmux__link_send(self->far, SHMUX_FRAME_DESCRIPTOR, 0, 1, body, i));
		publish(self->far);
		EXPECT_EQ(0, shmux__shm_receive_chunk(shmux__shm(self->near), 1, seen, SIZE_MAX));
		EXPECT_EQ(-EPROTO, shmux__link_receive(self->near, &f));
	}
	for (i = 0; i < sizeof(seen); i++)
		ASSERT_EQ(0x55, seen[i]);
}

TEST_F(shm, descriptor_that_is_not_aligned_to_a_block_is_refused)
{
	uint32_t at = self->peer->arena_offset, i;
	struct shmux__frame f;

	for (i = 1; i < SHMUX_BLOCK_SIZE; i++) {
		ASSERT_EQ(-EPROTO, try_descriptor(self, at + i, 1, &f));
		publish(self->near);
	}
}

TEST_F(shm, descriptor_that_reaches_over_the_end_is_refused)
{
	uint32_t at = self->peer->arena_offset, end = self->peer->size;
	struct shmux__frame f;

	EXPECT_EQ(-EPROTO, try_descriptor(self, end - 4096, 4097, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, end - 4096, 8192, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, at, self->arena + 1, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, at, 0x80000000u, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, at, UINT32_MAX, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, at, -at, &f));
	EXPECT_EQ(-EPROTO, try_descriptor(self, end - 4096, 0xfffff000u, &f));
}

/* The far end's next record says that it is @len bytes long. */
static void claim_len(FIXTURE_DATA(shm) *self, uint32_t len)
{
	struct shmux__producer *tx = &shmux__shm(self->far)->tx;

	shmux__producer_set_word(tx, tx->next, SHMUX_FRAME_DATA, 0, len);
	tx->next += 1;
	shmux__producer_publish(tx);
}

TEST_F(shm, record_of_half_the_ring_is_taken_and_a_longer_one_refused)
{
	uint32_t half = 56 + (self->slots / 2 - 1) * 60;
	struct shmux__frame f;

	if (half > SHMUX_WORD_LEN_MAX)
		half = SHMUX_WORD_LEN_MAX;
	claim_len(self, half);
	EXPECT_EQ(1, shmux__link_receive(self->near, &f));
	EXPECT_EQ(half, f.len);
	shmux__link_copy(self->near, &f, 0, payload, f.len);
	shmux__shm(self->far)->tx.next = shmux__shm(self->near)->rx.next;
	shmux__shm(self->far)->tx.published = shmux__shm(self->near)->rx.next;
	if (half == SHMUX_WORD_LEN_MAX)
		return;
	claim_len(self, half + 1);
	EXPECT_EQ(-EPROTO, shmux__link_receive(self->near, &f));
	/* And it stays there: nothing behind it is looked at. */
	EXPECT_EQ(-EPROTO, shmux__link_receive(self->near, &f));
}

TEST_F(shm, record_as_long_as_a_word_can_say_is_refused_in_a_small_ring)
{
	struct shmux__frame f;

	claim_len(self, SHMUX_WORD_LEN_MAX);
	EXPECT_EQ(shmux__ring_slots(SHMUX_WORD_LEN_MAX) > self->slots / 2 ? -EPROTO : 1,
		  shmux__link_receive(self->near, &f));
}

TEST_F(shm, what_the_header_says_later_is_not_looked_at)
{
	uint32_t i;

	memset(self->peer, 0xff, offsetof(struct shmux_region_header, armed));
	memset(self->own, 0xff, offsetof(struct shmux_region_header, armed));
	for (i = 0; i < 3 * self->slots; i++) {
		struct shmux__chunk c;

		ASSERT_EQ(0, self->far->ops->chunk_get(self->far, 4096, &c));
		memset(c.data, (int)i, 4096);
		memset(payload, (int)i, 4096);
		self->far->ops->chunk_send(self->far, 0, 3, &c, 4096);
		publish(self->far);
		check_payload(_metadata, self->near, 0, 3, payload, 4096);
		publish(self->near);
	}
}

/* --- what a dishonest peer says it has consumed or gives back --------------- */

static void fill_ring(struct shmux__link *l)
{
	while (!send_u32(l, SHMUX_FRAME_CREDIT, 1, 1))
		;
}

TEST_F(shm, send_to_a_peer_whose_consumer_index_cannot_be_is_a_breach)
{
	struct shmux__chunk c;

	fill_ring(self->near);
	self->peer->consumer = 1;	/* of what it cannot have seen yet */
	EXPECT_EQ(-EPROTO, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	EXPECT_EQ(-EPROTO, self->near->ops->chunk_get(self->near, 1, &c));
	publish(self->near);
	self->peer->consumer = self->slots + 1;
	EXPECT_EQ(-EPROTO, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	self->peer->consumer = UINT32_MAX;
	EXPECT_EQ(-EPROTO, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	self->peer->consumer = 1;
	EXPECT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
}

/* Make the near end look at what has been given back: its arena is used up. */
static int use_up(FIXTURE_DATA(shm) *self)
{
	struct shmux__chunk c;
	int err;

	while (!(err = self->near->ops->chunk_get(self->near, self->near->chunk_max, &c)))
		;
	return err;
}

/* Lend a chunk to the far end. Return: the block number it has to give back. */
static uint32_t lend(struct __test_metadata *_metadata, FIXTURE_DATA(shm) *self)
{
	struct shmux__chunk c;
	struct shmux__frame f;

	EXPECT_EQ(0, self->near->ops->chunk_get(self->near, 4096, &c));
	self->near->ops->chunk_send(self->near, 0, 1, &c, 4096);
	publish(self->near);
	EXPECT_EQ(1, shmux__link_receive(self->far, &f));
	return f.handle;
}

TEST_F(shm, chunk_given_back_is_used_again)
{
	uint32_t block = lend(_metadata, self);
	uint64_t lent, used;

	self->near->ops->arena(self->near, &lent, &used);
	EXPECT_EQ(1, lent);
	EXPECT_EQ(4096, used);
	self->far->ops->chunk_return(self->far, block);
	self->near->ops->arena(self->near, &lent, &used);
	EXPECT_EQ(0, lent);
	EXPECT_EQ(0, used);
	EXPECT_EQ(-ENOSPC, use_up(self));
}

TEST_F(shm, chunk_given_back_twice_is_a_breach)
{
	uint32_t block = lend(_metadata, self);

	self->far->ops->chunk_return(self->far, block);
	self->far->ops->chunk_return(self->far, block);
	EXPECT_EQ(-EPROTO, use_up(self));
}

TEST_F(shm, chunk_given_back_that_was_never_lent_is_a_breach)
{
	uint32_t block = lend(_metadata, self);

	self->far->ops->chunk_return(self->far, block + 1);
	EXPECT_EQ(-EPROTO, use_up(self));
}

TEST_F(shm, chunk_given_back_that_is_only_reserved_is_a_breach)
{
	struct shmux__chunk c;

	ASSERT_EQ(0, self->near->ops->chunk_get(self->near, 4096, &c));
	self->far->ops->chunk_return(self->far, (uint32_t)((char *)c.data - (char *)self->own) /
							SHMUX_BLOCK_SIZE);
	EXPECT_EQ(-EPROTO, use_up(self));
}

TEST_F(shm, chunk_given_back_from_outside_of_the_arena_is_a_breach)
{
	uint32_t first = self->own->arena_offset / SHMUX_BLOCK_SIZE;
	uint32_t outside[] = { 0, 1, first - 1, self->own->size / SHMUX_BLOCK_SIZE,
			       (1u << 24) - 1 };
	uint32_t i;

	lend(_metadata, self);
	for (i = 0; i < 5; i++) {
		struct shmux__shm *s = shmux__shm(self->near);
		uint32_t at = s->returned.next;

		self->far->ops->chunk_return(self->far, outside[i]);
		EXPECT_EQ(-EPROTO, use_up(self));
		EXPECT_EQ(at + 1, s->returned.next);
		/* It stays so; the next word is tried on a link made whole. */
		EXPECT_EQ(-EPROTO, use_up(self));
		s->broken = false;
	}
}

/* --- each word of the peer's is loaded once ----------------------------------- */

/* What is loaded of the peer's memory during @call, and that it is loaded once. */
#define CHECK_LOADS(least, call)                                                          \
	do {                                                                              \
		if (!loads_work())                                                        \
			SKIP(return, "nothing traces single steps here");                 \
		loads_begin(self->peer, self->peer->size);                                \
		call;                                                                     \
		loads_end();                                                              \
		EXPECT_LE(least, loads.nr)                                                \
		{                                                                         \
			TH_LOG("%s", #call);                                              \
		}                                                                         \
		EXPECT_EQ(-1, loads_twice(SIZE_MAX))                                      \
		{                                                                         \
			TH_LOG("%s: at offset %lld", #call,                               \
			       (long long)loads_twice(SIZE_MAX));                         \
		}                                                                         \
	} while (0)

TEST_F(shm, each_word_of_a_record_is_loaded_once)
{
	static const struct {
		uint32_t type, len, least;
	} records[] = {
		{ SHMUX_FRAME_DATA, 0, 2 },	  { SHMUX_FRAME_DATA, 500, 2 },
		{ SHMUX_FRAME_OPEN, 8, 4 },	  { SHMUX_FRAME_DESCRIPTOR, 8, 4 },
		{ SHMUX_FRAME_CREDIT, 4, 3 },	  { SHMUX_FRAME_END, 0, 2 },
		{ SHMUX_FRAME_RESET, 4, 3 },	  { SHMUX_FRAME_BLOCKED, 4, 3 },
		{ SHMUX_FRAME_GOAWAY, 4, 3 },	  { SHMUX_FRAME_PING, 8, 4 },
		{ SHMUX_FRAME_PONG, 8, 4 },
	};
	uint32_t body[150] = { self->peer->arena_offset, 100 };
	struct shmux__frame f;
	int ret = 0;

	for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
		shmux__producer_add(&shmux__shm(self->far)->tx, records[i].type, 0, 5, body,
				    records[i].len);
		publish(self->far);
		CHECK_LOADS(records[i].least, ret = shmux__link_receive(self->near, &f));
		ASSERT_EQ(1, ret);
	}
	/* So many that no two of the moves that copy them, by 16 or by 8, begin in one word. */
	shmux__producer_add(&shmux__shm(self->far)->tx, SHMUX_FRAME_DATA, 0, 5, body, 45);
	publish(self->far);
	CHECK_LOADS(4, ret = (int)receive_few(self->near, 5, body, sizeof(body)));
	ASSERT_EQ(45, ret);
	shmux__producer_add(&shmux__shm(self->far)->tx, SHMUX_FRAME_DATA, 0, 5, body, 57);
	publish(self->far);
	CHECK_LOADS(6, ret = (int)receive_few(self->near, 5, body, sizeof(body)));
	ASSERT_EQ(57, ret);
}

TEST_F(shm, consumer_index_and_each_return_word_are_loaded_once)
{
	const struct shmux__link_ops *ops = self->near->ops;
	struct shmux__frame f;
	struct shmux__chunk c;
	uint64_t lent, used;

	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, ops->chunk_get(self->near, 100, &c));
		ops->chunk_send(self->near, 0, 5, &c, 100);
		publish(self->near);
		ASSERT_EQ(1, shmux__link_receive(self->far, &f));
		ops->chunk_return(self->far, f.handle);
	}
	CHECK_LOADS(4, ops->arena(self->near, &lent, &used));
	EXPECT_EQ(0, lent);
	CHECK_LOADS(1, ops->ring_depth(self->near));
	CHECK_LOADS(2, ops->begin_wait(self->near));
}

TEST_F(shm, armed_word_of_the_peer_is_loaded_once_for_each_publication)
{
	self->far->ops->arm(self->far, SHMUX_ARMED_FRAMES | SHMUX_ARMED_FUTEX);
	ASSERT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	CHECK_LOADS(1, publish(self->near));
	EXPECT_EQ(1, self->own->kicks);
}

/* --- last words ------------------------------------------------------------- */

TEST_F(shm, last_words_that_there_is_no_room_for_are_forgotten)
{
	struct shmux_region_header *h = self->own;
	uint32_t *beyond = &h->last_words[SHMUX_LAST_WORDS_MAX];
	uint32_t i, nr = (h->ring_offset - offsetof(struct shmux_region_header, last_words)) / 4 -
			 SHMUX_LAST_WORDS_MAX;

	for (i = 1; i <= SHMUX_LAST_WORDS_MAX + nr; i++)
		self->near->ops->last_word(self->near, i);
	EXPECT_EQ(SHMUX_LAST_WORDS_MAX, h->nr_last_words);
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, beyond[i]);
	for (i = 0; i < SHMUX_LAST_WORDS_MAX; i++)
		ASSERT_EQ(i + 1, self->far->ops->heard_last(self->far, i));
	EXPECT_EQ(0, self->far->ops->heard_last(self->far, i));
}

TEST_F(shm, last_words_that_the_peer_counts_beyond_their_place_are_not_heard)
{
	const struct shmux__link_ops *ops = self->near->ops;
	uint32_t i;

	self->peer->nr_last_words = UINT32_MAX;
	for (i = 0; i <= SHMUX_LAST_WORDS_MAX; i++)
		(&self->peer->last_words[0])[i] = 77;
	EXPECT_EQ(77, ops->heard_last(self->near, SHMUX_LAST_WORDS_MAX - 1));
	EXPECT_EQ(0, ops->heard_last(self->near, SHMUX_LAST_WORDS_MAX));
	EXPECT_EQ(0, ops->heard_last(self->near, UINT32_MAX - 1));
	self->peer->nr_last_words = 1;
	EXPECT_EQ(0, ops->heard_last(self->near, 1));
}

/* --- room ------------------------------------------------------------------- */

TEST_F(shm, full_ring_takes_no_more_until_the_peer_tells_that_it_has_consumed)
{
	struct shmux__frame f;

	fill_ring(self->near);
	EXPECT_EQ(self->slots, self->near->ops->ring_depth(self->near));
	publish(self->near);
	EXPECT_EQ(-EAGAIN, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	EXPECT_FALSE(self->near->ops->has_room(self->near));
	ASSERT_EQ(1, shmux__link_receive(self->far, &f));
	EXPECT_EQ(-EAGAIN, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	while (shmux__link_receive(self->far, &f))
		;
	publish(self->far);
	EXPECT_TRUE(self->near->ops->has_room(self->near));
	EXPECT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	EXPECT_EQ(1, self->near->ops->ring_depth(self->near));
}

TEST_F(shm, consumer_tells_every_quarter_of_the_ring_and_not_more_often)
{
	struct shmux__frame f;
	uint32_t i, lap;

	for (lap = 0; lap < 3; lap++) {
		fill_ring(self->near);
		publish(self->near);
		for (i = 1; i <= self->slots; i++) {
			ASSERT_EQ(1, shmux__link_receive(self->far, &f));
			publish(self->far);
			ASSERT_EQ(lap * self->slots + i / (self->slots / 4) * (self->slots / 4),
				  self->peer->consumer);
		}
	}
}

TEST_F(shm, consumer_tells_what_is_left_before_it_sleeps)
{
	struct shmux__frame f;

	ASSERT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	publish(self->near);
	ASSERT_EQ(1, shmux__link_receive(self->far, &f));
	publish(self->far);
	EXPECT_EQ(0, self->peer->consumer);
	self->far->ops->arm(self->far, SHMUX_ARMED_FRAMES | SHMUX_ARMED_FUTEX);
	EXPECT_EQ(1, self->peer->consumer);
}

TEST_F(shm, reserved_chunks_can_be_sent_when_the_ring_is_full_otherwise)
{
	struct shmux__chunk c[6];
	struct shmux__frame f;
	uint32_t i, nr = 0;

	for (i = 0; i < 6; i++) {
		ASSERT_EQ(0, self->near->ops->chunk_get(self->near, 4096, &c[i]));
		memset(c[i].data, (int)i, 4096);
	}
	fill_ring(self->near);
	EXPECT_EQ(self->slots - 6, self->near->ops->ring_depth(self->near));
	EXPECT_EQ(-EAGAIN, self->near->ops->chunk_get(self->near, 4096, &c[0]));
	for (i = 0; i < 6; i++) {
		self->near->ops->chunk_send(self->near, 0, 2, &c[i], 4096);
		ASSERT_EQ(-EAGAIN, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	}
	EXPECT_EQ(self->slots, self->near->ops->ring_depth(self->near));
	publish(self->near);
	for (i = 0; i < self->slots - 6; i++) {
		ASSERT_EQ(1, shmux__link_receive(self->far, &f));
		nr += f.type == SHMUX_FRAME_CREDIT;
	}
	EXPECT_EQ(self->slots - 6, nr);
	for (i = 0; i < 6; i++) {
		memset(payload, (int)i, 4096);
		check_payload(_metadata, self->far, 0, 2, payload, 4096);
	}
	check_nothing(_metadata, self->far);
}

TEST_F(shm, chunk_put_back_gives_its_slot_back_too)
{
	struct shmux__chunk c;

	ASSERT_EQ(0, self->near->ops->chunk_get(self->near, 4096, &c));
	fill_ring(self->near);
	EXPECT_EQ(self->slots - 1, self->near->ops->ring_depth(self->near));
	self->near->ops->chunk_put(self->near, &c);
	EXPECT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	EXPECT_EQ(-EAGAIN, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
}

TEST_F(shm, chunk_gives_back_what_is_not_sent_of_it)
{
	struct shmux__chunk c;
	uint64_t lent, used;

	ASSERT_EQ(0, self->near->ops->chunk_get(self->near, self->near->chunk_max, &c));
	self->near->ops->arena(self->near, &lent, &used);
	EXPECT_EQ(self->near->chunk_max, used);
	self->near->ops->chunk_send(self->near, 0, 1, &c, 1);
	self->near->ops->arena(self->near, &lent, &used);
	EXPECT_EQ(4096, used);
	EXPECT_EQ(1, lent);
}

/* --- sleep and wake --------------------------------------------------------- */

#define FRAMES (SHMUX_ARMED_FRAMES | SHMUX_ARMED_FUTEX)

/* The far end publishes a frame. Return: the bells it has to ring. */
static uint32_t far_says(struct __test_metadata *_metadata, FIXTURE_DATA(shm) *self, uint32_t type)
{
	uint32_t body[2] = { 0 };
	uint32_t len = type == SHMUX_FRAME_CREDIT ? 4 : 8;

	EXPECT_EQ(0, shmux__link_send(self->far, type, 0, 1, body, len));
	return publish(self->far);
}

static void receive_all(struct shmux__link *l)
{
	struct shmux__frame f;

	while (shmux__link_receive(l, &f) > 0)
		;
	publish(l);
}

TEST_F(shm, peer_that_is_awake_is_never_kicked)
{
	uint32_t i;

	for (i = 0; i < self->slots; i++)
		EXPECT_EQ(0, far_says(_metadata, self, SHMUX_FRAME_CREDIT));
	EXPECT_EQ(0, self->peer->kicks);
	EXPECT_EQ(0, self->own->armed & SHMUX_ARMED_ODD);
}

TEST_F(shm, sleeper_is_kicked_once_however_much_is_published)
{
	uint32_t i, nr = 0;

	self->near->ops->arm(self->near, FRAMES);
	for (i = 0; i < self->slots / 2; i++) {
		uint32_t bells = far_says(_metadata, self, SHMUX_FRAME_CREDIT);

		EXPECT_EQ(i ? 0 : SHMUX_ARMED_FUTEX, bells);
		nr += bells != 0;
	}
	EXPECT_EQ(1, nr);
	EXPECT_EQ(1, self->peer->kicks);
}

TEST_F(shm, sleeper_is_kicked_once_for_each_time_it_arms)
{
	uint32_t i;

	for (i = 1; i <= 1000; i++) {
		self->near->ops->arm(self->near, FRAMES);
		EXPECT_FALSE(self->near->ops->rung(self->near));
		ASSERT_EQ(SHMUX_ARMED_FUTEX, far_says(_metadata, self, SHMUX_FRAME_CREDIT));
		ASSERT_EQ(0, far_says(_metadata, self, SHMUX_FRAME_CREDIT));
		ASSERT_EQ(i, self->peer->kicks);
		ASSERT_TRUE(self->near->ops->rung(self->near));
		receive_all(self->near);
	}
}

TEST_F(shm, sleeper_that_has_woken_by_itself_is_not_kicked)
{
	self->near->ops->arm(self->near, FRAMES);
	self->near->ops->disarm(self->near);
	EXPECT_EQ(0, self->own->armed & SHMUX_ARMED_ODD);
	EXPECT_EQ(0, far_says(_metadata, self, SHMUX_FRAME_CREDIT));
	EXPECT_EQ(0, self->peer->kicks);
	self->near->ops->arm(self->near, FRAMES);
	EXPECT_TRUE(shmux__link_ready(self->near, SHMUX_ARMED_FRAMES));
}

TEST_F(shm, arming_for_the_same_again_changes_nothing_until_rung)
{
	uint32_t armed;

	self->near->ops->arm(self->near, FRAMES);
	armed = self->own->armed;
	self->near->ops->arm(self->near, FRAMES);
	EXPECT_EQ(armed, self->own->armed);
	far_says(_metadata, self, SHMUX_FRAME_CREDIT);
	receive_all(self->near);
	self->near->ops->arm(self->near, FRAMES);
	EXPECT_NE(armed, self->own->armed);
	EXPECT_EQ(FRAMES | SHMUX_ARMED_ODD, self->own->armed & 0xff);
	armed = self->own->armed;
	self->near->ops->arm(self->near, SHMUX_ARMED_SESSION | SHMUX_ARMED_SOCKET);
	EXPECT_NE(armed & ~0xffu, self->own->armed & ~0xffu);
	EXPECT_EQ(SHMUX_ARMED_SESSION | SHMUX_ARMED_SOCKET | SHMUX_ARMED_ODD,
		  self->own->armed & 0xff);
}

TEST_F(shm, bells_that_are_rung_are_those_that_the_sleeper_named)
{
	static const uint32_t bells[] = { SHMUX_ARMED_FUTEX, SHMUX_ARMED_SOCKET,
					  SHMUX_ARMED_FUTEX | SHMUX_ARMED_SOCKET };
	int i;

	for (i = 0; i < 3; i++) {
		self->near->ops->arm(self->near, SHMUX_ARMED_FRAMES | bells[i]);
		EXPECT_EQ(bells[i], far_says(_metadata, self, SHMUX_FRAME_CREDIT));
		receive_all(self->near);
	}
}

TEST_F(shm, sleeper_is_kicked_only_for_a_reason_it_named)
{
	static const struct {
		uint32_t type;
		bool session;
	} frames[] = {
		{ SHMUX_FRAME_CREDIT, false }, { SHMUX_FRAME_OPEN, true },
		{ SHMUX_FRAME_PING, true },    { SHMUX_FRAME_PONG, true },
	};
	uint32_t bells;
	int i;

	for (i = 0; i < 4; i++) {
		self->near->ops->arm(self->near, SHMUX_ARMED_SESSION | SHMUX_ARMED_FUTEX);
		bells = far_says(_metadata, self, frames[i].type);
		EXPECT_EQ(frames[i].session ? SHMUX_ARMED_FUTEX : 0, bells) {
			TH_LOG("type %u", frames[i].type);
		}
		receive_all(self->near);
		self->near->ops->disarm(self->near);

		self->near->ops->arm(self->near, SHMUX_ARMED_ROOM | SHMUX_ARMED_FUTEX);
		EXPECT_EQ(0, far_says(_metadata, self, frames[i].type));
		receive_all(self->near);
		self->near->ops->disarm(self->near);
	}
}

TEST_F(shm, sleeper_of_any_reason_is_kicked_when_the_ring_is_full)
{
	uint32_t bells = 0, i;

	self->near->ops->arm(self->near, SHMUX_ARMED_SESSION | SHMUX_ARMED_FUTEX);
	for (i = 0; i < self->slots; i++)
		bells |= far_says(_metadata, self, SHMUX_FRAME_CREDIT);
	EXPECT_EQ(0, bells);
	EXPECT_EQ(-EAGAIN, send_u32(self->far, SHMUX_FRAME_CREDIT, 1, 1));
	EXPECT_EQ(SHMUX_ARMED_FUTEX, publish(self->far));
}

/* A thread waits for room; before it looks, another one finds some. */
TEST_F(shm, room_that_a_send_has_seen_first_is_still_news_to_who_waits)
{
	struct shmux__frame f;

	fill_ring(self->near);
	publish(self->near);
	self->near->ops->begin_wait(self->near);
	EXPECT_EQ(0, self->near->ops->begin_wait(self->near));
	while (shmux__link_receive(self->far, &f))
		;
	publish(self->far);

	ASSERT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));

	EXPECT_TRUE(shmux__link_ready(self->near, SHMUX_ARMED_ROOM));
	EXPECT_EQ(1, self->near->ops->begin_wait(self->near));
	EXPECT_EQ(0, self->near->ops->begin_wait(self->near));
}

TEST_F(shm, chunk_that_another_has_taken_back_first_is_still_news_to_who_waits)
{
	uint32_t block = lend(_metadata, self);
	uint64_t lent, used;

	self->near->ops->begin_wait(self->near);
	EXPECT_EQ(0, self->near->ops->begin_wait(self->near));
	self->far->ops->chunk_return(self->far, block);

	self->near->ops->arena(self->near, &lent, &used);
	ASSERT_EQ(0, lent);

	EXPECT_TRUE(shmux__link_ready(self->near, SHMUX_ARMED_ROOM));
	EXPECT_EQ(1, self->near->ops->begin_wait(self->near));
	EXPECT_FALSE(shmux__link_ready(self->near, SHMUX_ARMED_ROOM));
	EXPECT_EQ(0, self->near->ops->begin_wait(self->near));
}

TEST_F(shm, sleeper_for_room_is_kicked_when_slots_become_free)
{
	uint32_t i, bells = 0;
	struct shmux__frame f;

	fill_ring(self->near);
	publish(self->near);
	self->near->ops->begin_wait(self->near);
	self->near->ops->arm(self->near, SHMUX_ARMED_ROOM | SHMUX_ARMED_FUTEX);
	EXPECT_FALSE(shmux__link_ready(self->near, SHMUX_ARMED_ROOM));
	for (i = 1; i <= self->slots / 4; i++) {
		EXPECT_EQ(0, bells);
		ASSERT_EQ(1, shmux__link_receive(self->far, &f));
		bells = publish(self->far);
	}
	EXPECT_EQ(SHMUX_ARMED_FUTEX, bells);
	EXPECT_TRUE(shmux__link_ready(self->near, SHMUX_ARMED_ROOM));
	EXPECT_FALSE(shmux__link_ready(self->near, SHMUX_ARMED_FRAMES));
}

TEST_F(shm, sleeper_for_room_is_kicked_when_a_chunk_comes_back)
{
	uint32_t block = lend(_metadata, self);

	self->near->ops->begin_wait(self->near);
	self->near->ops->arm(self->near, SHMUX_ARMED_ROOM | SHMUX_ARMED_FUTEX);
	EXPECT_FALSE(shmux__link_ready(self->near, SHMUX_ARMED_ROOM));
	self->far->ops->chunk_return(self->far, block);
	EXPECT_EQ(SHMUX_ARMED_FUTEX, publish(self->far));
	EXPECT_TRUE(shmux__link_ready(self->near, SHMUX_ARMED_ROOM));
}

TEST_F(shm, sleeper_for_room_is_kicked_by_a_consumer_that_goes_to_sleep)
{
	struct shmux__frame f;

	fill_ring(self->near);
	publish(self->near);
	self->near->ops->begin_wait(self->near);
	/* Not a quarter, and nobody sleeps yet: that is not told. */
	ASSERT_EQ(1, shmux__link_receive(self->far, &f));
	ASSERT_EQ(0, publish(self->far));
	self->near->ops->arm(self->near, SHMUX_ARMED_ROOM | SHMUX_ARMED_FUTEX);
	EXPECT_EQ(SHMUX_ARMED_FUTEX,
		  self->far->ops->arm(self->far, SHMUX_ARMED_FRAMES | SHMUX_ARMED_FUTEX));
	EXPECT_TRUE(shmux__link_ready(self->near, SHMUX_ARMED_ROOM));
}

TEST_F(shm, what_is_published_before_arming_is_seen_by_the_second_look)
{
	ASSERT_EQ(0, far_says(_metadata, self, SHMUX_FRAME_CREDIT));
	self->near->ops->arm(self->near, FRAMES);
	EXPECT_TRUE(shmux__link_ready(self->near, SHMUX_ARMED_FRAMES));
}

TEST_F(shm, kick_after_the_second_look_changes_the_word_that_is_slept_on)
{
	self->near->ops->arm(self->near, FRAMES);
	ASSERT_FALSE(shmux__link_ready(self->near, SHMUX_ARMED_FRAMES));
	ASSERT_EQ(SHMUX_ARMED_FUTEX, far_says(_metadata, self, SHMUX_FRAME_CREDIT));
	/* The bell itself has not been rung: the word is enough. */
	self->near->ops->sleep(self->near, 0, NULL, UINT64_MAX);
	EXPECT_EQ(1, self->regions[0].nr_sleeps);
	EXPECT_EQ(&self->peer->kicks, self->regions[0].slept_on);
	EXPECT_NE(self->peer->kicks, self->regions[0].seen);
	EXPECT_TRUE(self->near->ops->rung(self->near));
}

TEST_F(shm, sleep_waits_for_the_word_as_it_was_before_arming)
{
	uint32_t i;

	for (i = 0; i < 5; i++) {
		self->near->ops->arm(self->near, FRAMES);
		self->near->ops->sleep(self->near, 0, NULL, 0);
		EXPECT_EQ(self->peer->kicks, self->regions[0].seen);
		far_says(_metadata, self, SHMUX_FRAME_CREDIT);
		receive_all(self->near);
	}
	EXPECT_EQ(5, self->own->sleeps);
}

TEST_F(shm, arming_publishes_what_was_added_and_kicks_for_it)
{
	self->far->ops->arm(self->far, FRAMES);
	ASSERT_EQ(0, send_u32(self->near, SHMUX_FRAME_CREDIT, 1, 1));
	EXPECT_FALSE(shmux__link_ready(self->far, SHMUX_ARMED_FRAMES));
	EXPECT_EQ(SHMUX_ARMED_FUTEX, self->near->ops->arm(self->near, FRAMES));
	EXPECT_TRUE(shmux__link_ready(self->far, SHMUX_ARMED_FRAMES));
}

TEST_F(shm, ring_passes_the_word_that_was_changed_and_the_bells)
{
	self->near->ops->ring(self->near, SHMUX_ARMED_FUTEX);
	EXPECT_EQ(1, self->regions[0].nr_rings);
	EXPECT_EQ(SHMUX_ARMED_FUTEX, self->regions[0].bells);
}

TEST_F(shm, a_peer_that_scribbles_over_its_armed_word_costs_at_most_kicks)
{
	uint32_t i;

	for (i = 0; i < 1000; i++) {
		uint32_t bells;

		self->own->armed = random_next(&self->random);
		bells = far_says(_metadata, self, SHMUX_FRAME_CREDIT);
		EXPECT_EQ(0, bells & ~(SHMUX_ARMED_FUTEX | SHMUX_ARMED_SOCKET));
		receive_all(self->near);
	}
	EXPECT_GE(1000, self->peer->kicks);
}

TEST_F(shm, hang_up_wakes_a_peer_that_sleeps_on_the_futex)
{
	self->near->ops->arm(self->near, FRAMES);
	self->far->ops->hang_up(self->far);
	EXPECT_TRUE(self->near->ops->rung(self->near));
	EXPECT_EQ(1, self->regions[1].nr_rings);
	EXPECT_TRUE(self->regions[1].bells & SHMUX_ARMED_FUTEX);
	EXPECT_EQ(1, self->regions[1].nr_hang_ups);
	EXPECT_EQ(0, self->regions[1].nr_closes);
}

TEST_F(shm, what_was_published_before_a_hang_up_can_be_received_after_it)
{
	ASSERT_EQ(0, shmux__link_send(self->far, SHMUX_FRAME_DATA, 0, 5, "bye", 3));
	publish(self->far);
	self->far->ops->hang_up(self->far);
	check_payload(_metadata, self->near, 0, 5, "bye", 3);
}

/* --- two threads that sleep at each other ----------------------------------- */

#define NR_FRAMES 40000u

struct end {
	struct shmux__link *link;
	pthread_t thread;
	uint64_t random;
	uint32_t lost;		/* wake-ups that did not come */
	uint32_t wrong;		/* frames that were not as they should be */
};

static void ring_if(struct shmux__link *l, uint32_t bells)
{
	if (bells)
		l->ops->ring(l, bells);
}

/* Sleep until there is news for one with these reasons. */
static void sleep_for(struct end *end, uint32_t reasons)
{
	struct shmux__link *l = end->link;
	uint64_t start;

	l->ops->begin_wait(l);
	ring_if(l, l->ops->arm(l, reasons | SHMUX_ARMED_FUTEX));
	while (!shmux__link_ready(l, reasons)) {
		start = shmux_now();
		l->ops->sleep(l, 0, NULL, 5 * SEC);
		if (shmux_now() - start >= 5 * SEC) {
			end->lost++;
			break;
		}
	}
	if (!l->ops->rung(l))
		l->ops->disarm(l);
}

static int send_frame(struct end *end, uint32_t nr, char *buf)
{
	struct shmux__link *l = end->link;
	uint32_t len = random_between(&end->random, 0, 200), seed = nr;
	struct shmux__chunk c;
	int err;

	if (random_between(&end->random, 0, 9)) {
		pattern_fill(buf, len, 0, seed);
		return shmux__link_send(l, SHMUX_FRAME_DATA, 0, nr + 1, buf, len);
	}
	len *= 40;
	err = l->ops->chunk_get(l, len + 1, &c);
	if (err)
		return err;
	pattern_fill(c.data, len, 0, seed);
	l->ops->chunk_send(l, 0, nr + 1, &c, len);
	return 0;
}

static void *send_frames(void *arg)
{
	struct end *end = arg;
	char buf[256];
	uint32_t nr = 0;
	int err;

	while (nr < NR_FRAMES && !end->lost) {
		err = send_frame(end, nr, buf);
		if (err == -EAGAIN || err == -ENOSPC) {
			sleep_for(end, SHMUX_ARMED_ROOM);
			continue;
		}
		end->wrong += err != 0;
		nr++;
		if (random_between(&end->random, 0, 3))
			ring_if(end->link, publish(end->link));
	}
	ring_if(end->link, publish(end->link));
	return NULL;
}

static void *receive_frames(void *arg)
{
	struct end *end = arg;
	struct shmux__link *l = end->link;
	struct shmux__frame f;
	char buf[8192];
	uint32_t nr = 0;
	int ret;

	while (nr < NR_FRAMES && !end->lost) {
		ret = shmux__link_receive(l, &f);
		if (!ret) {
			sleep_for(end, SHMUX_ARMED_FRAMES);
			continue;
		}
		shmux__link_copy(l, &f, 0, buf, f.len);
		if (ret < 0 || f.id != nr + 1 || pattern_check(buf, f.len, 0, nr) != -1) {
			end->wrong++;
			break;
		}
		if (f.data)
			l->ops->chunk_return(l, f.handle);
		nr++;
		if (random_between(&end->random, 0, 1))
			ring_if(l, publish(l));
	}
	/* What is left for the other end to learn. */
	ring_if(l, l->ops->arm(l, SHMUX_ARMED_FRAMES | SHMUX_ARMED_FUTEX));
	return NULL;
}

TEST_F_TIMEOUT(shm, two_threads_that_sleep_at_each_other_never_lose_a_wake_up, 200)
{
	struct end near = { .link = self->near, .random = 1 };
	struct end far = { .link = self->far, .random = 2 };

	ASSERT_EQ(0, pthread_create(&near.thread, NULL, send_frames, &near));
	ASSERT_EQ(0, pthread_create(&far.thread, NULL, receive_frames, &far));
	pthread_join(near.thread, NULL);
	pthread_join(far.thread, NULL);
	EXPECT_EQ(0, near.lost);
	EXPECT_EQ(0, far.lost);
	EXPECT_EQ(0, near.wrong);
	EXPECT_EQ(0, far.wrong);
	/* And they have slept: the large ring seldom lets the sender. */
	EXPECT_NE(0, self->own->sleeps + self->peer->sleeps);
}

TEST_HARNESS_MAIN
