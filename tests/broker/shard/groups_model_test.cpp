#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <sstream>

#include "tests/broker/shard/scene.hpp"

/// Users found groups, come and go in them, send and repeat, edit and redact, connect and disconnect as chance will
/// have it, and the broker dies now and then. A simple model says what must come of it, and everything is compared with
/// that: each answer, each entry, each member, and what each client has seen. docs/PROTOCOL.md "Conversations and
/// members".
namespace parley::shard {
namespace {

constexpr int kSteps = 80;
constexpr std::array kUsers{"ann", "bob", "cat", "dan"};
constexpr std::array kGroups{"tea", "milk"};
constexpr std::array kRoles{"member", "moderator", "owner"};

// -- The model: what docs/PROTOCOL.md says, without logs, slots or caches --

struct Said {
  std::uint64_t seq = 0;
  std::string kind;
  std::string payload;
  std::uint64_t ref = 0;
  bool edited = false;
  bool redacted = false;
  friend bool operator==(const Said&, const Said&) = default;
};
std::ostream& operator<<(std::ostream& to, const Said& said) {
  return to << said.seq << ' ' << said.kind << ' ' << said.payload << ' ' << said.ref << (said.edited ? " edited" : "")
            << (said.redacted ? " redacted" : "");
}

struct ModelMember {
  int role = 0;  ///< In kRoles.
  std::uint64_t joined = 0;
};

struct ModelGroup {
  bool exists = false;
  bool open = false;
  bool announce = false;
  bool all = false;
  std::string title;
  std::map<std::string, ModelMember> members;
  std::vector<Said> entries;
  std::map<std::uint64_t, std::string> authors;                      ///< Of messages.
  std::map<std::pair<std::string, std::string>, std::uint64_t> ids;  ///< By sender and id.

  [[nodiscard]] std::uint64_t head() const { return entries.size(); }
  [[nodiscard]] int role_of(const std::string& user) const {
    const auto found = members.find(user);
    return found == members.end() ? -1 : found->second.role;
  }
  [[nodiscard]] bool may_read(const std::string& user) const { return exists && (open || role_of(user) >= 0); }
  [[nodiscard]] bool may_post(const std::string& user) const {
    return may_read(user) && (!announce || role_of(user) >= 1);
  }
  [[nodiscard]] std::uint64_t visible_from(const std::string& user) const {
    return open || all ? 1 : members.at(user).joined;
  }
  [[nodiscard]] std::size_t owners() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(members, [](const auto& one) { return one.second.role == 2; }));
  }

  void add(std::string kind, std::string payload, std::uint64_t ref = 0) {
    entries.push_back({head() + 1, std::move(kind), std::move(payload), ref});
  }
  void edit(std::uint64_t seq, const std::string& text) {
    entries[seq - 1].payload = text;
    entries[seq - 1].edited = true;
    add("edit", text, seq);
  }
  void redact(std::uint64_t seq) {
    for (Said& said : entries) {
      if (said.seq != seq && (said.kind != "edit" || said.ref != seq)) continue;
      said.payload.clear();
      said.edited = false;
      said.redacted = true;
    }
    add("redact", "", seq);
  }
  void add_change(const std::string& op, const std::string& user, int role) {
    add("member",
        "{\"op\":\"" + op + "\",\"user\":\"" + user + "\",\"role\":\"" + kRoles.at(std::size_t(role)) + "\"}");
  }
  void add_settings() {
    add("settings", std::string("{\"visibility\":\"") + (open ? "public" : "private") +
                        "\",\"announce\":" + (announce ? "true" : "false") + ",\"history\":\"" +
                        (all ? "all" : "joined") + "\",\"title\":\"" + title + "\"}");
  }
  void enter(const std::string& op, const std::string& user, int role) {
    add_change(op, user, role);
    members[user] = {role, head()};
  }
  void leave(const std::string& op, const std::string& user) {
    add_change(op, user, role_of(user));
    members.erase(user);
  }
};

/// A client's subscription to a group, as the model has it.
struct ModelCursor {
  bool subscribed = false;
  std::uint64_t next = 0;
  std::vector<Said> seen;
};

class History {
 public:
  explicit History(std::uint64_t seed) : world_(seed, options(seed)) {
    for (const std::string user : kUsers) {
      connect(user);
      open_inbox(user);
      follow(world_, inbox(user), "chat/+/msg");
    }
  }

  void run() {
    for (int i = 0; i < kSteps && !testing::Test::HasFailure(); ++i) {
      step();
      compare_clients();
    }
    for (const std::string user : kUsers) {
      if (!client(user).connected()) connect(user);
      if (!inbox(user).connected()) open_inbox(user);
    }
    compare_clients();
    for (const std::string group : kGroups) compare_store(group);
    EXPECT_TRUE(world_.store().violations().empty());
  }
  [[nodiscard]] std::string notes() const { return notes_.str(); }

 private:
  static WorldOptions options(std::uint64_t seed) {
    WorldOptions options = dev(1 + static_cast<std::uint32_t>(seed % 3));
    options.shard.auto_create = false;
    return options;
  }

  simulation::Dice& dice() { return world_.dice(); }
  template <class List>
  std::string any_of(const List& list) {
    return list.at(dice().below(list.size()));
  }
  simulation::Client& client(const std::string& user) { return world_.client(user); }
  /// Another device of the user, which has all of its conversations.
  simulation::Client& inbox(const std::string& user) { return world_.client(user + ".inbox"); }
  ModelCursor& cursor(const std::string& user, const std::string& group) { return cursors_[{user, group}]; }
  void note(const std::string& what) { notes_ << "  " << what << '\n'; }

  void step() {
    const std::string user = any_of(kUsers);
    const std::string group = any_of(kGroups);
    if (dice().one_in(40)) return crash();
    if (dice().one_in(12)) return inbox(user).connected() ? close_inbox(user) : open_inbox(user);
    if (!client(user).connected()) return connect(user);
    switch (dice().below(15)) {
      case 0: return disconnect(user);
      case 1:
      case 2: return subscribe(user, group);
      case 3: return unsubscribe(user, group);
      case 4:
      case 5:
      case 6: return send(user, group);
      case 7: return create(user, group);
      case 8: return settings(user, group);
      case 9: return join_or_leave(user, group);
      case 10: return edit(user, group);
      case 11: return redact(user, group);
      default: return change_member(user, group);
    }
  }

  // -- Connections --

  void connect(const std::string& user) {
    note(user + " connects");
    join(world_, user, lasting(false, 1'000'000));
    for (const std::string name : kGroups) {
      ModelCursor& cursor = this->cursor(user, name);
      if (!cursor.subscribed) continue;
      const ModelGroup& group = groups_[name];
      cursor.subscribed = group.may_read(user);
      if (cursor.subscribed) cursor.next = std::max(cursor.next, group.visible_from(user));
    }
    deliver();
  }
  void open_inbox(const std::string& user) {
    note("the inbox of " + user + " connects");
    ConnectOptions options = lasting(false, 1'000'000);
    options.user_name = user;
    join(world_, user + ".inbox", options);
    for (const std::string name : kGroups) {
      ModelCursor& cursor = inboxes_[{user, name}];
      const ModelGroup& group = groups_[name];
      cursor.subscribed = cursor.subscribed && group.role_of(user) >= 0;
      if (cursor.subscribed) cursor.next = std::max(cursor.next, group.visible_from(user));
    }
    deliver();
  }
  void close_inbox(const std::string& user) {
    note("the inbox of " + user + " is cut off");
    inbox(user).drop();
    world_.settle();
  }
  void disconnect(const std::string& user) {
    note(user + " is cut off");
    client(user).drop();
    world_.settle();
  }
  void crash() {
    note("the broker dies");
    world_.advance(3s);  // Cursors are written once a second.
    world_.crash();
    world_.start();
    world_.settle();
  }

  void subscribe(const std::string& user, const std::string& name) {
    ModelCursor& cursor = this->cursor(user, name);
    if (cursor.subscribed) return;
    const ModelGroup& group = groups_[name];
    const bool live = dice().one_in(2);
    const std::uint64_t position = dice().below(group.head() + 2);
    note(user + " subscribes to " + name + (live ? "" : " since " + std::to_string(position)));
    SubscribeOptions options;
    if (!live) options.users = since(position);
    const ReasonCode reason = follow(world_, client(user), "chat/" + name + "/msg", options);
    if (!group.may_read(user)) {
      EXPECT_EQ(reason, ReasonCode::NotAuthorized);
    } else if (!live && position > group.head()) {
      EXPECT_EQ(reason, ReasonCode::ImplementationSpecificError);
    } else {
      EXPECT_EQ(reason, ReasonCode::GrantedQos1);
      cursor.subscribed = true;
      cursor.next = live ? group.head() + 1 : std::max(position + 1, group.visible_from(user));
    }
    deliver();
  }
  void unsubscribe(const std::string& user, const std::string& name) {
    note(user + " unsubscribes from " + name);
    client(user).unsubscribe("chat/" + name + "/msg");
    world_.settle();
    cursor(user, name).subscribed = false;
  }

  // -- Sending --

  void send(const std::string& user, const std::string& name) {
    ModelGroup& group = groups_[name];
    const std::string id = "i" + std::to_string(dice().one_in(4) ? dice().below(sent_ + 1) : ++sent_);
    const std::string text = "text " + std::to_string(dice().next() % 1000);
    note(user + " sends to " + name + " with id " + id);
    const auto answer = say(world_, client(user), "chat/" + name + "/msg", text, {.id = id});
    if (!group.may_post(user)) {
      EXPECT_EQ(answer.user("error"), "not-authorized");
      return;
    }
    const auto [use, fresh] = group.ids.try_emplace({user, id}, group.head() + 1);
    EXPECT_EQ(answer.user("seq"), std::to_string(use->second));
    EXPECT_EQ(answer.user("dup"), fresh ? "" : "1");
    if (fresh) group.add("", text);
    if (fresh) group.authors[group.head()] = user;
    deliver();
  }

  /// What is wrong with an edit or redaction before it is asked whose message it is; empty: nothing.
  static std::string wrong_reference(const ModelGroup& group, const std::string& user, std::uint64_t seq) {
    if (!group.may_read(user)) return "not-authorized";
    const bool is_message = group.authors.contains(seq);
    return !is_message || seq < group.visible_from(user) ? "not-found" : "";
  }
  void edit(const std::string& user, const std::string& name) {
    ModelGroup& group = groups_[name];
    const std::uint64_t seq = 1 + dice().below(group.head() + 2);
    const std::string text = "edited " + std::to_string(dice().next() % 1000);
    const std::string json = R"({"op":"edit","seq":)" + std::to_string(seq) + R"(,"text":")" + text + "\"}";
    std::string word = wrong_reference(group, user, seq);
    if (word.empty() && (group.authors.at(seq) != user || !group.may_post(user))) word = "not-authorized";
    if (word.empty() && group.entries[seq - 1].redacted) word = "not-found";
    command(user, name, json, word);
    if (!word.empty()) return;
    group.edit(seq, text);
    deliver();
  }
  void redact(const std::string& user, const std::string& name) {
    ModelGroup& group = groups_[name];
    const std::uint64_t seq = 1 + dice().below(group.head() + 2);
    std::string word = wrong_reference(group, user, seq);
    if (word.empty() && group.authors.at(seq) != user && group.role_of(user) < 1) word = "not-authorized";
    command(user, name, R"({"op":"redact","seq":)" + std::to_string(seq) + "}", word);
    if (!word.empty() || group.entries[seq - 1].redacted) return;
    group.redact(seq);
    deliver();
  }

  // -- Commands --

  /// Gives the command; true when the model says that it does something, too. `word` empty: it is taken.
  void command(const std::string& user, const std::string& name, const std::string& json, const std::string& word) {
    note(user + " commands " + name + ": " + json + (word.empty() ? "" : ", which is " + word));
    const auto answer = say(world_, client(user), "chat/" + name + "/ctl", json);
    EXPECT_EQ(answer.user("error"), word);
  }
  /// Behind the command's entries: who may not read on has had the last one.
  void changed(const std::string& name) {
    deliver();
    for (const std::string user : kUsers) {
      ModelCursor& cursor = this->cursor(user, name);
      if (client(user).connected() && !groups_[name].may_read(user)) cursor.subscribed = false;
    }
  }

  void create(const std::string& user, const std::string& name) {
    ModelGroup& group = groups_[name];
    const bool open = dice().one_in(3);
    const bool all = dice().one_in(3);
    const std::string json = std::string(R"({"op":"create","visibility":")") + (open ? "public" : "private") +
                             R"(","history":")" + (all ? "all" : "joined") + "\"}";
    if (group.exists) return command(user, name, json, group.may_read(user) ? "exists" : "not-authorized");
    command(user, name, json, "");
    group.exists = true;
    group.open = open;
    group.all = all;
    group.enter("join", user, 2);
    if (all) group.add_settings();
    changed(name);
  }
  void settings(const std::string& user, const std::string& name) {
    ModelGroup& group = groups_[name];
    ModelGroup wanted = group;
    if (dice().one_in(2)) wanted.open = dice().one_in(2);
    if (dice().one_in(2)) wanted.announce = dice().one_in(2);
    wanted.title = dice().one_in(2) ? group.title : "T" + std::to_string(dice().below(3));
    const std::string json = std::string(R"({"op":"settings","visibility":")") + (wanted.open ? "public" : "private") +
                             R"(","announce":)" + (wanted.announce ? "true" : "false") + R"(,"title":")" +
                             wanted.title + "\"}";
    if (group.role_of(user) != 2) return command(user, name, json, "not-authorized");
    command(user, name, json, "");
    const bool same =
        std::tie(wanted.open, wanted.announce, wanted.title) == std::tie(group.open, group.announce, group.title);
    if (same) return;
    group = wanted;
    group.add_settings();
    changed(name);
  }
  void join_or_leave(const std::string& user, const std::string& name) {
    ModelGroup& group = groups_[name];
    if (dice().one_in(2)) {
      if (!group.may_read(user)) return command(user, name, R"({"op":"join"})", "not-authorized");
      command(user, name, R"({"op":"join"})", "");
      if (group.role_of(user) >= 0) return;
      group.enter("join", user, group.members.empty() ? 2 : 0);
    } else {
      const std::string json = R"({"op":"leave"})";
      if (!group.may_read(user)) return command(user, name, json, "not-authorized");
      if (group.role_of(user) < 0) return command(user, name, json, "not-a-member");
      if (group.role_of(user) == 2 && group.owners() == 1 && group.members.size() > 1) {
        return command(user, name, json, "last-owner");
      }
      command(user, name, json, "");
      group.leave("leave", user);
    }
    changed(name);
  }
  void change_member(const std::string& user, const std::string& name) {
    const std::string target = any_of(kUsers);
    switch (dice().below(3)) {
      case 0: return add(user, name, target);
      case 1: return remove(user, name, target);
      default: return change_role(user, name, target);
    }
  }
  void add(const std::string& user, const std::string& name, const std::string& target) {
    ModelGroup& group = groups_[name];
    const int role = static_cast<int>(dice().below(3));
    const std::string json =
        R"({"op":"add","user":")" + target + R"(","role":")" + kRoles.at(std::size_t(role)) + "\"}";
    const int own = group.role_of(user);
    if (own < 1 || (own == 1 && role > 0)) return command(user, name, json, "not-authorized");
    if (group.role_of(target) >= 0) return command(user, name, json, group.role_of(target) == role ? "" : "exists");
    command(user, name, json, "");
    group.enter("add", target, role);
    changed(name);
  }
  void remove(const std::string& user, const std::string& name, const std::string& target) {
    ModelGroup& group = groups_[name];
    const std::string json = R"({"op":"remove","user":")" + target + "\"}";
    const int own = group.role_of(user);
    const int role = group.role_of(target);
    if (!group.may_read(user)) return command(user, name, json, "not-authorized");
    if (user == target) return command(user, name, json, "invalid-argument");
    if (own < 1) return command(user, name, json, "not-authorized");
    if (role < 0) return command(user, name, json, "not-a-member");
    if (own == 1 && role > 0) return command(user, name, json, "not-authorized");
    command(user, name, json, "");
    group.leave("remove", target);
    changed(name);
  }
  void change_role(const std::string& user, const std::string& name, const std::string& target) {
    ModelGroup& group = groups_[name];
    const int role = static_cast<int>(dice().below(3));
    const std::string json =
        R"({"op":"role","user":")" + target + R"(","role":")" + kRoles.at(std::size_t(role)) + "\"}";
    const int before = group.role_of(target);
    if (group.role_of(user) != 2) return command(user, name, json, "not-authorized");
    if (before < 0) return command(user, name, json, "not-a-member");
    if (before == role) return command(user, name, json, "");
    if (before == 2 && group.owners() == 1) return command(user, name, json, "last-owner");
    command(user, name, json, "");
    group.add_change("role", target, role);
    group.members[target].role = role;
    changed(name);
  }

  // -- What must have been seen --

  void deliver() {
    for (auto& [whose, cursor] : cursors_) {
      if (!cursor.subscribed || !client(whose.first).connected()) continue;
      const auto& entries = groups_[whose.second].entries;
      for (; cursor.next <= entries.size(); ++cursor.next) cursor.seen.push_back(entries[cursor.next - 1]);
    }
    deliver_inboxes();
  }
  /// Who is a member has it from the entry that made it one; the entry that ends it is the last.
  void deliver_inboxes() {
    for (const std::string user : kUsers) {
      if (!inbox(user).connected()) continue;
      for (const std::string name : kGroups) {
        ModelCursor& cursor = inboxes_[{user, name}];
        const ModelGroup& group = groups_[name];
        const bool member = group.role_of(user) >= 0;
        if (member && !std::exchange(cursor.subscribed, true)) {
          cursor.next = std::max(group.members.at(user).joined, group.visible_from(user));
        }
        if (!cursor.subscribed) continue;
        for (; cursor.next <= group.head(); ++cursor.next) cursor.seen.push_back(group.entries[cursor.next - 1]);
        cursor.subscribed = member;
      }
    }
  }
  void compare_clients() {
    compare(cursors_, "");
    compare(inboxes_, ".inbox");
  }
  void compare(const std::map<std::pair<std::string, std::string>, ModelCursor>& cursors, const std::string& device) {
    for (const auto& [whose, cursor] : cursors) {
      std::vector<Said> seen;
      for (const Received& one : world_.client(whose.first + device).received) {
        if (one.topic != "chat/" + whose.second + "/msg") continue;
        const std::string ref = one.user("ref");
        seen.push_back({one.seq(), one.user("kind"), one.payload, ref.empty() ? 0 : std::stoull(ref),
                        one.user("edited") == "1", one.user("redacted") == "1"});
      }
      EXPECT_EQ(seen, cursor.seen) << whose.first << device << " in " << whose.second;
    }
  }
  void compare_store(const std::string& name) {
    const ModelGroup& group = groups_[name];
    const auto entries = world_.store().history(name);
    ASSERT_EQ(entries.size(), group.entries.size()) << name;
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const format::EntryRecord& entry = **entries[i];
      EXPECT_EQ(entry.seq.value, i + 1);
      EXPECT_EQ(entry.kind == format::EntryKind::Message, group.entries[i].kind.empty());
      if (entry.kind == format::EntryKind::Message) {
        EXPECT_EQ(entry.payload, group.entries[i].payload);
      }
    }
    std::map<std::string, std::pair<int, std::uint64_t>> members;
    std::map<std::string, std::pair<int, std::uint64_t>> wanted;
    if (group.exists) {
      for (const auto& [user, row] : world_.store().members(name)) {
        members[user] = {static_cast<int>(row.role) - 1, row.joined.value};
      }
    }
    for (const auto& [user, member] : group.members) wanted[user] = {member.role, member.joined};
    EXPECT_EQ(members, wanted) << name;
  }

  World world_;
  std::map<std::string, ModelGroup> groups_;
  std::map<std::pair<std::string, std::string>, ModelCursor> cursors_;  ///< By user and group.
  std::map<std::pair<std::string, std::string>, ModelCursor> inboxes_;  ///< The same, of the users' other devices.
  std::uint64_t sent_ = 0;
  std::ostringstream notes_;
};

TEST(GroupsModel, EverythingComesToWhatTheModelSays) {
  for (const std::uint64_t seed : simulation::seeds(200)) {
    History history(seed);
    history.run();
    if (HasFailure()) {
      FAIL() << history.notes() << "replay: PARLEY_SEED=" << seed << " shard_test --gtest_filter='GroupsModel.*'";
    }
  }
}

}  // namespace
}  // namespace parley::shard
