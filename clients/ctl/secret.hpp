#pragma once

#include <cstddef>
#include <string>

/// Passwords from people, and files that hold secrets.
namespace parley::ctl {

/// Asks twice without showing what is typed; without a terminal one line of standard input. Throws when nothing comes,
/// or the two differ.
std::string read_password();

std::string random_bytes(std::size_t size);

/// The file's text; empty when there is none. Throws std::runtime_error.
std::string read_file(const std::string& path, bool may_be_missing);

/// Changes a file that others change, too: reads it, lets `change` make the new text, and puts that in its place at
/// once, with the same owner and mode (0600 for a new one). Throws std::runtime_error.
class FileChange {
 public:
  explicit FileChange(std::string path);
  ~FileChange();
  FileChange(const FileChange&) = delete;
  FileChange& operator=(const FileChange&) = delete;

  [[nodiscard]] const std::string& text() const { return text_; }
  void commit(const std::string& text);

 private:
  std::string path_;
  int lock_ = -1;  ///< On the file beside it that ends in `.lock`.
  std::string text_;
};

}  // namespace parley::ctl
