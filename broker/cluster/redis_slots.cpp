#include "broker/cluster/redis_slots.hpp"

#include <charconv>

namespace parley::cluster {
namespace {

std::uint16_t crc16(std::string_view bytes) {
  std::uint32_t crc = 0;
  for (const char c : bytes) {
    crc ^= static_cast<std::uint32_t>(static_cast<unsigned char>(c)) << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    crc &= 0xFFFF;
  }
  return static_cast<std::uint16_t>(crc);
}

template <class Integer>
std::optional<Integer> read_number(std::string_view text) {
  Integer number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool is_slot(const RedisReply& reply) {
  return reply.kind == RedisReply::Kind::Integer && reply.integer >= 0 && reply.integer < kRedisSlots;
}

std::optional<RedisAddress> read_master(const RedisReply& node, const RedisAddress& asked) {
  if (node.elements.size() < 2 || node.elements[1].kind != RedisReply::Kind::Integer) return std::nullopt;
  const std::int64_t port = node.elements[1].integer;
  if (port <= 0 || port > UINT16_MAX) return std::nullopt;
  const std::string& host = node.elements[0].text;
  return RedisAddress{.host = host.empty() ? asked.host : host, .port = static_cast<std::uint16_t>(port)};
}

}  // namespace

std::uint16_t redis_slot(std::string_view key) {
  const std::size_t open = key.find('{');
  if (open != std::string_view::npos) {
    const std::size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close != open + 1) key = key.substr(open + 1, close - open - 1);
  }
  return crc16(key) % kRedisSlots;
}

Result<RedisSlots> RedisSlots::read(const RedisReply& reply, const RedisAddress& asked) {
  if (reply.kind != RedisReply::Kind::Array) return RedisError::UnexpectedReply;
  RedisSlots slots;
  for (const RedisReply& range : reply.elements) {
    if (range.elements.size() < 3 || !is_slot(range.elements[0]) || !is_slot(range.elements[1])) {
      return RedisError::UnexpectedReply;
    }
    const auto master = read_master(range.elements[2], asked);
    if (!master) return RedisError::UnexpectedReply;
    const auto last = static_cast<std::size_t>(range.elements[1].integer);
    for (auto slot = static_cast<std::size_t>(range.elements[0].integer); slot <= last; ++slot) {
      slots.owners_[slot] = master;
    }
  }
  return slots;
}

std::optional<RedisAddress> RedisSlots::find(std::string_view key) const { return owners_[redis_slot(key)]; }

void RedisSlots::move(std::uint16_t slot, RedisAddress to) { owners_.at(slot) = std::move(to); }

std::optional<Redirect> read_redirect(const RedisReply& reply, const RedisAddress& asked) {
  const std::string_view word = reply.error_word();
  if (word != "MOVED" && word != "ASK") return std::nullopt;
  std::string_view rest = std::string_view(reply.text).substr(word.size());
  if (!rest.empty()) rest.remove_prefix(1);
  const std::size_t space = rest.find(' ');
  const std::size_t colon = rest.rfind(':');  // The host may be an IPv6 address.
  if (space == std::string_view::npos || colon == std::string_view::npos || colon < space) return std::nullopt;
  const auto slot = read_number<std::uint16_t>(rest.substr(0, space));
  const auto port = read_number<std::uint16_t>(rest.substr(colon + 1));
  if (!slot || *slot >= kRedisSlots || !port || *port == 0) return std::nullopt;
  const std::string_view host = rest.substr(space + 1, colon - space - 1);
  return Redirect{.ask = word == "ASK",
                  .slot = *slot,
                  .to = {.host = host.empty() ? asked.host : std::string(host), .port = *port}};
}

}  // namespace parley::cluster
