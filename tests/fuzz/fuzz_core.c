/* Arbitrary records into a core.
 *
 * The input is a list of steps. Most of them build a record of a sensible kind from a few bytes, so that orders meet;
 * some take all 64 bytes as they come. What must hold after every group:
 *
 *   - core_check finds nothing (lists, ladders, locks, money, the digest made anew);
 *   - a status that is an error left sequence and digest as they were;
 *   - a snapshot, loaded into another core, is the same state, and a spoiled one is refused or at least harmless.
 */
#include <stdlib.h>

#include "engine_node/core/core.h"
#include "support/check.h"

#define EVENT_ROOM CORE_EVENTS_CHUNK_MIN
#define STEPS_MAX 300
#define SNAPSHOT_MAX (1u << 20)

static const core_options options = {.asset_count_max = 4,
                                     .instrument_count_max = 4,
                                     .account_count_max = 6,
                                     .key_count_max = 6,
                                     .order_count_max = 48,
                                     .extra_count_max = 12,
                                     .level_count_max = 32,
                                     .ladder_count_max = 64,
                                     .balance_count_max = 10,
                                     .position_count_max = 8,
                                     .nonce_count_max = 4,
                                     .reports_kept = 8,
                                     .event_mask = CORE_EVENTS_ALL,
                                     .nonce_window_ns = 1000};

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static uint8_t byte(input *from) {
    if (from->left == 0) return 0;
    from->left--;
    return *from->at++;
}

static void bytes(input *from, void *to, size_t count) {
    for (size_t i = 0; i < count; i++) ((uint8_t *)to)[i] = byte(from);
}

static core *open_core(void) {
    const size_t size = core_bytes(&options);
    void *memory = aligned_alloc(64, (size + 63) & ~(size_t)63);
    core *c;
    CHECK(memory != NULL);
    memset(memory, 0, size);
    CHECK_EQUAL(core_open(memory, size, &options, &c), CORE_OK);
    return c;
}

static void check(const core *c) {
    const char *fault = core_check(c);
    if (fault != NULL) fprintf(stderr, "%s\n", fault);
    CHECK(fault == NULL);
}

/* ---- Records ----------------------------------------------------------------------------------------------------- */

static uint64_t next_sequence(const core *c, uint32_t key, uint32_t waiting) {
    core_key_info info = {0};
    core_key(c, key, &info);
    return info.last_client_sequence + waiting + 1;
}

static void set_header(wire_record *record, uint8_t kind, uint64_t client_sequence) {
    const wire_header header = {.kind = kind, .client_sequence = client_sequence};
    memcpy(record->command, &header, sizeof header);
}

static void make_order(wire_record *record, input *from) {
    uint8_t b[6];
    bytes(from, b, sizeof b);
    const wire_new_order order = {.account = 1 + b[0] % 4,
                                  .instrument = 1 + (b[0] >> 7),
                                  .price_ticks = 1 + b[1] % 16,
                                  .quantity_lots = 1 + b[2] % 9,
                                  .client_order_id = b[3] % 8,
                                  .side = 1 + b[4] % 2,
                                  .order_type = 1 + (b[4] >> 1) % 8 / 6 * (1 + b[3] % 2),
                                  .time_in_force = 1 + (b[4] >> 5) % 3,
                                  .self_trade_prevention = 1 + b[5] % 5,
                                  .options = b[5] >> 7};
    memcpy(record->command + 8, (const uint8_t *)&order + 8, COMMAND_BYTES - 8);
}

/* Mostly one thing at a time, now and then all of them. */
static void make_terms(wire_record *record, input *from) {
    uint8_t b[4];
    bytes(from, b, sizeof b);
    const bool all = b[0] >= 240;
    const uint8_t what = b[0] % 8;
    const wire_order_terms terms = {.display_lots = all || what < 2 ? b[1] % 8 : 0,
                                    .minimum_lots = all || what == 2 ? b[1] % 8 : 0,
                                    .options = all || what >= 6 ? b[2] % 9 : 0,
                                    .peg = all || what == 3 ? b[2] % 5 : 0,
                                    .offset_ticks = all || what == 3 || what == 4 ? (int8_t)b[3] : 0,
                                    .trigger = all || what == 4 || what == 5 ? b[2] % 5 : 0,
                                    .trigger_price_ticks = what == 5 ? 1 + b[3] % 16 : 0,
                                    .expire_ns = all ? b[1] : 0};
    memcpy(record->command + 8, (const uint8_t *)&terms + 8, COMMAND_BYTES - 8);
}

static void make_link(wire_record *record, const core *c, input *from) {
    const uint8_t which = byte(from), how = byte(from);
    core_order_info order = {0};
    core_account_orders(c, 1 + which % 4, which / 4 % 8, &order, 1);
    const wire_order_link link = {.order_id = order.order_id, .action = how % 8 == 7 ? how : 1 + how % 2};
    memcpy(record->command + 8, (const uint8_t *)&link + 8, COMMAND_BYTES - 8);
}

/* Cancel or replace: by an id that may well exist. */
static void make_change(wire_record *record, const core *c, input *from, bool replace) {
    uint8_t b[5];
    bytes(from, b, sizeof b);
    core_order_info order = {.account = 1 + b[0] % 4, .instrument = 1};
    core_account_orders(c, 1 + b[0] % 4, b[1] % 8, &order, 1);
    const wire_replace r = {.account = order.account,
                            .instrument = order.instrument,
                            .order_id = order.order_id,
                            .price_ticks = 1 + b[2] % 16,
                            .quantity_lots = 1 + b[3] % 12};
    const wire_cancel k = {
        .account = order.account, .instrument = order.instrument, .order_id = order.order_id, .client_order_id = b[4]};
    memcpy(record->command + 8, (replace ? (const uint8_t *)&r : (const uint8_t *)&k) + 8, COMMAND_BYTES - 8);
}

static void make_system(wire_record *record, const core *c, input *from, uint8_t kind) {
    record->key = kind == KIND_LOGON || kind == KIND_LOGOFF ? record->key : 0;
    set_header(record, kind, 0);
    if (kind == KIND_TERM) {
        const uint64_t term = core_term(c) + 1;
        memcpy(record->command + 8, &term, sizeof term);
    } else if (kind == KIND_DIGEST) {
        const uint64_t digest = core_digest(c);
        memcpy(record->command + 8, &digest, sizeof digest);
    } else if (kind == KIND_LOGON) {
        const wire_logon logon = {.kind = kind,
                                  .session = byte(from),
                                  .account = record->key,
                                  .timestamp_ns = core_received_ns(c),
                                  .nonce = {byte(from)},
                                  .options = byte(from) & 1};
        memcpy(record->command, &logon, sizeof logon);
    } else if (kind == KIND_LOGOFF) {
        record->command[12] = 1 + byte(from) % 7;
    }
}

static wire_record make_record(const core *c, input *from, uint32_t waiting) {
    static const uint8_t kinds[] = {
        KIND_NEW_ORDER,   KIND_NEW_ORDER, KIND_NEW_ORDER, KIND_CANCEL,     KIND_REPLACE,        KIND_REPLACE,
        KIND_MASS_CANCEL, KIND_HALT,      KIND_DEPOSIT,   KIND_WITHDRAWAL, KIND_ACCOUNT_LIMITS, KIND_INSTRUMENT_LIMITS,
        KIND_INSTRUMENT,  KIND_ASSET,     KIND_ACCOUNT,   KIND_TEXT,       KIND_NONCE,          KIND_REFUSED,
        KIND_TERM,        KIND_LOGON,     KIND_LOGOFF,    KIND_CLOCK_TICK, KIND_DIGEST,         KIND_ORDER_TERMS,
        KIND_ORDER_TERMS, KIND_ORDER_LINK};
    wire_record record = {0};
    const uint8_t what = byte(from), how = byte(from);
    if (what >= 250) { /* as it comes */
        bytes(from, &record, sizeof record);
        return record;
    }
    const uint8_t kind = kinds[what % sizeof kinds];
    record.key = 1 + how % 5;
    record.received_ns = core_received_ns(c) + (how >> 4);
    set_header(&record, kind, next_sequence(c, record.key, waiting));
    switch (kind) {
    case KIND_NEW_ORDER: make_order(&record, from); break;
    case KIND_ORDER_TERMS: make_terms(&record, from); break;
    case KIND_ORDER_LINK: make_link(&record, c, from); break;
    case KIND_CANCEL: make_change(&record, c, from, false); break;
    case KIND_REPLACE: make_change(&record, c, from, true); break;
    case KIND_TERM:
    case KIND_LOGON:
    case KIND_LOGOFF:
    case KIND_CLOCK_TICK:
    case KIND_DIGEST: make_system(&record, c, from, kind); break;
    default: { /* a few small numbers at the front of the fields: few bytes, and often defined */
        bytes(from, record.command + 8, 1);
        bytes(from, record.command + 12, 1);
        bytes(from, record.command + 16, 1);
        bytes(from, record.command + 24, 2);
        if (how & 8) bytes(from, record.command + 8, COMMAND_BYTES - 8);
    }
    }
    return record;
}

/* ---- Applying ---------------------------------------------------------------------------------------------------- */

static wire_report events[EVENT_ROOM];

static void apply(core *c, const wire_record *records, uint32_t count) {
    const uint64_t sequence = core_sequence(c), digest = core_digest(c);
    core_events out = {.events = events, .room = EVENT_ROOM};
    core_status status = core_apply(c, records, count, &out);
    const bool taken = status == CORE_OK || status == CORE_MORE;
    for (uint32_t chunks = 0; status == CORE_MORE; chunks++) {
        CHECK(chunks < 1000);
        status = core_next(c, &out);
    }
    check(c);
    CHECK_EQUAL(core_sequence(c), sequence + (taken ? count : 0));
    if (!taken) CHECK_EQUAL(core_digest(c), digest);
    if (status == CORE_E_FULL) CHECK(core_full_pool(c)[0] != 0);
}

static uint8_t snapshot[SNAPSHOT_MAX];
static size_t snapshot_bytes;

static bool keep(void *self, const void *data, size_t size) {
    (void)self;
    if (snapshot_bytes + size > sizeof snapshot) return false;
    memcpy(snapshot + snapshot_bytes, data, size);
    snapshot_bytes += size;
    return true;
}

/* Save, load, compare; go on with the loaded one. Then load it with one byte spoiled, or cut. */
static core *round_trip(core *c, input *from) {
    const char *why = NULL;
    snapshot_bytes = 0;
    CHECK(core_save(c, keep, NULL));
    core *copy = open_core();
    const core_status loaded = core_load(copy, snapshot, snapshot_bytes, &why);
    if (loaded != CORE_OK) fprintf(stderr, "%s\n", why);
    CHECK_EQUAL(loaded, CORE_OK);
    CHECK_EQUAL(core_sequence(copy), core_sequence(c));
    CHECK_EQUAL(core_digest(copy), core_digest(c));
    check(copy);
    free(c);
    core *spoiled = open_core();
    const size_t at = ((size_t)byte(from) << 8 | byte(from)) % snapshot_bytes;
    const uint8_t flip = byte(from);
    if (flip == 0) CHECK(core_load(spoiled, snapshot, at, &why) == CORE_E_SNAPSHOT && why != NULL);
    snapshot[at] ^= flip;
    if (flip != 0 && core_load(spoiled, snapshot, snapshot_bytes, &why) == CORE_OK) check(spoiled);
    free(spoiled);
    return copy;
}

static core *step(core *c, input *from) {
    wire_record records[CORE_GROUP_MAX];
    if (byte(from) == 255) return round_trip(c, from);
    uint32_t count = 0, group = 0;
    while (group == 0 && count < CORE_GROUP_MAX) {
        records[count] = make_record(c, from, count);
        if (count > 0 && records[count].received_ns < records[count - 1].received_ns)
            records[count].received_ns = records[count - 1].received_ns;
        count++;
        group = core_group(records, count);
    }
    CHECK(group > 0 && group <= count);
    apply(c, records, group);
    return c;
}

/* ---- A market to begin with -------------------------------------------------------------------------------------- */

static void define(core *c, const char *text, const void *command) {
    wire_record records[2] = {{.key = 1}, {.key = 1}};
    uint32_t count = 0;
    const uint64_t first = next_sequence(c, 1, 0);
    if (text != NULL) {
        set_header(&records[0], KIND_TEXT, first);
        memcpy(records[0].command + 8, text, strlen(text));
        count = 1;
    }
    memcpy(records[count].command, command, COMMAND_BYTES);
    set_header(&records[count], ((const uint8_t *)command)[0], first + count);
    apply(c, records, count + 1);
}

static void define_market(core *c) {
    for (uint32_t i = 1; i <= 2; i++) define(c, i == 1 ? "A" : "B", &(wire_asset){.kind = KIND_ASSET, .asset = i});
    for (uint32_t i = 1; i <= 2; i++) {
        const wire_instrument instrument = {.kind = KIND_INSTRUMENT,
                                            .instrument = i,
                                            .base_asset = 1,
                                            .quote_asset = 2,
                                            .maker_fee_ppm = i == 1 ? -1000 : 2000,
                                            .taker_fee_ppm = 3000,
                                            .trading_state = TRADING_STATE_OPEN,
                                            .base_units_per_lot = 10,
                                            .quote_units_per_tick_lot = 3};
        define(c, i == 1 ? "A-B" : "A-B.2", &instrument);
    }
    for (uint32_t i = 1; i <= 4; i++) {
        define(c, NULL, &(wire_account){.kind = KIND_ACCOUNT, .account = i});
        for (uint32_t asset = 1; asset <= 2; asset++)
            define(c, NULL, &(wire_deposit){.kind = KIND_DEPOSIT, .account = i, .asset = asset, .amount_units = 5000});
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input from = {.at = data, .left = size};
    core *c = open_core();
    if (byte(&from) != 0) define_market(c);
    for (int steps = 0; from.left > 0 && steps < STEPS_MAX; steps++) c = step(c, &from);
    free(c);
    return 0;
}
