#include "broker/cluster/handshake.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <utility>

#include "base/bytes.hpp"
#include "base/check.hpp"

namespace parley::cluster {
namespace {

// The label keeps the two proofs, and any other use of the secret, apart.
constexpr std::string_view kDialerLabel = "parley peer link 1, dialer";
constexpr std::string_view kAcceptorLabel = "parley peer link 1, acceptor";

std::string hmac_sha256(std::string_view key, std::string_view message) {
  std::string digest(kProofSize, '\0');
  unsigned int size = 0;
  const auto* made = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                          reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                          reinterpret_cast<unsigned char*>(digest.data()), &size);
  PARLEY_CHECK(made != nullptr && size == kProofSize, "OpenSSL makes no HMAC-SHA-256");
  return digest;
}

bool equal_in_constant_time(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

std::string versions_text(VersionRange range) {
  if (range.min == range.max) return std::to_string(range.min);
  return std::to_string(range.min) + " to " + std::to_string(range.max);
}

}  // namespace

Handshake Handshake::dial(const LocalNode& self, NodeId expected, const Nonce& nonce, Timestamp now, std::string& out,
                          Admission admission) {
  Handshake handshake(self, Awaits::Challenge, nonce);
  handshake.expected_ = expected;
  handshake.admission_ = std::move(admission);
  handshake.introduce(FrameType::Hello, now, out);
  return handshake;
}

Handshake Handshake::accept(const LocalNode& self, const Nonce& nonce, Admission admission) {
  Handshake handshake(self, Awaits::Hello, nonce);
  handshake.admission_ = std::move(admission);
  return handshake;
}

Handshake::Outcome Handshake::receive(const Frame& frame, Timestamp now, std::string& out) {
  if (frame.type == FrameType::Refuse) {
    const auto refusal = decode_refusal(frame.body);
    if (!refusal) return fail(RefuseCode::Malformed, "the peer's refusal is malformed", out);
    awaits_ = Awaits::Nothing;
    return HandshakeRefusal{.code = refusal->code, .sentence = std::string(refusal->sentence), .by_peer = true};
  }
  switch (awaits_) {
    case Awaits::Hello:
      if (frame.type == FrameType::Hello) return receive_hello(frame.body, now, out);
      break;
    case Awaits::Challenge:
      if (frame.type == FrameType::Challenge) return receive_challenge(frame.body, now, out);
      break;
    case Awaits::Proof:
      if (frame.type == FrameType::Proof) return receive_proof(frame.body, out);
      break;
    case Awaits::Welcome:
      if (frame.type == FrameType::Welcome) return receive_welcome(frame.body, out);
      break;
    case Awaits::Nothing: break;
  }
  return fail(RefuseCode::Malformed, "a frame came that has no place in the handshake at this point", out);
}

Handshake::Outcome Handshake::fail(RefuseCode code, std::string_view sentence, std::string& out) {
  return refuse({.code = code, .sentence = std::string(sentence)}, out);
}

Handshake::Outcome Handshake::receive_hello(std::string_view body, Timestamp now, std::string& out) {
  const auto hello = decode_introduction(body);
  if (!hello) return fail(RefuseCode::Malformed, "Hello: " + hello.error().message(), out);
  auto refusal = judge(*hello);
  if (!refusal && hello->node > self_->id) {
    refusal = {.code = RefuseCode::WrongDirection,
               .sentence = "node " + quoted(hello->name) + " has the higher id and must wait for being dialed by " +
                           quoted(self_->name)};
  }
  if (refusal) return refuse(*std::move(refusal), out);
  hello_ = body;
  remember(*hello, now);
  introduce(FrameType::Challenge, now, out);
  awaits_ = Awaits::Proof;
  return Pending{};
}

Handshake::Outcome Handshake::receive_challenge(std::string_view body, Timestamp now, std::string& out) {
  const auto challenge = decode_introduction(body);
  if (!challenge) return fail(RefuseCode::Malformed, "Challenge: " + challenge.error().message(), out);
  auto refusal = judge(*challenge);
  if (!refusal && challenge->node != expected_) {
    refusal = {.code = RefuseCode::UnexpectedNode,
               .sentence = "node " + quoted(self_->name) + " meant to reach another node than " +
                           quoted(challenge->name) + ", which answers at this address"};
  }
  if (refusal) return refuse(*std::move(refusal), out);
  challenge_ = body;
  remember(*challenge, now);
  if (admission_) refusal = admission_(remote_);
  if (refusal) return refuse(*std::move(refusal), out);
  append_proof(out, proof_of(Side::Dialer));
  awaits_ = Awaits::Welcome;
  return Pending{};
}

Handshake::Outcome Handshake::receive_proof(std::string_view body, std::string& out) {
  const auto proof = decode_proof(body);
  if (!proof) return fail(RefuseCode::Malformed, "Proof: " + proof.error().message(), out);
  if (!equal_in_constant_time(*proof, proof_of(Side::Dialer))) {
    return fail(RefuseCode::Secret,
                "the secrets of nodes " + quoted(remote_.name) + " and " + quoted(self_->name) + " differ", out);
  }
  if (admission_) {
    auto refusal = admission_(remote_);
    if (refusal) return refuse(*std::move(refusal), out);
  }
  append_welcome(out, {.version = remote_.version, .proof = proof_of(Side::Acceptor)});
  awaits_ = Awaits::Nothing;
  return remote_;
}

Handshake::Outcome Handshake::receive_welcome(std::string_view body, std::string& out) {
  const auto welcome = decode_welcome(body);
  if (!welcome) return fail(RefuseCode::Malformed, "Welcome: " + welcome.error().message(), out);
  if (!equal_in_constant_time(welcome->proof, proof_of(Side::Acceptor))) {
    return fail(RefuseCode::Secret,
                "the secrets of nodes " + quoted(self_->name) + " and " + quoted(remote_.name) + " differ", out);
  }
  if (welcome->version != remote_.version) {
    return fail(RefuseCode::Version, "the peer speaks a protocol version that was not agreed on", out);
  }
  awaits_ = Awaits::Nothing;
  return remote_;
}

std::optional<HandshakeRefusal> Handshake::judge(const Introduction& peer) const {
  const std::string both = "nodes " + quoted(self_->name) + " and " + quoted(peer.name);
  if (!common_version(self_->versions, peer.versions)) {
    const std::string& older = self_->versions.max < peer.versions.min ? self_->name : std::string(peer.name);
    return HandshakeRefusal{.code = RefuseCode::Version,
                            .sentence = both + " have no peer protocol version in common (" +
                                        versions_text(self_->versions) + ", " + versions_text(peer.versions) +
                                        "): upgrade " + quoted(older) + " first"};
  }
  if (peer.cluster != self_->cluster) {
    return HandshakeRefusal{
        .code = RefuseCode::Cluster,
        .sentence = both + " belong to different clusters, " + quoted(self_->cluster) + " and " + quoted(peer.cluster)};
  }
  if (peer.slots != self_->slots) {
    return HandshakeRefusal{.code = RefuseCode::Slots,
                            .sentence = both + " count different numbers of slots, " + std::to_string(self_->slots) +
                                        " and " + std::to_string(peer.slots)};
  }
  if (peer.node == self_->id) {
    const bool itself = peer.incarnation == self_->incarnation;
    return HandshakeRefusal{
        .code = RefuseCode::SameNode,
        .sentence = itself ? "node " + quoted(self_->name) + " has reached itself"
                           : "two nodes have one id: " + quoted(self_->name) + " and " + quoted(peer.name)};
  }
  return std::nullopt;
}

void Handshake::introduce(FrameType type, Timestamp now, std::string& out) {
  const std::size_t begin = out.size();
  append_introduction(out, type,
                      {.versions = self_->versions,
                       .node = self_->id,
                       .incarnation = self_->incarnation,
                       .slots = self_->slots,
                       .clock = now,
                       .frame_max = self_->frame_max,
                       .window = self_->window,
                       .nonce = std::string_view(nonce_.data(), nonce_.size()),
                       .cluster = self_->cluster,
                       .name = self_->name,
                       .birth = self_->birth});
  std::string& said = type == FrameType::Hello ? hello_ : challenge_;
  said = out.substr(begin + kFrameHeaderSize);
}

void Handshake::remember(const Introduction& peer, Timestamp now) {
  remote_ = {.name = std::string(peer.name),
             .id = peer.node,
             .incarnation = peer.incarnation,
             .birth = peer.birth,
             .version = *common_version(self_->versions, peer.versions),
             .frame_max = peer.frame_max,
             .window = peer.window,
             .clock_ahead_ms =
                 static_cast<std::int64_t>(peer.clock.milliseconds) - static_cast<std::int64_t>(now.milliseconds)};
}

std::string Handshake::proof_of(Side side) const {
  std::string message(side == Side::Dialer ? kDialerLabel : kAcceptorLabel);
  append_big_endian(message, static_cast<std::uint32_t>(hello_.size()));
  message.append(hello_);
  append_big_endian(message, static_cast<std::uint32_t>(challenge_.size()));
  message.append(challenge_);
  return hmac_sha256(self_->secret, message);
}

Handshake::Outcome Handshake::refuse(HandshakeRefusal refusal, std::string& out) {
  append_refusal(out, {.code = refusal.code, .sentence = refusal.sentence});
  awaits_ = Awaits::Nothing;
  return refusal;
}

}  // namespace parley::cluster
