/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: rendezvous pipes
 *
 * A pipe goes one way, from a writer's end to a reader's, within this process or
 * over a stream. A write returns when readers have consumed all of it, not before:
 * nothing lies in between. So a reader that stops, stops the writer, and who has
 * written knows that it was read.
 *
 * A read never joins two writes; one write may feed several reads. An empty write
 * meets a read as well, which returns 0; the end is -ENODATA. Any number of threads
 * may write and read: the bytes of a write are not mixed with another's, and both
 * sides are served in the order they came.
 *
 * Either side ends the pipe by shmux_pipe_shutdown(), with an error if it likes.
 * Readers get the writer's once they have read what was taken; writers get the
 * reader's at once. The first end given is the one that counts. It is told
 * even if the peer is killed right after. Without one, as when the peer dies, both
 * sides get -ECONNRESET: a clean end is always meant.
 *
 * A write that stops half-way returns how many bytes were consumed; why it stopped
 * is what the next one returns, or shmux_pipe_error(). It stops when the pipe
 * ends, at a deadline, or when it is cancelled.
 *
 * Over a stream, and without waiting within a process too, a reader asks for bytes
 * and the writer hands them over. What was handed to a read that meanwhile gave up
 * counts as consumed for a write that gives up too: the next read gets it. So no byte
 * is ever read twice, or read after a write has said that it was not.
 *
 * Buffered, a pipe takes writes of so many bytes before they are read. Then
 * shmux_pipe_shutdown() of the writer tells whether readers have read all.
 *
 * Errors of reading and writing, besides those of common.h and those that the other
 * side gives:
 *
 *   -ENODATA  reading: the writer has ended the pipe, without an error
 *   -EPIPE    writing: the reader has, or its process has closed it; both: this
 *             side has
 *   -EBADF    reading at the writer's end, or the other way round
 */
#ifndef SHMUX_PIPE_H
#define SHMUX_PIPE_H

#include <sys/uio.h>

#include <shmux/common.h>
#include <shmux/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One end of a pipe. */
struct shmux_pipe;

/**
 * struct shmux_pipe_options - how a pipe behaves; 0 means the default
 * @size: sizeof(struct shmux_pipe_options), set by the caller
 * @buffer: bytes that may be written before they are read, at most 2^30; an empty
 *	write counts as one (none: a write waits for its readers). Over a stream both
 *	sides say so: the writer's end sends so much ahead, and the reader's makes room
 *	for it, as far as window and budget of its session go. A write waits for the
 *	reader's end to be attached.
 * @reserved: 0
 */
struct shmux_pipe_options {
	size_t size;
	uint32_t buffer;
	uint32_t reserved;
};

/**
 * shmux_pipe_new() - a pipe within this process
 * @options: or NULL
 * @reader: out
 * @writer: out
 *
 * Return: 0 or a negative errno.
 */
SHMUX_API int shmux_pipe_new(const struct shmux_pipe_options *options,
			     struct shmux_pipe **reader,
			     struct shmux_pipe **writer);

/**
 * shmux_pipe_attach() - one end of a pipe over a stream
 * @st: a byte stream on which nothing has been said; the pipe's from now on, closed
 *	with it, and on failure too
 * @how: SHMUX_READ or SHMUX_WRITE: what this end does. The peer attaches the other
 * @options: or NULL
 * @pipe: out
 *
 * Does not block. A peer that says what makes no sense costs this pipe: its calls
 * fail with -EPROTO, and its stream is reset; a newer version of what is said
 * between the two is -EPROTONOSUPPORT.
 *
 * Return: 0; -EINVAL: @st is a message stream; or as in common.h.
 */
SHMUX_API int shmux_pipe_attach(struct shmux_stream *st, unsigned int how,
				const struct shmux_pipe_options *options,
				struct shmux_pipe **pipe);

/**
 * shmux_pipe_send() - write, with flags
 * @p: a writer's end
 * @iov: what to write; not looked at after the call returns
 * @nr: number of elements of @iov
 * @flags: SHMUX_NOWAIT: only as much as readers wait for, or have asked for by
 *	reading without waiting, or the buffer takes
 *
 * Blocks until readers have consumed all (buffered: until all is in the buffer).
 *
 * Return: bytes consumed (buffered: or in the buffer), or, if there are none, why
 * not: a negative errno.
 */
SHMUX_API ssize_t shmux_pipe_send(struct shmux_pipe *p, const struct iovec *iov,
				  int nr, unsigned int flags);

/**
 * shmux_pipe_recv() - read, with flags
 * @p: a reader's end
 * @iov: where to
 * @nr: number of elements of @iov
 * @flags: SHMUX_NOWAIT: where nothing is to be had at once, -EAGAIN, and a writer
 *	that does not wait either may go ahead
 *
 * Blocks until there is a write, and takes of it what @iov has room for. Without
 * any room it waits for one and takes nothing.
 *
 * Return: bytes read, 0 among them (see above); -ENODATA at the end; or another
 * negative errno.
 */
SHMUX_API ssize_t shmux_pipe_recv(struct shmux_pipe *p, const struct iovec *iov,
				  int nr, unsigned int flags);

/* The same without flags: blocking, and with SHMUX_NOWAIT. */
SHMUX_API ssize_t shmux_pipe_write(struct shmux_pipe *p, const void *buf,
				   size_t len);
SHMUX_API ssize_t shmux_pipe_try_write(struct shmux_pipe *p, const void *buf,
				       size_t len);
SHMUX_API ssize_t shmux_pipe_read(struct shmux_pipe *p, void *buf, size_t size);
SHMUX_API ssize_t shmux_pipe_try_read(struct shmux_pipe *p, void *buf,
				      size_t size);

/**
 * shmux_pipe_shutdown() - end the pipe, with or without an error
 * @p: either end
 * @error: 0, or a negative errno, -4095 at least, for the other side: readers get
 *	-ENODATA for 0, writers -EPIPE
 * @flags: SHMUX_NOWAIT or 0
 *
 * Calls that are blocked on this end return what they have done, or -EPIPE. The
 * writer's end then waits until readers have consumed what lies between; the
 * reader's drops it. Doing it again changes nothing, and waits again.
 *
 * Return: 0: all that was written has been read (the reader's end: the end has been
 * said). What the reader has ended the pipe with, or another negative errno, if
 * not all was read. -EAGAIN, -ETIMEDOUT, -ECANCELED: not all has been read so
 * far; the pipe is ended all the same, and what was not said yet (no room on the
 * stream) is by the next call.
 */
SHMUX_API int shmux_pipe_shutdown(struct shmux_pipe *p, int error,
				  unsigned int flags);

/**
 * shmux_pipe_error() - how the pipe ended
 * @p: either end
 * @error: out: what the first shutdown of either side gave, as far as this end
 *	knows, 0 if that was no error; or what else ended it. That of the writer may
 *	be known before the last bytes are read. Over a stream it is known once a
 *	read or a write has come upon it.
 *
 * Return: 0, or -ENODATA: it has not ended. Does not block.
 */
SHMUX_API int shmux_pipe_error(struct shmux_pipe *p, int *error);

/**
 * shmux_pipe_close() - have done with an end
 * @p: the end, or NULL; gone when the call returns
 *
 * Ends the pipe without an error unless that has been done. Does not wait; what is
 * in the buffer can be read. Where a stream has no room to say that it has ended the
 * other side gets -ECONNRESET: who is to know for sure uses shmux_pipe_shutdown().
 * Calls blocked on this end in other threads return
 * -ECANCELED first.
 */
SHMUX_API void shmux_pipe_close(struct shmux_pipe *p);

/**
 * shmux_pipe_set_deadline() - when calls on this end give up
 * @p: the end
 * @deadline: absolute, ns; SHMUX_NEVER (as it is at first) for none
 *
 * Also moves the deadline of calls that are blocked now, from any thread.
 *
 * Return: 0.
 */
SHMUX_API int shmux_pipe_set_deadline(struct shmux_pipe *p, uint64_t deadline);

/* Cancel the calls that are under way on this end: they return what they have done
 * so far, or -ECANCELED. From any thread. */
SHMUX_API void shmux_pipe_unblock(struct shmux_pipe *p);

/**
 * shmux_pipe_fd() - a descriptor for poll, select and epoll
 * @p: the end
 *
 * For who reads and writes with SHMUX_NOWAIT: poll it for reading after -EAGAIN.
 * Within a process it is readable while a call would not return -EAGAIN. Over a
 * stream it is shmux_session_fd() of the stream's session, to be pumped; an event
 * for the stream, of whatever kind, says to try again. The library's own: do not
 * read from it, nor close it.
 *
 * Return: a descriptor, or a negative errno.
 */
SHMUX_API int shmux_pipe_fd(struct shmux_pipe *p);

#ifdef __cplusplus
}
#endif

#endif /* SHMUX_PIPE_H */
