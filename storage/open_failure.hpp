#pragma once

#include <stdexcept>
#include <string>

#include "storage/format/error.hpp"

namespace parley::storage {

/// Why the storage can't be used at all, as one sentence for the operator; caught in main.
class OpenFailure : public std::runtime_error {
 public:
  OpenFailure(StorageError error, const std::string& sentence) : std::runtime_error(sentence), error_(error) {}
  [[nodiscard]] StorageError error() const { return error_; }

 private:
  StorageError error_;
};

}  // namespace parley::storage
