/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of files and disks: a list in order of appearance and a hash table over it. */
#include "trace/volumes.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"

#define CAPACITY_FIRST 16u

/* FNV-1a, 64 bits: only speed depends on it, never a result. */
static uint64_t hash_name(const char *name, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (uint8_t)name[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* The slot that holds the name, or the free one where it belongs. */
static uint32_t find_slot(const struct sim_volumes *v, const char *name, size_t len, uint64_t hash)
{
    uint32_t slot = (uint32_t)(hash ^ (hash >> 32)) & (v->slot_count - 1);

    while (v->slots[slot] != 0) {
        const struct sim_volume *at = &v->list[v->slots[slot] - 1];

        if (at->hash == hash && at->len_bytes == len && memcmp(at->name, name, len) == 0) {
            break;
        }
        slot = (slot + 1) & (v->slot_count - 1);
    }
    return slot;
}

/* Doubles list and table; the names stay as they are. */
static int grow(struct sim_volumes *v)
{
    uint32_t capacity = v->capacity == 0 ? CAPACITY_FIRST : v->capacity * 2;
    struct sim_volume *list = realloc(v->list, capacity * sizeof(*list));
    uint32_t *slots;

    if (list == NULL) {
        return CBD_E_NOMEM;
    }
    v->list = list;
    slots = calloc((size_t)capacity * 2, sizeof(*slots));
    if (slots == NULL) {
        return CBD_E_NOMEM;
    }
    free(v->slots);
    v->slots = slots;
    v->capacity = capacity;
    v->slot_count = capacity * 2;
    for (uint32_t i = 0; i < v->count; i++) {
        uint32_t slot = find_slot(v, list[i].name, list[i].len_bytes, list[i].hash);

        v->slots[slot] = i + 1;
    }
    return 0;
}

int sim_volumes_index(struct sim_volumes *volumes, const char *name, size_t len_bytes,
                      uint32_t *index)
{
    struct sim_volumes *v = volumes;
    uint64_t hash = hash_name(name, len_bytes);
    uint32_t slot;
    char *copy;

    if (v->count > 0) {
        slot = find_slot(v, name, len_bytes, hash);
        if (v->slots[slot] != 0) {
            *index = v->slots[slot] - 1;
            return 0;
        }
    }
    if (v->count == SIM_TRACE_VOLUMES_MAX ||
        len_bytes >= SIM_TRACE_NAMES_BYTES_MAX - v->names_bytes) {
        return CBD_E_NOSPACE;
    }
    if (v->count == v->capacity && grow(v) != 0) {
        return CBD_E_NOMEM;
    }
    copy = malloc(len_bytes + 1);
    if (copy == NULL) {
        return CBD_E_NOMEM;
    }
    memcpy(copy, name, len_bytes);
    copy[len_bytes] = '\0';
    slot = find_slot(v, name, len_bytes, hash);
    v->list[v->count] = (struct sim_volume){.name = copy, .len_bytes = len_bytes, .hash = hash};
    v->names_bytes += len_bytes + 1;
    *index = v->count++;
    v->slots[slot] = v->count;
    return 0;
}

void sim_volumes_free(struct sim_volumes *volumes)
{
    for (uint32_t i = 0; i < volumes->count; i++) {
        free(volumes->list[i].name);
    }
    free(volumes->list);
    free(volumes->slots);
    *volumes = (struct sim_volumes){0};
}
