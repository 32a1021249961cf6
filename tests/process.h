/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* process.h - what a test asks about a process: descriptors, memory, sleep */
#ifndef TESTS_PROCESS_H
#define TESTS_PROCESS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <unistd.h>

#include <shmux/common.h>

#define MSEC UINT64_C(1000000)	/* in ns, as deadlines are */
#define SEC UINT64_C(1000000000)

/* Nothing takes longer than this unless it hangs. */
#define LONG_ENOUGH (10 * SEC)

/* Wait until @cond holds. Value: whether it came to hold. */
#define wait_until(cond)                                                                  \
	({                                                                                \
		uint64_t until_ = shmux_now() + LONG_ENOUGH;                              \
		bool holds_;                                                              \
                                                                                          \
		while (!(holds_ = (cond)) && shmux_now() < until_)                        \
			usleep(200);                                                      \
		holds_;                                                                   \
	})

/* Number of descriptors below 4096 that this process has open. */
int process_nr_fds(void);

/* Proportional set size and resident set size of this process, in bytes. */
int64_t process_pss(void);
int64_t process_rss(void);

/* The state of the thread @tid of the process @pid: 'S', 'Z'...; or 0. */
char process_state(pid_t pid, pid_t tid);

/* Whether the thread @tid of the process @pid is asleep in the kernel. */
bool process_sleeps(pid_t pid, pid_t tid);

/* Whether that is the name of the program that the process runs. */
bool process_is_called(pid_t pid, const char *name);

/* Number of CPUs this process may run on. */
int process_nr_cpus(void);

/* From now on this thread, and whom it starts, run on the @nr-th of those alone. */
bool process_use_cpu(int nr);

/* Whether malloc is the address sanitizer's, which makes memory figures void. */
bool process_is_sanitized(void);

/* Whether memory has been lost so far; false where nobody can tell. */
bool process_leaks(void);

/* A name or a directory that no other test has. */
#define NAME_SIZE 64
void name_make(char name[NAME_SIZE]);
int directory_make(char path[NAME_SIZE]);
void directory_remove(const char *path);

#endif /* TESTS_PROCESS_H */
