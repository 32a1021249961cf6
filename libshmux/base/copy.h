/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* copy.h - copying at most a cache line without a call */
#ifndef SHMUX_BASE_COPY_H
#define SHMUX_BASE_COPY_H

#include <stddef.h>
#include <stdint.h>

/* A type that compilers keep in one register. */
typedef uint64_t shmux_copy16 __attribute__((vector_size(16)));

/*
 * Have @value, in a register, stored after the 16 bytes at @at. Lines that another
 * core has come the sooner if each is stored to from its beginning to its end: 4 KB
 * in slots there and back takes 1.3 to 1.6 times as long in another order (AMD), and
 * a compiler may choose any.
 */
#if defined(__x86_64__)
#define SHMUX_STORE_AFTER(value, at)                                          \
	__asm__("" : "+x"(value) : "m"(*(const char(*)[16])(at)))
#elif defined(__aarch64__)
#define SHMUX_STORE_AFTER(value, at)                                          \
	__asm__("" : "+w"(value) : "m"(*(const char(*)[16])(at)))
#else
#define SHMUX_STORE_AFTER(value, at) ((void)0)
#endif

/*
 * Copy @n <= 64 bytes. Two moves that may overlap in the middle cover each
 * range of sizes, so no byte outside of the two buffers is touched.
 */
static inline void shmux_copy_small(void *dst, const void *src, size_t n)
{
	char *d = dst;
	const char *s = src;
	shmux_copy16 a, b, c, e;
	uint64_t lo8, hi8;
	uint32_t lo4, hi4;

	if (n >= 32) {
		__builtin_memcpy(&a, s, 16);
		__builtin_memcpy(&b, s + 16, 16);
		__builtin_memcpy(&c, s + n - 32, 16);
		__builtin_memcpy(&e, s + n - 16, 16);
		__builtin_memcpy(d, &a, 16);
		SHMUX_STORE_AFTER(b, d);
		__builtin_memcpy(d + 16, &b, 16);
		SHMUX_STORE_AFTER(c, d + 16);
		__builtin_memcpy(d + n - 32, &c, 16);
		SHMUX_STORE_AFTER(e, d + n - 32);
		__builtin_memcpy(d + n - 16, &e, 16);
	} else if (n >= 16) {
		__builtin_memcpy(&a, s, 16);
		__builtin_memcpy(&b, s + n - 16, 16);
		__builtin_memcpy(d, &a, 16);
		SHMUX_STORE_AFTER(b, d);
		__builtin_memcpy(d + n - 16, &b, 16);
	} else if (n >= 8) {
		__builtin_memcpy(&lo8, s, 8);
		__builtin_memcpy(&hi8, s + n - 8, 8);
		__builtin_memcpy(d, &lo8, 8);
		__builtin_memcpy(d + n - 8, &hi8, 8);
	} else if (n >= 4) {
		__builtin_memcpy(&lo4, s, 4);
		__builtin_memcpy(&hi4, s + n - 4, 4);
		__builtin_memcpy(d, &lo4, 4);
		__builtin_memcpy(d + n - 4, &hi4, 4);
	} else if (n) {
		d[0] = s[0];
		if (n > 1)
			d[1] = s[1];
		if (n > 2)
			d[2] = s[2];
	}
}

/*
 * Copy 56 bytes, no two moves of which overlap. Who has just stored them, or loads
 * them next, does so by 16 as well, and a load from across two stores waits for both.
 */
static inline void shmux_copy_56(void *dst, const void *src)
{
	char *d = dst;
	const char *s = src;
	shmux_copy16 a, b, c;
	uint64_t e;

	__builtin_memcpy(&a, s, 16);
	__builtin_memcpy(&b, s + 16, 16);
	__builtin_memcpy(&c, s + 32, 16);
	__builtin_memcpy(&e, s + 48, 8);
	__builtin_memcpy(d, &a, 16);
	SHMUX_STORE_AFTER(b, d);
	__builtin_memcpy(d + 16, &b, 16);
	SHMUX_STORE_AFTER(c, d + 16);
	__builtin_memcpy(d + 32, &c, 16);
	SHMUX_STORE_AFTER(e, d + 32);
	__builtin_memcpy(d + 48, &e, 8);
}

#endif /* SHMUX_BASE_COPY_H */
