/* A disk whose power can be cut: LD_PRELOAD it, with POWER_ROOT naming a folder. What is synced below
 * that folder is copied to POWER_IMAGE as it was at that moment: of a file what it holds, of a folder
 * the names in it. Nothing else would be there after a power cut; tests/power_cut.py lays it out. At
 * the sync with the number POWER_CUT, before it is done, the process group is killed. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

static long done;

/* A file or folder, whatever it is called: numbers of files are used again, so its birth counts, too. */
static int identify(int at, const char *name, char *id, size_t most, mode_t *mode) {
    struct statx info;
    int flags = AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH);
    if (statx(at, name, flags, STATX_BASIC_STATS | STATX_BTIME, &info)) return -1;
    snprintf(id, most, "%llu-%lld-%u", (unsigned long long)info.stx_ino,
             (long long)info.stx_btime.tv_sec, info.stx_btime.tv_nsec);
    *mode = info.stx_mode;
    return 0;
}

static void keep_file(int from, const char *image, const char *id) {
    char draft[4096], place[4096], note[256], data[65536];
    snprintf(draft, sizeof draft, "%s/.%s-%ld", image, id, (long)syscall(SYS_gettid));
    snprintf(place, sizeof place, "%s/%s", image, id);
    int to = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (to < 0) abort();
    off_t at = 0;
    ssize_t length;
    /* Read by a name of its own: the file may be open for writing only. */
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", from);
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) abort();
    while ((length = pread(file, data, sizeof data, at)) > 0) {
        if (write(to, data, length) != length) abort();
        at += length;
    }
    length = fgetxattr(file, "user.pytoon.sum", note, sizeof note);
    if (length > 0 && fsetxattr(to, "user.pytoon.sum", note, length, 0)) abort();
    close(file);
    close(to);
    if (rename(draft, place)) abort();
}

static void keep_folder(const char *path, const char *image, const char *id) {
    char draft[4096], place[4096], other[128];
    mode_t mode;
    snprintf(draft, sizeof draft, "%s/.%s-%ld", image, id, (long)syscall(SYS_gettid));
    snprintf(place, sizeof place, "%s/%s", image, id);
    FILE *to = fopen(draft, "we");
    DIR *folder = opendir(path);
    if (!to || !folder) abort();
    struct dirent *entry;
    while ((entry = readdir(folder))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (identify(dirfd(folder), entry->d_name, other, sizeof other, &mode)) continue;
        fprintf(to, "%c %s %s\n", S_ISDIR(mode) ? 'd' : 'f', other, entry->d_name);
    }
    closedir(folder);
    if (fclose(to) || rename(draft, place)) abort();
}

static int synced(int file) {
    const char *root = getenv("POWER_ROOT"), *image = getenv("POWER_IMAGE");
    const char *cut = getenv("POWER_CUT");
    char name[64], path[4096], id[128];
    mode_t mode;
    if (!root || !image) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    ssize_t length = readlink(name, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    size_t most = strlen(root);
    if (strncmp(path, root, most) || (path[most] && path[most] != '/')) return 0;
    if (cut && __sync_add_and_fetch(&done, 1) == atol(cut)) {
        kill(0, SIGKILL);
        pause();
    }
    if (identify(file, "", id, sizeof id, &mode)) return 0;
    if (S_ISDIR(mode)) keep_folder(path, image, id);
    else keep_file(file, image, id);
    if (!path[most]) {
        snprintf(path, sizeof path, "%s/root", image);
        FILE *to = fopen(path, "we");
        if (!to || fputs(id, to) < 0 || fclose(to)) abort();
    }
    return 0;
}

int fsync(int file) {
    return syscall(SYS_fsync, file) ? -1 : synced(file);
}

int fdatasync(int file) {
    return syscall(SYS_fdatasync, file) ? -1 : synced(file);
}

long power_syncs(void) { return done; }
