// Sets the clocks of a process back by one more second after every third reading.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    static long readings;
    if (!real) {
        real = dlsym(RTLD_NEXT, "clock_gettime");
    }
    int result = real(clock, time);
    time->tv_sec -= readings++ / 3;
    if (time->tv_sec < 0) {
        time->tv_sec = 0;
    }
    return result;
}
