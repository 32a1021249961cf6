// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * demo.c - `shmux demo`: two processes that show what it is good for
 *
 * Starts this very program twice, as the client and as the server, each in its
 * own fresh process; then has the benchmark measure a few rows.
 */
#include "demo.h"

#include <errno.h>
#include <shmux/common.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "args.h"
#include "bench/bench.h"
#include "commands.h"
#include "say.h"

#define BENCH_SECONDS 8.0

static const char usage[] =
	"Usage: shmux demo [OPTION]...\n"
	"\n"
	"Starts a server and a client. The client sends a large file of this machine over\n"
	"eight streams at once, half of them by zero copy; the sha256 is compared at the far\n"
	"end. Then measures latency and throughput beside AF_UNIX and a pipe. Takes about\n"
	"ten seconds.\n"
	"\n"
	"  --file FILE  send this one, at most 1 GiB\n"
	"  --no-table   do not measure\n"
	"  --help       show this text\n";

struct options {
	bool help;
	bool no_table;
	const char *file;
	const char *server, *client;	/* the address, in the processes we start */
};

/* Return: its pid, or -errno. */
static pid_t start(const char *role, const char *address, const char *file)
{
	pid_t parent = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid < 0 ? -errno : pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == parent)
		execl("/proc/self/exe", "shmux", "demo", role, address, "--file", file, NULL);
	_exit(say_cannot(errno, NULL, "start another shmux"));
}

/* A server that has no client any more would wait for one. */
static int finish(pid_t pid, bool end_it)
{
	int status;

	if (end_it)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return SAY_FAILED;
	return WIFEXITED(status) ? WEXITSTATUS(status) : SAY_FAILED;
}

static int transfer(const struct sample *sample)
{
	char address[SHMUX_ADDRESS_MAX];
	pid_t server, client;
	int status;

	snprintf(address, sizeof(address), "demo-%d", (int)getpid());
	server = start("--server", address, sample->path);
	if (server < 0)
		return say_cannot(server, NULL, "start the server");
	printf("  server   process %d listens on %s\n", (int)server, address);
	client = start("--client", address, sample->path);
	if (client < 0) {
		finish(server, true);
		return say_cannot(client, NULL, "start the client");
	}
	status = finish(client, false);
	if (finish(server, status != SAY_DONE))
		status = SAY_FAILED;
	return status;
}

static int show(const struct options *o)
{
	struct sample sample;
	int error, status;

	error = o->file ? sample_open(&sample, o->file) : sample_find(&sample);
	if (error)
		return say_cannot(error, NULL, "read %s", o->file ? o->file : "a file in /usr");
	printf("Two processes and the memory they share; "
	       "no daemon, no kernel module, no root.\n\n");
	status = transfer(&sample);
	if (status != SAY_DONE || o->no_table)
		return status;
	printf("\nLatency and throughput, measured now, beside what Linux has:\n\n");
	fflush(stdout);
	if (bench_brief(stdout, BENCH_SECONDS))
		return SAY_FAILED;
	printf("\nAll of it: shmux bench. To play with: shmux cat, shmux echo, shmux ls.\n");
	return SAY_DONE;
}

static int parse(int argc, char **argv, struct options *o)
{
	enum { FILE_TO_SEND = ARGS_LONG, NO_TABLE, SERVER, CLIENT, HELP };
	static const struct option table[] = {
		{ "file", required_argument, NULL, FILE_TO_SEND },
		{ "no-table", no_argument, NULL, NO_TABLE },
		{ "server", required_argument, NULL, SERVER },
		{ "client", required_argument, NULL, CLIENT },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ 0 };
	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		switch (c) {
		case FILE_TO_SEND:
			o->file = optarg;
			break;
		case NO_TABLE:
			o->no_table = true;
			break;
		case SERVER:
			o->server = optarg;
			break;
		case CLIENT:
			o->client = optarg;
			break;
		case HELP:
			o->help = true;
			return 0;
		default:
			return args_refuse("demo", c, argv);
		}
	}
	return args_none("demo", argc, argv);
}

int demo_main(int argc, char **argv)
{
	struct options o;
	int status;

	status = parse(argc, argv, &o);
	if (status)
		return status;
	if (o.help) {
		fputs(usage, stdout);
		return SAY_DONE;
	}
	if (o.server)
		return demo_serve(o.server);
	if (o.client)
		return demo_send(o.client, o.file);
	return show(&o);
}
