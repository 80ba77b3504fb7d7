#include <signal.h>
#include <sys/resource.h>

#include <iostream>

#include "clients/bench/compare.hpp"
#include "clients/bench/failure.hpp"
#include "clients/bench/options.hpp"
#include "clients/bench/scenarios.hpp"

namespace parley::bench {
namespace {

/// Ten thousand connections need as many descriptors, here and in the brokers that we start.
void raise_open_files_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int run(const Options& options) {
  raise_open_files_limit();
  ::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets that may be closed.
  if (options.compare) {
    const Comparison comparison = compare(*options.compare, options.core, std::cerr);
    std::cout << (options.json ? to_json(comparison) + "\n" : to_text(comparison));
    return exit_code_of(comparison, options.compare->strict);
  }
  if (options.core) pin_to_core(0, *options.core);
  const Report report = run_scenario(options.run);
  std::cout << (options.json ? to_json(report) + "\n" : to_text(report));
  return report.problems.empty() ? 0 : 1;
}

}  // namespace
}  // namespace parley::bench

int main(int argc, char** argv) {
  const auto parsed = parley::bench::parse_options({argv + 1, argv + argc});
  std::cout << parsed.output;
  std::cerr << parsed.error;
  if (!parsed.options) return parsed.exit_code;
  try {
    return parley::bench::run(*parsed.options);
  } catch (const std::exception& failure) {
    std::cerr << "parley-bench: " << failure.what() << "\n";
    return 1;
  }
}
