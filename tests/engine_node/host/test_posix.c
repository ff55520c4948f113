/* The real host keeps the promises of host.h: errors as negative errno, names relative to a directory, whole writes. */
#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <signal.h>

#include "engine_node/host/host.h"
#include "tests/support/check.h"

static char where[256];
static int directory;

static void directory_make(void) {
    const char *base = getenv("TMPDIR");
    snprintf(where, sizeof where, "%s/host-test-XXXXXX", base != NULL ? base : "/tmp");
    CHECK(mkdtemp(where) != NULL);
    directory = host_posix()->open_directory(NULL, where);
    CHECK(directory >= 0);
}

static void directory_remove(void) {
    close(directory);
    CHECK_EQUAL(rmdir(where), 0);
}

static void test_clock_and_randomness(void) {
    const host *h = host_posix();
    CHECK(h->now_ns(NULL) > 1600000000000000000ull);
    const uint64_t steady_ns = h->steady_ns(NULL);
    CHECK(steady_ns > 0 && h->steady_ns(NULL) >= steady_ns);
    uint8_t one[64] = {0}, two[64] = {0};
    CHECK_EQUAL(h->random(NULL, one, sizeof one), 0);
    CHECK_EQUAL(h->random(NULL, two, sizeof two), 0);
    CHECK(memcmp(one, two, sizeof one) != 0);
    CHECK_EQUAL(h->process(NULL), getpid());
}

static void test_waking_an_event_makes_it_readable_however_often(void) {
    int event = eventfd(0, EFD_NONBLOCK);
    CHECK_EQUAL(host_posix()->wake(NULL, event), 0);
    CHECK_EQUAL(host_posix()->wake(NULL, event), 0);
    uint64_t count = 0;
    CHECK_EQUAL(read(event, &count, sizeof count), sizeof count);
    CHECK_EQUAL(count, 2);
    count = UINT64_MAX - 1;
    CHECK_EQUAL(write(event, &count, sizeof count), sizeof count);
    CHECK_EQUAL(host_posix()->wake(NULL, event), 0); /* it is full, and readable */
    close(event);
    CHECK_EQUAL(host_posix()->wake(NULL, event), -EBADF);
}

static void test_sockets(void) {
    const host *h = host_posix();
    int pair[2];
    CHECK_EQUAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    char text[8];
    CHECK_EQUAL(h->receive(NULL, pair[0], text, sizeof text), -EAGAIN);
    struct iovec parts[2] = {{.iov_base = "ab", .iov_len = 2}, {.iov_base = "cde", .iov_len = 3}};
    CHECK_EQUAL(h->send(NULL, pair[1], parts, 2), 5);
    CHECK_EQUAL(h->receive(NULL, pair[0], text, 3), 3);
    CHECK_EQUAL(h->receive(NULL, pair[0], text + 3, 5), 2);
    CHECK(memcmp(text, "abcde", 5) == 0);
    h->close_socket(NULL, pair[1]);
    CHECK_EQUAL(h->receive(NULL, pair[0], text, sizeof text), 0);
    CHECK_EQUAL(h->send(NULL, pair[0], parts, 2), -EPIPE); /* and no signal */
    h->close_socket(NULL, pair[0]);
}

static void test_files(void) {
    const host *h = host_posix();
    directory_make();
    CHECK_EQUAL(h->find_directory(NULL, "/nowhere/at/all"), -ENOENT);
    CHECK_EQUAL(h->open_directory(NULL, "/nowhere/at/all"), -ENOENT);
    char inner[300];
    snprintf(inner, sizeof inner, "%s/inner", where);
    CHECK_EQUAL(h->find_directory(NULL, inner), -ENOENT);
    for (int again = 0; again < 2; again++) {
        int made = h->open_directory(NULL, inner);
        CHECK(made >= 0);
        h->close_file(NULL, made);
    }
    CHECK_EQUAL(rmdir(inner), 0);
    CHECK_EQUAL(h->open_file(NULL, directory, "a", O_RDWR), -ENOENT);
    int file = h->open_file(NULL, directory, "a", O_RDWR | O_CREAT | O_EXCL);
    CHECK(file >= 0);
    CHECK_EQUAL(h->open_file(NULL, directory, "a", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
    CHECK_EQUAL(h->allocate(NULL, file, 8192), 0);
    CHECK_EQUAL(h->file_bytes(NULL, file), 8192);
    CHECK_EQUAL(h->write_at(NULL, file, "hello", 5, 4000), 5);
    CHECK_EQUAL(h->sync_data(NULL, file), 0);
    uint8_t *at = h->map(NULL, file, 8192, 1);
    CHECK(at != NULL && memcmp(at + 4000, "hello", 5) == 0);
    CHECK_EQUAL(h->prefault(NULL, at + 5000, 100), 0);
    at[5000] = 7;
    CHECK_EQUAL(h->sync_mapped(NULL, file, at + 5000, 1), 0);
    uint8_t byte = 0;
    CHECK_EQUAL(h->read_at(NULL, file, &byte, 1, 5000), 1);
    CHECK_EQUAL(byte, 7);
    CHECK_EQUAL(h->write_synced(NULL, file, "world", 5, 100), 0);
    memset(at + 4090, 9, 4102);
    CHECK_EQUAL(h->write_zeros(NULL, file, 4100, 4091), 0);
    CHECK(at[4090] == 9 && at[4091] == 0 && at[8190] == 0 && at[8191] == 9);
    CHECK(memcmp(at + 100, "world", 5) == 0);
    h->unmap(NULL, at, 8192);
    CHECK_EQUAL(h->resize(NULL, file, 10), 0);
    CHECK_EQUAL(h->read_at(NULL, file, &byte, 1, 10), 0);
    CHECK_EQUAL(h->rename(NULL, directory, "a", "b"), 0);
    CHECK_EQUAL(h->rename(NULL, directory, "a", "b"), -ENOENT);
    CHECK_EQUAL(h->sync_directory(NULL, directory), 0);
    CHECK(h->free_bytes(NULL, directory) > 0);
    h->close_file(NULL, file);
    CHECK_EQUAL(h->sync_data(NULL, file), -EBADF);
    CHECK_EQUAL(h->remove(NULL, directory, "b"), 0);
    CHECK_EQUAL(h->remove(NULL, directory, "b"), -ENOENT);
    directory_remove();
}

static void test_a_lock_belongs_to_one_descriptor_until_it_is_closed(void) {
    const host *h = host_posix();
    directory_make();
    int one = h->open_file(NULL, directory, "a", O_RDWR | O_CREAT), two = h->open_file(NULL, directory, "a", O_RDWR);
    CHECK_EQUAL(h->lock(NULL, one), 0);
    CHECK_EQUAL(h->lock(NULL, two), -EWOULDBLOCK);
    h->close_file(NULL, one);
    CHECK_EQUAL(h->lock(NULL, two), 0);
    h->close_file(NULL, two);
    CHECK_EQUAL(h->remove(NULL, directory, "a"), 0);
    directory_remove();
}

static void test_a_limit_on_file_size_is_an_error_and_not_a_signal(void) {
    const host *h = host_posix();
    directory_make();
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, small = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
    CHECK_EQUAL(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &small), 0);
    int file = h->open_file(NULL, directory, "a", O_RDWR | O_CREAT);
    CHECK_EQUAL(h->allocate(NULL, file, 8192), -EFBIG);
    CHECK_EQUAL(h->write_at(NULL, file, "x", 1, 8192), -EFBIG);
    CHECK_EQUAL(h->write_synced(NULL, file, "x", 1, 8192), -EFBIG);
    CHECK_EQUAL(setrlimit(RLIMIT_FSIZE, &before), 0);
    h->close_file(NULL, file);
    CHECK_EQUAL(h->remove(NULL, directory, "a"), 0);
    directory_remove();
}

static int count_names(void *to, const char *name) {
    (void)name;
    return ++*(int *)to == 3 ? 42 : 0;
}

static void test_listing_hands_out_each_name_until_told_to_stop(void) {
    const host *h = host_posix();
    directory_make();
    int count = 0;
    CHECK_EQUAL(h->list(NULL, directory, count_names, &count), 0);
    CHECK_EQUAL(count, 0);
    for (char name[] = "a"; name[0] <= 'e'; name[0]++) close(h->open_file(NULL, directory, name, O_RDWR | O_CREAT));
    CHECK_EQUAL(h->list(NULL, directory, count_names, &count), 42);
    CHECK_EQUAL(count, 3);
    for (char name[] = "a"; name[0] <= 'e'; name[0]++) CHECK_EQUAL(h->remove(NULL, directory, name), 0);
    directory_remove();
}

int main(void) {
    RUN(test_clock_and_randomness);
    RUN(test_waking_an_event_makes_it_readable_however_often);
    RUN(test_sockets);
    RUN(test_files);
    RUN(test_a_lock_belongs_to_one_descriptor_until_it_is_closed);
    RUN(test_a_limit_on_file_size_is_an_error_and_not_a_signal);
    RUN(test_listing_hands_out_each_name_until_told_to_stop);
    return checks_done();
}
