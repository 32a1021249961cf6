// SPDX-License-Identifier: LGPL-2.1-or-later
/* words.c - see words.h */
#include "core/words.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n';
}

/* Is what follows a backslash within double quotes meant by it? */
static bool is_escaped(char quote, char c)
{
	return quote != '"' || c == '"' || c == '\\';
}

int shmux__words_cut(const char *text, char *out)
{
	bool in_word = false;
	char quote = 0;
	size_t len = 0;
	int nr = 0;
	char c;

	for (; (c = *text); text++) {
		if (quote ? c == quote : c == '\'' || c == '"') {
			quote = (char)(quote ? 0 : c);
			in_word = true;		/* an empty one, too */
			continue;
		}
		if (!quote && is_blank(c)) {
			if (in_word && out)
				out[len++] = 0;
			nr += in_word;
			in_word = false;
			continue;
		}
		if (c == '\\' && quote != '\'') {
			if (!text[1])
				return -EINVAL;
			if (is_escaped(quote, text[1]))
				c = *++text;
		}
		if (out)
			out[len++] = c;
		in_word = true;
	}
	if (quote)
		return -EINVAL;
	if (in_word && out)
		out[len] = 0;
	return nr + in_word;
}
