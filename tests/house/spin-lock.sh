#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: of threads that share a lock which is given back by a plain store one holds it at a time, none sleeps on, and each planted fault is found
exec "${SRC:-$(dirname "$0")/../..}/tests/spin/verify" "${SRC:-$(dirname "$0")/../..}/tests/spin/lock.pml"
