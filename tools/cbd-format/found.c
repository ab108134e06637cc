/* SPDX-License-Identifier: BSD-2-Clause */
/* What a new cache would destroy: foreign signatures, and another cache with its dirty data. */
#include <blkid.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cbd/check.h"
#include "format_tool.h"
#include "tool_answer.h"
#include "tool_exit.h"
#include "tool_message.h"
#include "tool_size.h"

/* Names a signature in `text`. 1: there is one, 0: none, -1: several, or it cannot be told. */
static int foreign_signature(const char *path, char *text, size_t len_bytes)
{
    blkid_probe probe = NULL;
    const char *type = NULL, *label = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc = -1;

    snprintf(text, len_bytes, "something that cannot be told");
    if (fd >= 0)
        probe = blkid_new_probe();
    if (probe != NULL && blkid_probe_set_device(probe, fd, 0, 0) == 0) {
        blkid_probe_enable_superblocks(probe, 1);
        blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_LABEL);
        blkid_probe_enable_partitions(probe, 1);
        rc = blkid_do_safeprobe(probe);
    }
    if (rc == 0) {
        if (blkid_probe_lookup_value(probe, "TYPE", &type, NULL) != 0 &&
            blkid_probe_lookup_value(probe, "PTTYPE", &type, NULL) != 0)
            type = "an unknown type";
        if (blkid_probe_lookup_value(probe, "LABEL", &label, NULL) == 0)
            snprintf(text, len_bytes, "%s, label '%s'", type, label);
        else
            snprintf(text, len_bytes, "%s", type);
    }
    if (probe != NULL)
        blkid_free_probe(probe);
    if (fd >= 0)
        close(fd);
    return rc == 0 ? 1 : rc == 1 ? 0 : -1;
}

/*
 * On a terminal the answer decides; elsewhere nobody answers, and it is no. 0: go on, else the exit
 * code, with the reason printed.
 */
static int ask(const struct arguments *a, const char *what)
{
    char answer[16] = "";

    if (a->force)
        return 0;
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1 || a->dry_run) {
        cbd_tool_error(a->path, "%s (-f overwrites it)", what);
        return CBD_EXIT_OPERATIONAL;
    }
    cbd_tool_error(a->path, "%s", what);
    fprintf(stderr, "Overwrite it? [y/N] ");
    fflush(stderr);
    if (cbd_tool_answer(answer, sizeof(answer)) &&
        (strcmp(answer, "y") == 0 || strcmp(answer, "yes") == 0))
        return 0;
    cbd_tool_error(a->path, "not formatted: nothing was written");
    return CBD_EXIT_CANCELLED;
}

static int check_foreign(const struct arguments *a, const struct cbd_tool_device *device)
{
    char text[256], what[320];
    int found = 0;

    if (a->force)
        return 0;
    if (cbd_shim_pmem_kind(device->pm) != CBD_SHIM_PMEM_DEVDAX)
        found = foreign_signature(a->path, text, sizeof(text));
    if (found == 0)
        found = format_own_probe(device->pm, text, sizeof(text));
    if (found == 0)
        return 0;
    snprintf(what, sizeof(what), "foreign signature: got %s, limit none", text);
    return ask(a, what);
}

/* Says what each backend would lose. Whether there is anything to lose. */
static bool name_dirty(const struct arguments *a, const struct cbd_check_summary *s)
{
    bool dirty = false;

    for (uint32_t i = 0; i < CBD_BACKENDS; i++) {
        const struct cbd_check_backend *b = &s->backends[i];

        if (!b->used || b->dirty_records == 0)
            continue;
        dirty = true;
        cbd_tool_error(a->path,
                       "backend '%s': %" PRIu64 " dirty bytes and %" PRIu64
                       " bytes of dirty zeroes are not on %s yet",
                       b->name, b->dirty_bytes, b->dirty_zero_bytes,
                       b->path[0] != '\0' ? b->path : "its backing device");
    }
    return dirty;
}

static int check_own(const struct arguments *a, const struct cbd_tool_device *device,
                     struct cbd_check_summary *s)
{
    struct cbd_check_options options = {.flags = CBD_CHECK_SCAN};
    int error = cbd_check_run(device->pm, device->env, &options, NULL, NULL, s);
    bool dirty;

    if (error == CBD_E_NOTCBD)
        return format_check_pcache(a, device);
    if (error == CBD_E_NOMEM) {
        cbd_tool_error_code(a->path, "cannot be examined", error);
        return CBD_EXIT_OPERATIONAL;
    }
    if (s->super_valid && (s->super.incompat & CBD_INCOMPAT_METADATA_ONLY) != 0)
        return ask(a, "holds the metadata image of a cache");
    if (a->discard_dirty)
        return 0;
    dirty = name_dirty(a, s);
    if (dirty)
        cbd_tool_error(a->path,
                       "not formatted. To save the data: cbd-ctl %s writeback. To lose "
                       "it: -f --discard-dirty",
                       a->path);
    else if (error != 0 || s->errors != 0)
        cbd_tool_error(a->path, "not formatted: the cache on it is damaged and may hold dirty data "
                                "(cbd-check -f says more). To lose it: -f --discard-dirty");
    if (dirty || error != 0 || s->errors != 0)
        return CBD_EXIT_OPERATIONAL;
    return ask(a, "holds a CBD cache already");
}

int format_may_overwrite(const struct arguments *a, const struct cbd_tool_device *device)
{
    struct cbd_check_summary *summary = malloc(sizeof(*summary));
    int code;

    if (summary == NULL) {
        cbd_tool_error_code(a->path, "cannot be examined", CBD_E_NOMEM);
        return CBD_EXIT_OPERATIONAL;
    }
    code = check_own(a, device, summary);
    free(summary);
    return code != 0 ? code : check_foreign(a, device);
}
