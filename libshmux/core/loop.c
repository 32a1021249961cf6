// SPDX-License-Identifier: LGPL-2.1-or-later
/* loop.c - see loop.h */
#include "core/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int shmux__loop_open(struct shmux__loop *loop)
{
	loop->gone = NULL;
	loop->fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->fd < 0 ? -errno : 0;
}

void shmux__loop_close(struct shmux__loop *loop)
{
	shmux__loop_free_gone(loop);
	close(loop->fd);
}

int shmux__loop_add(struct shmux__loop *loop, int fd, uint32_t events,
		    struct shmux__watched *w)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	return epoll_ctl(loop->fd, EPOLL_CTL_ADD, fd, &ev) ? -errno : 0;
}

void shmux__loop_remove(struct shmux__loop *loop, int fd)
{
	epoll_ctl(loop->fd, EPOLL_CTL_DEL, fd, NULL);
}

void shmux__loop_free_later(struct shmux__loop *loop, struct shmux__watched *w)
{
	w->gone = true;
	w->next_gone = loop->gone;
	loop->gone = w;
}

void shmux__loop_free_gone(struct shmux__loop *loop)
{
	struct shmux__watched *w;

	while ((w = loop->gone)) {
		loop->gone = w->next_gone;
		free(w);
	}
}

int shmux__loop_serve(const struct epoll_event *events, int nr)
{
	struct shmux__watched *w;
	int i, err = 0, result;

	for (i = 0; i < nr; i++) {
		w = events[i].data.ptr;
		result = w->gone ? 0 : w->ready(w);
		if (!err)
			err = result;
	}
	return err;
}
