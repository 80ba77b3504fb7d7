#include "storage/session_finder.hpp"

#include <map>
#include <random>

#include "storage/recovery.hpp"
#include "tests/storage/world.hpp"

namespace parley::storage {
namespace {

using test::World;

std::string text_of(const StoredSessionView& view) {
  std::string text(view.session.state);
  for (const auto& cursor : view.cursors) {
    text += " " + std::string(cursor.topic) + "=" + std::to_string(cursor.acknowledged.value);
  }
  return text;
}

/// One that has been there all the time finds what a start would find, whatever is replaced, committed, materialised or
/// cut in between.
TEST(SessionFinder, FindsWhatAStartWouldFind) {
  for (std::uint32_t seed = 1; seed <= 6; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&random](std::uint32_t end) { return random() % end; };
    World world;
    world.keep_commit_indexes();
    SessionFinder finder(world.shared_files());
    std::uint64_t term = 1;
    std::uint64_t committed = 0;
    for (int step = 0; step < 120; ++step) {
      auto& records = world.records();
      const std::string client = "c" + std::to_string(below(4));
      switch (below(9)) {
        case 0: world.append({records.session_end(client)}); break;
        case 1:
        case 2: world.append({records.session(client, "state " + std::to_string(step))}); break;
        case 3:
        case 4:
          world.append({records.cursor(client, below(2) == 0 ? "chat/a/msg" : "chat/b/msg", {std::uint64_t(step)})});
          break;
        case 5:  // Another leader: what wasn't committed is replaced.
          records.go_on_at({++term}, {committed + 1});
          world.append({records.no_op()});
          break;
        case 6:
          committed = std::max(committed, committed + below(4));
          committed = std::min(committed, records.last_index().value);
          world.commit(committed);
          break;
        case 7: world.materialise(1 + below(5), true); break;
        default:
          ASSERT_TRUE(world.writer().cut({.watermark = world.watermark(), .older_than = {~0ULL}, .records_max = 3}));
      }
      std::map<std::string, std::string> all;
      ASSERT_TRUE(for_each_session(world.files(), [&all](const StoredSessionView& view) {
        all[std::string(view.session.client_id)] = text_of(view);
      }));
      for (const std::string name : {"c0", "c1", "c2", "c3"}) {
        std::string found;
        ASSERT_TRUE(finder.find(name, [&found](const StoredSessionView& view) { found = text_of(view); }));
        EXPECT_EQ(found, all[name]) << "seed " << seed << ", step " << step << ", " << name;
      }
    }
  }
}

}  // namespace
}  // namespace parley::storage
