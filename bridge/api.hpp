#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bridge/credentials.hpp"
#include "bridge/head_watch.hpp"
#include "bridge/metrics.hpp"
#include "bridge/options.hpp"
#include "bridge/page_reader.hpp"
#include "bridge/request.hpp"
#include "bridge/response.hpp"
#include "bridge/senders.hpp"
#include "bridge/target.hpp"

/// From requests to responses: which resource takes which method, and what it does.
namespace parley::bridge {

/// One request with what becomes of it. Belongs to its connection, which reuses it.
struct Call {
  Request request;
  Target target;
  HistoryQuery query;
  std::optional<Credentials> credentials;  ///< None: an anonymous reader.
  bool asks = false;                       ///< The broker has to say whether this user may read.
  Visible visible;                         ///< The rest is not for this user.
  Response response;
  PageReader::StreamPosition stream{};
  PageReader::Waitable waitable{};
};

/// Belongs to its worker's thread.
class Api {
 public:
  enum class Next : std::uint8_t {
    Done,    ///< The response is there.
    Later,   ///< Await finish().
    Stream,  ///< The response's head is there; events follow from Call::stream on.
  };

  Api(const BridgeOptions& options, Reader& reader, PageReader& pages, HeadWatch& watch, Senders& senders,
      std::vector<const Metrics*> metrics)
      : options_(options),
        reader_(reader),
        pages_(pages),
        watch_(watch),
        senders_(senders),
        metrics_(std::move(metrics)) {}

  /// Whatever needs nobody else. Reading history does not: it is in mapped memory.
  Next begin(Call& call);
  /// Long polls, sending, and asking the broker; Done or Stream. `call` must live until it returns.
  asio::awaitable<Next> finish(Call& call);
  /// False when the broker doesn't say that the call's user may read the conversation; then `call.response` says why.
  /// An earlier answer counts for a while, unless an entry since may have taken the right.
  asio::awaitable<bool> authorize(Call& call);

 private:
  Next begin_resource(Call& call);
  Next begin_messages(Call& call);
  Next begin_stream(Call& call);
  Next read_page(Call& call);
  Next read_stream(Call& call);
  bool may_begin_reading(Call& call);
  enum class Asked : std::uint8_t { Yes, No, TooEarly };  ///< TooEarly: what counts now isn't known there yet.
  asio::awaitable<Asked> ask(Call& call);
  bool authenticate(Call& call);
  void refuse_method(Call& call);
  asio::awaitable<void> wait_for_page(Call& call);
  asio::awaitable<void> send(Call& call);
  asio::awaitable<void> report_readiness(Call& call);

  const BridgeOptions& options_;
  Reader& reader_;
  PageReader& pages_;
  HeadWatch& watch_;
  Senders& senders_;
  std::vector<const Metrics*> metrics_;
};

/// The OpenAPI document, bridge/openapi.json.
std::string_view openapi_document();

}  // namespace parley::bridge
