#include "broker/shard/clients.hpp"

namespace parley::shard {

Client* Clients::find(std::uint32_t place, std::uint64_t identity) {
  if (place >= clients_.size() || !clients_[place]) return nullptr;
  Client& client = *clients_[place];
  return client.session->identity() == identity ? &client : nullptr;
}

Client* Clients::find(std::string_view client_id) {
  const auto found = by_id_.find(client_id);
  return found == by_id_.end() ? nullptr : clients_[found->second].get();
}

Client& Clients::add(std::unique_ptr<session::Session> session) {
  std::uint32_t place = 0;
  if (free_.empty()) {
    place = static_cast<std::uint32_t>(clients_.size());
    clients_.emplace_back();
  } else {
    place = free_.back();
    free_.pop_back();
  }
  clients_[place] = std::make_unique<Client>();
  Client& client = *clients_[place];
  client.place = place;
  client.session = std::move(session);
  by_id_.emplace(client.session->client_id(), place);
  return client;
}

void Clients::remove(Client& client) {
  const std::uint32_t place = client.place;
  by_id_.erase(client.session->client_id());
  clients_[place].reset();
  free_.push_back(place);
}

}  // namespace parley::shard
