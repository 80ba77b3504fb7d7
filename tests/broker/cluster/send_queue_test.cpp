#include "broker/cluster/send_queue.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "tests/broker/cluster/local_node.hpp"

namespace parley::cluster {
namespace {

using test::frame_in;

constexpr std::uint32_t kWindow = 1'000'000;

Payload payload(std::string text) { return std::make_shared<const std::string>(std::move(text)); }

/// Writes up to `limit` bytes, at most `step` at once, and returns them.
std::string write(SendQueue& queue, std::size_t step = 1 << 20, std::size_t limit = SIZE_MAX,
                  SendQueue::Freed* freed_all = nullptr) {
  std::string written;
  SendQueue::Freed freed{};
  while (written.size() < limit) {
    std::array<iovec, 5> pieces{};
    const std::size_t used = queue.gather(pieces);
    std::string gathered;
    for (std::size_t i = 0; i < used; ++i) gathered.append(static_cast<char*>(pieces[i].iov_base), pieces[i].iov_len);
    if (gathered.empty()) break;
    gathered.resize(std::min({gathered.size(), step, limit - written.size()}));
    queue.consume(gathered.size(), freed);
    written.append(gathered);
  }
  if (freed_all != nullptr) *freed_all = freed;
  return written;
}

struct Seen {
  FrameType type;
  Channel channel;
  std::string body;
};

std::vector<Seen> frames_of(std::string_view bytes) {
  std::vector<Seen> seen;
  while (!bytes.empty()) {
    const auto frame = frame_in(bytes);
    seen.push_back({frame.type, frame.channel, std::string(frame.body)});
    bytes.remove_prefix(frame.size);
  }
  return seen;
}

TEST(SendQueue, WritesTheSameWhateverTheSocketTakes) {
  for (const std::size_t step : {1U, 2U, 6U, 7U, 8U, 50U, 10'000U}) {
    SendQueue queue(kWindow);
    for (int i = 0; i < 20; ++i) queue.push(static_cast<Channel>(i % 3), payload("message " + std::to_string(i)));
    const auto seen = frames_of(write(queue, step));
    ASSERT_EQ(seen.size(), 20U) << step;
    std::array<int, 3> next{0, 1, 2};
    for (const Seen& frame : seen) {
      EXPECT_EQ(frame.body, "message " + std::to_string(next.at(frame.channel)));
      next.at(frame.channel) += 3;
    }
  }
}

TEST(SendQueue, PutsControlBeforeWhatIsNotUnderWay) {
  SendQueue queue(kWindow);
  queue.push(0, payload("one"));
  std::string beat;
  append_heartbeat(beat, {});
  queue.push_control(beat);
  const auto seen = frames_of(write(queue));
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].type, FrameType::Heartbeat);
}

TEST(SendQueue, LetsNoChannelStarveAnother) {
  SendQueue queue(1 << 30);
  for (int i = 0; i < 100; ++i) queue.push(1, payload(std::string(50'000, 'b')));
  const std::string before = write(queue, 1 << 20, 1000);  // Bulk is under way.
  queue.push(2, payload("urgent"));
  const auto seen = frames_of(before + write(queue));
  std::size_t at = 0;
  while (seen.at(at).channel != 2) ++at;
  EXPECT_LE(at, 8U) << "of 100 bulk frames before it";
}

TEST(SendQueue, StopsWithoutCredit) {
  SendQueue queue(1000);
  for (int i = 0; i < 3; ++i) queue.push(5, payload(std::string(493, 'x')));  // 500 each on the wire
  queue.push(6, payload("another channel"));
  SendQueue::Freed freed{};
  const auto first = frames_of(write(queue, 1 << 20, SIZE_MAX, &freed));
  EXPECT_EQ(first.size(), 3U);
  EXPECT_EQ(freed.at(5), 1000U);
  EXPECT_EQ(freed.at(6), kFrameHeaderSize + 15);
  EXPECT_TRUE(write(queue).empty());
  ASSERT_TRUE(queue.give_credit(5, 499));
  EXPECT_TRUE(write(queue).empty());
  ASSERT_TRUE(queue.give_credit(5, 1));
  EXPECT_EQ(frames_of(write(queue)).size(), 1U);
}

TEST(SendQueue, RefusesCreditThatNobodyCanHave) {
  SendQueue queue(1000);
  EXPECT_FALSE(queue.give_credit(0, 1));
  queue.push(0, payload(std::string(93, 'x')));
  write(queue);
  EXPECT_FALSE(queue.give_credit(0, 101));
  EXPECT_TRUE(queue.give_credit(0, 100));
  EXPECT_FALSE(queue.give_credit(0, UINT32_MAX));
}

TEST(SendQueue, EndsWithWholeFrames) {
  for (const std::size_t under_way : {0U, 1U, 5U, 12U, 30U}) {
    SendQueue queue(kWindow);
    for (int i = 0; i < 10; ++i) queue.push(0, payload("message"));
    const std::string before = write(queue, 1 << 20, under_way);
    std::string last;
    append_close(last, "bye");
    queue.finish(last);
    const auto seen = frames_of(before + write(queue));
    EXPECT_EQ(seen.back().type, FrameType::Close) << under_way;
    EXPECT_EQ(seen.size(), (under_way + 13) / 14 + 1) << under_way;
    EXPECT_TRUE(queue.empty());
  }
}

}  // namespace
}  // namespace parley::cluster
