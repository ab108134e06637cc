/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cbd-format --from-image: a metadata image goes onto a device, for looking at and for trying
 * repairs on. It stays an image: its data is nowhere, and nothing serves it.
 *
 * The device was zeroed before, its superblocks first. The new ones go last, behind a fence: a crash
 * leaves no cache or the whole image.
 */
#include <stdio.h>

#include "cbd/image.h"
#include "format_tool.h"
#include "tool_exit.h"
#include "tool_message.h"

struct target {
    struct cbd_pmem *pm;
    const struct cbd_super *super;
    bool supers; /* everything else is durable */
    int error;
};

static bool is_super(const struct target *t, uint64_t off)
{
    return off == CBD_SUPER0_OFF || off == CBD_SUPER1_OFF || off == t->super->geo.super2_off;
}

static int store(void *arg, uint64_t off, const void *bytes, uint32_t len)
{
    struct target *t = arg;
    struct cbd_pmem *pm = t->pm;

    if (is_super(t, off) && !t->supers) {
        t->supers = true;
        t->error = pm->ops->fence(pm, CBD_STEP_NONE);
    }
    if (t->error == 0)
        pm->ops->copy(pm, off, bytes, len, CBD_PMEM_NT, CBD_STEP_NONE);
    if (t->error == 0 && is_super(t, off))
        t->error = pm->ops->fence(pm, CBD_STEP_NONE);
    return t->error;
}

int format_image_super(const struct arguments *a, struct cbd_super *super)
{
    uint32_t bad;
    int error = cbd_super_read(a->image.pm, a->image.env, super, &bad);

    if (error == 0 && (super->incompat & CBD_INCOMPAT_METADATA_ONLY) != 0)
        return 0;
    if (error != 0)
        cbd_tool_error_code(a->from_image, "is no metadata image", error);
    else
        cbd_tool_error(a->from_image, "is a cache with its data, no metadata image of cbd-dump");
    return CBD_EXIT_OPERATIONAL;
}

int format_image_open(struct arguments *a, struct cbd_super *super)
{
    int code = cbd_tool_device_open(&a->image, a->from_image, CBD_SHIM_PMEM_READONLY, 0);

    if (code == 0)
        code = format_image_super(a, super);
    if (code != 0)
        cbd_tool_device_close(&a->image);
    return code;
}

int format_image_write(const struct arguments *a, const struct cbd_tool_device *device,
                       const struct cbd_super *super)
{
    struct target target = {.pm = device->pm, .super = super};
    struct cbd_image_options options = {.write = store, .arg = &target};
    struct cbd_image_summary summary;
    int error = cbd_image_run(a->image.pm, a->image.env, &options, &summary);

    if (error == 0)
        return 0;
    cbd_tool_error_code(a->path, "the image is not on it", error);
    return CBD_EXIT_OPERATIONAL;
}
