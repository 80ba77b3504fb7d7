#include "broker/shard/feeds.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "broker/shard/clients.hpp"
#include "broker/shard/entry_message.hpp"
#include "broker/shard/shard.hpp"

namespace parley::shard {
namespace {

/// What a feed keeps in memory for subscribers that are level with it; who is further behind reads the log.
constexpr std::size_t kRecentEntriesMax = 256;
constexpr std::size_t kRecentBytesMax = 128 * 1024;
/// One page of a reader that catches up.
constexpr std::size_t kPageEntries = 128;
constexpr std::size_t kPageBytes = 64 * 1024;

std::size_t cost(const format::Entry& entry) { return entry.bytes().size() + 256; }

}  // namespace

void Feeds::with_feed(std::string_view conversation, std::function<void(Feed&)> ready) {
  const auto [place, added] = feeds_.try_emplace(std::string(conversation));
  if (added) {
    place->second = std::make_unique<Feed>();
    place->second->name = place->first;
  }
  Feed& feed = *place->second;
  if (feed.state == Feed::State::Ready) {
    ready(feed);
    forget_if_unused(feed);
    return;
  }
  feed.waiting.push_back(std::move(ready));
  if (added) shard_.send(shard_.home_of_name(feed.name), PeerEvent{FollowEvent{feed.name, shard_.id()}});
}

void Feeds::followed(FollowedEvent& event) {
  const auto found = feeds_.find(event.conversation);
  if (found == feeds_.end()) return;
  Feed& feed = *found->second;
  if (feed.state == Feed::State::Ready) return;
  feed.standing = std::move(event);
  feed.state = Feed::State::Ready;
  for (auto& ready : std::exchange(feed.waiting, {})) ready(feed);
  forget_if_unused(feed);
}

void Feeds::forget_if_unused(Feed& feed) {
  if (!feed.followers.empty() || feed.state != Feed::State::Ready || !feed.waiting.empty()) return;
  shard_.send(shard_.home_of_name(feed.name), PeerEvent{UnfollowEvent{feed.name, shard_.id()}});
  feeds_.erase(feed.name);
}

Follower& Feeds::add_follower(Feed& feed, Client& client, session::CursorId cursor, chat::Form form,
                              Seq replayed_until) {
  auto follower = std::make_unique<Follower>();
  follower->client = &client;
  follower->feed = &feed;
  follower->cursor = cursor;
  follower->form = form;
  follower->replayed_until = replayed_until;
  follower->place = feed.followers.size();
  feed.followers.push_back(follower.get());
  client.following.push_back(std::move(follower));
  return *client.following.back();
}

void Feeds::remove_followers(Client& client) {
  client.behind.clear();
  for (auto& follower : std::exchange(client.following, {})) {
    Feed& feed = *follower->feed;
    reads_.erase(follower->reading);
    feed.followers[follower->place] = feed.followers.back();
    feed.followers[follower->place]->place = follower->place;
    feed.followers.pop_back();
    forget_if_unused(feed);
  }
}

void Feeds::remove_follower(Client& client, session::CursorId cursor) {
  Follower* follower = find_follower(client, cursor);
  if (follower == nullptr) return;
  set_behind(*follower, false);
  reads_.erase(follower->reading);
  Feed& feed = *follower->feed;
  feed.followers[follower->place] = feed.followers.back();
  feed.followers[follower->place]->place = follower->place;
  feed.followers.pop_back();
  std::erase_if(client.following, [&](const auto& one) { return one.get() == follower; });
  forget_if_unused(feed);
}

Follower* Feeds::find_follower(Client& client, session::CursorId cursor) {
  const auto found = std::ranges::find_if(client.following, [&](const auto& one) { return one->cursor == cursor; });
  return found == client.following.end() ? nullptr : found->get();
}

Feed::Recent* Feeds::recent(Feed& feed, Seq seq) {
  const std::size_t count = feed.recent.size() - feed.recent_first;
  const std::uint64_t first = feed.standing.head.value + 1 - count;
  if (seq.value < first || seq > feed.standing.head) return nullptr;
  return &feed.recent[feed.recent_first + (seq.value - first)];
}

void Feeds::committed(CommittedEvent& event) {
  const auto found = feeds_.find(event.conversation);
  if (found == feeds_.end() || found->second->state != Feed::State::Ready) return;
  Feed& feed = *found->second;
  for (auto& entry : event.entries) {
    if ((*entry)->seq <= feed.standing.head) continue;
    feed.standing.head = (*entry)->seq;
    feed.recent_bytes += cost(*entry);
    feed.recent.push_back({std::move(entry), nullptr, nullptr});
  }
  for (std::size_t i = 0; i < feed.followers.size(); ++i) {
    Follower& follower = *feed.followers[i];
    // Whoever waits for room or for the disk comes to these entries by itself.
    if (!follower.behind && follower.reading == 0) pump(follower);
  }
  const auto too_much = [&] {
    return feed.recent.size() - feed.recent_first > kRecentEntriesMax || feed.recent_bytes > kRecentBytesMax;
  };
  while (feed.recent_first < feed.recent.size() && too_much()) {
    Feed::Recent& oldest = feed.recent[feed.recent_first++];
    feed.recent_bytes -= cost(*oldest.entry);
    oldest = {};
  }
  if (feed.recent_first >= kRecentEntriesMax || feed.recent_first == feed.recent.size()) {
    feed.recent.erase(feed.recent.begin(), feed.recent.begin() + static_cast<std::ptrdiff_t>(feed.recent_first));
    feed.recent_first = 0;
  }
}

void Feeds::set_behind(Follower& follower, bool behind) {
  if (follower.behind == behind) return;
  follower.behind = behind;
  auto& list = follower.client->behind;
  if (behind) {
    list.push_back(&follower);
  } else {
    std::erase(list, &follower);
  }
}

void Feeds::pump(Client& client) {
  if (!client.session->connected()) return;
  if (!resend(client)) return;
  // Each gets its turn: one that fills the window goes to the end of the list.
  std::vector<Follower*> list = std::exchange(client.behind, {});
  for (Follower* follower : list) follower->behind = false;
  for (Follower* follower : list) pump(*follower);
}

bool Feeds::resend(Client& client) {
  while (const auto wanted = client.session->resend_wanted()) {
    Follower* follower = find_follower(client, wanted->cursor);
    if (follower == nullptr) {
      // Its feed isn't there yet; pump() comes again when it is.
      if (!client.awaits_feeds()) client.session->skip_entries(wanted->cursor, wanted->seq, shard_.now());
      if (client.awaits_feeds()) return false;
      continue;
    }
    if (follower->reading != 0) return false;
    if (!send(*follower, wanted->seq)) {
      read(*follower, wanted->seq, wanted->seq);
      return false;
    }
  }
  return true;
}

Feeds::Pumped Feeds::pump(Follower& follower) {
  session::Session& session = *follower.client->session;
  const auto qos = session.cursor(follower.cursor).qos;
  const Feed& feed = *follower.feed;
  if (follower.reading != 0) return Pumped::Reading;
  for (;;) {
    const Seq next = session.cursor(follower.cursor).next;
    if (next > feed.standing.head) {
      follower.page.clear();
      follower.page_next = 0;
      return Pumped::AtHead;
    }
    if (!session.can_send(qos)) {
      set_behind(follower, true);
      return Pumped::NoRoom;
    }
    if (next < feed.standing.oldest) {
      const Seq last{feed.standing.oldest.value - 1};
      const auto notice = gap_notice(session.cursor(follower.cursor).topic, follower.form, next, last);
      session.deliver(notice, mqtt::Qos::AtMostOnce, false, {}, shard_.now());
      session.skip_entries(follower.cursor, last, shard_.now());
      shard_.wrote(*follower.client);
      continue;
    }
    if (!send(follower, next)) {
      read(follower, next, feed.standing.head);
      return Pumped::Reading;
    }
  }
}

bool Feeds::send(Follower& follower, Seq seq) {
  const bool replayed = seq <= follower.replayed_until;
  Feed& feed = *follower.feed;
  mqtt::MessagePtr message;
  if (Feed::Recent* entry = recent(feed, seq)) {
    mqtt::MessagePtr& cached = follower.form == chat::Form::Json ? entry->json : entry->message;
    if (!cached) cached = entry_message(shard_.options().root, feed.name, *entry->entry, follower.form);
    message = cached;
  } else {
    while (follower.page_next < follower.page.size() && (*follower.page[follower.page_next])->seq < seq) {
      ++follower.page_next;
    }
    if (follower.page_next >= follower.page.size() || (*follower.page[follower.page_next])->seq != seq) return false;
    message = entry_message(shard_.options().root, feed.name, *follower.page[follower.page_next], follower.form);
    ++follower.page_next;
  }
  follower.client->session->send_entry(follower.cursor, seq, message, replayed, shard_.now());
  shard_.wrote(*follower.client);
  return true;
}

void Feeds::read(Follower& follower, Seq first, Seq last) {
  follower.page.clear();
  follower.page_next = 0;
  follower.reading = next_token_++;
  const Client& client = *follower.client;
  reads_.emplace(follower.reading, Read{client.place, client.session->identity(), follower.cursor, first, last});
  shard_.store().read_entries(shard_.id(), {.token = follower.reading,
                                            .conversation = follower.feed->standing.number,
                                            .first = first,
                                            .last = last,
                                            .entries_max = kPageEntries,
                                            .bytes_max = kPageBytes});
}

void Feeds::entries_read(std::uint64_t token, Result<ReadPage>& page) {
  const auto found = reads_.find(token);
  if (found == reads_.end()) return;
  const Read read = found->second;
  reads_.erase(found);
  Client* client = shard_.clients().find(read.client, read.identity);
  if (client == nullptr) return;
  Follower* follower = find_follower(*client, read.cursor);
  if (follower == nullptr || follower->reading != token) return;
  follower->reading = 0;
  if (!page) {
    log::error("history can't be read, closing the subscriber's connection",
               {{"conversation", follower->feed->name}, {"seq", read.first}, {"error", page.error().message()}});
    shard_.close_client(*client, mqtt::ReasonCode::UnspecifiedError);
    return;
  }
  follower->page = std::move(page->entries);
  follower->page_next = 0;
  skip_unreadable(*follower, read.first, read.last, *page);
  set_behind(*follower, true);
  pump(*client);
}

void Feeds::skip_unreadable(Follower& follower, Seq first, Seq last, const ReadPage& page) {
  // Up to where the page reaches, a seq that isn't in it doesn't exist any more or can't be read.
  const bool nothing = follower.page.empty();
  if (nothing && !page.corrupt.empty()) last = page.corrupt.back();
  session::Session& session = *follower.client->session;
  const Seq readable = nothing ? last.next() : (*follower.page.front())->seq;
  if (readable <= first) return;
  const Seq unreadable_last{readable.value - 1};
  log::warn("entries can't be delivered, telling the subscriber of a gap",
            {{"conversation", follower.feed->name}, {"first", first}, {"last", unreadable_last}});
  session.deliver(gap_notice(session.cursor(follower.cursor).topic, follower.form, first, unreadable_last),
                  mqtt::Qos::AtMostOnce, false, {}, shard_.now());
  session.skip_entries(follower.cursor, unreadable_last, shard_.now());
  shard_.wrote(*follower.client);
}

}  // namespace parley::shard
