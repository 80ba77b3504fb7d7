#include "broker/net/tls_stream.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.hpp"
#include "broker/net/socket.hpp"

namespace parley::net {
namespace {

constexpr std::size_t kTextMax = TlsRecords::kTextMax;
constexpr std::size_t kRecordsPerWrite = 4;

using Status = IoResult::Status;

std::string reason_of_failure(SSL* ssl) {
  const unsigned long error = ::ERR_peek_last_error();
  const long verified = ::SSL_get_verify_result(ssl);
  if (verified != X509_V_OK) return ::X509_verify_cert_error_string(verified);
  const char* reason = error == 0 ? nullptr : ::ERR_reason_error_string(error);
  return reason == nullptr ? "the client has gone" : reason;
}

/// Walks over pieces.
class Pieces {
 public:
  explicit Pieces(std::span<const iovec> pieces) : pieces_(pieces) {}

  /// Fills `to` as far as there is something.
  std::size_t copy(std::span<char> to) {
    std::size_t size = 0;
    while (!pieces_.empty() && size < to.size()) {
      const auto& piece = pieces_.front();
      const std::size_t part = std::min(piece.iov_len - at_, to.size() - size);
      if (part != 0) std::memcpy(to.data() + size, static_cast<const char*>(piece.iov_base) + at_, part);
      size += part;
      at_ += part;
      if (at_ < piece.iov_len) break;
      pieces_ = pieces_.subspan(1);
      at_ = 0;
    }
    return size;
  }

 private:
  std::span<const iovec> pieces_;
  std::size_t at_ = 0;
};

/// Where a thread encrypts.
std::span<char> scratch() {
  constexpr std::size_t kSize = kRecordsPerWrite * (kTextMax + TlsRecords::kOverheadMax);
  thread_local const std::unique_ptr<char[]> bytes(new char[kSize]);
  return {bytes.get(), kSize};
}

}  // namespace

TlsStream::TlsStream(std::shared_ptr<const TlsContext> context, int socket)
    : context_(std::move(context)), socket_(socket) {}

// -- The handshake --

TlsStream::Handshake TlsStream::shake_hands(std::string& why) {
  if (ssl_ == nullptr) {
    ssl_ = context_->begin(socket_);
    if (ssl_ == nullptr) {
      why = "there is no memory";
      return Handshake::Failed;
    }
    secrets_ = std::make_unique<TlsSecrets>();
    secrets_->watch(ssl_.get());
  }
  ::ERR_clear_error();
  const int result = ::SSL_do_handshake(ssl_.get());
  if (result == 1) {
    finish_handshake();
    return Handshake::Finished;
  }
  const int error = ::SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ) return Handshake::WantsRead;
  if (error == SSL_ERROR_WANT_WRITE) return Handshake::WantsWrite;
  why = reason_of_failure(ssl_.get());
  ::ERR_clear_error();
  ssl_.reset();  // The alert is sent; while the connection lingers, nobody needs more.
  secrets_.reset();
  return Handshake::Failed;
}

void TlsStream::finish_handshake() {
  certificate_user_ = context_->certificate_user(ssl_.get());
  resumed_ = ::SSL_session_reused(ssl_.get()) == 1;
  records_ = secrets_->take(ssl_.get());
  if (records_ == nullptr) {
    SSL_set_app_data(ssl_.get(), nullptr);
    ::SSL_set_msg_callback(ssl_.get(), nullptr);
  } else {
    ssl_.reset();
    context_.reset();
  }
  secrets_.reset();
}

// -- In --

IoResult TlsStream::read(std::span<char> buffer) {
  if (records_ == nullptr) return read_openssl(buffer);
  const std::size_t before = unread_ ? unread_->size() : 0;
  if (before != 0) std::ranges::copy(*unread_, buffer.begin());
  const IoResult got = receive_some(socket_, buffer.subspan(before));
  if (got.size == 0) return {.size = 0, .status = got.status};
  const auto bytes = buffer.first(before + got.size);
  // What is behind the text stays where it is: nothing is moved but towards the front.
  const auto input = records_->open(bytes);
  unread_.reset();
  if (!input.ended && input.taken < bytes.size()) {
    const auto rest = bytes.subspan(input.taken);
    unread_ = std::make_unique<std::string>(rest.data(), rest.size());
  }
  if (input.failure) {
    failure_ = input.why;
    unsent_ += records_->alert(*input.failure);
    has_said_last_ = true;
  }
  return {.size = input.text, .status = input.ended ? Status::Ended : got.status};
}

/// As many records as have come: each is read whole, so that nothing waits inside OpenSSL where epoll doesn't see it.
IoResult TlsStream::read_openssl(std::span<char> buffer) {
  IoResult result;
  while (buffer.size() - result.size >= kTextMax) {
    ::ERR_clear_error();
    std::size_t got = 0;
    const int done = ::SSL_read_ex(ssl_.get(), buffer.data() + result.size, buffer.size() - result.size, &got);
    if (done == 1) {
      result.size += got;
      continue;
    }
    const int error = ::SSL_get_error(ssl_.get(), done);
    if (error == SSL_ERROR_WANT_READ) {
      if (result.size == 0) result.status = Status::Blocked;
    } else {
      result.status = error == SSL_ERROR_WANT_WRITE ? Status::WantsWrite : Status::Ended;
    }
    break;
  }
  ::ERR_clear_error();
  return result;
}

// -- Out --

bool TlsStream::has_to_flush() const {
  return !unsent_.empty() || (records_ && !has_said_last_ && records_->owes_key_update());
}

IoResult::Status TlsStream::flush() {
  while (has_to_flush()) {
    if (unsent_.empty()) unsent_ = records_->update_keys();
    std::array<iovec, 1> piece{{{.iov_base = unsent_.data(), .iov_len = unsent_.size()}}};
    const IoResult sent = send_some(socket_, piece);
    unsent_.erase(0, sent.size);
    if (unsent_.empty()) unsent_ = {};
    if (sent.status != Status::Done) return sent.status;
  }
  return Status::Done;
}

IoResult TlsStream::write(std::span<const iovec> pieces) {
  if (records_ == nullptr) return write_openssl(pieces);
  IoResult result{.size = 0, .status = flush()};
  if (result.status != Status::Done) return result;
  if (has_said_last_) {  // Whatever comes now is too late.
    for (const iovec& piece : pieces) result.size += piece.iov_len;
    return result;
  }
  const auto sealed = scratch();
  const std::size_t overhead = records_->overhead();
  std::size_t size = 0;
  Pieces source(pieces);
  for (std::size_t record = 0; record < kRecordsPerWrite; ++record) {
    const auto room = sealed.subspan(size, kTextMax + overhead);
    const std::size_t text = source.copy(room.subspan(records_->text_offset(), kTextMax));
    if (text == 0) break;
    if (!records_->seal(room.first(text + overhead))) return {.size = 0, .status = Status::Ended};
    result.size += text;
    size += text + overhead;
    if (text < kTextMax || records_->owes_key_update()) break;
  }
  if (size == 0) return result;
  std::array<iovec, 1> piece{{{.iov_base = sealed.data(), .iov_len = size}}};
  const IoResult sent = send_some(socket_, piece);
  result.status = sent.status;
  if (sent.size < size) unsent_.assign(sealed.data() + sent.size, size - sent.size);
  return result;
}

IoResult TlsStream::write_openssl(std::span<const iovec> pieces) {
  const auto record = scratch().first(kTextMax);
  const std::size_t size = Pieces(pieces).copy(record);
  IoResult result;
  if (size == 0) return result;
  ::ERR_clear_error();
  const int done = ::SSL_write_ex(ssl_.get(), record.data(), size, &result.size);
  if (done == 1) return result;
  const int error = ::SSL_get_error(ssl_.get(), done);
  ::ERR_clear_error();
  result.size = 0;
  result.status = error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ ? Status::Blocked : Status::Ended;
  return result;
}

void TlsStream::say_goodbye() {
  if (records_) {
    if (std::exchange(has_said_last_, true)) return;
    unsent_ += records_->alert(TlsAlert::CloseNotify);
    (void)flush();
    return;
  }
  if (ssl_ == nullptr || ::SSL_in_init(ssl_.get()) != 0) return;
  ::ERR_clear_error();
  ::SSL_shutdown(ssl_.get());
  ::ERR_clear_error();
}

}  // namespace parley::net
