#include <pthread.h>
#include <sched.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "base/log_thread.hpp"
#include "base/notify.hpp"
#include "base/version.hpp"
#include "bridge/bridge.hpp"
#include "config/command_line.hpp"

namespace {

using parley::bridge::BridgeOptions;

const parley::config::Program kProgram{.name = "parley-bridge",
                                       .version = parley::version(),
                                       .description = "Serves a Parley broker's conversations over HTTP.",
                                       .listen_setting = "bridge.listen"};

unsigned usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(CPU_COUNT(&set));
}

BridgeOptions options_of(const parley::config::Config& config) {
  const auto listen = parley::config::read_url("bridge.listen", "http", config.bridge.listen);
  const auto broker = parley::config::read_url("bridge.broker", "tcp", config.bridge.broker);
  BridgeOptions options;
  options.listen_host = listen.host;
  options.listen_port = listen.port;
  options.data_dir = config.node.data_dir;
  options.readers_max = static_cast<unsigned>(config.storage.readers);
  options.threads = config.bridge.threads != 0 ? static_cast<unsigned>(config.bridge.threads) : usable_cores();
  options.connections_max = config.bridge.max_connections;
  options.allow_anonymous = config.bridge.allow_anonymous;
  options.authenticates =
      !config.auth.users_file.empty() || !config.auth.keys_file.empty() || !config.auth.http.url.empty();
  options.chat_root = config.chat.root;
  options.token_user_claim = config.auth.token_user_claim;
  options.broker.host = broker.host;
  options.broker.port = broker.port;
  // Base64 and JSON around a message of full size, and a little for the rest of the object.
  options.request.body_max = config.chat.max_message_size * 2 + 64 * 1024;
  return options;
}

void configure_log(const parley::config::Config& config) {
  auto level = parley::log::Level::Info;
  parley::log::read_level(config.log.level, level);
  const auto format = config.log.format == "json"      ? parley::log::Format::Json
                      : config.log.format == "journal" ? parley::log::Format::Journal
                                                       : parley::log::Format::Text;
  parley::log::configure(level, format);
}

/// The signals that the program answers, blocked in every thread: this one waits for them.
sigset_t awaited_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void wait_for_the_end(const sigset_t& signals) {
  for (;;) {
    int signal = 0;
    if (sigwait(&signals, &signal) != 0) continue;
    if (signal != SIGHUP) {
      parley::log::info("stopping", {{"signal", signal == SIGINT ? "SIGINT" : "SIGTERM"}});
      return;
    }
    parley::log::info("SIGHUP: there is nothing to load again in this version");
  }
}

int run(std::vector<std::string> arguments) {
  const auto command_line =
      parley::config::read_command_line(kProgram, std::move(arguments), parley::config::process_environment());
  std::fputs(command_line.output.c_str(), stdout);
  if (!command_line.config) return 0;
  const auto& config = *command_line.config;
  configure_log(config);
  std::signal(SIGPIPE, SIG_IGN);
  const sigset_t signals = awaited_signals();
  const parley::log::LogThread log_thread(STDERR_FILENO);

  const BridgeOptions options = options_of(config);
  parley::bridge::Bridge bridge(options);
  bridge.start();
  parley::log::info("ready", {{"version", parley::version()},
                              {"listen", config.bridge.listen},
                              {"port", bridge.port()},
                              {"broker", config.bridge.broker},
                              {"data_dir", config.node.data_dir},
                              {"threads", options.threads}});
  parley::notify_supervisor("READY=1");

  wait_for_the_end(signals);
  parley::notify_supervisor("STOPPING=1");
  bridge.stop();
  parley::log::info("stopped");
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    return run({arguments + 1, arguments + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "parley-bridge: %s\n", error.what());
    return 1;
  }
}
