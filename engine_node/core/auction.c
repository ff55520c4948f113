/* Auctions: one price for a book that was let cross (rules.md 17).
 *
 *   sum of buys at p or above  B │ 90  90  70  40 │          lots
 *   sum of sells at p or below S │ 20  60  60  80 │
 *   what would trade min(B, S)   │ 20  60  60  40 │
 *                                  100 101 102 103  price     102: as much as 101, and less is left over
 *
 * The price is found in one walk over the levels that cross, displayed and hidden together: up from the best ask,
 * selling lots come in and buying lots drop out. Then the first buy and the first sell trade at it, pair by pair, a
 * step each. Unlit orders take no part, and nobody is kept from trading with himself.
 */
#include "internal.h"

/* ---- The price --------------------------------------------------------------------------------------------------- */

/* Where the walk stands: the next level of displayed buys, displayed sells, hidden buys, hidden sells; 0: none left. */
typedef struct climb {
    uint32_t level[SIDES_FALLING];
} climb;

static inline int64_t level_lots(const book_level *l) { return l->quantity_lots + l->reserve_lots; }

/* The best price of displayed and hidden orders of a side; 0 if there are none. */
static int64_t best_price(const core *c, const instrument *i, uint8_t side) {
    const uint32_t displayed = i->sides[SIDES_DISPLAYED + side - 1].best,
                   hidden = i->sides[SIDES_HIDDEN + side - 1].best;
    const int64_t a = displayed == 0 ? 0 : c->levels[displayed].price_ticks,
                  b = hidden == 0 ? 0 : c->levels[hidden].price_ticks;
    if (a == 0 || b == 0) return a + b;
    return (side == SIDE_BUY) == (a > b) ? a : b;
}

/* Begin at the best ask: sells from their best, buys from their worst that still reaches it. The lots of those buys. */
static int64_t climb_from(const core *c, const instrument *i, int64_t low_ticks, climb *at) {
    int64_t buy_lots = 0;
    for (uint32_t side = 0; side < SIDES_FALLING; side++) {
        at->level[side] = 0;
        if (side_order(side) == SIDE_SELL) at->level[side] = i->sides[side].best;
        else
            for (uint32_t l = i->sides[side].best; l != 0 && c->levels[l].price_ticks >= low_ticks;
                 l = c->levels[l].worse) {
                at->level[side] = l;
                buy_lots += level_lots(&c->levels[l]);
            }
    }
    return buy_lots;
}

static int64_t climb_price(const core *c, const climb *at) {
    int64_t lowest = INT64_MAX;
    for (uint32_t side = 0; side < SIDES_FALLING; side++)
        if (at->level[side] != 0 && c->levels[at->level[side]].price_ticks < lowest)
            lowest = c->levels[at->level[side]].price_ticks;
    return lowest;
}

/* Step over the levels of one side at that price. Their lots. */
static int64_t climb_over(const core *c, climb *at, uint8_t order, int64_t price_ticks) {
    int64_t lots = 0;
    for (uint32_t side = 0; side < SIDES_FALLING; side++) {
        if (side_order(side) != order || at->level[side] == 0) continue;
        const book_level *l = &c->levels[at->level[side]];
        if (l->price_ticks != price_ticks) continue;
        lots += level_lots(l);
        at->level[side] = order == SIDE_BUY ? l->better : l->worse;
    }
    return lots;
}

static inline int64_t apart(int64_t a, int64_t b) { return a > b ? a - b : b - a; }
static inline int64_t traded(const crossing *x) { return x->buy_lots < x->sell_lots ? x->buy_lots : x->sell_lots; }
static inline int64_t left_over(const crossing *x) { return apart(x->buy_lots, x->sell_lots); }

/* Is this price, which is above the other, the one to take? Of two equally good the higher. */
static bool no_worse(const crossing *x, const crossing *than, int64_t reference_ticks) {
    if (traded(x) != traded(than)) return traded(x) > traded(than);
    if (left_over(x) != left_over(than)) return left_over(x) < left_over(than);
    return apart(x->price_ticks, reference_ticks) <= apart(than->price_ticks, reference_ticks);
}

crossing auction_price(const core *c, const instrument *i) {
    const int64_t low = best_price(c, i, SIDE_SELL), high = best_price(c, i, SIDE_BUY);
    crossing best = {0};
    if (low == 0 || high == 0 || low > high) return best;
    climb at;
    crossing x = {.buy_lots = climb_from(c, i, low, &at)};
    while ((x.price_ticks = climb_price(c, &at)) <= high) {
        x.sell_lots += climb_over(c, &at, SIDE_SELL, x.price_ticks);
        if (best.price_ticks == 0 || no_worse(&x, &best, i->reference_price_ticks)) best = x;
        x.buy_lots -= climb_over(c, &at, SIDE_BUY, x.price_ticks);
    }
    return best;
}

void put_indicative(core *c, uint32_t number) {
    const instrument *i = &c->instruments[number];
    const crossing x = auction_price(c, i);
    put_public(c, CORE_EVENTS_MARKET,
               (wire_report){.kind = EVENT_INDICATIVE,
                             .flags = x.sell_lots > x.buy_lots ? REPORT_FLAG_SELL : 0,
                             .instrument = number,
                             .price_ticks = x.price_ticks,
                             .quantity_lots = traded(&x),
                             .remaining_lots = left_over(&x),
                             .reference = i->book_update_id});
}

/* ---- Uncrossing -------------------------------------------------------------------------------------------------- */

/* The first order of a side: best price, displayed before hidden, time. 0 if there is none at that price or better. */
static uint32_t first_order(const core *c, const instrument *i, uint8_t side, int64_t price_ticks) {
    const int64_t best = best_price(c, i, side);
    if (best == 0 || (side == SIDE_BUY ? best < price_ticks : best > price_ticks)) return 0;
    const uint32_t displayed = i->sides[SIDES_DISPLAYED + side - 1].best;
    if (displayed != 0 && c->levels[displayed].price_ticks == best) return c->levels[displayed].head;
    return c->levels[i->sides[SIDES_HIDDEN + side - 1].best].head;
}

/* One of the two orders of a trade, and what becomes of it. */
typedef struct part {
    uint32_t slot, index, level;
    bool done, anew; /* nothing is left of it; an iceberg shows anew */
    position *p;
    int64_t fee_units;
} part;

/* Both pay as makers, for neither came to the other, but nobody is paid for it. */
static int64_t auction_fee(const book_order *b, order_rest *r, int64_t notional_units) {
    if (r->maker_notional_units > UNITS_MAX - notional_units) r->maker_notional_units = 0;
    const int64_t increase = ceil_ppm(r->maker_notional_units + notional_units, b->maker_fee_ppm) -
                             ceil_ppm(r->maker_notional_units, b->maker_fee_ppm);
    r->maker_notional_units += notional_units;
    return increase > 0 ? increase : 0;
}

static inline int64_t shown_of(const core *c, uint32_t slot) {
    return c->orders[slot].rest_lots - reserve_of(c, &c->orders[slot]);
}

/* Take the lots off the order and settle its side of the trade. */
static part fill_part(core *c, const instrument *i, uint32_t slot, const fill *f) {
    book_order *b = &c->orders[slot];
    part at = {.slot = slot,
               .index = side_index(c, b),
               .level = b->level,
               .done = f->quantity_lots == b->rest_lots,
               .p = &c->positions[b->position]};
    c->digest -= order_digest(c, slot);
    at.fee_units = auction_fee(b, &c->rests[slot], f->notional_units);
    b->filled_lots += f->quantity_lots;
    if (at.done) {
        order_dequeue(c, slot);
        b->rest_lots = 0;
    } else {
        at.anew = show_less(c, slot, f->quantity_lots);
    }
    settle_resting(c, i, slot, f, at.fee_units);
    if (!at.done) c->digest += order_digest(c, slot);
    return at;
}

static void put_part(core *c, const part *at, const fill *f, uint64_t trade_id) {
    const book_order *b = &c->orders[at->slot];
    put_report(c, b->key,
               (wire_report){.kind = EVENT_FILLED,
                             .flags = (b->side == SIDE_SELL ? REPORT_FLAG_SELL : 0) | REPORT_FLAG_AUCTION |
                                      (at->done ? REPORT_FLAG_DONE : 0),
                             .instrument = at->p->instrument,
                             .account = at->p->account,
                             .order_id = b->id,
                             .client_order_id = b->client_order_id,
                             .price_ticks = f->price_ticks,
                             .quantity_lots = f->quantity_lots,
                             .remaining_lots = b->rest_lots,
                             .reference = trade_id,
                             .amount_units = at->fee_units});
}

static void leave_part(core *c, const part *at) {
    const book_order *b = &c->orders[at->slot];
    put_less(c, at->p, b, at->index, c->levels[at->level].price_ticks, at->done, at->anew);
    if (at->done) order_forget(c, at->slot);
}

static void put_auction_trade(core *c, uint32_t number, const fill *f, uint64_t buy_id, uint64_t sell_id) {
    const instrument *i = &c->instruments[number];
    put_public(c, CORE_EVENTS_MARKET,
               (wire_report){.kind = EVENT_TRADE,
                             .flags = REPORT_FLAG_AUCTION,
                             .instrument = number,
                             .order_id = sell_id,
                             .client_order_id = buy_id,
                             .price_ticks = f->price_ticks,
                             .quantity_lots = f->quantity_lots,
                             .reference = i->trade_id});
}

static void cross(core *c, uint32_t number, int64_t price_ticks, uint32_t buy, uint32_t sell) {
    instrument *i = &c->instruments[number];
    link_resolve_open(c, buy);
    link_resolve_open(c, sell);
    const int64_t buys = shown_of(c, buy), sells = shown_of(c, sell);
    fill f = {.quantity_lots = buys < sells ? buys : sells, .price_ticks = price_ticks};
    INVARIANT(notional_of(i, f.price_ticks, f.quantity_lots, &f.notional_units));
    const part bought = fill_part(c, i, buy, &f), sold = fill_part(c, i, sell, &f);
    asset *quote = &c->assets[i->quote_asset];
    SET(c, quote, fees_units, 4, quote->fees_units + bought.fee_units + sold.fee_units);
    SET(c, i, reference_price_ticks, 13, price_ticks);
    static_price_set(c, i, price_ticks);
    SET(c, i, trade_id, 14, i->trade_id + 1);
    trade_keep(c, bought.p, sold.p, i->trade_id, &f, bought.fee_units, sold.fee_units);
    put_auction_trade(c, number, &f, c->orders[buy].id, c->orders[sell].id);
    put_part(c, &bought, &f, i->trade_id);
    put_part(c, &sold, &f, i->trade_id);
    leave_part(c, &bought);
    leave_part(c, &sold);
    level_changed(c, bought.p, bought.index, bought.level);
    level_changed(c, sold.p, sold.index, sold.level);
}

bool uncross_step(core *c) {
    const uint32_t number = c->run.opening.instrument;
    const int64_t price_ticks = c->run.opening.price_ticks;
    const instrument *i = &c->instruments[number];
    if (price_ticks == 0) return false;
    const uint32_t buy = first_order(c, i, SIDE_BUY, price_ticks), sell = first_order(c, i, SIDE_SELL, price_ticks);
    if (buy == 0 || sell == 0) return false;
    cross(c, number, price_ticks, buy, sell);
    return true;
}
