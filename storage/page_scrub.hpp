#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "storage/environment.hpp"

namespace parley::storage {

/// Cleans an LMDB file of bytes that belong to nothing any more: pages that are free, what lies between the nodes of
/// pages in use, behind the values that have pages of their own, and behind the file's last page. LMDB writes changed
/// pages to new places and leaves the old ones as they were, so that what was overwritten or deleted stays in the file
/// for as long as its pages aren't needed again. Format: docs/formats/store.md "Redactions".
///
/// It goes through the file once, a few pages a step: first the pages in use, in the order of their keys, then the free
/// ones. Each step keeps writers out. What is cleaned is what no snapshot can see, and LMDB never looks at it, so
/// readers go on meanwhile. The environment is to be opened anew before (Environment::reopen): LMDB keeps memory of
/// pages for later ones, and what is left in it would get into the file again.
///
/// Belongs to one thread.
class PageScrub {
 public:
  /// `touch` changes something in the file, no matter what: a page that a commit has freed is cleaned after a later
  /// one.
  PageScrub(Environment& environment, std::function<Result<void>(WriteTransaction&)> touch);
  ~PageScrub();
  PageScrub(const PageScrub&) = delete;
  PageScrub& operator=(const PageScrub&) = delete;

  enum class Progress : std::uint8_t {
    GoesOn,
    Waits,  ///< For readers of an old snapshot: try again after a while.
    Finished,
  };
  /// Looks at about so many pages. Fails with Failed, also when the file isn't as LMDB 0.9 lays it out.
  Result<Progress> step(std::size_t pages_max);
  /// Pages of which something was cleaned.
  [[nodiscard]] std::size_t cleaned() const { return cleaned_; }

 private:
  using PageNumber = std::uint64_t;
  /// What the current meta page says.
  struct Meta {
    std::uint64_t transaction = 0;
    PageNumber free_root = 0;
    PageNumber main_root = 0;
    PageNumber last_page = 0;
  };
  struct Node {
    std::uint16_t flags = 0;
    std::string_view key;
    std::uint64_t size = 0;  ///< Of the value.
    PageNumber page = 0;     ///< Of a branch: the child; of a value with its own pages: the first.
    std::string_view value;  ///< Else.
  };
  enum class Phase : std::uint8_t { InUse, Free, Behind, Finished };

  Result<void> open();
  Result<Meta> read_meta();
  Result<void> read(std::uint64_t at, char* to, std::size_t size);
  Result<void> clean(std::uint64_t begin, std::uint64_t end);
  Result<std::string_view> page(PageNumber number, unsigned depth);
  Result<Node> node(std::string_view page, std::size_t i) const;
  Result<bool> walk(PageNumber number, unsigned depth);
  Result<void> take_leaf(std::string_view page);
  Result<void> clean_behind_value(const Node& node);
  Result<PageNumber> root_of(const Meta& meta, std::string_view table);
  Result<Progress> walk_next(const Meta& meta);
  Result<Progress> clean_free(const Meta& meta, std::uint64_t oldest);
  Result<void> collect_free(PageNumber number, unsigned depth, std::uint64_t oldest);
  Result<void> clean_behind(const Meta& meta);
  boost::system::error_code broken(const char* what, PageNumber page) const;

  Environment& environment_;
  std::function<Result<void>(WriteTransaction&)> touch_;
  int file_ = -1;
  std::size_t page_size_ = 0;
  std::vector<std::string> pages_;  ///< By depth.
  std::size_t cleaned_ = 0;
  std::size_t budget_ = 0;

  Phase phase_ = Phase::InUse;
  enum class Tree : std::uint8_t { Main, Free, Table } tree_ = Tree::Main;
  std::set<std::string, std::less<>> tables_;  ///< Those that are still to be walked.
  std::string from_;                           ///< Keys before it were seen to.
  std::uint64_t walked_ = 0;                   ///< The commit at which the last page in use was seen to.
  PageNumber next_free_ = 0;
  std::vector<PageNumber> free_;
};

}  // namespace parley::storage
