// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * top.c - `shmux top`: the busiest sessions, live
 */
#include <errno.h>
#include <inttypes.h>
#include <shmux/common.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "args.h"
#include "commands.h"
#include "rates.h"
#include "say.h"
#include "screen.h"
#include "units.h"
#include "view.h"

static const char usage[] =
	"Usage: shmux top [OPTION]...\n"
	"\n"
	"Shows the sessions of this network namespace on the whole terminal, the busiest first,\n"
	"and looks again each second. Rates are both ends' together; - is not known: memfd has\n"
	"no kicks, and slots are of sessions that we may look into.\n"
	"\n"
	"  -i, --interval SECONDS  look again so often\n"
	"  --sort KEY              kicks (at first), slots, streams, resident, age or number\n"
	"  --count N               leave after N looks\n"
	"  --json                  no screen: a JSON object on a line for each look\n"
	"  --help                  show this text\n"
	"\n"
	"Keys: k s t r a n sort by the above; space looks at once; q quits.\n";

static const struct sorting {
	char key;
	const char *name;
} sortings[] = {
	{ 'k', "kicks" },    { 's', "slots" }, { 't', "streams" },
	{ 'r', "resident" }, { 'a', "age" },   { 'n', "number" },
};

struct options {
	uint64_t interval, count;	/* @interval: ns */
	char key;			/* of the sorting */
	bool json;
};

struct row {
	const struct view_session *session;
	struct rates rates;
	double weight;			/* by the sorting */
};

struct top {
	struct options o;
	uint64_t when;			/* of @view */
	struct view view;
	struct row *rows;		/* of its sessions */
	double seconds;			/* that the rates are of */
};

/* --- looking ------------------------------------------------------------ */

static uint64_t resident(const struct view_session *s)
{
	return s->module.ends[0].resident + s->module.ends[1].resident;
}

static double weight(const struct row *row, char key)
{
	const struct view_session *s = row->session;

	switch (key) {
	case 's':
		return row->rates.slots;
	case 't':
		return s->acceptor.facts.streams;
	case 'r':
		return resident(s);
	case 'a':
		return s->module.age;
	case 'n':
		return -(double)s->module.number;
	default:
		return row->rates.kicks;
	}
}

/* Those of one weight stay in the view's order. */
static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->weight != y->weight)
		return x->weight < y->weight ? 1 : -1;
	return (x->session > y->session) - (x->session < y->session);
}

static void sort(struct top *t)
{
	for (size_t i = 0; i < t->view.nr_sessions; i++)
		t->rows[i].weight = weight(&t->rows[i], t->o.key);
	if (t->view.nr_sessions)
		qsort(t->rows, t->view.nr_sessions, sizeof(*t->rows), compare);
}

static int look(struct top *t)
{
	struct top next = { .o = t->o, .when = shmux_now() };
	int error;

	error = view_open(&next.view);
	if (error)
		return error;
	next.rows = calloc(next.view.nr_sessions + 1, sizeof(*next.rows));
	if (!next.rows) {
		view_close(&next.view);
		return -ENOMEM;
	}
	next.seconds = t->when ? (next.when - t->when) / 1e9 : 0;
	for (size_t i = 0; i < next.view.nr_sessions; i++) {
		next.rows[i].session = &next.view.sessions[i];
		next.rows[i].rates = rates_of(&t->view, &next.view.sessions[i], next.seconds);
	}
	view_close(&t->view);
	free(t->rows);
	*t = next;
	sort(t);
	return 0;
}

/* --- for people --------------------------------------------------------- */

static void print_party(FILE *out, const struct view_party *p)
{
	char text[32];

	snprintf(text, sizeof(text), p->pid ? "%d %s" : "-", (int)p->pid, view_command(p));
	fprintf(out, "  %-20.20s", text);
}

static void print_row(FILE *out, const struct row *row)
{
	const struct view_session *s = row->session;
	bool module = s->over == VIEW_MODULE;

	if (module)
		fprintf(out, "%7u", s->module.number);
	else
		fprintf(out, "%7s", "-");
	fprintf(out, "  %-14.14s", view_address(s->address).text);
	rates_print(out, 9, row->rates.has_kicks, row->rates.kicks);
	rates_print(out, 9, row->rates.has_kicks, row->rates.sleeps);
	rates_print(out, 9, row->rates.has_slots, row->rates.slots);
	if (s->acceptor.facts.known)
		fprintf(out, " %7u", s->acceptor.facts.streams);
	else
		fprintf(out, " %7s", "-");
	fprintf(out, " %9s", module ? units_bytes(resident(s)).text : "-");
	print_party(out, &s->dialler);
	print_party(out, &s->acceptor);
	fprintf(out, "  %-7s  %s\n", view_state(s), module ? units_age(s->module.age).text : "-");
}

static const char *sorting_of(char key)
{
	for (size_t i = 0; i < sizeof(sortings) / sizeof(*sortings); i++)
		if (sortings[i].key == key)
			return sortings[i].name;
	return NULL;
}

/* All of it, which the screen cuts. */
static void print(const struct top *t, FILE *out)
{
	time_t now = time(NULL);
	struct tm tm;
	char clock[16];

	localtime_r(&now, &tm);
	strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
	fprintf(out, "shmux top  %s  listeners: %zu  sessions: %zu, by %s%s\n", clock,
		t->view.nr_listeners, t->view.nr_sessions, sorting_of(t->o.key),
		t->view.module_error ? "; over memfd alone" : "");
	fprintf(out, "keys: q quit, by k kicks, s slots, t streams, r resident, a age, n number\n");
	fprintf(out, "\t%7s  %-14s %9s %9s %9s %7s %9s  %-20s  %-20s  %-7s  %s\n", "NUMBER",
		"ADDRESS", "KICKS/S", "SLEEPS/S", "SLOTS/S", "STREAMS", "RESIDENT", "DIALLER",
		"LISTENER", "STATE", "AGE");
	for (size_t i = 0; i < t->view.nr_sessions; i++)
		print_row(out, &t->rows[i]);
}

static int show(const struct top *t, const struct screen *s)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return -errno;
	print(t, out);
	if (fclose(out)) {
		free(text);
		return -ENOMEM;
	}
	screen_show(s, text);
	free(text);
	return 0;
}

/* Return: whether the key is one of ours. */
static bool take_key(struct top *t, int key)
{
	if (key > 255 || !sorting_of(key))
		return false;
	t->o.key = key;
	sort(t);
	return true;
}

/* Until it is time for another look. Return: whether there is to be one. */
static bool wait_for_next(struct top *t, struct screen *s)
{
	for (;;) {
		int key = screen_wait(s, t->when + t->o.interval);

		if (key == SCREEN_LEAVE || key == 'q' || key == 'Q')
			return false;
		if (key == SCREEN_TIMEOUT || key == ' ')
			return true;
		if (key == SCREEN_CHANGED || take_key(t, key))
			show(t, s);
	}
}

static int run_on_screen(struct top *t)
{
	struct screen s;
	int error;

	error = look(t);
	if (error)
		return say_cannot(error, NULL, "find out who is connected");
	error = screen_open(&s);
	if (error)
		return say_cannot(error,
				  error == -ENOTTY ? "it takes a terminal; --json does not" : NULL,
				  "take the screen");
	for (;;) {
		error = show(t, &s);
		if (error || !--t->o.count || !wait_for_next(t, &s))
			break;
		error = look(t);
		if (error)
			break;
	}
	screen_close(&s);
	return error ? say_cannot(error, NULL, "find out who is connected") : SAY_DONE;
}

/* --- for scripts -------------------------------------------------------- */

static void write_look(const struct top *t)
{
	printf("{\"seconds\": %.3f, \"module\": %s, \"sessions\": [", t->seconds,
	       t->view.module_error ? "false" : "true");
	for (size_t i = 0; i < t->view.nr_sessions; i++) {
		const struct rates *r = &t->rows[i].rates;

		printf("%s{\"session\": ", i ? ", " : "");
		view_write_session(stdout, t->rows[i].session);
		rates_write(stdout, "kicks", r->has_kicks, r->kicks);
		rates_write(stdout, "waits", r->has_kicks, r->waits);
		rates_write(stdout, "sleeps", r->has_kicks, r->sleeps);
		rates_write(stdout, "slots", r->has_slots, r->slots);
		printf("}");
	}
	printf("]}\n");
}

static int run_for_script(struct top *t)
{
	int error = look(t);

	while (!error && t->o.count--) {
		rates_sleep(t->o.interval);
		error = look(t);
		if (!error)
			write_look(t);
		/* Nobody reads any more. */
		if (fflush(stdout))
			break;
	}
	return error ? say_cannot(error, NULL, "find out who is connected") : SAY_DONE;
}

/* --- the command -------------------------------------------------------- */

static int parse_sorting(const char *name, char *key)
{
	for (size_t i = 0; i < sizeof(sortings) / sizeof(*sortings); i++) {
		if (!strcmp(sortings[i].name, name)) {
			*key = sortings[i].key;
			return 0;
		}
	}
	return say_usage("top", "kicks, slots, streams, resident, age or number is wanted",
			 "sort by '%s'", name);
}

int top_main(int argc, char **argv)
{
	enum {
		SORT = ARGS_LONG,
		COUNT,
		JSON,
		HELP
	};
	static const struct option table[] = {
		{ "interval", required_argument, NULL, 'i' },
		{ "sort", required_argument, NULL, SORT },
		{ "count", required_argument, NULL, COUNT },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	struct top t = { .o = { .interval = 1000000000, .count = UINT64_MAX, .key = 'k' } };
	int c, status;

	while ((c = getopt_long(argc, argv, ":i:", table, NULL)) != -1) {
		switch (c) {
		case 'i':
			if (args_interval("top", optarg, &t.o.interval))
				return SAY_USAGE;
			break;
		case SORT:
			if (parse_sorting(optarg, &t.o.key))
				return SAY_USAGE;
			break;
		case COUNT:
			if (args_count("top", optarg, &t.o.count))
				return SAY_USAGE;
			break;
		case JSON:
			t.o.json = true;
			break;
		case HELP:
			fputs(usage, stdout);
			return SAY_DONE;
		default:
			return args_refuse("top", c, argv);
		}
	}
	if (args_none("top", argc, argv))
		return SAY_USAGE;
	status = t.o.json ? run_for_script(&t) : run_on_screen(&t);
	view_close(&t.view);
	free(t.rows);
	return status;
}
