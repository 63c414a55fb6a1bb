// A Vulkan layer in which one call fails.
//
//   FAULT="SUBMIT=3:lost"  the third vkQueueSubmit returns VK_ERROR_DEVICE_LOST. The codes: lost,
//                          odm (out of device memory), ohm (out of host memory), mapf (map failed),
//                          init (initialisation failed), timeout, notready. After `lost`, every
//                          later submit, wait, counter and query of the device is lost too.
//   FAULT_ONCE=1           only that call fails, whatever its code
//   FAULT_ALL=1            that call and all later ones of the same function fail
//   FAULT_COUNT=FILE       writes how often each function was called, when the process exits
//   FAULT_SAY=FILE         writes "fault: ..." there when the call fails, instead of to stderr
//
// The points are the names in POINTS below. Built by scripts/faults.
#include "layer.h"

// Every point: its name in FAULT.
#define POINTS(X)                                                                                  \
    X(DEVICE) X(INSTANCE) X(ENUM) X(SUBMIT) X(ALLOC) X(MAP) X(PIPE) X(SHADER) X(POOL) X(SETS)      \
    X(WAITF) X(WAITS) X(SCV) X(QUERY) X(QPOOL) X(BUFFER) X(BIND) X(IMAGE) X(BINDI) X(VIEW)         \
    X(CMDPOOL) X(CMDBUF) X(BEGIN) X(END) X(SEM) X(FENCE) X(FSTAT) X(RFENCE) X(PLAYOUT) X(SLAYOUT)  \
    X(PCACHE) X(PCDATA) X(FLUSH) X(INVAL) X(IDLE) X(RPOOL)

#define AS_ENUM(name) name,
enum { POINTS(AS_ENUM) POINT_COUNT };
#define AS_TEXT(name) #name,
static const char *names[] = {POINTS(AS_TEXT)};

static const struct {
    const char *name;
    VkResult result;
} codes[] = {
    {"lost", VK_ERROR_DEVICE_LOST},
    {"odm", VK_ERROR_OUT_OF_DEVICE_MEMORY},
    {"ohm", VK_ERROR_OUT_OF_HOST_MEMORY},
    {"mapf", VK_ERROR_MEMORY_MAP_FAILED},
    {"init", VK_ERROR_INITIALIZATION_FAILED},
    {"timeout", VK_TIMEOUT},
    {"notready", VK_NOT_READY},
};

static long counts[POINT_COUNT];

// The fault of FAULT. `point` is UNREAD before the variable has been read, NONE without one.
enum { NONE = -1, UNREAD = -2 };
static int point = UNREAD;
static long nth;
static VkResult result;
static const char *code_name;
static enum { LASTING, ONCE, ALL } mode;
// Whether the device has been lost.
static int lost;

static void write_counts(void) {
    const char *path = getenv("FAULT_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    for (int i = 0; i < POINT_COUNT; i++) fprintf(file, "%s %ld\n", names[i], counts[i]);
    fclose(file);
}

static void refuse(const char *value) {
    fprintf(stderr, "fault: FAULT=%s is not POINT=n:code\n", value);
    exit(99);
}

static void read_environment(void) {
    if (point != UNREAD) return;
    point = NONE;
    atexit(write_counts);
    const char *value = getenv("FAULT");
    if (!value) return;
    char name[32], code[32];
    if (sscanf(value, "%31[A-Z]=%ld:%31s", name, &nth, code) != 3) refuse(value);
    for (int i = 0; i < POINT_COUNT; i++)
        if (!strcmp(names[i], name)) point = i;
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (!strcmp(codes[i].name, code)) {
            result = codes[i].result;
            code_name = codes[i].name;
        }
    if (point == NONE || !code_name) refuse(value);
    mode = getenv("FAULT_ONCE") ? ONCE : getenv("FAULT_ALL") ? ALL : LASTING;
}

static void say(long call) {
    const char *path = getenv("FAULT_SAY");
    FILE *file = path ? fopen(path, "a") : stderr;
    if (!file) return;
    fprintf(file, "fault: %s call %ld: %s\n", names[point], call, code_name);
    if (path) fclose(file);
}

// The error that this call returns; VK_SUCCESS to pass the call on to the driver.
static VkResult hit(int at) {
    read_environment();
    long call = __atomic_add_fetch(&counts[at], 1, __ATOMIC_SEQ_CST);
    if (at == point && (call == nth || (mode == ALL && call > nth))) {
        if (call == nth) say(call);
        if (result == VK_ERROR_DEVICE_LOST && mode == LASTING)
            __atomic_store_n(&lost, 1, __ATOMIC_SEQ_CST);
        return result;
    }
    if (!__atomic_load_n(&lost, __ATOMIC_SEQ_CST)) return VK_SUCCESS;
    switch (at) {
        case SUBMIT: case WAITF: case WAITS: case SCV: case FSTAT: case IDLE: case QUERY:
            return VK_ERROR_DEVICE_LOST;
        default:
            return VK_SUCCESS;
    }
}

static VkDevice device;
static PFN_vkDeviceWaitIdle wait_idle;

// wgpu frees memory after the loss of a device. So the driver finishes its work before the loss is
// reported.
#define FAIL(at)                                                                                   \
    do {                                                                                           \
        VkResult fault = hit(at);                                                                  \
        if (fault == VK_ERROR_DEVICE_LOST && wait_idle && device) wait_idle(device);               \
        if (fault) return fault;                                                                   \
    } while (0)

typedef const VkAllocationCallbacks *Alloc;
typedef VkCommandBufferBeginInfo BeginInfo;

// Every function: its point, its name, its parameters and their names.
#define FUNCTIONS(F)                                                                               \
    F(SUBMIT, QueueSubmit,                                                                         \
      (VkQueue q, uint32_t n, const VkSubmitInfo *i, VkFence f), (q, n, i, f))                     \
    F(SUBMIT, QueueSubmit2,                                                                        \
      (VkQueue q, uint32_t n, const VkSubmitInfo2 *i, VkFence f), (q, n, i, f))                    \
    F(ALLOC, AllocateMemory,                                                                       \
      (VkDevice d, const VkMemoryAllocateInfo *i, Alloc a, VkDeviceMemory *o), (d, i, a, o))       \
    F(MAP, MapMemory,                                                                              \
      (VkDevice d, VkDeviceMemory m, VkDeviceSize at, VkDeviceSize size, VkMemoryMapFlags f,       \
       void **o),                                                                                  \
      (d, m, at, size, f, o))                                                                      \
    F(PIPE, CreateComputePipelines,                                                                \
      (VkDevice d, VkPipelineCache c, uint32_t n, const VkComputePipelineCreateInfo *i, Alloc a,   \
       VkPipeline *o),                                                                             \
      (d, c, n, i, a, o))                                                                          \
    F(SHADER, CreateShaderModule,                                                                  \
      (VkDevice d, const VkShaderModuleCreateInfo *i, Alloc a, VkShaderModule *o), (d, i, a, o))   \
    F(POOL, CreateDescriptorPool,                                                                  \
      (VkDevice d, const VkDescriptorPoolCreateInfo *i, Alloc a, VkDescriptorPool *o),             \
      (d, i, a, o))                                                                                \
    F(SETS, AllocateDescriptorSets,                                                                \
      (VkDevice d, const VkDescriptorSetAllocateInfo *i, VkDescriptorSet *o), (d, i, o))           \
    F(WAITF, WaitForFences,                                                                        \
      (VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t t), (d, n, f, all, t))     \
    F(WAITS, WaitSemaphores, (VkDevice d, const VkSemaphoreWaitInfo *i, uint64_t t), (d, i, t))    \
    F(SCV, GetSemaphoreCounterValue, (VkDevice d, VkSemaphore s, uint64_t *o), (d, s, o))          \
    F(QUERY, GetQueryPoolResults,                                                                  \
      (VkDevice d, VkQueryPool p, uint32_t first, uint32_t n, size_t size, void *o,                \
       VkDeviceSize s, VkQueryResultFlags f),                                                      \
      (d, p, first, n, size, o, s, f))                                                             \
    F(QPOOL, CreateQueryPool,                                                                      \
      (VkDevice d, const VkQueryPoolCreateInfo *i, Alloc a, VkQueryPool *o), (d, i, a, o))         \
    F(BUFFER, CreateBuffer,                                                                        \
      (VkDevice d, const VkBufferCreateInfo *i, Alloc a, VkBuffer *o), (d, i, a, o))               \
    F(BIND, BindBufferMemory,                                                                      \
      (VkDevice d, VkBuffer b, VkDeviceMemory m, VkDeviceSize at), (d, b, m, at))                  \
    F(IMAGE, CreateImage,                                                                          \
      (VkDevice d, const VkImageCreateInfo *i, Alloc a, VkImage *o), (d, i, a, o))                 \
    F(BINDI, BindImageMemory,                                                                      \
      (VkDevice d, VkImage b, VkDeviceMemory m, VkDeviceSize at), (d, b, m, at))                   \
    F(VIEW, CreateImageView,                                                                       \
      (VkDevice d, const VkImageViewCreateInfo *i, Alloc a, VkImageView *o), (d, i, a, o))         \
    F(CMDPOOL, CreateCommandPool,                                                                  \
      (VkDevice d, const VkCommandPoolCreateInfo *i, Alloc a, VkCommandPool *o), (d, i, a, o))     \
    F(CMDBUF, AllocateCommandBuffers,                                                              \
      (VkDevice d, const VkCommandBufferAllocateInfo *i, VkCommandBuffer *o), (d, i, o))           \
    F(BEGIN, BeginCommandBuffer, (VkCommandBuffer c, const BeginInfo *i), (c, i))                  \
    F(END, EndCommandBuffer, (VkCommandBuffer c), (c))                                             \
    F(SEM, CreateSemaphore,                                                                        \
      (VkDevice d, const VkSemaphoreCreateInfo *i, Alloc a, VkSemaphore *o), (d, i, a, o))         \
    F(FENCE, CreateFence,                                                                          \
      (VkDevice d, const VkFenceCreateInfo *i, Alloc a, VkFence *o), (d, i, a, o))                 \
    F(FSTAT, GetFenceStatus, (VkDevice d, VkFence f), (d, f))                                      \
    F(RFENCE, ResetFences, (VkDevice d, uint32_t n, const VkFence *f), (d, n, f))                  \
    F(PLAYOUT, CreatePipelineLayout,                                                               \
      (VkDevice d, const VkPipelineLayoutCreateInfo *i, Alloc a, VkPipelineLayout *o),             \
      (d, i, a, o))                                                                                \
    F(SLAYOUT, CreateDescriptorSetLayout,                                                          \
      (VkDevice d, const VkDescriptorSetLayoutCreateInfo *i, Alloc a, VkDescriptorSetLayout *o),   \
      (d, i, a, o))                                                                                \
    F(PCACHE, CreatePipelineCache,                                                                 \
      (VkDevice d, const VkPipelineCacheCreateInfo *i, Alloc a, VkPipelineCache *o), (d, i, a, o)) \
    F(PCDATA, GetPipelineCacheData,                                                                \
      (VkDevice d, VkPipelineCache c, size_t *size, void *o), (d, c, size, o))                     \
    F(FLUSH, FlushMappedMemoryRanges,                                                              \
      (VkDevice d, uint32_t n, const VkMappedMemoryRange *r), (d, n, r))                           \
    F(INVAL, InvalidateMappedMemoryRanges,                                                         \
      (VkDevice d, uint32_t n, const VkMappedMemoryRange *r), (d, n, r))                           \
    F(IDLE, DeviceWaitIdle, (VkDevice d), (d))                                                     \
    F(IDLE, QueueWaitIdle, (VkQueue q), (q))                                                       \
    F(RPOOL, ResetCommandPool,                                                                     \
      (VkDevice d, VkCommandPool p, VkCommandPoolResetFlags f), (d, p, f))

// Each function: fails, or passes the call on.
#define DEFINE(at, name, params, args)                                                             \
    static PFN_vk##name next_##name;                                                               \
    static VKAPI_ATTR VkResult VKAPI_CALL fault_##name params {                                    \
        FAIL(at);                                                                                  \
        return next_##name args;                                                                   \
    }
FUNCTIONS(DEFINE)

static PFN_vkEnumeratePhysicalDevices next_EnumeratePhysicalDevices;
static VKAPI_ATTR VkResult VKAPI_CALL fault_EnumeratePhysicalDevices(VkInstance i, uint32_t *n,
                                                                     VkPhysicalDevice *o) {
    FAIL(ENUM);
    return next_EnumeratePhysicalDevices(i, n, o);
}

static VKAPI_ATTR VkResult VKAPI_CALL fault_CreateDevice(VkPhysicalDevice physical,
                                                         const VkDeviceCreateInfo *info, Alloc a,
                                                         VkDevice *out) {
    FAIL(DEVICE);
    VkResult created = next_create_device(physical, info, a, out);
    if (created) return created;
    device = *out;
    wait_idle = (PFN_vkDeviceWaitIdle)next_device(device, "vkDeviceWaitIdle");
#define LOAD(at, name, params, args)                                                               \
    next_##name = (PFN_vk##name)next_device(device, "vk" #name);                                   \
    if (!next_##name) next_##name = (PFN_vk##name)next_device(device, "vk" #name "KHR");
    FUNCTIONS(LOAD)
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL fault_CreateInstance(const VkInstanceCreateInfo *info, Alloc a,
                                                           VkInstance *out) {
    FAIL(INSTANCE);
    VkResult created = next_create_instance(info, a, out);
    if (created) return created;
    next_EnumeratePhysicalDevices =
        (PFN_vkEnumeratePhysicalDevices)next_instance(*out, "vkEnumeratePhysicalDevices");
    return VK_SUCCESS;
}

static PFN_vkVoidFunction own(const char *name) {
#define FIND(at, function, params, args)                                                           \
    if (!strcmp(name, "vk" #function) || !strcmp(name, "vk" #function "KHR"))                      \
        return (PFN_vkVoidFunction)fault_##function;
    FUNCTIONS(FIND)
    FIND(, CreateInstance, , )
    FIND(, CreateDevice, , )
    FIND(, EnumeratePhysicalDevices, , )
    return NULL;
}
