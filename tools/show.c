// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * show.c - `shmux show`: all that is known of a session or a listener
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>

#include "args.h"
#include "commands.h"
#include "say.h"
#include "units.h"
#include "view.h"

static const char usage[] =
	"Usage: shmux show [OPTION]... NUMBER\n"
	"       shmux show [OPTION]... ADDRESS\n"
	"\n"
	"Shows in full the session of that NUMBER, as shmux ls tells it, or the listener on that\n"
	"ADDRESS and its sessions. kmod:NAME and memfd:NAME insist on one kind. Sessions over\n"
	"memfd have no number, and less is known of them.\n"
	"\n"
	"  --json  as one JSON object; what is not known is null\n"
	"  --help  show this text\n";

static void print_word(const char *label, const char *word)
{
	printf("  %-11s%s\n", label, word);
}

static void print_party(const char *label, const struct view_party *p)
{
	if (p->pid)
		printf("  %-11s%d  %s\n", label, (int)p->pid, p->command[0] ? p->command : "-");
	else
		print_word(label, "-");
	if (p->has_uid)
		printf("    %-9s%u\n", "uid", (unsigned int)p->uid);
}

static void print_module_listener(const struct module_listener *m)
{
	printf("    %-9s%u\n", "gid", m->gid);
	printf("  %-11s%04o, uid %u, gid %u\n", "admits", m->mode & 0777, m->owner_uid,
	       m->owner_gid);
	printf("  %-11s%u of %u\n", "waiting", m->queued, m->backlog);
	printf("  %-11s%ju\n", "accepted", (uintmax_t)m->accepted);
	printf("  %-11s%s\n", "age", units_age(m->age).text);
}

static void print_listener(const struct view_listener *l)
{
	printf("Listener\n");
	print_word("address", view_address(l->address).text);
	print_word("over", view_over(l->over));
	print_party("process", &l->party);
	if (l->over & VIEW_MODULE)
		print_module_listener(&l->module);
}

static void print_end(const char *label, const struct view_party *p, const struct module_end *e)
{
	print_party(label, p);
	if (e->is_there) {
		printf("    %-9s%u\n", "gid", e->gid);
		if (e->owner && e->owner != e->pid)
			printf("    %-9s%d\n", "owner", (int)e->owner);
		printf("    %-9s%s, %s of it there\n", "region", units_bytes(e->size).text,
		       units_bytes(e->resident).text);
		printf("    %-9s%ju\n", "kicks", (uintmax_t)e->kicks);
		printf("    %-9s%ju, of which %ju slept\n", "waits", (uintmax_t)e->waits,
		       (uintmax_t)e->sleeps);
	}
	if (p->facts.known)
		printf("    %-9s%u of %u slots\n", "queued", p->facts.depth, p->facts.slots);
}

static void print_session(const struct view_session *s)
{
	const struct module_session *m = &s->module;

	if (s->over == VIEW_MODULE)
		printf("Session %u\n", m->number);
	else
		printf("Session\n");
	print_word("address", s->address[0] ? view_address(s->address).text : "- (a pair)");
	print_word("over", view_over(s->over));
	if (s->over != VIEW_MODULE || m->phase != SHMUX_PHASE_OVER)
		print_word("state", view_state(s));
	else if (m->cause == SHMUX_CAUSE_NOBODY)
		print_word("state", "over: nobody was left to accept");
	else
		printf("  %-11sover: the %s %s\n", "state", m->side ? "listener" : "dialler",
		       view_state(s));
	if (s->over == VIEW_MODULE)
		print_word("age", units_age(m->age).text);
	if (s->acceptor.facts.known)
		printf("  %-11s%u\n", "streams", s->acceptor.facts.streams);
	print_end("dialler", &s->dialler, &m->ends[0]);
	print_end("listener", &s->acceptor, &m->ends[1]);
}

static void print(const struct view *v)
{
	for (size_t i = 0; i < v->nr_listeners; i++) {
		if (i)
			printf("\n");
		print_listener(&v->listeners[i]);
	}
	for (size_t i = 0; i < v->nr_sessions; i++) {
		if (i || v->nr_listeners)
			printf("\n");
		print_session(&v->sessions[i]);
	}
	if (v->module_error)
		printf("\n");
	view_print_module(v);
}

static int fail(const char *what, int module_error)
{
	const char *why = module_reason(module_error);
	char reason[200] = "no session has this number, and nobody listens by this name";

	if (module_error)
		snprintf(reason, sizeof(reason), "nobody listens there over memfd, and %s",
			 why ? why : "the kernel module does not answer");
	return say_cannot(ENOENT, reason, "find '%s'", what);
}

static int show(const char *what, bool json)
{
	int error, status = SAY_DONE;
	struct view v;

	error = view_open(&v);
	if (error)
		return say_cannot(error, NULL, "find out who listens");
	view_keep(&v, what);
	if (!v.nr_listeners && !v.nr_sessions)
		status = fail(what, v.module_error);
	else if (json)
		view_write(stdout, &v);
	else
		print(&v);
	view_close(&v);
	return status;
}

int show_main(int argc, char **argv)
{
	bool json;
	const char *what;
	int status;

	if (!args_json("show", usage, argc, argv, &json, &status))
		return status;
	if (args_operand("show", "ADDRESS or NUMBER", argc, argv, &what))
		return SAY_USAGE;
	return show(what, json);
}
