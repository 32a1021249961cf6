// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ring.c - both ends of a ring of slots, beside a naive model
 *
 * The model is a queue of records, and counts slots by laying out bytes one by
 * one. Tags and words are worked out here from the header's text.
 */
#include "harness.h"

#include "link/ring.h"
#include "pattern.h"

#define GUARD 64u		/* bytes on either side that nobody may touch */
#define GUARD_BYTE 0x5a
#define QUEUE 8192u
#define BODY_MAX 4000u

struct record {
	uint32_t type, flags, id, len, seed;
	uint32_t index;		/* of its first slot */
};

/* What was added and not consumed, and where everybody is. */
struct model {
	struct record queue[QUEUE];
	uint32_t first, published, end;	/* positions in the queue, ever */
	uint32_t next;			/* index of the next slot to be filled */
	uint32_t consumed;		/* index that the consumer is at */
	uint32_t told;			/* index that it has told */
	uint32_t known;			/* index that the producer has heard of */
};

FIXTURE(ring)
{
	struct shmux__producer p;
	struct shmux__consumer c;
	struct model *model;
	char *memory, *slots;
	uint32_t nr, order;
	uint32_t told;			/* the consumer's word in "shared" memory */
	uint64_t random;
};

FIXTURE_VARIANT(ring)
{
	uint32_t nr;
	/*
	 * Laps before the index wraps at 2^32; 0: it starts at 0. A ring that has
	 * never been written can be joined only at the start of a lap whose tag
	 * is not 0: that of the last lap is.
	 */
	uint32_t laps_left;
};

FIXTURE_VARIANT_ADD(ring, smallest)
{
	.nr = SHMUX_RING_SLOTS_MIN,
};

FIXTURE_VARIANT_ADD(ring, large)
{
	.nr = 2048,
};

FIXTURE_VARIANT_ADD(ring, smallest_at_index_wrap)
{
	.nr = SHMUX_RING_SLOTS_MIN,
	.laps_left = 2,
};

FIXTURE_VARIANT_ADD(ring, large_at_index_wrap)
{
	.nr = 2048,
	.laps_left = 3,
};

FIXTURE_SETUP(ring)
{
	uint32_t start;
	size_t size = (size_t)variant->nr * SHMUX_SLOT_SIZE;

	self->nr = variant->nr;
	self->order = (uint32_t)__builtin_ctz(self->nr);
	self->memory = aligned_alloc(SHMUX_LINE_SIZE, size + 2 * GUARD);
	self->model = calloc(1, sizeof(*self->model));
	ASSERT_NE(NULL, self->memory);
	ASSERT_NE(NULL, self->model);
	memset(self->memory, GUARD_BYTE, size + 2 * GUARD);
	self->slots = self->memory + GUARD;
	memset(self->slots, 0, size);
	self->random = 1;

	shmux__producer_init(&self->p, self->slots, self->nr, &self->told);
	shmux__consumer_init(&self->c, self->slots, self->nr, &self->told);
	start = -(variant->laps_left * self->nr);
	self->p.next = self->p.published = self->p.consumer = start;
	self->c.next = self->c.published = self->told = start;
	self->model->next = self->model->consumed = start;
	self->model->told = self->model->known = start;
}

FIXTURE_TEARDOWN(ring)
{
	size_t size = (size_t)self->nr * SHMUX_SLOT_SIZE;
	uint32_t i;

	for (i = 0; i < GUARD; i++) {
		EXPECT_EQ(GUARD_BYTE, self->memory[i]);
		EXPECT_EQ(GUARD_BYTE, self->memory[GUARD + size + i]);
	}
	free(self->memory);
	free(self->model);
}

/* --- the layout, said once more ------------------------------------------ */

/* Lay out @len bytes: 56 in the first slot, 60 in each further one. */
static uint32_t count_slots(uint32_t len)
{
	uint32_t slots = 1, room = 56;

	for (; len; len--) {
		if (!room) {
			slots++;
			room = 60;
		}
		room--;
	}
	return slots;
}

static uint8_t tag_of(const FIXTURE_DATA(ring) *self, uint32_t index)
{
	return (uint8_t)(index / self->nr + 1);
}

static uint32_t slot_word(const FIXTURE_DATA(ring) *self, uint32_t index)
{
	uint32_t word;

	memcpy(&word, self->slots + (size_t)(index % self->nr) * 64, sizeof(word));
	return word;
}

/* --- the model's steps --------------------------------------------------- */

/*
 * Content of a record. Every other one is made of what looks most like a word
 * of the lap in which these slots are used again.
 */
static void make_body(const FIXTURE_DATA(ring) *self, const struct record *r, void *buf)
{
	uint32_t word = 8u << 16 | 2u << 8 | tag_of(self, r->index + self->nr), i;
	char *at = buf;

	pattern_fill(buf, r->len, 0, r->seed);
	if (r->seed & 1)
		for (i = 0; i + sizeof(word) <= r->len; i += sizeof(word))
			memcpy(at + i, &word, sizeof(word));
}

static struct record *record_at(FIXTURE_DATA(ring) *self, uint32_t position)
{
	return &self->model->queue[position % QUEUE];
}

/* Slots free as far as the producer can know without a look. */
static uint32_t model_room(const FIXTURE_DATA(ring) *self)
{
	return self->nr - (self->model->next - self->model->known);
}

static void add_record(struct __test_metadata *_metadata, FIXTURE_DATA(ring) *self, uint32_t len)
{
	struct model *m = self->model;
	struct record *r = record_at(self, m->end);
	char body[BODY_MAX];

	ASSERT_LT(m->end - m->first, QUEUE);
	r->type = random_between(&self->random, 1, 15);
	r->flags = random_between(&self->random, 0, 15);
	r->id = random_next(&self->random);
	r->seed = random_next(&self->random);
	r->len = len;
	r->index = m->next;
	make_body(self, r, body);
	shmux__producer_add(&self->p, r->type, r->flags, r->id, body, r->len);
	m->next += count_slots(len);
	m->end++;
	ASSERT_EQ(m->next, self->p.next);
}

static void publish(struct __test_metadata *_metadata, FIXTURE_DATA(ring) *self)
{
	struct model *m = self->model;

	ASSERT_EQ(m->published != m->end, shmux__producer_publish(&self->p));
	m->published = m->end;
}

/* Is the next record's body right, whole and in random parts? */
static void check_body(struct __test_metadata *_metadata, FIXTURE_DATA(ring) *self,
		       const struct record *r)
{
	char expected[BODY_MAX], seen[BODY_MAX + 2];
	uint32_t pos, n;

	make_body(self, r, expected);
	memset(seen, GUARD_BYTE, sizeof(seen));
	shmux__consumer_copy(&self->c, r->index, 0, seen + 1, r->len);
	ASSERT_EQ(0, memcmp(expected, seen + 1, r->len));
	ASSERT_EQ(GUARD_BYTE, seen[0]);
	ASSERT_EQ(GUARD_BYTE, seen[r->len + 1]);

	pos = random_between(&self->random, 0, r->len);
	n = random_between(&self->random, 0, r->len - pos);
	memset(seen, GUARD_BYTE, sizeof(seen));
	shmux__consumer_copy(&self->c, r->index, pos, seen + 1, n);
	ASSERT_EQ(0, memcmp(expected + pos, seen + 1, n));
	ASSERT_EQ(GUARD_BYTE, seen[0]);
	ASSERT_EQ(GUARD_BYTE, seen[n + 1]);
}

static void consume(struct __test_metadata *_metadata, FIXTURE_DATA(ring) *self)
{
	struct model *m = self->model;
	struct record *r = record_at(self, m->first);
	const uint32_t *slot;
	uint32_t word;

	ASSERT_TRUE(shmux__consumer_ready(&self->c));
	word = shmux__consumer_word(&self->c);
	ASSERT_EQ(0, word & 0xff);
	ASSERT_EQ(r->type, word >> 8 & 0xf);
	ASSERT_EQ(r->flags, word >> 12 & 0xf);
	ASSERT_EQ(r->len, word >> 16);
	slot = shmux__consumer_slot(&self->c, self->c.next);
	ASSERT_EQ(r->id, slot[1]);
	check_body(_metadata, self, r);
	self->c.next += shmux__ring_slots(r->len);
	m->consumed += count_slots(r->len);
	m->first++;
}

static void tell(struct __test_metadata *_metadata, FIXTURE_DATA(ring) *self)
{
	shmux__consumer_publish(&self->c);
	self->model->told = self->model->consumed;
	ASSERT_EQ(self->model->told, self->told);
}

static void hear(struct __test_metadata *_metadata, FIXTURE_DATA(ring) *self)
{
	ASSERT_EQ(0, shmux__producer_refresh(&self->p));
	self->model->known = self->model->told;
}

static void check_agrees(struct __test_metadata *_metadata, FIXTURE_DATA(ring) *self)
{
	struct model *m = self->model;
	uint32_t room = model_room(self);

	ASSERT_EQ(m->first != m->published, shmux__consumer_ready(&self->c));
	ASSERT_EQ(m->next - m->known, shmux__producer_used(&self->p));
	ASSERT_TRUE(shmux__producer_fits(&self->p, room, 0));
	ASSERT_FALSE(shmux__producer_fits(&self->p, room + 1, 0));
	ASSERT_EQ(m->consumed - m->told > self->nr / 4 - 1, shmux__consumer_due(&self->c));
	if (room) {
		ASSERT_TRUE(shmux__producer_fits(&self->p, room - 1, 1));
		ASSERT_FALSE(shmux__producer_fits(&self->p, room, 1));
	}
}

static uint32_t random_len(FIXTURE_DATA(ring) *self)
{
	uint32_t most = (self->nr / 2 - 1) * 60 + 56;

	if (most > BODY_MAX)
		most = BODY_MAX;
	/* Mostly small, as records are. */
	switch (random_between(&self->random, 0, 9)) {
	case 0:
		return random_between(&self->random, 0, most);
	case 1:
	case 2:
		return random_between(&self->random, 0, 400);
	default:
		return random_between(&self->random, 0, 130);
	}
}

/* One random step, if it is possible now. */
static void step(struct __test_metadata *_metadata, FIXTURE_DATA(ring) *self)
{
	struct model *m = self->model;
	uint32_t len;

	switch (random_between(&self->random, 0, 9)) {
	case 0:
	case 1:
	case 2:
		len = random_len(self);
		if (count_slots(len) <= model_room(self))
			add_record(_metadata, self, len);
		break;
	case 3:
		/* Until it is brimful. */
		while (model_room(self) && !random_between(&self->random, 0, 3)) {
			len = random_len(self);
			if (count_slots(len) > model_room(self))
				len = 0;
			add_record(_metadata, self, len);
		}
		break;
	case 4:
	case 5:
		publish(_metadata, self);
		break;
	case 6:
	case 7:
		while (m->first != m->published && random_between(&self->random, 0, 7))
			consume(_metadata, self);
		break;
	case 8:
		tell(_metadata, self);
		break;
	case 9:
		hear(_metadata, self);
		break;
	}
}

TEST_F(ring, random_records_come_out_as_they_went_in_for_hundreds_of_laps)
{
	/* 700 laps: each tag is used at least twice. */
	uint32_t laps = self->nr == SHMUX_RING_SLOTS_MIN ? 700 : 40;
	uint32_t start = self->p.next;

	while (self->p.next - start < laps * self->nr) {
		step(_metadata, self);
		check_agrees(_metadata, self);
	}
}

TEST(record_takes_as_many_slots_as_its_bytes_need)
{
	uint32_t len;

	for (len = 0; len <= SHMUX_WORD_LEN_MAX; len++)
		ASSERT_EQ(count_slots(len), shmux__ring_slots(len));
}

TEST_F(ring, every_length_and_every_part_of_it_is_copied_exactly)
{
	char expected[BODY_MAX], seen[BODY_MAX];
	struct record *r;
	uint32_t len, pos;

	for (len = 0; len <= 200; len++) {
		add_record(_metadata, self, len);
		publish(_metadata, self);
		r = record_at(self, self->model->first);
		make_body(self, r, expected);
		for (pos = 0; pos <= len; pos++) {
			memset(seen, 0, sizeof(seen));
			shmux__consumer_copy(&self->c, r->index, pos, seen, len - pos);
			ASSERT_EQ(0, memcmp(expected + pos, seen, len - pos));
			memset(seen, 0, sizeof(seen));
			shmux__consumer_copy(&self->c, r->index, 0, seen, pos);
			ASSERT_EQ(0, memcmp(expected, seen, pos));
		}
		consume(_metadata, self);
		tell(_metadata, self);
		hear(_metadata, self);
	}
}

TEST_F(ring, nothing_of_a_batch_is_seen_before_it_is_published_and_then_all_of_it)
{
	uint32_t i, lap;

	for (lap = 0; lap < 300; lap++) {
		for (i = 0; i < 10; i++) {
			add_record(_metadata, self, i * 20);
			ASSERT_FALSE(shmux__consumer_ready(&self->c));
		}
		publish(_metadata, self);
		for (i = 0; i < 10; i++)
			consume(_metadata, self);
		ASSERT_FALSE(shmux__consumer_ready(&self->c));
		tell(_metadata, self);
		hear(_metadata, self);
	}
}

TEST_F(ring, publishing_nothing_changes_nothing)
{
	uint32_t before = slot_word(self, self->p.next);

	EXPECT_FALSE(shmux__producer_publish(&self->p));
	EXPECT_EQ(before, slot_word(self, self->p.next));
	EXPECT_FALSE(shmux__consumer_ready(&self->c));
}

TEST_F(ring, first_word_of_a_record_can_be_changed_until_it_is_published)
{
	char body[100] = { 0 };
	uint32_t i, index[2];

	/* The first of a batch, whose word is held back, and one that follows. */
	for (i = 0; i < 2; i++) {
		index[i] = self->p.next;
		shmux__producer_add(&self->p, SHMUX_FRAME_DATA, 0, 7, body, 10);
	}
	for (i = 0; i < 2; i++) {
		shmux__producer_set_word(&self->p, index[i], SHMUX_FRAME_PING, 5, 40 + i);
		ASSERT_FALSE(shmux__consumer_ready(&self->c));
	}
	ASSERT_TRUE(shmux__producer_publish(&self->p));
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(shmux__consumer_ready(&self->c));
		EXPECT_EQ((40 + i) << 16 | 5 << 12 | SHMUX_FRAME_PING << 8,
			  shmux__consumer_word(&self->c));
		self->c.next++;
	}
	EXPECT_FALSE(shmux__consumer_ready(&self->c));
}

TEST_F(ring, a_brimful_ring_has_no_room_until_the_consumer_tells)
{
	uint32_t i;

	for (i = 0; i < self->nr; i++)
		add_record(_metadata, self, 56);
	publish(_metadata, self);
	ASSERT_FALSE(shmux__producer_fits(&self->p, 1, 0));
	consume(_metadata, self);
	hear(_metadata, self);
	EXPECT_FALSE(shmux__producer_fits(&self->p, 1, 0));
	tell(_metadata, self);
	hear(_metadata, self);
	EXPECT_TRUE(shmux__producer_fits(&self->p, 1, 0));
	EXPECT_FALSE(shmux__producer_fits(&self->p, 2, 0));
	EXPECT_FALSE(shmux__producer_fits(&self->p, 1, 1));
}

TEST_F(ring, consumer_has_something_to_tell_after_a_quarter_of_the_ring)
{
	uint32_t i;

	for (i = 0; i < self->nr; i++)
		add_record(_metadata, self, 0);
	publish(_metadata, self);
	for (i = 1; i <= self->nr; i++) {
		consume(_metadata, self);
		ASSERT_EQ(i % (self->nr / 4) == 0, shmux__consumer_due(&self->c));
		if (shmux__consumer_due(&self->c))
			tell(_metadata, self);
	}
}

/*
 * Payload of nothing but words of the lap to come, of every type and length,
 * however the records lie: wherever the consumer stands in that lap, what it
 * polls is not payload.
 */
TEST_F(ring, stale_payload_that_looks_like_a_record_is_never_taken_for_one)
{
	uint32_t lap, i, n, len, word, index;
	char body[BODY_MAX];

	for (lap = 0; lap < 600; lap++) {
		/* Records of one length a lap, so that the slots' roles change. */
		len = random_between(&self->random, 0, 600);
		for (n = count_slots(len); model_room(self) >= n;) {
			word = random_next(&self->random) << 8 |
			       tag_of(self, self->p.next + self->nr);
			for (i = 0; i + 4 <= sizeof(body); i += 4)
				memcpy(body + i, &word, 4);
			shmux__producer_add(&self->p, SHMUX_FRAME_DATA, 0, word, body, len);
			self->model->next += n;
		}
		ASSERT_TRUE(shmux__producer_publish(&self->p));
		while (self->c.next != self->p.next) {
			ASSERT_TRUE(shmux__consumer_ready(&self->c));
			self->c.next += n;
		}
		/* Each slot of the ring's next lap, but for those of the last record. */
		for (index = self->c.next; index != self->c.next + self->nr; index++)
			ASSERT_NE(tag_of(self, index), slot_word(self, index) & 0xff);
		ASSERT_FALSE(shmux__consumer_ready(&self->c));
		self->model->consumed = self->c.next;
		tell(_metadata, self);
		hear(_metadata, self);
	}
}

TEST_F(ring, further_slots_carry_their_lap_and_the_type_of_a_continuation)
{
	uint32_t i, index;

	/* Start short of the end, so that the record goes on in the next lap. */
	for (i = 0; i < self->nr - 3; i++)
		add_record(_metadata, self, 0);
	publish(_metadata, self);
	while (self->model->first != self->model->published)
		consume(_metadata, self);
	tell(_metadata, self);
	hear(_metadata, self);
	index = self->p.next;
	add_record(_metadata, self, 56 + 60 * 9);
	publish(_metadata, self);
	for (i = 1; i < 10; i++)
		EXPECT_EQ(SHMUX_FRAME_CONT << 8 | tag_of(self, index + i),
			  slot_word(self, index + i));
	EXPECT_NE(tag_of(self, index), tag_of(self, index + 9));
	consume(_metadata, self);
}

/* --- a peer that tells nonsense ------------------------------------------ */

/* The producer has 8 slots published, 4 of them consumed, and 2 not published. */
static void fill_some(struct __test_metadata *_metadata, FIXTURE_DATA(ring) *self)
{
	uint32_t i;

	for (i = 0; i < 8; i++)
		add_record(_metadata, self, 0);
	publish(_metadata, self);
	for (i = 0; i < 4; i++)
		consume(_metadata, self);
	tell(_metadata, self);
	hear(_metadata, self);
	add_record(_metadata, self, 0);
	add_record(_metadata, self, 0);
}

static void check_refused(struct __test_metadata *_metadata, FIXTURE_DATA(ring) *self,
			  uint32_t index)
{
	struct shmux__producer before = self->p;

	self->told = index;
	EXPECT_EQ(-1, shmux__producer_refresh(&self->p));
	EXPECT_EQ(0, memcmp(&before, &self->p, sizeof(before)));
}

/*
 * Slots that are claimed ahead are free ones, and all of them are if the two groups
 * are: but for their last words, which nobody reads, they stay as they are.
 */
TEST_F(ring, a_record_that_grows_stores_to_no_slot_that_may_still_be_read)
{
	const uint32_t size = self->nr * SHMUX_SLOT_SIZE;
	uint32_t room, taken, first, at, group, i, nr_claimed = 0;
	bool claimed, here;
	const char *slot;

	for (room = 1; room <= 4 * SHMUX_CLAIM; room++)
		for (taken = 1; taken <= room; taken++) {
			memset(self->slots, 0xee, size);
			first = ++self->p.consumer + self->nr - room;
			self->p.next = self->p.published = first;
			group = (first + taken) / SHMUX_CLAIM * SHMUX_CLAIM;
			claimed = group != first / SHMUX_CLAIM * SHMUX_CLAIM &&
				  group + 2 * SHMUX_CLAIM - self->p.consumer <= self->nr;
			nr_claimed += claimed;
			shmux__producer_grow(&self->p, SHMUX_SLOT_SIZE, self->model,
					     taken * SHMUX_SLOT_NEXT_BODY);
			ASSERT_EQ(first + taken, self->p.next);
			for (at = first + taken; at != first + self->nr; at++) {
				here = claimed && at - group - SHMUX_CLAIM < SHMUX_CLAIM;
				ASSERT_TRUE(!here || at - self->p.consumer < self->nr);
				slot = self->slots + at % self->nr * SHMUX_SLOT_SIZE;
				for (i = 0; i < SHMUX_SLOT_SIZE; i++) {
					ASSERT_EQ(here && i >= SHMUX_SLOT_SIZE - 4 ? 0 : 0xee,
						  (uint8_t)slot[i]);
				}
			}
		}
	EXPECT_LT(0, nr_claimed);
}

TEST_F(ring, consumer_index_that_runs_backward_is_refused)
{
	uint32_t right;

	fill_some(_metadata, self);
	right = self->told;
	check_refused(_metadata, self, right - 1);
	check_refused(_metadata, self, right - 4);
	check_refused(_metadata, self, right - self->nr);
	check_refused(_metadata, self, right - 0x80000000u);
}

TEST_F(ring, consumer_index_beyond_what_was_published_is_refused)
{
	uint32_t right;

	fill_some(_metadata, self);
	right = self->told;
	/* Nor may it pass what is written but not published. */
	check_refused(_metadata, self, right + 5);
	check_refused(_metadata, self, right + 6);
	check_refused(_metadata, self, right + self->nr);
	check_refused(_metadata, self, right + 0x7fffffffu);
	self->told = right + 4;
	EXPECT_EQ(0, shmux__producer_refresh(&self->p));
	EXPECT_EQ(2, shmux__producer_used(&self->p));
}

TEST_HARNESS_MAIN
