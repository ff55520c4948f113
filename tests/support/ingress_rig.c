/* An ingress on the simulated host: see ingress_rig.h for the picture. */
#include "ingress_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORY "journal"

static void must(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "ingress_rig: must hold: %s\n", what);
    exit(1);
}

/* ---- The rig ----------------------------------------------------------------------------------------------------- */

static void on_closed(void *self, int socket, uint16_t code) {
    rig *r = self;
    must(r->closed_count < RIG_CLOSED_MAX, "few enough connections are closed");
    r->closed[r->closed_count].socket = socket;
    r->closed[r->closed_count++].code = code;
}

static void on_want_write(void *self, int socket, bool wanted) {
    rig *r = self;
    (void)socket;
    r->want_write_count += wanted ? 1 : -1;
}

static void on_failed(void *self, const char *why) {
    rig *r = self;
    (void)why;
    r->failed = true;
}

static void make_key(ingress_key *key, uint32_t number, const char *id, uint8_t permissions) {
    *key = (ingress_key){.number = number, .secret_count = 1, .account = number, .permissions = permissions};
    memcpy(key->id, id, strlen(id));
    memset(key->secrets[0], (int)number, sizeof key->secrets[0]);
}

void rig_make(rig *r, uint64_t seed) {
    memset(r, 0, sizeof *r);
    r->sim = host_sim_open(seed);
    r->options = (ingress_options){
        .core = {.asset_count_max = 4,
                 .extra_count_max = 16,
                 .instrument_count_max = 4,
                 .account_count_max = 8,
                 .key_count_max = 8,
                 .order_count_max = 4096,
                 .level_count_max = 1024,
                 .ladder_count_max = 4096,
                 .balance_count_max = 32,
                 .position_count_max = 32,
                 .nonce_count_max = 64,
                 .reports_kept = 1024,
                 .nonce_window_ns = 300 * RIG_SECOND_NS},
        .journal_directory = DIRECTORY,
        .shard = 1,
        .node = 7,
        .segment_records = 4096,
        .sync_interval_us = 100,
        .level = JOURNAL_PROCESS,
        .unshipped_records_max = 100000,
        .sync_cpu = JOURNAL_STEPPED,
        .wake = -1,
        .connection_count_max = 16,
        .idle_ms = 30000,
        .logon_timeout_ms = 5000,
        .refused_peer_max = 0,
        .calls = {.self = r, .closed = on_closed, .want_write = on_want_write, .failed = on_failed},
    };
    make_key(&r->keys[0], 1, "admin",
             PERMISSION_TRADE | PERMISSION_CANCEL | PERMISSION_READ | PERMISSION_ADMIN | PERMISSION_DELEGATE);
    make_key(&r->keys[1], 2, "trader", PERMISSION_TRADE | PERMISSION_CANCEL);
    make_key(&r->keys[2], 3, "other", PERMISSION_TRADE | PERMISSION_CANCEL);
    make_key(&r->keys[3], 4, "delegate", PERMISSION_TRADE | PERMISSION_CANCEL | PERMISSION_DELEGATE);
}

ingress_status rig_recover(rig *r) {
    const ingress_status status = ingress_open(&r->options, host_sim_host(r->sim), &r->in, &r->error);
    if (status != INGRESS_OK) return status;
    return ingress_recover(r->in, NULL, 0, &r->found, &r->error);
}

void rig_start(rig *r) {
    r->closed_count = 0;
    r->failed = false;
    const ingress_status status = rig_recover(r);
    if (status != INGRESS_OK) fprintf(stderr, "%s\n", r->error.text);
    must(status == INGRESS_OK, "the ingress starts");
    must(ingress_set_keys(r->in, r->keys, RIG_KEY_COUNT, &r->error) == INGRESS_OK, "the keys are good");
}

void rig_crash(rig *r) {
    host_sim_kill(r->sim);
    ingress_close(r->in);
    r->in = NULL;
    host_sim_restart(r->sim);
    r->want_write_count = 0;
}

void rig_end(rig *r) {
    ingress_close(r->in);
    host_sim_close(r->sim);
}

const ingress_counters *rig_counters(const rig *r) { return ingress_get_counters(r->in); }

uint16_t rig_closed_code(const rig *r, int socket) {
    for (uint32_t i = 0; i < r->closed_count; i++)
        if (r->closed[i].socket == socket) return r->closed[i].code;
    return 0xffff;
}

void rig_wait(rig *r, uint64_t ns) {
    for (uint64_t step; ns > 0; ns -= step) {
        step = ns < RIG_SECOND_NS / 2 ? ns : RIG_SECOND_NS / 2;
        host_sim_advance(r->sim, step);
        ingress_on_timer(r->in);
    }
}

uint64_t rig_ship(rig *r, uint64_t most) {
    journal_reader *reader;
    journal_error error;
    if (journal_reader_open(DIRECTORY, host_sim_host(r->sim), 1, &reader, &error) != JOURNAL_OK) {
        must(host_sim_is_off(r->sim), "a publisher can read the journal");
        return 0;
    }
    const uint64_t there = journal_reader_shippable(reader);
    must(journal_reader_ship(reader, there < most ? there : most, &error) == JOURNAL_OK || host_sim_is_off(r->sim),
         "a publisher can say what is shipped");
    const uint64_t shipped = journal_reader_shipped(reader);
    journal_reader_close(reader);
    return shipped;
}

void rig_settle(rig *r) {
    while (ingress_step(r->in)) continue;
    if (r->options.level == JOURNAL_CLUSTER && !r->publisher_away) rig_ship(r, UINT64_MAX);
    while (ingress_step(r->in)) continue;
    ingress_on_wake(r->in);
}

/* ---- Clients ----------------------------------------------------------------------------------------------------- */

const uint8_t *rig_address(uint8_t last) {
    static uint8_t address[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0};
    address[15] = last;
    return address;
}

bool client_connect(client *c, rig *r, uint32_t key, const uint8_t address[16]) {
    memset(c, 0, sizeof *c);
    c->r = r;
    c->key = key;
    c->socket = host_sim_socket(r->sim);
    return ingress_accept(r->in, c->socket, address, false, &c->name) == INGRESS_OK;
}

void client_sign_request(client *c, const uint8_t secret[32]) {
    hmac_key key;
    hmac_key_set(&key, secret);
    hmac_of(&key, (const uint8_t *)&c->request, 64, NULL, 0, c->request.mac);
}

void client_request(client *c, uint64_t last_report, uint8_t options) {
    const ingress_key *key = &c->r->keys[c->key - 1];
    const host *h = host_sim_host(c->r->sim);
    c->request =
        (wire_logon_request){.timestamp_ns = h->now_ns(h->self), .last_report_number = last_report, .options = options};
    memcpy(c->request.magic, "IRONBK01", 8);
    memcpy(c->request.key_id, key->id, 16);
    must(h->random(h->self, c->request.client_nonce, 16) == 0, "there is randomness");
    client_sign_request(c, key->secrets[0]);
}

bool client_send_request(client *c) {
    client_write(c, &c->request, sizeof c->request);
    client_work(c);
    if (host_sim_peer_waiting(c->r->sim, c->socket) == 0) rig_settle(c->r); /* the answer may wait for the disk */
    if (host_sim_peer_waiting(c->r->sim, c->socket) < sizeof c->answer) return false;
    host_sim_peer_take(c->r->sim, c->socket, &c->answer, sizeof c->answer);
    if (c->answer.kind != MESSAGE_LOGON_ANSWER) return false;

    hmac_key secret;
    uint8_t seed[64], mac[32], session_secret[32];
    hmac_key_set(&secret, c->r->keys[c->key - 1].secrets[0]);
    hmac_of(&secret, (const uint8_t *)&c->request, 64, (const uint8_t *)&c->answer, 64, mac);
    if (memcmp(mac, c->answer.mac, sizeof mac) != 0) return false;
    memcpy(seed, "IRONBK01 session", 16);
    memcpy(seed + 16, c->request.client_nonce, 16);
    memcpy(seed + 32, c->answer.server_nonce, 16);
    memcpy(seed + 48, c->request.key_id, 16);
    hmac_of(&secret, seed, sizeof seed, NULL, 0, session_secret);
    hmac_key_set(&c->session_key, session_secret);
    c->sequence = c->answer.last_client_sequence;
    return true;
}

void client_logon(client *c, rig *r, uint32_t key, uint64_t last_report, uint8_t options) {
    must(client_connect(c, r, key, rig_address((uint8_t)key)), "the connection is accepted");
    client_request(c, last_report, options);
    must(client_send_request(c), "the logon is answered");
    const wire_ping ping = client_ping(c, 1);
    client_send(c, &ping);
}

void client_sign(const client *c, const void *command, uint8_t frame[FRAME_BYTES]) {
    memcpy(frame, command, COMMAND_BYTES);
    hmac_tag(&c->session_key, frame, frame + COMMAND_BYTES);
}

void client_write(client *c, const void *bytes, size_t count) {
    host_sim_peer_send(c->r->sim, c->socket, bytes, count);
}

void client_work(client *c) {
    for (int i = 0; i < 64; i++) ingress_readable(c->r->in, c->name);
}

void client_queue(client *c, const void *command) {
    uint8_t frame[FRAME_BYTES];
    client_sign(c, command, frame);
    client_write(c, frame, sizeof frame);
}

void client_send(client *c, const void *command) {
    client_queue(c, command);
    client_work(c);
}

uint32_t client_take(client *c, wire_report *out, uint32_t room) {
    client_work(c);
    const size_t bytes = host_sim_peer_take(c->r->sim, c->socket, out, room * sizeof *out);
    must(bytes % sizeof *out == 0, "whole messages come");
    return (uint32_t)(bytes / sizeof *out);
}

wire_report client_take_one(client *c) {
    wire_report two[2];
    const uint32_t count = client_take(c, two, 2);
    if (count != 1) fprintf(stderr, "%u messages came\n", count);
    must(count == 1, "exactly one message has come");
    return two[0];
}

wire_new_order client_order(client *c, uint32_t account, uint8_t side, int64_t price, int64_t quantity) {
    return (wire_new_order){.kind = KIND_NEW_ORDER,
                            .client_sequence = ++c->sequence,
                            .account = account,
                            .instrument = 1,
                            .price_ticks = price,
                            .quantity_lots = quantity,
                            .side = side,
                            .order_type = ORDER_TYPE_LIMIT,
                            .time_in_force = TIME_IN_FORCE_GOOD_TILL_CANCELLED,
                            .self_trade_prevention = SELF_TRADE_PREVENTION_NONE};
}

wire_ping client_ping(const client *c, uint64_t echo) {
    return (wire_ping){.kind = KIND_PING, .client_sequence = c->sequence, .echo = echo};
}

/* ---- A market ---------------------------------------------------------------------------------------------------- */

static void name(client *c, const char *text) {
    wire_text t = {.kind = KIND_TEXT, .client_sequence = ++c->sequence};
    memcpy(t.text, text, strlen(text));
    client_queue(c, &t);
}

void rig_define_market(rig *r) {
    client c;
    wire_report reports[64];
    client_logon(&c, r, 1, RESUME_NEW_ONLY, 0);
    for (uint32_t asset = 1; asset <= 2; asset++) {
        name(&c, asset == 1 ? "BASE" : "QUOTE");
        const wire_asset a = {.kind = KIND_ASSET, .client_sequence = ++c.sequence, .asset = asset};
        client_queue(&c, &a);
    }
    name(&c, "BASE-QUOTE");
    const wire_instrument i = {.kind = KIND_INSTRUMENT,
                               .client_sequence = ++c.sequence,
                               .instrument = 1,
                               .base_asset = 1,
                               .quote_asset = 2,
                               .trading_state = TRADING_STATE_OPEN,
                               .base_units_per_lot = 1,
                               .quote_units_per_tick_lot = 1};
    client_queue(&c, &i);
    for (uint32_t account = 1; account <= 4; account++) {
        const wire_account a = {.kind = KIND_ACCOUNT, .client_sequence = ++c.sequence, .account = account};
        client_queue(&c, &a);
        for (uint32_t asset = 1; asset <= 2; asset++) {
            const wire_deposit d = {.kind = KIND_DEPOSIT,
                                    .client_sequence = ++c.sequence,
                                    .account = account,
                                    .asset = asset,
                                    .amount_units = 1000000000};
            client_queue(&c, &d);
        }
    }
    client_work(&c);
    rig_settle(r);
    const uint32_t count = client_take(&c, reports, 64);
    must(count == 1 + 15, "a pong and a report for each definition came");
    for (uint32_t n = 1; n < count; n++) must(reports[n].kind == EVENT_APPLIED, "every definition is applied");
    host_sim_peer_close(r->sim, c.socket);
    client_work(&c);
    rig_settle(r);
}
