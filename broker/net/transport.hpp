#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/output.hpp"
#include "broker/net/io_result.hpp"
#include "broker/net/listener_profile.hpp"
#include "broker/net/tls_stream.hpp"
#include "broker/net/websocket_frame.hpp"

/// What lies between a socket and MQTT's bytes where that isn't nothing. Belongs to its connection's thread.
namespace parley::net {

/// WebSocket on one connection: the state of both directions.
struct WebSocket {
  WebSocketDecoder decoder;
  std::uint64_t frame_left = 0;  ///< Of the frame on its way out: payload that isn't written.
  std::array<char, kServerHeaderMax> header{};
  std::uint8_t header_at = 0;
  std::uint8_t header_size = 0;
  bool closing = false;  ///< Close is sent when the output is empty.
  bool closed = false;   ///< Close is sent or waits in Transport::answers_.
};

/// From the socket inwards: PROXY header, TLS, WebSocket, each only where the listener has it. A plain TCP or Unix
/// connection has no Transport at all.
class Transport {
 public:
  enum class Stage : std::uint8_t { ProxyHeader, TlsHandshake, Upgrade, Open };

  /// Null where the listener needs none. The socket and the listener live longer.
  static std::unique_ptr<Transport> make(const ListenerProfile& listener, int socket);

  [[nodiscard]] Stage stage() const { return stage_; }
  /// The client's address where a load balancer told it; else empty.
  [[nodiscard]] const std::string& client_address() const { return client_address_; }
  [[nodiscard]] std::string certificate_user() const;

  struct Input {
    enum class Status : std::uint8_t {
      Going,       ///< There may be more later.
      WantsWrite,  ///< Not before the socket takes bytes.
      Handshake,   ///< The TLS handshake is due: see tls().
      Ended,
      Refused,  ///< By us: say `why`, flush, close.
    };
    std::string_view bytes;  ///< MQTT's, inside the buffer; may come with every status.
    Status status = Status::Going;
    std::string_view why;
  };
  /// Reads what has come. `buffer` is the thread's, of 64 KiB.
  Input read(int socket, std::span<char> buffer);

  /// Valid while the stage is TlsHandshake. Another thread may have it then, while nobody calls anything here but
  /// stage() and client_address().
  TlsStream& tls() { return *tls_; }
  /// The handshake is finished.
  void secure();

  /// Writes answers and `output` until there are none or the socket is full.
  IoResult::Status write(int socket, Output& output);
  /// Whether there is something to write that isn't in the output.
  [[nodiscard]] bool has_answers() const;
  /// The last thing to write is on its way: tells the client so (WebSocket's Close).
  void begin_close();
  /// Everything is written.
  void say_goodbye();

 private:
  explicit Transport(const ListenerProfile& listener) : listener_(listener) {}

  [[nodiscard]] Stage stage_after(Stage stage) const;
  Input read_proxy_header(int socket, std::span<char> buffer);
  Input upgrade(std::span<char> bytes);
  Input unframe(std::span<char> bytes);
  IoResult read_below(int socket, std::span<char> buffer);
  IoResult write_below(int socket, std::span<iovec> pieces);
  std::size_t gather_frame(const Output& output, std::span<iovec> pieces);
  void consume_frame(Output& output, std::size_t size);
  [[nodiscard]] bool in_frame() const;

  const ListenerProfile& listener_;
  std::unique_ptr<TlsStream> tls_;
  std::unique_ptr<WebSocket> web_socket_;
  std::string head_;     ///< Of a PROXY header or a request that isn't whole yet.
  std::string answers_;  ///< Bytes that go between frames: the upgrade's response, Pong, Close.
  std::string client_address_;
  Stage stage_ = Stage::Open;
};

}  // namespace parley::net
