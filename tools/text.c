// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * text.c - strings that others chose, made fit to be shown
 */
#include "text.h"

#include <stdbool.h>
#include <string.h>

/* Bytes of the UTF-8 sequence at @p, 0 if it is none. */
static int sequence_len(const unsigned char *p)
{
	int len = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 :
		  p[0] < 0xf5 ? 4 : 0;

	for (int i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, and what lies beyond U+10FFFF. */
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
	    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return len;
}

/* C0, DEL, and C1: U+0080 to U+009F, which some terminals obey as well. */
static bool is_control(const unsigned char *p)
{
	return p[0] < ' ' || p[0] == 0x7f || (p[0] == 0xc2 && p[1] < 0xa0);
}

static unsigned int control_at(const unsigned char *p)
{
	return p[0] == 0xc2 ? p[1] : p[0];
}

void text_make_printable(char *text)
{
	unsigned char *p = (unsigned char *)text, *to = p;

	while (*p) {
		int len = sequence_len(p);

		if (!len || is_control(p)) {
			*to++ = '?';
			p += len ? len : 1;
			continue;
		}
		while (len--)
			*to++ = *p++;
	}
	*to = '\0';
}

void text_write_json(FILE *out, const char *text)
{
	const unsigned char *p = (const unsigned char *)text;
	int len;

	if (!text) {
		fputs("null", out);
		return;
	}
	fputc('"', out);
	for (; *p; p += len ? len : 1) {
		len = sequence_len(p);
		if (!len)
			fputs("\\ufffd", out);
		else if (is_control(p))
			fprintf(out, "\\u%04x", control_at(p));
		else if (*p == '"' || *p == '\\')
			fprintf(out, "\\%c", *p);
		else
			fwrite(p, 1, len, out);
	}
	fputc('"', out);
}
