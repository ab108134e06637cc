/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libblkid does not see: it reads devices by read(), which a devdax does not have, and knows
 * no memory pools and no other caches on persistent memory. This one reads through the mapping.
 */
#include <stdio.h>
#include <string.h>

#include "format_tool.h"

struct signature {
    uint64_t off_bytes;
    const char *bytes;
    uint32_t len_bytes;
    const char *name;
};

#define S(off, text, name)                                                                         \
    {                                                                                              \
        off, text, sizeof(text) - 1, name                                                          \
    }

static const struct signature signatures[] = {
    S(512, "EFI PART", "a GPT partition table"),
    S(0, "XFSB", "an XFS file system"),
    S(0x438, "\x53\xef", "an ext2, ext3 or ext4 file system"),
    S(0x10040, "_BHRfS_M", "a btrfs file system"),
    S(0x400, "\x10\x20\xf5\xf2", "an F2FS file system"),
    S(3, "NTFS    ", "an NTFS file system"),
    S(4086, "SWAPSPACE2", "swap space"),
    S(0, "LUKS\xba\xbe", "a LUKS volume"),
    S(512, "LABELONE", "an LVM physical volume"),
    S(0, "NAMESPACE_INDEX\0", "an NVDIMM label area"),
    S(4096, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81", "a bcache set"),
    S(4104, "\xef\xc5\x96\xa9\xfa\x5e\xb0\x65", "a dm-pcache cache"),
    S(0, "\xef\xc5\x96\xa9\xfa\x5e\xb0\x65", "a CBD transport of the kernel driver"),
    S(0, "PMEMOBJ\0", "a libpmemobj pool"),
    S(0, "PMEMLOG\0", "a libpmemlog pool"),
    S(0, "PMEMBLK\0", "a libpmemblk pool"),
    S(0, "PMEMPOOLSET\n", "a pool set file"),
    S(0, "LPHEAD\0\0", "a pool set of libpmemobj"),
    S(510, "\x55\xaa", "an MBR partition table or boot sector"),
};

static bool is_there(struct cbd_pmem *pm, const struct signature *s)
{
    char bytes[16];

    return s->off_bytes + s->len_bytes <= pm->size_bytes &&
           pm->ops->read(pm, s->off_bytes, bytes, s->len_bytes) == 0 &&
           memcmp(bytes, s->bytes, s->len_bytes) == 0;
}

bool format_own_probe(struct cbd_pmem *pm, char *text, size_t len_bytes)
{
    for (size_t i = 0; i < sizeof(signatures) / sizeof(signatures[0]); i++)
        if (is_there(pm, &signatures[i])) {
            snprintf(text, len_bytes, "%s", signatures[i].name);
            return true;
        }
    return false;
}
