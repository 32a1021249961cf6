// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit.c - `shmux limit`: what may be used of the kernel module, and what is
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "commands.h"
#include "nl.h"
#include "say.h"
#include "units.h"
#include "words.h"

static const char usage[] =
	"Usage: shmux limit [OPTION]...\n"
	"       shmux limit SCOPE RESOURCE NUMBER\n"
	"\n"
	"Shows the limits of the kernel module, and what is used: by our user, in this network\n"
	"namespace, and on the machine. With operands: sets one, which takes CAP_NET_ADMIN and\n"
	"holds until the module is unloaded. What is used already stays.\n"
	"\n"
	"  SCOPE     user (each user), net (each network namespace), or total (the machine)\n"
	"  RESOURCE  listeners, sessions, or bytes, that regions declare\n"
	"  NUMBER    also with k, M, G, T (powers of 1000) or Ki, Mi, Gi, Ti (of 1024); none\n"
	"            for no limit\n"
	"\n"
	"  --json    as one JSON object; null is no limit\n"
	"  --help    show this text\n";

/* Return: which of @nr @words it is, or -1. */
static int find(const char *const *words, int nr, const char *word)
{
	for (int i = 0; i < nr; i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

static bool parse_number(const char *text, uint64_t *number)
{
	static const char prefixes[] = "kMGT";
	const char *prefix;
	uint64_t base;
	char *end;

	if (!strcmp(text, "none")) {
		*number = UINT64_MAX;
		return true;
	}
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*number = strtoull(text, &end, 10);
	if (errno || !*end)
		return !errno;
	prefix = strchr(prefixes, *end == 'K' ? 'k' : *end);
	base = end[1] == 'i' ? 1024 : 1000;
	if (!prefix || end[base == 1024 ? 2 : 1])
		return false;
	for (const char *p = prefixes; p <= prefix; p++)
		if (__builtin_mul_overflow(*number, base, number))
			return false;
	return true;
}

static struct units amount(int resource, uint64_t number)
{
	struct units u = { "none" };

	if (number == UINT64_MAX)
		return u;
	if (resource == SHMUX_BYTES)
		return units_bytes(number);
	snprintf(u.text, sizeof(u.text), "%" PRIu64, number);
	return u;
}

static void print(const struct module_limits *limits)
{
	printf("SCOPE  RESOURCE         USED       LIMIT\n");
	for (int i = 0; i < SHMUX_NR_SCOPES; i++)
		for (int j = 0; j < SHMUX_NR_RESOURCES; j++)
			printf("%-5s  %-9s  %10s  %10s\n", words_scopes[i], words_resources[j],
			       amount(j, limits->of[i][j].used).text,
			       amount(j, limits->of[i][j].max).text);
}

static void write_json(const struct module_limits *limits)
{
	printf("{\"limits\": [");
	for (int i = 0; i < SHMUX_NR_SCOPES; i++) {
		for (int j = 0; j < SHMUX_NR_RESOURCES; j++) {
			printf("%s\n  {\"scope\": \"%s\", \"resource\": \"%s\", \"used\": %" PRIu64,
			       i || j ? "," : "", words_scopes[i], words_resources[j],
			       limits->of[i][j].used);
			words_write_max(stdout, limits->of[i][j].max);
			printf("}");
		}
	}
	printf("]}\n");
}

static int show(bool json)
{
	struct module_limits limits;
	struct module *m;
	int error;

	error = module_open(&m);
	if (!error)
		error = module_limits(m, &limits);
	module_close(m);
	if (error)
		return say_cannot(error, words_lack(error, ""), "show the limits");
	if (json)
		write_json(&limits);
	else
		print(&limits);
	return SAY_DONE;
}

static int set(char **operands)
{
	int scope = find(words_scopes, SHMUX_NR_SCOPES, operands[0]);
	int resource = find(words_resources, SHMUX_NR_RESOURCES, operands[1]);
	const char *why = NULL;
	struct module *m;
	uint64_t max;
	int error;

	if (scope < 0)
		return say_usage("limit", "user, net or total is wanted", "take '%s' as SCOPE",
				 operands[0]);
	if (resource < 0)
		return say_usage("limit", "listeners, sessions or bytes is wanted",
				 "take '%s' as RESOURCE", operands[1]);
	if (!parse_number(operands[2], &max))
		return say_usage("limit", "a number, or none, is wanted", "take '%s' as NUMBER",
				 operands[2]);
	error = module_open(&m);
	if (!error) {
		error = module_limit_set(m, scope, resource, max);
		if (error == -EPERM)
			why = "that takes root, or CAP_NET_ADMIN in the initial user namespace";
	}
	module_close(m);
	if (error)
		return say_cannot(error, why ? why : words_lack(error, ""), "set the limit");
	return SAY_DONE;
}

int limit_main(int argc, char **argv)
{
	bool json;
	int status;

	if (!args_json("limit", usage, argc, argv, &json, &status))
		return status;
	if (optind == argc)
		return show(json);
	if (argc - optind != 3)
		return say_usage("limit", "SCOPE, RESOURCE and NUMBER are wanted",
				 "set a limit by %d operands", argc - optind);
	if (json)
		return say_usage("limit", "it shows nothing", "take '--json' and set a limit");
	return set(argv + optind);
}
