#include "broker/cluster/announcements.hpp"

#include <openssl/evp.h>

#include <array>
#include <utility>

#include "base/check.hpp"

namespace parley::cluster {
namespace {

constexpr std::size_t kItemsMax = 2000;
constexpr std::size_t kBytesMax = 256 * 1024;
constexpr std::size_t kArgumentsMax = 500;  ///< Of one command: Lua's stack and other clients' patience are limited.
constexpr std::size_t kHintMax = 16 * 1024;

constexpr std::string_view kClaimText = R"(local kept = {}
local changes = 0
for i = 1, #ARGV, 2 do
  local have = redis.call('HGET', KEYS[1], ARGV[i])
  local new = ARGV[i + 1]
  if (not have) or string.sub(have, 1, 20) < string.sub(new, 1, 20) or string.sub(have, 1, 37) == string.sub(new, 1, 37) then
    if have ~= new then
      redis.call('HSET', KEYS[1], ARGV[i], new)
      changes = changes + 1
    end
  else
    kept[#kept + 1] = ARGV[i]
    kept[#kept + 1] = have
  end
end
if KEYS[2] and changes > 0 then redis.call('INCR', KEYS[2]) end
return kept
)";

constexpr std::string_view kWithdrawText = R"(for i = 1, #ARGV, 2 do
  local have = redis.call('HGET', KEYS[1], ARGV[i])
  local old = ARGV[i + 1]
  if have and string.sub(have, 21) == string.sub(old, 21) and string.sub(have, 1, 20) <= string.sub(old, 1, 20) then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return {}
)";

std::string sha1_text(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<unsigned char, 20> digest{};
  unsigned int size = 0;
  const int made = EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha1(), nullptr);
  PARLEY_CHECK(made == 1 && size == digest.size(), "OpenSSL makes no SHA-1");
  std::string text;
  for (const unsigned char byte : digest) text.append(1, kDigits[byte >> 4]).append(1, kDigits[byte & 15]);
  return text;
}

/// How much of one batch is used up.
struct Measure {
  std::size_t items = 0;
  std::size_t bytes = 0;
  void count(std::size_t size) {
    ++items;
    bytes += size;
  }
  [[nodiscard]] bool full() const { return items >= kItemsMax || bytes >= kBytesMax; }
};

/// Adds `arguments` to the last command of `requests` if that is `begin` and has room, else to a new one.
class Chunks {
 public:
  Chunks(std::vector<RedisRequest>& requests, std::string key, RedisCommand begin)
      : requests_(requests), key_(std::move(key)), begin_(std::move(begin)) {}
  void add(std::initializer_list<std::string_view> arguments) {
    if (place_ == SIZE_MAX || requests_[place_].command.size() >= kArgumentsMax) {
      place_ = requests_.size();
      requests_.push_back({.key = key_, .command = begin_});
      places.push_back(place_);
    }
    for (const std::string_view argument : arguments) requests_[place_].command.emplace_back(argument);
  }
  std::vector<std::size_t> places;  ///< Of its commands.

 private:
  std::vector<RedisRequest>& requests_;
  std::string key_;
  RedisCommand begin_;
  std::size_t place_ = SIZE_MAX;
};

}  // namespace

const RedisScript& claim_script() {
  static const RedisScript script{.text = kClaimText, .digest = sha1_text(kClaimText)};
  return script;
}

const RedisScript& withdraw_script() {
  static const RedisScript script{.text = kWithdrawText, .digest = sha1_text(kWithdrawText)};
  return script;
}

Announcements::Announcements(const StateKeys& keys, NodeId self, std::uint64_t incarnation)
    : keys_(keys), self_(self), incarnation_(incarnation), filters_version_(incarnation) {}

void Announcements::add_filter(const std::string& filter) {
  if (filters_.insert(filter).second) filters_untold_.insert(filter);
}

void Announcements::remove_filter(const std::string& filter) {
  if (filters_.erase(filter) != 0) filters_untold_.insert(filter);
}

void Announcements::claim(SlotClaim claim) {
  claims_untold_.insert(claim.slot);
  claims_[claim.slot] = std::move(claim);
}

void Announcements::forget_claim(Slot slot) {
  claims_.erase(slot);
  claims_untold_.erase(slot);
}

void Announcements::place_session(Slot slot, const std::string& client_id, std::uint64_t generation) {
  const SessionLocation location{.generation = generation, .node = self_, .incarnation = incarnation_};
  sessions_[client_id] = {.slot = slot, .generation = generation, .value = encode(location)};
  sessions_untold_[slot].insert(client_id);
}

void Announcements::remove_session(const std::string& client_id) {
  const auto session = sessions_.find(client_id);
  if (session == sessions_.end()) return;
  session->second.gone = true;
  sessions_untold_[session->second.slot].insert(client_id);
}

bool Announcements::forget_session(const std::string& client_id, std::uint64_t elsewhere) {
  const auto session = sessions_.find(client_id);
  if (session == sessions_.end()) return true;
  if (session->second.generation > elsewhere) return false;
  const auto untold = sessions_untold_.find(session->second.slot);
  if (untold != sessions_untold_.end()) {
    untold->second.erase(client_id);
    if (untold->second.empty()) sessions_untold_.erase(untold);
  }
  sessions_.erase(session);
  return true;
}

void Announcements::lost() {
  ++round_;
  ++filters_version_;
  filters_from_scratch_ = true;
  filters_begun_ = false;
  filters_untold_.clear();
  filters_untold_.insert(filters_.begin(), filters_.end());
  for (const auto& [slot, claim] : claims_) claims_untold_.insert(slot);
  for (const auto& [client_id, session] : sessions_) sessions_untold_[session.slot].insert(client_id);
}

bool Announcements::complete() const {
  return !under_way_ && !filters_from_scratch_ && filters_untold_.empty() && claims_untold_.empty() &&
         sessions_untold_.empty();
}

Announcements::Batch Announcements::next() {
  Batch batch;
  batch.round = round_;
  put_claims(batch);
  put_filters(batch);
  if (batch.requests.empty() || batch.filters.size() < kItemsMax / 2) put_sessions(batch);
  under_way_ = !batch.empty();
  return batch;
}

void Announcements::put_claims(Batch& batch) {
  Chunks claims(batch.requests, keys_.slots, {"EVALSHA", claim_script().digest, "2", keys_.slots, keys_.slots_version});
  for (const Slot slot : claims_untold_) {
    const SlotClaim& claim = claims_.at(slot);
    claims.add({std::to_string(slot.value), encode(claim)});
    batch.claims.emplace_back(slot, claim.term);
  }
  claims_untold_.clear();
  batch.claim_replies = std::move(claims.places);
  if (!batch.claims.empty()) {
    batch.requests.push_back({.key = keys_.hints, .command = {"PUBLISH", keys_.hints, "slots"}});
  }
}

/// In one transaction, so that nobody reads a version without its filters. All anew, they are gathered in a set of
/// their own, and renamed once it is complete: until then peers go on with what they knew.
void Announcements::put_filters(Batch& batch) {
  if (!filters_from_scratch_ && filters_untold_.empty()) return;
  batch.with_filters = true;
  batch.resets_filters = filters_from_scratch_ && !filters_begun_;
  const std::string key = filters_from_scratch_ ? keys_.filters_next(self_) : keys_.filters(self_);
  const auto request = [&](RedisCommand command) {
    batch.requests.push_back({.key = key, .command = std::move(command)});
  };
  request({"MULTI"});
  if (batch.resets_filters) request({"DEL", key});

  FilterHint hint{.node = self_, .from = filters_version_, .to = filters_version_ + 1, .added = {}, .removed = {}};
  Measure measure;
  for (const std::string& filter : filters_untold_) {
    if (measure.full()) break;
    measure.count(filter.size());
    (filters_.contains(filter) ? hint.added : hint.removed).push_back(filter);
    batch.filters.push_back(filter);
  }
  Chunks added(batch.requests, key, {"SADD", key});
  for (const std::string& filter : hint.added) added.add({filter});
  Chunks removed(batch.requests, key, {"SREM", key});
  for (const std::string& filter : hint.removed) removed.add({filter});

  for (const std::string& filter : batch.filters) filters_untold_.erase(filter);
  batch.completes_filters = filters_from_scratch_ && filters_untold_.empty();
  if (batch.completes_filters) {
    if (filters_.empty()) {
      request({"DEL", key, keys_.filters(self_)});
    } else {
      request({"RENAME", key, keys_.filters(self_)});
    }
  }
  if (!filters_from_scratch_ || batch.completes_filters) {
    if (filters_from_scratch_ || measure.bytes > kHintMax) {
      hint.from = hint.to;  // Nobody has this one: look at the set.
      hint.added.clear();
      hint.removed.clear();
    }
    request({"HSET", keys_.filter_versions, hex_text(self_.value), std::to_string(hint.to)});
    request({"PUBLISH", keys_.hints, encode(hint)});
  }
  request({"EXEC"});
}

void Announcements::put_sessions(Batch& batch) {
  Measure measure;
  while (!sessions_untold_.empty() && !measure.full()) {
    const auto first = sessions_untold_.begin();
    const Slot slot = first->first;
    std::set<std::string>& client_ids = first->second;
    const std::string key = keys_.sessions(slot);
    // A command may get no arguments between two of the other kind: each kind has its own, in any order.
    std::vector<RedisRequest> withdrawals;
    Chunks placed(batch.requests, key, {"EVALSHA", claim_script().digest, "1", key});
    Chunks gone(withdrawals, key, {"EVALSHA", withdraw_script().digest, "1", key});
    while (!client_ids.empty() && !measure.full()) {
      auto client_id = client_ids.extract(client_ids.begin());
      const Session& session = sessions_.at(client_id.value());
      measure.count(client_id.value().size() + session.value.size());
      (session.gone ? gone : placed).add({client_id.value(), session.value});
      batch.sessions.emplace_back(slot, std::move(client_id.value()));
    }
    batch.session_replies.insert(batch.session_replies.end(), placed.places.begin(), placed.places.end());
    for (RedisRequest& withdrawal : withdrawals) batch.requests.push_back(std::move(withdrawal));
    if (client_ids.empty()) sessions_untold_.erase(first);
  }
}

bool Announcements::is_untold(const Session& session, const std::string& client_id) const {
  const auto untold = sessions_untold_.find(session.slot);
  return untold != sessions_untold_.end() && untold->second.contains(client_id);
}

void Announcements::told(const Batch& batch) {
  under_way_ = false;
  for (const auto& [slot, client_id] : batch.sessions) {
    const auto session = sessions_.find(client_id);
    if (session == sessions_.end() || !session->second.gone) continue;
    if (!is_untold(session->second, client_id)) sessions_.erase(session);
  }
  if (!batch.with_filters || batch.round != round_) return;
  if (batch.resets_filters) filters_begun_ = true;
  if (batch.completes_filters || !filters_from_scratch_) ++filters_version_;
  if (batch.completes_filters) filters_from_scratch_ = false;
}

void Announcements::failed(const Batch& batch) {
  under_way_ = false;
  for (const auto& [slot, term] : batch.claims) {
    if (claims_.contains(slot)) claims_untold_.insert(slot);
  }
  for (const auto& [slot, client_id] : batch.sessions) {
    const auto session = sessions_.find(client_id);
    if (session != sessions_.end()) sessions_untold_[session->second.slot].insert(client_id);
  }
  if (!batch.with_filters) return;
  if (filters_from_scratch_) {
    // The new set may be renamed already: what is added to its key now would replace it with a part.
    filters_begun_ = false;
    filters_untold_.insert(filters_.begin(), filters_.end());
  }
  filters_untold_.insert(batch.filters.begin(), batch.filters.end());
  ++filters_version_;  // Somebody may have read this one without what the next attempt adds.
}

}  // namespace parley::cluster
