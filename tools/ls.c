// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ls.c - `shmux ls`: who listens, and who is connected to whom
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "commands.h"
#include "say.h"
#include "view.h"

static const char usage[] =
	"Usage: shmux ls [OPTION]...\n"
	"\n"
	"Shows the listeners of this network namespace and the sessions that they have, and\n"
	"the sessions of parents with their children; those over memfd, and those over the\n"
	"kernel module if it is loaded.\n"
	"\n"
	"  --json  as one JSON object; what is not known is null\n"
	"  --help  show this text\n"
	"\n"
	"What we are not permitted to know shows as -; root sees all. QUEUED is the slots of\n"
	"64 bytes in each end's ring that the other end has not yet said to have consumed.\n"
	"shmux show tells more of a session by its NUMBER, and of a listener by its ADDRESS.\n";

static void print_number(bool known, unsigned long number, int width)
{
	if (known)
		printf("  %*lu", width, number);
	else
		printf("  %*s", width, "-");
}

static void widen(int *width, const char *address)
{
	if ((int)strlen(address) > *width)
		*width = strlen(address);
}

static void print_listeners(const struct view *v)
{
	int width = strlen("ADDRESS");

	if (!v->nr_listeners) {
		printf("Nobody listens.\n");
		return;
	}
	for (size_t i = 0; i < v->nr_listeners; i++)
		widen(&width, v->listeners[i].address);
	printf("Listening\n%-*s  %7s  %7s  OVER   COMMAND\n", width, "ADDRESS", "PID", "UID");
	for (size_t i = 0; i < v->nr_listeners; i++) {
		const struct view_listener *l = &v->listeners[i];
		const struct view_party *p = &l->party;

		printf("%-*s", width, view_address(l->address).text);
		print_number(p->pid, p->pid, 7);
		print_number(p->has_uid, p->uid, 7);
		printf("  %-5s  %s\n", view_over(l->over), p->command[0] ? p->command : "-");
	}
}

static void print_party(const struct view_party *p)
{
	print_number(p->pid, p->pid, 7);
	print_number(p->facts.known, p->facts.depth, 6);
	/* There is room for the beginning. */
	printf("  %-20.20s", view_command(p));
}

static void print_sessions(const struct view *v)
{
	int width = strlen("ADDRESS");

	if (!v->nr_sessions)
		return;
	for (size_t i = 0; i < v->nr_sessions; i++)
		widen(&width, v->sessions[i].address);
	printf("\nConnected\n%-*s  %7s  %6s  %-20s  %7s  %6s  %-20s  STREAMS  OVER    NUMBER  "
	       "STATE\n",
	       width, "ADDRESS", "PID", "QUEUED", "DIALLER", "PID", "QUEUED", "LISTENER");
	for (size_t i = 0; i < v->nr_sessions; i++) {
		const struct view_session *s = &v->sessions[i];

		printf("%-*s", width, view_address(s->address).text);
		print_party(&s->dialler);
		print_party(&s->acceptor);
		print_number(s->acceptor.facts.known, s->acceptor.facts.streams, 7);
		printf("  %-5s", view_over(s->over));
		print_number(s->over == VIEW_MODULE, s->module.number, 7);
		printf("  %s\n", view_state(s));
	}
}

int ls_main(int argc, char **argv)
{
	bool json;
	struct view v;
	int status, error;

	if (!args_json("ls", usage, argc, argv, &json, &status))
		return status;
	if (args_none("ls", argc, argv))
		return SAY_USAGE;
	error = view_open(&v);
	if (error)
		return say_cannot(error, NULL, "find out who listens");
	if (json) {
		view_write(stdout, &v);
	} else {
		print_listeners(&v);
		print_sessions(&v);
		if (v.module_error)
			printf("\n");
		view_print_module(&v);
	}
	view_close(&v);
	return SAY_DONE;
}
