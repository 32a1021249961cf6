// SPDX-License-Identifier: LGPL-2.1-or-later
/* effort.c - see effort.h */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shmux/common.h>

#include "effort.h"
#include "process.h"

#define GENEROUS (effort_is_emulated() ? 10 * SEC : SEC)

static const char *seed_given;

/* The harness does not look at its arguments, and does not hand them on. */
static void __attribute__((constructor)) take_arguments(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (!strncmp(argv[i], "--seed=", 7))
			seed_given = argv[i] + 7;
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed_given = argv[++i];
	}
	if (!seed_given)
		seed_given = getenv("SHMUX_TEST_SEED");
}

bool effort_is_stress(void)
{
	return getenv("SHMUX_STRESS") != NULL;
}

bool effort_is_emulated(void)
{
	return getenv("SHMUX_EMULATED") != NULL;
}

uint32_t effort_count(uint32_t nr)
{
	const char *emulated = getenv("SHMUX_EMULATED");
	uint32_t brief = emulated ? (uint32_t)atoi(emulated) : 1;

	return nr <= brief ? 1 : nr / (brief ? brief : 1);
}

uint64_t effort_bound(uint64_t promised)
{
	if (effort_is_stress() || promised > GENEROUS)
		return promised;
	return GENEROUS;
}

uint64_t effort_seed(void)
{
	uint64_t seed = shmux_now();
	char *end;

	if (seed_given) {
		errno = 0;
		seed = strtoull(seed_given, &end, 0);
		if (errno || *end || end == seed_given) {
			fprintf(stderr, "# the seed '%s' is not a number\n", seed_given);
			exit(2);
		}
	}
	fprintf(stderr, "# seed %llu; to run the same again: %s --seed %llu\n",
		(unsigned long long)seed, program_invocation_name, (unsigned long long)seed);
	return seed;
}
