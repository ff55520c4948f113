/* The bytes on disk, and the words of errors: schemas/wire/journal.md in C.
 *
 *   00000000000000000001.jnl   [ header 64 ][ record 1 ][ record 2 ] … [ record N ]      N = segment_records
 *   00000000000000004097.jnl   [ header 64 ][ record N + 1 ] … [ zeros: not written yet ]
 *   journal.state              [ header 512 ][ process ][ counters, a line each ] … | page 2: [ durable mark 64 ] …
 *
 * Numbers are little-endian, as the machine has them; another byte order would be refused at compile time.
 */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the journal is little-endian and mapped as it is"
#endif

_Noreturn void journal_broken(const char *what, const char *file, int line) {
    fprintf(stderr, "journal: must hold: %s (%s:%d)\n", what, file, line);
    abort();
}

/* ---- Places ------------------------------------------------------------------------------------------------------ */

uint64_t segment_bytes(uint64_t segment_records) { return sizeof(segment_header) + segment_records * RECORD_BYTES; }

uint64_t segment_first(uint64_t segment_records, uint64_t sequence) {
    return (sequence - 1) / segment_records * segment_records + 1;
}

uint64_t record_offset(uint64_t first, uint64_t sequence) {
    return sizeof(segment_header) + (sequence - first) * RECORD_BYTES;
}

void segment_name(char name[32], uint64_t first) { snprintf(name, 32, "%020" PRIu64 SEGMENT_SUFFIX, first); }

uint64_t segment_name_first(const char *name) {
    uint64_t first = 0;
    for (int digit = 0; digit < 20; digit++) {
        if (name[digit] < '0' || name[digit] > '9') return 0;
        uint64_t value = (uint64_t)(name[digit] - '0');
        if (first > (UINT64_MAX - value) / 10) return 0;
        first = first * 10 + value;
    }
    return strcmp(name + 20, SEGMENT_SUFFIX) == 0 && first <= SEQUENCE_MAX ? first : 0;
}

/* ---- Headers ----------------------------------------------------------------------------------------------------- */

void segment_header_make(segment_header *header, uint64_t shard, uint64_t segment_records, uint64_t first,
                         uint32_t seed) {
    *header = (segment_header){.version = FORMAT_VERSION,
                               .record_bytes = RECORD_BYTES,
                               .shard = shard,
                               .first_sequence = first,
                               .segment_records = segment_records,
                               .seed = seed};
    memcpy(header->magic, SEGMENT_MAGIC, sizeof header->magic);
    header->crc = crc32c(0, header, offsetof(segment_header, crc));
}

const char *segment_header_check(const segment_header *header, uint64_t shard, uint64_t segment_records,
                                 uint64_t first) {
    if (all_zero(header, sizeof *header)) return "its header must have been written, and is all zeros";
    if (memcmp(header->magic, SEGMENT_MAGIC, sizeof header->magic) != 0) return "its magic must be " SEGMENT_MAGIC;
    if (header->crc != crc32c(0, header, offsetof(segment_header, crc))) return "its header must fit the header's CRC";
    if (header->version != FORMAT_VERSION) return "its format version must be 1";
    if (header->record_bytes != RECORD_BYTES) return "its records must be of 64 bytes";
    if (header->shard != shard) return "it must belong to this shard";
    if (header->segment_records != segment_records) return "it must hold as many records as the journal says";
    if (header->first_sequence != first) return "its header must name the sequence that the file's name does";
    return NULL;
}

static uint32_t state_header_crc(const state_header *header) {
    uint32_t crc = crc32c(0, header, offsetof(state_header, crc));
    size_t behind = offsetof(state_header, zero);
    return crc32c(crc, (const uint8_t *)header + behind, sizeof *header - behind);
}

void state_header_make(state_header *header, const journal_options *options) {
    *header = (state_header){.version = FORMAT_VERSION,
                             .level = (uint32_t)options->level,
                             .shard = options->shard,
                             .segment_records = options->segment_records,
                             .replica_options_bytes = options->replica_options_bytes};
    memcpy(header->magic, STATE_MAGIC, sizeof header->magic);
    if (options->replica_options_bytes > 0) {
        memcpy(header->replica_options, options->replica_options, options->replica_options_bytes);
    }
    header->crc = state_header_crc(header);
}

const char *state_header_check(const state_header *header) {
    if (memcmp(header->magic, STATE_MAGIC, sizeof header->magic) != 0) return "its magic must be " STATE_MAGIC;
    if (header->crc != state_header_crc(header)) return "its header must fit the header's CRC";
    if (header->version != FORMAT_VERSION) return "its format version must be 1";
    uint64_t records = header->segment_records;
    if (records < SEGMENT_RECORDS_MIN || records > SEGMENT_RECORDS_MAX || (records & (records - 1)) != 0) {
        return "its segment_records must be a power of two from 2^12 to 2^24";
    }
    if (header->replica_options_bytes > REPLICA_OPTIONS_MAX) return "its replica options must be of 256 bytes at most";
    return NULL;
}

void state_mark_make(state_mark *mark, uint64_t durable, uint64_t now_ns) {
    *mark = (state_mark){.durable = durable, .recorded_ns = now_ns};
    mark->crc = crc32c(0, mark, offsetof(state_mark, crc));
}

const char *state_mark_check(const state_mark *mark) {
    return mark->crc == crc32c(0, mark, offsetof(state_mark, crc)) ? NULL : "its durable mark must fit the mark's CRC";
}

bool record_is_prefix(const wire_record *record) {
    return record->command[0] >= KIND_TEXT && record->command[0] <= KIND_ORDER_LINK;
}

bool all_zero(const void *at, size_t bytes) {
    const uint8_t *next = at;
    for (; bytes >= 64; bytes -= 64, next += 64) {
        uint64_t words[8];
        memcpy(words, next, 64);
        if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7]) != 0) return false;
    }
    for (; bytes > 0; bytes--, next++) {
        if (*next != 0) return false;
    }
    return true;
}

/* ---- Errors ------------------------------------------------------------------------------------------------------ */

journal_status journal_fail(journal_error *error, journal_status status, int system, uint64_t first, uint64_t offset,
                            uint64_t sequence, const char *hint, const char *text, ...) {
    if (error == NULL) return status;
    *error = (journal_error){.status = status, .system = system, .offset = offset, .sequence = sequence};
    if (first > 0) segment_name(error->segment, first);
    snprintf(error->hint, sizeof error->hint, "%s", hint);
    va_list values;
    va_start(values, text);
    vsnprintf(error->text, sizeof error->text, text, values);
    va_end(values);
    return status;
}

journal_status journal_fail_host(journal_error *error, int result, const char *name, const char *what) {
    int system = result < 0 ? -result : EIO;
    bool room = system == ENOSPC || system == EDQUOT || system == EFBIG;
    journal_fail(error, room ? JOURNAL_E_NO_ROOM : JOURNAL_E_SYSTEM, system, 0, 0, 0,
                 room ? "Free disk space on the engine node, or move the journal to a larger disk."
                      : "Look at the permissions of the journal's directory and at the kernel's log.",
                 "%s: the host must be able to %s, and answered: %s", name, what, strerror(system));
    if (error != NULL) snprintf(error->segment, sizeof error->segment, "%s", name);
    return room ? JOURNAL_E_NO_ROOM : JOURNAL_E_SYSTEM;
}
