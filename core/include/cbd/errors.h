/* SPDX-License-Identifier: BSD-2-Clause */
/* The one table of errors: negative return codes, their names and sentences. */
#ifndef CBD_ERRORS_H
#define CBD_ERRORS_H

enum cbd_error {
#define X(code, name, sentence) CBD_E_##name = -(code),
#include "cbd/errors.def"
#undef X
};

#define CBD_MUST_CHECK __attribute__((warn_unused_result))

/* "CORRUPT" for CBD_E_CORRUPT; "OK" for 0; "UNKNOWN" for anything else. Static strings. */
const char *cbd_error_name(int error);

/* The sentence of the table; static string, never NULL. */
const char *cbd_error_sentence(int error);

#endif
