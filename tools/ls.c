// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ls.c - `shmux ls`: who listens, and who is connected to whom
 *
 * There is no daemon to ask: it is put together from what the kernel shows of
 * sockets, processes and mappings, as far as it shows them to us.
 */
#include <errno.h>
#include <shmux/common.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "commands.h"
#include "procs.h"
#include "regions.h"
#include "say.h"
#include "sockets.h"
#include "text.h"

static const char usage[] =
	"Usage: shmux ls [OPTION]...\n"
	"\n"
	"Shows the listeners of this network namespace and the sessions that they have, and\n"
	"the sessions of parents with their children.\n"
	"\n"
	"  --json  as one JSON object; what is not known is null\n"
	"  --help  show this text\n"
	"\n"
	"What we are not permitted to know shows as -; root sees all. QUEUED is the slots of\n"
	"64 bytes in each end's ring that the other end has not yet said to have consumed.\n";

struct party {
	pid_t pid;			/* 0: not known */
	bool has_uid;
	uid_t uid;
	char command[96];
	struct region_facts facts;
};

/* A listener, @dialler being nobody, or a session. */
struct row {
	char address[SHMUX_ADDRESS_MAX];	/* empty: attached, without an address */
	struct party acceptor;
	struct party dialler;
};

struct view {
	struct sockets sockets;
	struct regions regions;
	struct procs_holder *holders;
	size_t nr_holders;
	struct row *listeners, *sessions;
	size_t nr_listeners, nr_sessions;
};

/* --- gathering ---------------------------------------------------------- */

static struct party party_of(pid_t pid)
{
	struct party p = { .pid = pid };

	if (pid) {
		procs_command(pid, p.command, sizeof(p.command));
		p.has_uid = !procs_uid(pid, &p.uid);
	}
	return p;
}

static int add(struct row **rows, size_t *nr, const struct row *row)
{
	struct row *all = realloc(*rows, (*nr + 1) * sizeof(*all));

	if (!all)
		return -ENOMEM;
	*rows = all;
	all[(*nr)++] = *row;
	return 0;
}

static int find_holders(struct view *v)
{
	v->holders = calloc(2 * v->sockets.nr + 1, sizeof(*v->holders));
	if (!v->holders)
		return -ENOMEM;
	for (size_t i = 0; i < v->sockets.nr; i++) {
		v->holders[v->nr_holders++].inode = v->sockets.all[i].inode;
		if (v->sockets.all[i].peer)
			v->holders[v->nr_holders++].inode = v->sockets.all[i].peer;
	}
	procs_find_holders(v->holders, v->nr_holders);
	return 0;
}

static pid_t holder_of(const struct view *v, unsigned int inode)
{
	return inode ? procs_holder_of(v->holders, v->nr_holders, inode) : 0;
}

static int add_socket(struct view *v, const struct socket *socket)
{
	struct row row = { .acceptor = party_of(holder_of(v, socket->inode)) };

	memcpy(row.address, socket->address, sizeof(row.address));
	if (!row.acceptor.has_uid && socket->has_uid) {
		row.acceptor.has_uid = true;
		row.acceptor.uid = socket->uid;
	}
	if (socket->listens)
		return add(&v->listeners, &v->nr_listeners, &row);
	row.dialler = party_of(holder_of(v, socket->peer));
	if (row.acceptor.pid && row.dialler.pid)
		regions_look(&v->regions, row.acceptor.pid, row.dialler.pid, &row.acceptor.facts,
			     &row.dialler.facts);
	return add(&v->sessions, &v->nr_sessions, &row);
}

static unsigned int count_rows(const struct view *v, pid_t a, pid_t b)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < v->nr_sessions; i++) {
		pid_t x = v->sessions[i].acceptor.pid, y = v->sessions[i].dialler.pid;

		nr += (x == a && y == b) || (x == b && y == a);
	}
	return nr;
}

/* Sessions over pairs of sockets have no address to be found by. */
static int add_attached(struct view *v, pid_t a, pid_t b)
{
	unsigned int nr = regions_count(&v->regions, a, b);
	int error = 0;

	for (unsigned int i = count_rows(v, a, b); i < nr && !error; i++) {
		struct row row = { .acceptor = party_of(a), .dialler = party_of(b) };

		regions_look(&v->regions, a, b, &row.acceptor.facts, &row.dialler.facts);
		error = add(&v->sessions, &v->nr_sessions, &row);
	}
	return error;
}

/* A session's two regions name the same two processes: one of them is enough. */
static int add_all_attached(struct view *v)
{
	const struct region *r = v->regions.all;
	int error = 0;

	for (size_t i = 0; i < v->regions.nr && !error; i++)
		if (r[i].owner <= r[i].reader)
			error = add_attached(v, r[i].owner, r[i].reader);
	return error;
}

static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int d = strcmp(x->address, y->address);

	if (!d)
		d = (x->acceptor.pid > y->acceptor.pid) - (x->acceptor.pid < y->acceptor.pid);
	if (!d)
		d = (x->dialler.pid > y->dialler.pid) - (x->dialler.pid < y->dialler.pid);
	return d;
}

static int gather(struct view *v)
{
	int error;

	error = sockets_open(&v->sockets);
	if (!error)
		error = regions_open(&v->regions);
	if (!error)
		error = find_holders(v);
	for (size_t i = 0; i < v->sockets.nr && !error; i++)
		error = add_socket(v, &v->sockets.all[i]);
	if (!error)
		error = add_all_attached(v);
	if (error)
		return error;
	if (v->nr_listeners)
		qsort(v->listeners, v->nr_listeners, sizeof(*v->listeners), compare);
	if (v->nr_sessions)
		qsort(v->sessions, v->nr_sessions, sizeof(*v->sessions), compare);
	return 0;
}

static void let_go(struct view *v)
{
	sockets_close(&v->sockets);
	regions_close(&v->regions);
	free(v->holders);
	free(v->listeners);
	free(v->sessions);
}

/* --- for people --------------------------------------------------------- */

static void print_number(bool known, unsigned long number, int width)
{
	if (known)
		printf("  %*lu", width, number);
	else
		printf("  %*s", width, "-");
}

static int address_width(const struct row *rows, size_t nr)
{
	int width = strlen("ADDRESS");

	for (size_t i = 0; i < nr; i++)
		if ((int)strlen(rows[i].address) > width)
			width = strlen(rows[i].address);
	return width;
}

static void print_address(const struct row *row, int width)
{
	char address[SHMUX_ADDRESS_MAX];

	snprintf(address, sizeof(address), "%s", row->address[0] ? row->address : "-");
	text_make_printable(address);
	printf("%-*s", width, address);
}

static void print_listeners(const struct view *v)
{
	int width = address_width(v->listeners, v->nr_listeners);

	if (!v->nr_listeners) {
		printf("Nobody listens.\n");
		return;
	}
	printf("Listening\n%-*s  %7s  %7s  COMMAND\n", width, "ADDRESS", "PID", "UID");
	for (size_t i = 0; i < v->nr_listeners; i++) {
		const struct party *p = &v->listeners[i].acceptor;

		print_address(&v->listeners[i], width);
		print_number(p->pid, p->pid, 7);
		print_number(p->has_uid, p->uid, 7);
		printf("  %s\n", p->command[0] ? p->command : "-");
	}
}

/* There is room for the beginning, so leave out where the program lies. */
static const char *short_command(const struct party *p)
{
	const char *from = p->command;

	for (const char *c = from; *c && *c != ' '; c++)
		if (*c == '/')
			from = c + 1;
	return *from ? from : "-";
}

static void print_party(const struct party *p)
{
	print_number(p->pid, p->pid, 7);
	print_number(p->facts.known, p->facts.depth, 6);
	printf("  %-20.20s", short_command(p));
}

static void print_sessions(const struct view *v)
{
	int width = address_width(v->sessions, v->nr_sessions);

	if (!v->nr_sessions)
		return;
	printf("\nConnected\n%-*s  %7s  %6s  %-20s  %7s  %6s  %-20s  STREAMS\n", width, "ADDRESS",
	       "PID", "QUEUED", "DIALLER", "PID", "QUEUED", "LISTENER");
	for (size_t i = 0; i < v->nr_sessions; i++) {
		const struct row *row = &v->sessions[i];

		print_address(row, width);
		print_party(&row->dialler);
		print_party(&row->acceptor);
		print_number(row->acceptor.facts.known, row->acceptor.facts.streams, 7);
		printf("\n");
	}
}

/* --- for scripts -------------------------------------------------------- */

static void write_number(const char *key, bool known, unsigned long number)
{
	if (known)
		printf(", \"%s\": %lu", key, number);
	else
		printf(", \"%s\": null", key);
}

static void write_party(const struct party *p)
{
	printf("\"pid\": ");
	printf(p->pid ? "%d" : "null", (int)p->pid);
	write_number("uid", p->has_uid, p->uid);
	printf(", \"command\": ");
	text_write_json(stdout, p->command[0] ? p->command : NULL);
}

static void write_end(const char *key, const struct party *p)
{
	printf(", \"%s\": {", key);
	write_party(p);
	write_number("queued", p->facts.known, p->facts.depth);
	write_number("ring_slots", p->facts.known, p->facts.slots);
	printf("}");
}

static void write_address(const struct row *row)
{
	printf("{\"address\": ");
	text_write_json(stdout, row->address[0] ? row->address : NULL);
}

static void write_json(const struct view *v)
{
	printf("{\"listeners\": [");
	for (size_t i = 0; i < v->nr_listeners; i++) {
		printf(i ? ",\n  " : "\n  ");
		write_address(&v->listeners[i]);
		printf(", ");
		write_party(&v->listeners[i].acceptor);
		printf("}");
	}
	printf("],\n \"sessions\": [");
	for (size_t i = 0; i < v->nr_sessions; i++) {
		const struct row *row = &v->sessions[i];

		printf(i ? ",\n  " : "\n  ");
		write_address(row);
		write_number("streams", row->acceptor.facts.known, row->acceptor.facts.streams);
		write_end("dialler", &row->dialler);
		write_end("listener", &row->acceptor);
		printf("}");
	}
	printf("]}\n");
}

int ls_main(int argc, char **argv)
{
	enum { JSON = ARGS_LONG, HELP };
	static const struct option table[] = {
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	struct view v = { 0 };
	bool json = false;
	int c, error;

	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		if (c == HELP) {
			fputs(usage, stdout);
			return SAY_DONE;
		}
		if (c != JSON)
			return args_refuse("ls", c, argv);
		json = true;
	}
	if (args_none("ls", argc, argv))
		return SAY_USAGE;
	error = gather(&v);
	if (error) {
		let_go(&v);
		return say_cannot(error, NULL, "find out who listens");
	}
	if (json) {
		write_json(&v);
	} else {
		print_listeners(&v);
		print_sessions(&v);
	}
	let_go(&v);
	return SAY_DONE;
}
