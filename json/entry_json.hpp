#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "storage/format/changes.hpp"
#include "storage/format/record.hpp"

/// Entries as JSON objects: one form for the HTTP bridge and for chat/{conversation}/json. docs/PROTOCOL.md "An entry
/// in JSON". Pure; any thread.
namespace parley::json {

/// Appends `{"seq":…,"ts":…,"id":…,"from":…,"kind":…,"text":…}`: `text` when the payload is UTF-8, else `data`
/// (base64); `content_type`, `props` (user properties, an array of [name, value]), `ref`, `edited` and `redacted` where
/// present. RFC 8259. What is redacted, and a redaction, has no content.
/// One of kind member or settings has instead of `text` what append_change() gives, under the name of its kind.
void append_entry(std::string& to, const format::EntryRecord& entry);

/// Of an entry of kind member `{"op":…,"user":…,"role":…}`, of kind settings
/// `{"visibility":…,"announce":…,"history":…,"title":…}`, with `retention_age` (s) and `retention_count` where they are
/// set; `{}` when it can't be read.
void append_change(std::string& to, const format::EntryRecord& entry);
/// Settings as an object.
void append_settings(std::string& to, const format::Settings& settings);

/// Appends `text` as a JSON string with its quotes. `text` is well-formed UTF-8.
void append_string(std::string& to, std::string_view text);

/// What a client sends to chat/{conversation}/json.
struct Draft {
  std::optional<std::string> id;
  std::string text;
};

/// Reads `{"text":…}` with an optional `id`; other members are ignored. Fails with std::errc::invalid_argument when it
/// is no such object.
Result<Draft> read_draft(std::string_view text);

}  // namespace parley::json
