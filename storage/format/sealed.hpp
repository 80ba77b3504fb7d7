#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "storage/format/checksum.hpp"
#include "storage/format/error.hpp"

/// What all records and rows begin with, in every version of the format: the checksum of everything behind it, and the
/// version.
namespace parley::format {

inline constexpr std::size_t kVersionOffset = 4;
inline constexpr std::size_t kSealSize = 5;

/// Puts the checksum of bytes[4 …] into bytes[0 … 3].
inline void seal(char* bytes, std::size_t size) {
  store_big_endian(bytes, crc32c({bytes + kVersionOffset, size - kVersionOffset}));
}

/// Checks the checksum, then the version. Fails with CorruptRecord, NewerFormat.
inline Result<void> check_seal(std::string_view bytes, std::uint8_t version_known) {
  if (bytes.size() < kSealSize) return StorageError::CorruptRecord;
  const auto expected = load_big_endian<std::uint32_t>(bytes.data());
  if (crc32c(bytes.substr(kVersionOffset)) != expected) return StorageError::CorruptRecord;
  const auto version = static_cast<std::uint8_t>(bytes[kVersionOffset]);
  if (version > version_known) return StorageError::NewerFormat;
  if (version == 0) return StorageError::CorruptRecord;
  return {};
}

}  // namespace parley::format
