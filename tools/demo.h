/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * demo.h - what the demo's client and server agree on
 *
 * A sample goes over eight streams at once, a slice each. Each stream begins
 * with a struct demo_slice, the slice's bytes follow, then the end. The server
 * answers on the stream of slice 0: DEMO_READY when it has read all headers and
 * has memory, DEMO_ARRIVED when it has all the bytes, then its digest.
 */
#ifndef SHMUX_TOOLS_DEMO_H
#define SHMUX_TOOLS_DEMO_H

#include <stddef.h>
#include <stdint.h>

#include "sample.h"
#include "sha256.h"

enum {
	DEMO_STREAMS = 8,
	DEMO_CHUNK = 64 << 10,		/* bytes a write, read or span */
	DEMO_READY = 'r',
	DEMO_ARRIVED = 'a',
};

#define DEMO_PATIENCE UINT64_C(10000000000)	/* ns for either to make a step */

struct demo_slice {
	uint32_t index;			/* below DEMO_STREAMS */
	uint32_t zero_copy;		/* at both ends */
	uint64_t offset, len;		/* of the slice */
	uint64_t total;			/* of all slices */
	uint8_t digest[SHA256_SIZE];	/* of all slices */
};

/* A process each. Return: the exit code. */
int demo_serve(const char *address);
int demo_send(const char *address, const char *path);

#endif /* SHMUX_TOOLS_DEMO_H */
