// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * report.c - prints what was measured; judges nothing
 */
#include "report.h"

#include <string.h>

static void print_time(FILE *out, double ns)
{
	if (!ns)
		fprintf(out, " %9s", "-");
	else if (ns < 10000)
		fprintf(out, " %6.0f ns", ns);
	else
		fprintf(out, " %6.1f us", ns / 1000);
}

static void print_rate(FILE *out, double rate, const char *unit)
{
	if (!rate)
		fprintf(out, " %8s %-4s", "-", "");
	else if (rate >= 1e9)
		fprintf(out, " %8.2f G%-3s", rate / 1e9, unit);
	else if (rate >= 1e6)
		fprintf(out, " %8.2f M%-3s", rate / 1e6, unit);
	else
		fprintf(out, " %8.2f k%-3s", rate / 1e3, unit);
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

/* --- the table ------------------------------------------------------------ */

static void print_row(const struct bench_result *r, FILE *out)
{
	const struct bench_case *bc = r->bc;

	print_keys(bc, out);
	print_time(out, bench_p50(r));
	print_time(out, bench_p99(r));
	print_rate(out, bench_rate(r), "/s");
	print_rate(out, bench_rate(r) * bc->bytes, "B/s");
	fputc('\n', out);
}

void bench_report_table(const struct bench *b, FILE *out)
{
	print_key_titles(out);
	fprintf(out, " %9s %9s %13s %13s\n", "p50", "p99", "messages", "payload");
	for (unsigned int i = 0; i < b->nr_results; i++)
		if (b->results[i].nr_rounds)
			print_row(&b->results[i], out);
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
		fprintf(out, "%s%u rows of %s are absent: %s.\n", before, nr, r->bc->system,
			r->absent);
		before = "";
	}
}

/* --- JSON ----------------------------------------------------------------- */

static void json_string(FILE *out, const char *key, const char *value)
{
	if (value)
		fprintf(out, "\"%s\": \"%s\", ", key, value);
	else
		fprintf(out, "\"%s\": null, ", key);
}

/* A figure that is 0 was not measured. */
static void json_number(FILE *out, const char *key, double value, int digits, const char *end)
{
	if (value)
		fprintf(out, "\"%s\": %.*f%s", key, digits, value, end);
	else
		fprintf(out, "\"%s\": null%s", key, end);
}

void bench_report_json(const struct bench *b, FILE *out)
{
	const char *before = "[\n";

	for (unsigned int i = 0; i < b->nr_results; i++) {
		const struct bench_result *r = &b->results[i];
		const struct bench_case *bc = r->bc;

		if (!r->nr_rounds)
			continue;
		fprintf(out, "%s{", before);
		before = ",\n";
		json_string(out, "system", bc->system);
		json_string(out, "test", bc->test);
		json_number(out, "bytes", bc->bytes, 0, ", ");
		json_string(out, "wait", bc->wait);
		json_string(out, "path", bc->path);
		json_number(out, "batch", bc->batch, 0, ", ");
		json_string(out, "placement", bc->placement);
		json_number(out, "p50_ns", bench_p50(r), 1, ", ");
		json_number(out, "p99_ns", bench_p99(r), 1, ", ");
		json_number(out, "msgs_per_s", bench_rate(r), 1, ", ");
		json_number(out, "bytes_per_s", bench_rate(r) * bc->bytes, 1, "}");
	}
	fputs(*before == '[' ? "[]\n" : "\n]\n", out);
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

/* The column's best figure, wherever its ends ran. */
static double best(const struct bench *b, const struct column *column, const char *test,
		   size_t bytes)
{
	bool rtt = !strcmp(test, "rtt");
	double found = 0;

	for (unsigned int i = 0; i < b->nr_results; i++) {
		const struct bench_result *r = &b->results[i];
		double figure = rtt ? bench_p50(r) : bench_rate(r) * bytes;

		if (strcmp(r->bc->system, column->system) || strcmp(r->bc->wait, column->wait) ||
		    strcmp(r->bc->test, test) || r->bc->bytes != bytes || !figure)
			continue;
		if (!found || (rtt ? figure < found : figure > found))
			found = figure;
	}
	return found;
}

void bench_report_brief(const struct bench *b, FILE *out)
{
	static const size_t sizes[] = { 64, 4096, 65536 };
	const size_t nr_columns = sizeof(columns) / sizeof(*columns);
	const size_t nr_sizes = sizeof(sizes) / sizeof(*sizes);

	fprintf(out, "%-20s", "");
	for (size_t c = 0; c < nr_columns; c++)
		fprintf(out, " %16s", columns[c].title);
	fputc('\n', out);
	for (size_t i = 0; i < 2 * nr_sizes; i++) {
		bool rtt = i < nr_sizes;
		size_t bytes = sizes[i % nr_sizes];

		if (!rtt && bytes == 4096)
			continue;
		fprintf(out, "%5zu B %-12s", bytes, rtt ? "round trip" : "one way");
		for (size_t c = 0; c < nr_columns; c++) {
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
