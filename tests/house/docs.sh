#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: every directory says what it is for, the documents' links lead somewhere, the man pages keep up
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tool=${BUILD:-build}/shmux
bad=0

complain()
{
	echo "$*"
	bad=1
}

# Directories whose parent's README speaks for them.
exempt=" .ci LICENSES man debian/source libshmux/include libshmux/include/shmux uapi/linux tools/bench tests/unit tests/lib tests/tool tests/trust tests/interop tests/kmod tests/vm tests/house tests/common "
while IFS= read -r dir; do
	case $exempt in *" $dir "*) continue ;; esac
	case $dir in tests/fuzz/corpus*) continue ;; esac
	[ -s "$dir/README.md" ] || complain "$dir has no README.md"
done < <(find . -mindepth 1 \( -name .git -o -path ./build \) -prune -o -type d ! -empty -print | sed 's|^\./||')
for file in README.md CONTRIBUTING.md NEWS COPYING; do
	[ -s $file ] || complain "$file is missing"
done

# Relative links of the documents.
while IFS=: read -r file link; do
	link=${link#*](} link=${link%)} link=${link%%#*}
	case $link in '' | *://* | mailto:*) continue ;; esac
	[ -e "$(dirname "$file")/$link" ] || complain "$file: its link to $link leads nowhere"
done < <(grep -roE --include='*.md' --exclude-dir=build --exclude-dir=.git '\]\([^) ]+\)' .)

# Each subcommand that --help lists (two blanks, the name, two blanks) is in the man page.
if [ -x "$tool" ] && [ -f man/shmux.1 ]; then
	commands=$("$tool" --help | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p; s/^  shmux \([a-z]*\).*/\1/p' | sort -u)
	[ -n "$commands" ] || complain "shmux --help lists no subcommand"
	for command in $commands; do
		grep -qw -- "$command" man/shmux.1 man/shmux-*.1 2>/dev/null ||
			complain "man/shmux.1 does not mention the subcommand $command"
	done
fi

# What the device is asked and answers is in its man page; its example compiles.
words=$(grep -oE '\bSHMUX_(IOC|LISTEN|KICK|WAIT|MMAP)_[A-Z_]+|\bE(POLL)?[A-Z0-9]{4,}\b|^\s__[us](32|64|8) [a-z_]+' uapi/linux/shmux.h |
	sed 's/.* //' | grep -vE '^(SHMUX_IOC_TYPE|pad)$' | sort -u)
[ -n "$words" ] || complain "uapi/linux/shmux.h says nothing"
for word in $words; do
	grep -qw -- "$word" man/shmux.4 || complain "man/shmux.4 does not mention $word"
done
sed -n '/example: device\.c/,/\. *end$/p' man/shmux.4 | grep -v '^\.' |
	gcc -std=gnu11 -Wall -Wextra -Werror -fsyntax-only -Iuapi -x c - || complain "the example of man/shmux.4 does not compile"
exit $bad
