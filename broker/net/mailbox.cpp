#include "broker/net/mailbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <iterator>
#include <utility>

#include "base/check.hpp"

namespace parley::net {

Mailbox::Mailbox() : wake_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  PARLEY_CHECK(wake_.is_open(), "the kernel gives no eventfd");
}

template <class Put>
void Mailbox::put(Put put) {
  {
    const std::lock_guard lock(mutex_);
    put(mail_);
    if (std::exchange(woken_, true)) return;
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_.number(), &one, sizeof one);
}

void Mailbox::send(std::vector<shard::PeerEvent>& events) {
  put([&events](Mail& mail) {
    if (mail.peer_events.empty()) {
      mail.peer_events.swap(events);
      return;
    }
    mail.peer_events.insert(mail.peer_events.end(), std::make_move_iterator(events.begin()),
                            std::make_move_iterator(events.end()));
    events.clear();
  });
}

void Mailbox::send(std::unique_ptr<Letter> letter) {
  put([&letter](Mail& mail) { mail.letters.push_back({std::move(letter), mail.peer_events.size()}); });
}

void Mailbox::send(Arrival arrival) {
  put([&arrival](Mail& mail) { mail.arrivals.push_back(std::move(arrival)); });
}

void Mailbox::send(HandshakeResult result) {
  put([&result](Mail& mail) { mail.handshakes.push_back(std::move(result)); });
}

void Mailbox::send_stop() {
  put([](Mail& mail) { mail.stop = true; });
}

void Mailbox::take(Mail& mail) {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto read = ::read(wake_.number(), &count, sizeof count);
  const std::lock_guard lock(mutex_);
  std::swap(mail, mail_);
  woken_ = false;
}

}  // namespace parley::net
