#include "broker/cluster/handshake.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/broker/cluster/local_node.hpp"

namespace parley::cluster {
namespace {

using test::frame_in;

using test::local_node;
using test::nonce_of;

constexpr Timestamp kNow{1'700'000'000'000};

bool is_pending(const Handshake::Outcome& outcome) { return std::holds_alternative<Handshake::Pending>(outcome); }

std::string sentence_of(const std::optional<HandshakeRefusal>& refusal) { return refusal ? refusal->sentence : ""; }

/// What either side makes of it when every frame arrives.
struct Conversation {
  std::optional<RemoteNode> seen_by_dialer;
  std::optional<RemoteNode> seen_by_acceptor;
  std::optional<HandshakeRefusal> told_dialer;
  std::optional<HandshakeRefusal> told_acceptor;
  std::vector<std::string> from_dialer;  ///< Frames, as they went.
  std::vector<std::string> from_acceptor;
};

void keep(const Handshake::Outcome& outcome, std::optional<RemoteNode>& seen, std::optional<HandshakeRefusal>& told) {
  if (const auto* remote = std::get_if<RemoteNode>(&outcome)) seen = *remote;
  if (const auto* refusal = std::get_if<HandshakeRefusal>(&outcome)) told = *refusal;
}

struct Meeting {
  LocalNode dialer = local_node("node-a", 1);
  LocalNode acceptor = local_node("node-b", 2);
  NodeId expected{2};
  Timestamp dialer_clock = kNow;
  Timestamp acceptor_clock = kNow;
  Handshake::Admission admission;
  Handshake::Admission dialer_admission;
  std::function<void(std::string& frame)> tamper_dialer;  ///< With what the dialer says, before it arrives.
  std::function<void(std::string& frame)> tamper_acceptor;

  Conversation talk() {
    Conversation conversation;
    std::string to_acceptor;
    std::string to_dialer;
    auto dialing = Handshake::dial(dialer, expected, nonce_of('d'), dialer_clock, to_acceptor, dialer_admission);
    auto accepting = Handshake::accept(acceptor, nonce_of('a'), admission);
    for (int step = 0; step < 10 && !(to_acceptor.empty() && to_dialer.empty()); ++step) {
      if (!to_acceptor.empty()) {
        std::string said = std::exchange(to_acceptor, {});
        conversation.from_dialer.push_back(said);
        if (tamper_dialer) tamper_dialer(said);
        if (conversation.told_acceptor || conversation.seen_by_acceptor) continue;
        const auto frame = frame_in(said);
        keep(accepting.receive(frame, acceptor_clock, to_dialer), conversation.seen_by_acceptor,
             conversation.told_acceptor);
      } else {
        std::string said = std::exchange(to_dialer, {});
        conversation.from_acceptor.push_back(said);
        if (tamper_acceptor) tamper_acceptor(said);
        if (conversation.told_dialer || conversation.seen_by_dialer) continue;
        const auto frame = frame_in(said);
        keep(dialing.receive(frame, dialer_clock, to_acceptor), conversation.seen_by_dialer, conversation.told_dialer);
      }
    }
    return conversation;
  }
};

TEST(PeerHandshake, IntroducesBothSides) {
  Meeting meeting;
  meeting.dialer.window = 5'000'000;
  meeting.dialer.birth = 55;
  const Conversation conversation = meeting.talk();
  ASSERT_TRUE(conversation.seen_by_acceptor) << sentence_of(conversation.told_acceptor);
  ASSERT_TRUE(conversation.seen_by_dialer) << sentence_of(conversation.told_dialer);
  EXPECT_EQ(conversation.seen_by_acceptor->name, "node-a");
  EXPECT_EQ(conversation.seen_by_acceptor->id, NodeId{1});
  EXPECT_EQ(conversation.seen_by_acceptor->incarnation, meeting.dialer.incarnation);
  EXPECT_EQ(conversation.seen_by_acceptor->window, 5'000'000U);
  EXPECT_EQ(conversation.seen_by_acceptor->birth, 55U);
  EXPECT_EQ(conversation.seen_by_acceptor->version, kPeerVersions.max);
  EXPECT_EQ(conversation.seen_by_dialer->name, "node-b");
  EXPECT_EQ(conversation.seen_by_dialer->version, kPeerVersions.max);
}

TEST(PeerHandshake, SpeaksTheHighestCommonVersion) {
  Meeting meeting;
  meeting.dialer.versions = {1, 4};
  meeting.acceptor.versions = {2, 3};
  const Conversation conversation = meeting.talk();
  ASSERT_TRUE(conversation.seen_by_dialer && conversation.seen_by_acceptor);
  EXPECT_EQ(conversation.seen_by_dialer->version, 3);
  EXPECT_EQ(conversation.seen_by_acceptor->version, 3);
}

/// Of nodes that are one version apart, or held at an older one.
TEST(PeerHandshake, SpeaksWithTheVersionBefore) {
  struct Case {
    VersionRange dialer;
    VersionRange acceptor;
    std::uint16_t spoken;
  };
  constexpr VersionRange kHeld{.min = 1, .max = 1};
  constexpr VersionRange kBefore{.min = 1, .max = 2};
  constexpr VersionRange kNext{.min = 2, .max = 4};
  for (const Case& one :
       {Case{kHeld, kPeerVersions, 1}, Case{kPeerVersions, kHeld, 1}, Case{kHeld, kHeld, 1},
        Case{kBefore, kPeerVersions, 2}, Case{kPeerVersions, kPeerVersions, 3}, Case{kPeerVersions, kNext, 3}}) {
    Meeting meeting;
    meeting.dialer.versions = one.dialer;
    meeting.acceptor.versions = one.acceptor;
    const Conversation conversation = meeting.talk();
    ASSERT_TRUE(conversation.seen_by_dialer && conversation.seen_by_acceptor) << one.spoken;
    EXPECT_EQ(conversation.seen_by_dialer->version, one.spoken);
    EXPECT_EQ(conversation.seen_by_acceptor->version, one.spoken);
  }
}

TEST(PeerHandshake, MeasuresTheOtherClock) {
  Meeting meeting;
  meeting.acceptor_clock = {kNow.milliseconds + 90'000};
  const Conversation conversation = meeting.talk();
  ASSERT_TRUE(conversation.seen_by_dialer && conversation.seen_by_acceptor);
  EXPECT_EQ(conversation.seen_by_dialer->clock_ahead_ms, 90'000);
  EXPECT_EQ(conversation.seen_by_acceptor->clock_ahead_ms, -90'000);
}

struct Unwelcome {
  const char* what;
  std::function<void(Meeting&)> arrange;
  RefuseCode code;
  std::string sentence;  ///< The same in both logs.
};

TEST(PeerHandshake, RefusesWithOneSentenceForBothSides) {
  const std::vector<Unwelcome> table{
      {"another secret", [](Meeting& m) { m.acceptor.secret = "wrong"; }, RefuseCode::Secret,
       "the secrets of nodes 'node-a' and 'node-b' differ"},
      {"an empty secret", [](Meeting& m) { m.dialer.secret.clear(); }, RefuseCode::Secret,
       "the secrets of nodes 'node-a' and 'node-b' differ"},
      {"another cluster", [](Meeting& m) { m.acceptor.cluster = "other"; }, RefuseCode::Cluster,
       "nodes 'node-b' and 'node-a' belong to different clusters, 'other' and 'chat.example'"},
      {"other slots", [](Meeting& m) { m.acceptor.slots = 512; }, RefuseCode::Slots,
       "nodes 'node-b' and 'node-a' count different numbers of slots, 512 and 256"},
      {"a newer protocol",
       [](Meeting& m) {
         m.dialer.versions = {4, 5};
       },
       RefuseCode::Version,
       "nodes 'node-b' and 'node-a' have no peer protocol version in common (1 to 3, 4 to 5): upgrade 'node-b' first"},
      {"an older protocol",
       [](Meeting& m) {
         m.acceptor.versions = {5, 5};
       },
       RefuseCode::Version,
       "nodes 'node-b' and 'node-a' have no peer protocol version in common (5, 1 to 3): upgrade 'node-a' first"},
      {"two nodes of one id", [](Meeting& m) { m.acceptor = local_node("node-b", 1, 7); }, RefuseCode::SameNode,
       "two nodes have one id: 'node-b' and 'node-a'"},
      {"itself", [](Meeting& m) { m.acceptor = m.dialer; }, RefuseCode::SameNode, "node 'node-a' has reached itself"},
      {"the higher id dials", [](Meeting& m) { m.dialer = local_node("node-c", 3); }, RefuseCode::WrongDirection,
       "node 'node-c' has the higher id and must wait for being dialed by 'node-b'"},
      {"another node at the address", [](Meeting& m) { m.expected = {9}; }, RefuseCode::UnexpectedNode,
       "node 'node-a' meant to reach another node than 'node-b', which answers at this address"},
      {"not admitted by the dialer",
       [](Meeting& m) {
         m.dialer_admission = [](const RemoteNode& remote) -> std::optional<HandshakeRefusal> {
           return HandshakeRefusal{.code = RefuseCode::LostDirectory, .sentence = "no " + std::to_string(remote.birth)};
         };
         m.acceptor.birth = 77;
       },
       RefuseCode::LostDirectory, "no 77"},
      {"not admitted",
       [](Meeting& m) {
         m.admission = [](const RemoteNode& remote) -> std::optional<HandshakeRefusal> {
           return HandshakeRefusal{.code = RefuseCode::Removed, .sentence = "no " + remote.name};
         };
       },
       RefuseCode::Removed, "no node-a"},
  };
  for (const Unwelcome& unwelcome : table) {
    Meeting meeting;
    unwelcome.arrange(meeting);
    const Conversation conversation = meeting.talk();
    ASSERT_TRUE(conversation.told_dialer) << unwelcome.what;
    ASSERT_TRUE(conversation.told_acceptor) << unwelcome.what;
    EXPECT_FALSE(conversation.seen_by_dialer) << unwelcome.what;
    EXPECT_FALSE(conversation.seen_by_acceptor) << unwelcome.what;
    EXPECT_EQ(conversation.told_dialer->code, unwelcome.code) << unwelcome.what;
    EXPECT_EQ(conversation.told_acceptor->code, unwelcome.code) << unwelcome.what;
    EXPECT_EQ(conversation.told_dialer->sentence, unwelcome.sentence) << unwelcome.what;
    EXPECT_EQ(conversation.told_acceptor->sentence, unwelcome.sentence) << unwelcome.what;
    EXPECT_NE(conversation.told_dialer->by_peer, conversation.told_acceptor->by_peer) << unwelcome.what;
  }
}

TEST(PeerHandshake, NeverSendsTheSecret) {
  Meeting meeting;
  const Conversation conversation = meeting.talk();
  for (const auto& frames : {conversation.from_dialer, conversation.from_acceptor}) {
    for (const std::string& frame : frames) EXPECT_EQ(frame.find(meeting.dialer.secret), std::string::npos);
  }
}

TEST(PeerHandshake, RefusesWhoPretendsToBeTheAcceptor) {
  Meeting meeting;  // It knows everything but the secret and answers with the dialer's own proof.
  std::string dialers_proof;
  meeting.tamper_dialer = [&](std::string& frame) {
    if (static_cast<FrameType>(frame[4]) == FrameType::Proof) dialers_proof = frame.substr(kFrameHeaderSize);
  };
  meeting.tamper_acceptor = [&](std::string& frame) {
    if (static_cast<FrameType>(frame[4]) != FrameType::Welcome) return;
    frame.clear();
    append_welcome(frame, {.version = 1, .proof = dialers_proof});
  };
  const Conversation conversation = meeting.talk();
  ASSERT_TRUE(conversation.told_dialer);
  EXPECT_EQ(conversation.told_dialer->code, RefuseCode::Secret);
}

TEST(PeerHandshake, FailsWhenReplayed) {
  Meeting meeting;
  const Conversation recorded = meeting.talk();
  ASSERT_EQ(recorded.from_dialer.size(), 2U);
  // The same acceptor, another connection: another nonce.
  auto accepting = Handshake::accept(meeting.acceptor, nonce_of('b'), {});
  std::string out;
  const auto hello = frame_in(recorded.from_dialer[0]);
  EXPECT_TRUE(is_pending(accepting.receive(hello, kNow, out)));
  const auto proof = frame_in(recorded.from_dialer[1]);
  const auto outcome = accepting.receive(proof, kNow, out);
  ASSERT_TRUE(std::holds_alternative<HandshakeRefusal>(outcome));
  EXPECT_EQ(std::get<HandshakeRefusal>(outcome).code, RefuseCode::Secret);

  // And recorded answers don't satisfy a dialer.
  std::string hello_out;
  auto dialing = Handshake::dial(meeting.dialer, {2}, nonce_of('e'), kNow, hello_out);
  const auto challenge = frame_in(recorded.from_acceptor[0]);
  EXPECT_TRUE(is_pending(dialing.receive(challenge, kNow, out)));
  const auto welcome = frame_in(recorded.from_acceptor[1]);
  const auto answer = dialing.receive(welcome, kNow, out);
  ASSERT_TRUE(std::holds_alternative<HandshakeRefusal>(answer));
  EXPECT_EQ(std::get<HandshakeRefusal>(answer).code, RefuseCode::Secret);
}

TEST(PeerHandshake, NoticesEveryFlippedBit) {
  Meeting plain;
  const Conversation recorded = plain.talk();
  const auto flip_all = [&](const std::vector<std::string>& frames, auto member) {
    for (std::size_t which = 0; which < frames.size(); ++which) {
      for (std::size_t bit = kFrameHeaderSize * 8; bit < frames[which].size() * 8; ++bit) {
        Meeting meeting;
        std::size_t seen = 0;
        meeting.*member = [&](std::string& frame) {
          if (seen++ == which) frame[bit / 8] = static_cast<char>(frame[bit / 8] ^ (1 << (bit % 8)));
        };
        const Conversation conversation = meeting.talk();
        EXPECT_FALSE(conversation.seen_by_dialer && conversation.seen_by_acceptor)
            << "frame " << which << " bit " << bit;
      }
    }
  };
  flip_all(recorded.from_dialer, &Meeting::tamper_dialer);
  flip_all(recorded.from_acceptor, &Meeting::tamper_acceptor);
}

TEST(PeerHandshake, RefusesFramesOutOfOrder) {
  const LocalNode self = local_node("node-b", 2);
  std::string frames;
  append_proof(frames, std::string(kProofSize, 'p'));
  append_welcome(frames, {.version = 1, .proof = std::string(kProofSize, 'p')});
  append_heartbeat(frames, {});
  append_close(frames, "bye");
  append_credit(frames, 0, 1);
  for (std::string_view left = frames; !left.empty();) {
    const auto frame = frame_in(left);
    left.remove_prefix(frame.size);
    for (const bool dials : {true, false}) {
      std::string out;
      auto handshake =
          dials ? Handshake::dial(self, {3}, nonce_of('d'), kNow, out) : Handshake::accept(self, nonce_of('a'), {});
      const auto outcome = handshake.receive(frame, kNow, out);
      ASSERT_TRUE(std::holds_alternative<HandshakeRefusal>(outcome)) << static_cast<int>(frame.type);
      EXPECT_EQ(std::get<HandshakeRefusal>(outcome).code, RefuseCode::Malformed);
    }
  }
}

}  // namespace
}  // namespace parley::cluster
