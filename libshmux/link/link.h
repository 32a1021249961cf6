/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * link.h - whole frames out and in, whatever carries them
 *
 * A session sits on a link and cannot tell which. Every operation is called
 * with the session's lock held, except those marked "unlocked", which the one
 * thread that leads (core/wait.h) calls without it. None blocks but sleep.
 *
 * The calls of the shared-memory link are inlined: link/shm.h.
 */
#ifndef SHMUX_LINK_LINK_H
#define SHMUX_LINK_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/shmux_ring.h>
#include <shmux/session.h>

struct shmux__link;

/*
 * A link's own type of frame: @len bytes of payload for @id are to come, and may be
 * placed. A link without place has none.
 */
#define SHMUX__FRAME_OFFER	0xffu

/* A frame received. Valid until the next receive on the link. */
struct shmux__frame {
	uint8_t type;		/* SHMUX_FRAME_*; DATA for any payload */
	uint8_t flags;		/* SHMUX_FLAG_* */
	uint32_t id;
	uint32_t len;		/* bytes of payload */
	uint32_t value[2];	/* the body of frames without payload */
	const void *data;	/* payload that lies in a chunk, else NULL */
	uint32_t handle;	/* of that chunk */
	uint32_t index;		/* the link's: where the body is */
};

/* Memory to write payload into that is sent without a copy. */
struct shmux__chunk {
	void *data;
	uint32_t size;
	uint32_t handle;
};

/* What a thread waits for, and by which bell: SHMUX_ARMED_* of the header. */

struct shmux__link_ops {
	const char *name;

	/*
	 * Add a frame with its body copied. @len at most @inline_max. It is not
	 * seen before publish. Return: 0, or -EAGAIN: no room.
	 */
	int (*send)(struct shmux__link *l, uint32_t type, uint32_t flags,
		    uint32_t id, const void *body, uint32_t len);

	/*
	 * Add payload to the last frame if that is of @id, has no flags and is
	 * not published. Return: bytes it had before, or -EAGAIN.
	 */
	int (*append)(struct shmux__link *l, uint32_t id, const void *body,
		      uint32_t len);

	/*
	 * Get a chunk of at least @size bytes, with the promise that it can be
	 * sent. Return: 0; -EAGAIN: no room; -ENOSPC: no chunk; or -EPROTO if
	 * the peer returned nonsense.
	 */
	int (*chunk_get)(struct shmux__link *l, uint32_t size,
			 struct shmux__chunk *c);
	/* Copy payload into a chunk, at @dst. */
	void (*chunk_fill)(struct shmux__link *l, void *dst, const void *src,
			   size_t n);
	/* So much of a long write has gone in pieces. NULL: who cares. */
	void (*pieces_sent)(struct shmux__link *l, uint32_t n);
	/* Send the first @len bytes of a chunk. Cannot fail. */
	void (*chunk_send)(struct shmux__link *l, uint32_t flags, uint32_t id,
			   const struct shmux__chunk *c, uint32_t len);
	/* Give a chunk back unsent. */
	void (*chunk_put)(struct shmux__link *l, const struct shmux__chunk *c);

	/* Make all visible. Return: bells to ring, once the lock is dropped. */
	uint32_t (*publish)(struct shmux__link *l);
	/*
	 * Is there something published that is not on its way yet, for want of
	 * room? NULL: never.
	 */
	bool (*unsent)(struct shmux__link *l);
	/* Unlocked. */
	void (*ring)(struct shmux__link *l, uint32_t bells);

	/* We have taken up a stream that the peer opened. NULL: it need not know. */
	void (*accepted)(struct shmux__link *l, uint32_t id);
	/* Nothing more will be said about @id. NULL: the link does not keep it. */
	void (*release)(struct shmux__link *l, uint32_t id);

	/* Has anything come? May ask the kernel, unlike ready. NULL: as ready. */
	bool (*look)(struct shmux__link *l);
	/*
	 * The next frame. Return: 1, 0 if there is none; -EPROTO; -ENOMEM;
	 * -ECONNRESET: there will be none.
	 */
	int (*receive)(struct shmux__link *l, struct shmux__frame *f);
	/* Copy payload out of a frame that has no @data. */
	void (*copy)(struct shmux__link *l, const struct shmux__frame *f,
		     uint32_t pos, void *dst, uint32_t n);
	/*
	 * After an offer: read at most @n bytes of it straight to @dst. Return: how many
	 * are there, 0 for none by now. With @dst NULL the next receive takes some in.
	 */
	uint32_t (*place)(struct shmux__link *l, void *dst, uint32_t n);
	/* We read no more in that chunk. */
	void (*chunk_return)(struct shmux__link *l, uint32_t handle);

	/*
	 * Take note of ring room and chunks that have come back; ready tells of
	 * what comes from now on. Return: 1 if there was anything, 0 if not, or
	 * -EPROTO: an index or a chunk that cannot be.
	 */
	int (*begin_wait)(struct shmux__link *l);
	/* Unlocked. Has something come that one with these reasons waits for? */
	bool (*ready)(struct shmux__link *l, uint32_t reasons);
	/*
	 * Say why and how we may be woken, unless that stands as said; publish
	 * all. Then look again with ready. Return: bells to ring.
	 */
	uint32_t (*arm)(struct shmux__link *l, uint32_t reasons_and_bells);
	void (*disarm)(struct shmux__link *l);
	/* Has the peer rung since arm? */
	bool (*rung)(struct shmux__link *l);
	/*
	 * Unlocked. Ring @bells, if any, and sleep until rung, until *@poke is
	 * not 0 (poke NULL: no other thread can change it), or for @timeout ns.
	 * Return: 0, also when the time is over; or, if the link tells death,
	 * -ECONNRESET.
	 */
	int (*sleep)(struct shmux__link *l, uint32_t bells,
		     const uint32_t *poke, uint64_t timeout);
	/* Wake that sleeper; *@poke has been set. */
	void (*poke)(struct shmux__link *l, const uint32_t *poke);

	/*
	 * Unlocked. Poll @nr times, or until there is what ready tells of, or
	 * until *@poke is not 0.
	 */
	void (*poll)(struct shmux__link *l, uint32_t reasons,
		     const uint32_t *poke, uint32_t nr);

	/*
	 * Did the peer last wait on the CPU that we are on? A hint. Says that we
	 * are here.
	 */
	bool (*same_cpu)(struct shmux__link *l);

	/* A system call: 0, or -ECONNRESET: the peer is dead. */
	int (*check_alive)(struct shmux__link *l);
	/* Descriptors to poll, at most 2. Return: how many. */
	int (*descriptors)(struct shmux__link *l, int fds[2]);
	/* Take what came over them. Return: 0, or -ECONNRESET. */
	int (*clear)(struct shmux__link *l);

	/* Could a write that met -EAGAIN go on by now? */
	bool (*has_room)(struct shmux__link *l);

	/* Depths, for the counters. */
	uint32_t (*ring_depth)(struct shmux__link *l);
	void (*arena)(struct shmux__link *l, uint64_t *lent, uint64_t *used);
	/*
	 * Remember that a stream has ended, for want of room; @id 0: forget
	 * them all, they have been sent. The peer finds them when we are gone.
	 */
	void (*last_word)(struct shmux__link *l, uint32_t id);
	/* The peer is gone: the @nr-th that it left. Return: the id, or 0. */
	uint32_t (*heard_last)(struct shmux__link *l, uint32_t nr);

	/* For onlookers. */
	void (*announce)(struct shmux__link *l, uint32_t open_streams);

	/* The peer sees our end; what it and we have stays readable. */
	void (*hang_up)(struct shmux__link *l);
	void (*close)(struct shmux__link *l);
};

/* Constant once the link is open, but for @chunk_above, @sleep_looks and the last two. */
struct shmux__link {
	const struct shmux__link_ops *ops;
	uint32_t inline_max;		/* longest payload for send; 4096 if with messages */
	uint32_t append_max;		/* longest frame that append makes */
	uint32_t gather_max;		/* as many bytes of small buffers go in one frame */
	uint32_t piece;			/* best length of one of a long write */
	uint32_t pieces_max;		/* longest write that never waits for a chunk */
	uint32_t chunk_above;		/* longer ones go in a chunk, if there are any; may change */
	uint32_t cost_min;		/* credit that the smallest frame costs */
	uint32_t first_grant;		/* of us to streams, if the wire says; or 0 */
	uint32_t chunk_max;		/* largest chunk, bytes; 0: there are none */
	uint32_t chunks_kept;		/* that may be kept long before they are sent */
	uint32_t peer_first_grant;	/* credit that our streams start with */
	uint32_t features;		/* SHMUX_FEATURE_* that both sides state */
	uint32_t peer_message_max;	/* longest message the peer takes */
	uint32_t peer_ring_slots;	/* most frames that can be on their way */
	uint32_t peer_arena_size;	/* bytes that chunks we hold come from */
	enum shmux_role role;
	struct shmux_peer peer;
	bool tells_death;		/* to a sleeper, at once */
	bool rings_free;		/* with a sleep: one system call */
	bool sleep_looks;		/* for who alone has it: no call more than look */
	bool never_stops;		/* it cannot say that we read no more */
	bool forgives;			/* who exceeds its credit loses the stream alone */

	bool behind;			/* the peer: chunks come back slowly */
	uint64_t frames_sent;		/* counted by shmux__link_send() */
};

#endif /* SHMUX_LINK_LINK_H */
