#pragma once

#include <boost/json/array.hpp>
#include <span>
#include <string>
#include <string_view>

/// JSON for people. Pure.
namespace parley::ctl {

struct Column {
  std::string_view heading;
  std::string_view member;   ///< Of each row's object.
  bool is_duration = false;  ///< Whole seconds, written as 5s, 3m, 2h, 4d.
};

/// Aligned columns under their headings, a line a row. What a row doesn't have is `-`; true is `yes`, false `no`; lists
/// are separated by commas; control characters become `?`.
std::string table(std::span<const Column> columns, const boost::json::array& rows);

}  // namespace parley::ctl
