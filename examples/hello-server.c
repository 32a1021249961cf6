// SPDX-License-Identifier: LGPL-2.1-or-later
#include <error.h>
#include <stdio.h>
#include <shmux/shmux.h>
int main(void)
{
	struct shmux_listener *l;
	struct shmux_stream *st = NULL;
	char buf[64];
	ssize_t n = shmux_listener_open("hello", NULL, &l);
	if (n < 0 || (n = shmux_listener_accept(l, 0, &st)) < 0 ||
	    (n = shmux_stream_read(st, buf, sizeof(buf))) < 0)
		error(1, -n, "cannot get a greeting");
	printf("a client says: %.*s\n", (int)n, buf);
	shmux_stream_write(st, "welcome", 7);
}
