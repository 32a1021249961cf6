// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * usage.c - what the ends use of the machine while they are measured
 *
 * @near looks, at the beginning and at the end, at itself and at @far: nothing is
 * counted on the way. The clock is read after the one and before the other.
 */
#define _GNU_SOURCE
#include "usage.h"

#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "case.h"

double bench_cpu_of(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return NAN;
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

/* The number behind @key in a file of the kernel's. Return: 0 if there is none. */
static unsigned long long number_in(const char *path, const char *key)
{
	unsigned long long found = 0;
	size_t len = strlen(key);
	FILE *file = fopen(path, "re");
	char line[256];

	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, key, len))
			found = strtoull(line + len, NULL, 10);
	fclose(file);
	return found;
}

/* Return: 0 if it has ended meanwhile. */
static double sleeps_of_thread(pid_t pid, const char *tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", (int)pid, tid);
	return number_in(path, "voluntary_ctxt_switches:");
}

static uint64_t peak_of(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return number_in(path, "VmHWM:") * 1024;
}

double bench_sleeps_of(pid_t pid)
{
	struct dirent *entry;
	double sum = 0;
	char path[64];
	DIR *threads;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	threads = opendir(path);
	if (!threads)
		return NAN;
	while ((entry = readdir(threads)))
		if (isdigit((unsigned char)entry->d_name[0]))
			sum += sleeps_of_thread(pid, entry->d_name);
	closedir(threads);
	return sum;
}

static void look_at_clocks(const struct bench_run *run, struct bench_usage *usage)
{
	for (int end = 0; end < BENCH_NR_ENDS; end++)
		usage->cpu[end] = bench_cpu_of(run->pids[end]);
}

static void look_at_counts(const struct bench_run *run, struct bench_usage *usage)
{
	usage->kicks = run->kicks ? run->kicks() : NAN;
	usage->sleeps = bench_sleeps_of(run->pids[BENCH_NEAR]) +
			bench_sleeps_of(run->pids[BENCH_FAR]);
}

void bench_begin(struct bench_run *run)
{
	look_at_counts(run, &run->before);
	look_at_clocks(run, &run->before);
	run->begun = 1;
	run->from = run->last = bench_ticks();
	run->until = run->from + run->slice;
}

void bench_end(struct bench_run *run)
{
	run->ended = 1;
	look_at_clocks(run, &run->after);
	look_at_counts(run, &run->after);
	run->peak_bytes = peak_of(run->pids[BENCH_NEAR]) + peak_of(run->pids[BENCH_FAR]);
}
