/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a cache device, shown in every form and made into metadata images.
 *
 * The first byte of the input chooses the forms, the rest is what fuzz_image takes: changes to a base
 * image (image/patch.h), or the device itself. Nothing may crash, hang, leak or touch what is not
 * there. And
 *
 * D1  a dump stores nothing, and neither does making an image;
 * D2  a check of the image finds what a check of the device finds, with names and without them, but
 *     for what an image cannot hold: media errors, and a device that is larger than its cache;
 * D3  an image of an image is the same image, where all of the device could be read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cbd/image.h"
#include "dump.h"
#include "image/patch.h"
#include "image/seams.h"

#define FINDINGS_MAX 512u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* One of these for each input, in bits 0 and 1 of the first byte: all of them would be slow. */
enum work {
    WORK_TEXT,
    WORK_JSON,
    WORK_IMAGE,
    WORK_IMAGE_ANONYMIZED,
    WORK_MASK = 3,
};

enum form {
    FORM_SUPER = 1 << 2, /* and filters, with KEYS */
    FORM_BACKENDS = 1 << 3,
    FORM_SEGMENTS = 1 << 4,
    FORM_KEYS = 1 << 5,
    FORM_MAP = 1 << 6,
    FORM_HEX = 1 << 7,
};

static struct fuzz_base bases[FUZZ_BASE_COUNT];
static struct fuzz_env env;

/* What a check finds, as far as an image has to agree. */
struct findings {
    int error;
    uint32_t count;
    bool suspects[CBD_BACKENDS];
    uint64_t records, dirty_bytes;
    struct {
        uint32_t code, copy, segment, slot, backend;
        uint64_t addr, len;
        bool dirty;
    } at[FINDINGS_MAX];
};

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct findings *all = arg;

    if (f->problem->code == CBD_PROBLEM_SUPER_NO_DATA ||
        f->problem->code == CBD_PROBLEM_SUPER_DEVICE_LARGER || all->count == FINDINGS_MAX)
        return 0;
    if (getenv("FUZZ_VERBOSE") != NULL)
        fprintf(stderr, "check: %s %u.%u: %s\n", f->what, f->segment, f->slot,
                f->problem->sentence);
    all->at[all->count].code = f->problem->code;
    all->at[all->count].copy = f->copy;
    all->at[all->count].segment = f->segment;
    all->at[all->count].slot = f->slot;
    all->at[all->count].backend = f->backend;
    all->at[all->count].addr = f->range_known ? f->addr_bytes : 0;
    all->at[all->count].len = f->range_known ? f->len_bytes : 0;
    all->at[all->count].dirty = f->dirty;
    all->count++;
    return 0;
}

static void check(struct cbd_pmem *pm, struct findings *all)
{
    static struct cbd_check_summary out;
    const struct cbd_check_options options = {
        .flags = CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS,
    };

    memset(all, 0, sizeof(*all));
    all->error = cbd_check_run(pm, &env.env, &options, on_finding, all, &out);
    for (uint32_t i = 0; i < CBD_BACKENDS; i++) {
        all->suspects[i] = out.backends[i].suspects != 0;
        all->records += out.backends[i].records;
        all->dirty_bytes += out.backends[i].dirty_bytes;
    }
}

/* Devices that images go to. They stay from one input to the next: emptying costs little. */
struct target {
    struct fuzz_pmem pm;
    uint8_t *empty;
    uint64_t size_bytes;
};

static struct target targets[2];

static void empty_target(struct target *t, uint64_t size_bytes)
{
    if (t->empty != NULL && t->size_bytes == size_bytes) {
        fuzz_pmem_reset(&t->pm);
        return;
    }
    if (t->empty != NULL) {
        fuzz_pmem_destroy(&t->pm);
        free(t->empty);
    }
    t->size_bytes = size_bytes;
    t->empty = calloc(1, size_bytes + 1);
    FUZZ_REQUIRE(t->empty != NULL);
    fuzz_pmem_init(&t->pm, t->empty, size_bytes);
}

static int on_piece(void *arg, uint64_t off, const void *bytes, uint32_t len)
{
    struct target *t = arg;

    FUZZ_REQUIRE(off <= t->pm.buf_bytes && len <= t->pm.buf_bytes - off && len <= CBD_PAGE_BYTES);
    fuzz_pmem_poke(&t->pm, off, bytes, len);
    return 0;
}

static int make_image(struct cbd_pmem *pm, bool anonymize, struct target *t)
{
    struct cbd_image_options options = {
        .anonymize = anonymize,
        .key = {1, 2},
        .write = on_piece,
        .arg = t,
    };
    struct cbd_image_summary summary;

    empty_target(t, pm->size_bytes);
    return cbd_image_run(pm, &env.env, &options, &summary);
}

static void image(struct fuzz_pmem *pm, bool anonymize)
{
    static struct findings of_device, of_image;
    struct target *made = &targets[0], *again = &targets[1];

    check(&pm->pm, &of_device);
    if (make_image(&pm->pm, anonymize, made) != 0) {
        FUZZ_REQUIRE(of_device.error != 0);
        return;
    }
    check(&made->pm.pm, &of_image);
    if (pm->poison_count == 0) { /* D2 */
        FUZZ_REQUIRE(of_image.error == of_device.error);
        FUZZ_REQUIRE(of_image.count == of_device.count);
        FUZZ_REQUIRE(memcmp(&of_image, &of_device, sizeof(of_image)) == 0);
    }
    /* D3. What could not be read is a hole of the image, and may have ended the records elsewhere. */
    if (!anonymize && pm->poison_count == 0 && make_image(&made->pm.pm, false, again) == 0)
        FUZZ_REQUIRE(memcmp(again->pm.buf, made->pm.buf, made->pm.buf_bytes) == 0);
}

static void dump(struct fuzz_pmem *pm, unsigned forms)
{
    static struct cbd_check_summary summary;
    struct dump d = {
        .path = "device",
        .super = (forms & FORM_SUPER) != 0,
        .backends = (forms & FORM_BACKENDS) != 0,
        .segments = (forms & FORM_SEGMENTS) != 0,
        .keys = (forms & FORM_KEYS) != 0,
        .map = (forms & FORM_MAP) != 0,
        .hex = (forms & FORM_HEX) != 0,
        .device = {.path = "device", .pm = &pm->pm, .env = &env.env},
        .summary = &summary,
    };

    if ((forms & FORM_SUPER) != 0 && (forms & FORM_KEYS) != 0) {
        d.range_first = 4096;
        d.range_end = 65536;
        d.backend_name = "disk0";
    }
    if ((forms & WORK_MASK) == WORK_JSON) {
        d.document = json_object();
        FUZZ_REQUIRE(d.document != NULL);
        d.segments = d.segments || d.map;
    }
    (void)dump_show(&d);
    if (d.document != NULL) {
        FUZZ_REQUIRE(json_dumpf(d.document, stdout, 0) == 0);
        json_decref(d.document);
    }
}

static void examine(struct fuzz_pmem *pm, unsigned forms)
{
    uint64_t stores = pm->stores;

    fuzz_env_reset(&env, NULL, NULL, 0);
    if ((forms & WORK_MASK) == WORK_TEXT || (forms & WORK_MASK) == WORK_JSON)
        dump(pm, forms);
    else
        image(pm, (forms & WORK_MASK) == WORK_IMAGE_ANONYMIZED);
    FUZZ_REQUIRE(pm->stores == stores); /* D1 */
    FUZZ_REQUIRE(env.blocks == 0 && env.bytes == 0);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (bases[0].image == NULL)
        fuzz_bases_build(bases);
    FUZZ_REQUIRE(freopen("/dev/null", "w", stdout) != NULL);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_plan plan = {.options = 0};
    struct fuzz_pmem device;
    unsigned forms;

    if (bases[0].image == NULL)
        LLVMFuzzerInitialize(NULL, NULL);
    if (size_bytes == 0)
        return 0;
    forms = data[0];
    data++;
    size_bytes--;
    if (size_bytes > 0 && data[0] < FUZZ_BASE_COUNT) {
        struct fuzz_base *base = &bases[data[0]];

        fuzz_pmem_reset(&base->pmem);
        fuzz_patch_run(base, data + 1, size_bytes - 1, &plan);
        examine(&base->pmem, forms);
        return 0;
    }
    fuzz_pmem_init(&device, size_bytes > 0 ? data + 1 : data, size_bytes > 0 ? size_bytes - 1 : 0);
    examine(&device, forms);
    fuzz_pmem_destroy(&device);
    return 0;
}
