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
  if (refusal == Refusal::None && requests_.size() >= kRequestsMax) refusal = Refusal::Busy;
  if (refusal != Refusal::None) {
    shard_.send_outcome(origin, {.refusal = refusal});
    return;
  }
  query->json = query->json || as_json;
  shard_.feeds().with_access(
      conversation, user, [this, wanted = *query, from = std::move(origin)](Feed& feed, const Feeds::Access& access) {
        begin(feed, access, wanted, from);
      });
}

void HistoryRequests::begin(const Feed& feed, const Feeds::Access& access, Query query, Origin origin) {
  Request request{.origin = std::move(origin), .query = query, .standing = feed.standing};
  const Seq head = feed.standing.head;
  auto refusal = access.refusal;
  if (refusal == Refusal::None && query.after && *query.after > head) refusal = Refusal::BeyondHead;
  if (refusal != Refusal::None) {
    shard_.send_outcome(request.origin, {.refusal = refusal});
    return;
  }
  request.standing.conversation = feed.name;
  request.oldest = std::max(feed.standing.oldest, access.visible_from);
  request.first = query.after ? std::max(request.oldest, query.after->next()) : request.oldest;
  request.last = query.before ? std::min(head, Seq{query.before->value - 1}) : head;
  if (request.first > request.last) {
    answer(request, {});
    return;
  }
  const std::uint64_t more = query.limit - 1;
  if (query.after) {
    request.last = std::min(request.last, Seq{request.first.value + more});
  } else if (request.last.value > more) {
    request.first = std::max(request.first, Seq{request.last.value - more});
  }
  const std::uint64_t token = next_++ << kPlaceBits | kNoPlace;
  const auto added = requests_.emplace(token, std::move(request)).first;
  shard_.feeds().keep(feed.name);
  read(token, added->second);
}

void HistoryRequests::read(std::uint64_t token, const Request& request) {
  const FollowedEvent& standing = request.standing;
  if (!standing.remote) {
    read_here(token);
    return;
  }
  shard_.send(home_of_name(standing.conversation, shard_.options()),
              PeerEvent{ReadEvent{.conversation = standing.conversation,
                                  .shard = shard_.id(),
                                  .token = token,
                                  .number = standing.number,
                                  .first = request.first,
                                  .last = request.last,
                                  .entries_max = kPageMax,
                                  .bytes_max = kPageBytes}});
}

bool HistoryRequests::read_here(std::uint64_t token) {
  if ((token & kPlaceMask) != kNoPlace) return false;
  const auto found = requests_.find(token);
  if (found == requests_.end()) return true;
  shard_.store().read_entries(shard_.id(), {.token = token,
                                            .conversation = found->second.standing.number,
                                            .first = found->second.first,
                                            .last = found->second.last,
                                            .entries_max = kPageMax,
                                            .bytes_max = kPageBytes});
  return true;
}

bool HistoryRequests::entries_read(std::uint64_t token, const Result<ReadPage>& page) {
  if ((token & kPlaceMask) != kNoPlace) return false;
  const auto found = requests_.find(token);
  if (found == requests_.end()) return true;
  Request& request = found->second;
  const Seq reached = page && !page->entries.empty() ? (*page->entries.back())->seq : request.last;
  if (reached < request.last && !request.query.after) {
    // Too much for one page: what is nearest to its end counts, so only that is read.
    const std::uint64_t half = (reached.value - request.first.value) / 2;
    request.first = Seq{request.last.value - half};
    read(token, request);
    return true;
  }
  request.last = reached;
  const Request done = std::move(request);
  requests_.erase(found);
  if (page) {
    answer(done, *page);
  } else {
    shard_.send_outcome(done.origin, {.refusal = Refusal::StorageFailed});
  }
  shard_.feeds().let_go(done.standing.conversation);
  return true;
}

void HistoryRequests::answer(const Request& request, const ReadPage& page) {
  Client* client = shard_.clients().find(request.origin.client, request.origin.identity);
  if (client == nullptr) return;
  const ReceiptAddress& address = *request.origin.receipt;
  for (const auto& entry : page.entries) {
    shard_.publishing().send_to(*client, address, page_entry_message(address, *entry, request.query.json));
  }
  const bool limited = request.query.after.has_value();
  const Seq head = request.standing.head;
  const Seq end = request.query.before ? std::min(head, Seq{request.query.before->value - 1}) : head;
  const PageEnd closing{
      .first = request.first,
      .last = request.last,
      .entries = page.entries.size(),
      .more = request.first <= request.last && (limited ? request.last < end : request.first > request.oldest),
      .head = head,
      .oldest = request.oldest,
      .epoch = request.standing.epoch};
  shard_.publishing().send_to(*client, address, page_end_message(address, closing));
  Origin acknowledged = request.origin;
  acknowledged.receipt.reset();
  shard_.send_outcome(acknowledged, {});
}

}  // namespace parley::shard
