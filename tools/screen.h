/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * screen.h - the terminal, taken over for a while
 *
 * What was on it comes back when the command leaves, by whichever signal that
 * asks it to, and while it is stopped.
 */
#ifndef SHMUX_TOOLS_SCREEN_H
#define SHMUX_TOOLS_SCREEN_H

#include <stdint.h>
#include <termios.h>

struct screen {
	int rows, columns;
	int signals;			/* a signalfd */
	struct termios before;
};

/* What screen_wait() returns beside keys. */
enum {
	SCREEN_TIMEOUT = 256,
	SCREEN_CHANGED, /* its size, or we have been stopped */
	SCREEN_LEAVE, /* a signal asks for it, or the terminal is gone */
};

/*
 * Standard input and output are to be one. Return: 0, -ENOTTY, or -errno. With 0
 * signals that end the process are blocked, and told by screen_wait().
 */
int screen_open(struct screen *s);
void screen_close(struct screen *s);

/* Show @text from the top left, lines cut to the width and the height. */
void screen_show(const struct screen *s, const char *text);

/* Return: a key, or one of the above. @deadline: see shmux_now(). */
int screen_wait(struct screen *s, uint64_t deadline);

#endif /* SHMUX_TOOLS_SCREEN_H */
