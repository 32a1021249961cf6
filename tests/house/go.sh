#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: gofmt and go vet have nothing against our programs in Go
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0

command -v go gofmt >"$tmp/go" || { echo "golang-go is not installed"; exit 1; }
[ -d "${GOCODE:-/usr/share/gocode}/src/github.com/hashicorp/yamux" ] ||
	{ echo "golang-github-hashicorp-yamux-dev is not installed"; exit 1; }
[ -d "${GOCODE:-/usr/share/gocode}/src/github.com/xtaci/smux" ] ||
	{ echo "golang-github-xtaci-smux-dev is not installed"; exit 1; }
export GO111MODULE=off GOENV=off GOFLAGS= GOPROXY=off GOPATH=${GOCODE:-/usr/share/gocode} GOCACHE=$tmp/cache
while IFS= read -r dir; do
	gofmt -l "$dir"/*.go >"$tmp/out" 2>&1 && [ ! -s "$tmp/out" ] || {
		echo "$dir: gofmt would write these otherwise:"
		cat "$tmp/out"
		bad=1
	}
	go vet "$dir"/*.go >"$tmp/out" 2>&1 || {
		echo "$dir: go vet complains:"
		cat "$tmp/out"
		bad=1
	}
done < <(find . \( -name .git -o -path ./build \) -prune -o -name '*.go' -printf '%h\n' | sort -u)
exit $bad
