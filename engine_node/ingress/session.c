/* Sessions as the journal sees them: begin, end, and the records that the engine writes of its own accord.
 *
 *   pending ──first valid frame──▶ logoff(replaced) of the old one ──▶ logon ──▶ the frame itself
 *   live ── lost, idle, refused, key changed, stopped ──▶ logoff ──▶ its orders are cancelled, if it asked for that
 *
 * A session may end while the journal has no room: the socket is closed at once, the logoff is owed, and it is paid as
 * soon as there is room, at the latest before the key's next logon (a restart pays it as `restarted`).
 */
#include "parts.h"

room journal_room(ingress *in, uint32_t count) {
    switch (journal_reserve(in->journal, count)) {
    case JOURNAL_OK: return ROOM_YES;
    case JOURNAL_WAIT: return ROOM_WAIT;
    default: return ROOM_NONE;
    }
}

room journal_room_waiting(ingress *in, uint32_t count) {
    room room = journal_room(in, count);
    for (uint32_t i = 0; i < ROOM_WAIT_COUNT && room == ROOM_WAIT; i++) {
        ingress_pause(in);
        room = journal_room(in, count);
    }
    return room;
}

bool cluster_behind(const ingress *in, bool relief) {
    if (!in->clustered) return false;
    if (in->reports_wait && !relief) return true;
    const uint64_t most = in->options.unshipped_records_max * (relief ? 2 : 1);
    return journal_last(in->journal) - journal_shipped(in->journal) > most;
}

/* ---- Recording --------------------------------------------------------------------------------------------------- */

/* Whose reports were just made, and is anybody getting far behind? */
static inline void collect(ingress *in) {
    uint32_t count;
    const uint16_t *keys = core_touched(in->core, &count);
    for (uint32_t i = 0; i < count; i++) {
        key_state *k = &in->states[keys[i]];
        k->last_report = core_last_report(in->core, keys[i]);
        connection *c = k->live;
        if (c == NULL) continue;
        if (!c->dirty) outbound_mark(in, c);
        if (k->last_report - c->sent_report > in->press_at) in->pressed = true;
    }
    in->counters.reports_made += in->chunk.reports;
}

core_status record_group(ingress *in, wire_record *records, uint32_t count) {
    core_status status = core_apply(in->core, records, count, &in->chunk);
    if (status == CORE_E_FULL) {
        in->full_pool = core_full_pool(in->core);
        return status;
    }
    INGRESS_INVARIANT(status == CORE_OK || status == CORE_MORE);
    journal_append(in->journal, records, count);
    in->unpublished = true;
    in->counters.records += count;
    collect(in);
    while (status == CORE_MORE) { /* bounded by the orders that one command can touch */
        if (in->pressed) outbound_relieve(in, true);
        status = core_next(in->core, &in->chunk);
        collect(in);
    }
    return CORE_OK;
}

room record_system(ingress *in, const void *command, uint32_t key, core_status *status) {
    const room room = journal_room(in, 1);
    if (room != ROOM_YES) return room;
    wire_record record = {.key = key, .received_ns = in->now_ns};
    memcpy(record.command, command, COMMAND_BYTES);
    *status = record_group(in, &record, 1);
    return ROOM_YES;
}

/* ---- Logoff ------------------------------------------------------------------------------------------------------ */

static room record_logoff(ingress *in, uint32_t key, uint8_t reason) {
    core_status status;
    const wire_logoff logoff = {.kind = KIND_LOGOFF, .session = in->states[key].session, .reason = reason};
    const room room = record_system(in, &logoff, key, &status);
    INGRESS_INVARIANT(room != ROOM_YES || status == CORE_OK); /* a logoff takes nothing from a pool */
    return room;
}

static room pay_owed(ingress *in, uint32_t key) {
    const room room = record_logoff(in, key, in->states[key].owed_reason);
    if (room != ROOM_YES) return room;
    in->states[key].owed_reason = 0;
    in->counters.logoffs_owed--;
    return room;
}

/* The session has no connection any more; its logoff is recorded now, or owed. */
static void leave_key(ingress *in, uint32_t key, uint8_t reason) {
    key_state *k = &in->states[key];
    k->live = NULL;
    k->owed_reason = reason;
    in->counters.sessions_live--;
    in->counters.logoffs_owed++;
    pay_owed(in, key);
}

void session_pay_owed(ingress *in) {
    for (uint32_t key = 1; key < in->options.core.key_count_max && in->counters.logoffs_owed > 0; key++)
        if (in->states[key].owed_reason != 0 && pay_owed(in, key) != ROOM_YES) return;
}

static void count_end(ingress_counters *n, uint16_t code) {
    switch (code) {
    case CODE_FRAME_REFUSED: n->ended_frame_refused++; break;
    case CODE_SEQUENCE_GAP: n->ended_sequence_gap++; break;
    case CODE_SESSION_REPLACED: n->sessions_replaced++; break;
    case CODE_SLOW_READER: n->ended_slow_reader++; break;
    case CODE_IDLE_TIMEOUT: n->ended_idle++; break;
    case CODE_KEY_CHANGED: n->ended_key_changed++; break;
    case CODE_PREFIX_INVALID: n->ended_prefix_invalid++; break;
    case CODE_REPORTS_UNAVAILABLE: n->ended_reports_unavailable++; break;
    default: break;
    }
}

void session_end(ingress *in, connection *c, uint16_t code, uint8_t logoff_reason) {
    INGRESS_INVARIANT(c->state != FREE);
    count_end(&in->counters, code);
    if (c->state == LIVE && code == CODE_NONE) in->counters.lines_lost++;
    if (c->state == LIVE) leave_key(in, c->key, logoff_reason);
    if (in->unpublished) {
        journal_publish(in->journal);
        in->unpublished = false;
    }
    outbound_farewell(in, c, code);
    ingress_free(in, c, code);
}

/* ---- Logon ------------------------------------------------------------------------------------------------------- */

bool session_reports_there(const ingress *in, uint32_t key, uint64_t from) {
    const uint64_t last = in->states[key].last_report;
    if (from > last) return false;
    return from == last || core_report(in->core, key, from + 1) != NULL;
}

/* The old session of the key makes way: its connection, or only the logoff that it owes. */
static room make_way(ingress *in, uint32_t key) {
    const key_state *k = &in->states[key];
    if (k->live == NULL) return k->owed_reason != 0 ? pay_owed(in, key) : ROOM_YES;
    const room room = journal_room(in, 1);
    if (room == ROOM_YES) session_end(in, k->live, CODE_SESSION_REPLACED, LOGOFF_REASON_REPLACED);
    return room;
}

/* The session can't begin now, and nothing was recorded: the frame may come again. */
static outcome begin_refused(ingress *in, connection *c, uint16_t code, uint64_t client_sequence) {
    if (code == CODE_JOURNAL_NO_ROOM) in->counters.refused_journal_no_room++;
    if (code == CODE_CORE_NO_ROOM) in->counters.refused_core_no_room++;
    if (code == CODE_ENGINE_STOPPING) in->counters.refused_stopping++;
    if (code == CODE_CLUSTER_BEHIND) in->counters.refused_cluster_behind++;
    outbound_message(in, c, MESSAGE_REFUSED, code, client_sequence, 0);
    return DONE;
}

outcome session_begin(ingress *in, connection *c, uint64_t client_sequence) {
    key_state *k = &in->states[c->key];
    if (!session_reports_there(in, c->key, c->sent_report)) {
        session_end(in, c, CODE_REPORTS_UNAVAILABLE, LOGOFF_REASON_REFUSED);
        return ENDED;
    }
    if (in->stopping) return begin_refused(in, c, CODE_ENGINE_STOPPING, client_sequence);
    if (cluster_behind(in, true)) return begin_refused(in, c, CODE_CLUSTER_BEHIND, client_sequence);
    if (!core_nonce_room(in->core, in->now_ns)) { /* asked first: the old session ends only for one that can begin */
        in->full_pool = "nonce_count_max";
        return begin_refused(in, c, CODE_CORE_NO_ROOM, client_sequence);
    }
    const room way = make_way(in, c->key);
    if (way == ROOM_WAIT) return STALLED;
    if (way == ROOM_NONE) return begin_refused(in, c, CODE_JOURNAL_NO_ROOM, client_sequence);
    if (!session_reports_there(in, c->key, c->sent_report)) { /* the old one's cancels went round the ring */
        session_end(in, c, CODE_REPORTS_UNAVAILABLE, LOGOFF_REASON_REFUSED);
        return ENDED;
    }

    wire_logon logon = {.kind = KIND_LOGON,
                        .session = k->session + 1,
                        .account = in->keys->slots[c->key].account,
                        .timestamp_ns = c->logon_timestamp_ns,
                        .options = c->logon_options};
    memcpy(logon.nonce, c->logon_nonce, sizeof logon.nonce);
    core_status status = CORE_OK;
    const room room = record_system(in, &logon, c->key, &status);
    if (room == ROOM_WAIT) return STALLED;
    if (room == ROOM_NONE) return begin_refused(in, c, CODE_JOURNAL_NO_ROOM, client_sequence);
    if (status == CORE_E_FULL) return begin_refused(in, c, CODE_CORE_NO_ROOM, client_sequence);
    k->session++;
    k->live = c;
    c->state = LIVE;
    in->counters.sessions_begun++;
    in->counters.sessions_live++;
    outbound_mark(in, c); /* reports to resume with */
    return DONE;
}
