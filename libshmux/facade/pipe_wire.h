/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pipe_wire.h - what the two ends of a pipe over a stream say to each other
 *
 * Each direction of the stream is a row of frames: a head of eight bytes, behind
 * that of PIPE_DATA so many bytes as @arg says. Numbers are little-endian.
 *
 *   byte 0     type
 *   byte 1     flags
 *   byte 2, 3  count
 *   byte 4..7  arg
 *
 * PIPE_HELLO comes first, both ways: count is the version, arg PIPE_MAGIC, and
 * PIPE_WRITER is set by the writer's end. Then the reader's end says
 *
 *   PIPE_DEMAND  a read waits that has room for arg bytes (PIPE_ASK), or does so no
 *                more. A new one takes the place of the one before; the answer to
 *                it uses it up.
 *   PIPE_TAKEN   since the last one arg bytes have been consumed, and count frames
 *                with all they had
 *   PIPE_CLOSE   nothing will be read any more; arg is an errno, or 0
 *
 * and the writer's end
 *
 *   PIPE_DATA    a part of a write. It answers a demand, or is within the buffer
 *                that the writer's end allows itself. With PIPE_MORE the next frame
 *                is of the same write, and is to be waited for; an empty frame
 *                behind such a one says that no more comes after all. Any other
 *                empty frame is an empty write.
 *   PIPE_CLOSE   the end, or an errno
 *
 * and nothing after PIPE_CLOSE.
 */
#ifndef SHMUX_FACADE_PIPE_WIRE_H
#define SHMUX_FACADE_PIPE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#define PIPE_HEAD	8u
#define PIPE_VERSION	1u
#define PIPE_MAGIC	0x65706970u	/* "pipe" */
#define PIPE_DATA_MAX	65536u

enum pipe_type {
	PIPE_HELLO = 1,
	PIPE_DEMAND,
	PIPE_TAKEN,
	PIPE_DATA,
	PIPE_CLOSE,
};

#define PIPE_WRITER	0x1u	/* PIPE_HELLO */
#define PIPE_ASK	0x1u	/* PIPE_DEMAND */
#define PIPE_MORE	0x1u	/* PIPE_DATA */

struct pipe_frame {
	uint8_t type, flags;
	uint16_t count;
	uint32_t arg;
};

static inline void pipe_encode(const struct pipe_frame *f, uint8_t *to)
{
	to[0] = f->type;
	to[1] = f->flags;
	to[2] = (uint8_t)f->count;
	to[3] = (uint8_t)(f->count >> 8);
	to[4] = (uint8_t)f->arg;
	to[5] = (uint8_t)(f->arg >> 8);
	to[6] = (uint8_t)(f->arg >> 16);
	to[7] = (uint8_t)(f->arg >> 24);
}

static inline void pipe_decode(const uint8_t *from, struct pipe_frame *f)
{
	f->type = from[0];
	f->flags = from[1];
	f->count = (uint16_t)(from[2] | from[3] << 8);
	f->arg = from[4] | (uint32_t)from[5] << 8 | (uint32_t)from[6] << 16 |
		 (uint32_t)from[7] << 24;
}

/* Might the other end, the writer's or the reader's, say that, after its hello? */
static inline bool pipe_makes_sense(const struct pipe_frame *f, bool by_writer)
{
	if (f->flags & ~1u)
		return false;
	switch (f->type) {
	case PIPE_DEMAND:
		return !by_writer && !f->count;
	case PIPE_TAKEN:
		return !by_writer && !f->flags;
	case PIPE_DATA:
		return by_writer && !f->count && f->arg <= PIPE_DATA_MAX &&
		       (f->arg || !(f->flags & PIPE_MORE));
	case PIPE_CLOSE:
		return !f->flags && !f->count && f->arg <= 4095;
	default:
		return false;
	}
}

#endif /* SHMUX_FACADE_PIPE_WIRE_H */
