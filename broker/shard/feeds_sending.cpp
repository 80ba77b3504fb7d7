#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/clients.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/feeds.hpp"
#include "broker/shard/shard.hpp"

/// From a cursor to what its client is sent: whose turn it is, entries and batches, and pages of the log for those who
/// are behind.
namespace parley::shard {
namespace {

/// One page of a reader that catches up.
constexpr std::size_t kPageEntries = 128;
constexpr std::size_t kPageBytes = 64 * 1024;
/// Cursors that are tried in vain before the others of the client have to wait for its next event.
constexpr std::size_t kVainTriesMax = 16;
/// Of a batch: less than a page, so that it can be read again as a whole.
constexpr std::size_t kBatchBytes = 48 * 1024;

/// A read's token is a running number with the client's place below.
constexpr unsigned kPlaceBits = 24;

}  // namespace

// -- Sending --

void Feeds::set_behind(Follower& follower) {
  if (std::exchange(follower.behind, true)) return;
  auto& list = follower.client->behind;
  auto place = list.end();
  if (follower.client->newest_first)
    place = std::ranges::upper_bound(list, follower.latest(), std::ranges::greater{}, &Follower::latest);
  list.insert(place, &follower);
}

void Feeds::pump(Client& client) {
  if (!client.session->connected() || !resend(client)) return;
  if (!client.behind.empty()) {
    if (client.newest_first) {
      pump_newest_first(client);
    } else {
      pump_in_turn(client);
    }
  }
  if (client.behind.empty()) client.catch_up.reset();
}

/// Each cursor gets its turn: one that was tried goes to the end of the list, whatever it could send. Only whose page
/// is here goes first until it is used up.
void Feeds::pump_in_turn(Client& client) {
  std::vector<Follower*>& list = client.behind;
  if (client.catch_up && client.catch_up->has_page()) {
    const auto reader = std::ranges::find(list, client.catch_up->follower);
    if (reader != list.end()) std::rotate(list.begin(), reader, reader + 1);
  }
  std::size_t tried = 0;
  std::size_t kept = 0;
  std::size_t in_vain = 0;
  while (tried < list.size() && in_vain < kVainTriesMax) {
    Follower* follower = list[tried++];
    const Seq before = client.session->cursor(follower->cursor).next;
    if (!follower->held && pump(*follower)) {
      follower->behind = false;
      continue;
    }
    if (client.session->cursor(follower->cursor).next == before) ++in_vain;
    list[kept++] = follower;
  }
  // [0, kept) were tried and stay, [kept, tried) are holes, the rest wasn't tried.
  list.erase(list.begin() + static_cast<std::ptrdiff_t>(kept), list.begin() + static_cast<std::ptrdiff_t>(tried));
  std::rotate(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(kept), list.end());
  if (list.empty()) list = {};
}

/// One after the other. Only whose page is here goes first until it is used up.
void Feeds::pump_newest_first(Client& client) {
  std::vector<Follower*>& list = client.behind;
  const auto done = [&](Follower* follower) {
    if (!pump(*follower)) return false;
    follower->behind = false;
    std::erase(list, follower);
    return true;
  };
  if (client.catch_up && client.catch_up->has_page() && client.catch_up->follower->behind) {
    done(client.catch_up->follower);
  }
  for (std::size_t i = 0; i < list.size();) {
    if (list[i]->held) {
      ++i;
    } else if (!done(list[i])) {
      break;
    }
  }
  if (list.empty()) list = {};
}

/// Nobody reads while a newer conversation has to wait.
bool Feeds::may_read(const Client& client, const Follower& follower) {
  if (!client.newest_first || client.session->resend_wanted()) return true;
  const auto first = std::ranges::find_if(client.behind, [](const Follower* one) { return !one->held; });
  return first == client.behind.end() || *first == &follower;
}

/// False while an entry is wanted that isn't here.
bool Feeds::resend(Client& client) {
  client.session->drained(shard_.now());
  while (const auto wanted = client.session->resend_wanted()) {
    Follower* follower = find_follower(client, wanted->cursor);
    if (follower == nullptr) {
      if (client.awaits_feeds()) return false;  // Its feed may be among them; pump() comes again when it is there.
      client.session->skip_entries(wanted->cursor, wanted->seq, shard_.now());
      continue;
    }
    const bool batch = wanted->first != wanted->seq;
    if (batch ? send_batch_again(*follower, *wanted) : send(*follower, wanted->seq)) continue;
    if (client.catch_up && client.catch_up->token == 0) client.catch_up.reset();  // Nobody else may send before this.
    read(*follower, wanted->first, follower->feed->standing.head);
    return false;
  }
  return true;
}

/// True when the follower has come to the head.
bool Feeds::pump(Follower& follower) {
  if (follower.seat) return pump_seat(follower);
  session::Session& session = *follower.client->session;
  const Feed& feed = *follower.feed;
  for (;;) {
    const auto cursor = session.cursor(follower.cursor);
    if (cursor.next > feed.standing.head) return true;
    if (!session.can_send(cursor.qos)) return false;
    if (cursor.next < feed.standing.oldest) {
      const Seq last{feed.standing.oldest.value - 1};
      if (!tell_gap(follower, cursor.next, last)) return false;
      session.skip_entries(follower.cursor, last, shard_.now());
    } else if (!send_batch(follower, cursor.next) && !send(follower, cursor.next)) {
      read(follower, cursor.next, feed.standing.head);
      return false;
    }
  }
}

void Feeds::pump_granted(Follower& follower) {
  if (!follower.behind && !follower.held && !pump(follower)) set_behind(follower);
}

/// The same for one that has a part of the entries only: true when it has sent what is its own.
bool Feeds::pump_seat(Follower& follower) {
  session::Session& session = *follower.client->session;
  const Feed& feed = *follower.feed;
  auto& granted = follower.seat->granted;
  while (!granted.empty()) {
    const Seq seq = granted.front();
    if (seq > feed.standing.head) return true;  // It comes.
    if (!session.can_send(session.cursor(follower.cursor).qos)) return false;
    if (seq < feed.standing.oldest) {
      if (!skip_granted(follower, seq, seq)) return false;
    } else if (!send(follower, seq)) {
      read(follower, seq, std::min(feed.standing.head, Seq{seq.value + kPageEntries - 1}));
      return false;
    }
  }
  return true;
}

/// They don't exist any more or can't be read. False when there is no room to say so.
bool Feeds::skip_granted(Follower& follower, Seq first, Seq last) {
  auto& granted = follower.seat->granted;
  while (!granted.empty() && granted.front() >= first && granted.front() <= last) {
    const Seq seq = granted.front();
    if (!tell_gap(follower, seq, seq)) return false;
    granted.pop_front();
    shard_.share_members().passed(follower, seq);
  }
  return true;
}

/// A message that the follower's client id has published, which No Local keeps from one of its subscriptions at least.
/// MQTT 5 §3.8.3.1.
bool Feeds::is_own(const Follower& follower, const format::EntryRecord& entry) {
  if (entry.publisher == 0 || follower.seat) return false;
  const session::Session& session = *follower.client->session;
  return session.cursor(follower.cursor).own != session::OwnEntries::All && entry.publisher == session.publisher();
}

/// False when the entry has to be read first.
bool Feeds::send(Follower& follower, Seq seq) {
  Client& client = *follower.client;
  Feed& feed = *follower.feed;
  Feed::Recent* kept = recent(feed, seq);
  const format::EntryPtr* entry = kept != nullptr ? &kept->entry : find_in_page(follower, seq);
  if (entry == nullptr) return false;
  const format::EntryRecord& record = ***entry;
  const bool own = is_own(follower, record);
  // What was sent once is sent again, though the subscription has changed meanwhile.
  if (own && client.session->cursor(follower.cursor).own == session::OwnEntries::None &&
      !client.session->resend_wanted()) {
    client.session->skip_entries(follower.cursor, seq, shard_.now());
    sent(client);
    return true;
  }
  mqtt::MessagePtr made;
  const mqtt::MessagePtr* message = &made;
  std::string_view name = feed.name;
  if (follower.aliased) {
    name = chat::read_topic(shard_.options().root, topic_of(follower))->conversation;
  }
  const bool has_id = client.meta == Meta::Compact && follower.form == chat::Form::Message && record.id_from_client &&
                      record.from == client.session->user();
  if (has_id) {
    const bool named = client.named_senders.knows(record.from);
    made = compact_entry_message(shard_.options().root, name, **entry, {.sender_named = !named, .has_id = true});
  } else {
    const auto variant = variant_for(follower, record);
    if (kept == nullptr || follower.aliased) {
      made = make_message(name, **entry, variant);
    } else {
      message = &kept->messages[variant];
      if (!*message) kept->messages[variant] = make_message(name, **entry, variant);
    }
  }
  // Nobody may jump over an entry without being told.
  const bool fits = client.session->takes(**message, follower.cursor, own);
  if (!fits) {
    made = gap_notice(topic_of(follower), seq, seq);
    message = &made;
  }
  if (follower.seat) {
    follower.seat->granted.pop_front();
    const bool under_way = client.session->send_shared(follower.cursor, seq, *message, shard_.now());
    if (!under_way) shard_.share_members().passed(follower, seq);
    if (under_way && fits && client.meta == Meta::Compact && follower.form == chat::Form::Message) {
      client.named_senders.name(record.from);
    }
    shard_.wrote(client);
    return true;
  }
  const bool replayed = fits && seq <= follower.replayed_until;
  const bool sent = client.session->send_entry(follower.cursor, seq, *message, replayed, shard_.now(), own);
  if (sent && fits && client.meta == Meta::Compact && follower.form == chat::Form::Message) {
    client.named_senders.name(record.from);
  }
  this->sent(client);
  return true;
}

void Feeds::sent(Client& client) {
  // What is sent at QoS 0 counts as acknowledged at once.
  if (client.persisted && !client.cursors_touched) shard_.session_records().cursors_moved(client);
  if (client.inbox) shard_.inboxes().moved(client);
  shard_.wrote(client);
}

/// False when there aren't several entries here that may go together.
bool Feeds::send_batch(Follower& follower, Seq first) {
  Client& client = *follower.client;
  Feed& feed = *follower.feed;
  if (!client.accepted.batch || follower.form != chat::Form::Message || first >= feed.standing.head) return false;
  const bool replayed = first <= follower.replayed_until;
  const Seq end = replayed ? std::min(follower.replayed_until, feed.standing.head) : feed.standing.head;
  const std::size_t most = std::min<std::size_t>(kBatchBytes, client.session->packet_size_max() / 2);
  EntryBatch batch(client.meta, client.session->user());
  Seq last = first;
  std::size_t bytes = 0;
  const std::size_t place = client.catch_up ? client.catch_up->next : 0;
  for (Seq seq = first; seq <= end && batch.size() < kPageEntries; seq = seq.next()) {
    Feed::Recent* kept = recent(feed, seq);
    const format::EntryPtr* entry = kept != nullptr ? &kept->entry : find_in_page(follower, seq);
    // What is acknowledged as one goes by the same subscriptions.
    if (entry == nullptr || is_own(follower, ***entry)) break;
    bytes += (*entry)->bytes().size();
    if (batch.size() != 0 && bytes > most) break;
    batch.add(***entry);
    last = seq;
  }
  if (batch.size() > 1 &&
      client.session->send_batch(follower.cursor, last, finish_batch(follower, batch), replayed, shard_.now())) {
    sent(client);
    return true;
  }
  if (client.catch_up) client.catch_up->next = place;
  return false;
}

/// False when its entries have to be read first.
bool Feeds::send_batch_again(Follower& follower, const session::Session::Wanted& wanted) {
  Client& client = *follower.client;
  Feed& feed = *follower.feed;
  const CatchUp* page = client.catch_up.get();
  const bool is_page =
      page != nullptr && page->follower == &follower && page->token == 0 && page->first == wanted.first;
  EntryBatch batch(client.meta, client.session->user());
  if (is_page) {
    // What isn't in it any more is left out.
    for (const format::EntryPtr& entry : page->page) {
      if ((*entry)->seq <= wanted.seq) batch.add(**entry);
    }
  } else {
    for (Seq seq = wanted.first; seq <= wanted.seq; seq = seq.next()) {
      Feed::Recent* kept = recent(feed, seq);
      if (kept == nullptr) return false;
      batch.add(**kept->entry);
    }
  }
  const bool replayed = wanted.first <= follower.replayed_until;
  auto message = batch.size() != 0 ? finish_batch(follower, batch) : nullptr;
  if (!message || !client.session->takes(*message, follower.cursor)) {
    message = gap_notice(topic_of(follower), wanted.first, wanted.seq);
  }
  client.session->send_batch(follower.cursor, wanted.seq, message, replayed, shard_.now());
  sent(client);
  return true;
}

mqtt::MessagePtr Feeds::finish_batch(const Follower& follower, const EntryBatch& batch) const {
  const std::string& root = shard_.options().root;
  std::string_view name = follower.feed->name;
  if (follower.aliased) {
    name = chat::read_topic(root, follower.client->session->cursor(follower.cursor).topic)->conversation;
  }
  return batch.message(root, name, follower.client->accepted);
}

Feed::Recent::Variant Feeds::variant_for(const Follower& follower, const format::EntryRecord& entry) const {
  if (follower.form == chat::Form::Json) return Feed::Recent::Json;
  switch (follower.client->meta) {
    case Meta::Full: return Feed::Recent::Full;
    case Meta::None: return Feed::Recent::Bare;
    case Meta::Compact: break;
  }
  return follower.client->named_senders.knows(entry.from) ? Feed::Recent::Compact : Feed::Recent::CompactNamed;
}

mqtt::MessagePtr Feeds::make_message(std::string_view name, const format::Entry& entry,
                                     Feed::Recent::Variant variant) const {
  const std::string& root = shard_.options().root;
  switch (variant) {
    case Feed::Recent::Compact: return compact_entry_message(root, name, entry, {.sender_named = false});
    case Feed::Recent::CompactNamed: return compact_entry_message(root, name, entry, {.sender_named = true});
    case Feed::Recent::Bare: return bare_entry_message(root, name, entry);
    case Feed::Recent::Json: return entry_message(root, name, entry, chat::Form::Json);
    case Feed::Recent::Full:
    case Feed::Recent::kVariants: break;
  }
  return entry_message(root, name, entry, chat::Form::Message);
}

// -- Catching up --

const format::EntryPtr* Feeds::find_in_page(Follower& follower, Seq seq) {
  CatchUp* catch_up = follower.client->catch_up.get();
  if (catch_up == nullptr || catch_up->follower != &follower || catch_up->token != 0) return nullptr;
  auto& next = catch_up->next;
  while (next < catch_up->page.size() && (*catch_up->page[next])->seq < seq) ++next;
  if (next >= catch_up->page.size() || (*catch_up->page[next])->seq != seq) return nullptr;
  return &catch_up->page[next];
}

/// Nothing while the client's one page is on its way or in use: the follower's turn comes when it isn't.
void Feeds::read(Follower& follower, Seq first, Seq last) {
  Client& client = *follower.client;
  if (!may_read(client, follower)) return;
  if (!client.catch_up) client.catch_up = std::make_unique<CatchUp>();
  CatchUp& catch_up = *client.catch_up;
  const bool others = catch_up.has_page() && catch_up.follower != &follower && catch_up.follower->behind;
  if (catch_up.token != 0 || others) return;
  catch_up = {.follower = &follower, .token = next_token_++ << kPlaceBits | client.place, .first = first, .last = last};
  const Feed& feed = *follower.feed;
  if (feed.standing.remote) {
    shard_.send(home_of_name(feed.name, shard_.options()), PeerEvent{ReadEvent{.conversation = feed.name,
                                                                               .shard = shard_.id(),
                                                                               .token = catch_up.token,
                                                                               .number = feed.standing.number,
                                                                               .first = first,
                                                                               .last = last,
                                                                               .entries_max = kPageEntries,
                                                                               .bytes_max = kPageBytes}});
  } else {
    read_here(catch_up.token);
  }
}

CatchUp* Feeds::find_read(std::uint64_t token) {
  const Client* client = shard_.clients().find_place(token & ((1U << kPlaceBits) - 1));
  if (client == nullptr || !client->catch_up || client->catch_up->token != token) return nullptr;
  return client->catch_up.get();
}

void Feeds::read_here(std::uint64_t token) {
  const CatchUp* catch_up = find_read(token);
  if (catch_up == nullptr) return;
  shard_.store().read_entries(shard_.id(), {.token = token,
                                            .conversation = catch_up->follower->feed->standing.number,
                                            .first = catch_up->first,
                                            .last = catch_up->last,
                                            .entries_max = kPageEntries,
                                            .bytes_max = kPageBytes});
}

void Feeds::entries_read(std::uint64_t token, Result<ReadPage>& page) {
  CatchUp* const found = find_read(token);
  if (found == nullptr) return;
  Client* client = found->follower->client;
  CatchUp& catch_up = *client->catch_up;
  Follower& follower = *catch_up.follower;
  if (!page) {
    log::error("history can't be read, closing the subscriber's connection",
               {{"conversation", follower.feed->name}, {"seq", catch_up.first}, {"error", page.error().message()}});
    shard_.close_client(*client, mqtt::ReasonCode::UnspecifiedError);
    return;
  }
  catch_up.token = 0;
  catch_up.page = std::move(page->entries);
  skip_unreadable(follower, catch_up, *page);
  pump(*client);
}

/// Up to where the page reaches, a seq that isn't in it doesn't exist any more or can't be read.
void Feeds::skip_unreadable(Follower& follower, const CatchUp& catch_up, const ReadPage& page) {
  session::Session& session = *follower.client->session;
  Seq readable = catch_up.last.next();
  if (!catch_up.page.empty()) {
    readable = (*catch_up.page.front())->seq;
  } else if (!page.corrupt.empty()) {
    readable = page.corrupt.back().next();
  }
  if (follower.seat) {
    if (readable > catch_up.first) skip_granted(follower, catch_up.first, Seq{readable.value - 1});
    return;
  }
  const Seq next = session.cursor(follower.cursor).next;
  const auto wanted = session.resend_wanted();
  const bool resends = wanted && wanted->cursor == follower.cursor && wanted->first == catch_up.first;
  // Of what is sent again only that; the cursor comes to the rest by itself.
  if (resends) readable = std::min(readable, next);
  if (readable <= catch_up.first || (!resends && next != catch_up.first)) return;
  const Seq last{readable.value - 1};
  log::warn("entries can't be delivered, telling the subscriber of a gap",
            {{"conversation", follower.feed->name}, {"first", catch_up.first}, {"last", last}});
  if (!resends) {
    if (tell_gap(follower, catch_up.first, last)) session.skip_entries(follower.cursor, last, shard_.now());
    return;  // Without room it is read again later.
  }
  // The client may have got any of them, so each packet id tells of its own.
  while (const auto more = session.resend_wanted()) {
    if (more->cursor != follower.cursor || more->seq > last) break;
    const auto notice = gap_notice(session.cursor(follower.cursor).topic, more->seq, more->seq);
    session.send_entry(follower.cursor, more->seq, notice, false, shard_.now());
  }
  shard_.wrote(*follower.client);
}

/// False when there is no room: nobody may jump over entries without being told.
bool Feeds::tell_gap(Follower& follower, Seq first, Seq last) {
  Client& client = *follower.client;
  session::Session& session = *client.session;
  const auto cursor = session.cursor(follower.cursor);
  if (!session.can_send(cursor.qos) || session.queued() != 0) return false;
  session.deliver(gap_notice(topic_of(follower), first, last), cursor.qos, false, {}, shard_.now());
  shard_.wrote(client);
  return true;
}

}  // namespace parley::shard
