/* Section 9: definitions, limits, money, halts. */
#include "state.h"

/* A name: 1 to 36 bytes of a few letters, then zero bytes only. */
static bool name_valid(const command *c) {
    if (c->text == NULL) return false;
    size_t length = 0;
    while (length < TEXT_BYTES_MAX && c->text->text[length] != 0) {
        const uint8_t letter = c->text->text[length++];
        const bool good = (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z') ||
                          (letter >= '0' && letter <= '9') || letter == '.' || letter == '_' || letter == '-' ||
                          letter == '/';
        if (!good) return false;
    }
    return length > 0 && plain_all_zero(c->text->text + length, TEXT_BYTES_MAX - length);
}

static uint16_t define_asset(plain *book, const command *c) {
    const wire_asset *w = &AS(wire_asset, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    if (w->asset == 0 || w->asset > ASSET_NUMBER_MAX) return CODE_UNKNOWN_ASSET;
    if (!name_valid(c)) return CODE_NAME_INVALID;
    if (w->decimals > ASSET_DECIMALS_MAX) return CODE_DEFINITION_INVALID;
    asset *a = plain_asset_find(book, w->asset);
    if (a != NULL) return a->decimals == w->decimals ? CODE_NONE : CODE_DEFINITION_CONFLICT;
    a = plain_new(sizeof *a);
    a->number = w->asset;
    a->decimals = w->decimals;
    a->next = book->assets;
    book->assets = a;
    return CODE_NONE;
}

static bool units_valid(uint64_t units) { return units >= 1 && units <= UNITS_PER_LOT_MAX; }

static bool rates_valid(int32_t maker_ppm, int32_t taker_ppm) {
    return between(0, taker_ppm, FEE_PPM_MAX) && between(-(int64_t)taker_ppm, maker_ppm, FEE_PPM_MAX);
}

static uint16_t check_instrument(const plain *book, const command *c, const wire_instrument *w) {
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    if (!between(TRADING_STATE_OPEN, w->trading_state, TRADING_STATE_CLOSED)) return CODE_MALFORMED;
    if (w->instrument == 0 || w->instrument > INSTRUMENT_NUMBER_MAX) return CODE_UNKNOWN_INSTRUMENT;
    if (plain_asset_find(book, w->base_asset) == NULL || plain_asset_find(book, w->quote_asset) == NULL)
        return CODE_UNKNOWN_ASSET;
    if (!name_valid(c)) return CODE_NAME_INVALID;
    if (w->base_asset == w->quote_asset) return CODE_DEFINITION_INVALID;
    if (!units_valid(w->base_units_per_lot) || !units_valid(w->quote_units_per_tick_lot))
        return CODE_DEFINITION_INVALID;
    if (!rates_valid(w->maker_fee_ppm, w->taker_fee_ppm)) return CODE_DEFINITION_INVALID;
    const instrument *in = plain_instrument_find(book, w->instrument);
    if (in != NULL && (in->base != w->base_asset || in->quote != w->quote_asset ||
                       in->base_units != w->base_units_per_lot || in->quote_units != w->quote_units_per_tick_lot))
        return CODE_DEFINITION_CONFLICT;
    return CODE_NONE;
}

static uint16_t define_instrument(plain *book, const command *c) {
    const wire_instrument *w = &AS(wire_instrument, c);
    const uint16_t code = check_instrument(book, c, w);
    if (code != CODE_NONE) return code;
    instrument *in = plain_instrument_find(book, w->instrument);
    if (in == NULL) {
        in = plain_new(sizeof *in);
        in->number = w->instrument;
        in->base = w->base_asset;
        in->quote = w->quote_asset;
        in->state = w->trading_state;
        in->base_units = w->base_units_per_lot;
        in->quote_units = w->quote_units_per_tick_lot;
        instrument **at = &book->instruments;
        while (*at != NULL && (*at)->number < in->number) at = &(*at)->next;
        in->next = *at;
        *at = in;
        plain_event_state(book, c, in, 0);
    }
    in->maker_ppm = w->maker_fee_ppm;
    in->taker_ppm = w->taker_fee_ppm;
    return CODE_NONE;
}

static uint16_t limit_instrument(plain *book, const command *c) {
    const wire_instrument_limits *w = &AS(wire_instrument_limits, c);
    if (plain_command_malformed(c)) return CODE_MALFORMED;
    instrument *in = plain_instrument_find(book, w->instrument);
    if (in == NULL) return CODE_UNKNOWN_INSTRUMENT;
    if (w->quantity_lots_min < 0 || w->quantity_lots_max < 0 || w->notional_units_min < 0) return CODE_LIMITS_INVALID;
    if (w->reference_price_ticks < 0 || w->reference_price_ticks > PRICE_TICKS_MAX) return CODE_LIMITS_INVALID;
    if (w->quantity_lots_max > 0 && w->quantity_lots_min > w->quantity_lots_max) return CODE_LIMITS_INVALID;
    if (w->notional_units_min > UNITS_MAX || w->collar_ppm > COLLAR_PPM_MAX) return CODE_LIMITS_INVALID;
    in->collar_ppm = w->collar_ppm;
    in->quantity_min = w->quantity_lots_min;
    in->quantity_max = w->quantity_lots_max;
    in->notional_min = w->notional_units_min;
    if (w->reference_price_ticks > 0) in->reference = w->reference_price_ticks;
    return CODE_NONE;
}

static uint16_t define_account(plain *book, const command *c) {
    const wire_account *w = &AS(wire_account, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    if (w->account == 0 || w->account > ACCOUNT_NUMBER_MAX) return CODE_UNKNOWN_ACCOUNT;
    if (w->fee_tier > FEE_TIER_MAX) return CODE_DEFINITION_INVALID;
    account *who = plain_account_find(book, w->account);
    const uint32_t firm = w->firm == 0 ? w->account : w->firm;
    if (who != NULL && who->firm != firm) return CODE_DEFINITION_CONFLICT;
    if (who == NULL) {
        who = plain_new(sizeof *who);
        who->number = w->account;
        who->firm = firm;
        account **at = &book->accounts;
        while (*at != NULL && (*at)->number < who->number) at = &(*at)->next;
        who->next = *at;
        *at = who;
    }
    who->tier = w->fee_tier;
    return CODE_NONE;
}

static uint16_t limit_account(plain *book, const command *c) {
    const wire_account_limits *w = &AS(wire_account_limits, c);
    if (plain_command_malformed(c)) return CODE_MALFORMED;
    account *who = plain_account_find(book, w->account);
    if (who == NULL) return CODE_UNKNOWN_ACCOUNT;
    if (w->notional_units_max < 0 || w->position_lots_max < 0 || w->quantity_lots_max < 0) return CODE_LIMITS_INVALID;
    who->open_orders_max = w->open_orders_max;
    who->rate_max = w->order_rate_max;
    who->rate_window_ms = w->order_rate_window_ms;
    who->notional_max = w->notional_units_max;
    who->position_max = w->position_lots_max;
    who->quantity_max = w->quantity_lots_max;
    return CODE_NONE;
}

static uint16_t set_fee_tier(plain *book, const command *c) {
    const wire_fee_tier *w = &AS(wire_fee_tier, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    instrument *in = plain_instrument_find(book, w->instrument);
    if (in == NULL) return CODE_UNKNOWN_INSTRUMENT;
    if (!between(1, w->tier, FEE_TIER_MAX) || !rates_valid(w->maker_fee_ppm, w->taker_fee_ppm))
        return CODE_DEFINITION_INVALID;
    in->tiers[w->tier] = (fee_tier){.set = true, .maker_ppm = w->maker_fee_ppm, .taker_ppm = w->taker_fee_ppm};
    return CODE_NONE;
}

static bool step_valid(const instrument *in, const wire_price_step *w) {
    if (w->step >= PRICE_STEP_COUNT_MAX) return false;
    if (w->tick_multiple == 0) return w->from_price_ticks == 0 && w->lot_multiple == 0;
    if (!between(0, w->from_price_ticks, PRICE_TICKS_MAX) || !between(1, w->tick_multiple, PRICE_TICKS_MAX))
        return false;
    if (!between(1, w->lot_multiple, QUANTITY_LOTS_MAX)) return false;
    const price_step *row = &in->steps[w->step];
    if (w->step > 0 && (row[-1].tick == 0 || row[-1].from >= w->from_price_ticks)) return false;
    const bool last = w->step + 1 == PRICE_STEP_COUNT_MAX || row[1].tick == 0;
    return last || w->from_price_ticks < row[1].from;
}

static uint16_t set_price_step(plain *book, const command *c) {
    const wire_price_step *w = &AS(wire_price_step, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    if (!plain_all_zero(w->zero2, sizeof w->zero2)) return CODE_MALFORMED;
    instrument *in = plain_instrument_find(book, w->instrument);
    if (in == NULL) return CODE_UNKNOWN_INSTRUMENT;
    if (!step_valid(in, w)) return CODE_LIMITS_INVALID;
    if (w->tick_multiple == 0) memset(&in->steps[w->step], 0, (PRICE_STEP_COUNT_MAX - w->step) * sizeof *in->steps);
    else in->steps[w->step] = (price_step){w->from_price_ticks, w->tick_multiple, w->lot_multiple};
    return CODE_NONE;
}

static uint16_t carry_out(plain *book, const command *c) {
    switch (c->kind) {
    case KIND_ASSET: return define_asset(book, c);
    case KIND_INSTRUMENT: return define_instrument(book, c);
    case KIND_INSTRUMENT_LIMITS: return limit_instrument(book, c);
    case KIND_ACCOUNT: return define_account(book, c);
    case KIND_ACCOUNT_LIMITS: return limit_account(book, c);
    case KIND_HALT: return plain_halt_check(book, c);
    case KIND_INSTRUMENT_STATE: return plain_instrument_state(book, c);
    case KIND_CIRCUIT_BREAKER: return plain_circuit_breaker(book, c);
    case KIND_FEE_TIER: return set_fee_tier(book, c);
    case KIND_PRICE_STEP: return set_price_step(book, c);
    case KIND_BALANCE_FLOOR: return plain_balance_floor(book, c);
    case KIND_TRADE_BUST:
    case KIND_TRADE_CORRECTION: return plain_bust(book, c);
    default: return plain_move_money(book, c);
    }
}

/* The account and instrument of a command, where its kind has them: they stand first. */
static wire_report applied_of(const command *c) {
    uint32_t first;
    memcpy(&first, c->bytes + sizeof(wire_header), sizeof first);
    switch (c->kind) {
    case KIND_ASSET: return (wire_report){0};
    case KIND_ACCOUNT:
    case KIND_ACCOUNT_LIMITS:
    case KIND_BALANCE_FLOOR: return (wire_report){.account = first};
    case KIND_DEPOSIT:
    case KIND_WITHDRAWAL:
    case KIND_FEE_PAYOUT: return (wire_report){.account = first, .order_id = AS(wire_deposit, c).reference};
    default: return (wire_report){.instrument = first};
    }
}

void plain_admin(plain *book, const command *c) {
    uint16_t code = plain_take_nonce(book, c);
    if (code == CODE_NONE) code = carry_out(book, c);
    if (code != CODE_NONE) plain_reject(book, c, code);
    else if (c->kind == KIND_HALT) plain_halt(book, c);
    else if (c->kind != KIND_INSTRUMENT_STATE) plain_report_applied(book, c, applied_of(c));
}
