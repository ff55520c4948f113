/* Arbitrary conversations with the ingress, on the simulated host.
 *
 * The input is a list of steps: connect, log on, send bytes, send frames (signed or spoiled), read, close, break, let
 * time pass, let the disk fill up, change keys, crash and start again. Frames of the signed kind get right tags and
 * mostly the right sequence, so that the fuzzer reaches the core and not only the door. What must hold after every
 * step:
 *
 *   - what a client gets is whole messages, and its report numbers rise by one from where it resumed;
 *   - nothing aborts: every INVARIANT of ingress, core and journal, and the sanitizers;
 * and at the end: core_check finds nothing, and a start from the journal reaches the same sequence.
 */
#include <stdlib.h>

#include "support/check.h"
#include "support/ingress_rig.h"

#define CLIENT_COUNT 6
#define CRASHES_MAX 3
#define STEPS_MAX 400

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

typedef struct talker {
    client c;
    bool connected, keyed;
    uint64_t next_report;      /* 0: not known yet */
    uint8_t cut[REPORT_BYTES]; /* a message that came in part */
    size_t cut_bytes;
} talker;

static rig r;
static talker talkers[CLIENT_COUNT];
static uint32_t crashes;
static bool stopping;

static void check_message(talker *t, const wire_report *m) {
    if (m->kind == MESSAGE_LOGON_ANSWER) return;
    if (m->report_number == 0) {
        CHECK(m->kind >= MESSAGE_REFUSED && m->kind <= MESSAGE_SESSION_ENDED);
        return;
    }
    CHECK(m->kind >= EVENT_ACCEPTED && m->kind <= EVENT_APPLIED);
    CHECK_EQUAL(m->key, t->c.answer.key); /* a change of keys may have given the id another number */
    if (t->next_report != 0) CHECK_EQUAL(m->report_number, t->next_report);
    t->next_report = m->report_number + 1;
}

static void take(talker *t) {
    uint8_t got[64 * REPORT_BYTES];
    if (!t->connected) return;
    size_t count = host_sim_peer_take(r.sim, t->c.socket, got, sizeof got - REPORT_BYTES);
    for (size_t i = 0; i < count; i++) {
        t->cut[t->cut_bytes++] = got[i];
        if (t->cut_bytes < REPORT_BYTES) continue;
        wire_report message;
        memcpy(&message, t->cut, sizeof message);
        check_message(t, &message);
        t->cut_bytes = 0;
    }
}

/* A logon that only tries the key: if it is answered, that was all. */
static void probe(talker *t) {
    client_request(&t->c, RESUME_PROBE, 0);
    if (!client_send_request(&t->c)) return;
    CHECK_EQUAL(t->c.answer.last_client_sequence, 0);
    CHECK_EQUAL(t->c.answer.last_report_number, 0);
    CHECK_EQUAL(rig_closed_code(&r, t->c.socket), CODE_NONE);
    CHECK_EQUAL(host_sim_peer_waiting(r.sim, t->c.socket), 0);
}

static void connect_and_log_on(talker *t, input *from) {
    const uint8_t how = byte(from);
    memset(t, 0, sizeof *t);
    t->connected = client_connect(&t->c, &r, 1 + how % RIG_KEY_COUNT, rig_address(how >> 5));
    if (!t->connected || (how & 16) != 0) return;
    if ((how & 12) == 12) {
        probe(t);
        return;
    }
    const uint8_t options = byte(from);
    core_key_info info = {0};
    core_key(ingress_core(r.in), t->c.key, &info);
    const uint64_t behind = options >> 1;
    const uint64_t resume = behind > info.last_report_number ? RESUME_NEW_ONLY : info.last_report_number - behind;
    client_request(&t->c, resume, options & 1);
    if (options == 255) t->c.request.mac[byte(from) % 32] ^= 1;
    t->keyed = client_send_request(&t->c);
    t->next_report = resume == RESUME_NEW_ONLY || t->c.answer.key != t->c.key ? 0 : resume + 1;
}

static void make_order(talker *t, input *from, wire_new_order *to) {
    uint8_t b[6];
    bytes(from, b, sizeof b);
    *to = client_order(&t->c, b[0] < 200 ? t->c.key : b[0] % 6, 1 + b[1] % 2, 90 + b[2] % 20, 1 + b[3] % 10);
    to->order_type = 1 + b[4] % 8 / 7;
    to->time_in_force = 1 + (b[4] >> 3) % 3;
    to->self_trade_prevention = 1 + b[5] % 5;
    to->options = b[5] >> 7;
}

/* A signed frame: mostly of a sensible kind with the next sequence. */
static void send_signed(talker *t, input *from) {
    uint8_t command[COMMAND_BYTES] = {0};
    const uint8_t how = byte(from);
    if (how < 128) {
        wire_new_order order;
        make_order(t, from, &order);
        memcpy(command, &order, sizeof order);
    } else {
        bytes(from, command, how < 200 ? 24 : COMMAND_BYTES);
        wire_header header;
        memcpy(&header, command, sizeof header);
        if (how < 240) header.client_sequence = header.kind == KIND_PING ? t->c.sequence : t->c.sequence + 1;
        if (how < 240 && header.kind != KIND_PING) t->c.sequence++;
        memcpy(command, &header, sizeof header);
    }
    client_queue(&t->c, command);
    if (how % 2 == 0) client_work(&t->c);
}

static void send_bytes(talker *t, input *from) {
    uint8_t some[200];
    const size_t count = byte(from) % sizeof some;
    bytes(from, some, count);
    client_write(&t->c, some, count);
    client_work(&t->c);
}

static void change_keys(input *from) {
    ingress_key keys[RIG_KEY_COUNT];
    memcpy(keys, r.keys, sizeof keys);
    for (uint32_t i = 0; i < RIG_KEY_COUNT; i++) {
        const uint8_t how = byte(from);
        if (how & 1) keys[i].permissions = (uint8_t)(how >> 3);
        if (how & 2) keys[i].messages_per_s = keys[i].message_burst = 1 + (how >> 4);
        if (how & 4) keys[i].number = 1 + (how >> 5) % 8;
    }
    (void)ingress_set_keys(r.in, keys, RIG_KEY_COUNT, &r.error);
}

static void crash(void) {
    if (++crashes > CRASHES_MAX || stopping) return;
    rig_crash(&r);
    host_sim_room(r.sim, 1ll << 40);
    memset(talkers, 0, sizeof talkers);
    rig_start(&r);
}

static void step(input *from) {
    const uint8_t what = byte(from);
    talker *t = &talkers[(what >> 4) % CLIENT_COUNT];
    switch (what & 15) {
    case 0: connect_and_log_on(t, from); break;
    case 1:
        if (t->connected) send_bytes(t, from);
        break;
    case 2:
        if (t->connected) host_sim_peer_close(r.sim, t->c.socket);
        break;
    case 3:
        if (t->connected) host_sim_socket_room(r.sim, t->c.socket, 10u * byte(from));
        break;
    case 4:
        if (t->connected) host_sim_socket_chunks(r.sim, t->c.socket, 1u + byte(from), 1u + byte(from));
        break;
    case 5: host_sim_advance(r.sim, (uint64_t)byte(from) * 100000000); break;
    case 6: ingress_on_timer(r.in); break;
    case 7:
        r.publisher_away = byte(from) % 4 == 0; /* level cluster */
        rig_settle(&r);
        break;
    case 8:
        if (t->connected) ingress_writable(r.in, t->c.name);
        break;
    case 9: host_sim_room(r.sim, byte(from) % 2 ? 1ll << 40 : 0); break;
    case 10:
        if (what == 0xfa) change_keys(from);
        else take(t);
        break;
    case 11:
        if (what == 0xfb) crash();
        else take(t);
        break;
    case 12:
        if (what == 0xfc) ingress_begin_stop(r.in), stopping = true;
        else take(t);
        break;
    default:
        if (t->keyed) send_signed(t, from);
        break;
    }
}

static void check_the_end(bool start_again) {
    const char *fault = core_check(ingress_core(r.in));
    if (fault != NULL) fprintf(stderr, "%s\n", fault);
    CHECK(fault == NULL);
    host_sim_room(r.sim, 1ll << 40);
    (void)ingress_finish(r.in, &r.error);
    CHECK_EQUAL(rig_counters(&r)->connections_open, 0);
    if (!start_again) return;
    const uint64_t end = core_sequence(ingress_core(r.in));
    ingress_close(r.in);
    r.in = NULL;
    CHECK_EQUAL(rig_recover(&r), INGRESS_OK);
    CHECK_EQUAL(r.found.journal.last_sequence, end);
    CHECK(core_check(ingress_core(r.in)) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input from = {.at = data, .left = size};
    memset(talkers, 0, sizeof talkers);
    crashes = 0;
    stopping = false;
    rig_make(&r, 1);
    const uint8_t how = byte(&from);
    if (how & 1) r.options.level = how & 128 ? JOURNAL_CLUSTER : JOURNAL_DISK;
    r.options.unshipped_records_max = 40 + (how & 16); /* the market itself takes some thirty */
    r.options.core.reports_kept = 256;
    r.options.refused_peer_max = how & 2 ? 2 : 0;
    r.options.tick_interval_ms = how & 4 ? 1000 : 0;
    r.options.digest_interval_records = how & 8 ? 5 : 0;
    r.options.core.order_count_max = how & 16 ? 16 : 256;
    r.options.core.nonce_count_max = how & 32 ? 4 : 64;
    rig_start(&r);
    rig_define_market(&r);
    for (int steps = 0; from.left > 0 && steps < STEPS_MAX; steps++) step(&from);
    for (int i = 0; i < CLIENT_COUNT; i++) take(&talkers[i]);
    check_the_end((how & 64) != 0);
    rig_end(&r);
    return 0;
}
