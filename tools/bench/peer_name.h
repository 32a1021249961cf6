/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer_name.h - a name by which the ends of a library's sockets find each other
 *
 * It is new for each slice, and meant for the abstract namespace of AF_UNIX: nothing
 * is left of it when both ends are gone. @near listens, and @far then connects.
 */
#ifndef SHMUX_BENCH_PEER_NAME_H
#define SHMUX_BENCH_PEER_NAME_H

#include "case.h"

/* The setup. Takes fds[0]. */
int peer_name_setup(struct bench_run *run);

/* Writes @before and the name to @url. */
enum { PEER_URL_SIZE = 64 };
void peer_name_url(char url[PEER_URL_SIZE], const char *before);

/* @near: I listen. @far: waits for that. */
void peer_name_tell(struct bench_run *run);
void peer_name_await(struct bench_run *run);

#endif
