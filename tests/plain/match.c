/* Section 5: matching, fees, settlement, self-trade prevention; the walk of section 3; links that end (15). */
#include "state.h"

#include <stdlib.h>

/* ---- Makers ------------------------------------------------------------------------------------------------------ */

static int64_t best_displayed(const instrument *in, int list, uint64_t except) {
    const order *o = in->lists[list];
    while (o != NULL && o->id == except) o = o->next;
    return o != NULL ? o->price : 0;
}

run plain_run_begin(const instrument *in, const order *taker) {
    run r = {.bid = best_displayed(in, LIST_BIDS, taker->id), .ask = best_displayed(in, LIST_ASKS, taker->id)};
    r.limit = plain_made_price(taker, r.bid, r.ask);
    return r;
}

static bool better(uint8_t taker_side, int64_t price, int64_t than) {
    return taker_side == SIDE_BUY ? price < than : price > than;
}

/* Can this unlit maker trade with a taker that lacks so many lots? */
static bool unlit_can_trade(const order *maker, const order *taker, wide lacking) {
    return !is_all_or_none(maker) || (taker->type != ORDER_TYPE_MARKET_BY_QUOTE && maker->rest <= lacking);
}

/* The first of the displayed, of the hidden, and of the unlit that can trade: at one price in this order. */
order *plain_best_maker(const instrument *in, const order *taker, const run *r, int64_t *price) {
    const int other = other_side(taker->side) == SIDE_BUY ? 0 : 1;
    order *best = NULL;
    if (r->limit == 0) return NULL;
    for (int list = LIST_BIDS + other; list <= LIST_UNLIT_SELLS; list += 2) {
        for (order *o = in->lists[list]; o != NULL; o = o->next) {
            const int64_t made = plain_made_price(o, r->bid, r->ask);
            if (is_unlit(o) && (made == 0 || !unlit_can_trade(o, taker, taker->rest))) continue;
            if (best == NULL || better(taker->side, made, *price)) best = o, *price = made;
            if (!is_unlit(o)) break;
        }
    }
    return best != NULL && plain_price_reaches(taker->side, r->limit, *price) ? best : NULL;
}

/* ---- The walk ---------------------------------------------------------------------------------------------------- */

typedef struct candidate {
    const order *o;
    int64_t price;
} candidate;

/* All makers in the order in which they would be met. The caller frees them. */
static candidate *makers_in_order(const instrument *in, const order *taker, const run *r, uint32_t *count) {
    const int other = other_side(taker->side) == SIDE_BUY ? 0 : 1;
    uint32_t room = 0;
    *count = 0;
    for (int list = other; list <= LIST_UNLIT_SELLS; list += 2)
        for (const order *o = in->lists[list]; o != NULL; o = o->next) room++;
    candidate *all = plain_new((room + 1) * sizeof *all);
    for (int list = LIST_BIDS + other; list <= LIST_UNLIT_SELLS; list += 2) {
        for (const order *o = in->lists[list]; o != NULL; o = o->next) {
            const int64_t made = plain_made_price(o, r->bid, r->ask);
            if (made == 0) continue;
            uint32_t at = (*count)++; /* behind all that are as good: displayed come first, then hidden, then unlit */
            for (; at > 0 && better(taker->side, made, all[at - 1].price); at--) all[at] = all[at - 1];
            all[at] = (candidate){o, made};
        }
    }
    return all;
}

static bool partner_counted(const candidate *all, const bool *counted, uint32_t count, uint64_t partner) {
    for (uint32_t i = 0; i < count; i++)
        if (counted[i] && all[i].o->id == partner) return true;
    return false;
}

static wide walk(const instrument *in, const order *taker, const run *r, const candidate *all, bool *counted,
                 uint32_t count, int64_t lots) {
    wide found = 0;
    int64_t reference = in->reference, static_price = in->static_price;
    for (uint32_t i = 0; i < count && found < lots; i++) {
        const order *o = all[i].o;
        if (!plain_price_reaches(taker->side, r->limit, all[i].price)) break;
        if (is_unlit(o) && !unlit_can_trade(o, taker, lots - found)) continue;
        if (o->account == taker->account && taker->self_trade != SELF_TRADE_PREVENTION_NONE) {
            if (taker->self_trade == SELF_TRADE_PREVENTION_CANCEL_MAKER) continue;
            break;
        }
        if (o->linked != 0 && partner_counted(all, counted, i, o->linked)) continue;
        if (plain_breaker_level(in, all[i].price, static_price, reference) != 0) break;
        reference = all[i].price;
        if (static_price == 0) static_price = all[i].price;
        counted[i] = true;
        found += o->rest;
    }
    return found;
}

/* Step 15 of section 3: are there so many lots, as far as the price allows? */
bool plain_walk_finds(const instrument *in, const order *taker, int64_t lots) {
    const run r = plain_run_begin(in, taker);
    if (r.limit == 0) return false;
    uint32_t count;
    candidate *all = makers_in_order(in, taker, &r, &count);
    bool *counted = plain_new(count + 1);
    const wide found = walk(in, taker, &r, all, counted, count, lots);
    free(counted);
    free(all);
    return found >= lots;
}

/* ---- Locks ------------------------------------------------------------------------------------------------------- */

/* What an order has locked is from now on this much; the difference comes from or goes to what is free. */
void plain_set_lock(plain *book, order *o, wide units) {
    const instrument *in = plain_instrument_find(book, o->instrument);
    balance *b = plain_balance_of(plain_account_find(book, o->account), o->side == SIDE_BUY ? in->quote : in->base);
    b->free += (int64_t)(o->lock - units);
    b->locked += (int64_t)(units - o->lock);
    o->lock = (int64_t)units;
}

static void open_falls(plain *book, const order *o, int64_t lots) {
    position *p = plain_position_of(plain_account_find(book, o->account), o->instrument);
    *(o->side == SIDE_BUY ? &p->open_buy : &p->open_sell) -= lots;
}

/* What is left of an order that lost lots keeps this much. Of a linked pair the greater need must stay covered. */
static wide lock_kept(const plain *book, const instrument *in, const order *o) {
    if (o->rest == 0) return 0;
    wide needed = plain_need(in, o, o->price, o->rest);
    const order *partner = o->linked != 0 ? plain_order_find(book, o->linked) : NULL;
    if (partner != NULL)
        needed = plain_most(needed, plain_need(in, partner, partner->price, partner->rest) - partner->lock);
    return plain_least(o->lock, needed);
}

/* Lots of an order are cancelled; it is done when nothing is left of it. */
void plain_take_off(plain *book, const command *c, order *o, int64_t lots, uint16_t code, uint64_t reference) {
    const instrument *in = plain_instrument_find(book, o->instrument);
    o->rest -= lots;
    if (o->rest == 0) o->reserve = 0;
    open_falls(book, o, lots);
    plain_set_lock(book, o, lock_kept(book, in, o));
    plain_report_order(book, c, o,
                       (wire_report){.kind = EVENT_CANCELLED,
                                     .flags = o->rest == 0 ? REPORT_FLAG_DONE : 0,
                                     .code = code,
                                     .price_ticks = o->price,
                                     .quantity_lots = lots,
                                     .remaining_lots = o->rest,
                                     .reference = reference});
}

/* ---- Links ------------------------------------------------------------------------------------------------------- */

/* An order trades or fires: what it is linked with is cancelled, and it gets the lock of that. */
void plain_cancel_partner(plain *book, const command *c, order *o) {
    order *partner = o->linked != 0 ? plain_order_find(book, o->linked) : NULL;
    o->linked = 0;
    if (partner == NULL) return;
    const instrument *in = plain_instrument_find(book, o->instrument);
    partner->linked = 0;
    o->lock += partner->lock;
    partner->lock = 0;
    plain_set_lock(book, o, plain_least(o->lock, plain_need(in, o, o->price, o->rest)));
    plain_cancel_open(book, c, partner, CODE_CANCELLED_LINKED, 0);
}

/* An order has ended: so does the one it was linked with. */
void plain_end_partner(plain *book, const command *c, uint64_t id) {
    order *partner = id != 0 ? plain_order_find(book, id) : NULL;
    if (partner == NULL) return;
    partner->linked = 0;
    plain_cancel_open(book, c, partner, CODE_CANCELLED_LINKED, 0);
}

/* ---- Fills ------------------------------------------------------------------------------------------------------- */

/* By how much the fee so far rises when this much more has been filled. */
static wide fee_increase(wide so_far, wide more, int32_t ppm) {
    return plain_fee_of(so_far + more, ppm) - plain_fee_of(so_far, ppm);
}

void plain_settle(plain *book, instrument *in, order *o, int64_t lots, wide amount, wide fee) {
    account *who = plain_account_find(book, o->account);
    balance *base = plain_balance_of(who, in->base), *quote = plain_balance_of(who, in->quote);
    position *p = plain_position_of(who, in->number);
    o->rest -= lots;
    o->filled += lots;
    open_falls(book, o, lots);
    if (o->side == SIDE_BUY) {
        o->lock -= (int64_t)(amount + fee);
        quote->locked -= (int64_t)(amount + fee);
        base->free += (int64_t)plain_base_amount(in, lots);
        p->lots += lots;
        const wide needed = o->amount > 0 ? plain_with_fee(o, o->amount_left) : plain_need(in, o, o->price, o->rest);
        plain_set_lock(book, o, o->rest == 0 ? 0 : plain_least(o->lock, needed));
    } else {
        o->lock -= (int64_t)plain_base_amount(in, lots);
        base->locked -= (int64_t)plain_base_amount(in, lots);
        quote->free += (int64_t)(amount - fee);
        p->lots -= lots;
    }
    plain_asset_find(book, in->quote)->fees += (int64_t)fee;
}

static void report_filled(plain *book, const command *c, const instrument *in, const order *o, int64_t price,
                          int64_t lots, wide fee, uint8_t flags) {
    plain_report_order(book, c, o,
                       (wire_report){.kind = EVENT_FILLED,
                                     .flags = flags | (o->rest == 0 ? REPORT_FLAG_DONE : 0),
                                     .price_ticks = price,
                                     .quantity_lots = lots,
                                     .remaining_lots = o->rest,
                                     .reference = in->trade_id,
                                     .amount_units = (int64_t)fee});
}

void plain_keep_trade(plain *book, const instrument *in, const trade *what) {
    trade *t = plain_new(sizeof *t);
    *t = *what;
    t->number = ++book->trades_made;
    t->instrument = in->number;
    t->id = in->trade_id;
    *(book->trades == NULL ? &book->trades : &book->last_trade->next) = t;
    book->last_trade = t;
    if (++book->trades_kept <= TRADES_KEPT) return;
    trade *oldest = book->trades;
    book->trades = oldest->next;
    book->trades_kept--;
    free(oldest);
}

/* Where sums could grow without end, an entry's count of what it has traded begins anew. */
static void begin_anew(wide *so_far, wide more) {
    if (*so_far + more > UNITS_MAX) *so_far = 0;
}

/* They trade. */
static void make_trade(plain *book, const command *c, instrument *in, order *maker, order *taker, int64_t price,
                       int64_t lots) {
    const wide amount = plain_notional(in, price, lots);
    if (is_unlit(maker)) {
        begin_anew(&maker->maker_notional, amount);
        begin_anew(&taker->taker_notional, amount);
    }
    const wide taker_fee = fee_increase(taker->taker_notional, amount, taker->taker_ppm);
    const wide maker_fee = plain_most(fee_increase(maker->maker_notional, amount, maker->maker_ppm), -taker_fee);
    taker->taker_notional += amount;
    maker->maker_notional += amount;
    if (taker->amount > 0) taker->amount_left -= (int64_t)amount;
    plain_settle(book, in, maker, lots, amount, maker_fee);
    plain_settle(book, in, taker, lots, amount, taker_fee);
    in->reference = price;
    if (in->static_price == 0) in->static_price = price;
    in->trade_id++;
    in->traded_at = c->sequence;
    const bool buys = taker->side == SIDE_BUY;
    plain_keep_trade(book, in,
                     &(trade){.buyer = buys ? taker->account : maker->account,
                              .seller = buys ? maker->account : taker->account,
                              .price = price,
                              .lots = lots,
                              .buyer_fee = (int64_t)(buys ? taker_fee : maker_fee),
                              .seller_fee = (int64_t)(buys ? maker_fee : taker_fee)});
    wire_report *e = plain_event(book, c, EVENT_TRADE);
    e->flags = taker->side == SIDE_SELL ? REPORT_FLAG_SELL : 0;
    e->instrument = in->number;
    e->order_id = maker->id;
    e->client_order_id = taker->id;
    e->price_ticks = price;
    e->quantity_lots = lots;
    e->reference = in->trade_id;
    report_filled(book, c, in, maker, price, lots, maker_fee, REPORT_FLAG_MAKER);
    report_filled(book, c, in, taker, price, lots, taker_fee, 0);
}

/* Lots of an order in a book were filled or taken off: its level3, and its place. An iceberg that has shown all shows
 * again. Does not free what is done. */
void plain_maker_changed(plain *book, const command *c, instrument *in, order *o) {
    const bool displayed = is_displayed(o);
    if (in->level[o->side] != 0 && displayed) in->level_changed[o->side] = true;
    if (o->rest == 0) plain_book_remove(in, o);
    if (!displayed) return;
    if (shown(o) > 0) {
        plain_event_level3(book, c, in, o, LEVEL3_ACTION_CHANGE);
        return;
    }
    plain_event_level3(book, c, in, o, LEVEL3_ACTION_REMOVE);
    if (o->rest == 0) return;
    plain_book_remove(in, o);
    o->reserve = o->rest - (int64_t)plain_least(o->display, o->rest);
    o->priority = c->sequence;
    plain_book_insert(in, o);
    plain_event_level3(book, c, in, o, LEVEL3_ACTION_ADD);
}

/* ---- Self-trade prevention --------------------------------------------------------------------------------------- */

/* Two orders of one account meet. Answers whether matching goes on. */
static bool prevent(plain *book, const command *c, instrument *in, order *maker, order *taker) {
    const uint16_t code = CODE_CANCELLED_SELF_TRADE;
    const bool decrement = taker->self_trade == SELF_TRADE_PREVENTION_DECREMENT;
    const int64_t both = (int64_t)plain_least(shown(maker), taker->rest);
    if (taker->self_trade != SELF_TRADE_PREVENTION_CANCEL_TAKER) {
        plain_take_off(book, c, maker, decrement ? both : maker->rest, code, 0);
        plain_maker_changed(book, c, in, maker);
        if (maker->rest == 0) {
            const uint64_t partner = maker->linked;
            free(maker);
            plain_end_partner(book, c, partner);
        }
    }
    if (taker->self_trade == SELF_TRADE_PREVENTION_CANCEL_MAKER) return true;
    plain_take_off(book, c, taker, decrement ? both : taker->rest, code, 0);
    if (taker->rest > 0) return true;
    plain_end_partner(book, c, taker->linked);
    taker->linked = 0;
    return false;
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

/* The displayed level that was being matched is left: one book_update tells what became of it. */
static void leave_level(plain *book, const command *c, instrument *in, uint8_t side) {
    const int64_t price = in->level[side];
    const bool changed = in->level_changed[side];
    in->level[side] = 0;
    in->level_changed[side] = false;
    if (price != 0 && changed) plain_event_book_update(book, c, in, side, price);
}

/* How many lots they may trade: 0 if the amount of a market_by_quote order does not suffice. */
static int64_t lots_to_trade(const instrument *in, const order *maker, const order *taker, int64_t price) {
    const wide lots = plain_least(shown(maker), taker->rest);
    if (taker->amount == 0) return (int64_t)lots;
    return (int64_t)plain_least(lots, taker->amount_left / ((wide)price * (wide)in->quote_units));
}

/* The breaker moves the instrument instead of letting them trade. */
static void break_circuit(plain *book, const command *c, instrument *in, int level) {
    const uint32_t ms = in->breakers[level == 4 ? 0 : level].ms;
    in->state = ms > 0 ? TRADING_STATE_AUCTION : TRADING_STATE_HALTED;
    in->auction_ends_ns = ms > 0 ? c->received_ns + ms * 1000000ull : 0;
    plain_event_state(book, c, in, level);
}

static int take_all(plain *book, const command *c, instrument *in, order *taker, const run *r) {
    const uint8_t side = other_side(taker->side);
    while (taker->rest > 0) {
        int64_t price;
        order *maker = plain_best_maker(in, taker, r, &price);
        if (maker == NULL || !is_displayed(maker) || maker->price != in->level[side]) leave_level(book, c, in, side);
        if (maker == NULL) break;
        if (is_displayed(maker)) in->level[side] = price;
        if (maker->account == taker->account && taker->self_trade != SELF_TRADE_PREVENTION_NONE) {
            if (!prevent(book, c, in, maker, taker)) break;
            continue;
        }
        if (lots_to_trade(in, maker, taker, price) == 0) {
            leave_level(book, c, in, side);
            return ENDED_BY_AMOUNT;
        }
        const int level = plain_breaker_level(in, price, in->static_price, in->reference);
        if (level != 0) {
            leave_level(book, c, in, side);
            break_circuit(book, c, in, level);
            return ENDED_BY_BREAKER;
        }
        plain_cancel_partner(book, c, maker);
        plain_cancel_partner(book, c, taker);
        make_trade(book, c, in, maker, taker, price, lots_to_trade(in, maker, taker, price));
        plain_maker_changed(book, c, in, maker);
        if (maker->rest == 0) free(maker);
    }
    leave_level(book, c, in, side);
    return ENDED;
}

/* A taker's run through the other side. What is left of it is the caller's business. */
int plain_take(plain *book, const command *c, instrument *in, order *taker) {
    taker->taker_notional = 0;
    taker->maker_notional = 0;
    if (is_all_or_none(taker) && !plain_walk_finds(in, taker, taker->rest)) return ENDED;
    const run r = plain_run_begin(in, taker);
    return take_all(book, c, in, taker, &r);
}
