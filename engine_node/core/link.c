/* One cancels other (rules.md 15).
 *
 *   order A ── extra.linked ⇄ extra.linked ── order B          lock of A + lock of B ≥ what either needs
 *
 * The two lock together what the one needs that needs more. When one trades, fires or ends, the other is cancelled; if
 * the first stays open it takes over both locks and frees what it does not need. A new order carries the link in its
 * extra alone while it is a taker; the other learns of it when the new one comes to stand somewhere.
 */
#include "internal.h"

uint32_t linked_with(const core *c, const book_order *b) {
    return LIKELY(b->extra == 0) ? 0 : c->extras[b->extra].linked;
}

/* rules.md 15, `link_invalid`. */
bool link_valid(const core *c, uint8_t side, uint32_t other) {
    const book_order *b = &c->orders[other];
    if (b->side != side) return false;
    return b->extra == 0 || (c->extras[b->extra].linked == 0 && c->extras[b->extra].place != PLACE_UNLIT);
}

/* The new order in `slot` stands; the one that it names gets to know. An extra is made for a plain one. */
void link_tie(core *c, uint32_t slot) {
    const uint32_t other = linked_with(c, &c->orders[slot]);
    book_order *b = &c->orders[other];
    c->digest -= order_digest(c, other);
    if (b->extra == 0) {
        const int64_t price_ticks = order_price(c, b);
        const uint32_t extra = pool_take(&c->extra_pool, c->extras, sizeof(order_extra));
        c->extras[extra] = (order_extra){.order = other, .price_ticks = price_ticks};
        b->extra = extra;
    }
    c->extras[b->extra].linked = slot;
    c->digest += order_digest(c, other);
    c->instruments[c->positions[b->position].instrument].linked_pairs++;
}

/* Untie an open order that is not in the middle of anything. */
static void untie(core *c, uint32_t slot) {
    book_order *b = &c->orders[slot];
    c->digest -= order_digest(c, slot);
    c->extras[b->extra].linked = 0;
    b->extra = extra_trim(c, b->extra);
    c->digest += order_digest(c, slot);
}

/* Cancel the partner of an order. Its lock is left where it is: the caller has taken it away if someone needs it. */
static void cancel_partner(core *c, uint32_t slot) {
    run *r = &c->run;
    if (r->sweep_order == slot) r->sweep_order = c->rests[slot].next; /* a sweep would have come to it next */
    cancel_open(c, slot, CODE_CANCELLED_LINKED, 0);
}

/* Take what the partner has locked. */
static int64_t take_lock(core *c, uint32_t partner) {
    const int64_t units = c->rests[partner].lock_units;
    c->digest -= order_digest(c, partner);
    c->rests[partner].lock_units = 0;
    c->digest += order_digest(c, partner);
    return units;
}

/* What of a lock the order does not need is free again. Returns what stays. */
static int64_t lock_needed(core *c, position *p, uint8_t side, int64_t need_units, int64_t lock_units) {
    if (lock_units <= need_units) return lock_units;
    balance_add(c, side == SIDE_BUY ? p->quote_balance : p->base_balance, lock_units - need_units,
                need_units - lock_units);
    return need_units;
}

/* An open order is about to trade: what it is linked with is cancelled, and it takes over the lock. */
void link_resolve_open(core *c, uint32_t slot) {
    const uint32_t partner = link_cut(c, slot);
    if (partner == 0) return;
    const book_order *b = &c->orders[slot];
    position *p = &c->positions[b->position];
    const int64_t need = lock_for(&c->instruments[p->instrument], b->side, order_price(c, b), b->rest_lots,
                                  b->maker_fee_ppm, b->taker_fee_ppm);
    const int64_t both_units = c->rests[slot].lock_units + take_lock(c, partner);
    c->digest -= order_digest(c, slot);
    c->rests[slot].lock_units = lock_needed(c, p, b->side, need, both_units);
    c->digest += order_digest(c, slot);
    cancel_partner(c, partner);
}

/* The same of the taker: it is about to trade, or nothing is left of it. Its partner knows nothing of a link yet. */
void link_resolve_taker(core *c) {
    taker *t = &c->run.taker;
    if (t->extra == 0 || c->extras[t->extra].linked == 0) return;
    const uint32_t partner = c->extras[t->extra].linked;
    position *p = &c->positions[t->position];
    c->extras[t->extra].linked = 0;
    if (t->rest_lots > 0) {
        const int64_t need = lock_for(&c->instruments[p->instrument], t->side, t->price_ticks, t->rest_lots,
                                      t->maker_fee_ppm, t->taker_fee_ppm);
        t->lock_units = lock_needed(c, p, t->side, need, t->lock_units + take_lock(c, partner));
    }
    cancel_partner(c, partner);
}

/* A maker and the taker are about to trade. The maker's level is the one being matched: a partner that stands there is
 * reported with it. */
void link_resolve(core *c, uint32_t maker) {
    const book_order *b = &c->orders[maker];
    if (place_of(c, b) == PLACE_DISPLAYED) c->run.level = b->level;
    link_resolve_open(c, maker);
    link_resolve_taker(c);
}

/* An open order is about to end otherwise: it is untied. The caller cancels what is returned, 0 if nothing, behind
 * it. */
uint32_t link_cut(core *c, uint32_t slot) {
    const uint32_t partner = linked_with(c, &c->orders[slot]);
    if (partner == 0) return 0;
    untie(c, slot);
    untie(c, partner);
    c->instruments[c->positions[c->orders[slot].position].instrument].linked_pairs--;
    return partner;
}

void link_cancel(core *c, uint32_t partner) {
    if (partner != 0) cancel_partner(c, partner);
}

/* The least lock of a linked order that loses some of its lots: its partner leans on it for what it has not locked
 * itself. */
int64_t link_need(const core *c, uint32_t partner, int64_t need_units) {
    if (partner == 0) return need_units;
    const book_order *b = &c->orders[partner];
    const instrument *i = &c->instruments[c->positions[b->position].instrument];
    const int64_t lacking = lock_for(i, b->side, order_price(c, b), b->rest_lots, b->maker_fee_ppm, b->taker_fee_ppm) -
                            c->rests[partner].lock_units;
    return need_units > lacking ? need_units : lacking;
}

/* Does the partner of an order in a book come to be a maker before it? (rules.md 3, step 15: only the first counts.) */
bool linked_ahead(const core *c, uint32_t slot) {
    const book_order *b = &c->orders[slot];
    const uint32_t partner = linked_with(c, b);
    if (partner == 0) return false;
    const book_order *other = &c->orders[partner];
    if (place_of(c, other) == PLACE_WAITING) return false;
    const int64_t price_ticks = order_price(c, b), other_ticks = order_price(c, other);
    if (other_ticks != price_ticks) return b->side == SIDE_BUY ? other_ticks > price_ticks : other_ticks < price_ticks;
    if (other->level != b->level) return place_of(c, other) == PLACE_DISPLAYED;
    if (c->rests[partner].priority != c->rests[slot].priority)
        return c->rests[partner].priority < c->rests[slot].priority;
    for (uint32_t at = b->prev; at != 0 && c->rests[at].priority == c->rests[slot].priority; at = c->orders[at].prev)
        if (at == partner) return true; /* both came to their places in one command */
    return false;
}

/* ---- Proof ------------------------------------------------------------------------------------------------------- */

/* A rounding of the two fees apart, each of a pair has enough if it is the one that stays. */
const char *link_check(const core *c, uint32_t slot) {
    enum { ROUNDING_UNITS = 2 };
    const book_order *b = &c->orders[slot];
    const uint32_t partner = linked_with(c, b);
    if (partner == 0) return NULL;
    const book_order *other = &c->orders[partner];
    if (partner == slot || linked_with(c, other) != slot) return "linked orders must name each other";
    if (other->position != b->position || other->side != b->side)
        return "linked orders must be of one account, instrument and side";
    if (place_of(c, b) == PLACE_UNLIT) return "an unlit order must not be linked";
    const instrument *i = &c->instruments[c->positions[b->position].instrument];
    const int64_t need = lock_for(i, b->side, order_price(c, b), b->rest_lots, b->maker_fee_ppm, b->taker_fee_ppm);
    const int64_t both_units = c->rests[slot].lock_units + c->rests[partner].lock_units;
    if (both_units < need - (b->side == SIDE_BUY ? ROUNDING_UNITS : 0))
        return "linked orders must lock what the one needs that needs more";
    if (c->rests[slot].lock_units < 0) return "a lock must not be below zero";
    return NULL;
}
