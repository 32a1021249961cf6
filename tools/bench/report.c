// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * report.c - prints what was measured, for people; judges nothing
 */
#include "report.h"

#include <math.h>
#include <string.h>

#include "ends.h"

static void print_time(FILE *out, double ns)
{
	if (isnan(ns))
		fprintf(out, " %9s", "-");
	else if (ns < 10000)
		fprintf(out, " %6.0f ns", ns);
	else if (ns < 1e7)
		fprintf(out, " %6.1f us", ns / 1e3);
	else
		fprintf(out, " %6.1f ms", ns / 1e6);
}

static void print_rate(FILE *out, double rate, const char *unit)
{
	if (!(rate > 0))
		fprintf(out, " %7s %-4s", "-", "");
	else if (rate >= 1e9)
		fprintf(out, " %7.2f G%-3s", rate / 1e9, unit);
	else if (rate >= 1e6)
		fprintf(out, " %7.2f M%-3s", rate / 1e6, unit);
	else
		fprintf(out, " %7.2f k%-3s", rate / 1e3, unit);
}

static void print_count(FILE *out, double count)
{
	if (isnan(count))
		fprintf(out, " %8s", "-");
	else
		fprintf(out, count < 100 ? " %8.3f" : " %8.0f", count);
}

/* --- machine and method --------------------------------------------------- */

void bench_report_method(const struct bench *b, const struct bench_machine *machine, FILE *out)
{
	fprintf(out, "%s, %u CPUs, %.1f GB, %s %s%s, governor %s\n",
		machine->cpu[0] ? machine->cpu : "a CPU of no name", machine->nr_cpus,
		machine->memory / 1e9, machine->kernel, machine->arch,
		machine->is_virtual ? ", virtual" : "",
		machine->governor[0] ? machine->governor : "unknown");
	fprintf(out, "%u rounds, in each a slice of %.3f s of every row, or as long as it needs; "
		     "%.0f %% of a slice is warm-up\n\n",
		b->nr_rounds, b->slice, BENCH_WARM * 100);
	fflush(out);
}

/* --- the keys of a row ---------------------------------------------------- */

/* How many of what there are at once, where it is not one of each. */
static void print_many(const struct bench_case *bc, FILE *out)
{
	const struct {
		unsigned int nr;
		const char *format;
	} many[] = {
		{ bc->batch, "batch %u" },	 { bc->streams, "%u streams" },
		{ bc->sessions, "%u sessions" }, { bc->threads, "%u threads" },
		{ bc->depth, "depth %u" },
	};
	char text[80] = "-";
	int len = 0;

	for (size_t i = 0; i < sizeof(many) / sizeof(*many); i++) {
		if (!many[i].nr)
			continue;
		if (len)
			len += snprintf(text + len, sizeof(text) - len, ", ");
		len += snprintf(text + len, sizeof(text) - len, many[i].format, many[i].nr);
	}
	fprintf(out, " %-13s", text);
}

static void print_key_titles(FILE *out)
{
	fprintf(out, "%-9s %-11s %8s %-8s %-8s %-13s %-9s", "system", "test", "bytes", "wait",
		"path", "at once", "placement");
}

static void print_keys(const struct bench_case *bc, FILE *out)
{
	fprintf(out, "%-9s %-11s", bc->system, bc->test);
	fprintf(out, bc->bytes ? " %8zu" : "        -", bc->bytes);
	fprintf(out, " %-8s %-8s", bc->wait, bc->path ? bc->path : "-");
	print_many(bc, out);
	fprintf(out, " %-9s", bc->placement);
}

void bench_report_list(const struct bench *b, FILE *out)
{
	print_key_titles(out);
	fputc('\n', out);
	for (unsigned int i = 0; i < b->nr_results; i++) {
		if (b->results[i].absent)
			continue;
		print_keys(b->results[i].bc, out);
		fputc('\n', out);
	}
	bench_report_absent(b, out);
}

/* --- the tables ----------------------------------------------------------- */

static void print_times(const struct bench_result *r, FILE *out)
{
	double rate = bench_median(r, BENCH_RATE);

	print_keys(r->bc, out);
	print_time(out, bench_median(r, BENCH_P50));
	print_time(out, bench_median(r, BENCH_P99));
	print_time(out, bench_median(r, BENCH_P999));
	print_time(out, bench_most(r, BENCH_MAX));
	print_rate(out, rate, "/s");
	print_rate(out, rate * r->bc->bytes, "B/s");
	fputc('\n', out);
}

static void print_costs(const struct bench_result *r, FILE *out)
{
	print_keys(r->bc, out);
	print_time(out, bench_median(r, BENCH_NEAR_CPU));
	print_time(out, bench_median(r, BENCH_FAR_CPU));
	print_count(out, bench_calls(r));
	print_count(out, bench_median(r, BENCH_SLEEPS));
	print_count(out, bench_median(r, BENCH_KICKS));
	fputc('\n', out);
}

void bench_report_table(const struct bench *b, FILE *out)
{
	const struct bench_result *r, *end = b->results + b->nr_results;

	print_key_titles(out);
	fprintf(out, " %9s %9s %9s %9s %12s %12s\n", "p50", "p99", "p99.9", "max", "rate",
		"payload");
	for (r = b->results; r < end; r++)
		if (r->nr_rounds)
			print_times(r, out);

	fputs("\nWhat a message costs: CPU time; system calls and sleeps of both sides; doorbells\n"
	      "that the near side has sent or was woken by. A round trip is two messages.\n", out);
	print_key_titles(out);
	fprintf(out, " %9s %9s %8s %8s %8s\n", "near CPU", "far CPU", "calls", "sleeps", "kicks");
	for (r = b->results; r < end; r++)
		if (r->nr_rounds)
			print_costs(r, out);
}

/* --- what is absent ------------------------------------------------------- */

static bool is_alike(const struct bench_result *x, const struct bench_result *y)
{
	return x->absent && y->absent && !strcmp(x->bc->system, y->bc->system) &&
	       !strcmp(x->absent, y->absent);
}

/* Return: how many rows are absent as @r is; 0 if @r is not the first of them. */
static unsigned int nr_absent(const struct bench *b, const struct bench_result *r)
{
	unsigned int nr = 0;

	for (const struct bench_result *x = b->results; x < b->results + b->nr_results; x++) {
		if (!is_alike(x, r))
			continue;
		if (x < r)
			return 0;
		nr++;
	}
	return nr;
}

void bench_report_absent(const struct bench *b, FILE *out)
{
	const char *before = "\n";

	for (const struct bench_result *r = b->results; r < b->results + b->nr_results; r++) {
		unsigned int nr = nr_absent(b, r);

		if (!nr)
			continue;
		fprintf(out, "%s%u %s of %s absent: %s.\n", before, nr,
			nr == 1 ? "row" : "rows", r->bc->system, r->absent);
		before = "";
	}
}

/* --- side by side --------------------------------------------------------- */

struct column {
	const char *title, *system, *wait;
};

static const struct column columns[] = {
	{ "shmux, spinning", "shmux", "spin" },
	{ "shmux, sleeping", "shmux", "block" },
	{ "AF_UNIX", "af_unix", "block" },
	{ "pipe", "pipe", "block" },
};

static const size_t sizes[] = { 64, 4096, 65536 };

enum {
	NR_COLUMNS = sizeof(columns) / sizeof(*columns),
	NR_SIZES = sizeof(sizes) / sizeof(*sizes),
};

static bool is_of(const struct bench_case *bc, const struct column *column, const char *test,
		  size_t bytes)
{
	return !strcmp(bc->system, column->system) && !strcmp(bc->wait, column->wait) &&
	       !strcmp(bc->test, test) && bc->bytes == bytes;
}

bool bench_report_is_brief(const struct bench_case *bc)
{
	for (int i = 0; i < NR_COLUMNS * NR_SIZES; i++) {
		const struct column *column = &columns[i / NR_SIZES];
		size_t bytes = sizes[i % NR_SIZES];

		if (is_of(bc, column, "rtt", bytes) || is_of(bc, column, "oneway", bytes))
			return true;
	}
	return false;
}

/* The column's best figure, wherever its ends ran; NAN if there is none. */
static double best(const struct bench *b, const struct column *column, const char *test,
		   size_t bytes)
{
	bool rtt = !strcmp(test, "rtt");
	double found = NAN;

	for (unsigned int i = 0; i < b->nr_results; i++) {
		const struct bench_result *r = &b->results[i];
		double figure = rtt ? bench_median(r, BENCH_P50) :
				      bench_median(r, BENCH_RATE) * bytes;

		if (!is_of(r->bc, column, test, bytes) || isnan(figure))
			continue;
		if (isnan(found) || (rtt ? figure < found : figure > found))
			found = figure;
	}
	return found;
}

void bench_report_brief(const struct bench *b, FILE *out)
{
	fprintf(out, "%-20s", "");
	for (int c = 0; c < NR_COLUMNS; c++)
		fprintf(out, " %16s", columns[c].title);
	fputc('\n', out);
	for (int i = 0; i < 2 * NR_SIZES; i++) {
		bool rtt = i < NR_SIZES;
		size_t bytes = sizes[i % NR_SIZES];

		if (!rtt && bytes == 4096)
			continue;
		fprintf(out, "%5zu B %-12s", bytes, rtt ? "round trip" : "one way");
		for (int c = 0; c < NR_COLUMNS; c++) {
			double figure = best(b, &columns[c], rtt ? "rtt" : "oneway", bytes);

			fprintf(out, "    ");
			if (rtt)
				fprintf(out, "   "), print_time(out, figure);
			else
				print_rate(out, figure, "B/s");
		}
		fputc('\n', out);
	}
}
