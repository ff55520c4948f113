/* An ingress on the simulated host, and clients that sign for it: for the C tests and the fuzz target of the ingress.
 *
 *   client ── frames, signed ──▶ host_sim socket ──▶ ingress ──▶ core, journal on the simulated disk
 *          ◀── reports and messages, 96 bytes each ──┘
 *
 * Keys: 1 "admin" may do everything, account 1 · 2 "trader" trades and cancels for account 2 · 3 "other" likewise for
 * account 3 · 4 "delegate" trades, cancels and delegates, account 4. The secret of key n is 32 bytes of n.
 */
#ifndef IRONBOOK_INGRESS_RIG_H
#define IRONBOOK_INGRESS_RIG_H

#include "engine_node/ingress/hmac.h"
#include "engine_node/ingress/ingress.h"
#include "host_sim.h"

#define RIG_KEY_COUNT 4
#define RIG_CLOSED_MAX 4096
#define RIG_SECOND_NS 1000000000ull

typedef struct rig {
    host_sim *sim;
    ingress *in;
    ingress_options options; /* change them between rig_make and rig_start */
    ingress_key keys[RIG_KEY_COUNT];
    ingress_recovery found;
    ingress_error error;
    uint32_t closed_count;
    struct {
        int socket;
        uint16_t code;
    } closed[RIG_CLOSED_MAX];
    uint32_t want_write_count; /* sockets that are to be watched for writing */
    bool failed;
    bool publisher_away; /* level cluster: rig_settle ships nothing */
} rig;

typedef struct client {
    rig *r;
    uint32_t key;
    int socket;
    uint64_t name;     /* of the connection */
    uint64_t sequence; /* last client sequence used */
    hmac_key session_key;
    uint8_t nonce[16];
    wire_logon_request request;
    wire_logon_answer answer;
} client;

void rig_make(rig *r, uint64_t seed);
void rig_start(rig *r);             /* open, recover, set keys; must succeed */
ingress_status rig_recover(rig *r); /* open and recover; may fail */
void rig_crash(rig *r);             /* kill -9, and the machine is there again: rig_start may follow */
void rig_end(rig *r);

/* An asset 1 and 2, an instrument 1 (base 1, quote 2, no fees), accounts 1 to 4 with much of both: by an admin of its
 * own. */
void rig_define_market(rig *r);

const ingress_counters *rig_counters(const rig *r);
void rig_wait(rig *r, uint64_t ns);                 /* time passes, and the timer with it */
uint16_t rig_closed_code(const rig *r, int socket); /* what `closed` said; 0xffff: not closed */
void rig_settle(rig *r); /* background work of the journal until there is none, all of it shipped, then on_wake */
uint64_t rig_ship(rig *r, uint64_t most); /* as a publisher would, up to `most`; what is shipped now */

/* ---- Clients: each call that returns a bool or a count lets the ingress work first ------------------------------- */

const uint8_t *rig_address(uint8_t last); /* 10.0.0.last */

bool client_connect(client *c, rig *r, uint32_t key, const uint8_t address[16]); /* false: not accepted */
void client_request(client *c, uint64_t last_report, uint8_t options);           /* make c->request, with a new nonce */
void client_sign_request(client *c, const uint8_t secret[32]);
bool client_send_request(client *c); /* and read the answer: false if there was none */

/* All of it: connect, request, answer; a ping makes it live. Must succeed. */
void client_logon(client *c, rig *r, uint32_t key, uint64_t last_report, uint8_t options);

void client_sign(const client *c, const void *command, uint8_t frame[FRAME_BYTES]);
void client_write(client *c, const void *bytes, size_t count); /* without letting the ingress work */
void client_work(client *c);                                   /* let it read until it has read everything */
void client_send(client *c, const void *command);              /* sign, write, work */
void client_queue(client *c, const void *command);             /* sign, write */

/* The messages that have come, at most `room`. */
uint32_t client_take(client *c, wire_report *out, uint32_t room);

/* Exactly one message must have come: that one. */
wire_report client_take_one(client *c);

/* Commands with the next client sequence filled in. */
wire_new_order client_order(client *c, uint32_t account, uint8_t side, int64_t price, int64_t quantity);
wire_ping client_ping(const client *c, uint64_t echo);

#endif
