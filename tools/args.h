/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_ARGS_H
#define SHMUX_TOOLS_ARGS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

/* getopt_long() values of options without a letter begin here. */
enum { ARGS_LONG = 256 };

/*
 * Say why getopt_long() returned @c, '?' or ':', for @command. Options are to
 * be given to it with ':' first. Return: SAY_USAGE.
 */
int args_refuse(const char *command, int c, char **argv);

/*
 * The options of a @command that knows --json and --help alone. Return: whether to
 * go on; otherwise all has been said, and @status is how to leave.
 */
bool args_json(const char *command, const char *usage, int argc, char **argv, bool *json,
	       int *status);

/*
 * The one operand that @command takes. Return: 0, or SAY_USAGE after having
 * said what is wrong.
 */
int args_operand(const char *command, const char *noun, int argc, char **argv,
		 const char **operand);

/* Likewise for a @command that takes two. */
int args_operands(const char *command, const char *first_noun, const char *second_noun, int argc,
		  char **argv, const char **first, const char **second);

/* Likewise for a @command that takes none. */
int args_none(const char *command, int argc, char **argv);

/*
 * Seconds, "2" or "0.5", as nanoseconds; at most a million of them.
 * Return: 0, or SAY_USAGE after having said what is wrong.
 */
int args_seconds(const char *command, const char *option, const char *text, uint64_t *ns);

/* Likewise for --interval, a hundredth of a second or more. */
int args_interval(const char *command, const char *text, uint64_t *ns);

/* For --count: 1 or more. */
int args_count(const char *command, const char *text, uint64_t *count);

#endif /* SHMUX_TOOLS_ARGS_H */
