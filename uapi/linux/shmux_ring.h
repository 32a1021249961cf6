/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * shmux_ring.h - the bytes two processes share
 *
 * This header is the specification of the shared-memory link. Everything in
 * it is little-endian in fact and native in law: both ends run on one machine.
 * All words are 32 bits wide and naturally aligned, so a 32-bit and a 64-bit
 * process may be each other's peer.
 *
 * You write yours, you read theirs
 * ================================
 * A session has two regions. Each side maps its own read-write and the peer's
 * read-only, and says everything it has to say in its own: frames, payload,
 * how far it has consumed, which chunks it gives back, that it is asleep.
 * Below, "owner" is the side that writes the region, "peer" the one that reads.
 *
 *   offset 0                 struct shmux_region_header, SHMUX_HEADER_SIZE bytes
 *   returns_offset           return ring:  returns_slots words
 *   ring_offset              frame ring:   ring_slots slots of 64 bytes
 *   arena_offset             arena:        arena_size bytes
 *   size                     end of the region
 *
 * Every part starts on a page of 4096 bytes, in this order, and none overlaps
 * the next. The reader copies the constants once, checks them, and from then
 * on believes only its copy.
 *
 * Slots and records
 * =================
 * A slot is one cache line. Its first word is never payload and is written
 * anew in each lap, so what a slot held a lap ago cannot be taken for news.
 * A record takes one slot or more:
 *
 *   first slot     +0   word     type, flags, length, tag      (commits it)
 *                  +4   stream   stream id, 0 where none is meant
 *                  +8   body     56 bytes
 *   next slots     +0   word     type SHMUX_FRAME_CONT and the tag
 *                  +4   body     60 bytes
 *
 *   31            16 15   12 11     8 7       0
 *   +---------------+-------+--------+---------+
 *   |  body length  | flags |  type  |   tag   |
 *   +---------------+-------+--------+---------+
 *
 * Indexes run freely through 32 bits; slot = index & (ring_slots - 1). The tag
 * is the low eight bits of the lap, counted from 1: SHMUX_TAG(index, order).
 * A slot whose tag is not the one of the lap the consumer is in is not yet
 * written, but perhaps beyond its first word, which in a free slot the producer
 * leaves alone. A fresh region is zero, which is no tag of the first lap.
 *
 * The producer fills the first slot of a record last and stores its first word
 * last of all, with release. Several records are published at once by
 * holding back the first word of the first of them. After publishing: one full
 * fence, then a look at the peer's armed word (see "Sleep and wake").
 *
 * The consumer polls the word of the slot it expects next, with acquire, and
 * publishes @consumer each time it has passed a quarter of the ring, and before
 * it sleeps. The producer never has more than ring_slots slots unconsumed. A
 * record never takes more than half of the ring.
 *
 * Arena, chunks and the return ring
 * =================================
 * Larger payloads lie in the owner's arena. A SHMUX_FRAME_DESCRIPTOR carries
 * where (offset from the start of the region) and how many bytes. The owner
 * alone keeps the allocator's books, outside shared memory. The chunk is lent
 * until the peer puts its offset into the return ring of the *peer's* region.
 * An offset travels in blocks of SHMUX_BLOCK_SIZE bytes:
 *
 *   31                        8 7       0
 *   +--------------------------+---------+
 *   |   offset / block size    |   tag   |     tag as for slots
 *   +--------------------------+---------+
 *
 * The return ring of a region is at least as large as the number of blocks in
 * the other side's arena, so a return always finds room.
 *
 * A receiver may leave payload in its chunk until it is read. A sender that finds
 * no chunk says so with SHMUX_FRAME_BLOCKED of id 0, once until it has sent
 * something again. The receiver then copies out what waits to be read and gives
 * those chunks back, except while its application looks at them in place. So
 * what nobody reads keeps nobody from writing.
 *
 * Credit
 * ======
 * Each side may send, on each stream, as many bytes as the other has granted.
 * A record of payload costs its length, or SHMUX_CREDIT_MIN if that is more.
 * A new stream starts with first_grant of the receiving side's header; what
 * follows is granted by SHMUX_FRAME_CREDIT. A sender with nothing left may say
 * so with SHMUX_FRAME_BLOCKED. One that asked and then gave up says that with
 * SHMUX_FRAME_REFUND, by which it gives back what it has beyond the first grant;
 * so it does with what comes later, until it sends again. To send beyond the
 * credit, or to give back more than one has, ends the session.
 *
 * Last words
 * ==========
 * Who closes a stream while the ring is full, and then the session or itself,
 * has no way to say the end. Its id goes to @last_words then. When a peer is
 * gone and its ring is drained, each of these ids that names a stream counts as
 * an END with both flags. At most SHMUX_LAST_WORDS_MAX are remembered.
 *
 * Sleep and wake
 * ==============
 * Sleeper: read the peer's @kicks; store @armed, odd, with the reasons it may
 * be woken for; full fence; look again at everything it waits for; sleep until
 * the peer's @kicks differs from what was read, or a byte comes over the
 * rendezvous socket. Then store @armed, even.
 *
 * Waker, after it has published: full fence; read the peer's @armed. If it is
 * odd, is not the value for which it kicked last, and names a reason that has
 * come true: add one to @kicks, and ring the bells that @armed names. The two
 * fences are each other's partner: either the sleeper sees what was published,
 * or the waker sees that it sleeps. A producer that finds the ring full looks
 * too, and any reason counts as come true.
 *
 *   31                      8 7     6 5      4 3          1 0
 *   +------------------------+-------+--------+------------+---+
 *   |        counter         |   0   | bells  |   reasons  |odd|
 *   +------------------------+-------+--------+------------+---+
 */
#ifndef _LINUX_SHMUX_RING_H
#define _LINUX_SHMUX_RING_H

#include <linux/types.h>

#define SHMUX_MAGIC		0x786d6873u	/* "shmx" read as bytes */
#define SHMUX_VERSION		1u

/*
 * Feature bits: each side states those it knows in its header; what is used is
 * what both state. A bit in SHMUX_FEATURES_REQUIRED that the other side does
 * not state ends the attempt to connect.
 */
#define SHMUX_FEATURE_MESSAGES	0x1u	/* streams that keep boundaries */
#define SHMUX_FEATURE_BLOCKED	0x2u	/* SHMUX_FRAME_BLOCKED and _REFUND are understood */
#define SHMUX_FEATURES		(SHMUX_FEATURE_MESSAGES | SHMUX_FEATURE_BLOCKED)
#define SHMUX_FEATURES_REQUIRED	0x0u

/* Sizes, in bytes unless said. */
#define SHMUX_LINE_SIZE		64u
#define SHMUX_PART_ALIGN	4096u
#define SHMUX_HEADER_SIZE	4096u
#define SHMUX_SLOT_SIZE		64u
#define SHMUX_SLOT_FIRST_BODY	56u	/* body bytes in a record's first slot */
#define SHMUX_SLOT_NEXT_BODY	60u	/* body bytes in each further slot */
#define SHMUX_RING_SLOTS_MIN	64u
#define SHMUX_RING_SLOTS_MAX	(1u << 20)
#define SHMUX_BLOCK_SIZE	4096u	/* the arena's unit */
#define SHMUX_ARENA_SIZE_MIN	(64u << 10)
#define SHMUX_ARENA_SIZE_MAX	(1u << 30)
#define SHMUX_REGION_SIZE_MAX	(0x7ffff000u)
#define SHMUX_LAST_WORDS_MAX	900u
#define SHMUX_CREDIT_MIN	64u	/* what the smallest record costs */
#define SHMUX_WINDOW_MAX	(1u << 30)

/* The word at the start of each slot. */
#define SHMUX_WORD_TAG		0x000000ffu
#define SHMUX_WORD_TYPE_SHIFT	8
#define SHMUX_WORD_TYPE		0x00000f00u
#define SHMUX_WORD_FLAGS_SHIFT	12
#define SHMUX_WORD_FLAGS	0x0000f000u
#define SHMUX_WORD_LEN_SHIFT	16
#define SHMUX_WORD_LEN_MAX	0xffffu

/* The tag of the slot or return word at @index of a ring of 1 << @order. */
#define SHMUX_TAG(index, order)	((((__u32)(index) >> (order)) + 1u) & SHMUX_WORD_TAG)

/*
 * Frames: what a record says. "id" is the stream id in the record.
 * After its last frame on a stream a side says nothing more about that id; its
 * last frame is a RESET, an END with both flags, or the later of its FIN and
 * the FIN it received. A frame for a stream that is no longer there is passed
 * over; its chunk is given back.
 */
enum shmux_frame_type {
	SHMUX_FRAME_CONT = 0,		/* a further slot of the record before it */
	SHMUX_FRAME_OPEN = 1,		/* id; body struct shmux_body_open */
	SHMUX_FRAME_DATA = 2,		/* id; body is payload */
	SHMUX_FRAME_DESCRIPTOR = 3,	/* id; body struct shmux_body_descriptor */
	SHMUX_FRAME_CREDIT = 4,		/* id; body struct shmux_body_u32: bytes */
	SHMUX_FRAME_END = 5,		/* id; flags FIN, STOP or both; no body */
	SHMUX_FRAME_RESET = 6,		/* id; body struct shmux_body_u32: code */
	SHMUX_FRAME_BLOCKED = 7,	/* id; body struct shmux_body_u32: bytes wanted */
					/* or id 0: give back what is not read; 0 */
	SHMUX_FRAME_GOAWAY = 8,		/* body struct shmux_body_u32: code */
	SHMUX_FRAME_PING = 9,		/* body struct shmux_body_ping */
	SHMUX_FRAME_PONG = 10,		/* body: that of the ping */
	SHMUX_FRAME_REFUND = 11,	/* id; body struct shmux_body_u32: bytes of credit */
};

/*
 * Flags. FIN and MORE also on DATA and DESCRIPTOR.
 * FIN: half-close, the sender sends no more payload on this stream.
 * STOP: stop-sending, the sender will drop what it gets from now on.
 * MORE: the message goes on in the next record of payload of this stream.
 * ABORT: drop the part of a message sent so far; the record has no payload.
 */
#define SHMUX_FLAG_FIN		0x1u
#define SHMUX_FLAG_STOP		0x2u
#define SHMUX_FLAG_MORE		0x4u
#define SHMUX_FLAG_ABORT	0x8u

/* struct shmux_body_open::flags */
#define SHMUX_OPEN_MESSAGES	0x1u	/* keep message boundaries */

struct shmux_body_open {
	__u32 flags;		/* SHMUX_OPEN_* */
	__u32 reserved;		/* 0 */
};

struct shmux_body_descriptor {
	__u32 offset;		/* of the chunk, from the region's start */
	__u32 len;		/* bytes of payload, at the chunk's start */
};

struct shmux_body_u32 {
	__u32 value;
};

struct shmux_body_ping {
	__u32 token[2];
};

/*
 * Stream ids. The side that opens a stream chooses its id: a free index of its
 * own, which a closed stream gives back, and a generation that differs from
 * the one the index had before, so that late frames are told apart.
 *
 *   31    30         21 20                  0
 *   +----+-------------+---------------------+
 *   |role| generation  |        index        |   role: SHMUX_ROLE_* of the opener
 *   +----+-------------+---------------------+
 *
 * The all-zero id is never used: generations start at 1 and skip 0.
 */
#define SHMUX_ID_INDEX_BITS	21
#define SHMUX_ID_INDEX_MAX	((1u << SHMUX_ID_INDEX_BITS) - 1)
#define SHMUX_ID_GEN_SHIFT	SHMUX_ID_INDEX_BITS
#define SHMUX_ID_GEN_MASK	0x3ffu
#define SHMUX_ID_ROLE_SHIFT	31

/* Reset and go-away codes below SHMUX_CODE_USER are the protocol's. */
#define SHMUX_CODE_NONE		0u	/* no reason given */
#define SHMUX_CODE_REFUSED	1u	/* nobody accepts streams there */
#define SHMUX_CODE_BACKLOG	2u	/* too many streams wait to be accepted */
#define SHMUX_CODE_LIMIT	3u	/* too many streams, or no budget for one */
#define SHMUX_CODE_GOING_AWAY	4u	/* opened after a go-away was sent */
#define SHMUX_CODE_ABANDONED	5u	/* its owner died or closed the session */
#define SHMUX_CODE_USER		256u	/* from here on applications' own */

/* The armed word. */
#define SHMUX_ARMED_ODD		0x01u
#define SHMUX_ARMED_FRAMES	0x02u	/* wake me for any frame */
#define SHMUX_ARMED_SESSION	0x04u	/* for OPEN, GOAWAY, PING, PONG, or a full ring */
#define SHMUX_ARMED_ROOM	0x08u	/* wake me for ring room or a chunk returned */
#define SHMUX_ARMED_REASONS	0x0eu
#define SHMUX_ARMED_FUTEX	0x10u	/* bell: FUTEX_WAKE on the waker's @kicks */
#define SHMUX_ARMED_SOCKET	0x20u	/* bell: one byte over the rendezvous socket */
#define SHMUX_ARMED_STEP	0x100u	/* the counter's unit */

/*
 * The region header. Words that change are apart from those that do not, and
 * from each other where they are written at different rates; a line each.
 */
struct shmux_region_header {
	/* Line 0: constant once the region is sealed. */
	__u32 magic;		/* SHMUX_MAGIC */
	__u32 version;		/* SHMUX_VERSION */
	__u32 features;		/* SHMUX_FEATURE_* */
	__u32 size;		/* of the whole region */
	__u32 returns_offset;
	__u32 returns_slots;	/* power of two */
	__u32 ring_offset;
	__u32 ring_slots;	/* power of two */
	__u32 arena_offset;
	__u32 arena_size;	/* multiple of SHMUX_BLOCK_SIZE */
	__u32 first_grant;	/* credit each stream starts with, towards the owner */
	__u32 message_max;	/* longest message the owner takes */
	__u32 role;		/* the owner's: SHMUX_ROLE_* and 1 */
	__u32 reserved0[3];	/* 0 */

	/* Line 1: written when the owner waits elsewhere, goes to sleep, and wakes. */
	__u32 armed;
	__u32 cpu;		/* hint: CPU the owner waited on, plus 1; 0 unknown */
	__u32 reserved1[14];

	/* Line 2: written when the owner kicks the peer. The peer sleeps on it. */
	__u32 kicks;
	__u32 reserved2[15];

	/* Line 3: written each quarter of the peer's ring, and before sleep. */
	__u32 consumer;		/* index in the peer's ring: all before it are free */
	__u32 reserved3[15];

	/* Line 4: counters for onlookers (shmux ls); nobody acts on them. */
	__u32 open_streams;
	__u32 sleeps;
	__u32 reserved4[14];

	/* The rest of the header's page: see "Last words". */
	__u32 nr_last_words;
	__u32 last_words[SHMUX_LAST_WORDS_MAX];
};

#endif /* _LINUX_SHMUX_RING_H */
