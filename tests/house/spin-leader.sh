#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: of several that wait in one process, blocked or in an event loop, none sleeps on, and each planted fault is found
exec "${SRC:-$(dirname "$0")/../..}/tests/spin/verify" "${SRC:-$(dirname "$0")/../..}/tests/spin/leader.pml"
