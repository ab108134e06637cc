#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# ctest: timeout=300
# Power cuts under a database: SQLite on ext4 on the recorded server. Each commit that was answered
# is written down outside. After a cut at any place the file system is clean, the database is whole,
# and no commit is missing that was answered before; with the pmem thrown away the disk alone holds a
# whole database. CUTS: places that are judged by cbd-sim; OPENED: places at which the database is
# opened. (scripts/campaign e2e runs it with large numbers.)
disk_bytes=64M cache_bytes=12M share_bytes=6M
. "$(dirname "$0")/lib.bash"
need_mount
need sqlite3 mkfs.ext4 e2fsck stdbuf
stamp=$bin/tests/stamp
[ -x "$stamp" ] || skip "stamp was not built: libnbd-dev"
cuts=${CUTS:-6} opened=${OPENED:-6} commits=${COMMITS:-150} seed=${SEED:-1}

make_cache
serve
attach_export
check "mkfs" mkfs.ext4 -q -F "$loop"
mount_at "$loop" mnt
sqlite3 mnt/db "PRAGMA journal_mode=${JOURNAL:-WAL}; CREATE TABLE t(n INTEGER PRIMARY KEY, x);" >/dev/null
umount_at mnt
detach_export
stop

serve record=run.record writeback-on-exit=false
attach_export
mount_at "$loop" mnt
for n in $(seq "$commits"); do
    echo "INSERT INTO t VALUES($n, hex(randomblob($((n * 97 % 3000)))));"
    [ $((n % 40)) -ne 0 ] || echo "PRAGMA wal_checkpoint;"
    [ $((n % 9)) -ne 0 ] || echo "UPDATE t SET x = hex(randomblob(300)) WHERE n = $((n / 2 + 1));"
    echo "SELECT 'acknowledged', $n;"
done >commands
# Every statement is a transaction of its own, synchronous.
(echo "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=60;"; cat commands) |
    timeout 600 stdbuf -oL sqlite3 mnt/db | "$stamp" >ledger
check "all commits" sh -c "tail -n 1 ledger | grep -q 'acknowledged|$commits\$'"
umount_at mnt
detach_export
stop

check "no violation" timeout $((250 + cuts / 2)) "$bin/cbd-sim" cut run.record --random "$cuts" --seed "$seed"
cat check.log
check "images" "$bin/cbd-sim" cut run.record --random "$opened" --seed $((seed + 1)) --subsets 3 --out cut

# look FOLDER: the state of the database on this disk, in $have; fails when it is not whole.
look() {
    mount_at "$1/disk0.img" at || return 1
    have=$(sqlite3 at/db "PRAGMA integrity_check; SELECT count(*), coalesce(max(n), 0) FROM t;" | tr '\n' ' ')
    umount_at at
    [ "${have%% *}" = ok ] || { echo "database: $have"; return 1; }
    have=${have#ok }
    # Commits are there one after the other: as many as the number of the last one.
    [ "${have%%|*}" = "$(echo "${have##*|}" | tr -d ' ')" ] || { echo "gaps: $have"; return 1; }
    have=${have%%|*}
    e2fsck -fn "$1/disk0.img"
}

most=0
for dir in cut/*/; do
    time_ns=$(sed -n 's/^time_ns //p' "$dir/cut.txt")
    owed=$(awk -v t="$time_ns" '/acknowledged/ && $1 <= t { split($2, a, "|"); n = a[2] } END { print n + 0 }' ledger)
    cp -r "$dir" bare
    rm bare/pmem.img
    check "$dir: the disk without the pmem" look bare
    rm -rf bare
    check "$dir: write back" "$bin/cbd-ctl" "$dir/pmem.img" writeback disk0 --backing "$dir/disk0.img"
    check "$dir: the database" look "$dir"
    check "$dir: owed $owed commits, $have are there" test "$have" -ge "$owed"
    [ "$owed" -le "$most" ] || most=$owed
    rm -rf "$dir"
done
check "there was something to lose" test "$most" -gt 0
finish
