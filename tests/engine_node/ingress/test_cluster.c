/* Level cluster: what leaves waits for the publisher; with the publisher away orders are refused clearly, cancels are
 * taken, and nothing hangs. */
#include "support/check.h"
#include "support/ingress_rig.h"

#define KEPT 256
#define PRESS 64 /* of them may wait before orders do */

static rig r;
static client c;
static wire_report got[8192];

static void begin(uint64_t unshipped_records_max) {
    rig_make(&r, 1);
    r.options.level = JOURNAL_CLUSTER;
    r.options.core.reports_kept = KEPT;
    rig_start(&r);
    rig_define_market(&r);
    rig_settle(&r);
    rig_crash(&r);
    r.options.unshipped_records_max = unshipped_records_max;
    rig_start(&r);
    rig_settle(&r);
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
    r.publisher_away = true;
}

static void send_order(client *who, int64_t price) {
    const wire_new_order order = client_order(who, who->key, SIDE_BUY, price, 5);
    client_send(who, &order);
}

static uint64_t recorded(void) { return core_sequence(ingress_core(r.in)); }

static void check_refused(wire_report message, uint16_t code, uint64_t client_sequence) {
    CHECK_EQUAL(message.kind, MESSAGE_REFUSED);
    CHECK_EQUAL(message.code, code);
    CHECK_EQUAL(message.reference, client_sequence);
}

/* ---- Held back --------------------------------------------------------------------------------------------------- */

static void test_reports_and_pongs_wait_until_the_publisher_has_shipped_their_records(void) {
    begin(1000);
    for (int i = 0; i < 5; i++) send_order(&c, 100);
    const wire_ping ping = client_ping(&c, 7);
    client_send(&c, &ping);
    rig_settle(&r); /* on disk, and not shipped */
    ingress_on_timer(r.in);
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    rig_ship(&r, recorded() - 2);
    rig_settle(&r);
    CHECK_EQUAL(client_take(&c, got, 10), 3);
    rig_ship(&r, recorded());
    rig_settle(&r);
    CHECK_EQUAL(client_take(&c, got, 10), 3);
    CHECK_EQUAL(got[1].kind, EVENT_ACCEPTED);
    CHECK_EQUAL(got[2].kind, MESSAGE_PONG);
    CHECK_EQUAL(got[2].order_id, 5);
    rig_end(&r);
}

static void test_a_logon_answer_waits_too_and_the_client_is_not_late(void) {
    begin(1000);
    send_order(&c, 100);
    client second;
    CHECK(client_connect(&second, &r, 2, rig_address(2)));
    client_request(&second, 0, 0);
    CHECK(!client_send_request(&second));
    rig_wait(&r, 2 * r.options.idle_ms * 1000000ull);
    CHECK_EQUAL(rig_closed_code(&r, second.socket), 0xffff);
    rig_ship(&r, UINT64_MAX);
    rig_settle(&r);
    rig_ship(&r, UINT64_MAX);
    rig_settle(&r);
    wire_logon_answer answer;
    CHECK_EQUAL(host_sim_peer_take(r.sim, second.socket, &answer, sizeof answer), sizeof answer);
    CHECK_EQUAL(answer.last_client_sequence, 1);
    rig_end(&r);
}

static void test_a_probe_tells_of_no_record_and_is_answered_while_the_publisher_is_away(void) {
    begin(1000);
    send_order(&c, 100);
    client trial;
    CHECK(client_connect(&trial, &r, 2, rig_address(2)));
    client_request(&trial, RESUME_PROBE, 0);
    CHECK(client_send_request(&trial));
    CHECK_EQUAL(rig_closed_code(&r, trial.socket), CODE_NONE);
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    rig_end(&r);
}

static void test_what_a_crash_found_unshipped_is_kept_and_told_once_it_is_shipped(void) {
    begin(1000);
    for (int i = 0; i < 3; i++) send_order(&c, 100);
    const uint64_t before = recorded();
    const uint64_t shipped = rig_ship(&r, 0);
    rig_crash(&r);
    rig_start(&r);
    CHECK_EQUAL(r.found.journal.last_sequence, before);
    CHECK_EQUAL(r.found.journal.shipped_sequence, shipped);
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    client_request(&c, 0, 0);
    CHECK(!client_send_request(&c));
    r.publisher_away = false;
    client_logon(&c, &r, 2, 0, 0);
    rig_settle(&r);
    CHECK_EQUAL(client_take(&c, got, 10), 4);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQUAL(got[i].kind, EVENT_ACCEPTED);
        CHECK_EQUAL(got[i].report_number, 1 + i);
    }
    CHECK_EQUAL(got[3].kind, MESSAGE_PONG);
    rig_end(&r);
}

static void test_a_stop_without_a_publisher_ends_and_tells_nothing_that_was_not_shipped(void) {
    begin(1000);
    send_order(&c, 100);
    ingress_begin_stop(r.in);
    CHECK_EQUAL(ingress_finish(r.in, &r.error), INGRESS_OK);
    CHECK_EQUAL(ingress_released(r.in), rig_ship(&r, 0));
    CHECK(ingress_released(r.in) < recorded());
    CHECK_EQUAL(host_sim_peer_take(r.sim, c.socket, got, sizeof got), REPORT_BYTES);
    CHECK_EQUAL(got[0].kind, MESSAGE_SESSION_ENDED);
    CHECK_EQUAL(got[0].code, CODE_SERVER_STOPPING);
    rig_end(&r);
}

/* ---- Refused ----------------------------------------------------------------------------------------------------- */

static void test_beyond_the_bound_orders_are_refused_and_the_refusal_does_not_wait(void) {
    begin(20);
    const uint64_t from = recorded();
    while (recorded() - rig_ship(&r, 0) <= 20) send_order(&c, 100);
    CHECK_EQUAL(recorded() - rig_ship(&r, 0), 21);
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    const uint64_t first = c.sequence + 1;
    for (int i = 0; i < 3; i++) send_order(&c, 100);
    CHECK_EQUAL(client_take(&c, got, 10), 3);
    check_refused(got[0], CODE_CLUSTER_BEHIND, first);
    check_refused(got[1], CODE_EARLIER_REFUSED, first + 1);
    check_refused(got[2], CODE_EARLIER_REFUSED, first + 2);
    CHECK_EQUAL(recorded() - rig_ship(&r, 0), 21);
    CHECK_EQUAL(rig_counters(&r)->refused_cluster_behind, 1);
    ingress_on_timer(r.in);
    CHECK_EQUAL(rig_counters(&r)->unshipped_records, 21);

    r.publisher_away = false;
    c.sequence = first - 1; /* the same numbers come again */
    rig_settle(&r);
    const uint32_t waited = (uint32_t)(recorded() - from);
    CHECK_EQUAL(client_take(&c, got, 100), waited);
    send_order(&c, 100);
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    rig_end(&r);
}

static void test_cancels_and_halts_are_taken_up_to_twice_the_bound(void) {
    begin(20);
    client admin;
    r.publisher_away = false;
    client_logon(&admin, &r, 1, RESUME_NEW_ONLY, 0);
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&admin).kind, MESSAGE_PONG);
    r.publisher_away = true;
    while (recorded() - rig_ship(&r, 0) <= 20) send_order(&c, 100);
    const wire_mass_cancel mass = {.kind = KIND_MASS_CANCEL, .client_sequence = ++c.sequence, .account = 2};
    client_send(&c, &mass);
    const wire_countdown_cancel countdown = {
        .kind = KIND_COUNTDOWN_CANCEL, .client_sequence = ++c.sequence, .account = 2};
    client_send(&c, &countdown);
    const wire_halt halt = {.kind = KIND_HALT,
                            .client_sequence = ++admin.sequence,
                            .scope = HALT_SCOPE_EVERYTHING,
                            .action = HALT_ACTION_HALT};
    client_send(&admin, &halt);
    CHECK_EQUAL(client_take(&c, got, 10) + client_take(&admin, got, 10), 0);
    CHECK_EQUAL(recorded() - rig_ship(&r, 0), 24);
    core_account_info info;
    CHECK(core_account(ingress_core(r.in), 2, &info));
    CHECK_EQUAL(info.open_orders, 0);
    for (int i = 0; i < 30; i++) {
        const wire_cancel cancel = {
            .kind = KIND_CANCEL, .client_sequence = ++c.sequence, .account = 2, .instrument = 1, .order_id = 1};
        client_send(&c, &cancel);
    }
    CHECK_EQUAL(recorded() - rig_ship(&r, 0), 41);
    CHECK_EQUAL(client_take(&c, got, 100), 13);
    CHECK_EQUAL(got[0].code, CODE_CLUSTER_BEHIND);
    CHECK_EQUAL(got[12].code, CODE_EARLIER_REFUSED);
    rig_end(&r);
}

static void test_a_first_frame_beyond_twice_the_bound_is_refused_before_the_session_begins(void) {
    begin(5);
    client other;
    CHECK(client_connect(&other, &r, 3, rig_address(3)));
    client_request(&other, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&other)); /* all is shipped still */
    for (int i = 0; i < 5 + 1; i++) send_order(&c, 100);
    for (int i = 0; i < 5; i++) {
        const wire_cancel cancel = {
            .kind = KIND_CANCEL, .client_sequence = ++c.sequence, .account = 2, .instrument = 1, .order_id = 1};
        client_send(&c, &cancel);
    }
    const uint64_t before = recorded();
    const wire_ping ping = client_ping(&other, 1);
    client_send(&other, &ping);
    CHECK_EQUAL(recorded(), before);
    CHECK_EQUAL(rig_counters(&r)->refused_cluster_behind, 1);
    r.publisher_away = false;
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&other).code, CODE_CLUSTER_BEHIND);
    client_send(&other, &ping);
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&other).kind, MESSAGE_PONG);
    rig_end(&r);
}

/* A session whose kept reports are half taken by what waits: for a moment reading waits, as it does for a disk; when
 * nothing moves, orders are refused instead, whoever sends them, and cancels still go through. */
static void test_a_publisher_that_stays_away_turns_waiting_into_refusals(void) {
    begin(100000);
    for (int i = 0; i < KEPT; i++) {
        const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 1);
        client_queue(&c, &order);
    }
    client_work(&c);
    CHECK_EQUAL(rig_counters(&r)->commands, PRESS + 1);
    CHECK(rig_counters(&r)->stalls > 0);
    CHECK_EQUAL(client_take(&c, got, 1000), 0);
    rig_wait(&r, RIG_SECOND_NS);
    const uint32_t refused = client_take(&c, got, 1000);
    CHECK_EQUAL(refused, KEPT - PRESS - 1);
    check_refused(got[0], CODE_CLUSTER_BEHIND, PRESS + 2);
    for (uint32_t i = 1; i < refused; i++) check_refused(got[i], CODE_EARLIER_REFUSED, PRESS + 2 + i);
    c.sequence = PRESS + 1;
    const wire_mass_cancel mass = {.kind = KIND_CANCEL, .client_sequence = ++c.sequence, .account = 2};
    client_send(&c, &mass);
    CHECK_EQUAL(rig_counters(&r)->commands, PRESS + 2);

    r.publisher_away = false;
    rig_settle(&r);
    CHECK_EQUAL(client_take(&c, got, 1000), PRESS + 2);
    send_order(&c, 100);
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), 0xffff);
    rig_end(&r);
}

/* One cancel of more orders than reports are kept, and nobody ships: it is carried out, and only then is there nowhere
 * to keep what it has to say. */
static void test_a_mass_cancel_is_carried_out_though_its_reports_cannot_all_wait(void) {
    begin(100000);
    r.publisher_away = false;
    for (int i = 0; i < 4 * KEPT; i++) {
        send_order(&c, 100);
        if (i % 50 == 49) rig_settle(&r);
    }
    rig_settle(&r);
    CHECK_EQUAL(client_take(&c, got, 8192), 4 * KEPT);
    r.publisher_away = true;
    const wire_mass_cancel mass = {.kind = KIND_MASS_CANCEL, .client_sequence = ++c.sequence, .account = 2};
    client_send(&c, &mass);
    core_account_info info;
    CHECK(core_account(ingress_core(r.in), 2, &info));
    CHECK_EQUAL(info.open_orders, 0);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), CODE_SLOW_READER);
    rig_end(&r);
}

/* A client that only says that it is there, for hours: its pongs neither fill its queue nor stop the others. */
static void test_held_pongs_give_way_to_newer_ones_so_that_reading_goes_on(void) {
    begin(1000);
    send_order(&c, 100);
    rig_wait(&r, RIG_SECOND_NS);
    for (uint64_t i = 1; i <= 1000; i++) {
        const wire_ping ping = client_ping(&c, i);
        client_send(&c, &ping);
    }
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    CHECK_EQUAL(rig_counters(&r)->stalls, 0);
    CHECK_EQUAL(rig_counters(&r)->pings, 1 + 1000);
    r.publisher_away = false;
    rig_settle(&r);
    const uint32_t count = client_take(&c, got, 1000);
    CHECK_EQUAL(got[0].kind, EVENT_ACCEPTED);
    for (uint32_t i = 1; i < count; i++) CHECK_EQUAL(got[i].kind, MESSAGE_PONG);
    CHECK(count < 128);
    CHECK_EQUAL(got[count - 1].reference, 1000);
    CHECK_EQUAL(got[count - 1].order_id, 1);
    rig_end(&r);
}

/* A line that takes a few bytes at a time: refusals pass what is held, and the stream stays whole. */
static void test_refusals_pass_what_is_held_on_a_line_that_takes_few_bytes(void) {
    for (size_t room = 1; room < 300; room += 41) {
        begin(10);
        while (recorded() - rig_ship(&r, 0) <= 10) send_order(&c, 100);
        host_sim_socket_room(r.sim, c.socket, room);
        const uint64_t first = c.sequence + 1;
        for (int i = 0; i < 50; i++) {
            const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 1);
            client_queue(&c, &order);
        }
        client_work(&c);
        uint8_t *to = (uint8_t *)got;
        size_t bytes = 0;
        for (int i = 0; i < 5000 && bytes < 50 * sizeof *got; i++) {
            bytes += host_sim_peer_take(r.sim, c.socket, to + bytes, sizeof got - bytes);
            ingress_writable(r.in, c.name);
        }
        CHECK_EQUAL(bytes, 50 * sizeof *got);
        for (uint32_t i = 0; i < 50; i++)
            check_refused(got[i], i == 0 ? CODE_CLUSTER_BEHIND : CODE_EARLIER_REFUSED, first + i);
        host_sim_socket_room(r.sim, c.socket, 1 << 20);
        r.publisher_away = false;
        rig_settle(&r);
        const uint32_t count = client_take(&c, got, 100);
        CHECK_EQUAL(count, first - 1);
        for (uint32_t i = 0; i < count; i++) CHECK_EQUAL(got[i].report_number, 1 + i);
        rig_end(&r);
    }
}

/* What is refused may not be told before what it says is so: a refused ping names a number that is recorded. */
static void test_a_ping_over_the_rate_waits_for_what_it_names(void) {
    rig_make(&r, 1);
    r.options.level = JOURNAL_CLUSTER;
    r.keys[1].messages_per_s = 1;
    r.keys[1].message_burst = 3;
    rig_start(&r);
    rig_define_market(&r);
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
    r.publisher_away = true;
    send_order(&c, 100);
    for (uint64_t i = 0; i < 5; i++) {
        const wire_ping ping = client_ping(&c, i);
        client_send(&c, &ping);
    }
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    r.publisher_away = false;
    rig_settle(&r);
    CHECK_EQUAL(client_take(&c, got, 10), 6);
    CHECK_EQUAL(got[0].kind, EVENT_ACCEPTED);
    check_refused(got[5], CODE_MESSAGE_RATE_EXCEEDED, 1);
    rig_end(&r);
}

static void test_an_unbounded_wait_cannot_be_asked_for(void) {
    rig_make(&r, 1);
    r.options.level = JOURNAL_CLUSTER;
    r.options.unshipped_records_max = 0;
    CHECK_EQUAL(rig_recover(&r), INGRESS_E_OPTIONS);
    CHECK_TEXT(r.error.text, "unshipped_records_max");
    r.options.unshipped_records_max = (1ull << 40) + 1;
    CHECK_EQUAL(rig_recover(&r), INGRESS_E_OPTIONS);
    r.options.level = 4;
    CHECK_EQUAL(rig_recover(&r), INGRESS_E_OPTIONS);
    rig_end(&r);
}

int main(void) {
    RUN(test_reports_and_pongs_wait_until_the_publisher_has_shipped_their_records);
    RUN(test_a_logon_answer_waits_too_and_the_client_is_not_late);
    RUN(test_a_probe_tells_of_no_record_and_is_answered_while_the_publisher_is_away);
    RUN(test_what_a_crash_found_unshipped_is_kept_and_told_once_it_is_shipped);
    RUN(test_a_stop_without_a_publisher_ends_and_tells_nothing_that_was_not_shipped);
    RUN(test_beyond_the_bound_orders_are_refused_and_the_refusal_does_not_wait);
    RUN(test_cancels_and_halts_are_taken_up_to_twice_the_bound);
    RUN(test_a_first_frame_beyond_twice_the_bound_is_refused_before_the_session_begins);
    RUN(test_a_publisher_that_stays_away_turns_waiting_into_refusals);
    RUN(test_a_mass_cancel_is_carried_out_though_its_reports_cannot_all_wait);
    RUN(test_held_pongs_give_way_to_newer_ones_so_that_reading_goes_on);
    RUN(test_refusals_pass_what_is_held_on_a_line_that_takes_few_bytes);
    RUN(test_a_ping_over_the_rate_waits_for_what_it_names);
    RUN(test_an_unbounded_wait_cannot_be_asked_for);
    return checks_done();
}
