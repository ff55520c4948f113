/* What prefixes say of a new order (rules.md 1, 3, 13, 15): which terms are no order at all, which are refused, minimum
 * quantities, and cancel_first. */
#include <string.h>

#include "venue.h"

typedef wire_order_terms terms;

/* Which kinds of new order the malformed combinations are tried with. */
typedef enum base_order { GOOD_LIMIT, POST_ONLY, AT_ONCE, FILL_OR_KILL, MARKET, BY_QUOTE } base_order;

static wire_new_order order_of(base_order base) {
    wire_new_order o = venue_limit(1, 1, SIDE_BUY, 100, 5);
    switch (base) {
    case GOOD_LIMIT: break;
    case POST_ONLY: o.options = ORDER_OPTION_POST_ONLY; break;
    case AT_ONCE: o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL; break;
    case FILL_OR_KILL: o.time_in_force = TIME_IN_FORCE_FILL_OR_KILL; break;
    case MARKET:
        o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
        o.order_type = ORDER_TYPE_MARKET;
        break;
    case BY_QUOTE:
        o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
        o.order_type = ORDER_TYPE_MARKET_BY_QUOTE;
        break;
    }
    return o;
}

/* The state but for what every command changes: sequence, time, the key's client sequence and reports. */
typedef struct what_stays {
    int64_t free_units, locked_units, lots, open_buy, open_sell;
    uint32_t open_orders, unseen;
    core_instrument_info instrument;
} what_stays;

static what_stays stays(const venue *v) {
    what_stays w;
    memset(&w, 0, sizeof w);
    core_account_info a;
    core_order_info orders[8];
    (void)core_balance(v->c, 1, 2, &w.free_units, &w.locked_units);
    (void)core_position(v->c, 1, 1, &w.lots, &w.open_buy, &w.open_sell);
    CHECK(core_account(v->c, 1, &a) && core_instrument(v->c, 1, &w.instrument));
    w.open_orders = a.open_orders;
    w.unseen = core_unseen_orders(v->c, 1, SIDE_BUY, 0, orders, 8);
    return w;
}

static uint16_t code_of(venue *v, const terms *t, const wire_order_link *link, wire_new_order o) {
    const what_stays before = stays(v);
    venue_order_with(v, t, link, o);
    const uint16_t code = venue_code(v);
    if (code != CODE_NONE) {
        const what_stays behind = stays(v);
        CHECK(v->count == 1 && memcmp(&before, &behind, sizeof before) == 0);
    }
    return code;
}

/* ---- Malformed --------------------------------------------------------------------------------------------------- */

static void test_terms_that_contradict_each_other_or_their_order_are_malformed(void) {
    static const struct {
        base_order base;
        terms t;
    } malformed[] = {
        {GOOD_LIMIT, {.trigger = 4}},
        {GOOD_LIMIT, {.peg = 4}},
        {GOOD_LIMIT, {.options = 8}},
        {GOOD_LIMIT, {.display_lots = 1, .options = TERM_OPTION_HIDDEN}},
        {GOOD_LIMIT, {.display_lots = 1, .options = TERM_OPTION_ALL_OR_NONE}},
        {GOOD_LIMIT, {.display_lots = 1, .peg = PEG_MIDDLE}},
        {GOOD_LIMIT, {.display_lots = -1, .peg = PEG_MIDDLE}},
        {GOOD_LIMIT, {.options = TERM_OPTION_HIDDEN | TERM_OPTION_ALL_OR_NONE}},
        {GOOD_LIMIT, {.options = TERM_OPTION_HIDDEN, .peg = PEG_OWN_BEST}},
        {GOOD_LIMIT, {.options = TERM_OPTION_ALL_OR_NONE, .peg = PEG_OWN_BEST}},
        {AT_ONCE, {.display_lots = 1}},
        {AT_ONCE, {.options = TERM_OPTION_HIDDEN}},
        {FILL_OR_KILL, {.options = TERM_OPTION_ALL_OR_NONE}},
        {MARKET, {.peg = PEG_MIDDLE}},
        {MARKET, {.display_lots = 1}},
        {POST_ONLY, {.options = TERM_OPTION_ALL_OR_NONE}},
        {POST_ONLY, {.peg = PEG_OWN_BEST}},
        {GOOD_LIMIT, {.options = TERM_OPTION_ALL_OR_NONE, .minimum_lots = 1}},
        {GOOD_LIMIT, {.peg = PEG_OWN_BEST, .minimum_lots = 1}},
        {GOOD_LIMIT, {.options = TERM_OPTION_ALL_OR_NONE, .trigger = TRIGGER_STOP, .trigger_price_ticks = 110}},
        {GOOD_LIMIT, {.peg = PEG_MIDDLE, .trigger = TRIGGER_STOP, .trigger_price_ticks = 110}},
        {FILL_OR_KILL, {.minimum_lots = 1}},
        {POST_ONLY, {.minimum_lots = 1}},
        {POST_ONLY, {.minimum_lots = -1}},
        {GOOD_LIMIT, {.minimum_lots = 1, .trigger = TRIGGER_STOP, .trigger_price_ticks = 110}},
        {GOOD_LIMIT, {.expire_ns = UINT64_MAX, .options = TERM_OPTION_DAY}},
        {AT_ONCE, {.expire_ns = UINT64_MAX}},
        {MARKET, {.options = TERM_OPTION_DAY}},
        {GOOD_LIMIT, {.trigger_price_ticks = 110}},
        {GOOD_LIMIT, {.trigger_price_ticks = 110, .trigger = TRIGGER_TRAILING, .offset_ticks = 1}},
        {GOOD_LIMIT, {.offset_ticks = 1}},
        {GOOD_LIMIT, {.offset_ticks = -1, .display_lots = 1}},
        {GOOD_LIMIT, {.offset_ticks = 1, .trigger = TRIGGER_STOP, .trigger_price_ticks = 110}},
        {BY_QUOTE, {.minimum_lots = 1}},
        {BY_QUOTE, {.minimum_lots = 0}}, /* no terms at all go with it */
    };
    static venue v;
    venue_open(&v);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        terms t = malformed[i].t;
        t.kind = KIND_ORDER_TERMS;
        CHECK(code_of(&v, &t, NULL, order_of(malformed[i].base)) == CODE_MALFORMED);
    }
    terms zero = {.kind = KIND_ORDER_TERMS, .zero = {1}}, flags = {.kind = KIND_ORDER_TERMS, .flags = 1};
    CHECK(code_of(&v, &zero, NULL, order_of(GOOD_LIMIT)) == CODE_MALFORMED);
    CHECK(code_of(&v, &flags, NULL, order_of(GOOD_LIMIT)) == CODE_MALFORMED);
    venue_close(&v);
}

static void test_terms_that_say_nothing_change_nothing(void) {
    static venue v;
    core_options few = venue_options();
    few.extra_count_max = 1;
    venue_open_with(&v, few);
    const terms nothing = {.kind = KIND_ORDER_TERMS};
    for (uint64_t i = 1; i <= 3; i++) { /* and take no room */
        venue_order_with(&v, &nothing, NULL, venue_limit(1, i, SIDE_BUY, 100, 5));
        CHECK(venue_code(&v) == CODE_NONE);
    }
    venue_close(&v);
}

static void test_terms_and_links_before_anything_but_a_new_order_are_malformed(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 100, 5));
    const terms t = {.kind = KIND_ORDER_TERMS};
    const wire_order_link link = {.kind = KIND_ORDER_LINK, .order_id = v.ids[1], .action = LINK_ACTION_CANCEL_FIRST};
    const void *prefixes[2][1] = {{&t}, {&link}};
    wire_cancel cancel = {.kind = KIND_CANCEL, .account = 1, .instrument = 1, .order_id = v.ids[1]};
    wire_mass_cancel mass = {.kind = KIND_MASS_CANCEL, .account = 1};
    wire_account account = {.kind = KIND_ACCOUNT, .account = 5};
    wire_countdown_cancel countdown = {.kind = KIND_COUNTDOWN_CANCEL, .account = 1};
    void *const commands[] = {&cancel, &mass, &account, &countdown};
    for (size_t p = 0; p < 2; p++)
        for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
            CHECK(venue_try(&v, prefixes[p], 1, commands[i]) == CORE_OK);
            CHECK(venue_code(&v) == CODE_MALFORMED && v.count == 1);
        }
    venue_close(&v);
}

static void test_a_group_holds_one_prefix_of_each_kind_in_any_order(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 100, 5));
    const terms t = {.kind = KIND_ORDER_TERMS, .display_lots = 2};
    const wire_order_link link = {.kind = KIND_ORDER_LINK, .order_id = v.ids[1], .action = LINK_ACTION_CANCEL_FIRST};
    const wire_text text = {.kind = KIND_TEXT};
    const wire_nonce nonce = {.kind = KIND_NONCE, .nonce = {7}, .timestamp_ns = v.now_ns};
    const void *prefixes[4] = {&link, &nonce, &t, &text};
    wire_new_order o = venue_limit(1, 1, SIDE_BUY, 101, 5);
    CHECK(venue_try(&v, prefixes, 4, &o) == CORE_OK);
    EXPECT(&v, "cancelled 1 5 by_request done\n"
               "level3 0 remove 0@100\n"
               "book buy 0@100 of 0\n"
               "accepted 1 buy 5@101\n"
               "level3 1 add 2@101\n"
               "book buy 2@101 of 1\n");
    CHECK(v.ids[1] == core_sequence(v.c));
    CHECK(venue_try(&v, prefixes, 4, &o) == CORE_OK); /* the nonce is looked at first */
    CHECK(venue_code(&v) == CODE_NONCE_REPEATED && v.count == 1);
    wire_record twice[3] = {{.key = 1}, {.key = 1}, {.key = 1}};
    for (uint32_t i = 0; i < 3; i++) {
        memcpy(twice[i].command, i < 2 ? (const void *)&t : (const void *)&o, COMMAND_BYTES);
        ((wire_header *)twice[i].command)->client_sequence = v.client_sequence[1] + 1 + i;
    }
    CHECK(core_group(twice, 3) == 1 && core_group(twice + 1, 2) == 2 && core_group(twice, 1) == 0);
    venue_close(&v);
}

/* ---- Invalid ----------------------------------------------------------------------------------------------------- */

static void test_terms_out_of_range_are_invalid_behind_price_and_quantity(void) {
    static const terms invalid[] = {
        {.display_lots = -1},
        {.display_lots = 6},
        {.minimum_lots = -1},
        {.minimum_lots = 6},
        {.minimum_lots = INT64_MIN},
        {.display_lots = INT64_MAX},
        {.display_lots = 2, .minimum_lots = 6},
    };
    static venue v;
    venue_open(&v);
    for (size_t i = 0; i < sizeof invalid / sizeof *invalid; i++) {
        terms t = invalid[i];
        t.kind = KIND_ORDER_TERMS;
        wire_new_order o = order_of(GOOD_LIMIT);
        CHECK(code_of(&v, &t, NULL, o) == CODE_TERMS_INVALID);
        o.quantity_lots = 0;
        CHECK(code_of(&v, &t, NULL, o) == CODE_QUANTITY_INVALID);
        o.price_ticks = 0;
        CHECK(code_of(&v, &t, NULL, o) == CODE_PRICE_INVALID);
    }
    wire_instrument_limits limits = {.kind = KIND_INSTRUMENT_LIMITS, .instrument = 1, .quantity_lots_min = 10};
    venue_send(&v, &limits);
    terms t = {.kind = KIND_ORDER_TERMS, .display_lots = 6};
    CHECK(code_of(&v, &t, NULL, order_of(GOOD_LIMIT)) == CODE_TERMS_INVALID);
    t.display_lots = 5;
    CHECK(code_of(&v, &t, NULL, order_of(GOOD_LIMIT)) == CODE_QUANTITY_TOO_SMALL);
    venue_close(&v);
}

static void test_a_pegged_order_need_not_be_on_the_tick(void) {
    static venue v;
    venue_open(&v);
    wire_price_step step = {
        .kind = KIND_PRICE_STEP, .instrument = 1, .from_price_ticks = 0, .tick_multiple = 5, .lot_multiple = 1};
    venue_send(&v, &step);
    CHECK(venue_code(&v) == CODE_NONE);
    wire_new_order o = venue_limit(1, 1, SIDE_BUY, 101, 5);
    terms t = {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_ALL_OR_NONE};
    CHECK(code_of(&v, &t, NULL, o) == CODE_PRICE_NOT_ON_TICK);
    t = (terms){.kind = KIND_ORDER_TERMS, .peg = PEG_OWN_BEST};
    CHECK(code_of(&v, &t, NULL, o) == CODE_NONE);
    venue_close(&v);
}

static void test_extras_have_a_capacity_that_only_orders_with_terms_use(void) {
    static venue v;
    core_options few = venue_options();
    few.extra_count_max = 2;
    venue_open_with(&v, few);
    const terms t = {.kind = KIND_ORDER_TERMS, .display_lots = 1};
    for (uint64_t i = 1; i <= 2; i++) venue_order_with(&v, &t, NULL, venue_limit(1, i, SIDE_BUY, 100, 5));
    wire_new_order o = venue_limit(1, 3, SIDE_BUY, 100, 5);
    const void *prefixes[1] = {&t};
    const uint64_t digest = core_digest(v.c), sequence = core_sequence(v.c);
    CHECK(venue_try(&v, prefixes, 1, &o) == CORE_E_FULL && strcmp(core_full_pool(v.c), "extra_count_max") == 0);
    CHECK(core_digest(v.c) == digest && core_sequence(v.c) == sequence);
    venue_order(&v, o);
    CHECK(venue_code(&v) == CODE_NONE);
    venue_cancel(&v, 1, 1);
    o.client_order_id = 4;
    venue_order_with(&v, &t, NULL, o); /* room again */
    CHECK(venue_code(&v) == CODE_NONE);
    venue_order(&v, venue_limit(2, 5, SIDE_SELL, 100, 15)); /* filled orders give theirs back */
    venue_order_with(&v, &t, NULL, venue_limit(1, 6, SIDE_BUY, 100, 5));
    venue_order(&v, venue_limit(2, 7, SIDE_SELL, 100, 5));
    for (uint64_t i = 10; i < 20; i++) { /* takers, too */
        venue_order(&v, venue_limit(2, i, SIDE_SELL, 100, 5));
        venue_order_with(&v, &t, NULL, venue_limit(1, 20 + i, SIDE_BUY, 100, 5));
        CHECK(venue_code(&v) == CODE_NONE);
    }
    venue_close(&v);
}

/* ---- Minimum quantity -------------------------------------------------------------------------------------------- */

static void test_a_minimum_must_trade_at_once_or_nothing_happens(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 100, 2));
    venue_order(&v, venue_limit(1, 3, SIDE_SELL, 101, 2));
    terms t = {.kind = KIND_ORDER_TERMS, .minimum_lots = 3};
    wire_new_order o = venue_limit(1, 4, SIDE_BUY, 100, 5);
    CHECK(code_of(&v, &t, NULL, o) == CODE_MINIMUM_UNFILLABLE);
    o.price_ticks = 101;
    o.self_trade_prevention = SELF_TRADE_PREVENTION_CANCEL_TAKER;
    CHECK(code_of(&v, &t, NULL, o) == CODE_MINIMUM_UNFILLABLE); /* its own order ends the walk */
    o.self_trade_prevention = SELF_TRADE_PREVENTION_CANCEL_MAKER;
    CHECK(code_of(&v, &t, NULL, o) == CODE_MINIMUM_UNFILLABLE); /* and is passed over here */
    o.self_trade_prevention = SELF_TRADE_PREVENTION_NONE;
    CHECK(code_of(&v, &t, NULL, o) == CODE_NONE);
    EXPECT(&v, "accepted 4 buy 5@101\n"
               "trade 2@100\n"
               "filled 2 2@100 done\n"
               "filled 4 2@100\n"
               "level3 2 remove 0@100\n"
               "book sell 0@100 of 0\n"
               "trade 2@101\n"
               "filled 3 2@101 done\n"
               "filled 4 2@101\n"
               "level3 3 remove 0@101\n"
               "book sell 0@101 of 0\n"
               "level3 4 add 1@101\n" /* goes on as if it had none */
               "book buy 1@101 of 1\n");
    core_order_info info;
    CHECK(core_order(v.c, v.ids[4], &info) && info.term_options == 0 && info.display_lots == 0);
    venue_close(&v);
}

static void test_a_minimum_goes_with_every_order_that_takes(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(2, 2, SIDE_SELL, 100, 4));
    terms t = {.kind = KIND_ORDER_TERMS, .minimum_lots = 2};
    wire_new_order o = venue_limit(1, 3, SIDE_BUY, 100, 2);
    o.order_type = ORDER_TYPE_MARKET;
    o.time_in_force = TIME_IN_FORCE_IMMEDIATE_OR_CANCEL;
    CHECK(code_of(&v, &t, NULL, o) == CODE_NONE);
    t.display_lots = 1; /* an iceberg with a minimum */
    CHECK(code_of(&v, &t, NULL, venue_limit(1, 4, SIDE_BUY, 100, 5)) == CODE_NONE);
    core_order_info info;
    CHECK(core_order(v.c, v.ids[4], &info) && info.rest_lots == 3 && info.reserve_lots == 2);
    CHECK(code_of(&v, &t, NULL, venue_limit(1, 5, SIDE_BUY, 100, 5)) == CODE_MINIMUM_UNFILLABLE);
    venue_close(&v);
}

/* ---- cancel_first ------------------------------------------------------------------------------------------------ */

static wire_order_link first_cancel(const venue *v, uint64_t name) {
    return (wire_order_link){.kind = KIND_ORDER_LINK, .order_id = v->ids[name], .action = LINK_ACTION_CANCEL_FIRST};
}

static void test_cancel_first_makes_room_for_its_order(void) {
    static venue v;
    venue_open(&v);
    wire_account_limits limits = {.kind = KIND_ACCOUNT_LIMITS, .account = 1, .open_orders_max = 1};
    venue_send(&v, &limits);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 100, 5));
    const wire_order_link link = first_cancel(&v, 1);
    venue_order_with(&v, NULL, &link, venue_limit(1, 2, SIDE_SELL, 100, 5)); /* it would have met itself */
    EXPECT(&v, "cancelled 1 5 by_request done\n"
               "level3 1 remove 0@100\n"
               "book buy 0@100 of 0\n"
               "accepted 2 sell 5@100\n"
               "level3 2 add 5@100\n"
               "book sell 5@100 of 1\n");
    CHECK(v.events[0].reference == v.client_sequence[1] && v.events[v.count - 1].kind != EVENT_APPLIED);
    venue_close(&v);
}

static void test_what_cancel_first_cancelled_stays_cancelled(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 100, 5));
    const wire_order_link link = first_cancel(&v, 1);
    v.key = 2; /* another key's order: reference 0, and no answer of its own */
    wire_new_order poor = venue_limit(1, 2, SIDE_BUY, PRICE_TICKS_MAX, 1);
    venue_order_with(&v, NULL, &link, poor);
    EXPECT(&v, "cancelled 1 5 by_request done\n"
               "level3 1 remove 0@100\n"
               "book buy 0@100 of 0\n"
               "rejected 33\n");
    CHECK(v.events[0].key == 1 && v.events[0].reference == 0 && v.events[v.count - 1].key == 2);
    CHECK(venue_locked(&v, 1, 2) == 0);
    venue_close(&v);
}

static void test_a_link_names_one_open_order_of_the_account_and_instrument(void) {
    static venue v;
    venue_open(&v);
    venue_order(&v, venue_limit(1, 1, SIDE_BUY, 100, 5));
    const wire_new_order o = venue_limit(1, 3, SIDE_BUY, 100, 5);
    wire_order_link link = first_cancel(&v, 1);
    link.target_client_order_id = 1;
    CHECK(code_of(&v, NULL, &link, o) == CODE_MALFORMED); /* both */
    link.order_id = link.target_client_order_id = 0;
    CHECK(code_of(&v, NULL, &link, o) == CODE_MALFORMED); /* none */
    link = first_cancel(&v, 1);
    for (uint8_t action = 0; action < 4; action += 3) {
        link.action = action;
        CHECK(code_of(&v, NULL, &link, o) == CODE_MALFORMED);
    }
    link = first_cancel(&v, 1);
    link.zero[22] = 1;
    CHECK(code_of(&v, NULL, &link, o) == CODE_MALFORMED);
    link = first_cancel(&v, 1);
    link.order_id = 999999;
    CHECK(code_of(&v, NULL, &link, o) == CODE_UNKNOWN_ORDER);
    link.order_id = 0, link.target_client_order_id = 9;
    CHECK(code_of(&v, NULL, &link, o) == CODE_UNKNOWN_ORDER);
    link = first_cancel(&v, 1);
    wire_new_order other = venue_limit(2, 4, SIDE_BUY, 100, 5);
    CHECK(code_of(&v, NULL, &link, other) == CODE_UNKNOWN_ORDER); /* of another account */
    other.account = 7;
    CHECK(code_of(&v, NULL, &link, other) == CODE_UNKNOWN_ACCOUNT);
    other = o, other.instrument = 3;
    CHECK(code_of(&v, NULL, &link, other) == CODE_UNKNOWN_INSTRUMENT);
    wire_halt halt = {.kind = KIND_HALT, .scope = HALT_SCOPE_EVERYTHING, .action = HALT_ACTION_HALT};
    venue_send(&v, &halt);
    link = first_cancel(&v, 1);
    venue_order_with(&v, NULL, &link, o); /* halts do not keep it from cancelling */
    CHECK(v.events[0].kind == EVENT_CANCELLED && v.events[v.count - 1].code == CODE_EVERYTHING_HALTED);
    venue_close(&v);
}

static void test_cancel_first_reaches_orders_that_nobody_sees(void) {
    static venue v;
    venue_open(&v);
    const terms seen[] = {{.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_HIDDEN},
                          {.kind = KIND_ORDER_TERMS, .options = TERM_OPTION_ALL_OR_NONE},
                          {.kind = KIND_ORDER_TERMS, .peg = PEG_MIDDLE}};
    for (size_t i = 0; i < 3; i++) {
        venue_order_with(&v, &seen[i], NULL, venue_limit(1, 1, SIDE_BUY, 100, 5));
        const wire_order_link link = first_cancel(&v, 1);
        venue_order_with(&v, &seen[(i + 1) % 3], &link, venue_limit(1, 1, SIDE_BUY, 101, 5)); /* its number is free */
        EXPECT(&v, "cancelled 1 5 by_request done\n"
                   "accepted 1 buy 5@101\n");
        venue_cancel(&v, 1, 1);
    }
    venue_close(&v);
}

int main(void) {
    RUN(test_terms_that_contradict_each_other_or_their_order_are_malformed);
    RUN(test_terms_that_say_nothing_change_nothing);
    RUN(test_terms_and_links_before_anything_but_a_new_order_are_malformed);
    RUN(test_a_group_holds_one_prefix_of_each_kind_in_any_order);
    RUN(test_terms_out_of_range_are_invalid_behind_price_and_quantity);
    RUN(test_a_pegged_order_need_not_be_on_the_tick);
    RUN(test_extras_have_a_capacity_that_only_orders_with_terms_use);
    RUN(test_a_minimum_must_trade_at_once_or_nothing_happens);
    RUN(test_a_minimum_goes_with_every_order_that_takes);
    RUN(test_cancel_first_makes_room_for_its_order);
    RUN(test_what_cancel_first_cancelled_stays_cancelled);
    RUN(test_a_link_names_one_open_order_of_the_account_and_instrument);
    RUN(test_cancel_first_reaches_orders_that_nobody_sees);
    return 0;
}
