#include <cstddef>
#include <cstdint>
#include <string_view>

#include "broker/net/proxy_header.hpp"

/// The front of a connection: a header within bounds, whose beginning says that more is needed and never something
/// else.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace parley::net;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto header = read_proxy_header(bytes);
  if (!header || !*header) return 0;
  if ((**header).size > size || (**header).size > kProxyHeaderMax) __builtin_trap();
  for (std::size_t part = 0; part < (**header).size; ++part) {
    const auto beginning = read_proxy_header(bytes.substr(0, part));
    if (!beginning || *beginning) __builtin_trap();
  }
  return 0;
}
