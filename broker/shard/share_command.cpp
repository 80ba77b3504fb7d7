#include "broker/shard/share_command.hpp"

#include "base/varint.hpp"
#include "base/varint_reader.hpp"

namespace parley::shard {
namespace {

using Kind = chat::StartPosition::Kind;

void append_text(std::string& out, std::string_view text) {
  append_varint(out, text.size());
  out.append(text);
}

}  // namespace

std::string encode(const ShareCommand& command) {
  std::string out;
  append_varint(out, static_cast<std::uint64_t>(command.op));
  append_text(out, command.group);
  append_text(out, command.member);
  for (const std::uint64_t value : {command.token, command.shard, command.window, std::uint64_t{command.lasts},
                                    static_cast<std::uint64_t>(command.start.kind), command.start.value,
                                    command.start_epoch.value, std::uint64_t{command.held.size()}}) {
    append_varint(out, value);
  }
  for (const Seq seq : command.held) append_varint(out, seq.value);
  return out;
}

std::optional<ShareCommand> decode_share_command(std::string_view bytes) {
  VarintReader in(bytes);
  ShareCommand command;
  command.op = static_cast<ShareCommand::Op>(in.number(static_cast<std::uint64_t>(ShareCommand::Op::Ends)));
  command.group = in.text();
  command.member = in.text();
  command.token = in.number();
  command.shard = in.number(0x7FFF'FFFF);
  command.window = in.number();
  command.lasts = in.flag();
  command.start.kind = static_cast<Kind>(in.number(static_cast<std::uint64_t>(Kind::SinceLast)));
  command.start.value = in.number();
  command.start_epoch = {in.number()};
  Seq last;
  for (std::uint64_t count = in.count(); count > 0; --count) {
    const Seq seq{in.number()};
    if (seq <= last) return std::nullopt;
    command.held.push_back(last = seq);
  }
  if (!in.complete() || command.group.empty() || command.member.empty()) return std::nullopt;
  return command;
}

}  // namespace parley::shard
