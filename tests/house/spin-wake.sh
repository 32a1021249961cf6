#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: no interleaving of publish, look and kick with arm, look again and sleep loses a wake-up, wherever the waker dies, and each planted fault is found
exec "${SRC:-$(dirname "$0")/../..}/tests/spin/verify" "${SRC:-$(dirname "$0")/../..}/tests/spin/wake.pml"
