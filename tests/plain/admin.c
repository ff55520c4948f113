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

static uint16_t check_instrument(const plain *book, const command *c, const wire_instrument *w) {
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    if (w->trading_state < TRADING_STATE_OPEN || w->trading_state > TRADING_STATE_HALTED) return CODE_MALFORMED;
    if (w->instrument == 0 || w->instrument > INSTRUMENT_NUMBER_MAX) return CODE_UNKNOWN_INSTRUMENT;
    if (plain_asset_find(book, w->base_asset) == NULL || plain_asset_find(book, w->quote_asset) == NULL)
        return CODE_UNKNOWN_ASSET;
    if (!name_valid(c)) return CODE_NAME_INVALID;
    if (w->base_asset == w->quote_asset) return CODE_DEFINITION_INVALID;
    if (!units_valid(w->base_units_per_lot) || !units_valid(w->quote_units_per_tick_lot))
        return CODE_DEFINITION_INVALID;
    if (w->taker_fee_ppm < 0 || w->taker_fee_ppm > FEE_PPM_MAX) return CODE_DEFINITION_INVALID;
    if (w->maker_fee_ppm < -w->taker_fee_ppm || w->maker_fee_ppm > FEE_PPM_MAX) return CODE_DEFINITION_INVALID;
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
        in->next = book->instruments;
        book->instruments = in;
        plain_event_state(book, c, in->state, in->number, 0);
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
    account *who = plain_account_find(book, w->account);
    if (who == NULL) {
        who = plain_new(sizeof *who);
        who->number = w->account;
        who->next = book->accounts;
        book->accounts = who;
    }
    who->firm = w->firm == 0 ? w->account : w->firm;
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

/* A deposit, or with `sign` -1 a withdrawal: the two have one layout. */
static uint16_t move_money(plain *book, const command *c, int sign) {
    const wire_deposit *w = &AS(wire_deposit, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    account *who = plain_account_find(book, w->account);
    if (who == NULL) return CODE_UNKNOWN_ACCOUNT;
    asset *a = plain_asset_find(book, w->asset);
    if (a == NULL) return CODE_UNKNOWN_ASSET;
    if (w->amount_units <= 0) return CODE_AMOUNT_INVALID;
    if (sign > 0 && (wide)a->supply + w->amount_units > UNITS_MAX) return CODE_AMOUNT_INVALID;
    balance *b = plain_balance_of(who, w->asset);
    if (sign < 0 && b->free < w->amount_units) return CODE_INSUFFICIENT_FUNDS;
    a->supply += sign * w->amount_units;
    b->free += sign * w->amount_units;
    plain_event_balance(book, c, who, w->asset, sign * w->amount_units, w->reference);
    return CODE_NONE;
}

static uint16_t halt(plain *book, const command *c) {
    const wire_halt *w = &AS(wire_halt, c);
    if (plain_command_malformed(c) || !plain_all_zero(w->zero, sizeof w->zero)) return CODE_MALFORMED;
    if (w->scope < HALT_SCOPE_EVERYTHING || w->scope > HALT_SCOPE_ACCOUNT) return CODE_MALFORMED;
    if (w->action < HALT_ACTION_HALT || w->action > HALT_ACTION_RESUME) return CODE_MALFORMED;
    if (w->scope == HALT_SCOPE_EVERYTHING && w->target != 0) return CODE_MALFORMED;
    const bool halted = w->action == HALT_ACTION_HALT;
    const uint8_t state = halted ? TRADING_STATE_HALTED : TRADING_STATE_OPEN;
    if (w->scope == HALT_SCOPE_EVERYTHING) {
        book->everything_halted = halted;
        plain_event_state(book, c, state, 0, 0);
    } else if (w->scope == HALT_SCOPE_INSTRUMENT) {
        instrument *in = plain_instrument_find(book, w->target);
        if (in == NULL) return CODE_UNKNOWN_INSTRUMENT;
        in->state = state;
        plain_event_state(book, c, state, in->number, 0);
    } else {
        account *who = plain_account_find(book, w->target);
        if (who == NULL) return CODE_UNKNOWN_ACCOUNT;
        who->halted = halted;
        plain_event_state(book, c, state, 0, who->number);
    }
    return CODE_NONE;
}

static uint16_t carry_out(plain *book, const command *c) {
    switch (c->kind) {
    case KIND_ASSET: return define_asset(book, c);
    case KIND_INSTRUMENT: return define_instrument(book, c);
    case KIND_INSTRUMENT_LIMITS: return limit_instrument(book, c);
    case KIND_ACCOUNT: return define_account(book, c);
    case KIND_ACCOUNT_LIMITS: return limit_account(book, c);
    case KIND_DEPOSIT: return move_money(book, c, 1);
    case KIND_WITHDRAWAL: return move_money(book, c, -1);
    default: return halt(book, c);
    }
}

void plain_admin(plain *book, const command *c) {
    uint16_t code = plain_take_nonce(book, c);
    if (code == CODE_NONE) code = carry_out(book, c);
    if (code != CODE_NONE) {
        plain_reject(book, c, code);
        return;
    }
    wire_report what = {0};
    if (c->kind == KIND_INSTRUMENT) what.instrument = AS(wire_instrument, c).instrument;
    if (c->kind == KIND_INSTRUMENT_LIMITS) what.instrument = AS(wire_instrument_limits, c).instrument;
    if (c->kind == KIND_ACCOUNT) what.account = AS(wire_account, c).account;
    if (c->kind == KIND_ACCOUNT_LIMITS) what.account = AS(wire_account_limits, c).account;
    if (c->kind == KIND_DEPOSIT || c->kind == KIND_WITHDRAWAL) {
        what.account = AS(wire_deposit, c).account;
        what.order_id = AS(wire_deposit, c).reference;
    }
    plain_report_applied(book, c, what);
}
