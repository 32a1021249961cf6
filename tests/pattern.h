/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pattern.h - content that tells when a byte is not where it belongs */
#ifndef TESTS_PATTERN_H
#define TESTS_PATTERN_H

#include <stddef.h>
#include <stdint.h>

/* Write the bytes that a stream of this @seed has from @position on. */
void pattern_fill(void *buf, size_t len, uint64_t position, uint32_t seed);

/* Return: offset of the first byte that is wrong, or -1. */
int64_t pattern_check(const void *buf, size_t len, uint64_t position, uint32_t seed);

/* A small generator of random numbers. */
static inline uint32_t random_next(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 32);
}

/* A random number from @low to @high. */
static inline uint32_t random_between(uint64_t *state, uint32_t low, uint32_t high)
{
	return low + (uint32_t)(((uint64_t)random_next(state) * ((uint64_t)high - low + 1)) >> 32);
}

#endif /* TESTS_PATTERN_H */
