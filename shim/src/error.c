/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts of failed opens. */
#include "shim_common.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

void shim_no_error(struct cbd_shim_error *err)
{
    if (err != NULL)
        memset(err, 0, sizeof(*err));
}

int shim_fail(struct cbd_shim_error *err, int code, int sys_errno, const char *path,
              const char *format, ...)
{
    va_list args;
    int len;

    if (err == NULL)
        return code;
    err->code = code;
    err->sys_errno = sys_errno;
    /* A cut path still leaves room for the sentence. */
    len = snprintf(err->text, sizeof(err->text), "%.300s: ", path);
    if (len < 0)
        len = 0;
    va_start(args, format);
    vsnprintf(err->text + len, sizeof(err->text) - (size_t)len, format, args);
    va_end(args);
    return code;
}

static int code_of_errno(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
        return CBD_E_NOTFOUND;
    case EEXIST:
        return CBD_E_EXISTS;
    case EBUSY:
    case EWOULDBLOCK:
        return CBD_E_BUSY;
    case ENOSPC:
    case EDQUOT:
        return CBD_E_NOSPACE;
    case ENOMEM:
        return CBD_E_NOMEM;
    default:
        return CBD_E_SYSTEM;
    }
}

int shim_fail_errno(struct cbd_shim_error *err, int sys_errno, const char *path, const char *what)
{
    char buf[128];

    return shim_fail(err, code_of_errno(sys_errno), sys_errno, path, "%s: %s", what,
                     strerror_r(sys_errno, buf, sizeof(buf)));
}
