/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: sessions
 *
 * A session joins two processes; any number of streams run inside it. Most
 * programs need only listener.h, context.h and stream.h, which make and share
 * sessions by themselves. Here is what lies underneath.
 *
 * Nothing moves unless somebody is in a call: a blocked call serves the whole
 * session while it waits, and each call first takes note of a bounded batch of
 * what the peer has said (over descriptors one that holds back only now and then,
 * and a read that has all it can take not). An event loop polls shmux_session_fd() and calls
 * shmux_session_pump().
 */
#ifndef SHMUX_SESSION_H
#define SHMUX_SESSION_H

#include <shmux/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shmux_session;
struct shmux_stream;

enum shmux_role {
	SHMUX_ROLE_DIALLER = 0,	/* connected; speaks first */
	SHMUX_ROLE_ACCEPTOR = 1,	/* listened */
};

enum shmux_session_state {
	SHMUX_SESSION_OPEN,	/* streams may be opened */
	SHMUX_SESSION_GOING_AWAY,	/* one side said go-away; streams run on */
	SHMUX_SESSION_DEAD,	/* over; what had arrived can be read */
};

/*
 * How long a blocked call spins before it sleeps. Or a number of nanoseconds. Where
 * the peer last waited on the same CPU, who spins yields it, and without the module
 * so does, once, who sleeps; the latter rarely where others keep the CPU for long.
 */
#define SHMUX_SPIN_ADAPTIVE	UINT64_C(0)	/* as long as it has paid lately */
#define SHMUX_SPIN_NONE		UINT64_C(1)	/* sleep at once */
#define SHMUX_SPIN_ENDLESS	UINT64_MAX	/* never sleep: a CPU each side */

/**
 * struct shmux_session_options - sizes and limits; 0 means the default
 * @size: sizeof(struct shmux_session_options), set by the caller
 * @ring_slots: slots of 64 bytes in our ring: a power of two, 64 to 2^20 (4096)
 * @arena_size: bytes of our arena for large payloads: a multiple of 4096,
 *	65536 to 2^30 (4 MiB). Memory is used as data flows, not at once.
 * @window: most bytes that may be under way to us on one stream, 4096 to 2^30
 *	(1 MiB)
 * @budget: bound on the sum of what may be under way to us on all streams
 *	(64 MiB). The first grants of @streams_max streams are kept aside, and
 *	one @message_max for senders that have run out of credit.
 * @first_grant: bytes a new stream may be sent before we say more, 64 to
 *	@window (256)
 * @message_max: longest message we take, at most @window, and at most what
 *	@budget has beside the first grants (the smaller of these)
 * @backlog: streams that may wait to be accepted, 1 to 2^20 (1024)
 * @streams_max: streams open at once, 1 to 2^21; times @first_grant it is at
 *	most @budget (half of that)
 * @spin: see SHMUX_SPIN_ADAPTIVE; ns
 * @peer_size_max: largest region we map of a peer's, in bytes, 4096 to
 *	2^31 - 4096 (256 MiB). Where memory is counted, by control groups, a page
 *	is charged to who touches it first: a peer that sends us to pages which it
 *	has never written has us pay for them, at most for this much.
 * @log: receives sentences, or NULL
 * @log_arg: handed to @log
 * @keepalive: over a yamux+tcp: address: ns of silence after which the peer's kernel
 *	is asked whether it is there still, 10^9 to 32767 * 10^9, in whole seconds
 *	(0: never). Three questions, each a third of that apart, without an answer end
 *	the session. It is the kernel that answers: a peer whose application is merely
 *	busy, or reads nothing, is not lost. While something is on its way that is not
 *	acknowledged nothing is asked: then TCP itself gives up, after a quarter of an
 *	hour or so (tcp_retries2). Elsewhere the kernel tells a death itself, and this
 *	means nothing.
 */
struct shmux_session_options {
	size_t size;
	uint32_t ring_slots;
	uint32_t arena_size;
	uint32_t window;
	uint32_t first_grant;
	uint64_t budget;
	uint32_t message_max;
	uint32_t backlog;
	uint32_t streams_max;
	uint32_t reserved;
	uint64_t spin;
	uint64_t peer_size_max;
	shmux_log_fn log;
	void *log_arg;
	uint64_t keepalive;
};

/**
 * shmux_session_options_verify() - say whether options can be used
 * @options: or NULL for the defaults
 * @why: out, or NULL: a static sentence that names the member at fault
 *
 * Return: 0, or -EINVAL.
 */
SHMUX_API int
shmux_session_options_verify(const struct shmux_session_options *options,
			     const char **why);

/**
 * shmux_session_dial() - a session of one's own with a listener
 * @address: see listener.h
 * @options: or NULL
 * @deadline: for the whole attempt
 * @session: out
 *
 * Blocks until the listener's process has accepted; where yamux is spoken, until
 * there is a connection. Only a listener of one's own uid or root's is accepted;
 * shmux_context_dial() has more choice.
 *
 * Return: 0; -EINVAL, -ENAMETOOLONG: not an address; -ECONNREFUSED, -ENOENT:
 * nobody listens; -EACCES: not allowed, by the listener or by us;
 * -EPROTONOSUPPORT: no common version; -E2BIG: one side's region is larger than
 * the other takes; -EFBIG: ours is larger than RLIMIT_FSIZE; -ENODEV: kmod:, and
 * there is no module; -EDQUOT: a quota of it is spent; or as in common.h.
 *
 * Of paths: -EPROTOTYPE: memfd: and yamux+unix: have met. Of ports: -ENOENT: there
 * is no host of that name; -EHOSTUNREACH: the way to it is not known, or nobody who
 * knows names can be asked; -ENETUNREACH and others as connect(2). Of descriptors:
 * as shmux_session_yamux(); -EBUSY: stdio:, and standard input is /dev/null, as it
 * is once it has been taken. Of commands: -ENOENT: there is none of that name;
 * -EACCES, -ENOEXEC and others as execve(2); -EAGAIN: too many processes. A child
 * that fails later has ended the session.
 */
SHMUX_API int shmux_session_dial(const char *address,
				 const struct shmux_session_options *options,
				 uint64_t deadline,
				 struct shmux_session **session);

/**
 * shmux_session_pair() - two ends for a session, to be attached
 * @fds: out: the caller's, to be closed or attached; close-on-exec
 *
 * Of the kernel module where that is loaded, else as by socketpair(2). By the
 * module an end is the caller's until it is attached: a caller that exits before,
 * and has not closed what it gave away, ends the session.
 *
 * Return: 0 or a negative errno.
 */
SHMUX_API int shmux_session_pair(int fds[2]);

/**
 * shmux_session_attach() - a session over one of a pair, or a connected socket
 * @fd: of shmux_session_pair(); or an end of /dev/shmux, by SHMUX_IOC_PAIR or
 *	SHMUX_IOC_ACCEPT, without a region; or a connected AF_UNIX socket, a
 *	SOCK_STREAM or SOCK_SEQPACKET, on which nothing else is said. The session's
 *	from now on, closed on failure too
 * @role: one side is the dialler, the other the acceptor
 * @options: or NULL
 * @deadline: for the other side to do the same
 * @session: out
 *
 * For a parent and its child: shmux_session_pair() before fork, then each closes
 * one descriptor and attaches the other. The peer may be any user: whoever has
 * the descriptor is trusted to have it; ask shmux_session_peer().
 *
 * Return: as shmux_session_dial(); -EPROTO: both sides are diallers, say; -EBADF,
 * -EINVAL: @fd is no such descriptor.
 */
SHMUX_API int shmux_session_attach(int fd, enum shmux_role role,
				   const struct shmux_session_options *options,
				   uint64_t deadline,
				   struct shmux_session **session);

/**
 * shmux_session_yamux() - a session over any two descriptors, speaking yamux
 * @in: what to read from
 * @out: what to write to; may be @in
 * @role: yamux's client is the dialler, its server the acceptor
 * @options: or NULL; what is about rings, arenas and messages has no meaning here
 * @session: out
 *
 * For a peer that shares no memory with us, as behind a child's standard input and
 * output, or that speaks yamux version 0 by another library (the protocol is
 * specified in hashicorp/yamux, spec.md). Connected stream sockets (of AF_VSOCK,
 * too), pipes and terminals will do; a terminal in raw mode (cfmakeraw(3)), which is
 * the caller's to set, and not a pseudo-terminal's master. Both are the session's
 * from now on, closed on failure too; nothing about descriptions that others may
 * share is changed, but that a Unix socket has room for 512 KiB to send, if the
 * machine lets it (net.core.wmem_max), and has urgent bytes come among the others
 * (SO_OOBINLINE). Does not block: yamux begins without a word.
 *
 * What yamux cannot say is done without: a stream has no messages and cannot be
 * reserved in (-EOPNOTSUPP); the code of a reset or a go-away arrives as
 * SHMUX_CODE_NONE; shutting down SHMUX_READ alone is not told to the peer, whose
 * writes go nowhere. The peer's uid and gid are -1 if nobody can tell.
 *
 * Each stream may be sent 256 KiB before we grant more, so @first_grant is that.
 * Whenever half of what it may be sent has been read, that much is granted again,
 * and what it may be sent grows fourfold: up to @window, which is never less than
 * 256 KiB, and by at most half of what such growth has left of @budget. By default
 * 128 KiB that were read bring a grant of 896 KiB, and then each 512 KiB one of as
 * much. A stream that would have more lie here unread than @budget is reset with
 * SHMUX_CODE_LIMIT.
 *
 * Who spins asks the kernel again and again, and yields the CPU in between.
 *
 * A call that may wait has handed to the kernel what it says when it returns. One
 * with SHMUX_NOWAIT, or an open, shutdown, reset or close, may leave up to 160 KiB of what
 * was taken in a buffer here, for want of room there: it goes on its way in the next
 * calls on the session, and shmux_session_drain() and _close() wait for that.
 *
 * Some peers have a keep-alive of their own: Go's yamux asks every 30 s, unless told
 * otherwise, and gives up when there is no answer for 10 s. An answer is given when
 * somebody is in a call on the session next: a program that is in none for longer
 * is to pump (shmux_session_fd()), or to have a thread that accepts.
 *
 * Return: 0; -EBADF; -EINVAL: an option, or no descriptor of those kinds, or not
 * open for reading and writing; -EACCES: a pipe or a terminal that is another
 * user's; -ENXIO: a pipe that nobody reads from; -ECONNRESET: a terminal that has been
 * hung up; or as in common.h.
 */
SHMUX_API int shmux_session_yamux(int in, int out, enum shmux_role role,
				  const struct shmux_session_options *options,
				  struct shmux_session **session);

/* Stream kinds. */
#define SHMUX_STREAM_BYTES	0x0u
#define SHMUX_STREAM_MESSAGES	0x1u
/* Beside the kind: do not wait for room in the ring. */
#define SHMUX_STREAM_NOWAIT	0x2u
/* And: tell the peer with what is written first, or when the caller waits. */
#define SHMUX_STREAM_MORE	0x4u

/**
 * shmux_session_open() - open a stream
 * @s: the session
 * @flags: SHMUX_STREAM_BYTES or SHMUX_STREAM_MESSAGES, and SHMUX_STREAM_NOWAIT,
 *	SHMUX_STREAM_MORE
 * @stream: out
 *
 * Waits only for room in the ring, but without a deadline: a peer that never
 * reads can make it wait until shmux_session_unblock(). The stream can be
 * written to at once; if the peer refuses it, it is reset with
 * SHMUX_CODE_REFUSED, _BACKLOG, _LIMIT or _GOING_AWAY.
 *
 * The peer knows of the stream when the call returns; with SHMUX_STREAM_MORE
 * when the session next publishes, as what is written with SHMUX_MORE. Opening
 * and first write are then one kick, or one write to the descriptor.
 *
 * Return: 0; -EAGAIN: not to wait, and the ring is full (an event tells when to
 * try again); -EOPNOTSUPP: the peer does not know streams of that kind;
 * -ESHUTDOWN: after a go-away of either side; -ENOSPC: @streams_max
 * are open, or the budget has not even a first grant.
 */
SHMUX_API int shmux_session_open(struct shmux_session *s, unsigned int flags,
				 struct shmux_stream **stream);

/**
 * shmux_session_accept() - the next stream that the peer has opened
 * @s: the session
 * @flags: SHMUX_NOWAIT, SHMUX_MORE
 * @stream: out
 *
 * Blocks until there is one, or the deadline of shmux_session_set_deadline(). A
 * stream that the peer reset before it was accepted is passed over.
 *
 * A yamux peer is told that its stream was accepted: at once, or with SHMUX_MORE
 * with what is written first, or when a call on the session has to wait, fails to
 * accept, or pumps. In shared memory there is nothing to be told.
 *
 * Return: 0; -ESHUTDOWN: either side has said go-away and none is left. After
 * the peer's death streams that it had opened are accepted first.
 */
SHMUX_API int shmux_session_accept(struct shmux_session *s, unsigned int flags,
				   struct shmux_stream **stream);

/* The deadline of accept, also for the one that is blocked now. */
SHMUX_API int shmux_session_set_deadline(struct shmux_session *s,
					 uint64_t deadline);

/* Cancel accepts, opens, pings and drains that are blocked now: -ECANCELED. */
SHMUX_API void shmux_session_unblock(struct shmux_session *s);

/**
 * shmux_session_cork() - hold back what is written, until uncork
 * @s: the session
 *
 * Everything written in between is published at once, with at most one kick. A
 * call that has to wait publishes first. Corks do not nest, and hold for every
 * stream and thread of the session; also for word of credit and room that the peer
 * may wait for.
 */
SHMUX_API void shmux_session_cork(struct shmux_session *s);
SHMUX_API void shmux_session_uncork(struct shmux_session *s);

/**
 * shmux_session_go_away() - open no more streams, either side
 * @s: the session
 * @code: what shmux_session_go_away_code() tells the peer; 0 for none
 *
 * Streams that are open run on. Does not block. Doing it again is no error.
 */
SHMUX_API int shmux_session_go_away(struct shmux_session *s, uint32_t code);

/**
 * shmux_session_go_away_code() - why the peer has gone away
 * @s: the session
 * @code: out: what the peer gave to shmux_session_go_away(), the first time
 *
 * Return: 0; -ENODATA: it has not gone away, or died without a word; -ECHILD.
 */
SHMUX_API int shmux_session_go_away_code(struct shmux_session *s,
					 uint32_t *code);

/**
 * shmux_session_drain() - wait until no stream is open
 * @s: the session
 * @deadline: absolute, ns
 *
 * A stream is open until it is reset or both directions have ended; that its
 * handle is closed is not asked.
 *
 * Return: 0, -ETIMEDOUT, -ECANCELED, or -ECONNRESET.
 */
SHMUX_API int shmux_session_drain(struct shmux_session *s, uint64_t deadline);

/**
 * shmux_session_close() - go away, drain until the deadline, and let go
 * @s: the session, or NULL; not to be used after the call
 * @deadline: absolute, ns; 0 closes at once
 *
 * Never waits for a peer beyond @deadline. Streams still open then fail with
 * -ECONNRESET; their handles are still to be closed. What this side has written
 * stays readable for the peer.
 *
 * Return: 0, or -ETIMEDOUT if streams were still open, also with a @deadline of
 * 0, or if a peer over descriptors has not made room for all that was written; in a
 * forked child -ECHILD.
 */
SHMUX_API int shmux_session_close(struct shmux_session *s, uint64_t deadline);

/**
 * shmux_session_child_status() - how the child at the other end has ended
 * @s: a session of an exec: address
 * @deadline: until when to wait for its end; 0 does not wait
 * @pid: out, or NULL: the child's, which is another's once it has ended
 * @status: out, or NULL: as of wait(2), for WIFEXITED() and so on
 *
 * The session dies with its child, and may be the first to do so: a child that
 * closes its standard output, or is about to exit, has not ended yet. May be asked
 * until the session is closed.
 *
 * Return: 0; -ETIMEDOUT: it runs; -ENODATA: the session has no child; -ESRCH: it
 * has ended, and the program itself has waited for it, or ignores SIGCHLD: nobody
 * knows how.
 */
SHMUX_API int shmux_session_child_status(struct shmux_session *s,
					 uint64_t deadline, pid_t *pid,
					 int *status);

/**
 * shmux_session_ping() - ask the peer's application for a sign of life
 * @s: the session
 * @deadline: absolute, ns
 * @rtt: out, or NULL: ns until the answer
 *
 * The peer answers when it is next in a call.
 *
 * Return: 0, -ETIMEDOUT, -ECANCELED, or -ECONNRESET.
 */
SHMUX_API int shmux_session_ping(struct shmux_session *s, uint64_t deadline,
				 uint64_t *rtt);

/* What a stream is ready for. */
#define SHMUX_EVENT_READ	0x1u	/* bytes, a message, the end, or an error */
/* Room after a write's -EAGAIN, or an error; @stream NULL: after an open's. */
#define SHMUX_EVENT_WRITE	0x2u
#define SHMUX_EVENT_ACCEPT	0x4u	/* @stream NULL: streams wait to be accepted */
#define SHMUX_EVENT_DEAD	0x8u	/* @stream NULL: the session is over */

struct shmux_event {
	struct shmux_stream *stream;
	void *user;		/* shmux_stream_set_user() */
	uint32_t events;	/* SHMUX_EVENT_* */
	uint32_t reserved;
};

/**
 * shmux_session_fd() - a descriptor for poll, select and epoll
 * @s: the session
 *
 * Readable when shmux_session_pump() has something to do. The library's own:
 * do not read from it, nor close it.
 *
 * Return: a descriptor, or a negative errno.
 */
SHMUX_API int shmux_session_fd(struct shmux_session *s);

/**
 * shmux_session_pump() - take note of what the peer has said
 * @s: the session
 * @events: out: what is ready since the last pump
 * @max: number of elements of @events; at least 1
 *
 * Does not block. Edge-triggered: a stream is named when something new has come
 * for it; read until -EAGAIN. The first pump also names what was ready before.
 * Call again while it returns @max. When it returns less, shmux_session_fd()
 * becomes readable at the next news.
 *
 * Return: number of events, or a negative errno.
 */
SHMUX_API int shmux_session_pump(struct shmux_session *s,
				 struct shmux_event *events, int max);

/* What it is. None blocks. */
SHMUX_API uint64_t shmux_session_id(const struct shmux_session *s);
SHMUX_API enum shmux_role shmux_session_role(const struct shmux_session *s);
SHMUX_API enum shmux_session_state shmux_session_state(struct shmux_session *s);
SHMUX_API void shmux_session_peer(const struct shmux_session *s,
				  struct shmux_peer *peer);

/**
 * struct shmux_session_counters - since the session began
 * @size: sizeof(struct shmux_session_counters), set by the caller
 * @bytes_sent, @bytes_received: payload
 * @frames_sent, @frames_received: of all kinds
 * @kicks_sent, @kicks_received: doorbells; a kick sent is a system call
 * @sleeps: times a call of ours slept in the kernel
 * @credit_stalls: times a write found too little credit
 * @room_stalls: times a call found no ring room, or no chunk that it needed
 * @streams_open: now, as shmux_session_drain() counts them
 * @streams_opened: by either side, ever
 * @accept_depth: streams waiting to be accepted now
 * @ring_depth: slots we have filled that the peer has not consumed, as far as it
 *	has told; now
 * @rx_queued: payload bytes received and not read; now
 * @chunks_lent: chunks of our arena that the peer has not returned; now
 * @arena_used: bytes of our arena reserved or lent; now
 * @granted: what of the budget is in use: credit given to the peer or saved up
 *	for it, and what is queued or held here; now
 */
struct shmux_session_counters {
	size_t size;
	uint64_t bytes_sent, bytes_received;
	uint64_t frames_sent, frames_received;
	uint64_t kicks_sent, kicks_received;
	uint64_t sleeps;
	uint64_t credit_stalls, room_stalls;
	uint64_t streams_open, streams_opened;
	uint64_t accept_depth;
	uint64_t ring_depth;
	uint64_t rx_queued;
	uint64_t chunks_lent;
	uint64_t arena_used;
	uint64_t granted;
};

SHMUX_API int shmux_session_counters(struct shmux_session *s,
				     struct shmux_session_counters *counters);

#ifdef __cplusplus
}
#endif

#endif /* SHMUX_SESSION_H */
