/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * words.h - a command line, as the words of exec: addresses
 *
 * Words stand between blanks. A backslash takes away what the next character
 * means; so do single quotes for all that is in them, and double quotes for all
 * but themselves and the backslashes before either. Nothing else is special.
 */
#ifndef SHMUX_CORE_WORDS_H
#define SHMUX_CORE_WORDS_H

/*
 * Cut @text. @out: NULL, or room for strlen(@text) + 1 bytes: one word behind the
 * other, each with its NUL. Return: how many; -EINVAL: a quote without its end,
 * or a backslash before nothing.
 */
int shmux__words_cut(const char *text, char *out);

#endif /* SHMUX_CORE_WORDS_H */
