/* The shim: a library that is loaded before libc (LD_PRELOAD) and sees what a program does to the files below one directory.
 *
 * With SHIM_JOURNAL it writes down every change and every sync, in order, into a journal from which `crash` works out what a disk may
 * hold after the power went: what was synced for certain, of the rest any part. Syncs then reach the journal alone.
 *
 * With SHIM_FAIL=CALL:ERRNO:NTH:once|on it makes the NTH call of a kind (open, read, write, truncate, rename, sync) fail with ERRNO, and
 * with `on` every later one of that kind too.
 *
 * A record of the journal, little-endian: kind, length of the path (4 bytes each), inode, offset, length (8 each), the path, and of
 * writes the data. A path of two names has a zero byte between them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { CREATE = 1, WRITE, TRUNCATE, RENAME, LINK, UNLINK, MKDIR, RMDIR, SYNC, SYNC_DIRECTORY };
enum call { OPEN_CALL, READ_CALL, WRITE_CALL, TRUNCATE_CALL, RENAME_CALL, SYNC_CALL, CALLS };

static const char *const call_names[CALLS] = {"open", "read", "write", "truncate", "rename", "sync"};

#define FDS_MAX 65536
/* How long a sync takes, in microseconds: long enough that other threads write meanwhile. */
#define SYNC_MICROSECONDS 300

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char tracked[FDS_MAX];
static char directory[4096];
static size_t directory_length;
static int journal = -1;
static uint64_t records;
static int failing_call = -1, failing_errno, failing_on;
static long failing_in;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
    const char *place = getenv("SHIM_DIR"), *file = getenv("SHIM_JOURNAL"), *fail = getenv("SHIM_FAIL");
    if (!place || strlen(place) >= sizeof directory) return;
    strcpy(directory, place);
    directory_length = strlen(directory);
    if (file) journal = REAL(open)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    char name[16], how[8];
    if (fail && sscanf(fail, "%15[a-z]:%d:%ld:%7[a-z]", name, &failing_errno, &failing_in, how) == 4) {
        for (int call = 0; call < CALLS; call++)
            if (!strcmp(name, call_names[call])) failing_call = call;
        failing_on = !strcmp(how, "on");
    }
}

/* Tells whether a call on a file of ours is to fail, and sets errno then. */
static int fails(enum call call) {
    if (failing_call != (int)call) return 0;
    pthread_mutex_lock(&lock);
    long left = --failing_in;
    pthread_mutex_unlock(&lock);
    if (left > 0 || (left < 0 && !failing_on)) return 0;
    errno = failing_errno;
    return 1;
}

static int is_ours(const char *path) {
    return directory_length && !strncmp(path, directory, directory_length) &&
           (path[directory_length] == '/' || path[directory_length] == 0);
}

static int is_tracked(int fd) { return fd >= 0 && fd < FDS_MAX && tracked[fd]; }

/* Writes the absolute path of `path`, relative to the directory `at`, into `out`; tells whether it is ours. */
static int resolve(int at, const char *path, char *out) {
    if (!directory_length) return 0;
    if (path[0] == '/') {
        if (strlen(path) >= PATH_MAX) return 0;
        strcpy(out, path);
        return is_ours(out);
    }
    char base[PATH_MAX], link[64];
    if (at == AT_FDCWD) {
        if (!getcwd(base, sizeof base)) return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        ssize_t length = readlink(link, base, sizeof base - 1);
        if (length < 0) return 0;
        base[length] = 0;
    }
    if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    return is_ours(out);
}

/* The lock is held. */
static void note(enum kind kind, uint64_t inode, uint64_t offset, uint64_t length, const char *path, size_t path_length,
                 const void *data) {
    struct {
        uint32_t kind, path_length;
        uint64_t inode, offset, length;
    } head = {kind, (uint32_t)path_length, inode, offset, length};
    struct iovec parts[3] = {{&head, sizeof head}, {(void *)path, path_length}, {(void *)data, data ? length : 0}};
    records++;
    size_t whole = sizeof head + path_length + (data ? length : 0);
    if (REAL(writev)(journal, parts, 3) != (ssize_t)whole) {
        /* A journal with a gap would prove nothing. */
        static const char text[] = "shim: the journal cannot be written\n";
        (void)!REAL(write)(2, text, sizeof text - 1);
        _exit(99);
    }
}

static void note_paths(enum kind kind, const char *from, const char *to) {
    char both[2 * PATH_MAX];
    size_t one = strlen(from) + 1, two = strlen(to);
    memcpy(both, from, one);
    memcpy(both + one, to, two);
    note(kind, 0, 0, 0, both, one + two, NULL);
}

static int open_at(int at, const char *path, int flags, mode_t mode) {
    char name[PATH_MAX];
    if (!resolve(at, path, name)) return REAL(openat)(at, path, flags, mode);
    if (fails(OPEN_CALL)) return -1;
    pthread_mutex_lock(&lock);
    struct stat before, after;
    int was_there = !fstatat(at, path, &before, 0);
    if (journal >= 0 && was_there && (flags & O_TRUNC)) note(TRUNCATE, before.st_ino, 0, 0, "", 0, NULL);
    int fd = REAL(openat)(at, path, flags, mode);
    int problem = errno;
    if (fd >= 0 && fd < FDS_MAX) {
        tracked[fd] = 1;
        if (journal >= 0 && !was_there && (flags & O_CREAT) && !fstat(fd, &after))
            note(CREATE, after.st_ino, 0, 0, name, strlen(name), NULL);
    }
    pthread_mutex_unlock(&lock);
    errno = problem;
    return fd;
}

static mode_t mode_of(int flags, va_list more) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; }

#define OPEN(name)                                          \
    int name(const char *path, int flags, ...) {            \
        va_list more;                                       \
        va_start(more, flags);                              \
        mode_t mode = mode_of(flags, more);                 \
        va_end(more);                                       \
        return open_at(AT_FDCWD, path, flags, mode);        \
    }
#define OPENAT(name)                                        \
    int name(int at, const char *path, int flags, ...) {    \
        va_list more;                                       \
        va_start(more, flags);                              \
        mode_t mode = mode_of(flags, more);                 \
        va_end(more);                                       \
        return open_at(at, path, flags, mode);              \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int creat(const char *path, mode_t mode) { return open_at(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }

int close(int fd) {
    if (fd >= 0 && fd < FDS_MAX) tracked[fd] = 0;
    return REAL(close)(fd);
}

static int also_tracked(int fd, int copy) {
    if (copy >= 0 && copy < FDS_MAX) tracked[copy] = (unsigned char)is_tracked(fd);
    return copy;
}

int dup(int fd) { return also_tracked(fd, REAL(dup)(fd)); }
int dup2(int fd, int copy) { return also_tracked(fd, REAL(dup2)(fd, copy)); }
int dup3(int fd, int copy, int flags) { return also_tracked(fd, REAL(dup3)(fd, copy, flags)); }

static int control(int fd, int command, va_list more) {
    /* Every argument of it fits a pointer. */
    int result = REAL(fcntl)(fd, command, va_arg(more, void *));
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? also_tracked(fd, result) : result;
}

#define FCNTL(name)                                         \
    int name(int fd, int command, ...) {                    \
        va_list more;                                       \
        va_start(more, command);                            \
        int result = control(fd, command, more);            \
        va_end(more);                                       \
        return result;                                      \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* Notes a write of `size` bytes at `offset`, or where the file stands if that is negative. Locks, and stays locked. */
static void note_write(int fd, const void *data, size_t size, off_t offset) {
    struct stat file;
    pthread_mutex_lock(&lock);
    if (journal < 0 || !size || fstat(fd, &file) || !S_ISREG(file.st_mode)) return;
    if (offset < 0) offset = fcntl(fd, F_GETFL) & O_APPEND ? file.st_size : lseek(fd, 0, SEEK_CUR);
    note(WRITE, file.st_ino, (uint64_t)offset, size, "", 0, data);
}

ssize_t write(int fd, const void *data, size_t size) {
    if (!is_tracked(fd)) return REAL(write)(fd, data, size);
    if (fails(WRITE_CALL)) return -1;
    note_write(fd, data, size, -1);
    ssize_t written = REAL(write)(fd, data, size);
    pthread_mutex_unlock(&lock);
    return written;
}

static ssize_t write_at(int fd, const void *data, size_t size, off_t offset) {
    if (!is_tracked(fd)) return REAL(pwrite)(fd, data, size, offset);
    if (fails(WRITE_CALL)) return -1;
    note_write(fd, data, size, offset);
    ssize_t written = REAL(pwrite)(fd, data, size, offset);
    pthread_mutex_unlock(&lock);
    return written;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return write_at(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t offset) { return write_at(fd, data, size, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_tracked(fd)) return REAL(writev)(fd, parts, count);
    ssize_t all = 0;
    for (int part = 0; part < count; part++) {
        ssize_t written = write(fd, parts[part].iov_base, parts[part].iov_len);
        if (written < 0) return all ? all : written;
        all += written;
        if ((size_t)written < parts[part].iov_len) break;
    }
    return all;
}

/* Whoever copies within the kernel falls back on reading and writing. */
ssize_t copy_file_range(int in, off_t *in_at, int out, off_t *out_at, size_t size, unsigned flags) {
    if (is_tracked(out)) {
        errno = ENOSYS;
        return -1;
    }
    return REAL(copy_file_range)(in, in_at, out, out_at, size, flags);
}

static ssize_t send_file(int out, int in, off_t *offset, size_t size) {
    if (is_tracked(out)) {
        errno = EINVAL;
        return -1;
    }
    return ((ssize_t(*)(int, int, off_t *, size_t))real("sendfile"))(out, in, offset, size);
}
ssize_t sendfile(int out, int in, off_t *offset, size_t size) { return send_file(out, in, offset, size); }
ssize_t sendfile64(int out, int in, off_t *offset, size_t size) { return send_file(out, in, offset, size); }

ssize_t read(int fd, void *data, size_t size) {
    if (is_tracked(fd) && fails(READ_CALL)) return -1;
    return REAL(read)(fd, data, size);
}

static ssize_t read_at(int fd, void *data, size_t size, off_t offset) {
    if (is_tracked(fd) && fails(READ_CALL)) return -1;
    return REAL(pread)(fd, data, size, offset);
}

ssize_t pread(int fd, void *data, size_t size, off_t offset) { return read_at(fd, data, size, offset); }
ssize_t pread64(int fd, void *data, size_t size, off_t offset) { return read_at(fd, data, size, offset); }

static int truncate_file(int fd, off_t length) {
    struct stat file;
    if (!is_tracked(fd)) return REAL(ftruncate)(fd, length);
    if (fails(TRUNCATE_CALL)) return -1;
    pthread_mutex_lock(&lock);
    if (journal >= 0 && !fstat(fd, &file)) note(TRUNCATE, file.st_ino, 0, (uint64_t)length, "", 0, NULL);
    int result = REAL(ftruncate)(fd, length);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t length) { return truncate_file(fd, length); }
int ftruncate64(int fd, off_t length) { return truncate_file(fd, length); }

static int allocate(int fd, int mode, off_t offset, off_t length) {
    struct stat file;
    if (!is_tracked(fd)) return REAL(fallocate)(fd, mode, offset, length);
    if (fails(TRUNCATE_CALL)) return -1;
    pthread_mutex_lock(&lock);
    /* Room beyond the end changes nothing that can be read. */
    if (journal >= 0 && !(mode & FALLOC_FL_KEEP_SIZE) && !fstat(fd, &file) && offset + length > file.st_size)
        note(TRUNCATE, file.st_ino, 0, (uint64_t)(offset + length), "", 0, NULL);
    int result = REAL(fallocate)(fd, mode, offset, length);
    pthread_mutex_unlock(&lock);
    return result;
}

int fallocate(int fd, int mode, off_t offset, off_t length) { return allocate(fd, mode, offset, length); }
int fallocate64(int fd, int mode, off_t offset, off_t length) { return allocate(fd, mode, offset, length); }
int posix_fallocate(int fd, off_t offset, off_t length) { return allocate(fd, 0, offset, length) ? errno : 0; }
int posix_fallocate64(int fd, off_t offset, off_t length) { return allocate(fd, 0, offset, length) ? errno : 0; }

static int sync_file(int fd, int (*real_sync)(int)) {
    struct stat file;
    if (!is_tracked(fd)) return real_sync(fd);
    if (fails(SYNC_CALL)) return -1;
    if (journal < 0) return real_sync(fd);
    if (fstat(fd, &file)) return -1;
    pthread_mutex_lock(&lock);
    uint64_t covered = records;
    pthread_mutex_unlock(&lock);
    usleep(SYNC_MICROSECONDS);
    char name[PATH_MAX] = "", link[64];
    if (S_ISDIR(file.st_mode)) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, name, sizeof name - 1) < 0) return -1;
    }
    /* What came before the call is on the disk when it returns; what came meanwhile need not be. */
    pthread_mutex_lock(&lock);
    note(S_ISDIR(file.st_mode) ? SYNC_DIRECTORY : SYNC, file.st_ino, covered, 0, name, strlen(name), NULL);
    pthread_mutex_unlock(&lock);
    return 0;
}

int fsync(int fd) { return sync_file(fd, REAL(fsync)); }
int fdatasync(int fd) { return sync_file(fd, REAL(fdatasync)); }

/* Promises nothing. */
int sync_file_range(int fd, off_t offset, off_t size, unsigned flags) {
    if (is_tracked(fd)) return 0;
    return REAL(sync_file_range)(fd, offset, size, flags);
}

static int rename_at(int from_at, const char *from, int to_at, const char *to) {
    char one[PATH_MAX], two[PATH_MAX];
    if (!resolve(from_at, from, one) || !resolve(to_at, to, two)) return REAL(renameat)(from_at, from, to_at, to);
    if (fails(RENAME_CALL)) return -1;
    pthread_mutex_lock(&lock);
    if (journal >= 0) note_paths(RENAME, one, two);
    int result = REAL(renameat)(from_at, from, to_at, to);
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *from, const char *to) { return rename_at(AT_FDCWD, from, AT_FDCWD, to); }
int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) {
    if (flags) {
        errno = EINVAL;
        return -1;
    }
    return rename_at(from_at, from, to_at, to);
}
int renameat(int from_at, const char *from, int to_at, const char *to) { return rename_at(from_at, from, to_at, to); }

int linkat(int from_at, const char *from, int to_at, const char *to, int flags) {
    char one[PATH_MAX], two[PATH_MAX];
    if (!resolve(from_at, from, one) || !resolve(to_at, to, two)) return REAL(linkat)(from_at, from, to_at, to, flags);
    pthread_mutex_lock(&lock);
    if (journal >= 0) note_paths(LINK, one, two);
    int result = REAL(linkat)(from_at, from, to_at, to, flags);
    pthread_mutex_unlock(&lock);
    return result;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int at, const char *path, int flags) {
    char name[PATH_MAX];
    if (!resolve(at, path, name)) return REAL(unlinkat)(at, path, flags);
    pthread_mutex_lock(&lock);
    if (journal >= 0) note(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, 0, 0, name, strlen(name), NULL);
    int result = REAL(unlinkat)(at, path, flags);
    pthread_mutex_unlock(&lock);
    return result;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int at, const char *path, mode_t mode) {
    char name[PATH_MAX];
    if (!resolve(at, path, name)) return REAL(mkdirat)(at, path, mode);
    pthread_mutex_lock(&lock);
    int result = REAL(mkdirat)(at, path, mode);
    int problem = errno;
    if (journal >= 0 && !result) note(MKDIR, 0, 0, 0, name, strlen(name), NULL);
    pthread_mutex_unlock(&lock);
    errno = problem;
    return result;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
