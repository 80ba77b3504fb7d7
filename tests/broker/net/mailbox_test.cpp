#include "broker/net/mailbox.hpp"

#include <poll.h>

#include <gtest/gtest.h>

#include <string>
#include <thread>

namespace parley::net {
namespace {

bool is_readable(const Mailbox& mailbox, int milliseconds) {
  pollfd wanted{.fd = mailbox.descriptor(), .events = POLLIN, .revents = 0};
  return ::poll(&wanted, 1, milliseconds) == 1;
}

std::vector<shard::PeerEvent> events_of(std::uint64_t first, std::uint64_t count) {
  std::vector<shard::PeerEvent> events;
  for (std::uint64_t token = first; token < first + count; ++token) {
    events.push_back(shard::PeerEvent{shard::InterestTakenEvent{token}});
  }
  return events;
}

std::uint64_t token_of(const shard::PeerEvent& event) { return std::get<shard::InterestTakenEvent>(event.what).token; }

TEST(Mailbox, IsReadableWhileThereIsMail) {
  Mailbox mailbox;
  EXPECT_FALSE(is_readable(mailbox, 0));
  auto events = events_of(1, 3);
  mailbox.send(events);
  EXPECT_TRUE(events.empty());
  EXPECT_TRUE(is_readable(mailbox, 0));
  Mail mail;
  mailbox.take(mail);
  EXPECT_EQ(mail.peer_events.size(), 3U);
  EXPECT_FALSE(mail.stop);
  EXPECT_FALSE(is_readable(mailbox, 0));
  mailbox.send_stop();
  EXPECT_TRUE(is_readable(mailbox, 0));
}

class Noted final : public Letter {
 public:
  void deliver(shard::Shard& /*shard*/) override {}
};

/// A node's message may have made another shard say something here: that comes after the letter that the node is
/// connected.
TEST(Mailbox, KeepsTheOrderOfEventsAndLetters) {
  Mailbox mailbox;
  auto first = events_of(1, 1);
  auto second = events_of(2, 2);
  mailbox.send(std::make_unique<Noted>());
  mailbox.send(first);
  mailbox.send(std::make_unique<Noted>());
  mailbox.send(std::make_unique<Noted>());
  mailbox.send(second);
  Mail mail;
  mailbox.take(mail);
  std::string order;
  mail.for_each_in_order([&](const shard::PeerEvent& event) { order += std::to_string(token_of(event)); },
                         [&](const Letter&) { order += 'L'; });
  EXPECT_EQ(order, "L1LL23");
}

TEST(Mailbox, KeepsTheOrderOfEachSenderAndLosesNothing) {
  constexpr std::uint64_t kSenders = 3;
  constexpr std::uint64_t kEvents = 20'000;
  Mailbox mailbox;
  std::vector<std::thread> senders;
  for (std::uint64_t sender = 0; sender < kSenders; ++sender) {
    senders.emplace_back([&mailbox, sender] {
      for (std::uint64_t i = 0; i < kEvents; i += 10) {
        auto events = events_of(sender << 32 | i, 10);
        mailbox.send(events);
      }
    });
  }
  std::uint64_t next[kSenders] = {};
  std::uint64_t seen = 0;
  while (seen < kSenders * kEvents) {
    ASSERT_TRUE(is_readable(mailbox, 10'000)) << "a sender didn't wake the worker";
    Mail mail;
    mailbox.take(mail);
    for (const auto& event : mail.peer_events) {
      const std::uint64_t token = token_of(event);
      ASSERT_EQ(token & 0xFFFF'FFFF, next[token >> 32]++);
      ++seen;
    }
  }
  for (auto& sender : senders) sender.join();
}

}  // namespace
}  // namespace parley::net
