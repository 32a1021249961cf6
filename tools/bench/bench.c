// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * bench.c - the `shmux bench` command: which cases, and where to report
 */
#include "bench.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "args.h"
#include "goals.h"
#include "json.h"
#include "machine.h"
#include "measure.h"
#include "noise.h"
#include "peer_absent.h"
#include "report.h"
#include "say.h"
#include "shmux_sessions.h"

static const struct bench_table tables[] = {
	{ bench_limit_cacheline },
	{ bench_limit_ring_small },
	{ bench_limit_ring_copy },
	{ bench_limit_ring_oneway },
	{ bench_limit_record },
	{ bench_limit_stream },
	{ bench_limit_eventfd },
	{ bench_limit_futex },
	{ bench_limit_pipe },
	{ bench_peer_af_unix },
	{ bench_peer_seqpacket },
	{ bench_peer_tcp },
	{ bench_peer_shm },
	{ bench_peer_mq, bench_mq_absent },
	{ bench_peer_mq_large, bench_mq_large_absent },
	{ bench_peer_zeromq, bench_zeromq_absent },
	{ bench_peer_nng, bench_nng_absent },
	{ bench_peer_go_yamux, bench_go_yamux_absent },
	{ bench_peer_go_smux, bench_go_smux_absent },
	{ bench_peer_mass, bench_peer_mass_absent },
	{ bench_shmux_rtt },
	{ bench_shmux_oneway },
	{ bench_shmux_churn },
	{ bench_shmux_stalled },
	{ bench_shmux_streams },
	{ bench_shmux_sessions },
	{ bench_shmux_sessions_many, bench_sessions_many_absent },
	{ bench_shmux_sessions_most, bench_sessions_most_absent },
	{ bench_shmux_threads },
	{ bench_shmux_slow },
	{ bench_shmux_flood },
	{ bench_shmux_mass },
	{ bench_shmux_open },
	{ bench_shmux_dial },
	{ 0 }
};

static const struct bench_table yamux_tables[] = {
	{ bench_yamux_floor },
	{ bench_yamux_rtt },
	{ bench_yamux_churn },
	{ bench_yamux_oneway },
	{ bench_yamux_go, bench_go_yamux_absent },
	{ 0 }
};

#define NOISY 0.1		/* CPUs busy with others' work: said, from there on */

/* How much time a run spends. */
static const struct effort {
	const char *name;
	unsigned int nr_rounds;
	double seconds;		/* of the rounds; 0: each slice as long as is of use */
	double slice;		/* how long that is */
	double idle;		/* seconds that an idle session is watched */
} efforts[] = {
	[BENCH_QUICK] = { "quick", 5, 40, 0.1, 2 },
	[BENCH_USUAL] = { "usual", 5, 200, 0.2, 10 },
	[BENCH_FULL] = { "full", 9, 0, 0.2, 10 },
};

/* What the command line wants. NULL: all. */
struct wish {
	bool yamux;	/* that suite, not the usual one */
	const char *test, *system, *json;
	enum bench_level level;
	bool list, help;
};

static const char usage[] =
	"Usage: shmux bench [yamux] [--quick|--full] [--json FILE] [--test NAME]\n"
	"                   [--system NAME] [--list]\n"
	"\n"
	"Measures shmux beside the limits of this machine and beside what else there is,\n"
	"in one run, between two processes; every payload byte is written and read. Ends\n"
	"with the goals, and which were met. Figures mean most on an idle machine.\n"
	"With 'yamux': a session over a socketpair beside hashicorp/yamux in Go, and\n"
	"beside the socketpair itself.\n"
	"\n"
	"  --quick        fewer rows, in less than a minute instead of about five\n"
	"  --full         every row, however long it takes\n"
	"  --json FILE    also write the rows to FILE (-: to standard output, the table\n"
	"                 then goes to standard error)\n"
	"  --test NAME    only the rows of that test, with --quick too as many as without\n"
	"  --system NAME  only the rows of that system\n"
	"  --list         print the rows that would be measured, and measure nothing\n"
	"  --help         show this text\n";

static const struct bench_table *tables_of(const struct wish *wish)
{
	return wish->yamux ? yamux_tables : tables;
}

/* Who names a test has most of its rows, however short the run. */
static enum bench_level level_of(const struct wish *wish)
{
	return wish->level < BENCH_USUAL && wish->test ? BENCH_USUAL : wish->level;
}

static bool wanted(const struct wish *wish, const struct bench_case *bc)
{
	return bc->level <= level_of(wish) &&
	       (!wish->test || !strcmp(wish->test, bc->test)) &&
	       (!wish->system || !strcmp(wish->system, bc->system));
}

/* Whether some row's test or system, as @offset says, is @name. */
static bool exists(const struct wish *wish, const char *name, size_t offset)
{
	for (const struct bench_table *t = tables_of(wish); t->cases; t++)
		for (const struct bench_case *bc = t->cases; bc->system; bc++)
			if (!strcmp(name, *(const char *const *)((const char *)bc + offset)))
				return true;
	return false;
}

static int parse(struct wish *wish, int argc, char **argv)
{
	enum { QUICK = ARGS_LONG, FULL, JSON, TEST, SYSTEM, LIST, HELP };
	static const struct option options[] = {
		{ "quick", no_argument, NULL, QUICK },
		{ "full", no_argument, NULL, FULL },
		{ "json", required_argument, NULL, JSON },
		{ "test", required_argument, NULL, TEST },
		{ "system", required_argument, NULL, SYSTEM },
		{ "list", no_argument, NULL, LIST },
		{ "help", no_argument, NULL, HELP },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (c) {
		case QUICK:
			wish->level = BENCH_QUICK;
			break;
		case FULL:
			wish->level = BENCH_FULL;
			break;
		case JSON:
			wish->json = optarg;
			break;
		case TEST:
			wish->test = optarg;
			break;
		case SYSTEM:
			wish->system = optarg;
			break;
		case LIST:
			wish->list = true;
			break;
		case HELP:
		case 'h':
			wish->help = true;
			return 0;
		default:
			return args_refuse("bench", c, argv);
		}
	}
	if (optind < argc && !strcmp(argv[optind], "yamux")) {
		wish->yamux = true;
		optind++;
	}
	if (optind < argc)
		return say_usage("bench", "it takes 'yamux' and options only", "take '%s'",
				 argv[optind]);
	if (wish->test && !exists(wish, wish->test, offsetof(struct bench_case, test)))
		return say_usage("bench", "there is no such test", "take '%s' for --test",
				 wish->test);
	if (wish->system && !exists(wish, wish->system, offsetof(struct bench_case, system)))
		return say_usage("bench", "there is no such system", "take '%s' for --system",
				 wish->system);
	return 0;
}

/* Asks whether the rows are absent only if some is wanted: to know may load a library. */
static int add_table(struct bench *b, const struct wish *wish, const struct bench_table *t)
{
	const char *absent = NULL;
	bool asked = !t->absent;
	int error = 0;

	for (const struct bench_case *bc = t->cases; !error && bc->system; bc++) {
		if (!wanted(wish, bc))
			continue;
		if (!asked)
			absent = t->absent();
		asked = true;
		error = bench_add(b, bc, absent);
	}
	return error;
}

static int choose(struct bench *b, const struct wish *wish)
{
	int error = 0;

	for (const struct bench_table *t = tables_of(wish); !error && t->cases; t++)
		error = add_table(b, wish, t);
	return error;
}

/* Of all rows, or of those that a goal needs. */
static void count_calls(struct bench *b, bool all)
{
	for (struct bench_result *r = b->results; r < b->results + b->nr_results; r++)
		if (!r->absent && !r->failed && (all || bench_goals_count_calls(r->bc)))
			bench_count_calls(b, r);
}

static void measure(struct bench *b, const struct wish *wish)
{
	bench_run_rounds(b);
	count_calls(b, wish->level > BENCH_QUICK);
	/* No row: measured if all of shmux is. */
	if (!wish->yamux && !wish->test && (!wish->system || !strcmp(wish->system, "shmux")))
		bench_watch_idle(b, &bench_shmux_idle, efforts[wish->level].idle);
}

static void report(const struct bench *b, const struct wish *wish, double others, FILE *out)
{
	bench_report_table(b, out);
	bench_report_absent(b, out);
	if (!wish->test && wish->yamux && (!wish->system || !strcmp(wish->system, "yamux")))
		bench_goals_print_yamux(b, out);
	else if (!wish->test && !wish->system)
		bench_goals_print(b, out);
	if (others > NOISY)
		fprintf(out, "\nThe machine was not quiet: others kept %.2f CPUs busy meanwhile.\n",
			others);
}

static int run(const struct wish *wish, FILE *json)
{
	const struct effort *effort = &efforts[wish->level];
	static struct bench b;
	struct bench_machine machine;
	struct bench_json_run how = { wish->yamux ? "yamux" : "shmux", effort->name, 0 };
	FILE *out = json == stdout ? stderr : stdout;
	struct noise noise;
	int error;

	b.nr_rounds = effort->nr_rounds;
	b.seconds = effort->seconds;
	b.longest = effort->slice;
	error = bench_open(&b);
	if (!error)
		error = choose(&b, wish);
	if (error)
		return say_cannot(error, NULL, "get memory for the benchmark");
	bench_plan(&b);
	bench_machine_look(&machine);
	if (wish->list) {
		bench_report_list(&b, out);
	} else {
		bench_report_method(&b, &machine, out);
		noise_begin(&noise);
		measure(&b, wish);
		how.others = noise_end(&noise);
		report(&b, wish, how.others, out);
	}
	if (json)
		bench_json_print(&b, &machine, &how, json);
	bench_close(&b);
	return b.failed ? SAY_FAILED : SAY_DONE;
}

int bench_main(int argc, char **argv)
{
	struct wish wish = { .level = BENCH_USUAL };
	FILE *json = NULL;
	int status;

	status = parse(&wish, argc, argv);
	if (status)
		return status;
	if (wish.help) {
		fputs(usage, stdout);
		return SAY_DONE;
	}
	/* Before the minutes are spent. */
	if (wish.json) {
		json = !strcmp(wish.json, "-") ? stdout : fopen(wish.json, "we");
		if (!json)
			return say_cannot(errno, NULL, "write to '%s'", wish.json);
	}
	status = run(&wish, json);
	if (json && json != stdout) {
		errno = 0;
		if (ferror(json) | fclose(json))
			return say_cannot(errno ? errno : EIO, NULL, "write to '%s'", wish.json);
	}
	return status;
}

/* The rows of the small table. */
static bool is_brief(const struct bench_case *bc)
{
	return bc->level == BENCH_QUICK && bench_report_is_brief(bc) &&
	       strcmp(bc->placement, "free") && strcmp(bc->path, "zerocopy") && bc->batch <= 1 &&
	       !bench_many(bc);
}

int bench_brief(FILE *out, double seconds)
{
	static struct bench b;
	int error;

	error = bench_open(&b);
	for (const struct bench_table *t = tables; !error && t->cases; t++)
		for (const struct bench_case *bc = t->cases; !error && bc->system; bc++)
			if (is_brief(bc) && !(t->absent && t->absent()))
				error = bench_add(&b, bc, NULL);
	if (error)
		return say_cannot(error, NULL, "get memory for the benchmark");
	b.nr_rounds = 3;
	b.seconds = seconds;
	b.longest = efforts[BENCH_USUAL].slice;
	bench_plan(&b);
	bench_run_rounds(&b);
	bench_report_brief(&b, out);
	bench_close(&b);
	return b.failed ? SAY_FAILED : SAY_DONE;
}
