// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * args.c - what subcommands find on their command lines
 *
 * Options themselves are getopt_long()'s; here is what it leaves to us: one
 * sentence for each mistake, and values with their limits.
 */
#include "args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "say.h"

#define SECONDS_MAX 1e6
#define INTERVAL_MIN 10000000 /* ns */

int args_refuse(const char *command, int c, char **argv)
{
	char letter[] = { '-', optopt, '\0' };
	const char *option = letter;

	if (!optopt || optopt >= ARGS_LONG || !strncmp(argv[optind - 1], "--", 2))
		option = argv[optind - 1];
	if (c == ':')
		return say_usage(command, "it wants a value", "take '%s'", option);
	if (optopt && option != letter)
		return say_usage(command, "it takes no value", "take '%s'", option);
	return say_usage(command, "there is no such option", "take '%s'", option);
}

bool args_json(const char *command, const char *usage, int argc, char **argv, bool *json,
	       int *status)
{
	enum {
		JSON = ARGS_LONG,
		HELP
	};
	static const struct option table[] = {
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*json = false;
	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		if (c == HELP) {
			fputs(usage, stdout);
			*status = SAY_DONE;
			return false;
		}
		if (c != JSON) {
			*status = args_refuse(command, c, argv);
			return false;
		}
		*json = true;
	}
	return true;
}

int args_operand(const char *command, const char *noun, int argc, char **argv, const char **operand)
{
	if (optind == argc)
		return say_usage(command, "none is given", "do without an %s", noun);
	if (optind + 1 < argc)
		return say_usage(command, "one is enough", "take '%s' as a further %s",
				 argv[optind + 1], noun);
	*operand = argv[optind];
	return 0;
}

int args_operands(const char *command, const char *first_noun, const char *second_noun, int argc,
		  char **argv, const char **first, const char **second)
{
	if (optind == argc)
		return args_operand(command, first_noun, argc, argv, first);
	*first = argv[optind++];
	return args_operand(command, second_noun, argc, argv, second);
}

int args_none(const char *command, int argc, char **argv)
{
	if (optind < argc)
		return say_usage(command, "it takes options only", "take '%s'", argv[optind]);
	return 0;
}

int args_seconds(const char *command, const char *option, const char *text, uint64_t *ns)
{
	double seconds;
	char *end;

	seconds = strtod(text, &end);
	if (end == text || *end || !(seconds >= 0 && seconds <= SECONDS_MAX))
		return say_usage(command, "seconds from 0 to 1000000 are wanted",
				 "take '%s' for %s", text, option);
	*ns = seconds * 1e9;
	return 0;
}

int args_interval(const char *command, const char *text, uint64_t *ns)
{
	if (args_seconds(command, "--interval", text, ns))
		return SAY_USAGE;
	if (*ns < INTERVAL_MIN)
		return say_usage(command, "0.01 seconds are the least", "take '%s' for --interval",
				 text);
	return 0;
}

int args_count(const char *command, const char *text, uint64_t *count)
{
	char *end;

	errno = 0;
	*count = strtoull(text, &end, 10);
	if (errno || *end || *text < '0' || *text > '9' || !*count)
		return say_usage(command, "a number from 1 on is wanted", "take '%s' for --count",
				 text);
	return 0;
}
