#include "broker/login/credential_files.hpp"

#include <gtest/gtest.h>

#include "config/error.hpp"
#include "tests/broker/login/files.hpp"

namespace parley::login {
namespace {

const std::string kHash = "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZg";
const std::string kKey =
    R"({"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTw"})";

std::string why(const LoginOptions& options) {
  try {
    const CredentialFiles files(options);
    return "";
  } catch (const config::ConfigError& error) {
    return error.what();
  }
}

TEST(CredentialFiles, MayAllBeMissing) {
  const CredentialFiles files{LoginOptions{}};
  EXPECT_TRUE(files.current()->users.empty());
  EXPECT_EQ(files.current()->access, nullptr);
}

TEST(CredentialFiles, SayWhatIsWrongAndWhere) {
  Files files;
  struct Case {
    std::string LoginOptions::*place;
    std::string path;
    std::string why;
  };
  const Case cases[] = {
      {&LoginOptions::users_file, "/nonexistent/users", "can't be read"},
      {&LoginOptions::users_file, "/tmp", "is no file"},
      {&LoginOptions::users_file, files.write("open", "ann:" + kHash, 0644), "open to everybody"},
      {&LoginOptions::users_file, files.write("latin", "ann:" + kHash + "\nb\xE4r:" + kHash),
       "line 2: The line isn't UTF-8"},
      {&LoginOptions::users_file, files.write("nul", std::string("ann\0:", 5) + kHash), "line 1"},
      {&LoginOptions::users_file, files.write("wrong", "ann:secret"), "line 1: After the last colon"},
      {&LoginOptions::keys_file, files.write("keys", "{}x"), "no set of keys"},
      {&LoginOptions::keys_file, files.write("none", "{\"keys\":[]}"), "no key for"},
      {&LoginOptions::keys_file, files.write("openkeys", kKey, 0604), "open to everybody"},
      {&LoginOptions::access_file, files.write("access", "allow everything"), "line 1: A rule is"},
      {&LoginOptions::access_file, files.write("writable", "", 0666), "written by everybody"},
  };
  for (const Case& one : cases) {
    LoginOptions options;
    options.*one.place = one.path;
    EXPECT_NE(why(options).find(one.why), std::string::npos) << one.path << ": " << why(options);
    EXPECT_EQ(why(options).find("secret"), std::string::npos);
    EXPECT_NE(why(options).find("auth."), std::string::npos) << "it names the setting";
  }
}

TEST(CredentialFiles, KeepWhatTheyHadWhenAFileBreaks) {
  Files files;
  LoginOptions options;
  options.users_file = files.write("users", "ann:" + kHash + "\n");
  options.keys_file = files.write("keys", kKey);
  options.access_file = files.write("access", "allow read all #\n", 0644);
  CredentialFiles credentials(options);
  EXPECT_EQ(credentials.current()->users.size(), 1U);
  files.write("users", "ann:" + kHash + "\nbob\n");
  files.write("access", "allow write all #\n", 0644);
  const auto before = credentials.current();
  credentials.reload();
  EXPECT_EQ(credentials.current()->users, before->users);
  EXPECT_TRUE(credentials.current()->access->may(auth::Access::Write, {"ann", "c"}, "a")) << "the others are taken";
  files.write("users", "ann:" + kHash + "\nbob:" + kHash + "\n");
  credentials.reload();
  EXPECT_EQ(credentials.current()->users.size(), 2U);
  EXPECT_EQ(before->users.size(), 1U) << "who still looks at it sees what was";
}

}  // namespace
}  // namespace parley::login
