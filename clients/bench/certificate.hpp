#pragma once

#include <string>

namespace parley::bench {

/// Writes a self-signed certificate for localhost with a P-256 key, good for a day. Throws Failure.
void write_certificate(const std::string& chain_file, const std::string& key_file);

}  // namespace parley::bench
