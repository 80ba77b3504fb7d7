#pragma once

#include <string>

#include "base/result.hpp"
#include "bridge/response.hpp"
#include "bridge/right.hpp"
#include "clients/link/messages.hpp"

namespace parley::bridge {

/// What the broker's answer to a PUBLISH means over HTTP: 201 (200 for a `dup`) with seq, ts and id, or the problem
/// whose code is the broker's word, with its Retry-After. docs/PROTOCOL.md "Receipts", "Refusals". Pure.
/// `changes`: of a command, which is 200, and `{"changed":false}` where everything was so already.
void write_receipt(const Result<link::Answer>& answer, Response& response, bool changes = false);

/// The problem when the broker refused or didn't answer; false, and nothing written, when it said yes.
bool write_refusal(const Result<link::Answer>& answer, Response& response);

/// What a SUBACK that says yes gives, when the conversation was at `place` before it was asked for. It counts from the
/// broker's own head where that is behind.
Right right_of(const link::Answer& suback, Place place);

}  // namespace parley::bridge
