#include "broker/disk/log_guard.hpp"

#include <utility>

#include "base/log.hpp"
#include "storage/open_failure.hpp"

namespace parley::disk {
namespace {

using storage::LogDamage;

[[noreturn]] void refuse(const std::string& directory, const LogDamage& damage) {
  throw storage::OpenFailure(StorageError::CorruptRecord,
                             directory + " is damaged (" + damage.what +
                                 ") and can't be begun anew: take the node out of its cluster (parleyctl nodes remove, "
                                 "on another node) and give it an empty data directory");
}

void say_alone(const LogDamage& damage) {
  log::error("the log is damaged and no other nodes have what is in it, passing over what can't be read",
             {{"what", damage.what}});
}

}  // namespace

LogGuard::LogGuard(std::shared_ptr<storage::Files> files, NodeId self, std::function<void()> stop)
    : files_(std::move(files)), self_(self), stop_(std::move(stop)) {}

bool LogGuard::stopped() const {
  const std::lock_guard lock(mutex_);
  return stopped_;
}

bool LogGuard::found(const LogDamage& damage) {
  const std::lock_guard lock(mutex_);
  if (stopped_ || alone_) return stopped_;
  const auto elsewhere = storage::others_have_the_log(*files_, self_);
  // What can't be read here can't be weighed here either; the next start says what is to be done.
  stopped_ = !elsewhere || *elsewhere;
  alone_ = !stopped_;
  if (alone_) {
    say_alone(damage);
    return false;
  }
  log::error(
      "the log is damaged, this node stops: its next start mends that, if need be with what the other nodes have",
      {{"what", damage.what}});
  if (const auto noted = storage::note_damage(files_->directory(), damage); !noted) {
    log::error("that the log is damaged can't be noted, the next start may not know it",
               {{"error", noted.error().message()}});
  }
  stop_();
  return true;
}

std::shared_ptr<storage::Files> open_or_mend(const std::string& directory, const storage::Files::Options& options,
                                             NodeId self, const std::optional<LogDamage>& damage) {
  // Before it is opened: that alone may end the process.
  if (damage && !damage->readable) refuse(directory, *damage);
  auto files = storage::Files::open_to_write(directory, options);
  if (!damage) return files;
  if (damage->in_store) {
    log::error("the log is damaged where the store has it too, cutting it behind that", {{"what", damage->what}});
    if (const auto cut = storage::cut_log_to_store(*files); !cut) refuse(directory, *damage);
    storage::forget_damage(directory);
    return files;
  }
  const auto elsewhere = storage::others_have_the_log(*files, self);
  if (!elsewhere) refuse(directory, *damage);
  if (*elsewhere) {
    log::error(
        "the log is damaged, beginning it anew: what it lacks comes from the other nodes, until then it leads nothing",
        {{"what", damage->what}});
    if (const auto begun = storage::begin_log_anew(*files); !begun) refuse(directory, *damage);
  } else {
    say_alone(*damage);
  }
  storage::forget_damage(directory);
  return files;
}

}  // namespace parley::disk
