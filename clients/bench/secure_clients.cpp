#include "clients/bench/secure_clients.hpp"

#include <algorithm>

#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

constexpr Duration kPatience = 30s;
constexpr std::size_t kClientsPerSource = 5'000;

}  // namespace

std::unique_ptr<SecureClient> SecureClients::begin(bool subscribed, SSL_SESSION* session) {
  const std::string id = name_ + "-" + std::to_string(number_);
  SecureClient::Settings settings{.context = context_.get(), .session = session, .client_id = id};
  if (subscribed) settings.filter = name_ + "/" + std::to_string(number_);
  settings.source = static_cast<unsigned>(1 + number_++ / kClientsPerSource % 200);
  return std::make_unique<SecureClient>(loop_, endpoint_, std::move(settings));
}

void SecureClients::await_ready(const Batch& batch, std::size_t from) {
  const auto ready = [&] {
    return std::all_of(batch.begin() + static_cast<std::ptrdiff_t>(from), batch.end(),
                       [](const auto& client) { return client->ready() || client->closed(); });
  };
  if (!loop_.run_until(ready, Loop::now() + kPatience)) throw Failure("a TLS connection isn't ready in time");
  for (std::size_t i = from; i < batch.size(); ++i) {
    if (batch[i]->closed()) throw Failure(batch[i]->error());
  }
}

void SecureClients::grow_to(std::size_t count, std::size_t at_once, bool subscribed) {
  while (clients_.size() < count) {
    const std::size_t from = clients_.size();
    const std::size_t to = std::min(count, from + at_once);
    while (clients_.size() < to) clients_.push_back(begin(subscribed, nullptr));
    await_ready(clients_, from);
  }
}

std::size_t SecureClients::come_and_go(std::size_t at_once, Instant until, bool resuming) {
  std::vector<TlsSessionPtr> sessions(at_once);
  std::size_t count = 0;
  bool first = true;
  while (Loop::now() < until) {
    Batch batch;
    for (const auto& session : sessions) batch.push_back(begin(false, session.get()));
    await_ready(batch, 0);
    for (std::size_t i = 0; i < at_once && resuming; ++i) {
      if (!first && !batch[i]->resumed()) ++not_resumed_;
      sessions[i] = batch[i]->session();
    }
    count += at_once;
    first = false;
  }
  return count;
}

std::size_t SecureClients::closed() const {
  return static_cast<std::size_t>(std::ranges::count_if(clients_, [](const auto& client) { return client->closed(); }));
}

}  // namespace parley::bench
