/* The circuit breaker: the prices at which an instrument may trade now (rules.md 18).
 *
 *   static price ──┬── level 1 ── level 2 ── level 3 ──▶      each with the length of the auction that follows
 *   last price  ───┴── band ──▶
 *
 * Asked before each trade of an instrument that has a breaker, and never of one that has none. It holds back the next
 * trade, not an order: what an order may say is the collar's.
 */
#include "internal.h"

/* Outside ⌊p × (1 + ppm)⌋ and ⌈p × (1 − ppm)⌉, by products alone: whole prices lie beyond a rounded bound exactly if
 * they lie beyond the bound itself, and bounds cut off at 1 and PRICE_TICKS_MAX cut off no price. */
static bool beyond(int64_t price_ticks, int64_t around_ticks, uint32_t ppm) {
    const int64_t apart = price_ticks > around_ticks ? price_ticks - around_ticks : around_ticks - price_ticks;
    return ppm != 0 && around_ticks != 0 && (__int128)apart * PPM > (__int128)around_ticks * ppm;
}

uint32_t breaker_stops(const instrument *i, int64_t static_price_ticks, int64_t last_price_ticks, int64_t price_ticks) {
    for (uint32_t level = 3; level >= 1; level--)
        if (beyond(price_ticks, static_price_ticks, i->breaker_ppm[level])) return level;
    return beyond(price_ticks, last_price_ticks, i->breaker_ppm[BREAKER_BAND]) ? BREAKER_BAND_TOLD : 0;
}

void breaker_trip(core *c, uint32_t number, uint32_t level) {
    const instrument *i = &c->instruments[number];
    const uint64_t length_ns = (uint64_t)i->breaker_ms[level == BREAKER_BAND_TOLD ? BREAKER_BAND : level] * 1000000u;
    const uint64_t ends_ns = c->received_ns > UINT64_MAX - length_ns ? UINT64_MAX : c->received_ns + length_ns;
    if (length_ns != 0) state_set(c, number, TRADING_STATE_AUCTION, ends_ns);
    else state_set(c, number, TRADING_STATE_HALTED, 0);
    put_instrument_state(c, number, level);
}

void breaker_found(instrument *i) {
    i->has_breaker = false;
    for (uint32_t level = 0; level < BREAKER_LEVELS; level++) i->has_breaker |= i->breaker_ppm[level] != 0;
}

/* Each level above 0 is above every lower one that is above 0, and no length stands without its ppm. */
static bool levels_valid(const uint32_t ppm[BREAKER_LEVELS], const uint32_t ms[BREAKER_LEVELS]) {
    uint32_t highest = 0;
    for (uint32_t level = 0; level < BREAKER_LEVELS; level++) {
        if (ppm[level] > COLLAR_PPM_MAX || (ppm[level] == 0 && ms[level] != 0)) return false;
        if (level == BREAKER_BAND || ppm[level] == 0) continue;
        if (ppm[level] <= highest) return false;
        highest = ppm[level];
    }
    return true;
}

uint16_t set_circuit_breaker(core *c, const wire_circuit_breaker *o) {
    const uint32_t ppm[BREAKER_LEVELS] = {o->band_ppm, o->level1_ppm, o->level2_ppm, o->level3_ppm},
                   ms[BREAKER_LEVELS] = {o->band_ms, o->level1_ms, o->level2_ms, o->level3_ms};
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero)) return CODE_MALFORMED;
    if (!instrument_known(c, o->instrument)) return CODE_UNKNOWN_INSTRUMENT;
    if (!levels_valid(ppm, ms)) return CODE_LIMITS_INVALID;
    instrument *i = &c->instruments[o->instrument];
    for (uint32_t level = 0; level < BREAKER_LEVELS; level++) {
        DIGEST_ADD(c, i, 21 + 2 * level, ppm[level] - (uint64_t)i->breaker_ppm[level]);
        DIGEST_ADD(c, i, 22 + 2 * level, ms[level] - (uint64_t)i->breaker_ms[level]);
        i->breaker_ppm[level] = ppm[level];
        i->breaker_ms[level] = ms[level];
    }
    breaker_found(i);
    put_applied(c, 0, o->instrument, 0, 0, 0);
    return CODE_NONE;
}
