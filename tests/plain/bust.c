/* Section 20: trades undone, trades settled anew. */
#include "state.h"

/* What a bust or correction changes. */
typedef struct change {
    wide quote; /* of the account's free balance */
    wide base;
    wide lots; /* of its position */
} change;

static trade *trade_find(const plain *book, uint32_t instrument, uint64_t id) {
    for (trade *t = book->trades; t != NULL; t = t->next)
        if (t->instrument == instrument && t->id == id && !t->busted) return t;
    return NULL;
}

/* After it, would the side that moved exceed what a position may be? */
static bool position_too_large(account *who, const instrument *in, wide moved) {
    const position *p = plain_position_of(who, in->number);
    if (moved > 0) return p->lots + moved + p->open_buy > UNITS_MAX;
    return moved < 0 && -(p->lots + moved) + p->open_sell > UNITS_MAX;
}

static bool balance_too_low(account *who, uint32_t asset, wide moved) {
    const balance *b = plain_balance_of(who, asset);
    return moved < 0 && b->free + moved < plain_least(0, b->floor);
}

static uint16_t check_change(plain *book, const instrument *in, const trade *t, const change *buyer,
                             const change *seller, wide fees) {
    account *buys = plain_account_find(book, t->buyer), *sells = plain_account_find(book, t->seller);
    change of_buyer = *buyer, of_seller = *seller;
    if (buys == sells) {
        of_buyer.quote += seller->quote, of_buyer.base += seller->base, of_buyer.lots += seller->lots;
        of_seller = of_buyer;
    }
    if (position_too_large(buys, in, of_buyer.lots)) return CODE_POSITION_EXCEEDED;
    if (position_too_large(sells, in, of_seller.lots)) return CODE_POSITION_EXCEEDED;
    if (balance_too_low(buys, in->quote, of_buyer.quote) || balance_too_low(buys, in->base, of_buyer.base) ||
        balance_too_low(sells, in->quote, of_seller.quote) || balance_too_low(sells, in->base, of_seller.base) ||
        plain_asset_find(book, in->quote)->fees + fees < 0)
        return CODE_INSUFFICIENT_FUNDS;
    return CODE_NONE;
}

static void adjust(plain *book, const command *c, const instrument *in, uint32_t account, const change *by,
                   const trade *now, uint8_t flags) {
    struct account *who = plain_account_find(book, account);
    plain_balance_of(who, in->quote)->free += (int64_t)by->quote;
    plain_balance_of(who, in->base)->free += (int64_t)by->base;
    plain_position_of(who, in->number)->lots += (int64_t)by->lots;
    wire_report *e = plain_event(book, c, EVENT_ADJUSTMENT);
    e->flags = flags;
    e->instrument = in->number;
    e->account = account;
    e->reference = now->id;
    e->price_ticks = now->busted ? 0 : now->price;
    e->quantity_lots = now->busted ? 0 : now->lots;
    e->remaining_lots = (int64_t)by->lots;
    e->amount_units = (int64_t)by->quote;
}

/* `now` is what the trade shall be; busted: as if it had not been. */
static uint16_t change_trade(plain *book, const command *c, const instrument *in, trade *t, const trade *now) {
    const wide n = plain_notional(in, t->price, t->lots);
    const wide n_now = now->busted ? 0 : plain_notional(in, now->price, now->lots);
    const wide buyer_fee = now->busted ? 0 : now->buyer_fee, seller_fee = now->busted ? 0 : now->seller_fee;
    const wide lots = (wide)t->lots - (now->busted ? 0 : now->lots);
    const change buyer = {
        .quote = n + t->buyer_fee - n_now - buyer_fee, .base = -lots * (wide)in->base_units, .lots = -lots};
    const change seller = {
        .quote = -(n - t->seller_fee) + n_now - seller_fee, .base = lots * (wide)in->base_units, .lots = lots};
    const wide fees = buyer_fee + seller_fee - t->buyer_fee - t->seller_fee;
    const uint16_t code = check_change(book, in, t, &buyer, &seller, fees);
    if (code != CODE_NONE) return code;
    wire_report *e = plain_event(book, c, now->busted ? EVENT_TRADE_BUST : EVENT_TRADE_CORRECTION);
    e->instrument = in->number;
    e->reference = t->id;
    e->price_ticks = now->price;
    e->quantity_lots = now->lots;
    adjust(book, c, in, t->buyer, &buyer, now, 0);
    adjust(book, c, in, t->seller, &seller, now, REPORT_FLAG_SELL);
    plain_asset_find(book, in->quote)->fees += (int64_t)fees;
    struct trade *next = t->next;
    *t = *now;
    t->next = next;
    return CODE_NONE;
}

static uint16_t correct(plain *book, const command *c, const instrument *in, trade *t) {
    const wire_trade_correction *w = &AS(wire_trade_correction, c);
    if (!between(1, w->price_ticks, PRICE_TICKS_MAX)) return CODE_PRICE_INVALID;
    if (!between(1, w->quantity_lots, t->lots)) return CODE_QUANTITY_INVALID;
    const wide n = plain_notional(in, t->price, t->lots), n_now = plain_notional(in, w->price_ticks, w->quantity_lots);
    if (n_now > UNITS_MAX) return CODE_NOTIONAL_TOO_LARGE;
    trade now = *t;
    now.price = w->price_ticks;
    now.lots = w->quantity_lots;
    now.buyer_fee = (int64_t)plain_ceil_div(t->buyer_fee * n_now, n);
    now.seller_fee = (int64_t)plain_ceil_div(t->seller_fee * n_now, n);
    return change_trade(book, c, in, t, &now);
}

uint16_t plain_bust(plain *book, const command *c) {
    const wire_trade_bust *b = &AS(wire_trade_bust, c);
    const wire_trade_correction *w = &AS(wire_trade_correction, c);
    const bool bust = c->kind == KIND_TRADE_BUST;
    if (plain_command_malformed(c)) return CODE_MALFORMED;
    if (bust ? !plain_all_zero(b->zero, sizeof b->zero) || !plain_all_zero(b->zero2, sizeof b->zero2)
             : !plain_all_zero(w->zero, sizeof w->zero) || !plain_all_zero(w->zero2, sizeof w->zero2))
        return CODE_MALFORMED;
    const instrument *in = plain_instrument_find(book, bust ? b->instrument : w->instrument);
    if (in == NULL) return CODE_UNKNOWN_INSTRUMENT;
    trade *t = trade_find(book, in->number, bust ? b->trade_id : w->trade_id);
    if (t == NULL) return CODE_UNKNOWN_TRADE;
    if (!bust) return correct(book, c, in, t);
    trade now = *t;
    now.busted = true;
    return change_trade(book, c, in, t, &now);
}
