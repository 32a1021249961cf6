// SPDX-License-Identifier: LGPL-2.1-or-later
/* pattern.c - a hash of the position, so that no two lines are alike */
#include "pattern.h"

static uint8_t pattern_byte(uint64_t position, uint32_t seed)
{
	uint32_t hash = ((uint32_t)(position >> 5) + seed) * 2654435761u;

	return (uint8_t)((hash >> (8 * (position & 3))) + position);
}

void pattern_fill(void *buf, size_t len, uint64_t position, uint32_t seed)
{
	uint8_t *byte = buf;

	for (size_t i = 0; i < len; i++)
		byte[i] = pattern_byte(position + i, seed);
}

int64_t pattern_check(const void *buf, size_t len, uint64_t position, uint32_t seed)
{
	const uint8_t *byte = buf;

	for (size_t i = 0; i < len; i++)
		if (byte[i] != pattern_byte(position + i, seed))
			return (int64_t)i;
	return -1;
}
