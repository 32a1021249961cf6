// SPDX-License-Identifier: LGPL-2.1-or-later
/* process.c - answers about processes, mostly from /proc */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "process.h"

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Not by /proc/self/fd, which a process that changed its user cannot read. */
int process_nr_fds(void)
{
	int nr = 0;

	for (int fd = 0; fd < 4096; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

/* The sum of the lines of smaps_rollup that begin with @key, in bytes. */
static int64_t smaps_sum(const char *key)
{
	FILE *file = fopen("/proc/self/smaps_rollup", "re");
	char line[256];
	long long kib;
	int64_t sum = 0;

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		if (!strncmp(line, key, strlen(key)) &&
		    sscanf(line + strlen(key), "%lld", &kib) == 1)
			sum += kib * 1024;
	}
	fclose(file);
	return sum;
}

int64_t process_pss(void)
{
	return smaps_sum("Pss:");
}

int64_t process_rss(void)
{
	return smaps_sum("Rss:");
}

/* The first line of a file of a process, or nothing. */
static void proc_read(char line[256], pid_t pid, pid_t tid, const char *what)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, what);
	file = fopen(path, "re");
	if (!file || !fgets(line, 256, file))
		line[0] = 0;
	if (file)
		fclose(file);
}

char process_state(pid_t pid, pid_t tid)
{
	char line[256], *end;

	proc_read(line, pid, tid, "stat");
	/* pid (name) state ...: the name may hold anything, even ')'. */
	end = strrchr(line, ')');
	return (char)(end && end[1] ? end[2] : 0);
}

bool process_sleeps(pid_t pid, pid_t tid)
{
	return process_state(pid, tid) == 'S';
}

bool process_is_called(pid_t pid, const char *name)
{
	char line[256];

	proc_read(line, pid, pid, "comm");
	line[strcspn(line, "\n")] = 0;
	return !strcmp(line, name);
}

int process_nr_cpus(void)
{
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return 1;
	return CPU_COUNT(&cpus);
}

bool process_use_cpu(int nr)
{
	cpu_set_t cpus, one;
	int cpu;

	if (sched_getaffinity(0, sizeof(cpus), &cpus))
		return false;
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &cpus) && !nr--)
			break;
	if (cpu == CPU_SETSIZE)
		return false;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return !sched_setaffinity(0, sizeof(one), &one);
}

bool process_is_sanitized(void)
{
	return SANITIZED;
}

/* The sanitizer's; it is there only in a build with it. */
extern int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

bool process_leaks(void)
{
	return SANITIZED && __lsan_do_recoverable_leak_check &&
	       __lsan_do_recoverable_leak_check() != 0;
}

void name_make(char name[NAME_SIZE])
{
	static unsigned int nr;

	snprintf(name, NAME_SIZE, "shmux-test-%d-%u", getpid(), nr++);
}

int directory_make(char path[NAME_SIZE])
{
	snprintf(path, NAME_SIZE, "/tmp/shmux-test-XXXXXX");
	return mkdtemp(path) ? 0 : -1;
}

void directory_remove(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(path);
}
