#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/base64.hpp"
#include "bridge/credentials.hpp"
#include "bridge/draft.hpp"
#include "bridge/query.hpp"
#include "bridge/request_parser.hpp"
#include "bridge/target.hpp"

namespace {

using namespace parley;
using namespace parley::bridge;

/// What was taken can be used: windows make ranges inside the conversation, cursors read back.
void use(const HistoryQuery& query) {
  if (!query.cursor) return;
  const auto again = Cursor::decode(query.cursor->encode());
  if (!again || *again != *query.cursor) __builtin_trap();
  for (const Extent extent : {Extent{{1}, {0}}, Extent{{1}, {100}}, Extent{{50}, {100}}}) {
    const auto range = page_range(*query.cursor, extent, query.limit);
    if (!range.empty() && (range.first < extent.oldest || range.last > extent.head || range.size() > query.limit)) {
      __builtin_trap();
    }
    (void)neighbours(*query.cursor, extent, range);
    (void)reach_of(*query.cursor, extent);
    (void)is_final(*query.cursor, extent, range, query.limit);
  }
}

void read_target_and_query(std::string_view text) {
  const auto target = read_target(text);
  for (const auto& query : {read_history_query(target.query), read_stream_query(target.query)}) {
    if (const auto* taken = std::get_if<HistoryQuery>(&query)) use(*taken);
  }
}

}  // namespace

/// A request as it comes from a client, whole and in halves; and its first line's target by itself.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_target_and_query(text);
  (void)read_credentials(text);

  RequestParser parser({.header_max = 4'096, .body_max = 4'096});
  Request request;
  parser.start(request);
  std::size_t used = 0;
  auto state = parser.put(text.substr(0, size / 2), used);
  if (state != RequestParser::State::Failed && state != RequestParser::State::Complete) {
    state = parser.put(text.substr(used), used);
  }
  if (state != RequestParser::State::Complete) return 0;
  read_target_and_query(request.target);
  (void)read_draft(
      {.content_type = request.content_type, .idempotency_key = request.idempotency_key, .body = request.body});
  return 0;
}
