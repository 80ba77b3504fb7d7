#include "broker/admin/admin_server.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/buffers_iterator.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <filesystem>
#include <fstream>

#include "tests/broker/admin/fake_node.hpp"

namespace parley::admin {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;

class AdminSocket : public testing::Test {
 protected:
  ~AdminSocket() override { std::filesystem::remove(path_); }

  /// What comes until the server closes.
  std::string ask(const std::string& request) const {
    asio::io_context loop;
    Protocol::socket socket(loop);
    socket.connect(Protocol::endpoint(path_));
    asio::write(socket, asio::buffer(request));
    std::string response;
    boost::system::error_code error;
    asio::read(socket, asio::dynamic_buffer(response), error);
    return response;
  }

  test::FakeNode node_;
  const std::string path_ =
      (std::filesystem::temp_directory_path() / ("parley-admin-" + std::to_string(::getpid()) + ".sock")).string();
};

TEST_F(AdminSocket, AnswersOneRequestAConnection) {
  AdminServer server(node_);
  ASSERT_TRUE(server.start(path_).has_value());
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms{0660});
  const std::string status = ask("GET /v1/status HTTP/1.1\r\nHost: node\r\n\r\n");
  EXPECT_TRUE(status.starts_with("HTTP/1.1 200 OK\r\n")) << status;
  EXPECT_TRUE(status.ends_with("}\n")) << status;
  EXPECT_TRUE(ask("POST /v1/nodes/b/drain HTTP/1.1\r\nHost: node\r\nContent-Length: 2\r\n\r\n{}")
                  .starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(node_.told, std::vector<std::string>{"drain b"});
  EXPECT_TRUE(ask("nonsense\r\n\r\n").starts_with("HTTP/1.1 400 Bad Request\r\n"));
}

TEST_F(AdminSocket, IsThereOnceAndGoesWithItsServer) {
  AdminServer server(node_);
  ASSERT_TRUE(server.start(path_).has_value());
  AdminServer second(node_);
  EXPECT_FALSE(second.start(path_).has_value());
  server.stop();
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_FALSE(AdminServer(node_).start(std::string(108, 'x')).has_value());
}

TEST_F(AdminSocket, TakesThePlaceOfOneThatADeadProcessHasLeft) {
  {
    asio::io_context loop;
    const Protocol::acceptor left(loop, Protocol::endpoint(path_));
  }
  ASSERT_TRUE(std::filesystem::exists(path_));
  AdminServer server(node_);
  EXPECT_TRUE(server.start(path_).has_value());
}

}  // namespace
}  // namespace parley::admin
