#include "broker/shard/history_requests.hpp"

#include <algorithm>
#include <utility>

#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"
#include "json/fields.hpp"
#include "storage/format/changes.hpp"

namespace parley::shard {
namespace {

using chat::Refusal;

/// Tokens have a client's place here, which is never that high; see Feeds and Serving.
constexpr std::uint64_t kNoPlace = (1U << 24) - 2;
constexpr unsigned kPlaceBits = 24;
constexpr std::uint64_t kPlaceMask = (1U << kPlaceBits) - 1;

}  // namespace

Result<HistoryRequests::Query> HistoryRequests::read_query(std::string_view payload) {
  Query query;
  if (payload.empty()) return query;
  const auto fields = json::read_fields(payload);
  if (!fields) return Refusal::InvalidPayload;
  for (const json::Field& field : *fields) {
    const auto* number = std::get_if<std::uint64_t>(&field.value);
    const auto* flag = std::get_if<bool>(&field.value);
    if (field.name == "before" && number != nullptr && *number >= 1) {
      query.before = Seq{*number};
    } else if (field.name == "after" && number != nullptr) {
      query.after = Seq{*number};
    } else if (field.name == "limit" && number != nullptr && *number >= 1 && *number <= kPageMax) {
      query.limit = *number;
    } else if (field.name == "json" && flag != nullptr) {
      query.json = *flag;
    } else {
      return Refusal::InvalidArgument;
    }
  }
  return query;
}

void HistoryRequests::ask(const std::string& conversation, const std::string& user, std::string_view payload,
                          bool as_json, Origin origin) {
  auto query = read_query(payload);
  auto refusal = query ? Refusal::None : static_cast<Refusal>(query.error().value());
  if (const auto users = format::direct_users(conversation)) {
    // Following a direct conversation creates it.
    if (users->first != user && users->second != user) refusal = Refusal::NotAuthorized;
  }
  const std::uint32_t place = origin.client;
  if (refusal == Refusal::None && !lines_.contains(place)) make_room();
  const auto known = lines_.find(place);
  const bool full = known == lines_.end() ? lines_.size() >= kPagesMax : known->second.requests.size() >= kOfClientMax;
  if (refusal == Refusal::None && full) refusal = Refusal::Busy;
  if (refusal != Refusal::None) {
    shard_.send_outcome(origin, {.refusal = refusal});
    return;
  }
  query->json = query->json || as_json;
  Line& line = lines_[place];
  line.requests.push_back({std::move(origin), conversation, user, *query});
  if (line.requests.size() == 1) start(place);
}

/// Null when that request has gone meanwhile.
HistoryRequests::Line* HistoryRequests::find(std::uint32_t place, std::uint64_t number) {
  const auto found = lines_.find(place);
  return found == lines_.end() || found->second.number != number ? nullptr : &found->second;
}

/// Whoever has taken nothing for a while is told that its page ends here.
void HistoryRequests::make_room() {
  if (lines_.size() < kPagesMax) return;
  const auto since = [](const auto& one) { return one.second.page.is_here ? one.second.moved : Instant::max(); };
  const auto standing = std::ranges::min_element(lines_, {}, since);
  if (since(*standing) > shard_.now() - kPatience) return;
  const Line line = std::move(standing->second);
  lines_.erase(standing);
  for (const Request& request : line.requests) shard_.send_outcome(request.origin, {.refusal = Refusal::Busy});
}

/// The first of the line's requests.
void HistoryRequests::start(std::uint32_t place) {
  Line& line = lines_.at(place);
  line.number = next_++;
  line.page = {};
  line.moved = shard_.now();
  // It may be answered at once, and gone then.
  const std::string conversation = line.requests.front().conversation;
  const std::string user = line.requests.front().user;
  shard_.feeds().with_access(conversation, user,
                             [this, place, number = line.number](Feed& feed, const Feeds::Access& access) {
                               if (Line* asked = find(place, number)) begin(place, *asked, feed, access);
                             });
}

void HistoryRequests::begin(std::uint32_t place, Line& line, const Feed& feed, const Feeds::Access& access) {
  const Query& query = line.requests.front().query;
  const Seq head = feed.standing.head;
  auto refusal = access.refusal;
  if (refusal == Refusal::None && query.after && *query.after > head) refusal = Refusal::BeyondHead;
  if (refusal != Refusal::None) return finish(place, refusal);
  Page& page = line.page;
  page.standing = feed.standing;
  page.standing.conversation = feed.name;
  page.oldest = std::max(feed.standing.oldest, access.visible_from);
  page.first = query.after ? std::max(page.oldest, query.after->next()) : page.oldest;
  page.last = query.before ? std::min(head, Seq{query.before->value - 1}) : head;
  const bool is_empty = page.first > page.last;
  const std::uint64_t more = query.limit - 1;
  const Seq nearest{page.last.value > more ? page.last.value - more : 1};
  if (!is_empty && query.after) {
    page.last = std::min(page.last, Seq{page.first.value + more});
  } else if (!is_empty) {
    page.first = std::max(page.first, nearest);
  }
  page.next = page.first;
  // What retention has removed is told as a gap; what came before the user's joining is nothing to it.
  if (page.oldest == feed.standing.oldest) {
    if (query.after) page.next = query.after->next();
    if (is_empty && !query.after && query.before) page.next = nearest;
  }
  if (is_empty) {
    page.is_here = true;
    Client* client = shard_.clients().find_place(place);
    if (client != nullptr) send(*client, line);
    return;
  }
  const std::uint64_t token = next_++ << kPlaceBits | kNoPlace;
  readings_.emplace(token, Reading{place, line.number, feed.name});
  shard_.feeds().keep(feed.name);
  read(token, page);
}

void HistoryRequests::read(std::uint64_t token, const Page& page) {
  const FollowedEvent& standing = page.standing;
  if (!standing.remote) {
    read_here(token);
    return;
  }
  shard_.send(home_of_name(standing.conversation, shard_.options()),
              PeerEvent{ReadEvent{.conversation = standing.conversation,
                                  .shard = shard_.id(),
                                  .token = token,
                                  .number = standing.number,
                                  .first = page.first,
                                  .last = page.last,
                                  .entries_max = kPageMax,
                                  .bytes_max = kPageBytes}});
}

bool HistoryRequests::read_here(std::uint64_t token) {
  if ((token & kPlaceMask) != kNoPlace) return false;
  const auto reading = readings_.find(token);
  if (reading == readings_.end()) return true;
  const Line* line = find(reading->second.place, reading->second.number);
  if (line == nullptr) {
    entries_read(token, ReadPage{});
    return true;
  }
  shard_.store().read_entries(shard_.id(), {.token = token,
                                            .conversation = line->page.standing.number,
                                            .first = line->page.first,
                                            .last = line->page.last,
                                            .entries_max = kPageMax,
                                            .bytes_max = kPageBytes});
  return true;
}

bool HistoryRequests::entries_read(std::uint64_t token, const Result<ReadPage>& read) {
  if ((token & kPlaceMask) != kNoPlace) return false;
  const auto found = readings_.find(token);
  if (found == readings_.end()) return true;
  const Reading reading = found->second;
  Line* line = find(reading.place, reading.number);
  if (line != nullptr && read) {
    Page& page = line->page;
    Seq reached = read->entries.empty() && read->corrupt.empty() ? page.last : Seq{};
    if (!read->entries.empty()) reached = (*read->entries.back())->seq;
    if (!read->corrupt.empty()) reached = std::max(reached, read->corrupt.back());
    if (reached < page.last && !line->requests.front().query.after) {
      // Too much for one page: what is nearest to its end counts, so only that is read.
      const std::uint64_t half = (reached.value - page.first.value) / 2;
      page.first = page.next = Seq{page.last.value - half};
      this->read(token, page);
      return true;
    }
    page.last = reached;
    page.entries = read->entries;
    page.is_here = true;
  }
  readings_.erase(found);
  if (line != nullptr) {
    Client* client = shard_.clients().find_place(reading.place);
    if (!read) {
      finish(reading.place, Refusal::StorageFailed);
    } else if (client != nullptr) {
      send(*client, *line);
    }
  }
  shard_.feeds().let_go(reading.conversation);
  return true;
}

// -- Sending --

bool HistoryRequests::take_turn(const Client& client) {
  const auto found = lines_.find(client.place);
  if (found == lines_.end()) return false;
  return found->second.first = !found->second.first;
}

void HistoryRequests::go_on(Client& client) {
  if (lines_.empty()) return;
  const auto found = lines_.find(client.place);
  if (found != lines_.end() && found->second.page.is_here) send(client, found->second);
}

void HistoryRequests::send(Client& client, Line& line) {
  const Request& request = line.requests.front();
  Page& page = line.page;
  const ReceiptAddress& address = *request.origin.receipt;
  const auto* subscription = Publishing::subscription_to(client, address.topic);
  const auto qos = subscription != nullptr ? subscription->options.qos : mqtt::Qos::AtMostOnce;
  const session::Session& session = *client.session;
  while (session.can_send(qos) && session.queued() == 0) {
    line.moved = shard_.now();
    if (page.next <= page.last) {
      send_next(client, request, page);
      continue;
    }
    const bool fits = shard_.publishing().send_to(client, address, page_end_message(address, end_of(request, page)));
    return finish(client.place, fits ? Refusal::None : Refusal::TooLarge);
  }
}

/// An entry, or that there is none from here to the next one. One that is larger than the client takes counts as such.
void HistoryRequests::send_next(Client& client, const Request& request, Page& page) {
  const ReceiptAddress& address = *request.origin.receipt;
  Seq gap_end = page.last;
  if (page.used < page.entries.size()) {
    const format::Entry& entry = *page.entries[page.used];
    gap_end = Seq{entry->seq.value - 1};
    if (entry->seq == page.next) {
      ++page.used;
      gap_end = page.next;
      if (shard_.publishing().send_to(client, address, page_entry_message(address, entry, request.query.json))) {
        ++page.sent;
        page.next = page.next.next();
        return;
      }
    }
  }
  shard_.publishing().send_to(client, address, page_gap_message(address, page.next, gap_end));
  page.next = gap_end.next();
}

PageEnd HistoryRequests::end_of(const Request& request, const Page& page) {
  const Query& query = request.query;
  const Seq head = page.standing.head;
  const Seq end = query.before ? std::min(head, Seq{query.before->value - 1}) : head;
  return {.first = page.first,
          .last = page.last,
          .entries = page.sent,
          .more = page.first <= page.last && (query.after ? page.last < end : page.first > page.oldest),
          .head = head,
          .oldest = page.oldest,
          .epoch = page.standing.epoch};
}

/// The first request of the line is answered, and the next one's turn comes.
void HistoryRequests::finish(std::uint32_t place, Refusal refusal) {
  Line& line = lines_.at(place);
  Origin origin = std::move(line.requests.front().origin);
  line.requests.pop_front();
  line.page = {};
  const std::uint64_t number = line.number = next_++;
  if (refusal == Refusal::None) origin.receipt.reset();
  shard_.send_outcome(origin, {.refusal = refusal});
  // That may have ended the connection.
  const Line* left = find(place, number);
  if (left == nullptr) return;
  if (left->requests.empty()) {
    lines_.erase(place);
  } else {
    start(place);
  }
}

/// Who comes back asks again.
void HistoryRequests::detach(const Client& client) {
  const auto found = lines_.find(client.place);
  if (found == lines_.end()) return;
  Line line = std::move(found->second);
  lines_.erase(found);
  for (Request& request : line.requests) {
    request.origin.receipt.reset();
    shard_.publishing().outcome(request.origin, {.refusal = Refusal::Busy});
  }
}

}  // namespace parley::shard
