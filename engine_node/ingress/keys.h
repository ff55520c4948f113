/* The key table: who may log on, with which secrets, from where, to do what.
 *
 *   id of 16 bytes ──hash──▶ number ──▶ slots[number]: permissions, account, rate, pad states of secrets, networks
 *
 * There are two tables: one in use, one in which the next is built, so that a bad list leaves the good one as it was,
 * and so that a session can be held against both. Secrets are kept only as HMAC pad states.
 */
#ifndef IRONBOOK_INGRESS_KEYS_H
#define IRONBOOK_INGRESS_KEYS_H

#include "hmac.h"
#include "ingress.h"

typedef struct key_slot {
    /* read for every frame */
    uint64_t interval_ns; /* between two messages at the highest rate; 0: no limit */
    uint64_t burst_ns;    /* how far ahead of that rate a key may be */
    uint32_t account;
    uint8_t permissions;
    bool used;
    uint8_t secret_count, network_count;
    /* read at logon */
    uint8_t id[INGRESS_KEY_ID_BYTES];
    hmac_key secrets[INGRESS_SECRETS_MAX];
    network networks[INGRESS_NETWORKS_MAX];
} key_slot;

typedef struct key_table {
    key_slot *slots;  /* by number, 0 unused */
    uint32_t *places; /* hash of the id -> number; 0: free; linear probing */
    uint32_t slot_count;
    uint32_t place_mask;
} key_table;

/* Lay out an empty table in memory the caller took: keys_bytes(slot_count) zero bytes. */
size_t keys_bytes(uint32_t slot_count);
void keys_lay_out(key_table *table, void *memory, uint32_t slot_count);

/* Fill an empty or old table anew. On failure it is left empty, and text says what must hold and what was found. */
bool keys_fill(key_table *table, const ingress_key *keys, uint32_t count, char *text, size_t text_bytes);

/* Wipe all of it. */
void keys_clear(key_table *table);

/* The number of the key with this id, 0 if there is none. Ids are no secret. */
uint32_t keys_find(const key_table *table, const uint8_t id[INGRESS_KEY_ID_BYTES]);

/* May this address use the key? */
bool keys_address_allowed(const key_slot *slot, const uint8_t address[ADDRESS_BYTES]);

/* Where in `after` the secret is that a session opened under `before` uses; -1 if the session may not go on at all:
 * the key is gone, has another account, lost a permission or that secret, or no longer allows the address. */
int keys_session_secret(const key_slot *before, const key_slot *after, uint32_t secret_index,
                        const uint8_t address[ADDRESS_BYTES]);

/* Take `count` messages from the key's allowance, if there is one in it: a command passes with all its prefixes or not
 * at all, whatever the burst, and what it took too much must pass before the next. *ahead_ns is the key's own: the time
 * at which its next message would be due. False: it is over its rate, and nothing is taken. */
bool keys_rate_take(const key_slot *slot, uint32_t count, uint64_t *ahead_ns, uint64_t now_ns);

#endif
