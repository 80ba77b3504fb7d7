#include "clients/bench/process.hpp"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

Duration read_clock(clockid_t clock) {
  timespec time{};
  if (::clock_gettime(clock, &time) != 0) fail_with_errno("can't read the process's CPU time");
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

std::string read_file(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::optional<std::uint64_t> kilobytes_after(const std::string& text, const std::string& key) {
  const auto at = text.find("\n" + key + ":");
  if (at == std::string::npos) return std::nullopt;
  return std::strtoull(text.c_str() + at + key.size() + 2, nullptr, 10) * 1024;
}

/// The inode of the socket that listens on `port`, from a table such as /proc/net/tcp.
std::optional<std::string> listening_inode(const std::string& table, std::uint16_t port) {
  std::istringstream lines(read_file(table));
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string number, local, remote, state, queues, timer, retransmits, user, timeout, inode;
    fields >> number >> local >> remote >> state >> queues >> timer >> retransmits >> user >> timeout >> inode;
    const auto colon = local.rfind(':');
    if (state == "0A" && colon != std::string::npos && std::stoul(local.substr(colon + 1), nullptr, 16) == port) {
      return inode;
    }
  }
  return std::nullopt;
}

bool has_socket(const std::filesystem::path& process, const std::string& inode) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(process / "fd", error)) {
    const auto target = std::filesystem::read_symlink(entry.path(), error);
    if (!error && target == "socket:[" + inode + "]") return true;
  }
  return false;
}

/// The brokers that write there may still be dying, and make a file while we remove.
void remove_stubbornly(const std::string& path) {
  std::error_code error;
  for (int attempt = 0; attempt < 20; ++attempt) {
    std::filesystem::remove_all(path, error);
    if (!error && !std::filesystem::exists(path, error)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

Duration cpu_time_of(pid_t pid) {
  clockid_t clock{};
  if (const int error = ::clock_getcpuclockid(pid, &clock); error != 0) {
    errno = error;
    fail_with_errno("can't read the CPU time of process " + std::to_string(pid));
  }
  return read_clock(clock);
}

Duration own_cpu_time() { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

std::optional<Duration> parse_machine_cpu_time(const std::string& text, long ticks_per_second) {
  std::istringstream line(text);
  std::string name;
  std::int64_t user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft_interrupts = 0, stolen = 0;
  line >> name >> user >> nice >> system >> idle >> waiting >> interrupts >> soft_interrupts >> stolen;
  if (!line || name != "cpu") return std::nullopt;
  const std::int64_t busy = user + nice + system + interrupts + soft_interrupts + stolen;
  return std::chrono::nanoseconds(std::chrono::seconds(1)) * busy / ticks_per_second;
}

Duration machine_cpu_time() {
  return parse_machine_cpu_time(read_file("/proc/stat"), ::sysconf(_SC_CLK_TCK)).value_or(Duration{});
}

std::optional<Memory> parse_memory(const std::string& text) {
  const std::string padded = "\n" + text;
  for (const auto& [resident_key, anonymous_key] : {std::pair{"Rss", "Anonymous"}, std::pair{"VmRSS", "RssAnon"}}) {
    const auto resident = kilobytes_after(padded, resident_key);
    const auto anonymous = kilobytes_after(padded, anonymous_key);
    if (resident && anonymous) return Memory{*resident, *anonymous};
  }
  return std::nullopt;
}

Memory memory_of(pid_t pid) {
  const std::string directory = "/proc/" + std::to_string(pid) + "/";
  for (const auto* name : {"smaps_rollup", "status"}) {
    if (const auto memory = parse_memory(read_file(directory + name))) return *memory;
  }
  throw Failure("can't read the memory of process " + std::to_string(pid));
}

std::optional<pid_t> listener_of(std::uint16_t port) {
  auto inode = listening_inode("/proc/net/tcp", port);
  if (!inode) inode = listening_inode("/proc/net/tcp6", port);
  if (!inode) return std::nullopt;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") == std::string::npos && has_socket(entry.path(), *inode)) {
      return static_cast<pid_t>(std::stol(name));
    }
  }
  return std::nullopt;
}

std::vector<int> usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) != 0) fail_with_errno("can't read the set of processors");
  std::vector<int> cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(static_cast<std::size_t>(core), &set)) cores.push_back(core);
  }
  return cores;
}

void pin_to_core(pid_t pid, int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(core), &set);
  if (::sched_setaffinity(pid, sizeof set, &set) != 0) fail_with_errno("can't bind to core " + std::to_string(core));
}

Child::Child(const Command& command) {
  std::vector<char*> arguments;
  for (const auto& each : command.arguments) arguments.push_back(const_cast<char*>(each.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) fail_with_errno("can't start " + command.arguments.front());
  if (pid_ > 0) return;
  // Only async-signal-safe calls from here on; what fails shows as a child that ended at once.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(125);
  const int output = ::open(command.output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  const int input = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (output < 0 || input < 0) ::_exit(126);
  ::dup2(input, 0);
  ::dup2(output, 1);
  ::dup2(output, 2);
  if (command.core) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(*command.core), &set);
    ::sched_setaffinity(0, sizeof set, &set);
  }
  ::execv(arguments.front(), arguments.data());
  ::_exit(127);
}

bool Child::alive() {
  if (!reaped_ && ::waitpid(pid_, nullptr, WNOHANG) == pid_) reaped_ = true;
  return !reaped_;
}

Child::~Child() {
  if (!alive()) return;
  ::kill(pid_, SIGTERM);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (alive() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  if (!alive()) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

TemporaryDirectory::TemporaryDirectory(const std::string& root) {
  path_ = (root.empty() ? std::filesystem::temp_directory_path() : std::filesystem::path(root)) / "parley-bench-XXXXXX";
  if (::mkdtemp(path_.data()) == nullptr) fail_with_errno("can't make a temporary directory " + path_);
  start_janitor();
}

void TemporaryDirectory::start_janitor() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail_with_errno("can't make a socket");
  const pid_t janitor = ::fork();
  if (janitor == 0) {
    // A session of its own, so that an interrupt from the terminal ends us first and not it.
    ::setsid();
    ::close(ends[0]);
    char goodbye = 0;
    while (::recv(ends[1], &goodbye, 1, 0) < 0 && errno == EINTR) {
    }
    if (goodbye == 0) remove_stubbornly(path_);
    ::_exit(0);
  }
  ::close(ends[1]);
  if (janitor < 0) {
    ::close(ends[0]);
    fail_with_errno("can't start a process");
  }
  janitor_ = janitor;
  janitor_socket_ = ends[0];
}

TemporaryDirectory::~TemporaryDirectory() {
  remove_stubbornly(path_);
  const char goodbye = 1;
  ::send(janitor_socket_, &goodbye, 1, MSG_NOSIGNAL);
  ::close(janitor_socket_);
  ::waitpid(janitor_, nullptr, 0);
}

}  // namespace parley::bench
