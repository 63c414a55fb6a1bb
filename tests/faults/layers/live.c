// A Vulkan layer that counts the objects that have been created and not destroyed.
//
//   LIVE=FILE         writes the counts to this file before each vkQueueSubmit
//
// Built by scripts/faults.
#include "layer.h"

typedef const VkAllocationCallbacks *Alloc;

// Every kind of object: the function that creates it, its information, and the function that
// destroys it.
#define OBJECTS(X)                                                                                 \
    X(Buffer, CreateBuffer, VkBufferCreateInfo, DestroyBuffer)                                     \
    X(DeviceMemory, AllocateMemory, VkMemoryAllocateInfo, FreeMemory)                              \
    X(Image, CreateImage, VkImageCreateInfo, DestroyImage)                                         \
    X(ImageView, CreateImageView, VkImageViewCreateInfo, DestroyImageView)                         \
    X(ShaderModule, CreateShaderModule, VkShaderModuleCreateInfo, DestroyShaderModule)             \
    X(DescriptorPool, CreateDescriptorPool, VkDescriptorPoolCreateInfo, DestroyDescriptorPool)     \
    X(DescriptorSetLayout, CreateDescriptorSetLayout, VkDescriptorSetLayoutCreateInfo,             \
      DestroyDescriptorSetLayout)                                                                  \
    X(PipelineLayout, CreatePipelineLayout, VkPipelineLayoutCreateInfo, DestroyPipelineLayout)     \
    X(PipelineCache, CreatePipelineCache, VkPipelineCacheCreateInfo, DestroyPipelineCache)         \
    X(CommandPool, CreateCommandPool, VkCommandPoolCreateInfo, DestroyCommandPool)                 \
    X(QueryPool, CreateQueryPool, VkQueryPoolCreateInfo, DestroyQueryPool)                         \
    X(Semaphore, CreateSemaphore, VkSemaphoreCreateInfo, DestroySemaphore)                         \
    X(Fence, CreateFence, VkFenceCreateInfo, DestroyFence)

#define AS_ENUM(kind, create, info, destroy) kind,
enum { OBJECTS(AS_ENUM) Pipeline, KINDS };
#define AS_TEXT(kind, create, info, destroy) #kind,
static const char *names[] = {OBJECTS(AS_TEXT) "Pipeline"};

static long counts[KINDS];

static void add(int kind, long number) {
    __atomic_add_fetch(&counts[kind], number, __ATOMIC_SEQ_CST);
}

static void write_counts(void) {
    const char *path = getenv("LIVE");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    for (int kind = 0; kind < KINDS; kind++)
        fprintf(file, "%s %ld\n", names[kind], __atomic_load_n(&counts[kind], __ATOMIC_SEQ_CST));
    fclose(file);
}

// Each kind: counts what is created and destroyed.
#define DEFINE(kind, create, info, destroy)                                                        \
    static PFN_vk##create next_##create;                                                           \
    static PFN_vk##destroy next_##destroy;                                                         \
    static VKAPI_ATTR VkResult VKAPI_CALL live_##create(VkDevice device, const info *about,        \
                                                        Alloc alloc, Vk##kind *out) {              \
        VkResult result = next_##create(device, about, alloc, out);                                \
        if (!result) add(kind, 1);                                                                 \
        return result;                                                                             \
    }                                                                                              \
    static VKAPI_ATTR void VKAPI_CALL live_##destroy(VkDevice device, Vk##kind object,             \
                                                     Alloc alloc) {                                \
        if (object) add(kind, -1);                                                                 \
        next_##destroy(device, object, alloc);                                                     \
    }
OBJECTS(DEFINE)

static PFN_vkCreateComputePipelines next_CreateComputePipelines;
static VKAPI_ATTR VkResult VKAPI_CALL live_CreateComputePipelines(
    VkDevice device, VkPipelineCache cache, uint32_t count,
    const VkComputePipelineCreateInfo *about, Alloc alloc, VkPipeline *out) {
    VkResult result = next_CreateComputePipelines(device, cache, count, about, alloc, out);
    for (uint32_t i = 0; i < count; i++)
        if (out[i]) add(Pipeline, 1);
    return result;
}

static PFN_vkDestroyPipeline next_DestroyPipeline;
static VKAPI_ATTR void VKAPI_CALL live_DestroyPipeline(VkDevice device, VkPipeline pipeline,
                                                       Alloc alloc) {
    if (pipeline) add(Pipeline, -1);
    next_DestroyPipeline(device, pipeline, alloc);
}

static PFN_vkQueueSubmit next_QueueSubmit;
static VKAPI_ATTR VkResult VKAPI_CALL live_QueueSubmit(VkQueue queue, uint32_t count,
                                                       const VkSubmitInfo *infos, VkFence fence) {
    write_counts();
    return next_QueueSubmit(queue, count, infos, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL live_CreateDevice(VkPhysicalDevice physical,
                                                        const VkDeviceCreateInfo *info, Alloc alloc,
                                                        VkDevice *out) {
    VkResult created = next_create_device(physical, info, alloc, out);
    if (created) return created;
#define LOAD(function) next_##function = (PFN_vk##function)next_device(*out, "vk" #function);
#define LOAD_BOTH(kind, create, info, destroy) LOAD(create) LOAD(destroy)
    OBJECTS(LOAD_BOTH)
    LOAD(CreateComputePipelines)
    LOAD(DestroyPipeline)
    LOAD(QueueSubmit)
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL live_CreateInstance(const VkInstanceCreateInfo *info,
                                                          Alloc alloc, VkInstance *out) {
    return next_create_instance(info, alloc, out);
}

static PFN_vkVoidFunction own(const char *name) {
#define FIND(function)                                                                             \
    if (!strcmp(name, "vk" #function)) return (PFN_vkVoidFunction)live_##function;
#define FIND_BOTH(kind, create, info, destroy) FIND(create) FIND(destroy)
    OBJECTS(FIND_BOTH)
    FIND(CreateComputePipelines)
    FIND(DestroyPipeline)
    FIND(QueueSubmit)
    FIND(CreateInstance)
    FIND(CreateDevice)
    return NULL;
}
