/* slow_sync.c: a disk on which every sync takes SLOW_SYNC_MS longer, whoever asks for it. For LD_PRELOAD.
 * cc -O2 -shared -fPIC -o slow_sync.so slow_sync.c */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int later(const char *name, int fd) {
    int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    const char *ms = getenv("SLOW_SYNC_MS");
    int result = sync(fd);
    if (ms)
        usleep((useconds_t)atoi(ms) * 1000);
    return result;
}

int fsync(int fd) { return later("fsync", fd); }
int fdatasync(int fd) { return later("fdatasync", fd); }
