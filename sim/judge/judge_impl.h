/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the judge share; internal to sim/judge/judge*.c. */
#ifndef SIM_JUDGE_IMPL_H
#define SIM_JUDGE_IMPL_H

#include "cbd/check.h"
#include "judge.h"

/* judge_text.c: notes the failure; false. */
bool judge_bad(struct sim_verdict *v, enum sim_failure failure, int error, const char *where);

/* judge.c. False: wrong, and *v says what. */
bool judge_start(struct sim_judge *j, struct sim_verdict *v);
bool judge_check(struct sim_judge *j, struct sim_verdict *v, const char *where);
/* P4: the bare disks, as if the pmem were lost. */
bool judge_backing(struct sim_judge *j, struct sim_verdict *v);

/* judge_again.c */
void judge_hooks(struct sim_world *w, void (*pm)(void *, const struct sim_pm_event *),
                 void (*disk)(void *, const struct sim_disk_event *), void *arg);
/* Recovers, and lets the power fail inside it or right after. */
bool judge_nested(struct sim_judge *j, const struct sim_state_plan *plan, struct sim_verdict *v);
/*
 * Lets write-back and reclaim work on what was recovered, takes the power away in the middle of
 * one of them, and recovers: that shows what was `seen` before.
 */
bool judge_later(struct sim_judge *j, const struct sim_state_plan *plan, uint64_t seen,
                 struct sim_verdict *v);

/*
 * judge_compare.c. False: wrong, and *v says what. *seen becomes a hash of what was read.
 */
bool judge_range(struct sim_judge *j, uint32_t backend, uint64_t first, uint64_t sectors,
                 uint64_t *seen, struct sim_verdict *v);
/* Every sector of a request that was not durable when the power failed. */
bool judge_open(struct sim_judge *j, uint64_t *seen, struct sim_verdict *v);
/* Everything in the recovered index. */
bool judge_cached(struct sim_judge *j, struct sim_verdict *v);
/* All data ever written. */
bool judge_all(struct sim_judge *j, struct sim_verdict *v);

/* judge_damage.c */
void judge_lose_copy(struct sim_judge *j, uint64_t draw);
/* Damages a line; notes in j->damage what that explains. An error: the check of it could not run. */
int judge_damage(struct sim_judge *j, const struct sim_state_plan *plan);
/* These sectors are among those of the record that was hit. */
bool judge_damage_covers(const struct sim_judge *j, uint32_t backend, uint64_t first,
                         uint64_t sectors);
/* The same, or of one before it that a record which cannot be read may have proven. */
bool judge_damage_hides(const struct sim_judge *j, uint32_t backend, uint64_t first,
                        uint64_t sectors);
/* A read of them may fail with this error, if it is reported. */
bool judge_damage_excuses(const struct sim_judge *j, int error, uint32_t backend, uint64_t first,
                          uint64_t sectors);
/* What the oracle says of this violation is what was reported as lost, and lies in that record. */
bool judge_damage_explains(const struct sim_judge *j, uint32_t backend,
                           const struct sim_oracle_violation *violation, bool piece);

#endif
