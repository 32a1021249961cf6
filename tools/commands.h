/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commands.h - the subcommands, each in the file of its name
 *
 * Each takes its own argv, argv[0] being its name, and returns the exit code.
 */
#ifndef SHMUX_TOOLS_COMMANDS_H
#define SHMUX_TOOLS_COMMANDS_H

int cat_main(int argc, char **argv);
int demo_main(int argc, char **argv);
int echo_main(int argc, char **argv);
int forward_main(int argc, char **argv);
int limit_main(int argc, char **argv);
int ls_main(int argc, char **argv);
int monitor_main(int argc, char **argv);
int show_main(int argc, char **argv);
int stat_main(int argc, char **argv);
int top_main(int argc, char **argv);

#endif /* SHMUX_TOOLS_COMMANDS_H */
