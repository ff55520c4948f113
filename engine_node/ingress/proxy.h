/* The PROXY protocol's version 2 header: what a TLS terminator in front of us puts first, so that we see the true
 * address.
 *
 *   0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A │ 21 │ 11 or 21 │ length, big-endian │ addresses and ports │ extensions
 *            the signature, 12 bytes     cmd   family         2 bytes             12 or 36 bytes
 *
 * Command 0x20 (LOCAL) keeps the address that the socket has: the terminator looks after itself.
 */
#ifndef IRONBOOK_INGRESS_PROXY_H
#define IRONBOOK_INGRESS_PROXY_H

#include <stdint.h>

#include "peers.h"

#define PROXY_HEAD_BYTES 16u
#define PROXY_BODY_BYTES_MAX 1024u /* addresses and extensions */

/* How many of these bytes are the header: more than 0. 0: more bytes are needed. -1: this is no such header.
 * `address` is set if the header names one. */
int proxy_header(const uint8_t *bytes, uint32_t count, uint8_t address[ADDRESS_BYTES]);

#endif
