/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer_go.h - whether the program of the Go pairs was built
 */
#ifndef SHMUX_BENCH_PEER_GO_H
#define SHMUX_BENCH_PEER_GO_H

#include "case.h"

/* It is looked for beside the command. Return: see struct bench_table. */
const char *bench_go_absent(void);

#endif
