/* SPDX-License-Identifier: BSD-2-Clause */
/* Names and sentences of the error codes, out of the one table. */
#include "cbd/errors.h"

const char *cbd_error_name(int error)
{
    switch (error) {
    case 0:
        return "OK";
#define X(code, name, sentence)                                                                    \
    case -(code):                                                                                  \
        return #name;
#include "cbd/errors.def"
#undef X
    default:
        return "UNKNOWN";
    }
}

const char *cbd_error_sentence(int error)
{
    switch (error) {
    case 0:
        return "no error";
#define X(code, name, sentence)                                                                    \
    case -(code):                                                                                  \
        return sentence;
#include "cbd/errors.def"
#undef X
    default:
        return "not an error code of this program";
    }
}
