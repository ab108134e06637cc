/* SPDX-License-Identifier: BSD-2-Clause */
/* How much of the volumes a trace touches: a set of the 4 KiB blocks that it reads or writes. */
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"

#define BLOCK_BYTES 4096u
#define BLOCKS_MAX (UINT64_C(1) << 24)         /* 64 GiB of footprint, 256 MiB of memory */
#define REQUEST_BLOCKS_MAX (UINT64_C(1) << 20) /* a longer request is no block I/O */
#define FIRST_SLOTS 4096u

struct set {
    uint64_t *slots; /* 0: empty */
    size_t slot_count;
    uint64_t count;
};

/* The finalizer of splitmix64 (S. Vigna, 2015), a bijection; never 0 for what is put in. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void put(struct set *s, uint64_t key)
{
    size_t at = (size_t)key & (s->slot_count - 1);

    while (s->slots[at] != 0 && s->slots[at] != key) {
        at = (at + 1) & (s->slot_count - 1);
    }
    s->count += s->slots[at] == 0;
    s->slots[at] = key;
}

static int grow(struct set *s)
{
    struct set larger = {.slot_count = s->slot_count == 0 ? FIRST_SLOTS : 2 * s->slot_count};

    larger.slots = calloc(larger.slot_count, sizeof(*larger.slots));
    if (larger.slots == NULL) {
        return CBD_E_NOMEM;
    }
    for (size_t i = 0; i < s->slot_count; i++) {
        if (s->slots[i] != 0) {
            put(&larger, s->slots[i]);
        }
    }
    free(s->slots);
    *s = larger;
    return 0;
}

/* 1: the limit is reached. */
static int add(struct set *s, const struct sim_request *req)
{
    uint64_t first = req->off_bytes / BLOCK_BYTES;
    uint64_t last = (req->off_bytes + req->len_bytes - 1) / BLOCK_BYTES;

    if (req->op != SIM_REQUEST_READ && req->op != SIM_REQUEST_WRITE) {
        return 0;
    }
    if (last - first >= REQUEST_BLOCKS_MAX) {
        return 1;
    }
    for (uint64_t block = first; block <= last; block++) {
        if (s->count == BLOCKS_MAX) {
            return 1;
        }
        if (2 * s->count >= s->slot_count && grow(s) != 0) {
            return CBD_E_NOMEM;
        }
        put(s, mix(mix(block + 1) + req->volume) | 1u << 31);
    }
    return 0;
}

int sim_trace_footprint(const char *path, const struct sim_trace_options *options,
                        uint64_t *footprint_bytes, struct sim_trace_error *error)
{
    struct sim_trace *trace;
    struct sim_request req;
    struct set set = {.slots = NULL};
    int rc = sim_trace_open(path, options, &trace, error);

    *footprint_bytes = 0;
    if (rc != 0) {
        return rc;
    }
    while ((rc = sim_trace_next(trace, &req, error)) == 1) {
        rc = add(&set, &req);
        if (rc != 0) {
            break;
        }
    }
    if (rc == CBD_E_NOMEM && error != NULL && error->text[0] == '\0') {
        strcpy(error->text, "no memory for the footprint");
    }
    sim_trace_close(trace);
    free(set.slots);
    *footprint_bytes = set.count * BLOCK_BYTES;
    return rc < 0 ? rc : 0;
}
