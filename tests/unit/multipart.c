// SPDX-License-Identifier: LGPL-2.1-or-later
/* multipart.c - the parser of examples/upload-proxy, beside a naive one */
#include <stdint.h>

#include "effort.h"
#include "harness.h"
#include "multipart_naive.h"
#include "pattern.h"

#define B "xyzzy"
#define HEAD "Content-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n"

static const size_t whole[] = { SIZE_MAX };

/* Bodies that are right, with the data of their parts. */
static const struct {
	const char *body, *data;
	int nr;
} right[] = {
	{ "--" B "\r\n" HEAD "\r\nhello\r\n--" B "--\r\n", "hello", 1 },
	{ "--" B "\r\n" HEAD "\r\n\r\n--" B "--", "", 1 },
	{ "--" B "\r\n" HEAD "\r\n--" B "--", "", 1 },
	{ "--" B " \t \r\n" HEAD "\r\nhello\r\n--" B "--", "hello", 1 },
	{ "for those who read it\r\n--" B "\r\n" HEAD "\r\nhello\r\n--" B "-- and so on", "hello",
	  1 },
	{ "--" B "\r\n" HEAD "\r\none\r\n--" B "\r\nX: y\r\n" HEAD
	  "Content-Type: text/plain\r\n\r\ntwo\r\n--" B "--",
	  "onetwo", 2 },
	{ "--" B "\r\n" HEAD "\r\n\r\r\n\r\n-\r\n--\r\n--x\r\n--xyzz\r\n--xyzy\r\r\n--" B "--",
	  "\r\r\n\r\n-\r\n--\r\n--x\r\n--xyzz\r\n--xyzy\r", 1 },
	{ "--" B "\r\n" HEAD "\r\n\n--" B "\r\n--" B "--", "\n--" B, 1 },
	{ "\r\n\r\n--xyzz\r\n--" B "\r\n" HEAD "\r\n--" B "x\r\n--" B "--", NULL, 0 },
	{ "--" B "--", "", 0 },
};

static const char *const wrong[] = {
	"",
	"hello",
	"--" B,
	"--" B "-",
	"--" B "-x",
	"--" B "x\r\n" HEAD "\r\nhello\r\n--" B "--",
	"--" B "\rx",
	"--" B "\r\n" HEAD,
	"--" B "\r\n" HEAD "\r\nhello",
	"--" B "\r\n" HEAD "\r\nhello\r\n--" B,
	"--" B "\r\n" HEAD "\r\nhello\r\n--" B "\r\n",
	"--" B "\r\n" HEAD "\r\nhello\n--" B "--",
	"--" B "\r\n" HEAD "\r\nhello\r\n--" B "x--",
	"--" B "\r\n\r\nhello\r\n--" B "--",
	"--" B "\r\n" HEAD HEAD "\r\nhello\r\n--" B "--",
	"--" B "\r\nContent-Disposition: attachment\r\n\r\nhello\r\n--" B "--",
	"--" B "\r\nContent-Disposition: form-data; name=\"x\r\n\r\nhello\r\n--" B "--",
	"--" B "\r\nContent-Disposition: form-data; name\r\n\r\nhello\r\n--" B "--",
	"--" B "\r\nno colon\r\n" HEAD "\r\nhello\r\n--" B "--",
	"--" B "\r\n" HEAD "X: a\nb\r\n\r\nhello\r\n--" B "--",
};

TEST(what_is_right_gives_its_data_wherever_it_is_split)
{
	size_t i, j, k, len, splits[3] = { 0, 0, SIZE_MAX };
	struct notes all, n;
	char data[1000];
	int err;

	for (i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
		len = strlen(right[i].body);
		err = parse(right[i].body, len, B, strlen(B), whole, &all);
		if (!right[i].data) {
			EXPECT_EQ(-EBADMSG, err);
			notes_free(&all);
			continue;
		}
		ASSERT_EQ(0, err) TH_LOG("body %zu", i);
		EXPECT_EQ(right[i].nr, all.nr_ended);
		ASSERT_EQ(strlen(right[i].data), all.data_len) TH_LOG("body %zu", i);
		EXPECT_EQ(0, memcmp(right[i].data, all.data, all.data_len));
		EXPECT_EQ((long)all.data_len, naive(right[i].body, len, B, strlen(B), data));
		EXPECT_EQ(0, memcmp(data, all.data, all.data_len));
		for (j = 0; j <= len; j++)
			for (k = j; k <= len; k++) {
				splits[0] = j;
				splits[1] = k;
				err = parse(right[i].body, len, B, strlen(B), splits, &n);
				ASSERT_EQ(0, err) TH_LOG("body %zu split at %zu, %zu", i, j, k);
				ASSERT_EQ(all.all_len, n.all_len)
				TH_LOG("body %zu split at %zu, %zu", i, j, k);
				ASSERT_EQ(0, memcmp(all.all, n.all, n.all_len));
				notes_free(&n);
			}
		notes_free(&all);
	}
}

TEST(data_that_comes_in_one_piece_goes_on_in_one)
{
	static const char begin[] = "--" B "\r\n" HEAD "\r\n", end[] = "\r\n--" B "--";
	size_t len = sizeof(begin) - 1, i;
	char body[10000];
	struct notes n;

	memcpy(body, begin, len);
	for (i = 0; i < 1000; i++, len += 4)
		memcpy(body + len, "x\r\n-", 4);
	memcpy(body + len, end, sizeof(end) - 1);
	len += sizeof(end) - 1;
	EXPECT_EQ(0, parse(body, len, B, strlen(B), whole, &n));
	EXPECT_EQ(4000, n.data_len);
	EXPECT_EQ(1, n.nr_data);
	notes_free(&n);
}

TEST(what_is_wrong_is_refused_wherever_it_is_split)
{
	size_t i, j, len, splits[2] = { 0, SIZE_MAX };
	struct notes n;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		len = strlen(wrong[i]);
		for (j = 0; j <= len; j++) {
			splits[0] = j;
			EXPECT_EQ(-EBADMSG, parse(wrong[i], len, B, strlen(B), splits, &n))
			TH_LOG("body %zu split at %zu", i, j);
			notes_free(&n);
		}
	}
}

TEST(body_that_is_cut_off_anywhere_is_refused)
{
	const char *body = right[5].body;
	size_t len = strlen(body), cut;
	struct notes n;

	for (cut = 0; cut < len; cut++) {
		EXPECT_EQ(-EBADMSG, parse(body, cut, B, strlen(B), whole, &n));
		notes_free(&n);
	}
}

TEST(head_says_name_and_type_of_its_part)
{
	static const char body[] =
		"--" B "\r\ncontent-type: application/x-y; z=1\r\nContent-Disposition:form-data ; "
		"name=plain;filename=\"a \\\"b\\\" c;d\"\r\n\r\n\r\n--" B
		"\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n\r\n--" B "--";
	static const char said[] = "plain\0a \"b\" c;d\0application/x-y; z=1\0fileend"
				   "text\0\0\0textend";
	struct notes n;

	ASSERT_EQ(0, parse(body, sizeof(body) - 1, B, strlen(B), whole, &n));
	ASSERT_EQ(sizeof(said) - 1, n.all_len);
	EXPECT_EQ(0, memcmp(said, n.all, n.all_len));
	notes_free(&n);
}

TEST(head_that_is_too_long_is_refused)
{
	size_t len = MULTIPART_HEAD_MAX + 200;
	char *body = malloc(len);
	struct notes n;

	memset(body, 'x', len);
	memcpy(body, "--" B "\r\nX: ", strlen("--" B "\r\nX: "));
	EXPECT_EQ(-EBADMSG, parse(body, len, B, strlen(B), whole, &n));
	EXPECT_EQ(0, n.nr_begun);
	notes_free(&n);
	free(body);
}

TEST(boundary_is_found_in_the_content_type)
{
	static const struct {
		const char *type, *boundary;
	} types[] = {
		{ "multipart/form-data; boundary=abc", "abc" },
		{ " Multipart/Form-Data;charset=x ; BOUNDARY=\"a b:c\" ; x=y", "a b:c" },
		{ "multipart/form-data; boundary=----WebKit0123", "----WebKit0123" },
		{ "multipart/form-data", NULL },
		{ "multipart/form-datax; boundary=abc", NULL },
		{ "multipart/mixed; boundary=abc", NULL },
		{ "multipart/form-data; boundary=", NULL },
		{ "multipart/form-data; boundary=\"abc", NULL },
		{ "multipart/form-data; boundary=\"abc \"", NULL },
		{ "multipart/form-data; boundary=a@b", NULL },
		{ "multipart/form-data boundary=abc", NULL },
		{ "multipart/form-data; boundary=0123456789012345678901234567890123456789"
		  "012345678901234567890123456789",
		  "0123456789012345678901234567890123456789012345678901234567890123456789" },
		{ "multipart/form-data; boundary=0123456789012345678901234567890123456789"
		  "0123456789012345678901234567890",
		  NULL },
	};
	char boundary[MULTIPART_BOUNDARY_MAX];
	size_t i;
	int len;

	for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		len = multipart_boundary(types[i].type, boundary);
		ASSERT_EQ(types[i].boundary ? (int)strlen(types[i].boundary) : -1, len)
		TH_LOG("%s", types[i].type);
		if (len > 0)
			EXPECT_EQ(0, memcmp(boundary, types[i].boundary, (size_t)len));
	}
}

TEST(random_bodies_give_what_the_naive_parser_says)
{
	static const char *const bits[] = { "\r",
					    "\n",
					    "-",
					    "--",
					    B,
					    "x",
					    "\r\n",
					    "\r\n--",
					    "\r\n--" B,
					    "\r\n--" B "\r\n" HEAD "\r\n",
					    "\r\n--" B "--",
					    HEAD,
					    " " };
	uint64_t random = effort_seed();
	uint32_t round, nr_right = 0;

	for (round = 0; round < effort_count(20000); round++) {
		char body[4096] = "--" B "\r\n" HEAD "\r\n", data[8192];
		size_t len = strlen(body), splits[9], i, bit;
		uint32_t nr = random_between(&random, 1, 20);
		struct notes all, n;
		int err, split;

		while (nr--) {
			bit = random_between(&random, 0, sizeof(bits) / sizeof(bits[0]) - 1);
			memcpy(body + len, bits[bit], strlen(bits[bit]));
			len += strlen(bits[bit]);
		}
		memcpy(body + len, "\r\n--" B "--", strlen("\r\n--" B "--"));
		len += strlen("\r\n--" B "--");
		for (i = 0, splits[0] = 0; i < 8; i++)
			splits[i + 1] = splits[i] + random_between(&random, 0, (uint32_t)len / 4);
		splits[8] = SIZE_MAX;
		err = parse(body, len, B, strlen(B), whole, &all);
		split = parse(body, len, B, strlen(B), splits, &n);
		ASSERT_EQ(err, split);
		ASSERT_EQ(all.all_len, n.all_len);
		ASSERT_EQ(0, memcmp(all.all, n.all, n.all_len));
		if (!err) {
			nr_right++;
			ASSERT_EQ((long)all.data_len, naive(body, len, B, strlen(B), data));
			ASSERT_EQ(0, memcmp(data, all.data, all.data_len));
		}
		notes_free(&all);
		notes_free(&n);
	}
	EXPECT_LT(effort_count(1000), nr_right);
}

TEST_HARNESS_MAIN
