// NVRTC without NVIDIA's compiler: a "cubin" is the shared object that the C++ compiler makes of a kernel, with this
// folder's ptx.cuh and wgmma.cuh in place of the kernels' own. Objects are kept by the hash of all that makes them.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fcntl.h>
#include <fstream>
#include <map>
#include <spawn.h>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern char** environ;
#define API extern "C" __attribute__((visibility("default"))) int
enum { OK = 0, INVALID_PROGRAM = 4, INVALID_INPUT = 3, INVALID_OPTION = 5, COMPILATION = 6 };
struct Program { std::string name, source, log, object; std::map<std::string, std::string> headers; };

static std::string read(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::stringstream text; text << in.rdbuf(); return text.str();
}
static void write(const std::string& file, const std::string& text) { std::ofstream(file, std::ios::binary) << text; }
static std::string folder() {
  Dl_info own;
  dladdr((void*)folder, &own);
  const std::string file = own.dli_fname;
  return file.substr(0, file.rfind('/'));
}
static std::string hash_of(const std::string& text) {
  unsigned long long a = 0xcbf29ce484222325ull, b = 0x9e3779b97f4a7c15ull;
  for (const unsigned char c : text) {
    a = (a ^ c) * 0x100000001b3ull;
    b = (b + c) * 0xff51afd7ed558ccdull;
    b ^= b >> 29;
  }
  char hex[40]; snprintf(hex, sizeof hex, "%016llx%016llx", a, b); return hex;
}

// The version names the build of the emulator, so that nobody's cache takes its objects for another's.
API nvrtcVersion(int* major, int* minor) { *major = 13; *minor = BUILD; return OK; }
API nvrtcCreateProgram(Program** program, const char* source, const char* name, int count, const char* const* headers,
    const char* const* names) {
  if (source == nullptr) return INVALID_INPUT;
  *program = new Program{name == nullptr ? "default_program" : name, source, "", "", {}};
  for (int k = 0; k < count; k++) (*program)->headers[names[k]] = headers[k];
  return OK;
}
API nvrtcDestroyProgram(Program** program) { delete *program; *program = nullptr; return OK; }

static int spawn(const std::vector<std::string>& words, const std::string& output) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back((char*)word.c_str());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  pid_t child;
  int status = -1;
  if (posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ) != 0) return -1;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  posix_spawn_file_actions_destroy(&actions);
  return status;
}

API nvrtcCompileProgram(Program* program, int count, const char* const* options) {
  std::vector<std::string> words = {COMPILER, "-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-fno-exceptions",
    "-fno-asynchronous-unwind-tables", "-fvisibility=hidden"};
  bool has_architecture = false;
  for (int k = 0; k < count; k++) {
    const std::string option = options[k];
    const size_t number = option.find("sm_");
    if (option.rfind("-D", 0) == 0) words.push_back(option);
    else if (option.rfind("--define-macro=", 0) == 0) words.push_back("-D" + option.substr(15));
    else if (number != std::string::npos) {
      words.push_back("-D__CUDA_ARCH__=" + std::to_string(atoi(option.c_str() + number + 3) * 10));
      has_architecture = true;
    }
  }
  if (!has_architecture) { program->log = "no option says the GPU's architecture (sm_...)"; return INVALID_OPTION; }
  std::string all = program->source;
  for (const std::string& word : words) all += "\n" + word;
  for (const auto& [name, text] : program->headers) all += "\n#" + name + "\n" + text;
  const std::string cache = folder() + "/objects", object = cache + "/" + hash_of(all) + ".so";
  if (access(object.c_str(), R_OK) != 0) {
    mkdir(cache.c_str(), 0700);
    std::string made = cache + "/compile-XXXXXX";
    if (mkdtemp(&made[0]) == nullptr) return COMPILATION;
    write(made + "/kernel.cpp", "#line 1 \"" + program->name + "\"\n" + program->source);
    for (const auto& [name, text] : program->headers)
      if (access((folder() + "/include/" + name).c_str(), R_OK) != 0) write(made + "/" + name, text);
    const std::string include = folder() + "/include", output = made + "/kernel.so", input = made + "/kernel.cpp";
    const std::vector<std::string> places = {"-include", include + "/emulator.h", "-I", include, "-I", made, "-o",
      output, input};
    words.insert(words.end(), places.begin(), places.end());
    const int status = spawn(words, made + "/log");
    program->log = read(made + "/log");
    if (status == 0) rename(output.c_str(), object.c_str());
    for (const auto& [name, text] : program->headers) unlink((made + "/" + name).c_str());
    for (const char* name : {"/kernel.cpp", "/kernel.so", "/log"}) unlink((made + name).c_str());
    rmdir(made.c_str());
    if (status != 0 && program->log.empty()) program->log = "the compiler " COMPILER " did not start";
    if (status != 0) return COMPILATION;
  }
  program->object = read(object);
  return OK;
}
API nvrtcGetProgramLogSize(Program* program, size_t* bytes) { *bytes = program->log.size() + 1; return OK; }
API nvrtcGetProgramLog(Program* program, char* text) {
  memcpy(text, program->log.c_str(), program->log.size() + 1);
  return OK;
}
API nvrtcGetCUBINSize(Program* program, size_t* bytes) {
  *bytes = program->object.size();
  return program->object.empty() ? INVALID_PROGRAM : OK;
}
API nvrtcGetCUBIN(Program* program, char* bytes) {
  memcpy(bytes, program->object.data(), program->object.size());
  return OK;
}
API nvrtcGetNumSupportedArchs(int* count) { *count = 3; return OK; }
API nvrtcGetSupportedArchs(int* numbers) { numbers[0] = 80; numbers[1] = 89; numbers[2] = 90; return OK; }
extern "C" __attribute__((visibility("default"))) const char* nvrtcGetErrorString(int code) {
  return code == OK ? "NVRTC_SUCCESS" : code == COMPILATION ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR_INVALID_INPUT";
}
