/* The logon: the first 96 bytes of a connection, and our answer to them.
 *
 *   client ── magic · key id · client nonce · time · last report · options │ HMAC(secret, those 64) ──▶
 *          ◀── idle time · server nonce · last sequence · last report · clock · key … │ HMAC(secret, both 64) ── engine
 *   session key = HMAC(secret, "IRONBK01 session" + client nonce + server nonce + key id)
 *
 * A probe (RESUME_PROBE) gets the answer and the end: whoever only tries a key must not cut those who use it.
 *
 * Who fails learns nothing: the same work is done for an unknown key as for a known one, and the answer to every
 * failure is the same message. The reason is only counted. A request that is sent again by somebody who recorded it
 * gets no further than an answer, for its session key needs the secret; its nonce stops it even there.
 */
#include <openssl/crypto.h>

#include "parts.h"
#include "proxy.h"

static const uint8_t magic[8] = {'I', 'R', 'O', 'N', 'B', 'K', '0', '1'};
static const uint8_t session_label[16] = {'I', 'R', 'O', 'N', 'B', 'K', '0', '1',
                                          ' ', 's', 'e', 's', 's', 'i', 'o', 'n'};

#define SIGNED_BYTES 64 /* of request and answer: all but the MAC */
static_assert(offsetof(wire_logon_request, mac) == SIGNED_BYTES, "what a request's MAC covers");
static_assert(offsetof(wire_logon_answer, mac) == SIGNED_BYTES, "what an answer's MAC covers");

/* ---- Nonces of logons -------------------------------------------------------------------------------------------- */

static uint64_t distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

static bool nonce_recent(const ingress *in, const uint8_t nonce[16]) {
    for (uint32_t i = 0; i < RECENT_NONCE_COUNT; i++) {
        const recent_nonce *r = &in->recent[i];
        if (r->timestamp_ns != 0 && memcmp(r->nonce, nonce, 16) == 0) return true;
    }
    return core_nonce_held(in->core, nonce);
}

static void nonce_remember(ingress *in, const wire_logon_request *request) {
    recent_nonce *r = &in->recent[in->recent_next++ % RECENT_NONCE_COUNT];
    memcpy(r->nonce, request->client_nonce, sizeof r->nonce);
    r->timestamp_ns = request->timestamp_ns;
}

/* ---- Checks ------------------------------------------------------------------------------------------------------ */

static bool well_formed(const wire_logon_request *request) {
    uint8_t set = request->options & (uint8_t)~LOGON_OPTION_CANCEL_ON_DISCONNECT;
    for (size_t i = 0; i < sizeof request->zero; i++) set |= request->zero[i];
    return set == 0 && memcmp(request->magic, magic, sizeof magic) == 0;
}

/* Which of the key's secrets made the MAC; -1 if none did. Two HMACs in any case. */
static int secret_of(const ingress *in, const key_slot *slot, const wire_logon_request *request) {
    int found = -1;
    for (int i = 0; i < (int)INGRESS_SECRETS_MAX; i++) {
        const bool real = i < slot->secret_count;
        uint8_t mac[HMAC_BYTES];
        hmac_of(real ? &slot->secrets[i] : &in->dummy_key, (const uint8_t *)request, SIGNED_BYTES, NULL, 0, mac);
        if (hmac_equal(mac, request->mac, sizeof mac) && real && found < 0) found = i;
    }
    return found;
}

/* The counter of the first rule that the request breaks; NULL if it keeps all of them. */
static uint64_t *fault(ingress *in, const connection *c, const wire_logon_request *request, uint32_t key, int secret) {
    ingress_counters *n = &in->counters;
    const key_slot *slot = &in->keys->slots[key];
    if (!well_formed(request)) return &n->logons_malformed;
    if (key == 0) return &n->logons_key_unknown;
    if (secret < 0) return &n->logons_mac_wrong;
    if (!keys_address_allowed(slot, c->address)) return &n->logons_address_forbidden;
    if (distance(request->timestamp_ns, in->wall_ns) > in->options.core.nonce_window_ns) return &n->logons_time_outside;
    if (nonce_recent(in, request->client_nonce)) return &n->logons_nonce_repeated;
    return NULL;
}

static outcome refuse(ingress *in, connection *c) {
    if (peers_count(&in->peers, c->address, in->steady_ns)) in->counters.peers_blocked++;
    session_end(in, c, CODE_LOGON_REFUSED, LOGOFF_REASON_REFUSED);
    return ENDED;
}

/* ---- The answer -------------------------------------------------------------------------------------------------- */

static void make_session_key(connection *c, const hmac_key *secret, const wire_logon_request *request,
                             const uint8_t server_nonce[16]) {
    uint8_t seed[64], session_secret[HMAC_BYTES];
    memcpy(seed, session_label, 16);
    memcpy(seed + 16, request->client_nonce, 16);
    memcpy(seed + 32, server_nonce, 16);
    memcpy(seed + 48, request->key_id, 16);
    hmac_of(secret, seed, sizeof seed, NULL, 0, session_secret);
    hmac_key_set(&c->session_key, session_secret);
    OPENSSL_cleanse(session_secret, sizeof session_secret);
}

/* A key has one session that is pending: the newest. So a client that connects over and over takes one slot, not all.
 * */
static void replace_pending(ingress *in, uint32_t key) {
    for (uint32_t i = 0; i < in->options.connection_count_max; i++) {
        connection *c = &in->connections[i];
        if (c->state != PENDING || c->key != key) continue;
        session_end(in, c, CODE_SESSION_REPLACED, LOGOFF_REASON_REPLACED);
        return;
    }
}

static outcome answer(ingress *in, connection *c, const wire_logon_request *request, uint32_t key, uint32_t secret) {
    const bool probe = request->last_report_number == RESUME_PROBE;
    const key_slot *slot = &in->keys->slots[key];
    const key_state *k = &in->states[key];
    wire_logon_answer a = {.kind = MESSAGE_LOGON_ANSWER,
                           .idle_ms = in->options.idle_ms,
                           .last_client_sequence = probe ? 0 : k->last_client_sequence,
                           .last_report_number = probe ? 0 : k->last_report,
                           .server_time_ns = in->wall_ns,
                           .key = (uint16_t)key,
                           .account = slot->account,
                           .permissions = slot->permissions};
    if (in->host->random(in->host->self, a.server_nonce, sizeof a.server_nonce) != 0) return refuse(in, c);
    hmac_of(&slot->secrets[secret], (const uint8_t *)request, SIGNED_BYTES, (const uint8_t *)&a, SIGNED_BYTES, a.mac);
    nonce_remember(in, request);
    in->counters.logons_good++;
    if (probe) { /* it names nothing recorded, so it need not wait for the disk */
        outbound_last(in, c, &a);
        session_end(in, c, CODE_NONE, LOGOFF_REASON_REFUSED);
        return ENDED;
    }

    make_session_key(c, &slot->secrets[secret], request, a.server_nonce);
    replace_pending(in, key);
    c->state = PENDING;
    c->key = key;
    c->secret_index = (uint8_t)secret;
    c->logon_options = request->options;
    c->logon_timestamp_ns = request->timestamp_ns;
    memcpy(c->logon_nonce, request->client_nonce, sizeof c->logon_nonce);
    c->last_seen_ns = in->steady_ns;
    c->sent_report = request->last_report_number == RESUME_NEW_ONLY ? k->last_report : request->last_report_number;
    outbound_put(in, c, &a);
    if (session_reports_there(in, key, c->sent_report)) return DONE;
    outbound_flush(in, c);
    if (c->held) return DONE; /* the answer first, when the disk has it; the first frame ends it */
    session_end(in, c, CODE_REPORTS_UNAVAILABLE, LOGOFF_REASON_REFUSED);
    return ENDED;
}

/* ---- Bytes of a stranger ----------------------------------------------------------------------------------------- */

static void drop_front(connection *c, uint32_t bytes) {
    c->buffer_used -= bytes;
    memmove(c->buffer, c->buffer + bytes, c->buffer_used);
}

/* DONE with state NEW: the header has been read. */
static outcome take_proxy_header(ingress *in, connection *c) {
    const int bytes = proxy_header(c->buffer, c->buffer_used, c->address);
    if (bytes == 0) return DONE;
    if (bytes < 0) {
        in->counters.proxy_malformed++;
        session_end(in, c, CODE_LOGON_REFUSED, LOGOFF_REASON_REFUSED);
        return ENDED;
    }
    drop_front(c, (uint32_t)bytes);
    c->state = NEW;
    return DONE;
}

outcome logon_take(ingress *in, connection *c) {
    if (c->state == PROXIED) {
        const outcome outcome = take_proxy_header(in, c);
        if (outcome != DONE || c->state == PROXIED) return outcome;
    }
    if (peers_refused(&in->peers, c->address, in->steady_ns)) {
        in->counters.peers_refused++;
        session_end(in, c, CODE_LOGON_REFUSED, LOGOFF_REASON_REFUSED);
        return ENDED;
    }
    const uint32_t seen = c->buffer_used < sizeof magic ? c->buffer_used : (uint32_t)sizeof magic;
    if (memcmp(c->buffer, magic, seen) != 0) { /* another protocol: don't wait for 96 bytes of it */
        in->counters.logons_malformed++;
        return refuse(in, c);
    }
    if (c->buffer_used < LOGON_BYTES) return DONE;
    wire_logon_request request;
    memcpy(&request, c->buffer, sizeof request);
    drop_front(c, LOGON_BYTES);
    const uint32_t key = keys_find(in->keys, request.key_id);
    const int secret = secret_of(in, &in->keys->slots[key], &request);
    uint64_t *broken = fault(in, c, &request, key, secret);
    if (broken == NULL) return answer(in, c, &request, key, (uint32_t)secret);
    ++*broken;
    return refuse(in, c);
}
