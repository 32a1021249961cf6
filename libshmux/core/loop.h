/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * loop.h - whom an epoll descriptor calls
 *
 * Under a lock of the owner's, but for the wait itself.
 */
#ifndef SHMUX_CORE_LOOP_H
#define SHMUX_CORE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* At the beginning of something that has been allocated, or of a member. */
struct shmux__watched {
	/* Something is ready. Return: 0, or -errno for whom the loop runs for. */
	int (*ready)(struct shmux__watched *w);
	bool gone;
	struct shmux__watched *next_gone;
};

struct shmux__loop {
	int fd;
	struct shmux__watched *gone;
};

int shmux__loop_open(struct shmux__loop *loop);
void shmux__loop_close(struct shmux__loop *loop);

int shmux__loop_add(struct shmux__loop *loop, int fd, uint32_t events,
		    struct shmux__watched *w);
void shmux__loop_remove(struct shmux__loop *loop, int fd);

/*
 * Free @w, which begins an allocation, once no event can name it any more. Its
 * descriptors have been removed.
 */
void shmux__loop_free_later(struct shmux__loop *loop, struct shmux__watched *w);
void shmux__loop_free_gone(struct shmux__loop *loop);

/* Call those whom @events name. Return: 0, or the first error. */
int shmux__loop_serve(const struct epoll_event *events, int nr);

#endif /* SHMUX_CORE_LOOP_H */
