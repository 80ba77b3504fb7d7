#include "broker/cluster/formation.hpp"

#include "broker/cluster/state_values.hpp"

namespace parley::cluster {
namespace {

std::string_view take_word(std::string_view& rest) {
  const auto end = std::min(rest.find(' '), rest.size());
  const auto word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

}  // namespace

std::string encode(const FormationRecord& record) {
  return "1 " + hex_text(record.cluster_id) + " " + std::to_string(record.slots);
}

std::optional<FormationRecord> read_formation(std::string_view text) {
  if (take_word(text) != "1") return std::nullopt;
  const auto id = read_hex(take_word(text));
  const auto slots = read_decimal(take_word(text));
  if (!id || *id == 0 || !slots || *slots == 0 || *slots > 65'536 || !text.empty()) return std::nullopt;
  return FormationRecord{.cluster_id = *id, .slots = static_cast<std::uint32_t>(*slots)};
}

Formation::Step Formation::next(const std::optional<Sight>& sight, Instant now) {
  if (!sight) {
    quiet_since_.reset();
    return Wait{};
  }
  if (!sight->formation.empty()) {
    auto record = read_formation(sight->formation);
    if (!record) return Refuse{"Redis has a formation of this cluster that this version can't read"};
    if (record->cluster_id == own_.cluster_id) return Formed{*std::move(record)};
    if (record->slots != own_.slots) {
      return Refuse{"cluster.slots is " + std::to_string(own_.slots) + ", but the cluster was formed with " +
                    std::to_string(record->slots)};
    }
    return Join{*std::move(record)};
  }
  if (sight->others_live) {  // Redis has forgotten, they haven't.
    quiet_since_.reset();
    return Wait{};
  }
  if (!quiet_since_) quiet_since_ = now;
  if (now - *quiet_since_ < 2 * lease_time_) return Wait{};
  return Form{own_};
}

}  // namespace parley::cluster
