/* What a clock tick tells of a book that has changed (rules.md 16.4 and 21). */
#include "venue.h"

static const wire_report *event_of(const venue *v, uint8_t kind, uint32_t which) {
    for (uint32_t i = 0; i < v->count; i++)
        if (v->events[i].kind == kind && which-- == 0) return &v->events[i];
    return NULL;
}

/* CRC-32 as its definition has it: a bit at a time. */
static uint32_t crc_of(const uint8_t *bytes, size_t count) {
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* What the page says of the book that the core shows. */
static uint32_t crc_of_book(const venue *v, uint32_t instrument, uint32_t counts[2]) {
    uint8_t bytes[2 * CHECKSUM_LEVEL_COUNT * 16];
    size_t size = 0;
    for (uint8_t side = SIDE_BUY; side <= SIDE_SELL; side++) {
        core_level_info levels[CHECKSUM_LEVEL_COUNT];
        counts[side - 1] = core_levels(v->c, instrument, side, levels, CHECKSUM_LEVEL_COUNT);
        for (uint32_t l = 0; l < counts[side - 1]; l++)
            for (int word = 0; word < 2; word++)
                for (int byte = 0; byte < 8; byte++)
                    bytes[size++] =
                        (uint8_t)((uint64_t)(word ? levels[l].quantity_lots : levels[l].price_ticks) >> (8 * byte));
    }
    return crc_of(bytes, size);
}

static void expect_checksum(venue *v, uint32_t instrument, uint32_t bids, uint32_t asks) {
    uint32_t counts[2];
    core_instrument_info i;
    const wire_report *e = event_of(v, EVENT_BOOK_CHECKSUM, 0);
    CHECK(e != NULL && core_instrument(v->c, instrument, &i));
    CHECK(e->amount_units == crc_of_book(v, instrument, counts) && e->instrument == instrument);
    CHECK(e->quantity_lots == bids && e->remaining_lots == asks && counts[0] == bids && counts[1] == asks);
    CHECK(e->reference == i.book_update_id && e->key == 0 && e->flags == 0 && e->price_ticks == 0);
}

static void tick(venue *v) { venue_tick(v, v->now_ns + 1000); }

static void test_the_reference_implementation_is_the_one_of_the_world(void) {
    CHECK(crc_of((const uint8_t *)"123456789", 9) == 0xcbf43926);
}

static void test_a_tick_tells_the_checksum_of_a_book_that_has_changed_once(void) {
    static venue v;
    venue_open(&v);
    tick(&v);
    CHECK(v.count == 0);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 100, 5));
    tick(&v);
    CHECK(v.count == 1);
    expect_checksum(&v, 1, 1, 0);
    tick(&v);
    CHECK(v.count == 0);
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 300, 7));
    tick(&v);
    expect_checksum(&v, 1, 1, 1);
    venue_cancel(&v, 1, 1);
    venue_cancel(&v, 2, 2);
    tick(&v);
    expect_checksum(&v, 1, 0, 0); /* of nothing */
    CHECK(event_of(&v, EVENT_BOOK_CHECKSUM, 0)->amount_units == 0);
    venue_close(&v);
}

static void test_only_the_best_levels_are_in_it_and_all_that_is_displayed_of_them(void) {
    static venue v;
    venue_open(&v);
    const wire_order_terms iceberg = {.kind = KIND_ORDER_TERMS, .display_lots = 2},
                           hidden = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_HIDDEN};
    for (uint32_t n = 0; n < 13; n++) {
        venue_order(&v, venue_limit(1, 1 + n, SIDE_BUY, 1000 - 7 * n, 1 + n));
        venue_order(&v, venue_limit(2, 101 + n, SIDE_SELL, (1ll << 20) + (1ll << n), 3));
    }
    venue_order_with(&v, &iceberg, NULL, venue_limit(1, 200, SIDE_BUY, 1000, 50));
    venue_order_with(&v, &hidden, NULL, venue_limit(1, 201, SIDE_BUY, 1001, 50));
    tick(&v);
    CHECK(v.count == 1);
    expect_checksum(&v, 1, 10, 10);
    const int64_t before = v.events[0].amount_units;
    venue_cancel(&v, 1, 13); /* beyond the tenth */
    tick(&v);
    expect_checksum(&v, 1, 10, 10);
    CHECK(v.events[0].amount_units == before);
    venue_cancel(&v, 1, 201); /* hidden: the book has not changed */
    tick(&v);
    CHECK(v.count == 0);
    venue_close(&v);
}

static void test_books_come_by_number_and_in_an_auction_with_what_it_would_give(void) {
    static venue v;
    core_options options = venue_options();
    options.instrument_count_max = 5000;
    venue_open_with(&v, options);
    static const uint32_t numbers[] = {4999, 4160, 64, 63, 4095, 4096};
    for (uint32_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        wire_instrument o = {.kind = KIND_INSTRUMENT,
                             .instrument = numbers[i],
                             .base_asset = 1,
                             .quote_asset = 2,
                             .trading_state = numbers[i] % 2 ? TRADING_STATE_OPEN : TRADING_STATE_PRE_OPEN,
                             .base_units_per_lot = 1,
                             .quote_units_per_tick_lot = 1};
        venue_send_named(&v, "X", &o);
        wire_new_order order = venue_limit(1, 1 + i, SIDE_BUY, 10, 1);
        order.instrument = numbers[i];
        venue_order(&v, order);
    }
    tick(&v);
    static const uint32_t sorted[] = {63, 64, 4095, 4096, 4160, 4999};
    uint32_t at = 0;
    for (uint32_t i = 0; i < 6; i++) {
        if (sorted[i] % 2 == 0) {
            CHECK(v.events[at].kind == EVENT_INDICATIVE && v.events[at].instrument == sorted[i]);
            at++;
        }
        CHECK(v.events[at].kind == EVENT_BOOK_CHECKSUM && v.events[at].instrument == sorted[i]);
        at++;
    }
    CHECK(at == v.count);
    venue_close(&v);
}

static void test_many_books_go_on_in_the_next_chunk(void) {
    static venue v;
    core_options options = venue_options();
    options.instrument_count_max = 301;
    options.position_count_max = 400;
    venue_open_with(&v, options);
    for (uint32_t n = 2; n <= 300; n++) {
        wire_instrument o = {.kind = KIND_INSTRUMENT,
                             .instrument = n,
                             .base_asset = 1,
                             .quote_asset = 2,
                             .trading_state = TRADING_STATE_AUCTION,
                             .base_units_per_lot = 1,
                             .quote_units_per_tick_lot = 1};
        venue_send_named(&v, "X", &o);
        wire_new_order order = venue_limit(1, 1 + n, SIDE_BUY, 10, 1);
        order.instrument = n;
        venue_order(&v, order);
    }
    tick(&v);
    CHECK(v.count == 2 * 299);
    venue_close(&v);
}

int main(void) {
    RUN(test_the_reference_implementation_is_the_one_of_the_world);
    RUN(test_a_tick_tells_the_checksum_of_a_book_that_has_changed_once);
    RUN(test_only_the_best_levels_are_in_it_and_all_that_is_displayed_of_them);
    RUN(test_books_come_by_number_and_in_an_auction_with_what_it_would_give);
    RUN(test_many_books_go_on_in_the_next_chunk);
    return 0;
}
