#include "bridge/page_reader.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/log.hpp"
#include "base/name.hpp"
#include "json/entry_json.hpp"
#include "mqtt/utf8.hpp"

namespace parley::bridge {
namespace {

using storage::ConversationState;

/// Of encoded records in one page or burst of events: more stays for the next.
constexpr std::size_t kPageBytesMax = 4U << 20;
constexpr std::size_t kEventBytesMax = 256U << 10;
constexpr std::size_t kEventsMax = 256;
/// What still_holds() looks through at most; asking the broker costs about as much.
constexpr std::size_t kLookedMax = 256;
constexpr std::size_t kLookedBytesMax = 256U << 10;

void append_number(std::string& to, std::uint64_t number) {
  std::array<char, 20> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  to.append(digits.data(), end);
}

/// Makes `state` the conversation that this user sees; returns the oldest seq that retention has left for everybody.
Seq cut_to(const Visible& visible, ConversationState& state) {
  const Seq retained = state.oldest;
  state.head = std::min(state.head, visible.upto);
  state.oldest = std::max(state.oldest, std::min(visible.from, state.head.next()));
  return retained;
}

/// Whether somebody who may read may not do so behind this entry, or begins at another one.
bool may_take_rights(const format::EntryRecord& entry) {
  if (entry.kind == format::EntryKind::Settings) return true;
  if (entry.kind != format::EntryKind::Member) return false;
  const auto change = format::decode_member_change(entry.payload);
  return !change || change->ends();
}

/// Whether some of the entries may take somebody's right.
class RightsLook final : public storage::EntryVisitor {
 public:
  void entry(const format::Record& record, std::string_view) override {
    taken = taken || may_take_rights(std::get<format::EntryRecord>(record.body));
  }
  void corrupt(Seq) override { taken = true; }
  bool taken = false;
};

Extent extent_of(const ConversationState& state) { return {.oldest = state.oldest, .head = state.head}; }

ProblemDetails storage_problem(boost::system::error_code error) {
  if (error == StorageError::NotFound) return {.problem = Problem::NoSuchConversation, .detail = {}, .members = {}};
  log::warn("history can't be read, answering with an error", {{"error", error.message()}});
  const auto problem = error == StorageError::CorruptRecord ? Problem::CorruptRecord : Problem::StorageFailed;
  return {.problem = problem, .detail = {}, .members = {}};
}

/// A problem with a position tells where the conversation is, so that the client can go on from there.
ProblemDetails position_problem(Problem problem, const ConversationState& state) {
  return {.problem = problem,
          .detail = {},
          .members = {{"oldest", std::to_string(state.oldest.value)},
                      {"head", std::to_string(state.head.value)},
                      {"epoch", '"' + std::to_string(state.epoch.value) + '"'}}};
}

/// Writes the entries of a page in the order in which they come.
class EntryWriter final : public storage::EntryVisitor {
 public:
  /// `reversible`: reverse() will be called.
  EntryWriter(std::string& to, std::string& corrupt, bool reversible)
      : to_(to), corrupt_(corrupt), reversible_(reversible) {}

  void entry(const format::Record& record, std::string_view) override {
    const auto& entry = std::get<format::EntryRecord>(record.body);
    extend(entry.seq);
    if (reversible_) begins_.push_back(to_.size());
    if (entries_++ != 0) to_.push_back(',');
    json::append_entry(to_, entry);
    if (entry.redacted) ++redacted_;
    if (entry.edited || (entry.redacted && entry.kind == format::EntryKind::Message)) {
      amended_ = std::max(amended_, entry.ref);
    }
  }
  void corrupt(Seq seq) override {
    extend(seq);
    if (!corrupt_.empty()) corrupt_.push_back(',');
    append_number(corrupt_, seq.value);
  }

  [[nodiscard]] WrittenPage written() const { return {covered_, amended_, redacted_}; }
  [[nodiscard]] std::size_t entries() const { return entries_; }

  /// Puts what came in descending order into ascending order.
  void reverse(std::size_t from) {
    std::string reversed;
    reversed.reserve(to_.size() - from);
    std::size_t end = to_.size();
    for (std::size_t i = begins_.size(); i-- > 0; end = begins_[i]) {
      const std::size_t begin = begins_[i] + (i > 0 ? 1 : 0);
      if (!reversed.empty()) reversed.push_back(',');
      reversed.append(to_, begin, end - begin);
    }
    to_.replace(from, std::string::npos, reversed);
  }

 private:
  void extend(Seq seq) {
    covered_ = covered_.empty()
                   ? PageRange{.first = seq, .last = seq}
                   : PageRange{.first = std::min(covered_.first, seq), .last = std::max(covered_.last, seq)};
  }

  std::string& to_;
  std::string& corrupt_;
  PageRange covered_{.first = {1}, .last = {0}};
  bool reversible_;
  Seq amended_;
  std::size_t redacted_ = 0;
  std::size_t entries_ = 0;
  std::vector<std::size_t> begins_;
};

/// What the response says about the page beside its entries.
class PageDescription {
 public:
  PageDescription(const Target& target, const HistoryQuery& query, const ConversationState& state)
      : target_(target), query_(query), state_(state) {}

  void append_meta(std::string& to, const Neighbours& beside, const std::string& corrupt) const {
    to.append("\"meta\":{\"oldest\":");
    append_number(to, state_.oldest.value);
    to.append(",\"head\":");
    append_number(to, state_.head.value);
    to.append(",\"epoch\":\"");
    append_number(to, state_.epoch.value);
    to.append("\",\"next\":");
    append_cursor(to, beside.next);
    to.append(",\"prev\":");
    append_cursor(to, beside.prev);
    if (!corrupt.empty()) to.append(",\"corrupt\":[").append(corrupt).append("]");
    to.push_back('}');
  }

  /// RFC 8288.
  void append_links(std::string& headers, const Window& window, const Neighbours& beside) const {
    std::string path(target_.prefix);
    path.append("/conversations/");
    append_percent_encoded(path, target_.conversation);
    path.append("/messages?limit=");
    append_number(path, query_.limit);
    headers.append("Link: ");
    if (beside.next) append_link(headers, path, "next", *beside.next);
    if (beside.prev) append_link(headers, path, "prev", *beside.prev);
    const std::uint64_t below_oldest = state_.oldest.value - 1;
    append_link(headers, path, "first",
                {.direction = PageDirection::Ascending,
                 .edge = {std::max(window.floor.value, below_oldest)},
                 .floor = window.floor,
                 .ceiling = window.ceiling});
    append_link(headers, path, "last",
                {.direction = PageDirection::Descending,
                 .edge = window.ceiling,
                 .floor = window.floor,
                 .ceiling = window.ceiling});
    headers.resize(headers.size() - 2);
    headers.append("\r\n");
  }

  [[nodiscard]] std::string entity_tag(const WrittenPage& page) const {
    std::string tag("W/\"");
    for (const std::uint64_t number : {state_.epoch.value, page.range.first.value, page.range.last.value,
                                       page.amended.value, std::uint64_t{page.redacted}}) {
      append_number(tag, number);
      tag.push_back('-');
    }
    tag.back() = '"';
    return tag;
  }

 private:
  [[nodiscard]] std::string cursor(const Window& window) const {
    Cursor cursor;
    static_cast<Window&>(cursor) = window;
    cursor.epoch = state_.epoch;
    return cursor.encode();
  }
  void append_cursor(std::string& to, const std::optional<Window>& window) const {
    if (!window) {
      to.append("null");
      return;
    }
    to.append("\"").append(cursor(*window)).append("\"");
  }
  void append_link(std::string& to, std::string_view path, std::string_view relation, const Window& window) const {
    to.append("<").append(path).append("&cursor=").append(cursor(window)).append(">; rel=\"").append(relation);
    to.append("\", ");
  }

  const Target& target_;
  const HistoryQuery& query_;
  const ConversationState& state_;
};

/// RFC 9110 §13.1.2, weak comparison.
bool matches_any(std::string_view if_none_match, std::string_view tag) {
  if (if_none_match == "*") return true;
  tag.remove_prefix(2);
  return if_none_match.find(tag) != std::string_view::npos;
}

/// Appends one Server-Sent Event an entry.
class EventWriter final : public storage::EntryVisitor {
 public:
  explicit EventWriter(std::string& to) : to_(to) {}

  void entry(const format::Record& record, std::string_view) override {
    if (rights_changed) return;
    const auto& entry = std::get<format::EntryRecord>(record.body);
    rights_changed = may_take_rights(entry);
    begin(entry.seq);
    to_.append("\ndata: ");
    json::append_entry(to_, entry);
    to_.append("\n\n");
    ++entries;
  }
  void corrupt(Seq seq) override {
    if (rights_changed) return;
    begin(seq);
    to_.append("\nevent: corrupt\ndata: {\"seq\":");
    append_number(to_, seq.value);
    to_.append("}\n\n");
  }

  Seq last;
  std::size_t entries = 0;
  bool rights_changed = false;  ///< What comes behind that isn't written.

 private:
  void begin(Seq seq) {
    last = seq;
    to_.append("id: ");
    append_number(to_, seq.value);
  }
  std::string& to_;
};

}  // namespace

OrProblem<ConversationState> PageReader::find(std::string_view name) {
  if (!mqtt::is_mqtt_utf8(name) || !is_name(name)) {
    return parameter_problem("id",
                             "A conversation's name has 1 to 128 bytes of UTF-8, no / + # or control characters, "
                             "and doesn't begin with $.");
  }
  storage::History* history = reader_.history();
  if (history == nullptr) return ProblemDetails{.problem = Problem::StorageUnavailable, .detail = {}, .members = {}};
  auto state = history->find_conversation(name);
  if (!state) return storage_problem(state.error());
  if (!*state) return ProblemDetails{.problem = Problem::NoSuchConversation, .detail = {}, .members = {}};
  return **std::move(state);
}

bool PageReader::is_open(const ConversationState& state) {
  const auto access = reader_.history()->access_of(state, {});
  return access && access->may_read;
}

PageReader::Standing PageReader::standing_of(std::string_view conversation) {
  auto found = find(conversation);
  if (const auto* state = std::get_if<ConversationState>(&found)) {
    return {.kind = is_open(*state) ? Standing::Kind::Public : Standing::Kind::Private,
            .place = {.conversation = state->number, .epoch = state->epoch, .head = state->head},
            .absence = {}};
  }
  auto& absence = std::get<ProblemDetails>(found);
  const bool there_is_none = absence.problem == Problem::NoSuchConversation ||
                             absence.problem == Problem::InvalidParameter ||
                             absence.problem == Problem::StorageUnavailable;
  return {.kind = there_is_none ? Standing::Kind::None : Standing::Kind::Private,
          .place = {},
          .absence = std::move(absence)};
}

bool PageReader::still_holds(Right& right, const Place& now) {
  Place& place = right.place;
  if (place.conversation != now.conversation || place.epoch != now.epoch || place.head > now.head) return false;
  const std::uint64_t count = now.head.value - place.head.value;
  if (count > kLookedMax) return false;
  if (count != 0) {
    RightsLook look;
    const auto visited = reader_.history()->visit(place.conversation, {.first = place.head.next(), .last = now.head},
                                                  {.entries_max = kLookedMax, .bytes_max = kLookedBytesMax},
                                                  storage::Direction::Ascending, look);
    if (!visited || *visited != count || look.taken) return false;
  }
  place.head = now.head;
  return true;
}

/// `state` is what the user sees, of which `retained` is the oldest that retention has left.
OrProblem<Window> PageReader::window_of(const HistoryQuery& query, const ConversationState& state, Seq retained) {
  const Epoch asked = query.cursor ? query.cursor->epoch : query.epoch.value_or(state.epoch);
  if (asked != state.epoch || query.epoch.value_or(state.epoch) != state.epoch) {
    return position_problem(Problem::OtherEpoch, state);
  }
  Window window;
  if (query.cursor) {
    window = *query.cursor;
  } else {
    // A time becomes the seq of the first entry that isn't before it; ts never falls within a conversation.
    const auto seq_of = [&](const Position& position, std::uint64_t later) -> Result<Seq> {
      if (const auto* seq = std::get_if<Seq>(&position)) return *seq;
      const Timestamp time = std::get<Timestamp>(position);
      if (time.milliseconds == UINT64_MAX) return state.head.next();
      return reader_.history()->first_at_or_after(state.number, {time.milliseconds + later});
    };
    if (query.after) {
      const auto seq = seq_of(*query.after, 1);
      if (!seq) return storage_problem(seq.error());
      const bool by_time = std::holds_alternative<Timestamp>(*query.after);
      window.direction = PageDirection::Ascending;
      window.edge = by_time ? Seq{seq->value - 1} : *seq;
    }
    if (query.before) {
      const auto seq = seq_of(*query.before, 0);
      if (!seq) return storage_problem(seq.error());
      if (*seq > state.head.next()) return position_problem(Problem::BeyondHead, state);
      if (!query.after) window.edge = *seq;
      if (query.after) window.ceiling = *seq;
    }
    if (query.after && query.before) window.floor = window.edge;
  }
  raise_edge(window, state.oldest, retained);
  switch (reach_of(window, {.oldest = retained, .head = state.head})) {
    case Reach::BelowRetention: return position_problem(Problem::BelowRetention, state);
    case Reach::BeyondHead: return position_problem(Problem::BeyondHead, state);
    case Reach::Within: break;
  }
  return window;
}

OrProblem<WrittenPage> PageReader::write_entries(std::string& to, const Window& window, const ConversationState& state,
                                                 PageRange range, std::string& corrupt) {
  const std::size_t begin = to.size();
  const storage::SeqRange seqs{.first = range.first, .last = range.last};
  const storage::PageLimits limits{.entries_max = range.size(), .bytes_max = kPageBytesMax};
  EntryWriter writer(to, corrupt, false);
  auto visited = reader_.history()->visit(state.number, seqs, limits, storage::Direction::Ascending, writer);
  if (!visited) return storage_problem(visited.error());
  if (window.direction == PageDirection::Ascending || *visited == range.size()) {
    metrics_.entries_total.fetch_add(writer.entries(), std::memory_order_relaxed);
    return writer.written();
  }
  // Too many bytes for one page, which has to end at the newest: once more, from there.
  to.resize(begin);
  corrupt.clear();
  EntryWriter backwards(to, corrupt, true);
  visited = reader_.history()->visit(state.number, seqs, limits, storage::Direction::Descending, backwards);
  if (!visited) return storage_problem(visited.error());
  backwards.reverse(begin);
  metrics_.entries_total.fetch_add(backwards.entries(), std::memory_order_relaxed);
  return backwards.written();
}

std::optional<PageReader::Waitable> PageReader::answer(const PageRequest& request, Response& response) {
  auto found = find(request.target.conversation);
  if (const auto* problem = std::get_if<ProblemDetails>(&found)) {
    response.set_problem(*problem);
    return std::nullopt;
  }
  auto& state = std::get<ConversationState>(found);
  const Seq retained = cut_to(request.visible, state);
  const auto resolved = window_of(request.query, state, retained);
  if (const auto* problem = std::get_if<ProblemDetails>(&resolved)) {
    response.set_problem(*problem);
    return std::nullopt;
  }
  const auto& window = std::get<Window>(resolved);
  const Extent extent = extent_of(state);
  PageRange range = page_range(window, extent, request.query.limit);

  response.body.append("{\"data\":[");
  std::string corrupt;
  WrittenPage page{.range = range};
  if (!range.empty()) {
    const auto written = write_entries(response.body, window, state, range, corrupt);
    if (const auto* problem = std::get_if<ProblemDetails>(&written)) {
      response.set_problem(*problem);
      return std::nullopt;
    }
    page = std::get<WrittenPage>(written);
    range = page.range;
  }
  response.body.append("],");
  const Neighbours beside = neighbours(window, extent, range);
  const PageDescription description(request.target, request.query, state);
  description.append_meta(response.body, beside, corrupt);
  response.body.push_back('}');
  description.append_links(response.headers, window, beside);

  if (is_final(window, extent, range, request.query.limit)) {
    const std::string tag = description.entity_tag(page);
    response.add_header("ETag", tag);
    response.cache_control = "private, no-cache";
    if (!request.if_none_match.empty() && matches_any(request.if_none_match, tag)) {
      response.status = 304;
      response.body.clear();
    }
  }
  const bool fillable =
      range.empty() && window.direction == PageDirection::Ascending && window.ceiling > state.head.next();
  return fillable ? std::optional(Waitable{.conversation = state.number, .head = state.head}) : std::nullopt;
}

OrProblem<PageReader::StreamPosition> PageReader::begin_stream(const Target& target, const HistoryQuery& query,
                                                               std::string_view last_event_id, Visible visible) {
  auto found = find(target.conversation);
  if (const auto* problem = std::get_if<ProblemDetails>(&found)) return *problem;
  auto& state = std::get<ConversationState>(found);
  const Seq retained = cut_to(visible, state);
  HistoryQuery start = query;
  if (!last_event_id.empty()) {
    const auto seq = read_decimal(last_event_id);
    if (!seq) return parameter_problem("Last-Event-ID", "Last-Event-ID is the seq of the last event.");
    start.after = Seq{*seq};
  }
  if (!start.after) start.after = state.head;
  const auto window = window_of(start, state, retained);
  if (const auto* problem = std::get_if<ProblemDetails>(&window)) return *problem;
  return StreamPosition{.conversation = state.number, .after = std::get<Window>(window).edge};
}

bool PageReader::append_events(std::string& to, StreamPosition& position) {
  const auto head = head_of(position.conversation);
  if (!head) return false;
  if (*head <= position.after) return true;
  const auto state = reader_.history()->find_conversation(position.conversation);
  if (!state || !*state) return false;
  if (position.open && !is_open(**state)) return false;
  EventWriter writer(to);
  const auto visited = reader_.history()->visit(position.conversation, {.first = position.after.next(), .last = *head},
                                                {.entries_max = kEventsMax, .bytes_max = kEventBytesMax},
                                                storage::Direction::Ascending, writer);
  if (!visited || *visited == 0) return false;
  // Dense by rights; what isn't, retention has taken away under the stream.
  if (!writer.rights_changed && writer.last.value - position.after.value != *visited) return false;
  position.after = writer.last;
  position.rights_changed = writer.rights_changed;
  metrics_.entries_total.fetch_add(writer.entries, std::memory_order_relaxed);
  return true;
}

std::optional<Seq> PageReader::head_of(ConversationNumber conversation) {
  storage::History* history = reader_.history();
  if (history == nullptr) return std::nullopt;
  const auto state = history->find_conversation(conversation);
  if (!state || !*state) return std::nullopt;
  return (*state)->head;
}

std::optional<std::uint64_t> PageReader::follow() {
  storage::History* history = reader_.history();
  if (history == nullptr) return std::nullopt;
  const auto changes = history->follow();
  if (!changes) return std::nullopt;
  return *changes;
}

}  // namespace parley::bridge
