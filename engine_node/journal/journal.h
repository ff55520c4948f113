/* The journal: the sequence of accepted records, 64 bytes each, on disk. This header is its whole contract.
 *
 *   <directory>/00000000000000000001.jnl     a segment, named by its first sequence: a header of 64 bytes, then records
 *   <directory>/00000000000001048577.jnl     the next; zero-filled and allocated before it is needed
 *   <directory>/journal.state                the shared page: written, durable, released, and what a replica must know
 *
 * One writer (the primary's engine thread) stores records into a mapped segment: kill -9 loses nothing that was
 * published, the page cache has it. A second thread of the same process syncs groups (fdatasync), records the durable
 * sequence and prepares the next segment. Any number of readers in other processes map the files and follow `written`
 * or `released` in the shared page. Formats: schemas/wire/journal.md.
 *
 * Threads: the writer's functions belong to one thread; a reader to one thread each.
 */
#ifndef IRONBOOK_JOURNAL_H
#define IRONBOOK_JOURNAL_H

#include <stdbool.h>

#include "../core/vocabulary.h"
#include "../host/host.h"

typedef struct journal journal;
typedef struct journal_reader journal_reader;

typedef enum journal_status {
    JOURNAL_OK = 0,
    JOURNAL_WAIT,      /* the next segment is being prepared: stop reading sockets, try again when `wake` fires */
    JOURNAL_E_NO_ROOM, /* the disk has no room for the next segment: refuse commands (journal_no_room) */
    JOURNAL_E_DAMAGED, /* a record below the durable sequence is not what was written */
    JOURNAL_E_LOCKED,  /* another process is the writer */
    JOURNAL_E_OPTIONS, /* an option is out of range, or does not fit what is on disk */
    JOURNAL_E_SYSTEM,  /* the host said no; error.system holds its errno */
    JOURNAL_E_CLOSED,  /* reader: the journal begins behind the sequence asked for (older segments were removed) */
} journal_status;

/* What must hold, what was found, where; filled in on every status from JOURNAL_E_NO_ROOM on. */
typedef struct journal_error {
    journal_status status;
    int system;       /* errno, 0 if none */
    char segment[32]; /* file name, "" if none */
    uint64_t offset;  /* byte in it */
    uint64_t sequence;
    char text[256]; /* a sentence: what must hold, what was found */
    char hint[160]; /* what to do */
} journal_error;

typedef enum journal_level {
    JOURNAL_PROCESS = 1,
    JOURNAL_DISK = 2,
    JOURNAL_CLUSTER = 3 /* on disk here, and shipped: another process says so by journal_reader_ship */
} journal_level;        /* what an acknowledgement survives */

#define JOURNAL_STEPPED (-2) /* nothing happens in the background: the caller calls journal_step (simulations, tests) */

typedef struct journal_options {
    const char *directory;
    uint64_t shard;
    uint64_t segment_records;  /* records a segment holds; a power of two, 2^12 .. 2^24 */
    uint32_t sync_interval_us; /* the sync thread waits this long for a group to gather when it has nothing to do */
    int64_t free_bytes_min;    /* room to leave on the disk */
    journal_level level;
    int sync_cpu; /* CPU to pin the background threads to; -1: anywhere; JOURNAL_STEPPED: no threads */
    int wake;     /* eventfd written when `released` moved (not at level process), a segment became ready, or a sync
                   * failed; -1: none */
    const void *replica_options; /* up to 256 bytes kept in the shared page for readers (the core's options) */
    uint32_t replica_options_bytes;
} journal_options;

/* What opening found and did; for the log. */
typedef struct journal_recovery {
    uint64_t first_sequence;   /* of the oldest segment kept; 1 if nothing was ever written */
    uint64_t last_sequence;    /* of the last good record; 0 if there is none */
    uint64_t durable_sequence; /* as recorded before the crash */
    uint64_t shipped_sequence; /* as recorded, but not above the last; counts at level cluster only */
    uint64_t torn_records;     /* slots behind the last good record that were not zero, and are now */
    char torn_segment[32];
    uint64_t torn_offset;
} journal_recovery;

/* Open for writing: lock, verify the chain from `verify_from` (1: all of it; the sequence of a snapshot: from there),
 * cut a torn tail, make the present segment ready, start the background threads.
 *
 * owns      *out, until journal_close. Of options nothing is kept but the numbers; found and error may be NULL.
 * ensures   all records up to found->last_sequence are on disk: written = durable = released = that; at level cluster
 *           released is found->shipped_sequence, if that is less.
 * fails     JOURNAL_E_LOCKED · JOURNAL_E_DAMAGED: nothing was changed · JOURNAL_E_OPTIONS: out of range, not what the
 *           journal was begun with, or a snapshot that the journal does not reach · JOURNAL_E_CLOSED: the journal
 *           begins behind verify_from · JOURNAL_E_NO_ROOM · JOURNAL_E_SYSTEM. *error says where and what to do; nothing
 *           is left open.
 */
journal_status journal_open(const journal_options *options, const host *host, uint64_t verify_from, journal **out,
                            journal_recovery *found, journal_error *error);

/* Make sure that `count` records (1 .. 4) can be appended. After JOURNAL_OK journal_append of as many can't fail.
 * fails     JOURNAL_WAIT · JOURNAL_E_NO_ROOM · JOURNAL_E_SYSTEM: a sync failed before, journal_failure names it.
 * cost      a comparison; no system call unless the next segment is late.
 */
journal_status journal_reserve(journal *j, uint32_t count);

/* Append records: sets crc of each and copies it to its slot. Readers don't see them yet.
 * requires  journal_reserve said JOURNAL_OK for them; no kind is 0 (both asserted). When published, they form whole
 *           groups: prefixes whose command is missing at the end of the journal are cut by the next start.
 * cost      a CRC and a store of 64 bytes each; no system call.
 */
void journal_append(journal *j, wire_record *records, uint32_t count);

/* Let readers and the sync thread see all that was appended. Once a burst. No system call. */
void journal_publish(journal *j);

uint64_t journal_last(const journal *j);     /* sequence of the last record appended */
uint64_t journal_written(const journal *j);  /* published */
uint64_t journal_durable(const journal *j);  /* on disk */
uint64_t journal_released(const journal *j); /* the survival level has passed: reports up to here may leave */
uint64_t journal_shipped(const journal *j);  /* the journal topic has it: counts at level cluster */

/* The error of the background work (a failed fdatasync, a failed allocation), or NULL. A failed fdatasync is final:
 * the caller must end the process without acknowledging anything more. A lack of room (status JOURNAL_E_NO_ROOM) goes
 * away by itself when there is room again. What it points to stays as it is. */
const journal_error *journal_failure(const journal *j);

/* Without threads (JOURNAL_STEPPED): do what they would do next, once: sync what is published, release what was
 * shipped, record the durable mark if it is time, prepare a segment. true: something was done, so there may be more. */
bool journal_step(journal *j);

/* Publish, sync to the end, stop the thread, unlock. Returns JOURNAL_OK, or what the last sync said. */
journal_status journal_close(journal *j, journal_error *error);

/* ---- Reading, from any process, while the writer writes ---------------------------------------------------------- */

/* Open for reading from sequence `from` on. Fails like journal_open; a directory without a journal is JOURNAL_E_SYSTEM
 * (ENOENT). */
journal_status journal_reader_open(const char *directory, const host *host, uint64_t from, journal_reader **out,
                                   journal_error *error);

/* Up to `room` records from the reader's place on, none behind `limit`, each verified against the chain; moves on
 * behind them.
 * *count is 0 when there is nothing more yet. The pointer is valid until the next call. May give fewer than there are
 * (a segment ends), and may split a group: keep what core_group could not use.
 * fails     JOURNAL_E_DAMAGED (segment and offset named), JOURNAL_E_CLOSED.
 */
journal_status journal_reader_next(journal_reader *r, uint64_t limit, uint32_t room, const wire_record **records,
                                   uint32_t *count, journal_error *error);

uint64_t journal_reader_written(const journal_reader *r); /* from the shared page */
uint64_t journal_reader_durable(const journal_reader *r);
uint64_t journal_reader_released(const journal_reader *r);
uint64_t journal_reader_shipped(const journal_reader *r);
uint64_t journal_reader_shippable(const journal_reader *r); /* how far copies may leave this machine: durable at level
                                                             * cluster, else released */

/* Tell the writer, whoever and wherever it is by now, that another machine holds all records up to `sequence`. The
 * counter only rises: a lower number changes nothing. At level cluster the writer releases them within a millisecond.
 * requires  it is true for good: an acknowledgement is sent on the strength of it.
 * fails     JOURNAL_E_OPTIONS: above journal_reader_shippable · JOURNAL_E_SYSTEM: the shared page is not writable for
 *           this process.
 * cost      an atomic store; two system calls the first time. */
journal_status journal_reader_ship(journal_reader *r, uint64_t sequence, journal_error *error);

uint64_t journal_reader_first(const journal_reader *r); /* oldest sequence kept */
uint64_t journal_reader_place(const journal_reader *r); /* sequence of the next record to read */
uint32_t journal_reader_options(const journal_reader *r, void *to,
                                uint32_t room); /* replica_options; returns their size */
void journal_reader_close(journal_reader *r);

/* CRC-32C (Castagnoli) of bytes, going on from `crc` (0 at first). Uses the CPU's instruction where there is one. */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

/* The crc field of a record behind one whose crc is `previous`: schemas/wire/session.md, record. */
uint32_t journal_record_crc(uint32_t previous, const wire_record *record);

#endif
