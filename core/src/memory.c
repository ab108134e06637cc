/* SPDX-License-Identifier: BSD-2-Clause */
/* How much DRAM a cache of a given layout takes, from the sizes of what the engine allocates. */
#include "engine.h"
#include "tree_node.h"

/* Random inserts leave leaves two thirds full: full ones hand extents on before they are split. */
#define LEAF_EXTENTS (CBD_TREE_LEAF_MAX * 2 / 3)
#define INNER_CHILDREN (CBD_TREE_INNER_MAX * 2 / 3)

void cbd_geometry_memory(const struct cbd_geometry *geo, struct cbd_memory_need *need)
{
    const uint64_t block_bytes =
        CBD_BLOCK_BYTES + sizeof(struct cbd_m_header) + sizeof(struct cbd_m_record);
    uint64_t share_bytes = (uint64_t)geo->segment_count * geo->segment_bytes;
    uint64_t trees = UINT64_C(1) << cbd_tree_bits_of(share_bytes);
    uint64_t nodes = 0, level;

    need->blocks = geo->segment_bytes / block_bytes * geo->segment_count;
    for (level = (need->blocks + LEAF_EXTENTS - 1) / LEAF_EXTENTS; level > trees;
         level = (level + INNER_CHILDREN - 1) / INNER_CHILDREN)
        nodes += level;
    nodes += trees * (1 + CBD_TREE_CHUNK_NODES); /* roots, and what lies idle in pools */
    need->index_bytes = nodes * sizeof(struct cbd_tree_node);

    need->fixed_bytes =
        sizeof(struct cbd_cache) + sizeof(struct cbd_backend) +
        CBD_BACKENDS * (sizeof(struct cbd_backend_config) + sizeof(struct cbd_backend_state)) +
        CBD_LANES_ALL * sizeof(struct cbd_lane) + CBD_STREAMS_MAX * sizeof(struct cbd_stream) +
        trees * sizeof(struct cbd_index_tree) +
        (uint64_t)CBD_QUEUE_DEPTH_MAX * CBD_WB_BUFFER_BYTES +
        (uint64_t)geo->segment_count *
            (sizeof(struct cbd_segment) + sizeof(struct cbd_segment_ref) +
             sizeof(struct cbd_warm_segment) + geo->segment_bytes / CBD_PAGE_BYTES);
}
