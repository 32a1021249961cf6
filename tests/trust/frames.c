// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * frames.c - frames of a hostile peer in every order, and streams without end
 *
 * What is legal when is decided here by a naive reading of the header of the
 * shared bytes.
 */
#include "foe.h"

/* --- frames in every order ------------------------------------------------ */

/* How far a stream has come when the frame arrives. */
enum stage {
	NEVER, /* opened by nobody */
	REFUSED, /* beyond the backlog */
	UNACCEPTED,
	OPENED,
	AMID_A_MESSAGE,
	HALF_CLOSED, /* by the foe, as all up to here */
	STOPPED,
	ENDED,
	TAKEN_BACK,
	AT_ITS_END, /* half-closed by the victim, as all from here */
	READ_NO_MORE,
	SHUT,
	RESET,
	CLOSED,
	HALF_CLOSED_BY_BOTH,
	STOPPED_AND_READ_NO_MORE,
	OWN, /* opened by the victim */
	OWN_NEVER,
	OWN_RESET,
	NR_STAGES,
};

static const char *const stages[NR_STAGES] = {
	"never opened",
	"refused",
	"unaccepted",
	"open",
	"amid a message",
	"half-closed",
	"stopped",
	"ended",
	"taken back",
	"half-closed here",
	"read no more",
	"shut here",
	"reset here",
	"closed here",
	"half-closed by both",
	"stopped by both",
	"own",
	"own that never was",
	"own that was reset",
};

/* What a naive reading of the header knows of such a stream. */
struct known {
	bool own; /* the victim's role */
	bool there; /* frames on it mean something */
	bool fin, stop; /* what the foe has said */
};

static const struct known knowledge[NR_STAGES] = {
	[UNACCEPTED] = { .there = true },
	[OPENED] = { .there = true },
	[AMID_A_MESSAGE] = { .there = true },
	[HALF_CLOSED] = { .there = true, .fin = true },
	[STOPPED] = { .there = true, .stop = true },
	[AT_ITS_END] = { .there = true },
	[READ_NO_MORE] = { .there = true },
	[STOPPED_AND_READ_NO_MORE] = { .there = true, .stop = true },
	[OWN] = { .own = true, .there = true },
	[OWN_NEVER] = { .own = true },
	[OWN_RESET] = { .own = true },
};

/* Bring a stream to a stage. Return: its handle or NULL; its id in *@id. */
static struct shmux_stream *bring(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self,
				  enum stage stage, uint32_t *id)
{
	struct shmux_stream *st = NULL;
	uint32_t i;

	*id = foe_id(self, 20);
	switch (stage) {
	case NEVER:
		return NULL;
	case OWN_NEVER:
		*id ^= 1u << SHMUX_ID_ROLE_SHIFT;
		return NULL;
	case OWN:
	case OWN_RESET:
		EXPECT_EQ(0, shmux_session_open(self->s, 0, &st));
		*id = shmux_stream_id(st);
		if (stage == OWN_RESET)
			EXPECT_EQ(0, shmux_stream_reset(st, 999));
		return st;
	case REFUSED:
		for (i = 0; i < small.backlog; i++)
			say_open(self, foe_id(self, i));
		break;
	default:
		break;
	}
	if (stage == AMID_A_MESSAGE) {
		say_open_messages(self, *id);
		say(self, SHMUX_FRAME_DATA, SHMUX_FLAG_MORE, *id, 1);
	} else {
		say_open(self, *id);
	}
	EXPECT_EQ(0, verdict(self));
	if (stage == REFUSED || stage == UNACCEPTED)
		return NULL;
	st = take_stream(_metadata, self);
	switch (stage) {
	case HALF_CLOSED:
	case HALF_CLOSED_BY_BOTH:
		say(self, SHMUX_FRAME_END, SHMUX_FLAG_FIN, *id, 0);
		break;
	case STOPPED:
	case STOPPED_AND_READ_NO_MORE:
		say(self, SHMUX_FRAME_END, SHMUX_FLAG_STOP, *id, 0);
		break;
	case ENDED:
		say(self, SHMUX_FRAME_END, SHMUX_FLAG_FIN | SHMUX_FLAG_STOP, *id, 0);
		break;
	case TAKEN_BACK:
		say_words(self, SHMUX_FRAME_RESET, *id, 4, 999, 0);
		break;
	default:
		break;
	}
	EXPECT_EQ(0, verdict(self));
	switch (stage) {
	case AT_ITS_END:
	case HALF_CLOSED_BY_BOTH:
		EXPECT_EQ(0, shmux_stream_shutdown(st, SHMUX_WRITE));
		break;
	case READ_NO_MORE:
	case STOPPED_AND_READ_NO_MORE:
		EXPECT_EQ(0, shmux_stream_shutdown(st, SHMUX_READ));
		break;
	case SHUT:
		EXPECT_EQ(0, shmux_stream_shutdown(st, SHMUX_READ | SHMUX_WRITE));
		break;
	case RESET:
		EXPECT_EQ(0, shmux_stream_reset(st, 999));
		break;
	case CLOSED:
		shmux_stream_close(st);
		return NULL;
	default:
		break;
	}
	return st;
}

#define FIN SHMUX_FLAG_FIN
#define STOP SHMUX_FLAG_STOP
#define MORE SHMUX_FLAG_MORE
#define ABORT SHMUX_FLAG_ABORT

static const struct {
	const char *name;
	struct frame frame;
} frames[] = {
	{ "open", { SHMUX_FRAME_OPEN, 0, 0, 8, { 0 } } },
	{ "open for messages", { SHMUX_FRAME_OPEN, 0, 0, 8, { 1 } } },
	{ "open of an unknown kind", { SHMUX_FRAME_OPEN, 0, 0, 8, { 2 } } },
	{ "a byte", { SHMUX_FRAME_DATA, 0, 0, 1, { 0 } } },
	{ "no byte", { SHMUX_FRAME_DATA, 0, 0, 0, { 0 } } },
	{ "all the credit but a record", { SHMUX_FRAME_DATA, 0, 0, 192, { 0 } } },
	{ "more than the credit", { SHMUX_FRAME_DATA, 0, 0, 257, { 0 } } },
	{ "a byte and the end", { SHMUX_FRAME_DATA, FIN, 0, 1, { 0 } } },
	{ "the end without a byte", { SHMUX_FRAME_DATA, FIN, 0, 0, { 0 } } },
	{ "payload with a stop", { SHMUX_FRAME_DATA, STOP, 0, 1, { 0 } } },
	{ "a part", { SHMUX_FRAME_DATA, MORE, 0, 1, { 0 } } },
	{ "a part and the end", { SHMUX_FRAME_DATA, MORE | FIN, 0, 1, { 0 } } },
	{ "abort", { SHMUX_FRAME_DATA, ABORT, 0, 0, { 0 } } },
	{ "abort with payload", { SHMUX_FRAME_DATA, ABORT, 0, 1, { 0 } } },
	{ "abort and the end", { SHMUX_FRAME_DATA, ABORT | FIN, 0, 0, { 0 } } },
	{ "all flags", { SHMUX_FRAME_DATA, 15, 0, 1, { 0 } } },
	{ "a descriptor", { SHMUX_FRAME_DESCRIPTOR, 0, 0, 8, { 12288, 100 } } },
	{ "a descriptor beyond the credit", { SHMUX_FRAME_DESCRIPTOR, 0, 0, 8, { 12288, 257 } } },
	{ "an empty descriptor with abort", { SHMUX_FRAME_DESCRIPTOR, ABORT, 0, 8, { 12288, 0 } } },
	{ "no credit", { SHMUX_FRAME_CREDIT, 0, 0, 4, { 0 } } },
	{ "credit", { SHMUX_FRAME_CREDIT, 0, 0, 4, { 64 } } },
	{ "too much credit", { SHMUX_FRAME_CREDIT, 0, 0, 4, { SHMUX_WINDOW_MAX } } },
	{ "end of nothing", { SHMUX_FRAME_END, 0, 0, 0, { 0 } } },
	{ "half-close", { SHMUX_FRAME_END, FIN, 0, 0, { 0 } } },
	{ "stop", { SHMUX_FRAME_END, STOP, 0, 0, { 0 } } },
	{ "half-close and stop", { SHMUX_FRAME_END, FIN | STOP, 0, 0, { 0 } } },
	{ "end with more", { SHMUX_FRAME_END, FIN | MORE, 0, 0, { 0 } } },
	{ "reset", { SHMUX_FRAME_RESET, 0, 0, 4, { 5 } } },
	{ "blocked", { SHMUX_FRAME_BLOCKED, 0, 0, 4, { 1 } } },
	{ "blocked for everything", { SHMUX_FRAME_BLOCKED, 0, 0, 4, { UINT32_MAX } } },
	{ "refund of nothing", { SHMUX_FRAME_REFUND, 0, 0, 4, { 0 } } },
	{ "refund", { SHMUX_FRAME_REFUND, 0, 0, 4, { 1 } } },
	{ "refund beyond the credit", { SHMUX_FRAME_REFUND, 0, 0, 4, { GRANT + 1 } } },
	{ "refund of everything", { SHMUX_FRAME_REFUND, 0, 0, 4, { UINT32_MAX } } },
};

/* Is it a breach, by a naive reading of the header? */
static bool breach(const struct known *k, const struct frame *f)
{
	bool payload = f->type == SHMUX_FRAME_DATA || f->type == SHMUX_FRAME_DESCRIPTOR;
	uint32_t len = f->type == SHMUX_FRAME_DESCRIPTOR ? f->body[1] : f->len;

	if (f->type == SHMUX_FRAME_OPEN)
		return k->own || k->there || f->body[0] > 1;
	if (f->type == SHMUX_FRAME_END &&
	    (!(f->flags & (FIN | STOP)) || (f->flags & ~(FIN | STOP))))
		return true;
	if (!k->there)
		return false;
	if (f->type == SHMUX_FRAME_END)
		return ((f->flags & FIN) && k->fin) || ((f->flags & STOP) && k->stop);
	if (f->type == SHMUX_FRAME_CREDIT)
		return f->body[0] > SHMUX_WINDOW_MAX - GRANT;
	if (f->type == SHMUX_FRAME_REFUND)
		return f->body[0] > (k->fin ? 0 : GRANT);
	if (!payload)
		return false;
	if (k->fin)
		return true;
	if (f->flags & ABORT)
		return len != 0;
	return (f->flags & STOP) || len > GRANT;
}

TEST_F(peer, every_frame_at_every_stage_of_a_stream_is_taken_passed_over_or_a_breach)
{
	struct shmux_stream *st;
	struct frame f;
	uint32_t id;

	for (int stage = 0; stage < NR_STAGES; stage++) {
		for (size_t i = 0; i < ARRAY_SIZE(frames); i++) {
			join(_metadata, self, variant, &small);
			st = bring(_metadata, self, (enum stage)stage, &id);
			ASSERT_EQ(0, verdict(self));
			f = frames[i].frame;
			f.id = id;
			say_frame(self, &f);
			EXPECT_EQ(breach(&knowledge[stage], &f) ? -EPROTO : 0, verdict(self))
			{
				TH_LOG("%s, to a stream that is %s", frames[i].name, stages[stage]);
			}
			exercise(_metadata, self, st);
			part(self);
		}
	}
	check_friend(_metadata, self);
}

/* What frames can change. */
static struct shmux_stream face(const struct shmux_stream *st)
{
	return (struct shmux_stream){
		.state = st->state,
		.tx_credit = st->tx_credit,
		.rx_granted = st->rx_granted,
		.rx_limit = st->rx_limit,
		.rx_owed = st->rx_owed,
		.rx_queued = st->rx_queued,
	};
}

TEST_F(peer, frames_for_another_stream_that_had_its_index_do_not_touch_a_stream)
{
	const struct known gone = { .there = false };
	struct shmux_stream *st, before, after;
	struct frame f;
	uint32_t id;

	for (size_t i = 0; i < 2 * ARRAY_SIZE(frames); i++) {
		f = frames[i / 2].frame;
		if (f.type == SHMUX_FRAME_OPEN)
			continue;
		join(_metadata, self, variant, &small);
		st = bring(_metadata, self, i % 2 ? OWN : OPENED, &id);
		before = face(st);
		f.id = id + (1u << SHMUX_ID_GEN_SHIFT);
		say_frame(self, &f);
		EXPECT_EQ(breach(&gone, &f) ? -EPROTO : 0, verdict(self));
		after = face(st);
		EXPECT_EQ(0, memcmp(&before, &after, sizeof(after)))
		{
			TH_LOG("%s, of another generation", frames[i / 2].name);
		}
		shmux_stream_close(st);
		part(self);
	}
	check_friend(_metadata, self);
}

/* Two frames more, and what the victim calls in between, in any order. */
TEST_F(peer, frames_in_random_order_end_the_session_at_worst)
{
	uint64_t seed = effort_seed();
	struct shmux_stream *st;
	int nr = effort_is_stress() ? 5000 : (int)effort_count(500), alive = 0;
	struct frame f;
	uint32_t id;

	for (int i = 0; i < nr; i++) {
		join(_metadata, self, variant, &small);
		st = bring(_metadata, self, random_between(&seed, 0, NR_STAGES - 1), &id);
		for (int k = 0; k < 4; k++) {
			f = frames[random_between(&seed, 0, ARRAY_SIZE(frames) - 1)].frame;
			f.id = id;
			say_frame(self, &f);
			if (random_between(&seed, 0, 1))
				verdict(self);
		}
		alive += verdict(self) == 0;
		EXPECT_TRUE(verdict(self) == 0 || verdict(self) == -EPROTO);
		exercise(_metadata, self, st);
		part(self);
	}
	TH_LOG("%d of %d sessions were left alive", alive, nr);
	EXPECT_LT(nr / 20, alive);
	EXPECT_GT(nr * 19 / 20, alive);
}

TEST_F(peer, ids_that_nobody_may_have_are_passed_over_or_a_breach)
{
	static const uint32_t types[] = {
		SHMUX_FRAME_DATA,
		SHMUX_FRAME_CREDIT,
		SHMUX_FRAME_RESET,
		SHMUX_FRAME_BLOCKED,
		SHMUX_FRAME_REFUND,
	};
	uint32_t ids[12], role, i, k, nr = 0;
	struct frame f;

	join(_metadata, self, variant, &small);
	role = foe_id(self, 0) & 1u << SHMUX_ID_ROLE_SHIFT;
	part(self);
	/* Without a generation, of the wrong role, and with indexes too high. */
	ids[nr++] = role;
	ids[nr++] = role | SHMUX_ID_INDEX_MAX;
	ids[nr++] = role ^ (1u << SHMUX_ID_ROLE_SHIFT | 1u << SHMUX_ID_GEN_SHIFT);
	ids[nr++] = role ^ (1u << SHMUX_ID_ROLE_SHIFT);
	for (i = 0; i < nr; i++) {
		join(_metadata, self, variant, &small);
		say_open(self, ids[i]);
		EXPECT_EQ(-EPROTO, verdict(self))
		{
			TH_LOG("an id of %#x", ids[i]);
		}
		part(self);
	}
	/* These can be opened; there is no place for them. */
	join(_metadata, self, variant, &small);
	for (i = 512; i <= SHMUX_ID_INDEX_MAX && nr < ARRAY_SIZE(ids); i = 2 * i + 1) {
		if (i < small.streams_max)
			continue;
		ids[nr++] = role | 1u << SHMUX_ID_GEN_SHIFT | i;
		say_open(self, ids[nr - 1]);
		EXPECT_EQ(0, verdict(self));
		/* An answer for each. */
		EXPECT_EQ(1, far_run(&self->foe, side_hear));
	}
	EXPECT_EQ(0, session_counters(self->s).streams_open);
	for (i = 0; i < nr; i++) {
		for (k = 0; k < ARRAY_SIZE(types); k++) {
			f = (struct frame){ .type = types[k], .id = ids[i], .len = 4 };
			say_frame(self, &f);
		}
		say(self, SHMUX_FRAME_END, FIN, ids[i], 0);
		EXPECT_EQ(0, verdict(self));
	}
	check_alive(_metadata, self, 0);
}

/* It may write over a chunk once it has it back; not what somebody looks at. */
static int64_t side_blot(struct side *side)
{
	struct shmux_region_header *h = attacker_header(side->session);

	memset((char *)h + h->arena_offset, 'y', h->arena_size);
	return 0;
}

TEST_F(peer, peer_that_asks_for_its_chunks_gets_those_that_nobody_looks_at)
{
	enum {
		LEN = 2000
	};
	struct frame f = { .type = SHMUX_FRAME_DESCRIPTOR, .len = 8, .body = { 0, LEN } };
	struct shmux_stream *st[3];
	struct shmux_view view;
	const void *peeked, *again;
	char buf[LEN];

	join(_metadata, self, variant, &roomy);
	for (uint32_t i = 0; i < 3; i++) {
		say_open(self, foe_id(self, i));
		f.id = foe_id(self, i);
		f.body[0] = shmux__shm(self->s->link)->peer_arena_offset + i * SHMUX_BLOCK_SIZE;
		say_frame(self, &f);
		ASSERT_EQ(0, verdict(self));
		st[i] = take_stream(_metadata, self);
	}
	ASSERT_EQ(LEN, shmux_stream_peek(st[1], LEN, &peeked));
	ASSERT_EQ(LEN, shmux_stream_take(st[2], &view, 0));
	EXPECT_EQ(3 * SHMUX_BLOCK_SIZE, self->s->held);
	for (int i = 0; i < 3; i++) {
		say_words(self, SHMUX_FRAME_BLOCKED, 0, 4, i ? UINT32_MAX : 0, 0);
		EXPECT_EQ(0, verdict(self));
		EXPECT_EQ(2 * SHMUX_BLOCK_SIZE, self->s->held);
	}
	far_run(&self->foe, side_blot);
	/* Its own, from before. */
	EXPECT_EQ(LEN, shmux_stream_read(st[0], buf, LEN));
	EXPECT_EQ(0, buf[0] | buf[LEN - 1]);
	/* Where they were. */
	EXPECT_EQ('y', *(const char *)peeked);
	EXPECT_EQ('y', *(const char *)view.data);
	EXPECT_EQ(LEN, shmux_stream_peek(st[1], LEN, &again));
	EXPECT_NE(peeked, again);
	EXPECT_EQ(SHMUX_BLOCK_SIZE, self->s->held);
	shmux_stream_release(st[2], &view);
	EXPECT_EQ(0, self->s->held);
	for (int i = 0; i < 3; i++)
		shmux_stream_close(st[i]);
	check_alive(_metadata, self, 10);
}

TEST_F(peer, chunk_beyond_the_credit_is_a_breach_to_a_reader_who_takes_them_as_they_come_too)
{
	struct frame f = { .type = SHMUX_FRAME_DESCRIPTOR, .len = 8 };
	struct shmux_stream *st;
	char buf[8192];

	join(_metadata, self, variant, &small);
	f.id = foe_id(self, 0);
	f.body[0] = shmux__shm(self->s->link)->peer_arena_offset;
	say_open(self, f.id);
	ASSERT_EQ(0, verdict(self));
	st = take_stream(_metadata, self);
	for (uint32_t len = SHMUX_CREDIT_MIN; len < SHMUX_CREDIT_MIN + 3; len++) {
		f.body[1] = len;
		say_frame(self, &f);
		ASSERT_EQ((ssize_t)len, shmux_stream_read(st, buf, sizeof(buf)));
		ASSERT_TRUE(self->s->few);
	}
	/* As it is by now: it grows with use. */
	f.body[1] = st->rx_granted + 1;
	ASSERT_LE(f.body[1], sizeof(buf));
	say_frame(self, &f);
	EXPECT_EQ(-EPROTO, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);
	part(self);
	check_friend(_metadata, self);
}

TEST_F(peer, pong_that_was_not_asked_for_is_a_breach)
{
	join(_metadata, self, variant, &small);
	EXPECT_EQ(-ETIMEDOUT, shmux_session_ping(self->s, PAST, NULL));
	say_words(self, SHMUX_FRAME_PONG, 0, 8, 0, 0);
	say_words(self, SHMUX_FRAME_PONG, 0, 8, 1, 0);
	say_words(self, SHMUX_FRAME_PONG, 0, 8, 1, 0);
	EXPECT_EQ(0, verdict(self));
	say_words(self, SHMUX_FRAME_PONG, 0, 8, 2, 0);
	EXPECT_EQ(-EPROTO, verdict(self));
	part(self);
	join(_metadata, self, variant, &small);
	EXPECT_EQ(-ETIMEDOUT, shmux_session_ping(self->s, PAST, NULL));
	say_words(self, SHMUX_FRAME_PONG, 0, 8, 1, 1);
	EXPECT_EQ(-EPROTO, verdict(self));
}

TEST_F(peer, pong_that_comes_late_takes_no_answer_back)
{
	join(_metadata, self, variant, &small);
	EXPECT_EQ(-ETIMEDOUT, shmux_session_ping(self->s, PAST, NULL));
	EXPECT_EQ(-ETIMEDOUT, shmux_session_ping(self->s, PAST, NULL));
	say_words(self, SHMUX_FRAME_PONG, 0, 8, 2, 0);
	say_words(self, SHMUX_FRAME_PONG, 0, 8, 1, 0);
	EXPECT_EQ(0, verdict(self));
	EXPECT_EQ(2, self->s->ping_answered);
}

/* The token of the next pong that is there, or 0. */
static int64_t side_hear_pong(struct side *side)
{
	struct shmux__frame f;

	while (shmux__link_receive(side->session->link, &f) > 0)
		if (f.type == SHMUX_FRAME_PONG)
			return (int64_t)((uint64_t)f.value[1] << 32 | f.value[0]);
	return 0;
}

TEST_F(peer, pong_says_just_what_the_ping_said)
{
	join(_metadata, self, variant, &small);
	say_words(self, SHMUX_FRAME_PING, 0, 8, 0x89abcdef, 0x01234567);
	EXPECT_EQ(0, verdict(self));
	EXPECT_EQ(0x0123456789abcdef, far_run(&self->foe, side_hear_pong));
}

TEST_F(peer, pings_and_go_aways_without_end_have_one_answer_a_call)
{
	uint64_t sent;

	join(_metadata, self, variant, &small);
	for (uint32_t i = 0; i < 1000; i++) {
		say_words(self, SHMUX_FRAME_PING, 0, 8, i, ~i);
		say_words(self, SHMUX_FRAME_GOAWAY, 0, 4, i, 0);
		if (i % 16)
			continue;
		sent = session_counters(self->s).frames_sent;
		EXPECT_EQ(SHMUX_SESSION_GOING_AWAY, shmux_session_state(self->s));
		EXPECT_GE(sent + 1, session_counters(self->s).frames_sent);
		far_run(&self->foe, side_hear);
	}
	EXPECT_EQ(0, verdict(self));
}

/* --- opening without end -------------------------------------------------- */

struct opening {
	uint32_t nr;
	bool hears; /* the answers */
	bool takes_back;
};

/* Open @nr streams, each with another id. */
static int64_t side_open_many(struct side *side)
{
	const struct opening *opening = side->in;
	struct shmux_session *s = side->session;
	struct shmux_body_open body = { 0 };
	struct shmux_body_u32 code = { 7 };
	uint32_t i, id;

	for (i = 0; i < opening->nr; i++) {
		id = attacker_id(s, i % 1000, 1 + i / 1000 % SHMUX_ID_GEN_MASK);
		if (opening->hears && i % 64 == 0)
			attacker_hear(s);
		if (!attacker_wait_room(s, 2, opening->hears))
			return i;
		attacker_add(s, SHMUX_FRAME_OPEN, 0, id, &body, sizeof(body));
		if (opening->takes_back)
			attacker_add(s, SHMUX_FRAME_RESET, 0, id, &code, sizeof(code));
	}
	attacker_publish(s);
	return i;
}

/* Serve until the foe has done, with an event loop; look at what it costs. */
static void serve(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self, uint64_t allowed)
{
	struct shmux_event events[8];
	uint64_t before = allocated(), most = 0, frames = 0, begun, longest = 0, seen;

	for (int i = 0; !far_is_done(&self->foe) && !self->s->error; i++) {
		begun = cpu_time();
		shmux_session_pump(self->s, events, 8);
		if (cpu_time() - begun > longest)
			longest = cpu_time() - begun;
		seen = self->s->counters.frames_received - frames;
		frames += seen;
		EXPECT_GE(128, seen);
		if (i % 32 == 0 && allocated() > before + most)
			most = allocated() - before;
		if (i % 1024 == 0)
			check_friend(_metadata, self);
	}
	TH_LOG("%llu KiB, %llu us of CPU for the longest call", (unsigned long long)most / 1024,
	       (unsigned long long)longest / 1000);
	EXPECT_GE(allowed, most);
	EXPECT_GE(effort_bound(50 * MSEC), longest);
}

/* As small, with a ring that is worth a look. */
static const struct shmux_session_options busy = {
	.size = sizeof(busy),
	.ring_slots = 4096,
	.arena_size = 65536,
	.window = 65536,
	.budget = 1u << 20,
	.backlog = 8,
	.streams_max = 1024,
	.peer_size_max = 1u << 20,
};

/* A million, by one way of joining. */
#define NR_OPENS (variant->listens ? 50000 : 1000000)

/* So many that wait, each a small object; the tables; the answers. */
#define OPEN_ALLOWED (small.streams_max * 512u + 200000u)

TEST_F_TIMEOUT(peer, opens_without_end_are_refused_beyond_the_backlog_in_bounded_memory,
	       EFFORT_TIMEOUT)
{
	struct opening opening = { .nr = NR_OPENS, .hears = true };

	join(_metadata, self, variant, &busy);
	far_begin(&self->foe, side_open_many, &opening, sizeof(opening), 0);
	serve(_metadata, self, OPEN_ALLOWED);
	EXPECT_EQ(opening.nr, far_finish(&self->foe, NULL));
	EXPECT_EQ(0, verdict(self));
	EXPECT_EQ(small.backlog, session_counters(self->s).accept_depth);
}

/* As a program that never looks whether it was refused. */
static int64_t side_open_honestly(struct side *side)
{
	uint32_t nr = *(const uint32_t *)side->in, i;
	struct shmux_stream *st;

	for (i = 0; i < nr; i++) {
		SIDE_EQ(0, shmux_session_open(side->session, 0, &st));
		if (i % 2)
			shmux_stream_close(st);
		else
			side_add(side, st);
		if (side->nr_streams == 1000)
			while (side->nr_streams)
				shmux_stream_close(side->streams[--side->nr_streams]);
	}
	return i;
}

TEST_F_TIMEOUT(peer, greedy_peer_that_is_refused_a_hundred_thousand_times_is_not_a_hostile_one,
	       EFFORT_TIMEOUT)
{
	struct shmux_session_options options = small;
	uint32_t nr = 100000;

	options.streams_max = 4096;
	join(_metadata, self, variant, &options);
	far_begin(&self->foe, side_open_honestly, &nr, sizeof(nr), 0);
	serve(_metadata, self, OPEN_ALLOWED);
	EXPECT_EQ(nr, far_finish(&self->foe, NULL));
	EXPECT_EQ(0, verdict(self));
}

static int64_t side_open_at_once(struct side *side)
{
	uint32_t nr = *(const uint32_t *)side->in;
	struct shmux_stream *st;

	for (uint32_t i = 0; i < nr; i++) {
		SIDE_EQ(0, shmux_session_open(side->session, 0, &st));
		side_add(side, st);
	}
	return nr;
}

static int64_t side_nr_refused(struct side *side)
{
	int64_t nr = 0;
	uint32_t code;

	SIDE_TRUE(shmux_session_pump(side->session, &(struct shmux_event){ 0 }, 1) >= 0);
	for (size_t i = 0; i < side->nr_streams; i++)
		nr += !shmux_stream_reset_code(side->streams[i], &code) &&
		      code == SHMUX_CODE_BACKLOG;
	return nr;
}

TEST_F(peer, greedy_peer_that_opens_a_whole_ring_at_once_is_not_a_hostile_one)
{
	struct shmux_session_options victims = small, options;
	uint32_t nr = 16000;

	victims.peer_size_max = 4u << 20;
	options = victims;
	options.ring_slots = 16384;
	options.streams_max = 16384;
	options.budget = 16384 * GRANT;
	options.message_max = GRANT;
	join_with(_metadata, self, variant, &victims, &options);
	EXPECT_EQ(nr, far_call(&self->foe, side_open_at_once, &nr, sizeof(nr), NULL, 0));
	/* The answers do not fit into the victim's ring. */
	do {
		ASSERT_EQ(0, verdict(self));
	} while (far_run(&self->foe, side_nr_refused) < nr - small.backlog &&
		 session_counters(self->s).frames_sent < nr);
	EXPECT_EQ(nr - small.backlog, far_run(&self->foe, side_nr_refused));
}

TEST_F_TIMEOUT(peer, streams_opened_and_taken_back_without_end_leave_nothing, EFFORT_TIMEOUT)
{
	struct opening opening = { .nr = NR_OPENS, .hears = true, .takes_back = true };
	struct shmux_stream *st;

	join(_metadata, self, variant, &busy);
	far_begin(&self->foe, side_open_many, &opening, sizeof(opening), 0);
	serve(_metadata, self, OPEN_ALLOWED);
	EXPECT_EQ(opening.nr, far_finish(&self->foe, NULL));
	EXPECT_EQ(0, verdict(self));
	EXPECT_EQ(-EAGAIN, shmux_session_accept(self->s, SHMUX_NOWAIT, &st));
	EXPECT_EQ(0, session_counters(self->s).streams_open);
	EXPECT_EQ(0, session_counters(self->s).granted);
	check_alive(_metadata, self, 0);
}

TEST_F(peer, opens_without_end_whose_answers_are_not_read_end_the_session)
{
	struct opening opening = { .nr = NR_OPENS, .takes_back = true };

	join(_metadata, self, variant, &small);
	far_begin(&self->foe, side_open_many, &opening, sizeof(opening), 0);
	serve(_metadata, self, OPEN_ALLOWED);
	EXPECT_GT(10000, far_finish(&self->foe, NULL));
	EXPECT_EQ(-EPROTO, verdict(self));
}

TEST_HARNESS_MAIN
