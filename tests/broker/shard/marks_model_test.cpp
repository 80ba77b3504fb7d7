#include <algorithm>
#include <map>
#include <set>

#include "tests/broker/shard/scene.hpp"

/// Marks and unread counts by chance, compared with a model that knows nothing but the rules of docs/PROTOCOL.md.
namespace parley::shard {
namespace {

struct Modelled {
  bool is_member = false;
  std::uint64_t joined = 0;
  std::uint64_t read = 0;
};

class MarksWorld {
 public:
  explicit MarksWorld(std::uint64_t seed) : world_(seed, options(seed)), dice_(seed) {
    if (seed % 2 == 0) world_.store().materialise_only_when_told();
    for (const std::string& user : kUsers) connect(user);
    command("ann", R"({"op":"create","history":"all"})");
    kinds_.push_back('c');
    if (const auto head = number(command("ann", kInfo), "\"head\":"); head > 1) kinds_.push_back('c');
    users_["ann"] = {true, 1, 1};
  }

  void step() {
    const std::string user = kUsers[dice_.below(kUsers.size())];
    Modelled& one = users_[user];
    switch (dice_.below(10)) {
      case 0:
      case 1:
      case 2: {
        const auto reason = say(world_, world_.client(user), "chat/tea/msg", "hello").reason();
        EXPECT_EQ(reason == ReasonCode::Success, one.is_member);
        if (!one.is_member) break;
        kinds_.push_back('m');
        one.read = kinds_.size();
        break;
      }
      case 3:
      case 4:
      case 5: {
        const std::uint64_t seq = dice_.below(kinds_.size() + 2);
        const auto reason = say(world_, world_.client(user), "chat/tea/read", std::to_string(seq)).reason();
        EXPECT_EQ(reason == ReasonCode::Success, one.is_member && seq <= kinds_.size());
        if (reason == ReasonCode::Success) one.read = std::max(one.read, seq);
        break;
      }
      case 6:
        if (user == "ann") break;
        command("ann", R"({"op":")" + std::string(one.is_member ? "remove" : "add") + R"(","user":")" + user + "\"}");
        kinds_.push_back('c');
        one = {!one.is_member, kinds_.size(), kinds_.size()};
        break;
      case 7: world_.store().materialise(); break;
      case 8: world_.advance(std::chrono::milliseconds(dice_.below(40'000))); break;
      case 9:
        if (dice_.below(3) != 0) break;
        world_.crash();
        world_.start();
        for (const std::string& again : kUsers) connect(again);
        break;
      default: break;
    }
  }

  void compare() {
    const std::string all = command("ann", kInfo);
    for (const std::string& user : kUsers) {
      const Modelled& one = users_[user];
      const std::string info = command(user, kInfo);
      EXPECT_EQ(info.starts_with("{\"ok\":true"), one.is_member) << user << ": " << info;
      if (!one.is_member) continue;
      EXPECT_EQ(number(info, "\"head\":"), kinds_.size());
      EXPECT_EQ(number(info, "\"read\":"), one.read) << user << ": " << info;
      const auto unread = std::count(kinds_.begin() + static_cast<std::ptrdiff_t>(one.read), kinds_.end(), 'm');
      EXPECT_EQ(number(info, "\"unread\":"), static_cast<std::uint64_t>(unread)) << user << ": " << info;
      const auto at = all.find("{\"user\":\"" + user);
      ASSERT_NE(at, std::string::npos);
      EXPECT_EQ(number(all.substr(at), "\"read\":"), one.read) << "as others see " << user;
    }
    EXPECT_TRUE(world_.store().violations().empty());
  }

 private:
  inline static const std::vector<std::string> kUsers{"ann", "bob", "cat", "dan"};
  static constexpr const char* kInfo = R"({"op":"info"})";

  static WorldOptions options(std::uint64_t seed) {
    WorldOptions options;
    options.shard.shards = static_cast<std::uint32_t>(1 + seed % 3);
    options.orderly = seed % 4 != 0;
    options.store_latency = std::chrono::milliseconds(seed % 5 * 10);
    return options;
  }

  void connect(const std::string& user) {
    join(world_, user);
    follow(world_, world_.client(user), "client/" + user + "/reply");
  }

  std::string command(const std::string& user, const std::string& json) {
    auto& client = world_.client(user);
    const std::size_t before = client.received.size();
    client.publish("chat/tea/ctl", json);
    world_.settle();
    for (std::size_t i = client.received.size(); i-- > before;) {
      if (client.received[i].topic.starts_with("client/")) return client.received[i].payload;
    }
    return "";
  }

  static std::uint64_t number(const std::string& text, std::string_view name) {
    const auto at = text.find(name);
    return at == std::string::npos ? ~std::uint64_t{0} : std::stoull(text.substr(at + name.size()));
  }

  World world_;
  simulation::Dice dice_;
  std::string kinds_;  ///< Of each entry: m(essage) or another one.
  std::map<std::string, Modelled> users_;
};

TEST(MarksModel, EveryMarkIsWhatTheModelSays) {
  for (const std::uint64_t seed : simulation::seeds(100)) {
    MarksWorld world(seed);
    for (int i = 0; i < 60 && !testing::Test::HasFailure(); ++i) {
      world.step();
      world.compare();
    }
    ASSERT_FALSE(testing::Test::HasFailure())
        << "replay: PARLEY_SEED=" << seed << " shard_test --gtest_filter=MarksModel.*";
  }
}

}  // namespace
}  // namespace parley::shard
