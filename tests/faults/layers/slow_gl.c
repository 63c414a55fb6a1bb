// A preloaded library for OpenGL. It signals each fence DELAY seconds after its creation, like a
// GPU whose work takes this time. LD_PRELOAD=libslow_gl.so DELAY=3. Built by scripts/faults.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_EXPIRED = 0x911B, SYNC_STATUS = 0x9114, UNSIGNALED = 0x9118, KEPT = 65536 };

// The last fences and when each was made.
static struct {
    void *fence;
    double made;
} fences[KEPT];
static int count;

static void *(*real_get)(const char *);
static void *(*real_fence)(unsigned, unsigned);
static unsigned (*real_wait)(void *, unsigned, uint64_t);
static void (*real_status)(void *, unsigned, int, int *, int *);

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

// When a fence is signalled.
static double ready(void *fence) {
    for (int i = count - 1; i >= 0 && i > count - KEPT; i--)
        if (fences[i % KEPT].fence == fence) return fences[i % KEPT].made + atof(getenv("DELAY"));
    return 0;
}

static void *fence(unsigned condition, unsigned flags) {
    void *made = real_fence(condition, flags);
    fences[count % KEPT].fence = made;
    fences[count % KEPT].made = now();
    count++;
    return made;
}

static unsigned wait_fence(void *fence, unsigned flags, uint64_t nanoseconds) {
    double missing = ready(fence) - now(), allowed = nanoseconds * 1e-9;
    if (missing > allowed) {
        usleep(allowed * 1e6);
        fprintf(stderr, "slow_gl: waited %.3f s of %.3f: timeout\n", allowed, missing);
        return TIMEOUT_EXPIRED;
    }
    if (missing > 0) usleep(missing * 1e6);
    return real_wait(fence, flags, nanoseconds);
}

static void status(void *fence, unsigned name, int size, int *length, int *value) {
    real_status(fence, name, size, length, value);
    if (name == SYNC_STATUS && ready(fence) > now()) *value = UNSIGNALED;
}

static void *get(const char *name) {
    void *found = real_get(name);
    if (!strcmp(name, "glFenceSync")) {
        real_fence = found;
        return fence;
    }
    if (!strcmp(name, "glClientWaitSync")) {
        real_wait = found;
        return wait_fence;
    }
    if (!strcmp(name, "glGetSynciv")) {
        real_status = found;
        return status;
    }
    return found;
}

// wgpu finds eglGetProcAddress by dlsym.
void *dlsym(void *library, const char *name) {
    static void *(*real)(void *, const char *);
    if (!real) real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
    if (!real) real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
    void *found = real(library, name);
    if (!found || strcmp(name, "eglGetProcAddress")) return found;
    real_get = found;
    return get;
}
