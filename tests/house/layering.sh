#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: includes point down the table of layers only
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1

layer_of()
{
	case $1 in
	uapi/*) layer=uapi ;;
	kmod/*) layer=kmod ;;
	libshmux/include/*) layer=public ;;
	libshmux/base/*) layer=base ;;
	libshmux/region/*) layer=region ;;
	libshmux/link/*) layer=link ;;
	libshmux/core/*) layer=core ;;
	libshmux/facade/*) layer=facade ;;
	tools/*) layer=tools ;;
	examples/raw-device.c) layer=raw ;;
	examples/*) layer=examples ;;
	tests/unit/* | tests/trust/* | tests/fuzz/* | tests/count/*) layer=unit ;;
	tests/tool/*) layer=tool ;;
	tests/*) layer=tests ;;
	*) layer=unknown ;;
	esac
}

# What each layer may include of ours. The public headers hold types, and may
# be included from all over the library but base, which knows nothing of ours.
may_include()
{
	case $1 in
	uapi) echo uapi ;;
	kmod) echo kmod uapi ;;
	public) echo public ;;
	base) echo base ;;
	region) echo region base uapi public ;;
	link) echo link region base uapi public ;;
	core) echo core link region base uapi public ;;
	facade) echo facade core link region base uapi public ;;
	tools) echo tools uapi public ;;
	examples) echo examples public ;;
	raw) echo uapi ;;
	tests) echo tests examples raw uapi public ;;
	tool) echo tool tests examples tools uapi public ;;
	unit) echo unit tests facade core link region base uapi public ;;
	esac
}

# Sets target to the file of ours that NAME means when included from FILE, or
# to nothing if it is somebody else's.
resolve()
{
	local file=$1 kind=$2 name=$3 dir

	target=
	[ "$kind" = '"' ] && set -- "${file%/*}" || set --
	for dir in "$@" libshmux/include uapi libshmux tools tests; do
		if [ -f "$dir/$name" ]; then
			target=$(realpath --relative-to=. "$dir/$name")
			return
		fi
	done
}

bad=0 seen=0
pattern='^([^:]+):([0-9]+):[[:space:]]*#[[:space:]]*include[[:space:]]*([<"])([^>"]+)[>"]'
while IFS= read -r line; do
	[[ $line =~ $pattern ]] || continue
	file=${BASH_REMATCH[1]} where="${BASH_REMATCH[1]}:${BASH_REMATCH[2]}"
	kind=${BASH_REMATCH[3]} name=${BASH_REMATCH[4]}
	seen=$((seen + 1))
	resolve "$file" "$kind" "$name"
	if [ -z "$target" ]; then
		# A quoted header that is not in the tree is a guess at one, save the
		# kernel's test harness.
		if [ "$kind" = '"' ] && [[ $name != kselftest*.h ]]; then
			echo "$where: there is no header \"$name\" of ours"
			bad=1
		fi
		continue
	fi
	layer_of "$file" && from=$layer
	layer_of "$target" && to=$layer
	case " $(may_include "$from") " in
	*" $to "*) ;;
	*)
		echo "$where: $from may not include $target, which belongs to $to"
		bad=1
		;;
	esac
done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include' --include='*.[chS]' \
	uapi kmod libshmux tools examples tests 2>/dev/null)

for file in libshmux/*/*.c libshmux/*.[ch]; do
	[ -f "$file" ] || continue
	layer_of "$file"
	[ $layer = unknown ] && echo "$file: this is in no layer" && bad=1
done
[ $seen -gt 0 ] || { echo "no include was found at all"; bad=1; }
exit $bad
