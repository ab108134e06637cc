/* SPDX-License-Identifier: BSD-2-Clause */
/* The pmem seam on real memory: libpmem2 for devdax, fsdax and files, mmap for block nodes. */
#ifndef CBD_SHIM_PMEM_H
#define CBD_SHIM_PMEM_H

#include <stdint.h>

#include "cbd/pmem.h"
#include "cbd/shim/error.h"

enum cbd_shim_pmem_flags {
    /* The mapping cannot be stored to; the lock is shared with other readers. */
    CBD_SHIM_PMEM_READONLY = 1 << 0,
    /* Make a new file, mode 0600, with all its space allocated. The path must not exist. */
    CBD_SHIM_PMEM_CREATE = 1 << 1,
    /*
     * read() returns CBD_E_MEDIA instead of dying of SIGBUS (poison, or a file cut short by
     * somebody). Installs one handler in the process, which passes every other SIGBUS on to the
     * handler that was there before. Loads through `base` are not guarded. A store, or a flush, of
     * memory that is gone makes every later fence fail with CBD_E_IO (x86, and up to 64 mappings of
     * a process); read() of such a page fails. A handler that somebody installs later takes the
     * guard away.
     */
    CBD_SHIM_PMEM_GUARD_SIGBUS = 1 << 2,
};

enum cbd_shim_pmem_kind {
    CBD_SHIM_PMEM_FILE,   /* a regular file, fsdax or not: see granularity_bytes */
    CBD_SHIM_PMEM_DEVDAX, /* a devdax character device */
    CBD_SHIM_PMEM_BLOCK,  /* a block node, always page granularity */
};

/*
 * Opens and locks `path`. size_bytes: with CREATE the size to make (a multiple of 4096), else the
 * least size that is accepted (0: anything not empty). A file that is no multiple of 4096 long is
 * mapped up to the last whole page. A store to a hole of a sparse file dies of SIGBUS when the file
 * system is full; CREATE leaves no holes.
 *
 * The lock: flock() on files and devdax, exclusive for writers and shared for readers; O_EXCL on
 * block nodes, which excludes mounts and other claims and, unlike flock, two readers as well.
 *
 * *pm is owned by the caller until cbd_shim_pmem_close(). All of the seam may be called by many
 * threads. An offset beyond the end aborts the process in every call but read(), which returns
 * CBD_E_RANGE. Stores to a READONLY mapping abort.
 *
 * Page granularity: fence() is one msync() of the span that was flushed or stored non-temporally
 * since the last fence, shared by all threads that wait for it. After one failed msync every later
 * fence fails too, because the kernel may have dropped the pages it could not write.
 *
 * Errors, explained in *err (which may be NULL): NOTFOUND, EXISTS, BUSY, NOSPACE, RANGE (too
 * small), INVALID (not a file, devdax or block node; flags), NOMEM, SYSTEM.
 */
int cbd_shim_pmem_open(const char *path, unsigned flags, uint64_t size_bytes, struct cbd_pmem **pm,
                       struct cbd_shim_error *err) CBD_MUST_CHECK;

/* Unmaps and unlocks. Does not fence. pm may be NULL. */
void cbd_shim_pmem_close(struct cbd_pmem *pm);

enum cbd_shim_pmem_kind cbd_shim_pmem_kind(const struct cbd_pmem *pm);

/* Inside the mapping, in ranges as the system lists them. */
struct cbd_shim_bad_blocks {
    uint64_t count;
    uint64_t bytes;
};

/*
 * What the system knew to be unreadable when *pm was opened: libpmem2's list, for devdax and for
 * files on fsdax. Nothing where there is no list, or where it cannot be read: block nodes, files
 * elsewhere, a process that lacks the rights. read() of any of these bytes gives CBD_E_MEDIA and
 * does not touch the memory, with GUARD_SIGBUS and without, until *pm is closed: a store does not
 * take a range off the list. From any thread.
 */
void cbd_shim_pmem_bad_blocks(const struct cbd_pmem *pm, struct cbd_shim_bad_blocks *bad);

/* One sentence on how this mapping could be faster or safer, or NULL. Static string. */
const char *cbd_shim_pmem_advice(const struct cbd_pmem *pm);

#endif
