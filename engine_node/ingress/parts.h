/* The inside of an ingress: what its files share and nobody else sees.
 *
 *   ingress ── core · journal · two key tables · peers · slots of connections
 *     connections[slot] ── receive buffer 64 KiB ── session key ── waiting prefixes ── queue of messages ── tail
 *     keys[number] ── last client sequence, last report, which connection is its live session, logoff owed
 *     dirty: ring of slots that have something to send or an end to come to; emptied at the end of every call
 *
 * The states of a connection, and what moves it on:
 *
 *   accept ─▶ PROXIED ──header──▶ NEW ──96 bytes, good──▶ PENDING ──first valid frame──▶ LIVE
 *               └───────────────────┴─ bad, late, probe ▶ FREE ◀── idle, replaced, refused, line lost ──┘
 *
 * Files: ingress.c (open, accept, timer, stop) · recover.c (replay, the first records) · logon.c (new to pending) ·
 * session.c (pending to live, ends, records of our own) · frames.c (the hot path) · outbound.c (what goes out) ·
 * keys.c, peers.c, proxy.c, hmac.c (parts that know nothing of the rest).
 */
#ifndef IRONBOOK_INGRESS_PARTS_H
#define IRONBOOK_INGRESS_PARTS_H

#include <string.h>

#include "hmac.h"
#include "ingress.h"
#include "keys.h"
#include "peers.h"

/* Our own bug: state can't be trusted any more, so the process ends. On in every build. */
#define INGRESS_INVARIANT(holds)                                                                                       \
    do {                                                                                                               \
        if (__builtin_expect(!(holds), 0)) ingress_broken(#holds, __FILE__, __LINE__);                                 \
    } while (0)
_Noreturn void ingress_broken(const char *what, const char *file, int line);

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

#define RECEIVE_BYTES 65536u      /* the buffer of a connection, and the most that one receive takes */
#define MESSAGE_COUNT_MAX 128u    /* messages waiting in one connection */
#define PART_COUNT_MAX 32u        /* pieces of one gathering write */
#define EVENT_CHUNK_COUNT 256u    /* reports that the core makes at a time */
#define RECENT_NONCE_COUNT 1024u  /* logons remembered whose record is not in the core, or not yet */
#define RELEASE_WAIT_COUNT 200000 /* looks at the journal while a single command waits for the disk */
#define AWAY_NS 500000000ull      /* level cluster: nothing released for so long, so whoever ships it is away */
#define UNSHIPPED_RECORDS_MAX (1ull << 40)
#define ROOM_WAIT_COUNT 1000000 /* looks at the journal while a start or a stop waits for its next segment */
#define NS_PER_MS 1000000ull

static_assert(EVENT_CHUNK_COUNT >= CORE_EVENTS_CHUNK_MIN, "the core can always run a step");
static_assert(INGRESS_REPORTS_KEPT_MIN / 4 >= CORE_EVENTS_CHUNK_MIN, "a quarter of the least ring holds a chunk");
static_assert(RECEIVE_BYTES % FRAME_BYTES == 0, "a full buffer is whole frames");

/* ---- Types ------------------------------------------------------------------------------------------------------- */

enum connection_state { FREE, PROXIED, NEW, PENDING, LIVE };

/* What became of a frame. */
typedef enum outcome {
    DONE,    /* go on with the next */
    STALLED, /* nothing happened: the journal is not ready, the same frame again later */
    ENDED,   /* the connection is closed */
} outcome;

typedef struct connection {
    hmac_key session_key;
    uint8_t *buffer;      /* RECEIVE_BYTES */
    uint32_t buffer_used; /* bytes in it not yet taken, from its start */
    int socket;
    uint64_t sent_report;  /* number of the last report given to the kernel, or to the tail */
    uint64_t last_seen_ns; /* steady: last authentic frame; before logon: when it was accepted */
    uint32_t generation;   /* of this slot: a name with another one is of a connection long closed */
    uint32_t key;
    uint16_t doomed; /* CODE_... to end with as soon as no command is under way; 0: none */
    uint8_t state;
    uint8_t prefix_count;
    uint8_t secret_index; /* which of the key's secrets it logged on with */
    uint8_t logon_options;
    bool blocked;  /* the kernel took less than there was: waiting for ingress_writable */
    bool watched;  /* the loop was asked to tell when it can be written */
    bool refusing; /* a frame was refused unrecorded, and its number has not come again */
    bool dirty;    /* in the ring of those to look after */
    bool held;     /* has reports or messages that the journal has not released */
    uint8_t zero;
    uint64_t logon_timestamp_ns;
    uint8_t logon_nonce[16];
    uint8_t address[ADDRESS_BYTES];
    wire_record prefixes[PREFIX_COUNT_MAX]; /* their commands; key and time come with the closing frame */
    /* what waits to be sent: the tail of an item that was cut, then reports and messages in their order */
    uint32_t tail_bytes;
    uint32_t message_first, message_end;
    uint32_t zero2;
    uint8_t tail[REPORT_BYTES];
    uint64_t behind[MESSAGE_COUNT_MAX];  /* messages[i] goes out behind the report of this number */
    uint64_t vouches[MESSAGE_COUNT_MAX]; /* and not before the journal has released this sequence; 0: at any time */
    wire_report messages[MESSAGE_COUNT_MAX];
} connection;

/* What the ingress knows of a key beside the key table: it outlives sessions and changes of the table. */
typedef struct key_state {
    uint64_t last_client_sequence; /* recorded; the core's, mirrored */
    uint64_t last_report;          /* newest number; the core's, mirrored */
    uint64_t ahead_ns;             /* steady: message rate */
    connection *live;              /* NULL: no connection; the core may still hold a session whose logoff is owed */
    uint32_t session;              /* number of the last session in the journal */
    uint8_t owed_reason;           /* LOGOFF_REASON_... of a logoff that could not be recorded yet; 0: none */
    uint8_t zero[3];
} key_state;

typedef struct recent_nonce {
    uint8_t nonce[16];
    uint64_t timestamp_ns; /* 0: free */
} recent_nonce;

struct ingress {
    /* read and written for every frame */
    core *core;
    journal *journal;
    const host *host;
    uint64_t now_ns;    /* time of records: one reading a call; never falls, so it may be ahead of the clock */
    uint64_t wall_ns;   /* the clock itself, of the same reading */
    uint64_t steady_ns; /* for time-outs and rates: nobody sets it */
    uint64_t reports_kept;
    uint64_t press_at; /* so many reports wait for one session: sending them comes before the next command */
    uint64_t full_at;  /* so many: no command at all can be taken; at levels process and disk the same number */
    key_table *keys;   /* the one in use */
    key_state *states;
    bool unpublished; /* records were appended since the last journal_publish */
    bool pressed;     /* a live session has nearly a ring to send */
    bool stalled;     /* the journal must come first: nothing is read until ingress_on_wake */
    bool was_stalled; /* at some time since the last ingress_on_timer */
    bool recovered, stopping, finished, failed;
    bool clustered;    /* level cluster: the four below count */
    bool away;         /* nothing was released for AWAY_NS: refuse rather than wait */
    bool reports_wait; /* and press_at reports wait for some session: new orders are refused */
    core_events chunk;
    ingress_counters counters;
    const char *full_pool; /* the last pool without room; "" if there never was one */

    ingress_options options;
    key_table tables[2];
    peers peers;
    hmac_key dummy_key; /* random: the work for a key that does not exist */
    connection *connections;
    uint32_t *free_slots;
    uint32_t free_count;
    uint32_t *dirty_ring; /* connection_count_max places */
    uint32_t dirty_first, dirty_count;
    uint32_t held_count;                       /* connections marked held */
    uint64_t digest_sequence;                  /* of the last digest record */
    uint64_t last_tick_ns, last_tick_sequence; /* of the last clock tick, or of the start */
    uint64_t last_timer_ns;                    /* steady: of the last ingress_on_timer, or of the start */
    uint64_t released_seen, released_seen_ns;  /* level cluster: journal_released, and when (steady) it last moved */
    uint64_t told_until;                       /* once finished: what the survival level had passed by then */
    recent_nonce recent[RECENT_NONCE_COUNT];
    uint32_t recent_next;
    void *core_memory, *buffers, *memory;
    size_t core_bytes, buffers_bytes, memory_bytes;
};

/* ---- logon.c ----------------------------------------------------------------------------------------------------- */

/* Take what a connection that has not logged on sent. */
outcome logon_take(ingress *in, connection *c);

/* ---- session.c --------------------------------------------------------------------------------------------------- */

/* Room in the journal for `count` records? */
typedef enum room { ROOM_YES, ROOM_WAIT, ROOM_NONE } room;
room journal_room(ingress *in, uint32_t count);
room journal_room_waiting(ingress *in, uint32_t count); /* for a start and a stop: nobody is kept waiting by it */

/* Level cluster: is the journal topic too far behind for a command? One that takes risk away (`relief`: a cancel, a
 * halt) is taken up to twice the bound. Never true at another level. */
bool cluster_behind(const ingress *in, bool relief);

/* Apply and append a whole group; reports are collected, sessions marked for sending. Room must have been made.
 * CORE_OK, or CORE_E_FULL with nothing done. */
core_status record_group(ingress *in, wire_record *records, uint32_t count);

/* A record of our own: key is 0 but for logon and logoff. Makes room itself. */
room record_system(ingress *in, const void *command, uint32_t key, core_status *status);

/* The first valid frame of a pending session: end the old one, record the logon. */
outcome session_begin(ingress *in, connection *c, uint64_t client_sequence);

/* End a connection in whatever state: record the logoff if it is live, say `code` (CODE_NONE: say nothing), close. */
void session_end(ingress *in, connection *c, uint16_t code, uint8_t logoff_reason);

/* Are the reports behind `from` still there, and was `from` ever made? */
bool session_reports_there(const ingress *in, uint32_t key, uint64_t from);

/* Try again to record the logoffs that are owed. */
void session_pay_owed(ingress *in);

/* ---- frames.c ---------------------------------------------------------------------------------------------------- */

/* Take whole frames from the buffer of a pending or live connection. */
void frames_take(ingress *in, connection *c);

/* ---- outbound.c -------------------------------------------------------------------------------------------------- */

/* Put a message into the queue. The connection may be doomed afterwards, if it does not read. A message that tells what
 * is recorded (logon answer, pong, repeat, a refused ping) is held back until all that was recorded when it was made is
 * released. */
void outbound_message(ingress *in, connection *c, uint8_t kind, uint16_t code, uint64_t reference, uint64_t order_id);
void outbound_put(ingress *in, connection *c, const void *message);

/* Is there room for so many messages? False: there will be when the journal has released what is held. True too for a
 * peer that does not read: the next message dooms it. */
bool outbound_room(ingress *in, connection *c, uint32_t count);

/* Send what can be sent now. */
void outbound_flush(ingress *in, connection *c);

/* A message now or never: nothing waits before it, and the connection ends behind it. */
void outbound_last(ingress *in, const connection *c, const void *message);

/* Send what can be sent now, and a last message; nothing is kept for later. */
void outbound_farewell(ingress *in, connection *c, uint16_t code);

/* See to it that outbound_drain looks at this connection. */
void outbound_mark(ingress *in, connection *c);

/* Publish, send to every marked connection, end the doomed ones. */
void outbound_drain(ingress *in);

/* Between two chunks of one command, or between two commands: send before a ring laps its reader. */
void outbound_relieve(ingress *in, bool command_under_way);

/* Do more reports than `count` of some session wait for the journal alone? */
bool outbound_waits(const ingress *in, uint64_t count);

/* Wait until all that is published is released, but not for ever. */
void outbound_await_release(const ingress *in);

/* ---- ingress.c --------------------------------------------------------------------------------------------------- */

void ingress_enter(ingress *in);       /* at the begin of every call from the loop: read the clock */
void ingress_leave(ingress *in);       /* at its end: digest if due, publish, send, look for a failure */
void ingress_stall(ingress *in);       /* read nothing until ingress_on_wake */
void ingress_pause(const ingress *in); /* let the journal's background get on: while a start or one command waits */
void ingress_free(ingress *in, connection *c, uint16_t code); /* give the slot back, and tell the loop */

#endif
