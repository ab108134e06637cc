/* SPDX-License-Identifier: BSD-2-Clause */
/* One cut: the power goes, the cache recovers as it would, and everybody is asked. */
#include "cut_run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cbd/cache.h"
#include "cbd/check.h"
#include "sim_base.h"
#include "sim_env.h"

#define READ_BYTES 65536u

static bool say(char why[CUT_TEXT_BYTES], const char *disk, const char *what, int error)
{
    snprintf(why, CUT_TEXT_BYTES, "disk '%.64s': %.360s%s%.60s", disk, what, error != 0 ? ": " : "",
             error != 0 ? cbd_error_sentence(error) : "");
    return false;
}

static void crash(struct cut_world *w, const struct sim_crash *c)
{
    sim_pmem_mark(w->pmem);
    sim_pmem_crash(w->pmem, c);
    for (unsigned i = 0; i < w->disk_count; i++)
        cut_disk_crash(&w->disks[i], c);
}

static void restore(struct cut_world *w)
{
    for (unsigned i = 0; i < w->disk_count; i++)
        cut_disk_restore(&w->disks[i]);
    sim_pmem_rollback(w->pmem);
}

static void disk_contents(const struct cut_world *w, unsigned i, uint64_t *contents)
{
    const struct cut_history *h = &w->history[i];

    for (size_t p = 0; p < h->page_count; p++)
        for (unsigned s = 0; s < CUT_PAGE_SECTORS; s++) {
            uint64_t off = h->pages[p].page * CUT_PAGE_BYTES + s * CUT_SECTOR_BYTES;

            if (off < w->disks[i].disk.size_bytes)
                contents[p * CUT_PAGE_SECTORS + s] =
                    cut_disk_hash(&w->disks[i], off / CUT_SECTOR_BYTES);
        }
}

/* Neighbouring pages with one read. */
static int served_contents(const struct cut_world *w, unsigned i, struct cbd_backend *b,
                           uint64_t *contents)
{
    const struct cut_history *h = &w->history[i];
    static uint8_t buf[READ_BYTES];
    size_t n;
    int error = 0;

    for (size_t p = 0; p < h->page_count && error == 0; p += n) {
        uint64_t off = h->pages[p].page * CUT_PAGE_BYTES, len;

        for (n = 1; n < READ_BYTES / CUT_PAGE_BYTES && p + n < h->page_count &&
                    h->pages[p + n].page == h->pages[p].page + n;)
            n++;
        len = w->disks[i].disk.size_bytes - off;
        len = len < n * CUT_PAGE_BYTES ? len : n * CUT_PAGE_BYTES;
        error = cbd_read(b, 0, off, buf, len);
        for (uint64_t s = 0; s < len / CUT_SECTOR_BYTES && error == 0; s++)
            contents[p * CUT_PAGE_SECTORS + s] =
                cbd_record_hash(buf + s * CUT_SECTOR_BYTES, CUT_SECTOR_BYTES);
    }
    return error;
}

/* Behind everything: P5, the disk without the cache is what the cache served. */
static bool same(const struct cut_world *w, unsigned i, const uint64_t *contents,
                 char why[CUT_TEXT_BYTES])
{
    uint64_t *now = cut_contents_alloc(&w->history[i]);
    size_t bytes = w->history[i].page_count * CUT_PAGE_SECTORS * 8;
    bool good;

    disk_contents(w, i, now);
    good = bytes == 0 || memcmp(now, contents, bytes) == 0;
    free(now);
    return good || say(why, w->disks[i].name, "after the detach it is not what was served (P5)", 0);
}

static bool judge_backend(struct cut_world *w, unsigned i, struct cbd_cache *cache,
                          char why[CUT_TEXT_BYTES])
{
    const char *name = w->disks[i].name;
    uint32_t piece = cbd_cache_super(cache)->geo.atomic_bytes / CUT_SECTOR_BYTES;
    uint64_t *contents;
    struct cbd_backend *b;
    struct cbd_stats stats;
    uint32_t id;
    bool good;
    int error = cbd_backend_lookup(cache, name, &id);

    if (error == 0)
        error = cbd_backend_attach(cache, id, &w->disks[i].disk, NULL, &b);
    if (error != 0)
        return say(why, name, "cannot be attached", error);
    cbd_backend_stats(b, &stats);
    contents = cut_contents_alloc(&w->history[i]);
    error = served_contents(w, i, b, contents);
    good = error == 0 || say(why, name, "cannot be read", error);
    if (good && stats.degraded)
        good = say(why, name, "records are lost", 0);
    if (good)
        good = cut_judge_served(&w->history[i], w->place + 1, contents, piece, why);
    error = good ? cbd_backend_detach(b) : CBD_E_AGAIN;
    if (error != 0)
        cbd_backend_abandon(b);
    if (good && error != 0)
        good = say(why, name, "cannot be detached", error);
    if (good)
        good = same(w, i, contents, why);
    free(contents);
    return good;
}

static bool check_media(struct cut_world *w, struct sim_env *env, const char *when,
                        char why[CUT_TEXT_BYTES])
{
    struct cbd_check_summary *s = sim_zalloc(1, sizeof(*s));
    int error = cbd_check_run(&w->pmem->pm, &env->env, NULL, NULL, NULL, s);
    bool good = error == 0 && s->errors == 0;

    if (!good)
        snprintf(why, CUT_TEXT_BYTES, "check %s: %" PRIu64 " errors%s%s", when, s->errors,
                 error != 0 ? ": " : "", error != 0 ? cbd_error_sentence(error) : "");
    free(s);
    return good;
}

static bool recover(struct cut_world *w, struct sim_env *env, char why[CUT_TEXT_BYTES])
{
    struct cbd_cache *cache;
    bool good = check_media(w, env, "of what the power cut left", why);
    int error;

    if (!good)
        return false;
    error = cbd_cache_open(&w->pmem->pm, &env->env, 0, &cache);
    if (error != 0)
        return say(why, "", "the cache cannot be opened", error);
    for (unsigned i = 0; i < w->disk_count && good; i++)
        good = judge_backend(w, i, cache, why);
    cbd_cache_close(cache);
    return good && check_media(w, env, "after the recovery", why);
}

bool cut_run(struct cut_world *w, const struct sim_crash *c, char why[CUT_TEXT_BYTES])
{
    struct sim_env env;
    bool good = true;

    crash(w, c);
    for (unsigned i = 0; i < w->disk_count && good; i++) {
        uint64_t *contents = cut_contents_alloc(&w->history[i]);
        char text[CUT_TEXT_BYTES];

        disk_contents(w, i, contents);
        if ((w->disks[i].flags & CBD_RECORD_DISK_ALONE) != 0 &&
            !cut_judge_disk(&w->history[i], w->place + 1, contents, text))
            good = say(why, w->disks[i].name, text, 0);
        free(contents);
    }
    if (good) {
        sim_env_init(&env, c->seed);
        good = recover(w, &env, why);
        sim_env_destroy(&env);
    }
    restore(w);
    return good;
}

/* Sparse: what is zeroes becomes a hole. */
static bool write_file(const char *dir, const char *name, const uint8_t *mem, uint64_t bytes,
                       const uint64_t *used)
{
    static const uint8_t zeroes[READ_BYTES];
    size_t start = strlen(dir) + 1;
    char path[4096];
    bool good;
    int fd;

    if ((size_t)snprintf(path, sizeof(path), "%s/%s.img", dir, name) >= sizeof(path)) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *at = path + start; *at != '\0'; at++) /* the name of a backend may have any */
        if (*at == '/')
            *at = '_';
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    good = ftruncate(fd, (off_t)bytes) == 0;
    for (uint64_t off = 0; off < bytes && good; off += READ_BYTES) {
        uint64_t n = off / READ_BYTES;
        size_t len = bytes - off < READ_BYTES ? (size_t)(bytes - off) : READ_BYTES;

        if ((used != NULL && (used[n / 64] >> n % 64 & 1) == 0) ||
            memcmp(mem + off, zeroes, len) == 0)
            continue;
        good = pwrite(fd, mem + off, len, (off_t)off) == (ssize_t)len;
    }
    return close(fd) == 0 && good;
}

bool cut_write(struct cut_world *w, const struct sim_crash *c, const char *dir)
{
    bool good = mkdir(dir, 0700) == 0;
    char path[4096];
    FILE *f;

    if (!good)
        return false;
    crash(w, c);
    good = write_file(dir, "pmem", w->pmem->pm.base, w->pmem->pm.size_bytes, NULL);
    for (unsigned i = 0; i < w->disk_count && good; i++)
        good = write_file(dir, w->disks[i].name, w->disks[i].mem, w->disks[i].disk.size_bytes,
                          w->disks[i].used);
    restore(w);
    snprintf(path, sizeof(path), "%s/cut.txt", dir);
    f = good ? fopen(path, "wx") : NULL;
    if (f == NULL)
        return false;
    fprintf(f, "place %" PRIu64 "\nplaces %" PRIu64 "\ntime_ns %" PRIu64 "\n", w->place, w->places,
            w->time_ns);
    return fclose(f) == 0;
}
