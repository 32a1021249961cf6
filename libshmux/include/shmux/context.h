/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: contexts, for dialling
 *
 * A context holds the sessions that its dials have made: two dials to the same
 * address, written the same way, share one. A session stays until the context
 * is closed; once the peer has died, or either side has said go-away, the next
 * dial makes a new one. In a forked child, too, a dial makes a new one. The same
 * where a session of yamux has no more ids for streams, after 2^31 of them: what is
 * open in it runs on. Of stdio: and fd: there is one session, and then no more.
 */
#ifndef SHMUX_CONTEXT_H
#define SHMUX_CONTEXT_H

#include <shmux/common.h>
#include <shmux/session.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shmux_context;

/**
 * struct shmux_context_options - 0 means the default
 * @size: sizeof(struct shmux_context_options), set by the caller
 * @session: options for the sessions, or NULL; copied
 */
struct shmux_context_options {
	size_t size;
	const struct shmux_session_options *session;
};

/**
 * shmux_context_open() - somewhere to dial from
 * @options: or NULL
 * @context: out
 *
 * Does not block.
 *
 * Return: 0, -EINVAL: shmux_session_options_verify() tells why, or -ENOMEM.
 */
SHMUX_API int shmux_context_open(const struct shmux_context_options *options,
				 struct shmux_context **context);

/**
 * struct shmux_dial_options - 0 means the default
 * @size: sizeof(struct shmux_dial_options), set by the caller
 * @flags: SHMUX_DIAL_*
 * @deadline: absolute, ns; 0 means SHMUX_NEVER
 * @uid: with SHMUX_DIAL_UID: accept a listener of this user only; none where
 *	the kernel knows no user, as behind a port. Without it, our own or root;
 *	or anybody there.
 * @check: asked last, with who listens, at each dial, also one that shares a
 *	session; 0 accepts, a negative errno refuses. It must not call the
 *	library on the context.
 * @check_arg: handed to @check
 */
struct shmux_dial_options {
	size_t size;
	uint32_t flags;
	uint32_t reserved;
	uint64_t deadline;
	uid_t uid;
	int (*check)(void *arg, const struct shmux_peer *peer);
	void *check_arg;
};

#define SHMUX_DIAL_MESSAGES	0x1u	/* a message stream */
#define SHMUX_DIAL_UID		0x2u	/* the listener's user is @uid */
#define SHMUX_DIAL_ANY_UID	0x4u	/* any user's listener will do */
/* Wait for the listener to appear; of what nobody listens to there is no waiting. */
#define SHMUX_DIAL_WAIT		0x8u

/**
 * shmux_context_dial() - a new stream to an address
 * @c: the context
 * @address: see listener.h
 * @options: or NULL
 * @stream: out
 *
 * Blocks while a session has to be made, until the listener's process has
 * accepted; with SHMUX_DIAL_WAIT also until there is a listener. Then as
 * shmux_session_open(), within the deadline. Dials elsewhere go on meanwhile.
 *
 * Return: as shmux_session_dial() and shmux_session_open(); -ESHUTDOWN: the
 * session of stdio: or fd: is over, and there cannot be another.
 */
SHMUX_API int shmux_context_dial(struct shmux_context *c, const char *address,
				 const struct shmux_dial_options *options,
				 struct shmux_stream **stream);

/* Cancel the dials that are blocked now: -ECANCELED, within 50 ms. */
SHMUX_API void shmux_context_unblock(struct shmux_context *c);

/* Number of live sessions held. */
SHMUX_API int shmux_context_nr_sessions(struct shmux_context *c);

/**
 * shmux_context_close() - let the sessions go
 * @c: the context, or NULL; gone when the call returns. No dial may be under
 *	way: cancel those that are, and let them return.
 *
 * Sessions with streams that are not closed live on until the last of them is,
 * and refuse new streams of the peer's. Does not block.
 */
SHMUX_API void shmux_context_close(struct shmux_context *c);

#ifdef __cplusplus
}
#endif

#endif /* SHMUX_CONTEXT_H */
