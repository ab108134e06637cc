/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages on standard error. */
#include "tool_message.h"

#include <stdarg.h>
#include <stdio.h>

#include "tool_exit.h"

#define LINE_BYTES 6144 /* a path of 4096 bytes and a sentence */

static const char *program_name = "cbd";

void cbd_tool_set_program(const char *name)
{
    program_name = name;
}

const char *cbd_tool_program(void)
{
    return program_name;
}

void cbd_tool_clean_text(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
        else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f)
            p[0] = p[1] = '?'; /* C1 controls in UTF-8 */
    }
}

void cbd_tool_error(const char *path, const char *format, ...)
{
    char line[LINE_BYTES];
    va_list args;
    int len = path == NULL ? snprintf(line, sizeof(line), "%s: ", program_name)
                           : snprintf(line, sizeof(line), "%s: %s: ", program_name, path);

    if (len < 0 || len >= LINE_BYTES)
        len = 0;
    va_start(args, format);
    vsnprintf(line + len, sizeof(line) - (size_t)len, format, args);
    va_end(args);
    cbd_tool_clean_text(line);
    fprintf(stderr, "%s\n", line); /* one call: lines of several threads do not mix */
}

int cbd_tool_output_end(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    cbd_tool_error(NULL, "standard output: cannot be written");
    return code | CBD_EXIT_OPERATIONAL;
}

void cbd_tool_error_limit(const char *path, const char *what, uint64_t got, uint64_t limit)
{
    cbd_tool_error(path, "%s: got %llu, limit %llu", what, (unsigned long long)got,
                   (unsigned long long)limit);
}

void cbd_tool_error_code(const char *path, const char *what, int error)
{
    cbd_tool_error(path, "%s: %s", what, cbd_error_sentence(error));
}

static const char *severity_name(enum cbd_severity severity)
{
    switch (severity) {
    case CBD_INFO:
        return "note";
    case CBD_WARNING:
        return "warning";
    default:
        return "error";
    }
}

void cbd_tool_report(const char *path, const struct cbd_report *report)
{
    char place[32] = "", values[80] = "";

    if (report->off_bytes != UINT64_MAX)
        snprintf(place, sizeof(place), " at 0x%llx", (unsigned long long)report->off_bytes);
    if (report->got != 0 || report->limit != 0)
        snprintf(values, sizeof(values), ": got %llu, limit %llu", (unsigned long long)report->got,
                 (unsigned long long)report->limit);
    cbd_tool_error(path, "%s: %s %llu%s: %s%s", severity_name(report->severity), report->what,
                   (unsigned long long)report->index, place, report->sentence, values);
}
