/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * shmux_sessions.h - whether there can be as many sessions as that
 */
#ifndef SHMUX_BENCH_SHMUX_SESSIONS_H
#define SHMUX_BENCH_SHMUX_SESSIONS_H

#include "case.h"

/* Of bench_shmux_sessions_many, and of _most. Return: see struct bench_table. */
const char *bench_sessions_many_absent(void);
const char *bench_sessions_most_absent(void);

#endif
