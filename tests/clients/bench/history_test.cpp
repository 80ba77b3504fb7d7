#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "clients/bench/endpoint.hpp"
#include "clients/bench/failure.hpp"
#include "clients/bench/scenarios.hpp"

namespace parley::bench {
namespace {

constexpr std::uint64_t kHead = 500;

/// A server that answers requests for pages of a conversation of kHead entries, on a thread of its own.
class ScriptedBridge {
 public:
  enum class Fault { None, Gap, Refusal, HangUp };

  explicit ScriptedBridge(Fault fault) : fault_(fault), port_(free_port()) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const Endpoint endpoint = Endpoint::resolve("127.0.0.1", port_);
    if (::bind(listener_, reinterpret_cast<const sockaddr*>(&endpoint.address), endpoint.size) != 0 ||
        ::listen(listener_, 16) != 0) {
      throw Failure("the scripted bridge can't listen");
    }
    thread_ = std::thread([this] { serve(); });
  }
  ~ScriptedBridge() {
    stopping_ = true;
    thread_.join();
    for (const auto& descriptor : descriptors_) ::close(descriptor.fd);
    ::close(listener_);
  }
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  void serve() {
    descriptors_.push_back({.fd = ::dup(listener_), .events = POLLIN, .revents = 0});
    while (!stopping_) {
      if (::poll(descriptors_.data(), descriptors_.size(), 10) <= 0) continue;
      if ((descriptors_[0].revents & POLLIN) != 0) {
        const int accepted = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        descriptors_.push_back({.fd = accepted, .events = POLLIN, .revents = 0});
      }
      for (std::size_t i = 1; i < descriptors_.size(); ++i) {
        if (descriptors_[i].revents != 0) answer(descriptors_[i]);
      }
    }
  }

  void answer(pollfd& descriptor) {
    std::array<char, 4096> buffer;
    const ssize_t count = ::recv(descriptor.fd, buffer.data(), buffer.size(), 0);
    if (count <= 0 || fault_ == Fault::HangUp) {
      ::shutdown(descriptor.fd, SHUT_RDWR);
      descriptor.events = 0;
      descriptor.revents = 0;
      return;
    }
    const std::string response = page(std::string(buffer.data(), static_cast<std::size_t>(count)));
    // In two pieces, as networks do.
    ::send(descriptor.fd, response.data(), 30, MSG_NOSIGNAL);
    ::send(descriptor.fd, response.data() + 30, response.size() - 30, MSG_NOSIGNAL);
  }

  std::string page(const std::string& request) {
    const auto number_after = [&request](const std::string& key, std::uint64_t otherwise) {
      const auto at = request.find(key);
      return at == std::string::npos ? otherwise : std::stoull(request.substr(at + key.size()));
    };
    if (fault_ == Fault::Refusal && ++answered_ > 3) return "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\n{}";
    const std::uint64_t limit = number_after("limit=", 50);
    const std::uint64_t before = number_after("before=seq:", kHead + 1);
    std::string body = "{\"data\":[";
    for (std::uint64_t seq = before - std::min(limit, before - 1); seq < before; ++seq) {
      if (fault_ == Fault::Gap && seq % 100 == 17) continue;
      body += (body.back() == '[' ? "{\"seq\":" : ",{\"seq\":") + std::to_string(seq) + ",\"text\":\"hello\"}";
    }
    body += "]}";
    return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  }

  Fault fault_;
  std::uint16_t port_;
  int listener_ = -1;
  unsigned answered_ = 0;
  std::vector<pollfd> descriptors_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

RunOptions short_run(const ScriptedBridge& bridge) {
  RunOptions run = default_run(Scenario::History);
  run.history.port = bridge.port();
  run.history.fill = 0;
  run.history.connections = 3;
  run.warmup = 0.05;
  run.seconds = 0.3;
  return run;
}

TEST(History, ReadsPagesAndChecksThem) {
  for (const bool spread : {false, true}) {
    const ScriptedBridge bridge(ScriptedBridge::Fault::None);
    RunOptions run = short_run(bridge);
    run.history.spread = spread;
    const Report report = run_history(run);
    EXPECT_TRUE(report.problems.empty()) << to_text(report);
    EXPECT_EQ(report.find("head"), kHead);
    EXPECT_GT(report.find("pages_per_second").value_or(0), 10);
    EXPECT_NEAR(report.find("entries_per_second").value_or(0) / report.find("pages_per_second").value_or(1), 50, 0.01);
    EXPECT_GT(report.find("p99_us").value_or(0), 0);
    EXPECT_EQ(report.find("wrong"), 0);
  }
}

TEST(History, TakesAConversationShorterThanAPage) {
  const ScriptedBridge bridge(ScriptedBridge::Fault::None);
  RunOptions run = short_run(bridge);
  run.history.limit = 1'000;
  run.history.spread = true;
  EXPECT_TRUE(run_history(run).problems.empty());
}

TEST(History, SeesAGapInAPage) {
  const ScriptedBridge bridge(ScriptedBridge::Fault::Gap);
  RunOptions run = short_run(bridge);
  run.history.spread = true;
  const Report report = run_history(run);
  EXPECT_GT(report.find("wrong").value_or(0), 0);
  EXPECT_FALSE(report.problems.empty());
}

TEST(History, SeesARefusal) {
  const ScriptedBridge bridge(ScriptedBridge::Fault::Refusal);
  const Report report = run_history(short_run(bridge));
  EXPECT_GT(report.find("refused").value_or(0), 0);
  ASSERT_FALSE(report.problems.empty());
  EXPECT_NE(report.problems.front().find("503"), std::string::npos);
}

TEST(History, FailsWhenTheBridgeHangsUpOrIsAway) {
  const ScriptedBridge bridge(ScriptedBridge::Fault::HangUp);
  EXPECT_THROW(run_history(short_run(bridge)), Failure);
  RunOptions nobody = short_run(bridge);
  nobody.history.port = free_port();
  EXPECT_THROW(run_history(nobody), Failure);
}

}  // namespace
}  // namespace parley::bench
