// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * progress.c - one line on standard error that tells how far a transfer is
 *
 * On a terminal the line is painted anew some times a second; elsewhere only
 * the last one is written.
 */
#include "progress.h"

#include <shmux/common.h>
#include <stdio.h>
#include <unistd.h>

#include "units.h"

#define INTERVAL UINT64_C(200000000)

static void show(struct progress *p, uint64_t now, const char *end)
{
	uint64_t sent = p->sent, received = p->received, took = now - p->start;

	fprintf(stderr, "shmux: sent %s, received %s, %s, %s%s%s", units_bytes(sent).text,
		units_bytes(received).text, units_time(took).text,
		units_rate(sent + received, took).text, p->repaint ? "\033[K" : "", end);
}

void progress_start(struct progress *p, bool wanted)
{
	p->wanted = wanted;
	p->repaint = wanted && isatty(STDERR_FILENO);
	p->start = shmux_now();
	p->sent = 0;
	p->received = 0;
	p->next = p->repaint ? p->start + INTERVAL : UINT64_MAX;
}

void progress_add(struct progress *p, uint64_t sent, uint64_t received)
{
	uint64_t now, next;

	if (!p->wanted)
		return;
	p->sent += sent;
	p->received += received;
	next = p->next;
	if (next == UINT64_MAX)
		return;
	now = shmux_now();
	/* Of several threads that find the line due, one paints it. */
	if (now >= next && atomic_compare_exchange_strong(&p->next, &next, now + INTERVAL))
		show(p, now, "\r");
}

void progress_finish(struct progress *p)
{
	if (!p->wanted)
		return;
	p->next = UINT64_MAX;
	show(p, shmux_now(), "\n");
}
