/* Section 5: matching, fees, settlement, self-trade prevention. */
#include "state.h"

#include <stdlib.h>

/* Step 15 of section 3: are there lots enough, as far as the price allows? */
bool plain_fillable(const instrument *in, const order *taker) {
    wide found = 0;
    for (const order *o = taker->side == SIDE_BUY ? in->asks : in->bids; o != NULL; o = o->next) {
        if (found >= taker->rest || !plain_price_reaches(taker->side, taker->price, o->price)) break;
        if (o->account == taker->account && taker->self_trade != SELF_TRADE_PREVENTION_NONE) {
            if (taker->self_trade == SELF_TRADE_PREVENTION_CANCEL_MAKER) continue;
            break;
        }
        found += o->rest;
    }
    return found >= taker->rest;
}

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

/* Lots of an order are cancelled; it is done when nothing is left of it. */
void plain_take_off(plain *book, const command *c, order *o, int64_t lots, uint16_t code, uint64_t reference) {
    const instrument *in = plain_instrument_find(book, o->instrument);
    o->rest -= lots;
    open_falls(book, o, lots);
    plain_set_lock(book, o, o->rest == 0 ? 0 : plain_least(o->lock, plain_need(in, o, o->price, o->rest)));
    plain_report_order(book, c, o,
                       (wire_report){.kind = EVENT_CANCELLED,
                                     .flags = o->rest == 0 ? REPORT_FLAG_DONE : 0,
                                     .code = code,
                                     .price_ticks = o->price,
                                     .quantity_lots = lots,
                                     .remaining_lots = o->rest,
                                     .reference = reference});
}

/* By how much the fee so far rises when this much more has been filled. */
static wide fee_increase(wide so_far, wide more, int32_t ppm) {
    return plain_fee_of(so_far + more, ppm) - plain_fee_of(so_far, ppm);
}

static void settle(plain *book, instrument *in, order *o, int64_t lots, wide amount, wide fee) {
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
        plain_set_lock(book, o, o->rest == 0 ? 0 : plain_least(o->lock, plain_need(in, o, o->price, o->rest)));
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

static void trade(plain *book, const command *c, instrument *in, order *maker, order *taker) {
    const int64_t lots = maker->rest < taker->rest ? maker->rest : taker->rest;
    const wide amount = plain_notional(in, maker->price, lots);
    const wide taker_fee = fee_increase(taker->taker_notional, amount, taker->taker_ppm);
    const wide maker_fee = plain_most(fee_increase(maker->maker_notional, amount, maker->maker_ppm), -taker_fee);
    taker->taker_notional += amount;
    maker->maker_notional += amount;
    settle(book, in, maker, lots, amount, maker_fee);
    settle(book, in, taker, lots, amount, taker_fee);
    in->reference = maker->price;
    in->trade_id++;
    wire_report *e = plain_event(book, c, EVENT_TRADE);
    e->flags = taker->side == SIDE_SELL ? REPORT_FLAG_SELL : 0;
    e->instrument = in->number;
    e->order_id = maker->id;
    e->client_order_id = taker->id;
    e->price_ticks = maker->price;
    e->quantity_lots = lots;
    e->reference = in->trade_id;
    report_filled(book, c, in, maker, maker->price, lots, maker_fee, REPORT_FLAG_MAKER);
    report_filled(book, c, in, taker, maker->price, lots, taker_fee, 0);
}

/* Two orders of one account meet. Answers whether matching goes on; *changed: something was done to the maker. */
static bool prevent(plain *book, const command *c, order *maker, order *taker, bool *changed) {
    const uint16_t code = CODE_CANCELLED_SELF_TRADE;
    instrument *in = plain_instrument_find(book, maker->instrument);
    const bool decrement = taker->self_trade == SELF_TRADE_PREVENTION_DECREMENT;
    const int64_t both = maker->rest < taker->rest ? maker->rest : taker->rest;
    if (taker->self_trade != SELF_TRADE_PREVENTION_CANCEL_TAKER) {
        plain_take_off(book, c, maker, decrement ? both : maker->rest, code, 0);
        plain_event_level3(book, c, in, maker, maker->rest == 0 ? LEVEL3_ACTION_REMOVE : LEVEL3_ACTION_CHANGE);
        *changed = true;
    }
    if (taker->self_trade == SELF_TRADE_PREVENTION_CANCEL_MAKER) return true;
    plain_take_off(book, c, taker, decrement ? both : taker->rest, code, 0);
    return taker->rest > 0;
}

/* Everything that happens on one level of the other side. Answers whether matching goes on. */
static bool take_level(plain *book, const command *c, instrument *in, order *taker) {
    order **side = plain_book_side(in, other_side(taker->side));
    const int64_t price = (*side)->price;
    bool changed = false, goes_on = true;
    while (goes_on && taker->rest > 0 && *side != NULL && (*side)->price == price) {
        order *maker = *side;
        if (maker->account == taker->account && taker->self_trade != SELF_TRADE_PREVENTION_NONE) {
            goes_on = prevent(book, c, maker, taker, &changed);
        } else {
            trade(book, c, in, maker, taker);
            plain_event_level3(book, c, in, maker, maker->rest == 0 ? LEVEL3_ACTION_REMOVE : LEVEL3_ACTION_CHANGE);
            changed = true;
        }
        if (maker->rest == 0) {
            plain_book_remove(in, maker);
            free(maker);
        }
    }
    if (changed) plain_event_book_update(book, c, in, other_side(taker->side), price);
    return goes_on;
}

void plain_take(plain *book, const command *c, instrument *in, order *taker) {
    taker->taker_notional = 0;
    taker->maker_notional = 0;
    bool goes_on = true;
    while (goes_on && taker->rest > 0) {
        const order *best = *plain_book_side(in, other_side(taker->side));
        if (best == NULL || !plain_price_reaches(taker->side, taker->price, best->price)) break;
        goes_on = take_level(book, c, in, taker);
    }
}
