/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: streams
 *
 * A stream carries bytes, or messages, in order and in both directions. Either
 * side opens it (session.h, context.h), each side closes its own handle.
 *
 * A byte stream keeps no boundaries. A message stream delivers what one write
 * took by one read, as SOCK_SEQPACKET does, up to shmux_stream_message_max()
 * bytes; a longer one fails with -EMSGSIZE at its sender and nothing is sent.
 * Its end is reported as -ENODATA, since 0 is an empty message.
 *
 * What a write has taken is in shared memory when the call returns: nothing is
 * sent later behind the caller's back, except what SHMUX_MORE or a cork holds. A
 * half-close, stop-sending or reset that finds the ring full is said by a later
 * call on the session.
 *
 * Errors of reading and writing, besides those of common.h:
 *
 *   -EPIPE       writing: this side has half-closed, or the peer has told that
 *                it reads no more. A write first takes note of a batch of what
 *                the peer has said, so the first one begun after that fails.
 *                Over descriptors, where that is a system call, one in sixteen
 *                does of those with SHMUX_MORE and without SHMUX_NOWAIT.
 *   -ECONNRESET  the stream was reset (shmux_stream_reset_code()), or the
 *                session is over. After the peer's death what had arrived can
 *                still be read.
 *   -ENODATA     reading a message stream: no message will come any more.
 *   -EMSGSIZE    writing: longer than the longest message. Reading: the buffer
 *                is too short; the message stays, shmux_stream_next_len() tells
 *                its length.
 */
#ifndef SHMUX_STREAM_H
#define SHMUX_STREAM_H

#include <sys/uio.h>

#include <shmux/common.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shmux_stream;
struct shmux_session;

/* Flags of one call. */
#define SHMUX_NOWAIT	0x1u	/* -EAGAIN instead of waiting */
#define SHMUX_MORE	0x2u	/* more follows: publish with the next write or wait */
#define SHMUX_FIN	0x4u	/* writing: half-close after this */
#define SHMUX_WAITALL	0x8u	/* reading bytes: return early only at the end */

/* Directions, for shutdown, deadlines and unblock; may be or-ed. */
#define SHMUX_READ	0x1u
#define SHMUX_WRITE	0x2u

/**
 * shmux_stream_send() - write, with flags
 * @st: the stream
 * @iov: what to write; copied before the call returns
 * @nr: number of elements of @iov
 * @flags: SHMUX_NOWAIT, SHMUX_MORE, SHMUX_FIN
 *
 * A byte stream: blocks until all is taken. If it stops before that, it returns
 * how much was taken, or the error if nothing was. With SHMUX_NOWAIT it takes
 * what there is room for. A message stream takes all or nothing; without
 * waiting a message can be no longer than shmux_stream_reserve_max(). Nothing
 * of a call that returns an error reaches the peer's reader.
 *
 * Return: bytes taken, or a negative errno.
 */
SHMUX_API ssize_t shmux_stream_send(struct shmux_stream *st,
				    const struct iovec *iov, int nr,
				    unsigned int flags);

/**
 * shmux_stream_recv() - read, with flags
 * @st: the stream
 * @iov: where to
 * @nr: number of elements of @iov
 * @flags: SHMUX_NOWAIT, SHMUX_WAITALL
 *
 * A byte stream: blocks until there is at least one byte (with SHMUX_WAITALL:
 * until all of @iov is filled, the stream ends, or an error stops it; what was
 * read before an error is returned, and the error next time). A message stream:
 * blocks until there is a whole message. Behind what was read, and if an error is
 * returned, @iov may hold anything.
 *
 * Return: bytes read; 0 at the end of a byte stream; or a negative errno.
 */
SHMUX_API ssize_t shmux_stream_recv(struct shmux_stream *st,
				    const struct iovec *iov, int nr,
				    unsigned int flags);

/* The same without flags: blocking, and with SHMUX_NOWAIT. */
SHMUX_API ssize_t shmux_stream_write(struct shmux_stream *st, const void *buf,
				     size_t len);
SHMUX_API ssize_t shmux_stream_writev(struct shmux_stream *st,
				      const struct iovec *iov, int nr);
SHMUX_API ssize_t shmux_stream_try_write(struct shmux_stream *st,
					 const void *buf, size_t len);
SHMUX_API ssize_t shmux_stream_try_writev(struct shmux_stream *st,
					  const struct iovec *iov, int nr);
SHMUX_API ssize_t shmux_stream_read(struct shmux_stream *st, void *buf,
				    size_t size);
SHMUX_API ssize_t shmux_stream_readv(struct shmux_stream *st,
				     const struct iovec *iov, int nr);
SHMUX_API ssize_t shmux_stream_try_read(struct shmux_stream *st, void *buf,
					size_t size);
SHMUX_API ssize_t shmux_stream_try_readv(struct shmux_stream *st,
					 const struct iovec *iov, int nr);

/**
 * shmux_stream_peek() - wait for n bytes and look at them
 * @st: the stream; one thread at a time peeks at and discards from it
 * @n: bytes wanted, 1 to shmux_stream_peek_max()
 * @data: out: @n bytes or more, contiguous, valid until the stream is next read,
 *	peeked at, discarded from or closed
 *
 * A byte stream: blocks until there are @n bytes or the stream has ended. A
 * message stream: blocks until there is a whole message and shows it all,
 * whatever @n. Nothing is consumed.
 *
 * The peer can change bytes that lie in its arena while they are looked at: who
 * does not trust it reads (which copies) before it parses.
 *
 * Return: bytes at @data, on a byte stream fewer than @n only at its end (0: no
 * more), or a negative errno, upon which what is there can still be read.
 */
SHMUX_API ssize_t shmux_stream_peek(struct shmux_stream *st, size_t n,
				    const void **data);

/**
 * shmux_stream_discard() - wait for n bytes and drop them
 * @st: the stream
 * @n: bytes to drop; on a message stream the next message, whatever @n
 *
 * Blocks until all are dropped, the stream ends, or an error stops it.
 *
 * Return: bytes dropped, or a negative errno if there were none.
 */
SHMUX_API ssize_t shmux_stream_discard(struct shmux_stream *st, size_t n);

/**
 * struct shmux_view - bytes received, where they lie
 * @data: the bytes; in the peer's arena (it may change them) or in private memory
 * @len: how many
 * @more: the message goes on in the next view (message streams)
 * @private: the library's
 */
struct shmux_view {
	const void *data;
	size_t len;
	int more;
	uintptr_t private_[3];
};

/**
 * shmux_stream_take() - take received bytes off the stream without a copy
 * @st: the stream
 * @view: out
 * @flags: SHMUX_NOWAIT
 *
 * Blocks until there are bytes, or a whole message, of which it takes the next
 * part. Takes as many as lie together. Several views may be held, and released
 * in any order; the peer's memory and its credit are given back at release, so
 * who holds much stalls the sender. That of an empty message is to be released
 * too; where nothing was taken release does nothing.
 *
 * Return: @view->len; 0 at the end of a byte stream; or a negative errno.
 */
SHMUX_API ssize_t shmux_stream_take(struct shmux_stream *st,
				    struct shmux_view *view,
				    unsigned int flags);

/**
 * shmux_stream_release() - give back a view
 * @st: the stream it was taken from, not closed yet
 * @view: as shmux_stream_take() filled it; emptied
 */
SHMUX_API void shmux_stream_release(struct shmux_stream *st,
				    struct shmux_view *view);

/**
 * struct shmux_span - room to write in, where the peer will read it
 * @data: write here, until submit or cancel
 * @size: bytes at @data
 * @private: the library's
 */
struct shmux_span {
	void *data;
	size_t size;
	uintptr_t private_[3];
};

/**
 * shmux_stream_reserve() - get room for n bytes without a copy
 * @st: the stream
 * @n: bytes, 1 to shmux_stream_reserve_max()
 * @span: out; several may be held
 * @flags: SHMUX_NOWAIT
 *
 * Blocks until there is credit and memory for @n bytes, and while more spans are
 * held, in all the session, than three eighths of the ring's slots. A reader that
 * waits for many at once, by peek, keeps what is there meanwhile: then no more than
 * about half of its window is certain to come.
 *
 * Return: 0 or a negative errno, among them -EMSGSIZE if @n is too large and
 * -EOPNOTSUPP if the session has no memory to share.
 */
SHMUX_API int shmux_stream_reserve(struct shmux_stream *st, size_t n,
				   struct shmux_span *span, unsigned int flags);

/**
 * shmux_stream_submit() - send what was written into a span
 * @st: the stream it was reserved on
 * @span: emptied, whatever is returned
 * @len: bytes to send, from the span's start, at most its size
 * @flags: SHMUX_MORE (on a message stream it only delays publication: each
 *	submit is a message), SHMUX_FIN
 *
 * Spans may be submitted in any order; that is the order of arrival. Does not
 * block, since reserve has taken care of room; only while another thread is
 * amid the parts of a long message on the same stream does it wait for those.
 *
 * Return: @len, or a negative errno; nothing was sent then.
 */
SHMUX_API ssize_t shmux_stream_submit(struct shmux_stream *st,
				      struct shmux_span *span, size_t len,
				      unsigned int flags);

/**
 * shmux_stream_cancel() - give a span back unsent
 * @st: the stream it was reserved on
 * @span: emptied
 */
SHMUX_API void shmux_stream_cancel(struct shmux_stream *st,
				   struct shmux_span *span);

/**
 * shmux_stream_shutdown() - close one direction or both
 * @st: the stream
 * @how: SHMUX_WRITE: half-close, the peer reads to the end of what was written;
 *	SHMUX_READ: stop-sending, what is unread is dropped and the peer's writes
 *	begun after it has taken note fail with -EPIPE
 *
 * Does not block. Doing it again is no error.
 *
 * Return: 0, or -ECONNRESET if the stream is no longer there.
 */
SHMUX_API int shmux_stream_shutdown(struct shmux_stream *st, unsigned int how);

/**
 * shmux_stream_reset() - end the stream at once, with a reason
 * @st: the stream
 * @code: what shmux_stream_reset_code() tells the peer; SHMUX_CODE_USER (256)
 *	and above are free to use
 *
 * What is on its way in either direction is lost. Does not block. The handle
 * is still to be closed.
 *
 * Return: 0, or -ECONNRESET if the stream is no longer there.
 */
SHMUX_API int shmux_stream_reset(struct shmux_stream *st, uint32_t code);

/**
 * shmux_stream_reset_code() - why the stream was reset
 * @st: the stream
 * @code: out: the code that either side gave, or a SHMUX_CODE_* of
 *	linux/shmux_ring.h; SHMUX_CODE_ABANDONED if the session ended first
 *
 * Return: 0, or -ENODATA if it was not reset.
 */
SHMUX_API int shmux_stream_reset_code(struct shmux_stream *st, uint32_t *code);

/**
 * shmux_stream_close() - have done with the stream
 * @st: the stream, or NULL; gone when the call returns
 *
 * What was written is delivered, then the peer reads the end; its own writes
 * fail with -EPIPE once it has taken note. Views and spans must have been given
 * back. Does not block. Calls blocked on the stream in other threads return
 * -ECANCELED first.
 */
SHMUX_API void shmux_stream_close(struct shmux_stream *st);

/**
 * shmux_stream_set_deadline() - when blocked calls give up
 * @st: the stream
 * @how: SHMUX_READ, SHMUX_WRITE or both
 * @deadline: absolute, ns; SHMUX_NEVER (as it is at first) for none
 *
 * Also moves the deadline of calls that are blocked now, from any thread.
 *
 * Return: 0, -EINVAL, or -ENOMEM.
 */
SHMUX_API int shmux_stream_set_deadline(struct shmux_stream *st,
					unsigned int how, uint64_t deadline);

/**
 * shmux_stream_unblock() - cancel the calls blocked now
 * @st: the stream
 * @how: SHMUX_READ, SHMUX_WRITE or both
 *
 * They return what they have done so far, or -ECANCELED. Later calls are not
 * touched. From any thread.
 */
SHMUX_API void shmux_stream_unblock(struct shmux_stream *st, unsigned int how);

/* Bytes that can be read without waiting, 0 also at the end (message streams:
 * the next message; -EAGAIN if there is none yet, -ENODATA at the end); or what
 * a read would fail with. Does not block. */
SHMUX_API ssize_t shmux_stream_next_len(struct shmux_stream *st);

/* Limits, in bytes; constant during the stream's life. */
SHMUX_API size_t shmux_stream_message_max(struct shmux_stream *st);
SHMUX_API size_t shmux_stream_peek_max(struct shmux_stream *st);
SHMUX_API size_t shmux_stream_reserve_max(struct shmux_stream *st);

/*
 * What it is. Both ends know it by the same id, but over yamux. The session is
 * valid as long as the stream.
 */
SHMUX_API uint32_t shmux_stream_id(const struct shmux_stream *st);
SHMUX_API int shmux_stream_is_message(const struct shmux_stream *st);
SHMUX_API struct shmux_session *shmux_stream_session(struct shmux_stream *st);

/* A pointer of the caller's, NULL at first. */
SHMUX_API void shmux_stream_set_user(struct shmux_stream *st, void *user);
SHMUX_API void *shmux_stream_user(const struct shmux_stream *st);

/**
 * shmux_stream_local_address(), shmux_stream_peer_address() - as text
 * @st: the stream
 * @buf: out: NUL-terminated
 * @size: of @buf; SHMUX_ADDRESS_MAX is enough, or SHMUX_ADDRESS_LONG_MAX for any
 *
 * The listener's address on the one side, "pid:N" on the other.
 *
 * Return: 0, or -ERANGE if @buf is too short.
 */
SHMUX_API int shmux_stream_local_address(struct shmux_stream *st, char *buf,
					 size_t size);
SHMUX_API int shmux_stream_peer_address(struct shmux_stream *st, char *buf,
					size_t size);

#ifdef __cplusplus
}
#endif

#endif /* SHMUX_STREAM_H */
