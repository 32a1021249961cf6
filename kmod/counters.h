/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: counters of the whole machine
 *
 * One a CPU, added up when somebody asks (netlink.c). An unsigned long each: on
 * a machine of 32 bits they wrap.
 */
#ifndef KMOD_COUNTERS_H
#define KMOD_COUNTERS_H

#include <linux/percpu.h>

#include <linux/shmux_netlink.h>

/**
 * struct shmux_counters - one CPU's part
 * @nr: by attribute
 */
struct shmux_counters {
	unsigned long nr[SHMUX_A_COUNTER_MAX + 1];
};

DECLARE_PER_CPU(struct shmux_counters, shmux_counters);

/**
 * shmux_count() - one more
 * @what: of which
 */
static inline void shmux_count(enum shmux_a_counter what)
{
	this_cpu_inc(shmux_counters.nr[what]);
}

#endif /* KMOD_COUNTERS_H */
