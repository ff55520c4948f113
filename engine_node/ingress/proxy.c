/* Reading a PROXY v2 header: see proxy.h for the bytes. */
#include "proxy.h"

#include <string.h>

static const uint8_t signature[12] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};

enum { COMMAND_LOCAL = 0x20, COMMAND_PROXY = 0x21, FAMILY_TCP4 = 0x11, FAMILY_TCP6 = 0x21 };
enum { TCP4_BYTES = 12, TCP6_BYTES = 36 };

int proxy_header(const uint8_t *bytes, uint32_t count, uint8_t address[ADDRESS_BYTES]) {
    const uint32_t seen = count < sizeof signature ? count : (uint32_t)sizeof signature;
    if (memcmp(bytes, signature, seen) != 0) return -1;
    if (count < PROXY_HEAD_BYTES) return 0;
    const uint8_t command = bytes[12], family = bytes[13];
    const uint32_t body_bytes = (uint32_t)bytes[14] << 8 | bytes[15];
    if (body_bytes > PROXY_BODY_BYTES_MAX) return -1;
    if (command != COMMAND_LOCAL && command != COMMAND_PROXY) return -1;
    if (command == COMMAND_PROXY) {
        if (family != FAMILY_TCP4 && family != FAMILY_TCP6) return -1;
        if (body_bytes < (family == FAMILY_TCP4 ? TCP4_BYTES : TCP6_BYTES)) return -1;
    }
    if (count < PROXY_HEAD_BYTES + body_bytes) return 0;
    if (command == COMMAND_PROXY && family == FAMILY_TCP4) {
        memset(address, 0, 10);
        memset(address + 10, 0xff, 2);
        memcpy(address + 12, bytes + PROXY_HEAD_BYTES, 4);
    } else if (command == COMMAND_PROXY) {
        memcpy(address, bytes + PROXY_HEAD_BYTES, ADDRESS_BYTES);
    }
    return (int)(PROXY_HEAD_BYTES + body_bytes);
}
