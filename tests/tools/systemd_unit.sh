#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The unit of contrib/systemd: systemd accepts it, and its sandbox stays as tight as it is.
set -u
unit=${CBD_SOURCE_DIR:?the tree}/contrib/systemd/cbd@.service
command -v systemd-analyze >/dev/null || {
    echo "skipped: systemd-analyze is not installed"
    exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The server need not be installed where this is tested.
sed 's|/usr/bin/nbdkit|/bin/true|' "$unit" >"$work/cbd@x.service"
# What it says of other units of this machine is not ours.
out=$(systemd-analyze verify --man=no "$work/cbd@x.service" 2>&1 | grep -F "cbd@")
if [ -n "$out" ]; then
    echo "systemd-analyze verify: $out"
    exit 1
fi
# "Overall exposure level for cbd@x.service: 1.2 OK": tenths, so that the shell can compare.
level=$(systemd-analyze security --offline=true --no-pager "$work/cbd@x.service" 2>/dev/null |
    sed -n 's/.*Overall exposure level.*: \([0-9]*\)\.\([0-9]\).*/\1\2/p')
[ -n "$level" ] || {
    echo "skipped: systemd-analyze security cannot look at files here"
    exit 77
}
echo "exposure level $((level / 10)).$((level % 10))"
[ "$((10#$level))" -le 20 ]
