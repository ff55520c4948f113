/* Section 10: terms, logons, what the ingress refused; and the nonces that are held (sections 3 and 12). */
#include "state.h"

#include <stdlib.h>

static bool nonce_held(const plain *book, const uint8_t *bytes) {
    for (const nonce *n = book->nonces; n != NULL; n = n->next)
        if (memcmp(n->bytes, bytes, sizeof n->bytes) == 0) return true;
    return false;
}

/* Storing one first drops up to four of the oldest, as long as their time is over. */
static void nonce_store(plain *book, const uint8_t *bytes, uint64_t timestamp_ns, uint64_t received_ns) {
    for (int drops = 0; drops < 4 && book->nonces != NULL; drops++) {
        nonce *front = book->nonces;
        if ((wide)front->timestamp_ns + book->window_ns >= received_ns) break;
        book->nonces = front->next;
        free(front);
    }
    nonce **at = &book->nonces;
    while (*at != NULL) at = &(*at)->next;
    *at = plain_new(sizeof **at);
    memcpy((*at)->bytes, bytes, sizeof(*at)->bytes);
    (*at)->timestamp_ns = timestamp_ns;
}

/* Step 1 of every command of a client: a good nonce is stored, whatever becomes of the rest. */
uint16_t plain_take_nonce(plain *book, const command *c) {
    if (c->nonce == NULL) return CODE_NONE;
    wide apart = (wide)c->received_ns - (wide)c->nonce->timestamp_ns;
    if (apart < 0) apart = -apart;
    if (apart > book->window_ns) return CODE_NONCE_STALE;
    if (nonce_held(book, c->nonce->nonce)) return CODE_NONCE_REPEATED;
    nonce_store(book, c->nonce->nonce, c->nonce->timestamp_ns, c->received_ns);
    return CODE_NONE;
}

static void logon(plain *book, const command *c) {
    const wire_logon *w = &AS(wire_logon, c);
    key *k = plain_key_of(book, c->key);
    k->session = w->session;
    k->live = true;
    k->account = w->account;
    k->options = w->options;
    if (!nonce_held(book, w->nonce)) nonce_store(book, w->nonce, w->timestamp_ns, c->received_ns);
}

static void logoff(plain *book, const command *c) {
    key *k = plain_key_of(book, c->key);
    k->live = false;
    account *own = plain_account_find(book, k->account);
    if ((k->options & LOGON_OPTION_CANCEL_ON_DISCONNECT) && own != NULL)
        plain_cancel_all(book, c, own, 0, 0, c->key, CODE_CANCELLED_ON_DISCONNECT);
}

static void term(plain *book, const command *c) {
    const wire_term *w = &AS(wire_term, c);
    book->term = w->term;
    if (w->nonce_window_ns > 0) book->window_ns = book->term_window_ns = w->nonce_window_ns;
}

void plain_system_record(plain *book, const command *c) {
    if (c->kind == KIND_TERM) term(book, c);
    if (c->kind == KIND_LOGON) logon(book, c);
    if (c->kind == KIND_LOGOFF) logoff(book, c);
    if (c->kind == KIND_CLOCK_TICK) plain_clock_tick(book, c);
    if (c->kind == KIND_REFUSED) plain_reject(book, c, AS(wire_refused, c).code);
}
