#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "broker/cluster/redis_client.hpp"
#include "broker/cluster/state_keys.hpp"
#include "broker/cluster/state_values.hpp"

namespace parley::cluster {

/// A Lua script and the SHA-1 under which Redis knows it once it has seen it.
struct RedisScript {
  std::string_view text;
  std::string digest;
};
/// KEYS: a hash, and possibly a number that counts its changes. ARGV: fields and values that begin with 20 digits, a
/// blank and a node. A value is put where there is none, one with lower digits, or one with the same digits and node.
/// Returns the fields and values that were kept instead.
const RedisScript& claim_script();
/// KEYS: a hash. ARGV: fields and values as above. Removes those fields whose values are the same but for lower digits.
const RedisScript& withdraw_script();

/// Everything that this node tells Redis, in memory, and what of it Redis hasn't been told yet. Pure.
///
/// Belongs to one thread. Memory: what is announced, and two words for each thing that isn't yet.
class Announcements {
 public:
  Announcements(const StateKeys& keys, NodeId self, std::uint64_t incarnation);

  // -- What is true --
  void add_filter(const std::string& filter);
  void remove_filter(const std::string& filter);
  void claim(SlotClaim claim);
  void forget_claim(Slot slot);  ///< Somebody else leads; nothing to tell.
  void place_session(Slot slot, const std::string& client_id, std::uint64_t generation);
  void remove_session(const std::string& client_id);
  /// It lives elsewhere, unless it is back here in a newer generation; nothing to tell. False: it is.
  bool forget_session(const std::string& client_id, std::uint64_t elsewhere);

  // -- What has been told --
  /// Redis may know nothing of it any more.
  void lost();
  [[nodiscard]] bool complete() const;

  /// What to tell next: some hundred kilobytes in one pipeline, and what it was about.
  struct Batch {
    std::vector<RedisRequest> requests;
    std::uint64_t round = 0;
    bool with_filters = false;
    std::vector<std::string> filters;
    bool resets_filters = false;     ///< Begins to write all filters anew.
    bool completes_filters = false;  ///< And ends it.
    std::vector<std::pair<Slot, Term>> claims;
    std::vector<std::pair<Slot, std::string>> sessions;
    std::vector<std::size_t> claim_replies;  ///< Places of requests that return what was kept.
    std::vector<std::size_t> session_replies;
    [[nodiscard]] bool empty() const { return requests.empty(); }
  };
  /// Empty when everything is told. One batch at a time: then `told` or `failed`. What changes in between is told
  /// later.
  Batch next();
  void told(const Batch& batch);
  void failed(const Batch& batch);  ///< Whether or not some of it was carried out.

  [[nodiscard]] const std::map<Slot, SlotClaim>& claims() const { return claims_; }

 private:
  struct Session {
    Slot slot;
    std::uint64_t generation = 0;
    std::string value;
    bool gone = false;  ///< To be withdrawn.
  };

  void put_filters(Batch& batch);
  void put_claims(Batch& batch);
  void put_sessions(Batch& batch);

  [[nodiscard]] bool is_untold(const Session& session, const std::string& client_id) const;

  const StateKeys& keys_;
  const NodeId self_;
  const std::uint64_t incarnation_;

  std::uint64_t round_ = 0;  ///< Of losses.
  bool under_way_ = false;

  std::unordered_set<std::string> filters_;
  std::set<std::string> filters_untold_;
  std::uint64_t filters_version_;     ///< Begins anywhere: only compared for being the same.
  bool filters_from_scratch_ = true;  ///< Redis' set is to be replaced,
  bool filters_begun_ = false;        ///< and its successor exists.

  std::map<Slot, SlotClaim> claims_;
  std::set<Slot> claims_untold_;

  std::unordered_map<std::string, Session> sessions_;
  std::map<Slot, std::set<std::string>> sessions_untold_;
};

}  // namespace parley::cluster
