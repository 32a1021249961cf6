#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: whoever waits or polls is told of a peer that dies at any step, after all that it had published, and each planted fault is found
exec "${SRC:-$(dirname "$0")/../..}/tests/spin/verify" "${SRC:-$(dirname "$0")/../..}/tests/spin/death.pml"
