// Records, in the order in which a process did them, what it wrote to certain files and what it sent to
// sockets, so that a test can compute what the disk would have held had the power failed at any point.
//
// It is a library for LD_PRELOAD (glibc, x86_64). It changes nothing that the process does, does not cut the
// power, and does not know what the bytes mean: a test reads the log, forgets what was not synced, and looks
// at what was sent by then.
//
//     cc -O2 -shared -fPIC -o recorder.so recorder.c -ldl
//     LD_PRELOAD=/folder/recorder.so RECORDER_LOG=log RECORDER_PREFIX=/folder/genops.db program
//
// RECORDER_LOG     the log; it is appended to, made if absent. One log for one process: counts begin at 0.
// RECORDER_PREFIX  an absolute path; recorded are the files whose path begins with it, save those in "-shm"
// Without both of them nothing is recorded. Child processes inherit them: they must leave those files alone.
// Paths are compared and logged with symbolic links resolved.
//
// # The log
//
// Records without padding, integers little endian:
//
//     u8 kind   u16 path length   path   u64 offset   u32 data length   data
//
//     1 write     path, offset in the file, the bytes that the call says it wrote. All forms of write are
//                 this one, also those at the file's own position or at its end.
//     2 truncate  path, offset = the new length; no data. Also for an open with O_TRUNC.
//     3 sync      path, offset = how many records of kinds 1 and 2 the log had for this path when the sync
//                 began: those and no others are known to be on the disk. No data. A folder's sync is
//                 logged too, if the folder's path begins with the prefix.
//     4 unlink    path; no data. What is written to the file afterwards is not logged.
//     5 send      no path, offset = how many bytes the call was given, data = the first 4096 of them.
//     6 rename    path = the old one, data = the new one.
//
// A sync's count goes by the path as text, over the whole log: an unlink does not restart it, and a rename
// does not move it. What a file brought along from its old path is covered by a sync that follows the rename.
// A log that ends within a record was cut by the end of the process; that operation counts as not done.
//
// # The order
//
// One lock is held around each operation on a recorded file and its record, so the log's order is the order
// in which the kernel did them. Two kinds are different:
// - A sync runs without the lock, for it is slow and others may write meanwhile. It is logged once it has
//   succeeded and before its caller knows, with the count from before it began.
// - A send is logged before it is tried. What allowed it (a sync that returned) was logged earlier still, so
//   a send that stands before the sync it should have waited for is a true finding. A send that the kernel
//   took in part or not at all is logged again when the process tries again.
// A call that failed is not logged, except for sends.
//
// # What it does not see
//
// System calls that do not go through the C library's symbols (a static program, raw `syscall`, stdio's own
// writes, io_uring), writes through a mapping, `truncate`, `fallocate`, `copy_file_range`, `sendfile`,
// `sendmmsg`, `renameat2`. SQLite without memory-mapped writes uses none of these for its database and its
// log; only its "-shm" file is mapped, and that one needs no durability. TLS hides what is sent.

#undef _FORTIFY_SOURCE
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { WRITE = 1, TRUNCATE = 2, SYNC = 3, UNLINK = 4, SEND = 5, RENAME = 6 };

enum { SEND_BYTES_MAX = 4096, PATHS_MAX = 256 };

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1; // -1: nothing is recorded
static char prefix[PATH_MAX];

// How many writes and truncations the log has for a path. Guarded by the lock.
static struct {
    char path[PATH_MAX];
    uint64_t changes;
} files[PATHS_MAX];
static size_t file_count;

// Signals wait while the lock is held: their handlers may write as well, and would wait for it forever.
static __thread sigset_t signals_before;

static void acquire(void) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_mutex_lock(&lock);
    signals_before = before;
}

static void release(void) {
    sigset_t before = signals_before;
    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

// A recorder that cannot record must not look like one that saw nothing.
static void give_up(const char *why) {
    char text[256];
    int length = snprintf(text, sizeof text, "recorder: %s\n", why);
    syscall(SYS_write, 2, text, length);
    abort();
}

// The C library's own function of that name.
#define REAL(name) \
    static __typeof__(&name) real; \
    if (__atomic_load_n((void **)&real, __ATOMIC_RELAXED) == NULL) { \
        void *found = dlsym(RTLD_NEXT, #name); \
        if (found == NULL) give_up("the C library lacks " #name); \
        __atomic_store_n((void **)&real, found, __ATOMIC_RELAXED); \
    }

// === Paths ===

// The path with its folder's symbolic links resolved; its last part need not exist. False if that fails.
static bool resolved(int folder_fd, const char *path, char out[PATH_MAX]) {
    char whole[PATH_MAX];
    if (path[0] == '/' || folder_fd == AT_FDCWD) {
        if (snprintf(whole, sizeof whole, "%s", path) >= (int)sizeof whole) return false;
    } else if (snprintf(whole, sizeof whole, "/proc/self/fd/%d/%s", folder_fd, path) >= (int)sizeof whole) {
        return false;
    }
    char *slash = strrchr(whole, '/');
    const char *name = slash ? slash + 1 : whole;
    char folder[PATH_MAX];
    if (slash == whole) {
        folder[0] = '\0'; // in the root
    } else {
        if (slash) *slash = '\0';
        if (realpath(slash ? whole : ".", folder) == NULL) return false;
        if (strcmp(folder, "/") == 0) folder[0] = '\0';
    }
    return snprintf(out, PATH_MAX, "%s/%s", folder, name) < PATH_MAX;
}

static bool is_recorded(const char *path) {
    size_t length = strlen(path);
    bool is_shared_memory = length >= 4 && strcmp(path + length - 4, "-shm") == 0;
    return strncmp(path, prefix, strlen(prefix)) == 0 && !is_shared_memory;
}

// The path of an open file, if it is one to record. Not if it was unlinked: its bytes cannot outlive power.
static bool recorded_path(int fd, char out[PATH_MAX]) {
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_nlink == 0) return false;
    if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode)) return false;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    if (length < 0) return false;
    out[length] = '\0';
    return is_recorded(out);
}

static bool is_regular(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

static bool is_socket(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}

// === The log, with the lock held ===

static uint64_t *changes_of(const char *path) {
    for (size_t at = 0; at < file_count; at++) {
        if (strcmp(files[at].path, path) == 0) return &files[at].changes;
    }
    if (file_count == PATHS_MAX) give_up("too many paths");
    snprintf(files[file_count].path, PATH_MAX, "%s", path);
    return &files[file_count++].changes;
}

static uint8_t *put(uint8_t *at, uint64_t value, size_t bytes) {
    for (size_t byte = 0; byte < bytes; byte++) *at++ = (uint8_t)(value >> (8 * byte));
    return at;
}

// Appends one record with a single system call, so that a kill does not leave a gap inside it.
static void record(enum kind kind, const char *path, uint64_t offset, const void *data, size_t length) {
    if (length > UINT32_MAX) give_up("a write of more than 4 GiB");
    size_t path_length = strlen(path);
    uint8_t head[1 + 2 + PATH_MAX + 8 + 4];
    uint8_t *at = put(head, kind, 1);
    at = put(at, path_length, 2);
    memcpy(at, path, path_length);
    at = put(at + path_length, offset, 8);
    at = put(at, length, 4);
    struct iovec parts[2] = {
        {.iov_base = head, .iov_len = (size_t)(at - head)},
        {.iov_base = (void *)data, .iov_len = length},
    };
    if (syscall(SYS_writev, log_fd, parts, 2) != (long)(parts[0].iov_len + length)) {
        give_up("the log cannot be written");
    }
    if (kind == WRITE || kind == TRUNCATE) ++*changes_of(path);
}

// === The start ===

static void begin(void) {
    const char *log_path = getenv("RECORDER_LOG");
    const char *wanted = getenv("RECORDER_PREFIX");
    if (log_path == NULL || wanted == NULL) return;
    if (!resolved(AT_FDCWD, wanted, prefix)) give_up("the folder of RECORDER_PREFIX does not exist");
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, log_path, flags, 0600);
    if (log_fd < 0) give_up("the log cannot be opened");
    // A child must not find the lock held by a thread that it does not have.
    pthread_atfork(acquire, release, release);
}

static bool is_recording(void) {
    pthread_once(&once, begin);
    return log_fd >= 0;
}

// Not first within a signal's handler.
__attribute__((constructor)) static void begin_when_loaded(void) {
    pthread_once(&once, begin);
}

// === Many buffers as one ===

static size_t total_of(const struct iovec *parts, size_t count) {
    size_t total = 0;
    for (size_t at = 0; at < count; at++) total += parts[at].iov_len;
    return total;
}

// Copies at most `limit` bytes and says how many.
static size_t gather(uint8_t *out, size_t limit, const struct iovec *parts, size_t count) {
    size_t filled = 0;
    for (size_t at = 0; at < count && filled < limit; at++) {
        size_t length = parts[at].iov_len < limit - filled ? parts[at].iov_len : limit - filled;
        if (length > 0) memcpy(out + filled, parts[at].iov_base, length);
        filled += length;
    }
    return filled;
}

// === What the wrappers share ===

static void note_send(const struct iovec *parts, size_t count) {
    int before = errno;
    uint8_t start[SEND_BYTES_MAX];
    size_t length = gather(start, sizeof start, parts, count);
    acquire();
    record(SEND, "", total_of(parts, count), start, length);
    release();
    errno = before;
}

static void note_one_send(const void *data, size_t length) {
    struct iovec part = {.iov_base = (void *)data, .iov_len = length};
    note_send(&part, 1);
}

static void note_write(
    const char *path, off64_t offset, const struct iovec *parts, size_t count, ssize_t done
) {
    if (done <= 0) return;
    int before = errno;
    if (count == 1) {
        record(WRITE, path, (uint64_t)offset, parts[0].iov_base, (size_t)done);
    } else {
        uint8_t *all = malloc((size_t)done);
        if (all == NULL) give_up("no memory");
        record(WRITE, path, (uint64_t)offset, all, gather(all, (size_t)done, parts, count));
        free(all);
    }
    errno = before;
}

// The offset that stands for the file's own position; pwritev2 has it too.
#define OWN_POSITION (-1)

// Where a write will land: at the end of a file that is open for appending, whatever offset was given.
static off64_t landing(int fd, off64_t offset) {
    int flags = fcntl(fd, F_GETFL);
    struct stat status;
    if (flags >= 0 && (flags & O_APPEND) && fstat(fd, &status) == 0) return status.st_size;
    return offset == OWN_POSITION ? lseek64(fd, 0, SEEK_CUR) : offset;
}

// Takes the lock if the file is one to record. Then the caller must call `release`.
static bool enter(int fd, char path[PATH_MAX]) {
    if (!is_recording()) return false;
    int before = errno;
    bool entered = is_regular(fd);
    if (entered) {
        acquire();
        entered = recorded_path(fd, path);
        if (!entered) release();
    }
    errno = before;
    return entered;
}

// Takes the lock if the path is one to record. Then the caller must call `release`.
static bool enter_path(int folder, const char *path, char out[PATH_MAX]) {
    if (!is_recording()) return false;
    int before = errno;
    bool entered = resolved(folder, path, out) && is_recorded(out);
    if (entered) acquire();
    errno = before;
    return entered;
}

static bool is_recorded_socket(int fd) {
    if (!is_recording()) return false;
    int before = errno;
    bool is = is_socket(fd);
    errno = before;
    return is;
}

// === Writes at an offset ===

#define PWRITE(name, offset_type) \
    ssize_t name(int fd, const void *data, size_t length, offset_type offset) { \
        REAL(name) \
        char path[PATH_MAX]; \
        if (!enter(fd, path)) return real(fd, data, length, offset); \
        off64_t landed = landing(fd, offset); \
        ssize_t done = real(fd, data, length, offset); \
        struct iovec part = {.iov_base = (void *)data, .iov_len = length}; \
        note_write(path, landed, &part, 1, done); \
        release(); \
        return done; \
    }

PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define PWRITEV(name, offset_type) \
    ssize_t name(int fd, const struct iovec *parts, int count, offset_type offset) { \
        REAL(name) \
        char path[PATH_MAX]; \
        if (!enter(fd, path)) return real(fd, parts, count, offset); \
        off64_t landed = landing(fd, offset); \
        ssize_t done = real(fd, parts, count, offset); \
        note_write(path, landed, parts, (size_t)count, done); \
        release(); \
        return done; \
    }

PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

#define PWRITEV2(name, offset_type) \
    ssize_t name(int fd, const struct iovec *parts, int count, offset_type offset, int flags) { \
        REAL(name) \
        char path[PATH_MAX]; \
        if (!enter(fd, path)) return real(fd, parts, count, offset, flags); \
        if (flags & RWF_APPEND) give_up("RWF_APPEND is not understood"); \
        off64_t landed = landing(fd, offset); \
        ssize_t done = real(fd, parts, count, offset, flags); \
        note_write(path, landed, parts, (size_t)count, done); \
        release(); \
        return done; \
    }

PWRITEV2(pwritev2, off_t)
PWRITEV2(pwritev64v2, off64_t)

// === Writes at the file's position, and to sockets ===

ssize_t write(int fd, const void *data, size_t length) {
    REAL(write)
    char path[PATH_MAX];
    if (enter(fd, path)) {
        off64_t offset = landing(fd, OWN_POSITION);
        ssize_t done = real(fd, data, length);
        struct iovec part = {.iov_base = (void *)data, .iov_len = length};
        note_write(path, offset, &part, 1, done);
        release();
        return done;
    }
    if (is_recorded_socket(fd)) note_one_send(data, length);
    return real(fd, data, length);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev)
    char path[PATH_MAX];
    if (enter(fd, path)) {
        off64_t offset = landing(fd, OWN_POSITION);
        ssize_t done = real(fd, parts, count);
        note_write(path, offset, parts, (size_t)count, done);
        release();
        return done;
    }
    if (count > 0 && is_recorded_socket(fd)) note_send(parts, (size_t)count);
    return real(fd, parts, count);
}

// === Sends ===

ssize_t send(int fd, const void *data, size_t length, int flags) {
    REAL(send)
    if (is_recording()) note_one_send(data, length);
    return real(fd, data, length, flags);
}

ssize_t sendto(
    int fd, const void *data, size_t length, int flags, __CONST_SOCKADDR_ARG address, socklen_t address_length
) {
    REAL(sendto)
    if (is_recording()) note_one_send(data, length);
    return real(fd, data, length, flags, address, address_length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(sendmsg)
    if (is_recording()) note_send(message->msg_iov, message->msg_iovlen);
    return real(fd, message, flags);
}

// === Lengths ===

#define FTRUNCATE(name, offset_type) \
    int name(int fd, offset_type length) { \
        REAL(name) \
        char path[PATH_MAX]; \
        if (!enter(fd, path)) return real(fd, length); \
        int result = real(fd, length); \
        if (result == 0) record(TRUNCATE, path, (uint64_t)length, NULL, 0); \
        release(); \
        return result; \
    }

FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

// For an open that truncates a recorded file. Then the caller must call `leave_open`.
static bool enter_open(int folder, const char *path, int flags, char out[PATH_MAX]) {
    return (flags & O_TRUNC) && enter_path(folder, path, out);
}

static void leave_open(int fd, const char *path) {
    if (fd >= 0) record(TRUNCATE, path, 0, NULL, 0);
    release();
}

// The third argument of an open, where there is one.
#define MODE(flags) \
    mode_t mode = 0; \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(name) \
        MODE(flags) \
        char whole[PATH_MAX]; \
        bool entered = enter_open(AT_FDCWD, path, flags, whole); \
        int fd = real(path, flags, mode); \
        if (entered) leave_open(fd, whole); \
        return fd; \
    }

OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(name) \
        MODE(flags) \
        char whole[PATH_MAX]; \
        bool entered = enter_open(folder, path, flags, whole); \
        int fd = real(folder, path, flags, mode); \
        if (entered) leave_open(fd, whole); \
        return fd; \
    }

OPENAT(openat)
OPENAT(openat64)

#define CREAT(name) \
    int name(const char *path, mode_t mode) { \
        REAL(name) \
        char whole[PATH_MAX]; \
        bool entered = enter_open(AT_FDCWD, path, O_TRUNC, whole); \
        int fd = real(path, mode); \
        if (entered) leave_open(fd, whole); \
        return fd; \
    }

CREAT(creat)
CREAT(creat64)

// === Syncs ===

// Where a sync begins: the path, and how many changes the log has for it. False: not to be recorded.
static bool begin_sync(int fd, char path[PATH_MAX], uint64_t *changes) {
    if (!is_recording()) return false;
    int before = errno;
    acquire();
    bool is_recorded_file = recorded_path(fd, path);
    if (is_recorded_file) *changes = *changes_of(path);
    release();
    errno = before;
    return is_recorded_file;
}

#define FSYNC(name) \
    int name(int fd) { \
        REAL(name) \
        char path[PATH_MAX]; \
        uint64_t changes = 0; \
        bool is_recorded_file = begin_sync(fd, path, &changes); \
        int result = real(fd); \
        if (is_recorded_file && result == 0) { \
            acquire(); \
            record(SYNC, path, changes, NULL, 0); \
            release(); \
        } \
        return result; \
    }

FSYNC(fsync)
FSYNC(fdatasync)

// === Names ===

int unlink(const char *path) {
    REAL(unlink)
    char whole[PATH_MAX];
    if (!enter_path(AT_FDCWD, path, whole)) return real(path);
    int result = real(path);
    if (result == 0) record(UNLINK, whole, 0, NULL, 0);
    release();
    return result;
}

int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat)
    char whole[PATH_MAX];
    if ((flags & AT_REMOVEDIR) || !enter_path(folder, path, whole)) return real(folder, path, flags);
    int result = real(folder, path, flags);
    if (result == 0) record(UNLINK, whole, 0, NULL, 0);
    release();
    return result;
}

// Takes the lock if either path is one to record.
static bool enter_rename(
    int old_folder, const char *old, char whole_old[PATH_MAX], int new_folder, const char *new,
    char whole_new[PATH_MAX]
) {
    if (!is_recording()) return false;
    int before = errno;
    bool entered = resolved(old_folder, old, whole_old) && resolved(new_folder, new, whole_new)
        && (is_recorded(whole_old) || is_recorded(whole_new));
    if (entered) acquire();
    errno = before;
    return entered;
}

int rename(const char *old, const char *new) {
    REAL(rename)
    char whole_old[PATH_MAX], whole_new[PATH_MAX];
    if (!enter_rename(AT_FDCWD, old, whole_old, AT_FDCWD, new, whole_new)) return real(old, new);
    int result = real(old, new);
    if (result == 0) record(RENAME, whole_old, 0, whole_new, strlen(whole_new));
    release();
    return result;
}

int renameat(int old_folder, const char *old, int new_folder, const char *new) {
    REAL(renameat)
    char whole_old[PATH_MAX], whole_new[PATH_MAX];
    if (!enter_rename(old_folder, old, whole_old, new_folder, new, whole_new)) {
        return real(old_folder, old, new_folder, new);
    }
    int result = real(old_folder, old, new_folder, new);
    if (result == 0) record(RENAME, whole_old, 0, whole_new, strlen(whole_new));
    release();
    return result;
}
