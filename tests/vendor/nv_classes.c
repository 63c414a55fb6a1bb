// The classes of NVIDIA's chips from Ada on, which mesa-drm-shim's library for nouveau (Mesa 26.1)
// does not know: preloaded before it, for NOUVEAU_CHIPSET=180 (Hopper), 192 (Ada), 1a0 and 1b2
// (Blackwell). The numbers are from NVIDIA's open headers (clXXXX.h).
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

enum { NOUVEAU_NVIF = 0x47, SCLASS = 1, CLASSES = 5, HEADER = 32 };

static const struct {
    unsigned family;
    uint16_t copy, graphics, compute;
} known[] = {
    {0x180, 0xc8b5, 0xcb97, 0xcbc0},
    {0x190, 0xc7b5, 0xc997, 0xc9c0},
    {0x1a0, 0xc9b5, 0xcd97, 0xcdc0},
    {0x1b0, 0xcab5, 0xce97, 0xcec0},
};

int ioctl(int fd, unsigned long request, ...) {
    static int (*next)(int, unsigned long, void *);
    if (!next) next = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
    va_list list;
    va_start(list, request);
    uint8_t *arg = va_arg(list, void *);
    va_end(list);
    int result = next(fd, request, arg);
    // NVIF_IOCTL_V0_SCLASS: a header of 24 bytes; version and count, in 8 bytes; 8 bytes for each
    // class, which begin with its number.
    if ((request >> 8 & 0xff) != 'd' || (request & 0xff) != NOUVEAU_NVIF) return result;
    if (arg[1] != SCLASS || arg[25] < CLASSES - 1) return result;
    const char *chip = getenv("NOUVEAU_CHIPSET");
    unsigned family = chip ? strtoul(chip, 0, 16) & ~0xfu : 0;
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].family != family) continue;
        int32_t of[CLASSES] = {0xa140, known[i].copy, 0x902d, known[i].graphics, known[i].compute};
        for (int c = 0; c < CLASSES; c++) *(int32_t *)(arg + HEADER + 8 * c) = of[c];
    }
    return result;
}
