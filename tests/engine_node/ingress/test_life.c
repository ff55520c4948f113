/* A whole life: options, start, crash, restart, snapshot, timer records, stop. */
#include "support/check.h"
#include "support/ingress_rig.h"

static rig r;
static client c;
static wire_report got[4096];

static void begin(void) {
    rig_make(&r, 1);
    rig_start(&r);
    rig_define_market(&r);
}

static core_key_info key_info(uint32_t key) {
    core_key_info info = {0};
    core_key(ingress_core(r.in), key, &info);
    return info;
}

/* All records of the journal on the simulated disk, read as a replica would. */
static wire_record records[20000];
static uint32_t record_count;

static void read_journal(void) {
    journal_reader *reader;
    journal_error error;
    record_count = 0;
    CHECK_EQUAL(journal_reader_open("journal", host_sim_host(r.sim), 1, &reader, &error), JOURNAL_OK);
    for (;;) {
        const wire_record *some;
        uint32_t count;
        CHECK_EQUAL(journal_reader_next(reader, UINT64_MAX, 1000, &some, &count, &error), JOURNAL_OK);
        if (count == 0) break;
        CHECK(record_count + count <= 20000);
        memcpy(records + record_count, some, count * sizeof *some);
        record_count += count;
    }
    journal_reader_close(reader);
}

static uint8_t kind_at(uint64_t sequence) {
    CHECK(sequence >= 1 && sequence <= record_count);
    return records[sequence - 1].command[0];
}

/* ---- Options ----------------------------------------------------------------------------------------------------- */

static void test_options_out_of_range_are_refused_with_a_sentence(void) {
    const struct {
        size_t offset;
        uint32_t value;
        const char *word;
    } cases[] = {
        {offsetof(ingress_options, core.key_count_max), 70000, "core/limits.h"},
        {offsetof(ingress_options, core.reports_kept), 128, "reports_kept"},
        {offsetof(ingress_options, connection_count_max), 0, "connection_count_max"},
        {offsetof(ingress_options, connection_count_max), 65536, "connection_count_max"},
        {offsetof(ingress_options, idle_ms), 0, "idle_ms"},
        {offsetof(ingress_options, logon_timeout_ms), 0, "logon_timeout_ms"},
        {offsetof(ingress_options, tick_interval_ms), 86400001, "tick_interval_ms"},
        {offsetof(ingress_options, level), 4, "level"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rig_make(&r, 1);
        memcpy((char *)&r.options + cases[i].offset, &cases[i].value, sizeof(uint32_t));
        CHECK_EQUAL(rig_recover(&r), INGRESS_E_OPTIONS);
        CHECK_TEXT(r.error.text, cases[i].word);
        rig_end(&r);
    }
}

/* ---- Start and restart ------------------------------------------------------------------------------------------- */

static void test_the_first_record_of_a_start_is_a_term_and_then_old_sessions_end(void) {
    begin();
    client other;
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, LOGON_OPTION_CANCEL_ON_DISCONNECT);
    client_logon(&other, &r, 3, RESUME_NEW_ONLY, 0);
    const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
    client_send(&c, &order);
    const uint64_t before = core_sequence(ingress_core(r.in));
    rig_crash(&r);
    rig_start(&r);
    CHECK_EQUAL(r.found.journal.last_sequence, before);
    CHECK_EQUAL(r.found.replayed_records, before);
    CHECK_EQUAL(r.found.sessions_ended, 2);
    CHECK_EQUAL(r.found.term, 2);
    CHECK_EQUAL(r.found.sequence, before + 3);
    CHECK_EQUAL(r.found.digest, core_digest(ingress_core(r.in)));
    rig_settle(&r);
    read_journal();
    CHECK_EQUAL(record_count, before + 3);
    CHECK_EQUAL(kind_at(1), KIND_TERM);
    CHECK_EQUAL(kind_at(before + 1), KIND_TERM);
    for (uint32_t i = 2; i <= 3; i++) {
        const wire_logoff *logoff = (const wire_logoff *)records[before + i - 1].command;
        CHECK_EQUAL(logoff->kind, KIND_LOGOFF);
        CHECK_EQUAL(logoff->reason, LOGOFF_REASON_RESTARTED);
        CHECK_EQUAL(records[before + i - 1].key, i);
    }
    CHECK(!key_info(2).live);
    core_account_info account;
    CHECK(core_account(ingress_core(r.in), 2, &account));
    CHECK_EQUAL(account.open_orders, 0); /* cancelled on disconnect, a crash included */
    rig_end(&r);
}

static void test_a_client_goes_on_after_a_crash_where_it_was(void) {
    begin();
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    client_take_one(&c);
    wire_new_order orders[5];
    for (int i = 0; i < 5; i++) {
        orders[i] = client_order(&c, 2, SIDE_BUY, 100 + i, 5);
        if (i < 3) client_send(&c, &orders[i]);
    }
    CHECK_EQUAL(client_take(&c, got, 2), 2); /* the third report is lost with the process */
    rig_crash(&r);
    rig_start(&r);
    client_logon(&c, &r, 2, 2, 0);
    CHECK_EQUAL(c.answer.last_client_sequence, 3);
    CHECK_EQUAL(client_take(&c, got, 10), 2);
    CHECK_EQUAL(got[0].report_number, 3);
    CHECK_EQUAL(got[0].price_ticks, 102);
    for (int i = 2; i < 5; i++) client_queue(&c, &orders[i]); /* one too many: it is known */
    CHECK_EQUAL(client_take(&c, got, 10), 3);
    CHECK_EQUAL(got[0].kind, MESSAGE_REPEAT);
    CHECK_EQUAL(got[1].report_number, 4);
    CHECK_EQUAL(got[2].report_number, 5);
    CHECK_EQUAL(key_info(2).session, 2);
    rig_end(&r);
}

static void test_time_never_falls_in_the_journal(void) {
    begin();
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    const host *h = host_sim_host(r.sim);
    const uint64_t start = h->now_ns(h->self);
    for (int i = 0; i < 20; i++) {
        host_sim_set_clock(r.sim, start + (uint64_t)((i * 7) % 11) * 1000 - 5000);
        const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
        client_send(&c, &order);
        if (i == 10) {
            rig_crash(&r);
            rig_start(&r);
            client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
        }
    }
    rig_settle(&r);
    read_journal();
    for (uint32_t i = 1; i < record_count; i++) CHECK(records[i].received_ns >= records[i - 1].received_ns);
    rig_end(&r);
}

/* ---- Snapshots --------------------------------------------------------------------------------------------------- */

static uint8_t snapshot[1 << 20];
static size_t snapshot_bytes;

static bool keep(void *self, const void *data, size_t bytes) {
    (void)self;
    if (snapshot_bytes + bytes > sizeof snapshot) return false;
    memcpy(snapshot + snapshot_bytes, data, bytes);
    snapshot_bytes += bytes;
    return true;
}

static void test_a_snapshot_and_what_is_behind_it_give_the_same_state(void) {
    begin();
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    for (int i = 0; i < 50; i++) {
        const wire_new_order order = client_order(&c, 2, (uint8_t)(SIDE_BUY + i % 2), 100 + i % 3, 5);
        client_send(&c, &order);
        if (i != 25) continue;
        snapshot_bytes = 0;
        CHECK(core_save(ingress_core(r.in), keep, NULL));
    }
    rig_crash(&r);
    rig_start(&r);
    const uint64_t digest = r.found.digest, sequence = r.found.sequence;
    rig_crash(&r);

    CHECK_EQUAL(ingress_open(&r.options, host_sim_host(r.sim), &r.in, &r.error), INGRESS_OK);
    CHECK_EQUAL(ingress_recover(r.in, snapshot, snapshot_bytes, &r.found, &r.error), INGRESS_OK);
    CHECK(r.found.snapshot_sequence > 0);
    CHECK_EQUAL(r.found.replayed_records, sequence - r.found.snapshot_sequence);
    CHECK_EQUAL(r.found.sequence, sequence + 1); /* another term */
    CHECK_EQUAL(key_info(2).last_client_sequence, 50);
    CHECK(r.found.digest != digest);
    CHECK(core_check(ingress_core(r.in)) == NULL);
    rig_crash(&r);

    CHECK_EQUAL(ingress_open(&r.options, host_sim_host(r.sim), &r.in, &r.error), INGRESS_OK);
    snapshot[snapshot_bytes / 2] ^= 1;
    CHECK_EQUAL(ingress_recover(r.in, snapshot, snapshot_bytes, &r.found, &r.error), INGRESS_E_SNAPSHOT);
    CHECK(r.error.text[0] != 0 && r.error.hint[0] != 0);
    snapshot[snapshot_bytes / 2] ^= 1;
    rig_end(&r);
}

static void test_a_snapshot_ahead_of_its_journal_is_refused(void) {
    begin();
    snapshot_bytes = 0;
    CHECK(core_save(ingress_core(r.in), keep, NULL));
    rig_end(&r);
    rig_make(&r, 2); /* another, empty machine */
    CHECK_EQUAL(ingress_open(&r.options, host_sim_host(r.sim), &r.in, &r.error), INGRESS_OK);
    CHECK_EQUAL(ingress_recover(r.in, snapshot, snapshot_bytes, &r.found, &r.error), INGRESS_E_JOURNAL);
    CHECK(r.error.text[0] != 0 && r.error.hint[0] != 0);
    rig_end(&r);
}

static void test_a_start_without_room_says_so(void) {
    rig_make(&r, 1);
    host_sim_room(r.sim, 0);
    CHECK_EQUAL(rig_recover(&r), INGRESS_E_JOURNAL);
    CHECK_EQUAL(r.error.journal.status, JOURNAL_E_NO_ROOM);
    CHECK(r.error.text[0] != 0 && r.error.hint[0] != 0);
    rig_end(&r);
}

static void test_damage_below_what_was_durable_stops_the_start(void) {
    begin();
    CHECK_EQUAL(ingress_finish(r.in, &r.error), INGRESS_OK);
    rig_crash(&r);
    size_t bytes;
    uint8_t *segment = host_sim_file(r.sim, "journal", "00000000000000000001.jnl", &bytes);
    CHECK(segment != NULL);
    segment[64 + 5 * RECORD_BYTES + 20] ^= 1; /* the sixth record */
    CHECK_EQUAL(rig_recover(&r), INGRESS_E_JOURNAL);
    CHECK_EQUAL(r.error.journal.status, JOURNAL_E_DAMAGED);
    CHECK_EQUAL(r.error.journal.sequence, 6);
    CHECK(r.error.text[0] != 0 && r.error.hint[0] != 0);
    rig_end(&r);
}

static void test_smaller_capacities_than_the_journal_needs_are_named(void) {
    begin();
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    for (int i = 0; i < 20; i++) {
        const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
        client_send(&c, &order);
    }
    rig_crash(&r);
    r.options.core.order_count_max = 8;
    CHECK_EQUAL(rig_recover(&r), INGRESS_E_REPLAY);
    CHECK_EQUAL(r.error.core, CORE_E_FULL);
    CHECK_TEXT(r.error.text, "order_count_max");
    rig_end(&r);
}

/* ---- Timer ------------------------------------------------------------------------------------------------------- */

static void test_ticks_come_while_a_session_is_live_and_nothing_else_happens(void) {
    rig_make(&r, 1);
    r.options.tick_interval_ms = 1000;
    rig_start(&r);
    for (int i = 0; i < 30; i++) {
        host_sim_advance(r.sim, RIG_SECOND_NS / 10);
        ingress_on_timer(r.in);
    }
    CHECK_EQUAL(core_sequence(ingress_core(r.in)), 1); /* nobody there: time does not matter */
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    for (int i = 0; i < 30; i++) {
        host_sim_advance(r.sim, RIG_SECOND_NS / 10);
        ingress_on_timer(r.in);
    }
    CHECK_EQUAL(core_sequence(ingress_core(r.in)), 2 + 3);
    rig_settle(&r);
    read_journal();
    CHECK_EQUAL(kind_at(5), KIND_CLOCK_TICK);
    rig_end(&r);
}

static void test_digests_are_written_and_are_those_of_a_replica(void) {
    rig_make(&r, 1);
    r.options.digest_interval_records = 10;
    rig_start(&r);
    rig_define_market(&r);
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    for (int i = 0; i < 200; i++) {
        const wire_new_order order = client_order(&c, 2, (uint8_t)(SIDE_BUY + i % 2), 100 + i % 3, 5);
        client_send(&c, &order);
    }
    const uint64_t sequence = core_sequence(ingress_core(r.in)), digest = core_digest(ingress_core(r.in));
    rig_settle(&r);
    read_journal();
    uint32_t digests = 0;
    for (uint32_t i = 0; i < record_count; i++) digests += records[i].command[0] == KIND_DIGEST;
    CHECK(digests >= record_count / 25);

    core *replica;
    core_options options = r.options.core;
    const size_t bytes = core_bytes(&options);
    void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
    memset(memory, 0, bytes);
    CHECK_EQUAL(core_open(memory, bytes, &options, &replica), CORE_OK);
    core_events out = {.events = got, .room = 4096};
    for (uint32_t at = 0, group; at < record_count; at += group) {
        group = core_group(records + at, record_count - at);
        CHECK(group > 0);
        core_status status = core_apply(replica, records + at, group, &out);
        while (status == CORE_MORE) status = core_next(replica, &out);
        CHECK_EQUAL(status, CORE_OK); /* a digest that differs would be CORE_E_DIVERGED */
    }
    CHECK_EQUAL(core_sequence(replica), sequence);
    CHECK_EQUAL(core_digest(replica), digest);
    free(memory);
    rig_end(&r);
}

/* ---- Stop -------------------------------------------------------------------------------------------------------- */

static void test_a_stop_ends_sessions_keeps_everything_and_says_good_bye(void) {
    for (int level = JOURNAL_PROCESS; level <= JOURNAL_DISK; level++) {
        rig_make(&r, 1);
        r.options.level = (journal_level)level;
        r.options.digest_interval_records = 1000;
        rig_start(&r);
        rig_define_market(&r);
        client pending, stranger;
        client_logon(&c, &r, 2, RESUME_NEW_ONLY, LOGON_OPTION_CANCEL_ON_DISCONNECT);
        rig_settle(&r);
        client_take_one(&c);
        CHECK(client_connect(&pending, &r, 3, rig_address(3)));
        client_request(&pending, RESUME_NEW_ONLY, 0);
        CHECK(client_send_request(&pending));
        CHECK(client_connect(&stranger, &r, 3, rig_address(3)));
        const wire_new_order order = client_order(&c, 2, SIDE_BUY, 100, 5);
        client_send(&c, &order);
        ingress_begin_stop(r.in);
        CHECK_EQUAL(ingress_finish(r.in, &r.error), INGRESS_OK);
        CHECK_EQUAL(rig_counters(&r)->connections_open, 0);
        CHECK_EQUAL(rig_counters(&r)->sessions_live, 0);

        CHECK_EQUAL(client_take(&c, got, 10), 3); /* the last sync released what was held back */
        CHECK_EQUAL(got[0].kind, EVENT_ACCEPTED);
        CHECK_EQUAL(got[1].kind, EVENT_CANCELLED);
        CHECK_EQUAL(got[2].kind, MESSAGE_SESSION_ENDED);
        CHECK_EQUAL(got[2].code, CODE_SERVER_STOPPING);
        CHECK_EQUAL(client_take_one(&pending).code, CODE_SERVER_STOPPING);
        CHECK_EQUAL(client_take_one(&stranger).code, CODE_SERVER_STOPPING);
        CHECK_EQUAL(rig_closed_code(&r, c.socket), CODE_SERVER_STOPPING);

        read_journal();
        CHECK_EQUAL(kind_at(record_count), KIND_DIGEST);
        CHECK_EQUAL(kind_at(record_count - 1), KIND_LOGOFF);
        snapshot_bytes = 0;
        CHECK(core_save(ingress_core(r.in), keep, NULL));
        const uint64_t sequence = core_sequence(ingress_core(r.in));
        ingress_close(r.in);

        CHECK_EQUAL(ingress_open(&r.options, host_sim_host(r.sim), &r.in, &r.error), INGRESS_OK);
        CHECK_EQUAL(ingress_recover(r.in, snapshot, snapshot_bytes, &r.found, &r.error), INGRESS_OK);
        CHECK_EQUAL(r.found.snapshot_sequence, sequence);
        CHECK_EQUAL(r.found.replayed_records, 0);
        CHECK_EQUAL(r.found.sessions_ended, 0);
        rig_end(&r);
    }
}

static void test_calls_with_the_name_of_a_closed_connection_do_nothing(void) {
    begin();
    client_logon(&c, &r, 2, RESUME_NEW_ONLY, 0);
    const client old = c;
    host_sim_peer_close(r.sim, c.socket);
    client_work(&c);
    CHECK(client_connect(&c, &r, 3, rig_address(1))); /* takes the same slot */
    CHECK_EQUAL((uint32_t)c.name, (uint32_t)old.name);
    CHECK(c.name != old.name);
    const uint32_t closed = r.closed_count;
    ingress_readable(r.in, old.name);
    ingress_writable(r.in, old.name);
    ingress_readable(r.in, UINT64_MAX);
    ingress_readable(r.in, 0);
    CHECK_EQUAL(r.closed_count, closed);
    client_request(&c, RESUME_NEW_ONLY, 0);
    CHECK(client_send_request(&c));
    rig_end(&r);
}

int main(void) {
    RUN(test_options_out_of_range_are_refused_with_a_sentence);
    RUN(test_the_first_record_of_a_start_is_a_term_and_then_old_sessions_end);
    RUN(test_a_client_goes_on_after_a_crash_where_it_was);
    RUN(test_time_never_falls_in_the_journal);
    RUN(test_a_snapshot_and_what_is_behind_it_give_the_same_state);
    RUN(test_a_snapshot_ahead_of_its_journal_is_refused);
    RUN(test_a_start_without_room_says_so);
    RUN(test_damage_below_what_was_durable_stops_the_start);
    RUN(test_smaller_capacities_than_the_journal_needs_are_named);
    RUN(test_ticks_come_while_a_session_is_live_and_nothing_else_happens);
    RUN(test_digests_are_written_and_are_those_of_a_replica);
    RUN(test_a_stop_ends_sessions_keeps_everything_and_says_good_bye);
    RUN(test_calls_with_the_name_of_a_closed_connection_do_nothing);
    return checks_done();
}
