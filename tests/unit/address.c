// SPDX-License-Identifier: LGPL-2.1-or-later
/* address.c - tests of what is an address and what it stands for */
#include <errno.h>
#include <locale.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

#include "core/address.h"
#include "core/words.h"

static int parse(const char *text)
{
	struct shmux__address address;

	return shmux__address_parse(text, &address);
}

/* @prefix and then @nr times @c. */
static int parse_long(const char *prefix, char c, size_t nr)
{
	char text[5000];
	size_t len = strlen(prefix);

	memcpy(text, prefix, len);
	memset(text + len, c, nr);
	text[len + nr] = '\0';
	return parse(text);
}

TEST(a_name_is_an_abstract_socket)
{
	struct shmux__address a;

	ASSERT_EQ(0, shmux__address_parse("Az09._-+@", &a));
	EXPECT_STREQ("Az09._-+@", a.text);
	EXPECT_STREQ("memfd:Az09._-+@", a.memfd);
	EXPECT_EQ(AF_UNIX, a.sun.sun_family);
	EXPECT_EQ(offsetof(struct sockaddr_un, sun_path) + strlen("_shmux/Az09._-+@"), a.sun_len);
	EXPECT_EQ(0, memcmp(a.sun.sun_path, "\0shmux/Az09._-+@", strlen("_shmux/Az09._-+@")));
}

TEST(a_name_is_the_same_to_the_module)
{
	struct shmux__address a;

	ASSERT_EQ(0, shmux__address_parse("Az09._-+@", &a));
	EXPECT_STREQ("kmod:Az09._-+@", a.kmod);
	EXPECT_STREQ("Az09._-+@", a.name);
}

TEST(a_name_with_a_scheme_is_one_of_the_two_that_it_stands_for_without)
{
	struct shmux__address both, kmod, memfd;

	ASSERT_EQ(0, shmux__address_parse("name", &both));
	ASSERT_EQ(0, shmux__address_parse("kmod:name", &kmod));
	ASSERT_EQ(0, shmux__address_parse("memfd:name", &memfd));

	EXPECT_STREQ("kmod:name", kmod.text);
	EXPECT_STREQ(both.kmod, kmod.kmod);
	EXPECT_STREQ(both.name, kmod.name);
	EXPECT_STREQ("", kmod.memfd);
	EXPECT_STREQ("memfd:name", memfd.text);
	EXPECT_STREQ(both.memfd, memfd.memfd);
	EXPECT_STREQ("", memfd.kmod);
	EXPECT_EQ(both.sun_len, memfd.sun_len);
	EXPECT_EQ(0, memcmp(&both.sun, &memfd.sun, sizeof(both.sun)));
}

TEST(a_path_is_a_socket_in_the_file_system)
{
	struct shmux__address a;

	ASSERT_EQ(0, shmux__address_parse("memfd:/run/some dir/socket", &a));
	EXPECT_STREQ("memfd:/run/some dir/socket", a.text);
	EXPECT_STREQ(a.text, a.memfd);
	EXPECT_STREQ("", a.kmod);
	EXPECT_STREQ("/run/some dir/socket", a.sun.sun_path);
	EXPECT_EQ(offsetof(struct sockaddr_un, sun_path) + sizeof("/run/some dir/socket"),
		  a.sun_len);
}

TEST(a_name_has_at_most_64_bytes)
{
	EXPECT_EQ(0, parse_long("", 'x', 64));
	EXPECT_EQ(0, parse_long("memfd:", 'x', 64));
	EXPECT_EQ(0, parse_long("kmod:", 'x', 64));
	EXPECT_EQ(-ENAMETOOLONG, parse_long("", 'x', 65));
	EXPECT_EQ(-ENAMETOOLONG, parse_long("memfd:", 'x', 65));
	EXPECT_EQ(-ENAMETOOLONG, parse_long("kmod:", 'x', 65));
	EXPECT_EQ(-ENAMETOOLONG, parse_long("", 'x', 4096));
}

TEST(a_path_has_at_most_107_bytes)
{
	EXPECT_EQ(0, parse_long("memfd:/", 'x', 106));
	EXPECT_EQ(-ENAMETOOLONG, parse_long("memfd:/", 'x', 107));
	EXPECT_EQ(-ENAMETOOLONG, parse_long("memfd:/", 'x', 4096));
}

TEST(the_longest_path_is_kept_whole)
{
	struct shmux__address a;
	char text[6 + 107 + 1] = "memfd:/";

	memset(text + 7, 'y', 106);
	ASSERT_EQ(0, shmux__address_parse(text, &a));
	EXPECT_STREQ(text, a.text);
	EXPECT_STREQ(text + 6, a.sun.sun_path);
	EXPECT_EQ(sizeof(struct sockaddr_un), a.sun_len);
}

TEST(a_path_of_yamux_is_a_socket_in_the_file_system)
{
	struct shmux__address a;
	char text[11 + 107 + 1] = "yamux+unix:/";

	ASSERT_EQ(0, shmux__address_parse("yamux+unix:/run/some dir/socket", &a));
	EXPECT_EQ(SHMUX_ADDRESS_UNIX, a.kind);
	EXPECT_STREQ("", a.kmod);
	EXPECT_STREQ("", a.memfd);
	EXPECT_STREQ("/run/some dir/socket", a.sun.sun_path);
	EXPECT_EQ(offsetof(struct sockaddr_un, sun_path) + sizeof("/run/some dir/socket"),
		  a.sun_len);
	memset(text + 12, 'y', 106);
	EXPECT_EQ(0, shmux__address_parse(text, &a));
	EXPECT_EQ(-ENAMETOOLONG, parse_long("yamux+unix:/", 'x', 107));
}

TEST(a_port_has_a_host)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} good[] = {
		{ "yamux+tcp:127.0.0.1:80", "127.0.0.1", 80 },
		{ "yamux+tcp:[::1]:65535", "::1", 65535 },
		{ "yamux+tcp:[fe80::1%eth0]:1", "fe80::1%eth0", 1 },
		{ "yamux+tcp:some-host.example:0", "some-host.example", 0 },
		{ "yamux+tcp::7", "", 7 },
	};
	struct shmux__address a;
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		ASSERT_EQ(0, shmux__address_parse(good[i].text, &a));
		EXPECT_EQ(SHMUX_ADDRESS_TCP, a.kind);
		EXPECT_STREQ(good[i].host, a.host);
		EXPECT_EQ(good[i].port, a.port);
	}
}

TEST(descriptors_are_one_or_two_numbers)
{
	struct shmux__address a;

	ASSERT_EQ(0, shmux__address_parse("fd:3", &a));
	EXPECT_EQ(SHMUX_ADDRESS_FD, a.kind);
	EXPECT_EQ(3, a.in);
	EXPECT_EQ(3, a.out);
	ASSERT_EQ(0, shmux__address_parse("fd:0,2147483647", &a));
	EXPECT_EQ(0, a.in);
	EXPECT_EQ(2147483647, a.out);
	ASSERT_EQ(0, shmux__address_parse("stdio:", &a));
	EXPECT_EQ(SHMUX_ADDRESS_STDIO, a.kind);
}

/* Whether @text is cut into those words, up to a NULL. */
static bool is_cut(const char *text, const char *const *words)
{
	char *room = malloc(strlen(text) + 1), *at = room;
	int nr = shmux__words_cut(text, room), i;
	bool same = nr == shmux__words_cut(text, NULL);

	for (i = 0; same && i < nr; i++, at += strlen(at) + 1)
		same = words[i] && !strcmp(words[i], at);
	same = same && nr >= 0 && !words[i] && at <= room + strlen(text) + 1;
	free(room);
	return same;
}

#define WORDS(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(,) NULL })

TEST(a_command_is_cut_at_blanks_unless_they_are_quoted)
{
	EXPECT_TRUE(is_cut("", WORDS()));
	EXPECT_TRUE(is_cut(" \t\n", WORDS()));
	EXPECT_TRUE(is_cut("a", WORDS("a")));
	EXPECT_TRUE(is_cut(" a  b\tc ", WORDS("a", "b", "c")));
	EXPECT_TRUE(is_cut("a\\ b", WORDS("a b")));
	EXPECT_TRUE(is_cut("'a b' \"c d\"", WORDS("a b", "c d")));
	EXPECT_TRUE(is_cut("a'b'\"c\"d", WORDS("abcd")));
	EXPECT_TRUE(is_cut("'' \"\"", WORDS("", "")));
	EXPECT_TRUE(is_cut("'a\\'", WORDS("a\\")));
	EXPECT_TRUE(is_cut("'\"' \"'\"", WORDS("\"", "'")));
	EXPECT_TRUE(is_cut("\"a\\\"b\\\\c\\d\"", WORDS("a\"b\\c\\d")));
	EXPECT_TRUE(is_cut("\\\\ \\'", WORDS("\\", "'")));
	EXPECT_TRUE(is_cut("$HOME *.c `ls` ~ #x", WORDS("$HOME", "*.c", "`ls`", "~", "#x")));
}

TEST(a_command_whose_quotes_do_not_end_is_none)
{
	EXPECT_EQ(-EINVAL, parse("exec:"));
	EXPECT_EQ(-EINVAL, parse("exec:  "));
	EXPECT_EQ(-EINVAL, parse("exec:a 'b"));
	EXPECT_EQ(-EINVAL, parse("exec:a \"b"));
	EXPECT_EQ(-EINVAL, parse("exec:a \"b\\"));
	EXPECT_EQ(-EINVAL, parse("exec:a\\"));
	EXPECT_EQ(0, parse_long("exec:", 'x', SHMUX_ADDRESS_LONG_MAX - 6));
	EXPECT_EQ(-ENAMETOOLONG, parse_long("exec:", 'x', SHMUX_ADDRESS_LONG_MAX - 5));
}

TEST(what_follows_no_rule_is_no_address)
{
	static const char *const texts[] = {
		"", "memfd:", "memfd::name", "memfd:memfd:name", "kmod:", "kmod:/path",
		"kmod:memfd:name", "memfd:kmod:name", "KMOD:name", "tcp:name",
		"name:", ":name", "/run/socket", "a/b", "memfd:a/b", "memfd:./socket", "memfd: name",
		"a b", "name ", " name", "name\n", "a\tb", "na\x7fme", "na\xc3\xa4me", "na%me",
		"MEMFD:name", "memfd:/", "memfd:/run/", "a,b", "a\\b", "a*",
		"yamux+unix:", "yamux+unix:name", "yamux+unix:./x", "yamux+unix:/", "yamux:/x",
		"yamux+tcp:", "yamux+tcp:host", "yamux+tcp:80", "yamux+tcp:host:", "yamux+tcp:host:http",
		"yamux+tcp:host:65536", "yamux+tcp:host:-1", "yamux+tcp:host:01", "yamux+tcp:host:80 ",
		"yamux+tcp:::1:80", "yamux+tcp:[::1]", "yamux+tcp:[::1]80", "yamux+tcp:[::1:80",
		"yamux+tcp:[host]:80", "yamux+tcp:[127.0.0.1]:80", "yamux+tcp:[]:80",
		"yamux+tcp:[::1%]:80x", "yamux+tcp:[::1%a/b]:80", "yamux+tcp:ho st:80",
		"yamux+tcp:a@b:80", "yamux+tcp:host:80:81", "yamux+tcp:host:99999999999999999999",
		"stdio:x", "stdio:0", "fd:", "fd:-1", "fd:a", "fd:1,", "fd:,1", "fd:1,2,3",
		"fd:01", "fd:1 ,2", "fd:2147483648", "fd:99999999999999999999", "EXEC:a",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		EXPECT_EQ(-EINVAL, parse(texts[i])) {
			TH_LOG("text %zu was taken", i);
		}
	EXPECT_EQ(-EINVAL, parse(NULL));
}

TEST(every_byte_is_either_part_of_a_name_or_not_whatever_the_locale)
{
	static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789._-+@";
	char text[] = "a?b";
	int c;

	setlocale(LC_ALL, "");
	for (c = 1; c < 256; c++) {
		text[1] = (char)c;
		EXPECT_EQ(strchr(good, c) ? 0 : -EINVAL, parse(text)) {
			TH_LOG("byte 0x%02x", c);
		}
	}
}

TEST_HARNESS_MAIN
