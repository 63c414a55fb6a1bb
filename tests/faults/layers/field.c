// A Vulkan layer that simulates failures of real GPUs: work that never runs, devices that are lost,
// and properties of other devices.
//
//   DROP=n            the n-th vkQueueSubmit with command buffers signals without running them,
//                     like a failed command buffer of Metal in wgpu
//   DROP_ALL=1        every later submit too
//   DROP_BUFFER=n     the n-th command buffer that is submitted is left out of its submit
//   LOST=n            the n-th and every later submit returns VK_ERROR_DEVICE_LOST
//   PIPE=n            the n-th vkCreateComputePipelines returns VK_ERROR_UNKNOWN
//   NODEV=1           vkCreateDevice returns VK_ERROR_INITIALIZATION_FAILED
//   LOG=1             writes each submit to stderr
//   TYPE, NAME        the device's type (a number) and name
//   RANGE, SHARED     maxStorageBufferRange, maxComputeSharedMemorySize
//   GROUPS, INVOC     maxComputeWorkGroupCount, maxComputeWorkGroupInvocations (and the size)
//   SGMIN, SGMAX      the least and the largest subgroup size
//
// Built by scripts/faults.
#include "layer.h"

static PFN_vkQueueSubmit next_submit;
static PFN_vkCreateComputePipelines next_pipelines;
static PFN_vkCmdDispatch next_dispatch;
static PFN_vkGetPhysicalDeviceProperties next_properties;
static PFN_vkGetPhysicalDeviceProperties2 next_properties2;

static int submits, submitted, pipelines, dispatches;

// A number of the environment; 0 if it is not set.
static long number(const char *name) {
    const char *value = getenv(name);
    return value ? atol(value) : 0;
}

static VKAPI_ATTR void VKAPI_CALL dispatch(VkCommandBuffer c, uint32_t x, uint32_t y, uint32_t z) {
    dispatches++;
    next_dispatch(c, x, y, z);
}

// Submits everything but the command buffer with this index.
static VkResult without(uint32_t index, VkQueue queue, uint32_t count, const VkSubmitInfo *infos,
                        VkFence fence) {
    fprintf(stderr, "field: command buffer %u of submit %d is not run\n", index + 1, submits);
    VkSubmitInfo *fewer = malloc(sizeof *fewer * count);
    memcpy(fewer, infos, sizeof *fewer * count);
    VkCommandBuffer *rest = NULL;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t buffers = infos[i].commandBufferCount;
        if (index < buffers) {
            rest = malloc(sizeof *rest * buffers);
            memcpy(rest, infos[i].pCommandBuffers, sizeof *rest * buffers);
            memmove(rest + index, rest + index + 1, sizeof *rest * (buffers - index - 1));
            fewer[i].pCommandBuffers = rest;
            fewer[i].commandBufferCount = buffers - 1;
            break;
        }
        index -= buffers;
    }
    VkResult result = next_submit(queue, count, fewer, fence);
    free(rest);
    free(fewer);
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, uint32_t count,
                                             const VkSubmitInfo *infos, VkFence fence) {
    uint32_t buffers = 0;
    for (uint32_t i = 0; i < count; i++) buffers += infos[i].commandBufferCount;
    if (!buffers) return next_submit(queue, count, infos, fence);
    submits++;
    int before = submitted;
    submitted += buffers;
    if (getenv("LOG")) {
        fprintf(stderr, "field: submit %d: %u command buffers, %d dispatches since the last\n",
                submits, buffers, dispatches);
        dispatches = 0;
    }
    long lost = number("LOST"), drop = number("DROP"), buffer = number("DROP_BUFFER");
    if (lost && submits >= lost) {
        if (submits == lost) fprintf(stderr, "field: submit %d is lost\n", submits);
        return VK_ERROR_DEVICE_LOST;
    }
    if (buffer > before && buffer <= submitted)
        return without(buffer - before - 1, queue, count, infos, fence);
    if (!drop || (submits != drop && !(getenv("DROP_ALL") && submits > drop)))
        return next_submit(queue, count, infos, fence);
    fprintf(stderr, "field: submit %d is not run\n", submits);
    VkSubmitInfo *empty = malloc(sizeof *empty * count);
    memcpy(empty, infos, sizeof *empty * count);
    for (uint32_t i = 0; i < count; i++) empty[i].commandBufferCount = 0;
    VkResult result = next_submit(queue, count, empty, fence);
    free(empty);
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_pipelines(VkDevice device, VkPipelineCache cache,
                                                       uint32_t count,
                                                       const VkComputePipelineCreateInfo *infos,
                                                       const VkAllocationCallbacks *alloc,
                                                       VkPipeline *out) {
    int call = __sync_add_and_fetch(&pipelines, 1);
    if (call != number("PIPE")) return next_pipelines(device, cache, count, infos, alloc, out);
    fprintf(stderr, "field: pipeline %d fails\n", call);
    for (uint32_t i = 0; i < count; i++) out[i] = VK_NULL_HANDLE;
    return VK_ERROR_UNKNOWN;
}

static void change(VkPhysicalDeviceProperties *p) {
    VkPhysicalDeviceLimits *limits = &p->limits;
    const char *name = getenv("NAME");
    if (getenv("TYPE")) p->deviceType = number("TYPE");
    if (name) snprintf(p->deviceName, sizeof p->deviceName, "%s", name);
    if (getenv("RANGE")) limits->maxStorageBufferRange = number("RANGE");
    if (getenv("SHARED")) limits->maxComputeSharedMemorySize = number("SHARED");
    if (getenv("GROUPS"))
        for (int i = 0; i < 3; i++) limits->maxComputeWorkGroupCount[i] = number("GROUPS");
    if (getenv("INVOC")) {
        limits->maxComputeWorkGroupInvocations = number("INVOC");
        for (int i = 0; i < 2; i++) limits->maxComputeWorkGroupSize[i] = number("INVOC");
    }
}

static VKAPI_ATTR void VKAPI_CALL properties(VkPhysicalDevice d, VkPhysicalDeviceProperties *p) {
    next_properties(d, p);
    change(p);
}

static VKAPI_ATTR void VKAPI_CALL properties2(VkPhysicalDevice d, VkPhysicalDeviceProperties2 *p) {
    next_properties2(d, p);
    change(&p->properties);
    if (!getenv("SGMIN")) return;
    for (VkBaseOutStructure *s = p->pNext; s; s = s->pNext) {
        if (s->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES) continue;
        VkPhysicalDeviceSubgroupSizeControlProperties *sizes = (void *)s;
        sizes->minSubgroupSize = number("SGMIN");
        sizes->maxSubgroupSize = number("SGMAX");
    }
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical,
                                                    const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *alloc,
                                                    VkDevice *out) {
    if (getenv("NODEV")) return VK_ERROR_INITIALIZATION_FAILED;
    VkResult created = next_create_device(physical, info, alloc, out);
    if (created) return created;
    next_submit = (void *)next_device(*out, "vkQueueSubmit");
    next_pipelines = (void *)next_device(*out, "vkCreateComputePipelines");
    next_dispatch = (void *)next_device(*out, "vkCmdDispatch");
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info,
                                                      const VkAllocationCallbacks *alloc,
                                                      VkInstance *out) {
    VkResult created = next_create_instance(info, alloc, out);
    if (created) return created;
    next_properties = (void *)next_instance(*out, "vkGetPhysicalDeviceProperties");
    next_properties2 = (void *)next_instance(*out, "vkGetPhysicalDeviceProperties2");
    if (!next_properties2)
        next_properties2 = (void *)next_instance(*out, "vkGetPhysicalDeviceProperties2KHR");
    return VK_SUCCESS;
}

static PFN_vkVoidFunction own(const char *name) {
    static const struct {
        const char *name;
        PFN_vkVoidFunction function;
    } functions[] = {
        {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
        {"vkCreateDevice", (PFN_vkVoidFunction)create_device},
        {"vkQueueSubmit", (PFN_vkVoidFunction)submit},
        {"vkCreateComputePipelines", (PFN_vkVoidFunction)create_pipelines},
        {"vkCmdDispatch", (PFN_vkVoidFunction)dispatch},
        {"vkGetPhysicalDeviceProperties", (PFN_vkVoidFunction)properties},
        {"vkGetPhysicalDeviceProperties2", (PFN_vkVoidFunction)properties2},
        {"vkGetPhysicalDeviceProperties2KHR", (PFN_vkVoidFunction)properties2},
    };
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!strcmp(name, functions[i].name)) return functions[i].function;
    return NULL;
}
