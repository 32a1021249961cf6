/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fuzz.h - what the fuzz targets share: an input to draw from, and a verdict
 *
 * A target is LLVMFuzzerTestOneInput(). `make fuzzers` links it with libFuzzer;
 * the other builds with replay.c, which runs what the corpus holds. Whatever the
 * input says the same happens each time it is run: no clock, no chance.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
				 size_t size2, uint8_t *out, size_t max, unsigned int seed);

/* What must be so whatever the input says. */
#define HOLD(cond)                                                                             \
	do {                                                                                   \
		if (!(cond)) {                                                                 \
			fprintf(stderr, "%s:%d: this does not hold: %s\n", __FILE__, __LINE__, \
				#cond);                                                        \
			abort();                                                               \
		}                                                                              \
	} while (0)

struct input {
	const uint8_t *at, *end;
};

/* Beyond the end all is zero. */
static inline uint8_t input_u8(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static inline uint32_t input_u16(struct input *in)
{
	uint32_t low = input_u8(in);

	return low | (uint32_t)input_u8(in) << 8;
}

static inline uint32_t input_u32(struct input *in)
{
	uint32_t low = input_u16(in);

	return low | input_u16(in) << 16;
}

static inline bool input_is_empty(const struct input *in)
{
	return in->at >= in->end;
}

/*
 * A number of any size in a byte: 0 to 127 as they are, above that the powers of
 * two and their neighbours.
 */
static inline uint32_t input_number(struct input *in)
{
	uint8_t b = input_u8(in);

	if (b < 128)
		return b;
	b -= 128;
	return (UINT32_C(1) << b / 4) + (uint32_t)(b % 4) - 2;
}

/*
 * Memory as two processes would see it: writable here, and read-only there, each
 * view between pages that nobody may touch. Kept from run to run.
 */
struct shared {
	char *writable;
	const char *readable;
	uint32_t size;
};

static inline char *shared_map(int fd, uint32_t size, int prot)
{
	const size_t page = 4096;
	char *at = mmap(NULL, size + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	HOLD(at != MAP_FAILED);
	HOLD(mmap(at + page, size, prot, MAP_SHARED | MAP_FIXED, fd, 0) == at + page);
	return at + page;
}

static inline void shared_open(struct shared *m, uint32_t size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	HOLD(fd >= 0 && !ftruncate(fd, size));
	m->size = size;
	m->writable = shared_map(fd, size, PROT_READ | PROT_WRITE);
	m->readable = shared_map(fd, size, PROT_READ);
	close(fd);
}

#endif /* TESTS_FUZZ_FUZZ_H */
