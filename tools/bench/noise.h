/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * noise.h - what else the machine did meanwhile
 */
#ifndef SHMUX_BENCH_NOISE_H
#define SHMUX_BENCH_NOISE_H

struct noise {
	double busy;	/* seconds of CPU that anybody has used, or the host has taken */
	double ours;	/* of which we and our children */
	double at;
};

void noise_begin(struct noise *now);

/* Return: how many CPUs others have kept busy since then; 0 if it cannot be told. */
double noise_end(const struct noise *since);

#endif /* SHMUX_BENCH_NOISE_H */
