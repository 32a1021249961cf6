/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_RATES_H
#define SHMUX_TOOLS_RATES_H

#include <stdbool.h>

#include "view.h"

/* What a session did between two views, both ends together, a second. */
struct rates {
	bool has_slots;			/* that the ring can be looked at */
	double slots;			/* consumed */
	bool has_kicks;			/* that the module counts */
	double kicks, waits, sleeps;
};

/* @s is of a later view, @seconds after @before. Nothing is known of what is new. */
struct rates rates_of(const struct view *before, const struct view_session *s, double seconds);

#endif /* SHMUX_TOOLS_RATES_H */
