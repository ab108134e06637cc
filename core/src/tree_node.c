/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of a tree: packed extents, the node pool, and the way from the root to a leaf. */
#include "tree_node.h"

#include <assert.h>

struct chunk {
    struct cbd_tree_node nodes[CBD_TREE_CHUNK_NODES];
    struct chunk *next;
};

_Static_assert(sizeof(struct chunk) <= CBD_TREE_CHUNK_BYTES, "chunk");

void cbd_tree_pack(const struct cbd_extent *e, struct cbd_tree_words *out)
{
    *out = cbd_tree_words_pack(e);
}

void cbd_tree_words_cut_front(struct cbd_tree_words *w, uint64_t n)
{
    uint64_t len = w->w0 & CBD_TREE_LEN_MAX;

    assert(n < len);
    w->w0 = cbd_tree_words_range(cbd_tree_words_start(w->w0) + n, len - n);
    if (w->w2 >> CBD_TREE_KIND_SHIFT == CBD_EXTENT_DATA && !CBD_CANARY(CUT_KEEPS_PLACE))
        w->w2 += n * ((UINT64_C(1) << CBD_TREE_LOC_BITS) + CBD_TREE_SECTOR_LOC);
}

void cbd_tree_pool_init(struct cbd_tree_pool *pool, struct cbd_env *env)
{
    *pool = (struct cbd_tree_pool){.env = env};
}

void cbd_tree_pool_destroy(struct cbd_tree_pool *pool)
{
    struct chunk *chunk = pool->chunks;

    while (chunk) {
        struct chunk *next = chunk->next;

        pool->env->ops->free(pool->env, chunk, CBD_TREE_CHUNK_BYTES);
        chunk = next;
    }
    cbd_tree_pool_init(pool, pool->env);
}

static int pool_grow(struct cbd_tree_pool *pool)
{
    struct chunk *chunk = pool->env->ops->alloc(pool->env, CBD_TREE_CHUNK_BYTES);

    if (!chunk)
        return CBD_E_NOMEM;
    chunk->next = pool->chunks;
    pool->chunks = chunk;
    /* Backwards, so that nodes are handed out by ascending address. */
    for (unsigned i = CBD_TREE_CHUNK_NODES; i-- > 0;) {
        CBD_TREE_SET(chunk->nodes[i].next_free, pool->free_nodes);
        pool->free_nodes = &chunk->nodes[i];
    }
    pool->free_count += CBD_TREE_CHUNK_NODES;
    cbd_count(&pool->bytes, CBD_TREE_CHUNK_BYTES);
    return 0;
}

int cbd_tree_pool_ensure(struct cbd_tree_pool *pool, uint64_t nodes)
{
    while (pool->free_count < nodes) {
        int error = pool_grow(pool);

        if (error)
            return error;
    }
    return 0;
}

struct cbd_tree_node *cbd_tree_pool_take(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                                         unsigned level)
{
    struct cbd_tree_node *node = pool->free_nodes;

    assert(node);
    pool->free_nodes = node->next_free;
    pool->free_count--;
    tree->nodes++;
    CBD_TREE_SET(node->level, (uint16_t)level);
    CBD_TREE_SET(node->count, 0);
    return node;
}

void cbd_tree_pool_give(struct cbd_tree_pool *pool, struct cbd_tree *tree,
                        struct cbd_tree_node *node)
{
    CBD_TREE_SET(node->next_free, pool->free_nodes);
    pool->free_nodes = node;
    pool->free_count++;
    tree->nodes--;
}

void cbd_tree_path_descend(const struct cbd_tree *tree, uint64_t pos, struct cbd_tree_path *path)
{
    struct cbd_tree_node *node = tree->root;
    unsigned level = tree->height - 1;

    path->upper = NULL;
    for (; level > 0; level--) {
        unsigned i = cbd_tree_inner_search(node, pos);

        path->node[level] = node;
        path->idx[level] = i;
        if (i + 1u < node->count)
            path->upper = &node->inner.key[i];
        node = node->inner.child[i];
        cbd_tree_node_prefetch(node);
    }
    path->node[0] = node;
    path->idx[0] = cbd_tree_leaf_search(node, pos);
}

/* From behind the last extent of a leaf to the first one of the next leaf. False: there is none. */
static bool path_next_leaf(const struct cbd_tree *tree, struct cbd_tree_path *path)
{
    unsigned level = 1;
    struct cbd_tree_node *node;

    while (level < tree->height && path->idx[level] + 1u >= path->node[level]->count)
        level++;
    if (level >= tree->height)
        return false;
    path->idx[level]++;
    node = path->node[level]->inner.child[path->idx[level]];
    while (level-- > 0) {
        path->node[level] = node;
        path->idx[level] = 0;
        if (level > 0)
            node = node->inner.child[0];
    }
    /* The separator to the right is not needed by anyone who walks; say so instead of lying. */
    path->upper = NULL;
    return true;
}

bool cbd_tree_path_seek(const struct cbd_tree *tree, uint64_t pos, struct cbd_tree_path *path)
{
    struct cbd_tree_node *leaf;
    unsigned i;

    if (!tree->root)
        return false;
    cbd_tree_path_descend(tree, pos, path);
    leaf = path->node[0];
    i = path->idx[0];
    if (i > 0 && cbd_tree_words_end(leaf->leaf.w0[i - 1]) > pos) {
        path->idx[0] = i - 1;
        return true;
    }
    return i < leaf->count || path_next_leaf(tree, path);
}
