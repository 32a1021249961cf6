// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * replay.c - runs a fuzz target over inputs that are kept, without libFuzzer
 *
 * Without arguments those of the target's corpus, as a test; else the files
 * named, as `make fuzzers` builds would.
 */
#include <dirent.h>
#include <errno.h>

#include "fuzz.h"

#define INPUT_MAX (1u << 20)

static void run(const char *path)
{
	/* Of the input's own size, so that a sanitizer sees its end. */
	static char buf[INPUT_MAX];
	FILE *file = fopen(path, "re");
	uint8_t *data;
	size_t size;

	if (!file) {
		printf("# %s: %s\n", path, strerror(errno));
		exit(2);
	}
	size = fread(buf, 1, sizeof(buf), file);
	fclose(file);
	data = malloc(size);
	if (size)
		memcpy(data, buf, size);
	/* The last line that is said if this is the one. */
	printf("# %s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

int main(int argc, char **argv)
{
	char path[512];
	struct dirent *entry;
	const char *name = strrchr(argv[0], '/');
	DIR *dir;
	int i, nr = 0;

	for (i = 1; i < argc; i++)
		run(argv[i]);
	if (argc > 1)
		return 0;

	printf("TAP version 13\n1..1\n");
	snprintf(path, sizeof(path), "tests/fuzz/corpus/%s", name ? name + 1 : argv[0]);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "tests/fuzz/corpus/%s/%s", name ? name + 1 : argv[0],
			 entry->d_name);
		run(path);
		nr++;
	}
	if (dir)
		closedir(dir);
	printf("%s 1 every_input_of_the_corpus_leaves_the_victim_whole (%d)\n",
	       nr ? "ok" : "not ok", nr);
	return !nr;
}
