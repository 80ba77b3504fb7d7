#include "broker/auth/users_file.hpp"

#include <gtest/gtest.h>

namespace parley::auth {
namespace {

const std::string kScram =
    "$scram-sha-256$i=4096$W22ZaJ0SNY7soEsUEjb6gQ$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY"
    "$wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU";
const std::string kHash = "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg";

TEST(UsersFile, IsALineForEachUser) {
  const auto read = read_users("# staff\n\nann:" + kHash + "\r\na:b:" + kHash + "\nAnn Lee:" + kHash);
  const Users* users = std::get_if<Users>(&read);
  ASSERT_NE(users, nullptr);
  EXPECT_EQ(*users, (Users{{"ann", {kHash, ""}}, {"a:b", {kHash, ""}}, {"Ann Lee", {kHash, ""}}}));
}

TEST(UsersFile, MayBeEmpty) {
  for (const std::string_view text : {"", "\n", "# nobody", "\r\n"}) {
    const auto read = read_users(text);
    ASSERT_TRUE(std::holds_alternative<Users>(read));
    EXPECT_TRUE(std::get<Users>(read).empty());
  }
}

TEST(UsersFile, ReadsWhatItWrites) {
  const auto read =
      read_users(write_user("a:b", {kHash, ""}) + write_user("c", {kHash, kScram}) + write_user("d", {"", kScram}));
  ASSERT_TRUE(std::holds_alternative<Users>(read));
  EXPECT_EQ(std::get<Users>(read), (Users{{"a:b", {kHash, ""}}, {"c", {kHash, kScram}}, {"d", {"", kScram}}}));
}

TEST(UsersFile, NamesTheFirstWrongLine) {
  struct Case {
    std::string line;
    std::string_view why;
  };
  const Case kCases[] = {
      {"bob", "colon"},
      {":" + kHash, "user name"},
      {"a/b:" + kHash, "user name"},
      {"$SYS:" + kHash, "user name"},
      {"bob:secret", "argon2id"},
      {"bob:" + kHash + " ", "argon2id"},
      {"bob:" + kHash + " " + kHash, "two of a kind"},
      {"bob:" + kScram + " " + kScram, "two of a kind"},
      {"bob:", "argon2id"},
      {"ann:" + kHash, "already"},
  };
  for (const Case& one : kCases) {
    const auto read = read_users("# staff\nann:" + kHash + "\n" + one.line + "\nalso wrong\n");
    const LineError* error = std::get_if<LineError>(&read);
    ASSERT_NE(error, nullptr) << one.line;
    EXPECT_EQ(error->line, 3U);
    EXPECT_NE(error->why.find(one.why), error->why.npos) << error->why;
    EXPECT_EQ(error->why.find("secret"), error->why.npos);
  }
}

TEST(UsersFile, ChangesOneLineAndLeavesTheRest) {
  const std::string file = "# staff\nann:" + kHash + "\n\na:b:" + kHash + "\n# end";
  const std::string fresh = kHash.substr(0, kHash.size() - 1) + "A";
  EXPECT_EQ(replace_user(file, "ann", {fresh, kScram}),
            "# staff\nann:" + fresh + " " + kScram + "\n\na:b:" + kHash + "\n# end");
  EXPECT_EQ(replace_user(file, "b", {fresh, ""}), file + "\nb:" + fresh + "\n");
  EXPECT_EQ(replace_user(file, "a:b", {}), "# staff\nann:" + kHash + "\n\n# end");
  EXPECT_EQ(replace_user("", "ann", {kHash, ""}), "ann:" + kHash + "\n");
}

}  // namespace
}  // namespace parley::auth
