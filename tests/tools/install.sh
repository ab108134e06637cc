#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# What `cmake --install` puts where, and that it works from there.
. "$(dirname "$0")/lib.bash"

[ -e "$bin/../man/cbd.5" ] || { echo "a build under sanitizers has no man pages: not installed"; exit 77; }
DESTDIR=$work/root cmake --install "$bin/.." --prefix /usr >out 2>err ||
    { command="cmake --install"; flunk "$(tail -3 err)"; finish; }
command="cmake --install"
for file in sbin/cbd-format sbin/cbd-check sbin/cbd-dump sbin/cbd-ctl bin/cbd-sim \
    share/man/man8/cbd-format.8 share/man/man8/cbd-check.8 share/man/man8/cbd-dump.8 \
    share/man/man8/cbd-ctl.8 share/man/man1/cbd-sim.1 share/man/man5/cbd.5 \
    share/bash-completion/completions/cbd-format share/bash-completion/completions/cbd-sim \
    lib/udev/rules.d/90-cbd-guard.rules share/cbd-cache/magic \
    share/doc/cbd-cache/copyright share/doc/cbd-cache/format.md include/cbd/cache.h; do
    [ -s "root/usr/$file" ] || flunk "$file is not installed"
done
for tool in root/usr/sbin/cbd-* root/usr/bin/cbd-*; do
    [ "$("$tool" -V | cut -d' ' -f1)" = "$(basename "$tool")" ] || flunk "$tool -V"
    ls "root/usr/share/man/man"*"/$(basename "$tool")".[1-8] >/dev/null 2>&1 ||
        flunk "$tool has no man page"
    [ -s "root/usr/share/bash-completion/completions/$(basename "$tool")" ] ||
        flunk "$tool has no completion"
done
bin=$work/root/usr/sbin
expect 0 cbd-format --create 8M --segment-size 64K cache
expect 0 cbd-check -f cache
expect 0 cbd-dump cache
expect 0 cbd-ctl cache stat
finish
