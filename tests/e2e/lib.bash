# SPDX-License-Identifier: BSD-2-Clause
# For the scripts beside it: a scratch directory, a cache, and a server for it.
#
#   need COMMAND...      skips the test when one is missing
#   make_cache           cache.img with backend disk0 on disk.img
#   serve [PARAMETERS]   starts nbdkit on cache.img; $uri is the export, $server its process
#   stop                 ends it as an administrator does, and checks how it ended
#   ended PROCESS        waits for it, but not for ever
#
# E2E_SECONDS in the environment: after so long whatever the test waits for is named and killed, and
# the test fails (ctest sets less than its own limit, so that a test cleans up behind itself).
#
#   check                a condition with a name; failures are counted
#   finish               the last line
set -u -o pipefail
bin=${CBD_BIN_DIR:?the directory of the tools}
plugin=$bin/nbdkit-cbd-plugin.so
tests=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/cbd-e2e.XXXXXX")
server=""
failures=0
cd "$work" || exit 1

# A test that mounts or serves more adds to this; nothing may outlive it.
cleanup_more() { :; }
cleanup() {
    [ "$BASHPID" = $$ ] || return # a child that a signal ended before it was the program
    trap - EXIT
    trap '' TERM INT
    cleanup_more
    release_mounts 2>/dev/null
    [ -z "$server" ] || kill -9 "$server" 2>/dev/null
    sweep 2>/dev/null
    cd /
    rm -rf --one-file-system "$work"
}

# What a test that failed in the middle has left in its folder: mounts, loop devices, processes.
sweep() {
    local at device
    kill -9 $watchdog $(descendants "$$") # in this order: its clock ends with the rest
    for at in $(awk -v w="$work/" 'index($2, w) == 1 { print $2 }' /proc/mounts | sort -r); do
        timeout 20 umount "$at" || umount -l "$at"
    done
    for device in $(losetup -n -l -O NAME,BACK-FILE | awk -v w="$work/" 'index($2, w) == 1 { print $1 }'); do
        losetup -d "$device"
    done
    for at in $(awk -v w="$work/" 'index($2, w) == 1 { print $2 }' /proc/mounts | sort -r); do
        umount -l "$at"
    done
}

# descendants PROCESS: those below it, without this call's own.
descendants() {
    ps -e -o pid=,ppid=,comm= | awk -v top="$1" '
        { parent[$1] = $2; name[$1] = $3 }
        END {
            for (p in parent) {
                for (q = p; q > 1 && q != top; q = parent[q]) if (name[q] ~ /^(ps|awk)$/) break
                if (q == top && p != top) print p
            }
        }'
}

# bash runs no trap while it waits for a command in the foreground, so what it waits for has to end.
watch() {
    local process
    trap - EXIT TERM INT
    sleep "$1" &
    wait $!
    echo "FAILED: the test has not ended within $1 s; it waits for:"
    for process in $(descendants "$2"); do
        [ "$process" != "$BASHPID" ] && [ -e "/proc/$process" ] || continue
        echo "    $process: $(tr '\0' ' ' <"/proc/$process/cmdline" | head -c 200), in $(cat "/proc/$process/wchan")"
    done
    sed 's/^/    server: /' server.log | tail -n 20
    kill -TERM "$2"
    for process in $(descendants "$2"); do
        [ "$process" = "$BASHPID" ] || kill -9 "$process"
    done
} 2>/dev/null
watchdog=""
trap cleanup EXIT
trap 'exit 1' TERM INT
if [ "${E2E_SECONDS:-0}" -gt 0 ]; then
    watch "$E2E_SECONDS" $$ &
    watchdog=$!
    disown "$watchdog"
fi

skip() {
    echo "skipped: $*"
    exit 77
}

need() {
    local command
    for command in "$@"; do
        command -v "$command" >/dev/null || skip "$command is not installed (scripts/deps.txt)"
    done
}

# What mounting needs: root, FUSE, loop devices.
need_mount() {
    [ "$(id -u)" -eq 0 ] || skip "mounting needs root"
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    [ -c /dev/loop-control ] || skip "no /dev/loop-control"
    need nbdfuse losetup fusermount3
}

check() {
    local what=$1
    shift
    if ! "$@" >check.log 2>&1; then
        echo "FAILED: $what: $*"
        sed 's/^/    /' check.log | tail -n 20
        failures=$((failures + 1))
        return 1
    fi
}

check_not() {
    local what=$1
    shift
    if "$@" >check.log 2>&1; then
        echo "FAILED: $what: it went well: $*"
        failures=$((failures + 1))
    fi
}

# says FILE TEXT
says() { grep -qF -- "$2" "$1"; }

finish() {
    if [ "$failures" -eq 0 ]; then
        echo "all as expected"
        exit 0
    fi
    [ ! -f server.log ] || sed 's/^/    server: /' server.log | tail -n 20
    echo "$failures failed"
    exit 1
}

need nbdkit
[ -f "$plugin" ] || skip "the plugin was not built: nbdkit-plugin-dev"
# A sanitizer's runtime has to be there before the plugin is.
runtime=$(ldd "$plugin" | sed -n 's/.*=> \(.*lib[at]san[^ ]*\).*/\1/p')
case "$runtime" in
*tsan*) skip "nbdkit itself is not built for ThreadSanitizer; test_front is the test" ;;
esac
# The page cache outlives the process: no msync is needed to survive a kill. Power cuts are another
# matter, see the tests with record=.
export PMEM2_FORCE_GRANULARITY=CACHE_LINE

# In a subshell or in the background: it becomes nbdkit.
run_nbdkit() {
    if [ -n "$runtime" ]; then
        # The second one makes the first start early: without it nbdkit hangs when it ends.
        exec env LD_PRELOAD="$runtime $bin/tests/asan_early.so" ASAN_OPTIONS=detect_leaks=0 nbdkit "$@"
    else
        exec nbdkit "$@"
    fi
}

disk_bytes=${disk_bytes:-128M}
cache_bytes=${cache_bytes:-24M}
make_cache() {
    rm -f cache.img disk.img
    "$bin/cbd-format" --create "$cache_bytes" --segment-size 256K cache.img >make.log 2>&1 &&
        truncate -s "$disk_bytes" disk.img &&
        "$bin/cbd-ctl" cache.img backend add disk0 --backing disk.img \
            --cache-size "${share_bytes:-16M}" "$@" >>make.log 2>&1 || {
        cat make.log
        exit 1
    }
}

socket=$work/socket
uri="nbd+unix:///?socket=$socket"
serve() {
    rm -f "$socket" server.pid
    run_nbdkit -f -U "$socket" -P server.pid "$plugin" cache.img "$@" >>server.log 2>&1 &
    server=$!
    local n
    for n in $(seq 200); do
        [ ! -s server.pid ] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    echo "FAILED: the server does not start"
    tail -n 20 server.log
    server=""
    exit 1
}

# Returns what the child has returned. One that does not end in time fails the test, is described and
# killed: no test may hang.
ended() {
    local n wait_seconds=${END_SECONDS:-90}
    for n in $(seq $((wait_seconds * 20))); do
        kill -0 "$1" 2>/dev/null || break
        sleep 0.05
    done
    if kill -0 "$1" 2>/dev/null; then
        echo "FAILED: process $1 ($(cat "/proc/$1/comm")) does not end within $wait_seconds s"
        grep -H . "/proc/$1"/task/*/{wchan,syscall} 2>/dev/null | sed 's/^/    /'
        failures=$((failures + 1))
        kill -9 "$1"
    fi
    wait "$1"
}

stop() {
    local status=0
    kill -TERM "$server"
    ended "$server" || status=$?
    server=""
    check "the server ends with 0 (got $status)" test "$status" -eq 0
}

kill_server() {
    kill -9 "$server" 2>/dev/null # it may have ended
    ended "$server" 2>/dev/null
    server=""
}

# --- the export as a block device: nbdfuse makes a file of it, a loop device a device ---

loop=""
fuse=""
mounted=""
# attach_export: $loop is the block device.
attach_export() {
    mkdir -p fuse
    : >fuse/nbd
    nbdfuse fuse/nbd "$uri" >nbdfuse.log 2>&1 &
    fuse=$!
    local n
    for n in $(seq 400); do
        [ "$(stat -c %s fuse/nbd 2>/dev/null || echo 0)" = 0 ] || break
        kill -0 "$fuse" 2>/dev/null || break
        sleep 0.05
    done
    if [ "$(stat -c %s fuse/nbd 2>/dev/null || echo 0)" = 0 ]; then
        echo "FAILED: nbdfuse has no file of the export after 20 s"
        cat nbdfuse.log
        exit 1
    fi
    loop=$(losetup -f --show fuse/nbd) || {
        cat nbdfuse.log
        fusermount3 -u fuse/nbd
        skip "no loop device can be made here"
    }
}

detach_export() {
    local n
    [ -z "$loop" ] || losetup -d "$loop"
    loop=""
    if [ -n "$fuse" ]; then
        for n in $(seq 100); do # udev may still look at the loop device
            timeout 30 fusermount3 -u fuse/nbd 2>umount.log && break
            sleep 0.1
        done
        [ "$n" -lt 100 ] || { cat umount.log; fusermount3 -uz fuse/nbd; }
        ended "$fuse"
    fi
    fuse=""
}

mount_at() { # DEVICE_OR_FILE FOLDER [OPTIONS]
    mkdir -p "$2"
    if timeout 120 mount -o "${3:-defaults}$([ -b "$1" ] || printf ,loop)" "$1" "$2" 2>mount.log; then
        mounted="$2 $mounted"
    else
        cat mount.log
        return 1
    fi
}

umount_at() {
    timeout 120 umount "$1" && mounted=$(printf '%s' "$mounted" | sed "s|$1 ||")
}

release_mounts() {
    local at
    for at in $mounted; do timeout 30 umount "$at" || umount -l "$at"; done
    mounted=""
    detach_export
}

# Nothing dirty, nothing wrong: what a clean end leaves.
check_clean() {
    check "fsck" "$bin/cbd-check" -f cache.img
    check "detached" sh -c "'$bin/cbd-ctl' cache.img stat | grep -q 'state *detached'"
}
