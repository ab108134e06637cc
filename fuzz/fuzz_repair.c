/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a cache device: repaired, checked again, repaired again, served.
 *
 * The first byte of the input says how to answer (enum policy, and FLAG_*), the rest is what
 * fuzz_image takes: changes to a base image (image/patch.h), or the device itself. Nothing may
 * crash, hang, leak or touch what is not there. And
 *
 * Y1  who accepts nothing has nothing stored; who does not allow loss loses nothing; what nobody
 *     has to decide loses nothing;
 * Y2  every line that a repair changes was announced before, so putting those back undoes it;
 * Y3  a check after a repair finds the errors that the repair said were left; the same repair
 *     again changes no byte, and offers nothing to who accepts all that is possible;
 * Y4  where nothing is left, opening, attaching, reading and a clean detach succeed.
 *
 * Unreadable lines excuse Y3 and Y4, injected faults all but Y2.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cbd/repair.h"
#include "engine.h"
#include "image/patch.h"
#include "image/seams.h"

#define FLAGS (CBD_CHECK_SCAN | CBD_CHECK_HEADERS | CBD_CHECK_ORDERS | CBD_CHECK_DATA)
#define IO_BYTES 65536u
#define LINE 64u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* Bits 0 and 1 of the first byte. */
enum policy {
    POLICY_NONE,
    POLICY_PREEN,
    POLICY_YES,
    POLICY_LOSES, /* as YES, and loss is allowed */
    POLICY_MASK = 3,
};

#define FLAG_EVERY_OTHER (1u << 2) /* of the offers only */
#define FLAG_STOP (1u << 3)        /* at the fifth offer */

static struct fuzz_base bases[FUZZ_BASE_COUNT];
static struct fuzz_env env;
static uint8_t buffer[IO_BYTES];

struct run {
    struct fuzz_pmem *pm;
    struct fuzz_plan plan;
    struct fuzz_disk disks[CBD_BACKENDS];
    struct cbd_backend *backends[CBD_BACKENDS];
    unsigned how;
    uint8_t *was;       /* the device before the repair */
    uint8_t *announced; /* one byte a line */
    uint64_t offers, accepted;
    struct cbd_repair_result result;
};

static enum cbd_repair_answer decide(void *arg, const struct cbd_repair_offer *offer)
{
    struct run *run = arg;
    enum policy policy = run->how & POLICY_MASK;
    bool fix = policy == POLICY_PREEN ? offer->preen : policy != POLICY_NONE;

    FUZZ_REQUIRE(offer->what != NULL && offer->finding->problem != NULL);
    FUZZ_REQUIRE(!offer->preen || (offer->possible && !offer->loses)); /* Y1 */
    FUZZ_REQUIRE(!offer->possible || !offer->loses || policy == POLICY_LOSES);
    FUZZ_REQUIRE(!offer->range_known || offer->len_bytes <= UINT64_MAX - offer->addr_bytes);
    if (getenv("FUZZ_VERBOSE") != NULL)
        fprintf(stderr, "repair: %u %u.%u: %s: %s\n", offer->finding->problem->code,
                offer->finding->segment, offer->finding->slot, offer->finding->problem->sentence,
                offer->what);
    run->offers++;
    if ((run->how & FLAG_STOP) != 0 && run->offers == 5)
        return CBD_REPAIR_STOP;
    if ((run->how & FLAG_EVERY_OTHER) != 0 && run->offers % 2 == 0)
        fix = false;
    if (fix && offer->possible)
        run->accepted++;
    return fix ? CBD_REPAIR_FIX : CBD_REPAIR_SKIP;
}

static int before(void *arg, uint64_t off_bytes, uint64_t len_bytes)
{
    struct run *run = arg;

    FUZZ_REQUIRE(len_bytes != 0 && off_bytes <= run->pm->pm.size_bytes &&
                 len_bytes <= run->pm->pm.size_bytes - off_bytes);
    for (uint64_t line = off_bytes / LINE; line <= (off_bytes + len_bytes - 1) / LINE; line++)
        run->announced[line] = 1;
    return 0;
}

static int repair(struct run *run)
{
    const struct cbd_repair_options options = {
        .flags = FLAGS,
        .allow_data_loss = (run->how & POLICY_MASK) == POLICY_LOSES,
        .decide = decide,
        .before = before,
    };
    int error;

    run->offers = 0;
    run->accepted = 0;
    error = cbd_repair_run(&run->pm->pm, &env.env, &options, run, &run->result);
    FUZZ_REQUIRE(error <= 0);
    FUZZ_REQUIRE(run->result.fixed + run->result.failed <= run->accepted || run->result.stopped);
    FUZZ_REQUIRE((run->how & POLICY_MASK) == POLICY_LOSES || run->result.lost_bytes == 0); /* Y1 */
    return error;
}

/* Y2: only announced lines differ. */
static void compare(const struct run *run)
{
    for (uint64_t off = 0; off < run->pm->pm.size_bytes; off += LINE) {
        uint64_t left = run->pm->pm.size_bytes - off;

        if (run->announced[off / LINE] == 0)
            FUZZ_REQUIRE(memcmp(run->pm->buf + off, run->was + off, left < LINE ? left : LINE) ==
                         0);
    }
}

static uint64_t errors_left(struct run *run)
{
    static struct cbd_check_summary out;
    const struct cbd_check_options options = {.flags = FLAGS};
    int error = cbd_check_run(&run->pm->pm, &env.env, &options, NULL, NULL, &out);

    FUZZ_REQUIRE(error == 0);
    return out.errors;
}

static void read_at(struct run *run, uint32_t id, uint64_t off, uint64_t len)
{
    FUZZ_REQUIRE(cbd_read(run->backends[id], 0, off, buffer, len) == 0); /* Y4 */
}

static void serve(struct run *run)
{
    const struct cbd_attach_options options = {
        .space_timeout_ns = 1000000,
        .identity_places = CBD_IDENTITY_NONE,
        .accept_backing = true, /* where that was begun, nobody else gets in */
    };
    struct cbd_cache *cache = NULL;
    struct cbd_backend_info info;

    FUZZ_REQUIRE(cbd_cache_open(&run->pm->pm, &env.env, 0, &cache) == 0); /* Y4 */
    for (uint32_t id = 0; id < CBD_BACKENDS; id++) {
        uint64_t len;

        if (!cbd_backend_info(cache, id, &info))
            continue;
        fuzz_disk_init(&run->disks[id], info.size_bytes, info.logical_block_bytes);
        FUZZ_REQUIRE(cbd_backend_attach(cache, id, &run->disks[id].disk, &options,
                                        &run->backends[id]) == 0); /* Y4 */
        len = info.size_bytes < IO_BYTES ? info.size_bytes : IO_BYTES;
        read_at(run, id, 0, len);
        read_at(run, id, info.size_bytes - len, len);
        env.background = false; /* a detach does all steps itself */
        FUZZ_REQUIRE(cbd_backend_detach(run->backends[id]) == 0); /* Y4 */
        env.background = true;
        run->backends[id] = NULL;
    }
    cbd_cache_close(cache);
}

/* Y3: the same answers once more store nothing, and who accepts all has nothing left to accept. */
static void repair_again(struct run *run)
{
    enum policy policy = run->how & POLICY_MASK;
    uint64_t left = run->result.summary.errors, stores = run->pm->stores;

    FUZZ_REQUIRE(errors_left(run) == left);
    FUZZ_REQUIRE(repair(run) == 0);
    FUZZ_REQUIRE(run->result.summary.errors == left);
    FUZZ_REQUIRE(run->result.fixed == 0 && run->pm->stores == stores);
    FUZZ_REQUIRE(policy == POLICY_PREEN || run->accepted == 0);
}

static void examine(struct run *run)
{
    uint64_t size = run->pm->pm.size_bytes;
    bool faults = false, poison = run->pm->poison_count != 0;
    uint64_t stores;
    int error;

    fuzz_env_reset(&env, run->disks, run->backends, CBD_BACKENDS);
    run->was = malloc(size + 1);
    run->announced = calloc(1, size / LINE + 1);
    FUZZ_REQUIRE(run->was != NULL && run->announced != NULL);
    memcpy(run->was, run->pm->buf, size);
    for (int i = 0; i < FUZZ_FAULT_COUNT; i++)
        faults = faults || run->plan.fault[i] != 0;
    env.alloc_fault.left = run->plan.fault[FUZZ_FAULT_ALLOC];
    run->pm->fence_fault.left = run->plan.fault[FUZZ_FAULT_FENCE];
    stores = run->pm->stores;
    error = repair(run);
    env.alloc_fault.left = 0;
    run->pm->fence_fault.left = 0;
    FUZZ_REQUIRE((run->how & POLICY_MASK) != POLICY_NONE || run->pm->stores == stores); /* Y1 */
    compare(run);
    if (error == 0 && !faults && !poison && !run->result.stopped &&
        (run->how & FLAG_EVERY_OTHER) == 0) {
        repair_again(run);
        if (run->result.summary.errors == 0)
            serve(run);
    }
    FUZZ_REQUIRE(env.blocks == 0 && env.bytes == 0);
    free(run->was);
    free(run->announced);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    if (bases[0].image == NULL)
        fuzz_bases_build(bases);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct run run = {.pm = NULL};
    struct fuzz_pmem device;

    if (size_bytes == 0)
        return 0;
    LLVMFuzzerInitialize(NULL, NULL);
    run.how = data[0];
    if (size_bytes > 1 && data[1] < FUZZ_BASE_COUNT) {
        struct fuzz_base *base = &bases[data[1]];

        run.pm = &base->pmem;
        fuzz_pmem_reset(run.pm);
        fuzz_patch_run(base, data + 2, size_bytes - 2, &run.plan);
        examine(&run);
        return 0;
    }
    fuzz_pmem_init(&device, data + 1, size_bytes - 1);
    run.pm = &device;
    examine(&run);
    fuzz_pmem_destroy(&device);
    return 0;
}
