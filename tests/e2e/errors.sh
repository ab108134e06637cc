#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A disk that fails: nbdkit's error filter behind a file of nbdfuse is the backing device. Clients get
# EIO for what cannot be read, and for nothing else; write-back that fails is tried again and
# succeeds when the disk is back; an end of the server while it is away loses nothing.
disk_bytes=32M cache_bytes=12M share_bytes=8M
. "$(dirname "$0")/lib.bash"
[ "$(id -u)" -eq 0 ] && [ -c /dev/fuse ] || skip "FUSE needs root here"
need nbdfuse fusermount3 qemu-io
[ -f "$(nbdkit --dump-config | sed -n 's/^filterdir=//p')/nbdkit-error-filter.so" ] ||
    skip "nbdkit has no error filter"

bad_fuse=""
bad_server=""
cleanup_more() {
    [ -z "$server" ] || kill -9 "$server" # it holds the file
    [ -z "$bad_fuse" ] || timeout 30 fusermount3 -u bad/nbd || fusermount3 -uz bad/nbd
    [ -z "$bad_server" ] || kill "$bad_server"
}

truncate -s 32M real.img
mkdir bad
: >bad/nbd
nbdkit -f -U bad.socket --filter=error file real.img error=EIO error-rate=100% \
    error-file="$work/away" >bad.log 2>&1 &
bad_server=$!
for n in $(seq 100); do [ -S bad.socket ] && break || sleep 0.05; done
nbdfuse bad/nbd "nbd+unix:///?socket=$work/bad.socket" >nbdfuse.log 2>&1 &
bad_fuse=$!
for n in $(seq 100); do [ "$(stat -c %s bad/nbd)" = 0 ] && sleep 0.05 || break; done

"$bin/cbd-format" --create "$cache_bytes" --segment-size 256K cache.img >make.log 2>&1
"$bin/cbd-ctl" cache.img backend add disk0 --backing bad/nbd --cache-size "$share_bytes" >>make.log 2>&1
io() { timeout 120 qemu-io -f raw "$uri" "$@" 2>&1; }

serve space-timeout=60s
check "a write while all is well" io -c "write -P 1 0 1M" -c flush
touch away
check "what is cached can be read" io -c "read -P 1 0 1M"
io -c "read 8M 4k" >read.log 2>&1
check "what is not cached cannot" grep -q "Input/output error" read.log
check "the next one is served" io -c "read -P 1 512k 64k"
check "writes go on" io -c "write -P 2 1M 3M" -c flush -c "write -f -P 3 100k 64k"
sleep 0.5 # write-back fails meanwhile
check "the server lives" kill -0 "$server"
check "and has what was written" io -c "read -P 2 1M 3M" -c "read -P 3 100k 64k"
rm away
check "the disk is back: more than the cache holds" io -c "write -P 4 4M 20M" -c flush
check "what could not be read can be" io -c "read -P 4 8M 4k"
check "everything is as it was written" io -c "read -P 1 0 100k" -c "read -P 3 100k 64k" \
    -c "read -P 2 1M 3M" -c "read -P 4 4M 20M" -c "read -P 0 24M 8M"

# The end of the server comes while the disk is away.
check "more" io -c "write -P 5 30M 1M"
touch away
check "and more" io -c "write -P 6 31M 1M"
kill -TERM "$server"
ended "$server"
server=""
check "it says what is left" says server.log "not all was written back"
rm away
check "cbd-ctl writes it back" "$bin/cbd-ctl" cache.img writeback disk0 --backing bad/nbd
check_clean
check "the bare disk" timeout 60 qemu-io -f raw real.img -c "read -P 5 30M 1M" -c "read -P 6 31M 1M" \
    -c "read -P 4 4M 20M" -c "read -P 3 100k 64k"
finish
