#include "json/entry_json.hpp"

#include <array>
#include <boost/json.hpp>
#include <charconv>

#include "base/base64.hpp"
#include "mqtt/properties.hpp"
#include "mqtt/utf8.hpp"

namespace parley::json {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

void append_number(std::string& to, std::uint64_t number) {
  std::array<char, 20> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  to.append(digits.data(), end);
}

bool needs_escape(char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20; }

void append_user_properties(std::string& to, const mqtt::Properties& properties) {
  bool first = true;
  for (const auto& item : properties) {
    if (item.id != mqtt::PropertyId::UserProperty) continue;
    to.append(first ? ",\"props\":[[" : ",[");
    first = false;
    append_string(to, item.name);
    to.push_back(',');
    append_string(to, item.text);
    to.push_back(']');
  }
  if (!first) to.push_back(']');
}

}  // namespace

void append_string(std::string& to, std::string_view text) {
  to.push_back('"');
  std::size_t clean = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!needs_escape(c)) continue;
    to.append(text.substr(clean, i - clean));
    clean = i + 1;
    if (c == '"' || c == '\\') {
      to.push_back('\\');
      to.push_back(c);
    } else if (c == '\n') {
      to.append("\\n");
    } else {
      const auto byte = static_cast<unsigned char>(c);
      to.append("\\u00").append(1, kHex[byte >> 4]).append(1, kHex[byte & 0xF]);
    }
  }
  to.append(text.substr(clean));
  to.push_back('"');
}

void append_settings(std::string& to, const format::Settings& settings) {
  to.append("{\"visibility\":\"").append(format::name_of(settings.visibility));
  to.append("\",\"announce\":").append(settings.announce ? "true" : "false");
  to.append(",\"history\":\"").append(format::name_of(settings.history)).append("\",\"title\":");
  append_string(to, settings.title);
  if (settings.retention_age != 0) {
    to.append(",\"retention_age\":");
    append_number(to, settings.retention_age / 1000);
  }
  if (settings.retention_count != 0) {
    to.append(",\"retention_count\":");
    append_number(to, settings.retention_count);
  }
  to.push_back('}');
}

void append_change(std::string& to, const format::EntryRecord& entry) {
  if (entry.kind == format::EntryKind::Settings) {
    if (const auto settings = format::decode_settings(entry.payload)) return append_settings(to, *settings);
  } else if (const auto change = format::decode_member_change(entry.payload)) {
    to.append("{\"op\":\"").append(format::name_of(change->action)).append("\",\"user\":");
    append_string(to, change->user);
    to.append(",\"role\":\"").append(format::name_of(change->role)).append("\"}");
    return;
  }
  to.append("{}");
}

void append_entry(std::string& to, const format::EntryRecord& entry) {
  to.append("{\"seq\":");
  append_number(to, entry.seq.value);
  to.append(",\"ts\":");
  append_number(to, entry.ts.milliseconds);
  to.append(",\"id\":");
  append_string(to, entry.id);
  to.append(",\"from\":");
  append_string(to, entry.from);
  to.append(",\"kind\":");
  append_string(to, format::name_of(entry.kind));
  if (entry.kind == format::EntryKind::Member || entry.kind == format::EntryKind::Settings) {
    to.append(",\"").append(format::name_of(entry.kind)).append("\":");
    append_change(to, entry);
  } else if (entry.redacted || entry.kind == format::EntryKind::Redact) {
    // Nothing is left to be shown, or there never was anything.
  } else if (mqtt::is_mqtt_utf8(entry.payload)) {
    to.append(",\"text\":");
    append_string(to, entry.payload);
  } else {
    to.append(",\"data\":\"");
    append_base64(to, entry.payload);
    to.push_back('"');
  }
  if (!entry.properties.empty()) {
    const auto properties = mqtt::Properties::trusted(entry.properties);
    if (const auto type = properties.text(mqtt::PropertyId::ContentType)) {
      to.append(",\"content_type\":");
      append_string(to, *type);
    }
    append_user_properties(to, properties);
  }
  if (entry.kind != format::EntryKind::Message && entry.ref.value != 0) {
    to.append(",\"ref\":");
    append_number(to, entry.ref.value);
  }
  if (entry.edited) to.append(",\"edited\":true");
  if (entry.redacted) to.append(",\"redacted\":true");
  to.push_back('}');
}

Result<Draft> read_draft(std::string_view text) {
  const auto invalid = boost::system::errc::make_error_code(boost::system::errc::invalid_argument);
  boost::system::error_code error;
  boost::json::parse_options options;
  options.max_depth = 16;
  const auto value = boost::json::parse(boost::json::string_view(text.data(), text.size()), error, {}, options);
  if (error || !value.is_object()) return invalid;
  const auto& object = value.as_object();
  const auto* body = object.if_contains("text");
  if (body == nullptr || !body->is_string()) return invalid;
  Draft draft{.id = std::nullopt, .text = std::string(body->as_string())};
  if (const auto* id = object.if_contains("id")) {
    if (!id->is_string()) return invalid;
    draft.id = std::string(id->as_string());
  }
  return draft;
}

}  // namespace parley::json
