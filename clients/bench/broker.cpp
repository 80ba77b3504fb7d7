#include "clients/bench/broker.hpp"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "clients/bench/certificate.hpp"
#include "clients/bench/failure.hpp"
#include "clients/bench/loop.hpp"

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

constexpr Duration kStartPatience = 30s;

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace

std::string name_of(Brand brand) { return brand == Brand::Parley ? "Parley" : "mosquitto"; }

std::vector<std::string> parley_arguments(const BrokerSetup& setup, const std::string& directory, std::uint16_t port) {
  std::vector<std::string> arguments{setup.program, "--data-dir", directory + "/data"};
  if (setup.secure) {
    arguments.insert(arguments.end(), {"--config", directory + "/parley.toml"});
  } else {
    arguments.insert(arguments.end(), {"--listen", "tcp://127.0.0.1:" + std::to_string(port)});
  }
  arguments.insert(arguments.end(), {"--set", "chat.auto_create=true", "--set", "node.threads=1"});
  for (const auto& setting : setup.settings) arguments.insert(arguments.end(), {"--set", setting});
  return arguments;
}

std::string parley_configuration(const std::string& directory, std::uint16_t port, std::uint16_t tls_port) {
  const auto listener = [](const std::string& scheme, std::uint16_t number) {
    return "[[listener]]\nurl = \"" + scheme + "://127.0.0.1:" + std::to_string(number) +
           "\"\nallow_anonymous = true\n";
  };
  return listener("tcp", port) + listener("tls", tls_port) + "[[listener.certificate]]\nchain = \"" + directory +
         "/server.crt\"\nkey = \"" + directory + "/server.key\"\n";
}

std::string mosquitto_tls_configuration(const std::string& directory, std::uint16_t tls_port) {
  // As root it would become another user, who can't read our directory.
  return "user root\nlistener " + std::to_string(tls_port) + " 127.0.0.1\ncertfile " + directory +
         "/server.crt\nkeyfile " + directory + "/server.key\n";
}

std::string mosquitto_configuration(const BrokerSetup& setup, std::uint16_t port) {
  std::string text = "listener " + std::to_string(port) +
                     " 127.0.0.1\n"
                     "allow_anonymous true\n"
                     "persistence false\n"
                     "max_queued_messages 0\n"
                     "max_inflight_messages 256\n"
                     "connection_messages false\n"
                     "log_type error\n"
                     "log_type warning\n";
  for (const auto& setting : setup.settings) text += setting + "\n";
  return text;
}

RunningBroker::RunningBroker(const BrokerSetup& setup)
    : setup_(setup), directory_(setup.data_root), port_(free_port()), log_file_(directory_.path() + "/log") {
  if (!std::filesystem::exists(setup.program)) throw Failure("there is no program " + setup.program);
  if (setup.secure) {
    tls_port_ = free_port();
    write_certificate(directory_.path() + "/server.crt", directory_.path() + "/server.key");
  }
  Child::Command command{.core = setup.core, .output_file = log_file_};
  if (setup.brand == Brand::Parley) {
    if (setup.secure) {
      std::ofstream(directory_.path() + "/parley.toml") << parley_configuration(directory_.path(), port_, tls_port_);
    }
    command.arguments = parley_arguments(setup, directory_.path(), port_);
  } else {
    const std::string file = directory_.path() + "/mosquitto.conf";
    std::ofstream(file) << mosquitto_configuration(setup, port_)
                        << (setup.secure ? mosquitto_tls_configuration(directory_.path(), tls_port_) : "");
    command.arguments = {setup.program, "-c", file};
  }
  child_ = std::make_unique<Child>(command);
  await_ready();
}

void RunningBroker::await_ready() {
  const Instant deadline = Loop::now() + kStartPatience;
  // Parley says when it takes clients; its port alone would be open a little earlier.
  while (setup_.brand == Brand::Parley && read_text(log_file_).find("ready") == std::string::npos) {
    if (!child_->alive()) throw Failure(name_of(setup_.brand) + " ended at once: " + log_tail());
    if (Loop::now() >= deadline) throw Failure(name_of(setup_.brand) + " isn't ready in time: " + log_tail());
    std::this_thread::sleep_for(10ms);
  }
  const Endpoint endpoint = Endpoint::resolve("127.0.0.1", port_);
  try {
    wait_until_accepting(endpoint, deadline, [this] { return child_->alive(); });
  } catch (const Failure& failure) {
    throw Failure(name_of(setup_.brand) + ": " + failure.what() + "; its log ends with: " + log_tail());
  }
}

Target RunningBroker::target() const {
  return {
      .name = name_of(setup_.brand), .host = "127.0.0.1", .port = port_, .tls_port = tls_port_, .pid = child_->pid()};
}

std::string RunningBroker::log_tail() const {
  constexpr std::size_t kTailSize = 500;
  std::string text = read_text(log_file_);
  text.erase(text.find_last_not_of(" \n") + 1);
  if (text.size() > kTailSize) text.erase(0, text.size() - kTailSize);
  return text.empty() ? "(it said nothing)" : text;
}

}  // namespace parley::bench
