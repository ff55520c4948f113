/* A client in C for the load generator: logon, signing, sending, reading reports. Blocking sockets; any failure ends
 * the program with a sentence, as a benchmark has nobody to hand an error to. */
#ifndef IRONBOOK_BENCHMARKS_CLIENT_H
#define IRONBOOK_BENCHMARKS_CLIENT_H

#include <openssl/sha.h>
#include <stdbool.h>

#include "engine_node/core/vocabulary.h"

typedef struct signer { /* SHA-256 after the inner and the outer pad */
    SHA256_CTX inner, outer;
} signer;

typedef struct client {
    int socket;
    uint64_t client_sequence; /* of the last frame signed */
    signer session;
    uint8_t *in; /* bytes read and not yet taken: in[in_begin .. in_end) */
    size_t in_begin, in_end;
} client;

_Noreturn void client_fail(const char *what, ...) __attribute__((format(printf, 1, 2)));

void signer_open(signer *s, const uint8_t *key, size_t key_bytes);
void signer_sign(const signer *s, const void *data, size_t bytes, uint8_t mac[SHA256_DIGEST_LENGTH]);

/* Connect to 127.0.0.1:port; with a secret (32 bytes), log on as key_id and take new reports only. */
void client_open(client *c, uint16_t port, const char *key_id, const uint8_t *secret);
void client_close(client *c);

/* Number and sign a command into a frame. */
void client_sign(client *c, const uint8_t command[COMMAND_BYTES], uint8_t frame[FRAME_BYTES]);

void client_send(client *c, const void *data, size_t bytes);

/* At least `bytes` waiting in c->in (blocking); false when the peer closed. */
bool client_wait(client *c, size_t bytes);

/* The next report; ends the program when the session ends or the engine refuses. */
const wire_report *client_report(client *c);

uint64_t monotonic_ns(void);

#endif
