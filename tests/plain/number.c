/* Section 2: whole numbers, rounded up where the page says so. */
#include "state.h"

/* Price, quantity and units can make 136 bits; beyond UNITS_MAX all that matters is that it is beyond. */
wide plain_notional(const instrument *in, int64_t price, int64_t lots) {
    const wide product = (wide)price * lots;
    if (product > UNITS_MAX) return (wide)1 << 100;
    return product * (wide)in->quote_units;
}

wide plain_base_amount(const instrument *in, int64_t lots) { return (wide)lots * (wide)in->base_units; }

wide plain_floor_div(wide a, wide b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

wide plain_ceil_div(wide a, wide b) { return -plain_floor_div(-a, b); }

wide plain_fee_of(wide amount, int64_t ppm) { return plain_ceil_div(amount * ppm, 1000000); }

/* What a buy must have locked to spend this much. */
wide plain_with_fee(const order *o, wide amount) {
    return amount + plain_fee_of(amount, (int64_t)plain_most(plain_most(o->maker_ppm, o->taker_ppm), 0)) + 1;
}

/* What an order with this many lots left at this price must have locked. */
wide plain_need(const instrument *in, const order *o, int64_t price, int64_t lots) {
    if (o->side == SIDE_SELL) return plain_base_amount(in, lots);
    return plain_with_fee(o, plain_notional(in, price, lots));
}

/* How far from a price one may go: up for a buy, down for a sell (3, step 7). */
int64_t plain_bound(int64_t price, uint32_t ppm, uint8_t side) {
    if (side == SIDE_BUY)
        return (int64_t)plain_least(plain_floor_div((wide)price * (1000000 + (wide)ppm), 1000000), PRICE_TICKS_MAX);
    return (int64_t)plain_most(plain_ceil_div((wide)price * (1000000 - (wide)ppm), 1000000), 1);
}
