/* Snapshots that lie: every byte changed in turn and the checksum made right again. A snapshot believes nothing, so
 * each is refused, or is the state that it says; no number in it may lead anywhere. */
#include <string.h>
#include <sys/mman.h>

#include "venue.h"

typedef struct bytes {
    char at[1 << 16];
    size_t count;
} bytes;

static bool keep(void *self, const void *data, size_t count) {
    bytes *b = self;
    if (b->count + count > sizeof b->at) return false;
    memcpy(b->at + b->count, data, count);
    b->count += count;
    return true;
}

static uint64_t mixed(uint64_t x) {
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9ull;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebull;
    return x ^ (x >> 31);
}

static void sign(bytes *b) {
    uint64_t sum = 0, word;
    for (size_t i = 0; i + 16 <= b->count; i += 8) {
        memcpy(&word, b->at + i, 8);
        sum = mixed(sum ^ word) + 1;
    }
    memcpy(b->at + b->count - 8, &sum, 8);
}

/* A core small enough to be laid out some ten thousand times. */
static core_options tiny(void) {
    return (core_options){.asset_count_max = 4,
                          .instrument_count_max = 4,
                          .account_count_max = 5,
                          .key_count_max = 4,
                          .order_count_max = 32,
                          .extra_count_max = 32,
                          .level_count_max = 32,
                          .ladder_count_max = 320,
                          .balance_count_max = 16,
                          .position_count_max = 16,
                          .nonce_count_max = 4,
                          .reports_kept = 0,
                          .event_mask = CORE_EVENTS_ALL,
                          .nonce_window_ns = 1000};
}

/* One order of each kind on each side. */
static void fill_book(venue *v) {
    const wire_order_terms kinds[] = {{.kind = KIND_ORDER_TERMS},
                                      {.kind = KIND_ORDER_TERMS, .display_lots = 2},
                                      {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_HIDDEN},
                                      {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_ALL_OR_NONE},
                                      {.kind = KIND_ORDER_TERMS, .peg = PEG_OWN_BEST, .offset_ticks = -5}};
    uint64_t name = 1;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++, name += 2) {
        venue_order_with(v, &kinds[i], NULL, venue_limit(1, name, SIDE_BUY, 100, 5));
        venue_order_with(v, &kinds[i], NULL, venue_limit(2, name + 1, SIDE_SELL, 200 + (int64_t)i, 5));
    }
}

/* Orders that wait, of each trigger; two pairs; two that expire; two good for the day. */
static void fill_queues(venue *v) {
    const wire_order_terms kinds[] = {
        {.kind = KIND_ORDER_TERMS, .trigger = TRIGGER_STOP, .trigger_price_ticks = 160, .expire_ns = v->now_ns + 9},
        {.kind = KIND_ORDER_TERMS,
         .trigger = TRIGGER_TAKE_PROFIT,
         .trigger_price_ticks = 140,
         .options = TERM_OPTION_DAY},
        {.kind = KIND_ORDER_TERMS, .trigger = TRIGGER_TRAILING, .offset_ticks = 10},
        {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_DAY},
        {.kind = KIND_ORDER_TERMS, .expire_ns = v->now_ns + 8}};
    wire_instrument_limits limits = {.kind = KIND_INSTRUMENT_LIMITS, .instrument = 1, .reference_price_ticks = 150};
    venue_send(v, &limits);
    venue_order(v, venue_limit(4, 100, SIDE_BUY, 90, 5));
    const wire_order_link links[] = {venue_pair(100), venue_pair(102)};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) /* the positions of account 4 come before those of 3 */
        venue_order_with(v, &kinds[i],
                         i == 0   ? &links[0]
                         : i == 2 ? &links[1]
                                  : NULL,
                         venue_limit(i == 3 ? 3 : 4, 101 + i, SIDE_BUY, 95, 5));
    CHECK(venue_code(v) == CODE_NONE);
}

/* Zeroed pages that cost nothing until they are used: most of a core is room for trades. */
static core_status load(const bytes *b, const core_options *options) {
    core *c;
    const char *why = NULL;
    const size_t size = core_bytes(options);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(memory != MAP_FAILED && core_open(memory, size, options, &c) == CORE_OK);
    const core_status status = core_load(c, b->at, b->count, &why);
    CHECK((status == CORE_OK) == (why == NULL));
    if (status == CORE_OK) CHECK(core_check(c) == NULL);
    CHECK(munmap(memory, size) == 0);
    return status;
}

static void lie_about(const venue *v, const core_options *options) {
    static bytes saved, changed;
    static const uint8_t flips[] = {0x01, 0x02, 0x80, 0xff};
    saved.count = 0;
    CHECK(core_save(v->c, keep, &saved));
    CHECK(load(&saved, options) == CORE_OK);
    uint32_t refused = 0, tried = 0;
    for (size_t i = 0; i + 8 < saved.count; i++)
        for (size_t k = 0; k < sizeof flips; k++, tried++) {
            changed = saved;
            changed.at[i] ^= (char)flips[k];
            sign(&changed);
            refused += load(&changed, options) != CORE_OK;
        }
    CHECK(refused >= tried / 2); /* what the digest does not cover: names, unused bytes */
}

static void test_a_snapshot_that_lies_is_refused_and_does_no_harm(void) {
    static venue v;
    const core_options options = tiny();
    venue_open_with(&v, options);
    fill_book(&v);
    lie_about(&v, &options);
    venue_close(&v);
}

static void test_a_snapshot_of_waiting_and_linked_orders_that_lies_is_refused_and_does_no_harm(void) {
    static venue v;
    const core_options options = tiny();
    venue_open_with(&v, options);
    fill_queues(&v);
    lie_about(&v, &options);
    venue_close(&v);
}

static void test_a_snapshot_of_an_auction_that_lies_is_refused_and_does_no_harm(void) {
    static venue v;
    const core_options options = tiny();
    venue_open_with(&v, options);
    wire_circuit_breaker breaker = {
        .kind = KIND_CIRCUIT_BREAKER, .instrument = 1, .band_ppm = 1, .band_ms = 2, .level3_ppm = 3, .level3_ms = 4};
    venue_send(&v, &breaker);
    wire_instrument_state state = {.kind = KIND_INSTRUMENT_STATE,
                                   .instrument = 1,
                                   .trading_state = TRADING_STATE_AUCTION,
                                   .auction_ends_ns = v.now_ns + 1000,
                                   .static_price_ticks = 150};
    venue_send(&v, &state);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 200, 5));
    venue_tick(&v, v.now_ns + 1);
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 100, 5)); /* crossed, and changed since its checksum */
    CHECK(venue_code(&v) == CODE_NONE);
    lie_about(&v, &options);
    venue_close(&v);
}

static void test_a_snapshot_of_rates_floors_and_trades_that_lies_is_refused_and_does_no_harm(void) {
    static venue v;
    const core_options options = tiny();
    venue_open_with(&v, options);
    for (uint8_t tier = 1; tier <= 2; tier++) {
        wire_fee_tier t = {
            .kind = KIND_FEE_TIER, .instrument = 1, .tier = tier, .maker_fee_ppm = -100, .taker_fee_ppm = 20000};
        venue_send(&v, &t);
        wire_price_step s = {.kind = KIND_PRICE_STEP,
                             .instrument = 1,
                             .step = tier - 1,
                             .from_price_ticks = 100 * tier,
                             .tick_multiple = 5,
                             .lot_multiple = 1};
        venue_send(&v, &s);
    }
    wire_account a = {.kind = KIND_ACCOUNT, .account = 1, .fee_tier = 2};
    venue_send(&v, &a);
    wire_balance_floor f = {.kind = KIND_BALANCE_FLOOR, .account = 2, .asset = 1, .floor_units = -1000};
    venue_send(&v, &f);
    for (uint64_t number = 1; number <= 3; number++) {
        venue_order(&v, venue_limit(2, 2 * number, SIDE_SELL, 200, (1ll << 29) - 1));
        venue_order(&v, venue_limit(1, 2 * number + 1, SIDE_BUY, 200, 3));
        CHECK(venue_code(&v) == CODE_NONE);
        venue_cancel(&v, 2, 2 * number);
    }
    wire_trade_bust bust = {.kind = KIND_TRADE_BUST, .instrument = 1, .trade_id = 2};
    venue_send(&v, &bust);
    CHECK(venue_code(&v) == CODE_NONE);
    lie_about(&v, &options);
    venue_close(&v);
}

static void test_a_snapshot_of_more_orders_with_terms_than_there_is_room_for_is_refused(void) {
    static venue v;
    static bytes saved;
    core_options options = tiny();
    venue_open_with(&v, options);
    fill_book(&v);
    saved.count = 0;
    CHECK(core_save(v.c, keep, &saved));
    options.extra_count_max = 7;
    CHECK(load(&saved, &options) == CORE_E_SNAPSHOT);
    options.extra_count_max = 8;
    CHECK(load(&saved, &options) == CORE_OK);
    venue_close(&v);
}

int main(void) {
    RUN(test_a_snapshot_that_lies_is_refused_and_does_no_harm);
    RUN(test_a_snapshot_of_waiting_and_linked_orders_that_lies_is_refused_and_does_no_harm);
    RUN(test_a_snapshot_of_an_auction_that_lies_is_refused_and_does_no_harm);
    RUN(test_a_snapshot_of_rates_floors_and_trades_that_lies_is_refused_and_does_no_harm);
    RUN(test_a_snapshot_of_more_orders_with_terms_than_there_is_room_for_is_refused);
    return 0;
}
