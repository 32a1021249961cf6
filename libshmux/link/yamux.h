/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * yamux.h - the frames of yamux, version 0, as they are on the wire
 *
 * From the specification that hashicorp/yamux has beside its code (spec.md). A
 * frame is a header of twelve bytes, big-endian; after that of DATA come as many
 * bytes of payload as it says, and nothing after the others:
 *
 *   0        1       2         4               8               12
 *   +--------+-------+---------+---------------+---------------+
 *   | version| type  |  flags  |   stream id   |    length     |
 *   +--------+-------+---------+---------------+---------------+
 *
 * The client's streams have odd ids, the server's even ones; 0 is the session's.
 */
#ifndef SHMUX_LINK_YAMUX_H
#define SHMUX_LINK_YAMUX_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define YAMUX_VERSION		0
#define YAMUX_HEADER_SIZE	12u

enum yamux_type {
	YAMUX_DATA = 0,			/* length: bytes of payload */
	YAMUX_WINDOW_UPDATE = 1,	/* length: bytes that may be sent further */
	YAMUX_PING = 2,			/* length: any value; SYN asks, ACK answers */
	YAMUX_GO_AWAY = 3,		/* length: YAMUX_GO_AWAY_* */
};

/* SYN, ACK, FIN and RST are of DATA and WINDOW_UPDATE alike. */
#define YAMUX_SYN		0x1u	/* the stream is new */
#define YAMUX_ACK		0x2u	/* it has been accepted */
#define YAMUX_FIN		0x4u	/* half-close */
#define YAMUX_RST		0x8u	/* the stream is over */
#define YAMUX_FLAGS		0xfu

#define YAMUX_GO_AWAY_NORMAL	0u
#define YAMUX_GO_AWAY_PROTOCOL	1u
#define YAMUX_GO_AWAY_INTERNAL	2u

/* What may be sent on a stream before there is word of more, bytes. */
#define YAMUX_WINDOW		262144u

/* Streams that one side may have opened and the other not yet accepted. */
#define YAMUX_UNACKED_MAX	256u

struct yamux_header {
	uint8_t version;
	uint8_t type;
	uint16_t flags;
	uint32_t id;
	uint32_t len;
};

static inline void yamux_encode(const struct yamux_header *h,
				unsigned char wire[YAMUX_HEADER_SIZE])
{
	uint16_t flags = htobe16(h->flags);
	uint32_t id = htobe32(h->id), len = htobe32(h->len);

	wire[0] = h->version;
	wire[1] = h->type;
	memcpy(wire + 2, &flags, sizeof(flags));
	memcpy(wire + 4, &id, sizeof(id));
	memcpy(wire + 8, &len, sizeof(len));
}

static inline struct yamux_header
yamux_decode(const unsigned char wire[YAMUX_HEADER_SIZE])
{
	struct yamux_header h = { .version = wire[0], .type = wire[1] };
	uint16_t flags;
	uint32_t id, len;

	memcpy(&flags, wire + 2, sizeof(flags));
	memcpy(&id, wire + 4, sizeof(id));
	memcpy(&len, wire + 8, sizeof(len));
	h.flags = be16toh(flags);
	h.id = be32toh(id);
	h.len = be32toh(len);
	return h;
}

#endif /* SHMUX_LINK_YAMUX_H */
