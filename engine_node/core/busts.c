/* The last trades, and what undoes or mends them (rules.md 20).
 *
 *   trade 1, 2, 3, …  ──▶  ring of TRADES_KEPT, one cache line each: who, how much, at which price, for which fees
 *                           │ bust: settled back           correction: settled back, and anew at other terms
 *                           ▼
 *   buyer  + N + fee, − base, position − q            seller  − (N − fee), + base, position + q
 *
 * Every trade writes its line over the oldest one. The line holds its own part of the digest, so that the oldest one
 * leaves it by one subtraction.
 */
#include "internal.h"

static_assert((TRADES_KEPT & (TRADES_KEPT - 1)) == 0, "the place of a trade is the low bits of its number");

uint64_t trade_digest(const kept_trade *t, uint64_t number) {
    return entity_key(TAG_TRADE, t->instrument, t->trade_id) *
           (mix(1) * number + mix(2) * t->buyer + mix(3) * t->seller + mix(4) * (uint64_t)t->price_ticks +
            mix(5) * (uint64_t)t->quantity_lots + mix(6) * (uint64_t)t->buyer_fee_units +
            mix(7) * (uint64_t)t->seller_fee_units + mix(8) * t->busted);
}

void trade_keep(core *c, const position *buyer, const position *seller, uint64_t trade_id, const fill *f,
                int64_t buyer_fee_units, int64_t seller_fee_units) {
    const uint64_t number = ++c->trade_count;
    kept_trade *t = trade_place(c, number);
    c->digest -= t->digest;
    *t = (kept_trade){.trade_id = trade_id,
                      .price_ticks = f->price_ticks,
                      .quantity_lots = f->quantity_lots,
                      .buyer_fee_units = buyer_fee_units,
                      .seller_fee_units = seller_fee_units,
                      .instrument = buyer->instrument,
                      .buyer = buyer->account,
                      .seller = seller->account};
    t->digest = trade_digest(t, number);
    c->digest += t->digest + entity_key(TAG_WHOLE, 0, 0) * mix(6);
}

uint64_t trades_first_kept(const core *c) {
    return c->trade_count > TRADES_KEPT ? c->trade_count - TRADES_KEPT + 1 : 1;
}

/* The number of a kept trade among all trades, 0 if it is not kept. Behind it there are at least as many trades as its
 * instrument has made since; so the search begins there, and goes back. */
uint64_t trade_find(const core *c, uint32_t instrument_number, uint64_t trade_id) {
    const uint64_t last = c->instruments[instrument_number].trade_id, first = trades_first_kept(c);
    if (trade_id < 1 || trade_id > last || last - trade_id >= c->trade_count) return 0;
    for (uint64_t number = c->trade_count - (last - trade_id); number >= first; number--) {
        const kept_trade *t = trade_place(c, number);
        if (t->instrument == instrument_number && t->trade_id == trade_id) return number;
    }
    return 0;
}

/* ---- What a trade moves, and what another one in its place would ------------------------------------------------- */

typedef struct terms { /* all zero: no trade at all */
    int64_t price_ticks, quantity_lots, notional_units, base_units, buyer_fee_units, seller_fee_units;
} terms;

typedef struct mend {                                            /* the change from what was to what is to be */
    uint32_t buyer_base, buyer_quote, seller_base, seller_quote; /* balances */
    position *buyer, *seller;
    asset *quote;
    __int128 buyer_units, seller_units; /* of the quote asset */
    int64_t base_units, lots;           /* that go back from the buyer to the seller */
    __int128 fee_units;
} mend;

/* ⌈fee × to / from⌉ towards +∞. |fee| <= from <= 2^62, to <= 2^62. */
static int64_t fee_at(int64_t fee_units, int64_t to_units, int64_t from_units) {
    const __int128 product = (__int128)fee_units * to_units;
    const __int128 quotient = product / from_units;
    return (int64_t)(product > 0 && product % from_units != 0 ? quotient + 1 : quotient);
}

static mend mend_of(core *c, const kept_trade *t, const terms *was, const terms *is) {
    position *buyer = &c->positions[position_find(c, t->buyer, t->instrument)],
             *seller = &c->positions[position_find(c, t->seller, t->instrument)];
    return (mend){.buyer_base = buyer->base_balance,
                  .buyer_quote = buyer->quote_balance,
                  .seller_base = seller->base_balance,
                  .seller_quote = seller->quote_balance,
                  .buyer = buyer,
                  .seller = seller,
                  .quote = &c->assets[c->instruments[t->instrument].quote_asset],
                  .buyer_units =
                      (__int128)was->notional_units + was->buyer_fee_units - is->notional_units - is->buyer_fee_units,
                  .seller_units =
                      (__int128)is->notional_units - is->seller_fee_units - was->notional_units + was->seller_fee_units,
                  .base_units = was->base_units - is->base_units,
                  .lots = was->quantity_lots - is->quantity_lots,
                  .fee_units = (__int128)is->buyer_fee_units + is->seller_fee_units - was->buyer_fee_units -
                               was->seller_fee_units};
}

/* May a free balance change by this? It must stay at its floor or above, or rise. */
static bool funds_allow(const core *c, uint32_t slot, __int128 units) {
    return units >= 0 || c->balances[slot].free_units + units >= c->floors[slot];
}

static uint16_t check_mend(const core *c, const mend *m) {
    const bool both = m->buyer == m->seller; /* an account that traded with itself: what moves comes back */
    if (!both && m->lots > 0) {
        const __int128 up = (__int128)m->seller->position_lots + m->lots + m->seller->open_buy_lots;
        const __int128 down = (__int128)m->lots - m->buyer->position_lots + m->buyer->open_sell_lots;
        if (up > UNITS_MAX || down > UNITS_MAX) return CODE_POSITION_EXCEEDED;
    }
    if (m->quote->fees_units + m->fee_units < 0) return CODE_INSUFFICIENT_FUNDS;
    if (both)
        return funds_allow(c, m->buyer_quote, m->buyer_units + m->seller_units) ? CODE_NONE : CODE_INSUFFICIENT_FUNDS;
    const bool enough = funds_allow(c, m->buyer_quote, m->buyer_units) &&
                        funds_allow(c, m->buyer_base, -m->base_units) &&
                        funds_allow(c, m->seller_quote, m->seller_units);
    return enough ? CODE_NONE : CODE_INSUFFICIENT_FUNDS;
}

static void position_move(core *c, position *p, int64_t lots) {
    p->position_lots += lots;
    DIGEST_ADD(c, p, 1, lots);
}

static void carry_out(core *c, const mend *m) {
    if (m->buyer == m->seller) {
        balance_add(c, m->buyer_quote, (int64_t)(m->buyer_units + m->seller_units), 0);
    } else {
        balance_add(c, m->buyer_quote, (int64_t)m->buyer_units, 0);
        balance_add(c, m->seller_quote, (int64_t)m->seller_units, 0);
        balance_add(c, m->seller_base, m->base_units, 0);
        balance_add(c, m->buyer_base, -m->base_units, 0);
        position_move(c, m->seller, m->lots);
        position_move(c, m->buyer, -m->lots);
    }
    m->quote->fees_units += (int64_t)m->fee_units;
    DIGEST_ADD(c, m->quote, 4, m->fee_units);
}

static void put_adjustment(core *c, const position *p, bool sells, uint64_t trade_id, const terms *is, int64_t lots,
                           int64_t units) {
    put_public(c, CORE_EVENTS_ACCOUNTS,
               (wire_report){.kind = EVENT_ADJUSTMENT,
                             .flags = sells ? REPORT_FLAG_SELL : 0,
                             .instrument = p->instrument,
                             .account = p->account,
                             .price_ticks = is->price_ticks,
                             .quantity_lots = is->quantity_lots,
                             .remaining_lots = lots,
                             .reference = trade_id,
                             .amount_units = units});
}

/* Settle the trade at these terms instead of its present ones. */
static uint16_t mend_trade(core *c, uint64_t number, const terms *is, bool busts) {
    kept_trade *t = trade_place(c, number);
    const instrument *i = &c->instruments[t->instrument];
    terms was = {.price_ticks = t->price_ticks,
                 .quantity_lots = t->quantity_lots,
                 .base_units = t->quantity_lots * (int64_t)i->base_units_per_lot,
                 .buyer_fee_units = t->buyer_fee_units,
                 .seller_fee_units = t->seller_fee_units};
    INVARIANT(notional_of(i, was.price_ticks, was.quantity_lots, &was.notional_units));
    terms to = *is;
    to.buyer_fee_units = fee_at(was.buyer_fee_units, to.notional_units, was.notional_units);
    to.seller_fee_units = fee_at(was.seller_fee_units, to.notional_units, was.notional_units);
    const mend m = mend_of(c, t, &was, &to);
    const uint16_t code = check_mend(c, &m);
    if (code != CODE_NONE) return code;
    carry_out(c, &m);
    c->digest -= t->digest;
    if (busts) {
        t->busted = 1;
    } else {
        t->price_ticks = to.price_ticks, t->quantity_lots = to.quantity_lots;
        t->buyer_fee_units = to.buyer_fee_units, t->seller_fee_units = to.seller_fee_units;
    }
    t->digest = trade_digest(t, number);
    c->digest += t->digest;
    put_public(c, CORE_EVENTS_MARKET,
               (wire_report){.kind = busts ? EVENT_TRADE_BUST : EVENT_TRADE_CORRECTION,
                             .instrument = t->instrument,
                             .price_ticks = t->price_ticks,
                             .quantity_lots = t->quantity_lots,
                             .reference = t->trade_id});
    put_adjustment(c, m.buyer, false, t->trade_id, &to, -m.lots, (int64_t)m.buyer_units);
    put_adjustment(c, m.seller, true, t->trade_id, &to, m.lots, (int64_t)m.seller_units);
    put_applied(c, 0, t->instrument, 0, 0, 0);
    return CODE_NONE;
}

uint16_t bust_trade(core *c, const wire_trade_bust *o) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero) || !all_zero(o->zero2, sizeof o->zero2))
        return CODE_MALFORMED;
    if (!instrument_known(c, o->instrument)) return CODE_UNKNOWN_INSTRUMENT;
    const uint64_t number = trade_find(c, o->instrument, o->trade_id);
    if (number == 0 || trade_place(c, number)->busted) return CODE_UNKNOWN_TRADE;
    return mend_trade(c, number, &(terms){0}, true);
}

uint16_t correct_trade(core *c, const wire_trade_correction *o) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero) || !all_zero(o->zero2, sizeof o->zero2))
        return CODE_MALFORMED;
    if (!instrument_known(c, o->instrument)) return CODE_UNKNOWN_INSTRUMENT;
    const uint64_t number = trade_find(c, o->instrument, o->trade_id);
    if (number == 0 || trade_place(c, number)->busted) return CODE_UNKNOWN_TRADE;
    if (o->price_ticks < 1 || o->price_ticks > PRICE_TICKS_MAX) return CODE_PRICE_INVALID;
    if (o->quantity_lots < 1 || o->quantity_lots > trade_place(c, number)->quantity_lots) return CODE_QUANTITY_INVALID;
    const instrument *i = &c->instruments[o->instrument];
    terms is = {.price_ticks = o->price_ticks,
                .quantity_lots = o->quantity_lots,
                .base_units = o->quantity_lots * (int64_t)i->base_units_per_lot};
    if (!notional_of(i, is.price_ticks, is.quantity_lots, &is.notional_units)) return CODE_NOTIONAL_TOO_LARGE;
    return mend_trade(c, number, &is, false);
}
