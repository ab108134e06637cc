/* SPDX-License-Identifier: BSD-2-Clause */
/* From dirty to clean to free: epochs, write-back, what writers pay, reclaim. */
#ifndef CBD_DRAIN_H
#define CBD_DRAIN_H

#include "append.h"
#include "state.h"

/* backend.c */
int cbd_backend_write_all(struct cbd_backend *b) CBD_MUST_CHECK;

/* tune.c */
int cbd_tune_init(struct cbd_backend *b) CBD_MUST_CHECK;

/* pressure.c */
uint64_t cbd_dirty_bytes(const struct cbd_backend *b);
uint64_t cbd_dirty_space(const struct cbd_backend *b);
void cbd_pressure_update(struct cbd_backend *b);
void cbd_pressure_pay(struct cbd_backend *b, uint64_t credit);
int cbd_admit(struct cbd_backend *b, unsigned lane, const struct cbd_insert *in,
              uint64_t *reserved) CBD_MUST_CHECK;
void cbd_admit_end(struct cbd_backend *b, uint64_t reserved);
uint64_t cbd_progress(const struct cbd_backend *b);

/* What a record with this payload takes in a segment, padding included. */
uint64_t cbd_record_space(uint8_t type, uint64_t addr, uint64_t len);

/* wb_hold.c */
int cbd_wb_hold_init(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_wb_hold_destroy(struct cbd_backend *b);
void cbd_wb_hold_reset(struct cbd_backend *b);
void cbd_wb_hold_add(struct cbd_backend *b, uint64_t addr, uint64_t len);
bool cbd_wb_hold_settled(struct cbd_backend *b, uint64_t *bytes);
bool cbd_wb_hold_at(struct cbd_backend *b, uint32_t i, struct cbd_range *range);
void cbd_wb_hold_commit(struct cbd_backend *b);

/* carry.c: dirty records of the open epoch, out of reclaim's way */
void cbd_carry_init(struct cbd_backend *b);
int cbd_carry(struct cbd_backend *b, uint64_t epoch, uint64_t below) CBD_MUST_CHECK;

/* epoch.c */
bool cbd_epoch_close(struct cbd_backend *b, uint64_t epoch);
void cbd_epoch_force(struct cbd_backend *b, uint64_t epoch);
void cbd_epoch_limit(struct cbd_backend *b, unsigned lane, uint64_t epoch);
void cbd_epoch_barrier(struct cbd_backend *b);
bool cbd_epoch_dirty(struct cbd_backend *b, uint64_t epoch);

int cbd_writeback_init(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_writeback_destroy(struct cbd_backend *b);
int cbd_writeback_step(struct cbd_backend *b) CBD_MUST_CHECK;
void cbd_writeback_nudge(struct cbd_backend *b);
int cbd_reclaim_step(struct cbd_backend *b) CBD_MUST_CHECK;
int cbd_reclaim_below(struct cbd_backend *b, uint64_t below) CBD_MUST_CHECK;

#endif
