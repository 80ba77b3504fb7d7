#include "bridge/target.hpp"

#include <algorithm>
#include <array>

#include "bridge/query.hpp"
#include "storage/format/changes.hpp"

namespace parley::bridge {
namespace {

constexpr std::string_view kHex = "0123456789ABCDEF";

struct FixedPath {
  std::string_view path;
  Resource resource;
};
constexpr std::array kFixedPaths{FixedPath{"/healthz", Resource::Health}, FixedPath{"/readyz", Resource::Ready},
                                 FixedPath{"/metrics", Resource::Metrics},
                                 FixedPath{"/openapi.json", Resource::OpenApi}};

struct ConversationPath {
  std::string_view tail;
  Resource resource;
};
constexpr std::array kConversationPaths{ConversationPath{"messages", Resource::Messages},
                                        ConversationPath{"stream", Resource::Stream}};

/// Behind it stands a seq.
constexpr std::string_view kMessages = "messages/";

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr bool is_unreserved(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_' || c == '~';
}

/// RFC 9112 §3.2.2: a server takes "http://host/path" as well.
std::string_view without_authority(std::string_view target) {
  if (target.starts_with('/')) return target;
  const auto scheme = target.find("://");
  if (scheme == std::string_view::npos) return {};
  const auto path = target.find('/', scheme + 3);
  return path == std::string_view::npos ? std::string_view("/") : target.substr(path);
}

}  // namespace

Target read_target(std::string_view target) {
  Target read;
  target = without_authority(target);
  const auto question = target.find('?');
  if (question != std::string_view::npos) read.query = target.substr(question + 1);
  std::string_view path = target.substr(0, question);

  for (const auto& fixed : kFixedPaths) {
    if (path != fixed.path) continue;
    read.resource = fixed.resource;
    return read;
  }
  if (path.starts_with("/v1/")) {
    read.prefix = path.substr(0, 3);
    path.remove_prefix(3);
  }
  constexpr std::string_view kConversations = "/conversations/";
  if (!path.starts_with(kConversations)) return read;
  path.remove_prefix(kConversations.size());
  const auto slash = path.find('/');
  if (slash == std::string_view::npos) return read;
  const std::string_view tail = path.substr(slash + 1);
  if (tail.starts_with(kMessages)) {
    const auto seq = read_decimal(tail.substr(kMessages.size()));
    auto name = percent_decode(path.substr(0, slash));
    if (!seq || *seq == 0 || !name) return read;
    read.conversation = *std::move(name);
    read.seq = {*seq};
    read.resource = Resource::Message;
    return read;
  }
  for (const auto& known : kConversationPaths) {
    if (tail != known.tail) continue;
    auto name = percent_decode(path.substr(0, slash));
    if (!name) return read;
    read.conversation = *std::move(name);
    read.resource = known.resource;
  }
  return read;
}

std::string conversation_meant(std::string name, std::string_view user) {
  constexpr std::string_view kPrefix = "dm:";
  if (!name.starts_with(kPrefix)) return name;
  const std::string_view other = std::string_view(name).substr(kPrefix.size());
  const auto& [first, second] = std::minmax(other, user);  // References to both.
  std::string direct(kPrefix);
  direct.append(first).append(":").append(second);
  return format::direct_users(direct) ? direct : name;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded.push_back(text[i]);
      continue;
    }
    if (text.size() - i < 3) return std::nullopt;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    decoded.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return decoded;
}

void append_percent_encoded(std::string& to, std::string_view text) {
  for (const char c : text) {
    if (is_unreserved(c)) {
      to.push_back(c);
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    to.append({'%', kHex[byte >> 4], kHex[byte & 15]});
  }
}

std::optional<Parameter> next_parameter(std::string_view& query) {
  while (query.starts_with('&')) query.remove_prefix(1);
  if (query.empty()) return std::nullopt;
  const auto end = std::min(query.find('&'), query.size());
  const std::string_view part = query.substr(0, end);
  query.remove_prefix(end);
  const auto equals = std::min(part.find('='), part.size());
  auto name = percent_decode(part.substr(0, equals));
  auto value = percent_decode(equals < part.size() ? part.substr(equals + 1) : std::string_view());
  if (!name || !value) return Parameter{.name = std::string(part.substr(0, equals)), .value = {}, .broken = true};
  return Parameter{.name = *std::move(name), .value = *std::move(value), .broken = false};
}

}  // namespace parley::bridge
