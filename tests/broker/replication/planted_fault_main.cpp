#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

#include "tests/broker/replication/cluster.hpp"
#include "tests/simulation/seeds.hpp"

/// Linked with a room in which one line is wrong: 0 when the simulation finds that out within 2,000 seeds. A check that
/// stops the process finds it out, too.
namespace parley::replication::simulation {
namespace {

constexpr std::uint64_t kSeedsMax = 2'000;

int find_breach() {
  for (const std::uint64_t seed : parley::simulation::seeds(kSeedsMax)) {
    Cluster cluster(seed);
    std::printf("\rseed %lu: ", seed);
    std::fflush(stdout);  // Before a check may stop the process.
    cluster.run();
    if (cluster.breach().empty()) continue;
    std::printf("%s\n", cluster.breach().c_str());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace parley::replication::simulation

int main() {
  const pid_t child = fork();
  if (child < 0) return 2;
  if (child == 0) {
    const int result = parley::replication::simulation::find_breach();
    std::fflush(stdout);
    _exit(result);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return 2;
  const bool caught = WIFSIGNALED(status) || WEXITSTATUS(status) == 1;
  std::printf(caught ? "caught\n" : "not caught\n");
  return caught ? 0 : 1;
}
