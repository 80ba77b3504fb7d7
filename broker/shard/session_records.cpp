#include "broker/shard/session_records.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "broker/shard/moved_queue.hpp"
#include "broker/shard/shard.hpp"
#include "broker/shard/stored_will.hpp"

namespace parley::shard {
namespace {

/// What a node is told of a session that it takes over, but for messages and a will.
std::size_t kept_size(const session::Session& session) {
  constexpr std::size_t kNumbers = 32;  // Beside each name.
  std::size_t size = 0;
  for (const session::Subscription& subscription : session.subscriptions()) {
    size += subscription.filter.size() + kNumbers;
  }
  for (const session::CursorId id : session.cursors()) size += session.cursor(id).topic.size() + kNumbers;
  return size;
}

}  // namespace

void SessionRecords::add(std::string_view client_id, std::uint64_t generation, const format::RecordBody& body,
                         Done done) {
  shard_.appending().append(slot_of_name(client_id, shard_.options()), body, generation, std::move(done));
}

void SessionRecords::write(Client& client, Timestamp disconnected, Done done) {
  // Of one that ends with its connection nothing changes that counts.
  if (client.session->expiry_interval() == 0) {
    if (done) done({});
    return;
  }
  const session::WillPlan* will = client.session->will();
  if (will == nullptr && client.will) will = &client.will->plan;
  write_with(client, disconnected, will != nullptr ? std::optional(*will) : std::nullopt, std::move(done));
}

void SessionRecords::write_opening(Client& client, std::optional<session::WillPlan> will, Done done) {
  write_with(client, {}, std::move(will), std::move(done));
}

void SessionRecords::write_with(Client& client, Timestamp disconnected, std::optional<session::WillPlan> will,
                                Done done) {
  const session::Session& session = *client.session;
  const bool recorded = will && will->id != 0;
  if (session.expiry_interval() == 0 && !recorded && !client.persisted) {
    if (done) done({});
    return;
  }
  if (!client.queue || !client.queue->arriving) {
    const std::string state = session.encode_state();
    write(client, disconnected, recorded ? with_will(*will, state) : state, std::move(done));
    return;
  }
  // Until then the record that has the messages stays.
  shard_.journal().when_stored(
      client, [this, place = client.place, identity = session.identity(), disconnected, will, then = std::move(done)] {
        if (Client* owner = shard_.clients().find(place, identity)) {
          write_with(*owner, disconnected, will, then);
        } else if (then) {
          then(StorageError::NotFound);
        }
      });
}

bool SessionRecords::is_too_large(const Client& client) const {
  if (client.session->expiry_interval() == 0 || shard_.nodes().standalone()) return false;
  // Half of it is left for a will, and for the messages of a session that moves.
  return kept_size(*client.session) > shard_.appending().record_max() / 2;
}

void SessionRecords::write_moving(Client& client, Done done) {
  std::size_t left_out = 0;
  // Whoever takes it over is told of its cursors, too.
  const std::size_t record_max = shard_.appending().record_max();
  const std::size_t bytes_max = std::min<std::size_t>(shard_.options().limits.packet_size_max,
                                                      record_max - std::min(record_max, kept_size(*client.session)));
  const std::string state = pack_session(*client.session, {shard_.now(), shard_.wall()}, bytes_max, left_out);
  if (left_out != 0 && !client.moved) {
    log::warn("a session goes on at another node without all of its messages",
              {{"client_id", client.session->client_id()}, {"left_out", left_out}});
  }
  client.moved = true;
  write(client, shard_.wall(), state,
        [this, place = client.place, identity = client.session->identity(), owed = client.session->owed().size(),
         then = std::move(done)](Result<void> outcome) {
          // What has come while this was written goes along, too.
          Client* owner = shard_.clients().find(place, identity);
          const bool stays = owner != nullptr && !owner->session->connected();
          if (outcome && stays && owner->session->owed().size() > owed) {
            write_moving(*owner, then);
          } else {
            if (owner != nullptr) owner->moved = outcome.has_value();
            then(outcome);
          }
        });
}

void SessionRecords::write(Client& client, Timestamp disconnected, const std::string& state, Done done) {
  const session::Session& session = *client.session;
  write_cursors(client, client.record_stale);
  const bool first = !std::exchange(client.persisted, true);
  client.record_stale = false;
  add(session.client_id(), client.generation,
      format::SessionRecord{.client_id = session.client_id(),
                            .user = session.user(),
                            .expiry_interval = session.expiry_interval(),
                            .disconnected = disconnected,
                            .state = state,
                            .owner = client.generation != 0 ? shard_.nodes().self() : NodeId{},
                            .generation = client.generation},
      [this, place = client.place, identity = session.identity(), first, then = std::move(done)](Result<void> outcome) {
        written(place, identity, first, outcome.has_value());
        if (then) then(outcome);
      });
}

/// All of them, or those without a record: a session must not come back with a subscription whose cursor is unknown.
void SessionRecords::write_cursors(Client& client, bool all) {
  for (const session::CursorId id : client.session->cursors()) {
    Follower* follower = shard_.feeds().find_follower(client, id);
    if (follower != nullptr && follower->seat) continue;
    if (follower != nullptr && (all || follower->persisted == Follower::kUnwritten)) {
      write_cursor(client, *follower);
    } else if (follower == nullptr && all) {
      const auto cursor = client.session->cursor(id);
      write_cursor(client, cursor.topic, cursor.epoch, cursor.acknowledged);
    }
  }
}

void SessionRecords::written(std::uint32_t place, std::uint64_t identity, bool first, bool stored) {
  Client* client = shard_.clients().find(place, identity);
  if (client == nullptr || stored) return;
  if (first) client->persisted = false;
  client->record_stale = true;
  // Cursors of the same batch are lost with it.
  for (const auto& follower : client->following) {
    if (follower) follower->persisted = Follower::kUnwritten;
  }
  touch(*client);
}

void SessionRecords::write_end(const std::string& client_id, std::uint64_t generation) {
  add(client_id, generation, format::SessionEndRecord{.client_id = client_id},
      [this, client_id, generation](Result<void> outcome) {
        // Somebody else's by now: it isn't this node's to end.
        const bool lost = !outcome && outcome.error() == make_error_code(chat::Refusal::NotAuthorized);
        if (!outcome && !lost) unwritten_ends_.emplace_back(client_id, generation);
      });
}

void SessionRecords::write_end_unless_back(const std::string& client_id, std::uint64_t generation) {
  const Client* client = shard_.clients().find(client_id);
  if (client != nullptr && client->persisted) return;
  write_end(client_id, client != nullptr ? client->generation : generation);
}

void SessionRecords::write_cursor(const Client& client, Follower& follower) {
  const auto cursor = client.session->cursor(follower.cursor);
  follower.persisted = cursor.acknowledged;
  write_cursor(client, cursor.topic, cursor.epoch, cursor.acknowledged);
}

void SessionRecords::write_cursor(const Client& client, std::string_view topic, Epoch epoch, Seq position) {
  if (client.session->expiry_interval() == 0) return;
  const std::string_view client_id = client.session->client_id();
  add(client_id, client.generation,
      format::CursorRecord{.client_id = client_id, .topic = topic, .epoch = epoch, .acknowledged = position}, nullptr);
}

void SessionRecords::touch(Client& client) {
  if (std::exchange(client.cursors_touched, true)) return;
  touched_.emplace_back(client.place, client.session->identity());
}

void SessionRecords::cursors_moved(Client& client) { touch(client); }

void SessionRecords::flush() {
  for (const auto& [place, identity] : std::exchange(touched_, {})) {
    Client* client = shard_.clients().find(place, identity);
    if (client == nullptr) continue;
    client->cursors_touched = false;
    const bool connected = client->session->connected();
    if (client->record_stale) write(*client, connected ? Timestamp{} : shard_.wall(), nullptr);
    flush_cursors(*client);
  }
  for (const auto& [client_id, generation] : std::exchange(unwritten_ends_, {})) {
    // A new session of that client id has taken the place of the old one, or will when it is written.
    if (shard_.clients().find(client_id) == nullptr) write_end(client_id, generation);
  }
}

void SessionRecords::flush_cursors(Client& client) {
  if (!client.persisted) return;
  for (const auto& follower : client.following) {
    if (!follower || follower->seat) continue;
    // One that a SUBSCRIBE is about to move is written by that.
    if (follower->held && follower->persisted != Follower::kUnwritten) continue;
    if (follower->persisted == client.session->cursor(follower->cursor).acknowledged) continue;
    write_cursor(client, *follower);
  }
}

}  // namespace parley::shard
