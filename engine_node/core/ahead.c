/* Looking ahead: ask for the memory that coming commands will touch, while the present one runs.
 *
 *   records[0] is next; a cancel finds its order in three dependent loads, so each stage runs further ahead than the
 * next:
 *
 *      records[12]   the line of the index that leads to the order
 *      records[8]    the order itself, both halves
 *      records[4]    its neighbours in the level's and the position's lists
 *
 * Deep books do not fit any cache, and a load from memory costs as much as the rest of a command; three of them
 * asked for in good time cost next to nothing. Nothing is changed, and a stage that guesses wrong has wasted a load.
 */
#include "internal.h"

enum { INDEX_AHEAD = 12, ORDER_AHEAD = 8, NEIGHBOURS_AHEAD = 4 };

static inline void ask(const void *at) { __builtin_prefetch(at, 1, 3); }

typedef struct named { /* how a command names an order; hash of 0 with index NULL: it names none */
    const hash_index *index;
    uint64_t hash;
} named;

static inline named named_by(const core *c, const wire_record *record) {
    const wire_header *header = (const wire_header *)record->command;
    if (header->kind == KIND_CANCEL) {
        const wire_cancel *o = (const wire_cancel *)header;
        return o->order_id != 0 ? (named){&c->order_index, order_hash(o->order_id)}
                                : (named){&c->client_index, client_hash(o->account, o->target_client_order_id)};
    }
    if (header->kind == KIND_REPLACE) {
        const wire_replace *o = (const wire_replace *)header;
        return o->order_id != 0 ? (named){&c->order_index, order_hash(o->order_id)}
                                : (named){&c->client_index, client_hash(o->account, o->target_client_order_id)};
    }
    return (named){0};
}

/* The first slot whose tag fits: right but for one in 2^32. */
static inline uint32_t slot_of(const core *c, const wire_record *record) {
    const named n = named_by(c, record);
    if (n.index == NULL) return 0;
    uint32_t place = (uint32_t)n.hash;
    return index_probe(n.index, n.hash, &place);
}

static void ask_index(const core *c, const wire_record *record) {
    const wire_header *header = (const wire_header *)record->command;
    const named n = named_by(c, record);
    if (n.index != NULL) ask(&n.index->entries[(uint32_t)n.hash & n.index->mask]);
    if (header->kind != KIND_NEW_ORDER) return;
    const wire_new_order *o = (const wire_new_order *)header;
    ask(&c->client_index.entries[(uint32_t)client_hash(o->account, o->client_order_id) & c->client_index.mask]);
}

static void ask_order(const core *c, const wire_record *record) {
    const uint32_t slot = slot_of(c, record);
    if (slot == 0) return;
    ask(&c->orders[slot]);
    ask(&c->rests[slot]);
}

static void ask_neighbours(const core *c, const wire_record *record) {
    const uint32_t slot = slot_of(c, record);
    if (slot == 0) return;
    const book_order *b = &c->orders[slot];
    const order_rest *r = &c->rests[slot];
    ask(&c->orders[b->prev]);
    ask(&c->orders[b->next]);
    ask(&c->rests[r->prev]);
    ask(&c->rests[r->next]);
    ask(&c->levels[b->level]);
    /* the index that the command did not come by: it will be taken out of both */
    ask(&c->order_index.entries[(uint32_t)order_hash(b->id) & c->order_index.mask]);
    ask(&c->client_index.entries[(uint32_t)client_hash(c->positions[b->position].account, b->client_order_id) &
                                 c->client_index.mask]);
}

void core_look_ahead(const core *c, const wire_record *records, uint32_t count) {
    if (count > NEIGHBOURS_AHEAD) ask_neighbours(c, &records[NEIGHBOURS_AHEAD]);
    if (count > ORDER_AHEAD) ask_order(c, &records[ORDER_AHEAD]);
    if (count > INDEX_AHEAD) ask_index(c, &records[INDEX_AHEAD]);
}
