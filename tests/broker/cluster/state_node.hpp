#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "broker/cluster/cluster_state.hpp"

/// One node's view of the cluster, on a thread of its own, and what it was told.
namespace parley::cluster::test {

using namespace std::chrono_literals;

class StateNode final : public ClusterStateEvents {
 public:
  StateNode(const std::string& name, RedisOptions redis, std::uint64_t incarnation = 1)
      : id(node_id(name)),
        state(loop_.get_executor(),
              {.cluster = "chat.example",
               .self = {.node = id,
                        .name = name,
                        .host = "127.0.0.1",
                        .port = 7000,
                        .incarnation = incarnation,
                        .version = "0.1.0"},
               .lease_time = 1500ms,
               .poll_interval = 200ms},
              std::move(redis), *this),
        busy_(loop_.get_executor()) {
    state.start();
    thread_ = std::thread([this] { loop_.run(); });
  }
  ~StateNode() override {
    boost::asio::co_spawn(loop_, state.stop(), boost::asio::use_future).get();
    busy_.reset();
    thread_.join();
  }

  /// Runs `action` on the state's thread and waits for it.
  void run(const std::function<void()>& action) {
    boost::asio::co_spawn(loop_, call(action), boost::asio::use_future).get();
  }
  template <class T>
  T ask(boost::asio::awaitable<T> question) {
    std::optional<T> answer;
    boost::asio::co_spawn(loop_, keep(std::move(question), &answer), boost::asio::use_future).get();
    return *std::move(answer);
  }
  Result<std::optional<SessionLocation>> find(Slot slot, const std::string& client_id) {
    return ask(state.find_session(slot, client_id));
  }

  bool wait(const std::function<bool()>& condition, std::chrono::milliseconds limit = 15s) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, limit, condition);
  }
  /// What `read` says, while nobody changes anything.
  template <class Read>
  auto look(Read read) {
    const std::lock_guard lock(mutex);
    return read();
  }
  bool wait_alive(std::size_t nodes) {
    return wait([&] { return alive.size() == nodes; });
  }
  /// Redis knows everything that this node has to say.
  bool wait_announced(std::chrono::milliseconds limit = 15s) {
    const auto due = std::chrono::steady_clock::now() + limit;
    bool announced = false;
    while (!announced && std::chrono::steady_clock::now() < due) {
      run([&] { announced = state.redis_is_reachable() && state.is_announced(); });
    }
    return announced;
  }

  void nodes_changed(const std::map<NodeId, NodeLease>& now) override {
    tell([&] { alive = now; });
  }
  void slots_changed(const std::vector<SlotClaim>& claims) override {
    tell([&] {
      for (const SlotClaim& claim : claims) slots[claim.slot] = claim;
    });
  }
  void claim_taken(Slot slot, Term term) override {
    tell([&] { taken[slot] = term; });
  }
  void claim_refused(const SlotClaim& kept) override {
    tell([&] { refused[kept.slot] = kept; });
  }
  void filters_replaced(NodeId node, const std::vector<std::string>& all) override {
    tell([&] {
      filters[node] = std::set<std::string>(all.begin(), all.end());
      ++replacements;
    });
  }
  void filters_changed(NodeId node, const std::vector<std::string>& added,
                       const std::vector<std::string>& removed) override {
    tell([&] {
      for (const auto& filter : added) filters[node].insert(filter);
      for (const auto& filter : removed) filters[node].erase(filter);
      ++hints;
    });
  }
  void session_elsewhere(const std::string& client_id, const SessionLocation& location) override {
    tell([&] { elsewhere[client_id] = location; });
  }
  void redis_reachable(bool now) override {
    tell([&] {
      reachable = now;
      ++(now ? connects : losses);
    });
  }
  void duplicate_node(const NodeLease& other) override {
    tell([&] { duplicates.push_back(other); });
  }

  const NodeId id;
  std::mutex mutex;
  std::condition_variable changed;
  std::map<NodeId, NodeLease> alive;
  std::map<Slot, SlotClaim> slots;
  std::map<Slot, Term> taken;
  std::map<Slot, SlotClaim> refused;
  std::map<NodeId, std::set<std::string>> filters;
  std::map<std::string, SessionLocation> elsewhere;
  std::vector<NodeLease> duplicates;
  int replacements = 0;
  int hints = 0;
  int connects = 0;
  int losses = 0;
  bool reachable = false;

 private:
  static boost::asio::awaitable<void> call(const std::function<void()>& action) {
    action();
    co_return;
  }
  template <class T>
  static boost::asio::awaitable<void> keep(boost::asio::awaitable<T> question, std::optional<T>* to) {
    to->emplace(co_await std::move(question));
  }
  template <class Change>
  void tell(Change change) {
    const std::lock_guard lock(mutex);
    change();
    changed.notify_all();
  }

  boost::asio::io_context loop_{1};

 public:
  ClusterState state;

 private:
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> busy_;
  std::thread thread_;
};

}  // namespace parley::cluster::test
