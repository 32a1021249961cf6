/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * machine.h - what the figures of a run were measured on
 */
#ifndef SHMUX_BENCH_MACHINE_H
#define SHMUX_BENCH_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

/* A text that is not known is empty. */
struct bench_machine {
	char cpu[80];
	unsigned int nr_cpus;
	bool is_virtual;
	char kernel[160], arch[24];
	char governor[24];	/* of the first CPU */
	uint64_t memory;	/* bytes */
};

void bench_machine_look(struct bench_machine *machine);

#endif /* SHMUX_BENCH_MACHINE_H */
