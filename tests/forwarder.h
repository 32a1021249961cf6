/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* forwarder.h - a `shmux forward` that runs beside the test, as it was built */
#ifndef TESTS_FORWARDER_H
#define TESTS_FORWARDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct forwarder {
	pid_t pid; /* 0: none, or it has been waited for */
	int err; /* reads its standard error */
	char address[128]; /* that it listens on, with the port that it got */
};

/*
 * Start it, and wait until it listens. @nr_files: descriptors it may have open, 0: as
 * many as we. @option: or NULL. Return: 0, or -1.
 */
int forwarder_start(struct forwarder *f, const char *listen, const char *target, const char *option,
		    unsigned int nr_files);

/* Where the command is that was built with this program. Return: 0, or -1. */
int forwarder_tool(char path[256]);

/* Wait until it has left. Return: its status, 128 and the signal if it was killed; or -1. */
int forwarder_wait(struct forwarder *f);

/* Tell it so, and wait. */
int forwarder_end(struct forwarder *f, int signal);

/* Whether it says that on standard error, in due time: what it said before is gone. */
bool forwarder_says(struct forwarder *f, const char *words);

/* Ask it how many connections are open. Return: -1 if it does not say. */
int forwarder_nr_open(struct forwarder *f);

/* Resident memory, bytes; time it has run, ns. */
int64_t forwarder_rss(const struct forwarder *f);
uint64_t forwarder_cpu(const struct forwarder *f);

#endif /* TESTS_FORWARDER_H */
