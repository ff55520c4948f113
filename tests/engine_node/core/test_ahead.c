/* Looking ahead changes nothing: a core that looks ahead, also over records that never come, makes the same events and
 * the same state as one that does not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "venue.h"

enum { RECORDS = 40000, ACCOUNTS = 3, IDS = 48, PRICES = 90, ROOM = 512 };

static uint64_t seed = 20261121;

static uint64_t below(uint64_t bound) {
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * 0x2545f4914f6cdd1dull >> 33) % bound;
}

/* Few ids, accounts and prices, so that slots, ids and levels come back all the time. */
static void random_command(uint8_t command[COMMAND_BYTES], uint64_t sequence) {
    const uint32_t account = 1 + (uint32_t)below(ACCOUNTS);
    const uint64_t id = 1 + below(IDS), named = below(2) == 0 ? 0 : sequence - 1 - below(IDS);
    const int64_t price_ticks = 1000 + (int64_t)below(PRICES), lots = 1 + (int64_t)below(9);
    const uint64_t draw = below(100);
    if (draw < 50) {
        wire_new_order o = venue_limit(account, below(4) == 0 ? 0 : id, 1 + (uint8_t)below(2), price_ticks, lots);
        o.time_in_force = draw < 5 ? TIME_IN_FORCE_IMMEDIATE_OR_CANCEL : TIME_IN_FORCE_GOOD_TILL_CANCELLED;
        memcpy(command, &o, COMMAND_BYTES);
    } else if (draw < 85) {
        const wire_cancel o = {.kind = KIND_CANCEL,
                               .account = account,
                               .instrument = 1,
                               .order_id = named,
                               .target_client_order_id = named == 0 ? id : 0};
        memcpy(command, &o, COMMAND_BYTES);
    } else if (draw < 99) {
        const wire_replace o = {.kind = KIND_REPLACE,
                                .account = account,
                                .instrument = 1,
                                .order_id = named,
                                .price_ticks = price_ticks,
                                .quantity_lots = lots,
                                .target_client_order_id = named == 0 ? id : 0};
        memcpy(command, &o, COMMAND_BYTES);
    } else {
        const wire_mass_cancel o = {.kind = KIND_MASS_CANCEL, .account = account};
        memcpy(command, &o, COMMAND_BYTES);
    }
}

static wire_record *random_records(const venue *v) {
    wire_record *records = calloc(RECORDS, sizeof *records);
    CHECK(records != NULL);
    for (uint32_t i = 0; i < RECORDS; i++) {
        wire_header header;
        random_command(records[i].command, core_sequence(v->c) + 1 + i);
        memcpy(&header, records[i].command, sizeof header);
        header.client_sequence = v->client_sequence[1] + 1 + i;
        memcpy(records[i].command, &header, sizeof header);
        records[i].key = 1;
        records[i].received_ns = core_received_ns(v->c) + i;
    }
    return records;
}

static void looking_ahead_changes_nothing(void) {
    static venue v;
    static wire_report events[2][ROOM];
    venue_open(&v);
    wire_record *records = random_records(&v);
    for (uint32_t i = 0; i < RECORDS; i++) {
        /* mostly what comes; sometimes what never comes there; now and then nothing */
        const uint32_t from = below(50) == 0 ? (uint32_t)below(RECORDS) : i;
        if (below(50) != 0) core_look_ahead(v.c, &records[from], RECORDS - from);
        core_events out[2] = {{.events = events[0], .room = ROOM}, {.events = events[1], .room = ROOM}};
        CHECK(core_apply(v.c, &records[i], 1, &out[0]) == CORE_OK);
        CHECK(core_apply(v.shadow, &records[i], 1, &out[1]) == CORE_OK);
        CHECK(out[0].count == out[1].count && out[0].reports == out[1].reports);
        CHECK(memcmp(events[0], events[1], out[0].count * sizeof(wire_report)) == 0);
        CHECK(core_digest(v.c) == core_digest(v.shadow));
        if (i % 1000 == 0) CHECK(core_check(v.c) == NULL);
    }
    free(records);
    venue_close(&v);
}

/* The cancel's order is found ahead and then trades away, replaced into a taker, before the cancel comes. */
static void an_order_found_ahead_and_gone_since_is_not_found(void) {
    enum { REPLACE = 12, CANCEL = 20, COUNT = 24 };
    static venue v;
    static wire_report events[ROOM];
    venue_open(&v);
    venue_order(&v, venue_limit(1, 7, SIDE_BUY, 100, 5));
    venue_order(&v, venue_limit(2, 8, SIDE_SELL, 101, 5));
    const wire_replace replace = {.kind = KIND_REPLACE,
                                  .account = 1,
                                  .instrument = 1,
                                  .order_id = v.ids[7],
                                  .price_ticks = 101,
                                  .quantity_lots = 5};
    const wire_cancel cancel = {.kind = KIND_CANCEL, .account = 1, .instrument = 1, .target_client_order_id = 7},
                      nothing = {.kind = KIND_CANCEL, .account = 1, .instrument = 1, .target_client_order_id = 9};
    wire_record records[COUNT] = {0};
    for (uint32_t i = 0; i < COUNT; i++) {
        memcpy(records[i].command,
               i == REPLACE  ? (const void *)&replace
               : i == CANCEL ? &cancel
                             : &nothing,
               COMMAND_BYTES);
        ((wire_header *)records[i].command)->client_sequence = v.client_sequence[1] + 1 + i;
        records[i].key = 1;
        records[i].received_ns = v.now_ns;
    }
    for (uint32_t i = 0; i < COUNT; i++) {
        core_events out = {.events = events, .room = ROOM};
        core_look_ahead(v.c, &records[i], COUNT - i);
        CHECK(core_apply(v.c, &records[i], 1, &out) == CORE_OK);
        if (i == REPLACE) CHECK(events[out.count - 4].kind == EVENT_FILLED);
        else CHECK(events[0].kind == EVENT_REJECTED && events[0].code == CODE_UNKNOWN_ORDER);
        CHECK(core_check(v.c) == NULL);
    }
    venue_close(&v);
}

int main(void) {
    RUN(looking_ahead_changes_nothing);
    RUN(an_order_found_ahead_and_gone_since_is_not_found);
    return 0;
}
