#include "storage/format/error.hpp"

#include <string>

namespace parley {
namespace {

class StorageCategory final : public boost::system::error_category {
 public:
  const char* name() const noexcept override { return "storage"; }
  std::string message(int value) const override {
    switch (static_cast<StorageError>(value)) {
      case StorageError::CorruptRecord: return "the stored record is damaged";
      case StorageError::NewerFormat: return "written by a newer version of Parley";
      case StorageError::NotFound: return "there is no such thing in the store";
      case StorageError::DiskFull: return "the disk is full";
      case StorageError::ReadOnly: return "the files can't be written";
      case StorageError::InUse: return "another broker uses this data directory";
      case StorageError::Failed: return "the storage failed";
    }
    return "unknown storage error";
  }
};

}  // namespace

const boost::system::error_category& storage_category() {
  static const StorageCategory category;
  return category;
}

}  // namespace parley
