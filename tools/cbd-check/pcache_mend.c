/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes metadata of a dm-pcache device again; what is replaced goes to the undo file first. */
#include <stdio.h>

#include "tool_answer.h"
#include "cbd/pcache.h"
#include "pcache.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "undo.h"

/* The device, with a look at every store before it is made. Only what a repair calls is there. */
struct watch {
    struct cbd_pmem pm;
    struct cbd_pmem *real;
    const char *path;
    struct undo undo;
    bool open;
    int error;
};

static struct watch *watch_of(struct cbd_pmem *pm)
{
    return (struct watch *)(void *)pm;
}

static void save(struct watch *w, uint64_t off, size_t len)
{
    static const struct cbd_super none; /* these devices have no UUID */

    if (w->path == NULL || w->error != 0)
        return;
    if (!w->open && undo_create(&w->undo, w->path, w->real, &none) != 0) {
        undo_close(&w->undo);
        w->error = CBD_E_SYSTEM;
        return;
    }
    w->open = true;
    w->error = undo_save(&w->undo, off, len);
}

static void watch_copy(struct cbd_pmem *pm, uint64_t off, const void *src, size_t len,
                       unsigned flags, enum cbd_step step)
{
    struct watch *w = watch_of(pm);

    save(w, off, len);
    if (w->error == 0)
        w->real->ops->copy(w->real, off, src, len, flags, step);
}

static int watch_fence(struct cbd_pmem *pm, enum cbd_step step)
{
    struct watch *w = watch_of(pm);
    int error = w->real->ops->fence(w->real, step);

    return w->error != 0 ? w->error : error;
}

static int watch_read(struct cbd_pmem *pm, uint64_t off, void *dst, size_t len)
{
    struct watch *w = watch_of(pm);

    return w->real->ops->read(w->real, off, dst, len);
}

static const struct cbd_pmem_ops watch_ops = {
    .copy = watch_copy, .fence = watch_fence, .read = watch_read};

static void say(const struct cbd_tool_device *device, unsigned what, const char *how)
{
    const char *name;

    for (unsigned n = 0; (name = cbd_pcache_repair_name(n)) != NULL; n++)
        if ((what & 1u << n) != 0)
            printf("%s: %s %s\n", device->path, name, how);
}

/* Whether to go on. An empty line is a yes: nothing is lost by it. */
static bool ask(void)
{
    char answer[4];

    do {
        printf("    write it again? It costs nothing: log and data stay as they are. [y]/n: ");
        fflush(stdout);
        if (!cbd_tool_answer(answer, sizeof(answer)))
            return false;
    } while (answer[0] != 'y' && answer[0] != 'n' && answer[0] != '\0');
    return answer[0] != 'n';
}

int pcache_mend(const struct cbd_tool_device *device, const struct pcache_options *options,
                unsigned *what)
{
    struct watch w = {.pm = *device->pm, .real = device->pm, .path = options->undo_path};
    bool loud = !options->json && !options->quiet;
    struct cbd_pcache_sink silent = {0};
    struct cbd_pcache pc;
    int error;

    w.pm.ops = &watch_ops;
    *what = 0;
    error = cbd_pcache_open(&w.pm, device->env, &silent, &pc);
    if (error == 0 && !pc.image)
        *what = cbd_pcache_repairs(&pc);
    if (*what != 0 && options->policy != PCACHE_FIX) {
        if (loud)
            say(device, *what, "can be written again, at no cost (-p)");
        if (options->policy == PCACHE_LOOK || !ask())
            *what = 0;
    }
    if (error == 0 && *what != 0)
        error = cbd_pcache_repair(&pc);
    cbd_pcache_close(&pc);
    if (w.open)
        undo_close(&w.undo);
    if (*what == 0)
        return 0; /* what could not be opened was reported by the check */
    if (error != 0) {
        cbd_tool_error_code(device->path, "not repaired", error);
        *what = 0;
        return CBD_EXIT_OPERATIONAL;
    }
    if (loud)
        say(device, *what, "written again");
    return 0;
}
