#include "broker/chat/topic.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/name.hpp"
#include "storage/format/changes.hpp"

namespace parley::chat {
namespace {

struct FormName {
  std::string_view name;
  Form form;
};
constexpr std::array kForms{
    FormName{"msg", Form::Message}, FormName{"json", Form::Json},   FormName{"typing", Form::Typing},
    FormName{"read", Form::Read},   FormName{"ctl", Form::Control}, FormName{"history", Form::History},
};

/// Cuts `prefix` and the level behind it off: "$since/12/chat/x/msg" gives "12" and leaves "chat/x/msg".
std::optional<std::string_view> cut_argument(std::string_view prefix, std::string_view& filter) {
  if (!filter.starts_with(prefix)) return std::nullopt;
  const auto slash = filter.find('/', prefix.size());
  if (slash == std::string_view::npos) return std::nullopt;
  const auto argument = filter.substr(prefix.size(), slash - prefix.size());
  filter.remove_prefix(slash + 1);
  return argument;
}

std::optional<ChatTopic> read_levels(std::string_view root, std::string_view topic, bool inbox) {
  if (!in_subtree(root, topic) || topic.size() == root.size()) return std::nullopt;
  topic.remove_prefix(root.size() + 1);
  const auto slash = topic.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto name = topic.substr(0, slash);
  const auto form_name = topic.substr(slash + 1);
  const auto form = std::ranges::find(kForms, form_name, &FormName::name);
  if (form == kForms.end()) return std::nullopt;
  if (!is_name(name) && !(inbox && name == "+")) return std::nullopt;
  return ChatTopic{name, form->form};
}

}  // namespace

std::string_view name_of(Form form) { return std::ranges::find(kForms, form, &FormName::form)->name; }

bool in_subtree(std::string_view root, std::string_view topic) {
  return topic.starts_with(root) && (topic.size() == root.size() || topic[root.size()] == '/');
}

std::optional<ChatTopic> read_topic(std::string_view root, std::string_view topic) {
  return read_levels(root, topic, false);
}

std::optional<std::string> conversation_meant(std::string_view name, std::string_view user) {
  constexpr std::string_view kPrefix = "dm:";
  if (!name.starts_with(kPrefix) || format::direct_users(name)) return std::string(name);
  const std::string_view other = name.substr(kPrefix.size());
  if (other.find(':') != std::string_view::npos || user.find(':') != std::string_view::npos) return std::nullopt;
  const auto [first, second] = std::minmax(other, user);
  std::string direct(kPrefix);
  direct.append(first).append(":").append(second);
  if (!is_name(direct) || !format::direct_users(direct)) return std::nullopt;
  return direct;
}

bool is_chat_filter(std::string_view root, std::string_view filter) {
  return in_subtree(root, filter) || filter.starts_with("$since/") || filter.starts_with("$last/") ||
         filter.starts_with("$cursor/");
}

std::optional<ChatFilter> read_filter(std::string_view root, std::string_view filter) {
  ChatFilter result;
  for (const std::string_view prefix : {"$since/", "$last/", "$cursor/"}) {
    const auto argument = cut_argument(prefix, filter);
    if (!argument) continue;
    result.start_name = prefix.substr(1, prefix.size() - 2);
    result.start_value = *argument;
    break;
  }
  const auto parts = read_levels(root, filter, true);
  if (!parts) return std::nullopt;
  if (parts->conversation != "+" && !result.start_name.empty()) {
    std::optional<StartPosition> start;
    if (result.start_name == "since") start = read_since(result.start_value);
    if (result.start_name == "last") start = read_last(result.start_value);
    if (!start) return std::nullopt;
    result.start = *start;
  }
  result.topic = filter;
  result.parts = *parts;
  return result;
}

std::optional<StartPosition> read_since(std::string_view value) {
  if (value == "last") return StartPosition{StartPosition::Kind::SinceLast, 0};
  const auto number = read_decimal(value);
  if (!number) return std::nullopt;
  return StartPosition{StartPosition::Kind::Since, *number};
}

std::optional<StartPosition> read_last(std::string_view value) {
  const auto number = read_decimal(value);
  if (!number) return std::nullopt;
  return StartPosition{StartPosition::Kind::Last, *number};
}

std::optional<std::uint64_t> read_decimal(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

}  // namespace parley::chat
