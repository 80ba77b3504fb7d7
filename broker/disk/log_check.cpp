#include "broker/disk/log_check.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>
#include <utility>

#include "base/log.hpp"
#include "storage/data_directory.hpp"
#include "storage/files.hpp"
#include "storage/format/error.hpp"

namespace parley::disk {
namespace {

using storage::LogDamage;

constexpr std::string_view kFine = "fine";

bool say(int to, const std::optional<LogDamage>& damage) {
  const std::string line = (damage ? to_line(*damage) : std::string(kFine)) + "\n";
  return ::write(to, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && !damage;
}

/// What the process does. Whatever else is wrong with the files, whoever opens them says it better. What the store has
/// needs no look when it is to be cut off, since damage was noted.
void look(const std::string& directory, bool noted, int answers) {
  constexpr int kLowest = 19;
  const auto files = storage::Files::open_to_read(directory, storage::Files::Options{}.readers_max);
  if (!files) {
    const bool corrupt = files.error() == make_error_code(StorageError::CorruptRecord);
    const LogDamage damage{.readable = false, .what = "the file can't be opened: " + files.error().message()};
    say(answers, corrupt ? std::optional(damage) : std::nullopt);
    say(answers, std::nullopt);
    return;
  }
  if (!say(answers, find_damage_behind_store(**files)) || noted) return;
  [[maybe_unused]] const int refused = ::setpriority(PRIO_PROCESS, 0, kLowest);
  say(answers, find_damage_before_store(**files));
}

}  // namespace

LogCheck::LogCheck(const std::string& data_dir) : noted_(storage::noted_damage(storage::storage_directory(data_dir))) {
  if (noted_ && !noted_->readable) return;
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return;
  const pid_t parent = ::getpid();
  process_ = ::fork();
  if (process_ == 0) {
    ::close(pipe[0]);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    try {
      if (::getppid() == parent) look(storage::storage_directory(data_dir), noted_.has_value(), pipe[1]);
    } catch (...) {
      // Want of memory: that says nothing of the file. This process must not go on as the broker.
    }
    ::_exit(0);
  }
  ::close(pipe[1]);
  answers_ = pipe[0];
  if (process_ < 0) log::warn("the log isn't looked through for damage, no process can be started", {});
}

LogCheck::~LogCheck() { stop(); }

void LogCheck::stop() {
  if (process_ > 0) ::kill(process_, SIGKILL);
  if (watcher_.joinable()) watcher_.join();
  if (process_ > 0) ::waitpid(process_, nullptr, 0);
  process_ = -1;
  if (answers_ >= 0) ::close(std::exchange(answers_, -1));
}

std::optional<std::string> LogCheck::read_line() {
  for (;;) {
    if (const auto end = unread_.find('\n'); end != std::string::npos) {
      std::string line = unread_.substr(0, end);
      unread_.erase(0, end + 1);
      return line;
    }
    std::array<char, 512> bytes{};
    const ssize_t size = answers_ < 0 ? 0 : ::read(answers_, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return std::nullopt;
    unread_.append(bytes.data(), static_cast<std::size_t>(size));
  }
}

std::optional<LogDamage> LogCheck::answer(bool& fine) {
  const auto line = read_line();
  fine = line == kFine;
  if (line) return storage::read_damage(*line);
  if (process_ < 0) return std::nullopt;
  ::siginfo_t end{};
  // Left where it is: stop() takes it away.
  if (::waitid(P_PID, static_cast<id_t>(process_), &end, WEXITED | WNOWAIT) != 0) return std::nullopt;
  const bool by_signal = end.si_code != CLD_EXITED;
  if (by_signal ? end.si_status == SIGKILL : end.si_status == 0) return std::nullopt;  // By us, or for want of memory.
  return LogDamage{.readable = false,
                   .what = std::string("the process that read it ended with ") + (by_signal ? "signal " : "status ") +
                           std::to_string(end.si_status)};
}

std::optional<LogDamage> LogCheck::behind_store() {
  if (noted_ && !noted_->readable) return noted_;
  bool fine = false;
  auto damage = answer(fine);
  if (damage || !noted_) return damage;
  damage = noted_;
  damage->in_store = fine;
  return damage;
}

void LogCheck::watch(std::function<void(const LogDamage&)> found) {
  watcher_ = std::thread([this, found = std::move(found)] {
    bool fine = false;
    if (const auto damage = answer(fine)) found(*damage);
  });
}

}  // namespace parley::disk
