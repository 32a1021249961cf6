/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * view.h - who listens and who is connected to whom, as far as it can be known
 *
 * Over memfd there is nobody to ask: it is put together from what the kernel
 * shows of sockets, processes and mappings. The module is asked (nl.h). A listener
 * that has its name in both is one listener here.
 */
#ifndef SHMUX_TOOLS_VIEW_H
#define SHMUX_TOOLS_VIEW_H

#include <shmux/common.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "nl.h"
#include "regions.h"

enum {
	VIEW_MEMFD = 1,
	VIEW_MODULE = 2,
};

struct view_party {
	pid_t pid;			/* 0: not known */
	bool has_uid;
	uid_t uid;
	char command[96];		/* empty: not known */
	struct region_facts facts;	/* of a session's end */
};

struct view_listener {
	char address[SHMUX_ADDRESS_MAX];
	unsigned int over;		/* VIEW_MEMFD, VIEW_MODULE or both */
	struct view_party party;
	struct module_listener module;	/* with VIEW_MODULE */
};

struct view_session {
	char address[SHMUX_ADDRESS_MAX]; /* empty: a pair, without an address */
	unsigned int over;		/* VIEW_MEMFD or VIEW_MODULE */
	struct view_party dialler, acceptor;
	struct module_session module;	/* with VIEW_MODULE */
};

/* Sorted by address, then the module's by number, and the others by pids. */
struct view {
	int module_error;		/* 0: the module has answered */
	struct view_listener *listeners;
	struct view_session *sessions;
	size_t nr_listeners, nr_sessions;
};

/* Return: 0 or -errno. That the module cannot be asked is no error. */
int view_open(struct view *v);
void view_close(struct view *v);

/*
 * The session of @v that @s, of another view, may be by what views are sorted by;
 * or NULL. Numbers and pids come again.
 */
const struct view_session *view_find(const struct view *v, const struct view_session *s);

/* An event's session, alone. */
struct view_session view_session_of(const struct module_session *module);

/*
 * Leave only what @what names: the session of this number, and a listener's
 * address, with its sessions; kmod:NAME and memfd:NAME insist on one kind.
 */
void view_keep(struct view *v, const char *what);

/* --- words -------------------------------------------------------------- */

/* Fit for a terminal. */
struct view_address {
	char text[SHMUX_ADDRESS_MAX];
};

/* An address, to be used within one expression; or "-". */
struct view_address view_address(const char *address);

/* The command without the directories of its program, or "-". */
const char *view_command(const struct view_party *p);

/* "memfd", "kmod" or "both". */
const char *view_over(unsigned int over);

/* "open", "queued", "lone", "joined", "died", "hung up", "refused", "nobody". */
const char *view_state(const struct view_session *s);

/* That the module could not be asked, as a sentence, if so. */
void view_print_module(const struct view *v);

/* --- JSON --------------------------------------------------------------- */

/* What is not known is null. Neither writes the comma before it or a newline. */
void view_write_listener(FILE *out, const struct view_listener *l);
void view_write_session(FILE *out, const struct view_session *s);

/* All, as one object on several lines. */
void view_write(FILE *out, const struct view *v);

#endif /* SHMUX_TOOLS_VIEW_H */
