/* The logon of schemas/wire/session.md, and frames signed with two saved SHA-256 states. */
#define OPENSSL_SUPPRESS_DEPRECATED /* the SHA256_ functions: the only ones that let a pad's state be copied */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 1 << 20, PAD_BYTES = 64 };

void client_fail(const char *what, ...) {
    va_list arguments;
    va_start(arguments, what);
    vfprintf(stderr, what, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

void signer_open(signer *s, const uint8_t *key, size_t key_bytes) {
    uint8_t inner[PAD_BYTES], outer[PAD_BYTES];
    for (size_t i = 0; i < PAD_BYTES; i++) {
        uint8_t byte = i < key_bytes ? key[i] : 0;
        inner[i] = byte ^ 0x36;
        outer[i] = byte ^ 0x5c;
    }
    SHA256_Init(&s->inner);
    SHA256_Update(&s->inner, inner, sizeof inner);
    SHA256_Init(&s->outer);
    SHA256_Update(&s->outer, outer, sizeof outer);
}

void signer_sign(const signer *s, const void *data, size_t bytes, uint8_t mac[SHA256_DIGEST_LENGTH]) {
    SHA256_CTX state = s->inner;
    SHA256_Update(&state, data, bytes);
    SHA256_Final(mac, &state);
    state = s->outer;
    SHA256_Update(&state, mac, SHA256_DIGEST_LENGTH);
    SHA256_Final(mac, &state);
}

static void log_on(client *c, const char *key_id, const uint8_t *secret) {
    wire_logon_request request = {.magic = "IRONBK01", .last_report_number = RESUME_NEW_ONLY};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    request.timestamp_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
    memcpy(request.key_id, key_id, strnlen(key_id, sizeof request.key_id));
    if (RAND_bytes(request.client_nonce, sizeof request.client_nonce) != 1) client_fail("no randomness for the nonce");
    signer secret_signer;
    signer_open(&secret_signer, secret, 32);
    signer_sign(&secret_signer, &request, offsetof(wire_logon_request, mac), request.mac);
    client_send(c, &request, sizeof request);

    if (!client_wait(c, sizeof(wire_logon_answer))) client_fail("the logon must be answered, the line was closed");
    wire_logon_answer answer;
    memcpy(&answer, c->in + c->in_begin, sizeof answer);
    c->in_begin += sizeof answer;
    if (answer.kind != MESSAGE_LOGON_ANSWER)
        client_fail("the logon must be answered by a logon_answer, was kind %u code %u", answer.kind,
                    ((const wire_report *)(const void *)&answer)->code);
    uint8_t both[128], mac[SHA256_DIGEST_LENGTH];
    memcpy(both, &request, 64);
    memcpy(both + 64, &answer, 64);
    signer_sign(&secret_signer, both, sizeof both, mac);
    if (memcmp(mac, answer.mac, sizeof mac) != 0) client_fail("the answer to the logon must be signed by the engine");

    uint8_t text[64], session_key[SHA256_DIGEST_LENGTH];
    memcpy(text, "IRONBK01 session", 16);
    memcpy(text + 16, request.client_nonce, 16);
    memcpy(text + 32, answer.server_nonce, 16);
    memcpy(text + 48, request.key_id, 16);
    signer_sign(&secret_signer, text, sizeof text, session_key);
    signer_open(&c->session, session_key, sizeof session_key);
    c->client_sequence = answer.last_client_sequence;
}

void client_open(client *c, uint16_t port, const char *key_id, const uint8_t *secret) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    *c = (client){.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .in = malloc(IN_BYTES)};
    if (c->socket < 0 || c->in == NULL) client_fail("no socket or no memory: %s", strerror(errno));
    if (connect(c->socket, (struct sockaddr *)&address, sizeof address) != 0)
        client_fail("nobody answers at port %u: %s", port, strerror(errno));
    setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (secret != NULL) log_on(c, key_id, secret);
}

void client_close(client *c) {
    close(c->socket);
    free(c->in);
}

void client_sign(client *c, const uint8_t command[COMMAND_BYTES], uint8_t frame[FRAME_BYTES]) {
    uint8_t mac[SHA256_DIGEST_LENGTH];
    wire_header header;
    memcpy(frame, command, COMMAND_BYTES);
    memcpy(&header, frame, sizeof header);
    header.client_sequence = ++c->client_sequence & 0xffffffffffffull;
    memcpy(frame, &header, sizeof header);
    signer_sign(&c->session, frame, COMMAND_BYTES, mac);
    memcpy(frame + COMMAND_BYTES, mac, TAG_BYTES);
}

void client_send(client *c, const void *data, size_t bytes) {
    const char *from = data;
    while (bytes > 0) {
        ssize_t sent = send(c->socket, from, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) client_fail("the line broke while sending: %s", strerror(errno));
        from += sent;
        bytes -= (size_t)sent;
    }
}

bool client_wait(client *c, size_t bytes) {
    while (c->in_end - c->in_begin < bytes) {
        if (c->in_begin > 0) {
            memmove(c->in, c->in + c->in_begin, c->in_end - c->in_begin);
            c->in_end -= c->in_begin;
            c->in_begin = 0;
        }
        ssize_t got = recv(c->socket, c->in + c->in_end, IN_BYTES - c->in_end, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        c->in_end += (size_t)got;
    }
    return true;
}

const wire_report *client_report(client *c) {
    if (!client_wait(c, REPORT_BYTES)) client_fail("the engine closed the line");
    const wire_report *report = (const wire_report *)(const void *)(c->in + c->in_begin);
    c->in_begin += REPORT_BYTES;
    if (report->kind == EVENT_REJECTED || report->kind >= MESSAGE_LOGON_ANSWER)
        client_fail("nothing of the flow may be refused, found kind %u code %u for client sequence %llu", report->kind,
                    report->code, (unsigned long long)report->reference);
    return report;
}
