/* An index finds what is in it and nothing else, however full its lines are and wherever entries had to go. */
#include <stdio.h>
#include <stdlib.h>

#include "core/internal.h"

#define CHECK(holds)                                                                                                   \
    do {                                                                                                               \
        if (!(holds)) {                                                                                                \
            fprintf(stderr, "%s:%d: must hold, does not: %s\n", __FILE__, __LINE__, #holds);                           \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { LINES = 16, ENTRIES = 96, ROUNDS = 200000 };

static uint64_t seed = 7;

static uint32_t below(uint32_t bound) {
    seed = mix(seed + 1);
    return (uint32_t)(seed % bound);
}

static uint32_t find(const hash_index *ix, uint64_t hash, uint32_t wanted) {
    index_search at = index_start(ix, hash);
    for (uint32_t slot; (slot = index_next(ix, hash, &at)) != 0;)
        if (slot == wanted) return slot;
    return 0;
}

/* kinds: how many hashes there are, so that few of them make long ways. */
static void entries_come_and_go(uint64_t kinds) {
    static _Alignas(64) index_line lines[LINES];
    memset(lines, 0, sizeof lines);
    hash_index ix = {.lines = lines, .mask = LINES - 1};
    uint64_t hashes[ENTRIES + 1] = {0};
    bool in[ENTRIES + 1] = {false};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const uint32_t slot = 1 + below(ENTRIES);
        CHECK(find(&ix, hashes[slot], slot) == (in[slot] ? slot : 0));
        if (in[slot]) index_remove(&ix, hashes[slot], slot);
        else index_add(&ix, hashes[slot] = spread(below((uint32_t)kinds)), slot);
        in[slot] = !in[slot];
        CHECK(find(&ix, hashes[slot], slot) == (in[slot] ? slot : 0));
    }
    for (uint32_t slot = 1; slot <= ENTRIES; slot++) {
        CHECK(find(&ix, hashes[slot], slot) == (in[slot] ? slot : 0));
        if (in[slot]) index_remove(&ix, hashes[slot], slot);
    }
    CHECK(all_zero(lines, sizeof lines)); /* nothing is left of it, no way behind a full line either */
}

int main(void) {
    entries_come_and_go(1000000);
    entries_come_and_go(40);
    entries_come_and_go(1);
    printf("an index finds what is in it\n");
    return 0;
}
