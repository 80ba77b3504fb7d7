#include "clients/bench/secure_client.hpp"

#include <openssl/err.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>

#include "base/output.hpp"
#include "clients/bench/failure.hpp"
#include "mqtt/encode.hpp"

namespace parley::bench {
namespace {

constexpr std::uint16_t kKeepAlive = 600;

std::string encoded(const mqtt::Packet& packet) {
  Output output;
  mqtt::encode(output, packet, mqtt::ProtocolVersion::V5);
  std::string bytes;
  std::array<iovec, 8> pieces;
  const std::size_t count = output.gather(pieces);
  for (std::size_t i = 0; i < count; ++i) bytes.append(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
  return bytes;
}

std::string connect_packet(const std::string& client_id) {
  mqtt::Connect connect;
  connect.version = mqtt::ProtocolVersion::V5;
  connect.clean_start = true;
  connect.keep_alive = kKeepAlive;
  connect.client_id = client_id;
  return encoded(connect);
}

std::string subscribe_packet(const std::string& filter) {
  mqtt::Subscribe packet;
  packet.packet_id = 1;
  packet.items.push_back({.filter = filter, .options = {}});
  return encoded(packet);
}

}  // namespace

void OpenSslFree::operator()(SSL_CTX* context) const { ::SSL_CTX_free(context); }
void OpenSslFree::operator()(SSL* ssl) const { ::SSL_free(ssl); }
void OpenSslFree::operator()(SSL_SESSION* session) const { ::SSL_SESSION_free(session); }

TlsContextPtr make_tls_context(TlsVersion version) {
  TlsContextPtr context(::SSL_CTX_new(::TLS_client_method()));
  if (!context) throw Failure("OpenSSL gives no context");
  const int number = version == TlsVersion::V1_2 ? TLS1_2_VERSION : TLS1_3_VERSION;
  SSL_CTX_set_min_proto_version(context.get(), number);
  SSL_CTX_set_max_proto_version(context.get(), number);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  return context;
}

SecureClient::SecureClient(Loop& loop, const Endpoint& endpoint, Settings settings)
    : loop_(loop), settings_(std::move(settings)), socket_(start_connect(endpoint, settings_.source)) {
  ssl_.reset(::SSL_new(settings_.context));
  if (!ssl_ || ::SSL_set_fd(ssl_.get(), socket_) != 1) {
    ::close(socket_);
    throw Failure("OpenSSL gives no connection");
  }
  ::SSL_set_connect_state(ssl_.get());
  if (settings_.session != nullptr) ::SSL_set_session(ssl_.get(), settings_.session);
  loop_.add(socket_, EPOLLOUT, *this);
}

SecureClient::~SecureClient() {
  if (socket_ < 0) return;
  // A session whose connection ended without a word counts as a bad one.
  ::SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  loop_.remove(socket_);
  ::close(socket_);
}

bool SecureClient::resumed() const { return ::SSL_session_reused(ssl_.get()) == 1; }

TlsSessionPtr SecureClient::session() const { return TlsSessionPtr(::SSL_get1_session(ssl_.get())); }

void SecureClient::close(std::string error) {
  state_ = State::Closed;
  error_ = settings_.client_id + ": " + std::move(error);
  loop_.remove(socket_);
  ::close(socket_);
  socket_ = -1;
}

void SecureClient::handle(std::uint32_t) {
  if (state_ == State::Closed) return;
  if (state_ == State::Connecting) state_ = State::Handshake;
  if (state_ == State::Handshake) {
    shake_hands();
  } else {
    receive();
  }
}

bool SecureClient::went_well(int result) {
  if (result > 0) return true;
  const int error = ::SSL_get_error(ssl_.get(), result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
    loop_.change(socket_, error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT, *this);
    return false;
  }
  const char* reason = ::ERR_reason_error_string(::ERR_peek_last_error());
  close(reason == nullptr ? "the connection was closed" : reason);
  return false;
}

void SecureClient::shake_hands() {
  ::ERR_clear_error();
  if (!went_well(::SSL_do_handshake(ssl_.get()))) return;
  state_ = State::Connack;
  say(connect_packet(settings_.client_id));
  if (state_ == State::Connack) loop_.change(socket_, EPOLLIN, *this);
}

/// These few bytes fit into the socket's buffer.
void SecureClient::say(const std::string& bytes) {
  std::size_t written = 0;
  if (::SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written) != 1) close("it takes no bytes");
}

/// An answer is small and comes in one record.
void SecureClient::receive() {
  std::array<char, 4'096> answer;
  for (;;) {
    std::size_t size = 0;
    ::ERR_clear_error();
    if (!went_well(::SSL_read_ex(ssl_.get(), answer.data(), answer.size(), &size))) return;
    const auto type = static_cast<std::uint8_t>(answer[0]) >> 4;
    if (state_ == State::Connack && type == 2 && size > 3 && answer[3] == 0) {
      state_ = settings_.filter.empty() ? State::Ready : State::Suback;
      if (state_ == State::Suback) say(subscribe_packet(settings_.filter));
    } else if (state_ == State::Suback && type == 9) {
      state_ = State::Ready;
    } else {
      close("the broker refused");
    }
    if (state_ == State::Closed) return;
  }
}

}  // namespace parley::bench
