// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * noise.c - tells how idle the machine was beside us
 */
#include "noise.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double cpu_of(int who)
{
	struct rusage usage;

	getrusage(who, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

void noise_begin(struct noise *now)
{
	unsigned long long user, nice, system, idle, iowait, irq, soft, steal;
	struct timespec ts;
	FILE *stat;

	now->busy = 0;
	stat = fopen("/proc/stat", "re");
	if (stat) {
		if (fscanf(stat, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice,
			   &system, &idle, &iowait, &irq, &soft, &steal) == 8)
			now->busy = (double)(user + nice + system + irq + soft + steal) /
				    sysconf(_SC_CLK_TCK);
		fclose(stat);
	}
	now->ours = cpu_of(RUSAGE_SELF) + cpu_of(RUSAGE_CHILDREN);
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now->at = ts.tv_sec + ts.tv_nsec * 1e-9;
}

double noise_end(const struct noise *since)
{
	struct noise now;
	double others;

	noise_begin(&now);
	others = (now.busy - since->busy) - (now.ours - since->ours);
	return others > 0 && now.at > since->at ? others / (now.at - since->at) : 0;
}
