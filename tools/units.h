/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_UNITS_H
#define SHMUX_TOOLS_UNITS_H

#include <stdint.h>

/* A figure as text, to be used within one expression. */
struct units {
	char text[24];
};

/* "33.3 MB": powers of 1000. */
struct units units_bytes(double bytes);

/* "6.1 ms" */
struct units units_time(uint64_t ns);

/* "6.1 ms", "12.3 s", "3 min 20 s", "2 h 5 min" or "3 d 4 h" */
struct units units_age(uint64_t ns);

/* "5.5 GB/s", or "-" if no time has passed. */
struct units units_rate(double bytes, uint64_t ns);

#endif /* SHMUX_TOOLS_UNITS_H */
