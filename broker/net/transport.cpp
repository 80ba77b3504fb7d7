#include "broker/net/transport.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "broker/net/proxy_header.hpp"
#include "broker/net/socket.hpp"
#include "broker/net/websocket_upgrade.hpp"

namespace parley::net {
namespace {

constexpr std::size_t kPieces = 64;
/// Answers that wait for a client which reads nothing; further Pongs are left out. RFC 6455 §5.5.3 wants the last only.
constexpr std::size_t kAnswersMax = 1'024;

using Status = IoResult::Status;
using InputStatus = Transport::Input::Status;

Transport::Input refused(std::string_view why) { return {.bytes = {}, .status = InputStatus::Refused, .why = why}; }

InputStatus input_status(Status status) {
  if (status == Status::Ended) return InputStatus::Ended;
  return status == Status::WantsWrite ? InputStatus::WantsWrite : InputStatus::Going;
}

}  // namespace

std::unique_ptr<Transport> Transport::make(const ListenerProfile& listener, int socket) {
  const auto& settings = listener.settings;
  if (!listener.has_proxies() && !listener.tls && !settings.is_web_socket()) return nullptr;
  std::unique_ptr<Transport> transport(new Transport(listener));
  if (listener.tls) transport->tls_ = std::make_unique<TlsStream>(listener.tls->current(), socket);
  transport->stage_ = listener.has_proxies() ? Stage::ProxyHeader : transport->stage_after(Stage::ProxyHeader);
  return transport;
}

Transport::Stage Transport::stage_after(Stage stage) const {
  if (stage == Stage::ProxyHeader && listener_.tls) return Stage::TlsHandshake;
  return stage != Stage::Upgrade && listener_.settings.is_web_socket() ? Stage::Upgrade : Stage::Open;
}

void Transport::secure() { stage_ = stage_after(Stage::TlsHandshake); }

std::string Transport::certificate_user() const {
  return tls_ && stage_ == Stage::Open ? tls_->certificate_user() : std::string();
}

bool Transport::has_answers() const { return !answers_.empty() || (tls_ && tls_->has_to_flush()); }

// -- In --

Transport::Input Transport::read(int socket, std::span<char> buffer) {
  if (stage_ == Stage::ProxyHeader) return read_proxy_header(socket, buffer);
  if (stage_ == Stage::TlsHandshake) return {.bytes = {}, .status = InputStatus::Handshake, .why = {}};
  const IoResult got = read_below(socket, buffer);
  Input input{.bytes = {}, .status = input_status(got.status), .why = {}};
  if (tls_ && !tls_->failure().empty()) input = refused(tls_->failure());
  if (got.size == 0) return input;
  const Input end = input;
  const auto bytes = buffer.first(got.size);
  if (stage_ == Stage::Upgrade) {
    input = upgrade(bytes);
  } else if (web_socket_) {
    input = unframe(bytes);
  } else {
    input.bytes = {bytes.data(), bytes.size()};
  }
  if (input.status == InputStatus::Going) {
    input.status = end.status;
    input.why = end.why;
  }
  return input;
}

IoResult Transport::read_below(int socket, std::span<char> buffer) {
  return tls_ ? tls_->read(buffer) : receive_some(socket, buffer);
}

/// Looks first and then takes exactly the header, since what follows may be OpenSSL's to read.
Transport::Input Transport::read_proxy_header(int socket, std::span<char> buffer) {
  if (head_.empty() && !listener_.trusts(socket)) return refused("only trusted load balancers may connect");
  const IoResult seen = receive_some(socket, buffer.first(kProxyHeaderMax), MSG_PEEK);
  if (seen.size == 0) return {.bytes = {}, .status = input_status(seen.status), .why = {}};
  const std::size_t before = head_.size();
  head_.append(buffer.data(), seen.size);
  auto header = net::read_proxy_header(head_);
  if (!header) return refused("the PROXY header is missing or malformed");
  const std::size_t taken = *header ? (**header).size - before : seen.size;
  if (receive_some(socket, buffer.first(taken)).size != taken)
    return {.bytes = {}, .status = InputStatus::Ended, .why = {}};
  if (!*header) return {};
  client_address_ = std::move((**header).client);
  head_ = {};
  stage_ = stage_after(Stage::ProxyHeader);
  return {};  // If there is more, epoll tells at once.
}

Transport::Input Transport::upgrade(std::span<char> bytes) {
  const std::size_t before = head_.size();
  head_.append(bytes.data(), bytes.size());
  const std::size_t end = end_of_request(head_);
  const bool too_long = std::min(end, head_.size()) > kUpgradeRequestMax;
  if (end == std::string::npos && !too_long) return {};
  const UpgradeRules rules{.path = listener_.settings.path,
                           .origins = listener_.settings.origins,
                           .is_ready = listener_.is_ready == nullptr || *listener_.is_ready};
  auto answer = too_long ? refuse_long_request() : answer_upgrade(std::string_view(head_).substr(0, end), rules);
  answers_ += answer.response;
  head_ = {};
  if (!answer.accepted && answer.why.empty()) return {.bytes = {}, .status = InputStatus::Ended, .why = {}};
  if (!answer.accepted) return refused(answer.why);
  web_socket_ = std::make_unique<WebSocket>();
  stage_ = Stage::Open;
  return unframe(bytes.subspan(end - before));
}

Transport::Input Transport::unframe(std::span<char> bytes) {
  if (web_socket_->closed) return {};
  std::string answers;
  const auto outcome = web_socket_->decoder.decode(bytes, answers);
  if (answers_.size() + answers.size() <= kAnswersMax || outcome.closed) answers_ += answers;
  Input input{.bytes = {bytes.data(), outcome.payload}, .status = InputStatus::Going, .why = {}};
  if (outcome.failure != CloseCode::None) {
    answers_ += close_frame(outcome.failure);
    input.status = InputStatus::Refused;
    input.why = outcome.why;
  } else if (outcome.closed) {
    input.status = InputStatus::Ended;
  }
  web_socket_->closed = outcome.closed || outcome.failure != CloseCode::None;
  return input;
}

// -- Out --

bool Transport::in_frame() const {
  return web_socket_ && (web_socket_->frame_left != 0 || web_socket_->header_at != web_socket_->header_size);
}

IoResult::Status Transport::write(int socket, Output& output) {
  if (stage_ == Stage::ProxyHeader || stage_ == Stage::TlsHandshake) return Status::Done;
  if (tls_) {
    const Status flushed = tls_->flush();
    if (flushed != Status::Done) return flushed;
  }
  std::array<iovec, kPieces> pieces;
  for (;;) {
    const bool answering = !answers_.empty() && !in_frame();
    if (!answering && output.empty() && !in_frame()) {
      if (!web_socket_ || !web_socket_->closing || web_socket_->closed) return Status::Done;
      answers_ = close_frame(CloseCode::Normal);
      web_socket_->closed = true;
      continue;
    }
    // Behind a Close nothing may follow. RFC 6455 §5.5.1.
    if (!answering && web_socket_ && web_socket_->closed && !in_frame()) {
      output.clear();
      return Status::Done;
    }
    std::size_t count = 1;
    if (answering) {
      pieces[0] = {.iov_base = answers_.data(), .iov_len = answers_.size()};
    } else {
      count = web_socket_ ? gather_frame(output, pieces) : output.gather(pieces);
    }
    const IoResult written = write_below(socket, std::span(pieces).first(count));
    if (answering) {
      answers_.erase(0, written.size);
      if (answers_.empty()) answers_ = {};
    } else if (web_socket_) {
      consume_frame(output, written.size);
    } else {
      output.consume(written.size);
    }
    if (written.status != Status::Done) return written.status;
  }
}

/// What there is now becomes one frame; what comes while it is written becomes the next.
std::size_t Transport::gather_frame(const Output& output, std::span<iovec> pieces) {
  WebSocket& web = *web_socket_;
  if (!in_frame()) {
    web.frame_left = output.size();
    web.header_size = static_cast<std::uint8_t>(encode_binary_header(web.frame_left, web.header));
    web.header_at = 0;
  }
  pieces[0] = {.iov_base = web.header.data() + web.header_at,
               .iov_len = static_cast<std::size_t>(web.header_size - web.header_at)};
  std::size_t count = output.gather(pieces.subspan(1));
  std::uint64_t left = web.frame_left;
  for (std::size_t i = 1; i <= count; ++i) {
    if (pieces[i].iov_len >= left) {
      pieces[i].iov_len = static_cast<std::size_t>(left);
      count = i;
    }
    left -= pieces[i].iov_len;
  }
  return count + 1;
}

void Transport::consume_frame(Output& output, std::size_t size) {
  WebSocket& web = *web_socket_;
  const std::size_t header = std::min<std::size_t>(size, web.header_size - web.header_at);
  web.header_at = static_cast<std::uint8_t>(web.header_at + header);
  web.frame_left -= size - header;
  output.consume(size - header);
}

IoResult Transport::write_below(int socket, std::span<iovec> pieces) {
  return tls_ ? tls_->write(pieces) : send_some(socket, pieces);
}

void Transport::begin_close() {
  if (web_socket_) web_socket_->closing = true;
}

void Transport::say_goodbye() {
  if (tls_ && stage_ != Stage::TlsHandshake && stage_ != Stage::ProxyHeader) tls_->say_goodbye();
}

}  // namespace parley::net
