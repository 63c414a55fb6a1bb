// Compiles compute shaders in SPIR-V with a Vulkan driver, and prints the driver's statistics of
// each as a JSON line.
//
//     vkstats --icd DRIVER [--info] [--isa FOLDER] [--constants ID=VALUE,...] [--push BYTES]
//             [--no-robust] < list of .spv files
//
// The driver is loaded without the Vulkan loader, and nothing is submitted, so that it may run on a
// shim that stands for its kernel driver. A line {"begin": FILE} comes before each shader, so that
// the caller knows at which one the driver crashed or did not end. Features are as wgpu-hal 30
// enables them: robust accesses, varying subgroup sizes, f16, 16-bit storage, cooperative matrices.
// --info prints the device's limits first. --constants sets specialisation constants, --push
// declares push constants: for the shaders of other projects.
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <vulkan/vulkan.h>

#define MOST_SLOTS 64
#define MOST_SETS 8
#define MOST_EXECUTABLES 16
#define MOST_STATISTICS 64

static PFN_vkGetInstanceProcAddr get_instance_proc;
static VkInstance instance;
static VkDevice device;
#define INSTANCE(name) ((PFN_##name)get_instance_proc(instance, #name))
#define DEVICE(name) ((PFN_##name)INSTANCE(vkGetDeviceProcAddr)(device, #name))

static struct {
    const char *icd, *isa;
    bool info, robust;
    uint32_t push;
    VkSpecializationMapEntry entries[32];
    uint32_t values[32], constants;
} options = {.robust = true};

// Whether pipelines allow varying subgroup sizes.
static bool varying;

static void fail(const char *what, int code) {
    fprintf(stderr, "%s: %d\n", what, code);
    exit(1);
}

static void quoted(const char *text) {
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') putchar('\\');
        putchar((unsigned char)*text < 32 ? ' ' : *text);
    }
    putchar('"');
}

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

// A module: its words, its entry point, and its bindings.
typedef struct {
    uint32_t set, binding;
    VkDescriptorType type;
} Slot;

typedef struct {
    uint32_t *words;
    size_t bytes;
    char entry[256];
    Slot slots[MOST_SLOTS];
    int count;
} Module;

// What an instruction says of an id.
typedef struct {
    uint32_t op, a, b, set, binding;
    bool is_bound, is_buffer_block;
} Id;

// The numbers of SPIR-V's instructions, storage classes and decorations.
enum { OpEntryPoint = 15, OpTypeImage = 25, OpTypeSampler = 26, OpTypeSampledImage = 27 };
enum { OpTypeArray = 28, OpTypeRuntimeArray = 29, OpTypeStruct = 30, OpTypePointer = 32 };
enum { OpVariable = 59, OpDecorate = 71, GLCompute = 5, UniformConstant = 0, Uniform = 2 };
enum { BufferBlock = 3, Binding = 33, DescriptorSet = 34 };

static VkDescriptorType descriptor(const Id *ids, const Id *pointer, uint32_t class) {
    const Id *type = &ids[pointer->b];
    while (type->op == OpTypeArray || type->op == OpTypeRuntimeArray) type = &ids[type->a];
    if (class == UniformConstant) {
        if (type->op == OpTypeSampler) return VK_DESCRIPTOR_TYPE_SAMPLER;
        if (type->op == OpTypeSampledImage) return VK_DESCRIPTOR_TYPE_COMBINED_IMAGE_SAMPLER;
        // Operand `Sampled` of the image type: 2 for storage.
        return type->b == 2 ? VK_DESCRIPTOR_TYPE_STORAGE_IMAGE : VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE;
    }
    return class == Uniform && !type->is_buffer_block ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER
                                                      : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
}

static void reflect(Module *module) {
    const uint32_t *words = module->words;
    size_t length = module->bytes / 4;
    Id *ids = calloc(words[3], sizeof *ids);
    strcpy(module->entry, "main");
    module->count = 0;
    for (size_t at = 5; at < length;) {
        uint32_t op = words[at] & 0xffff, size = words[at] >> 16;
        const uint32_t *operand = words + at + 1;
        if (!size) break;
        switch (op) {
        case OpEntryPoint:
            if (operand[0] == GLCompute)
                snprintf(module->entry, sizeof module->entry, "%s", (const char *)(operand + 2));
            break;
        case OpDecorate:
            if (operand[1] == Binding) {
                ids[operand[0]].binding = operand[2];
                ids[operand[0]].is_bound = true;
            }
            if (operand[1] == DescriptorSet) ids[operand[0]].set = operand[2];
            if (operand[1] == BufferBlock) ids[operand[0]].is_buffer_block = true;
            break;
        case OpTypeImage: ids[operand[0]] = (Id){op, operand[2], operand[6]}; break;
        case OpTypeSampler:
        case OpTypeSampledImage:
        case OpTypeStruct: ids[operand[0]].op = op; break;
        case OpTypeArray:
        case OpTypeRuntimeArray:
            ids[operand[0]].op = op;
            ids[operand[0]].a = operand[1];
            break;
        case OpTypePointer:
            ids[operand[0]].op = op;
            ids[operand[0]].b = operand[2];
            break;
        case OpVariable: {
            const Id *its = &ids[operand[1]];
            if (its->is_bound && module->count < MOST_SLOTS)
                module->slots[module->count++] =
                    (Slot){its->set, its->binding, descriptor(ids, &ids[operand[0]], operand[2])};
            break;
        }
        }
        at += size;
    }
    free(ids);
}

static bool read_module(const char *path, Module *module) {
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    fseek(file, 0, SEEK_END);
    module->bytes = ftell(file);
    rewind(file);
    module->words = malloc(module->bytes);
    bool whole = fread(module->words, 1, module->bytes, file) == module->bytes;
    fclose(file);
    if (whole && module->bytes > 20) reflect(module);
    return whole && module->bytes > 20;
}

static void print_statistics(VkPipelineExecutableInfoKHR which) {
    uint32_t count = MOST_STATISTICS;
    VkPipelineExecutableStatisticKHR all[MOST_STATISTICS] = {0};
    for (uint32_t i = 0; i < count; i++)
        all[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
    DEVICE(vkGetPipelineExecutableStatisticsKHR)(device, &which, &count, all);
    for (uint32_t i = 0; i < count; i++) {
        printf(", ");
        quoted(all[i].name);
        switch (all[i].format) {
        case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_BOOL32_KHR:
            printf(": %s", all[i].value.b32 ? "true" : "false");
            break;
        case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_INT64_KHR:
            printf(": %lld", (long long)all[i].value.i64);
            break;
        case VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_UINT64_KHR:
            printf(": %llu", (unsigned long long)all[i].value.u64);
            break;
        default: printf(": %g", all[i].value.f64);
        }
    }
}

// Writes FOLDER/FILE.EXECUTABLE.REPRESENTATION.txt.
static void write_isa(VkPipelineExecutableInfoKHR which, const char *path) {
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    uint32_t count = 0;
    DEVICE(vkGetPipelineExecutableInternalRepresentationsKHR)(device, &which, &count, 0);
    VkPipelineExecutableInternalRepresentationKHR *all = calloc(count + 1, sizeof *all);
    for (uint32_t i = 0; i < count; i++)
        all[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
    DEVICE(vkGetPipelineExecutableInternalRepresentationsKHR)(device, &which, &count, all);
    for (uint32_t i = 0; i < count; i++) all[i].pData = calloc(1, all[i].dataSize + 1);
    DEVICE(vkGetPipelineExecutableInternalRepresentationsKHR)(device, &which, &count, all);
    for (uint32_t i = 0; i < count; i++) {
        char name[300], to[4096];
        snprintf(name, sizeof name, "%u.%s", which.executableIndex, all[i].name);
        for (char *c = name; *c; c++)
            if (strchr("/ ()", *c)) *c = '_';
        int length = snprintf(to, sizeof to, "%s/%s.%s.txt", options.isa, base, name);
        FILE *file = length < (int)sizeof to ? fopen(to, "wb") : 0;
        if (file) {
            size_t size = all[i].isText ? strlen(all[i].pData) : all[i].dataSize;
            fwrite(all[i].pData, 1, size, file);
            fclose(file);
        }
        free(all[i].pData);
    }
    free(all);
}

static void print_executables(VkPipeline pipeline, const char *path) {
    VkPipelineInfoKHR which = {VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, 0, pipeline};
    PFN_vkGetPipelineExecutablePropertiesKHR get = DEVICE(vkGetPipelineExecutablePropertiesKHR);
    VkPipelineExecutablePropertiesKHR all[MOST_EXECUTABLES] = {0};
    for (int i = 0; i < MOST_EXECUTABLES; i++)
        all[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
    uint32_t count = MOST_EXECUTABLES;
    if (get) get(device, &which, &count, all);
    else count = 0;
    printf(", \"executables\": [");
    for (uint32_t i = 0; i < count; i++) {
        VkPipelineExecutableInfoKHR one = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, 0,
                                           pipeline, i};
        printf("%s{\"name\": ", i ? ", " : "");
        quoted(all[i].name);
        printf(", \"subgroup\": %u", all[i].subgroupSize);
        print_statistics(one);
        printf("}");
        if (options.isa) write_isa(one, path);
    }
    printf("]");
}

static VkPipelineLayout layout_of(const Module *module, VkDescriptorSetLayout *sets, uint32_t *n) {
    *n = 0;
    for (int i = 0; i < module->count; i++)
        if (module->slots[i].set + 1 > *n) *n = module->slots[i].set + 1;
    if (*n > MOST_SETS) return 0;
    for (uint32_t set = 0; set < *n; set++) {
        VkDescriptorSetLayoutBinding bindings[MOST_SLOTS];
        uint32_t count = 0;
        for (int i = 0; i < module->count; i++)
            if (module->slots[i].set == set)
                bindings[count++] = (VkDescriptorSetLayoutBinding){
                    module->slots[i].binding, module->slots[i].type, 1,
                    VK_SHADER_STAGE_COMPUTE_BIT, 0};
        VkDescriptorSetLayoutCreateInfo info = {
            VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, 0, 0, count, bindings};
        if (DEVICE(vkCreateDescriptorSetLayout)(device, &info, 0, &sets[set])) return 0;
    }
    VkPushConstantRange pushed = {VK_SHADER_STAGE_COMPUTE_BIT, 0, options.push};
    VkPipelineLayoutCreateInfo info = {VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, 0, 0, *n,
                                       sets, options.push > 0, &pushed};
    VkPipelineLayout layout = 0;
    return DEVICE(vkCreatePipelineLayout)(device, &info, 0, &layout) ? 0 : layout;
}

static VkResult create_pipeline(VkShaderModule module, const char *entry, VkPipelineLayout layout,
                                VkPipeline *pipeline) {
    VkSpecializationInfo constants = {options.constants, options.entries,
                                      4 * options.constants, options.values};
    VkPipelineCreateFlags flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
    if (options.isa) flags |= VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
    VkPipelineShaderStageCreateInfo stage = {
        VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
        0,
        varying ? VK_PIPELINE_SHADER_STAGE_CREATE_ALLOW_VARYING_SUBGROUP_SIZE_BIT : 0,
        VK_SHADER_STAGE_COMPUTE_BIT,
        module,
        entry,
        options.constants ? &constants : 0};
    VkComputePipelineCreateInfo info = {VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, 0, flags,
                                        stage, layout, 0, -1};
    return DEVICE(vkCreateComputePipelines)(device, 0, 1, &info, 0, pipeline);
}

static void compile(const char *path) {
    printf("{\"begin\": ");
    quoted(path);
    printf("}\n");
    fflush(stdout);
    Module module = {0};
    printf("{\"file\": ");
    if (!read_module(path, &module)) {
        quoted(path);
        printf(", \"error\": \"no SPIR-V\"}\n");
        fflush(stdout);
        return;
    }
    double start = milliseconds();
    VkShaderModuleCreateInfo info = {VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, 0, 0,
                                     module.bytes, module.words};
    VkShaderModule shader = 0;
    VkDescriptorSetLayout sets[MOST_SETS] = {0};
    VkPipelineLayout layout = 0;
    VkPipeline pipeline = 0;
    uint32_t set_count = 0;
    const char *step = "the shader module";
    VkResult result = DEVICE(vkCreateShaderModule)(device, &info, 0, &shader);
    if (!result) {
        step = "the pipeline layout";
        layout = layout_of(&module, sets, &set_count);
        if (!layout) result = VK_ERROR_UNKNOWN;
    }
    if (!result) {
        step = "the pipeline";
        result = create_pipeline(shader, module.entry, layout, &pipeline);
    }
    double taken = milliseconds() - start;
    quoted(path);
    printf(", \"ms\": %.1f", taken);
    if (result) printf(", \"error\": \"%s: VkResult %d\"", step, result);
    else print_executables(pipeline, path);
    printf("}\n");
    fflush(stdout);
    if (pipeline) DEVICE(vkDestroyPipeline)(device, pipeline, 0);
    if (layout) DEVICE(vkDestroyPipelineLayout)(device, layout, 0);
    for (uint32_t set = 0; set < set_count && set < MOST_SETS; set++)
        if (sets[set]) DEVICE(vkDestroyDescriptorSetLayout)(device, sets[set], 0);
    if (shader) DEVICE(vkDestroyShaderModule)(device, shader, 0);
    free(module.words);
}

static const char *component(uint32_t type) {
    static const char *const names[] = {"f16", "f32", "f64", "i8",  "i16", "i32",
                                        "i64", "u8",  "u16", "u32", "u64"};
    return type < sizeof names / sizeof *names ? names[type] : "other";
}

static void print_matrices(VkPhysicalDevice physical, bool has_any) {
    PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR get =
        INSTANCE(vkGetPhysicalDeviceCooperativeMatrixPropertiesKHR);
    uint32_t count = 0;
    if (has_any && get) get(physical, &count, 0);
    VkCooperativeMatrixPropertiesKHR *all = calloc(count + 1, sizeof *all);
    for (uint32_t i = 0; i < count; i++)
        all[i].sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_KHR;
    if (count) get(physical, &count, all);
    printf(", \"matrices\": [");
    for (uint32_t i = 0; i < count; i++)
        printf("%s\"%ux%ux%u %s*%s+%s->%s scope%u\"", i ? ", " : "", all[i].MSize, all[i].NSize,
               all[i].KSize, component(all[i].AType), component(all[i].BType),
               component(all[i].CType), component(all[i].ResultType), all[i].scope);
    printf("]");
    free(all);
}

// The extensions that are enabled where the device has them.
enum { EXECUTABLES, MATRICES, ROBUSTNESS, FLOAT16, STORAGE16, MODEL, SUBGROUPS, WANTED };
static const char *const extension_names[WANTED] = {
    VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME,
    VK_KHR_COOPERATIVE_MATRIX_EXTENSION_NAME,
    VK_EXT_ROBUSTNESS_2_EXTENSION_NAME,
    VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME,
    VK_KHR_16BIT_STORAGE_EXTENSION_NAME,
    VK_KHR_VULKAN_MEMORY_MODEL_EXTENSION_NAME,
    VK_EXT_SUBGROUP_SIZE_CONTROL_EXTENSION_NAME,
};

// Structures of what the device has, in two chains.
static VkPhysicalDeviceSubgroupSizeControlProperties subgroups = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_PROPERTIES};
static VkPhysicalDeviceDriverProperties driver = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES, &subgroups};
static VkPhysicalDeviceProperties2 properties = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                                                 &driver};
static VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR executables = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
static VkPhysicalDeviceCooperativeMatrixFeaturesKHR matrices = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_KHR};
static VkPhysicalDeviceRobustness2FeaturesEXT robustness = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ROBUSTNESS_2_FEATURES_EXT};
static VkPhysicalDeviceShaderFloat16Int8Features float16 = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
static VkPhysicalDevice16BitStorageFeatures storage16 = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_16BIT_STORAGE_FEATURES};
static VkPhysicalDeviceVulkanMemoryModelFeatures model = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_MEMORY_MODEL_FEATURES};
static VkPhysicalDeviceSubgroupSizeControlFeatures size_control = {
    VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_SIZE_CONTROL_FEATURES};
static VkPhysicalDeviceFeatures2 features = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2};

static void print_info(VkPhysicalDevice physical, bool has_matrices) {
    const VkPhysicalDeviceLimits *limits = &properties.properties.limits;
    printf("{\"device\": ");
    quoted(properties.properties.deviceName);
    printf(", \"vendor\": %u, \"id\": %u", properties.properties.vendorID,
           properties.properties.deviceID);
    printf(", \"driver\": ");
    quoted(driver.driverName);
    printf(", \"version\": ");
    quoted(driver.driverInfo);
    printf(", \"type\": %d, \"subgroup_least\": %u, \"subgroup_most\": %u",
           properties.properties.deviceType, subgroups.minSubgroupSize, subgroups.maxSubgroupSize);
    printf(", \"storage_range\": %u, \"workgroups\": %u, \"invocations\": %u"
           ", \"workgroup_x\": %u, \"workgroup_y\": %u, \"workgroup_bytes\": %u"
           ", \"storage_buffers\": %u, \"texture_side\": %u",
           limits->maxStorageBufferRange, limits->maxComputeWorkGroupCount[0],
           limits->maxComputeWorkGroupInvocations, limits->maxComputeWorkGroupSize[0],
           limits->maxComputeWorkGroupSize[1], limits->maxComputeSharedMemorySize,
           limits->maxPerStageDescriptorStorageBuffers, limits->maxImageDimension2D);
    printf(", \"int64\": %s, \"f16\": %s, \"storage16\": %s",
           features.features.shaderInt64 ? "true" : "false",
           float16.shaderFloat16 ? "true" : "false",
           storage16.storageBuffer16BitAccess ? "true" : "false");
    print_matrices(physical, has_matrices);
    printf("}\n");
    fflush(stdout);
}

#define CHAIN(structure, condition)              \
    if (condition) {                             \
        (structure).pNext = features.pNext;      \
        features.pNext = &(structure);           \
    }

static void open_device(void) {
    void *library = dlopen(options.icd, RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    VkResult (*negotiate)(uint32_t *) =
        (VkResult(*)(uint32_t *))dlsym(library, "vk_icdNegotiateLoaderICDInterfaceVersion");
    uint32_t version = 5;
    if (negotiate) negotiate(&version);
    get_instance_proc = (PFN_vkGetInstanceProcAddr)dlsym(library, "vk_icdGetInstanceProcAddr");
    if (!get_instance_proc) fail("no vk_icdGetInstanceProcAddr", 0);
    VkApplicationInfo application = {VK_STRUCTURE_TYPE_APPLICATION_INFO, 0, "vkstats", 1, "wgpu", 1,
                                     VK_API_VERSION_1_3};
    VkInstanceCreateInfo info = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, 0, 0, &application};
    VkResult result = INSTANCE(vkCreateInstance)(&info, 0, &instance);
    if (result) fail("vkCreateInstance", result);
    uint32_t count = 1;
    VkPhysicalDevice physical = 0;
    result = INSTANCE(vkEnumeratePhysicalDevices)(instance, &count, &physical);
    if (result < 0 || !count) fail("no device", result);

    uint32_t found = 0;
    INSTANCE(vkEnumerateDeviceExtensionProperties)(physical, 0, &found, 0);
    VkExtensionProperties *all = calloc(found, sizeof *all);
    INSTANCE(vkEnumerateDeviceExtensionProperties)(physical, 0, &found, all);
    bool has[WANTED] = {0};
    const char *enabled[WANTED];
    uint32_t enabled_count = 0;
    for (int wanted = 0; wanted < WANTED; wanted++)
        for (uint32_t i = 0; i < found && !has[wanted]; i++)
            if (!strcmp(all[i].extensionName, extension_names[wanted])) {
                has[wanted] = true;
                enabled[enabled_count++] = extension_names[wanted];
            }
    free(all);

    INSTANCE(vkGetPhysicalDeviceProperties2)(physical, &properties);
    bool is_1_3 = properties.properties.apiVersion >= VK_API_VERSION_1_3;
    CHAIN(executables, has[EXECUTABLES])
    CHAIN(matrices, has[MATRICES])
    CHAIN(robustness, has[ROBUSTNESS])
    CHAIN(float16, is_1_3 || has[FLOAT16])
    CHAIN(storage16, true)
    CHAIN(model, is_1_3 || has[MODEL])
    CHAIN(size_control, is_1_3 || has[SUBGROUPS])
    INSTANCE(vkGetPhysicalDeviceFeatures2)(physical, &features);
    features.features = (VkPhysicalDeviceFeatures){
        .robustBufferAccess = options.robust,
        .shaderInt64 = features.features.shaderInt64,
        .shaderInt16 = features.features.shaderInt16,
        .shaderStorageImageReadWithoutFormat =
            features.features.shaderStorageImageReadWithoutFormat,
    };
    matrices.cooperativeMatrixRobustBufferAccess = false;
    robustness.nullDescriptor = false;
    if (!options.robust) robustness.robustBufferAccess2 = robustness.robustImageAccess2 = false;
    varying = size_control.subgroupSizeControl;
    if (options.info) print_info(physical, has[MATRICES]);

    float priority = 1;
    VkDeviceQueueCreateInfo queue = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, 0, 0, 0, 1,
                                     &priority};
    VkDeviceCreateInfo create = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &features, 0, 1, &queue,
                                 0, 0, enabled_count, enabled, 0};
    result = INSTANCE(vkCreateDevice)(physical, &create, 0, &device);
    if (result) fail("vkCreateDevice", result);
}

// ID=VALUE,ID=VALUE
static void read_constants(char *text) {
    for (char *part = strtok(text, ","); part; part = strtok(0, ",")) {
        uint32_t id, value, n = options.constants;
        if (n == 32 || sscanf(part, "%u=%u", &id, &value) != 2) fail(part, 2);
        options.entries[n] = (VkSpecializationMapEntry){id, 4 * n, 4};
        options.values[n] = value;
        options.constants++;
    }
}

int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) {
        char *name = arguments[i], *value = i + 1 < count ? arguments[i + 1] : 0;
        if (!strcmp(name, "--info")) options.info = true;
        else if (!strcmp(name, "--no-robust")) options.robust = false;
        else if (!value) fail(name, 2);
        else if (!strcmp(name, "--icd")) options.icd = arguments[++i];
        else if (!strcmp(name, "--isa")) options.isa = arguments[++i];
        else if (!strcmp(name, "--push")) options.push = atoi(arguments[++i]);
        else if (!strcmp(name, "--constants")) read_constants(arguments[++i]);
        else fail(name, 2);
    }
    if (!options.icd) fail("--icd is missing", 2);
    open_device();
    char line[4096];
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (*line) compile(line);
    }
    // Drivers would clean up with a kernel driver that is not there.
    fflush(stdout);
    _Exit(0);
}
