#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"
#include "broker/cluster/node.hpp"

/// Frames between nodes: bytes <-> values. Pure; any thread. Decoded values point into the bytes they came from and
/// live as long as those. Format: docs/formats/peer.md.
namespace parley::cluster {

/// Why bytes from a peer are no frame; the connection that brought them is closed.
enum class FrameError {
  TooLarge = 1,  ///< Longer than this node accepts at this point.
  UnknownType,   ///< No frame of this protocol version.
  Malformed,     ///< A field is cut off, out of its range, or followed by bytes that belong to nothing.
  ForeignMagic,  ///< What speaks there is no Parley node.
};
boost::system::error_code make_error_code(FrameError error);

enum class FrameType : std::uint8_t {
  Hello = 1,      ///< Dialer: who I am.
  Challenge = 2,  ///< Acceptor: who I am.
  Proof = 3,      ///< Dialer: I know the secret.
  Welcome = 4,    ///< Acceptor: so do I; the link is open.
  Refuse = 5,     ///< Either: no link, and why.
  Heartbeat = 6,
  Data = 7,
  Credit = 8,
  Close = 9,
};

using Channel = std::uint16_t;
inline constexpr Channel kChannels = 16;  ///< 0 … 15; a frame for another one is malformed.

inline constexpr std::size_t kFrameHeaderSize = 7;       ///< Length, type, channel.
inline constexpr std::size_t kHandshakeFrameMax = 1024;  ///< Until the other side has proved that it knows the secret.
inline constexpr std::size_t kSentenceMax = 512;
inline constexpr std::size_t kNonceSize = 32;
inline constexpr std::size_t kProofSize = 32;

struct Frame {
  FrameType type = FrameType::Close;
  Channel channel = 0;  ///< 0 where the type has none.
  std::string_view body;
  std::size_t size = 0;  ///< In the input, header included.
};

/// The first frame of `bytes`; none while it isn't complete. Its length is judged as soon as its header is there, so
/// nobody needs to buffer more than `body_max` + kFrameHeaderSize bytes.
Result<std::optional<Frame>> next_frame(std::string_view bytes, std::size_t body_max);

/// What stands before a body of `body_size` bytes.
std::array<char, kFrameHeaderSize> frame_header(FrameType type, Channel channel, std::size_t body_size);

struct VersionRange {
  std::uint16_t min = 0;
  std::uint16_t max = 0;
};
/// The highest version that both speak.
std::optional<std::uint16_t> common_version(VersionRange one, VersionRange other);

/// Hello and Challenge have the same body.
struct Introduction {
  VersionRange versions;
  NodeId node;
  std::uint64_t incarnation = 0;  ///< Random at each start of the process.
  std::uint32_t slots = 0;
  Timestamp clock;
  std::uint32_t frame_max = 0;  ///< Largest body of Data that the sender accepts.
  std::uint32_t window =
      0;  ///< Bytes of Data frames, headers included, that a channel may bring before its receiver gives credit.
  std::string_view nonce;  ///< kNonceSize bytes.
  std::string_view cluster;
  std::string_view name;
  std::uint64_t birth = 1;  ///< Of the node's data directory, random; not 0.
};

struct Welcome {
  std::uint16_t version = 0;
  std::string_view proof;  ///< kProofSize bytes.
};

/// The code is for programs, the sentence for whoever reads the log.
enum class RefuseCode : std::uint8_t {
  Version = 1,
  Cluster = 2,
  Slots = 3,
  Secret = 4,
  SameNode = 5,       ///< The node has called itself, or another one has its id.
  DuplicateNode = 6,  ///< A link to another process with this id is alive.
  WrongDirection = 7,
  Removed = 8,
  Malformed = 9,
  Timeout = 10,
  UnexpectedNode = 11,  ///< At this address answers another node than the one that was called.
  LostDirectory = 12,   ///< The node's data directory isn't the one that it had.
};
struct Refusal {
  RefuseCode code = RefuseCode::Malformed;
  std::string_view sentence;
};

/// Both times are on the clock of the node that began the round: `echo` and `held` give the round-trip time without
/// any clock being shared.
struct Heartbeat {
  std::uint64_t sent = 0;  ///< The sender's steady clock, nanoseconds.
  std::uint64_t echo = 0;  ///< `sent` of the last heartbeat that the sender got; 0: none yet.
  std::uint64_t held = 0;  ///< Nanoseconds between getting it and sending this.
};

/// Each appends one whole frame.
void append_introduction(std::string& to, FrameType type, const Introduction& introduction);
void append_proof(std::string& to, std::string_view proof);
void append_welcome(std::string& to, const Welcome& welcome);
void append_refusal(std::string& to, const Refusal& refusal);  ///< Cuts the sentence to kSentenceMax.
void append_heartbeat(std::string& to, const Heartbeat& heartbeat);
void append_credit(std::string& to, Channel channel, std::uint32_t bytes);
void append_close(std::string& to, std::string_view sentence);

/// Each takes the body of a frame of its type and fails with Malformed, or ForeignMagic.
Result<Introduction> decode_introduction(std::string_view body);
Result<std::string_view> decode_proof(std::string_view body);
Result<Welcome> decode_welcome(std::string_view body);
Result<Refusal> decode_refusal(std::string_view body);
Result<Heartbeat> decode_heartbeat(std::string_view body);
Result<std::uint32_t> decode_credit(std::string_view body);
Result<std::string_view> decode_close(std::string_view body);

}  // namespace parley::cluster

template <>
struct boost::system::is_error_code_enum<parley::cluster::FrameError> : std::true_type {};
