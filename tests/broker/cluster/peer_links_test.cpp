#include "broker/cluster/peer_links.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <memory>
#include <string>
#include <thread>

#include "base/bytes.hpp"
#include "broker/cluster/handshake.hpp"
#include "tests/broker/cluster/link_node.hpp"

namespace parley::cluster {
namespace {

using test::value_of;

using namespace std::chrono_literals;
using asio_tcp = boost::asio::ip::tcp;
using test::LinkNode;
using test::local_node;
using test::nonce_of;

PeerAddress at(const LinkNode& node) { return {.host = "127.0.0.1", .port = node.links.port()}; }

void introduce(LinkNode& one, std::uint64_t one_id, LinkNode& other, std::uint64_t other_id) {
  one.links.set_peers({{NodeId{other_id}, at(other)}});
  other.links.set_peers({{NodeId{one_id}, at(one)}});
}

/// Sends, waiting for room as often as needed.
void send_surely(LinkNode& from, std::uint64_t to, Channel channel, const std::string& message) {
  for (int waits = 0; waits < 1000; ++waits) {
    int before = 0;
    {
      const std::lock_guard lock(from.mutex);
      before = from.writables[{to, channel}];
    }
    const SendResult result = from.links.send({to}, channel, message);
    if (result == SendResult::Queued) return;
    ASSERT_EQ(result, SendResult::Full);
    ASSERT_TRUE(from.wait([&] { return from.writables[{to, channel}] > before; }));
  }
  FAIL() << "never writable";
}

/// Speaks the protocol by hand, over a blocking socket with a deadline.
class RawPeer {
 public:
  explicit RawPeer(std::uint16_t port) : socket_(loop_) {
    socket_.connect(asio_tcp::endpoint(boost::asio::ip::address_v4::loopback(), port));
    const timeval limit{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }
  void write(std::string_view bytes) {
    boost::system::error_code ignored;
    boost::asio::write(socket_, boost::asio::buffer(bytes), ignored);
  }
  /// The next frame with its header; empty when the connection is over.
  std::string read_frame() {
    std::string bytes(kFrameHeaderSize, '\0');
    if (!read(bytes.data(), bytes.size())) return {};
    const std::size_t body = load_big_endian<std::uint32_t>(bytes.data()) - 3;
    bytes.resize(kFrameHeaderSize + body);
    if (!read(bytes.data() + kFrameHeaderSize, body)) return {};
    return bytes;
  }
  /// True when the other side closes without a word beyond what `read_frame` got.
  bool is_closed() {
    while (!read_frame().empty()) {
    }
    return errno != EAGAIN;
  }
  /// Becomes `self`, dialing `peer`; what has gone out is kept.
  bool shake_hands(const LocalNode& self, NodeId peer) {
    std::string out;
    auto handshake = Handshake::dial(self, peer, nonce_of('r'), {1'700'000'000'000}, out);
    for (int step = 0; step < 3; ++step) {
      said.push_back(out);
      write(std::exchange(out, {}));
      heard.push_back(read_frame());
      const auto frame = next_frame(heard.back(), kHandshakeFrameMax);
      if (!frame || !*frame) return false;
      const auto outcome = handshake.receive(**frame, {1'700'000'000'000}, out);
      if (std::holds_alternative<RemoteNode>(outcome)) return true;
      if (std::holds_alternative<HandshakeRefusal>(outcome)) return false;
    }
    return false;
  }
  RefuseCode refusal() const {
    const auto frame = next_frame(heard.back(), kHandshakeFrameMax);
    if (!frame || !*frame || (*frame)->type != FrameType::Refuse) return RefuseCode{0};
    return value_of(decode_refusal((*frame)->body)).code;
  }

  std::vector<std::string> said;
  std::vector<std::string> heard;

 private:
  bool read(char* to, std::size_t size) {
    while (size != 0) {
      const auto count = ::recv(socket_.native_handle(), to, size, 0);
      if (count <= 0) return false;
      to += count;
      size -= static_cast<std::size_t>(count);
    }
    return true;
  }

  boost::asio::io_context loop_;
  asio_tcp::socket socket_;
};

TEST(PeerLinks, DeliverInOrderBetweenThreeNodes) {
  constexpr int kMessages = 5000;
  std::vector<std::unique_ptr<LinkNode>> nodes;
  for (std::uint64_t id = 1; id <= 3; ++id) {
    nodes.push_back(std::make_unique<LinkNode>(local_node("node-" + std::to_string(id), id)));
  }
  std::map<NodeId, PeerAddress> all;
  for (std::uint64_t id = 1; id <= 3; ++id) all[{id}] = at(*nodes[id - 1]);
  for (const auto& node : nodes) node->links.set_peers(all);
  for (std::uint64_t from = 1; from <= 3; ++from) {
    for (std::uint64_t to = 1; to <= 3; ++to) {
      if (from == to) continue;
      ASSERT_TRUE(nodes[from - 1]->wait_connected(to)) << from << " to " << to;
    }
  }
  std::vector<std::thread> senders;
  for (std::uint64_t from = 1; from <= 3; ++from) {
    for (const Channel channel : {Channel{0}, Channel{7}}) {
      senders.emplace_back([&nodes, from, channel] {
        for (int i = 0; i < kMessages; ++i) {
          for (std::uint64_t to = 1; to <= 3; ++to) {
            const std::string message = std::to_string(i) + std::string(static_cast<std::size_t>(i % 700), '.');
            if (to != from) send_surely(*nodes[from - 1], to, channel, message);
          }
        }
      });
    }
  }
  for (std::thread& sender : senders) sender.join();
  for (std::uint64_t to = 1; to <= 3; ++to) {
    for (std::uint64_t from = 1; from <= 3; ++from) {
      for (const Channel channel : {Channel{0}, Channel{7}}) {
        if (from == to) continue;
        LinkNode& node = *nodes[to - 1];
        ASSERT_TRUE(node.wait([&] { return node.inbox[{from, channel}].size() == kMessages; }, 30s));
        const auto messages = node.messages(from, channel);
        for (int i = 0; i < kMessages; ++i) {
          ASSERT_EQ(messages[static_cast<std::size_t>(i)],
                    std::to_string(i) + std::string(static_cast<std::size_t>(i % 700), '.'));
        }
      }
    }
  }
  const auto counters = nodes[0]->links.counters();
  EXPECT_EQ(counters.at({2}).connects, 1U);
  EXPECT_EQ(counters.at({2}).frames_in, 2U * kMessages);
  EXPECT_EQ(counters.at({2}).frames_out, 2U * kMessages);
  EXPECT_TRUE(counters.at({2}).connected);
}

TEST(PeerLinks, MeasureTheRoundTrip) {
  LinkNode one(local_node("node-a", 1));
  LinkNode two(local_node("node-b", 2));
  introduce(one, 1, two, 2);
  ASSERT_TRUE(one.wait_connected(2));
  const auto due = std::chrono::steady_clock::now() + 10s;
  while (one.links.counters()[{2}].round_trip == Duration{} && std::chrono::steady_clock::now() < due) {
    std::this_thread::yield();
  }
  EXPECT_GT(one.links.counters()[{2}].round_trip, Duration{});
  EXPECT_LT(one.links.counters()[{2}].round_trip, Duration(1s));
}

TEST(PeerLinks, CarryTheLargestFrameAndRefuseALargerOne) {
  LinkNode one(local_node("node-a", 1));
  LinkNode two(local_node("node-b", 2));
  introduce(one, 1, two, 2);
  ASSERT_TRUE(one.wait_connected(2));
  const std::string largest(1024 * 1024, 'x');
  EXPECT_EQ(one.links.send({2}, 0, largest + "x"), SendResult::TooLarge);
  for (int i = 0; i < 20; ++i) {
    send_surely(one, 2, 0, largest);
    send_surely(one, 2, 0, "");
  }
  ASSERT_TRUE(two.wait([&] { return two.inbox[{1, 0}].size() == 40; }));
  EXPECT_EQ(two.messages(1, 0).front(), largest);
  EXPECT_EQ(two.messages(1, 0).back(), "");
}

TEST(PeerLinks, SendNothingToWhomTheyAreNotConnected) {
  LinkNode one(local_node("node-a", 1));
  EXPECT_EQ(one.links.send({2}, 0, "nobody"), SendResult::Disconnected);
  one.links.set_peers({{NodeId{2}, {.host = "127.0.0.1", .port = 1}}});
  EXPECT_EQ(one.links.send({2}, 0, "not there"), SendResult::Disconnected);
}

TEST(PeerLinks, PressBackWhenTheReceiverKeepsItsDeliveries) {
  PeerLinkOptions options;
  options.channel_buffer_max = 1024 * 1024;
  LinkNode one(local_node("node-a", 1), options);
  LinkNode two(local_node("node-b", 2));
  two.keeps = true;
  introduce(one, 1, two, 2);
  ASSERT_TRUE(one.wait_connected(2));
  const std::string message(10'000, 'x');
  const std::size_t window = local_node("", 0).window;
  std::size_t queued = 0;
  // More than the window and the buffer together is never taken, however long one tries.
  const auto due = std::chrono::steady_clock::now() + 1s;
  while (std::chrono::steady_clock::now() < due) {
    if (one.links.send({2}, 3, message) == SendResult::Queued) queued += message.size();
  }
  EXPECT_LE(queued, window + options.channel_buffer_max);
  EXPECT_GE(queued, window);
  {
    const std::lock_guard lock(two.mutex);
    std::size_t held = 0;
    for (const Delivery& delivery : two.kept) held += delivery.size() * message.size();
    EXPECT_LE(held, window);
  }
  // Another channel of the same link goes on.
  EXPECT_EQ(one.links.send({2}, 4, "still here"), SendResult::Queued);
  ASSERT_TRUE(two.wait([&] { return two.inbox[{1, 4}].size() == 1; }));
  // Released, from another thread than the links' one, everything comes.
  std::vector<Delivery> released;
  {
    const std::lock_guard lock(two.mutex);
    two.keeps = false;
    released.swap(two.kept);
  }
  released.clear();
  EXPECT_TRUE(one.wait([&] { return one.writables[{2, 3}] > 0; }));
  EXPECT_TRUE(two.wait([&] { return two.inbox[{1, 3}].size() * message.size() == queued; }));
}

TEST(PeerLinks, BoundWhatWaitsForAPeerThatNeverReads) {
  PeerLinkOptions options;
  options.channel_buffer_max = 1024 * 1024;
  options.peer_buffer_max = 2 * 1024 * 1024;
  LinkNode two(local_node("node-b", 2), options);
  RawPeer raw(two.links.port());
  LocalNode self = local_node("node-a", 1);
  self.window = 1'000'000'000;
  ASSERT_TRUE(raw.shake_hands(self, {2}));
  ASSERT_TRUE(two.wait_connected(1));
  // Heartbeats go on, so it counts as alive, but it reads nothing. The pause is their pace; nothing waits for it.
  std::atomic<bool> over = false;
  std::thread beating([&] {
    while (!over) {
      std::string beat;
      append_heartbeat(beat, {.sent = 1});
      raw.write(beat);
      std::this_thread::sleep_for(20ms);
    }
  });
  const std::string message(10'000, 'x');
  std::size_t most = 0;
  bool full = false;
  const auto due = std::chrono::steady_clock::now() + 20s;
  SendResult result = SendResult::Queued;
  while (result != SendResult::Disconnected && std::chrono::steady_clock::now() < due) {
    for (Channel channel = 0; channel < kChannels; ++channel) {
      result = two.links.send({1}, channel, message);
      full = full || result == SendResult::Full;
    }
    most = std::max(most, two.links.counters()[{1}].buffered);
  }
  over = true;
  beating.join();
  EXPECT_TRUE(full);
  EXPECT_LE(most, options.peer_buffer_max + kChannels * (message.size() + kFrameHeaderSize));
  EXPECT_EQ(result, SendResult::Disconnected) << "its echoes are missing";
  EXPECT_TRUE(two.wait_disconnected(1));
}

TEST(PeerLinks, NoticeAPeerThatFallsSilent) {
  PeerLinkOptions options;
  options.heartbeat_timeout = 300ms;
  LinkNode two(local_node("node-b", 2), options);
  RawPeer raw(two.links.port());
  ASSERT_TRUE(raw.shake_hands(local_node("node-a", 1), {2}));
  ASSERT_TRUE(two.wait_connected(1));
  const auto began = std::chrono::steady_clock::now();
  ASSERT_TRUE(two.wait_disconnected(1));
  EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
  EXPECT_EQ(two.whys.front(), "nothing was heard within the heartbeat timeout");
}

TEST(PeerLinks, ComeBackAfterAPeerHasDied) {
  LinkNode one(local_node("node-a", 1));
  const PeerLinkOptions any;
  std::uint16_t port = 0;
  {
    LinkNode two(local_node("node-b", 2), any);
    port = two.links.port();
    introduce(one, 1, two, 2);
    ASSERT_TRUE(one.wait_connected(2));
    ASSERT_TRUE(two.wait_connected(1));  // Before that it has nobody to say goodbye to.
  }
  ASSERT_TRUE(one.wait_disconnected(2));
  EXPECT_EQ(one.whys.front(), "the peer has closed the link: the node stops");
  PeerLinkOptions same;
  same.listen_port = port;
  LinkNode again(local_node("node-b", 2, 5), same);
  ASSERT_TRUE(one.wait_connected(2, 2));
  EXPECT_EQ(one.links.send({2}, 0, "hello again"), SendResult::Queued);
  EXPECT_TRUE(again.wait([&] { return again.inbox[{1, 0}].size() == 1; }));
  EXPECT_EQ(one.links.counters()[{2}].connects, 2U);
}

TEST(PeerLinks, EndTheConnectionThatIsMeantAndMakeItAnew) {
  LinkNode one(local_node("node-a", 1));
  LinkNode two(local_node("node-b", 2));
  introduce(one, 1, two, 2);
  ASSERT_TRUE(one.wait_connected(2));
  ASSERT_TRUE(two.wait_connected(1));
  const auto number = [&] {
    const std::lock_guard lock(two.mutex);
    return two.ups[{1}].back().connection;
  };
  const std::uint64_t first = number();
  two.links.drop({1}, first, "tests want it");
  ASSERT_TRUE(two.wait_connected(1, 2));
  ASSERT_TRUE(one.wait_connected(2, 2));
  EXPECT_TRUE(one.wait([&] { return one.whys.size() == 1; }));
  EXPECT_NE(one.whys.front().find("tests want it"), std::string::npos) << "the peer is told why";
  EXPECT_GT(number(), first);
  two.links.drop({1}, first, "it is over");
  two.links.drop({7}, 1, "it never was");
  send_surely(two, 1, 3, "still there");
  EXPECT_TRUE(one.wait([&] { return !one.inbox[{2, 3}].empty(); }));
  EXPECT_EQ(one.whys.size(), 1U);
}

TEST(PeerLinks, CloseTheLinkToANodeThatIsRemovedAndRefuseItAfterwards) {
  LinkNode one(local_node("node-a", 1));
  LinkNode two(local_node("node-b", 2));
  introduce(one, 1, two, 2);
  ASSERT_TRUE(one.wait_connected(2));
  two.links.set_peers({});
  ASSERT_TRUE(one.wait_disconnected(2));
  EXPECT_EQ(one.whys.front(), "the peer has closed the link: the node was removed from the cluster");
  RawPeer raw(two.links.port());
  EXPECT_FALSE(raw.shake_hands(local_node("node-a", 1), {2}));
  EXPECT_EQ(raw.refusal(), RefuseCode::Removed);
  two.links.set_peers({{NodeId{1}, at(one)}});
  EXPECT_TRUE(one.wait_connected(2, 2));
}

TEST(PeerLinks, RefuseASecondProcessWithTheSameId) {
  LinkNode one(local_node("node-a", 1));
  LinkNode two(local_node("node-b", 2));
  introduce(one, 1, two, 2);
  ASSERT_TRUE(one.wait_connected(2));  // Then the other side is, too: it answers last.
  RawPeer raw(two.links.port());
  EXPECT_FALSE(raw.shake_hands(local_node("impostor", 1, 50), {2}));
  EXPECT_EQ(raw.refusal(), RefuseCode::DuplicateNode);
  EXPECT_EQ(one.links.send({2}, 0, "unimpressed"), SendResult::Queued);
  EXPECT_TRUE(two.wait([&] { return two.inbox[{1, 0}].size() == 1; }));
}

TEST(PeerLinks, LetANewerConnectionOfTheSameProcessTakeOver) {
  LinkNode two(local_node("node-b", 2));
  RawPeer first(two.links.port());
  ASSERT_TRUE(first.shake_hands(local_node("node-a", 1), {2}));
  ASSERT_TRUE(two.wait_connected(1));
  RawPeer second(two.links.port());
  ASSERT_TRUE(second.shake_hands(local_node("node-a", 1), {2}));
  ASSERT_TRUE(two.wait_connected(1, 2));
  EXPECT_EQ(two.whys.front(), "a newer connection takes its place");
  EXPECT_TRUE(first.is_closed());
}

TEST(PeerLinks, RefuseAReplayedHandshake) {
  LinkNode two(local_node("node-b", 2));
  std::vector<std::string> recorded;
  {
    RawPeer honest(two.links.port());
    ASSERT_TRUE(honest.shake_hands(local_node("node-a", 1), {2}));
    recorded = honest.said;
  }
  RawPeer thief(two.links.port());
  thief.write(recorded.at(0));
  ASSERT_FALSE(thief.read_frame().empty());
  thief.write(recorded.at(1));
  thief.heard.push_back(thief.read_frame());
  EXPECT_EQ(thief.refusal(), RefuseCode::Secret);
  EXPECT_TRUE(thief.is_closed());
}

TEST(PeerLinks, RefuseBothDirectionsOfEveryMismatch) {
  struct Mismatch {
    LocalNode other;
    RefuseCode code;
  };
  std::vector<Mismatch> table;
  const auto add = [&table](RefuseCode code, auto change) {
    LocalNode other = local_node("node-a", 1);
    change(other);
    table.push_back({other, code});
  };
  add(RefuseCode::Secret, [](LocalNode& node) { node.secret = "wrong"; });
  add(RefuseCode::Cluster, [](LocalNode& node) { node.cluster = "other"; });
  add(RefuseCode::Slots, [](LocalNode& node) { node.slots = 128; });
  add(RefuseCode::Version, [](LocalNode& node) { node.versions = {4, 4}; });
  add(RefuseCode::SameNode, [](LocalNode& node) { node.id = {2}; });
  LinkNode two(local_node("node-b", 2));
  for (const Mismatch& mismatch : table) {
    RawPeer raw(two.links.port());
    EXPECT_FALSE(raw.shake_hands(mismatch.other, {2}));
    EXPECT_EQ(raw.refusal(), mismatch.code);
    EXPECT_TRUE(raw.is_closed());
  }
  EXPECT_TRUE(two.ups.empty());
}

TEST(PeerLinks, NoticeThatTheyHaveReachedThemselves) {
  LinkNode one(local_node("node-a", 1));
  one.links.set_peers({{NodeId{2}, at(one)}});
  const auto due = std::chrono::steady_clock::now() + 10s;
  while (one.links.counters()[{2}].refusals == 0 && std::chrono::steady_clock::now() < due) std::this_thread::yield();
  EXPECT_GT(one.links.counters()[{2}].refusals, 0U);
  EXPECT_TRUE(one.ups.empty());
}

TEST(PeerLinks, CloseConnectionsThatProveNothingInTime) {
  PeerLinkOptions options;
  options.handshake_timeout = 200ms;
  LinkNode two(local_node("node-b", 2), options);
  RawPeer mute(two.links.port());
  RawPeer slow(two.links.port());
  std::string hello;
  const LocalNode slow_node = local_node("node-a", 1);
  const auto handshake = Handshake::dial(slow_node, {2}, nonce_of('s'), {1}, hello);
  slow.write(hello.substr(0, hello.size() / 2));
  const auto began = std::chrono::steady_clock::now();
  for (RawPeer* raw : {&mute, &slow}) {
    raw->heard.push_back(raw->read_frame());
    EXPECT_EQ(raw->refusal(), RefuseCode::Timeout);
    EXPECT_TRUE(raw->is_closed());
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, 5s);
}

TEST(PeerLinks, KeepRoomForTheHonestAmongManyHalfOpenConnections) {
  PeerLinkOptions options;
  options.handshakes_max = 8;
  options.handshake_timeout = 60s;
  LinkNode two(local_node("node-b", 2), options);
  std::vector<std::unique_ptr<RawPeer>> idle;
  for (int i = 0; i < 50; ++i) idle.push_back(std::make_unique<RawPeer>(two.links.port()));
  RawPeer honest(two.links.port());
  EXPECT_TRUE(honest.shake_hands(local_node("node-a", 1), {2}));
  EXPECT_TRUE(idle.front()->is_closed()) << "the oldest gives way";
}

TEST(PeerLinks, CloseOnHostileBytesBeforeAndAfterTheHandshake) {
  LinkNode two(local_node("node-b", 2));
  std::vector<std::string> hostile{"GET / HTTP/1.1\r\n\r\n", std::string(64, '\0'), std::string(64, '\xff'),
                                   std::string("\0\0\0\x03\x63\0\0", 7)};
  for (const std::string& bytes : hostile) {
    RawPeer raw(two.links.port());
    raw.write(bytes);
    raw.heard.push_back(raw.read_frame());
    EXPECT_EQ(raw.refusal(), RefuseCode::Malformed);
    EXPECT_TRUE(raw.is_closed());
  }
  std::string credit;
  append_credit(credit, 0, 1);
  std::string hello;
  const LocalNode raw_node = local_node("node-a", 1);
  const auto handshake = Handshake::dial(raw_node, {2}, nonce_of('s'), {1}, hello);
  hostile.push_back(credit);  // Credit for what was never sent.
  hostile.push_back(hello);   // A handshake inside the link.
  const auto header = frame_header(FrameType::Data, 0, 1024 * 1024);
  std::string flood;  // More than the window, whose deliveries are kept.
  for (int i = 0; i < 5; ++i) flood.append(header.data(), header.size()).append(1024 * 1024, 'x');
  hostile.push_back(flood);
  two.keeps = true;
  std::size_t times = 0;
  for (const std::string& bytes : hostile) {
    RawPeer raw(two.links.port());
    ASSERT_TRUE(raw.shake_hands(local_node("node-a", 1), {2}));
    ASSERT_TRUE(two.wait_connected(1, ++times));
    raw.write(bytes);
    EXPECT_TRUE(raw.is_closed());
    ASSERT_TRUE(two.wait_disconnected(1));
    EXPECT_TRUE(two.whys.back().starts_with("a frame can't be accepted")) << two.whys.back();
  }
}

TEST(PeerLinks, FailToStartWhereSomebodyElseListens) {
  LinkNode one(local_node("node-a", 1));
  PeerLinkOptions taken;
  taken.listen_port = one.links.port();
  PeerLinks links(local_node("node-b", 2), taken, one);
  const auto started = links.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error(), boost::system::errc::address_in_use);
  links.stop();
}

TEST(PeerLinks, DeliveriesOutliveTheirLinks) {
  std::vector<Delivery> kept;
  {
    LinkNode one(local_node("node-a", 1));
    LinkNode two(local_node("node-b", 2));
    two.keeps = true;
    introduce(one, 1, two, 2);
    ASSERT_TRUE(one.wait_connected(2));
    one.links.send({2}, 0, "keep me");
    ASSERT_TRUE(two.wait([&] { return !two.kept.empty(); }));
    const std::lock_guard lock(two.mutex);
    kept.swap(two.kept);
  }
  EXPECT_EQ(kept.front().message(0), "keep me");
  kept.clear();
}

}  // namespace
}  // namespace parley::cluster
