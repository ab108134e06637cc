#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A build that is meant for use has no canary in it, and says how to get one that has.
. "$(dirname "$0")/lib.bash"

if "$bin/cbd-sim" canaries --canary none --strategy contract >/dev/null 2>&1; then
    exit 77 # a build for the simulator
fi
expect 8 cbd-sim canaries
says "this build has no canaries"
expect 0 cbd-sim canaries --help
says "cmake --preset canaries"
expect 0 cbd-sim canaries --list
says "GENERATION_KEPT"
expect 16 cbd-sim canaries --canary NO_SUCH_BUG
expect 16 cbd-sim canaries --strategy nothing
expect 16 cbd-sim canaries --jobs 0
if command -v nm >/dev/null && nm "$CBD_BIN_DIR/cbd-sim" 2>/dev/null | grep -qw cbd_canary; then
    flunk "the switch of the canaries is in a build that has none"
fi
finish
