#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bridge/metrics.hpp"
#include "bridge/query.hpp"
#include "bridge/response.hpp"
#include "bridge/right.hpp"
#include "bridge/store.hpp"
#include "bridge/target.hpp"

/// Answers questions about history: from parameters to JSON, straight out of the mapped files.
namespace parley::bridge {

/// What a page has come to. Each edit or redaction of something in it changes one of the two below.
struct WrittenPage {
  PageRange range;
  Seq amended;               ///< The last entry that has changed a message of it.
  std::size_t redacted = 0;  ///< How many are.
};

/// Belongs to its worker's thread. Sees what is durable when it is asked: what a PUBACK acknowledged, it shows.
class PageReader {
 public:
  PageReader(Reader& reader, Metrics& metrics) : reader_(reader), metrics_(metrics) {}

  struct PageRequest {
    const Target& target;
    const HistoryQuery& query;
    std::string_view if_none_match;
    Visible visible;  ///< The rest isn't there for this user.
  };
  /// What a long poll needs to know about an empty page that more entries would fill.
  struct Waitable {
    ConversationNumber conversation;
    Seq head;
  };
  /// Writes the page, or the problem, into `response`.
  std::optional<Waitable> answer(const PageRequest& request, Response& response);

  /// A place in a conversation from which a stream goes on.
  struct StreamPosition {
    ConversationNumber conversation;
    Seq after;
    bool open = false;            ///< Read because it is open to everybody: the stream ends when that does.
    bool rights_changed = false;  ///< By the last entry that was appended; what follows may not be for this user.
  };
  /// `last_event_id` is the field's value; empty: none was sent.
  OrProblem<StreamPosition> begin_stream(const Target& target, const HistoryQuery& query,
                                         std::string_view last_event_id, Visible visible);
  /// Appends the next entries as events and moves the position, up to one that may take a right. Returns false when
  /// the history can't be read any more, or retention has overtaken the stream: it has to end, and the client's next
  /// request is told why.
  bool append_events(std::string& to, StreamPosition& position);

  struct Standing {
    enum class Kind : std::uint8_t { None, Public, Private };
    Kind kind = Kind::None;
    Place place;             ///< Who may read it at the end of the call may read up to there.
    ProblemDetails absence;  ///< Of None: why.
  };
  /// Whether there is such a conversation, and whether everybody may read it. One that can't be looked up is Private.
  Standing standing_of(std::string_view conversation);
  /// Moves the right's place to `now`; false when something since may have taken the right, or too much has come to
  /// look through. Costs a microsecond and what it costs to read the entries in between.
  bool still_holds(Right& right, const Place& now);

  /// The newest seq; nothing when it can't be read.
  std::optional<Seq> head_of(ConversationNumber conversation);
  /// Takes in what is new; another number than before when there may be more to see.
  std::optional<std::uint64_t> follow();

 private:
  OrProblem<storage::ConversationState> find(std::string_view name);
  bool is_open(const storage::ConversationState& state);
  OrProblem<Window> window_of(const HistoryQuery& query, const storage::ConversationState& state, Seq retained);
  OrProblem<WrittenPage> write_entries(std::string& to, const Window& window, const storage::ConversationState& state,
                                       PageRange range, std::string& corrupt);

  Reader& reader_;
  Metrics& metrics_;
};

}  // namespace parley::bridge
