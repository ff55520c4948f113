/* Definitions, limits, money in and out, halts, sessions and nonces (rules.md 9 and 10).
 *
 * Every handler of an admin's command looks first, in the order in which codes win, and acts only when nothing is
 * wrong.
 */
#include "internal.h"

/* ---- Nonces: a queue in order of arrival and an index into it ---------------------------------------------------- */

static nonce_entry nonce_entry_of(const uint8_t nonce[16], uint64_t timestamp_ns) {
    nonce_entry e = {.timestamp_ns = timestamp_ns};
    memcpy(&e.low, nonce, 8);
    memcpy(&e.high, nonce + 8, 8);
    return e;
}

static uint64_t nonce_hash(const nonce_entry *e) { return mix(e->low ^ mix(e->high)); }
static uint64_t nonce_digest(const nonce_entry *e) {
    return entity_key(TAG_NONCE, e->low, e->high) * (mix(1) * e->timestamp_ns);
}
static inline uint32_t nonce_place(const core *c, uint64_t at) { return (uint32_t)(at % c->options.nonce_count_max); }

bool nonce_held(const core *c, const uint8_t nonce[16]) {
    const nonce_entry wanted = nonce_entry_of(nonce, 0);
    const uint64_t hash = nonce_hash(&wanted);
    index_search at = index_start(&c->nonce_index, hash);
    for (uint32_t slot; (slot = index_next(&c->nonce_index, hash, &at)) != 0;) {
        const nonce_entry *e = &c->nonces[slot - 1];
        if (e->low == wanted.low && e->high == wanted.high) return true;
    }
    return false;
}

uint64_t nonce_window(const core *c) {
    return c->nonce_window_ns != 0 ? c->nonce_window_ns : c->options.nonce_window_ns;
}

uint16_t nonce_check(const core *c, const uint8_t nonce[16], uint64_t timestamp_ns) {
    const uint64_t apart =
        timestamp_ns > c->received_ns ? timestamp_ns - c->received_ns : c->received_ns - timestamp_ns;
    if (apart > nonce_window(c)) return CODE_NONCE_STALE;
    return nonce_held(c, nonce) ? CODE_NONCE_REPEATED : CODE_NONE;
}

/* May the oldest go? Storing drops such ones first, so being full means that the oldest is still within its window. */
static bool nonce_front_passed(const core *c, uint64_t now_ns) {
    const nonce_entry *front = &c->nonces[nonce_place(c, c->nonce_first)];
    return c->nonce_count > 0 && front->timestamp_ns < UINT64_MAX - nonce_window(c) &&
           front->timestamp_ns + nonce_window(c) < now_ns;
}

bool nonce_has_room(const core *c, uint64_t now_ns) {
    return c->nonce_count < c->options.nonce_count_max || nonce_front_passed(c, now_ns);
}

static void nonce_drop_front(core *c) {
    const uint32_t place = nonce_place(c, c->nonce_first);
    const nonce_entry *front = &c->nonces[place];
    index_remove(&c->nonce_index, nonce_hash(front), place + 1);
    c->digest -= nonce_digest(front);
    c->nonce_first++;
    c->nonce_count--;
}

void nonce_append(core *c, const uint8_t nonce[16], uint64_t timestamp_ns) {
    INVARIANT(c->nonce_count < c->options.nonce_count_max);
    const uint32_t place = nonce_place(c, c->nonce_first + c->nonce_count);
    c->nonces[place] = nonce_entry_of(nonce, timestamp_ns);
    index_add(&c->nonce_index, nonce_hash(&c->nonces[place]), place + 1);
    c->digest += nonce_digest(&c->nonces[place]);
    c->nonce_count++;
}

void nonce_store(core *c, const uint8_t nonce[16], uint64_t timestamp_ns) {
    for (uint32_t dropped = 0; dropped < CORE_NONCE_DROPS_MAX && nonce_front_passed(c, c->received_ns); dropped++)
        nonce_drop_front(c);
    nonce_append(c, nonce, timestamp_ns);
}

/* ---- Definitions ------------------------------------------------------------------------------------------------- */

/* The length of a name: 1 to 36 bytes of A-Z a-z 0-9 . _ - / and then zero bytes only; 0 if it is none. */
static uint8_t name_bytes(const wire_text *text) {
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-/";
    if (text == NULL || text->flags != 0 || !all_zero(text->zero, sizeof text->zero)) return 0;
    uint8_t bytes = 0;
    while (bytes < TEXT_BYTES_MAX && text->text[bytes] != 0) {
        if (strchr(allowed, text->text[bytes]) == NULL) return 0;
        bytes++;
    }
    return all_zero(text->text + bytes, (size_t)(TEXT_BYTES_MAX - bytes)) ? bytes : 0;
}

static uint16_t define_asset(core *c, const wire_asset *o, const wire_text *text) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero)) return CODE_MALFORMED;
    if (o->asset == 0 || o->asset > ASSET_NUMBER_MAX) return CODE_UNKNOWN_ASSET;
    const uint8_t bytes = name_bytes(text);
    if (bytes == 0) return CODE_NAME_INVALID;
    if (o->decimals > ASSET_DECIMALS_MAX) return CODE_DEFINITION_INVALID;
    asset *a = &c->assets[o->asset];
    if (a->defined && a->decimals != o->decimals) return CODE_DEFINITION_CONFLICT;
    SET(c, a, defined, 1, 1);
    SET(c, a, decimals, 2, o->decimals);
    memcpy(a->name, text->text, TEXT_BYTES_MAX);
    a->name_bytes = bytes;
    put_applied(c, 0, 0, 0, 0, 0);
    return CODE_NONE;
}

static uint16_t check_instrument(const core *c, const wire_instrument *o, const wire_text *text) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero) || !state_exists(o->trading_state)) return CODE_MALFORMED;
    if (o->instrument == 0 || o->instrument > INSTRUMENT_NUMBER_MAX) return CODE_UNKNOWN_INSTRUMENT;
    if (!asset_known(c, o->base_asset) || !asset_known(c, o->quote_asset)) return CODE_UNKNOWN_ASSET;
    if (name_bytes(text) == 0) return CODE_NAME_INVALID;
    if (o->base_asset == o->quote_asset) return CODE_DEFINITION_INVALID;
    if (o->base_units_per_lot < 1 || o->base_units_per_lot > (uint64_t)UNITS_PER_LOT_MAX)
        return CODE_DEFINITION_INVALID;
    if (o->quote_units_per_tick_lot < 1 || o->quote_units_per_tick_lot > (uint64_t)UNITS_PER_LOT_MAX)
        return CODE_DEFINITION_INVALID;
    if (!fee_rates_valid(o->maker_fee_ppm, o->taker_fee_ppm)) return CODE_DEFINITION_INVALID;
    const instrument *i = &c->instruments[o->instrument];
    const bool same = i->base_asset == o->base_asset && i->quote_asset == o->quote_asset &&
                      i->base_units_per_lot == o->base_units_per_lot &&
                      i->quote_units_per_tick_lot == o->quote_units_per_tick_lot;
    return instrument_known(c, o->instrument) && !same ? CODE_DEFINITION_CONFLICT : CODE_NONE;
}

static uint16_t define_instrument(core *c, const wire_instrument *o, const wire_text *text) {
    const uint16_t code = check_instrument(c, o, text);
    if (code != CODE_NONE) return code;
    instrument *i = &c->instruments[o->instrument];
    const bool fresh = !instrument_known(c, o->instrument);
    if (fresh) {
        DIGEST_ADD(c, i, 1, 1);
        SET(c, i, base_asset, 2, o->base_asset);
        SET(c, i, quote_asset, 3, o->quote_asset);
        SET(c, i, trading_state, 6, o->trading_state);
        SET(c, i, base_units_per_lot, 7, o->base_units_per_lot);
        SET(c, i, quote_units_per_tick_lot, 8, o->quote_units_per_tick_lot);
    }
    SET(c, i, maker_fee_ppm, 4, o->maker_fee_ppm);
    SET(c, i, taker_fee_ppm, 5, o->taker_fee_ppm);
    memcpy(i->name, text->text, TEXT_BYTES_MAX);
    i->name_bytes = name_bytes(text);
    if (fresh) put_instrument_state(c, o->instrument, 0);
    put_applied(c, 0, o->instrument, 0, 0, 0);
    return CODE_NONE;
}

static uint16_t set_instrument_limits(core *c, const wire_instrument_limits *o) {
    if (o->flags != 0) return CODE_MALFORMED;
    if (!instrument_known(c, o->instrument)) return CODE_UNKNOWN_INSTRUMENT;
    if (o->quantity_lots_min < 0 || o->quantity_lots_max < 0 || o->reference_price_ticks < 0)
        return CODE_LIMITS_INVALID;
    if (o->notional_units_min < 0 || o->notional_units_min > UNITS_MAX) return CODE_LIMITS_INVALID;
    if (o->quantity_lots_max > 0 && o->quantity_lots_min > o->quantity_lots_max) return CODE_LIMITS_INVALID;
    if (o->collar_ppm > COLLAR_PPM_MAX || o->reference_price_ticks > PRICE_TICKS_MAX) return CODE_LIMITS_INVALID;
    instrument *i = &c->instruments[o->instrument];
    SET(c, i, collar_ppm, 9, o->collar_ppm);
    SET(c, i, quantity_lots_min, 10, o->quantity_lots_min);
    SET(c, i, quantity_lots_max, 11, o->quantity_lots_max);
    SET(c, i, notional_units_min, 12, o->notional_units_min);
    if (o->reference_price_ticks > 0) SET(c, i, reference_price_ticks, 13, o->reference_price_ticks);
    put_applied(c, 0, o->instrument, 0, 0, 0);
    return CODE_NONE;
}

static uint16_t define_account(core *c, const wire_account *o) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero)) return CODE_MALFORMED;
    if (o->account == 0 || o->account > ACCOUNT_NUMBER_MAX) return CODE_UNKNOWN_ACCOUNT;
    if (o->fee_tier > FEE_TIER_MAX) return CODE_DEFINITION_INVALID;
    account *a = &c->accounts[o->account];
    const uint32_t firm = o->firm == 0 ? o->account : o->firm;
    if (a->firm != 0 && a->firm != firm) return CODE_DEFINITION_CONFLICT; /* whoever follows the events goes by it */
    if (a->firm == 0) DIGEST_ADD(c, a, 1, 1);
    SET(c, a, firm, 2, firm);
    SET(c, a, fee_tier, 12, o->fee_tier);
    put_applied(c, o->account, 0, 0, 0, 0);
    return CODE_NONE;
}

static uint16_t set_account_limits(core *c, const wire_account_limits *o) {
    if (o->flags != 0) return CODE_MALFORMED;
    if (!account_known(c, o->account)) return CODE_UNKNOWN_ACCOUNT;
    if (o->notional_units_max < 0 || o->position_lots_max < 0 || o->quantity_lots_max < 0) return CODE_LIMITS_INVALID;
    account *a = &c->accounts[o->account];
    SET(c, a, open_orders_max, 4, o->open_orders_max);
    SET(c, a, order_rate_max, 5, o->order_rate_max);
    SET(c, a, order_rate_window_ms, 6, o->order_rate_window_ms);
    SET(c, a, notional_units_max, 7, o->notional_units_max);
    SET(c, a, position_lots_max, 8, o->position_lots_max);
    SET(c, a, quantity_lots_max, 9, o->quantity_lots_max);
    put_applied(c, o->account, 0, 0, 0, 0);
    return CODE_NONE;
}

/* ---- Money in and out -------------------------------------------------------------------------------------------- */

static void put_transfer(core *c, const wire_deposit *o, uint32_t slot, int64_t amount_units) {
    balance_add(c, slot, amount_units, 0);
    put_public(c, CORE_EVENTS_ACCOUNTS,
               (wire_report){.kind = EVENT_BALANCE,
                             .instrument = o->asset,
                             .account = o->account,
                             .quantity_lots = c->balances[slot].free_units,
                             .remaining_lots = c->balances[slot].locked_units,
                             .reference = o->reference,
                             .amount_units = amount_units});
    put_applied(c, o->account, 0, o->reference, 0, 0);
}

/* A deposit, a withdrawal and a payout of fees have one layout. */
static_assert(offsetof(wire_deposit, reference) == offsetof(wire_withdrawal, reference) &&
                  offsetof(wire_deposit, reference) == offsetof(wire_fee_payout, reference),
              "read as one");

static uint16_t check_transfer(const core *c, const wire_deposit *o) {
    if (o->flags != 0 || !all_zero(o->zero, sizeof o->zero)) return CODE_MALFORMED;
    if (!account_known(c, o->account)) return CODE_UNKNOWN_ACCOUNT;
    if (!asset_known(c, o->asset)) return CODE_UNKNOWN_ASSET;
    return o->amount_units <= 0 ? CODE_AMOUNT_INVALID : CODE_NONE;
}

static uint16_t deposit(core *c, const wire_deposit *o) {
    const uint16_t code = check_transfer(c, o);
    if (code != CODE_NONE) return code;
    asset *a = &c->assets[o->asset];
    if ((__int128)a->supply_units + a->owed_units_max + o->amount_units > UNITS_MAX) return CODE_AMOUNT_INVALID;
    SET(c, a, supply_units, 3, a->supply_units + o->amount_units);
    put_transfer(c, o, balance_obtain(c, o->account, o->asset), o->amount_units);
    return CODE_NONE;
}

/* What is below zero can't be withdrawn: the floor is for trading. */
static uint16_t withdraw(core *c, const wire_deposit *o) {
    const uint16_t code = check_transfer(c, o);
    if (code != CODE_NONE) return code;
    const uint32_t slot = balance_find(c, o->account, o->asset);
    if (slot == 0 || c->balances[slot].free_units < o->amount_units) return CODE_INSUFFICIENT_FUNDS;
    asset *a = &c->assets[o->asset];
    if (a->supply_units < -UNITS_MAX + o->amount_units) return CODE_AMOUNT_INVALID;
    SET(c, a, supply_units, 3, a->supply_units - o->amount_units);
    put_transfer(c, o, slot, -o->amount_units);
    return CODE_NONE;
}

static uint16_t pay_out_fees(core *c, const wire_deposit *o) {
    const uint16_t code = check_transfer(c, o);
    if (code != CODE_NONE) return code;
    asset *a = &c->assets[o->asset];
    if (a->fees_units < o->amount_units) return CODE_INSUFFICIENT_FUNDS;
    SET(c, a, fees_units, 4, a->fees_units - o->amount_units);
    put_transfer(c, o, balance_obtain(c, o->account, o->asset), o->amount_units);
    return CODE_NONE;
}

/* ---- Dispatch ---------------------------------------------------------------------------------------------------- */

void do_admin(core *c, const wire_header *command, const wire_text *text) {
    const void *o = command;
    uint16_t code = CODE_NONE;
    switch (command->kind) {
    case KIND_ASSET: code = define_asset(c, o, text); break;
    case KIND_INSTRUMENT: code = define_instrument(c, o, text); break;
    case KIND_INSTRUMENT_LIMITS: code = set_instrument_limits(c, o); break;
    case KIND_ACCOUNT: code = define_account(c, o); break;
    case KIND_ACCOUNT_LIMITS: code = set_account_limits(c, o); break;
    case KIND_DEPOSIT: code = deposit(c, o); break;
    case KIND_WITHDRAWAL: code = withdraw(c, o); break;
    case KIND_HALT: code = set_halt(c, o); break;
    case KIND_INSTRUMENT_STATE: code = set_instrument_state(c, o); break;
    case KIND_CIRCUIT_BREAKER: code = set_circuit_breaker(c, o); break;
    case KIND_FEE_TIER: code = set_fee_tier(c, o); break;
    case KIND_PRICE_STEP: code = set_price_step(c, o); break;
    case KIND_BALANCE_FLOOR: code = set_balance_floor(c, o); break;
    case KIND_TRADE_BUST: code = bust_trade(c, o); break;
    case KIND_TRADE_CORRECTION: code = correct_trade(c, o); break;
    case KIND_FEE_PAYOUT: code = pay_out_fees(c, o); break;
    default: code = CODE_MALFORMED;
    }
    if (code != CODE_NONE) put_reject(c, command, code);
}

/* ---- System records ---------------------------------------------------------------------------------------------- */

/* Zero bytes are zero, enumerations in range: an engine writes nothing else, so anything else is damage. */
static bool system_well_formed(const void *o) {
    switch (((const wire_header *)o)->kind) {
    case KIND_TERM: return all_zero(((const wire_term *)o)->zero, sizeof((const wire_term *)o)->zero);
    case KIND_LOGON: {
        const wire_logon *l = o;
        return all_zero(l->zero, sizeof l->zero) && (l->options & ~LOGON_OPTION_CANCEL_ON_DISCONNECT) == 0;
    }
    case KIND_LOGOFF: {
        const wire_logoff *l = o;
        return all_zero(l->zero, sizeof l->zero) && l->reason >= LOGOFF_REASON_LINE_LOST &&
               l->reason <= LOGOFF_REASON_REFUSED;
    }
    case KIND_CLOCK_TICK: return all_zero(((const wire_clock_tick *)o)->zero, sizeof((const wire_clock_tick *)o)->zero);
    default: return all_zero(((const wire_digest *)o)->zero, sizeof((const wire_digest *)o)->zero);
    }
}

core_status check_system(const core *c, const wire_record *record) {
    const void *o = record->command;
    const wire_header *header = o;
    if (header->client_sequence != 0 || header->flags != 0 || !system_well_formed(o)) return CORE_E_RECORD;
    if ((record->key != 0) != (header->kind == KIND_LOGON || header->kind == KIND_LOGOFF)) return CORE_E_RECORD;
    if (header->kind == KIND_TERM) {
        const wire_term *t = o;
        return t->term > c->term && t->nonce_window_ns <= NONCE_WINDOW_NS_MAX ? CORE_OK : CORE_E_RECORD;
    }
    if (header->kind == KIND_DIGEST)
        return ((const wire_digest *)o)->state_digest == c->digest ? CORE_OK : CORE_E_DIVERGED;
    return CORE_OK;
}

static void logon(core *c, uint32_t key, const wire_logon *o) {
    key_state *k = &c->keys[key];
    SET(c, k, session, 3, o->session);
    SET(c, k, live, 4, 1);
    SET(c, k, account, 5, o->account);
    SET(c, k, options, 6, o->options);
    if (!nonce_held(c, o->nonce)) nonce_store(c, o->nonce, o->timestamp_ns);
}

static void logoff(core *c, uint32_t key) {
    key_state *k = &c->keys[key];
    SET(c, k, live, 4, 0);
    if ((k->options & LOGON_OPTION_CANCEL_ON_DISCONNECT) && account_known(c, k->account))
        sweep_start(c, k->account, 0, key, 0, CODE_CANCELLED_ON_DISCONNECT);
}

static void begin_term(core *c, const wire_term *o) {
    const uint64_t window_ns = o->nonce_window_ns != 0 ? o->nonce_window_ns : c->nonce_window_ns;
    c->digest +=
        entity_key(TAG_WHOLE, 0, 0) * (mix(3) * (o->term - c->term) + mix(5) * (window_ns - c->nonce_window_ns));
    c->term = o->term;
    c->nonce_window_ns = window_ns;
}

void do_system(core *c, const wire_record *record) {
    const void *o = record->command;
    switch (((const wire_header *)o)->kind) {
    case KIND_TERM: begin_term(c, o); break;
    case KIND_LOGON: logon(c, record->key, o); break;
    case KIND_LOGOFF: logoff(c, record->key); break;
    case KIND_CLOCK_TICK: tick_start(c); break;
    default: break; /* digest: check_system has said it all */
    }
}
