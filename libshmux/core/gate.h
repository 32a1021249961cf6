/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gate.h - who connects to a name, until they have a session
 *
 * Strangers can connect at will, and say nothing. So clients are bounded; who
 * has the most loses its oldest, and a flood of one user's costs that user only.
 * When descriptors run out, clients make way too; if there is none left, the
 * doors are left alone for a while, and who connects waits in their backlogs.
 * The death of a client that has not said hello, while a child of its has the
 * socket too, is found by looking now and then.
 *
 * Under the lock of the listener's.
 */
#ifndef SHMUX_CORE_GATE_H
#define SHMUX_CORE_GATE_H

#include <shmux/listener.h>

#include "base/list.h"
#include "core/address.h"
#include "core/loop.h"
#include "region/endpoint.h"

#define SHMUX_GATE_BUCKETS 64

struct shmux__gate;

/* By which they come in. */
struct shmux__door {
	struct shmux__watched watched;
	struct shmux__gate *g;
	int fd;
	const char *address;		/* what it stands for, in full */
	struct shmux__endpoint endpoint;	/* unless it is the module's */
	bool by_module;
};

/* A name has two doors; a port one for each address of the host's. */
#define SHMUX_GATE_DOORS 8

struct shmux__gate {
	/* Set before open; they outlive it. */
	struct shmux__loop *loop;
	struct shmux__address *address;	/* gets the port that the kernel chose */
	const struct shmux_listener_options *options;
	const struct shmux_session_options *session_options;
	/* A client has got a session, which is the callee's. */
	void (*admitted)(void *arg, struct shmux_session *s);
	void *arg;

	/* Private. */
	struct shmux__door doors[SHMUX_GATE_DOORS];
	uint32_t nr_doors;
	struct shmux__watched timer_watched;
	int timer_fd;
	bool rests;			/* does not look at the doors */
	struct shmux_list clients;	/* in order of age */
	uint32_t nr_clients;
	uint32_t buckets[SHMUX_GATE_BUCKETS];	/* how many clients, by user */
	uint64_t log_since;		/* when the second began */
	uint32_t nr_sentences;		/* in this second, also those not said */
};

/* Take the name and watch it. Return: 0 or -errno. */
int shmux__gate_open(struct shmux__gate *g);

/* Drop who has no session yet, and let the name go. */
void shmux__gate_close(struct shmux__gate *g);

#endif /* SHMUX_CORE_GATE_H */
