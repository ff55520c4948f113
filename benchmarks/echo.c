/* The plain TCP echo that the engine is held against: one thread, epoll, whatever arrives goes back.
 *
 *   echo block      waits in epoll_wait
 *   echo spin       never waits while somebody is connected; waits in accept otherwise
 *
 * Prints its port and serves one connection after the other until its standard input closes or it is killed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER_BYTES = 256 * 1024 };

static char buffer[BUFFER_BYTES];

static void must(bool holds, const char *what) {
    if (holds) return;
    perror(what);
    exit(1);
}

/* Send all of it; a full socket buffer is waited for, as the load generator always reads on. */
static bool send_all(int socket, size_t bytes) {
    for (size_t sent = 0; sent < bytes;) {
        ssize_t done = send(socket, buffer + sent, bytes - sent, MSG_NOSIGNAL);
        if (done < 0 && errno == EAGAIN) continue;
        if (done <= 0) return false;
        sent += (size_t)done;
    }
    return true;
}

static void serve(int epoll, int socket, int timeout_ms) {
    for (;;) {
        struct epoll_event event;
        int ready = epoll_wait(epoll, &event, 1, timeout_ms);
        if (ready < 0 && errno == EINTR) continue;
        must(ready >= 0, "epoll_wait");
        if (ready == 0) continue;
        ssize_t got = recv(socket, buffer, sizeof buffer, 0);
        if (got < 0 && errno == EAGAIN) continue;
        if (got <= 0 || !send_all(socket, (size_t)got)) return;
    }
}

int main(int argument_count, char **arguments) {
    if (argument_count != 2 || (strcmp(arguments[1], "block") != 0 && strcmp(arguments[1], "spin") != 0)) {
        fprintf(stderr, "usage: echo block|spin\n");
        return 2;
    }
    int timeout_ms = strcmp(arguments[1], "spin") == 0 ? 0 : -1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    must(listener >= 0 && bind(listener, (struct sockaddr *)&address, bytes) == 0 && listen(listener, 8) == 0,
         "listen");
    must(getsockname(listener, (struct sockaddr *)&address, &bytes) == 0, "getsockname");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket < 0 && errno == EINTR) continue;
        must(socket >= 0, "accept");
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event event = {.events = EPOLLIN, .data.fd = socket};
        must(epoll >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event) == 0, "epoll");
        serve(epoll, socket, timeout_ms);
        close(epoll);
        close(socket);
    }
}
