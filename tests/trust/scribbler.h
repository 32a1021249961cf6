/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * scribbler.h - a hostile peer that writes at random, but not at any random
 *
 * Each step says a few frames as an honest peer would, so that streams come to
 * every state, and then makes one mutation: a word of the header, a slot, a
 * return word, bytes, or a frame that is right but for one field. What it does
 * follows from the seed, the number of the step, and what the victim has said.
 * Most mutations break nothing; those that do are rare enough for sessions to
 * grow old, and every third scribbler makes none of them.
 */
#ifndef TESTS_TRUST_SCRIBBLER_H
#define TESTS_TRUST_SCRIBBLER_H

#include "attacker.h"
#include "pattern.h"

#define SCRIBBLER_STREAMS 24
#define SCRIBBLER_HELD 64

struct scribbled_stream {
	uint32_t id, credit;
	bool open, fin, stop, messages;
};

struct scribbler {
	struct shmux_session *s;
	uint64_t random;
	struct scribbled_stream own[SCRIBBLER_STREAMS]; /* by index */
	uint32_t generations[SCRIBBLER_STREAMS];
	uint32_t theirs[SCRIBBLER_STREAMS], nr_theirs;
	uint32_t held[SCRIBBLER_HELD], nr_held; /* the victim's chunks */
	uint32_t tokens[2]; /* of its last ping */
	bool careful; /* breaks nothing, so that the session grows old */
	bool appalled; /* the victim itself broke the protocol */
};

static inline uint32_t scribbler_pick(struct scribbler *sc, uint32_t n)
{
	return random_between(&sc->random, 0, n - 1);
}

/* Once in @n times. */
static inline bool scribbler_chance(struct scribbler *sc, uint32_t n)
{
	return !scribbler_pick(sc, n);
}

/* A number near an edge of something. */
static inline uint32_t scribbler_edge(struct scribbler *sc)
{
	static const uint32_t edges[] = {
		0,
		1,
		2,
		4,
		55,
		56,
		57,
		60,
		63,
		64,
		65,
		115,
		116,
		117,
		255,
		256,
		257,
		1023,
		1024,
		4095,
		4096,
		4097,
		8192,
		12288,
		16384,
		65535,
		65536,
		65537,
		1u << 20,
		1u << 21,
		(1u << 30) - 1,
		1u << 30,
		(1u << 30) + 1,
		0x7fffffff,
		0x80000000,
		0xfffff000,
		0xfffffffe,
		0xffffffff,
	};

	if (scribbler_chance(sc, 8))
		return random_next(&sc->random);
	return edges[scribbler_pick(sc, sizeof(edges) / sizeof(edges[0]))];
}

/* Where its arena is; what its header says of that may be a mutation. */
static inline uint32_t scribbler_arena(const struct scribbler *sc)
{
	const struct shmux__shm *shm = attacker_shm(sc->s);

	return (uint32_t)(shm->arena_data - (char *)shm->own);
}

/* --- saying --------------------------------------------------------------- */

static inline bool scribbler_room(struct scribbler *sc, uint32_t nr)
{
	struct shmux__producer *tx = &attacker_shm(sc->s)->tx;

	if (!shmux__producer_fits(tx, nr, 0))
		shmux__producer_refresh(tx);
	return shmux__producer_fits(tx, nr, 0);
}

static inline bool scribbler_say(struct scribbler *sc, uint32_t type, uint32_t flags, uint32_t id,
				 const void *body, uint32_t len)
{
	struct shmux__shm *shm = attacker_shm(sc->s);

	/* It can say more than half of its ring only by lying about the length. */
	if (shmux__ring_slots(len) > (shm->tx.mask + 1) / 2 ||
	    !scribbler_room(sc, shmux__ring_slots(len)))
		return false;
	attacker_add(sc->s, type, flags, id, body, len);
	if (!scribbler_chance(sc, 4))
		attacker_publish(sc->s);
	return true;
}

static inline bool scribbler_say_words(struct scribbler *sc, uint32_t type, uint32_t id,
				       uint32_t first, uint32_t second, uint32_t len)
{
	uint32_t body[4] = { first, second, 0, 0 };

	return scribbler_say(sc, type, 0, id, body, len);
}

static inline void scribbler_heard(struct scribbler *sc, const struct shmux__frame *f)
{
	uint32_t index = f->id & SHMUX_ID_INDEX_MAX;
	struct scribbled_stream *own = NULL;

	if (index < SCRIBBLER_STREAMS && sc->own[index].id == f->id)
		own = &sc->own[index];
	switch (f->type) {
	case SHMUX_FRAME_OPEN:
		sc->theirs[sc->nr_theirs++ % SCRIBBLER_STREAMS] = f->id;
		break;
	case SHMUX_FRAME_CREDIT:
		if (own)
			own->credit += f->value[0];
		break;
	case SHMUX_FRAME_RESET:
		if (own)
			own->open = false;
		break;
	case SHMUX_FRAME_PING:
		sc->tokens[0] = f->value[0];
		sc->tokens[1] = f->value[1];
		break;
	default:
		break;
	}
}

/* Receive all; keep some of the chunks for later. */
static inline void scribbler_hear(struct scribbler *sc)
{
	const struct shmux__link_ops *ops = sc->s->link->ops;
	struct shmux__frame f;
	int ret;

	while ((ret = shmux__link_receive(sc->s->link, &f)) > 0) {
		scribbler_heard(sc, &f);
		if (!f.data)
			continue;
		if (sc->nr_held < SCRIBBLER_HELD && scribbler_chance(sc, 2))
			sc->held[sc->nr_held++] = f.handle;
		else
			ops->chunk_return(sc->s->link, f.handle);
	}
	if (ret < 0)
		sc->appalled = true;
	shmux__consumer_publish(&attacker_shm(sc->s)->rx);
	attacker_publish(sc->s);
}

/* --- as an honest peer ---------------------------------------------------- */

static const char scribbler_payload[4096];

static inline uint32_t scribbler_their_id(struct scribbler *sc)
{
	uint32_t n = sc->nr_theirs < SCRIBBLER_STREAMS ? sc->nr_theirs : SCRIBBLER_STREAMS;

	return n ? sc->theirs[scribbler_pick(sc, n)] : 0;
}

/* A length of payload that there is credit for, or 0. */
static inline uint32_t scribbler_len(struct scribbler *sc, const struct scribbled_stream *st)
{
	uint32_t most = st->credit < 4096 ? st->credit : 4096, len;

	if (most < SHMUX_CREDIT_MIN)
		return 0;
	len = scribbler_chance(sc, 2) ? random_between(&sc->random, 1, 64) :
					random_between(&sc->random, 1, most);
	return len;
}

static inline void scribbler_open(struct scribbler *sc, uint32_t index)
{
	struct scribbled_stream *st = &sc->own[index];
	bool messages = scribbler_chance(sc, 3);
	uint32_t id = attacker_id(sc->s, index, 1 + sc->generations[index] % SHMUX_ID_GEN_MASK);

	if (!scribbler_say_words(sc, SHMUX_FRAME_OPEN, id, messages, 0, 8))
		return;
	sc->generations[index]++;
	*st = (struct scribbled_stream){
		.id = id,
		.open = true,
		.messages = messages,
		.credit = sc->s->link->peer_first_grant,
	};
}

static inline void scribbler_send(struct scribbler *sc, struct scribbled_stream *st)
{
	uint32_t len = scribbler_len(sc, st), flags = 0, cost = record_cost(len);
	uint32_t arena = scribbler_arena(sc);

	if (!len || st->fin)
		return;
	if (st->messages && scribbler_chance(sc, 2))
		flags = SHMUX_FLAG_MORE;
	if (scribbler_chance(sc, 3)) {
		uint32_t body[2] = { arena + SHMUX_BLOCK_SIZE * scribbler_pick(sc, 15), len };

		if (!scribbler_say(sc, SHMUX_FRAME_DESCRIPTOR, flags, st->id, body, 8))
			return;
	} else if (!scribbler_say(sc, SHMUX_FRAME_DATA, flags, st->id, scribbler_payload, len)) {
		return;
	}
	st->credit -= cost;
}

static inline void scribbler_end(struct scribbler *sc, struct scribbled_stream *st)
{
	uint32_t flags = 0;

	if (!st->fin && scribbler_chance(sc, 2))
		flags |= SHMUX_FLAG_FIN;
	if (!st->stop && scribbler_chance(sc, 2))
		flags |= SHMUX_FLAG_STOP;
	if (!flags || !scribbler_say(sc, SHMUX_FRAME_END, flags, st->id, NULL, 0))
		return;
	st->fin |= !!(flags & SHMUX_FLAG_FIN);
	st->stop |= !!(flags & SHMUX_FLAG_STOP);
	if (st->fin && st->stop)
		st->open = false;
}

/* One thing that an honest peer might do. */
static inline void scribbler_behave(struct scribbler *sc)
{
	uint32_t index = scribbler_pick(sc, SCRIBBLER_STREAMS);
	struct scribbled_stream *st = &sc->own[index];

	switch (scribbler_pick(sc, 16)) {
	case 0:
		scribbler_hear(sc);
		break;
	case 1:
		if (sc->nr_held)
			sc->s->link->ops->chunk_return(sc->s->link, sc->held[--sc->nr_held]);
		attacker_publish(sc->s);
		break;
	case 2:
		scribbler_say_words(sc, SHMUX_FRAME_CREDIT, scribbler_their_id(sc),
				    random_between(&sc->random, 1, 20000), 0, 4);
		break;
	case 3:
		scribbler_say_words(sc, SHMUX_FRAME_PONG, 0, sc->tokens[0], sc->tokens[1], 8);
		break;
	case 4:
		if (st->open && scribbler_chance(sc, 4))
			scribbler_end(sc, st);
		break;
	case 5:
		if (st->open && scribbler_chance(sc, 8) &&
		    scribbler_say_words(sc, SHMUX_FRAME_RESET, st->id, 300, 0, 4))
			st->open = false;
		break;
	case 6:
		if (st->open && st->credit < 1000)
			scribbler_say_words(sc, SHMUX_FRAME_BLOCKED, st->id, 5000, 0, 4);
		else
			scribbler_say_words(sc, SHMUX_FRAME_BLOCKED, 0, 0, 0, 4);
		break;
	default:
		if (!st->open)
			scribbler_open(sc, index);
		else
			scribbler_send(sc, st);
		break;
	}
}

/* --- one mutation --------------------------------------------------------- */

/* A word of the header that is a hint, or not to be looked at any more. */
static inline bool mutate_hint(struct scribbler *sc)
{
	struct shmux_region_header *h = attacker_header(sc->s);
	uint32_t *word = (uint32_t *)(void *)h + scribbler_pick(sc, SHMUX_HEADER_SIZE / 4);

	/* Those that are used, as often as all the others. */
	switch (scribbler_pick(sc, 8)) {
	case 0:
		word = &h->armed;
		break;
	case 1:
		word = &h->kicks;
		break;
	case 2:
		word = &h->cpu;
		break;
	case 3:
		word = &h->nr_last_words;
		break;
	case 4:
		word = &h->magic + scribbler_pick(sc, 16);
		break;
	}
	if (word == &h->consumer)
		return false;
	shmux_store_release(word, scribbler_edge(sc));
	return true;
}

/* Ring, though there is nothing. */
static inline bool mutate_kick(struct scribbler *sc)
{
	struct shmux_region_header *h = attacker_header(sc->s);

	shmux_store_release(&h->kicks, h->kicks + 1);
	sc->s->link->ops->ring(sc->s->link, SHMUX_ARMED_FUTEX | SHMUX_ARMED_SOCKET);
	return true;
}

/* Armed, as one that has just gone to sleep; the victim is to ring. */
static inline bool mutate_armed(struct scribbler *sc)
{
	struct shmux_region_header *h = attacker_header(sc->s);

	shmux_store_release(&h->armed, (h->armed | 0xff) + 1 + (random_next(&sc->random) & 0x3f));
	return true;
}

static inline bool mutate_consumer(struct scribbler *sc)
{
	struct shmux__shm *shm = attacker_shm(sc->s);
	uint32_t value = shm->rx.next;

	switch (scribbler_pick(sc, 4)) {
	case 0:
		value += 1 + scribbler_pick(sc, shm->rx.mask + 2);
		break;
	case 1:
		value -= 1 + scribbler_pick(sc, shm->rx.mask + 2);
		break;
	case 2:
		value = scribbler_edge(sc);
		break;
	case 3:
		value *= 2;
		break;
	}
	shmux_store_release(&shm->own->consumer, value);
	return true;
}

/* A return word: one that counts, or one of another lap. */
static inline bool mutate_return(struct scribbler *sc)
{
	struct shmux__shm *shm = attacker_shm(sc->s);
	uint32_t first = shm->peer_arena_offset / SHMUX_BLOCK_SIZE, block, at, tag;

	block = first + scribbler_pick(sc, shm->peer_arena_size / SHMUX_BLOCK_SIZE);
	if (!sc->careful && scribbler_chance(sc, 12)) {
		if (scribbler_chance(sc, 2))
			block = scribbler_edge(sc);
		sc->s->link->ops->chunk_return(sc->s->link, block);
		attacker_publish(sc->s);
		return true;
	}
	at = shm->give_back.next + scribbler_pick(sc, shm->give_back.mask + 1);
	tag = SHMUX_TAG(at, shm->give_back.order) + 1 + scribbler_pick(sc, 254);
	shmux_store_release(&shm->give_back.words[at & shm->give_back.mask],
			    block << 8 | (tag & SHMUX_WORD_TAG));
	return true;
}

/* The word of a slot to come, as of any lap but the right one. */
static inline bool mutate_slot(struct scribbler *sc)
{
	struct shmux__producer *tx = &attacker_shm(sc->s)->tx;
	uint32_t index = tx->next + scribbler_pick(sc, tx->mask + 1 - shmux__producer_used(tx));
	uint32_t tag = SHMUX_TAG(index, tx->order) + 1 + scribbler_pick(sc, 254);

	if (!scribbler_room(sc, 1))
		return false;
	shmux_store_release(shmux__producer_slot(tx, index),
			    shmux__ring_word(scribbler_pick(sc, 16), scribbler_pick(sc, 16),
					     scribbler_edge(sc) & 0xffff, tag & SHMUX_WORD_TAG));
	return true;
}

/* Something in a record that has been published, or was once. */
static inline bool mutate_record(struct scribbler *sc)
{
	struct shmux__producer *tx = &attacker_shm(sc->s)->tx;
	uint32_t *slot = shmux__producer_slot(tx, tx->published - 1 - scribbler_pick(sc, 4));

	switch (scribbler_pick(sc, 4)) {
	case 0: /* type and flags */
		slot[0] ^= 1u << (8 + scribbler_pick(sc, 8));
		break;
	case 1: /* length */
		slot[0] = (slot[0] & 0xffff) | scribbler_edge(sc) << 16;
		break;
	case 2:
		slot[1] ^= 1u << scribbler_pick(sc, 32);
		break;
	case 3:
		slot[2 + scribbler_pick(sc, 2)] = scribbler_edge(sc);
		break;
	}
	return true;
}

/* A record of which the length is a lie. */
static inline bool mutate_length(struct scribbler *sc)
{
	struct shmux__producer *tx = &attacker_shm(sc->s)->tx;
	struct scribbled_stream *st = &sc->own[scribbler_pick(sc, SCRIBBLER_STREAMS)];
	uint32_t len = scribbler_edge(sc) & 0xffff, nr = shmux__ring_slots(len);

	attacker_publish(sc->s);
	if (!scribbler_room(sc, nr < tx->mask / 2 ? nr : 1))
		return false;
	shmux_store_relaxed(shmux__producer_slot(tx, tx->next) + 1, st->id);
	shmux_store_release(shmux__producer_slot(tx, tx->next),
			    shmux__ring_word(SHMUX_FRAME_DATA, 0, len,
					     SHMUX_TAG(tx->next, tx->order)));
	if (nr <= (tx->mask + 1) / 2)
		tx->next = tx->published = tx->next + nr;
	return true;
}

/* Random bytes in arena or ring bodies, or, rarely, anywhere. */
static inline bool mutate_bytes(struct scribbler *sc)
{
	struct shmux__shm *shm = attacker_shm(sc->s);
	struct shmux__region *r = shm->region;
	uint32_t from = (uint32_t)(shm->arena_data - (char *)r->own), n = scribbler_pick(sc, 300),
		 i;
	uint8_t *at;

	if (!sc->careful && scribbler_chance(sc, 64))
		from = 0;
	at = (uint8_t *)r->own + random_between(&sc->random, from, r->own_size - 1 - n);
	for (i = 0; i < n; i++)
		at[i] = (uint8_t)random_next(&sc->random);
	return true;
}

/* An id that is not quite one of those in use. */
static inline uint32_t mutated_id(struct scribbler *sc)
{
	uint32_t id = scribbler_chance(sc, 3) ? scribbler_their_id(sc) :
						sc->own[scribbler_pick(sc, SCRIBBLER_STREAMS)].id;

	switch (scribbler_pick(sc, 6)) {
	case 0:
		return id ^ 1u << SHMUX_ID_ROLE_SHIFT;
	case 1:
		return id + (1u << SHMUX_ID_GEN_SHIFT);
	case 2:
		return id - (1u << SHMUX_ID_GEN_SHIFT);
	case 3:
		return id + 1000;
	case 4:
		return scribbler_edge(sc);
	default:
		return id ^ 1u << scribbler_pick(sc, 32);
	}
}

/* A frame about no stream there is, or a pointless one about one there is. */
static inline bool mutate_pointless(struct scribbler *sc)
{
	struct scribbled_stream *st = &sc->own[scribbler_pick(sc, SCRIBBLER_STREAMS)];
	uint32_t id = mutated_id(sc), arena = scribbler_arena(sc);
	uint32_t gone = id | 0x1ff000; /* an index beyond those in use */

	switch (scribbler_pick(sc, 13)) {
	case 11:
		return scribbler_say_words(sc, SHMUX_FRAME_REFUND, gone, scribbler_edge(sc), 0, 4);
	case 0:
		return scribbler_say_words(sc, SHMUX_FRAME_CREDIT, gone, scribbler_edge(sc), 0, 4);
	case 1:
		return scribbler_say_words(sc, SHMUX_FRAME_CREDIT, scribbler_their_id(sc), 0, 0, 4);
	case 2:
		return scribbler_say_words(sc, SHMUX_FRAME_BLOCKED, id, scribbler_edge(sc), 0, 4);
	case 3:
		return scribbler_say_words(sc, SHMUX_FRAME_BLOCKED, st->id, scribbler_edge(sc), 0,
					   4);
	case 4:
		return scribbler_say(sc, SHMUX_FRAME_DATA, scribbler_pick(sc, 16), gone,
				     scribbler_payload, scribbler_pick(sc, 300));
	case 5:
		return scribbler_say_words(sc, SHMUX_FRAME_DESCRIPTOR, gone,
					   arena + SHMUX_BLOCK_SIZE * scribbler_pick(sc, 15),
					   scribbler_pick(sc, 4097), 8);
	case 6:
		return scribbler_say_words(sc, SHMUX_FRAME_RESET, gone, scribbler_edge(sc), 0, 4);
	case 7:
		return scribbler_say(sc, SHMUX_FRAME_END, 1 + scribbler_pick(sc, 3), gone, NULL, 0);
	case 8:
		return scribbler_say_words(sc, SHMUX_FRAME_PING, id, scribbler_edge(sc),
					   scribbler_edge(sc), 8);
	case 9:
		return scribbler_say_words(sc, SHMUX_FRAME_PONG, id, 0, 0, 8);
	case 10: /* to be refused, there is no such index */
		return scribbler_say_words(sc, SHMUX_FRAME_OPEN,
					   attacker_id(sc->s, gone & SHMUX_ID_INDEX_MAX, 5), 0,
					   scribbler_edge(sc), 8);
	default:
		if (scribbler_chance(sc, 30))
			return scribbler_say_words(sc, SHMUX_FRAME_GOAWAY, id, scribbler_edge(sc),
						   0, 4);
		return st->fin || !st->open ? false :
					      scribbler_say(sc, SHMUX_FRAME_DATA, SHMUX_FLAG_ABORT,
							    st->id, NULL, 0);
	}
}

/* Payload of an odd kind, for which there is credit. */
static inline bool mutate_payload(struct scribbler *sc)
{
	struct scribbled_stream *st = &sc->own[scribbler_pick(sc, SCRIBBLER_STREAMS)];
	uint32_t arena = scribbler_arena(sc), len, flags;
	uint32_t body[2];

	if (!st->open || st->fin || st->credit < SHMUX_CREDIT_MIN)
		return false;
	flags = scribbler_pick(sc, 2) ? SHMUX_FLAG_MORE : 0;
	len = scribbler_edge(sc);
	if (len > st->credit || len > 4096)
		len = scribbler_pick(sc, 3);
	if (scribbler_chance(sc, 2)) {
		/* The same chunk over and over; empty ones. */
		body[0] = arena;
		body[1] = len;
		if (!scribbler_say(sc, SHMUX_FRAME_DESCRIPTOR, flags, st->id, body, 8))
			return false;
	} else if (!scribbler_say(sc, SHMUX_FRAME_DATA, flags, st->id, scribbler_payload, len)) {
		return false;
	}
	st->credit -= record_cost(len);
	return true;
}

/* A descriptor at either end of the arena, which may reach out of it. */
static inline bool mutate_descriptor(struct scribbler *sc)
{
	struct scribbled_stream *st = &sc->own[scribbler_pick(sc, SCRIBBLER_STREAMS)];
	uint32_t end = attacker_shm(sc->s)->region->own_size, len;
	uint32_t body[2];

	if (!st->open || st->fin || st->credit < SHMUX_CREDIT_MIN)
		return false;
	body[0] = scribbler_chance(sc, 8) ? scribbler_arena(sc) - SHMUX_BLOCK_SIZE :
					    end - SHMUX_BLOCK_SIZE * (1 + scribbler_pick(sc, 2));
	len = st->credit < 3 * SHMUX_BLOCK_SIZE ? st->credit : 3 * SHMUX_BLOCK_SIZE;
	body[1] = random_between(&sc->random, len / 2, len);
	if (!scribbler_say(sc, SHMUX_FRAME_DESCRIPTOR, 0, st->id, body, 8))
		return false;
	st->credit -= record_cost(body[1]);
	return true;
}

/* Any frame with any field wrong: likely a breach. */
static inline bool mutate_frame(struct scribbler *sc)
{
	static const uint32_t lens[11] = { 0, 8, 20, 8, 4, 0, 4, 4, 4, 8, 8 };
	struct scribbled_stream *st = &sc->own[scribbler_pick(sc, SCRIBBLER_STREAMS)];
	uint32_t type = 1 + scribbler_pick(sc, 10), flags = 0, id = st->id, len = lens[type];
	uint32_t body[2] = { scribbler_pick(sc, 2), 0 };

	if (type == SHMUX_FRAME_DESCRIPTOR) {
		body[0] = scribbler_arena(sc);
		body[1] = 100;
	}
	switch (scribbler_pick(sc, 6)) {
	case 0:
		type = scribbler_pick(sc, 16);
		break;
	case 1:
		flags = scribbler_pick(sc, 16);
		break;
	case 2:
		id = mutated_id(sc);
		break;
	case 3:
		len = scribbler_edge(sc) & 0xfff;
		break;
	default:
		body[scribbler_pick(sc, 2)] = scribbler_edge(sc);
		break;
	}
	if (len > 8)
		return scribbler_say(sc, type, flags, id, scribbler_payload, len);
	return scribbler_say(sc, type, flags, id, body, len);
}

static const struct {
	const char *name;
	bool (*fn)(struct scribbler *sc);
	uint32_t weight;
	bool breach; /* often */
} scribbler_mutations[] = {
	{ "hints", mutate_hint, 24, false },
	{ "kicks", mutate_kick, 4, false },
	{ "armed words", mutate_armed, 8, false },
	{ "consumer indexes", mutate_consumer, 2, true },
	{ "return words", mutate_return, 12, false },
	{ "slots of other laps", mutate_slot, 24, false },
	{ "records", mutate_record, 2, true },
	{ "lengths", mutate_length, 1, true },
	{ "bytes", mutate_bytes, 16, false },
	{ "pointless frames", mutate_pointless, 60, false },
	{ "odd payloads", mutate_payload, 40, false },
	{ "descriptors", mutate_descriptor, 2, true },
	{ "wrong frames", mutate_frame, 2, true },
};

#define SCRIBBLER_NR_KINDS (sizeof(scribbler_mutations) / sizeof(scribbler_mutations[0]))

/* Which mutation comes next. */
static inline uint32_t scribbler_kind(struct scribbler *sc)
{
	uint32_t i, sum = 0, at;

	for (i = 0; i < SCRIBBLER_NR_KINDS; i++)
		sum += scribbler_mutations[i].weight;
	do {
		at = scribbler_pick(sc, sum);
		for (i = 0; at >= scribbler_mutations[i].weight; i++)
			at -= scribbler_mutations[i].weight;
	} while (sc->careful && scribbler_mutations[i].breach);
	return i;
}

/* The step of this number. Return: the kind of the mutation that was made. */
static inline uint32_t scribbler_step(struct scribbler *sc, uint64_t seed, uint64_t step)
{
	uint32_t kind, n, tries = 0;

	sc->random = seed ^ step * UINT64_C(0x9e3779b97f4a7c15);
	random_next(&sc->random);
	random_next(&sc->random);
	for (n = scribbler_pick(sc, 3); n; n--)
		scribbler_behave(sc);
	do {
		/* The ring may be full: then one that needs no room. */
		kind = ++tries < 8 ? scribbler_kind(sc) : 0;
	} while (!scribbler_mutations[kind].fn(sc) && tries < 100);
	return kind;
}

static inline void scribbler_begin(struct scribbler *sc, struct shmux_session *s, uint64_t random)
{
	memset(sc, 0, sizeof(*sc));
	sc->s = s;
	sc->random = random;
	random_next(&sc->random);
	sc->careful = scribbler_chance(sc, 3);
}

#endif /* TESTS_TRUST_SCRIBBLER_H */
