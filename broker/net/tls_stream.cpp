#include "broker/net/tls_stream.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace parley::net {
namespace {

constexpr std::size_t kRecordMax = 16 * 1024;  ///< RFC 8446 §5.1.

using Status = IoResult::Status;

std::string reason_of_failure(SSL* ssl) {
  const unsigned long error = ::ERR_peek_last_error();
  const long verified = ::SSL_get_verify_result(ssl);
  if (verified != X509_V_OK) return ::X509_verify_cert_error_string(verified);
  const char* reason = error == 0 ? nullptr : ::ERR_reason_error_string(error);
  return reason == nullptr ? "the client has gone" : reason;
}

}  // namespace

TlsStream::TlsStream(std::shared_ptr<const TlsContext> context, int socket)
    : context_(std::move(context)), ssl_(context_->begin(socket)) {}

TlsStream::Handshake TlsStream::shake_hands(std::string& why) {
  if (ssl_ == nullptr) {
    why = "there is no memory";
    return Handshake::Failed;
  }
  ::ERR_clear_error();
  const int result = ::SSL_do_handshake(ssl_.get());
  if (result == 1) return Handshake::Finished;
  const int error = ::SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ) return Handshake::WantsRead;
  if (error == SSL_ERROR_WANT_WRITE) return Handshake::WantsWrite;
  why = reason_of_failure(ssl_.get());
  ::ERR_clear_error();
  return Handshake::Failed;
}

IoResult TlsStream::read(std::span<char> buffer) {
  IoResult result;
  // As many records as have come: each is read whole, so that nothing waits inside OpenSSL where epoll doesn't see it.
  while (buffer.size() - result.size >= kRecordMax) {
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

IoResult TlsStream::write(std::span<const iovec> pieces) {
  thread_local std::array<char, kRecordMax> record;
  std::size_t size = 0;
  for (const iovec& piece : pieces) {
    const std::size_t part = std::min(piece.iov_len, record.size() - size);
    if (part != 0) std::memcpy(record.data() + size, piece.iov_base, part);
    size += part;
  }
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
  if (ssl_ == nullptr || ::SSL_in_init(ssl_.get()) != 0) return;
  ::ERR_clear_error();
  ::SSL_shutdown(ssl_.get());
  ::ERR_clear_error();
}

}  // namespace parley::net
