// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * multipart.c - fuzzes the parser of examples/upload-proxy
 * PROVES: a_body_of_multipart_form_data_gives_the_same_however_it_comes
 *
 * The input: the lengths of the boundary and of two pieces, a Content-Type's tail, and
 * the body, in which a byte of 1 stands for a delimiter and 2 for a head.
 */
#include <shmux/shmux.h>

#include "fuzz.h"
#include "multipart_naive.h"

#define HEAD "Content-Disposition: form-data; name=\"a\"; filename=b\r\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	size_t boundary_len = 1 + input_u8(&in) % 8, splits[3], len = 0, max = 100 * size + 100;
	char boundary[MULTIPART_BOUNDARY_MAX], type[300], *body = malloc(max), *out = malloc(max);
	struct notes whole, split;
	int err;

	memset(boundary, 'x', sizeof(boundary));
	splits[0] = input_u8(&in);
	splits[1] = splits[0] + input_u8(&in);
	splits[2] = SIZE_MAX;
	while (!input_is_empty(&in)) {
		uint8_t c = input_u8(&in);

		if (c == 1) {
			memcpy(body + len, "\r\n--", 4);
			memcpy(body + len + 4, boundary, boundary_len);
			len += 4 + boundary_len;
		} else if (c == 2) {
			memcpy(body + len, HEAD, sizeof(HEAD) - 1);
			len += sizeof(HEAD) - 1;
		} else {
			body[len++] = (char)c;
		}
	}
	err = parse(body, len, boundary, boundary_len, splits + 2, &whole);
	HOLD(err == 0 || err == -EBADMSG);
	HOLD(parse(body, len, boundary, boundary_len, splits, &split) == err);
	HOLD(whole.all_len == split.all_len && !memcmp(whole.all, split.all, split.all_len));
	HOLD(err || whole.nr_begun == whole.nr_ended);
	if (!err) {
		HOLD(naive(body, len, boundary, boundary_len, out) == (long)whole.data_len);
		HOLD(!memcmp(out, whole.data, whole.data_len));
	}
	notes_free(&whole);
	notes_free(&split);

	len = size < 200 ? size : 200;
	snprintf(type, sizeof(type), "multipart/form-data; %.*s", (int)len, (const char *)data);
	HOLD(multipart_boundary(type, boundary) <= MULTIPART_BOUNDARY_MAX);
	free(body);
	free(out);
	return 0;
}
