// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux.c - the command: a table of subcommands
 *
 * Finds the subcommand and hands over. Whatever it left in standard output's
 * buffer is written here, so that a full disk does not go unnoticed.
 */
#include <errno.h>
#include <shmux/common.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "commands.h"
#include "say.h"

static int help_main(int argc, char **argv);

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{ "demo", demo_main, "let two processes exchange a large file, and measure" },
	{ "cat", cat_main, "join standard input and output to a stream, as nc does" },
	{ "echo", echo_main, "listen, and send back whatever comes" },
	{ "forward", forward_main, "join whoever connects at one address to another" },
	{ "ls", ls_main, "show who listens and who is connected to whom" },
	{ "show", show_main, "show a session or a listener in full" },
	{ "stat", stat_main, "count, or show what happens a second" },
	{ "top", top_main, "show the busiest sessions, live" },
	{ "monitor", monitor_main, "show what happens, as it happens" },
	{ "limit", limit_main, "show or set what may be used of the kernel module" },
	{ "bench", bench_main, "measure shmux beside the machine's limits" },
	{ "help", help_main, "show this text, or a subcommand's" },
};

static const char intro[] =
	"Usage: shmux SUBCOMMAND [OPTION]... [ADDRESS]\n"
	"\n"
	"Streams between the processes of one machine, through memory that they share:\n"
	"no daemon, no kernel module, no root.\n"
	"\n"
	"Subcommands:\n";

static const char outro[] =
	"\n"
	"shmux SUBCOMMAND --help tells more about each; shmux --version tells the version.\n"
	"\n"
	"An ADDRESS is one of\n"
	"  NAME              letters, digits and ._-+@, at most 64 of them\n"
	"  kmod:NAME         the same, insisting on the kernel module\n"
	"  memfd:NAME        the same, insisting on shared memory by memfd\n"
	"  memfd:/PATH       a socket in the file system\n"
	"\n"
	"Examples:\n"
	"  shmux demo                              see it work\n"
	"  shmux cat -l inbox >copy.iso            in one terminal, and in another\n"
	"  shmux cat --progress inbox <disc.iso    send a file\n"
	"  shmux echo parrot &                     something to talk to\n"
	"  date | shmux cat parrot\n"
	"  shmux ls                                who is there?\n"
	"\n"
	"Exit codes: 0 done, 1 failed, 2 the command line makes no sense. A failure is\n"
	"told in one sentence that ends with the errno's name.\n";

static const struct command *find(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(name, commands[i].name))
			return &commands[i];
	return NULL;
}

static int show_help(void)
{
	fputs(intro, stdout);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		printf("  %-8s  %s\n", commands[i].name, commands[i].summary);
	fputs(outro, stdout);
	return SAY_DONE;
}

static int refuse(const char *name)
{
	if (*name == '-')
		return say_usage(NULL, "there is no such option", "take '%s'", name);
	return say_usage(NULL, "there is no such subcommand", "do '%s'", name);
}

static int help_main(int argc, char **argv)
{
	const struct command *command;
	char *args[3] = { NULL, (char[]){ "--help" }, NULL };

	if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "help"))
		return show_help();
	command = find(argv[1]);
	if (!command)
		return refuse(argv[1]);
	args[0] = argv[1];
	return command->run(2, args);
}

static int run(int argc, char **argv)
{
	const struct command *command;

	if (argc < 2)
		return say_usage(NULL, "no subcommand is given", "begin");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return show_help();
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
		printf("shmux %s\n", shmux_version());
		return SAY_DONE;
	}
	command = find(argv[1]);
	if (!command)
		return refuse(argv[1]);
	return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int status = run(argc, argv);

	errno = 0;
	if ((fflush(stdout) || ferror(stdout)) && status == SAY_DONE)
		status = say_cannot(errno ? errno : EIO, NULL, "write to standard output");
	return status;
}
