/* Frames: what each right one and each wrong one gets, and what is recorded of it. */
#include "support/check.h"
#include "support/ingress_rig.h"

static rig r;
static client c;
static wire_report got[1100];

static void begin(uint32_t key) {
    rig_make(&r, 1);
    rig_start(&r);
    rig_define_market(&r);
    client_logon(&c, &r, key, RESUME_NEW_ONLY, 0);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
}

/* The last message says that the session ended with this code, and the socket is closed. */
static void check_ended(uint16_t code) {
    const uint32_t count = client_take(&c, got, 1100);
    CHECK(count > 0);
    CHECK_EQUAL(got[count - 1].kind, MESSAGE_SESSION_ENDED);
    CHECK_EQUAL(got[count - 1].code, code);
    CHECK_EQUAL(rig_closed_code(&r, c.socket), code);
}

static uint64_t recorded(void) { return core_sequence(ingress_core(r.in)); }

static uint64_t last_recorded(uint32_t key) {
    core_key_info info;
    return core_key(ingress_core(r.in), key, &info) ? info.last_client_sequence : 0;
}

static void check_refused(wire_report message, uint16_t code, uint64_t sequence) {
    CHECK_EQUAL(message.kind, MESSAGE_REFUSED);
    CHECK_EQUAL(message.code, code);
    CHECK_EQUAL(message.reference, sequence);
    CHECK_EQUAL(message.report_number, 0);
}

/* ---- Tags -------------------------------------------------------------------------------------------------------- */

static void test_an_order_is_recorded_and_reported(void) {
    begin(2);
    const uint64_t before = recorded();
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    const wire_report report = client_take_one(&c);
    CHECK_EQUAL(report.kind, EVENT_ACCEPTED);
    CHECK_EQUAL(report.order_id, before + 1);
    CHECK_EQUAL(report.report_number, 1);
    CHECK_EQUAL(report.key, 2);
    CHECK_EQUAL(recorded(), before + 1);
    rig_end(&r);
}

static void test_a_wrong_tag_ends_the_session_and_records_nothing_but_that(void) {
    for (size_t byte = 0; byte < FRAME_BYTES; byte += 7) {
        begin(2);
        const uint64_t before = recorded();
        const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
        uint8_t frame[FRAME_BYTES];
        client_sign(&c, &order, frame);
        frame[byte] ^= 1;
        client_write(&c, frame, sizeof frame);
        client_work(&c);
        check_ended(CODE_FRAME_REFUSED);
        CHECK_EQUAL(recorded(), before + 1); /* the logoff */
        CHECK_EQUAL(last_recorded(2), 0);
        CHECK_EQUAL(rig_counters(&r)->ended_frame_refused, 1);
        rig_end(&r);
    }
}

static void test_a_frame_of_another_session_never_verifies(void) {
    begin(2);
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    uint8_t frame[FRAME_BYTES];
    client_sign(&c, &order, frame);
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    client_take(&c, got, 10);
    client_write(&c, frame, sizeof frame);
    client_work(&c);
    check_ended(CODE_FRAME_REFUSED);
    rig_end(&r);
}

static void test_bad_frames_count_against_the_address(void) {
    rig_make(&r, 1);
    r.options.refused_peer_max = 2;
    rig_start(&r);
    for (int i = 0; i < 3; i++) {
        client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
        client_write(&c, "0123456789012345678901234567890123456789012345678901234567890123", 64);
        client_work(&c);
        check_ended(CODE_FRAME_REFUSED);
    }
    CHECK(!client_connect(&c, &r, 2, rig_address(2)));
    rig_end(&r);
}

static void test_a_frame_may_come_byte_by_byte(void) {
    begin(2);
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    uint8_t frame[FRAME_BYTES];
    client_sign(&c, &order, frame);
    for (size_t i = 0; i < sizeof frame; i++) {
        CHECK_EQUAL(client_take(&c, got, 10), 0);
        client_write(&c, frame + i, 1);
    }
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    rig_end(&r);
}

/* ---- Sequence ---------------------------------------------------------------------------------------------------- */

static void test_a_repeated_frame_is_answered_as_a_repeat_and_not_entered_twice(void) {
    begin(2);
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    const uint64_t before = recorded();
    client_send(&c, &order);
    const wire_report message = client_take_one(&c);
    CHECK_EQUAL(message.kind, MESSAGE_REPEAT);
    CHECK_EQUAL(message.reference, order.client_sequence);
    CHECK_EQUAL(recorded(), before);
    rig_end(&r);
}

static void test_a_gap_ends_the_session(void) {
    begin(2);
    c.sequence++;
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    check_ended(CODE_SEQUENCE_GAP);
    CHECK_EQUAL(last_recorded(2), 0);
    rig_end(&r);
}

static void test_a_gap_in_the_first_frame_leaves_the_old_session_alone(void) {
    begin(2);
    client old = c;
    CHECK(client_connect(&c, &r, 2, rig_address(2)));
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&c));
    c.sequence += 5;
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    check_ended(CODE_SEQUENCE_GAP);
    const wire_ping ping = client_ping(&old, 3);
    client_send(&old, &ping);
    CHECK_EQUAL(client_take_one(&old).kind, MESSAGE_PONG);
    rig_end(&r);
}

static void test_a_ping_carries_the_last_sequence_used(void) {
    begin(2);
    wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    client_take_one(&c);
    wire_ping ping = client_ping(&c, 5);
    client_send(&c, &ping);
    wire_report message = client_take_one(&c);
    CHECK_EQUAL(message.kind, MESSAGE_PONG);
    CHECK_EQUAL(message.order_id, 1);
    ping.client_sequence = 0;
    client_send(&c, &ping);
    message = client_take_one(&c);
    CHECK_EQUAL(message.kind, MESSAGE_REPEAT);
    CHECK_EQUAL(message.reference, 0);
    ping.client_sequence = 2;
    client_send(&c, &ping);
    check_ended(CODE_SEQUENCE_GAP);
    rig_end(&r);
}

/* ---- What a key may send ----------------------------------------------------------------------------------------- */

static wire_report send_raw(const void *command) {
    client_send(&c, command);
    return client_take_one(&c);
}

static void test_kinds_that_no_client_may_send_are_recorded_as_refused(void) {
    begin(2);
    const uint8_t kinds[] = {
        0, 7, 15, 38, KIND_TERM, KIND_LOGON, KIND_LOGOFF, KIND_CLOCK_TICK, KIND_DIGEST, KIND_REFUSED, 68, 127, 255};
    for (size_t i = 0; i < sizeof kinds; i++) {
        const uint64_t before = recorded();
        wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
        order.kind = kinds[i];
        const wire_report report = send_raw(&order);
        CHECK_EQUAL(report.kind, EVENT_REJECTED);
        CHECK_EQUAL(report.code, CODE_KIND_UNKNOWN);
        CHECK_EQUAL(report.reference, order.client_sequence);
        CHECK_EQUAL(report.account, 0);
        CHECK_EQUAL(recorded(), before + 1);
        CHECK_EQUAL(last_recorded(2), order.client_sequence);
    }
    CHECK_EQUAL(rig_counters(&r)->recorded_refusals, sizeof kinds);
    rig_end(&r);
}

static void test_each_kind_needs_its_permission(void) {
    rig_make(&r, 1);
    r.keys[1].permissions = PERMISSION_CANCEL;
    r.keys[2].permissions = PERMISSION_READ | PERMISSION_TRADE;
    rig_start(&r);
    rig_define_market(&r);
    for (uint32_t key = 2; key <= 3; key++) {
        client_logon(&c, &r, key, RESUME_NEW_ONLY, 0);
        client_take_one(&c);
        for (uint8_t kind = KIND_NEW_ORDER; kind <= KIND_FEE_PAYOUT; kind++) {
            if (kind == KIND_PING || (kind > KIND_COUNTDOWN_CANCEL && kind < KIND_ASSET)) continue;
            wire_new_order order = client_order(&c, key, SIDE_BUY, 100, 5);
            order.kind = kind;
            const wire_report report = send_raw(&order);
            const bool cancels = kind == KIND_CANCEL || kind == KIND_MASS_CANCEL || kind == KIND_COUNTDOWN_CANCEL;
            const bool trades = kind == KIND_NEW_ORDER || kind == KIND_REPLACE;
            const bool may = key == 2 ? cancels : trades;
            CHECK((report.code == CODE_KIND_FORBIDDEN) == !may);
            CHECK_EQUAL(last_recorded(key), order.client_sequence);
        }
    }
    rig_end(&r);
}

static void test_the_refused_record_repeats_what_the_frame_said(void) {
    rig_make(&r, 1);
    r.keys[1].permissions = 0;
    rig_start(&r);
    rig_define_market(&r);
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    order.client_order_id = 77;
    wire_report report = send_raw(&order);
    CHECK_EQUAL(report.code, CODE_KIND_FORBIDDEN);
    CHECK_EQUAL(report.account, 2);
    CHECK_EQUAL(report.instrument, 1);
    CHECK_EQUAL(report.client_order_id, 77);
    const wire_replace replace = {.kind = KIND_REPLACE,
                                  .client_sequence = ++c.sequence,
                                  .account = 2,
                                  .instrument = 1,
                                  .target_client_order_id = 78};
    report = send_raw(&replace);
    CHECK_EQUAL(report.client_order_id, 78);
    const wire_deposit deposit = {.kind = KIND_DEPOSIT, .client_sequence = ++c.sequence, .account = 3, .asset = 1};
    report = send_raw(&deposit);
    CHECK_EQUAL(report.account, 3);
    CHECK_EQUAL(report.instrument, 0);
    CHECK_EQUAL(report.client_order_id, 0);
    const wire_instrument_limits limits = {
        .kind = KIND_INSTRUMENT_LIMITS, .client_sequence = ++c.sequence, .instrument = 9};
    report = send_raw(&limits);
    CHECK_EQUAL(report.account, 0);
    CHECK_EQUAL(report.instrument, 9);
    rig_end(&r);
}

static void test_a_key_acts_for_its_own_account_unless_it_is_a_delegate_or_an_admin(void) {
    begin(2);
    wire_new_order order = client_order(&c, 3, SIDE_BUY, 100, 5);
    CHECK_EQUAL(send_raw(&order).code, CODE_ACCOUNT_FORBIDDEN);
    const wire_mass_cancel mass = {.kind = KIND_MASS_CANCEL, .client_sequence = ++c.sequence, .account = 3};
    CHECK_EQUAL(send_raw(&mass).code, CODE_ACCOUNT_FORBIDDEN);
    const uint32_t others[] = {4, 1};
    for (int i = 0; i < 2; i++) {
        client_logon(&c, &r, others[i], RESUME_NEW_ONLY, 0);
        client_take_one(&c);
        order = client_order(&c, 3, SIDE_BUY, 100, 5);
        CHECK_EQUAL(send_raw(&order).kind, EVENT_ACCEPTED);
    }
    rig_end(&r);
}

/* ---- Prefixes ---------------------------------------------------------------------------------------------------- */

static wire_text text_prefix(void) {
    return (wire_text){.kind = KIND_TEXT, .client_sequence = ++c.sequence, .text = "long-client-order-id"};
}

static wire_nonce nonce_prefix(uint8_t which) {
    const host *h = host_sim_host(r.sim);
    return (wire_nonce){
        .kind = KIND_NONCE, .client_sequence = ++c.sequence, .timestamp_ns = h->now_ns(h->self), .nonce = {which}};
}

static void test_prefixes_wait_for_the_frame_that_closes_them(void) {
    begin(4);
    const uint64_t before = recorded();
    const wire_text text = text_prefix();
    client_send(&c, &text);
    const wire_nonce nonce = nonce_prefix(1);
    client_send(&c, &nonce);
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    CHECK_EQUAL(recorded(), before);
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    const wire_report report = send_raw(&order);
    CHECK_EQUAL(report.kind, EVENT_ACCEPTED);
    CHECK_EQUAL(report.order_id, before + 3);
    CHECK_EQUAL(last_recorded(4), 3);
    CHECK(core_nonce_held(ingress_core(r.in), nonce.nonce));
    rig_end(&r);
}

static void test_a_nonce_is_good_once_and_only_while_fresh(void) {
    begin(4);
    for (int round = 0; round < 3; round++) {
        wire_nonce nonce = nonce_prefix(round == 2 ? 9 : 1);
        if (round == 2) nonce.timestamp_ns -= r.options.core.nonce_window_ns + 1;
        client_send(&c, &nonce);
        const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
        const wire_report report = send_raw(&order);
        CHECK_EQUAL(report.code, round == 0 ? CODE_NONE : round == 1 ? CODE_NONCE_REPEATED : CODE_NONCE_STALE);
    }
    rig_end(&r);
}

static void test_the_nonce_of_a_refused_command_does_not_count(void) {
    begin(4);
    const wire_nonce nonce = nonce_prefix(1);
    client_send(&c, &nonce);
    wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    order.kind = KIND_DEPOSIT; /* not for a delegate */
    CHECK_EQUAL(send_raw(&order).code, CODE_KIND_FORBIDDEN);
    CHECK(!core_nonce_held(ingress_core(r.in), nonce.nonce));
    CHECK_EQUAL(last_recorded(4), 2);
    const wire_new_order next = client_order(&c, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(send_raw(&next).kind, EVENT_ACCEPTED);
    rig_end(&r);
}

static void check_prefix_invalid(uint64_t before) {
    check_ended(CODE_PREFIX_INVALID);
    CHECK_EQUAL(recorded(), before + 1); /* the logoff alone */
    CHECK_EQUAL(last_recorded(c.key), 0);
    rig_end(&r);
}

/* A key that may trade but not cancel does not cancel by way of a link either. */
static void test_cancel_first_needs_the_permission_to_cancel(void) {
    rig_make(&r, 1);
    r.keys[1].permissions = PERMISSION_TRADE;
    r.keys[2].permissions = PERMISSION_TRADE | PERMISSION_CANCEL;
    rig_start(&r);
    rig_define_market(&r);
    for (uint32_t key = 2; key <= 3; key++) {
        client_logon(&c, &r, key, RESUME_NEW_ONLY, 0);
        client_take_one(&c);
        wire_new_order order = client_order(&c, key, SIDE_BUY, 90, 1);
        const uint64_t first = send_raw(&order).order_id;
        wire_order_link link = {.kind = KIND_ORDER_LINK, .order_id = first, .action = LINK_ACTION_CANCEL_FIRST};
        link.client_sequence = ++c.sequence;
        client_send(&c, &link);
        order = client_order(&c, key, SIDE_BUY, 91, 1);
        client_send(&c, &order);
        wire_report got[4];
        CHECK_EQUAL(client_take(&c, got, 4), key == 2 ? 1 : 2);
        CHECK_EQUAL(got[0].kind, key == 2 ? EVENT_REJECTED : EVENT_CANCELLED);
        CHECK_EQUAL(got[0].code, key == 2 ? CODE_KIND_FORBIDDEN : CODE_CANCELLED_BY_REQUEST);
        CHECK_EQUAL(last_recorded(key), order.client_sequence);
        core_order_info open;
        CHECK_EQUAL(core_order(ingress_core(r.in), first, &open), key == 2);
    }
    rig_end(&r);
}

static void test_wrong_prefixes_end_the_session_and_nothing_is_recorded(void) {
    begin(4); /* two of a kind */
    uint64_t before = recorded();
    wire_text text = text_prefix();
    client_queue(&c, &text);
    text = text_prefix();
    client_send(&c, &text);
    check_prefix_invalid(before);

    begin(2); /* a nonce without the permission */
    before = recorded();
    wire_nonce nonce = nonce_prefix(1);
    client_send(&c, &nonce);
    check_prefix_invalid(before);

    begin(4); /* a ping between a prefix and its command */
    before = recorded();
    text = text_prefix();
    client_queue(&c, &text);
    const wire_ping ping = client_ping(&c, 1);
    client_send(&c, &ping);
    check_prefix_invalid(before);

    begin(4); /* a command that does not follow */
    before = recorded();
    text = text_prefix();
    client_queue(&c, &text);
    c.sequence += 1;
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    check_prefix_invalid(before);
}

static void test_prefixes_without_their_command_are_forgotten_with_the_line(void) {
    begin(4);
    const wire_text text = text_prefix();
    client_send(&c, &text);
    client_logon(&c, &r, 4, RESUME_NEW_ONLY, 0);
    CHECK_EQUAL(c.answer.last_client_sequence, 0);
    client_take(&c, got, 10);
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    CHECK_EQUAL(send_raw(&order).kind, EVENT_ACCEPTED);
    rig_end(&r);
}

/* ---- Refused, unrecorded ----------------------------------------------------------------------------------------- */

static void test_over_its_rate_a_key_is_refused_and_may_send_the_same_again(void) {
    rig_make(&r, 1);
    r.keys[1].messages_per_s = 10;
    r.keys[1].message_burst = 3;
    rig_start(&r);
    rig_define_market(&r);
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    host_sim_advance(r.sim, RIG_SECOND_NS);
    wire_new_order orders[6];
    const uint64_t before = recorded();
    for (int i = 0; i < 6; i++) {
        orders[i] = client_order(&c, 2, SIDE_BUY, 100 + i, 5);
        client_queue(&c, &orders[i]);
    }
    CHECK_EQUAL(client_take(&c, got, 10), 6);
    for (int i = 0; i < 3; i++) CHECK_EQUAL(got[i].kind, EVENT_ACCEPTED);
    check_refused(got[3], CODE_MESSAGE_RATE_EXCEEDED, 4);
    check_refused(got[4], CODE_EARLIER_REFUSED, 5);
    check_refused(got[5], CODE_EARLIER_REFUSED, 6);
    CHECK_EQUAL(recorded(), before + 3);
    wire_ping ping = client_ping(&c, 1); /* 6: the last this client used, though not the last recorded */
    host_sim_advance(r.sim, RIG_SECOND_NS);
    client_send(&c, &ping);
    const wire_report pong = client_take_one(&c);
    CHECK_EQUAL(pong.kind, MESSAGE_PONG);
    CHECK_EQUAL(pong.order_id, 3);
    host_sim_advance(r.sim, RIG_SECOND_NS);
    for (int i = 3; i < 6; i++) client_queue(&c, &orders[i]);
    CHECK_EQUAL(client_take(&c, got, 10), 3);
    for (int i = 0; i < 3; i++) CHECK_EQUAL(got[i].kind, EVENT_ACCEPTED);
    ping = client_ping(&c, 2);
    client_send(&c, &ping); /* a ping takes from the allowance too, and using it up is no reason to end */
    check_refused(client_take_one(&c), CODE_MESSAGE_RATE_EXCEEDED, 6);
    host_sim_advance(r.sim, RIG_SECOND_NS);
    c.sequence++; /* all sent again and recorded: a gap is a gap once more */
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    check_ended(CODE_SEQUENCE_GAP);
    CHECK_EQUAL(rig_counters(&r)->refused_message_rate, 2);
    CHECK_EQUAL(rig_counters(&r)->refused_earlier, 2);
    rig_end(&r);
}

/* A burst of 1 is enough for a command with a prefix; both are paid for, whole, when it closes. */
static void test_a_command_is_charged_with_its_prefixes_when_it_closes(void) {
    rig_make(&r, 1);
    r.keys[1].messages_per_s = 10;
    r.keys[1].message_burst = 1;
    rig_start(&r);
    rig_define_market(&r);
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    host_sim_advance(r.sim, RIG_SECOND_NS);
    const wire_text text = text_prefix();
    const wire_new_order first = client_order(&c, 2, SIDE_BUY, 100, 5), second = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_queue(&c, &text);
    client_send(&c, &first);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    host_sim_advance(r.sim, RIG_SECOND_NS / 10);
    client_send(&c, &second);
    check_refused(client_take_one(&c), CODE_MESSAGE_RATE_EXCEEDED, 3);
    host_sim_advance(r.sim, RIG_SECOND_NS / 10);
    client_send(&c, &second);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    rig_end(&r);
}

static void test_a_refused_command_refuses_its_prefixes_with_it(void) {
    begin(4);
    ingress_begin_stop(r.in);
    const wire_text text = text_prefix();
    client_send(&c, &text);
    CHECK_EQUAL(client_take(&c, got, 10), 0);
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    CHECK_EQUAL(client_take(&c, got, 10), 2);
    check_refused(got[0], CODE_ENGINE_STOPPING, 1);
    check_refused(got[1], CODE_ENGINE_STOPPING, 2);
    rig_end(&r);
}

static void test_a_stopping_engine_refuses_commands_and_still_answers_pings(void) {
    begin(2);
    ingress_begin_stop(r.in);
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    check_refused(client_take_one(&c), CODE_ENGINE_STOPPING, 1);
    const wire_ping ping = client_ping(&c, 4);
    client_send(&c, &ping);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
    uint64_t name;
    CHECK_EQUAL(ingress_accept(r.in, 5, rig_address(1), false, &name), INGRESS_E_STOPPED);
    rig_end(&r);
}

static void test_a_full_core_refuses_and_nothing_is_journaled(void) {
    rig_make(&r, 1);
    r.options.core.order_count_max = 8;
    rig_start(&r);
    rig_define_market(&r);
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    uint64_t before = recorded();
    uint32_t accepted = 0;
    for (;; accepted++) {
        const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
        const wire_report report = send_raw(&order);
        if (report.kind == EVENT_ACCEPTED) continue;
        check_refused(report, CODE_CORE_NO_ROOM, order.client_sequence);
        break;
    }
    CHECK(accepted >= 6 && accepted <= 8);
    CHECK_EQUAL(recorded(), before + accepted);
    CHECK_EQUAL(last_recorded(2), accepted);
    c.sequence = accepted;
    const wire_mass_cancel mass = {.kind = KIND_MASS_CANCEL, .client_sequence = ++c.sequence, .account = 2};
    client_send(&c, &mass);
    CHECK_EQUAL(client_take(&c, got, 20), accepted + 1);
    CHECK_EQUAL(got[accepted].kind, EVENT_APPLIED);
    CHECK_EQUAL(rig_counters(&r)->refused_core_no_room, 1);
    CHECK_TEXT(ingress_full_pool(r.in), "order_count_max");
    rig_end(&r);
}

/* Orders until the journal says no; then the disk has room again. */
static void test_a_full_disk_refuses_and_goes_on_when_there_is_room(void) {
    begin(2);
    host_sim_room(r.sim, 0);
    uint64_t refused_at = 0;
    for (uint32_t i = 0; i < 3 * 4096 && refused_at == 0; i++) {
        wire_cancel cancel = {
            .kind = KIND_CANCEL, .client_sequence = ++c.sequence, .account = 2, .instrument = 1, .order_id = 1};
        client_send(&c, &cancel);
        rig_settle(&r);
        const wire_report report = client_take_one(&c);
        if (report.kind == EVENT_REJECTED) continue;
        check_refused(report, CODE_JOURNAL_NO_ROOM, cancel.client_sequence);
        refused_at = cancel.client_sequence;
    }
    CHECK(refused_at > 0);
    const wire_ping ping = client_ping(&c, 4);
    client_send(&c, &ping);
    CHECK_EQUAL(client_take_one(&c).kind, MESSAGE_PONG);
    CHECK(!r.failed);
    host_sim_room(r.sim, 1ll << 40);
    host_sim_advance(r.sim, 10 * RIG_SECOND_NS);
    rig_settle(&r);
    c.sequence = refused_at - 1;
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    rig_settle(&r);
    CHECK_EQUAL(client_take_one(&c).kind, EVENT_ACCEPTED);
    CHECK_EQUAL(last_recorded(2), refused_at);
    CHECK(rig_counters(&r)->refused_journal_no_room > 0);
    rig_end(&r);
}

/* The next segment is not ready: nothing is refused, everything waits, nothing is lost. */
static void test_reading_stops_while_the_journal_prepares_a_segment(void) {
    begin(2);
    uint32_t sent = 0, came = 0;
    while (rig_counters(&r)->stalls == 0) { /* no journal_step here: the segment never gets ready by itself */
        CHECK(sent < 3 * 4096);
        for (int i = 0; i < 100; i++, sent++) {
            const wire_cancel cancel = {
                .kind = KIND_CANCEL, .client_sequence = ++c.sequence, .account = 2, .instrument = 1, .order_id = 1};
            client_queue(&c, &cancel);
        }
        came += client_take(&c, got, 1100);
    }
    CHECK(came < sent);
    const uint64_t stopped_at = recorded();
    client_work(&c);
    CHECK_EQUAL(recorded(), stopped_at);
    for (int i = 0; i < 10; i++) rig_settle(&r);
    came += client_take(&c, got, 1100);
    CHECK_EQUAL(came, sent);
    CHECK_EQUAL(last_recorded(2), sent);
    for (uint32_t i = 0; i < came % 100; i++) CHECK_EQUAL(got[i].kind, EVENT_REJECTED);
    rig_end(&r);
}

int main(void) {
    RUN(test_an_order_is_recorded_and_reported);
    RUN(test_a_wrong_tag_ends_the_session_and_records_nothing_but_that);
    RUN(test_a_frame_of_another_session_never_verifies);
    RUN(test_bad_frames_count_against_the_address);
    RUN(test_a_frame_may_come_byte_by_byte);
    RUN(test_a_repeated_frame_is_answered_as_a_repeat_and_not_entered_twice);
    RUN(test_a_gap_ends_the_session);
    RUN(test_a_gap_in_the_first_frame_leaves_the_old_session_alone);
    RUN(test_a_ping_carries_the_last_sequence_used);
    RUN(test_kinds_that_no_client_may_send_are_recorded_as_refused);
    RUN(test_each_kind_needs_its_permission);
    RUN(test_the_refused_record_repeats_what_the_frame_said);
    RUN(test_a_key_acts_for_its_own_account_unless_it_is_a_delegate_or_an_admin);
    RUN(test_prefixes_wait_for_the_frame_that_closes_them);
    RUN(test_a_nonce_is_good_once_and_only_while_fresh);
    RUN(test_the_nonce_of_a_refused_command_does_not_count);
    RUN(test_cancel_first_needs_the_permission_to_cancel);
    RUN(test_wrong_prefixes_end_the_session_and_nothing_is_recorded);
    RUN(test_prefixes_without_their_command_are_forgotten_with_the_line);
    RUN(test_over_its_rate_a_key_is_refused_and_may_send_the_same_again);
    RUN(test_a_command_is_charged_with_its_prefixes_when_it_closes);
    RUN(test_a_refused_command_refuses_its_prefixes_with_it);
    RUN(test_a_stopping_engine_refuses_commands_and_still_answers_pings);
    RUN(test_a_full_core_refuses_and_nothing_is_journaled);
    RUN(test_a_full_disk_refuses_and_goes_on_when_there_is_room);
    RUN(test_reading_stops_while_the_journal_prepares_a_segment);
    return checks_done();
}
