#include "json/fields.hpp"

#include <boost/json.hpp>

namespace parley::json {

Result<std::vector<Field>> read_fields(std::string_view text) {
  const auto invalid = boost::system::errc::make_error_code(boost::system::errc::invalid_argument);
  boost::system::error_code error;
  const auto value = boost::json::parse(boost::json::string_view(text.data(), text.size()), error);
  if (error || !value.is_object()) return invalid;
  std::vector<Field> fields;
  for (const auto& member : value.as_object()) {
    Field field{.name = std::string(member.key()), .value = OtherValue{}};
    if (const auto* string = member.value().if_string()) {
      field.value = std::string(*string);
    } else if (const auto* flag = member.value().if_bool()) {
      field.value = *flag;
    } else if (const auto* number = member.value().if_int64(); number != nullptr && *number >= 0) {
      field.value = static_cast<std::uint64_t>(*number);
    } else if (const auto* large = member.value().if_uint64()) {
      field.value = *large;
    }
    fields.push_back(std::move(field));
  }
  return fields;
}

}  // namespace parley::json
