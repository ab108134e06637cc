/* SPDX-License-Identifier: BSD-2-Clause */
/* What every simulator file shares: checks that stay on in release builds, and growing arrays. */
#ifndef SIM_BASE_H
#define SIM_BASE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn static inline void sim_fatal(const char *where, const char *what)
{
    fprintf(stderr, "simulator: %s: %s\n", where, what);
    abort();
}

/* For errors of the caller (out of bounds, misuse): never for what a file or a medium holds. */
#define SIM_REQUIRE(cond) ((cond) ? (void)0 : sim_fatal(__func__, #cond))

/*
 * Makes room for `need` elements in an array of *cap: returns the array, perhaps moved. Running
 * out of memory ends the process, as no simulated result would mean anything after it.
 */
static inline void *sim_grow(void *array, size_t *cap, size_t need, size_t elem_bytes)
{
    if (need <= *cap)
        return array;
    size_t n = *cap ? *cap : 16;
    while (n < need) {
        SIM_REQUIRE(n <= SIZE_MAX / 2);
        n *= 2;
    }
    SIM_REQUIRE(n <= SIZE_MAX / elem_bytes);
    void *grown = realloc(array, n * elem_bytes);
    SIM_REQUIRE(grown != NULL);
    *cap = n;
    return grown;
}

static inline void *sim_zalloc(size_t count, size_t elem_bytes)
{
    void *p = calloc(count ? count : 1, elem_bytes);
    SIM_REQUIRE(p != NULL);
    return p;
}

#endif
