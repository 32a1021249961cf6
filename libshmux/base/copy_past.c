// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * copy_past.c - copying by stores that leave the caches out
 *
 * A line in our cache is a line that the reader's core has to ask ours for, one by
 * one; from memory its prefetcher has many at once.
 */
#include "base/copy_past.h"

#include <stdint.h>
#include <string.h>

#if SHMUX_CAN_COPY_PAST

#include <emmintrin.h>

#define LINE 64u

void shmux_copy_past(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;
	size_t head = -(uintptr_t)d % LINE;

	if (head > n)
		head = n;
	memcpy(d, s, head);
	/* Whole lines: part of one would have to be fetched after all. */
	for (d += head, s += head, n -= head; n >= LINE; n -= LINE) {
		const __m128i *from = (const __m128i *)(const void *)s;
		__m128i *to = (__m128i *)(void *)d;
		__m128i a = _mm_loadu_si128(from);
		__m128i b = _mm_loadu_si128(from + 1);
		__m128i c = _mm_loadu_si128(from + 2);
		__m128i e = _mm_loadu_si128(from + 3);

		_mm_stream_si128(to, a);
		_mm_stream_si128(to + 1, b);
		_mm_stream_si128(to + 2, c);
		_mm_stream_si128(to + 3, e);
		d += LINE;
		s += LINE;
	}
	memcpy(d, s, n);
	/* [B1] A release does not wait for such stores. */
	_mm_sfence();
}

#else

void shmux_copy_past(void *dst, const void *src, size_t n)
{
	memcpy(dst, src, n);
}

#endif
