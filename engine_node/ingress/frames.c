/* The hot path: signed frames, one after the other, to commands in the journal.
 *
 *   tag ─▶ pending? begin ─▶ ping? pong ─▶ sequence ─▶ prefix? wait ─▶ room ─▶ rate ─▶ may it? ─▶ core ─▶ journal
 *    │wrong                                  │lower: repeat             │no       │over    │no
 *    ▼                                       │higher: gap, the end      ▼         ▼        ▼
 *   the end                                                          refused, unrecorded   recorded as `refused`
 *
 * A frame that was refused unrecorded has not used its number. All that the client had already sent behind it would
 * be a gap, so until that number comes again they are `earlier_refused` instead of the end of the session. Prefixes
 * wait in the connection and are recorded with the frame that closes them, all or none.
 */
#include <errno.h>

#include "parts.h"

/* ---- What each kind may carry ------------------------------------------------------------------------------------ */

enum kind_class { UNKNOWN, TRADER, ADMIN, PREFIX, PING };

enum { NO_FIELD = 0 }; /* offset 0 is the kind itself, so no other field stands there */

typedef struct kind_rule {
    uint8_t class;
    uint8_t permission; /* PERMISSION_...; 0: none needed */
    uint8_t account;    /* offsets into the command of the fields that a `refused` record repeats */
    uint8_t instrument;
    uint8_t client_order_id;
} kind_rule;

static const kind_rule rules[256] = {
    [KIND_NEW_ORDER] = {TRADER, PERMISSION_TRADE, offsetof(wire_new_order, account),
                        offsetof(wire_new_order, instrument), offsetof(wire_new_order, client_order_id)},
    [KIND_CANCEL] = {TRADER, PERMISSION_CANCEL, offsetof(wire_cancel, account), offsetof(wire_cancel, instrument),
                     offsetof(wire_cancel, client_order_id)},
    [KIND_REPLACE] = {TRADER, PERMISSION_TRADE, offsetof(wire_replace, account), offsetof(wire_replace, instrument),
                      offsetof(wire_replace, target_client_order_id)},
    [KIND_MASS_CANCEL] = {TRADER, PERMISSION_CANCEL, offsetof(wire_mass_cancel, account),
                          offsetof(wire_mass_cancel, instrument), offsetof(wire_mass_cancel, client_order_id)},
    [KIND_PING] = {PING, 0, NO_FIELD, NO_FIELD, NO_FIELD},
    [KIND_COUNTDOWN_CANCEL] = {TRADER, PERMISSION_CANCEL, offsetof(wire_countdown_cancel, account), NO_FIELD,
                               offsetof(wire_countdown_cancel, client_order_id)},
    [KIND_ASSET] = {ADMIN, PERMISSION_ADMIN, NO_FIELD, NO_FIELD, NO_FIELD},
    [KIND_INSTRUMENT] = {ADMIN, PERMISSION_ADMIN, NO_FIELD, offsetof(wire_instrument, instrument), NO_FIELD},
    [KIND_INSTRUMENT_LIMITS] = {ADMIN, PERMISSION_ADMIN, NO_FIELD, offsetof(wire_instrument_limits, instrument),
                                NO_FIELD},
    [KIND_ACCOUNT] = {ADMIN, PERMISSION_ADMIN, offsetof(wire_account, account), NO_FIELD, NO_FIELD},
    [KIND_ACCOUNT_LIMITS] = {ADMIN, PERMISSION_ADMIN, offsetof(wire_account_limits, account), NO_FIELD, NO_FIELD},
    [KIND_DEPOSIT] = {ADMIN, PERMISSION_ADMIN, offsetof(wire_deposit, account), NO_FIELD, NO_FIELD},
    [KIND_WITHDRAWAL] = {ADMIN, PERMISSION_ADMIN, offsetof(wire_withdrawal, account), NO_FIELD, NO_FIELD},
    [KIND_HALT] = {ADMIN, PERMISSION_ADMIN, NO_FIELD, NO_FIELD, NO_FIELD},
    [KIND_INSTRUMENT_STATE] = {ADMIN, PERMISSION_ADMIN, NO_FIELD, offsetof(wire_instrument_state, instrument),
                               NO_FIELD},
    [KIND_CIRCUIT_BREAKER] = {ADMIN, PERMISSION_ADMIN, NO_FIELD, offsetof(wire_circuit_breaker, instrument), NO_FIELD},
    [KIND_FEE_TIER] = {ADMIN, PERMISSION_ADMIN, NO_FIELD, offsetof(wire_fee_tier, instrument), NO_FIELD},
    [KIND_PRICE_STEP] = {ADMIN, PERMISSION_ADMIN, NO_FIELD, offsetof(wire_price_step, instrument), NO_FIELD},
    [KIND_BALANCE_FLOOR] = {ADMIN, PERMISSION_ADMIN, offsetof(wire_balance_floor, account), NO_FIELD, NO_FIELD},
    [KIND_TRADE_BUST] = {ADMIN, PERMISSION_ADMIN, NO_FIELD, offsetof(wire_trade_bust, instrument), NO_FIELD},
    [KIND_TRADE_CORRECTION] = {ADMIN, PERMISSION_ADMIN, NO_FIELD, offsetof(wire_trade_correction, instrument),
                               NO_FIELD},
    [KIND_FEE_PAYOUT] = {ADMIN, PERMISSION_ADMIN, offsetof(wire_fee_payout, account), NO_FIELD, NO_FIELD},
    [KIND_TEXT] = {PREFIX, 0, NO_FIELD, NO_FIELD, NO_FIELD},
    [KIND_NONCE] = {PREFIX, PERMISSION_DELEGATE, NO_FIELD, NO_FIELD, NO_FIELD},
    [KIND_ORDER_TERMS] = {PREFIX, 0, NO_FIELD, NO_FIELD, NO_FIELD},
    [KIND_ORDER_LINK] = {PREFIX, 0, NO_FIELD, NO_FIELD, NO_FIELD},
};

static uint32_t field32(const uint8_t *command, uint8_t offset) {
    uint32_t value = 0;
    if (offset != NO_FIELD) memcpy(&value, command + offset, sizeof value);
    return value;
}

static uint64_t field64(const uint8_t *command, uint8_t offset) {
    uint64_t value = 0;
    if (offset != NO_FIELD) memcpy(&value, command + offset, sizeof value);
    return value;
}

/* Why this key may not send this command; CODE_NONE if it may. In the order in which codes win. */
static inline uint16_t forbidden(const key_slot *slot, const kind_rule *rule, const uint8_t *command) {
    if (rule->class == UNKNOWN) return CODE_KIND_UNKNOWN;
    if ((slot->permissions & rule->permission) != rule->permission) return CODE_KIND_FORBIDDEN;
    if (rule->class != TRADER || field32(command, rule->account) == slot->account) return CODE_NONE;
    return (slot->permissions & (PERMISSION_DELEGATE | PERMISSION_ADMIN)) != 0 ? CODE_NONE : CODE_ACCOUNT_FORBIDDEN;
}

/* Does a waiting prefix cancel an order before the one it stands before? That needs what a cancel needs. */
static bool cancels_first(const connection *c) {
    for (uint32_t i = 0; i < c->prefix_count; i++) {
        const uint8_t *command = c->prefixes[i].command;
        if (command[0] == KIND_ORDER_LINK && command[offsetof(wire_order_link, action)] == LINK_ACTION_CANCEL_FIRST)
            return true;
    }
    return false;
}

/* Cancels of every kind, and a halt. */
static bool takes_risk_away(const kind_rule *rule, uint8_t kind) {
    return rule->permission == PERMISSION_CANCEL || kind == KIND_HALT;
}

/* The record that stands for a command that the key may not send. */
static void make_refused(wire_record *record, const kind_rule *rule, const uint8_t *command, uint16_t code) {
    wire_header header;
    memcpy(&header, command, sizeof header);
    const wire_refused refused = {.kind = KIND_REFUSED,
                                  .client_sequence = header.client_sequence,
                                  .account = field32(command, rule->account),
                                  .instrument = field32(command, rule->instrument),
                                  .client_order_id = field64(command, rule->client_order_id),
                                  .code = code,
                                  .refused_kind = command[0]};
    memcpy(record->command, &refused, sizeof refused);
}

/* ---- Refused, unrecorded ----------------------------------------------------------------------------------------- */

/* Neither this frame nor the prefixes before it were recorded: each is told so, and may come again. */
static outcome refuse(ingress *in, connection *c, uint16_t code, uint64_t client_sequence) {
    ingress_counters *n = &in->counters;
    uint64_t *counter = code == CODE_JOURNAL_NO_ROOM         ? &n->refused_journal_no_room
                        : code == CODE_CORE_NO_ROOM          ? &n->refused_core_no_room
                        : code == CODE_MESSAGE_RATE_EXCEEDED ? &n->refused_message_rate
                        : code == CODE_ENGINE_STOPPING       ? &n->refused_stopping
                        : code == CODE_CLUSTER_BEHIND        ? &n->refused_cluster_behind
                                                             : &n->refused_earlier;
    *counter += c->prefix_count + 1u;
    for (uint64_t s = client_sequence - c->prefix_count; s <= client_sequence; s++)
        outbound_message(in, c, MESSAGE_REFUSED, code, s, 0);
    c->prefix_count = 0;
    c->refusing = true;
    return DONE;
}

static outcome end(ingress *in, connection *c, uint16_t code) {
    session_end(in, c, code, LOGOFF_REASON_REFUSED);
    return ENDED;
}

/* ---- Frames by kind ---------------------------------------------------------------------------------------------- */

static outcome take_ping(ingress *in, connection *c, const uint8_t *frame, uint64_t last) {
    wire_ping ping;
    memcpy(&ping, frame, sizeof ping);
    in->counters.pings++;
    if (c->prefix_count > 0) return end(in, c, CODE_PREFIX_INVALID);
    if (ping.client_sequence > last && !c->refusing) return end(in, c, CODE_SEQUENCE_GAP);
    if (!keys_rate_take(&in->keys->slots[c->key], 1, &in->states[c->key].ahead_ns, in->steady_ns)) {
        in->counters.refused_message_rate++;
        outbound_message(in, c, MESSAGE_REFUSED, CODE_MESSAGE_RATE_EXCEEDED, ping.client_sequence, 0);
    } else if (ping.client_sequence < last) {
        in->counters.repeats++;
        outbound_message(in, c, MESSAGE_REPEAT, CODE_NONE, ping.client_sequence, 0);
    } else {
        outbound_message(in, c, MESSAGE_PONG, CODE_NONE, ping.echo, last);
    }
    return DONE;
}

/* The number is not the one expected. */
static outcome take_out_of_sequence(ingress *in, connection *c, uint64_t client_sequence, uint64_t expected) {
    if (c->prefix_count > 0) return end(in, c, CODE_PREFIX_INVALID);
    if (client_sequence < expected) {
        in->counters.repeats++;
        outbound_message(in, c, MESSAGE_REPEAT, CODE_NONE, client_sequence, 0);
        return DONE;
    }
    if (c->refusing) return refuse(in, c, CODE_EARLIER_REFUSED, client_sequence);
    return end(in, c, CODE_SEQUENCE_GAP);
}

static outcome take_prefix(ingress *in, connection *c, const key_slot *slot, const uint8_t *frame) {
    if (c->prefix_count == PREFIX_COUNT_MAX) return end(in, c, CODE_PREFIX_INVALID);
    for (uint32_t i = 0; i < c->prefix_count; i++)
        if (c->prefixes[i].command[0] == frame[0]) return end(in, c, CODE_PREFIX_INVALID);
    const uint8_t permission = rules[frame[0]].permission;
    if ((slot->permissions & permission) != permission) return end(in, c, CODE_PREFIX_INVALID);
    memcpy(c->prefixes[c->prefix_count++].command, frame, COMMAND_BYTES);
    in->counters.prefixes++;
    return DONE;
}

/* A frame that closes a command: alone, or with the prefixes that wait for it. */
static outcome take_command(ingress *in, connection *c, const key_slot *slot, const uint8_t *frame,
                            uint64_t client_sequence) {
    key_state *k = &in->states[c->key];
    const uint32_t count = c->prefix_count + 1u;
    if (in->stopping) return refuse(in, c, CODE_ENGINE_STOPPING, client_sequence);
    const room room = journal_room(in, count);
    if (room == ROOM_WAIT) return STALLED;
    if (room == ROOM_NONE) return refuse(in, c, CODE_JOURNAL_NO_ROOM, client_sequence);
    const kind_rule *rule = &rules[frame[0]];
    if (in->clustered && cluster_behind(in, takes_risk_away(rule, frame[0])))
        return refuse(in, c, CODE_CLUSTER_BEHIND, client_sequence);
    if (!keys_rate_take(slot, count, &k->ahead_ns, in->steady_ns))
        return refuse(in, c, CODE_MESSAGE_RATE_EXCEEDED, client_sequence);

    wire_record records[CORE_GROUP_MAX];
    for (uint32_t i = 0; i < c->prefix_count; i++) memcpy(records[i].command, c->prefixes[i].command, COMMAND_BYTES);
    uint16_t code = forbidden(slot, rule, frame);
    if ((code == CODE_NONE || code == CODE_ACCOUNT_FORBIDDEN) && cancels_first(c) &&
        (slot->permissions & PERMISSION_CANCEL) == 0)
        code = CODE_KIND_FORBIDDEN;
    if (code == CODE_NONE) memcpy(records[count - 1].command, frame, COMMAND_BYTES);
    else make_refused(&records[count - 1], rule, frame, code);
    for (uint32_t i = 0; i < count; i++) {
        records[i].key = c->key;
        records[i].crc = 0;
        records[i].received_ns = in->now_ns;
    }
    if (record_group(in, records, count) == CORE_E_FULL) return refuse(in, c, CODE_CORE_NO_ROOM, client_sequence);
    k->last_client_sequence = client_sequence;
    c->prefix_count = 0;
    in->counters.commands++;
    if (code != CODE_NONE) in->counters.recorded_refusals++;
    return DONE;
}

/* The first valid frame of a pending session. DONE and still pending: it was refused, or is no reason to begin. */
static outcome take_first(ingress *in, connection *c, uint64_t client_sequence, bool is_ping) {
    const uint64_t usable = in->states[c->key].last_client_sequence + (is_ping ? 0 : 1);
    if (client_sequence > usable && !c->refusing) return end(in, c, CODE_SEQUENCE_GAP);
    if (client_sequence > usable && !is_ping) return refuse(in, c, CODE_EARLIER_REFUSED, client_sequence);
    const outcome begun = session_begin(in, c, client_sequence);
    if (begun == DONE && c->state == PENDING && !is_ping) c->refusing = true;
    return begun;
}

static outcome take_frame(ingress *in, connection *c, const uint8_t *frame, bool authentic) {
    if (!authentic) {
        if (peers_count(&in->peers, c->address, in->steady_ns)) in->counters.peers_blocked++;
        return end(in, c, CODE_FRAME_REFUSED);
    }
    wire_header header;
    memcpy(&header, frame, sizeof header);
    const uint8_t class = rules[header.kind].class;
    if (c->state == PENDING) {
        const outcome begun = take_first(in, c, header.client_sequence, class == PING);
        if (begun != DONE || c->state == PENDING) return begun;
    }
    const uint64_t last = in->states[c->key].last_client_sequence;
    if (class == PING) return take_ping(in, c, frame, last);
    const uint64_t expected = last + c->prefix_count + 1;
    if (header.client_sequence != expected) return take_out_of_sequence(in, c, header.client_sequence, expected);
    c->refusing = false;
    const key_slot *slot = &in->keys->slots[c->key];
    if (class == PREFIX) return take_prefix(in, c, slot, frame);
    return take_command(in, c, slot, frame, header.client_sequence);
}

/* A burst tells the core which memory it will want: it reads the commands of the frames ahead, not yet authentic, as
 * hints for the cache and for nothing else. */
static_assert(sizeof(wire_record) == FRAME_BYTES && offsetof(wire_record, command) == 0,
              "a frame is as long as a record");

void frames_take(ingress *in, connection *c) {
    static_assert(FRAME_BYTES == RECORD_BYTES, "a buffer of frames can be looked ahead into as records");
    uint32_t at = 0, authentic = 0; /* how many of those at `at` are known to be */
    while (c->buffer_used - at >= FRAME_BYTES && c->doomed == 0 && !in->stalled) {
        if (!outbound_room(in, c, CORE_GROUP_MAX)) { /* a frame and its prefixes may get a message each */
            ingress_stall(in);
            break;
        }
        const uint8_t *frame = c->buffer + at;
        const uint32_t known = (c->buffer_used - at) / FRAME_BYTES;
        core_look_ahead(in->core, (const wire_record *)frame, known);
        if (authentic == 0) authentic = hmac_frames_good(&c->session_key, frame, known);
        const outcome outcome = take_frame(in, c, frame, authentic > 0);
        if (outcome == ENDED) return;
        if (outcome == STALLED) {
            ingress_stall(in);
            break;
        }
        at += FRAME_BYTES;
        authentic--;
        in->counters.frames++;
        if (in->pressed) outbound_relieve(in, false);
    }
    if (at == 0) return;
    c->last_seen_ns = in->steady_ns;
    c->buffer_used -= at;
    memmove(c->buffer, c->buffer + at, c->buffer_used);
}
