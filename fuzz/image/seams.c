/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory, disk and environment for fuzzing the core with arbitrary images. */
#include "seams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define FUZZ_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FUZZ_ASAN 1
#endif
#endif
#ifdef FUZZ_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

#define KEEP_BYTES_MIN 8192u /* blocks from this size on are kept and used again */
#define WAITS_MAX 2000000u
#define STEP_NS UINT64_C(1000)
#define IDLE_TURNS 16u

/* Large blocks are poisoned here while they are free: a long quarantine would only cost time. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
    return "quarantine_size_mb=8";
}

_Noreturn void fuzz_fatal(const char *file, int line, const char *what)
{
    fprintf(stderr, "fuzz: %s:%d: %s\n", file, line, what);
    abort();
}

static bool strikes(struct fuzz_fault *fault)
{
    return fault->left != 0 && --fault->left == 0;
}

/* --- memory --- */

static struct fuzz_pmem *pmem_of(struct cbd_pmem *pm)
{
    return (struct fuzz_pmem *)pm;
}

static bool inside(uint64_t size_bytes, uint64_t off, uint64_t len_bytes)
{
    return off <= size_bytes && len_bytes <= size_bytes - off;
}

static uint8_t *touch(struct fuzz_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    if (len_bytes > 0)
        memset(pm->dirty_pages + off / CBD_PAGE_BYTES, 1,
               (off + len_bytes - 1) / CBD_PAGE_BYTES - off / CBD_PAGE_BYTES + 1);
    return pm->buf + off;
}

static uint8_t *store(struct cbd_pmem *base, uint64_t off, uint64_t len_bytes)
{
    struct fuzz_pmem *pm = pmem_of(base);

    FUZZ_REQUIRE(inside(pm->pm.size_bytes, off, len_bytes));
    pm->stores++;
    return touch(pm, off, len_bytes);
}

static void op_store64(struct cbd_pmem *pm, uint64_t off, uint64_t value, enum cbd_step step)
{
    (void)step;
    FUZZ_REQUIRE(off % CBD_WORD_BYTES == 0);
    memcpy(store(pm, off, sizeof(value)), &value, sizeof(value));
}

static void op_copy(struct cbd_pmem *pm, uint64_t off, const void *src, size_t len_bytes,
                    unsigned flags, enum cbd_step step)
{
    (void)flags;
    (void)step;
    memmove(store(pm, off, len_bytes), src, len_bytes);
}

static void op_set(struct cbd_pmem *pm, uint64_t off, uint8_t value, size_t len_bytes,
                   unsigned flags, enum cbd_step step)
{
    (void)flags;
    (void)step;
    memset(store(pm, off, len_bytes), value, len_bytes);
}

static void op_flush(struct cbd_pmem *pm, uint64_t off, size_t len_bytes, enum cbd_step step)
{
    (void)step;
    FUZZ_REQUIRE(inside(pm->size_bytes, off, len_bytes));
}

static int op_fence(struct cbd_pmem *pm, enum cbd_step step)
{
    (void)step;
    return strikes(&pmem_of(pm)->fence_fault) ? CBD_E_IO : 0;
}

static int op_read(struct cbd_pmem *base, uint64_t off, void *dst, size_t len_bytes)
{
    struct fuzz_pmem *pm = pmem_of(base);

    if (!inside(pm->pm.size_bytes, off, len_bytes))
        return CBD_E_RANGE;
    for (uint32_t i = 0; i < pm->poison_count; i++)
        if (off < pm->poison[i].end && pm->poison[i].first < off + len_bytes)
            return CBD_E_MEDIA;
    memcpy(dst, pm->buf + off, len_bytes);
    return 0;
}

static const struct cbd_pmem_ops pmem_ops = {
    .store64 = op_store64,
    .copy = op_copy,
    .set = op_set,
    .flush = op_flush,
    .fence = op_fence,
    .read = op_read,
};

void fuzz_pmem_init(struct fuzz_pmem *pm, const uint8_t *base, uint64_t len_bytes)
{
    void *buf = NULL;

    memset(pm, 0, sizeof(*pm));
    FUZZ_REQUIRE(posix_memalign(&buf, CBD_PAGE_BYTES, len_bytes > 0 ? len_bytes : 1) == 0);
    pm->buf = buf;
    pm->base = base;
    pm->buf_bytes = len_bytes;
    pm->dirty_pages = calloc(len_bytes / CBD_PAGE_BYTES + 1, 1);
    FUZZ_REQUIRE(pm->dirty_pages != NULL);
    if (len_bytes > 0)
        memcpy(pm->buf, base, len_bytes);
    pm->pm.ops = &pmem_ops;
    pm->pm.base = pm->buf;
    pm->pm.size_bytes = len_bytes;
    pm->pm.granularity_bytes = CBD_LINE_BYTES;
}

void fuzz_pmem_destroy(struct fuzz_pmem *pm)
{
    ASAN_UNPOISON_MEMORY_REGION(pm->buf, pm->buf_bytes);
    free(pm->buf);
    free(pm->dirty_pages);
}

void fuzz_pmem_reset(struct fuzz_pmem *pm)
{
    ASAN_UNPOISON_MEMORY_REGION(pm->buf + pm->pm.size_bytes, pm->buf_bytes - pm->pm.size_bytes);
    for (uint64_t off = 0; off < pm->buf_bytes; off += CBD_PAGE_BYTES) {
        uint64_t left = pm->buf_bytes - off;

        if (pm->dirty_pages[off / CBD_PAGE_BYTES] == 0)
            continue;
        memcpy(pm->buf + off, pm->base + off, left < CBD_PAGE_BYTES ? left : CBD_PAGE_BYTES);
        pm->dirty_pages[off / CBD_PAGE_BYTES] = 0;
    }
    pm->pm.size_bytes = pm->buf_bytes;
    pm->poison_count = 0;
    pm->fence_fault.left = 0;
    pm->stores = 0;
}

void fuzz_pmem_poke(struct fuzz_pmem *pm, uint64_t off, const void *src, uint64_t len_bytes)
{
    if (off >= pm->pm.size_bytes)
        return;
    if (len_bytes > pm->pm.size_bytes - off)
        len_bytes = pm->pm.size_bytes - off;
    memmove(touch(pm, off, len_bytes), src, len_bytes);
}

void fuzz_pmem_poison(struct fuzz_pmem *pm, uint64_t off, uint64_t len_bytes)
{
    if (pm->poison_count == FUZZ_POISON_MAX || len_bytes == 0)
        return;
    pm->poison[pm->poison_count].first = off;
    pm->poison[pm->poison_count].end = off + len_bytes;
    pm->poison_count++;
}

void fuzz_pmem_truncate(struct fuzz_pmem *pm, uint64_t size_bytes)
{
    if (size_bytes >= pm->pm.size_bytes)
        return;
    pm->pm.size_bytes = size_bytes;
    ASAN_POISON_MEMORY_REGION(pm->buf + size_bytes, pm->buf_bytes - size_bytes);
}

/* --- disk --- */

static void disk_submit(struct cbd_disk *base, struct cbd_disk_io *io)
{
    struct fuzz_disk *disk = (struct fuzz_disk *)base;
    struct cbd_disk_io **at = &disk->queue;
    bool flush = io->op == CBD_DISK_FLUSH;

    FUZZ_REQUIRE((unsigned)io->op <= CBD_DISK_ZERO && io->done != NULL);
    FUZZ_REQUIRE(flush ? (io->off_bytes | io->len_bytes) == 0 : io->len_bytes > 0);
    FUZZ_REQUIRE((io->off_bytes | io->len_bytes) % base->logical_block_bytes == 0);
    FUZZ_REQUIRE(inside(base->size_bytes, io->off_bytes, io->len_bytes));
    while (!disk->newest_first && *at != NULL)
        at = &(*at)->next;
    io->next = *at;
    *at = io;
}

/* Every byte of the buffer is looked at, so that AddressSanitizer sees one that is not there. */
static void look_at(const uint8_t *buf, uint64_t len_bytes)
{
    uint8_t piece[4096];

    for (uint64_t off = 0; off < len_bytes; off += sizeof(piece))
        memcpy(piece, buf + off,
               len_bytes - off < sizeof(piece) ? len_bytes - off : sizeof(piece));
}

static const struct cbd_disk_ops disk_ops = {.submit = disk_submit};

void fuzz_disk_init(struct fuzz_disk *disk, uint64_t size_bytes, uint32_t logical_block_bytes)
{
    *disk = (struct fuzz_disk){
        .disk = {.ops = &disk_ops,
                 .size_bytes = size_bytes,
                 .logical_block_bytes = logical_block_bytes,
                 .volatile_cache = true,
                 .discard_zeroes = true},
    };
}

bool fuzz_disk_complete(struct fuzz_disk *disk)
{
    struct cbd_disk_io *io = disk->queue;
    int error;

    if (io == NULL)
        return false;
    disk->queue = io->next;
    error = strikes(&disk->fault) ? CBD_E_IO : 0;
    if (error == 0 && io->op == CBD_DISK_READ)
        memset(io->buf, (int)(io->off_bytes / CBD_SECTOR_BYTES & 0xff), io->len_bytes);
    if (io->op == CBD_DISK_WRITE)
        look_at(io->buf, io->len_bytes);
    io->done(io, error);
    return true;
}

/* --- environment --- */

static void *take_kept(struct fuzz_env *env, size_t len_bytes)
{
    for (uint32_t i = 0; i < FUZZ_KEPT_MAX; i++) {
        if (env->kept[i].p == NULL || env->kept[i].used || env->kept[i].len_bytes != len_bytes)
            continue;
        env->kept[i].used = true;
        ASAN_UNPOISON_MEMORY_REGION(env->kept[i].p, len_bytes);
        return env->kept[i].p;
    }
    return NULL;
}

/* A new large block finds its place now, so that free() knows it again. */
static void keep(struct fuzz_env *env, void *p, size_t len_bytes)
{
    for (uint32_t i = 0; i < FUZZ_KEPT_MAX; i++) {
        if (env->kept[i].p != NULL)
            continue;
        env->kept[i].p = p;
        env->kept[i].len_bytes = len_bytes;
        env->kept[i].used = true;
        return;
    }
}

static void *env_alloc(struct cbd_env *base, size_t len_bytes)
{
    struct fuzz_env *env = (struct fuzz_env *)base;
    void *p = NULL;

    if (strikes(&env->alloc_fault))
        return NULL;
    if (len_bytes >= KEEP_BYTES_MIN)
        p = take_kept(env, len_bytes);
    if (p == NULL) {
        if (posix_memalign(&p, 64, len_bytes) != 0)
            return NULL;
        if (len_bytes >= KEEP_BYTES_MIN)
            keep(env, p, len_bytes);
        else
            memset(p, 0xa5, len_bytes); /* nobody may count on zeroes */
    }
    env->blocks++;
    env->bytes += len_bytes;
    return p;
}

static void env_free(struct cbd_env *base, void *p, size_t len_bytes)
{
    struct fuzz_env *env = (struct fuzz_env *)base;

    FUZZ_REQUIRE(p != NULL && env->blocks > 0 && env->bytes >= len_bytes);
    env->blocks--;
    env->bytes -= len_bytes;
    for (uint32_t i = 0; len_bytes >= KEEP_BYTES_MIN && i < FUZZ_KEPT_MAX; i++) {
        if (env->kept[i].p != p)
            continue;
        FUZZ_REQUIRE(env->kept[i].used && env->kept[i].len_bytes == len_bytes);
        env->kept[i].used = false;
        ASAN_POISON_MEMORY_REGION(p, len_bytes);
        return;
    }
    free(p);
}

static uint64_t env_now_ns(struct cbd_env *env)
{
    return ((struct fuzz_env *)env)->now_ns;
}

static uint64_t env_random(struct cbd_env *env)
{
    (void)env;
    return UINT64_C(0x9e3779b97f4a7c15);
}

static void env_report(struct cbd_env *env, const struct cbd_report *report)
{
    FUZZ_REQUIRE(report->what != NULL && report->sentence != NULL);
    if (getenv("FUZZ_VERBOSE") != NULL)
        fprintf(stderr, "%s %llu: %s: got %llu, limit %llu (%s)\n", report->what,
                (unsigned long long)report->index, report->sentence,
                (unsigned long long)report->got, (unsigned long long)report->limit,
                cbd_error_name(report->error));
    ((struct fuzz_env *)env)->errors += report->severity == CBD_ERROR;
}

static bool progress(struct fuzz_env *env)
{
    for (uint32_t i = 0; i < env->count; i++)
        if (fuzz_disk_complete(&env->disks[i]))
            return true;
    for (uint32_t i = 0; env->background && i < env->count; i++)
        if (env->backends[i] != NULL &&
            (cbd_backend_step(env->backends[i], CBD_WORK_WRITEBACK) > 0 ||
             cbd_backend_step(env->backends[i], CBD_WORK_RECLAIM) > 0))
            return true;
    return false;
}

static int env_wait(struct cbd_env *base, bool (*ready)(void *arg), void *arg, uint64_t timeout_ns)
{
    struct fuzz_env *env = (struct fuzz_env *)base;
    uint64_t start_ns = env->now_ns;
    uint32_t idle = 0;

    while (!ready(arg)) {
        FUZZ_REQUIRE(++env->waits < WAITS_MAX);
        env->now_ns += STEP_NS;
        idle = progress(env) ? 0 : idle + 1;
        if (idle > IDLE_TURNS) {
            /* Nothing will happen any more: a wait without end would be a hang. */
            FUZZ_REQUIRE(timeout_ns != UINT64_MAX);
            env->now_ns = start_ns + timeout_ns;
            return CBD_E_TIMEDOUT;
        }
        if (env->now_ns - start_ns > timeout_ns)
            return CBD_E_TIMEDOUT;
    }
    return 0;
}

static void env_wake(struct cbd_env *env)
{
    (void)env;
}

static const struct cbd_env_ops env_ops = {
    .alloc = env_alloc,
    .free = env_free,
    .now_ns = env_now_ns,
    .random = env_random,
    .report = env_report,
    .wait = env_wait,
    .wake = env_wake,
};

void fuzz_env_reset(struct fuzz_env *env, struct fuzz_disk *disks, struct cbd_backend **backends,
                    uint32_t count)
{
    FUZZ_REQUIRE(env->blocks == 0 && env->bytes == 0);
    env->env.ops = &env_ops;
    env->now_ns = 0;
    env->errors = 0;
    env->alloc_fault.left = 0;
    env->waits = 0;
    env->disks = disks;
    env->backends = backends;
    env->count = count;
    env->background = true;
}

void fuzz_env_settle(struct fuzz_env *env)
{
    for (uint32_t i = 0; i < env->count; i++)
        while (env->backends[i] != NULL && fuzz_disk_complete(&env->disks[i])) {
        }
}
