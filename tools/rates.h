/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_RATES_H
#define SHMUX_TOOLS_RATES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "view.h"

/* What a session did between two views, both ends together, a second. */
struct rates {
	bool has_slots;			/* that the ring can be looked at */
	double slots;			/* consumed */
	bool has_kicks;			/* that the module counts */
	double kicks, waits, sleeps;
};

/* Sleep until the next look is due. */
void rates_sleep(uint64_t ns);

/* @s is of a later view, @seconds after @before. Nothing is known of what is new. */
struct rates rates_of(const struct view *before, const struct view_session *s, double seconds);

/* A blank, and @rate in a column, or - if it is not known. */
void rates_print(FILE *out, int width, bool known, double rate);

/* The member @what_per_s of a JSON object, after a comma; null if it is not known. */
void rates_write(FILE *out, const char *what, bool known, double rate);

#endif /* SHMUX_TOOLS_RATES_H */
