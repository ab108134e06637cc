/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages on standard error: "cbd-format: /path: what: got X, limit Y". Bytes that could steer a
 * terminal (they come from paths, labels and media) are shown as '?'. One call, one line; callable
 * by many threads once the program's name is set.
 */
#ifndef CBD_TOOL_MESSAGE_H
#define CBD_TOOL_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "cbd/env.h"

/* The name is kept, not copied; "cbd" until set. */
void cbd_tool_set_program(const char *name);
const char *cbd_tool_program(void);

/* "program: path: text". path may be NULL. */
void cbd_tool_error(const char *path, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * At the end of a tool: whether all of standard output went where it should. Returns `code`, with
 * CBD_EXIT_OPERATIONAL and after a message when it did not.
 */
int cbd_tool_output_end(int code) __attribute__((warn_unused_result));

/* "program: path: what: got X, limit Y". */
void cbd_tool_error_limit(const char *path, const char *what, uint64_t got, uint64_t limit);

/* "program: path: what: sentence of the error code". */
void cbd_tool_error_code(const char *path, const char *what, int error);

/*
 * One report of the core: "program: path: error: what 3 at 0x1000: sentence: got X, limit Y".
 * The limit is left out where got and limit are both 0.
 */
void cbd_tool_report(const char *path, const struct cbd_report *report);

/* Replaces control bytes of a string in place by '?'; UTF-8 stays as it is. */
void cbd_tool_clean_text(char *text);

#endif
