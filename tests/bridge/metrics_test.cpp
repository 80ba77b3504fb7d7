#include "bridge/metrics.hpp"

#include <gtest/gtest.h>

namespace parley::bridge {
namespace {

using namespace std::chrono_literals;

TEST(Metrics, AreSummedOverWorkers) {
  Metrics first;
  Metrics second;
  first.count_request(200, 30us);
  first.count_request(404, 200us);
  second.count_request(200, 2h);
  second.connections = 3;
  std::string text;
  append_metrics(text, {&first, &second});
  for (const auto* line :
       {"parley_bridge_requests_total{code=\"200\"} 2\n", "parley_bridge_requests_total{code=\"404\"} 1\n",
        "parley_bridge_request_seconds_bucket{le=\"0.00005\"} 1\n",
        "parley_bridge_request_seconds_bucket{le=\"0.00025\"} 2\n",
        "parley_bridge_request_seconds_bucket{le=\"60\"} 2\n", "parley_bridge_request_seconds_bucket{le=\"+Inf\"} 3\n",
        "parley_bridge_request_seconds_count 3\n", "parley_bridge_request_seconds_sum 7200.000230000\n",
        "parley_bridge_connections 3\n", "# TYPE parley_bridge_request_seconds histogram\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
}

}  // namespace
}  // namespace parley::bridge
