/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that a tool puts onto a device: undo files of cbd-check, metadata images for cbd-format.
 *
 * The first byte of the input says what it is (enum work), the second chooses a base image, the rest
 * is a program: for an undo file, steps of eight bytes (enum file_op) that build it and change it,
 * with checksums made again; else patches as in image/patch.h. Nothing may crash, hang, leak or
 * touch what is not there. And
 *
 * U1  a file that is refused has changed nothing on the device;
 * U2  one that is taken puts back the blocks that it holds, the first of equal places last, and
 *     nothing else; once more changes nothing;
 * U3  what cbd-check saved before a repair gives the device back, byte by byte;
 * U4  a metadata image that is taken stays one: nothing serves it, and a check of the device finds
 *     what a check of the image finds; one that is refused leaves no superblock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cbd/image.h"
#include "cbd/repair.h"
#include "crc.h"
#include "format_tool.h"
#include "image/patch.h"
#include "image/seams.h"
#include "tool_exit.h"
#include "undo.h"

#define CHECK_ALL (CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS | CBD_CHECK_DATA)
#define FINDINGS_MAX 512u
#define HEAD_BYTES 64u
#define ENTRY_BYTES 64u
#define STEP_BYTES (ENTRY_BYTES + CBD_PAGE_BYTES)
#define STEPS_MAX 24u
#define OPS_MAX 64u
#define OP_BYTES 8u
#define FILE_BYTES_MAX (HEAD_BYTES + (STEPS_MAX + 2) * STEP_BYTES)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum work {
    WORK_FILE,   /* an undo file is built */
    WORK_RAW,    /* the rest of the input is the undo file */
    WORK_REPAIR, /* a damaged device is repaired, and the repair undone */
    WORK_IMAGE,  /* a metadata image of the base is damaged */
    WORK_COUNT,
};

/* op, a: 8 bits, b: 16 bits, c: 32 bits; little-endian. What is too large is taken modulo. */
enum file_op {
    OP_STEP,     /* a block for page b, full of a; a 0: as the device has it */
    OP_HEAD,     /* byte b of the head becomes a */
    OP_ENTRY,    /* byte b of entry c becomes a */
    OP_PLACE,    /* entry b is for the offset c, times 4096 if a is even */
    OP_BLOCK,    /* byte c of block b becomes a */
    OP_SIZE,     /* the file is cut by b bytes, or b bytes of a follow */
    OP_UNSEALED, /* entry b, or the head if a is odd, keeps its checksum as it was */
    OP_DEVICE,   /* page b of the device is full of a */
    OP_COUNT,
};

static struct fuzz_base bases[FUZZ_BASE_COUNT], images[FUZZ_BASE_COUNT];
static struct fuzz_env env;
static struct fuzz_pmem target; /* of images: all zeroes */
static uint8_t *nothing;
static uint8_t *expected;

/* An undo file in memory. */
struct file {
    uint8_t bytes[FILE_BYTES_MAX];
    size_t size_bytes;
    uint32_t steps;
    bool unsealed[STEPS_MAX], head_unsealed;
};

static struct file file;

/* --- undo files --- */

static void put(uint8_t *at, uint64_t value, uint32_t len_bytes)
{
    for (uint32_t i = 0; i < len_bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *at, uint32_t len_bytes)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < len_bytes; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static uint8_t *step_at(uint32_t n)
{
    return file.bytes + HEAD_BYTES + (size_t)n * STEP_BYTES;
}

static uint32_t block_crc(uint32_t n)
{
    return ~cbd_crc32c(0xffffffffu, step_at(n) + ENTRY_BYTES, CBD_PAGE_BYTES);
}

/* With zeroes in the place of the checksum, at `crc_at`. */
static uint32_t crc_of(const uint8_t *bytes, size_t len, size_t crc_at)
{
    static const uint8_t zeroes[4];
    uint32_t crc = cbd_crc32c(0xffffffffu, bytes, crc_at);

    crc = cbd_crc32c(crc, zeroes, sizeof(zeroes));
    return ~cbd_crc32c(crc, bytes + crc_at + 4, len - crc_at - 4);
}

static void begin_file(const struct fuzz_pmem *pm)
{
    struct cbd_super super;
    uint32_t bad;

    memset(&file, 0, sizeof(file));
    file.size_bytes = HEAD_BYTES;
    memcpy(file.bytes, "CBDUNDO\r\n\032\n", 11);
    put(file.bytes + 16, 1, 4);
    put(file.bytes + 24, pm->pm.size_bytes, 8);
    FUZZ_REQUIRE(cbd_super_read((struct cbd_pmem *)&pm->pm, &env.env, &super, &bad) == 0);
    memcpy(file.bytes + 32, super.uuid, 16);
    put(file.bytes + 48, super.salt, 8);
}

static void add_step(const struct fuzz_pmem *pm, uint8_t fill, uint64_t page)
{
    uint8_t *s = step_at(file.steps);

    if (file.steps == STEPS_MAX)
        return;
    page %= pm->pm.size_bytes / CBD_PAGE_BYTES;
    memset(s, 0, ENTRY_BYTES);
    put(s + 4, file.steps, 4);
    put(s + 8, page * CBD_PAGE_BYTES, 8);
    if (fill == 0)
        memcpy(s + ENTRY_BYTES, pm->buf + page * CBD_PAGE_BYTES, CBD_PAGE_BYTES);
    else
        memset(s + ENTRY_BYTES, fill, CBD_PAGE_BYTES);
    put(s + 16, block_crc(file.steps), 4);
    file.steps++;
    file.size_bytes = HEAD_BYTES + (size_t)file.steps * STEP_BYTES;
}

/* Of what follows the last step. */
static int64_t run_op(struct fuzz_pmem *pm, const uint8_t *op, int64_t tail)
{
    uint8_t a = op[1];
    uint16_t b = (uint16_t)get(op + 2, 2);
    uint32_t c = (uint32_t)get(op + 4, 4);
    uint32_t steps = file.steps != 0 ? file.steps : 1;
    uint8_t page[CBD_PAGE_BYTES];

    switch (op[0] % OP_COUNT) {
    case OP_STEP:
        add_step(pm, a, b);
        break;
    case OP_HEAD:
        file.bytes[b % HEAD_BYTES] = a;
        break;
    case OP_ENTRY:
        step_at(c % steps)[b % ENTRY_BYTES] = a;
        break;
    case OP_PLACE:
        put(step_at(b % steps) + 8, a % 2 == 0 ? (uint64_t)c * CBD_PAGE_BYTES : c, 8);
        break;
    case OP_BLOCK:
        step_at(b % steps)[ENTRY_BYTES + c % CBD_PAGE_BYTES] = a;
        put(step_at(b % steps) + 16, block_crc(b % steps), 4);
        break;
    case OP_SIZE:
        tail = c % 2 == 0 ? -(int64_t)b : (int64_t)(b % STEP_BYTES);
        memset(step_at(file.steps), a, STEP_BYTES);
        break;
    case OP_UNSEALED:
        file.unsealed[b % STEPS_MAX] = true;
        file.head_unsealed = file.head_unsealed || a % 2 != 0;
        break;
    default:
        memset(page, a, sizeof(page));
        fuzz_pmem_poke(pm, b % (pm->pm.size_bytes / CBD_PAGE_BYTES) * CBD_PAGE_BYTES, page,
                       sizeof(page));
        break;
    }
    return tail;
}

static void build_file(struct fuzz_pmem *pm, const uint8_t *data, size_t size_bytes)
{
    int64_t tail = 0;

    begin_file(pm);
    for (uint32_t n = 0; n < OPS_MAX && size_bytes >= OP_BYTES; n++) {
        tail = run_op(pm, data, tail);
        data += OP_BYTES;
        size_bytes -= OP_BYTES;
    }
    if (!file.head_unsealed)
        put(file.bytes + 20, crc_of(file.bytes, HEAD_BYTES, 20), 4);
    for (uint32_t n = 0; n < file.steps; n++)
        if (!file.unsealed[n])
            put(step_at(n), crc_of(step_at(n), STEP_BYTES, 0), 4);
    if (tail < 0 && (uint64_t)-tail > file.size_bytes)
        tail = -(int64_t)file.size_bytes;
    file.size_bytes = (size_t)((int64_t)file.size_bytes + tail);
}

/* U2, by the layout that undo.h draws: what the device is afterwards. False: nothing can be. */
static bool expect(const struct fuzz_pmem *pm)
{
    uint32_t steps;

    if (file.size_bytes < HEAD_BYTES)
        return false;
    steps = (uint32_t)((file.size_bytes - HEAD_BYTES) / STEP_BYTES);
    memcpy(expected, pm->buf, pm->pm.size_bytes);
    if (steps != 0 && HEAD_BYTES + (size_t)steps * STEP_BYTES == file.size_bytes &&
        get(step_at(steps - 1), 4) != crc_of(step_at(steps - 1), STEP_BYTES, 0))
        steps--; /* it was not finished */
    for (uint32_t n = steps; n-- > 0;) {
        uint64_t off = get(step_at(n) + 8, 8);

        if (get(step_at(n), 4) != crc_of(step_at(n), STEP_BYTES, 0) ||
            get(step_at(n) + 16, 4) != block_crc(n) || off % CBD_PAGE_BYTES != 0 ||
            off > pm->pm.size_bytes - CBD_PAGE_BYTES)
            return false;
        memcpy(expected + off, step_at(n) + ENTRY_BYTES, CBD_PAGE_BYTES);
    }
    return true;
}

static int memory_file(const void *bytes, size_t len_bytes)
{
    int fd = memfd_create("undo", MFD_CLOEXEC);

    FUZZ_REQUIRE(fd >= 0 && write(fd, bytes, len_bytes) == (ssize_t)len_bytes);
    return fd;
}

static int apply(int fd, struct fuzz_pmem *pm)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return undo_apply(path, "device", &pm->pm, &env.env, true);
}

static void apply_file(struct fuzz_pmem *pm)
{
    int fd = memory_file(file.bytes, file.size_bytes);
    bool whole = expect(pm);
    uint64_t stores = pm->stores;
    int code = apply(fd, pm);

    FUZZ_REQUIRE(code == CBD_EXIT_CLEAN || code == CBD_EXIT_CORRECTED ||
                 code == CBD_EXIT_OPERATIONAL);
    if (code == CBD_EXIT_OPERATIONAL) {
        FUZZ_REQUIRE(pm->stores == stores); /* U1 */
    } else {
        FUZZ_REQUIRE(whole && memcmp(pm->buf, expected, pm->pm.size_bytes) == 0); /* U2 */
        /* It may have brought another cache's superblock: then it is that one's file no more. */
        code = apply(fd, pm);
        FUZZ_REQUIRE(memcmp(pm->buf, expected, pm->pm.size_bytes) == 0);
    }
    close(fd);
}

/* --- a repair, undone --- */

struct undoing {
    struct fuzz_pmem *pm;
    struct undo undo;
    int fd;
    bool begun;
};

static enum cbd_repair_answer decide(void *arg, const struct cbd_repair_offer *offer)
{
    (void)arg;
    return offer->possible ? CBD_REPAIR_FIX : CBD_REPAIR_SKIP;
}

static int before(void *arg, uint64_t off_bytes, uint64_t len_bytes)
{
    struct undoing *u = arg;
    struct cbd_super super;
    uint32_t bad;

    if (!u->begun) {
        FUZZ_REQUIRE(cbd_super_read(&u->pm->pm, &env.env, &super, &bad) == 0);
        FUZZ_REQUIRE(undo_begin(&u->undo, dup(u->fd), "undo", &u->pm->pm, &super) == 0);
        u->begun = true;
    }
    return undo_save(&u->undo, off_bytes, len_bytes);
}

static void repair_and_undo(struct fuzz_pmem *pm)
{
    struct undoing u = {.pm = pm, .fd = memory_file("", 0)};
    const struct cbd_repair_options options = {
        .flags = CHECK_ALL,
        .allow_data_loss = true,
        .decide = decide,
        .before = before,
    };
    struct cbd_repair_result result;

    memcpy(expected, pm->buf, pm->pm.size_bytes);
    if (cbd_repair_run(&pm->pm, &env.env, &options, &u, &result) == 0)
        FUZZ_REQUIRE(u.begun || memcmp(pm->buf, expected, pm->pm.size_bytes) == 0);
    if (u.begun) {
        undo_close(&u.undo);
        FUZZ_REQUIRE(apply(u.fd, pm) == CBD_EXIT_CORRECTED); /* U3 */
        if (pm->poison_count == 0)
            FUZZ_REQUIRE(memcmp(pm->buf, expected, pm->pm.size_bytes) == 0); /* U3 */
    }
    close(u.fd);
}

/* --- images --- */

struct findings {
    int error;
    uint32_t count;
    struct {
        uint32_t code, copy, segment, slot, backend;
    } at[FINDINGS_MAX];
};

static int on_finding(void *arg, const struct cbd_check_finding *f)
{
    struct findings *all = arg;

    if (f->problem->code == CBD_PROBLEM_SUPER_DEVICE_LARGER || all->count == FINDINGS_MAX)
        return 0;
    all->at[all->count].code = f->problem->code;
    all->at[all->count].copy = f->copy;
    all->at[all->count].segment = f->segment;
    all->at[all->count].slot = f->slot;
    all->at[all->count].backend = f->backend;
    all->count++;
    return 0;
}

static void check(struct cbd_pmem *pm, struct findings *all)
{
    const struct cbd_check_options options = {.flags = CHECK_ALL};
    static struct cbd_check_summary out;

    memset(all, 0, sizeof(*all));
    all->error = cbd_check_run(pm, &env.env, &options, on_finding, all, &out);
}

/* U4 */
static void format_from(struct fuzz_pmem *image)
{
    static struct findings of_image, of_device;
    static struct arguments a = {.path = "device", .from_image = "image"};
    const struct cbd_tool_device device = {.path = "device", .pm = &target.pm, .env = &env.env};
    struct cbd_cache *cache = NULL;
    struct cbd_super super, now;
    uint64_t stores = image->stores;
    uint32_t bad;

    a.image = (struct cbd_tool_device){.path = "image", .pm = &image->pm, .env = &env.env};
    if (format_image_super(&a, &super) != 0)
        return;
    FUZZ_REQUIRE(super.geo.device_bytes <= target.pm.size_bytes);
    fuzz_pmem_reset(&target);
    if (format_image_write(&a, &device, &super) != 0) {
        FUZZ_REQUIRE(cbd_super_read(&target.pm, &env.env, &now, &bad) == CBD_E_NOTCBD);
        return;
    }
    FUZZ_REQUIRE(image->stores == stores);
    FUZZ_REQUIRE(cbd_super_read(&target.pm, &env.env, &now, &bad) == 0);
    FUZZ_REQUIRE((now.incompat & CBD_INCOMPAT_METADATA_ONLY) != 0);
    FUZZ_REQUIRE(cbd_cache_open(&target.pm, &env.env, 0, &cache) != 0);
    check(&image->pm, &of_image);
    check(&target.pm, &of_device);
    if (image->poison_count == 0)
        FUZZ_REQUIRE(memcmp(&of_image, &of_device, sizeof(of_image)) == 0);
}

static int on_piece(void *arg, uint64_t off, const void *bytes, uint32_t len)
{
    struct fuzz_base *image = arg;

    memcpy(image->image + off, bytes, len);
    return 0;
}

static void build_images(void)
{
    for (int kind = 0; kind < FUZZ_BASE_COUNT; kind++) {
        struct fuzz_base *image = &images[kind];
        struct cbd_image_options options = {.write = on_piece, .arg = image};
        struct cbd_image_summary summary;

        image->geo = bases[kind].geo;
        image->image = calloc(1, bases[kind].pmem.buf_bytes);
        FUZZ_REQUIRE(image->image != NULL);
        FUZZ_REQUIRE(cbd_image_run(&bases[kind].pmem.pm, &env.env, &options, &summary) == 0);
        fuzz_pmem_init(&image->pmem, image->image, bases[kind].pmem.buf_bytes);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    uint64_t size_bytes;

    (void)argc;
    (void)argv;
    if (bases[0].image != NULL)
        return 0;
    fuzz_env_reset(&env, NULL, NULL, 0);
    fuzz_bases_build(bases);
    build_images();
    size_bytes = bases[0].pmem.buf_bytes;
    nothing = calloc(1, size_bytes);
    expected = malloc(size_bytes);
    FUZZ_REQUIRE(nothing != NULL && expected != NULL);
    fuzz_pmem_init(&target, nothing, size_bytes);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct fuzz_plan plan = {.options = 0};
    struct fuzz_base *base;

    LLVMFuzzerInitialize(NULL, NULL);
    if (size_bytes < 2)
        return 0;
    fuzz_env_reset(&env, NULL, NULL, 0);
    base = data[0] % WORK_COUNT == WORK_IMAGE ? &images[data[1] % FUZZ_BASE_COUNT]
                                              : &bases[data[1] % FUZZ_BASE_COUNT];
    fuzz_pmem_reset(&base->pmem);
    switch (data[0] % WORK_COUNT) {
    case WORK_FILE:
        build_file(&base->pmem, data + 2, size_bytes - 2);
        apply_file(&base->pmem);
        break;
    case WORK_RAW:
        file.size_bytes = size_bytes - 2 < FILE_BYTES_MAX ? size_bytes - 2 : FILE_BYTES_MAX;
        memcpy(file.bytes, data + 2, file.size_bytes);
        apply_file(&base->pmem);
        break;
    case WORK_REPAIR:
        fuzz_patch_run(base, data + 2, size_bytes - 2, &plan);
        repair_and_undo(&base->pmem);
        break;
    default:
        fuzz_patch_run(base, data + 2, size_bytes - 2, &plan);
        format_from(&base->pmem);
        break;
    }
    FUZZ_REQUIRE(env.blocks == 0 && env.bytes == 0);
    return 0;
}
