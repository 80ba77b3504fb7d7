#include "broker/shard/deflate.hpp"

#include <zlib.h>

namespace parley::shard {

std::string deflated(std::string_view bytes) {
  uLongf size = compressBound(static_cast<uLong>(bytes.size()));
  std::string out(size, '\0');
  const int outcome = compress2(reinterpret_cast<Bytef*>(out.data()), &size,
                                reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uLong>(bytes.size()), 6);
  if (outcome != Z_OK || size >= bytes.size()) return {};
  out.resize(size);
  return out;
}

}  // namespace parley::shard
