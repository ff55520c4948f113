/* Fee tiers, price steps and floors (rules.md 19): what an admin sets, and what an order asks of it.
 *
 *   instrument 5: rate table   tiers  1: maker -10, taker 300   ...  7: not set
 *                              steps  0: from 1,000 in 5s, 10 lots   1: from 10,000 in 50s, 1 lot
 *
 * The tables stand beside the instruments, not in them: an order of an account in tier 0 on an instrument without
 * steps never touches them.
 */
#include "internal.h"

/* ---- Fee tiers --------------------------------------------------------------------------------------------------- */

bool fee_rates_valid(int32_t maker_ppm, int32_t taker_ppm) {
    return taker_ppm >= 0 && taker_ppm <= FEE_PPM_MAX && maker_ppm >= -taker_ppm && maker_ppm <= FEE_PPM_MAX;
}

uint16_t set_fee_tier(core *c, const wire_fee_tier *o) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero)) return CODE_MALFORMED;
    if (!instrument_known(c, o->instrument)) return CODE_UNKNOWN_INSTRUMENT;
    if (o->tier < 1 || o->tier > FEE_TIER_MAX) return CODE_DEFINITION_INVALID;
    if (!fee_rates_valid(o->maker_fee_ppm, o->taker_fee_ppm)) return CODE_DEFINITION_INVALID;
    const instrument *i = &c->instruments[o->instrument];
    fee_tier *t = &c->rate_tables[o->instrument].tiers[o->tier];
    c->digest -= fee_tier_digest(i, t, o->tier);
    *t = (fee_tier){.set = 1, .maker_fee_ppm = o->maker_fee_ppm, .taker_fee_ppm = o->taker_fee_ppm};
    c->digest += fee_tier_digest(i, t, o->tier);
    put_applied(c, 0, o->instrument, 0, 0, 0);
    return CODE_NONE;
}

uint64_t fee_tier_digest(const instrument *i, const fee_tier *t, uint32_t number) {
    const uint64_t first = 29 + 3 * (uint64_t)number;
    return i->digest_key * (mix(first) * t->set + mix(first + 1) * (uint64_t)(int64_t)t->maker_fee_ppm +
                            mix(first + 2) * (uint64_t)(int64_t)t->taker_fee_ppm);
}

/* ---- Price steps ------------------------------------------------------------------------------------------------- */

uint64_t price_step_digest(const instrument *i, const price_step *s, uint32_t row) {
    const uint64_t first = 60 + 3 * (uint64_t)row;
    return i->digest_key * (mix(first) * (uint64_t)s->from_price_ticks + mix(first + 1) * (uint64_t)s->tick_multiple +
                            mix(first + 2) * (uint64_t)s->lot_multiple);
}

static uint16_t check_price_step(const core *c, const wire_price_step *o) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero) || !all_zero(o->zero2, sizeof o->zero2))
        return CODE_MALFORMED;
    if (!instrument_known(c, o->instrument)) return CODE_UNKNOWN_INSTRUMENT;
    const uint32_t count = c->instruments[o->instrument].price_step_count;
    const price_step *rows = c->rate_tables[o->instrument].steps;
    if (o->step >= PRICE_STEP_COUNT_MAX) return CODE_LIMITS_INVALID;
    if (o->tick_multiple == 0)
        return o->from_price_ticks != 0 || o->lot_multiple != 0 ? CODE_LIMITS_INVALID : CODE_NONE;
    if (o->from_price_ticks < 0 || o->from_price_ticks > PRICE_TICKS_MAX) return CODE_LIMITS_INVALID;
    if (o->tick_multiple < 1 || o->tick_multiple > PRICE_TICKS_MAX) return CODE_LIMITS_INVALID;
    if (o->lot_multiple < 1 || o->lot_multiple > QUANTITY_LOTS_MAX) return CODE_LIMITS_INVALID;
    if (o->step > count) return CODE_LIMITS_INVALID;
    if (o->step > 0 && o->from_price_ticks <= rows[o->step - 1].from_price_ticks) return CODE_LIMITS_INVALID;
    if (o->step + 1u < count && o->from_price_ticks >= rows[o->step + 1].from_price_ticks) return CODE_LIMITS_INVALID;
    return CODE_NONE;
}

uint16_t set_price_step(core *c, const wire_price_step *o) {
    const uint16_t code = check_price_step(c, o);
    if (code != CODE_NONE) return code;
    instrument *i = &c->instruments[o->instrument];
    price_step *rows = c->rate_tables[o->instrument].steps;
    const uint32_t end = o->tick_multiple == 0 ? i->price_step_count : o->step + 1u; /* behind the rows that change */
    for (uint32_t row = o->step; row < end; row++) {
        c->digest -= price_step_digest(i, &rows[row], row);
        rows[row] = (price_step){0};
    }
    if (o->tick_multiple != 0) {
        rows[o->step] = (price_step){.from_price_ticks = o->from_price_ticks,
                                     .tick_multiple = o->tick_multiple,
                                     .lot_multiple = o->lot_multiple};
        c->digest += price_step_digest(i, &rows[o->step], o->step);
        if (o->step == i->price_step_count) i->price_step_count++;
    } else if (o->step < i->price_step_count) {
        i->price_step_count = o->step;
    }
    put_applied(c, 0, o->instrument, 0, 0, 0);
    return CODE_NONE;
}

/* The last row whose first price is at or below this one; NULL if there is none. */
static const price_step *step_of(const core *c, const instrument *i, int64_t price_ticks) {
    const price_step *rows = c->rate_tables[i - c->instruments].steps, *found = NULL;
    for (uint32_t row = 0; row < i->price_step_count && rows[row].from_price_ticks <= price_ticks; row++)
        found = &rows[row];
    return found;
}

bool price_on_tick(const core *c, const instrument *i, int64_t price_ticks) {
    const price_step *step = step_of(c, i, price_ticks);
    return step == NULL || price_ticks % step->tick_multiple == 0;
}

bool quantity_on_lot(const core *c, const instrument *i, int64_t price_ticks, int64_t quantity_lots) {
    const price_step *step = step_of(c, i, price_ticks);
    return step == NULL || quantity_lots % step->lot_multiple == 0;
}

/* ---- Floors ------------------------------------------------------------------------------------------------------ */

uint16_t set_balance_floor(core *c, const wire_balance_floor *o) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero)) return CODE_MALFORMED;
    if (!account_known(c, o->account)) return CODE_UNKNOWN_ACCOUNT;
    if (!asset_known(c, o->asset)) return CODE_UNKNOWN_ASSET;
    if (o->floor_units > 0 || o->floor_units < -UNITS_MAX) return CODE_LIMITS_INVALID;
    const uint32_t found = balance_find(c, o->account, o->asset);
    const int64_t old_units = found == 0 ? 0 : c->floors[found];
    asset *a = &c->assets[o->asset];
    const uint64_t owed = a->owed_units_max + (uint64_t)old_units - (uint64_t)o->floor_units;
    if ((__int128)a->supply_units + owed > UNITS_MAX) return CODE_LIMITS_INVALID;
    if (found != 0 && c->balances[found].free_units < o->floor_units) return CODE_INSUFFICIENT_FUNDS;
    const uint32_t slot = balance_obtain(c, o->account, o->asset);
    c->digest += c->balances[slot].digest_key * (mix(3) * ((uint64_t)o->floor_units - (uint64_t)old_units));
    c->floors[slot] = o->floor_units;
    a->owed_units_max = owed;
    put_applied(c, o->account, 0, 0, 0, 0);
    return CODE_NONE;
}
