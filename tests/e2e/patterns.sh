#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# The same random qemu-io commands for the cache and for a plain file: writes, FUA, flushes,
# discards, write-zeroes with and without unmap. Then both are compared, through the server and on
# the bare disk. SEEDS in the environment: how many rounds.
disk_bytes=32M cache_bytes=12M share_bytes=4M
. "$(dirname "$0")/lib.bash"
need qemu-io qemu-img

# commands SEED COUNT: awk's own generator differs between versions, this one does not.
commands() {
    awk -v seed="$1" -v count="$2" '
        function draw(n) { seed = (seed * 16807) % 2147483647; return seed % n }
        BEGIN {
            for (i = 0; i < count; i++) {
                len = draw(3) == 0 ? 512 * (1 + draw(16)) : 4096 * (1 + draw(24))
                off = 512 * draw((33554432 - len) / 512)
                if (draw(2)) off -= off % 4096
                if (draw(4) == 0) off = 512 * draw(2048) # some place is hot
                kind = draw(12)
                if (kind < 4) printf "write -P %d %d %d\n", 1 + draw(255), off, len
                else if (kind < 6) printf "write -f -P %d %d %d\n", 1 + draw(255), off, len
                else if (kind == 6) printf "write -z %d %d\n", off, len
                else if (kind == 7) printf "write -z -u %d %d\n", off, len * (1 + draw(40)) % (33554432 - off) + 512 - (len * (1 + draw(40)) % 512)
                else if (kind == 8) printf "discard %d %d\n", off, len
                else if (kind == 9) printf "write -z -f %d %d\n", off, len
                else if (kind == 10) print "flush"
                else printf "read %d %d\n", off, len
            }
        }' | awk '!/write -z -u/ { print; next } { len = $5 - $5 % 512; if (len == 0) len = 512
                  if ($4 + len > 33554432) len = 33554432 - $4
                  print $1, $2, $3, $4, len }'
}

for seed in $(seq "${SEEDS:-3}"); do
    make_cache
    rm -f plain.img
    truncate -s 32M plain.img
    for part in 1 2 3; do
        commands $((seed * 100 + part)) 250 >commands
        serve
        check "qemu-io, seed $seed, on the cache" timeout 100 qemu-io -f raw -d unmap "$uri" <commands
        check "qemu-io, seed $seed, on a file" timeout 100 qemu-io -f raw -d unmap plain.img <commands
        check_not "qemu-io says no error" grep -iE 'error|failed' check.log
        check "seed $seed, part $part: served" timeout 60 qemu-img compare -f raw -F raw plain.img "$uri"
        case $part in
        1) kill_server ;; # the next one recovers
        *) stop ;;
        esac
    done
    check "seed $seed: the bare disk" cmp plain.img disk.img
    check_clean
done
finish
