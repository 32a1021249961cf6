/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* server.h - what a command that serves asks of its process */
#ifndef TOOLS_SERVER_H
#define TOOLS_SERVER_H

/* As many descriptors as it may have. Without them it serves fewer. */
void server_allow_many_descriptors(void);

/*
 * SIGTERM, SIGINT and @more, if not 0, are read from now on, and not delivered.
 * Return: a signalfd(2), close-on-exec, without waiting; or -1 and errno.
 */
int server_open_signals(int more);

#endif /* TOOLS_SERVER_H */
