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
#include "measure.h"
#include "noise.h"
#include "peer_go.h"
#include "report.h"
#include "say.h"

static const struct bench_case *const tables[] = {
	bench_limit_cacheline,
	bench_limit_ring_small,
	bench_limit_ring_copy,
	bench_limit_ring_oneway,
	bench_limit_record,
	bench_limit_stream,
	bench_limit_eventfd,
	bench_limit_futex,
	bench_limit_pipe,
	bench_peer_af_unix,
	bench_shmux_rtt,
	bench_shmux_oneway,
	bench_shmux_churn,
	bench_shmux_stalled,
	NULL,
};

static const struct bench_case *const yamux_tables[] = {
	bench_yamux_floor,
	bench_yamux_rtt,
	bench_yamux_churn,
	bench_yamux_oneway,
	bench_peer_go,
	NULL,
};

#define NOISY 0.1		/* CPUs busy with others' work: said, from there on */
/* What the command line wants. NULL: all. */
struct wish {
	bool yamux;	/* that suite, not the usual one */
	const char *test, *system, *json;
	enum bench_level level;
	bool list, help;
};

static const char usage[] =
	"Usage: shmux bench [yamux] [--quick] [--json FILE] [--test NAME] [--system NAME] [--list]\n"
	"\n"
	"Measures shmux beside the limits of this machine and beside AF_UNIX and a pipe,\n"
	"in one run, between two processes; every payload byte is written and read. Ends\n"
	"with the goals, and which were met. Figures mean most on an idle machine.\n"
	"With 'yamux': a session over a socketpair beside hashicorp/yamux in Go, and\n"
	"beside the socketpair itself.\n"
	"\n"
	"  --quick        take less than 15 s instead of about a minute\n"
	"  --json FILE    also write the rows to FILE (-: to standard output, the table\n"
	"                 then goes to standard error)\n"
	"  --test NAME    only the rows of that test\n"
	"  --system NAME  only the rows of that system\n"
	"  --list         print the rows that would be measured, and measure nothing\n"
	"  --help         show this text\n";

static const struct bench_case *const *tables_of(const struct wish *wish)
{
	return wish->yamux ? yamux_tables : tables;
}

static bool wanted(const struct wish *wish, const struct bench_case *bc)
{
	return bc->level <= wish->level &&
	       (!wish->test || !strcmp(wish->test, bc->test)) &&
	       (!wish->system || !strcmp(wish->system, bc->system));
}

/* Whether some row's test or system, as @offset says, is @name. */
static bool exists(const struct wish *wish, const char *name, size_t offset)
{
	for (const struct bench_case *const *t = tables_of(wish); *t; t++)
		for (const struct bench_case *bc = *t; bc->system; bc++)
			if (!strcmp(name, *(const char *const *)((const char *)bc + offset)))
				return true;
	return false;
}

static int parse(struct wish *wish, int argc, char **argv)
{
	enum { QUICK = ARGS_LONG, JSON, TEST, SYSTEM, LIST, HELP };
	static const struct option options[] = {
		{ "quick", no_argument, NULL, QUICK },
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

/* Rows that are wanted and cannot be measured. */
struct missing {
	unsigned int nr_cpus, nr_go;
};

static struct missing choose(struct bench *b, const struct wish *wish)
{
	struct missing missing = { 0 };

	for (const struct bench_case *const *t = tables_of(wish); *t; t++) {
		for (const struct bench_case *bc = *t; bc->system; bc++) {
			if (!wanted(wish, bc))
				continue;
			if (*t == bench_peer_go && !bench_go_is_there())
				missing.nr_go++;
			else if (!bench_add(b, bc))
				missing.nr_cpus++;
		}
	}
	return missing;
}

static void tell_missing(const struct missing *missing, FILE *out)
{
	if (missing->nr_cpus)
		fprintf(out, "\n%u rows want two CPUs, and we may use only one.\n",
			missing->nr_cpus);
	if (missing->nr_go)
		fprintf(out, "\n%u rows of Go are missing: there is no %s.\n"
			     "'make bench-go' builds it where golang-go and "
			     "golang-github-hashicorp-yamux-dev are installed.\n",
			missing->nr_go, bench_go_program());
}

static void list(const struct wish *wish)
{
	printf("%-8s %-11s %6s %-8s %-8s %5s %s\n", "system", "test", "bytes", "wait", "path",
	       "batch", "placement");
	for (const struct bench_case *const *t = tables_of(wish); *t; t++) {
		for (const struct bench_case *bc = *t; bc->system; bc++) {
			if (!wanted(wish, bc))
				continue;
			printf("%-8s %-11s ", bc->system, bc->test);
			printf(bc->bytes ? "%6zu " : "     - ", bc->bytes);
			printf("%-8s %-8s ", bc->wait, bc->path ? bc->path : "-");
			printf(bc->batch ? "%5u " : "    - ", bc->batch);
			printf("%s\n", bc->placement);
		}
	}
}

/* What is no row: measured if all of shmux is. */
static void measure_beside(struct bench *b, bool quick)
{
	bench_count_calls(b, &bench_shmux_rtt[0], &b->calls_rtt);
	bench_count_calls(b, &bench_shmux_oneway[0], &b->calls_oneway);
	bench_watch_idle(b, &bench_shmux_idle, quick ? 2 : 10);
}

/* Of the rows with two CPUs: what each call costs depends on the machine, not how many. */
static void measure_beside_yamux(struct bench *b)
{
	bench_count_calls(b, &bench_yamux_rtt[1], &b->calls_rtt);
	bench_count_calls(b, &bench_yamux_churn[1], &b->calls_churn);
}

static int run(const struct wish *wish, FILE *json)
{
	static struct bench b;
	FILE *out = json == stdout ? stderr : stdout;
	struct missing missing;
	struct noise noise;
	double others;
	int error;

	error = bench_open(&b);
	if (error)
		return say_cannot(error, NULL, "get memory for the benchmark");
	noise_begin(&noise);
	b.nr_rounds = wish->level == BENCH_QUICK ? 5 : 9;
	b.seconds = wish->level == BENCH_QUICK ? 9.5 : 48;
	missing = choose(&b, wish);
	if (b.nr_results)
		bench_run_rounds(&b);
	if (wish->yamux && !wish->test && (!wish->system || !strcmp(wish->system, "yamux")))
		measure_beside_yamux(&b);
	else if (!wish->yamux && !wish->test && (!wish->system || !strcmp(wish->system, "shmux")))
		measure_beside(&b, wish->level == BENCH_QUICK);
	others = noise_end(&noise);
	bench_report_table(&b, out);
	tell_missing(&missing, out);
	if (!wish->test && wish->yamux && (!wish->system || !strcmp(wish->system, "yamux")))
		bench_goals_print_yamux(&b, out);
	else if (!wish->test && !wish->system)
		bench_goals_print(&b, out);
	if (others > NOISY)
		fprintf(out, "\nThe machine was not quiet: others kept %.2f CPUs busy meanwhile.\n",
			others);
	if (json)
		bench_report_json(&b, json);
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
	if (wish.list) {
		list(&wish);
		return SAY_DONE;
	}
	/* Before the minute is spent. */
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
	bool rtt = !strcmp(bc->test, "rtt"), oneway = !strcmp(bc->test, "oneway");

	return (rtt || oneway) && strcmp(bc->placement, "free") && strcmp(bc->path, "zerocopy") &&
	       strcmp(bc->wait, "adaptive") && bc->batch <= 1 && bc->bytes >= 64;
}

int bench_brief(FILE *out, double seconds)
{
	static struct bench b;
	int error;

	error = bench_open(&b);
	if (error)
		return say_cannot(error, NULL, "get memory for the benchmark");
	b.nr_rounds = 3;
	b.seconds = seconds;
	for (const struct bench_case *const *t = tables; *t; t++)
		for (const struct bench_case *bc = *t; bc->system; bc++)
			if (is_brief(bc))
				bench_add(&b, bc);
	bench_run_rounds(&b);
	bench_report_brief(&b, out);
	bench_close(&b);
	return b.failed ? SAY_FAILED : SAY_DONE;
}
