/* Fuzz the journal's reader and recovery: whatever lies in the directory, they answer with a status and never invent a
 * record.
 *
 *   a good journal of two segments ─▶ edits, as the input says ─▶ read ─▶ start ─▶ append ─▶ read ─▶ start again
 *
 * The input is a script: one byte says what to do, the bytes behind it with what. Resealing mends CRCs after an edit,
 * so that edits reach what lies behind them. What must hold:
 * - a start that succeeds leaves a journal that reads without error from where it was verified, and that the next start
 *   takes as it is: the same end, nothing torn;
 * - a start that is refused for damage changes nothing, and is refused again.
 */
#include "engine_node/journal/internal.h"

#include "tests/support/host_sim.h"

#define WHERE "journal"
#define RECORDS 4096u
#define SECOND_RECORDS 200u
#define EDITS_MAX 64
#define MUST(holds)                                                                                                    \
    do {                                                                                                               \
        if (!(holds)) journal_broken(#holds, __FILE__, __LINE__);                                                      \
    } while (0)

typedef struct input {
    const uint8_t *at;
    size_t left;
} input;

static uint64_t take(input *in, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes && in->left > 0; i++, in->at++, in->left--) value |= (uint64_t)*in->at << (8 * i);
    return value;
}

static const char *const names[] = {"00000000000000000001.jnl", "00000000000000004097.jnl", "journal.state",
                                    "00000000000000008193.jnl", "00000000000000000077.jnl", "prepared.tmp"};

/* ---- A good journal, made once ----------------------------------------------------------------------------------- */

static uint8_t good[3][64 + RECORDS * 64];
static size_t good_bytes[3];

static void make_good(void) {
    uint32_t crc = 0;
    for (uint64_t sequence = 1; sequence <= RECORDS + SECOND_RECORDS; sequence++) {
        uint64_t first = segment_first(RECORDS, sequence);
        uint8_t *segment = good[first > 1];
        if (sequence == first) segment_header_make((segment_header *)segment, 7, RECORDS, first, crc);
        wire_record record = {.command = {sequence % 5 == 0 ? KIND_TEXT : KIND_CLOCK_TICK}, .received_ns = sequence};
        crc = record.crc = journal_record_crc(crc, &record);
        memcpy(segment + record_offset(first, sequence), &record, sizeof record);
    }
    static state_page page;
    journal_options options = {.shard = 7, .segment_records = RECORDS, .level = JOURNAL_DISK};
    state_header_make(&page.header, &options);
    atomic_init(&page.written, RECORDS + SECOND_RECORDS);
    atomic_init(&page.durable, RECORDS + 50);
    state_mark_make(&page.mark, RECORDS, 1);
    memcpy(good[2], &page, sizeof page);
    good_bytes[0] = good_bytes[1] = segment_bytes(RECORDS);
    good_bytes[2] = sizeof page;
}

/* ---- Edits ------------------------------------------------------------------------------------------------------- */

static void poke(host_sim *sim, input *in) {
    size_t bytes;
    uint8_t *file = host_sim_file(sim, WHERE, names[take(in, 1) % 6], &bytes);
    uint64_t offset = take(in, 3);
    uint64_t count = take(in, 1) % 80;
    for (; count > 0 && file != NULL && offset < bytes; count--, offset++) file[offset] = (uint8_t)take(in, 1);
}

static void wipe(host_sim *sim, input *in) {
    size_t bytes;
    uint8_t *file = host_sim_file(sim, WHERE, names[take(in, 1) % 6], &bytes);
    uint64_t offset = take(in, 3), count = take(in, 3);
    if (file == NULL || offset >= bytes) return;
    memset(file + offset, 0, count < bytes - offset ? (size_t)count : bytes - (size_t)offset);
}

/* Make the headers and some records fit again, whatever they say now. */
static void reseal(host_sim *sim, input *in) {
    uint64_t which = take(in, 1) % 6;
    size_t bytes;
    uint8_t *file = host_sim_file(sim, WHERE, names[which], &bytes);
    uint64_t from = take(in, 2), count = take(in, 2);
    if (file == NULL) return;
    if (which == 2 && bytes == sizeof(state_page)) {
        state_page *page = (state_page *)file;
        page->header.crc = crc32c(0, file, 36);
        page->header.crc = crc32c(page->header.crc, file + 40, 512 - 40);
        page->mark.crc = crc32c(0, &page->mark, 60);
    }
    if (which == 2 || bytes < 64) return;
    uint32_t crc = crc32c(0, file, 60);
    memcpy(file + 60, &crc, 4);
    for (uint64_t slot = from + 1; count > 0 && (slot + 1) * 64 <= bytes; slot++, count--) {
        wire_record *record = (wire_record *)(file + slot * 64);
        uint32_t before;
        memcpy(&before, slot == 1 ? file + 56 : (uint8_t *)&record[-1] + 52, 4);
        record->crc = journal_record_crc(before, record);
    }
}

/* A file of the script's own: its bytes, then zeros up to a size. */
static void put(host_sim *sim, input *in) {
    const char *name = names[take(in, 1) % 6];
    size_t size = take(in, 1) % 2 == 0 ? (size_t)segment_bytes(RECORDS) : (size_t)take(in, 2);
    size_t bytes = (size_t)take(in, 1);
    uint8_t *content = calloc(1, size > 0 ? size : 1);
    MUST(content != NULL);
    for (size_t i = 0; i < bytes && i < size; i++) content[i] = (uint8_t)take(in, 1);
    host_sim_put(sim, WHERE, name, content, size);
    free(content);
}

static void edit(host_sim *sim, input *in) {
    for (int i = 0; i < EDITS_MAX && in->left > 0; i++) {
        switch (take(in, 1) % 6) {
        case 0:
        case 1: poke(sim, in); break;
        case 2: wipe(sim, in); break;
        case 3: reseal(sim, in); break;
        case 4: put(sim, in); break;
        default: host_sim_drop(sim, WHERE, names[take(in, 1) % 6]); break;
        }
    }
}

/* ---- What must hold ---------------------------------------------------------------------------------------------- */

/* Read to the end; the sequence of the last record read, or 0 if the reader refused. */
static uint64_t read_all(host_sim *sim, uint64_t from) {
    journal_reader *r;
    journal_error error = {0};
    if (journal_reader_open(WHERE, host_sim_host(sim), from, &r, &error) != JOURNAL_OK) {
        MUST(error.text[0] != 0 && error.hint[0] != 0);
        return 0;
    }
    uint8_t options[REPLICA_OPTIONS_MAX];
    journal_reader_options(r, options, sizeof options);
    uint32_t count, crc = 0;
    bool begun = false;
    journal_status status;
    do {
        const wire_record *records;
        status = journal_reader_next(r, UINT64_MAX, 999, &records, &count, &error);
        for (uint32_t i = 0; i < count; i++, begun = true) {
            MUST(records[i].command[0] != 0);
            MUST(!begun || records[i].crc == journal_record_crc(crc, &records[i]));
            crc = records[i].crc;
        }
    } while (status == JOURNAL_OK && count > 0);
    MUST(status == JOURNAL_OK || (error.status == status && error.text[0] != 0 && count == 0));
    uint64_t last = status == JOURNAL_OK ? journal_reader_place(r) - 1 : 0;
    journal_reader_close(r);
    return last;
}

static journal_status start(host_sim *sim, uint64_t verify_from, journal **j, journal_recovery *found) {
    journal_options options = {.directory = WHERE,
                               .shard = 7,
                               .segment_records = RECORDS,
                               .level = JOURNAL_DISK,
                               .sync_cpu = JOURNAL_STEPPED,
                               .wake = -1};
    journal_error error = {0};
    journal_status status = journal_open(&options, host_sim_host(sim), verify_from, j, found, &error);
    MUST(status == JOURNAL_OK || (error.status == status && error.text[0] != 0 && error.hint[0] != 0));
    return status;
}

static void start_and_compare(host_sim *sim, uint64_t verify_from) {
    journal *j;
    journal_recovery found;
    journal_status status = start(sim, verify_from, &j, &found);
    if (status == JOURNAL_E_DAMAGED) MUST(start(sim, verify_from, &j, &found) == JOURNAL_E_DAMAGED);
    if (status != JOURNAL_OK) return;
    MUST(journal_last(j) == found.last_sequence && journal_durable(j) == found.last_sequence);
    MUST(found.last_sequence + 1 >= verify_from);
    if (verify_from < found.first_sequence) verify_from = found.first_sequence; /* that of a snapshot, one before it */
    wire_record records[2] = {{.command = {KIND_TEXT}}, {.command = {KIND_CLOCK_TICK}}};
    journal_status room = journal_reserve(j, 2);
    if (room == JOURNAL_WAIT && journal_step(j)) room = journal_reserve(j, 2);
    MUST(room == JOURNAL_OK);
    journal_append(j, records, 2);
    MUST(journal_close(j, NULL) == JOURNAL_OK);
    MUST(read_all(sim, verify_from) == found.last_sequence + 2);
    journal_recovery again;
    MUST(start(sim, verify_from, &j, &again) == JOURNAL_OK);
    MUST(again.last_sequence == found.last_sequence + 2 && again.torn_records == 0);
    MUST(journal_close(j, NULL) == JOURNAL_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    if (good_bytes[0] == 0) make_good();
    input in = {.at = data, .left = bytes};
    host_sim *sim = host_sim_open(1);
    uint64_t where_to = take(&in, 1); /* mostly near the end of the first segment, for speed */
    uint64_t from = where_to == 255 ? take(&in, 8) : where_to == 254 ? 1 : RECORDS - 30 + where_to;
    for (int i = 0; i < 3; i++) host_sim_put(sim, WHERE, names[i], good[i], good_bytes[i]);
    edit(sim, &in);
    read_all(sim, from);
    start_and_compare(sim, from);
    host_sim_close(sim);
    return 0;
}
