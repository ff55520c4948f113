/* Random definitions, limits, money, halts and states, what only the engine writes, and the market to begin with: see
 * random_commands.h. */
#include "support/random_parts.h"

/* ---- Admin ------------------------------------------------------------------------------------------------------- */

static void make_asset(random_commands *r, void *to) {
    const wire_asset w = {.kind = KIND_ASSET,
                          .asset = random_one_in(r, 8) ? (uint32_t)random_extreme(r) : random_asset(r),
                          .decimals = (uint8_t)(random_one_in(r, 4) ? random_below(r, 22) : 4)};
    memcpy(to, &w, sizeof w);
}

static void define_instrument(random_commands *r, uint32_t number, void *to) {
    const market *m = &r->markets[number % PLACES_MAX];
    const int32_t taker = (int32_t)random_below(r, random_one_in(r, 8) ? FEE_PPM_MAX + 1 : 5000);
    const int32_t maker = (int32_t)random_below(r, (uint64_t)taker + 3000) - taker;
    const wire_instrument w = {.kind = KIND_INSTRUMENT,
                               .instrument = number,
                               .base_asset = 1 + number % 2,
                               .quote_asset = 3,
                               .maker_fee_ppm = maker,
                               .taker_fee_ppm = taker,
                               .trading_state = TRADING_STATE_OPEN,
                               .base_units_per_lot = m->base_units,
                               .quote_units_per_tick_lot = m->quote_units};
    memcpy(to, &w, sizeof w);
}

static void make_instrument(random_commands *r, void *to) { define_instrument(r, random_instrument(r), to); }

static void make_instrument_limits(random_commands *r, void *to) {
    const uint32_t number = random_instrument(r);
    const market *m = &r->markets[number % PLACES_MAX];
    wire_instrument_limits w = {.kind = KIND_INSTRUMENT_LIMITS, .instrument = number};
    if (r->profile.limits && random_one_in(r, 2)) {
        const uint64_t span_ppm = (uint64_t)(r->profile.price_span * 2000000ull) / (uint64_t)m->middle + 2;
        w.collar_ppm = (uint32_t)(random_below(r, span_ppm) % (COLLAR_PPM_MAX + 1));
    }
    if (r->profile.limits && random_one_in(r, 2)) w.quantity_lots_min = (int64_t)random_below(r, 4) * m->lot;
    if (r->profile.limits && random_one_in(r, 2))
        w.quantity_lots_max = (int64_t)random_below(r, r->profile.quantity_span * 4) * m->lot;
    if (r->profile.limits && random_one_in(r, 2))
        w.notional_units_min = (int64_t)random_below(r, (uint64_t)m->middle * (uint64_t)m->lot * 4 + 1);
    if (random_one_in(r, 2)) w.reference_price_ticks = m->middle;
    memcpy(to, &w, sizeof w);
}

/* The firm that an account is defined with: 1, 2, 3, and then these again. */
static uint32_t first_firm(uint32_t account) { return 1 + (account - 1) % 3; }

static void make_account(random_commands *r, void *to) {
    const uint32_t account = random_account(r);
    wire_account w = {.kind = KIND_ACCOUNT, .account = account, .firm = first_firm(account)};
    if (random_one_in(r, 4)) w.firm = (uint32_t)random_below(r, 4);
    memcpy(to, &w, sizeof w);
}

static void make_account_limits(random_commands *r, void *to) {
    wire_account_limits w = {.kind = KIND_ACCOUNT_LIMITS, .account = random_account(r)};
    const market *m = &r->markets[random_instrument(r)];
    const uint32_t span = r->profile.quantity_span;
    if (r->profile.limits && random_one_in(r, 3)) w.open_orders_max = (uint32_t)(1 + random_below(r, 60));
    if (r->profile.limits && random_one_in(r, 3)) w.order_rate_max = (uint32_t)(1 + random_below(r, 30));
    w.order_rate_window_ms = (uint32_t)random_below(r, 3) * 50;
    if (r->profile.limits && random_one_in(r, 3))
        w.notional_units_max = m->middle * m->lot * (int64_t)m->quote_units * (int64_t)random_below(r, span * 3);
    if (w.notional_units_max < 0) w.notional_units_max = 0;
    if (r->profile.limits && random_one_in(r, 3)) w.position_lots_max = (int64_t)random_below(r, span * 20ull) * m->lot;
    if (r->profile.limits && random_one_in(r, 3)) w.quantity_lots_max = (int64_t)random_below(r, span * 4ull) * m->lot;
    memcpy(to, &w, sizeof w);
}

static int64_t some_amount(random_commands *r) {
    if (r->profile.poor) return 1 + (int64_t)random_below(r, 200000);
    return 1 + (int64_t)random_below(r, r->profile.huge ? 1ull << 58 : 1ull << 40);
}

static void make_deposit(random_commands *r, void *to) {
    const wire_deposit w = {.kind = KIND_DEPOSIT,
                            .account = random_account(r),
                            .asset = random_asset(r),
                            .amount_units = some_amount(r),
                            .reference = random_below(r, 1000)};
    memcpy(to, &w, sizeof w);
}

static void make_withdrawal(random_commands *r, void *to) {
    make_deposit(r, to);
    ((uint8_t *)to)[0] = KIND_WITHDRAWAL;
}

static void make_halt(random_commands *r, void *to) {
    wire_halt w = {
        .kind = KIND_HALT, .scope = (uint8_t)(1 + random_below(r, 4)), .action = (uint8_t)(1 + random_below(r, 2))};
    if (random_one_in(r, 6)) w.action = HALT_ACTION_KILL;
    if (w.scope == HALT_SCOPE_INSTRUMENT) w.target = random_instrument(r);
    if (w.scope == HALT_SCOPE_ACCOUNT || w.scope == HALT_SCOPE_FIRM) w.target = random_account(r);
    memcpy(to, &w, sizeof w);
}

static void make_instrument_state(random_commands *r, void *to) {
    wire_instrument_state w = {.kind = KIND_INSTRUMENT_STATE,
                               .instrument = random_instrument(r),
                               .trading_state = (uint8_t)(1 + random_below(r, 5))};
    const bool auction = w.trading_state == TRADING_STATE_PRE_OPEN || w.trading_state == TRADING_STATE_AUCTION;
    if (auction && !random_one_in(r, 4)) w.auction_ends_ns = r->received_ns + random_below(r, 200) * 1000000;
    if (random_one_in(r, 4)) w.static_price_ticks = random_price(r, w.instrument);
    memcpy(to, &w, sizeof w);
}

/* The instrument of some trouble opens again. */
bool random_opening(random_commands *r, void *to) {
    for (uint32_t i = 0; i < PLACES_MAX; i++) {
        if (r->instrument_state[i] <= TRADING_STATE_HALTED) continue;
        const wire_instrument_state w = {
            .kind = KIND_INSTRUMENT_STATE, .instrument = i, .trading_state = TRADING_STATE_OPEN};
        memcpy(to, &w, sizeof w);
        return true;
    }
    return false;
}

static void make_circuit_breaker(random_commands *r, void *to) {
    wire_circuit_breaker w = {.kind = KIND_CIRCUIT_BREAKER, .instrument = random_instrument(r)};
    const uint64_t tick_ppm = 1000000 / (uint64_t)r->markets[w.instrument].middle + 1;
    uint32_t ppm = 0;
    uint32_t *const fields[] = {&w.level1_ppm, &w.level1_ms, &w.level2_ppm, &w.level2_ms, &w.level3_ppm, &w.level3_ms};
    if (random_one_in(r, 2))
        w.band_ppm = (uint32_t)(1 + random_below(r, tick_ppm * r->profile.price_span)) % COLLAR_PPM_MAX;
    if (w.band_ppm > 0 || random_one_in(r, 30)) w.band_ms = (uint32_t)random_below(r, 100);
    for (int level = 0; level < 3; level++) {
        if (!random_one_in(r, 3)) continue;
        ppm += (uint32_t)(1 + random_below(r, tick_ppm * r->profile.price_span));
        *fields[2 * level] = ppm;
        *fields[2 * level + 1] = (uint32_t)random_below(r, 100) * (uint32_t)random_below(r, 3);
    }
    memcpy(to, &w, sizeof w);
}

static void make_fee_tier(random_commands *r, void *to) {
    wire_instrument base;
    define_instrument(r, random_instrument(r), &base);
    const wire_fee_tier w = {.kind = KIND_FEE_TIER,
                             .instrument = base.instrument,
                             .maker_fee_ppm = base.maker_fee_ppm,
                             .taker_fee_ppm = base.taker_fee_ppm,
                             .tier = (uint8_t)(random_one_in(r, 30) ? random_below(r, 256) : 1 + random_below(r, 3))};
    memcpy(to, &w, sizeof w);
}

/* Rows that rise, around the middle; often the table is ended. */
static void make_price_step(random_commands *r, void *to) {
    wire_price_step w = {.kind = KIND_PRICE_STEP, .instrument = random_instrument(r)};
    const market *m = &r->markets[w.instrument];
    w.step = (uint8_t)random_below(r, random_one_in(r, 20) ? 10 : 3);
    if (random_one_in(r, 3)) {
        w.from_price_ticks = w.step == 0 ? 0 : m->middle - r->profile.price_span + 4 * w.step;
        if (random_one_in(r, 8)) w.from_price_ticks = m->middle + (int64_t)random_below(r, 10) - 5;
        w.tick_multiple = 1 + (int64_t)random_below(r, 3);
        w.lot_multiple = 1 + (int64_t)random_one_in(r, 4);
    }
    memcpy(to, &w, sizeof w);
}

static void make_balance_floor(random_commands *r, void *to) {
    const wire_balance_floor w = {.kind = KIND_BALANCE_FLOOR,
                                  .account = random_account(r),
                                  .asset = random_asset(r),
                                  .floor_units = random_one_in(r, 2) ? 0 : -some_amount(r)};
    memcpy(to, &w, sizeof w);
}

static void make_fee_payout(random_commands *r, void *to) {
    const wire_fee_payout w = {.kind = KIND_FEE_PAYOUT,
                               .account = random_account(r),
                               .asset = random_asset(r),
                               .amount_units = 1 + (int64_t)random_below(r, random_one_in(r, 2) ? 100 : 100000),
                               .reference = random_below(r, 1000)};
    memcpy(to, &w, sizeof w);
}

static void make_trade_bust(random_commands *r, void *to) {
    wire_trade_bust w = {.kind = KIND_TRADE_BUST, .instrument = random_instrument(r)};
    const seen_trade *t = &r->trades[random_below(r, TRADES_SEEN)];
    if (t->id > 0 && !random_one_in(r, 20)) w.instrument = t->instrument, w.trade_id = t->id;
    memcpy(to, &w, sizeof w);
}

static void make_trade_correction(random_commands *r, void *to) {
    const seen_trade *t = &r->trades[random_below(r, TRADES_SEEN)];
    wire_trade_correction w = {.kind = KIND_TRADE_CORRECTION,
                               .instrument = t->instrument,
                               .trade_id = t->id,
                               .price_ticks = t->price + (int64_t)random_below(r, 9) - 4,
                               .quantity_lots = t->quantity - (int64_t)random_below(r, 3)};
    memcpy(to, &w, sizeof w);
}

/* Something is halted: let it go on. Answers whether there was such a thing. */
bool random_resume(random_commands *r, void *to) {
    wire_halt w = {.kind = KIND_HALT, .action = HALT_ACTION_RESUME};
    if (r->everything_halted) w.scope = HALT_SCOPE_EVERYTHING;
    for (uint32_t i = 0; i < PLACES_MAX && w.scope == 0; i++) {
        if (r->instrument_halted[i]) w.scope = HALT_SCOPE_INSTRUMENT, w.target = i;
        else if (r->account_halted[i]) w.scope = HALT_SCOPE_ACCOUNT, w.target = i;
    }
    memcpy(to, &w, sizeof w);
    return w.scope != 0;
}

void random_admin_command(random_commands *r, void *to) {
    static const share admin[] = {{2, make_asset},
                                  {4, make_instrument},
                                  {8, make_instrument_limits},
                                  {3, make_account},
                                  {10, make_account_limits},
                                  {12, make_deposit},
                                  {8, make_withdrawal},
                                  {6, make_halt},
                                  {10, make_instrument_state},
                                  {6, make_circuit_breaker},
                                  {4, make_fee_tier},
                                  {6, make_price_step},
                                  {6, make_balance_floor},
                                  {5, make_fee_payout},
                                  {6, make_trade_bust},
                                  {8, make_trade_correction}};
    random_draw(r, admin, sizeof admin / sizeof admin[0], to);
}

/* ---- System records ---------------------------------------------------------------------------------------------- */

/* Makes the whole record: these have no client sequence, and some no key. */
wire_record random_system(random_commands *r) {
    const uint32_t key = random_key(r);
    switch (random_below(r, 12)) {
    case 0: {
        const wire_term w = {.kind = KIND_TERM,
                             .term = r->term + 1 + random_below(r, 2),
                             .node = random_below(r, 5),
                             .nonce_window_ns = random_one_in(r, 2) ? 0 : 1000000 * (1 + random_below(r, 3000))};
        return random_record(r, 0, 0, &w);
    }
    case 1: {
        wire_logon w = {.kind = KIND_LOGON,
                        .session = (uint32_t)random_below(r, 100),
                        .account = random_one_in(r, 10) ? (uint32_t)random_extreme(r) : key,
                        .timestamp_ns = r->received_ns - random_below(r, 1000000000),
                        .options = (uint8_t)random_below(r, 2)};
        random_nonce(r, w.nonce);
        return random_record(r, key, 0, &w);
    }
    case 2: {
        const wire_logoff w = {.kind = KIND_LOGOFF,
                               .session = (uint32_t)random_below(r, 100),
                               .reason = (uint8_t)(1 + random_below(r, 7))};
        return random_record(r, key, 0, &w);
    }
    case 3: {
        const wire_digest w = {.kind = KIND_DIGEST, .state_digest = r->digest(r->self)};
        return random_record(r, 0, 0, &w);
    }
    case 4: {
        const wire_refused w = {.kind = KIND_REFUSED,
                                .account = random_account(r),
                                .instrument = random_instrument(r),
                                .client_order_id = random_below(r, 100),
                                .code = (uint16_t)(CODE_NONCE_STALE + random_below(r, CODE_UNKNOWN_TRADE)),
                                .refused_kind = (uint8_t)random_below(r, 5)};
        return random_record(r, key, r->sequences[key] + 1, &w);
    }
    default: {
        const wire_clock_tick w = {.kind = KIND_CLOCK_TICK};
        return random_record(r, 0, 0, &w);
    }
    }
}

/* ---- The definition of the market -------------------------------------------------------------------------------- */

void random_markets(random_commands *r) {
    static const uint64_t units[] = {1, 3, 10, 1000};
    for (uint32_t i = 0; i < PLACES_MAX; i++) {
        market *m = &r->markets[i];
        *m = (market){.base_units = units[random_below(r, 4)],
                      .quote_units = units[random_below(r, 3)],
                      .middle = (int64_t)(40 + random_below(r, 2000)),
                      .lot = 1};
        if (!r->profile.huge) continue;
        const uint64_t shape = random_below(r, 4);
        if (shape == 0) m->middle = PRICE_TICKS_MAX - 20, m->lot = 30, m->quote_units = 1;
        if (shape == 1) m->lot = QUANTITY_LOTS_MAX / 40, m->base_units = 1, m->quote_units = 1, m->middle = 100;
        if (shape == 2) m->base_units = UNITS_PER_LOT_MAX, m->quote_units = UNITS_PER_LOT_MAX, m->middle = 1500;
        if (shape == 3) m->middle = 1ll << 30, m->lot = 1ll << 20, m->quote_units = 100;
    }
}

/* The next command that defines the market; false when all is defined. */
bool random_setup(random_commands *r, void *to, bool *named) {
    const random_profile *p = &r->profile;
    uint32_t i = r->setup++;
    *named = false;
    if (i < 3) {
        const wire_asset w = {.kind = KIND_ASSET, .asset = i + 1, .decimals = 4};
        *named = true;
        memcpy(to, &w, sizeof w);
        return true;
    }
    i -= 3;
    if (i < p->instrument_count) {
        define_instrument(r, i + 1, to);
        *named = true;
        return true;
    }
    i -= p->instrument_count;
    if (i < p->account_count) {
        const wire_account w = {.kind = KIND_ACCOUNT, .account = i + 1, .firm = first_firm(i + 1)};
        memcpy(to, &w, sizeof w);
        return true;
    }
    i -= p->account_count;
    if (i < p->account_count * 3) {
        const int64_t amount = p->poor ? 500000 : p->huge ? UNITS_MAX / 24 : 1ll << 44;
        const wire_deposit w = {.kind = KIND_DEPOSIT, .account = i / 3 + 1, .asset = i % 3 + 1, .amount_units = amount};
        memcpy(to, &w, sizeof w);
        return true;
    }
    return false;
}
