/* SPDX-License-Identifier: BSD-2-Clause */
/* Why an open failed, ready to be shown: every open of shim/ fills one of these. */
#ifndef CBD_SHIM_ERROR_H
#define CBD_SHIM_ERROR_H

#include "cbd/errors.h"

#define CBD_SHIM_ERROR_TEXT_BYTES 512

struct cbd_shim_error {
    int code;      /* CBD_E_*, the same as the call returned; 0 after success */
    int sys_errno; /* errno behind it, 0 when no system call failed */
    char text[CBD_SHIM_ERROR_TEXT_BYTES]; /* "/path: what: got X, limit Y", one line, no newline */
};

#endif
