// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * machine.c - tells what machine this is
 */
#include "machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static void copy(char *to, size_t size, const char *text)
{
	snprintf(to, size, "%.*s", (int)strcspn(text, "\n"), text);
}

/* What follows the colon of a line "KEY<blanks>: VALUE"; NULL if it is another's. */
static const char *value_of(const char *line, const char *key)
{
	const char *colon = strchr(line, ':');

	if (!colon || strncmp(line, key, strlen(key)))
		return NULL;
	return colon + 1 + strspn(colon + 1, " ");
}

static void look_at_cpu(struct bench_machine *machine)
{
	const char *value;
	char line[4096];
	FILE *in;

	in = fopen("/proc/cpuinfo", "re");
	if (!in)
		return;
	while (fgets(line, sizeof(line), in)) {
		value = value_of(line, "model name");
		if (value && !machine->cpu[0])
			copy(machine->cpu, sizeof(machine->cpu), value);
		value = value_of(line, "flags");
		if (value && strstr(value, " hypervisor"))
			machine->is_virtual = true;
	}
	fclose(in);
}

static void look_at_governor(struct bench_machine *machine)
{
	char line[64];
	FILE *in;

	in = fopen("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "re");
	if (!in)
		return;
	if (fgets(line, sizeof(line), in))
		copy(machine->governor, sizeof(machine->governor), line);
	fclose(in);
}

void bench_machine_look(struct bench_machine *machine)
{
	struct utsname name;

	*machine = (struct bench_machine){
		.nr_cpus = sysconf(_SC_NPROCESSORS_ONLN),
		.memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE),
	};
	look_at_cpu(machine);
	look_at_governor(machine);
	if (!uname(&name)) {
		snprintf(machine->kernel, sizeof(machine->kernel), "%s %s", name.sysname,
			 name.release);
		copy(machine->arch, sizeof(machine->arch), name.machine);
	}
}
