/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gopeer.h - a session with a program in Go, which does as it is told
 *
 * The program (tests/go) has one end of a socket, or of two pipes, as its standard
 * input and output. What a stream of ours asks of it is a line; the first stream
 * is kept for that alone. Everything is served by whichever call waits.
 */
#ifndef TESTS_GOPEER_H
#define TESTS_GOPEER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include <shmux/shmux.h>

struct gopeer {
	struct shmux_session *session; /* ours */
	struct shmux_stream *control;
	pid_t pid;
	int stdio[2]; /* our end of its descriptors, before there is a session */
	int watch;		/* what it writes comes here too; not to be read */
	char answer[512];
};

/* Whether it was built; if not, @why says why. */
bool gopeer_is_there(const char **why);

/*
 * Start it with arguments of its own, up to NULL: "-backlog", "8", "peer". Return: 0
 * or -errno.
 */
int gopeer_spawn(struct gopeer *g, bool pipes, const char *const *args);

/* Have a session with it. Return: 0 or -errno. */
int gopeer_join(struct gopeer *g, enum shmux_role role,
		const struct shmux_session_options *options);

/* Both, and the control stream. @args are of "peer", and may be NULL. */
int gopeer_start(struct gopeer *g, bool pipes, enum shmux_role role,
		 const struct shmux_session_options *options, const char *const *args);

/* Open a stream that says this line. Return: NULL if it cannot. */
struct shmux_stream *gopeer_tell(struct gopeer *g, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The line that a stream has next. Valid until another is read. */
const char *gopeer_line(struct gopeer *g, struct shmux_stream *st);

/* Say this on the control stream. Return: what is answered. */
const char *gopeer_ask(struct gopeer *g, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
bool gopeer_say(struct gopeer *g, struct shmux_stream *st, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Echo what it opens, until it has answered on the control stream. */
const char *gopeer_serve(struct gopeer *g);

/* The session is over, as far as we are concerned. */
void gopeer_leave(struct gopeer *g);

/* Wait until it has ended. Return: its exit status, or 128 and the signal. */
int gopeer_wait(struct gopeer *g);

#define GOPEER_LEFT 3 /* exit status: the session ended, and nobody had said quit */

#endif /* TESTS_GOPEER_H */
