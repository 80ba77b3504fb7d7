#include "storage/page_scrub.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/log.hpp"

namespace parley::storage {
namespace {

// How LMDB 0.9 lays out its file (MDB_DATA_VERSION 1), in the machine's byte order.
constexpr std::uint32_t kMagic = 0xBEEFC0DE;
constexpr std::uint32_t kDataVersion = 1;
constexpr std::uint64_t kNoPage = ~std::uint64_t{0};
constexpr std::size_t kHeader = 16;  // Number 8, padding 2, flags 2, lower 2 and upper 2, or how many pages 4.
constexpr std::size_t kFlagsAt = 10;
constexpr std::size_t kLowerAt = 12;
constexpr std::size_t kUpperAt = 14;
constexpr std::size_t kNodeHeader = 8;  // Size low 2 and high 2, flags 2, size of the key 2.
constexpr std::size_t kTable = 48;
constexpr std::size_t kRootAt = 40;  // In a table's description.
// A meta page: magic 4, version 4, address 8, map size 8, two tables, last page 8, transaction 8.
constexpr std::size_t kTablesAt = kHeader + 24;
constexpr std::size_t kLastPageAt = kTablesAt + 2 * kTable;
constexpr std::size_t kTransactionAt = kLastPageAt + 8;
constexpr std::size_t kMetaSize = kTransactionAt + 8;

constexpr std::uint16_t kBranch = 0x01;
constexpr std::uint16_t kLeaf = 0x02;
constexpr std::uint16_t kOverflow = 0x04;
constexpr std::uint16_t kLeaf2 = 0x20;
constexpr std::uint16_t kBigData = 0x01;
constexpr std::uint16_t kSubData = 0x02;

constexpr unsigned kDepthMax = 32;
constexpr std::size_t kChunk = 64 * 1024;

template <class Integer>
Integer load(std::string_view bytes, std::size_t at) {
  Integer value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::uint16_t flags_of(std::string_view page) { return load<std::uint16_t>(page, kFlagsAt); }
std::size_t nodes_of(std::string_view page) { return (load<std::uint16_t>(page, kLowerAt) - kHeader) / 2; }

bool all_zero(const char* bytes, std::size_t size) {
  return size == 0 || (bytes[0] == '\0' && std::memcmp(bytes, bytes + 1, size - 1) == 0);
}

}  // namespace

PageScrub::PageScrub(Environment& environment, std::function<Result<void>(WriteTransaction&)> touch)
    : environment_(environment), touch_(std::move(touch)) {}

PageScrub::~PageScrub() {
  if (file_ >= 0) ::close(file_);
}

Result<void> PageScrub::open() {
  if (file_ >= 0) return {};
  file_ = ::open(environment_.path().c_str(), O_RDWR | O_CLOEXEC);
  if (file_ < 0) return environment_.translate(errno, "open for cleaning");
  return {};
}

Result<PageScrub::Progress> PageScrub::step(std::size_t pages_max) {
  PARLEY_TRY(open());
  WriteTransaction transaction(environment_);
  PARLEY_TRY(transaction.begin());
  PARLEY_TRY(const Meta meta, read_meta());
  budget_ = std::max<std::size_t>(pages_max, 4);
  switch (phase_) {
    case Phase::InUse: return walk_next(meta);
    case Phase::Free: {
      const std::uint64_t oldest = transaction.oldest_snapshot();
      if (oldest > walked_) return clean_free(meta, oldest);
      if (meta.transaction > walked_) return Progress::Waits;
      PARLEY_TRY(touch_(transaction));
      PARLEY_TRY(transaction.commit());
      return Progress::GoesOn;
    }
    case Phase::Behind: {
      PARLEY_TRY(clean_behind(meta));
      break;
    }
    case Phase::Finished: break;
  }
  phase_ = Phase::Finished;
  return Progress::Finished;
}

// -- Bytes --

boost::system::error_code PageScrub::broken(const char* what, PageNumber page) const {
  log::error("an LMDB file can't be cleaned, its pages aren't as they should be",
             {{"file", environment_.path()}, {"page", page}, {"why", what}});
  return StorageError::Failed;
}

Result<void> PageScrub::read(std::uint64_t at, char* to, std::size_t size) {
  while (size > 0) {
    const ssize_t got = ::pread(file_, to, size, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return environment_.translate(errno, "read for cleaning");
    if (got == 0) return broken("the file ends too early", page_size_ == 0 ? 0 : at / page_size_);
    at += static_cast<std::uint64_t>(got);
    to += got;
    size -= static_cast<std::size_t>(got);
  }
  return {};
}

/// Writes zeros where there are none.
Result<void> PageScrub::clean(std::uint64_t begin, std::uint64_t end) {
  static const std::string kZeros(kChunk, '\0');
  std::string bytes;
  while (begin < end) {
    bytes.resize(std::min<std::uint64_t>(end - begin, kChunk));
    PARLEY_TRY(read(begin, bytes.data(), bytes.size()));
    if (!all_zero(bytes.data(), bytes.size())) {
      ++cleaned_;
      std::size_t done = 0;
      while (done < bytes.size()) {
        const ssize_t put = ::pwrite(file_, kZeros.data(), bytes.size() - done, static_cast<off_t>(begin + done));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return environment_.translate(put < 0 ? errno : EIO, "clean");
        done += static_cast<std::size_t>(put);
      }
    }
    begin += bytes.size();
  }
  return {};
}

Result<PageScrub::Meta> PageScrub::read_meta() {
  std::array<char, kMetaSize> bytes{};
  if (page_size_ == 0) {
    PARLEY_TRY(read(0, bytes.data(), bytes.size()));
    page_size_ = load<std::uint32_t>({bytes.data(), bytes.size()}, kTablesAt);
    if (page_size_ < 512 || page_size_ > 65'536 || (page_size_ & (page_size_ - 1)) != 0) {
      return broken("no size of pages", 0);
    }
    pages_.assign(kDepthMax, std::string(page_size_, '\0'));
  }
  Meta newest;
  for (PageNumber number = 0; number < 2; ++number) {
    PARLEY_TRY(read(number * page_size_, bytes.data(), bytes.size()));
    const std::string_view meta(bytes.data(), bytes.size());
    if (load<std::uint32_t>(meta, kHeader) != kMagic || load<std::uint32_t>(meta, kHeader + 4) != kDataVersion) {
      return broken("another version of the format", number);
    }
    const auto transaction = load<std::uint64_t>(meta, kTransactionAt);
    if (number != 0 && transaction <= newest.transaction) continue;
    newest = {.transaction = transaction,
              .free_root = load<std::uint64_t>(meta, kTablesAt + kRootAt),
              .main_root = load<std::uint64_t>(meta, kTablesAt + kTable + kRootAt),
              .last_page = load<std::uint64_t>(meta, kLastPageAt)};
  }
  return newest;
}

/// A branch or leaf. Valid until the next page of this depth is read.
Result<std::string_view> PageScrub::page(PageNumber number, unsigned depth) {
  if (depth >= kDepthMax) return broken("a tree is too deep", number);
  std::string& bytes = pages_[depth];
  PARLEY_TRY(read(number * page_size_, bytes.data(), page_size_));
  const std::string_view page(bytes);
  const std::uint16_t kind = flags_of(page) & (kBranch | kLeaf | kOverflow | kLeaf2);
  const std::size_t lower = load<std::uint16_t>(page, kLowerAt);
  const std::size_t upper = load<std::uint16_t>(page, kUpperAt);
  if (load<std::uint64_t>(page, 0) != number) return broken("it has another number", number);
  if (kind != kBranch && kind != kLeaf) return broken("it is of another kind", number);
  if (lower < kHeader || lower > upper || upper > page_size_) return broken("its bounds are wrong", number);
  return page;
}

Result<PageScrub::Node> PageScrub::node(std::string_view page, std::size_t i) const {
  const auto number = load<std::uint64_t>(page, 0);
  const std::size_t at = load<std::uint16_t>(page, kHeader + 2 * i);
  if (at + kNodeHeader > page.size()) return broken("a node is outside", number);
  const std::uint64_t low = load<std::uint16_t>(page, at);
  const std::uint64_t high = load<std::uint16_t>(page, at + 2);
  const std::uint16_t flags = load<std::uint16_t>(page, at + 4);
  const std::size_t key_size = load<std::uint16_t>(page, at + 6);
  if (at + kNodeHeader + key_size > page.size()) return broken("a key is outside", number);
  Node node{.flags = flags, .key = page.substr(at + kNodeHeader, key_size), .size = low | high << 16};
  if ((flags_of(page) & kBranch) != 0) {
    node.page = low | high << 16 | std::uint64_t{flags} << 32;
    return node;
  }
  const std::size_t value = at + kNodeHeader + key_size;
  const std::size_t here = (flags & kBigData) != 0 ? sizeof(PageNumber) : node.size;
  if (value + here > page.size()) return broken("a value is outside", number);
  if ((flags & kBigData) != 0) {
    node.page = load<std::uint64_t>(page, value);
  } else {
    node.value = page.substr(value, here);
  }
  return node;
}

// -- Pages in use --

Result<PageScrub::Progress> PageScrub::walk_next(const Meta& meta) {
  PageNumber root = tree_ == Tree::Main ? meta.main_root : meta.free_root;
  if (tree_ == Tree::Table) {
    PARLEY_TRY(root, root_of(meta, *tables_.begin()));
  }
  if (tree_ == Tree::Free) budget_ = std::numeric_limits<std::size_t>::max();  // Its keys are of another order.
  bool done = true;
  if (root != kNoPage) {
    PARLEY_TRY(done, walk(root, 0));
  }
  if (!done) return Progress::GoesOn;
  from_.clear();
  if (tree_ == Tree::Main) {
    tree_ = Tree::Free;
  } else if (tree_ == Tree::Free) {
    tree_ = Tree::Table;
  } else {
    tables_.erase(tables_.begin());
  }
  if (tree_ == Tree::Table && tables_.empty()) {
    walked_ = meta.transaction;
    phase_ = Phase::Free;
  }
  return Progress::GoesOn;
}

/// True when everything from `from_` on was seen to; else `from_` is where to go on.
Result<bool> PageScrub::walk(PageNumber number, unsigned depth) {
  PARLEY_TRY(const std::string_view page, this->page(number, depth));
  const std::size_t count = nodes_of(page);
  PARLEY_TRY(clean(number * page_size_ + load<std::uint16_t>(page, kLowerAt),
                   number * page_size_ + load<std::uint16_t>(page, kUpperAt)));
  if ((flags_of(page) & kBranch) != 0) {
    for (std::size_t i = 0; i < count; ++i) {
      PARLEY_TRY(const Node child, node(page, i));
      if (i + 1 < count && !from_.empty()) {
        PARLEY_TRY(const Node next, node(page, i + 1));
        if (next.key <= from_) continue;
      }
      PARLEY_TRY(const bool done, walk(child.page, depth + 1));
      if (!done) return false;
    }
    return true;
  }
  if (count == 0) return true;
  PARLEY_TRY(const Node last, node(page, count - 1));
  if (last.key < from_) return true;
  PARLEY_TRY(take_leaf(page));
  if (budget_ > 0) --budget_;
  if (budget_ != 0) return true;
  from_.assign(last.key);
  from_.push_back('\0');
  return false;
}

Result<void> PageScrub::take_leaf(std::string_view page) {
  for (std::size_t i = 0; i < nodes_of(page); ++i) {
    PARLEY_TRY(const Node one, node(page, i));
    if ((one.flags & kBigData) != 0) {
      PARLEY_TRY(clean_behind_value(one));
    }
    if (tree_ == Tree::Main && (one.flags & kSubData) != 0) tables_.emplace(one.key);
  }
  return {};
}

Result<void> PageScrub::clean_behind_value(const Node& node) {
  std::array<char, kHeader> header{};
  PARLEY_TRY(read(node.page * page_size_, header.data(), header.size()));
  const std::string_view page(header.data(), header.size());
  const std::uint64_t size = std::uint64_t{load<std::uint32_t>(page, kLowerAt)} * page_size_;
  if (load<std::uint64_t>(page, 0) != node.page || (flags_of(page) & kOverflow) == 0 || kHeader + node.size > size) {
    return broken("a value's pages are none", node.page);
  }
  if (budget_ != std::numeric_limits<std::size_t>::max()) budget_ -= std::min(budget_ - 1, std::size_t{1});
  return clean(node.page * page_size_ + kHeader + node.size, node.page * page_size_ + size);
}

/// kNoPage when the table is empty, or not there any more.
Result<PageScrub::PageNumber> PageScrub::root_of(const Meta& meta, std::string_view table) {
  PageNumber number = meta.main_root;
  for (unsigned depth = 0; number != kNoPage; ++depth) {
    PARLEY_TRY(const std::string_view page, this->page(number, depth));
    const bool branch = (flags_of(page) & kBranch) != 0;
    PageNumber below = kNoPage;
    for (std::size_t i = 0; i < nodes_of(page); ++i) {
      PARLEY_TRY(const Node one, node(page, i));
      if (branch) {
        if (i != 0 && one.key > table) break;
        below = one.page;
      } else if (one.key == table && (one.flags & kSubData) != 0 && one.value.size() == kTable) {
        return load<std::uint64_t>(one.value, kRootAt);
      }
    }
    number = below;
  }
  return kNoPage;
}

// -- Free pages --

/// Those that were freed up to `walked_`, and others: what is freed later has nothing that isn't in use.
Result<PageScrub::Progress> PageScrub::clean_free(const Meta& meta, std::uint64_t oldest) {
  free_.clear();
  const std::size_t count_max = budget_;
  if (meta.free_root != kNoPage) {
    PARLEY_TRY(collect_free(meta.free_root, 0, oldest));
  }
  const bool all = free_.size() <= count_max;
  if (!all) {
    std::ranges::nth_element(free_, free_.begin() + static_cast<std::ptrdiff_t>(count_max));
    free_.resize(count_max);
  }
  std::ranges::sort(free_);
  for (std::size_t i = 0; i < free_.size();) {
    std::size_t end = i + 1;
    while (end < free_.size() && free_[end] == free_[end - 1] + 1) ++end;
    if (free_[end - 1] <= meta.last_page) {
      PARLEY_TRY(clean(free_[i] * page_size_, (free_[end - 1] + 1) * page_size_));
    }
    i = end;
  }
  if (!free_.empty()) next_free_ = free_.back() + 1;
  if (all) phase_ = Phase::Behind;
  return Progress::GoesOn;
}

/// The pages from next_free_ on that no snapshot can see, as LMDB itself decides before it uses them again.
Result<void> PageScrub::collect_free(PageNumber number, unsigned depth, std::uint64_t oldest) {
  PARLEY_TRY(const std::string_view page, this->page(number, depth));
  for (std::size_t i = 0; i < nodes_of(page); ++i) {
    PARLEY_TRY(const Node one, node(page, i));
    if ((flags_of(page) & kBranch) != 0) {
      PARLEY_TRY(collect_free(one.page, depth + 1, oldest));
      continue;
    }
    if (one.key.size() != 8 || load<std::uint64_t>(one.key, 0) >= oldest) continue;
    std::string list(one.value);
    if ((one.flags & kBigData) != 0) {
      list.resize(one.size);
      PARLEY_TRY(read(one.page * page_size_ + kHeader, list.data(), list.size()));
    }
    const std::uint64_t count = list.size() < 8 ? 0 : load<std::uint64_t>(list, 0);
    if (list.size() < 8 || count > list.size() / 8 - 1) return broken("a list of free pages is cut off", number);
    for (std::uint64_t at = 1; at <= count; ++at) {
      const auto free = load<std::uint64_t>(list, at * 8);
      if (free < 2) return broken("a meta page is said to be free", number);
      if (free >= next_free_) free_.push_back(free);
    }
  }
  return {};
}

/// A commit that wasn't finished may have left something there.
Result<void> PageScrub::clean_behind(const Meta& meta) {
  struct stat status {};
  if (::fstat(file_, &status) != 0) return environment_.translate(errno, "measure");
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const std::uint64_t used = (meta.last_page + 1) * page_size_;
  if (used < size) {
    PARLEY_TRY(clean(used, size));
  }
  if (::fdatasync(file_) != 0) return environment_.translate(errno, "sync");
  return {};
}

}  // namespace parley::storage
