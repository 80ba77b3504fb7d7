#include "json/fields.hpp"

#include <gtest/gtest.h>

namespace parley::json {
namespace {

std::string described(std::string_view text) {
  const auto fields = read_fields(text);
  if (!fields) return "none";
  std::string all;
  for (const Field& field : *fields) {
    all.append(field.name).append("=");
    if (const auto* string = std::get_if<std::string>(&field.value)) all.append("'").append(*string).append("' ");
    if (const auto* number = std::get_if<std::uint64_t>(&field.value)) all.append(std::to_string(*number)).append(" ");
    if (const auto* flag = std::get_if<bool>(&field.value)) all.append(*flag ? "true " : "false ");
    if (std::holds_alternative<OtherValue>(field.value)) all.append("other ");
  }
  return all;
}

TEST(JsonFields, KnowsTextsWholeNumbersAndFlags) {
  EXPECT_EQ(described(R"({"a":"x","b":0,"c":18446744073709551615,"d":true,"e":false})"),
            "a='x' b=0 c=18446744073709551615 d=true e=false ");
  EXPECT_EQ(described("{}"), "");
}

TEST(JsonFields, TellsWhatIsNoneOfThese) {
  for (const char* value : {"null", "-1", "1.5", "1.0", "1e2", "18446744073709551616", "[]", "{}", R"({"b":[{}]})"}) {
    EXPECT_EQ(described(std::string(R"({"a":)") + value + "}"), "a=other ") << value;
  }
}

TEST(JsonFields, TakesTheLastOfTheSameName) { EXPECT_EQ(described(R"({"a":1,"b":2,"a":"x"})"), "a='x' b=2 "); }

TEST(JsonFields, RefusesWhatIsNoObject) {
  for (const char* text : {"", "[]", "1", "null", "{", R"({"a"})", R"({"a":1}x)", R"({"a":01})"}) {
    EXPECT_EQ(described(text), "none") << text;
  }
}

}  // namespace
}  // namespace parley::json
