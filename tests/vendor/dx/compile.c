// Compiles compute shaders in HLSL with DirectX's compilers, as wgpu-hal 30 does, and prints a JSON
// line for each. It runs in Wine, next to dxcompiler.dll and d3dcompiler_47.dll:
//
//     compile.exe < list of lines COMPILER PROFILE ENTRY FILE
//
// COMPILER is dxc or fxc, PROFILE cs_6_0 and the like. What DXC compiles is validated.
#define COBJMACROS
#define CINTERFACE
#define WIN32_LEAN_AND_MEAN
#include <initguid.h>
#include <windows.h>
#include <d3dcompiler.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// From dxcapi.h, which is not in this compiler's headers: classes and interfaces with the methods
// that are used, in the order of their tables. Each begins with IUnknown's three.
DEFINE_GUID(DXC_COMPILER, 0x73e22d93, 0xe6ce, 0x47f3, 0xb5, 0xbf, 0xf0, 0x66, 0x4f, 0x39, 0xc1,
            0xb0);
DEFINE_GUID(DXC_VALIDATOR, 0x8ca3e215, 0xf728, 0x4cf3, 0x8c, 0xdd, 0x88, 0xaf, 0x91, 0x75, 0x87,
            0xa1);
DEFINE_GUID(IID_DXC_COMPILER3, 0x228b4687, 0x5a6a, 0x4730, 0x90, 0x0c, 0x97, 0x02, 0xb2, 0x20,
            0x3f, 0x54);
DEFINE_GUID(IID_DXC_VALIDATOR, 0xa6e82bd2, 0x1fd7, 0x4826, 0x98, 0x11, 0x28, 0x57, 0xe7, 0x97,
            0xf4, 0x9a);
// IDxcOperationResult: its methods are the first of IDxcResult.
DEFINE_GUID(IID_DXC_RESULT, 0xcedb484a, 0xd4e9, 0x445a, 0xb9, 0x91, 0xca, 0x21, 0xca, 0x15, 0x7d,
            0xc2);

typedef struct Blob Blob;
typedef struct Result Result;
typedef struct Compiler Compiler;
typedef struct Validator Validator;
typedef struct {
    const void *bytes;
    SIZE_T size;
    UINT encoding;
} Text;

#define UNKNOWN(type)                                                    \
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(type *, REFIID, void **); \
    ULONG(STDMETHODCALLTYPE *AddRef)(type *);                            \
    ULONG(STDMETHODCALLTYPE *Release)(type *);

struct Blob {
    const struct {
        UNKNOWN(Blob)
        void *(STDMETHODCALLTYPE *GetBufferPointer)(Blob *);
        SIZE_T(STDMETHODCALLTYPE *GetBufferSize)(Blob *);
    } *table;
};
struct Result {
    const struct {
        UNKNOWN(Result)
        HRESULT(STDMETHODCALLTYPE *GetStatus)(Result *, HRESULT *);
        HRESULT(STDMETHODCALLTYPE *GetResult)(Result *, Blob **);
        HRESULT(STDMETHODCALLTYPE *GetErrorBuffer)(Result *, Blob **);
    } *table;
};
struct Compiler {
    const struct {
        UNKNOWN(Compiler)
        HRESULT(STDMETHODCALLTYPE *Compile)
        (Compiler *, const Text *, LPCWSTR *, UINT, void *, REFIID, void **);
    } *table;
};
struct Validator {
    const struct {
        UNKNOWN(Validator)
        HRESULT(STDMETHODCALLTYPE *Validate)(Validator *, Blob *, UINT, Result **);
    } *table;
};

enum { VALIDATE_IN_PLACE = 1, UTF8 = 65001, MOST_SAID = 600 };

static pD3DCompile fxc;
static Compiler *dxc;
static Validator *validator;

static void *load(const char *library, const char *function) {
    HMODULE module = LoadLibraryA(library);
    void *found = module ? (void *)GetProcAddress(module, function) : 0;
    if (!found) {
        fprintf(stderr, "no %s in %s\n", function, library);
        exit(1);
    }
    return found;
}

static void quoted(const char *text, size_t size) {
    putchar('"');
    for (size_t i = 0; i < size && text[i]; i++) {
        if (text[i] == '"' || text[i] == '\\') putchar('\\');
        putchar((unsigned char)text[i] < 32 ? ' ' : text[i]);
    }
    putchar('"');
}

// The line of a shader: bytes of code, or what the compiler says.
static void print(const char *file, bool is_good, size_t bytes, Blob *said) {
    printf("{\"file\": ");
    quoted(file, strlen(file));
    if (is_good) {
        printf(", \"bytes\": %u}\n", (unsigned)bytes);
    } else {
        size_t size = said ? said->table->GetBufferSize(said) : 0;
        printf(", \"error\": ");
        if (size > 1)
            quoted(said->table->GetBufferPointer(said), size < MOST_SAID ? size : MOST_SAID);
        else
            printf("\"the compiler gives no reason\"");
        printf("}\n");
    }
    fflush(stdout);
}

static void with_fxc(const char *file, const char *profile, const char *entry, Text text) {
    // ID3DBlob has the methods of IDxcBlob.
    ID3DBlob *code = 0, *said = 0;
    HRESULT result = fxc(text.bytes, text.size, file, 0, 0, entry, profile,
                         D3DCOMPILE_ENABLE_STRICTNESS, 0, &code, &said);
    bool is_good = SUCCEEDED(result) && code;
    print(file, is_good, is_good ? ID3D10Blob_GetBufferSize(code) : 0, (Blob *)said);
    if (code) ID3D10Blob_Release(code);
    if (said) ID3D10Blob_Release(said);
}

static WCHAR *wide(const char *text, WCHAR *to, int size) {
    MultiByteToWideChar(CP_UTF8, 0, text, -1, to, size);
    return to;
}

static void with_dxc(const char *file, const char *profile, const char *entry, Text text) {
    WCHAR stage[64], main[256];
    LPCWSTR arguments[] = {L"-E",
                           wide(entry, main, 256),
                           L"-T",
                           wide(profile, stage, 64),
                           L"-HV",
                           L"2018",
                           L"-no-warnings",
                           L"-Ges",
                           L"-enable-16bit-types"};
    // wgpu-hal adds it on devices with half precision, which begins with shader model 6.2.
    UINT count = strcmp(profile, "cs_6_2") < 0 ? 8 : 9;
    Result *result = 0, *validated = 0;
    Blob *code = 0, *said = 0;
    HRESULT status = E_FAIL;
    dxc->table->Compile(dxc, &text, arguments, count, 0, &IID_DXC_RESULT, (void **)&result);
    if (result) {
        result->table->GetStatus(result, &status);
        if (SUCCEEDED(status)) result->table->GetResult(result, &code);
        else result->table->GetErrorBuffer(result, &said);
    }
    if (code) {
        status = validator->table->Validate(validator, code, VALIDATE_IN_PLACE, &validated);
        if (validated) {
            validated->table->GetStatus(validated, &status);
            if (FAILED(status)) validated->table->GetErrorBuffer(validated, &said);
        }
    }
    bool is_good = code && SUCCEEDED(status);
    print(file, is_good, is_good ? code->table->GetBufferSize(code) : 0, said);
    if (said) said->table->Release(said);
    if (validated) validated->table->Release(validated);
    if (code) code->table->Release(code);
    if (result) result->table->Release(result);
}

static bool read_file(const char *path, Text *text) {
    FILE *file = fopen(path, "rb");
    if (!file) return false;
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    char *bytes = malloc(size + 1);
    bool is_whole = fread(bytes, 1, size, file) == (size_t)size;
    fclose(file);
    *text = (Text){bytes, size, UTF8};
    return is_whole;
}

static void start_dxc(void) {
    typedef HRESULT(WINAPI * Create)(REFCLSID, REFIID, void **);
    Create create = (Create)load("dxcompiler.dll", "DxcCreateInstance");
    HRESULT result = create(&DXC_COMPILER, &IID_DXC_COMPILER3, (void **)&dxc);
    if (SUCCEEDED(result)) result = create(&DXC_VALIDATOR, &IID_DXC_VALIDATOR, (void **)&validator);
    if (FAILED(result)) {
        fprintf(stderr, "DxcCreateInstance: %lx\n", (unsigned long)result);
        exit(1);
    }
}

int main(void) {
    char line[4096], compiler[16], profile[64], entry[256], file[3072];
    while (fgets(line, sizeof line, stdin)) {
        Text text;
        if (sscanf(line, "%15s %63s %255s %3071[^\r\n]", compiler, profile, entry, file) != 4 ||
            !read_file(file, &text)) {
            fprintf(stderr, "cannot read %s", line);
            return 1;
        }
        if (!strcmp(compiler, "fxc")) {
            if (!fxc) fxc = (pD3DCompile)load("d3dcompiler_47.dll", "D3DCompile");
            with_fxc(file, profile, entry, text);
        } else {
            if (!dxc) start_dxc();
            with_dxc(file, profile, entry, text);
        }
        free((void *)text.bytes);
    }
    return 0;
}
