#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace parley::login {

/// A directory that goes with the test.
class Files {
 public:
  Files() {
    std::string name = (std::filesystem::temp_directory_path() / "parley-login-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
  }
  ~Files() { std::filesystem::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path, std::ios::trunc) << text;
    ::chmod(path.c_str(), mode);
    return path;
  }

 private:
  std::string directory_;
};

}  // namespace parley::login
