#include "broker/cluster/state_keys.hpp"

#include "broker/cluster/state_values.hpp"

namespace parley::cluster {
namespace {

std::string escaped(std::string_view cluster) {
  std::string name;
  for (const char c : cluster) {
    if (c == '{')
      name.append("%7B");
    else if (c == '}')
      name.append("%7D");
    else if (c == '%')
      name.append("%25");
    else
      name.push_back(c);
  }
  return name;
}

std::string base_of(std::string_view cluster) { return "parley:{" + escaped(cluster) + "}:"; }

}  // namespace

StateKeys::StateKeys(std::string_view cluster)
    : nodes(base_of(cluster) + "nodes"),
      formation(base_of(cluster) + "formation"),
      mark(base_of(cluster) + "mark"),
      slots(base_of(cluster) + "slots"),
      slots_version(base_of(cluster) + "slots:version"),
      filter_versions(base_of(cluster) + "filters:versions"),
      hints(base_of(cluster) + "hints"),
      name_(escaped(cluster)),
      base_(base_of(cluster)) {}

std::string StateKeys::lease(NodeId node) const { return base_ + "node:" + hex_text(node.value); }
std::string StateKeys::filters(NodeId node) const { return base_ + "filters:" + hex_text(node.value); }
std::string StateKeys::filters_next(NodeId node) const { return filters(node) + ":next"; }
std::string StateKeys::sessions(Slot slot) const {
  return "parley:{" + name_ + "." + std::to_string(slot.value) + "}:sessions";
}

}  // namespace parley::cluster
