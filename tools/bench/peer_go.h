/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer_go.h - the Go pairs, and whether their program was built
 */
#ifndef SHMUX_BENCH_PEER_GO_H
#define SHMUX_BENCH_PEER_GO_H

#include "case.h"

/* Where it is looked for: beside the command. */
const char *bench_go_program(void);
bool bench_go_is_there(void);

#endif
