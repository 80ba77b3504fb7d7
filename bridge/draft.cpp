#include "bridge/draft.hpp"

#include <algorithm>
#include <boost/json.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "base/base64.hpp"
#include "json/entry_json.hpp"
#include "mqtt/properties.hpp"
#include "mqtt/utf8.hpp"

namespace parley::bridge {
namespace {

constexpr std::size_t kIdSizeMax = 128;
constexpr std::size_t kStringSizeMax = 65'535;  ///< MQTT 5 §1.5.4.
constexpr std::size_t kPropertiesMax = 64;
constexpr std::size_t kCommandTypeSizeMax = 256;  ///< docs/PROTOCOL.md "Edits and redactions".

ProblemDetails body_problem(std::string detail) {
  return {.problem = Problem::InvalidBody, .detail = std::move(detail), .members = {}};
}

bool is_id(std::string_view id) {
  return !id.empty() && id.size() <= kIdSizeMax && mqtt::is_mqtt_utf8(id) &&
         std::ranges::none_of(id, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

/// `text/plain; charset=utf-8` is `text/plain`.
std::string media_type(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  std::string type;
  for (const char c : content_type) {
    if (c != ' ' && c != '\t') type.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c);
  }
  return type;
}

std::string_view unquoted(std::string_view key) {
  const bool quoted = key.size() >= 2 && key.front() == '"' && key.back() == '"';
  return quoted ? key.substr(1, key.size() - 2) : key;
}

/// What the body says, before it becomes a Draft.
struct Body {
  std::string payload;
  bool is_text = true;
  std::optional<std::string> id;
  std::string content_type;
  std::vector<std::pair<std::string, std::string>> properties;
};

/// A member that must be a string of well-formed UTF-8 where it is there. False when it is something else.
bool read_string(const boost::json::object& object, std::string_view name, std::optional<std::string>& to) {
  const auto* member = object.if_contains(boost::json::string_view(name.data(), name.size()));
  if (member == nullptr) return true;
  if (!member->is_string()) return false;
  const auto& text = member->get_string();
  to = std::string(text.data(), text.size());
  return true;
}

bool read_properties(const boost::json::object& object, std::vector<std::pair<std::string, std::string>>& to) {
  const auto* member = object.if_contains("props");
  if (member == nullptr) return true;
  if (!member->is_array() || member->get_array().size() > kPropertiesMax) return false;
  for (const auto& item : member->get_array()) {
    if (!item.is_array() || item.get_array().size() != 2) return false;
    const auto* name = item.get_array()[0].if_string();
    const auto* value = item.get_array()[1].if_string();
    if (name == nullptr || value == nullptr || name->size() > kStringSizeMax || value->size() > kStringSizeMax) {
      return false;
    }
    to.emplace_back(std::string(name->data(), name->size()), std::string(value->data(), value->size()));
    if (!mqtt::is_mqtt_utf8(to.back().first) || !mqtt::is_mqtt_utf8(to.back().second)) return false;
  }
  return true;
}

OrProblem<Body> read_json(std::string_view text) {
  boost::json::error_code error;
  boost::json::parse_options options;
  options.max_depth = 8;
  const auto value = boost::json::parse(boost::json::string_view(text.data(), text.size()), error, {}, options);
  if (error) return body_problem("The body is no JSON: " + error.message() + ".");
  if (!value.is_object()) return body_problem("The body is no JSON object.");
  const auto& object = value.get_object();

  Body body;
  std::optional<std::string> said;
  std::optional<std::string> data;
  std::optional<std::string> content_type;
  if (!read_string(object, "text", said)) return body_problem("text is a string.");
  if (!read_string(object, "data", data)) return body_problem("data is a string of base64.");
  if (!read_string(object, "id", body.id)) return body_problem("id is a string.");
  if (!read_string(object, "content_type", content_type)) return body_problem("content_type is a string.");
  if (said.has_value() == data.has_value()) return body_problem("The body has either text or data.");
  if (data) {
    auto bytes = decode_base64(*data);
    if (!bytes) return body_problem("data is base64 with padding, RFC 4648 section 4.");
    body.payload = *std::move(bytes);
    body.is_text = false;
  } else {
    body.payload = *std::move(said);
  }
  body.content_type = content_type.value_or("");
  if (body.content_type.size() > kStringSizeMax || !mqtt::is_mqtt_utf8(body.content_type)) {
    return body_problem("content_type has up to 65535 bytes and no NUL.");
  }
  if (!read_properties(object, body.properties)) {
    return body_problem("props is an array of up to 64 pairs [name, value] of strings without NUL.");
  }
  return body;
}

OrProblem<Body> read_body(const DraftSource& source) {
  const std::string type = media_type(source.content_type);
  if (type == "application/json") return read_json(source.body);
  if (type == "text/plain") {
    Body body;
    body.payload = source.body;
    return body;
  }
  return ProblemDetails{
      .problem = Problem::UnsupportedMediaType, .detail = "Send application/json or text/plain.", .members = {}};
}

std::string properties_of(const Body& body, std::string_view id) {
  mqtt::PropertyWriter writer;
  if (body.is_text) writer.integer(mqtt::PropertyId::PayloadFormatIndicator, 1);
  if (!body.content_type.empty()) writer.text(mqtt::PropertyId::ContentType, body.content_type);
  if (!id.empty()) writer.user("id", id);
  for (const auto& [name, value] : body.properties) {
    if (name != "id") writer.user(name, value);
  }
  return std::move(writer).take();
}

/// The id that header and body say.
OrProblem<std::string> read_id(const DraftSource& source, const std::optional<std::string>& in_body) {
  const std::string_view key = unquoted(source.idempotency_key);
  if (!source.idempotency_key.empty() && in_body && *in_body != key) {
    return body_problem("The Idempotency-Key and the body's id differ.");
  }
  std::string id = in_body ? *in_body : std::string(key);
  if ((in_body || !source.idempotency_key.empty()) && !is_id(id)) {
    return ProblemDetails{.problem = Problem::InvalidId, .detail = {}, .members = {}};
  }
  return id;
}

void append_member(std::string& to, std::string_view name, std::string_view value) {
  to.append(",\"").append(name).append("\":");
  json::append_string(to, value);
}

/// A command without its end.
std::string begin_command(std::string_view op, Seq seq, std::string_view id) {
  std::string command("{\"op\":\"");
  command.append(op).append("\",\"seq\":").append(std::to_string(seq.value));
  if (!id.empty()) append_member(command, "id", id);
  return command;
}

}  // namespace

OrProblem<Draft> read_draft(const DraftSource& source) {
  auto read = read_body(source);
  if (auto* problem = std::get_if<ProblemDetails>(&read)) return std::move(*problem);
  auto& body = std::get<Body>(read);
  if (body.is_text && !mqtt::is_mqtt_utf8(body.payload)) return body_problem("The text is UTF-8 without NUL.");
  auto id = read_id(source, body.id);
  if (auto* problem = std::get_if<ProblemDetails>(&id)) return std::move(*problem);
  Draft draft;
  draft.id = std::get<std::string>(std::move(id));
  draft.properties = properties_of(body, draft.id);
  draft.payload = std::move(body.payload);
  return draft;
}

OrProblem<Draft> read_edit(const DraftSource& source, Seq seq) {
  auto read = read_body(source);
  if (auto* problem = std::get_if<ProblemDetails>(&read)) return std::move(*problem);
  const auto& body = std::get<Body>(read);
  if (body.is_text && !mqtt::is_mqtt_utf8(body.payload)) return body_problem("The text is UTF-8 without NUL.");
  if (!body.properties.empty()) return body_problem("props are the message's own and can't be edited.");
  if (body.content_type.size() > kCommandTypeSizeMax) return body_problem("content_type has up to 256 bytes here.");
  auto id = read_id(source, body.id);
  if (auto* problem = std::get_if<ProblemDetails>(&id)) return std::move(*problem);
  Draft draft{.id = std::get<std::string>(std::move(id)), .payload = {}, .properties = {}};
  draft.payload = begin_command("edit", seq, draft.id);
  if (body.is_text) {
    append_member(draft.payload, "text", body.payload);
  } else {
    std::string data;
    append_base64(data, body.payload);
    append_member(draft.payload, "data", data);
  }
  if (!body.content_type.empty()) append_member(draft.payload, "content_type", body.content_type);
  draft.payload.push_back('}');
  return draft;
}

OrProblem<Draft> read_redaction(const DraftSource& source, Seq seq) {
  if (!source.body.empty()) return body_problem("A redaction has no body.");
  auto id = read_id(source, std::nullopt);
  if (auto* problem = std::get_if<ProblemDetails>(&id)) return std::move(*problem);
  Draft draft{.id = std::get<std::string>(std::move(id)), .payload = {}, .properties = {}};
  draft.payload = begin_command("redact", seq, draft.id) + "}";
  return draft;
}

}  // namespace parley::bridge
