// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * view.c - see view.h; view_json.c writes it for scripts
 */
#include "view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "procs.h"
#include "sockets.h"
#include "text.h"

/* What it is put together from. */
struct sources {
	struct sockets sockets;
	struct regions regions;
	struct procs_holder *holders;
	size_t nr_holders;
};

static struct view_party party_of(pid_t pid)
{
	struct view_party p = { .pid = pid };

	if (pid) {
		procs_command(pid, p.command, sizeof(p.command));
		p.has_uid = !procs_uid(pid, &p.uid);
	}
	return p;
}

/* @all with room for one more, or NULL. */
static void *grow(void *all, size_t nr, size_t size)
{
	/* In steps: 8, 16, 32... */
	if (nr && (nr < 8 || nr & (nr - 1)))
		return all;
	return realloc(all, (nr < 8 ? 8 : 2 * nr) * size);
}

static int add_listener(struct view *v, const struct view_listener *l)
{
	struct view_listener *all = grow(v->listeners, v->nr_listeners, sizeof(*all));

	if (!all)
		return -ENOMEM;
	v->listeners = all;
	all[v->nr_listeners++] = *l;
	return 0;
}

static int add_session(struct view *v, const struct view_session *s)
{
	struct view_session *all = grow(v->sessions, v->nr_sessions, sizeof(*all));

	if (!all)
		return -ENOMEM;
	v->sessions = all;
	all[v->nr_sessions++] = *s;
	return 0;
}

/* --- over memfd --------------------------------------------------------- */

static int find_holders(struct sources *src)
{
	src->holders = calloc(2 * src->sockets.nr + 1, sizeof(*src->holders));
	if (!src->holders)
		return -ENOMEM;
	for (size_t i = 0; i < src->sockets.nr; i++) {
		src->holders[src->nr_holders++].inode = src->sockets.all[i].inode;
		if (src->sockets.all[i].peer)
			src->holders[src->nr_holders++].inode = src->sockets.all[i].peer;
	}
	procs_find_holders(src->holders, src->nr_holders);
	return 0;
}

static pid_t holder_of(const struct sources *src, unsigned int inode)
{
	return inode ? procs_holder_of(src->holders, src->nr_holders, inode) : 0;
}

static int add_socket(struct view *v, const struct sources *src, const struct socket *socket)
{
	struct view_party holder = party_of(holder_of(src, socket->inode));
	struct view_listener l = { .over = VIEW_MEMFD };
	struct view_session s = { .over = VIEW_MEMFD };

	if (!holder.has_uid && socket->has_uid) {
		holder.has_uid = true;
		holder.uid = socket->uid;
	}
	if (socket->listens) {
		memcpy(l.address, socket->address, sizeof(l.address));
		l.party = holder;
		return add_listener(v, &l);
	}
	memcpy(s.address, socket->address, sizeof(s.address));
	s.acceptor = holder;
	s.dialler = party_of(holder_of(src, socket->peer));
	if (s.acceptor.pid && s.dialler.pid)
		regions_look(&src->regions, REGION_OF_MEMFD, s.acceptor.pid, s.dialler.pid,
			     &s.acceptor.facts, &s.dialler.facts);
	return add_session(v, &s);
}

static unsigned int count_sessions(const struct view *v, pid_t a, pid_t b)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < v->nr_sessions; i++) {
		pid_t x = v->sessions[i].acceptor.pid, y = v->sessions[i].dialler.pid;

		nr += (x == a && y == b) || (x == b && y == a);
	}
	return nr;
}

/* Sessions over pairs of sockets have no address to be found by. */
static int add_attached(struct view *v, const struct sources *src, pid_t a, pid_t b)
{
	unsigned int nr = regions_count(&src->regions, REGION_OF_MEMFD, a, b);
	int error = 0;

	for (unsigned int i = count_sessions(v, a, b); i < nr && !error; i++) {
		struct view_session s = { .over = VIEW_MEMFD };

		s.acceptor = party_of(a);
		s.dialler = party_of(b);
		regions_look(&src->regions, REGION_OF_MEMFD, a, b, &s.acceptor.facts,
			     &s.dialler.facts);
		error = add_session(v, &s);
	}
	return error;
}

/* A session's two regions name the same two processes: one of them is enough. */
static int add_all_attached(struct view *v, const struct sources *src)
{
	const struct region *r = src->regions.all;
	int error = 0;

	for (size_t i = 0; i < src->regions.nr && !error; i++)
		if (r[i].maker == REGION_OF_MEMFD && r[i].owner <= r[i].reader)
			error = add_attached(v, src, r[i].owner, r[i].reader);
	return error;
}

/* --- over the module ---------------------------------------------------- */

static struct view_party module_party(pid_t pid, uint32_t uid, bool is_dead)
{
	struct view_party p = { .pid = pid };

	/* Somebody else may have a dead one's pid by now. */
	if (!is_dead)
		p = party_of(pid);
	p.has_uid = true;
	p.uid = uid;
	return p;
}

struct view_session view_session_of(const struct module_session *module)
{
	struct view_session s = { .over = VIEW_MODULE, .module = *module };
	struct view_party *parties[] = { &s.dialler, &s.acceptor };

	strcpy(s.address, module->name);
	for (uint32_t i = 0; i < 2; i++) {
		const struct module_end *e = &module->ends[i];

		if (e->is_there)
			*parties[i] = module_party(e->pid, e->uid,
						   module->cause == SHMUX_CAUSE_DEATH &&
							   module->side == i);
	}
	return s;
}

static int add_module_session(struct view *v, const struct sources *src,
			      const struct module_session *module)
{
	struct view_session s = view_session_of(module);
	pid_t dialler = module->ends[0].owner, acceptor = module->ends[1].owner;

	/* One that is over stays until both let go; who knows whose the pids are by now? */
	if (module->phase == SHMUX_PHASE_OVER)
		s.dialler.command[0] = s.acceptor.command[0] = '\0';
	/* A dead one's pid may name two who talk to each other by now. */
	if (dialler && acceptor && module->phase == SHMUX_PHASE_OPEN)
		regions_look(&src->regions, REGION_OF_MODULE, acceptor, dialler, &s.acceptor.facts,
			     &s.dialler.facts);
	return add_session(v, &s);
}

/* The same name may be one user's here and another's there. */
static bool is_one(const struct view_listener *memfd, const struct module_listener *module)
{
	const struct view_party *p = &memfd->party;

	if (strcmp(memfd->address, module->name))
		return false;
	/* Whose socket it is is not shown to everybody; then it is the user that tells. */
	return p->pid ? p->pid == module->pid : p->has_uid && p->uid == module->uid;
}

static int add_module_listener(struct view *v, const struct module_listener *module)
{
	struct view_listener l = { .over = VIEW_MODULE, .module = *module };

	l.party = module_party(module->pid, module->uid, false);
	for (size_t i = 0; i < v->nr_listeners; i++) {
		struct view_listener *known = &v->listeners[i];

		if (is_one(known, module)) {
			known->over |= VIEW_MODULE;
			known->module = *module;
			known->party = l.party;
			return 0;
		}
	}
	strcpy(l.address, module->name);
	return add_listener(v, &l);
}

static int add_module(struct view *v, const struct sources *src, struct module *m)
{
	struct module_listener *listeners = NULL;
	struct module_session *sessions = NULL;
	size_t nr_listeners, nr_sessions, i;
	int error = 0;

	v->module_error = module_listeners(m, &listeners, &nr_listeners);
	if (!v->module_error)
		v->module_error = module_sessions(m, &sessions, &nr_sessions);
	if (!v->module_error) {
		for (i = 0; i < nr_listeners && !error; i++)
			error = add_module_listener(v, &listeners[i]);
		for (i = 0; i < nr_sessions && !error; i++)
			error = add_module_session(v, src, &sessions[i]);
	}
	free(listeners);
	free(sessions);
	return error;
}

/* --- all ---------------------------------------------------------------- */

static int compare_pids(pid_t a, pid_t b)
{
	return (a > b) - (a < b);
}

static int compare_listeners(const void *a, const void *b)
{
	const struct view_listener *x = a, *y = b;
	int d = strcmp(x->address, y->address);

	return d ? d : compare_pids(x->party.pid, y->party.pid);
}

static int compare_sessions(const void *a, const void *b)
{
	const struct view_session *x = a, *y = b;
	int d = strcmp(x->address, y->address);

	if (!d)
		d = (int)x->over - (int)y->over;
	/* Numbers tell the module's apart, and who is at an end may change. */
	if (!d && x->over == VIEW_MODULE)
		return (x->module.number > y->module.number) -
		       (x->module.number < y->module.number);
	if (!d)
		d = compare_pids(x->acceptor.pid, y->acceptor.pid);
	return d ? d : compare_pids(x->dialler.pid, y->dialler.pid);
}

static int gather(struct view *v, struct sources *src, struct module *m)
{
	int error;

	error = sockets_open(&src->sockets);
	if (!error)
		error = regions_open(&src->regions);
	if (!error)
		error = find_holders(src);
	for (size_t i = 0; i < src->sockets.nr && !error; i++)
		error = add_socket(v, src, &src->sockets.all[i]);
	if (!error)
		error = add_all_attached(v, src);
	if (!error && m)
		error = add_module(v, src, m);
	if (error)
		return error;
	if (v->nr_listeners)
		qsort(v->listeners, v->nr_listeners, sizeof(*v->listeners), compare_listeners);
	if (v->nr_sessions)
		qsort(v->sessions, v->nr_sessions, sizeof(*v->sessions), compare_sessions);
	return 0;
}

int view_open(struct view *v)
{
	struct sources src = { 0 };
	struct module *m;
	int error;

	*v = (struct view){ 0 };
	v->module_error = module_open(&m);
	error = gather(v, &src, m);
	module_close(m);
	sockets_close(&src.sockets);
	regions_close(&src.regions);
	free(src.holders);
	if (error)
		view_close(v);
	return error;
}

void view_close(struct view *v)
{
	free(v->listeners);
	free(v->sessions);
	*v = (struct view){ 0 };
}

const struct view_session *view_find(const struct view *v, const struct view_session *s)
{
	if (!v->nr_sessions)
		return NULL;
	return bsearch(s, v->sessions, v->nr_sessions, sizeof(*s), compare_sessions);
}

/* --- choosing ----------------------------------------------------------- */

/* Is @address, of something over these, what is meant? */
static bool is_meant(const char *what, const char *address, unsigned int over)
{
	if (!address[0])
		return false;
	if (!strcmp(what, address))
		return true;
	if (!strncmp(what, "kmod:", 5))
		return over & VIEW_MODULE && !strcmp(what + 5, address);
	return !strncmp(what, "memfd:", 6) && over & VIEW_MEMFD && !strcmp(what + 6, address);
}

static bool has_number(const struct view_session *s, const char *what)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", s->module.number);
	return s->over == VIEW_MODULE && !strcmp(number, what);
}

void view_keep(struct view *v, const char *what)
{
	size_t nr = 0, i;

	for (i = 0; i < v->nr_listeners; i++)
		if (is_meant(what, v->listeners[i].address, v->listeners[i].over))
			v->listeners[nr++] = v->listeners[i];
	v->nr_listeners = nr;
	for (i = nr = 0; i < v->nr_sessions; i++)
		if (is_meant(what, v->sessions[i].address, v->sessions[i].over) ||
		    has_number(&v->sessions[i], what))
			v->sessions[nr++] = v->sessions[i];
	v->nr_sessions = nr;
}

/* --- words -------------------------------------------------------------- */

struct view_address view_address(const char *address)
{
	struct view_address a;

	snprintf(a.text, sizeof(a.text), "%s", *address ? address : "-");
	text_make_printable(a.text);
	return a;
}

const char *view_command(const struct view_party *p)
{
	const char *from = p->command;

	for (const char *c = from; *c && *c != ' '; c++)
		if (*c == '/')
			from = c + 1;
	return *from ? from : "-";
}

const char *view_over(unsigned int over)
{
	switch (over) {
	case VIEW_MEMFD:
		return "memfd";
	case VIEW_MODULE:
		return "kmod";
	default:
		return "both";
	}
}

static const char *cause(uint32_t cause)
{
	switch (cause) {
	case SHMUX_CAUSE_HANG_UP:
		return "hung up";
	case SHMUX_CAUSE_DEATH:
		return "died";
	case SHMUX_CAUSE_REFUSAL:
		return "refused";
	case SHMUX_CAUSE_NOBODY:
		return "nobody";
	default:
		return "over";
	}
}

const char *view_state(const struct view_session *s)
{
	if (s->over == VIEW_MEMFD)
		return "open";
	switch (s->module.phase) {
	case SHMUX_PHASE_LONE:
		return "lone";
	case SHMUX_PHASE_QUEUED:
		return "queued";
	case SHMUX_PHASE_JOINED:
		return "joined";
	case SHMUX_PHASE_OPEN:
		return "open";
	default:
		return cause(s->module.cause);
	}
}

void view_print_module(const struct view *v)
{
	const char *reason = module_reason(v->module_error);

	if (v->module_error)
		printf("Over memfd alone: %s.\n", reason ? reason : strerror(-v->module_error));
}
