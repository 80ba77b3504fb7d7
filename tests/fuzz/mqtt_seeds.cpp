#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/mqtt/notation.hpp"
#include "tests/mqtt/samples.hpp"

using namespace parley;  // NOLINT

/// mqtt_seeds DIRECTORY: one file for each sample, as mqtt_decode reads it.
int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: mqtt_seeds DIRECTORY\n");
    return 1;
  }
  std::size_t number = 0;
  for (const auto& sample : mqtt::samples()) {
    const auto version = static_cast<unsigned>(sample.version) - static_cast<unsigned>(mqtt::ProtocolVersion::V3_1);
    char name[32];
    std::snprintf(name, sizeof name, "sample-%03zu", number++);
    std::ofstream file(std::filesystem::path(argv[1]) / name, std::ios::binary);
    const std::string bytes = static_cast<char>(version) + mqtt::bytes(sample.bytes);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!file.good()) {
      std::fprintf(stderr, "%s can't be written\n", name);
      return 1;
    }
  }
  std::printf("%zu samples\n", number);
  return 0;
}
