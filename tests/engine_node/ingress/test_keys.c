/* The key table: lists that must not pass, look-up, message rate, and which sessions a new list ends. */
#include "engine_node/ingress/keys.h"
#include "support/check.h"

#define SLOTS 64
#define SECOND_NS 1000000000ull

static key_table table;
static char text[256];

static void fresh(void) {
    free(table.slots);
    void *memory = calloc(1, keys_bytes(SLOTS));
    CHECK(memory != NULL);
    keys_lay_out(&table, memory, SLOTS);
}

static ingress_key key(uint32_t number, const char *id) {
    ingress_key k = {.number = number, .secret_count = 1, .account = number, .permissions = PERMISSION_TRADE};
    memcpy(k.id, id, strlen(id));
    memset(k.secrets[0], (int)number, 32);
    return k;
}

static void refused(ingress_key k, const char *why) {
    CHECK(!keys_fill(&table, &k, 1, text, sizeof text));
    CHECK_TEXT(text, why);
    CHECK_EQUAL(keys_find(&table, k.id), 0);
}

static void test_keys_are_found_by_id_and_by_nothing_else(void) {
    fresh();
    ingress_key keys[SLOTS - 1];
    for (uint32_t n = 1; n < SLOTS; n++) {
        char id[17];
        snprintf(id, sizeof id, "key-%u", n);
        keys[n - 1] = key(n, id);
    }
    CHECK(keys_fill(&table, keys, SLOTS - 1, text, sizeof text));
    for (uint32_t n = 1; n < SLOTS; n++) CHECK_EQUAL(keys_find(&table, keys[n - 1].id), n);
    const uint8_t unknown[16] = "key-64", zero[16] = {0};
    CHECK_EQUAL(keys_find(&table, unknown), 0);
    CHECK_EQUAL(keys_find(&table, zero), 0);
}

static void test_a_bad_list_says_what_must_hold(void) {
    fresh();
    refused(key(0, "zero"), "number must be from 1");
    refused(key(SLOTS, "beyond"), "number must be from 1");
    refused(key(1, ""), "id must be");
    refused(key(1, "two words"), "id must be");
    ingress_key k = key(1, "k");
    k.id[3] = 'x'; /* behind a zero byte */
    refused(k, "id must be");
    k = key(1, "k");
    k.secret_count = 0;
    refused(k, "one or two secrets");
    k.secret_count = 3;
    refused(k, "one or two secrets");
    k = key(1, "k");
    k.network_count = INGRESS_NETWORKS_MAX + 1;
    refused(k, "at most 16 networks");
    k.network_count = 1;
    k.networks[0].prefix_bits = 129;
    refused(k, "prefix bits");
    k = key(1, "k");
    k.messages_per_s = 5;
    refused(k, "message_burst");
    k.messages_per_s = INGRESS_RATE_MAX + 1;
    refused(k, "messages_per_s");
}

static void test_a_number_or_an_id_must_not_be_there_twice(void) {
    fresh();
    ingress_key twice[2] = {key(1, "a"), key(1, "b")};
    CHECK(!keys_fill(&table, twice, 2, text, sizeof text));
    CHECK_TEXT(text, "number must not be there twice");
    CHECK_TEXT(text, "entry 2");
    twice[1] = key(2, "a");
    CHECK(!keys_fill(&table, twice, 2, text, sizeof text));
    CHECK_TEXT(text, "id must not be there twice");
}

static void test_a_rate_allows_a_burst_and_then_its_pace(void) {
    fresh();
    ingress_key k = key(1, "k");
    k.messages_per_s = 10;
    k.message_burst = 3;
    CHECK(keys_fill(&table, &k, 1, text, sizeof text));
    uint64_t ahead_ns = 0, now_ns = 1000 * SECOND_NS;
    for (int i = 0; i < 3; i++) CHECK(keys_rate_take(&table.slots[1], 1, &ahead_ns, now_ns));
    CHECK(!keys_rate_take(&table.slots[1], 1, &ahead_ns, now_ns));
    CHECK(!keys_rate_take(&table.slots[1], 1, &ahead_ns, now_ns + SECOND_NS / 10 - 1));
    CHECK(keys_rate_take(&table.slots[1], 1, &ahead_ns, now_ns + SECOND_NS / 10));
    CHECK(!keys_rate_take(&table.slots[1], 1, &ahead_ns, now_ns + SECOND_NS / 10));
    int taken = 0;
    for (uint64_t ms = 10000; ms < 20000; ms++)
        taken += keys_rate_take(&table.slots[1], 1, &ahead_ns, now_ns + ms * 1000000);
    CHECK(taken >= 100 && taken <= 103);
}

static void test_a_key_without_a_rate_has_no_limit(void) {
    fresh();
    const ingress_key k = key(1, "k");
    CHECK(keys_fill(&table, &k, 1, text, sizeof text));
    uint64_t ahead_ns = 0;
    for (int i = 0; i < 1000; i++) CHECK(keys_rate_take(&table.slots[1], 1, &ahead_ns, 5));
}

static void test_which_changes_let_a_session_go_on(void) {
    key_slot before = {.used = true, .account = 1, .permissions = 3, .secret_count = 2, .id = "k"}, after;
    uint8_t one[32] = {1}, two[32] = {2}, three[32] = {3}, here[16] = {7}, there[16] = {8};
    hmac_key_set(&before.secrets[0], one);
    hmac_key_set(&before.secrets[1], two);
    CHECK_EQUAL(keys_session_secret(&before, &before, 0, here), 0);
    after = before;
    after.permissions = 7; /* one more */
    CHECK_EQUAL(keys_session_secret(&before, &after, 1, here), 1);
    after.permissions = 1; /* one less */
    CHECK_EQUAL(keys_session_secret(&before, &after, 0, here), -1);
    after = before;
    after.account = 2;
    CHECK_EQUAL(keys_session_secret(&before, &after, 0, here), -1);
    after = before; /* rotation: 1, 2 -> 2, 3 */
    hmac_key_set(&after.secrets[0], two);
    hmac_key_set(&after.secrets[1], three);
    CHECK_EQUAL(keys_session_secret(&before, &after, 0, here), -1);
    CHECK_EQUAL(keys_session_secret(&before, &after, 1, here), 0);
    after = before;
    after.network_count = 1;
    after.networks[0] = (network){.address = {7}, .prefix_bits = 8};
    CHECK_EQUAL(keys_session_secret(&before, &after, 0, here), 0);
    CHECK_EQUAL(keys_session_secret(&before, &after, 0, there), -1);
    after = (key_slot){0};
    CHECK_EQUAL(keys_session_secret(&before, &after, 0, here), -1);
}

static void test_cleared_means_wiped(void) {
    fresh();
    const ingress_key k = key(1, "k");
    CHECK(keys_fill(&table, &k, 1, text, sizeof text));
    keys_clear(&table);
    const key_slot zero = {0};
    CHECK(memcmp(&table.slots[1], &zero, sizeof zero) == 0);
}

int main(void) {
    RUN(test_keys_are_found_by_id_and_by_nothing_else);
    RUN(test_a_bad_list_says_what_must_hold);
    RUN(test_a_number_or_an_id_must_not_be_there_twice);
    RUN(test_a_rate_allows_a_burst_and_then_its_pace);
    RUN(test_a_key_without_a_rate_has_no_limit);
    RUN(test_which_changes_let_a_session_go_on);
    RUN(test_cleared_means_wiped);
    free(table.slots);
    return checks_done();
}
