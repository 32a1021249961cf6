#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# PROVES: the faults of tests/planted can still be put into the module
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1

bad=0
for patch in tests/planted/*.patch; do
	patch --dry-run -s -p1 <"$patch" || bad=1
	grep -q '^Found: .' "$patch" || { echo "$patch does not say what it is found by" && bad=1; }
done
exit $bad
