#include "broker/cluster/node_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

#include "broker/cluster/state_values.hpp"

namespace parley::cluster {
namespace {

constexpr std::string_view kFirstLine = "parley cluster 1";
constexpr std::string_view kLastLine = "end";

struct StandingWord {
  NodeFile::Standing standing;
  std::string_view word;
};
constexpr std::array kStandings{
    StandingWord{NodeFile::Standing::Forming, "forming"},
    StandingWord{NodeFile::Standing::Founder, "founder"},
    StandingWord{NodeFile::Standing::Joined, "joined"},
};

std::string_view word_of(NodeFile::Standing standing) {
  for (const auto& [value, word] : kStandings) {
    if (value == standing) return word;
  }
  return {};
}

bool read_standing(std::string_view text, NodeFile::Standing& to) {
  for (const auto& [value, word] : kStandings) {
    if (word != text) continue;
    to = value;
    return true;
  }
  return false;
}

/// Takes what stands before the next `mark` off the front, and the mark.
std::string_view take_until(std::string_view& rest, char mark) {
  const auto end = std::min(rest.find(mark), rest.size());
  const auto taken = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return taken;
}

template <class Number>
bool put(const std::optional<std::uint64_t>& read, std::uint64_t most, Number& to) {
  if (!read || *read > most) return false;
  to = static_cast<Number>(*read);
  return true;
}

/// `BIRTH PORT HOST NAME`: names may have blanks, so the name is last.
bool read_peer(std::string_view text, NodeFile& file) {
  KnownNode peer;
  if (!put(read_hex(take_until(text, ' ')), ~std::uint64_t{0}, peer.birth)) return false;
  if (!put(read_decimal(take_until(text, ' ')), 65'535, peer.port)) return false;
  peer.host = take_until(text, ' ');
  peer.name = text;
  if (peer.host.empty() || peer.name.empty()) return false;
  const NodeId id = node_id(peer.name);
  return file.peers.emplace(id, std::move(peer)).second;
}

/// `SLOT STAMP`.
bool read_pin(std::string_view text, NodeFile& file) {
  Slot slot;
  std::uint64_t stamp = 0;
  if (!put(read_decimal(take_until(text, ' ')), 65'535, slot.value)) return false;
  return put(read_decimal(text), ~std::uint64_t{0}, stamp) && file.pins.emplace(slot, stamp).second;
}

bool read_field(std::string_view key, std::string_view value, NodeFile& file) {
  constexpr auto kMost = ~std::uint64_t{0};
  if (key == "name") file.cluster = value;
  if (key == "id") return put(read_hex(value), kMost, file.cluster_id);
  if (key == "node") file.node = value;
  if (key == "birth") return put(read_hex(value), kMost, file.birth);
  if (key == "slots") return put(read_decimal(value), 65'536, file.slots);
  if (key == "standing") return read_standing(value, file.standing);
  if (key == "starts") return put(read_decimal(value), kMost, file.starts);
  if (key == "draining") file.draining = value == "yes";
  if (key == "pinned") return read_pin(value, file);
  if (key == "peer") return read_peer(value, file);
  if (key == "removed") {
    const auto id = read_hex(value);
    return id && file.removed.insert(*id).second;
  }
  if (key == "parting") {
    const auto id = read_hex(value);
    return id && file.parting.insert({*id}).second;
  }
  return true;  // What a newer program says beyond this.
}

std::string path_of(const std::string& data_dir) { return data_dir + "/cluster"; }

boost::system::error_code last_error() { return {errno, boost::system::system_category()}; }

Result<void> write_and_sync(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return last_error();
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(descriptor) != 0) return last_error();
  return {};
}

}  // namespace

bool is_host(std::string_view text) {
  constexpr std::size_t kHostMax = 255;
  return !text.empty() && text.size() <= kHostMax &&
         std::ranges::all_of(text, [](char c) { return c > ' ' && c != '\x7F'; });
}

std::string encode(const NodeFile& file) {
  std::string text(kFirstLine);
  const auto line = [&text](std::string_view key, std::string_view value) {
    text.append("\n").append(key).append(" ").append(value);
  };
  line("name", file.cluster);
  line("id", hex_text(file.cluster_id));
  line("node", file.node);
  line("birth", hex_text(file.birth));
  line("slots", std::to_string(file.slots));
  line("standing", word_of(file.standing));
  line("starts", std::to_string(file.starts));
  line("draining", file.draining ? "yes" : "no");
  for (const auto& [slot, stamp] : file.pins) {
    line("pinned", std::to_string(slot.value) + " " + std::to_string(stamp));
  }
  for (const auto& [id, peer] : file.peers) {
    line("peer", hex_text(peer.birth) + " " + std::to_string(peer.port) + " " + peer.host + " " + peer.name);
  }
  for (const std::uint64_t birth : file.removed) line("removed", hex_text(birth));
  for (const NodeId node : file.parting) line("parting", hex_text(node.value));
  return text.append("\n").append(kLastLine).append("\n");
}

std::optional<NodeFile> read_node_file(std::string_view text) {
  if (!text.ends_with('\n') || take_until(text, '\n') != kFirstLine) return std::nullopt;
  NodeFile file;
  while (!text.empty()) {
    std::string_view line = take_until(text, '\n');
    if (line == kLastLine) {
      const bool whole = text.empty() && !file.cluster.empty() && file.cluster_id != 0 && !file.node.empty() &&
                         file.birth != 0 && file.slots != 0;
      return whole ? std::optional(std::move(file)) : std::nullopt;
    }
    const std::string_view key = take_until(line, ' ');
    if (!read_field(key, line, file)) return std::nullopt;
  }
  return std::nullopt;
}

std::optional<std::string> why_another(const NodeFile& file, std::string_view cluster, std::string_view node,
                                       std::uint32_t slots) {
  const auto sentence = [](std::string_view setting, std::string_view theirs, std::string_view ours) {
    return std::string(setting)
        .append(" is \"")
        .append(ours)
        .append("\", but the data directory is that of \"")
        .append(theirs)
        .append("\"; give it back its name, or this node a directory of its own");
  };
  if (file.cluster != cluster) return sentence("cluster.name", file.cluster, cluster);
  if (file.node != node) return sentence("node.id", file.node, node);
  if (file.slots != slots) {
    return "cluster.slots is " + std::to_string(slots) + ", but cluster \"" + file.cluster + "\" was formed with " +
           std::to_string(file.slots) + ", which can't be changed";
  }
  return std::nullopt;
}

std::optional<NodeFile> load_node_file(const std::string& data_dir) {
  const std::string path = path_of(data_dir);
  if (::access(path.c_str(), F_OK) != 0) return std::nullopt;
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  auto read = read_node_file(text.str());
  if (!file || !read) {
    throw std::runtime_error(path + " can't be read or is damaged; without it this node doesn't know its cluster");
  }
  return read;
}

Result<void> save_node_file(const std::string& data_dir, const NodeFile& file) {
  const std::string path = path_of(data_dir);
  const std::string next = path + ".next";
  const int descriptor = ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
  if (descriptor < 0) return last_error();
  const auto written = write_and_sync(descriptor, encode(file));
  ::close(descriptor);
  if (!written) return written.error();
  if (::rename(next.c_str(), path.c_str()) != 0) return last_error();
  const int directory = ::open(data_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return last_error();
  const bool synced = ::fsync(directory) == 0;
  const auto error = last_error();
  ::close(directory);
  if (!synced) return error;
  return {};
}

}  // namespace parley::cluster
