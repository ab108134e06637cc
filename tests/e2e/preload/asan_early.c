/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded beside AddressSanitizer's runtime into a server that was not built with it: the runtime
 * starts here, before the constructor of any library.
 *
 * Left alone it starts at the first allocation, and in nbdkit that is one of newlocale(), called by
 * the constructor of libp11-kit. newlocale() holds the C library's lock of the locale for writing.
 * The runtime looks for a symbol that is not there; the C library words that error with gettext,
 * which asks for the same lock, is refused as it would wait for itself, does not look, and lets
 * go of what newlocale() holds. From then on the lock counts one reader too few, and the freelocale()
 * of libp11-kit's destructor waits for ever once a shared acquisition has come between: the process
 * hangs in exit() when it has worded an error.
 *
 * It has to be linked with -z initfirst.
 */
#include <stdlib.h>

__attribute__((constructor)) static void start_the_runtime(void)
{
    void *volatile block = malloc(1); /* volatile: the pair is not optimised away */
    free(block);
}
