#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "broker/cluster/peer_links.hpp"
#include "tests/broker/cluster/local_node.hpp"

/// One node's links and what they told.
namespace parley::cluster::test {

using namespace std::chrono_literals;

class LinkNode final : public PeerLinkEvents {
 public:
  explicit LinkNode(LocalNode self, PeerLinkOptions options = {}) : links(std::move(self), std::move(options), *this) {
    const auto started = links.start();
    EXPECT_TRUE(started) << started.error().message();
  }
  ~LinkNode() override {
    links.stop();
    kept.clear();
  }

  /// True once `condition` holds; looked at whenever something was told.
  bool wait(const std::function<bool()>& condition, std::chrono::milliseconds limit = 10s) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, limit, condition);
  }
  bool wait_connected(std::uint64_t peer, std::size_t times = 1) {
    return wait([&] { return ups[{peer}].size() >= times && is_up[{peer}]; });
  }
  bool wait_disconnected(std::uint64_t peer) {
    return wait([&] { return !ups[{peer}].empty() && !is_up[{peer}]; });
  }
  std::vector<std::string> messages(std::uint64_t peer, Channel channel) {
    const std::lock_guard lock(mutex);
    return inbox[{peer, channel}];
  }

  void connected(const LinkUp& up) override {
    tell([&] {
      ups[up.peer.id].push_back(up);
      is_up[up.peer.id] = true;
    });
  }
  void disconnected(NodeId peer, std::string_view why) override {
    tell([&] {
      is_up[peer] = false;
      whys.emplace_back(why);
    });
  }
  void keep_messages(const Delivery& delivery) {
    for (std::size_t i = 0; i < delivery.size(); ++i) {
      inbox[{delivery.peer.value, delivery.channel}].emplace_back(delivery.message(i));
    }
  }
  void received(Delivery delivery) override {
    tell([&] {
      keep_messages(delivery);
      if (keeps) kept.push_back(std::move(delivery));
    });
  }
  void writable(NodeId peer, Channel channel) override {
    tell([&] { writables[{peer.value, channel}]++; });
  }

  std::mutex mutex;
  std::condition_variable changed;
  std::map<NodeId, std::vector<LinkUp>> ups;
  std::map<NodeId, bool> is_up;
  std::vector<std::string> whys;
  std::map<std::pair<std::uint64_t, Channel>, std::vector<std::string>> inbox;
  std::map<std::pair<std::uint64_t, Channel>, int> writables;
  std::vector<Delivery> kept;
  bool keeps = false;  ///< Deliveries aren't released.

  PeerLinks links;

 private:
  template <class Change>
  void tell(Change change) {
    const std::lock_guard lock(mutex);
    change();
    changed.notify_all();
  }
};

}  // namespace parley::cluster::test
