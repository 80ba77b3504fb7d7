#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "broker/cluster/frame.hpp"

/// How two nodes come to trust each other: a challenge answered by HMAC-SHA-256 over everything both have said, under
/// the cluster's secret, which never travels. Pure: the caller hands in frames, time and random bytes.
/// Format and order of frames: docs/formats/peer.md.
namespace parley::cluster {

inline constexpr VersionRange kPeerVersions{.min = 1, .max = 3};

using Nonce = std::array<char, kNonceSize>;

/// What this node says of itself, to every peer.
struct LocalNode {
  std::string name;
  NodeId id;
  std::uint64_t incarnation = 0;  ///< Random, not 0.
  std::uint64_t birth = 1;        ///< Of its data directory; random, not 0.
  std::string cluster;
  std::string secret;
  std::uint32_t slots = 256;
  VersionRange versions = kPeerVersions;
  std::uint32_t frame_max = 1024 * 1024;
  std::uint32_t window = 4 * 1024 * 1024;  ///< At least frame_max and a header.
};

/// The other side, once it has proved itself.
struct RemoteNode {
  std::string name;
  NodeId id;
  std::uint64_t incarnation = 0;
  std::uint64_t birth = 0;
  std::uint16_t version = 0;  ///< Of the protocol, as both speak it.
  std::uint32_t frame_max = 0;
  std::uint32_t window = 0;
  std::int64_t clock_ahead_ms = 0;  ///< How far its clock was ahead of ours, transit included.
};

/// Why there is no link, in the words that both logs get.
struct HandshakeRefusal {
  RefuseCode code = RefuseCode::Malformed;
  std::string sentence;
  bool by_peer = false;  ///< The other side has refused us.
};

inline constexpr std::int64_t kClockDifferenceMaxMs = 60'000;  ///< Beyond, the operator is warned.

/// One side of one handshake. Belongs to one thread; lives as long as the connection's first second.
class Handshake {
 public:
  /// Asked once the other side has said who it is, by the node that is dialed once it has proved it: the sentence of a
  /// refusal, if it isn't wanted nevertheless.
  using Admission = std::function<std::optional<HandshakeRefusal>(const RemoteNode&)>;

  /// The node that dials; `expected` is whom it means to reach. `out` gets its Hello.
  static Handshake dial(const LocalNode& self, NodeId expected, const Nonce& nonce, Timestamp now, std::string& out,
                        Admission admission = {});
  /// The node that is dialed. `self` and `admission` live longer than the handshake.
  static Handshake accept(const LocalNode& self, const Nonce& nonce, Admission admission);

  struct Pending {};
  using Outcome = std::variant<Pending, RemoteNode, HandshakeRefusal>;

  /// Takes the next frame and appends what is to be answered to `out`, also when it refuses. After an outcome that
  /// isn't Pending there is nothing more to receive.
  Outcome receive(const Frame& frame, Timestamp now, std::string& out);
  /// The bytes were no frame, or none came in time: what to say and to log.
  Outcome fail(RefuseCode code, std::string_view sentence, std::string& out);

 private:
  enum class Side : std::uint8_t { Dialer, Acceptor };
  enum class Awaits : std::uint8_t { Hello, Challenge, Proof, Welcome, Nothing };

  Handshake(const LocalNode& self, Awaits first, const Nonce& nonce) : self_(&self), awaits_(first), nonce_(nonce) {}

  Outcome receive_hello(std::string_view body, Timestamp now, std::string& out);
  Outcome receive_challenge(std::string_view body, Timestamp now, std::string& out);
  Outcome receive_proof(std::string_view body, std::string& out);
  Outcome receive_welcome(std::string_view body, std::string& out);
  /// Common to both sides: cluster, slots, versions, identity.
  std::optional<HandshakeRefusal> judge(const Introduction& peer) const;
  void introduce(FrameType type, Timestamp now, std::string& out);
  void remember(const Introduction& peer, Timestamp now);
  [[nodiscard]] std::string proof_of(Side side) const;
  Outcome refuse(HandshakeRefusal refusal, std::string& out);

  const LocalNode* self_;
  Awaits awaits_;
  Nonce nonce_;
  NodeId expected_;
  Admission admission_;
  std::string hello_;  ///< The bodies as they went over the wire: what the proofs are about.
  std::string challenge_;
  RemoteNode remote_;
};

}  // namespace parley::cluster
