// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * stat.c - `shmux stat`: how much there is, and how fast it goes
 */
#include <inttypes.h>
#include <shmux/common.h>
#include <stdbool.h>
#include <stdio.h>

#include "args.h"
#include "commands.h"
#include "nl.h"
#include "rates.h"
#include "say.h"
#include "units.h"
#include "view.h"
#include "words.h"

#define LINES_A_HEADING 20

static const char usage[] =
	"Usage: shmux stat [OPTION]...\n"
	"\n"
	"Counts the listeners, sessions and open streams of this network namespace, and shows\n"
	"what the kernel module, if it is loaded, has counted on the whole machine.\n"
	"\n"
	"  -i, --interval SECONDS  show what happens a second, in a line each so many seconds\n"
	"  --count N               leave after N lines\n"
	"  --json                  as a JSON object, with -i one on each line; null is not known\n"
	"  --help                  show this text\n"
	"\n"
	"SLOTS are the records of 64 bytes that were consumed, in all sessions that we may look\n"
	"into. A kick wakes; a wait that finds one at once does not sleep.\n";

struct options {
	bool help, json;
	uint64_t interval;		/* ns, 0: once */
	uint64_t count;
};

static const char *const counters[SHMUX_A_COUNTER_MAX + 1] = {
	[SHMUX_A_COUNTER_CONNECTS] = "connects", [SHMUX_A_COUNTER_ACCEPTS] = "accepts",
	[SHMUX_A_COUNTER_KICKS] = "kicks",	 [SHMUX_A_COUNTER_WAITS] = "waits",
	[SHMUX_A_COUNTER_SLEEPS] = "sleeps",	 [SHMUX_A_COUNTER_WAKES] = "wakes",
	[SHMUX_A_COUNTER_DEATHS] = "deaths",	 [SHMUX_A_COUNTER_QUOTA_HITS] = "quota_hits",
};

/* What is counted, at one time. */
struct sample {
	uint64_t when;
	struct view view;
	uint64_t streams;		/* of sessions that we may look into */
	bool has_module;
	struct module_counters counters;
	struct module_limits limits;
};

static int ask_module(struct sample *s)
{
	struct module *m;
	int error;

	error = module_open(&m);
	if (!error)
		error = module_counters(m, &s->counters);
	if (!error)
		error = module_limits(m, &s->limits);
	module_close(m);
	return error;
}

static int sample_open(struct sample *s)
{
	int error;

	*s = (struct sample){ .when = shmux_now() };
	error = view_open(&s->view);
	if (error)
		return error;
	for (size_t i = 0; i < s->view.nr_sessions; i++)
		if (s->view.sessions[i].acceptor.facts.known)
			s->streams += s->view.sessions[i].acceptor.facts.streams;
	if (!s->view.module_error)
		s->view.module_error = ask_module(s);
	s->has_module = !s->view.module_error;
	return 0;
}

/* --- once --------------------------------------------------------------- */

static void print_line(const char *label, uint64_t number)
{
	printf("  %-12s%12" PRIu64 "\n", label, number);
}

static void print_sample(const struct sample *s)
{
	const struct module_limit *total = s->limits.of[SHMUX_SCOPE_TOTAL];

	printf("In this network namespace\n");
	print_line("listeners", s->view.nr_listeners);
	print_line("sessions", s->view.nr_sessions);
	print_line("streams", s->streams);
	printf("\n");
	view_print_module(&s->view);
	if (!s->has_module)
		return;
	printf("Of the kernel module, on this machine\n");
	for (int i = 0; i < SHMUX_NR_RESOURCES; i++)
		print_line(words_resources[i], total[i].used);
	for (int i = SHMUX_A_COUNTER_CONNECTS; i <= SHMUX_A_COUNTER_MAX; i++)
		print_line(counters[i], s->counters.of[i]);
}

/* What there is now, of the module's object the beginning. */
static void write_states(const struct sample *s)
{
	printf("\"listeners\": %zu, \"sessions\": %zu, \"streams\": %" PRIu64 ", ",
	       s->view.nr_listeners, s->view.nr_sessions, s->streams);
	if (!s->has_module) {
		printf("\"module\": null");
		return;
	}
	printf("\"module\": {");
	for (int i = 0; i < SHMUX_NR_RESOURCES; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", words_resources[i],
		       s->limits.of[SHMUX_SCOPE_TOTAL][i].used);
}

static void write_sample(const struct sample *s)
{
	printf("{");
	write_states(s);
	if (s->has_module) {
		for (int i = SHMUX_A_COUNTER_CONNECTS; i <= SHMUX_A_COUNTER_MAX; i++)
			printf(", \"%s\": %" PRIu64, counters[i], s->counters.of[i]);
		printf("}");
	}
	printf("}\n");
}

static int show_once(const struct options *o)
{
	struct sample s;
	int error;

	error = sample_open(&s);
	if (error)
		return say_cannot(error, NULL, "count");
	if (o->json)
		write_sample(&s);
	else
		print_sample(&s);
	view_close(&s.view);
	return SAY_DONE;
}

/* --- a second ----------------------------------------------------------- */

struct speed {
	double seconds;
	double slots;
	bool is_counted;		/* by the module, from one sample to the other */
	double of[SHMUX_A_COUNTER_MAX + 1];
};

/* Whether it is one module, not unloaded and loaded again, which counts from zero. */
static bool is_one_module(const struct sample *from, const struct sample *to)
{
	for (int i = SHMUX_A_COUNTER_CONNECTS; i <= SHMUX_A_COUNTER_MAX; i++)
		if (to->counters.of[i] < from->counters.of[i])
			return false;
	return from->has_module && to->has_module;
}

static struct speed speed_of(const struct sample *from, const struct sample *to)
{
	struct speed s = { .seconds = (to->when - from->when) / 1e9 };

	for (size_t i = 0; i < to->view.nr_sessions; i++)
		s.slots += rates_of(&from->view, &to->view.sessions[i], s.seconds).slots;
	s.is_counted = is_one_module(from, to);
	if (s.is_counted)
		for (int i = SHMUX_A_COUNTER_CONNECTS; i <= SHMUX_A_COUNTER_MAX; i++)
			s.of[i] = (to->counters.of[i] - from->counters.of[i]) / s.seconds;
	return s;
}

static void print_heading(void)
{
	printf("SESSIONS  STREAMS     SLOTS/S  CONNECTS/S     KICKS/S     WAITS/S    SLEEPS/S  "
	       "DEATHS/S\n");
}

static void print_speed(const struct sample *s, const struct speed *speed)
{
	printf("%8zu  %7" PRIu64, s->view.nr_sessions, s->streams);
	rates_print(stdout, 11, true, speed->slots);
	rates_print(stdout, 11, speed->is_counted, speed->of[SHMUX_A_COUNTER_CONNECTS]);
	rates_print(stdout, 11, speed->is_counted, speed->of[SHMUX_A_COUNTER_KICKS]);
	rates_print(stdout, 11, speed->is_counted, speed->of[SHMUX_A_COUNTER_WAITS]);
	rates_print(stdout, 11, speed->is_counted, speed->of[SHMUX_A_COUNTER_SLEEPS]);
	rates_print(stdout, 9, speed->is_counted, speed->of[SHMUX_A_COUNTER_DEATHS]);
	printf("\n");
}

static void write_speed(const struct sample *s, const struct speed *speed)
{
	printf("{\"seconds\": %.3f, \"slots_per_s\": %.1f, ", speed->seconds, speed->slots);
	write_states(s);
	if (s->has_module) {
		for (int i = SHMUX_A_COUNTER_CONNECTS; i <= SHMUX_A_COUNTER_MAX; i++)
			rates_write(stdout, counters[i], speed->is_counted, speed->of[i]);
		printf("}");
	}
	printf("}\n");
}

static int show_rates(const struct options *o)
{
	struct sample before, now;
	struct speed speed;
	int error;

	error = sample_open(&before);
	if (error)
		return say_cannot(error, NULL, "count");
	if (!o->json)
		view_print_module(&before.view);
	for (uint64_t i = 0; i < o->count; i++) {
		if (!o->json && i % LINES_A_HEADING == 0)
			print_heading();
		fflush(stdout);
		rates_sleep(o->interval);
		error = sample_open(&now);
		if (error)
			break;
		speed = speed_of(&before, &now);
		if (o->json)
			write_speed(&now, &speed);
		else
			print_speed(&now, &speed);
		view_close(&before.view);
		before = now;
		/* Nobody reads any more. */
		if (fflush(stdout))
			break;
	}
	view_close(&before.view);
	return error ? say_cannot(error, NULL, "count") : SAY_DONE;
}

int stat_main(int argc, char **argv)
{
	enum {
		COUNT = ARGS_LONG,
		JSON,
		HELP
	};
	static const struct option table[] = {
		{ "interval", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, COUNT },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .count = UINT64_MAX };
	int c;

	while ((c = getopt_long(argc, argv, ":i:", table, NULL)) != -1) {
		switch (c) {
		case 'i':
			if (args_interval("stat", optarg, &o.interval))
				return SAY_USAGE;
			break;
		case COUNT:
			if (args_count("stat", optarg, &o.count))
				return SAY_USAGE;
			break;
		case JSON:
			o.json = true;
			break;
		case HELP:
			fputs(usage, stdout);
			return SAY_DONE;
		default:
			return args_refuse("stat", c, argv);
		}
	}
	if (args_none("stat", argc, argv))
		return SAY_USAGE;
	return o.interval ? show_rates(&o) : show_once(&o);
}
