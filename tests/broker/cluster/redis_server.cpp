#include "tests/broker/cluster/redis_server.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

namespace parley::cluster::test {
namespace {

using namespace std::chrono_literals;

constexpr auto kDeadline = 10s;
constexpr auto kStep = 10ms;  ///< Between two looks at another process, which can't tell us.

std::string text_of(const redisReply& reply) {
  if (reply.type == REDIS_REPLY_NIL) return "(nil)";
  if (reply.type == REDIS_REPLY_INTEGER) return std::to_string(reply.integer);
  if (reply.type != REDIS_REPLY_ARRAY) return std::string(reply.str, reply.len);
  std::string text;
  for (std::size_t i = 0; i < reply.elements; ++i) text.append(i == 0 ? "" : " ").append(text_of(*reply.element[i]));
  return text;
}

/// hiredis writes to sockets whose other end may be gone.
[[maybe_unused]] const auto kIgnored = ::signal(SIGPIPE, SIG_IGN);

}  // namespace

std::uint16_t free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(socket);
  // Redis Cluster's bus listens 10,000 ports higher.
  const std::uint16_t port = ntohs(address.sin_port);
  return port > 55'000 ? free_port() : port;
}

RedisServer::RedisServer(std::vector<std::string> arguments, std::uint16_t port, std::string sentinel)
    : arguments_(std::move(arguments)), sentinel_(std::move(sentinel)), port_(port) {
  std::string pattern = (std::filesystem::temp_directory_path() / "parley-redis-XXXXXX").string();
  directory_ = ::mkdtemp(pattern.data());
  if (port != 0) {
    start();
    return;
  }
  // A port that is free now may be somebody else's in a moment.
  for (int tries = 0; tries < 5; ++tries) {
    port_ = free_port();
    launch();
    if (answers()) return;
    kill();
  }
  ADD_FAILURE() << "redis-server doesn't start: is it installed?";
}

RedisServer::~RedisServer() {
  kill();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void RedisServer::start() {
  launch();
  ASSERT_TRUE(answers()) << "redis-server doesn't start again";
}

void RedisServer::launch() {
  std::vector<std::string> words{"redis-server"};
  if (!sentinel_.empty()) {
    const std::string file = directory_ + "/sentinel.conf";
    std::ofstream(file) << "port " << port_ << "\nbind 127.0.0.1\ndir " << directory_ << "\n" << sentinel_;
    words.insert(words.end(), {file, "--sentinel"});
  } else {
    words.insert(words.end(), {"--port", std::to_string(port_), "--bind", "127.0.0.1", "--dir", directory_, "--save",
                               "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"});
  }
  words.insert(words.end(), arguments_.begin(), arguments_.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string log = directory_ + "/log";
  process_ = ::fork();
  ASSERT_GE(process_, 0);
  if (process_ == 0) {
    const int to = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(to, STDOUT_FILENO);
    ::dup2(to, STDERR_FILENO);
    ::execvp("redis-server", argv.data());
    ::_exit(127);
  }
}

/// False once the process has ended, or doesn't answer for too long.
bool RedisServer::answers() {
  const auto due = std::chrono::steady_clock::now() + kDeadline;
  while (std::chrono::steady_clock::now() < due) {
    siginfo_t ended{};
    if (::waitid(P_PID, static_cast<id_t>(process_), &ended, WEXITED | WNOHANG | WNOWAIT) != 0) return false;
    if (ended.si_pid != 0) return false;
    const std::string answer = command({"PING"});
    if (answer.find("PONG") != answer.npos || answer.find("NOAUTH") != answer.npos) return true;
    std::this_thread::sleep_for(kStep);
  }
  return false;
}

void RedisServer::kill() {
  if (process_ <= 0) return;
  ::kill(process_, SIGKILL);
  ::waitpid(process_, nullptr, 0);
  process_ = -1;
}

void RedisServer::stop() { ::kill(process_, SIGSTOP); }
void RedisServer::resume() { ::kill(process_, SIGCONT); }

std::string RedisServer::command(const std::vector<std::string>& words) const {
  const timeval limit{.tv_sec = 2, .tv_usec = 0};
  redisContext* context = redisConnectWithTimeout("127.0.0.1", port_, limit);
  if (context == nullptr) return "(unreachable)";
  std::string text = "(unreachable)";
  if (context->err == 0) {
    redisSetTimeout(context, limit);
    std::vector<const char*> pointers;
    std::vector<std::size_t> sizes;
    for (const std::string& word : words) {
      pointers.push_back(word.data());
      sizes.push_back(word.size());
    }
    auto* reply = static_cast<redisReply*>(
        redisCommandArgv(context, static_cast<int>(words.size()), pointers.data(), sizes.data()));
    if (reply != nullptr) {
      text = text_of(*reply);
      freeReplyObject(reply);
    }
  }
  redisFree(context);
  return text;
}

bool RedisServer::wait_for(const std::vector<std::string>& words, const std::string& part) const {
  const auto due = std::chrono::steady_clock::now() + kDeadline;
  while (command(words).find(part) == std::string::npos) {
    if (std::chrono::steady_clock::now() > due) return false;
    std::this_thread::sleep_for(kStep);
  }
  return true;
}

}  // namespace parley::cluster::test
