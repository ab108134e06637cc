/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A workload: a machine, what is done to it, and perhaps one power cut. It has a text form, which
 * people write and tools print: docs/simulator.md has its grammar. Reading what was printed gives
 * the same workload. What is as usual has no line.
 *
 * Operations begin in their order. Those of one client follow each other; those of different
 * clients overlap, unless the schedule is serial.
 */
#ifndef SIM_WORKLOAD_H
#define SIM_WORKLOAD_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "survive.h"
#include "world.h"

#define SIM_WORK_OPS_MAX 1000000u
#define SIM_WORK_LINE_BYTES_MAX 4096u
#define SIM_WORK_CACHE_BYTES_MAX (UINT64_C(1) << 32)
#define SIM_WORK_DISK_BYTES_MAX (UINT64_C(1) << 44)

enum sim_work_kind {
    SIM_WORK_READ,
    SIM_WORK_WRITE,
    SIM_WORK_ZERO,
    SIM_WORK_DISCARD,
    SIM_WORK_FLUSH,
    SIM_WORK_WAIT,   /* nothing is under way, then background work runs until it is done */
    SIM_WORK_DETACH, /* a backend; until it is attached its requests are passed over */
    SIM_WORK_ATTACH,
    SIM_WORK_RESTART, /* the power fails `steps` steps later; then the machine goes on */
    SIM_WORK_KIND_COUNT,
};

struct sim_work_op {
    uint8_t kind;
    uint8_t client; /* 1 and up; 0: whoever is free */
    uint8_t disk;
    bool fua;
    uint32_t line; /* of the text; no part of the workload */
    uint64_t off_bytes, len_bytes;
    /* RESTART */
    uint64_t steps;
    struct sim_crash crash;
};

/* Where the power fails: before a numbered step. */
enum sim_work_where {
    SIM_WORK_NOWHERE,
    SIM_WORK_AT_STEP,  /* by number */
    SIM_WORK_AT_STORE, /* a step of core/include/cbd/steps.def, after `op` operations began */
    SIM_WORK_AT_DISK,  /* a completion of kind `disk_op`, after `op` operations began */
    SIM_WORK_AT_END,   /* behind the last operation */
};

struct sim_work_cut {
    enum sim_work_where where;
    uint64_t step;
    enum cbd_step store;
    enum cbd_disk_op disk_op;
    uint32_t op;  /* 1 .. */
    uint32_t nth; /* 1 .. */
    struct sim_survive survive;
    bool kill;
    bool again; /* inside recovery, before step `again_at` of it */
    uint64_t again_at;
    struct sim_crash again_crash;
    bool lost_copy;
    uint64_t lost_draw;
    bool faulty; /* a device has a fault while the process recovers */
    enum sim_fault fault;
    uint64_t fault_draw;
    bool twice, backing, written, full;
    enum sim_later later; /* inside this, of the recovered cache, before step `later_at` of it */
    uint64_t later_at;
    struct sim_crash later_crash;
};

struct sim_workload {
    struct sim_config config;
    struct sim_work_op *ops;
    size_t count, cap;
    struct sim_work_cut cut;
};

/* Empty, everything as usual. */
void sim_workload_init(struct sim_workload *w);
void sim_workload_free(struct sim_workload *w);
/* `to` was initialised. */
void sim_workload_copy(struct sim_workload *to, const struct sim_workload *from);
struct sim_work_op *sim_workload_add(struct sim_workload *w, enum sim_work_kind kind);
bool sim_workload_equal(const struct sim_workload *a, const struct sim_workload *b);

/* Lines that sim_workload_print() gives. */
size_t sim_workload_lines(const struct sim_workload *w);

/*
 * Whether core/ can be set up like this; else false, a sentence "what: got X, limit Y", and in
 * *line (may be NULL) the line of the operation that it is about, or 0.
 */
bool sim_workload_valid(const struct sim_workload *w, char *why, size_t why_bytes, uint32_t *line);

/*
 * Reads len_bytes of text; `name` is for messages. 0, or CBD_E_INVALID with a sentence in why:
 * "name:LINE: what: got X, limit Y". w was initialised; on error its content does not matter.
 */
int sim_workload_parse(struct sim_workload *w, const char *name, const char *text, size_t len_bytes,
                       char *why, size_t why_bytes) CBD_MUST_CHECK;

/* One line of the machine into w->config. False: not understood; nothing is validated. */
bool sim_workload_setting(struct sim_workload *w, const char *line);

/* Decimal digits, with `size` perhaps K, M, G or T behind them. */
bool sim_work_number(const char *text, bool size, uint64_t *value);

/* The text form. */
void sim_workload_print(const struct sim_workload *w, FILE *out);

/* The names of the text form. */
const char *sim_work_kind_name(enum sim_work_kind kind);
const char *sim_model_name(enum sim_model model);
bool sim_step_parse(const char *name, enum cbd_step *step);
const char *sim_disk_op_name(enum cbd_disk_op op);

/* The lines of the machine, in the order in which they are printed; the last has no name. */
enum sim_work_field_kind {
    SIM_WORK_SIZE,
    SIM_WORK_NUMBER,
    SIM_WORK_FLAG,
    SIM_WORK_WORD,
    SIM_WORK_FAULTS
};

struct sim_work_field {
    const char *name;
    enum sim_work_field_kind kind;
    size_t offset; /* in struct sim_config */
    bool wide;     /* 64 bits, else 32 */
    bool inverted; /* FLAG: "on" is false */
    uint64_t min, max;
    const char *(*word)(unsigned value); /* WORD: NULL behind the last */
};

extern const struct sim_work_field sim_work_fields[];
uint64_t sim_work_field_get(const struct sim_work_field *f, const struct sim_config *c);
void sim_work_field_set(const struct sim_work_field *f, struct sim_config *c, uint64_t value);

#endif
