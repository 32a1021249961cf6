/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * foe.h - a victim, its hostile peer, and a friend
 *
 * The foe is a child that is really the peer of a session of this process, the
 * victim's, and says there what it is told to (attacker.h). Beside it the victim
 * has a friend: a session with another child, whose bytes must stay right
 * throughout. At worst the victim's session with the foe ends with -EPROTO.
 */
#ifndef TESTS_TRUST_FOE_H
#define TESTS_TRUST_FOE_H

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <time.h>

#include "harness.h"

#include "attacker.h"
#include "effort.h"
#include "over.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define PAST 1u /* a deadline that is over */
#define GRANT 256u /* the first grant, on both sides */

FIXTURE(peer)
{
	int nr_fds;
	struct far foe;
	struct pair friend;
	struct shmux_stream *friendly; /* echoed by the friend */
	uint64_t position; /* in the pattern on it */
	struct shmux_session *s; /* with the foe */
	uint64_t random;
};

FIXTURE_VARIANT(peer)
{
	bool listens; /* the victim; else it dials */
};

FIXTURE_VARIANT_ADD(peer, dialled){
	.listens = false,
};

FIXTURE_VARIANT_ADD(peer, listening){
	.listens = true,
};

FIXTURE_SETUP(peer)
{
	self->nr_fds = process_nr_fds();
	self->random = 1;
	ASSERT_EQ(0, pair_open(&self->friend, PAIR_TWO_PROCESSES, NULL, NULL));
	ASSERT_EQ(0, pair_open_stream(&self->friend, 0, &self->friendly));
	far_begin(&self->friend.far, side_echo, NULL, 0, 0);
	ASSERT_EQ(0, far_start(&self->foe, FAR_CHILD));
}

/* What the friend echoes is what it was sent. */
static inline void check_friend(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self)
{
	char buf[3000];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	shmux_stream_set_deadline(self->friendly, SHMUX_READ | SHMUX_WRITE,
				  shmux_now() + LONG_ENOUGH);
	pattern_fill(buf, sizeof(buf), self->position, 7);
	ASSERT_EQ(sizeof(buf), shmux_stream_write(self->friendly, buf, sizeof(buf)));
	memset(buf, 0, sizeof(buf));
	ASSERT_EQ(sizeof(buf), shmux_stream_recv(self->friendly, &iov, 1, SHMUX_WAITALL));
	ASSERT_EQ(-1, pattern_check(buf, sizeof(buf), self->position, 7));
	self->position += sizeof(buf);
}

FIXTURE_TEARDOWN(peer)
{
	if (_metadata->aborted) {
		far_kill(&self->foe);
		pair_abandon(&self->friend);
		return;
	}
	shmux_session_close(self->s, 0);
	check_friend(_metadata, self);
	EXPECT_EQ(0, shmux_stream_shutdown(self->friendly, SHMUX_WRITE));
	EXPECT_EQ((int64_t)self->position, far_finish(&self->friend.far, NULL));
	shmux_stream_close(self->friendly);
	EXPECT_EQ(0, far_stop(&self->foe));
	EXPECT_EQ(0, pair_close(&self->friend));
	EXPECT_EQ(self->nr_fds, process_nr_fds());
}

/* --- joining -------------------------------------------------------------- */

struct recipe {
	struct shmux_session_options options;
	char name[NAME_SIZE];
};

static inline int64_t side_listen(struct side *side)
{
	const struct recipe *recipe = side->in;
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.session = &recipe->options,
	};

	return shmux_listener_open(recipe->name, &options, &side->listener);
}

static inline int64_t side_accept_session(struct side *side)
{
	int ret = shmux_listener_accept_session(side->listener, 0, &side->session);

	shmux_listener_close(side->listener);
	side->listener = NULL;
	return ret;
}

static inline int64_t side_dial(struct side *side)
{
	const struct recipe *recipe = side->in;

	return shmux_session_dial(recipe->name, &recipe->options, shmux_now() + LONG_ENOUGH,
				  &side->session);
}

static inline int64_t side_part(struct side *side)
{
	shmux_session_close(side->session, 0);
	side->session = NULL;
	return 0;
}

/* A session that ends is let go on both sides. */
static inline void part(FIXTURE_DATA(peer) *self)
{
	shmux_session_close(self->s, 0);
	self->s = NULL;
	far_run(&self->foe, side_part);
}

/* A session between victim and foe. */
static inline void join_with(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self,
			     const FIXTURE_VARIANT(peer) *variant,
			     const struct shmux_session_options *victims,
			     const struct shmux_session_options *foes)
{
	struct recipe recipe = { .options = *foes };
	struct shmux_listener_options listening = {
		.size = sizeof(listening),
		.session = victims,
	};
	struct shmux_listener *l;

	over_name(recipe.name);
	if (variant->listens) {
		ASSERT_EQ(0, shmux_listener_open(recipe.name, &listening, &l));
		far_begin(&self->foe, side_dial, &recipe, sizeof(recipe), 0);
		ASSERT_EQ(0, shmux_listener_accept_session(l, 0, &self->s));
		shmux_listener_close(l);
	} else {
		ASSERT_EQ(0, far_call(&self->foe, side_listen, &recipe, sizeof(recipe), NULL, 0));
		far_begin(&self->foe, side_accept_session, NULL, 0, 0);
		ASSERT_EQ(0, shmux_session_dial(recipe.name, victims, shmux_now() + LONG_ENOUGH,
						&self->s));
	}
	ASSERT_EQ(0, far_finish(&self->foe, NULL));
}

/* The same, with these options on both sides. */
static inline void join(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self,
			const FIXTURE_VARIANT(peer) *variant,
			const struct shmux_session_options *options)
{
	join_with(_metadata, self, variant, options, options);
}

static const __attribute__((unused)) struct shmux_session_options small = {
	.size = sizeof(small),
	.ring_slots = 64,
	.arena_size = 65536,
	.window = 65536,
	.budget = 1u << 20,
	.backlog = 8,
	.streams_max = 1024,
	.peer_size_max = 1u << 20,
};

/* Much room, and all the credit at once. */
static const __attribute__((unused)) struct shmux_session_options roomy = {
	.size = sizeof(roomy),
	.window = 1u << 20,
	.first_grant = 1u << 20,
	.streams_max = 16,
};

/* --- what the foe does ---------------------------------------------------- */

struct frame {
	uint32_t type, flags, id, len;
	uint32_t body[80];
};

static inline int64_t side_say(struct side *side)
{
	const struct frame *f = side->in;

	attacker_say(side->session, f->type, f->flags, f->id, f->body, f->len);
	return 0;
}

static inline void say_frame(FIXTURE_DATA(peer) *self, const struct frame *f)
{
	far_call(&self->foe, side_say, f, sizeof(*f), NULL, 0);
}

static inline void say(FIXTURE_DATA(peer) *self, uint32_t type, uint32_t flags, uint32_t id,
		       uint32_t len)
{
	struct frame f = { .type = type, .flags = flags, .id = id, .len = len };

	memset(f.body, 'x', sizeof(f.body));
	say_frame(self, &f);
}

static inline void say_words(FIXTURE_DATA(peer) *self, uint32_t type, uint32_t id, uint32_t len,
			     uint32_t first, uint32_t second)
{
	struct frame f = { .type = type, .id = id, .len = len, .body = { first, second } };

	say_frame(self, &f);
}

#define say_open(self, id) say_words(self, SHMUX_FRAME_OPEN, id, 8, 0, 0)
#define say_open_messages(self, id) say_words(self, SHMUX_FRAME_OPEN, id, 8, 1, 0)

/* A word of the foe's region, by its offset. */
struct word {
	uint32_t offset, value;
};

static inline int64_t side_write_word(struct side *side)
{
	const struct word *w = side->in;
	char *region = attacker_shm(side->session)->region->own;

	shmux_store_release((uint32_t *)(void *)(region + w->offset), w->value);
	return 0;
}

static inline void write_word(FIXTURE_DATA(peer) *self, uint32_t offset, uint32_t value)
{
	struct word w = { offset, value };

	far_call(&self->foe, side_write_word, &w, sizeof(w), NULL, 0);
}

#define HEADER(member) offsetof(struct shmux_region_header, member)

static inline int64_t side_hear(struct side *side)
{
	return attacker_hear(side->session);
}

/* An id of the foe's, as its peer sees it. */
static inline uint32_t foe_id(FIXTURE_DATA(peer) *self, uint32_t index)
{
	uint32_t role = !shmux_session_role(self->s);

	return role << SHMUX_ID_ROLE_SHIFT | 1u << SHMUX_ID_GEN_SHIFT | index;
}

/* --- what the victim does ------------------------------------------------- */

/* What ended the session, if it has ended; takes note first of all there is. */
static inline int verdict(FIXTURE_DATA(peer) *self)
{
	uint64_t before, after = session_counters(self->s).frames_received;

	do {
		before = after;
		if (shmux_session_state(self->s) == SHMUX_SESSION_DEAD)
			break;
		after = session_counters(self->s).frames_received;
	} while (before != after);
	return self->s->error;
}

static inline struct shmux_stream *take_stream(struct __test_metadata *_metadata,
					       FIXTURE_DATA(peer) *self)
{
	struct shmux_stream *st = NULL;

	EXPECT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT, &st));
	return st;
}

/* What a call on a session with a hostile peer may return besides success. */
static inline bool may_be(ssize_t ret)
{
	switch (-ret) {
	case EPROTO:
	case ECONNRESET:
	case EAGAIN:
	case ETIMEDOUT:
	case EPIPE:
	case ENODATA:
	case EMSGSIZE:
	case ESHUTDOWN:
	case ENOSPC:
		return true;
	default:
		return ret >= 0;
	}
}

#define EXPECT_MAY_BE(call)                             \
	do {                                            \
		ssize_t ret_ = (call);                  \
                                                        \
		EXPECT_TRUE(may_be(ret_))               \
		{                                       \
			TH_LOG("%s: %zd", #call, ret_); \
		}                                       \
	} while (0)

/* Everything that can be called, once; nothing waits. */
static inline void exercise(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self,
			    struct shmux_stream *st)
{
	static char buf[100000];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct shmux_stream *new;
	struct shmux_event events[4];
	struct shmux_view view;
	struct shmux_span span;
	const void *data;
	uint32_t code;

	EXPECT_MAY_BE(shmux_session_set_deadline(self->s, PAST));
	while (!shmux_session_accept(self->s, SHMUX_NOWAIT, &new))
		shmux_stream_close(new);
	if (st) {
		EXPECT_EQ(0, shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, PAST));
		EXPECT_MAY_BE(shmux_stream_next_len(st));
		EXPECT_MAY_BE(shmux_stream_try_read(st, buf, 1));
		EXPECT_MAY_BE(shmux_stream_peek(st, 20, &data));
		EXPECT_MAY_BE(shmux_stream_read(st, buf, 3));
		if (shmux_stream_take(st, &view, 0) >= 0)
			shmux_stream_release(st, &view);
		EXPECT_MAY_BE(shmux_stream_discard(st, 5));
		EXPECT_MAY_BE(shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL));
		EXPECT_MAY_BE(shmux_stream_write(st, buf, 10));
		EXPECT_MAY_BE(shmux_stream_write(st, buf, sizeof(buf)));
		EXPECT_MAY_BE(shmux_stream_try_write(st, buf, sizeof(buf)));
		if (!shmux_stream_reserve(st, 100, &span, 0))
			EXPECT_MAY_BE(shmux_stream_submit(st, &span, 100, 0));
		if (!shmux_stream_reserve(st, 5000, &span, SHMUX_NOWAIT))
			shmux_stream_cancel(st, &span);
		EXPECT_MAY_BE(shmux_stream_reset_code(st, &code));
	}
	EXPECT_MAY_BE(shmux_session_ping(self->s, PAST, NULL));
	EXPECT_MAY_BE(shmux_session_pump(self->s, events, 4));
	EXPECT_MAY_BE(shmux_session_drain(self->s, PAST));
	if (st) {
		EXPECT_MAY_BE(shmux_stream_shutdown(st, SHMUX_WRITE));
		shmux_stream_close(st);
	}
}

/* The session with the foe still carries bytes both ways. */
static inline void check_alive(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self,
			       uint32_t index)
{
	uint32_t id = foe_id(self, index);
	struct shmux_stream *st;
	char buf[64];

	far_run(&self->foe, side_hear);
	say_open(self, id);
	say(self, SHMUX_FRAME_DATA, SHMUX_FLAG_FIN, id, 64);
	ASSERT_EQ(0, verdict(self));
	st = take_stream(_metadata, self);
	ASSERT_NE(NULL, st);
	ASSERT_EQ(64, shmux_stream_try_read(st, buf, sizeof(buf)));
	EXPECT_EQ('x', buf[0]);
	EXPECT_EQ('x', buf[63]);
	EXPECT_EQ(0, shmux_stream_try_read(st, buf, sizeof(buf)));
	EXPECT_EQ(5, shmux_stream_try_write(st, "hello", 5));
	shmux_stream_close(st);
	/* The payload and the end, at least. */
	EXPECT_LE(2, far_run(&self->foe, side_hear));
}

/* --- writers ---------- */

/* More credit than there is ring or arena. */
static const __attribute__((unused)) struct shmux_session_options tight = {
	.size = sizeof(tight),
	.ring_slots = 64,
	.arena_size = 65536,
	.window = 1u << 20,
	.first_grant = 1u << 20,
	.budget = 16u << 20,
	.streams_max = 8,
	.peer_size_max = 1u << 20,
};

static inline ssize_t fill_ring(struct shmux_stream *st)
{
	ssize_t n;

	while ((n = shmux_stream_try_write(st, "hello", 5)) > 0)
		;
	return n;
}

static inline int64_t side_kick(struct side *side)
{
	attacker_publish(side->session);
	return 0;
}

/* Put words into the return ring: blocks, with the right tags. */
static inline int64_t side_return(struct side *side)
{
	const uint32_t *block = side->in;

	for (size_t i = 0; i < side->in_len / sizeof(*block); i++)
		side->session->link->ops->chunk_return(side->session->link, block[i]);
	attacker_publish(side->session);
	return 0;
}

#define give_back(self, ...)                                                            \
	do {                                                                            \
		uint32_t blocks_[] = { __VA_ARGS__ };                                   \
                                                                                        \
		far_call(&(self)->foe, side_return, blocks_, sizeof(blocks_), NULL, 0); \
	} while (0)

/* The first block of the victim's arena, from its region's start. */
static inline uint32_t first_block(FIXTURE_DATA(peer) *self)
{
	return attacker_header(self->s)->arena_offset / SHMUX_BLOCK_SIZE;
}

/* --- measures ----------- */

/* The sanitizer's; it is there only in a build with it. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/* Bytes that this process has from malloc(). */
static inline uint64_t allocated(void)
{
	struct mallinfo2 info;

	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	info = mallinfo2();
	return info.uordblks + info.hblkhd;
}

/* CPU time of this thread, ns. */
static inline uint64_t cpu_time(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
}

/* What it cannot tell apart: User-Mode Linux counts it in ticks. */
static inline __attribute__((unused)) uint64_t cpu_time_step(void)
{
	uint64_t begun = cpu_time(), now;

	do {
		now = cpu_time();
	} while (now == begun);
	return now - begun;
}

#endif /* TESTS_TRUST_FOE_H */
