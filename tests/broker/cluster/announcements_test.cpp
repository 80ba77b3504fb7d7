#include "broker/cluster/announcements.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

namespace parley::cluster {
namespace {

const StateKeys kKeys("chat");
constexpr NodeId kSelf{0xab};
constexpr std::uint64_t kIncarnation = 5;

/// As much of Redis as announcements use.
class Ledger {
 public:
  std::map<std::string, std::set<std::string>> sets;
  std::map<std::string, std::map<std::string, std::string>> hashes;
  std::vector<std::string> published;

  void carry_out(const Announcements::Batch& batch) {
    for (const RedisRequest& request : batch.requests) carry_out(request.command);
  }
  void flush() {
    sets.clear();
    hashes.clear();
  }

 private:
  void carry_out(const RedisCommand& command) {
    const std::string& name = command[0];
    ASSERT_LE(command.size(), 510U) << name;
    if (name == "MULTI" || name == "EXEC") return;
    if (name == "SADD") {
      sets[command[1]].insert(command.begin() + 2, command.end());
    } else if (name == "SREM") {
      for (std::size_t i = 2; i < command.size(); ++i) sets[command[1]].erase(command[i]);
      if (sets[command[1]].empty()) sets.erase(command[1]);
    } else if (name == "DEL") {
      for (std::size_t i = 1; i < command.size(); ++i) sets.erase(command[i]);
    } else if (name == "RENAME") {
      ASSERT_TRUE(sets.contains(command[1])) << "no such key";
      sets[command[2]] = sets[command[1]];
      sets.erase(command[1]);
    } else if (name == "HSET") {
      hashes[command[1]][command[2]] = command[3];
    } else if (name == "PUBLISH") {
      published.push_back(command[2]);
    } else if (name == "EVALSHA" && command[1] == claim_script().digest) {
      for (std::size_t i = 3 + std::stoul(command[2]); i < command.size(); i += 2)
        put(command[3], command[i], command[i + 1]);
    } else if (name == "EVALSHA" && command[1] == withdraw_script().digest) {
      for (std::size_t i = 4; i < command.size(); i += 2) {
        const auto field = hashes[command[3]].find(command[i]);
        if (field == hashes[command[3]].end()) continue;
        const std::string& old = command[i + 1];
        const std::string& have = field->second;
        if (have.substr(20) == old.substr(20) && have.substr(0, 20) <= old.substr(0, 20))
          hashes[command[3]].erase(field);
      }
    } else {
      FAIL() << name;
    }
  }
  void put(const std::string& key, const std::string& field, const std::string& value) {
    std::string& have = hashes[key][field];
    if (have.substr(0, 20) < value.substr(0, 20) || have.substr(0, 37) == value.substr(0, 37)) have = value;
  }
};

SlotClaim claim(std::uint64_t slot, std::uint64_t term) {
  return {.slot = {slot}, .term = {term}, .leader = kSelf, .replicas = {kSelf}};
}

void tell_all(Announcements& announcements, Ledger& ledger) {
  for (int i = 0; i < 1000; ++i) {
    const auto batch = announcements.next();
    if (batch.empty()) return;
    ledger.carry_out(batch);
    announcements.told(batch);
  }
  FAIL() << "no end";
}

TEST(Announcements, AreToldInFewBatches) {
  Announcements announcements(kKeys, kSelf, kIncarnation);
  Ledger ledger;
  for (std::uint64_t slot = 0; slot < 256; ++slot) announcements.claim(claim(slot, 3));
  for (int i = 0; i < 10'000; ++i) announcements.add_filter("filter/" + std::to_string(i));
  for (std::uint64_t i = 0; i < 10'000; ++i) announcements.place_session({i % 256}, "client-" + std::to_string(i), 1);
  EXPECT_FALSE(announcements.complete());
  int batches = 0;
  while (!announcements.complete()) {
    const auto batch = announcements.next();
    std::size_t bytes = 0;
    for (const RedisRequest& request : batch.requests) {
      for (const std::string& word : request.command) bytes += word.size();
    }
    EXPECT_LE(bytes, 1024U * 1024);
    EXPECT_FALSE(announcements.complete()) << "while one is under way";
    ledger.carry_out(batch);
    announcements.told(batch);
    ++batches;
  }
  EXPECT_LE(batches, 20);
  EXPECT_TRUE(announcements.next().empty());
  EXPECT_EQ(ledger.hashes[kKeys.slots].size(), 256U);
  EXPECT_EQ(ledger.sets[kKeys.filters(kSelf)].size(), 10'000U);
}

TEST(Announcements, ReplaceTheFiltersOfAnEarlierProcessAtOnce) {
  Ledger ledger;
  ledger.sets[kKeys.filters(kSelf)] = {"old"};
  Announcements announcements(kKeys, kSelf, kIncarnation);
  for (int i = 0; i < 5'000; ++i) announcements.add_filter("filter/" + std::to_string(i));
  while (!announcements.complete()) {
    EXPECT_EQ(ledger.sets[kKeys.filters(kSelf)].size(), 1U) << "never a part of the new ones";
    const auto batch = announcements.next();
    ledger.carry_out(batch);
    announcements.told(batch);
  }
  EXPECT_EQ(ledger.sets[kKeys.filters(kSelf)].size(), 5'000U);
  Announcements nothing(kKeys, kSelf, kIncarnation + 1);
  tell_all(nothing, ledger);
  EXPECT_FALSE(ledger.sets.contains(kKeys.filters(kSelf)));
}

TEST(Announcements, HintWhatHasChanged) {
  Announcements announcements(kKeys, kSelf, kIncarnation);
  Ledger ledger;
  announcements.add_filter("a");
  tell_all(announcements, ledger);
  const auto whole = read_filter_hint(ledger.published.back());
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->from, whole->to) << "all anew: nobody can apply it";
  announcements.add_filter("b");
  announcements.remove_filter("a");
  tell_all(announcements, ledger);
  const auto hint = read_filter_hint(ledger.published.back());
  ASSERT_TRUE(hint);
  EXPECT_EQ(hint->from, whole->to);
  EXPECT_EQ(hint->to, hint->from + 1);
  EXPECT_EQ(hint->added, std::vector<std::string>{"b"});
  EXPECT_EQ(hint->removed, std::vector<std::string>{"a"});
  EXPECT_EQ(ledger.hashes[kKeys.filter_versions][hex_text(kSelf.value)], std::to_string(hint->to));
}

TEST(Announcements, NeverUseAVersionForTwoSets) {
  Announcements announcements(kKeys, kSelf, kIncarnation);
  Ledger ledger;
  tell_all(announcements, ledger);
  announcements.add_filter("a");
  auto batch = announcements.next();
  ledger.carry_out(batch);
  const std::string seen = ledger.hashes[kKeys.filter_versions][hex_text(kSelf.value)];
  announcements.failed(batch);  // The reply was lost; somebody may have read "a" under this version.
  announcements.add_filter("b");
  tell_all(announcements, ledger);
  EXPECT_NE(ledger.hashes[kKeys.filter_versions][hex_text(kSelf.value)], seen);
}

TEST(Announcements, ForgetASessionThatIsElsewhereUnlessItIsBack) {
  Announcements announcements(kKeys, kSelf, kIncarnation);
  announcements.place_session({1}, "phone", 5);
  EXPECT_FALSE(announcements.forget_session("phone", 4));
  EXPECT_TRUE(announcements.forget_session("phone", 6));
  EXPECT_TRUE(announcements.forget_session("phone", 6));
  Ledger ledger;
  tell_all(announcements, ledger);
  EXPECT_TRUE(ledger.hashes[kKeys.sessions({1})].empty());
}

/// Whatever changes, fails and gets lost in between: what Redis knows in the end is what is true.
TEST(Announcements, ConvergeThroughFailuresAndLosses) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 dice(seed);
    const auto roll = [&dice](unsigned sides) { return dice() % sides; };
    Announcements announcements(kKeys, kSelf, kIncarnation);
    Ledger ledger;
    std::set<std::string> filters;
    std::map<std::uint64_t, std::uint64_t> terms;
    std::map<std::string, std::uint64_t> sessions;
    std::uint64_t generation = 0;
    const auto change = [&] {
      const std::string name = std::to_string(roll(20));
      switch (roll(5)) {
        case 0: filters.insert(name), announcements.add_filter(name); break;
        case 1: filters.erase(name), announcements.remove_filter(name); break;
        case 2: {
          const std::uint64_t slot = roll(8);
          announcements.claim(claim(slot, ++terms[slot]));
          break;
        }
        case 3: sessions[name] = ++generation, announcements.place_session({name.size()}, name, generation); break;
        case 4: sessions.erase(name), announcements.remove_session(name); break;
      }
    };
    for (int step = 0; step < 200; ++step) {
      change();
      if (roll(3) == 0) continue;
      const auto batch = announcements.next();
      const bool carried_out = roll(4) != 0;
      if (carried_out) ledger.carry_out(batch);
      if (roll(3) == 0) change();
      if (roll(20) == 0) {
        ledger.flush();
        announcements.lost();
      }
      if (carried_out && roll(4) != 0) {
        announcements.told(batch);
      } else {
        announcements.failed(batch);
      }
    }
    tell_all(announcements, ledger);
    ASSERT_TRUE(announcements.complete()) << seed;
    ASSERT_EQ(ledger.sets[kKeys.filters(kSelf)], filters) << seed;
    ASSERT_FALSE(ledger.sets.contains(kKeys.filters_next(kSelf))) << seed;
    for (const auto& [slot, term] : terms) {
      ASSERT_EQ(ledger.hashes[kKeys.slots][std::to_string(slot)], encode(claim(slot, term))) << seed;
    }
    std::map<std::string, std::uint64_t> told;
    for (const std::uint64_t slot : {1U, 2U}) {
      for (const auto& [client_id, value] : ledger.hashes[kKeys.sessions({slot})]) {
        told[client_id] = read_location(value)->generation;
      }
    }
    ASSERT_EQ(told, sessions) << seed;
  }
}

}  // namespace
}  // namespace parley::cluster
