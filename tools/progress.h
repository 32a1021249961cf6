/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_PROGRESS_H
#define SHMUX_TOOLS_PROGRESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Counts both directions of a transfer; any thread may add. */
struct progress {
	bool wanted;			/* constant after start, as the next two */
	bool repaint;			/* standard error is a terminal */
	uint64_t start;			/* ns, see shmux_now() */
	_Atomic uint64_t sent;
	_Atomic uint64_t received;
	_Atomic uint64_t next;		/* when to show the next line */
};

void progress_start(struct progress *p, bool wanted);
void progress_add(struct progress *p, uint64_t sent, uint64_t received);

/* Show the last line. Adding goes on being harmless, and unseen. */
void progress_finish(struct progress *p);

#endif /* SHMUX_TOOLS_PROGRESS_H */
