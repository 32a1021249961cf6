// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * view_json.c - a view for scripts
 *
 * All members are always there, so that a script need not ask which are.
 */
#include "view.h"

#include "text.h"

static void write_number(FILE *out, const char *key, bool known, uint64_t number)
{
	if (known)
		fprintf(out, ", \"%s\": %ju", key, (uintmax_t)number);
	else
		fprintf(out, ", \"%s\": null", key);
}

static void write_word(FILE *out, const char *key, const char *word)
{
	fprintf(out, ", \"%s\": ", key);
	text_write_json(out, word);
}

static void write_address(FILE *out, const char *address)
{
	fprintf(out, "{\"address\": ");
	text_write_json(out, address[0] ? address : NULL);
}

static void write_party(FILE *out, const struct view_party *p)
{
	fprintf(out, "\"pid\": ");
	fprintf(out, p->pid ? "%d" : "null", (int)p->pid);
	write_number(out, "uid", p->has_uid, p->uid);
	write_word(out, "command", p->command[0] ? p->command : NULL);
}

static void write_mode(FILE *out, bool known, uint32_t mode)
{
	char text[16];

	snprintf(text, sizeof(text), "%04o", mode & 07777);
	write_word(out, "mode", known ? text : NULL);
}

void view_write_listener(FILE *out, const struct view_listener *l)
{
	const struct module_listener *m = &l->module;
	bool known = l->over & VIEW_MODULE;

	write_address(out, l->address);
	fprintf(out, ", ");
	write_party(out, &l->party);
	write_word(out, "over", view_over(l->over));
	write_number(out, "number", known, m->number);
	write_number(out, "gid", known, m->gid);
	write_number(out, "owner_uid", known, m->owner_uid);
	write_number(out, "owner_gid", known, m->owner_gid);
	write_mode(out, known, m->mode);
	write_number(out, "backlog", known, m->backlog);
	write_number(out, "waiting", known, m->queued);
	write_number(out, "accepted", known, m->accepted);
	write_number(out, "age_ns", known, m->age);
	fprintf(out, "}");
}

static void write_end(FILE *out, const char *key, const struct view_party *p,
		      const struct module_end *e)
{
	bool known = e->is_there;

	fprintf(out, ", \"%s\": {", key);
	write_party(out, p);
	write_number(out, "queued", p->facts.known, p->facts.depth);
	write_number(out, "ring_slots", p->facts.known, p->facts.slots);
	write_number(out, "gid", known, e->gid);
	write_number(out, "owner", known && e->owner, e->owner);
	write_number(out, "bytes", known, e->size);
	write_number(out, "resident", known, e->resident);
	write_number(out, "kicks", known, e->kicks);
	write_number(out, "waits", known, e->waits);
	write_number(out, "sleeps", known, e->sleeps);
	fprintf(out, "}");
}

void view_write_session(FILE *out, const struct view_session *s)
{
	static const char *const sides[] = { "dialler", "listener" };
	const struct module_session *m = &s->module;
	bool known = s->over & VIEW_MODULE;
	bool is_over = known && m->phase == SHMUX_PHASE_OVER;

	write_address(out, s->address);
	write_number(out, "streams", s->acceptor.facts.known, s->acceptor.facts.streams);
	write_word(out, "over", view_over(s->over));
	write_number(out, "number", known, m->number);
	write_word(out, "state", view_state(s));
	write_word(out, "by", is_over ? sides[m->side & 1] : NULL);
	write_number(out, "age_ns", known, m->age);
	write_end(out, sides[0], &s->dialler, &m->ends[0]);
	write_end(out, sides[1], &s->acceptor, &m->ends[1]);
	fprintf(out, "}");
}

void view_write(FILE *out, const struct view *v)
{
	fprintf(out, "{\"module\": %s,\n \"listeners\": [", v->module_error ? "false" : "true");
	for (size_t i = 0; i < v->nr_listeners; i++) {
		fprintf(out, i ? ",\n  " : "\n  ");
		view_write_listener(out, &v->listeners[i]);
	}
	fprintf(out, "],\n \"sessions\": [");
	for (size_t i = 0; i < v->nr_sessions; i++) {
		fprintf(out, i ? ",\n  " : "\n  ");
		view_write_session(out, &v->sessions[i]);
	}
	fprintf(out, "]}\n");
}
