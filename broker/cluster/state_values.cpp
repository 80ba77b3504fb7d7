#include "broker/cluster/state_values.hpp"

#include <charconv>

#include "base/name.hpp"

namespace parley::cluster {
namespace {

constexpr std::string_view kLeaseVersion = "1";
constexpr std::string_view kHintWord = "filters";
constexpr std::size_t kReplicasMax = 32;

template <class Integer>
std::optional<Integer> read_number(std::string_view text, int base) {
  Integer number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string padded(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(20 - digits.size(), '0') + digits;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<NodeId> read_node(std::string_view text) {
  const auto number = read_hex(text);
  if (!number || *number == 0) return std::nullopt;
  return NodeId{*number};
}

}  // namespace

std::string hex_text(std::uint64_t number) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; number >>= 4) text[i] = kDigits[number & 15];
  return text;
}

std::optional<std::uint64_t> read_hex(std::string_view text) {
  if (text.size() != 16) return std::nullopt;
  return read_number<std::uint64_t>(text, 16);
}

std::optional<std::uint64_t> read_decimal(std::string_view text) { return read_number<std::uint64_t>(text, 10); }

std::string encode(const NodeLease& lease) {
  std::string text(kLeaseVersion);
  for (const std::string& field :
       {hex_text(lease.node.value), lease.name, lease.host, std::to_string(lease.port), hex_text(lease.incarnation),
        lease.version, std::to_string(lease.load), std::string(lease.draining ? "draining" : "serving")}) {
    text.append("\n").append(field);
  }
  return text;
}

std::optional<NodeLease> read_lease(std::string_view text) {
  const auto fields = split(text, '\n');
  // A newer version may append fields; what stands here stays.
  if (fields.size() < 9 || !read_decimal(fields[0])) return std::nullopt;
  const auto node = read_node(fields[1]);
  const auto port = read_number<std::uint16_t>(fields[4], 10);
  const auto incarnation = read_hex(fields[5]);
  const auto load = read_number<std::uint32_t>(fields[7], 10);
  if (!node || !is_name(fields[2]) || fields[3].empty() || !port || !incarnation || !load) return std::nullopt;
  if (fields[8] != "draining" && fields[8] != "serving") return std::nullopt;
  return NodeLease{.node = *node,
                   .name = std::string(fields[2]),
                   .host = std::string(fields[3]),
                   .port = *port,
                   .incarnation = *incarnation,
                   .version = std::string(fields[6]),
                   .load = *load,
                   .draining = fields[8] == "draining"};
}

std::string encode(const SlotClaim& claim) {
  std::string text = padded(claim.term.value) + " " + hex_text(claim.leader.value) + " ";
  for (std::size_t i = 0; i < claim.replicas.size(); ++i) {
    text.append(i == 0 ? "" : ",").append(hex_text(claim.replicas[i].value));
  }
  return text;
}

std::optional<SlotClaim> read_claim(Slot slot, std::string_view text) {
  const auto parts = split(text, ' ');
  if (parts.size() != 3 || parts[0].size() != 20) return std::nullopt;
  const auto term = read_decimal(parts[0]);
  const auto leader = read_node(parts[1]);
  if (!term || !leader) return std::nullopt;
  SlotClaim claim{.slot = slot, .term = {*term}, .leader = *leader, .replicas = {}};
  if (parts[2].empty()) return claim;
  for (const std::string_view part : split(parts[2], ',')) {
    const auto replica = read_node(part);
    if (!replica || claim.replicas.size() == kReplicasMax) return std::nullopt;
    claim.replicas.push_back(*replica);
  }
  return claim;
}

std::string encode(const SessionLocation& location) {
  return padded(location.generation) + " " + hex_text(location.node.value) + " " + hex_text(location.incarnation);
}

std::optional<SessionLocation> read_location(std::string_view text) {
  const auto parts = split(text, ' ');
  if (parts.size() != 3 || parts[0].size() != 20) return std::nullopt;
  const auto generation = read_decimal(parts[0]);
  const auto node = read_node(parts[1]);
  const auto incarnation = read_hex(parts[2]);
  if (!generation || !node || !incarnation) return std::nullopt;
  return SessionLocation{.generation = *generation, .node = *node, .incarnation = *incarnation};
}

std::string encode(const FilterHint& hint) {
  std::string text(kHintWord);
  text.append(" ").append(hex_text(hint.node.value));
  text.append(" ").append(std::to_string(hint.from)).append(" ").append(std::to_string(hint.to));
  // Filters hold any character, line ends too: each says how long it is.
  for (const std::string& filter : hint.added) text.append("+" + std::to_string(filter.size()) + ":").append(filter);
  for (const std::string& filter : hint.removed) text.append("-" + std::to_string(filter.size()) + ":").append(filter);
  return text;
}

std::optional<FilterHint> read_filter_hint(std::string_view text) {
  const std::size_t changes = std::min(text.find_first_of("+-"), text.size());
  const auto head = split(text.substr(0, changes), ' ');
  if (head.size() != 4 || head[0] != kHintWord) return std::nullopt;
  const auto node = read_node(head[1]);
  const auto from = read_decimal(head[2]);
  const auto to = read_decimal(head[3]);
  if (!node || !from || !to) return std::nullopt;
  FilterHint hint{.node = *node, .from = *from, .to = *to, .added = {}, .removed = {}};
  for (text.remove_prefix(changes); !text.empty();) {
    const char sign = text.front();
    const std::size_t colon = text.find(':');
    if ((sign != '+' && sign != '-') || colon == std::string_view::npos) return std::nullopt;
    const auto size = read_decimal(text.substr(1, colon - 1));
    if (!size || *size > text.size() - colon - 1) return std::nullopt;
    (sign == '+' ? hint.added : hint.removed).emplace_back(text.substr(colon + 1, *size));
    text.remove_prefix(colon + 1 + *size);
  }
  return hint;
}

}  // namespace parley::cluster
