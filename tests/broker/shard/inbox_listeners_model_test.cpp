#include <algorithm>
#include <map>
#include <set>

#include "tests/broker/shard/group_scene.hpp"
#include "tests/simulation/dice.hpp"
#include "tests/simulation/seeds.hpp"

/// Who types, marks and presence of all conversations by chance, over three nodes: nothing comes to whom it isn't for,
/// and what came last is true.
namespace parley::shard {
namespace {

const std::vector<std::string> kUsers{"ann", "bob", "cat", "dan", "eve"};
const std::vector<std::string> kGroups{"tea", "gin", "rum"};

class Passing {
 public:
  explicit Passing(std::uint64_t seed) : nodes_(3, closed(2), closed(3)), dice_(seed) {
    enter(nodes_, 0, "own");
    for (const std::string& group : kGroups) command(nodes_, own(), group, R"({"op":"create"})");
    for (const std::string& user : kUsers) arrive(user);
  }

  void step() {
    const std::string user = kUsers[dice_.below(kUsers.size())];
    const std::string group = kGroups[dice_.below(kGroups.size())];
    before_ = members_;
    for (const std::string& one : kUsers) client(one).received.clear();
    const auto what = dice_.below(9);
    done_.append("\n").append(std::to_string(what)).append(" ").append(user).append(" ").append(group);
    switch (what) {
      case 0:
      case 1: {
        auto& members = members_[group];
        const bool there = members.contains(user);
        const std::string op = there ? "remove" : "add";
        EXPECT_EQ(word_of(command(nodes_, own(), group, R"({"op":")" + op + R"(","user":")" + user + "\"}")), "ok");
        there ? members.erase(user) : members.insert(user).second;
        for (auto& [name, state] : here_) {
          state.marks[group].erase(user);
          if (name == user) state.marks[group].clear();
        }
        break;
      }
      case 2:
        if (here_[user].connected) client(user).publish("chat/" + group + "/msg", "hello");
        break;
      case 3:
        if (here_[user].connected) client(user).publish("chat/" + group + "/read", std::to_string(1 + dice_.below(9)));
        break;
      case 4:
        if (here_[user].connected) client(user).publish("chat/" + group + "/typing", "");
        break;
      case 5:
        if (!here_[user].connected) break;
        here_[user].quiet = !here_[user].quiet;
        client(user).publish("client/" + user + "/mode", here_[user].quiet ? "quiet" : "active");
        break;
      case 6:
        if (here_[user].connected) {
          client(user).drop();
          here_[user].connected = false;
        } else {
          arrive(user);
        }
        break;
      case 7:
        if (here_[user].connected)
          client(user).publish("presence/" + user, "status " + std::to_string(dice_.below(99)));
        break;
      default: nodes_.advance(std::chrono::milliseconds(dice_.below(15'000)));
    }
    nodes_.settle();
    for (const std::string& one : kUsers) look(one);
  }

  void judge() {
    nodes_.advance(20s);
    for (const std::string& one : kUsers) look(one);
    for (const std::string& group : kGroups) {
      const std::string info = command(nodes_, own(), group, R"({"op":"info"})");
      for (const std::string& watcher : members_[group]) {
        if (!here_[watcher].connected || here_[watcher].quiet) continue;
        for (const std::string& member : members_[group]) {
          const std::string& marks = here_[watcher].marks[group][member];
          const auto place = info.find("\"user\":\"" + member + "\"");
          ASSERT_NE(place, std::string::npos) << info;
          const std::string wanted = info.substr(place, info.find('}', place) - place);
          // Of one who has joined since nothing comes until something moves.
          if (!marks.empty()) {
            EXPECT_TRUE(has(wanted, marks.substr(marks.find(",\"read\""), marks.size() - 1 - marks.find(",\"read\""))))
                << watcher << " of " << group << ": " << marks << ", and it is " << wanted;
          }
          const bool online = here_[member].connected;
          EXPECT_TRUE(has(here_[watcher].presence[member], online ? "online" : "offline"))
              << watcher << " of " << member << ": " << here_[watcher].presence[member] << done_;
        }
      }
    }
  }

 private:
  struct State {
    bool connected = false;
    bool quiet = false;
    std::size_t node = 0;
    std::map<std::string, std::map<std::string, std::string>> marks;  ///< By group and member, as they came last.
    std::map<std::string, std::string> presence;
  };
  using Members = std::map<std::string, std::set<std::string>>;

  simulation::Client& own() { return nodes_.at(0).client("own"); }
  simulation::Client& client(const std::string& user) { return nodes_.at(here_[user].node).client(user); }

  /// At some node, in a session that is new or goes on.
  void arrive(const std::string& user) {
    State& state = here_[user];
    state = {.connected = true, .quiet = false, .node = dice_.below(3), .marks = {}, .presence = {}};
    client(user).received.clear();
    join(nodes_, state.node, user, lasting(dice_.below(2) == 0));
    if (client(user).connack()->session_present) return;
    for (const char* filter : {"chat/+/typing", "chat/+/read", "presence/+"}) {
      EXPECT_EQ(follow(nodes_, client(user), filter), ReasonCode::GrantedQos1);
    }
  }

  [[nodiscard]] bool was_member(const std::string& user, const std::string& group) {
    return members_[group].contains(user) || before_[group].contains(user);
  }

  void look(const std::string& user) {
    State& state = here_[user];
    for (const Received& one : client(user).received) {
      if (one.topic.starts_with("client/")) continue;
      EXPECT_FALSE(state.quiet) << user << " is quiet and got " << one.topic;
      if (one.topic.starts_with("presence/")) {
        const std::string other = one.topic.substr(9);
        EXPECT_TRUE(std::ranges::any_of(kGroups,
                                        [&](const std::string& group) {
                                          return was_member(user, group) &&
                                                 (other == "own" || was_member(other, group));
                                        }))
            << user << " got " << one.topic;
        state.presence[other] = one.payload;
        continue;
      }
      const std::string group = one.topic.substr(5, one.topic.find('/', 5) - 5);
      EXPECT_TRUE(was_member(user, group)) << user << " got " << one.topic << " " << one.payload;
      if (!one.topic.ends_with("/read")) continue;
      const auto begin = one.payload.find("\"user\":\"") + 8;
      state.marks[group][one.payload.substr(begin, one.payload.find('"', begin) - begin)] = one.payload;
    }
    client(user).received.clear();
  }

  std::string done_;  ///< What has been done.
  Nodes nodes_;
  simulation::Dice dice_;
  Members members_;
  Members before_;
  std::map<std::string, State> here_;
};

TEST(InboxListenersModel, TellWhatIsTrueAndNobodyElse) {
  for (const std::uint64_t seed : simulation::seeds(20)) {
    SCOPED_TRACE("PARLEY_SEED=" + std::to_string(seed));
    Passing passing(seed);
    for (int i = 0; i < 60 && !testing::Test::HasFailure(); ++i) passing.step();
    passing.judge();
    ASSERT_FALSE(testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace parley::shard
