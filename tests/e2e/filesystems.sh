#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# ctest: timeout=300
# File systems on the cache: nbdfuse makes a file of the export, a loop device a block device of that.
# Made, filled, unmounted, checked; then the cache is taken away and the disk alone has it all.
# FILESYSTEMS, FILES and SOURCES (a folder to unpack and build) in the environment: more of it.
disk_bytes=512M cache_bytes=48M share_bytes=40M
. "$(dirname "$0")/lib.bash"
need_mount

filesystems=${FILESYSTEMS:-ext4 xfs btrfs}
files=${FILES:-400}
sources=${SOURCES:-$tests/../../core}

make_fs() {
    case $1 in
    ext4) mkfs.ext4 -q -F "$2" ;;
    xfs) mkfs.xfs -q -f "$2" ;;
    btrfs) mkfs.btrfs -q -f "$2" ;;
    esac
}

check_fs() {
    case $1 in
    ext4) e2fsck -fn "$2" ;;
    xfs) xfs_repair -n "$2" ;;
    btrfs) btrfs check --readonly "$2" ;;
    esac
}

# A tree that is unpacked and built, many small files of which a half goes again, fio.
work_on() {
    local at=$1 n
    mkdir "$at/tree"
    tar -C "$sources" -cf - . | tar -C "$at/tree" -xf - || return 1
    if command -v cc >/dev/null && [ -d "$at/tree/src" ]; then
        (cd "$at/tree/src" && for n in tree tree_node tree_edit sort; do
            cc -O1 -I../include -c $n.c -o $n.o || exit 1
        done && ar rc libtree.a ./*.o) || return 1
    fi
    mkdir "$at/small"
    for n in $(seq "$files"); do
        printf '%s %*s\n' "$n" $((n * 37 % 5000)) x >"$at/small/$n"
    done
    sync -f "$at"
    rm -f "$at"/small/*[02468]
    if command -v fio >/dev/null; then
        fio --name=f --directory="$at" --rw=randrw --bsrange=512-64k --size=24M --fsync=32 \
            --verify=crc32c --verify_fatal=1 --randseed=3 >fio.log 2>&1 || return 1
    fi
    fstrim "$at" || true # xfs and btrfs may refuse on a small device
    (cd "$at" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum) >sums
}

command -v fio >/dev/null || echo "no fio: left out"
command -v cc >/dev/null || echo "no cc: nothing is built"
done=0
for fs in $filesystems; do
    if ! command -v "mkfs.$fs" >/dev/null || ! grep -qw "$fs" /proc/filesystems; then
        echo "$fs: left out: no mkfs.$fs, or the kernel does not know it"
        continue
    fi
    make_cache
    serve
    attach_export
    check "$fs: mkfs" make_fs "$fs" "$loop"
    check "$fs: mount" mount_at "$loop" mnt || break
    check "$fs: work" work_on mnt
    check "$fs: umount" umount_at mnt
    check "$fs: fsck" check_fs "$fs" "$loop"
    detach_export
    # Again, from the cache after a restart.
    stop
    serve
    attach_export
    check "$fs: mount again" mount_at "$loop" mnt
    check "$fs: everything is there" sh -c "cd mnt && sha256sum --quiet -c ../sums"
    umount_at mnt
    detach_export
    stop
    check_clean
    # Without the cache.
    rm -f cache.img
    check "$fs: fsck of the bare disk" check_fs "$fs" disk.img
    check "$fs: mount the bare disk" mount_at disk.img bare ro
    check "$fs: everything is there, without the cache" \
        sh -c "cd bare && sha256sum --quiet -c ../sums"
    umount_at bare
    echo "$fs: $(wc -l <sums) files"
    done=$((done + 1))
done
[ "$done" -gt 0 ] || skip "none of: $filesystems"
finish
