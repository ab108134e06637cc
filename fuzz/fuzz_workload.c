/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a workload: refused with a sentence, or printed and read again as the same. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workload.h"

static void check(int ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    struct sim_workload a, b;
    char why[512], *text = NULL;
    size_t len = 0;
    FILE *out;

    sim_workload_init(&a);
    if (sim_workload_parse(&a, "fuzz", (const char *)data, size_bytes, why, sizeof(why)) != 0) {
        check(strncmp(why, "fuzz:", 5) == 0 && strlen(why) < sizeof(why));
    } else {
        size_t lines = 0;

        out = open_memstream(&text, &len);
        check(out != NULL);
        sim_workload_print(&a, out);
        check(fclose(out) == 0);
        for (size_t i = 0; i < len; i++)
            lines += text[i] == '\n';
        check(lines == sim_workload_lines(&a));
        sim_workload_init(&b);
        check(sim_workload_parse(&b, "again", text, len, why, sizeof(why)) == 0);
        check(sim_workload_equal(&a, &b));
        sim_workload_free(&b);
        free(text);
    }
    sim_workload_free(&a);
    return 0;
}
