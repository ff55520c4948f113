/* Levels: from a price to its queue, and from a level to its neighbours.
 *
 * Each side of a book keeps its levels twice: linked from best to worst, and in a ladder, a 64-way tree over the
 * bits of the price. A node is a bitmap and 64 children, so the next level above or below a price is found by
 * counting zeros:
 *
 *   price 58533 = 14|18|37       root (height 3) ── child[14] ── child[18] ── child[37] = level 58533
 *                                                                  └ used: …0010000100…  (the two nearest levels)
 *
 * The height grows with the highest price seen and the nodes come and go with their levels, so a book costs a few nodes
 * however far apart its prices are. The leaf used last is remembered: near the touch a price is two loads away.
 * Unlike the textbook's trees nothing is ever rebalanced or scanned: all costs are O(height), at most
 * CORE_LADDER_DEPTH.
 */
#include "internal.h"

enum { CHUNK_BITS = 6, CHUNK_MASK = 63 };

static inline uint32_t chunk(uint64_t price, uint32_t depth) {
    return (uint32_t)(price >> (depth * CHUNK_BITS)) & CHUNK_MASK;
}

static uint32_t node_take(core *c) {
    const uint32_t node = pool_take(&c->ladder_pool, c->ladder, sizeof(ladder_node));
    memset(&c->ladder[node], 0, sizeof(ladder_node));
    return node;
}

static inline bool reaches(const book_side *side, uint64_t price) {
    return side->root != 0 && (side->height >= CORE_LADDER_DEPTH || price >> (side->height * CHUNK_BITS) == 0);
}

/* The leaf that holds price, or 0. Remembers it. */
static inline uint32_t leaf_find(core *c, book_side *side, uint64_t price) {
    if (side->leaf != 0 && side->leaf_key == price >> CHUNK_BITS) return side->leaf;
    if (!reaches(side, price)) return 0;
    uint32_t node = side->root;
    for (uint32_t depth = side->height - 1; depth > 0; depth--) {
        node = c->ladder[node].child[chunk(price, depth)];
        if (node == 0) return 0;
    }
    side->leaf = node;
    side->leaf_key = price >> CHUNK_BITS;
    return node;
}

/* The leaf that holds price, or 0; remembers nothing. */
uint32_t ladder_leaf(const core *c, const book_side *side, int64_t price_ticks) {
    const uint64_t price = (uint64_t)price_ticks;
    if (side->leaf != 0 && side->leaf_key == price >> CHUNK_BITS) return side->leaf;
    if (!reaches(side, price)) return 0;
    uint32_t node = side->root;
    for (uint32_t depth = side->height - 1; depth > 0; depth--) node = c->ladder[node].child[chunk(price, depth)];
    return node;
}

uint32_t level_find(core *c, book_side *side, int64_t price_ticks) {
    const uint32_t leaf = leaf_find(c, side, (uint64_t)price_ticks);
    return leaf == 0 ? 0 : c->ladder[leaf].child[price_ticks & CHUNK_MASK];
}

/* The lowest (highest) level below a node of that depth. */
static uint32_t edge_of(const core *c, uint32_t node, uint32_t depth, bool lowest) {
    for (;; depth--) {
        const uint64_t used = c->ladder[node].used;
        INVARIANT(used != 0);
        node = c->ladder[node].child[lowest ? __builtin_ctzll(used) : 63 - __builtin_clzll(used)];
        if (depth == 0) return node;
    }
}

/* The nearest level above (below) a price, 0 if none. Walks down, remembers the last turn-off, takes that one's
 * edge. */
static uint32_t neighbour(const core *c, const book_side *side, uint64_t price, bool above) {
    uint32_t turn_node = 0, turn_depth = 0, node = side->root;
    if (!reaches(side, price)) return node == 0 || above ? 0 : edge_of(c, node, side->height - 1, false);
    for (uint32_t depth = side->height - 1;; depth--) {
        const ladder_node *n = &c->ladder[node];
        const uint32_t at = chunk(price, depth);
        const uint64_t beyond = above ? (at == 63 ? 0 : n->used >> (at + 1) << (at + 1)) : n->used & ((1ull << at) - 1);
        if (beyond != 0) {
            turn_node = n->child[above ? __builtin_ctzll(beyond) : 63 - __builtin_clzll(beyond)];
            turn_depth = depth;
        }
        node = n->child[at];
        if (node == 0 || depth == 0) break;
    }
    if (turn_node == 0 || turn_depth == 0) return turn_node;
    return edge_of(c, turn_node, turn_depth - 1, above);
}

/* Put a level into the ladder, growing it as far as needed. */
static void ladder_add(core *c, book_side *side, uint64_t price, uint32_t level) {
    if (side->root == 0) {
        side->root = node_take(c);
        side->height = 1;
        while (!reaches(side, price)) side->height++;
    }
    while (!reaches(side, price)) {
        const uint32_t root = node_take(c);
        c->ladder[root].used = 1;
        c->ladder[root].child[0] = side->root;
        side->root = root;
        side->height++;
    }
    uint32_t node = side->root;
    for (uint32_t depth = side->height - 1; depth > 0; depth--) {
        const uint32_t at = chunk(price, depth);
        if (c->ladder[node].child[at] == 0) {
            const uint32_t made = node_take(c);
            c->ladder[node].child[at] = made;
            c->ladder[node].used |= 1ull << at;
        }
        node = c->ladder[node].child[at];
    }
    c->ladder[node].child[price & CHUNK_MASK] = level;
    c->ladder[node].used |= 1ull << (price & CHUNK_MASK);
    side->leaf = node;
    side->leaf_key = price >> CHUNK_BITS;
}

/* How many nodes putting this price into the ladder would take. */
uint32_t ladder_lacks(const book_side *side, const core *c, uint64_t price) {
    uint32_t height = side->root == 0 ? 1 : side->height;
    while (height < CORE_LADDER_DEPTH && price >> (height * CHUNK_BITS) != 0) height++;
    if (side->root == 0) return height;
    if (height > side->height) return height - side->height + height - 1;
    uint32_t node = side->root;
    for (uint32_t depth = height - 1; depth > 0; depth--) {
        node = c->ladder[node].child[chunk(price, depth)];
        if (node == 0) return depth;
    }
    return 0;
}

static void ladder_remove(core *c, book_side *side, uint64_t price) {
    uint32_t path[CORE_LADDER_DEPTH];
    uint32_t node = side->root;
    for (uint32_t depth = side->height; depth-- > 0;) {
        path[depth] = node;
        node = c->ladder[node].child[chunk(price, depth)];
    }
    for (uint32_t depth = 0; depth < side->height; depth++) {
        ladder_node *n = &c->ladder[path[depth]];
        const uint32_t at = chunk(price, depth);
        n->child[at] = 0;
        n->used &= ~(1ull << at);
        if (n->used != 0) return;
        if (path[depth] == side->leaf) side->leaf = 0;
        pool_give(&c->ladder_pool, c->ladder, sizeof(ladder_node), path[depth]);
    }
    side->root = 0;
    side->height = 0;
}

static inline bool better(uint8_t which, int64_t price_ticks, int64_t than_ticks) {
    return which == SIDE_BUY ? price_ticks > than_ticks : price_ticks < than_ticks;
}

uint32_t level_make(core *c, book_side *side, uint8_t which, int64_t price_ticks) {
    const uint32_t made = pool_take(&c->level_pool, c->levels, sizeof(book_level));
    book_level *l = &c->levels[made];
    *l = (book_level){.price_ticks = price_ticks};
    if (side->best != 0 && !better(which, price_ticks, c->levels[side->best].price_ticks)) {
        l->better = neighbour(c, side, (uint64_t)price_ticks, which == SIDE_BUY);
        INVARIANT(l->better != 0);
        l->worse = c->levels[l->better].worse;
    } else {
        l->worse = side->best;
    }
    if (l->better != 0) c->levels[l->better].worse = made;
    else side->best = made;
    if (l->worse != 0) c->levels[l->worse].better = made;
    else side->worst = made;
    ladder_add(c, side, (uint64_t)price_ticks, made);
    side->level_count++;
    return made;
}

void level_drop(core *c, book_side *side, uint32_t level) {
    const book_level *l = &c->levels[level];
    INVARIANT(l->order_count == 0 && l->quantity_lots == 0 && l->reserve_lots == 0);
    if (l->better != 0) c->levels[l->better].worse = l->worse;
    else side->best = l->worse;
    if (l->worse != 0) c->levels[l->worse].better = l->better;
    else side->worst = l->better;
    ladder_remove(c, side, (uint64_t)l->price_ticks);
    side->level_count--;
    pool_give(&c->level_pool, c->levels, sizeof(book_level), level);
}

/* Below `node`: every child is where the bitmap says and every level stands at its own price. Adds up what it meets. */
static const char *subtree_check(const core *c, uint32_t node, uint32_t depth, uint64_t prefix, uint64_t *nodes,
                                 uint64_t *levels) {
    const ladder_node *n = &c->ladder[node];
    ++*nodes;
    if (n->used == 0) return "a ladder node must have a child, one had none";
    for (uint32_t i = 0; i < 64; i++) {
        if ((n->child[i] != 0) != (n->used >> i & 1)) return "a ladder node's bitmap must name its children";
        if (n->child[i] == 0) continue;
        const uint64_t price = prefix << CHUNK_BITS | i;
        if (depth > 0) {
            const char *wrong = subtree_check(c, n->child[i], depth - 1, price, nodes, levels);
            if (wrong != NULL) return wrong;
        } else {
            ++*levels;
            if ((uint64_t)c->levels[n->child[i]].price_ticks != price)
                return "the ladder must lead to the level of its price";
        }
    }
    return NULL;
}

const char *ladder_check(const core *c, const book_side *side, uint64_t *nodes) {
    uint64_t levels = 0;
    if (side->root == 0) return side->level_count == 0 ? NULL : "a side with levels must have a ladder";
    const char *wrong = subtree_check(c, side->root, side->height - 1, 0, nodes, &levels);
    if (wrong != NULL) return wrong;
    return levels == side->level_count ? NULL : "the ladder must hold as many levels as the side";
}
