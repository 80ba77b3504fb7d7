#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "clients/bench/endpoint.hpp"
#include "clients/bench/traffic.hpp"

/// The command line as values.
namespace parley::bench {

enum class Scenario : std::uint8_t { Pairs, Fanout, Latency, Idle, Absent, Slow, History, Tls, Storm };
std::string name_of(Scenario scenario);

/// A broker to be measured.
struct Target {
  std::string name;  ///< For reports; empty: `host:port`.
  std::string host = "127.0.0.1";
  std::uint16_t port = 1883;
  std::vector<std::uint16_t> more_ports;  ///< Of the other nodes of a cluster. Pairs, Fanout and Latency.
  std::uint16_t tls_port = 8883;
  std::optional<pid_t> pid;  ///< Its process; without it, whoever listens on the port of this machine.
};

struct HistoryOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 8080;
  std::optional<pid_t> pid;
  std::size_t connections = 8;
  std::size_t fill = 1'000;   ///< Messages sent into the conversation first.
  std::size_t limit = 50;     ///< Entries of a page.
  bool spread = false;        ///< Pages from all over the conversation instead of the newest.
  std::string authorization;  ///< Value of the Authorization header.
};

/// One run of one scenario.
struct RunOptions {
  Scenario scenario = Scenario::Pairs;
  Target target;
  TrafficShape traffic;
  double warmup = 1;
  double seconds = 5;
  std::uint64_t messages = 0;                       ///< At most so many a stream in the measured time; 0: no limit.
  std::size_t connections = 1'000;                  ///< Idle, Tls, Storm.
  TlsVersion tls_version = TlsVersion::V1_3;        ///< Tls, Storm.
  std::vector<std::size_t> members = {10, 10'000};  ///< Absent: one conversation each.
  HistoryOptions history;
};

struct CompareOptions {
  std::vector<std::string> only;  ///< Names of cases; empty: all.
  unsigned rounds = 3;
  double warmup = 1;
  double seconds = 5;
  std::string parleyd;  ///< Path; empty: beside this program.
  std::string mosquitto = "/usr/sbin/mosquitto";
  std::vector<std::string> settings;            ///< `key=value` for parleyd.
  std::vector<std::string> mosquitto_settings;  ///< Further lines of mosquitto's configuration.
  std::string data_root;                        ///< Where data directories are made; empty: $TMPDIR.
  bool strict = false;                          ///< A missed target is a failure, too.
};

struct Options {
  std::optional<CompareOptions> compare;  ///< Else `run`.
  RunOptions run;
  bool json = false;
  std::optional<int> core;  ///< The load generator's.
};

/// What is usual for the scenario.
RunOptions default_run(Scenario scenario);

struct ParsedOptions {
  std::optional<Options> options;  ///< Nothing when there is nothing to run: a mistake, or help was asked for.
  int exit_code = 0;               ///< 2 for a mistake.
  std::string output;              ///< For standard output.
  std::string error;               ///< For standard error.
};
/// `arguments` without the program's name.
ParsedOptions parse_options(std::vector<std::string> arguments);

}  // namespace parley::bench
