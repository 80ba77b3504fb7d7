#include "bridge/compression.hpp"

#include <zlib.h>

#include <algorithm>

namespace parley::bridge {
namespace {

/// Fast rather than small: history is read often, mostly over short links.
constexpr int kLevel = 1;
constexpr int kGzipWindow = 15 + 16;  // zlib's way to say: a gzip header.

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return (x | 0x20) == (y | 0x20); });
}

/// ";q=0", ";q=0.0" and so on.
bool is_zero_weight(std::string_view parameters) {
  const auto equals = parameters.find("q=");
  if (equals == std::string_view::npos) return false;
  return trim(parameters.substr(equals + 2)).find_first_not_of("0.") == std::string_view::npos;
}

}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  while (!accept_encoding.empty()) {
    const auto comma = std::min(accept_encoding.find(','), accept_encoding.size());
    const auto item = accept_encoding.substr(0, comma);
    accept_encoding.remove_prefix(std::min(comma + 1, accept_encoding.size()));
    const auto semicolon = std::min(item.find(';'), item.size());
    if (equal_ignoring_case(trim(item.substr(0, semicolon)), "gzip")) return !is_zero_weight(item.substr(semicolon));
  }
  return false;
}

struct Gzip::Stream : z_stream {};

Gzip::Gzip() = default;

Gzip::~Gzip() {
  if (stream_) deflateEnd(stream_.get());
}

bool Gzip::compress(std::string& body) {
  if (!stream_) {
    auto stream = std::make_unique<Stream>();
    if (deflateInit2(stream.get(), kLevel, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) != Z_OK) return false;
    stream_ = std::move(stream);
  }
  if (deflateReset(stream_.get()) != Z_OK) return false;
  buffer_.resize(deflateBound(stream_.get(), body.size()));
  stream_->next_in = reinterpret_cast<Bytef*>(body.data());
  stream_->avail_in = static_cast<uInt>(body.size());
  stream_->next_out = reinterpret_cast<Bytef*>(buffer_.data());
  stream_->avail_out = static_cast<uInt>(buffer_.size());
  if (deflate(stream_.get(), Z_FINISH) != Z_STREAM_END) return false;
  buffer_.resize(buffer_.size() - stream_->avail_out);
  body.assign(buffer_);
  return true;
}

}  // namespace parley::bridge
