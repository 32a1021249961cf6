// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * link.c - fuzzes the shared-memory link and the session upon it
 * PROVES: whatever_a_peer_does_in_its_region_the_victim_stays_whole
 *
 * The input is what a hostile peer does and when: a program of moves (moves.h) in
 * its region (records with right tags, so that they are read; chunks given back,
 * its index, its armed word, its last words, any word at all) and of calls of
 * the victim's program. While a call sleeps the peer goes on, as other threads
 * of the victim do; each sleep takes a move, and with the last one the peer dies,
 * so that nothing blocks for ever. The clock is the input's, too.
 *
 * After each call: what the session has counted is what is there, and within
 * what it has promised; its error is the peer's fault or the peer's death; what
 * it said is what an honest peer understands; what it lent the caller is
 * readable.
 */
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <time.h>

#include "core/core.h"
#include "core/options.h"
#include "core/rx.h"
#include "core/wait.h"

#include "moves.h"

#define SLOTS 64u
#define ARENA 65536u
#define BLOCKS (ARENA / SHMUX_BLOCK_SIZE)
#define STREAMS_MAX 8u
#define HANDLES 8
#define LENT_MAX 2
#define CALL_MAX (128u << 10)

#define MSEC UINT64_C(1000000)

/* One stream of the caller's. */
struct handle {
	struct shmux_stream *st;
	struct shmux_view views[LENT_MAX];
	struct shmux_span spans[LENT_MAX];
	const char *peeked; /* valid until the next call that reads */
	size_t peeked_len;
	bool in_call; /* which sleeps just now */
};

struct game {
	struct input in, args; /* all that is left, and the last move's own */
	struct shmux__region region;
	struct shmux_session *s;
	struct shmux__shm *shm;
	struct shmux_session_options options;
	struct handle handles[HANDLES];
	uint32_t role; /* the victim's */
	int depth; /* calls that sleep */
	bool said_close; /* the victim did */
	uint32_t nr_hang_ups, nr_closes;
	struct shmux_region_header constants;

	/* The peer. */
	char *theirs;
	struct shmux_region_header *header;
	uint32_t at; /* of its next record */
	uint32_t returns_at, armed;
	uint32_t chunks_at[SLOTS]; /* descriptors that are not read yet */
	uint32_t nr_chunks, nr_taken;
	bool no_block; /* the return word @no_block_at names none */
	uint32_t no_block_at;
	bool dead;
	bool crooked; /* words of its rings are not where it thinks */
	struct wrong {
		bool is; /* the record at @at is a breach */
		uint32_t at;
		uint32_t id; /* if this stream is there; 0: in any case */
		uint64_t nr_opened; /* until then */
	} wrong;

	/* An honest reader of what the victim says. */
	struct shmux__consumer ear;
	uint32_t ear_at;
	bool deaf; /* it has missed something */
	bool lies; /* chunks were given back that were not lent */
	uint32_t lent[BLOCKS]; /* blocks of the chunk that starts here */
};

static struct shared own, peer;
static int readable_fd;
static char buffer[CALL_MAX];
static uint64_t now;
static bool running;

static struct game *game_of(struct shmux__region *r)
{
	return shmux_container_of(r, struct game, region);
}

/* --- the clock ------------------------------------------------------------ */

int clock_gettime(clockid_t clock, struct timespec *ts)
{
	if (!running || clock != CLOCK_MONOTONIC)
		return (int)syscall(SYS_clock_gettime, clock, ts);
	now += 10000;
	*ts = (struct timespec){
		.tv_sec = (time_t)(now / SHMUX_NSEC_PER_SEC),
		.tv_nsec = (long)(now % SHMUX_NSEC_PER_SEC),
	};
	return 0;
}

int sched_getcpu(void)
{
	return 0;
}

/* --- what the victim says ------------------------------------------------- */

static void hear_chunk(struct game *g, const uint32_t *slot)
{
	uint32_t offset = slot[2], len = slot[3], first, nr, i;

	HOLD(offset >= g->constants.arena_offset && len <= ARENA);
	offset -= g->constants.arena_offset;
	HOLD(offset % SHMUX_BLOCK_SIZE == 0 && offset < ARENA && len <= ARENA - offset);
	first = offset / SHMUX_BLOCK_SIZE;
	/* An empty message may be sent so, too. */
	nr = len ? (len + SHMUX_BLOCK_SIZE - 1) / SHMUX_BLOCK_SIZE : 1;
	if (g->lies)
		return;
	for (i = 0; i < BLOCKS; i++)
		HOLD(!g->lent[i] || i >= first + nr || i + g->lent[i] <= first);
	g->lent[first] = nr;
}

static bool has_form(uint32_t type, uint32_t len, uint32_t len_max)
{
	static const int8_t body_len[] = {
		[SHMUX_FRAME_CONT] = -2,  [SHMUX_FRAME_OPEN] = 8,	[SHMUX_FRAME_DATA] = -1,
		[SHMUX_FRAME_CREDIT] = 4, [SHMUX_FRAME_DESCRIPTOR] = 8, [SHMUX_FRAME_END] = 0,
		[SHMUX_FRAME_RESET] = 4,  [SHMUX_FRAME_BLOCKED] = 4,	[SHMUX_FRAME_GOAWAY] = 4,
		[SHMUX_FRAME_PING] = 8,	  [SHMUX_FRAME_PONG] = 8,	[SHMUX_FRAME_REFUND] = 4,
	};

	if (type > SHMUX_FRAME_REFUND)
		return false;
	return body_len[type] == -1 ? len <= len_max : (int)len == body_len[type];
}

/* All that it has published since the last time. */
static void hear(struct game *g)
{
	/*
	 * An index ahead of its time lets the victim go round without a halt, also
	 * with what it has written and not yet published.
	 */
	if (g->shm->tx.next - g->ear.next > SLOTS)
		g->deaf = g->lies = true;
	while (!g->deaf && g->ear.next != g->shm->tx.published) {
		uint32_t word = shmux__consumer_word(&g->ear);
		uint32_t type = (word & SHMUX_WORD_TYPE) >> SHMUX_WORD_TYPE_SHIFT;
		uint32_t len = word >> SHMUX_WORD_LEN_SHIFT;

		HOLD(!(word & SHMUX_WORD_TAG));
		HOLD(has_form(type, len, 4096));
		if (type == SHMUX_FRAME_DESCRIPTOR)
			hear_chunk(g, shmux__consumer_slot(&g->ear, g->ear.next));
		g->ear.next += shmux__ring_slots(len);
		HOLD(g->shm->tx.published - g->ear.next <= SLOTS);
	}
}

/* --- what the peer does --------------------------------------------------- */

/*
 * Whose stream: bits 0 to 2 the index, 3 and 4 the generation after 1, 7 the
 * victim's own ids; with 5 and 6 one that no table can have.
 */
static uint32_t read_id(struct game *g)
{
	static const uint32_t wild[] = {
		0,
		STREAMS_MAX,
		SHMUX_ID_INDEX_MAX,
		SHMUX_ID_GEN_MASK << SHMUX_ID_GEN_SHIFT,
		1u << SHMUX_ID_GEN_SHIFT | STREAMS_MAX,
		1u << SHMUX_ID_GEN_SHIFT | 64,
		1u << SHMUX_ID_GEN_SHIFT | SHMUX_ID_INDEX_MAX,
		SHMUX_ID_GEN_MASK << SHMUX_ID_GEN_SHIFT | SHMUX_ID_INDEX_MAX,
	};
	uint8_t b = input_u8(&g->args);
	uint32_t role = (b & 0x80 ? g->role : !g->role) << SHMUX_ID_ROLE_SHIFT;

	if ((b & 0x60) == 0x60)
		return (b & 8 ? 0 : role) | wild[b & 7];
	return role | ((b >> 3 & 3) + 1u) << SHMUX_ID_GEN_SHIFT | (b & 7);
}

static uint32_t *their_slot(struct game *g, uint32_t index)
{
	return (uint32_t *)(void *)(g->theirs + g->header->ring_offset) +
	       (size_t)(index & (SLOTS - 1)) * (SHMUX_SLOT_SIZE / 4);
}

static uint32_t their_tag(uint32_t index)
{
	return SHMUX_TAG(index, (uint32_t)__builtin_ctz(SLOTS));
}

/* A chunk begins with a block of the arena, and ends in it. */
static bool is_chunk(const struct game *g, uint32_t offset, uint32_t len)
{
	uint32_t begin = g->constants.arena_offset;

	return offset >= begin && offset < begin + ARENA && offset % SHMUX_BLOCK_SIZE == 0 &&
	       len <= begin + ARENA - offset;
}

/* What no peer may say, whatever it has said before. */
static bool is_wrong(const struct game *g, uint32_t word, uint32_t id, uint32_t a, uint32_t b)
{
	uint32_t type = (word & SHMUX_WORD_TYPE) >> SHMUX_WORD_TYPE_SHIFT;
	uint32_t flags = word >> SHMUX_WORD_FLAGS_SHIFT & 0xf, len = word >> SHMUX_WORD_LEN_SHIFT;

	if (!has_form(type, len, UINT16_MAX) || shmux__ring_slots(len) > SLOTS / 2)
		return true;
	switch (type) {
	case SHMUX_FRAME_DESCRIPTOR:
		return !is_chunk(g, a, b);
	case SHMUX_FRAME_OPEN:
		return id >> SHMUX_ID_ROLE_SHIFT == g->role ||
		       !(id >> SHMUX_ID_GEN_SHIFT & SHMUX_ID_GEN_MASK) ||
		       (a & ~SHMUX_OPEN_MESSAGES);
	case SHMUX_FRAME_END:
		return !flags || (flags & ~(SHMUX_FLAG_FIN | SHMUX_FLAG_STOP));
	default:
		return false;
	}
}

static struct shmux_stream *stream_of(const struct game *g, uint32_t id)
{
	return shmux__session_find(g->s, id);
}

/* What it may not say of a stream that is there, given what it has said. */
static bool is_wrong_now(const struct game *g, uint32_t word, uint32_t id, uint32_t b)
{
	const struct shmux_stream *st = stream_of(g, id);
	uint32_t flags = word >> SHMUX_WORD_FLAGS_SHIFT & 0xf, len = word >> SHMUX_WORD_LEN_SHIFT;

	if (!st)
		return false;
	switch ((word & SHMUX_WORD_TYPE) >> SHMUX_WORD_TYPE_SHIFT) {
	case SHMUX_FRAME_DESCRIPTOR:
		len = b;
		/* fallthrough */
	case SHMUX_FRAME_DATA:
		return (st->state & STREAM_FIN_RECEIVED) ||
		       (flags & SHMUX_FLAG_ABORT ? len : flags & SHMUX_FLAG_STOP);
	case SHMUX_FRAME_END:
		return ((flags & SHMUX_FLAG_FIN) && (st->state & STREAM_FIN_RECEIVED)) ||
		       ((flags & SHMUX_FLAG_STOP) && (st->state & STREAM_STOP_RECEIVED));
	default:
		return false;
	}
}

static bool is_read(const struct game *g, uint32_t index)
{
	return (int32_t)(g->shm->rx.next - index) > 0;
}

/* Remember one that the victim may not pass over. */
static void note_wrong(struct game *g, uint32_t word, uint32_t id, uint32_t a, uint32_t b)
{
	struct wrong wrong = { true, g->at, 0, g->s->counters.streams_opened };

	if (g->wrong.is && !is_read(g, g->wrong.at))
		return;
	if (!is_wrong(g, word, id, a, b)) {
		if (!is_wrong_now(g, word, id, b))
			return;
		wrong.id = id;
	}
	g->wrong = wrong;
}

/* Count the descriptors that it has read. */
static void count_taken(struct game *g)
{
	uint32_t i, nr = 0;

	for (i = 0; i < g->nr_chunks; i++) {
		if (is_read(g, g->chunks_at[i]))
			g->nr_taken++;
		else
			g->chunks_at[nr++] = g->chunks_at[i];
	}
	g->nr_chunks = nr;
}

/* Chunks that it has been lent it holds or has given back. */
static void check_chunks(struct game *g, uint32_t nr_held)
{
	count_taken(g);
	HOLD(g->crooked || g->s->error || g->nr_taken == g->shm->give_back.next + nr_held);
}

static void check_wrong(const struct game *g)
{
	const struct wrong *w = &g->wrong;

	if (!w->is || g->crooked || g->s->error || !is_read(g, w->at))
		return;
	/* The stream may have gone meanwhile, and another have come. */
	HOLD(w->id && (!stream_of(g, w->id) || g->s->counters.streams_opened != w->nr_opened));
}

/* A record that the victim will take for one, whatever it says. */
static void write_record(struct game *g, uint32_t word, uint32_t id, uint32_t a, uint32_t b)
{
	uint32_t len = word >> SHMUX_WORD_LEN_SHIFT, nr = shmux__ring_slots(len), i;
	uint32_t *slot = their_slot(g, g->at);

	/* What overtakes the victim by a lap is not seen at all. */
	if (g->at + nr - g->shm->rx.next > SLOTS)
		return;
	for (i = 1; i < nr; i++)
		*their_slot(g, g->at + i) = their_tag(g->at + i);
	slot[1] = id;
	slot[2] = a;
	slot[3] = b;
	slot[0] = (word & ~SHMUX_WORD_TAG) | their_tag(g->at);
	note_wrong(g, word, id, a, b);
	if ((word & SHMUX_WORD_TYPE) >> SHMUX_WORD_TYPE_SHIFT == SHMUX_FRAME_DESCRIPTOR) {
		count_taken(g);
		/* One across another was overwritten. */
		if (g->nr_chunks < SLOTS)
			g->chunks_at[g->nr_chunks++] = g->at;
	}
	g->at += nr;
}

static void write_frame(struct game *g, uint32_t type, uint32_t flags, uint32_t id, uint32_t a,
			uint32_t b, uint32_t len)
{
	write_record(g, shmux__ring_word(type, flags, len, 0), id, a, b);
}

/*
 * A chunk: bits 0 and 1 the flags, 4 to 7 its block. With bit 2 it reaches to the
 * arena's end or thereabouts, with bit 3 it begins where no block of the arena does.
 */
static void move_descriptor(struct game *g)
{
	uint32_t id = read_id(g), b = input_u8(&g->args), len = input_number(&g->args);
	uint32_t at = (b >> 4) * SHMUX_BLOCK_SIZE, far = input_number(&g->args);
	uint32_t flags = b & 2 ? SHMUX_FLAG_MORE : b & 1;

	if ((b & 3) == 3)
		flags = far & 0xf;
	if (b & 4)
		len += ARENA - at - 64;
	if (b & 8)
		at += b & 4 ? -far : far;
	write_frame(g, SHMUX_FRAME_DESCRIPTOR, flags, id, g->constants.arena_offset + at, len, 8);
}

static void move_data(struct game *g)
{
	uint32_t id = read_id(g), flags = input_u8(&g->args) & 0xf;

	write_frame(g, SHMUX_FRAME_DATA, flags, id, 0, 0, input_number(&g->args) & 0xffff);
}

static void move_u32(struct game *g, uint32_t type)
{
	uint32_t id = read_id(g);

	write_frame(g, type, 0, id, input_number(&g->args), 0, 4);
}

static void move_burst(struct game *g)
{
	uint32_t type = input_u8(&g->args), flags = type >> 4, id = read_id(g);
	uint32_t value = input_number(&g->args), nr = input_u8(&g->args);
	static const uint8_t len[16] = {
		[SHMUX_FRAME_OPEN] = 8,	 [SHMUX_FRAME_DATA] = 1,    [SHMUX_FRAME_CREDIT] = 4,
		[SHMUX_FRAME_RESET] = 4, [SHMUX_FRAME_BLOCKED] = 4, [SHMUX_FRAME_GOAWAY] = 4,
		[SHMUX_FRAME_PING] = 8,	 [SHMUX_FRAME_PONG] = 8, [SHMUX_FRAME_REFUND] = 4,
	};

	type &= 0xf;
	while (nr--) {
		write_frame(g, type, flags, id, value, 0, len[type]);
		/* The same stream again, or the next one. */
		if (type == SHMUX_FRAME_OPEN)
			id++;
	}
}

static void move_return(struct game *g)
{
	const uint32_t first = g->constants.arena_offset / SHMUX_BLOCK_SIZE;
	uint32_t *words = (uint32_t *)(void *)(g->theirs + g->header->returns_offset);
	uint32_t nr = g->header->returns_slots, block = input_number(&g->args);
	/* As much of it as a word has room for. */
	uint32_t word = (block + first) << 8;

	hear(g);
	if (block >= BLOCKS || !g->lent[block])
		g->lies = true;
	else
		g->lent[block] = 0;
	if ((word >> 8) - first >= BLOCKS && !g->no_block) {
		g->no_block = true;
		g->no_block_at = g->returns_at;
	}
	words[g->returns_at & (nr - 1)] = word |
					  SHMUX_TAG(g->returns_at, (uint32_t)__builtin_ctz(nr));
	g->returns_at++;
}

static void move_consume(struct game *g)
{
	uint32_t n = input_number(&g->args);

	hear(g);
	/* 0: all there is, as an honest one would. */
	g->header->consumer = n ? g->header->consumer + n : g->shm->tx.published;
}

static void move_arm(struct game *g)
{
	uint32_t bits = input_u8(&g->args);

	g->armed += SHMUX_ARMED_STEP;
	g->header->armed = g->armed | (bits & (SHMUX_ARMED_STEP - 1));
}

/* Also more than there may be, to the end of the page. */
static void move_last_word(struct game *g)
{
	const uint32_t offset = offsetof(struct shmux_region_header, last_words);
	uint32_t *words = (uint32_t *)(void *)(g->theirs + offset);
	uint32_t id = read_id(g), nr = input_number(&g->args), at = g->header->nr_last_words, i;

	for (i = at; i - at < nr && i < (SHMUX_HEADER_SIZE - offset) / 4; i++)
		words[i] = id;
	g->header->nr_last_words = at + nr;
}

/* Any word of the region; also the constants, which were checked long ago. */
static void move_scribble(struct game *g)
{
	uint32_t offset = input_u16(&g->args) * 4 % peer.size;

	if (offset >= g->constants.returns_offset && offset < g->constants.arena_offset)
		g->lies = g->crooked = true;
	*(uint32_t *)(void *)(g->theirs + offset) = input_number(&g->args);
	/* Where the moves themselves look. */
	g->header->returns_offset = g->constants.returns_offset;
	g->header->returns_slots = g->constants.returns_slots;
	g->header->ring_offset = g->constants.ring_offset;
}

enum move {
	PEER_OPEN,
	PEER_DATA,
	PEER_DESCRIPTOR,
	PEER_CREDIT,
	PEER_END,
	PEER_RESET,
	PEER_BLOCKED,
	PEER_GOAWAY,
	PEER_PING,
	PEER_PONG,
	PEER_RECORD,
	PEER_BURST,
	PEER_RETURN,
	PEER_CONSUME,
	PEER_ARM,
	PEER_KICK,
	PEER_LAST_WORD,
	PEER_SCRIBBLE,
	PEER_SYNC,
	PEER_HANG_UP,
	PEER_WAIT,
	PEER_MOVES,
	/* The victim's program, from any thread. */
	CALL_OPEN = PEER_MOVES,
	CALL_ACCEPT,
	CALL_SEND,
	CALL_RECV,
	CALL_PEEK,
	CALL_DISCARD,
	CALL_TAKE,
	CALL_RELEASE,
	CALL_RESERVE,
	CALL_SUBMIT,
	CALL_CANCEL,
	CALL_SHUTDOWN,
	CALL_RESET,
	CALL_RESET_CODE,
	CALL_CLOSE,
	CALL_DEADLINE,
	CALL_UNBLOCK,
	CALL_NEXT_LEN,
	CALL_PUMP,
	CALL_FD,
	CALL_PING,
	CALL_GO_AWAY,
	CALL_GO_AWAY_CODE,
	CALL_DRAIN,
	CALL_CORK,
	CALL_UNCORK,
	CALL_COUNTERS,
	CALL_STATE,
	CALL_SESSION_DEADLINE,
	CALL_SESSION_UNBLOCK,
	MOVES,
};

static const char *const shape[MOVES] = {
	[PEER_OPEN] = "in",
	[PEER_DATA] = "ibn",
	[PEER_DESCRIPTOR] = "ibnn",
	[PEER_CREDIT] = "in",
	[PEER_END] = "ib",
	[PEER_RESET] = "in",
	[PEER_BLOCKED] = "in",
	[PEER_GOAWAY] = "n",
	[PEER_PING] = "",
	[PEER_PONG] = "n",
	[PEER_RECORD] = "bbnin",
	[PEER_BURST] = "binb",
	[PEER_RETURN] = "n",
	[PEER_CONSUME] = "n",
	[PEER_ARM] = "b",
	[PEER_KICK] = "",
	[PEER_LAST_WORD] = "in",
	[PEER_SCRIBBLE] = "bbn",
	[PEER_SYNC] = "",
	[PEER_HANG_UP] = "",
	[PEER_WAIT] = "n",
	[CALL_OPEN] = "b",
	[CALL_ACCEPT] = "b",
	[CALL_SEND] = "hn",
	[CALL_RECV] = "hn",
	[CALL_PEEK] = "hn",
	[CALL_DISCARD] = "hn",
	[CALL_TAKE] = "h",
	[CALL_RELEASE] = "h",
	[CALL_RESERVE] = "hn",
	[CALL_SUBMIT] = "hn",
	[CALL_CANCEL] = "h",
	[CALL_SHUTDOWN] = "h",
	[CALL_RESET] = "h",
	[CALL_RESET_CODE] = "h",
	[CALL_CLOSE] = "h",
	[CALL_DEADLINE] = "hn",
	[CALL_UNBLOCK] = "h",
	[CALL_NEXT_LEN] = "h",
	[CALL_PUMP] = "b",
	[CALL_FD] = "",
	[CALL_PING] = "n",
	[CALL_GO_AWAY] = "",
	[CALL_GO_AWAY_CODE] = "",
	[CALL_DRAIN] = "n",
	[CALL_CORK] = "",
	[CALL_UNCORK] = "",
	[CALL_COUNTERS] = "",
	[CALL_STATE] = "",
	[CALL_SESSION_DEADLINE] = "n",
	[CALL_SESSION_UNBLOCK] = "",
};

static const struct grammar grammar = { shape, MOVES };

static enum move next_move(struct game *g)
{
	enum move move = input_u8(&g->in) % MOVES;
	size_t left = (size_t)(g->in.end - g->in.at), len = strlen(shape[move]);

	g->args = (struct input){ g->in.at, g->in.at + (len < left ? len : left) };
	g->in.at = g->args.end;
	return move;
}

static void peer_move(struct game *g, enum move move)
{
	uint32_t id, word;

	switch (move) {
	case PEER_OPEN:
		id = read_id(g);
		write_frame(g, SHMUX_FRAME_OPEN, 0, id, input_number(&g->args), 0, 8);
		break;
	case PEER_DATA:
		move_data(g);
		break;
	case PEER_DESCRIPTOR:
		move_descriptor(g);
		break;
	case PEER_CREDIT:
		move_u32(g, SHMUX_FRAME_CREDIT);
		break;
	case PEER_END:
		id = read_id(g);
		write_frame(g, SHMUX_FRAME_END, input_u8(&g->args) & 0xf, id, 0, 0, 0);
		break;
	case PEER_RESET:
		move_u32(g, SHMUX_FRAME_RESET);
		break;
	case PEER_BLOCKED:
		id = read_id(g);
		word = input_number(&g->args);
		/* For no credit: for chunks. */
		write_frame(g, SHMUX_FRAME_BLOCKED, 0, word ? id : 0, word, 0, 4);
		break;
	case PEER_GOAWAY:
		write_frame(g, SHMUX_FRAME_GOAWAY, 0, 0, input_number(&g->args), 0, 4);
		break;
	case PEER_PING:
		write_frame(g, SHMUX_FRAME_PING, 0, 0, 1, 2, 8);
		break;
	case PEER_PONG:
		word = input_number(&g->args);
		write_frame(g, SHMUX_FRAME_PONG, 0, 0, word, word >> 31, 8);
		break;
	case PEER_RECORD:
		word = input_u16(&g->args);
		word |= input_number(&g->args) << SHMUX_WORD_LEN_SHIFT;
		id = read_id(g);
		write_record(g, word, id, input_number(&g->args), 0);
		break;
	case PEER_BURST:
		move_burst(g);
		break;
	case PEER_RETURN:
		move_return(g);
		break;
	case PEER_CONSUME:
		move_consume(g);
		break;
	case PEER_ARM:
		move_arm(g);
		break;
	case PEER_KICK:
		g->header->kicks++;
		break;
	case PEER_LAST_WORD:
		move_last_word(g);
		break;
	case PEER_SCRIBBLE:
		move_scribble(g);
		break;
	case PEER_SYNC:
		g->crooked |= g->at != g->shm->rx.next;
		g->at = g->shm->rx.next;
		break;
	case PEER_HANG_UP:
		g->dead = true;
		break;
	case PEER_WAIT:
		now += input_number(&g->args) * MSEC;
		break;
	default:
		break;
	}
}

/* --- what the victim must not do ------------------------------------------ */

static void touch(const void *data, size_t len)
{
	const volatile char *at = data;
	size_t i;

	/* Each page, and both ends. */
	for (i = 0; i < len; i += 512)
		(void)at[i];
	if (len)
		(void)at[len - 1];
}

static bool in_arena(const struct shmux__rx *node)
{
	return node->data >= peer.readable && node->data < peer.readable + peer.size;
}

/* Bytes of the peer's arena that a node keeps from the peer. */
static uint64_t taken(const struct shmux__rx *node)
{
	if (!in_arena(node))
		return 0;
	return ((uint64_t)node->len + SHMUX_BLOCK_SIZE - 1) / SHMUX_BLOCK_SIZE * SHMUX_BLOCK_SIZE;
}

/* A chunk lies in the peer's arena; anything else, a copy of one too, in memory of the victim's. */
static void check_node(const struct game *g, const struct shmux__rx *node)
{
	HOLD(node->pos <= node->len && node->len - node->pos <= node->cost);
	if (node->size) {
		HOLD(node->data == node->buf && node->len <= node->size);
		return;
	}
	if (!in_arena(node)) {
		touch(node->data, node->len);
		return;
	}
	HOLD((size_t)(node->data - peer.readable) == (size_t)node->handle * SHMUX_BLOCK_SIZE);
	HOLD(node->data >= peer.readable + g->constants.arena_offset);
	HOLD(node->data + node->len <= peer.readable + peer.size);
}

struct sums {
	const struct game *g;
	uint64_t limit, queued, held;
	uint32_t in_table, nr_held;
};

static struct sums sums;

static void sum_held(const struct shmux__rx *node)
{
	sums.held += taken(node);
	sums.nr_held += in_arena(node);
}

static void sum_view(const struct shmux_view *view, uint64_t *cost)
{
	const struct shmux__rx *node = (const struct shmux__rx *)view->private_[0];

	if (!node)
		return;
	check_node(sums.g, node);
	touch(view->data, view->len);
	*cost += node->cost;
	sum_held(node);
}

static void sum_stream(struct shmux_stream *st)
{
	const struct game *g = sums.g;
	const struct shmux__rx *node, *last = NULL, *whole = NULL;
	const struct shmux__waiter *w, *holder = NULL;
	uint64_t cost = 0;
	uint32_t queued = 0;
	int i, j;

	for (node = st->rx_first; node; node = node->next) {
		check_node(g, node);
		cost += node->cost;
		queued += node->len - node->pos;
		if (!node->more)
			whole = node;
		sum_held(node);
		last = node;
	}
	HOLD(st->rx_last == last && st->rx_whole == whole);
	HOLD(st->rx_queued == queued);
	for (i = 0; i < HANDLES; i++)
		for (j = 0; j < LENT_MAX && g->handles[i].st == st; j++)
			sum_view(&g->handles[i].views[j], &cost);
	/* Of a message in parts, one reader has all there is, or none has any. */
	for (w = st->waiters; w; w = w->next) {
		if (!w->in_message)
			continue;
		HOLD(!holder && !st->rx_first && (st->state & STREAM_IN_MESSAGE));
		HOLD(w->done <= w->size && w->done <= w->cost);
		cost += w->cost;
		holder = w;
	}
	/* All credit is somewhere: with the peer, owed, or spent on what is here. */
	HOLD(st->rx_limit == st->rx_granted + st->rx_owed + cost);
	HOLD(st->rx_limit <= g->options.window);
	HOLD(st->tx_credit <= SHMUX_WINDOW_MAX);
	sums.limit += st->rx_limit;
	sums.queued += queued;
}

static void sum_table(const struct shmux__table *t)
{
	struct shmux_stream *st;
	uint32_t index;

	for (index = 0; index < STREAMS_MAX; index++) {
		st = shmux__table_find(t, index);
		if (!st)
			continue;
		HOLD(!(st->state & STREAM_DETACHED));
		sums.in_table++;
		sum_stream(st);
	}
}

static void check_session(struct game *g)
{
	struct shmux_session *s = g->s;
	const struct shmux_stream *st;
	struct handle *h;
	uint32_t depth = 0;
	int i;

	sums = (struct sums){ .g = g };
	sum_table(&s->tables[0]);
	sum_table(&s->tables[1]);
	for (st = s->accept_queue.first; st; st = st->next_queue, depth++)
		if (st->state & STREAM_DETACHED)
			sum_stream((struct shmux_stream *)st);
	for (h = g->handles; h < g->handles + HANDLES; h++) {
		if (h->st && (h->st->state & STREAM_DETACHED))
			sum_stream(h->st);
		if (h->peeked)
			touch(h->peeked, h->peeked_len);
		for (i = 0; i < LENT_MAX; i++)
			if (h->spans[i].data)
				memset(h->spans[i].data, i, h->spans[i].size);
	}
	HOLD(s->nr_streams == sums.in_table && s->nr_streams <= g->options.streams_max);
	HOLD(s->accept_depth == depth && depth <= g->options.backlog);
	HOLD(s->budget_used == sums.limit && s->budget_used <= g->options.budget);
	HOLD(s->rx_queued == sums.queued && s->rx_queued <= s->budget_used);
	HOLD(s->held == sums.held && s->held <= ARENA / 2);
	HOLD(s->nr_refusals <= SHMUX_REFUSALS_MAX);
	HOLD(g->depth || (!s->leader && !s->nr_room && shmux_list_empty(&s->waiters)));

	HOLD(s->ping_answered <= s->ping_sent);
	check_wrong(g);
	check_chunks(g, sums.nr_held);
	HOLD(!g->no_block || g->crooked || g->shm->broken ||
	     g->shm->returned.next <= g->no_block_at);

	HOLD(!s->error || s->error == -EPROTO ||
	     (s->error == -ECONNRESET && (g->dead || g->said_close)));
	HOLD(g->nr_hang_ups == (s->error != 0) && !g->nr_closes);
	HOLD(!memcmp(own.readable, &g->constants, offsetof(struct shmux_region_header, armed)));
	HOLD(shmux__producer_used(&g->shm->tx) <= SLOTS && g->shm->rx_nr <= SLOTS / 2);
	HOLD(g->shm->tx.published - g->shm->tx.consumer <= SLOTS);
	hear(g);
}

/* What a call returns: a count, or one of the errors that the headers name. */
static int64_t check_result(const struct game *g, int64_t result, bool waits)
{
	switch (result) {
	case -EAGAIN:
		HOLD(!waits);
		break;
	case -EPROTO:
		HOLD(g->s->error == -EPROTO);
		break;
	case -ECONNRESET:
	case -EPIPE:
	case -ENODATA:
	case -EMSGSIZE:
	case -ETIMEDOUT:
	case -ECANCELED:
	case -ESHUTDOWN:
	case -ENOSPC:
	case -EOPNOTSUPP:
	case -EINVAL:
		break;
	default:
		HOLD(result >= 0);
	}
	return result;
}

/* --- calls ---------------------------------------------------------------- */

/* A stream that the caller has got; one too many it closes. */
static void keep(struct game *g, struct shmux_stream *st)
{
	int i;

	for (i = 0; i < HANDLES; i++) {
		if (!g->handles[i].st) {
			g->handles[i].st = st;
			return;
		}
	}
	shmux_stream_close(st);
}

static void call_open(struct game *g)
{
	unsigned int flags = input_u8(&g->args) & (SHMUX_STREAM_MESSAGES | SHMUX_STREAM_MORE);
	struct shmux_stream *st;

	/* In a nested call it might have to wait. */
	if (!g->depth && !check_result(g, shmux_session_open(g->s, flags, &st), true))
		keep(g, st);
}

static void call_accept(struct game *g)
{
	unsigned int flags = g->depth ? SHMUX_NOWAIT :
				       input_u8(&g->args) & (SHMUX_NOWAIT | SHMUX_MORE);
	bool waits = !(flags & SHMUX_NOWAIT);
	struct shmux_stream *st;

	if (!check_result(g, shmux_session_accept(g->s, flags, &st), waits))
		keep(g, st);
}

static uint32_t read_len(struct game *g)
{
	uint32_t len = input_number(&g->args);

	return len < CALL_MAX ? len : CALL_MAX;
}

static void call_send(struct game *g, struct handle *h, unsigned int bits)
{
	static const unsigned int flags_of[] = {
		SHMUX_NOWAIT,
		SHMUX_NOWAIT,
		0,
		SHMUX_NOWAIT | SHMUX_FIN,
		SHMUX_FIN,
		SHMUX_MORE,
		SHMUX_NOWAIT | SHMUX_MORE,
		0,
	};
	unsigned int flags = flags_of[bits & 7] | (g->depth ? SHMUX_NOWAIT : 0);
	size_t len = read_len(g), cut = bits & 8 ? len / 3 : len;
	struct iovec iov[2] = {
		{ .iov_base = buffer, .iov_len = cut },
		{ .iov_base = buffer + cut, .iov_len = len - cut },
	};
	int64_t n;

	if (!flags && !(bits & 8))
		n = shmux_stream_write(h->st, buffer, len);
	else
		n = shmux_stream_send(h->st, iov, bits & 8 ? 2 : 1, flags);
	HOLD(check_result(g, n, !(flags & SHMUX_NOWAIT)) <= (int64_t)len);
}

static void call_recv(struct game *g, struct handle *h, unsigned int bits)
{
	static const unsigned int flags_of[] = {
		SHMUX_NOWAIT,
		SHMUX_NOWAIT,
		0,
		SHMUX_WAITALL,
	};
	unsigned int flags = flags_of[bits & 3] | (g->depth ? SHMUX_NOWAIT : 0);
	size_t len = read_len(g), cut = bits & 8 ? len / 3 : len;
	struct iovec iov[2] = { { .iov_len = cut }, { .iov_len = len - cut } };
	char *into;
	int64_t n;

	/* Just so large, for a sanitizer to see what is beyond. */
	h->peeked = NULL;
	into = malloc(len);
	HOLD(into);
	iov[0].iov_base = into;
	iov[1].iov_base = into + cut;
	if (!flags && !(bits & 8))
		n = shmux_stream_read(h->st, into, len);
	else
		n = shmux_stream_recv(h->st, iov, bits & 8 ? 2 : 1, flags);
	HOLD(check_result(g, n, !(flags & SHMUX_NOWAIT)) <= (int64_t)len);
	free(into);
}

static void call_peek(struct game *g, struct handle *h)
{
	size_t len = read_len(g);
	const void *data;
	int64_t n;

	if (g->depth)
		return;
	h->peeked = NULL;
	n = check_result(g, shmux_stream_peek(h->st, len, &data), true);
	if (n <= 0)
		return;
	h->peeked = data;
	h->peeked_len = (size_t)n;
}

static void call_discard(struct game *g, struct handle *h)
{
	size_t len = read_len(g);

	if (g->depth)
		return;
	h->peeked = NULL;
	check_result(g, shmux_stream_discard(h->st, len), true);
}

static struct shmux_view *free_view(struct handle *h)
{
	int i;

	for (i = 0; i < LENT_MAX; i++)
		if (!h->views[i].private_[0])
			return &h->views[i];
	return NULL;
}

static void call_take(struct game *g, struct handle *h, unsigned int bits)
{
	unsigned int flags = g->depth ? SHMUX_NOWAIT : bits & SHMUX_NOWAIT;
	struct shmux_view view, *place;

	h->peeked = NULL;
	HOLD(check_result(g, shmux_stream_take(h->st, &view, flags), !flags) <= (int64_t)ARENA);
	if (!view.private_[0])
		return;
	touch(view.data, view.len);
	place = free_view(h);
	if (place)
		*place = view;
	else
		shmux_stream_release(h->st, &view);
}

static struct shmux_span *free_span(struct handle *h)
{
	int i;

	for (i = 0; i < LENT_MAX; i++)
		if (!h->spans[i].data)
			return &h->spans[i];
	return NULL;
}

static void call_reserve(struct game *g, struct handle *h, unsigned int bits)
{
	unsigned int flags = g->depth ? SHMUX_NOWAIT : bits & SHMUX_NOWAIT;
	size_t len = read_len(g);
	struct shmux_span span, *place;

	if (check_result(g, shmux_stream_reserve(h->st, len, &span, flags), !flags))
		return;
	HOLD(span.size == len);
	HOLD((char *)span.data >= own.writable + g->constants.arena_offset);
	HOLD((char *)span.data + len <= own.writable + own.size);
	memset(span.data, 0, len);
	place = free_span(h);
	if (place)
		*place = span;
	else
		shmux_stream_cancel(h->st, &span);
}

static void call_submit(struct game *g, struct handle *h, unsigned int bits)
{
	struct shmux_span *span = &h->spans[bits & 1];
	unsigned int flags = bits & (SHMUX_MORE | SHMUX_FIN);
	size_t len = read_len(g), size = span->size;

	/* It waits for a message that is amid its parts. */
	if (!span->data || (g->depth && (h->st->state & (STREAM_TX_BUSY | STREAM_OWES_ABORT))))
		return;
	if (check_result(g, shmux_stream_submit(h->st, span, len, flags), true) >= 0)
		HOLD(len <= size);
	HOLD(!span->data);
}

static void call_close(struct handle *h)
{
	int i;

	for (i = 0; i < LENT_MAX; i++) {
		shmux_stream_release(h->st, &h->views[i]);
		shmux_stream_cancel(h->st, &h->spans[i]);
	}
	shmux_stream_close(h->st);
	memset(h, 0, sizeof(*h));
}

static void call_pump(struct game *g, unsigned int bits)
{
	struct shmux_event events[8];
	int max = bits & 8 ? 1 : 8, i, j, n;

	n = shmux_session_pump(g->s, events, max);
	HOLD(n >= 0 && n <= max);
	for (i = 0; i < n; i++) {
		if (!events[i].stream) {
			HOLD(events[i].events & (SHMUX_EVENT_ACCEPT | SHMUX_EVENT_DEAD));
			continue;
		}
		/* One that the caller has. */
		for (j = 0; j < HANDLES; j++)
			if (g->handles[j].st == events[i].stream)
				break;
		HOLD(j < HANDLES || g->depth);
	}
}

static uint64_t read_deadline(struct game *g)
{
	uint32_t n = input_number(&g->args);

	return n == 0 ? 1 : n == 1 ? SHMUX_NEVER : now + n * MSEC;
}

static void call_stream(struct game *g, enum move move)
{
	uint8_t b = input_u8(&g->args);
	unsigned int bits = b >> 3;
	struct handle *h = &g->handles[b & (HANDLES - 1)];
	bool outer = h->in_call;
	uint32_t code;

	/* Nobody closes a stream that another thread still has a use for. */
	if (!h->st || (outer && move == CALL_CLOSE))
		return;
	h->in_call = true;
	switch (move) {
	case CALL_SEND:
		call_send(g, h, bits);
		break;
	case CALL_RECV:
		call_recv(g, h, bits);
		break;
	case CALL_PEEK:
		call_peek(g, h);
		break;
	case CALL_DISCARD:
		call_discard(g, h);
		break;
	case CALL_TAKE:
		call_take(g, h, bits);
		break;
	case CALL_RELEASE:
		shmux_stream_release(h->st, &h->views[bits & 1]);
		break;
	case CALL_RESERVE:
		call_reserve(g, h, bits);
		break;
	case CALL_SUBMIT:
		call_submit(g, h, bits);
		break;
	case CALL_CANCEL:
		shmux_stream_cancel(h->st, &h->spans[bits & 1]);
		break;
	case CALL_SHUTDOWN:
		check_result(g, shmux_stream_shutdown(h->st, bits & 3), true);
		break;
	case CALL_RESET:
		check_result(g, shmux_stream_reset(h->st, bits), true);
		break;
	case CALL_RESET_CODE:
		check_result(g, shmux_stream_reset_code(h->st, &code), true);
		break;
	case CALL_DEADLINE:
		check_result(g, shmux_stream_set_deadline(h->st, bits & 3, read_deadline(g)), true);
		break;
	case CALL_UNBLOCK:
		shmux_stream_unblock(h->st, bits & 3);
		break;
	case CALL_NEXT_LEN:
		check_result(g, shmux_stream_next_len(h->st), !shmux_stream_is_message(h->st));
		break;
	default:
		break;
	}
	h->in_call = outer;
	if (move == CALL_CLOSE)
		call_close(h);
}

static void call_session(struct game *g, enum move move)
{
	struct shmux_session_counters counters = { .size = sizeof(counters) };
	uint32_t code;

	switch (move) {
	case CALL_OPEN:
		call_open(g);
		break;
	case CALL_ACCEPT:
		call_accept(g);
		break;
	case CALL_PUMP:
		call_pump(g, input_u8(&g->args));
		break;
	case CALL_FD:
		HOLD(shmux_session_fd(g->s) >= 0);
		break;
	case CALL_PING:
		if (!g->depth)
			check_result(g, shmux_session_ping(g->s, read_deadline(g), NULL), true);
		break;
	case CALL_GO_AWAY:
		check_result(g, shmux_session_go_away(g->s, 256), true);
		break;
	case CALL_GO_AWAY_CODE:
		check_result(g, shmux_session_go_away_code(g->s, &code), true);
		break;
	case CALL_DRAIN:
		if (!g->depth)
			check_result(g, shmux_session_drain(g->s, read_deadline(g)), true);
		break;
	case CALL_CORK:
		shmux_session_cork(g->s);
		break;
	case CALL_UNCORK:
		shmux_session_uncork(g->s);
		break;
	case CALL_COUNTERS:
		check_result(g, shmux_session_counters(g->s, &counters), true);
		HOLD(counters.ring_depth <= SLOTS && counters.arena_used <= ARENA);
		HOLD(counters.granted <= g->options.budget);
		break;
	case CALL_STATE:
		shmux_session_state(g->s);
		break;
	case CALL_SESSION_DEADLINE:
		shmux_session_set_deadline(g->s, read_deadline(g));
		break;
	case CALL_SESSION_UNBLOCK:
		shmux_session_unblock(g->s);
		break;
	default:
		break;
	}
}

static void call(struct game *g, enum move move)
{
	if (move >= CALL_SEND && move <= CALL_NEXT_LEN)
		call_stream(g, move);
	else
		call_session(g, move);
}

/* --- the region ----------------------------------------------------------- */

/* The victim sleeps, unlocked: the others have their turn. */
static void turn(struct game *g)
{
	enum move move = next_move(g);

	now += MSEC;
	if (input_is_empty(&g->in)) {
		g->dead = true;
		g->header->kicks++;
		return;
	}
	g->depth++;
	/* At least one move, and as many of the peer's as come. */
	do {
		if (move < PEER_MOVES) {
			peer_move(g, move);
		} else if (g->depth == 1) {
			call(g, move);
			check_session(g);
			break;
		} else {
			break;
		}
		move = next_move(g);
	} while (!input_is_empty(&g->in));
	g->depth--;
}

static int region_sleep(struct shmux__region *r, const uint32_t *word, uint32_t seen,
			const uint32_t *poke, uint64_t timeout)
{
	struct game *g = game_of(r);

	(void)poke;
	HOLD(word == (const uint32_t *)(const void *)(peer.readable +
						      offsetof(struct shmux_region_header, kicks)));
	if (*word != seen)
		return 0;
	turn(g);
	now += timeout < 50 * MSEC ? timeout : 0;
	return 0;
}

static void region_ring(struct shmux__region *r, const uint32_t *word, uint32_t bells)
{
	(void)r;
	HOLD(word == (const uint32_t *)(const void *)(own.writable +
						      offsetof(struct shmux_region_header, kicks)));
	HOLD(!(bells & ~(SHMUX_ARMED_FUTEX | SHMUX_ARMED_SOCKET)));
}

static void region_poke(struct shmux__region *r, const uint32_t *word, const uint32_t *poke)
{
	(void)r;
	(void)word;
	(void)poke;
}

static int region_check_alive(struct shmux__region *r)
{
	return game_of(r)->dead ? -ECONNRESET : 0;
}

/* Always readable, so that who sleeps on it never does. */
static int region_descriptors(struct shmux__region *r, int fds[2])
{
	(void)r;
	fds[0] = readable_fd;
	return 1;
}

static int region_clear(struct shmux__region *r)
{
	struct game *g = game_of(r);

	/* It is awake from its sleep, and has the lock: only the peer moves. */
	if (!g->depth && g->s->leader_deep) {
		enum move move = next_move(g);

		now += MSEC;
		if (input_is_empty(&g->in))
			g->dead = true;
		else if (move < PEER_MOVES)
			peer_move(g, move);
	}
	return region_check_alive(r);
}

static void region_hang_up(struct shmux__region *r)
{
	game_of(r)->nr_hang_ups++;
}

static void region_close(struct shmux__region *r)
{
	game_of(r)->nr_closes++;
}

static const struct shmux__region_ops region_ops = {
	.name = "fuzz",
	.sleep = region_sleep,
	.ring = region_ring,
	.poke = region_poke,
	.check_alive = region_check_alive,
	.descriptors = region_descriptors,
	.clear = region_clear,
	.hang_up = region_hang_up,
	.close = region_close,
};

/* --- the game ------------------------------------------------------------- */

static void open_once(const struct shmux__shm_sizes *sizes)
{
	if (own.size)
		return;
	shared_open(&own, shmux__shm_size(sizes));
	shared_open(&peer, shmux__shm_size(sizes));
	readable_fd = eventfd(1, EFD_CLOEXEC);
	HOLD(readable_fd >= 0);
}

static void begin(struct game *g)
{
	uint8_t b = input_u8(&g->in);
	struct shmux_session_options given = {
		.size = sizeof(given),
		.ring_slots = SLOTS,
		.arena_size = ARENA,
		.window = b & 0x01 ? 262144 : 16384,
		.budget = b & 0x02 ? 262144 : 131072,
		.first_grant = b & 0x04 ? 256 : 8192,
		.streams_max = STREAMS_MAX,
		.backlog = b & 0x08 ? 2 : STREAMS_MAX,
		.spin = b & 0x10 ? SHMUX_SPIN_ADAPTIVE : SHMUX_SPIN_NONE,
		.peer_size_max = 2 * ARENA,
	};
	struct shmux__shm_sizes sizes;
	struct shmux__link *link;

	HOLD(!shmux__options_resolve(&given, &g->options, NULL));
	sizes = shmux__options_sizes(&g->options);
	open_once(&sizes);
	/* But for the arenas: what lies there nobody looks at. */
	memset(own.writable, 0, own.size - ARENA);
	memset(peer.writable, 0, peer.size - ARENA);
	g->role = b >> 6 & 1;
	shmux__shm_format(&sizes, (enum shmux_role)g->role, own.writable);
	shmux__shm_format(&sizes, (enum shmux_role)!g->role, peer.writable);
	memcpy(&g->constants, own.readable, sizeof(g->constants));

	g->theirs = peer.writable;
	g->header = (struct shmux_region_header *)(void *)peer.writable;
	if (b & 0x20)
		g->header->features = 0;
	__libc_single_threaded = b >> 7;
	g->region = (struct shmux__region){
		.ops = &region_ops,
		.own = own.writable,
		.peer = peer.readable,
		.own_size = own.size,
		.peer_size = peer.size,
		.role = (enum shmux_role)g->role,
	};
	HOLD(!shmux__shm_open(&g->region, &sizes, &link));
	g->shm = shmux__shm(link);
	HOLD(!shmux__session_new(link, &g->options, "memfd:fuzz", &g->s));
	shmux__consumer_init(&g->ear, own.readable + g->constants.ring_offset, SLOTS, &g->ear_at);
}

static void end(struct game *g)
{
	int i;

	for (i = 0; i < HANDLES; i++)
		if (g->handles[i].st && i & 1) {
			call_close(&g->handles[i]);
			check_session(g);
		}
	/* Streams may outlive the caller's hold on their session. */
	g->said_close = true;
	shmux_session_close(g->s, g->dead ? 0 : 1);
	for (i = 0; i < HANDLES; i++)
		if (g->handles[i].st)
			call_close(&g->handles[i]);
	HOLD(g->nr_closes == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct game g = { .in = { data, data + size } };
	char threads = __libc_single_threaded;

	now = 3600 * SHMUX_NSEC_PER_SEC;
	running = true;
	begin(&g);
	while (!input_is_empty(&g.in)) {
		enum move move = next_move(&g);

		if (move < PEER_MOVES) {
			peer_move(&g, move);
		} else {
			call(&g, move);
			check_session(&g);
		}
	}
	end(&g);
	running = false;
	__libc_single_threaded = threads;
	return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed)
{
	return program_mutate(&grammar, data, size, max, seed);
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
				 size_t size2, uint8_t *out, size_t max, unsigned int seed)
{
	return program_cross(&grammar, data1, size1, data2, size2, out, max, seed);
}
