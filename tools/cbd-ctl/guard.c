/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cbd-ctl guard: which disks must not be used by themselves, because a cache before them was not
 * detached cleanly and holds, or may hold, what the disk does not have yet. A udev rule asks it for
 * each disk that appears.
 *
 * Caches are read without a lock and without a mapping, but on devdax: they may be in use, and this
 * tells nobody to wait. Only the tables count then, of which one copy is whole at any moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cbd/shim/env.h"
#include "ctl.h"
#include "tool_exit.h"
#include "tool_json.h"
#include "tool_message.h"
#include "tool_size.h"

/* A device that is read by pread(). */
struct reader {
    struct cbd_pmem pm; /* what the check gets; first */
    int fd;
};

struct guard {
    const struct ctl *ctl;
    struct cbd_env *env;
    struct stat disk;  /* what is asked for */
    struct stat whole; /* the disk that it is a partition of, or itself */
    struct cbd_check_summary *summary;
    json_t *disks; /* NULL: text */
    uint32_t found;
    uint32_t unread; /* caches that nobody can tell anything about */
};

static int read_at(struct cbd_pmem *pm, uint64_t off, void *dst, size_t len)
{
    const struct reader *r = (const struct reader *)(const void *)pm;

    if (off > pm->size_bytes || len > pm->size_bytes - off)
        return CBD_E_RANGE;
    return pread(r->fd, dst, len, (off_t)off) == (ssize_t)len ? 0 : CBD_E_MEDIA;
}

static const struct cbd_pmem_ops reader_ops = {.read = read_at};

static void silent(void *arg, const struct cbd_report *report)
{
    (void)arg;
    (void)report;
}

/* Whether the path of a backend leads to the disk in question, or to the one that it is a part of. */
static bool leads_to(const struct guard *g, const char *path)
{
    struct stat st;

    if (path[0] == '\0' || stat(path, &st) != 0)
        return false;
    if (S_ISBLK(st.st_mode))
        return (S_ISBLK(g->disk.st_mode) && st.st_rdev == g->disk.st_rdev) ||
               (S_ISBLK(g->whole.st_mode) && st.st_rdev == g->whole.st_rdev);
    return st.st_dev == g->disk.st_dev && st.st_ino == g->disk.st_ino;
}

static void show(struct guard *g, const char *cache, const struct cbd_check_backend *b, bool in_use)
{
    const char *state = in_use ? "in use" : "not detached cleanly";
    char name[sizeof(b->name)], path[sizeof(b->path)], size[CBD_TOOL_SIZE_TEXT_BYTES];
    json_t *o;

    g->found++;
    memcpy(name, b->name, sizeof(name));
    memcpy(path, b->path, sizeof(path));
    cbd_tool_clean_text(name);
    cbd_tool_clean_text(path);
    if (g->ctl->udev) {
        printf("CBD_GUARD=dirty\nCBD_GUARD_CACHE=%s\n", cache);
        return;
    }
    if (g->disks == NULL) {
        printf("%s: backend '%s' of %s: %s", path[0] != '\0' ? path : "?", name, cache, state);
        if (!in_use)
            printf(", %s dirty", cbd_tool_size_human(b->dirty_bytes + b->dirty_zero_bytes, size));
        printf("\n");
        return;
    }
    o = cbd_tool_json_append_object(g->disks);
    cbd_tool_json_text(o, "cache", cache);
    cbd_tool_json_text(o, "backend", b->name);
    cbd_tool_json_text(o, "backing", b->path);
    cbd_tool_json_bool(o, "in_use", in_use);
    if (in_use)
        return;
    cbd_tool_json_u64(o, "dirty_bytes", b->dirty_bytes);
    cbd_tool_json_u64(o, "dirty_zero_bytes", b->dirty_zero_bytes);
}

static void look_at_backends(struct guard *g, const char *cache, bool in_use)
{
    const struct cbd_check_summary *s = g->summary;

    if ((s->super.incompat & CBD_INCOMPAT_METADATA_ONLY) != 0)
        return; /* the data is elsewhere, if it is anywhere */
    for (uint32_t i = 0; i < CBD_BACKENDS; i++) {
        const struct cbd_check_backend *b = &s->backends[i];

        if (!b->used || (!b->unclean && b->dirty_records == 0))
            continue;
        if (g->ctl->name == NULL || leads_to(g, b->path))
            show(g, cache, b, in_use);
    }
}

static void examine(struct guard *g, const char *cache, struct cbd_pmem *pm, bool in_use)
{
    struct cbd_check_options options = {.flags = 0};
    int error;

    if (!in_use && !g->ctl->udev)
        options.flags = CBD_CHECK_SCAN;
    error = cbd_check_run(pm, g->env, &options, NULL, NULL, g->summary);
    if (error == 0) {
        look_at_backends(g, cache, in_use);
    } else if (error != CBD_E_NOTCBD) {
        cbd_tool_error_code(cache, "cannot be examined", error);
        g->unread++;
    }
}

/* A devdax has no read(): it is mapped, which takes its lock. Other character devices are no cache. */
static void look_at_devdax(struct guard *g, const char *cache)
{
    struct cbd_shim_error err;
    struct cbd_pmem *pm;
    int error = cbd_shim_pmem_open(cache, CBD_SHIM_PMEM_READONLY | CBD_SHIM_PMEM_GUARD_SIGBUS, 0,
                                   &pm, &err);

    if (error == CBD_E_BUSY) {
        cbd_tool_error(NULL, "%s", err.text);
        g->unread++;
    }
    if (error != 0)
        return;
    examine(g, cache, pm, false);
    cbd_shim_pmem_close(pm);
}

/* One cache. What is none, or is not there, is passed over. */
static void look_at(struct guard *g, const char *cache)
{
    struct reader r = {.pm = {.ops = &reader_ops, .granularity_bytes = 64}};
    struct stat st;
    bool in_use;
    off_t end;

    if (stat(cache, &st) == 0 && S_ISCHR(st.st_mode)) {
        look_at_devdax(g, cache);
        return;
    }
    r.fd = open(cache, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (r.fd < 0)
        return;
    end = lseek(r.fd, 0, SEEK_END);
    if (end > 0) {
        r.pm.size_bytes = (uint64_t)end;
        /* Not for udev: who starts to serve at this moment would find it locked. */
        in_use = !g->ctl->udev && flock(r.fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
        examine(g, cache, &r.pm, in_use);
    }
    close(r.fd);
}

/* The caches of the configuration: one path a line, '#' begins a comment. */
static void look_at_listed(struct guard *g, const char *list)
{
    char line[PATH_MAX + 2];
    FILE *f = fopen(list, "re");

    while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "#\n")] = '\0';
        for (size_t n = strlen(line); n > 0 && strchr(" \t\r", line[n - 1]) != NULL;)
            line[--n] = '\0';
        if (line[strspn(line, " \t")] != '\0')
            look_at(g, line + strspn(line, " \t"));
    }
    if (f != NULL)
        fclose(f);
}

static void look_at_matching(struct guard *g, const char *pattern)
{
    glob_t found = {0};

    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            look_at(g, found.gl_pathv[i]);
    globfree(&found);
}

static void look_at_all(struct guard *g)
{
    if (g->ctl->cache != NULL) {
        look_at(g, g->ctl->cache);
        return;
    }
    look_at_listed(g, g->ctl->caches != NULL ? g->ctl->caches : CTL_CACHES);
    if (g->ctl->caches != NULL)
        return;
    look_at_matching(g, "/dev/pmem*");
    look_at_matching(g, "/dev/dax*");
}

/* A partition belongs to the disk that a cache stands before. */
static void find_whole(struct guard *g)
{
    char path[64], text[32] = "";
    unsigned int major_number, minor_number;
    FILE *f;

    g->whole = g->disk;
    if (!S_ISBLK(g->disk.st_mode))
        return;
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/partition", major(g->disk.st_rdev),
             minor(g->disk.st_rdev));
    if (access(path, F_OK) != 0)
        return;
    snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(g->disk.st_rdev),
             minor(g->disk.st_rdev));
    f = fopen(path, "re");
    if (f != NULL && fgets(text, sizeof(text), f) != NULL &&
        sscanf(text, "%u:%u", &major_number, &minor_number) == 2)
        g->whole.st_rdev = makedev(major_number, minor_number);
    if (f != NULL)
        fclose(f);
}

static int finish(struct guard *g, json_t *document)
{
    int code = g->unread != 0 ? CBD_EXIT_OPERATIONAL : CBD_EXIT_CLEAN;

    if (g->found != 0 && !g->ctl->udev)
        code |= CBD_EXIT_LEFT;
    if (document == NULL && g->found == 0 && g->ctl->name != NULL && !g->ctl->udev)
        printf("%s: no cache needs it\n", g->ctl->name);
    if (document != NULL) {
        cbd_tool_json_bool(document, "guarded", g->found != 0);
        if (cbd_tool_json_print(document, stdout) != 0)
            code |= CBD_EXIT_OPERATIONAL;
        json_decref(document);
    }
    return cbd_tool_output_end(code);
}

int ctl_guard(const struct ctl *ctl)
{
    struct guard g = {.ctl = ctl};
    struct cbd_shim_error err;
    json_t *document = NULL;
    char text[128];

    if (ctl->name != NULL && stat(ctl->name, &g.disk) != 0) {
        cbd_tool_error(ctl->name, "cannot be examined: %s", strerror_r(errno, text, sizeof(text)));
        return CBD_EXIT_OPERATIONAL;
    }
    if (ctl->name != NULL)
        find_whole(&g);
    g.summary = malloc(sizeof(*g.summary));
    if (g.summary == NULL || cbd_shim_env_open(silent, NULL, &g.env, &err) != 0) {
        cbd_tool_error_code(NULL, "guard", CBD_E_NOMEM);
        free(g.summary);
        return CBD_EXIT_OPERATIONAL;
    }
    if (ctl->json) {
        document = cbd_tool_json_document("cbd-ctl guard", 1);
        g.disks = cbd_tool_json_array(document, "disks");
    }
    look_at_all(&g);
    free(g.summary);
    cbd_shim_env_close(g.env);
    return finish(&g, document);
}
