#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "clients/bench/failure.hpp"
#include "clients/bench/page.hpp"
#include "clients/bench/scenarios.hpp"

namespace parley::bench {
namespace {

using namespace std::chrono_literals;

/// What all readers of one run share.
struct Reading {
  PageRequest request;
  std::uint64_t head = 0;  ///< Of the conversation; 0 before it is known.
  bool spread = false;
  bool asking = true;  ///< False: no further request.
  Instant record_from = Instant::max();
  std::uint64_t pages = 0;
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::uint64_t refused = 0;  ///< Another status than 200.
  std::uint64_t wrong = 0;    ///< Pages with other entries than asked for.
  unsigned status_refused = 0;
  Page newest;
  Histogram latency;
  std::uint64_t random = 0x9E37'79B9'7F4A'7C15;

  /// Where the next page ends: of the pages that are full, each is as likely. 0: the newest.
  std::uint64_t next_before() {
    if (!spread || head <= request.limit) return 0;
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return request.limit + 1 + random % (head - request.limit);
  }
};

/// One connection to the bridge, kept alive, that asks for one page after the other.
class PageReader : private Loop::Handler {
 public:
  PageReader(Loop& loop, const Endpoint& endpoint, Reading& reading)
      : loop_(loop), reading_(reading), socket_(start_connect(endpoint, 0)) {
    loop_.add(socket_, EPOLLOUT, *this);
  }
  PageReader(const PageReader&) = delete;
  PageReader& operator=(const PageReader&) = delete;
  ~PageReader() override { ::close(socket_); }

  [[nodiscard]] bool waiting() const { return waiting_; }
  [[nodiscard]] bool connected() const { return connected_; }
  void ask();

 private:
  void handle(std::uint32_t events) override;
  void flush() override {}
  void finish_connect();
  void receive();
  void take_page(const ResponseHead& head, std::string_view body, Instant now);

  Loop& loop_;
  Reading& reading_;
  int socket_;
  bool connected_ = false;
  bool waiting_ = false;
  std::uint64_t before_ = 0;
  Instant asked_{};
  std::string response_;
};

void PageReader::ask() {
  before_ = reading_.next_before();
  reading_.request.before = before_;
  const std::string request = to_http(reading_.request);
  asked_ = Loop::now();
  waiting_ = true;
  // Nothing else is under way here, so the socket has room for a request.
  const ssize_t written = ::send(socket_, request.data(), request.size(), MSG_NOSIGNAL);
  if (written < 0) fail_with_errno("can't send a request to the bridge");
  if (static_cast<std::size_t>(written) < request.size()) throw Failure("the bridge doesn't take requests any more");
}

void PageReader::handle(std::uint32_t /*events*/) {
  if (connected_) {
    receive();
  } else {
    finish_connect();
  }
}

void PageReader::finish_connect() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
  errno = error;
  if (error != 0) fail_with_errno("can't connect to the bridge");
  connected_ = true;
  loop_.change(socket_, EPOLLIN, *this);
}

void PageReader::receive() {
  const std::span<char> buffer = loop_.read_buffer();
  const ssize_t count = ::recv(socket_, buffer.data(), buffer.size(), 0);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count < 0) fail_with_errno("can't read from the bridge");
  if (count == 0) throw Failure("the bridge closed a connection that was to be kept alive");
  response_.append(buffer.data(), static_cast<std::size_t>(count));
  const auto head = read_head(response_);
  if (!head || response_.size() < head->size + head->body_size) return;
  if (!waiting_ || response_.size() > head->size + head->body_size) {
    throw Failure("the bridge sent a response that nobody asked for");
  }
  waiting_ = false;
  take_page(*head, std::string_view(response_).substr(head->size), Loop::now());
  response_.clear();
  if (reading_.asking) ask();
}

void PageReader::take_page(const ResponseHead& head, std::string_view body, Instant now) {
  ++reading_.pages;
  reading_.bytes += head.size + body.size();
  if (asked_ >= reading_.record_from) reading_.latency.record(now - asked_);
  if (head.status != 200) {
    ++reading_.refused;
    reading_.status_refused = head.status;
    return;
  }
  const Page page = read_page(body);
  reading_.entries += page.entries;
  if (reading_.head == 0) {
    reading_.newest = page;
    return;
  }
  const std::uint64_t last = before_ == 0 ? reading_.head : before_ - 1;
  const std::uint64_t wanted = std::min<std::uint64_t>(reading_.request.limit, last);
  if (!page.dense || page.last != last || page.entries != wanted) ++reading_.wrong;
}

/// Sends `fill` messages into the conversation and waits for their acknowledgement.
void fill_conversation(Loop& loop, const RunOptions& options) {
  TrafficShape shape = options.traffic;
  shape.topics = Topics::Chat;
  shape.streams = 1;
  shape.subscribers = 0;
  Traffic traffic(loop, Endpoint::resolve(options.target.host, options.target.port), shape);
  traffic.connect();
  traffic.run_until(Loop::now() + 10min, options.history.fill);
  const Counts counts = traffic.counts();
  if (counts.refused > 0) throw Failure("the broker refused " + std::to_string(counts.refused) + " messages");
  if (counts.acknowledged < options.history.fill) throw Failure("the conversation could not be filled in ten minutes");
}

using Readers = std::vector<std::unique_ptr<PageReader>>;

Readers connect_readers(Loop& loop, const Endpoint& bridge, Reading& reading, std::size_t count) {
  Readers readers;
  for (std::size_t i = 0; i < count; ++i) readers.push_back(std::make_unique<PageReader>(loop, bridge, reading));
  const auto connected = [&readers] {
    return std::ranges::all_of(readers, [](const auto& reader) { return reader->connected(); });
  };
  if (!loop.run_until(connected, Loop::now() + 30s)) throw Failure("the bridge doesn't accept connections");
  return readers;
}

/// No further requests, and all that are under way answered.
void finish(Loop& loop, const Readers& readers, Reading& reading) {
  reading.asking = false;
  const auto idle = [&readers] {
    return std::ranges::none_of(readers, [](const auto& reader) { return reader->waiting(); });
  };
  if (!loop.run_until(idle, Loop::now() + 10s)) throw Failure("the bridge has not answered for ten seconds");
}

/// Asks for the newest page once and for where it ends.
void find_head(Loop& loop, const Endpoint& bridge, Reading& reading) {
  const Readers one = connect_readers(loop, bridge, reading, 1);
  one.front()->ask();
  finish(loop, one, reading);
  if (reading.refused > 0) throw Failure("the bridge answered with status " + std::to_string(reading.status_refused));
  if (reading.newest.entries == 0) throw Failure("the conversation is empty");
  reading.head = reading.newest.last;
}

void add_rates(Report& report, const Reading& before, const Reading& after, const Meter& meter) {
  const double seconds = seconds_of(meter.elapsed());
  const auto pages = static_cast<double>(after.pages - before.pages);
  const auto entries = static_cast<double>(after.entries - before.entries);
  report.add("pages_per_second", pages / seconds);
  report.add("entries_per_second", entries / seconds);
  report.add("bytes_per_page", static_cast<double>(after.bytes - before.bytes) / pages);
  if (meter.sees_broker()) {
    const double bridge = microseconds_of(meter.broker_cpu());
    report.add("bridge_cpu_us_per_page", bridge / pages);
    report.add("bridge_cpu_us_per_entry", bridge / entries);
    report.add("bridge_cpu_percent", bridge / seconds / 1e4);
    report.add("bridge_rss_mb", static_cast<double>(meter.memory().resident) / 1e6);
  }
  report.add("load_cpu_percent", microseconds_of(meter.own_cpu()) / seconds / 1e4);
}

}  // namespace

Report run_history(const RunOptions& options) {
  const HistoryOptions& history = options.history;
  Report report = begin_report(options);
  report.settings.emplace_back("bridge", history.host + ":" + std::to_string(history.port));
  report.settings.emplace_back("connections", std::to_string(history.connections));
  report.settings.emplace_back("entries of a page", std::to_string(history.limit));
  report.settings.emplace_back("pages", history.spread ? "anywhere" : "newest");

  Loop loop;
  if (history.fill > 0) fill_conversation(loop, options);
  const Endpoint bridge = Endpoint::resolve(history.host, history.port);
  Reading reading{.request = {.host = history.host + ":" + std::to_string(history.port),
                              .conversation = options.traffic.name + "-0",
                              .limit = history.limit,
                              .authorization = history.authorization}};
  reading.asking = false;
  find_head(loop, bridge, reading);
  report.add("head", static_cast<double>(reading.head));
  if (reading.head < history.fill) {
    report.problems.push_back(std::to_string(history.fill - reading.head) +
                              " acknowledged messages are not in history");
  }

  reading.asking = true;
  reading.spread = history.spread;
  const Readers readers = connect_readers(loop, bridge, reading, history.connections);
  for (const auto& reader : readers) reader->ask();
  loop.run_until([] { return false; }, Loop::now() + duration_of(options.warmup));
  Meter meter(history.pid ? history.pid : listener_of(bridge.port()));
  const Reading before = reading;
  reading.record_from = Loop::now();
  loop.run_until([] { return false; }, Loop::now() + duration_of(options.seconds));
  add_rates(report, before, reading, meter);
  finish(loop, readers, reading);
  add_latency(report, reading.latency);
  report.add("refused", static_cast<double>(reading.refused));
  report.add("wrong", static_cast<double>(reading.wrong));
  if (reading.refused > 0) {
    report.problems.push_back(std::to_string(reading.refused) + " requests were refused, one of them with status " +
                              std::to_string(reading.status_refused));
  }
  if (reading.wrong > 0) {
    report.problems.push_back(std::to_string(reading.wrong) + " pages had other entries than asked for");
  }
  return report;
}

}  // namespace parley::bench
