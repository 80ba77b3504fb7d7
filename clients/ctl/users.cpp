#include <CLI/CLI.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>

#include "base/name.hpp"
#include "broker/auth/password_hash.hpp"
#include "broker/auth/scram.hpp"
#include "broker/auth/users_file.hpp"
#include "clients/ctl/secret.hpp"
#include "clients/ctl/verb.hpp"
#include "config/command_line.hpp"
#include "config/config.hpp"
#include "mqtt/utf8.hpp"

namespace parley::ctl {
namespace {

struct UsersOptions {
  std::string file;
  std::string config;
  std::string name;
  bool without_scram = false;

  [[nodiscard]] std::string path() const {
    if (!file.empty()) return file;
    if (config.empty()) throw std::runtime_error("say which file by --file, or --config for its auth.users_file");
    auto settings = config::standard_config();
    config::read_file(settings, read_file(config, false), config);
    if (settings.auth.users_file.empty()) throw std::runtime_error("\"" + config + "\" has no auth.users_file");
    return settings.auth.users_file;
  }
};

std::shared_ptr<UsersOptions> declare_file(CLI::App& command) {
  auto options = std::make_shared<UsersOptions>();
  command.add_option("--file", options->file, "The users file")->option_text("FILE");
  command.add_option("--config", options->config, "The broker's configuration, which names it")->option_text("FILE");
  return options;
}

std::shared_ptr<UsersOptions> declare_user(CLI::App& command) {
  auto options = declare_file(command);
  command.add_option("name", options->name, "The user")->required()->option_text("NAME");
  return options;
}

auth::Users users_of(const std::string& text, const std::string& path) {
  auto read = auth::read_users(text);
  if (const auto* error = std::get_if<auth::LineError>(&read)) {
    throw std::runtime_error("\"" + path + "\", line " + std::to_string(error->line) + ": " + std::string(error->why));
  }
  return std::get<auth::Users>(std::move(read));
}

auth::UserSecrets secrets_of(const std::string& password, bool without_scram) {
  if (password.empty()) throw std::runtime_error("the password is empty");
  auto hash = auth::hash_password(password, random_bytes(auth::kSaltSize));
  if (!hash) throw std::runtime_error("there is not enough memory for the hash");
  auth::UserSecrets secrets{.hash = *std::move(hash), .scram = {}};
  if (!without_scram) {
    secrets.scram = auth::write_scram_verifier(auth::make_scram_verifier(password, random_bytes(auth::kSaltSize)));
  }
  return secrets;
}

/// Writes the user's line, who must be there already, or not at all.
int set_password(const UsersOptions& options, bool is_there) {
  if (!mqtt::is_mqtt_utf8(options.name) || !is_name(options.name)) {
    throw std::runtime_error("\"" + options.name + "\" is no valid user name");
  }
  const std::string path = options.path();
  FileChange change(path);
  if (users_of(change.text(), path).contains(options.name) != is_there) {
    throw std::runtime_error("\"" + options.name + "\" is " + (is_there ? "not " : "already ") + "in \"" + path + "\"");
  }
  const auto secrets = secrets_of(read_password(), options.without_scram);
  change.commit(auth::replace_user(change.text(), options.name, secrets));
  return 0;
}

}  // namespace

std::function<int()> declare_users_add(CLI::App& command) {
  auto options = declare_user(command);
  command.add_flag("--no-scram", options->without_scram, "Keep nothing for SCRAM-SHA-256");
  return [options] { return set_password(*options, false); };
}

std::function<int()> declare_users_passwd(CLI::App& command) {
  auto options = declare_user(command);
  command.add_flag("--no-scram", options->without_scram, "Keep nothing for SCRAM-SHA-256");
  return [options] { return set_password(*options, true); };
}

std::function<int()> declare_users_remove(CLI::App& command) {
  return [options = declare_user(command)] {
    const std::string path = options->path();
    FileChange change(path);
    if (!users_of(change.text(), path).contains(options->name)) {
      throw std::runtime_error("\"" + options->name + "\" is not in \"" + path + "\"");
    }
    change.commit(auth::replace_user(change.text(), options->name, {}));
    return 0;
  };
}

std::function<int()> declare_users_list(CLI::App& command) {
  return [options = declare_file(command)] {
    const std::string path = options->path();
    for (const auto& [name, secrets] : users_of(read_file(path, false), path)) {
      std::string line = name;
      line.append(secrets.hash.empty() ? "" : "\tpassword").append(secrets.scram.empty() ? "" : "\tscram").append("\n");
      print(line);
    }
    return 0;
  };
}

}  // namespace parley::ctl
