#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: the ring, the return ring and both looks hold on a processor that reorders all that no barrier forbids, and each missing barrier is found
exec "${SRC:-$(dirname "$0")/../..}/tests/spin/verify" "${SRC:-$(dirname "$0")/../..}/tests/spin/ring.pml"
