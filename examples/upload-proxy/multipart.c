// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * multipart.c - see multipart.h
 *
 * A CR stands in a delimiter at its beginning alone. So where a match breaks off it
 * can begin anew only with the byte that broke it, and what had matched is the
 * part's: it need not have been kept, since it reads as the delimiter does.
 */
#include "multipart.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* The characters of a boundary, by RFC 2046. */
static int is_boundary(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("'()+_,-./:=? ", c));
}

static const char *skip_blanks(const char *s)
{
	return s + strspn(s, " \t\r\n");
}

/*
 * The value of a parameter, quoted or not: copied as far as there is room. Return:
 * what follows it, or NULL: a quote is missing.
 */
static const char *parse_value(const char *s, char *value, size_t size, size_t *len)
{
	int quoted = *s == '"';

	*len = 0;
	if (quoted)
		s++;
	while (*s && (quoted ? *s != '"' : !strchr("; \t\r\n", *s))) {
		if (quoted && *s == '\\' && (s[1] == '"' || s[1] == '\\'))
			s++;
		if (*len < size)
			value[*len] = *s;
		++*len;
		s++;
	}
	if (quoted)
		return *s == '"' ? s + 1 : NULL;
	return s;
}

/*
 * The next parameter of a header: "; NAME=VALUE". @name_len: of its name, which
 * @name is set to. Return: what follows, or NULL: there is none, or it is wrong.
 */
static const char *next_parameter(const char *s, const char **name, size_t *name_len, char *value,
				  size_t size, size_t *len)
{
	s = skip_blanks(s);
	if (*s != ';')
		return NULL;
	*name = skip_blanks(s + 1);
	*name_len = strcspn(*name, "=; \t\r\n");
	s = *name + *name_len;
	if (!*name_len || *s != '=')
		return NULL;
	return parse_value(s + 1, value, size, len);
}

static int is_called(const char *name, size_t len, const char *what)
{
	return strlen(what) == len && !strncasecmp(name, what, len);
}

int multipart_boundary(const char *content_type, char *boundary)
{
	static const char type[] = "multipart/form-data";
	const char *s = content_type + strspn(content_type, " \t"), *name;
	size_t name_len, len, i;

	if (strncasecmp(s, type, sizeof(type) - 1))
		return -1;
	s += sizeof(type) - 1;
	while ((s = next_parameter(s, &name, &name_len, boundary, MULTIPART_BOUNDARY_MAX, &len))) {
		if (!is_called(name, name_len, "boundary"))
			continue;
		if (!len || len > MULTIPART_BOUNDARY_MAX || boundary[len - 1] == ' ')
			return -1;
		for (i = 0; i < len; i++)
			if (!is_boundary(boundary[i]))
				return -1;
		return (int)len;
	}
	return -1;
}

void multipart_init(struct multipart *m, const char *boundary, size_t len,
		    const struct multipart_calls *calls, void *arg)
{
	memset(m, 0, sizeof(*m));
	m->calls = calls;
	m->arg = arg;
	memcpy(m->delimiter, "\r\n--", 4);
	memcpy(m->delimiter + 4, boundary, len);
	m->delimiter_len = 4 + len;
	/* The first one needs no line before it. */
	m->matched = m->unreal = 2;
}

/* A header of the part that matters: its value is the rest of the line. */
static int header_value(const char *line, const char *name, const char **value)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) || line[len] != ':')
		return 0;
	*value = skip_blanks(line + len + 1);
	return 1;
}

static int parse_disposition(struct multipart_part *part, const char *s)
{
	char value[sizeof(part->name)];
	size_t name_len, len;
	const char *name;

	if (strncasecmp(s, "form-data", 9))
		return -EBADMSG;
	for (s += 9; *skip_blanks(s);) {
		s = next_parameter(s, &name, &name_len, value, sizeof(value) - 1, &len);
		if (!s || len >= sizeof(value))
			return -EBADMSG;
		value[len] = '\0';
		if (is_called(name, name_len, "name")) {
			memcpy(part->name, value, len + 1);
		} else if (is_called(name, name_len, "filename")) {
			memcpy(part->filename, value, len + 1);
			part->is_file = 1;
		}
	}
	return 0;
}

/* The head is there, up to its empty line. Return: 0 or -EBADMSG. */
static int parse_head(struct multipart *m)
{
	char *line = m->head, *end;
	int has_disposition = 0;
	const char *value;
	size_t len;

	memset(&m->part, 0, sizeof(m->part));
	if (memchr(m->head, '\0', m->head_len))
		return -EBADMSG;
	m->head[m->head_len] = '\0';
	while ((end = strstr(line, "\r\n")) && end != line) {
		*end = '\0';
		if (!strchr(line, ':') || strpbrk(line, "\r\n"))
			return -EBADMSG;
		if (header_value(line, "Content-Disposition", &value)) {
			if (has_disposition++ || parse_disposition(&m->part, value))
				return -EBADMSG;
		} else if (header_value(line, "Content-Type", &value)) {
			len = strlen(value);
			if (len >= sizeof(m->part.type))
				return -EBADMSG;
			memcpy(m->part.type, value, len + 1);
		}
		line = end + 2;
	}
	return has_disposition ? 0 : -EBADMSG;
}

/* One more byte of the head. Return: 0, or as multipart_feed(). */
static int feed_head(struct multipart *m, char c)
{
	size_t n = m->head_len;
	int err;

	if (n == sizeof(m->head) - 1)
		return -EBADMSG;
	m->head[m->head_len++] = c;
	if (c != '\n' || n < 1 || m->head[n - 1] != '\r' ||
	    (n > 1 && (n < 3 || memcmp(m->head + n - 3, "\r\n", 2))))
		return 0;
	err = parse_head(m);
	if (!err)
		err = m->calls->begin(m->arg, &m->part);
	m->state = MULTIPART_DATA;
	/* The empty line may be the delimiter's already. */
	m->matched = m->unreal = 2;
	return err;
}

static int give(struct multipart *m, const char *data, size_t len)
{
	if (!len || m->state != MULTIPART_DATA)
		return 0;
	return m->calls->data(m->arg, data, len);
}

/* Where a delimiter is, or may have begun. */
static const char *find_delimiter(const struct multipart *m, const char *data, size_t len)
{
	const char *end = data + len, *at = data;
	size_t n;

	while (at < end && (at = memchr(at, '\r', (size_t)(end - at)))) {
		n = (size_t)(end - at) < m->delimiter_len ? (size_t)(end - at) : m->delimiter_len;
		if (!memcmp(at, m->delimiter, n))
			return at;
		at++;
	}
	return NULL;
}

/* Data, or what stands before the first part. Return: bytes used, or an error. */
static int feed_data(struct multipart *m, const char *data, size_t len, size_t *used)
{
	size_t i = 0;
	int err;

	/* A delimiter that has begun goes on or has been data. */
	while (m->matched && i < len) {
		if (data[i] == m->delimiter[m->matched]) {
			i++;
			if (++m->matched < m->delimiter_len)
				continue;
			*used = i;
			m->matched = m->unreal = 0;
			err = m->state == MULTIPART_DATA ? m->calls->end(m->arg) : 0;
			m->state = MULTIPART_BOUNDARY;
			return err;
		}
		err = give(m, m->delimiter + m->unreal, m->matched - m->unreal);
		m->matched = m->unreal = 0;
		if (err)
			return err;
	}
	*used = i;
	if (i < len) {
		/* As much as there is goes on in one piece. */
		const char *at = find_delimiter(m, data + i, len - i);
		size_t n = at ? (size_t)(at - data) - i : len - i;

		*used = i + n + !!at;
		m->matched = !!at;
		return give(m, data + i, n);
	}
	return 0;
}

static int feed(struct multipart *m, const char *data, size_t len, size_t *used)
{
	char c = *data;

	*used = 1;
	switch (m->state) {
	case MULTIPART_PREAMBLE:
	case MULTIPART_DATA:
		return feed_data(m, data, len, used);
	case MULTIPART_BOUNDARY:
		if (c == '-') {
			m->state = MULTIPART_DASH;
			return 0;
		}
		m->state = MULTIPART_PADDING;
		/* fall through */
	case MULTIPART_PADDING:
		if (c == '\r')
			m->state = MULTIPART_LF;
		else if (c != ' ' && c != '\t')
			return -EBADMSG;
		return 0;
	case MULTIPART_DASH:
		m->state = MULTIPART_EPILOGUE;
		return c == '-' ? 0 : -EBADMSG;
	case MULTIPART_LF:
		m->state = MULTIPART_HEAD;
		m->head_len = 0;
		return c == '\n' ? 0 : -EBADMSG;
	case MULTIPART_HEAD:
		return feed_head(m, c);
	case MULTIPART_EPILOGUE:
		*used = len;
		return 0;
	case MULTIPART_WRONG:
		break;
	}
	return -EBADMSG;
}

int multipart_feed(struct multipart *m, const char *data, size_t len)
{
	size_t used;
	int err;

	for (; len; data += used, len -= used) {
		err = feed(m, data, len, &used);
		if (err) {
			m->state = MULTIPART_WRONG;
			return err;
		}
	}
	return 0;
}

int multipart_end(const struct multipart *m)
{
	return m->state == MULTIPART_EPILOGUE ? 0 : -EBADMSG;
}
