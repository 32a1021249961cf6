#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: whoever waits for room in the ring or the return ring, blocked or in an event loop, gets it, with both rings full too, and each planted fault is found
exec "${SRC:-$(dirname "$0")/../..}/tests/spin/verify" "${SRC:-$(dirname "$0")/../..}/tests/spin/room.pml"
