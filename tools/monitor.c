// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * monitor.c - `shmux monitor`: what happens, as it happens
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "commands.h"
#include "nl.h"
#include "say.h"
#include "units.h"
#include "view.h"
#include "words.h"

static const char usage[] =
	"Usage: shmux monitor [OPTION]...\n"
	"\n"
	"Shows a line for each thing that the kernel module tells of this network namespace: a\n"
	"session is up or down, a process at an end has died, a limit was hit. Says \"watching\"\n"
	"on standard error once none is missed any more, and ends with SIGINT or SIGTERM.\n"
	"\n"
	"  --count N  leave after N events\n"
	"  --json     a JSON object on each line\n"
	"  --help     show this text\n"
	"\n"
	"Pids are the initial pid namespace's, and - outside the initial network namespace.\n";

struct monitor {
	bool json;
	uint64_t left;			/* events to be shown */
};

static const char *name_of(uint8_t what)
{
	switch (what) {
	case SHMUX_CMD_SESSION_UP:
		return "up";
	case SHMUX_CMD_SESSION_DOWN:
		return "down";
	case SHMUX_CMD_PEER_DEATH:
		return "death";
	default:
		return "quota";
	}
}

/* --- for people --------------------------------------------------------- */

static void print_time(void)
{
	struct timespec now;
	struct tm tm;
	char text[16];

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s.%03ld", text, now.tv_nsec / 1000000);
}

static void print_party(const struct view_party *p)
{
	if (p->pid)
		printf("%d (%.20s)", (int)p->pid, view_command(p));
	else
		printf("-");
	printf(" uid %u", (unsigned int)p->uid);
}

static void print_session(const struct module_event *event)
{
	const struct module_session *m = &event->session;
	struct view_session s = view_session_of(m);

	printf("  %-5s  session %u", name_of(event->what), m->number);
	if (s.address[0])
		printf(" on %s", s.address);
	printf(": ");
	print_party(&s.dialler);
	printf(" with ");
	print_party(&s.acceptor);
	if (event->what != SHMUX_CMD_SESSION_UP)
		printf("; the %s %s after %s", m->side ? "listener" : "dialler", view_state(&s),
		       units_age(m->age).text);
}

static void print_quota(const struct module_event *e)
{
	printf("  %-5s  uid %u wanted more %s than the limit of %" PRIu64 " ", name_of(e->what),
	       e->uid, words_resources[e->resource], e->max);
	printf(e->scope == SHMUX_SCOPE_USER ? "for a user" :
	       e->scope == SHMUX_SCOPE_NET  ? "for this network namespace" :
					      "for the machine");
}

/* --- for scripts -------------------------------------------------------- */

static void write_event(const struct module_event *e)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	printf("{\"time\": %" PRIdMAX ".%06ld, \"event\": \"%s\", ", (intmax_t)now.tv_sec,
	       now.tv_nsec / 1000, name_of(e->what));
	if (e->what == SHMUX_CMD_QUOTA_HIT) {
		printf("\"scope\": \"%s\", \"resource\": \"%s\"", words_scopes[e->scope],
		       words_resources[e->resource]);
		words_write_max(stdout, e->max);
		printf(", \"uid\": %" PRIu32 "}", e->uid);
	} else {
		struct view_session s = view_session_of(&e->session);

		printf("\"session\": ");
		view_write_session(stdout, &s);
		printf("}");
	}
}

/* --- the command -------------------------------------------------------- */

static void show(void *arg, const struct module_event *event)
{
	struct monitor *mon = arg;

	if (!mon->left)
		return;
	mon->left--;
	if (mon->json) {
		write_event(event);
	} else {
		print_time();
		if (event->what == SHMUX_CMD_QUOTA_HIT)
			print_quota(event);
		else
			print_session(event);
	}
	printf("\n");
}

static int watch(struct monitor *mon, struct module *m, int signals)
{
	struct pollfd p[] = {
		{ .fd = module_fd(m), .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};
	int error;

	fprintf(stderr, "watching\n");
	while (mon->left) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return say_cannot(errno, NULL, "wait for events");
		if (p[1].revents)
			return SAY_DONE;
		error = module_take_events(m, show, mon);
		/* Whoever reads has gone, or the disk is full: main() says so. */
		if (fflush(stdout))
			return SAY_DONE;
		if (error == -ENOBUFS)
			say_cannot(error, "they came too fast", "show some of the events");
		else if (error)
			return say_cannot(error, module_reason(error), "watch for events any more");
	}
	return SAY_DONE;
}

static int run(struct monitor *mon)
{
	sigset_t set;
	struct module *m;
	int signals, error, status;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0)
		return say_cannot(errno, NULL, "watch for events");
	error = module_open(&m);
	if (!error)
		error = module_watch(m);
	status = error ? say_cannot(error, words_lack(error, "; shmux ls shows who is there"),
				    "watch for events") :
			 watch(mon, m, signals);
	module_close(m);
	close(signals);
	return status;
}

int monitor_main(int argc, char **argv)
{
	enum {
		COUNT = ARGS_LONG,
		JSON,
		HELP
	};
	static const struct option table[] = {
		{ "count", required_argument, NULL, COUNT },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	struct monitor mon = { .left = UINT64_MAX };
	int c;

	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		switch (c) {
		case COUNT:
			if (args_count("monitor", optarg, &mon.left))
				return SAY_USAGE;
			break;
		case JSON:
			mon.json = true;
			break;
		case HELP:
			fputs(usage, stdout);
			return SAY_DONE;
		default:
			return args_refuse("monitor", c, argv);
		}
	}
	if (args_none("monitor", argc, argv))
		return SAY_USAGE;
	return run(&mon);
}
