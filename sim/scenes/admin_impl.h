/* SPDX-License-Identifier: BSD-2-Clause */
/* What the run and the judge of the administrative scenario share. */
#ifndef SIM_ADMIN_IMPL_H
#define SIM_ADMIN_IMPL_H

#include <setjmp.h>

#include "admin.h"
#include "cbd/cache.h"
#include "sim_disk.h"
#include "sim_env.h"

#define ADMIN_SLOTS 2u
#define ADMIN_DISKS (3 * ADMIN_SLOTS) /* of the old cache, of the new one, of the second life */
#define ADMIN_SECTORS 256u
#define ADMIN_DISK_BYTES (ADMIN_SECTORS * UINT64_C(512))
#define ADMIN_SEGMENT_BYTES (64u << 10)
#define ADMIN_SEGMENTS 6u /* share of a backend: one stream, and some to spare */
#define ADMIN_BYTES (UINT64_C(4) << 20)
#define ADMIN_OLD_BYTES (ADMIN_BYTES - (UINT64_C(128) << 10)) /* when the old cache was made */
#define ADMIN_OLD_SALT UINT64_C(0x01d)
#define ADMIN_NEW_SALT UINT64_C(0x2e3)

enum admin_answer {
    ADMIN_NO,
    ADMIN_YES,
    ADMIN_EITHER, /* a call is under way */
};

/* What must be there of one backend. */
struct admin_slot {
    enum admin_answer present;
    enum admin_answer unclean; /* attached, and not detached since */
    uint32_t disk;
    uint64_t version[ADMIN_SECTORS];   /* acknowledged */
    uint32_t open_first, open_sectors; /* of a write under way: old or new */
    uint64_t open_version;
};

/* Memory that can run out. */
struct admin_env {
    struct sim_env sim; /* first */
    struct cbd_env_ops ops;
    const struct cbd_env_ops *real;
    bool no_memory;
};

struct admin {
    const struct sim_admin_config *config;
    struct sim_admin_result *result;
    struct sim_pmem *pmem;
    struct sim_disk *disk[ADMIN_DISKS];
    struct cbd_geometry geo;
    struct admin_slot slot[ADMIN_SLOTS];
    struct admin_slot old[ADMIN_SLOTS];
    bool formatting; /* old, none and new are all right */
    uint8_t *buf;    /* of a whole disk */

    /* the run */
    struct admin_env env;
    struct cbd_cache *cache;
    struct cbd_backend *backend[ADMIN_SLOTS];
    enum sim_admin_stage stage;
    uint64_t old_bytes; /* the device when the old cache was made */
    uint64_t step;
    bool stop;

    /* the judge */
    struct sim_env judge_env;
    struct sim_admin_failure *failure;
    struct cbd_cache *found;
    struct cbd_backend *attached[ADMIN_SLOTS];
    jmp_buf nested_out;
    uint64_t nested_left;
    bool went_on; /* backends may have been attached and detached since the first crash */
};

extern const char *const sim_admin_names[ADMIN_SLOTS];

/* The options with which backends of the scenario are added. */
struct cbd_backend_options sim_admin_options(uint32_t slot);
struct cbd_format_options sim_admin_format_options(const struct admin *a, uint64_t salt);

/* Any request in flight completes; for sim_env.progress. */
bool sim_admin_progress(void *admin);

/* All devices at once. */
void sim_admin_power_cut(struct admin *a, const struct sim_crash *crash);

/*
 * What is on the device: the expectations of the old cache or of the new one; NULL: no cache, and
 * *error says why.
 */
const struct admin_slot *sim_admin_which(struct admin *a, int *error);

/*
 * Recovers and goes on; fills a->failure. nested_draw: if not 0, where a second power cut falls.
 * `lost`: a copy of something was destroyed, so the first check would complain.
 */
bool sim_admin_judge_crashed(struct admin *a, bool lost, uint64_t nested_draw);

/* One crash state of the cut at this instant, or all that lose one copy. */
void sim_admin_judge_subset(struct admin *a, uint64_t subset);
void sim_admin_judge_copies(struct admin *a);

void sim_admin_set_hooks(struct admin *a, void (*pm)(void *, const struct sim_pm_event *),
                         void (*disk)(void *, const struct sim_disk_event *));

#endif
