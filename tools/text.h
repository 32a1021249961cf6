/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_TEXT_H
#define SHMUX_TOOLS_TEXT_H

#include <stdio.h>

/*
 * Control characters, and bytes that are no UTF-8, become '?', so that what others
 * chose cannot move the cursor.
 */
void text_make_printable(char *text);

/* @text as a JSON string; null if it is NULL. What is not UTF-8 becomes U+FFFD. */
void text_write_json(FILE *out, const char *text);

#endif /* SHMUX_TOOLS_TEXT_H */
