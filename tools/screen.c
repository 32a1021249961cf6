// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * screen.c - see screen.h
 *
 * Control sequences that every terminal of today knows. A text comes in UTF-8,
 * a column a character; its lines that begin with a tab are headings.
 */
#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <shmux/common.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define OTHER_SCREEN "\033[?1049h"
#define FIRST_SCREEN "\033[?1049l"
#define HIDE_CURSOR "\033[?25l"
#define SHOW_CURSOR "\033[?25h"
#define TOP_LEFT "\033[H"
#define CLEAR_LINE "\033[K"
#define CLEAR_BELOW "\033[J"
#define REVERSE "\033[7m"
#define NORMAL "\033[0m"

static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH };

static void measure(struct screen *s)
{
	struct winsize size;

	s->rows = 24;
	s->columns = 80;
	if (!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && size.ws_row && size.ws_col) {
		s->rows = size.ws_row;
		s->columns = size.ws_col;
	}
}

static int take(struct screen *s)
{
	struct termios raw = s->before;

	raw.c_lflag &= ~(ICANON | ECHO);
	raw.c_cc[VMIN] = 1;
	raw.c_cc[VTIME] = 0;
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw))
		return -errno;
	measure(s);
	fputs(OTHER_SCREEN HIDE_CURSOR, stdout);
	fflush(stdout);
	return 0;
}

static void give_back(const struct screen *s)
{
	fputs(NORMAL SHOW_CURSOR FIRST_SCREEN, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &s->before);
}

int screen_open(struct screen *s)
{
	sigset_t set;
	int error;

	if (!isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &s->before))
		return -ENOTTY;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&set, signals[i]);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (s->signals < 0)
		return -errno;
	error = take(s);
	if (error)
		close(s->signals);
	return error;
}

void screen_close(struct screen *s)
{
	give_back(s);
	close(s->signals);
}

/* Return: where the line's next one begins, or its end. */
static const char *show_line(const char *line, int columns)
{
	bool heading = *line == '\t';
	int column = 0;

	if (heading) {
		fputs(REVERSE, stdout);
		line++;
	}
	for (; *line && *line != '\n'; line++) {
		/* The bytes that continue a character take no column. */
		if ((*line & 0xc0) != 0x80)
			column++;
		if (column <= columns)
			putchar(*line);
	}
	for (; heading && column < columns; column++)
		putchar(' ');
	if (heading)
		fputs(NORMAL, stdout);
	if (column < columns)
		fputs(CLEAR_LINE, stdout);
	return *line ? line + 1 : line;
}

void screen_show(const struct screen *s, const char *text)
{
	fputs(TOP_LEFT, stdout);
	for (int row = 0; row < s->rows && *text; row++) {
		if (row)
			putchar('\n');
		text = show_line(text, s->columns);
	}
	fputs(CLEAR_BELOW, stdout);
	fflush(stdout);
}

static int take_signal(struct screen *s)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof(info)) != sizeof(info))
		return SCREEN_LEAVE;
	switch (info.ssi_signo) {
	case SIGTSTP:
		give_back(s);
		raise(SIGSTOP);
		/* Somebody has us go on. */
		return take(s) ? SCREEN_LEAVE : SCREEN_CHANGED;
	case SIGCONT:
	case SIGWINCH:
		measure(s);
		return SCREEN_CHANGED;
	default:
		return SCREEN_LEAVE;
	}
}

int screen_wait(struct screen *s, uint64_t deadline)
{
	struct pollfd p[] = {
		{ .fd = s->signals, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN },
	};
	uint64_t now = shmux_now();
	unsigned char key;
	int n;

	n = poll(p, 2, now < deadline ? (int)((deadline - now) / 1000000 + 1) : 0);
	if (!n)
		return SCREEN_TIMEOUT;
	if (n < 0)
		return errno == EINTR ? SCREEN_TIMEOUT : SCREEN_LEAVE;
	if (p[0].revents)
		return take_signal(s);
	return read(STDIN_FILENO, &key, 1) == 1 ? key : SCREEN_LEAVE;
}
