#include "broker/login/credential_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/system/system_category.hpp>
#include <cerrno>
#include <string_view>
#include <utility>
#include <variant>

#include "base/log.hpp"
#include "config/error.hpp"
#include "mqtt/utf8.hpp"

namespace parley::login {
namespace {

using config::ConfigError;

constexpr std::size_t kUsersSizeMax = 64 * 1024 * 1024;
constexpr std::size_t kFileSizeMax = 16 * 1024 * 1024;

/// A file's place in the settings.
struct File {
  std::string_view setting;
  const std::string& path;
  bool secret = true;
  std::size_t size_max = kFileSizeMax;
};

[[noreturn]] void refuse(const File& file, const std::string& why) {
  throw ConfigError(std::string(file.setting).append(" \"").append(file.path).append("\" ").append(why));
}

[[noreturn]] void refuse_line(const File& file, std::size_t line, std::string_view why) {
  throw ConfigError(std::string(file.setting)
                        .append(" \"")
                        .append(file.path)
                        .append("\", line ")
                        .append(std::to_string(line))
                        .append(": ")
                        .append(why));
}

std::string system_text() { return boost::system::system_category().message(errno); }

std::string read_bytes(const File& file) {
  const int descriptor = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) refuse(file, "can't be read: " + system_text());
  const auto closed =
      std::unique_ptr<const int, void (*)(const int*)>(&descriptor, [](const int* one) { ::close(*one); });
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) refuse(file, "can't be read: " + system_text());
  if (!S_ISREG(status.st_mode)) refuse(file, "is no file");
  if (file.secret && (status.st_mode & (S_IROTH | S_IWOTH)) != 0) {
    refuse(file, "is open to everybody on this machine; chmod o-rwx it");
  }
  if (!file.secret && (status.st_mode & S_IWOTH) != 0) {
    refuse(file, "may be written by everybody on this machine; chmod o-w it");
  }
  if (static_cast<std::size_t>(status.st_size) > file.size_max) refuse(file, "is too large");
  std::string bytes(static_cast<std::size_t>(status.st_size), '\0');
  std::size_t got = 0;
  while (got < bytes.size()) {
    const ssize_t count = ::read(descriptor, bytes.data() + got, bytes.size() - got);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) refuse(file, "can't be read: " + system_text());
    if (count == 0) break;  // Cut while we read; what is there has to be whole lines.
    got += static_cast<std::size_t>(count);
  }
  bytes.resize(got);
  return bytes;
}

/// Refuses what isn't UTF-8, with the line.
std::string read_text(const File& file) {
  std::string bytes = read_bytes(file);
  std::string_view rest = bytes;
  for (std::size_t line = 1; !rest.empty(); ++line) {
    const std::size_t size = std::min(rest.find('\n'), rest.size() - 1) + 1;
    if (!mqtt::is_mqtt_utf8(rest.substr(0, size))) refuse_line(file, line, "The line isn't UTF-8 text.");
    rest.remove_prefix(size);
  }
  return bytes;
}

auth::Users read_users(const LoginOptions& options) {
  if (options.users_file.empty()) return {};
  const File file{.setting = "auth.users_file", .path = options.users_file, .size_max = kUsersSizeMax};
  auto read = auth::read_users(read_text(file));
  if (const auto* error = std::get_if<auth::LineError>(&read)) refuse_line(file, error->line, error->why);
  return std::get<auth::Users>(std::move(read));
}

auth::KeySet read_keys(const LoginOptions& options) {
  if (options.keys_file.empty()) return {};
  const File file{.setting = "auth.keys_file", .path = options.keys_file};
  auto read = auth::KeySet::read(read_text(file));
  if (const auto* why = std::get_if<std::string>(&read)) refuse(file, "is no set of keys. " + *why);
  auto keys = std::get<auth::KeySet>(std::move(read));
  if (keys.keys().empty()) refuse(file, "has no key for HS256, RS256, ES256 or EdDSA");
  return keys;
}

std::shared_ptr<const auth::AccessRules> read_access(const LoginOptions& options) {
  if (options.access_file.empty()) return nullptr;
  const File file{.setting = "auth.access_file", .path = options.access_file, .secret = false};
  auto read = auth::AccessRules::read(read_text(file));
  if (const auto* error = std::get_if<auth::LineError>(&read)) refuse_line(file, error->line, error->why);
  return std::get<std::shared_ptr<const auth::AccessRules>>(std::move(read));
}

/// `read`, or what was there before.
template <class Value, class Read>
void replace(Value& value, Read read, const LoginOptions& options) {
  try {
    value = read(options);
  } catch (const ConfigError& error) {
    log::error("a file of users, keys or rights can't be taken, the old one stays", {{"error", error.what()}});
  }
}

}  // namespace

CredentialFiles::CredentialFiles(LoginOptions options) : options_(std::move(options)) {
  auto read = std::make_shared<Credentials>();
  read->users = read_users(options_);
  read->keys = read_keys(options_);
  read->access = read_access(options_);
  current_ = std::move(read);
}

CredentialsPtr CredentialFiles::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

void CredentialFiles::reload() {
  auto read = std::make_shared<Credentials>(*current());
  replace(read->users, read_users, options_);
  replace(read->keys, read_keys, options_);
  replace(read->access, read_access, options_);
  log::info(
      "users, keys and rights are loaded",
      {{"users", read->users.size()}, {"keys", read->keys.keys().size()}, {"access_file", read->access != nullptr}});
  const std::lock_guard lock(mutex_);
  current_ = std::move(read);
}

}  // namespace parley::login
