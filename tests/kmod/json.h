/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * json.h - what the command writes for scripts, read by a test
 *
 * json_skip() passes over one value and is strict about it; json_at() finds one by
 * a path: ".sessions[0].dialler.pid".
 */
#ifndef TESTS_KMOD_JSON_H
#define TESTS_KMOD_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline const char *json_skip(const char *p);

static inline const char *json_blank(const char *p)
{
	return p ? p + strspn(p, " \t\r\n") : NULL;
}

static inline const char *json_skip_string(const char *p)
{
	if (*p++ != '"')
		return NULL;
	while (*p != '"') {
		if ((unsigned char)*p < ' ')
			return NULL;
		if (*p++ != '\\')
			continue;
		if (*p == 'u') {
			if (strspn(p + 1, "0123456789abcdefABCDEF") < 4)
				return NULL;
			p += 4;
		} else if (!*p || !strchr("\"\\/bfnrt", *p)) {
			return NULL;
		}
		p++;
	}
	return p + 1;
}

static inline const char *json_skip_number(const char *p)
{
	size_t n;

	if (*p == '-')
		p++;
	n = strspn(p, "0123456789");
	if (!n || (*p == '0' && n > 1))
		return NULL;
	p += n;
	if (*p != '.')
		return p;
	n = strspn(++p, "0123456789");
	return n ? p + n : NULL;
}

/* Past the members of an object or an array; @p is behind its bracket. */
static inline const char *json_skip_members(const char *p, char close)
{
	p = json_blank(p);
	if (*p == close)
		return p + 1;
	for (;;) {
		if (close == '}') {
			p = json_blank(json_skip_string(p));
			if (!p || *p++ != ':')
				return NULL;
		}
		p = json_blank(json_skip(json_blank(p)));
		if (!p)
			return NULL;
		if (*p == close)
			return p + 1;
		if (*p++ != ',')
			return NULL;
		p = json_blank(p);
	}
}

/* Return: behind the value at @p, or NULL if there is none. */
static inline const char *json_skip(const char *p)
{
	static const char *const words[] = { "true", "false", "null" };

	if (!p)
		return NULL;
	if (*p == '{' || *p == '[')
		return json_skip_members(p + 1, *p == '{' ? '}' : ']');
	if (*p == '"')
		return json_skip_string(p);
	for (int i = 0; i < 3; i++)
		if (!strncmp(p, words[i], strlen(words[i])))
			return p + strlen(words[i]);
	return json_skip_number(p);
}

/* Whether @text is @nr values, each followed by a newline. */
static inline bool json_is(const char *text, int nr)
{
	while (nr--) {
		text = json_skip(json_blank(text));
		if (!text || *text++ != '\n')
			return false;
	}
	return !*text;
}

/* The member @key of the object, or @index of the array, at @p. */
static inline const char *json_member(const char *p, const char *key, size_t len, long index)
{
	if (!p || (*p != '{' && *p != '['))
		return NULL;
	for (p = json_blank(p + 1); p && *p && *p != '}' && *p != ']'; p = json_blank(p)) {
		bool found = !key && !index--;

		if (key) {
			found = !strncmp(p + 1, key, len) && p[1 + len] == '"';
			p = json_blank(json_skip_string(p));
			if (!p || *p != ':')
				return NULL;
			p = json_blank(p + 1);
		}
		if (found)
			return p;
		p = json_blank(json_skip(p));
		if (p && *p == ',')
			p++;
	}
	return NULL;
}

/* Return: the value, or NULL. */
static inline const char *json_at(const char *p, const char *path)
{
	p = json_blank(p);
	while (p && *path) {
		if (*path == '[') {
			char *end;
			long index = strtol(path + 1, &end, 10);

			p = json_member(p, NULL, 0, index);
			path = end + 1;
		} else {
			size_t len = strcspn(++path, ".[");

			p = json_member(p, path, len, 0);
			path += len;
		}
	}
	return p;
}

/* A number, or -1 for what is none, null for example. */
static inline int64_t json_number(const char *p, const char *path)
{
	p = json_at(p, path);
	return p && *p >= '0' && *p <= '9' ? strtoll(p, NULL, 10) : -1;
}

/* Whether it is this word: a string without escapes, or true, false, null. */
static inline bool json_says(const char *p, const char *path, const char *word)
{
	size_t len = strlen(word);

	p = json_at(p, path);
	if (!p)
		return false;
	if (*p != '"')
		return !strncmp(p, word, len) && strchr(",]} \n", p[len]);
	return !strncmp(p + 1, word, len) && p[1 + len] == '"';
}

#endif /* TESTS_KMOD_JSON_H */
