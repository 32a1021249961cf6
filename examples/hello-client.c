// SPDX-License-Identifier: LGPL-2.1-or-later
#include <error.h>
#include <stdio.h>
#include <shmux/shmux.h>
int main(void)
{
	struct shmux_context *c;
	struct shmux_stream *st;
	char buf[64];
	ssize_t n = shmux_context_open(NULL, &c);
	if (n < 0 || (n = shmux_context_dial(c, "hello", NULL, &st)) < 0 ||
	    (n = shmux_stream_write(st, "hello, world", 12)) < 0 ||
	    (n = shmux_stream_read(st, buf, sizeof(buf))) < 0)
		error(1, -n, "cannot greet");
	printf("the server says: %.*s\n", (int)n, buf);
}
