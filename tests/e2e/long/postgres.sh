#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Power cuts under PostgreSQL, as tests/e2e/sqlite.sh does it for SQLite: pgbench beside a client that
# commits numbered rows; each commit that was answered is written down outside. After a cut at any
# place the server starts, and no commit is missing that was answered before; with the pmem thrown
# away it starts on the disk alone. CUTS: places judged by cbd-sim; OPENED: places at which it is
# started, each with the cache and without.
disk_bytes=512M cache_bytes=64M share_bytes=48M
. "$(dirname "$0")/../lib.bash"
need_mount
need mkfs.ext4 e2fsck stdbuf psql
pgbin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -x "${pgbin:-/none}/initdb" ] && id postgres >/dev/null 2>&1 || skip "postgresql is not installed"
stamp=$bin/tests/stamp
cuts=${CUTS:-100} opened=${OPENED:-10} seconds=${SECONDS_OF_WORK:-6} seed=${SEED:-1}
chmod 711 "$work"

as_postgres() {
    setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups env -i \
        PATH="$PATH" LC_ALL=C PGHOST="$sockets" "$@"
}
sockets=$work/sockets
mkdir "$sockets"
chown postgres "$sockets"

# start_pg FOLDER, stop_pg FOLDER MODE
start_pg() {
    as_postgres "$pgbin/pg_ctl" -s -w -t 60 -D "$1/pg" -l "$sockets/log" \
        -o "-k $sockets -c listen_addresses='' -c shared_buffers=16MB -c max_wal_size=64MB -c checkpoint_timeout=30s" start
}
stop_pg() { as_postgres "$pgbin/pg_ctl" -s -w -t 60 -D "$1/pg" -m "$2" stop; }
query() { as_postgres timeout 120 psql -qAtX -d postgres "$@"; }

make_cache
serve
attach_export
check "mkfs" mkfs.ext4 -q -F "$loop"
mount_at "$loop" mnt
mkdir mnt/pg
chown postgres mnt/pg
chmod 700 mnt/pg
check "initdb" as_postgres "$pgbin/initdb" -A trust --data-checksums -D mnt/pg
check "start" start_pg mnt
query -c "CREATE TABLE t(n integer PRIMARY KEY, x text)"
as_postgres "$pgbin/pgbench" -q -i -s 1 postgres >/dev/null 2>&1
check "stop" stop_pg mnt fast
umount_at mnt
detach_export
stop

serve record=run.record record-max=4G writeback-on-exit=false
attach_export
mount_at "$loop" mnt
check "start" start_pg mnt
as_postgres "$pgbin/pgbench" -c 3 -T "$seconds" postgres >pgbench.log 2>&1 &
bench=$!
for n in $(seq 100000); do
    echo "INSERT INTO t VALUES($n, repeat(md5('$n'), 20));"
    echo "SELECT 'acknowledged', $n;"
done >commands
timeout "$seconds" stdbuf -oL setpriv --reuid=postgres --regid="$(id -g postgres)" --init-groups \
    psql -h "$sockets" -qAtX -d postgres <commands | "$stamp" >ledger
END_SECONDS=$((seconds + 90)) ended "$bench"
check "stop" stop_pg mnt fast
umount_at mnt
detach_export
stop
echo "$(wc -l <ledger) commits, $(stat -c %s run.record) bytes of record"

check "no violation" timeout 6000 "$bin/cbd-sim" cut run.record --random "$cuts" --seed "$seed"
cat check.log

# look FOLDER: starts it there; $have is the number of the last commit.
look() {
    local gaps
    mount_at "$1/disk0.img" at || return 1
    rm -f at/pg/postmaster.pid
    start_pg at || { tail "$sockets/log"; umount_at at; return 1; }
    have=$(query -c "SELECT coalesce(max(n), 0) FROM t")
    gaps=$(query -c "SELECT coalesce(max(n), 0) - count(*) FROM t")
    # Money moves only inside a transaction.
    sums=$(query -c "SELECT (SELECT sum(abalance) FROM pgbench_accounts) - (SELECT sum(bbalance) FROM pgbench_branches)")
    query -c "SELECT count(*) FROM t WHERE x <> repeat(md5(n::text), 20)" >wrong.txt
    stop_pg at fast
    umount_at at
    [ "$(cat wrong.txt)" = 0 ] && [ "$sums" = 0 ] && [ "$gaps" -le 1 ] || {
        echo "have $have, gaps $gaps, sums $sums, wrong $(cat wrong.txt)"
        return 1
    }
    e2fsck -fn "$1/disk0.img"
}

check "images" "$bin/cbd-sim" cut run.record --random "$opened" --seed $((seed + 1)) --subsets 3 --out cut
most=0 started=0
for dir in cut/*/; do
    time_ns=$(sed -n 's/^time_ns //p' "$dir/cut.txt")
    owed=$(awk -v t="$time_ns" '/acknowledged/ && $1 <= t { split($2, a, "|"); n = a[2] } END { print n + 0 }' ledger)
    cp -r "$dir" bare
    check "$dir: the disk without the pmem" look bare && started=$((started + 1))
    rm -rf bare
    check "$dir: write back" "$bin/cbd-ctl" "$dir/pmem.img" writeback disk0 --backing "$dir/disk0.img"
    check "$dir: the database" look "$dir" && started=$((started + 1))
    check "$dir: owed $owed commits, $have are there" test "${have:-0}" -ge "$owed"
    [ "$owed" -le "$most" ] || most=$owed
    rm -rf "$dir"
done
echo "started $started times after a power cut, up to $most commits owed"
check "there was something to lose" test "$most" -gt 0
finish
