// A Vulkan layer for Dawn, which refuses a device without shaderSampledImageArrayDynamicIndexing and
// shaderStorageImageArrayDynamicIndexing, as the software driver of Mesa 22.3 is. Compute shaders on buffers use neither, so the
// layer reports both, and asks the driver for them only where it has them.
//
// One instance and one device at a time, as a worker has.

#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

static struct {
    PFN_vkGetInstanceProcAddr instance_proc;
    PFN_vkGetDeviceProcAddr device_proc;
    PFN_vkCreateDevice create_device;
    PFN_vkGetPhysicalDeviceFeatures get_features;
    PFN_vkGetPhysicalDeviceFeatures2 get_features2;
} below;

static void report(VkPhysicalDeviceFeatures *features) {
    features->shaderSampledImageArrayDynamicIndexing = VK_TRUE;
    features->shaderStorageImageArrayDynamicIndexing = VK_TRUE;
}

static void VKAPI_CALL get_features(VkPhysicalDevice device, VkPhysicalDeviceFeatures *features) {
    below.get_features(device, features);
    report(features);
}

static void VKAPI_CALL get_features2(VkPhysicalDevice device, VkPhysicalDeviceFeatures2 *features) {
    below.get_features2(device, features);
    report(&features->features);
}

// The loader's structure in a chain that says which layer or driver comes next.
static void *link_in(const void *chain, VkStructureType type) {
    for (VkLayerInstanceCreateInfo *info = (void *)chain; info; info = (void *)info->pNext) {
        if (info->sType == type && info->function == VK_LAYER_LINK_INFO) return info;
    }
    return NULL;
}

static VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *memory,
                                           VkInstance *instance) {
    VkLayerInstanceCreateInfo *link = link_in(info->pNext, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO);
    below.instance_proc = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = ((PFN_vkCreateInstance)below.instance_proc(NULL, "vkCreateInstance"))(info, memory, instance);
    if (result == VK_SUCCESS) {
        // Asked for here: later, the loader would answer with this layer's own.
        below.create_device = (PFN_vkCreateDevice)below.instance_proc(*instance, "vkCreateDevice");
        below.get_features = (PFN_vkGetPhysicalDeviceFeatures)below.instance_proc(*instance, "vkGetPhysicalDeviceFeatures");
        below.get_features2 = (PFN_vkGetPhysicalDeviceFeatures2)below.instance_proc(*instance, "vkGetPhysicalDeviceFeatures2");
    }
    return result;
}

static VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                         const VkAllocationCallbacks *memory, VkDevice *device) {
    VkLayerDeviceCreateInfo *link = link_in(info->pNext, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO);
    below.device_proc = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;

    VkPhysicalDeviceFeatures has;
    below.get_features(physical, &has);
    // Dawn's own structures, which it does not read again.
    VkPhysicalDeviceFeatures *wanted = (VkPhysicalDeviceFeatures *)info->pEnabledFeatures;
    for (VkBaseOutStructure *next = (void *)info->pNext; next; next = next->pNext) {
        if (next->sType != VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2) continue;
        wanted = &((VkPhysicalDeviceFeatures2 *)next)->features;
    }
    if (wanted) {
        wanted->shaderSampledImageArrayDynamicIndexing &= has.shaderSampledImageArrayDynamicIndexing;
        wanted->shaderStorageImageArrayDynamicIndexing &= has.shaderStorageImageArrayDynamicIndexing;
    }
    return below.create_device(physical, info, memory, device);
}

static PFN_vkVoidFunction VKAPI_CALL device_proc(VkDevice device, const char *name) {
    return strcmp(name, "vkGetDeviceProcAddr") == 0 ? (PFN_vkVoidFunction)device_proc : below.device_proc(device, name);
}

static PFN_vkVoidFunction VKAPI_CALL instance_proc(VkInstance instance, const char *name) {
    static const struct { const char *name; PFN_vkVoidFunction function; } ours[] = {
        {"vkGetInstanceProcAddr", (PFN_vkVoidFunction)instance_proc},
        {"vkGetDeviceProcAddr", (PFN_vkVoidFunction)device_proc},
        {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
        {"vkCreateDevice", (PFN_vkVoidFunction)create_device},
        {"vkGetPhysicalDeviceFeatures", (PFN_vkVoidFunction)get_features},
        {"vkGetPhysicalDeviceFeatures2", (PFN_vkVoidFunction)get_features2},
        {"vkGetPhysicalDeviceFeatures2KHR", (PFN_vkVoidFunction)get_features2},
    };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        if (strcmp(name, ours[i].name) == 0) return ours[i].function;
    }
    return below.instance_proc ? below.instance_proc(instance, name) : NULL;
}

// All that is exported: any other name could be taken for the loader's own of that name.
VK_LAYER_EXPORT VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *versions) {
    versions->loaderLayerInterfaceVersion = 2;
    versions->pfnGetInstanceProcAddr = instance_proc;
    versions->pfnGetDeviceProcAddr = device_proc;
    versions->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
