#include "tests/bridge/bridge_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace parley::bridge::test {

BridgeProcess::BridgeProcess(const std::string& data_dir, const std::vector<std::string>& arguments) {
  log_file_ = (std::filesystem::temp_directory_path() / "parley-bridge-log-XXXXXX").string();
  const int log_descriptor = ::mkstemp(log_file_.data());
  if (log_descriptor < 0) throw std::runtime_error("no temporary file");

  std::vector<std::string> words{
      PARLEY_BINARY_DIR "/parley-bridge", "--listen", "http://127.0.0.1:0", "--data-dir", data_dir, "--set",
      "bridge.allow_anonymous=true",      "--set",    "bridge.threads=1"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  process_ = ::fork();
  if (process_ == 0) {
    ::dup2(log_descriptor, STDERR_FILENO);
    ::execv(pointers.front(), pointers.data());
    ::_exit(127);
  }
  ::close(log_descriptor);

  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (port_ == 0) {
    const std::string text = log();
    const auto ready = text.find(" ready ");
    const auto port = text.find("port=", ready == std::string::npos ? text.size() : ready);
    const auto end = text.find('\n', ready == std::string::npos ? text.size() : ready);
    if (port != std::string::npos && end != std::string::npos) {
      port_ = static_cast<std::uint16_t>(std::stoul(text.substr(port + 5)));
    } else if (std::chrono::steady_clock::now() > deadline || ::waitpid(process_, nullptr, WNOHANG) != 0) {
      throw std::runtime_error("parley-bridge is not ready: " + text);
    } else {
      ::poll(nullptr, 0, 5);
    }
  }
}

BridgeProcess::~BridgeProcess() {
  if (process_ > 0) {
    ::kill(process_, SIGKILL);
    ::waitpid(process_, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove(log_file_, ignored);
}

void BridgeProcess::terminate() { ::kill(process_, SIGTERM); }

int BridgeProcess::wait() {
  int status = 0;
  ::waitpid(process_, &status, 0);
  process_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int BridgeProcess::stop() {
  terminate();
  return wait();
}

std::string BridgeProcess::log() const {
  std::ifstream file(log_file_);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace parley::bridge::test
