/* The ledger: balances, positions, locks and fees (rules.md 2 and 5).
 *
 *              deposit                     lock                       fill
 *   outside ───────────▶ buyer's free ───────────▶ buyer's locked ───────────▶ seller's free   N - fee
 *                             ▲                        │        └────────────▶ fees            fee + fee
 *                             └──── what is left over ─┘
 *
 * Balances and positions are slots found by an index once, when an account first trades in an instrument; from then
 * on an order leads to its position and that to both balances. For each asset Σ free + Σ locked + fees = supply, always
 * (core_check adds it up).
 */
#include "internal.h"

/* ⌈units × ppm / 1,000,000⌉ towards +∞, by 64-bit steps: units = whole × 10^6 + part. units >= 0. */
int64_t ceil_ppm(int64_t units, int32_t ppm) {
    const int64_t whole = units / PPM, part = units % PPM;
    const int64_t product = part * ppm; /* |product| < 10^6 × 10^5 */
    int64_t up = product / PPM;
    if (product > 0 && product % PPM != 0) up++;
    return whole * ppm + up;
}
static_assert(UNITS_MAX / PPM * FEE_PPM_MAX < INT64_MAX / 2, "a fee fits 64 bits");

/* False if it is above UNITS_MAX. Price and quantity are within 2^48, units within 2^40: 2^136 would not fit 128
 * bits, so the first product is looked at before the second. */
bool notional_of(const instrument *i, int64_t price_ticks, int64_t quantity_lots, int64_t *units) {
    const unsigned __int128 lots = (unsigned __int128)price_ticks * (uint64_t)quantity_lots;
    if (lots > (unsigned __int128)UNITS_MAX) return false;
    const unsigned __int128 product = lots * i->quote_units_per_tick_lot;
    if (product > (unsigned __int128)UNITS_MAX) return false;
    *units = (int64_t)product;
    return true;
}

/* What an order of that notional locks. */
int64_t lock_of(const instrument *i, uint8_t side, int64_t notional_units, int64_t rest_lots, int32_t maker_ppm,
                int32_t taker_ppm) {
    const int32_t higher = maker_ppm > taker_ppm ? maker_ppm : taker_ppm;
    const int64_t base = rest_lots * (int64_t)i->base_units_per_lot,
                  quote = notional_units + ceil_ppm(notional_units, higher > 0 ? higher : 0) + 1;
    return side == SIDE_SELL ? base : quote; /* both at hand: sides can't be predicted */
}

int64_t lock_for(const instrument *i, uint8_t side, int64_t price_ticks, int64_t rest_lots, int32_t maker_ppm,
                 int32_t taker_ppm) {
    int64_t units = 0;
    if (side == SIDE_BUY) INVARIANT(notional_of(i, price_ticks, rest_lots, &units));
    return lock_of(i, side, units, rest_lots, maker_ppm, taker_ppm);
}

/* ---- Finding and making slots ------------------------------------------------------------------------------------ */

uint32_t balance_find(const core *c, uint32_t account_number, uint32_t asset_number) {
    const uint64_t hash = pair_hash(account_number, asset_number);
    index_search at = index_start(&c->balance_index, hash);
    for (uint32_t slot; (slot = index_next(&c->balance_index, hash, &at)) != 0;)
        if (c->balances[slot].account == account_number && c->balances[slot].asset == asset_number) return slot;
    return 0;
}

uint32_t balance_obtain(core *c, uint32_t account_number, uint32_t asset_number) {
    uint32_t slot = balance_find(c, account_number, asset_number);
    if (slot != 0) return slot;
    slot = pool_take(&c->balance_pool, c->balances, sizeof(balance));
    c->balances[slot] = (balance){.account = account_number,
                                  .asset = asset_number,
                                  .digest_key = entity_key(TAG_BALANCE, account_number, asset_number)};
    index_add(&c->balance_index, pair_hash(account_number, asset_number), slot);
    return slot;
}

uint32_t position_find(const core *c, uint32_t account_number, uint32_t instrument_number) {
    const uint64_t hash = pair_hash(account_number, instrument_number);
    index_search at = index_start(&c->position_index, hash);
    for (uint32_t slot; (slot = index_next(&c->position_index, hash, &at)) != 0;)
        if (c->positions[slot].account == account_number && c->positions[slot].instrument == instrument_number)
            return slot;
    return 0;
}

uint32_t position_obtain(core *c, uint32_t account_number, uint32_t instrument_number) {
    uint32_t slot = position_find(c, account_number, instrument_number);
    if (slot != 0) return slot;
    account *a = &c->accounts[account_number];
    const instrument *i = &c->instruments[instrument_number];
    slot = pool_take(&c->position_pool, c->positions, sizeof(position));
    position *p = &c->positions[slot];
    *p = (position){.account = account_number,
                    .instrument = instrument_number,
                    .rank = ++a->position_count,
                    .base_balance = balance_obtain(c, account_number, i->base_asset),
                    .quote_balance = balance_obtain(c, account_number, i->quote_asset),
                    .digest_key = entity_key(TAG_POSITION, account_number, instrument_number)};
    if (a->last_position != 0) c->positions[a->last_position].next = slot;
    else a->first_position = slot;
    a->last_position = slot;
    index_add(&c->position_index, pair_hash(account_number, instrument_number), slot);
    DIGEST_ADD(c, p, 4, p->rank);
    return slot;
}

/* ---- Moving ------------------------------------------------------------------------------------------------------ */

void balance_add(core *c, uint32_t slot, int64_t free_units, int64_t locked_units) {
    balance *b = &c->balances[slot];
    b->free_units += free_units;
    b->locked_units += locked_units;
    INVARIANT((LIKELY(b->free_units >= 0) || b->free_units >= c->floors[slot]) && b->locked_units >= 0);
    c->digest += b->digest_key * (mix(1) * (uint64_t)free_units + mix(2) * (uint64_t)locked_units);
}

void open_lots_add(core *c, position *p, uint8_t side, int64_t lots) {
    int64_t *open = side == SIDE_BUY ? &p->open_buy_lots : &p->open_sell_lots;
    *open += lots;
    INVARIANT(*open >= 0);
    c->digest += p->digest_key * ((side == SIDE_BUY ? mix(2) : mix(3)) * (uint64_t)lots);
}

/* One fill moves what is held by q and what is open by q. */
static void position_fill(core *c, position *p, uint8_t side, int64_t lots) {
    const int64_t signed_lots = side == SIDE_BUY ? lots : -lots;
    p->position_lots += signed_lots;
    DIGEST_ADD(c, p, 1, signed_lots);
    open_lots_add(c, p, side, -lots);
}

/* Each pays the increase of ⌈notional so far × rate⌉ of this entry; the maker's rebate stays within the taker's fee. */
void fill_fees(const book_order *maker, order_rest *cold, taker *t, fill *f) {
    f->maker_fee_units = ceil_ppm(cold->maker_notional_units + f->notional_units, maker->maker_fee_ppm) -
                         ceil_ppm(cold->maker_notional_units, maker->maker_fee_ppm);
    f->taker_fee_units = ceil_ppm(t->notional_units + f->notional_units, t->taker_fee_ppm) -
                         ceil_ppm(t->notional_units, t->taker_fee_ppm);
    if (f->maker_fee_units < -f->taker_fee_units) f->maker_fee_units = -f->taker_fee_units;
}

/* What a taker's rest must keep locked. A market_by_quote buy may spend what is left of its amount. */
int64_t taker_need(const instrument *i, const taker *t) {
    if (t->rest_lots == 0) return 0;
    if (UNLIKELY(t->order_type == ORDER_TYPE_MARKET_BY_QUOTE))
        return lock_of(i, t->side, t->amount_left_units, t->rest_lots, t->maker_fee_ppm, t->taker_fee_ppm);
    return lock_for(i, t->side, t->price_ticks, t->rest_lots, t->maker_fee_ppm, t->taker_fee_ppm);
}

/* What is left of a lock behind a fill that took `paid` from it. */
static int64_t lock_after(const instrument *i, uint8_t side, int64_t price_ticks, int64_t rest_lots, int32_t maker_ppm,
                          int32_t taker_ppm, int64_t left_units) {
    if (rest_lots == 0) return 0;
    const int64_t need = lock_for(i, side, price_ticks, rest_lots, maker_ppm, taker_ppm);
    return left_units < need ? left_units : need;
}

/* One side of a trade of two orders at rest: it pays from its lock, gets what the other gives, and keeps locked what
 * its rest needs. Its rest and filled lots are already what they are behind it. */
void settle_resting(core *c, const instrument *i, uint32_t slot, const fill *f, int64_t fee_units) {
    const book_order *b = &c->orders[slot];
    order_rest *r = &c->rests[slot];
    position *p = &c->positions[b->position];
    const bool buys = b->side == SIDE_BUY;
    const int64_t base_units = f->quantity_lots * (int64_t)i->base_units_per_lot;
    const int64_t pays = buys ? f->notional_units + fee_units : base_units,
                  gets = buys ? base_units : f->notional_units - fee_units;
    INVARIANT(r->lock_units >= pays);
    const int64_t lock = lock_after(i, b->side, order_price(c, b), b->rest_lots, b->maker_fee_ppm, b->taker_fee_ppm,
                                    r->lock_units - pays);
    balance_add(c, buys ? p->quote_balance : p->base_balance, r->lock_units - pays - lock, lock - r->lock_units);
    balance_add(c, buys ? p->base_balance : p->quote_balance, gets, 0);
    r->lock_units = lock;
    position_fill(c, p, b->side, f->quantity_lots);
}

/* Move money, goods and positions of one fill. Rests and filled lots are already lowered and raised by the caller;
 * the locks of both orders are brought up to date here. */
void settle(core *c, const instrument *i, book_order *maker, order_rest *cold, taker *t, const fill *f) {
    position *mp = &c->positions[maker->position], *tp = &c->positions[t->position];
    const int64_t base_units = f->quantity_lots * (int64_t)i->base_units_per_lot;
    const int64_t maker_pays = maker->side == SIDE_BUY ? f->notional_units + f->maker_fee_units : base_units;
    const int64_t taker_pays = t->side == SIDE_BUY ? f->notional_units + f->taker_fee_units : base_units;
    INVARIANT(cold->lock_units >= maker_pays && t->lock_units >= taker_pays);

    const int64_t maker_lock = lock_after(i, maker->side, f->maker_price_ticks, maker->rest_lots, maker->maker_fee_ppm,
                                          maker->taker_fee_ppm, cold->lock_units - maker_pays);
    const int64_t taker_left = t->lock_units - taker_pays, taker_needs = taker_need(i, t),
                  taker_lock = taker_left < taker_needs ? taker_left : taker_needs;
    const int64_t maker_freed = cold->lock_units - maker_pays - maker_lock,
                  taker_freed = t->lock_units - taker_pays - taker_lock;
    if (maker->side == SIDE_BUY) {
        balance_add(c, mp->quote_balance, maker_freed, maker_lock - cold->lock_units);
        balance_add(c, mp->base_balance, base_units, 0);
        balance_add(c, tp->base_balance, taker_freed, taker_lock - t->lock_units);
        balance_add(c, tp->quote_balance, f->notional_units - f->taker_fee_units, 0);
    } else {
        balance_add(c, mp->base_balance, maker_freed, maker_lock - cold->lock_units);
        balance_add(c, mp->quote_balance, f->notional_units - f->maker_fee_units, 0);
        balance_add(c, tp->quote_balance, taker_freed, taker_lock - t->lock_units);
        balance_add(c, tp->base_balance, base_units, 0);
    }
    cold->lock_units = maker_lock;
    t->lock_units = taker_lock;
    asset *quote = &c->assets[i->quote_asset];
    quote->fees_units += f->maker_fee_units + f->taker_fee_units;
    DIGEST_ADD(c, quote, 4, f->maker_fee_units + f->taker_fee_units);
    position_fill(c, mp, maker->side, f->quantity_lots);
    position_fill(c, tp, t->side, f->quantity_lots);
}
