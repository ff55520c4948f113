/* The key table: see keys.h for the picture. */
#include "keys.h"

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#define SECOND_NS 1000000000ull

static uint32_t power_of_two_from(uint32_t least) {
    uint32_t size = 16;
    while (size < least) size *= 2;
    return size;
}

static size_t slots_bytes(uint32_t slot_count) { return ((size_t)slot_count * sizeof(key_slot) + 63) & ~(size_t)63; }

size_t keys_bytes(uint32_t slot_count) {
    return slots_bytes(slot_count) + power_of_two_from(2 * slot_count) * sizeof(uint32_t);
}

void keys_lay_out(key_table *table, void *memory, uint32_t slot_count) {
    table->slots = memory;
    table->places = (uint32_t *)((uint8_t *)memory + slots_bytes(slot_count));
    table->slot_count = slot_count;
    table->place_mask = power_of_two_from(2 * slot_count) - 1;
}

static uint32_t place_of(const key_table *table, const uint8_t id[INGRESS_KEY_ID_BYTES]) {
    uint64_t halves[2];
    memcpy(halves, id, sizeof halves);
    uint64_t x = halves[0] * 0x9e3779b97f4a7c15ull ^ halves[1];
    x = (x ^ x >> 32) * 0xd6e8feb86659fd93ull;
    return (uint32_t)(x >> 32) & table->place_mask;
}

uint32_t keys_find(const key_table *table, const uint8_t id[INGRESS_KEY_ID_BYTES]) {
    uint32_t place = place_of(table, id);
    for (uint32_t number; (number = table->places[place]) != 0; place = (place + 1) & table->place_mask)
        if (memcmp(table->slots[number].id, id, INGRESS_KEY_ID_BYTES) == 0) return number;
    return 0;
}

static bool id_well_formed(const uint8_t id[INGRESS_KEY_ID_BYTES]) {
    size_t used = 0;
    while (used < INGRESS_KEY_ID_BYTES && id[used] > 0x20 && id[used] < 0x7f) used++;
    if (used == 0) return false;
    for (size_t i = used; i < INGRESS_KEY_ID_BYTES; i++)
        if (id[i] != 0) return false;
    return true;
}

/* What of this key is out of range; NULL if nothing is. */
static const char *key_fault(const key_table *table, const ingress_key *key) {
    if (key->number == 0 || key->number >= table->slot_count) return "number must be from 1 to key_count_max - 1";
    if (!id_well_formed(key->id)) return "id must be 1 to 16 printable ASCII bytes without a space";
    if (key->secret_count < 1 || key->secret_count > INGRESS_SECRETS_MAX) return "a key must have one or two secrets";
    if (key->network_count > INGRESS_NETWORKS_MAX) return "a key must have at most 16 networks";
    if (key->messages_per_s > INGRESS_RATE_MAX) return "messages_per_s must be at most 1,000,000,000";
    if (key->messages_per_s > 0 && key->message_burst == 0)
        return "message_burst must be at least 1 where there is a rate";
    for (uint32_t i = 0; i < key->network_count; i++)
        if (key->networks[i].prefix_bits > 128) return "prefix bits of a network must be 0 to 128";
    if (table->slots[key->number].used) return "number must not be there twice";
    if (keys_find(table, key->id) != 0) return "id must not be there twice";
    return NULL;
}

static void key_add(key_table *table, const ingress_key *key) {
    key_slot *slot = &table->slots[key->number];
    slot->used = true;
    slot->account = key->account;
    slot->permissions = key->permissions;
    slot->interval_ns = key->messages_per_s > 0 ? SECOND_NS / key->messages_per_s : 0;
    slot->burst_ns = slot->interval_ns * key->message_burst;
    memcpy(slot->id, key->id, sizeof slot->id);
    slot->secret_count = (uint8_t)key->secret_count;
    for (uint32_t i = 0; i < key->secret_count; i++) hmac_key_set(&slot->secrets[i], key->secrets[i]);
    slot->network_count = (uint8_t)key->network_count;
    memcpy(slot->networks, key->networks, key->network_count * sizeof key->networks[0]);

    uint32_t place = place_of(table, key->id);
    while (table->places[place] != 0) place = (place + 1) & table->place_mask;
    table->places[place] = key->number;
}

bool keys_fill(key_table *table, const ingress_key *keys, uint32_t count, char *text, size_t text_bytes) {
    keys_clear(table);
    for (uint32_t i = 0; i < count; i++) {
        const char *fault = key_fault(table, &keys[i]);
        if (fault != NULL) {
            snprintf(text, text_bytes, "%s, was not so for key %u (entry %u of the list)", fault, keys[i].number,
                     i + 1);
            keys_clear(table);
            return false;
        }
        key_add(table, &keys[i]);
    }
    return true;
}

void keys_clear(key_table *table) {
    OPENSSL_cleanse(table->slots, table->slot_count * sizeof *table->slots);
    memset(table->places, 0, (table->place_mask + 1) * sizeof *table->places);
}

bool keys_address_allowed(const key_slot *slot, const uint8_t address[ADDRESS_BYTES]) {
    for (uint32_t i = 0; i < slot->network_count; i++)
        if (network_has(&slot->networks[i], address)) return true;
    return slot->network_count == 0;
}

int keys_session_secret(const key_slot *before, const key_slot *after, uint32_t secret_index,
                        const uint8_t address[ADDRESS_BYTES]) {
    if (!after->used || memcmp(before->id, after->id, sizeof before->id) != 0) return -1;
    if (before->account != after->account) return -1;
    if ((before->permissions & ~after->permissions) != 0) return -1;
    if (!keys_address_allowed(after, address)) return -1;
    const uint8_t *used = (const uint8_t *)&before->secrets[secret_index];
    for (uint32_t i = 0; i < after->secret_count; i++)
        if (hmac_equal(used, (const uint8_t *)&after->secrets[i], sizeof(hmac_key))) return (int)i;
    return -1;
}

/* The allowance as a time: each message moves it on by one interval, and it may be ahead of the clock by the burst. */
bool keys_rate_take(const key_slot *slot, uint32_t count, uint64_t *ahead_ns, uint64_t now_ns) {
    if (slot->interval_ns == 0) return true;
    const uint64_t from_ns = *ahead_ns > now_ns ? *ahead_ns : now_ns;
    if (from_ns + slot->interval_ns > now_ns + slot->burst_ns) return false;
    *ahead_ns = from_ns + count * slot->interval_ns;
    return true;
}
