/* SPDX-License-Identifier: BSD-2-Clause */
/* Table entries, which have two copies: how they are read, stored and repaired. */
#ifndef CBD_TWIN_H
#define CBD_TWIN_H

#include "state.h"

/* twin.c: a structure with two copies */
struct cbd_twin {
    uint64_t place; /* offset within a table */
    uint32_t len_bytes;
};

enum cbd_twin_step_group {
    CBD_TWIN_BACKEND_CONFIG = CBD_STEP_BACKEND_CONFIG_A_COPY,
    CBD_TWIN_BACKEND_STATE = CBD_STEP_BACKEND_STATE_A_COPY,
    CBD_TWIN_SEGMENT_ASSIGN = CBD_STEP_SEGMENT_ASSIGN_A_COPY,
    CBD_TWIN_SEGMENT_DETACH = CBD_STEP_SEGMENT_DETACH_A_COPY,
    CBD_TWIN_SEGMENT_OPEN = CBD_STEP_SEGMENT_OPEN_A_COPY,
    CBD_TWIN_SEGMENT_CLOSE = CBD_STEP_SEGMENT_CLOSE_A_COPY,
    CBD_TWIN_EPOCH = CBD_STEP_EPOCH_A_COPY,
    CBD_TWIN_HORIZON = CBD_STEP_HORIZON_A_COPY,
    CBD_TWIN_RECOVER_STATE = CBD_STEP_RECOVER_STATE_A_COPY,
};

int cbd_twin_write(struct cbd_cache *c, struct cbd_twin twin, const void *bytes,
                   enum cbd_twin_step_group steps) CBD_MUST_CHECK;
int cbd_twin_read_backend(struct cbd_cache *c, uint32_t id, struct cbd_backend_config *config,
                          bool *differ) CBD_MUST_CHECK;
int cbd_twin_read_state(struct cbd_cache *c, uint32_t id, struct cbd_backend_state *state,
                        bool *differ) CBD_MUST_CHECK;
int cbd_twin_read_segment(struct cbd_cache *c, uint32_t id, struct cbd_segment_entry *entry,
                          bool *differ) CBD_MUST_CHECK;
void cbd_twin_repair(struct cbd_cache *c, struct cbd_twin twin, const void *bytes);
int cbd_twin_repair_end(struct cbd_cache *c) CBD_MUST_CHECK;
int cbd_tables_settle(struct cbd_cache *c) CBD_MUST_CHECK;
void cbd_repair_supers(struct cbd_cache *c);
int cbd_repair_backend(struct cbd_cache *c, uint32_t id) CBD_MUST_CHECK;
int cbd_repair_segment(struct cbd_cache *c, uint32_t id) CBD_MUST_CHECK;
int cbd_twin_write_backend(struct cbd_cache *c, uint32_t id,
                           struct cbd_backend_config *config) CBD_MUST_CHECK;
int cbd_twin_write_state(struct cbd_cache *c, uint32_t id, struct cbd_backend_state *state,
                         enum cbd_twin_step_group steps) CBD_MUST_CHECK;
int cbd_twin_write_segment(struct cbd_cache *c, uint32_t id, struct cbd_segment_entry *entry,
                           enum cbd_twin_step_group steps) CBD_MUST_CHECK;

#endif
