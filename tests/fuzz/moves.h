/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * moves.h - inputs that are programs of moves, and how libFuzzer changes them
 *
 * After a first byte, the setting, an input is a list of moves: a byte that says
 * which, and as many bytes of arguments as that one has, whatever comes before.
 * So moves can be put in, taken out, joined and changed whole, and what follows
 * keeps its meaning; bytes changed at random would turn a program into another.
 */
#ifndef TESTS_FUZZ_MOVES_H
#define TESTS_FUZZ_MOVES_H

#include "fuzz.h"

#define MOVES_MAX 1024

/*
 * The arguments of each move, a letter a byte: 'i' whose stream, 'h' whose handle
 * (bits 0 to 2), 'n' a number of input_number(), 'b' any bits.
 */
struct grammar {
	const char *const *shape;
	uint32_t nr;
};

/* A program under change. */
struct program {
	const struct grammar *grammar;
	uint8_t *data;
	size_t size, max;
	uint16_t at[MOVES_MAX + 1]; /* where each move begins, and the end */
	uint32_t nr;
	uint64_t chance;
};

static inline uint32_t program_below(struct program *p, uint32_t n)
{
	p->chance = p->chance * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)((p->chance >> 32) * n >> 32);
}

static inline const char *program_shape(const struct program *p, uint32_t move)
{
	return p->grammar->shape[p->data[p->at[move]] % p->grammar->nr];
}

/* Find the moves; the last is made whole, or else left out. */
static inline void program_parse(struct program *p)
{
	size_t at = 1, len;

	for (p->nr = 0; at < p->size && p->nr < MOVES_MAX; p->nr++) {
		p->at[p->nr] = (uint16_t)at;
		len = 1 + strlen(program_shape(p, p->nr));
		if (len > p->max - at)
			break;
		if (at + len > p->size)
			memset(p->data + p->size, 0, at + len - p->size);
		at += len;
	}
	p->at[p->nr] = (uint16_t)at;
	p->size = at;
}

/* A stream that the program already speaks of, or any of a few. */
static inline uint8_t program_id(struct program *p)
{
	uint32_t tries = 8, move, i;
	const char *shape;

	while (p->nr && program_below(p, 4) && tries--) {
		move = program_below(p, p->nr);
		shape = program_shape(p, move);
		for (i = 0; shape[i]; i++)
			if (shape[i] == 'i')
				return p->data[p->at[move] + 1 + i];
	}
	/* The first streams of either, their first generation. */
	if (program_below(p, 4))
		return (uint8_t)(program_below(p, 3) | (program_below(p, 3) ? 0 : 0x80));
	return (uint8_t)program_below(p, 256);
}

static inline uint8_t program_number(struct program *p)
{
	switch (program_below(p, 4)) {
	case 0:
		return (uint8_t)program_below(p, 4);
	case 1:
		return (uint8_t)program_below(p, 256);
	case 2:
		/* 30 to 65537: slots, blocks, grants, windows. */
		return (uint8_t)(128 + 20 + program_below(p, 48));
	default:
		return (uint8_t)(128 + program_below(p, 128));
	}
}

static inline uint8_t program_argument(struct program *p, char letter)
{
	switch (letter) {
	case 'i':
		return program_id(p);
	case 'h':
		/* Most programs have no more than two. */
		return (uint8_t)(program_below(p, 256) & (program_below(p, 4) ? 0xf9 : 0xff));
	case 'n':
		return program_number(p);
	default:
		return (uint8_t)program_below(p, 256);
	}
}

static inline bool program_open_gap(struct program *p, size_t at, size_t len)
{
	if (len > p->max - p->size)
		return false;
	memmove(p->data + at + len, p->data + at, p->size - at);
	p->size += len;
	return true;
}

static inline void program_insert(struct program *p)
{
	uint8_t op = (uint8_t)program_below(p, p->grammar->nr), move[16] = { op };
	const char *shape = p->grammar->shape[op];
	size_t at = p->at[program_below(p, p->nr + 1)], len = 1 + strlen(shape), i;

	HOLD(len <= sizeof(move));
	for (i = 1; i < len; i++)
		move[i] = program_argument(p, shape[i - 1]);
	if (program_open_gap(p, at, len))
		memcpy(p->data + at, move, len);
}

static inline void program_erase(struct program *p)
{
	uint32_t first = program_below(p, p->nr), nr = 1 + program_below(p, 4);
	size_t end;

	if (nr > p->nr - first)
		nr = p->nr - first;
	end = p->at[first + nr];
	memmove(p->data + p->at[first], p->data + end, p->size - end);
	p->size -= end - p->at[first];
}

/* Moves of this or of another program once more, elsewhere. */
static inline void program_copy(struct program *p, const struct program *from, uint32_t most)
{
	uint32_t first = program_below(p, from->nr), nr = 1 + program_below(p, most);
	uint8_t moves[256];
	size_t at = p->at[program_below(p, p->nr + 1)], len;

	if (nr > from->nr - first)
		nr = from->nr - first;
	len = from->at[first + nr] - from->at[first];
	if (len > sizeof(moves))
		return;
	memcpy(moves, from->data + from->at[first], len);
	if (program_open_gap(p, at, len))
		memcpy(p->data + at, moves, len);
}

static inline void program_change(struct program *p)
{
	uint32_t tries = 8, move, arg;
	const char *shape;
	uint8_t *byte;

	do {
		move = program_below(p, p->nr);
		shape = program_shape(p, move);
	} while (!*shape && tries--);
	if (!*shape)
		return;
	arg = program_below(p, (uint32_t)strlen(shape));
	byte = p->data + p->at[move] + 1 + arg;
	switch (program_below(p, 4)) {
	case 0:
		*byte ^= (uint8_t)(1u << program_below(p, 8));
		break;
	case 1:
		*byte += program_below(p, 2) ? 1 : -1;
		break;
	default:
		*byte = program_argument(p, shape[arg]);
	}
}

/* The same moves and arguments of another kind: what is legal for one is not for all. */
static inline void program_turn(struct program *p)
{
	uint32_t move = program_below(p, p->nr), tries;
	uint8_t op;

	for (tries = 0; tries < 16; tries++) {
		op = (uint8_t)program_below(p, p->grammar->nr);
		if (strlen(p->grammar->shape[op]) == strlen(program_shape(p, move))) {
			p->data[p->at[move]] = op;
			return;
		}
	}
}

static inline size_t program_mutate(const struct grammar *grammar, uint8_t *data, size_t size,
				    size_t max, unsigned int seed)
{
	struct program p = {
		.grammar = grammar, .data = data, .size = size, .max = max, .chance = seed
	};
	uint32_t times;

	if (!size)
		data[0] = 0, p.size = 1;
	times = 1 + program_below(&p, 4);
	while (times--) {
		uint32_t what = program_below(&p, 16);

		program_parse(&p);
		if (!p.nr || what < 5)
			program_insert(&p);
		else if (what < 7)
			program_erase(&p);
		else if (what < 9)
			program_copy(&p, &p, 4);
		else if (what < 14)
			program_change(&p);
		else if (what < 15)
			program_turn(&p);
		else
			data[0] ^= (uint8_t)(1u << program_below(&p, 8));
	}
	program_parse(&p);
	return p.size;
}

/* Moves of the second within the first. */
static inline size_t program_cross(const struct grammar *grammar, const uint8_t *data1,
				   size_t size1, const uint8_t *data2, size_t size2, uint8_t *out,
				   size_t max, unsigned int seed)
{
	static uint8_t other[1u << 16];
	struct program p = { .grammar = grammar, .data = out, .max = max, .chance = seed };
	struct program from = { .grammar = grammar, .data = other, .max = sizeof(other) };

	if (!size1 || !size2 || size1 > max || size2 > sizeof(other) / 2)
		return 0;
	memcpy(out, data1, size1);
	memcpy(other, data2, size2);
	p.size = size1;
	from.size = size2;
	program_parse(&p);
	program_parse(&from);
	if (from.nr)
		program_copy(&p, &from, from.nr);
	program_parse(&p);
	return p.size;
}

#endif /* TESTS_FUZZ_MOVES_H */
