/* CRC-32C (Castagnoli, polynomial 0x1edc6f41, bits reflected): the check value of every record and header.
 *
 *   record:  [ command 48 | key 4 | crc 4 | received_ns 8 ]
 *   its crc: over [ crc of the record before 4 | command 48 | key 4 | received_ns 8 ]: 64 bytes, so a record can be
 *            moved, left out or altered only by making anew all that follow it
 *
 * x86 has an instruction for it (SSE4.2): 8 bytes in 3 cycles. Elsewhere a table of 8 × 256 does 8 bytes at a time.
 * Which of the two is decided once, before main.
 */
#include "internal.h"

#define POLYNOMIAL_REFLECTED 0x82f63b78u

static uint32_t table[8][256];

static void table_make(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL_REFLECTED : 0);
        table[0][byte] = crc;
    }
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (int row = 1; row < 8; row++) {
            table[row][byte] = (table[row - 1][byte] >> 8) ^ table[0][table[row - 1][byte] & 0xff];
        }
    }
}

static uint32_t by_table(uint32_t state, const void *data, size_t bytes) {
    const uint8_t *at = data;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        word ^= state;
        state = 0;
        for (int row = 0; row < 8; row++) state ^= table[7 - row][(word >> (8 * row)) & 0xff];
    }
    for (; bytes > 0; bytes--, at++) state = (state >> 8) ^ table[0][(state ^ *at) & 0xff];
    return state;
}

static uint32_t record_by_table(uint32_t previous, const wire_record *record) {
    uint32_t state = by_table(~0u, &previous, sizeof previous);
    state = by_table(state, record, offsetof(wire_record, crc));
    return ~by_table(state, &record->received_ns, sizeof record->received_ns);
}

#if defined(__x86_64__)

#define HAS_INSTRUCTION (__builtin_cpu_supports("sse4.2"))

__attribute__((target("sse4.2"))) static uint32_t by_instruction(uint32_t state, const void *data, size_t bytes) {
    const uint8_t *at = data;
    uint64_t wide = state;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        wide = __builtin_ia32_crc32di(wide, word);
    }
    state = (uint32_t)wide;
    for (; bytes > 0; bytes--, at++) state = __builtin_ia32_crc32qi(state, *at);
    return state;
}

__attribute__((target("sse4.2"))) static uint32_t record_by_instruction(uint32_t previous, const wire_record *record) {
    uint64_t words[6];
    memcpy(words, record->command, sizeof words);
    uint64_t state = __builtin_ia32_crc32si(~0u, previous);
    for (int word = 0; word < 6; word++) state = __builtin_ia32_crc32di(state, words[word]);
    state = __builtin_ia32_crc32si((uint32_t)state, record->key);
    return ~(uint32_t)__builtin_ia32_crc32di(state, record->received_ns);
}

#else

#define HAS_INSTRUCTION 0
#define by_instruction by_table
#define record_by_instruction record_by_table

#endif

static uint32_t (*update)(uint32_t, const void *, size_t) = by_table;
static uint32_t (*record_update)(uint32_t, const wire_record *) = record_by_table;

__attribute__((constructor)) static void choose(void) {
    table_make();
    if (HAS_INSTRUCTION) {
        update = by_instruction;
        record_update = record_by_instruction;
    }
}

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes) { return ~update(~crc, data, bytes); }

uint32_t journal_record_crc(uint32_t previous, const wire_record *record) { return record_update(previous, record); }
