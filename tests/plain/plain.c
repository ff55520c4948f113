/* One command after another. */
#include "state.h"

#include <stdlib.h>

plain *plain_open(uint32_t key_count_max, uint64_t nonce_window_ns) {
    plain *book = plain_new(sizeof *book);
    book->key_count_max = key_count_max;
    book->window_ns = nonce_window_ns;
    return book;
}

#define FREE_LIST(first)                                                                                               \
    do {                                                                                                               \
        __typeof__(first) here_ = (first);                                                                             \
        while (here_ != NULL) {                                                                                        \
            __typeof__(first) next_ = here_->next;                                                                     \
            free(here_);                                                                                               \
            here_ = next_;                                                                                             \
        }                                                                                                              \
    } while (0)

void plain_close(plain *book) {
    for (instrument *in = book->instruments; in != NULL; in = in->next)
        for (int list = 0; list < LIST_COUNT; list++) FREE_LIST(in->lists[list]);
    for (account *who = book->accounts; who != NULL; who = who->next) {
        FREE_LIST(who->balances);
        FREE_LIST(who->positions);
    }
    FREE_LIST(book->instruments);
    FREE_LIST(book->accounts);
    FREE_LIST(book->assets);
    FREE_LIST(book->keys);
    FREE_LIST(book->nonces);
    FREE_LIST(book->trades);
    free(book->events);
    free(book);
}

const wire_report *plain_events(const plain *book, uint32_t *count) {
    *count = book->event_count;
    return book->events;
}

/* A prefix: what it says, and whether it is as it should be. */
static void read_prefix(command *c, const wire_record *record) {
    const uint8_t *bytes = record->command;
    if (bytes[1] != 0) c->prefix_malformed = true;
    switch (bytes[0]) {
    case KIND_TEXT:
        c->text = (const wire_text *)(const void *)bytes;
        if (!plain_all_zero(c->text->zero, sizeof c->text->zero)) c->prefix_malformed = true;
        break;
    case KIND_NONCE:
        c->nonce = (const wire_nonce *)(const void *)bytes;
        if (!plain_all_zero(c->nonce->zero, sizeof c->nonce->zero)) c->prefix_malformed = true;
        break;
    case KIND_ORDER_TERMS:
        c->terms = (const wire_order_terms *)(const void *)bytes;
        if (!plain_all_zero(c->terms->zero, sizeof c->terms->zero)) c->prefix_malformed = true;
        break;
    default:
        c->link = (const wire_order_link *)(const void *)bytes;
        if (!plain_all_zero(c->link->zero, sizeof c->link->zero)) c->prefix_malformed = true;
    }
}

static void carry_out(plain *book, const command *c) {
    switch (c->kind) {
    case KIND_NEW_ORDER: plain_new_order(book, c); break;
    case KIND_CANCEL: plain_cancel(book, c); break;
    case KIND_REPLACE: plain_replace(book, c); break;
    case KIND_MASS_CANCEL: plain_mass_cancel(book, c); break;
    case KIND_COUNTDOWN_CANCEL: plain_countdown(book, c); break;
    default:
        if (plain_is_client_kind(c->kind)) plain_admin(book, c);
        else plain_system_record(book, c);
    }
}

plain_answer plain_apply(plain *book, const wire_record *records, uint32_t count) {
    const plain_answer answer = plain_group_stands(book, records, count);
    if (answer != PLAIN_TAKEN) return answer;
    const wire_record *last = &records[count - 1];
    command c = {.kind = last->command[0], .key = last->key, .received_ns = last->received_ns};
    wire_header header;
    memcpy(c.bytes, last->command, sizeof c.bytes);
    memcpy(&header, c.bytes, sizeof header);
    c.client_sequence = header.client_sequence;
    for (uint32_t i = 0; i + 1 < count; i++) read_prefix(&c, &records[i]);
    book->event_count = 0;
    book->sequence += count;
    book->received_ns = c.received_ns;
    c.sequence = book->sequence;
    if (plain_is_prefix(c.kind)) return PLAIN_TAKEN; /* void: nothing else changes */
    if (plain_is_client_kind(c.kind) || c.kind == KIND_REFUSED)
        plain_key_of(book, c.key)->client_sequence = c.client_sequence;
    carry_out(book, &c);
    return PLAIN_TAKEN;
}
