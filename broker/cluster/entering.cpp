#include "broker/cluster/entering.hpp"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

#include "base/log.hpp"
#include "broker/cluster/formation.hpp"
#include "broker/cluster/random.hpp"
#include "broker/cluster/state_keys.hpp"
#include "broker/cluster/state_values.hpp"

namespace parley::cluster {
namespace {

constexpr Duration kLookInterval = std::chrono::milliseconds(200);
constexpr std::uint32_t kStandaloneSlots = 256;
constexpr Duration kWaitingLine = std::chrono::seconds(10);

void save(const std::string& data_dir, const NodeFile& file) {
  const auto saved = save_node_file(data_dir, file);
  if (saved) return;
  throw std::runtime_error("the file that says which cluster this node belongs to can't be written to " + data_dir +
                           ": " + saved.error().message());
}

std::uint64_t random_id() { return std::max<std::uint64_t>(random_number(), 1); }

/// Looks into Redis until the formation is settled. Belongs to one thread.
class Entrance final : private RedisClientEvents {
 public:
  Entrance(asio::any_io_executor executor, const EnteringOptions& options, NodeFile& file)
      : options_(options),
        file_(file),
        keys_(options.cluster),
        executor_(executor),
        client_(executor, options.redis, keys_.nodes, keys_.hints, *this),
        formation_({.cluster_id = file.cluster_id, .slots = file.slots}, options.lease_time) {}

  asio::awaitable<void> run() {
    client_.start();
    while (!settled_ && !leaving_) {
      auto looking = look();
      const auto sight = co_await std::move(looking);
      const auto step = formation_.next(sight, std::chrono::steady_clock::now());
      if (const auto* form = std::get_if<Formation::Form>(&step)) {
        auto putting = put(form->record);
        co_await std::move(putting);
        continue;
      }
      take(step);
      if (settled_) break;
      tell_waiting(sight.has_value());
      asio::steady_timer pause(executor_, kLookInterval);
      [[maybe_unused]] const auto rested = co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    }
    auto stopping = client_.stop();
    co_await std::move(stopping);
    over_ = true;
  }

  void leave() { leaving_ = true; }
  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] bool settled() const { return settled_; }
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

 private:
  void redis_connected() override {}
  void redis_lost() override {}
  void redis_published(std::string_view /*message*/) override {}

  asio::awaitable<std::optional<Formation::Sight>> look() {
    std::vector<RedisRequest> requests;
    requests.push_back({.key = keys_.nodes, .command = {"GET", keys_.formation}});
    requests.push_back({.key = keys_.nodes, .command = {"SMEMBERS", keys_.nodes}});
    auto calling = client_.call(std::move(requests));
    const auto replies = co_await std::move(calling);
    if (!replies || (*replies)[0].is_error() || (*replies)[1].is_error()) co_return std::nullopt;
    Formation::Sight sight{.formation = (*replies)[0].text};
    RedisCommand leases{"MGET"};
    for (const RedisReply& member : (*replies)[1].elements) {
      const auto id = read_hex(member.text);
      if (id && NodeId{*id} != node_id(file_.node)) leases.push_back(keys_.lease({*id}));
    }
    if (leases.size() == 1) co_return sight;
    RedisRequest request{.key = keys_.nodes, .command = std::move(leases)};
    auto reading = client_.call(std::move(request));
    const auto read = co_await std::move(reading);
    if (!read || read->is_error()) co_return std::nullopt;
    sight.others_live = std::ranges::any_of(read->elements, [](const RedisReply& lease) { return !lease.is_nil(); });
    co_return sight;
  }

  /// What came of it shows the next look.
  asio::awaitable<void> put(FormationRecord record) {
    RedisRequest request{.key = keys_.nodes, .command = {"SET", keys_.formation, encode(record), "NX"}};
    auto calling = client_.call(std::move(request));
    [[maybe_unused]] const auto reply = co_await std::move(calling);
  }

  void take(const Formation::Step& step) {
    if (const auto* formed = std::get_if<Formation::Formed>(&step)) {
      file_.standing = NodeFile::Standing::Founder;
      log::info("the cluster is formed", {{"cluster", file_.cluster}, {"id", hex_text(formed->record.cluster_id)}});
      settled_ = true;
    } else if (std::holds_alternative<Formation::Join>(step) && options_.has_data) {
      refusal_ = "the data directory has what a standalone broker has kept, and cluster \"" + file_.cluster +
                 "\" exists already; only an empty directory may join it";
      settled_ = true;
    } else if (const auto* join = std::get_if<Formation::Join>(&step)) {
      file_.standing = NodeFile::Standing::Joined;
      file_.cluster_id = join->record.cluster_id;
      log::info("joining the cluster", {{"cluster", file_.cluster}, {"id", hex_text(file_.cluster_id)}});
      settled_ = true;
    } else if (const auto* refuse = std::get_if<Formation::Refuse>(&step)) {
      refusal_ = refuse->sentence;
      settled_ = true;
    }
  }

  void tell_waiting(bool redis_answers) {
    const Instant now = std::chrono::steady_clock::now();
    if (now < next_line_) return;
    next_line_ = now + kWaitingLine;
    if (redis_answers) {
      log::info("waiting for a cluster to join, or for nobody to be there", {{"cluster", file_.cluster}});
    } else {
      log::warn("a node without a cluster needs Redis to find one, trying again", {{"cluster", file_.cluster}});
    }
  }

  const EnteringOptions& options_;
  NodeFile& file_;
  const StateKeys keys_;
  asio::any_io_executor executor_;
  RedisClient client_;
  Formation formation_;
  Instant next_line_;
  bool leaving_ = false;
  bool settled_ = false;
  bool over_ = false;
  std::string refusal_;
};

/// False when it was stopped.
bool settle(const EnteringOptions& options, NodeFile& file, const std::function<bool()>& stopped) {
  asio::io_context loop(1);
  Entrance entrance(loop.get_executor(), options, file);
  asio::co_spawn(loop, entrance.run(), asio::detached);
  while (!entrance.over()) {
    loop.run_for(std::chrono::milliseconds(100));
    if (stopped()) entrance.leave();
  }
  if (!entrance.refusal().empty()) throw std::runtime_error(entrance.refusal());
  return entrance.settled();
}

}  // namespace

std::optional<NodeFile> enter_cluster(const EnteringOptions& options, const std::function<bool()>& stopped) {
  auto file = load_node_file(options.data_dir);
  if (file) {
    const auto why = why_another(*file, options.cluster, options.node, options.slots);
    if (why) throw std::runtime_error(*why);
  } else {
    if (options.has_data && options.slots != kStandaloneSlots) {
      throw std::runtime_error("cluster.slots is " + std::to_string(options.slots) +
                               ", but what a standalone broker has kept is divided into 256");
    }
    file = NodeFile{.cluster = options.cluster,
                    .cluster_id = random_id(),
                    .node = options.node,
                    .birth = random_id(),
                    .slots = options.slots,
                    .standing = NodeFile::Standing::Forming};
    // Before Redis knows it: a node that dies in between finds itself as the founder.
    save(options.data_dir, *file);
  }
  if (file->standing == NodeFile::Standing::Forming && !settle(options, *file, stopped)) return std::nullopt;
  ++file->starts;
  save(options.data_dir, *file);
  return file;
}

}  // namespace parley::cluster
