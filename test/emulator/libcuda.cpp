// A CUDA driver without a GPU: the functions of src/runtime/cuda/driver/driver.ts over the emulator's machine.
//
// One device, an H200 by its attributes. Device addresses are host addresses; behind each allocation lie 64 MiB that
// nothing may touch. Work is done at once, when it is enqueued; a graph is a recorded list. Images are the shared
// objects that libnvrtc.cpp makes. What the real driver refuses of our calls is refused here too: launches beyond a
// block's shared memory, addresses outside allocations, calls in a capture, and after a fault everything until the process
// ends, opening the device anew too.
//
//   EMULATOR_FAULT       no-device | old-driver | out-of-memory | trap-after=N (the launch after the Nth dies)
//   EMULATOR_MENDS       set: a fault is over when the last context is released, for tests of many faults
//   EMULATOR_MEMORY      bytes of the device (141e9)
//   EMULATOR_CAPABILITY  90 (default), or less: 80 is a smaller GPU without clusters
#include "machine.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <elf.h>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
  INVALID_CONTEXT = 201, INVALID_HANDLE = 400, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700, OUT_OF_RESOURCES = 701,
  LAUNCH_FAILED = 719, COOPERATIVE_TOO_LARGE = 720, CAPTURE_UNSUPPORTED = 900, CAPTURE_INVALIDATED = 901,
  INVALID_CLUSTER = 912 };

struct Module { void* library; int file; };
struct Function {
  void (*kernel)(const void*);
  u32 threads, bytes, shared_max = 48 << 10;
  bool is_portable = true;
};
// A kernel keeps its arguments; whatever else is an action.
struct Kernel { emulator::Launch launch; std::shared_ptr<void> arguments; bool is_dependent; };
struct Work { std::function<void()> act; std::shared_ptr<Kernel> kernel; };
struct Graph { std::vector<Work> nodes; };
struct Stream { Graph* capture = nullptr; bool is_invalid = false; };
struct Event { u64 at = 0; };

static struct {
  int contexts = 0, launches = 0, sticky = OK;
  std::string why;
  std::map<u64, std::pair<u64, u64>> memory;  // address: bytes, bytes of the mapping
  u64 used = 0;
  std::map<void*, Stream*> streams;
} device;
static const u64 PAGE = 4096, GUARD = 64 << 20;

static std::string asked(const char* name) { const char* value = getenv(name); return value == nullptr ? "" : value; }
static bool fails(const char* how) { return asked("EMULATOR_FAULT") == how; }
static u64 number(const char* name, u64 otherwise) {
  const std::string given = asked(name);
  return given.empty() ? otherwise : strtoull(given.c_str(), nullptr, 10);
}
static int capability() { return (int)number("EMULATOR_CAPABILITY", 90); }
static bool has_clusters() { return capability() >= 90; }
static int multiprocessors() { return has_clusters() ? 132 : 108; }
static u32 shared_max() { return has_clusters() ? 232448 : 166912; }
static u64 memory_bytes() { return number("EMULATOR_MEMORY", 141000000000ull); }
// Every call but the first few needs a context that no kernel has broken, and threads take turns.
static int ready() { return device.sticky != OK ? device.sticky : device.contexts == 0 ? INVALID_CONTEXT : OK; }
static std::recursive_mutex turn;
#define READY std::lock_guard<std::recursive_mutex> own_turn(turn); if (const int state = ready()) return state
#define API extern "C" __attribute__((visibility("default"))) int

API cuInit(u32 flags) {
  if (flags != 0) return INVALID_VALUE;
  if (fails("no-device")) return NO_DEVICE;
  // Kernels are shared objects that find the machine among the process's global names.
  Dl_info own;
  dladdr((void*)cuInit, &own);
  dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
  return OK;
}
API cuDriverGetVersion(int* version) { *version = fails("old-driver") ? 11040 : 13000; return OK; }

static const std::map<int, std::pair<const char*, const char*>> ERRORS = {
  {OK, {"CUDA_SUCCESS", "no error"}},
  {INVALID_VALUE, {"CUDA_ERROR_INVALID_VALUE", "invalid argument"}},
  {OUT_OF_MEMORY, {"CUDA_ERROR_OUT_OF_MEMORY", "out of memory"}},
  {NO_DEVICE, {"CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"}},
  {INVALID_DEVICE, {"CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"}},
  {INVALID_IMAGE, {"CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"}},
  {INVALID_CONTEXT, {"CUDA_ERROR_INVALID_CONTEXT", "invalid device context"}},
  {INVALID_HANDLE, {"CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"}},
  {NOT_FOUND, {"CUDA_ERROR_NOT_FOUND", "named symbol not found"}},
  {600, {"CUDA_ERROR_NOT_READY", "device not ready"}},
  {ILLEGAL_ADDRESS, {"CUDA_ERROR_ILLEGAL_ADDRESS", "an illegal memory access was encountered"}},
  {OUT_OF_RESOURCES, {"CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"}},
  {LAUNCH_FAILED, {"CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}},
  {COOPERATIVE_TOO_LARGE, {"CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE", "too many blocks in cooperative launch"}},
  {CAPTURE_UNSUPPORTED,
    {"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", "operation not permitted when stream is capturing"}},
  {CAPTURE_INVALIDATED,
    {"CUDA_ERROR_STREAM_CAPTURE_INVALIDATED", "operation failed due to a previous error during capture"}},
  {INVALID_CLUSTER, {"CUDA_ERROR_INVALID_CLUSTER_SIZE", "cluster misconfiguration"}},
};
API cuGetErrorName(int code, const char** text) {
  const auto found = ERRORS.find(code);
  *text = found == ERRORS.end() ? nullptr : found->second.first;
  // The machine's own sentence goes along, where the real driver knows no more than the name.
  static std::string longer;
  if (code != OK && code == device.sticky) {
    longer = found->second.first + (": " + device.why);
    *text = longer.c_str();
  }
  return found == ERRORS.end() ? INVALID_VALUE : OK;
}
API cuGetErrorString(int code, const char** text) {
  const auto found = ERRORS.find(code);
  *text = found == ERRORS.end() ? nullptr : found->second.second;
  return found == ERRORS.end() ? INVALID_VALUE : OK;
}

// --- the device
API cuDeviceGetCount(int* count) { *count = 1; return OK; }
API cuDeviceGet(int* one, int ordinal) { *one = 0; return ordinal == 0 ? OK : INVALID_DEVICE; }
API cuDeviceGetName(char* name, int length, int) {
  snprintf(name, (size_t)length, has_clusters() ? "NVIDIA H200 (emulated)" : "NVIDIA A100 (emulated)");
  return OK;
}
API cuDeviceTotalMem_v2(size_t* bytes, int) { *bytes = memory_bytes(); return OK; }
API cuDeviceGetAttribute(int* value, int attribute, int) {
  const std::map<int, int> facts = {{1, 1024}, {10, 32}, {13, 1980000}, {16, multiprocessors()}, {19, 1},
    {38, 62914560}, {39, 2048}, {75, capability() / 10}, {76, capability() % 10}, {81, (int)shared_max() + 1024},
    {95, 1}, {97, (int)shared_max()}, {120, has_clusters()}};
  const auto found = facts.find(attribute);
  *value = found == facts.end() ? 0 : found->second;
  return OK;
}
API cuDeviceGetPCIBusId(char* text, int length, int) { snprintf(text, (size_t)length, "0000:00:00.0"); return OK; }
API cuDeviceCanAccessPeer(int* can, int, int) { *can = 0; return OK; }

static void release_all() {
  for (const auto& [address, sizes] : device.memory)
    munmap((void*)(address + sizes.first - sizes.second + GUARD), sizes.second);
  for (const auto& [handle, stream] : device.streams) delete stream;
  device.memory.clear(); device.streams.clear();
  device.used = 0; device.launches = 0;
  if (!asked("EMULATOR_MENDS").empty()) device.sticky = OK;
}
API cuDevicePrimaryCtxRetain(void** context, int) {
  if (device.sticky != OK) return device.sticky;
  device.contexts++; *context = &device;
  return OK;
}
API cuDevicePrimaryCtxRelease_v2(int) {
  if (device.contexts == 0) return INVALID_CONTEXT;
  if (--device.contexts == 0) release_all();
  return OK;
}
API cuDevicePrimaryCtxReset_v2(int) { release_all(); return device.sticky; }
API cuCtxSetCurrent(void*) { return device.sticky; }
API cuCtxSynchronize() { READY; return OK; }

// --- modules: the loader names a library by its file, which therefore stays open as long as it
API cuModuleLoadData(Module** module, const void* image) {
  READY;
  const Elf64_Ehdr& head = *(const Elf64_Ehdr*)image;
  if (memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_type != ET_DYN) return INVALID_IMAGE;
  const size_t bytes = head.e_shoff + (size_t)head.e_shnum * head.e_shentsize;
  const int file = memfd_create("kernels", MFD_CLOEXEC);
  if (file < 0 || write(file, image, bytes) != (ssize_t)bytes) return OUT_OF_MEMORY;
  void* library = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) { fprintf(stderr, "emulator: %s\n", dlerror()); close(file); return INVALID_IMAGE; }
  *module = new Module{library, file};
  return OK;
}
API cuModuleUnload(Module* module) {
  emulator::forget_kernels();
  dlclose(module->library);
  close(module->file);
  delete module;
  return OK;
}
API cuModuleGetFunction(Function** function, Module* module, const char* name) {
  READY;
  const auto find = [&](const std::string& symbol) { return dlsym(module->library, symbol.c_str()); };
  const std::string text = name;
  if (find(text) == nullptr) return NOT_FOUND;
  // What the macro KERNEL made says its sizes; what did not go through it can only be a kernel without arguments.
  const u32 *threads = (u32*)find(text + "_threads"), *bytes = (u32*)find(text + "_bytes");
  Function* made = new Function;
  made->kernel = (void (*)(const void*))find(text);
  made->threads = threads == nullptr ? 1024 : *threads;
  made->bytes = bytes == nullptr ? 0 : *bytes;
  *function = made;
  return OK;
}
API cuFuncSetAttribute(Function* function, int attribute, int value) {
  READY;
  if (attribute == 8 && (value < 0 || (u32)value > shared_max())) return INVALID_VALUE;
  if (attribute == 8) function->shared_max = (u32)value;
  if (attribute == 14) function->is_portable = value == 0;
  return OK;
}
API cuFuncGetAttribute(int* value, int attribute, Function* function) {
  READY;
  const std::map<int, int> facts = {{0, (int)function->threads}, {4, 128}, {8, (int)function->shared_max}};
  const auto found = facts.find(attribute);
  *value = found == facts.end() ? 0 : found->second;
  return OK;
}

// --- launches
struct Config { u32 grid[3], block[3], shared_bytes; void* stream; struct Attribute* attributes; u32 count; };
struct Attribute { int id; int padding; union { int flag; u32 cluster[3]; char bytes[64]; }; };
static_assert(sizeof(Config) == 56 && sizeof(Attribute) == 72, "as cuda.h lays them out");

static int occupancy(const Function& function, u32 threads, u32 shared_bytes) {
  if (threads > 1024 || threads > function.threads || shared_bytes > function.shared_max) return 0;
  const u32 by_threads = 2048 / threads, by_shared = (shared_max() + 1024) / (shared_bytes + 1024);
  return (int)(by_threads < by_shared ? by_threads : by_shared);
}
// How many clusters of a size an H200 runs at once with one block per multiprocessor.
static int clusters_at_once(u32 cluster) {
  static const std::map<u32, int> MEASURED = {{1, 132}, {2, 66}, {4, 30}, {8, 15}, {16, 7}};
  const auto found = MEASURED.find(cluster);
  return !has_clusters() || found == MEASURED.end() ? 0 : found->second;
}
API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Function* function, int threads, size_t shared_bytes) {
  READY; *blocks = occupancy(*function, (u32)threads, (u32)shared_bytes); return OK;
}
static u32 cluster_of(const Config& config) {
  u32 cluster = 1;
  for (u32 k = 0; k < config.count; k++) if (config.attributes[k].id == 4) cluster = config.attributes[k].cluster[0];
  return cluster;
}
API cuOccupancyMaxActiveClusters(int* clusters, Function* function, const Config* config) {
  READY;
  const u32 cluster = cluster_of(*config);
  if (cluster > 8 && function->is_portable) return INVALID_CLUSTER;
  const int each = occupancy(*function, config->block[0], config->shared_bytes);
  *clusters = clusters_at_once(cluster) * each;
  return OK;
}

static void run(const emulator::Launch& launch) {
  const std::string fault = asked("EMULATOR_FAULT");
  const bool traps = fault.rfind("trap-after=", 0) == 0 && device.launches >= atoi(fault.c_str() + 11);
  device.launches++;
  const char* trouble = traps ? "trap: EMULATOR_FAULT asked for it" : emulator::launch(launch);
  if (trouble != nullptr) {
    device.why = trouble;
    device.sticky = device.why.rfind("illegal address", 0) == 0 ? ILLEGAL_ADDRESS : LAUNCH_FAILED;
  }
}
// Kernels that depend on the one before overlap it; as on a GPU, it is the next call that says what went wrong.
static void perform(const std::vector<Work>& list) {
  for (size_t k = 0; k < list.size() && device.sticky == OK; k++) {
    if (list[k].kernel == nullptr) { list[k].act(); continue; }
    std::vector<emulator::Launch> chain = {list[k].kernel->launch};
    const bool overlaps = asked("EMULATOR_FAULT").empty();
    for (; overlaps && k + 1 < list.size() && list[k + 1].kernel && list[k + 1].kernel->is_dependent; k++)
      chain.push_back(list[k + 1].kernel->launch);
    for (size_t j = 1; j < chain.size(); j++) chain[j].prior = &chain[j - 1];
    run(chain.back());
  }
}
static int enqueue(void* handle, const Work& work) {
  if (handle != nullptr && device.streams.count(handle) == 0) return INVALID_HANDLE;
  Stream* stream = handle == nullptr ? nullptr : device.streams[handle];
  if (stream == nullptr || stream->capture == nullptr) perform({work});
  else stream->capture->nodes.push_back(work);
  return OK;
}
static int enqueue(void* handle, std::function<void()> act) { return enqueue(handle, Work{std::move(act), nullptr}); }
static int synchronised(void* handle) {
  const auto found = device.streams.find(handle);
  if (found == device.streams.end()) return handle == nullptr ? OK : INVALID_HANDLE;
  if (found->second->capture == nullptr) return OK;
  found->second->is_invalid = true;
  return CAPTURE_UNSUPPORTED;
}

API cuLaunchKernelEx(const Config* config, Function* function, void** parameters, void**) {
  READY;
  bool is_cooperative = false, is_dependent = false;
  for (u32 k = 0; k < config->count; k++) {
    const Attribute& attribute = config->attributes[k];
    if (attribute.id == 2) is_cooperative = attribute.flag != 0;
    if (attribute.id == 6) is_dependent = attribute.flag != 0;
    if (attribute.id == 4 && (attribute.cluster[1] != 1 || attribute.cluster[2] != 1)) return INVALID_CLUSTER;
    if (attribute.id == 4 && !has_clusters()) return INVALID_CLUSTER;
  }
  const u32 cluster = cluster_of(*config), threads = config->block[0] * config->block[1] * config->block[2];
  const u32 blocks = config->grid[0] * config->grid[1] * config->grid[2];
  if (blocks == 0 || threads == 0 || config->grid[1] > 65535 || config->grid[2] > 65535) return INVALID_VALUE;
  if (config->shared_bytes > function->shared_max) return INVALID_VALUE;
  if (threads > 1024 || threads > function->threads) return OUT_OF_RESOURCES;
  if (config->grid[0] % cluster != 0 || cluster > 16 || (cluster > 8 && function->is_portable)) return INVALID_CLUSTER;
  const u32 each = (u32)occupancy(*function, threads, config->shared_bytes);
  const u32 resident = cluster > 1 ? (u32)clusters_at_once(cluster) * cluster * each : (u32)multiprocessors() * each;
  if (is_cooperative && blocks > resident) return COOPERATIVE_TOO_LARGE;
  // Arguments are taken now: their memory may be reused before the work is done. Tensor maps want 64-byte alignment.
  const std::shared_ptr<void> arguments(aligned_alloc(64, (function->bytes + 64) / 64 * 64), free);
  if (function->bytes > 0) memcpy(arguments.get(), parameters[0], function->bytes);
  const emulator::Launch launch{function->kernel, arguments.get(), {config->grid[0], config->grid[1], config->grid[2]},
    {config->block[0], config->block[1], config->block[2]}, config->shared_bytes, cluster, is_cooperative,
    resident, nullptr};
  return enqueue(config->stream, Work{nullptr, std::make_shared<Kernel>(Kernel{launch, arguments, is_dependent})});
}
API cuLaunchKernel(Function* function, u32 gx, u32 gy, u32 gz, u32 bx, u32 by, u32 bz, u32 shared_bytes, void* stream,
    void** parameters, void** extra) {
  const Config config{{gx, gy, gz}, {bx, by, bz}, shared_bytes, stream, nullptr, 0};
  return cuLaunchKernelEx(&config, function, parameters, extra);
}

// --- memory
static int map_memory(u64* address, size_t bytes) {
  READY;
  if (bytes == 0) return INVALID_VALUE;
  const u64 rounded = (bytes + 255) / 256 * 256, mapped = (rounded + PAGE - 1) / PAGE * PAGE + GUARD;
  if (fails("out-of-memory") || device.used + rounded > memory_bytes()) return OUT_OF_MEMORY;
  u8* base = (u8*)mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return OUT_OF_MEMORY;
  mprotect(base + mapped - GUARD, GUARD, PROT_NONE);
  u8* start = base + mapped - GUARD - rounded;
  // Nobody may count on zeros; beyond 64 MiB filling takes too long.
  if (rounded <= 64 << 20) for (u64 k = 0; k < rounded; k += 4) *(u32*)(start + k) = 0x7fe57fe5;
  *address = (u64)start;
  device.memory[*address] = {rounded, mapped};
  device.used += rounded;
  return OK;
}
static int unmap_memory(u64 address) {
  if (address == 0) return OK;
  const auto found = device.memory.find(address);
  if (found == device.memory.end()) return INVALID_VALUE;
  const auto [bytes, mapped] = found->second;
  munmap((void*)(address + bytes + GUARD - mapped), mapped);
  device.used -= bytes;
  device.memory.erase(found);
  return OK;
}
static bool is_ours(u64 address, size_t bytes) {
  auto after = device.memory.upper_bound(address);
  if (after == device.memory.begin()) return false;
  const auto& [start, sizes] = *--after;
  return address + bytes <= start + sizes.first;
}
API cuMemGetInfo_v2(size_t* free, size_t* total) {
  READY; *total = memory_bytes(); *free = *total > device.used ? *total - device.used : 0; return OK;
}
API cuMemAlloc_v2(u64* address, size_t bytes) { return map_memory(address, bytes); }
API cuMemFree_v2(u64 address) { READY; return unmap_memory(address); }
API cuMemHostAlloc(u64* pointer, size_t bytes, u32) { return map_memory(pointer, bytes); }
API cuMemFreeHost(u64 pointer) { READY; return unmap_memory(pointer); }
API cuMemHostGetDevicePointer_v2(u64* address, u64 pointer, u32) {
  READY; *address = pointer; return is_ours(pointer, 1) ? OK : INVALID_VALUE;
}
static int copy(void* to, const void* from, size_t bytes, void* stream) {
  return enqueue(stream, [=] { memmove(to, from, bytes); });
}
API cuMemcpyHtoDAsync_v2(u64 to, const void* from, size_t bytes, void* stream) {
  READY; return is_ours(to, bytes) ? copy((void*)to, from, bytes, stream) : INVALID_VALUE;
}
API cuMemcpyDtoHAsync_v2(void* to, u64 from, size_t bytes, void* stream) {
  READY; return is_ours(from, bytes) ? copy(to, (void*)from, bytes, stream) : INVALID_VALUE;
}
API cuMemcpyDtoDAsync_v2(u64 to, u64 from, size_t bytes, void* stream) {
  READY;
  return is_ours(to, bytes) && is_ours(from, bytes) ? copy((void*)to, (void*)from, bytes, stream) : INVALID_VALUE;
}
API cuMemsetD8Async(u64 to, u8 value, size_t bytes, void* stream) {
  READY;
  if (!is_ours(to, bytes)) return INVALID_VALUE;
  return enqueue(stream, [=] { memset((void*)to, value, bytes); });
}
API cuTensorMapEncodeTiled(emulator::TileMap* map, int type, u32 rank, u64 address, const u64* sizes,
    const u64* strides, const u32* box, const u32* steps, int interleave, int swizzle, int, int) {
  const u32 element = type == 6 || type == 9 ? 2 : type == 7 ? 4 : 0;
  if (element == 0 || rank == 0 || rank > 2 || interleave != 0) return INVALID_VALUE;
  if (address % 16 != 0 || (u64)map % 64 != 0) return INVALID_VALUE;
  const u32 row = swizzle == 0 ? 0 : 16u << swizzle;
  emulator::TileMap made{emulator::TILE_MAP, element, rank, row, (u8*)address, {}, {}, {}};
  for (u32 k = 0; k < rank; k++) {
    if (box[k] == 0 || box[k] > 256 || steps[k] != 1 || sizes[k] == 0) return INVALID_VALUE;
    if (k > 0 && strides[k - 1] % 16 != 0) return INVALID_VALUE;
    made.sizes[k] = (u32)sizes[k]; made.box[k] = box[k];
    if (k > 0) made.strides[k - 1] = strides[k - 1];
  }
  if (box[0] * element % 16 != 0 || (row != 0 && box[0] * element > row)) return INVALID_VALUE;
  static_assert(sizeof made <= 128, "a tensor map has 128 bytes");
  *map = made;
  return OK;
}

// --- streams, events, graphs
API cuStreamCreateWithPriority(void** stream, u32, int) {
  READY; Stream* made = new Stream; device.streams[made] = made; *stream = made; return OK;
}
API cuStreamDestroy_v2(void* stream) {
  if (device.streams.erase(stream) == 0) return INVALID_HANDLE;
  delete (Stream*)stream;
  return OK;
}
API cuStreamSynchronize(void* stream) { READY; return synchronised(stream); }
API cuStreamQuery(void* stream) { READY; return synchronised(stream); }
API cuStreamWaitEvent(void*, Event*, u32) { READY; return OK; }
API cuEventCreate(Event** event, u32) { READY; *event = new Event; return OK; }
API cuEventDestroy_v2(Event* event) { delete event; return OK; }
API cuEventRecord(Event* event, void* stream) {
  READY; return enqueue(stream, [=] { event->at = emulator::nanoseconds(); });
}
API cuEventQuery(Event*) { READY; return OK; }
API cuEventSynchronize(Event*) { READY; return OK; }
API cuEventElapsedTime(float* milliseconds, Event* start, Event* end) {
  READY; *milliseconds = (float)((double)(end->at - start->at) * 1e-6); return OK;
}
API cuStreamBeginCapture_v2(void* stream, int) {
  READY;
  if (device.streams.count(stream) == 0) return INVALID_HANDLE;
  Stream& s = *device.streams[stream];
  if (s.capture != nullptr) return CAPTURE_UNSUPPORTED;
  s.capture = new Graph; s.is_invalid = false;
  return OK;
}
API cuStreamEndCapture(void* stream, Graph** graph) {
  READY;
  if (device.streams.count(stream) == 0 || device.streams[stream]->capture == nullptr) return INVALID_VALUE;
  Stream& s = *device.streams[stream];
  *graph = s.capture;
  s.capture = nullptr;
  if (!s.is_invalid) return OK;
  delete *graph;
  *graph = nullptr;
  return CAPTURE_INVALIDATED;
}
API cuGraphGetNodes(Graph* graph, void*, size_t* count) { READY; *count = graph->nodes.size(); return OK; }
API cuGraphDestroy(Graph* graph) { delete graph; return OK; }
API cuGraphInstantiateWithFlags(Graph** executable, Graph* graph, u64) {
  READY; *executable = new Graph(*graph); return OK;
}
API cuGraphExecDestroy(Graph* graph) { delete graph; return OK; }
API cuGraphUpload(Graph*, void*) { READY; return OK; }
API cuGraphLaunch(Graph* graph, void* stream) {
  READY;
  return enqueue(stream, [graph] { perform(graph->nodes); });
}
