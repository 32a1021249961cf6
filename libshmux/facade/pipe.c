// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pipe.c - the calls of pipe.h: looks at what was handed in, and hands it on
 */
#include "facade/pipe.h"

#include <errno.h>

#include "core/iov.h"
#include "core/options.h"

static int buffer_of(const struct shmux_pipe_options *options, uint32_t *buffer)
{
	struct shmux_pipe_options o;

	if (shmux__options_copy(&o, sizeof(o), options) || o.reserved ||
	    o.buffer > SHMUX_PIPE_BUFFER_MAX)
		return -EINVAL;
	*buffer = o.buffer;
	return 0;
}

int shmux_pipe_new(const struct shmux_pipe_options *options,
		   struct shmux_pipe **reader, struct shmux_pipe **writer)
{
	uint32_t buffer = 0;
	int err = buffer_of(options, &buffer);

	return err ? err : shmux__pipe_local(buffer, reader, writer);
}

int shmux_pipe_attach(struct shmux_stream *st, unsigned int how,
		      const struct shmux_pipe_options *options,
		      struct shmux_pipe **pipe)
{
	uint32_t buffer = 0;
	int err = buffer_of(options, &buffer);

	if ((how != SHMUX_READ && how != SHMUX_WRITE) ||
	    shmux_stream_is_message(st))
		err = -EINVAL;
	if (!err)
		err = shmux__pipe_stream(st, how == SHMUX_READ, buffer, pipe);
	if (err)
		shmux_stream_close(st);
	return err;
}

ssize_t shmux_pipe_send(struct shmux_pipe *p, const struct iovec *iov, int nr,
			unsigned int flags)
{
	struct shmux__cursor from = { .iov = iov };

	if ((flags & ~SHMUX_NOWAIT) || shmux__iov_size(iov, nr, &from.left))
		return -EINVAL;
	return p->reader ? -EBADF : p->ops->send(p, &from, flags);
}

ssize_t shmux_pipe_recv(struct shmux_pipe *p, const struct iovec *iov, int nr,
			unsigned int flags)
{
	struct shmux__cursor to = { .iov = iov };

	if ((flags & ~SHMUX_NOWAIT) || shmux__iov_size(iov, nr, &to.left))
		return -EINVAL;
	return p->reader ? p->ops->recv(p, &to, flags) : -EBADF;
}

ssize_t shmux_pipe_write(struct shmux_pipe *p, const void *buf, size_t len)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

	return shmux_pipe_send(p, &iov, 1, 0);
}

ssize_t shmux_pipe_try_write(struct shmux_pipe *p, const void *buf, size_t len)
{
	struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };

	return shmux_pipe_send(p, &iov, 1, SHMUX_NOWAIT);
}

ssize_t shmux_pipe_read(struct shmux_pipe *p, void *buf, size_t size)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };

	return shmux_pipe_recv(p, &iov, 1, 0);
}

ssize_t shmux_pipe_try_read(struct shmux_pipe *p, void *buf, size_t size)
{
	struct iovec iov = { .iov_base = buf, .iov_len = size };

	return shmux_pipe_recv(p, &iov, 1, SHMUX_NOWAIT);
}

int shmux_pipe_shutdown(struct shmux_pipe *p, int error, unsigned int flags)
{
	if ((flags & ~SHMUX_NOWAIT) || error > 0 ||
	    error < -SHMUX_PIPE_ERROR_MAX)
		return -EINVAL;
	return p->ops->shutdown(p, error, flags);
}

int shmux_pipe_error(struct shmux_pipe *p, int *error)
{
	return p->ops->error(p, error);
}

void shmux_pipe_close(struct shmux_pipe *p)
{
	if (p)
		p->ops->close(p);
}

int shmux_pipe_set_deadline(struct shmux_pipe *p, uint64_t deadline)
{
	return p->ops->set_deadline(p, deadline);
}

void shmux_pipe_unblock(struct shmux_pipe *p)
{
	p->ops->unblock(p);
}

int shmux_pipe_fd(struct shmux_pipe *p)
{
	return p->ops->fd(p);
}
