/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * json.h - the whole run, for programs
 */
#ifndef SHMUX_BENCH_JSON_H
#define SHMUX_BENCH_JSON_H

#include "machine.h"
#include "measure.h"

/* What the command line asked for, and how quiet it was. */
struct bench_json_run {
	const char *suite, *level;
	double others;		/* CPUs that others kept busy */
};

void bench_json_print(const struct bench *b, const struct bench_machine *machine,
		      const struct bench_json_run *run, FILE *out);

#endif /* SHMUX_BENCH_JSON_H */
