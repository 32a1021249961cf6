// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * json.c - prints what was measured, for programs: man/shmux.1 tells the members
 */
#include "json.h"

#include <math.h>
#include <shmux/shmux.h>

#include "ends.h"

/* --- values --------------------------------------------------------------- */

static void print_text(FILE *out, const char *key, const char *value, const char *end)
{
	fprintf(out, "\"%s\": ", key);
	if (!value || !*value) {
		fprintf(out, "null%s", end);
		return;
	}
	fputc('"', out);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fputc('\\', out);
		if ((unsigned char)*value >= ' ')
			fputc(*value, out);
	}
	fprintf(out, "\"%s", end);
}

static void print_number(FILE *out, const char *key, double value, int digits, const char *end)
{
	if (isfinite(value))
		fprintf(out, "\"%s\": %.*f%s", key, digits, value, end);
	else
		fprintf(out, "\"%s\": null%s", key, end);
}

/* Of which 0 means none. */
static void print_key(FILE *out, const char *key, size_t value)
{
	print_number(out, key, value ? (double)value : NAN, 0, ", ");
}

/* --- rows ----------------------------------------------------------------- */

static void print_keys(const struct bench_case *bc, FILE *out)
{
	print_text(out, "system", bc->system, ", ");
	print_text(out, "test", bc->test, ", ");
	print_key(out, "bytes", bc->bytes);
	print_text(out, "wait", bc->wait, ", ");
	print_text(out, "path", bc->path, ", ");
	print_key(out, "batch", bc->batch);
	print_key(out, "streams", bc->streams);
	print_key(out, "sessions", bc->sessions);
	print_key(out, "threads", bc->threads);
	print_key(out, "depth", bc->depth);
	print_text(out, "placement", bc->placement, ", ");
}

static void print_row(const struct bench_result *r, FILE *out)
{
	double rate = bench_median(r, BENCH_RATE);

	fputc('{', out);
	print_keys(r->bc, out);
	print_number(out, "p50_ns", bench_median(r, BENCH_P50), 1, ", ");
	print_number(out, "p99_ns", bench_median(r, BENCH_P99), 1, ", ");
	print_number(out, "p999_ns", bench_median(r, BENCH_P999), 1, ", ");
	print_number(out, "max_ns", bench_most(r, BENCH_MAX), 1, ", ");
	print_number(out, "msgs_per_s", rate, 1, ", ");
	print_number(out, "bytes_per_s", r->bc->bytes ? rate * r->bc->bytes : NAN, 1, ", ");
	print_number(out, "near_cpu_ns", bench_median(r, BENCH_NEAR_CPU), 1, ", ");
	print_number(out, "far_cpu_ns", bench_median(r, BENCH_FAR_CPU), 1, ", ");
	print_number(out, "calls", bench_calls(r), 4, ", ");
	print_number(out, "sleeps", bench_median(r, BENCH_SLEEPS), 4, ", ");
	print_number(out, "kicks", bench_median(r, BENCH_KICKS), 4, ", ");
	print_number(out, "peak_bytes", r->peak_bytes ? r->peak_bytes : NAN, 0, ", ");
	print_number(out, "idle_bytes", r->idle_bytes ? r->idle_bytes : NAN, 0, ", ");
	print_number(out, "rounds", r->nr_rounds, 0, ", ");
	print_number(out, "messages", r->nr_messages, 0, "}");
}

static void print_absent(const struct bench_result *r, FILE *out)
{
	fputc('{', out);
	print_keys(r->bc, out);
	print_text(out, "why", r->absent, "}");
}

/* --- the whole ------------------------------------------------------------ */

static void print_machine(const struct bench_machine *machine, FILE *out)
{
	fputs("\"machine\": {", out);
	print_text(out, "cpu", machine->cpu, ", ");
	print_number(out, "cpus", machine->nr_cpus, 0, ", ");
	print_number(out, "memory", machine->memory, 0, ", ");
	fprintf(out, "\"virtual\": %s, ", machine->is_virtual ? "true" : "false");
	print_text(out, "kernel", machine->kernel, ", ");
	print_text(out, "arch", machine->arch, ", ");
	print_text(out, "governor", machine->governor, "},\n");
}

static void print_method(const struct bench *b, const struct bench_json_run *run, FILE *out)
{
	fputs("\"method\": {", out);
	print_text(out, "suite", run->suite, ", ");
	print_text(out, "level", run->level, ", ");
	print_number(out, "rounds", b->nr_rounds, 0, ", ");
	print_number(out, "seconds", b->took, 1, ", ");
	print_number(out, "slice", b->slice, 4, ", ");
	print_number(out, "warm_up", BENCH_WARM, 2, ", ");
	print_number(out, "others_busy", run->others, 2, ", ");
	print_text(out, "compiler", __VERSION__, ", ");
	print_text(out, "version", shmux_version(), "},\n");
}

static void print_list(const struct bench *b, const char *name, bool absent, FILE *out)
{
	const char *before = "\n";

	fprintf(out, "\"%s\": [", name);
	for (const struct bench_result *r = b->results; r < b->results + b->nr_results; r++) {
		if (absent ? !r->absent : r->absent || r->failed)
			continue;
		fputs(before, out);
		before = ",\n";
		(absent ? print_absent : print_row)(r, out);
	}
	fputs("\n]", out);
}

void bench_json_print(const struct bench *b, const struct bench_machine *machine,
		      const struct bench_json_run *run, FILE *out)
{
	fputs("{\n", out);
	print_machine(machine, out);
	print_method(b, run, out);
	print_list(b, "rows", false, out);
	fputs(",\n", out);
	print_list(b, "absent", true, out);
	fputs("\n}\n", out);
}
