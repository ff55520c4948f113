/* Section 1: which records form a command, and whether they may stand there. */
#include "state.h"

#define NONCE_WINDOW_MAX (1ull << 60)

bool plain_is_prefix(uint8_t kind) { return kind >= KIND_TEXT && kind <= KIND_ORDER_LINK; }

bool plain_is_client_kind(uint8_t kind) {
    return (kind >= KIND_NEW_ORDER && kind <= KIND_COUNTDOWN_CANCEL && kind != KIND_PING) ||
           (kind >= KIND_ASSET && kind <= KIND_FEE_PAYOUT);
}

static wire_header header_of(const wire_record *record) {
    wire_header header;
    memcpy(&header, record->command, sizeof header);
    return header;
}

uint32_t plain_group(const wire_record *records, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const wire_header header = header_of(&records[i]);
        if (!plain_is_prefix(header.kind)) return i + 1;
        if (i + 1 == count) return 0;
        const wire_header behind = header_of(&records[i + 1]);
        const bool may_follow =
            plain_is_prefix(behind.kind) || plain_is_client_kind(behind.kind) || behind.kind == KIND_REFUSED;
        bool belongs =
            may_follow && records[i + 1].key == records[i].key && behind.client_sequence == header.client_sequence + 1;
        for (uint32_t before = 0; before <= i; before++)
            if (header_of(&records[before]).kind == behind.kind) belongs = false; /* no two of one kind */
        if (i + 1 > PREFIX_COUNT_MAX) belongs = false;
        if (!belongs) return i + 1;
    }
    return 0;
}

/* The bytes behind the header and the fields that a system record must leave zero. */
static bool system_zero(const uint8_t *bytes, uint8_t kind) {
    static const uint8_t from[] = {[KIND_TERM] = 32,      [KIND_LOGON] = 41,  [KIND_LOGOFF] = 13,
                                   [KIND_CLOCK_TICK] = 8, [KIND_DIGEST] = 16, [KIND_REFUSED] = 27};
    return bytes[1] == 0 && plain_all_zero(bytes + from[kind], COMMAND_BYTES - from[kind]);
}

/* A record that only the engine itself writes. */
static plain_answer system_stands(const plain *book, const wire_record *record) {
    const uint8_t *bytes = record->command;
    const wire_header header = header_of(record);
    const bool has_key = header.kind == KIND_LOGON || header.kind == KIND_LOGOFF;
    if (!system_zero(bytes, header.kind)) return PLAIN_CANT_STAND;
    if (header.client_sequence != 0) return PLAIN_CANT_STAND;
    if (has_key ? record->key == 0 || record->key >= book->key_count_max : record->key != 0) return PLAIN_CANT_STAND;
    const wire_term *term = (const wire_term *)(const void *)bytes;
    if (header.kind == KIND_TERM && (term->term <= book->term || term->nonce_window_ns > NONCE_WINDOW_MAX))
        return PLAIN_CANT_STAND;
    if (header.kind == KIND_LOGON && bytes[offsetof(wire_logon, options)] > LOGON_OPTION_CANCEL_ON_DISCONNECT)
        return PLAIN_CANT_STAND;
    const uint8_t reason = bytes[offsetof(wire_logoff, reason)];
    if (header.kind == KIND_LOGOFF && (reason < LOGOFF_REASON_LINE_LOST || reason > LOGOFF_REASON_REFUSED))
        return PLAIN_CANT_STAND;
    if (header.kind == KIND_DIGEST && ((const wire_digest *)(const void *)bytes)->state_digest != plain_digest(book))
        return PLAIN_DIVERGED;
    return PLAIN_TAKEN;
}

/* Something that stands for a frame of a client: a command, a prefix, or what was refused. */
static bool client_stands(const plain *book, const wire_record *record, uint32_t place) {
    const wire_header header = header_of(record);
    if (record->key == 0 || record->key >= book->key_count_max) return false;
    const key *k = book->keys;
    while (k != NULL && k->number != record->key) k = k->next;
    if (header.client_sequence != (k != NULL ? k->client_sequence : 0) + place + 1) return false;
    if (header.kind != KIND_REFUSED) return true;
    const uint16_t code = ((const wire_refused *)(const void *)record->command)->code;
    return system_zero(record->command, KIND_REFUSED) && code >= CODE_NONCE_STALE && code <= CODE_UNKNOWN_TRADE;
}

plain_answer plain_group_stands(const plain *book, const wire_record *records, uint32_t count) {
    uint64_t time = book->received_ns;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t kind = records[i].command[0];
        if (records[i].received_ns < time) return PLAIN_CANT_STAND;
        time = records[i].received_ns;
        if (plain_is_prefix(kind) || plain_is_client_kind(kind) || kind == KIND_REFUSED) {
            if (!client_stands(book, &records[i], i)) return PLAIN_CANT_STAND;
        } else if (kind >= KIND_TERM && kind <= KIND_DIGEST) {
            const plain_answer answer = system_stands(book, &records[i]);
            if (answer != PLAIN_TAKEN) return answer;
        } else {
            return PLAIN_CANT_STAND;
        }
    }
    return PLAIN_TAKEN;
}
