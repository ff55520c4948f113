/* The inside of the journal: what its files share and nobody else sees.
 *
 *   engine thread              sync thread                         keeper thread
 *   reserve append publish     written ─▶ sync ─▶ durable          makes the next segment (room, zeros, sync, name),
 *        │    ▲                    ▲          └─▶ released, wake   puts it into `next`; records the durable mark;
 *        │    └── next ────────────┼─────────────────▲──────────── lets go of segments that are durable and left behind
 *        └── stores into slots     │                 │ level cluster: no further than
 *            release store of ── written ──▶ readers ── shipped      (in other processes)
 *
 * Memory order: `written` is stored with release after the records it covers, and loaded with acquire before any of
 * them is read or synced: by the sync thread, and by readers through their own mapping of the same page. `durable`,
 * `released` and `shipped` alike. `next` is handed over the same way, from the keeper to the engine thread.
 *
 * Files: crc32c.c · format.c (headers, names, errors) · segment.c (make, open, list) · recovery.c (what a start finds)
 * · writer.c (open, reserve, append, publish, close) · background.c (the two threads) · reader.c.
 */
#ifndef IRONBOOK_JOURNAL_INTERNAL_H
#define IRONBOOK_JOURNAL_INTERNAL_H

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "journal.h"

/* Our own bug: state can't be trusted any more, so the process ends. On in every build. */
#define INVARIANT(holds)                                                                                               \
    do {                                                                                                               \
        if (__builtin_expect(!(holds), 0)) journal_broken(#holds, __FILE__, __LINE__);                                 \
    } while (0)
_Noreturn void journal_broken(const char *what, const char *file, int line);

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

#define CACHE_LINE 64
#define FORMAT_VERSION 1
#define SEGMENT_RECORDS_MIN (1u << 12)
#define SEGMENT_RECORDS_MAX (1u << 24)
#define SEQUENCE_MAX (1ull << 62) /* at 100 million records a second, in 1,400 years */
#define SEGMENTS_MAX (1u << 20)   /* files of one journal */
#define SEGMENTS_OPEN_MAX 8       /* mapped by the writer: unsynced ones, the present one, the next */
#define SYNC_INTERVAL_US_MAX 1000000u
#define PROCESS_SYNC_INTERVAL_US 20000u   /* at level process nobody waits for a sync, and each disturbs the engine */
#define CLUSTER_LOOK_US 200u              /* at level cluster `shipped` is looked at no later than this */
#define MARK_INTERVAL_NS 100000000u       /* the durable mark is recorded at most this often */
#define ROOM_RETRY_NS 200000000u          /* a full disk is asked again this often */
#define ZERO_CHUNK_BYTES (1u << 20)       /* zeros written between two looks at the mark and at the clock */
#define PREFAULT_BYTES (1u << 22)         /* pages made writable ahead of the writer, at least: 65,536 records */
#define PREFAULT_SEGMENT_BYTES (1u << 26) /* and of a segment just made or opened: all of 2^20 records */
#define ROOM_ERRORS_KEPT 4
#define REPLICA_OPTIONS_MAX 256
#define SEGMENT_SUFFIX ".jnl"
#define STATE_NAME "journal.state"
#define PREPARED_NAME "prepared.tmp"

/* ---- Formats: schemas/wire/journal.md ---------------------------------------------------------------------------- */

#define SEGMENT_MAGIC "IRONJNL1"
#define STATE_MAGIC "IRONJST1"

typedef struct segment_header {
    uint8_t magic[8];
    uint32_t version;
    uint32_t record_bytes;
    uint64_t shard;
    uint64_t first_sequence;
    uint64_t segment_records;
    uint8_t zero[16];
    uint32_t seed; /* crc field of the record before the first; 0 before sequence 1 */
    uint32_t crc;  /* CRC-32C of bytes 0-59 */
} segment_header;
static_assert(sizeof(segment_header) == 64, "a segment's header takes the room of one record");
static_assert(offsetof(segment_header, seed) == 56, "segment_header.seed");

/* Bytes 0-511 of journal.state: written at start only, and one disk sector, so never torn. */
typedef struct state_header {
    uint8_t magic[8];
    uint32_t version;
    uint32_t level;
    uint64_t shard;
    uint64_t segment_records;
    uint32_t replica_options_bytes;
    uint32_t crc; /* CRC-32C of bytes 0-35 and 40-511 */
    uint8_t zero[24];
    uint8_t replica_options[REPLICA_OPTIONS_MAX];
    uint8_t zero2[192];
} state_header;
static_assert(sizeof(state_header) == 512, "one sector");
static_assert(offsetof(state_header, crc) == 36, "state_header.crc");
static_assert(offsetof(state_header, replica_options) == 64, "state_header.replica_options");

/* Bytes 4096-4159: the durable mark, written whole and synced alone, so that the counters' page is left in peace. */
typedef struct state_mark {
    uint64_t durable;
    uint64_t recorded_ns;
    uint8_t zero[44];
    uint32_t crc; /* CRC-32C of bytes 0-59 */
} state_mark;
static_assert(sizeof(state_mark) == 64, "the mark lies in one sector");

/* journal.state as it is mapped. Each counter has a cache line of its own. */
typedef struct state_page {
    state_header header;
    alignas(CACHE_LINE) uint64_t process; /* of the writer, the last one if there is none */
    uint64_t opened_ns;
    alignas(CACHE_LINE) _Atomic uint64_t written;
    alignas(CACHE_LINE) _Atomic uint64_t durable;
    alignas(CACHE_LINE) _Atomic uint64_t released;
    alignas(CACHE_LINE) _Atomic uint64_t shipped; /* stored by other processes: journal_reader_ship */
    alignas(CACHE_LINE) uint8_t zero[4096 - 832];
    state_mark mark;
    uint8_t zero2[4096 - sizeof(state_mark)];
} state_page;
static_assert(offsetof(state_page, process) == 512, "state_page.process");
static_assert(offsetof(state_page, written) == 576, "state_page.written");
static_assert(offsetof(state_page, durable) == 640, "state_page.durable");
static_assert(offsetof(state_page, released) == 704, "state_page.released");
static_assert(offsetof(state_page, shipped) == 768, "state_page.shipped");
static_assert(offsetof(state_page, mark) == 4096, "state_page.mark");
static_assert(sizeof(state_page) == 8192, "two pages");
static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "counters are shared between processes: no lock may hide in them");

uint64_t segment_bytes(uint64_t segment_records);
uint64_t segment_first(uint64_t segment_records, uint64_t sequence); /* first sequence of the segment that holds it */
uint64_t record_offset(uint64_t first, uint64_t sequence);           /* byte of a record in its segment */
void segment_name(char name[32], uint64_t first);
uint64_t segment_name_first(const char *name); /* 0: not the name of a segment */

void segment_header_make(segment_header *header, uint64_t shard, uint64_t segment_records, uint64_t first,
                         uint32_t seed);
/* NULL, or what must hold and does not. */
const char *segment_header_check(const segment_header *header, uint64_t shard, uint64_t segment_records,
                                 uint64_t first);

void state_header_make(state_header *header, const journal_options *options);
const char *state_header_check(const state_header *header);
void state_mark_make(state_mark *mark, uint64_t durable, uint64_t now_ns);
const char *state_mark_check(const state_mark *mark);

/* Does this record only prepare the one behind it? */
bool record_is_prefix(const wire_record *record);
bool all_zero(const void *at, size_t bytes);

/* Fill in *error (which may be NULL) and return its status. `first` names the segment, 0: none. */
journal_status journal_fail(journal_error *error, journal_status status, int system, uint64_t first, uint64_t offset,
                            uint64_t sequence, const char *hint, const char *text, ...)
    __attribute__((format(printf, 8, 9)));
journal_status journal_fail_host(journal_error *error, int result, const char *name, const char *what);

/* ---- Segments ---------------------------------------------------------------------------------------------------- */

typedef struct segment {
    uint64_t first;
    int file;
    uint8_t *at; /* the whole file, mapped writable */
} segment;

/* First sequences of the segments in a directory, rising. The caller frees `firsts`. */
typedef struct segment_list {
    uint64_t *firsts;
    uint32_t count;
    uint32_t room;
} segment_list;
int segments_list(const host *h, int directory, segment_list *list); /* 0, or negative errno */

/* What making segments needs to know. */
typedef struct segment_maker {
    const host *host;
    int directory;
    uint64_t segment_records;
    int64_t free_bytes_min;
    /* called between chunks of zeros, `done` of `bytes`: true to give up; may be NULL */
    bool (*pause)(void *self, uint64_t done, uint64_t bytes);
    void *self;
} segment_maker;

/* Make a segment file, all zeros, on disk, under its name; open and map it. 0, or negative errno: nothing is left. */
int segment_make(const segment_maker *maker, uint64_t first, segment *out);
/* Open and map one that is there. */
int segment_open(const segment_maker *maker, uint64_t first, segment *out);
void segment_close(const segment_maker *maker, segment *s);

/* Write all of it, whatever the host moves at once. 0, or negative errno. */
int write_whole(const host *h, int file, const void *from, size_t bytes, uint64_t offset);
int read_whole(const host *h, int file, void *to, size_t bytes, uint64_t offset); /* -EIO: the file ends before */

/* ---- Recovery ---------------------------------------------------------------------------------------------------- */

typedef struct recovery {
    const host *host;
    int directory;
    uint64_t shard;
    uint64_t segment_records;
    bool state_known; /* false: journal.state is missing or empty; then nothing is taken for torn */
    uint64_t durable; /* as recorded; 0 if the state is not known */
    uint64_t written; /* as recorded */
    uint64_t shipped; /* as recorded */
    uint64_t verify_from;

    uint64_t last;       /* found: last good record */
    uint32_t crc;        /* found: its crc */
    bool segment_exists; /* found: the file of the segment that holds last + 1 */
    bool segment_begun;  /* found: and it has its header */
} recovery;

journal_status recovery_run(recovery *r, journal_recovery *found, journal_error *error);

/* ---- The writer -------------------------------------------------------------------------------------------------- */

struct journal {
    /* set by journal_open, then constant */
    const host *host;
    journal_options options; /* directory and replica_options are not kept */
    segment_maker maker;
    int directory, state_file;
    state_page *state;
    bool stepped;

    /* the engine thread's own */
    alignas(CACHE_LINE) wire_record *slots; /* slots[sequence - slots_first] */
    uint64_t slots_first, slots_last;
    uint64_t last;      /* appended */
    uint64_t reserved;  /* may be appended without another look */
    uint64_t published; /* what `written` was set to last */
    uint32_t crc;       /* of record `last` */

    /* handed over */
    alignas(CACHE_LINE) _Atomic(segment *) next; /* ready to be written; NULL: being prepared */
    _Atomic journal_status next_status;          /* why it is NULL: JOURNAL_WAIT or JOURNAL_E_NO_ROOM */
    atomic_bool waiting;                         /* the engine thread was told to wait: hurry */
    _Atomic(const journal_error *) failure;      /* what journal_failure gives */
    atomic_bool broken;                          /* a sync failed: final */

    /* A segment's place is its number modulo SEGMENTS_OPEN_MAX. The keeper fills a place before it hands the segment
     * over by `next`, and empties it when `durable` has passed it: so the sync thread finds there what `written` speaks
     * of. */
    alignas(CACHE_LINE) segment open[SEGMENTS_OPEN_MAX];

    /* the sync thread's own */
    alignas(CACHE_LINE) uint64_t synced; /* durable so far */
    uint64_t freed;                      /* released so far, at levels disk and cluster */
    uint64_t prefaulted;                 /* pages up to this sequence were made writable ahead */
    journal_error sync_error;            /* final */

    /* the keeper's own */
    alignas(CACHE_LINE) uint64_t kept_first; /* first sequence of the oldest segment open */
    uint64_t newest_first;                   /* and of the newest */
    uint64_t marked;                         /* durable mark on disk */
    uint64_t marked_ns, room_retry_ns, chunk_began_ns;
    journal_error room_errors[ROOM_ERRORS_KEPT]; /* kept so that a pointer given out stays good */
    uint32_t room_error_next;

    pthread_t sync_thread, keeper_thread;
    atomic_bool stop;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* wakes the keeper before its time */
};

/* One turn of the work of each thread; true: something was done. */
bool background_sync(journal *j);
bool background_release(journal *j);
bool background_keep(journal *j);
void background_finish(journal *j); /* after background_stop: sync to the end, release, and mark it */

int background_start(journal *j); /* 0, or errno */
void background_stop(journal *j);
void background_hurry(journal *j); /* wake the keeper */

static inline segment *segment_place(journal *j, uint64_t first) {
    return &j->open[(first - 1) / j->maker.segment_records % SEGMENTS_OPEN_MAX];
}

#endif
