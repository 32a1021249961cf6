// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * rates.c - how fast sessions are, from two looks at them
 */
#include "rates.h"

#include <errno.h>
#include <time.h>

void rates_sleep(uint64_t ns)
{
	struct timespec t = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &t) == EINTR)
		;
}

/* Counts of 32 bits, which run on through zero. */
static double differ(uint64_t from, uint64_t to)
{
	return (uint32_t)(to - from);
}

static void take_slots(struct rates *r, const struct view_session *from,
		       const struct view_session *to)
{
	if (!from->acceptor.facts.known || !to->acceptor.facts.known ||
	    !from->dialler.facts.known || !to->dialler.facts.known)
		return;
	r->has_slots = true;
	r->slots = differ(from->acceptor.facts.consumed, to->acceptor.facts.consumed) +
		   differ(from->dialler.facts.consumed, to->dialler.facts.consumed);
}

static void take_kicks(struct rates *r, const struct module_session *from,
		       const struct module_session *to)
{
	r->has_kicks = true;
	for (int i = 0; i < 2; i++) {
		const struct module_end *x = &from->ends[i], *y = &to->ends[i];

		r->kicks += differ(x->kicks, y->kicks);
		r->waits += differ(x->waits, y->waits);
		r->sleeps += differ(x->sleeps, y->sleeps);
	}
}

struct rates rates_of(const struct view *before, const struct view_session *s, double seconds)
{
	const struct view_session *from = view_find(before, s);
	struct rates r = { 0 };

	/* Numbers come again, ages do not go back. */
	if (!from || from->module.age > s->module.age || seconds <= 0)
		return r;
	take_slots(&r, from, s);
	if (s->over == VIEW_MODULE)
		take_kicks(&r, &from->module, &s->module);
	r.slots /= seconds;
	r.kicks /= seconds;
	r.waits /= seconds;
	r.sleeps /= seconds;
	return r;
}

void rates_print(FILE *out, int width, bool known, double rate)
{
	if (known)
		fprintf(out, " %*.0f", width, rate);
	else
		fprintf(out, " %*s", width, "-");
}

void rates_write(FILE *out, const char *what, bool known, double rate)
{
	if (known)
		fprintf(out, ", \"%s_per_s\": %.1f", what, rate);
	else
		fprintf(out, ", \"%s_per_s\": null", what);
}
