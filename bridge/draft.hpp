#pragma once

#include <string>
#include <string_view>

#include "bridge/problem.hpp"
#include "bridge/query.hpp"

/// What POST …/messages says, and PATCH and DELETE …/messages/{seq}. Pure; any thread.
namespace parley::bridge {

/// Where from: views of the request.
struct DraftSource {
  std::string_view content_type;
  std::string_view idempotency_key;
  std::string_view body;
};

/// A message to be sent. `id` is empty when the sender gave none.
struct Draft {
  std::string id;
  std::string payload;
  std::string properties;  ///< For the PUBLISH: payload format, content type, id and the sender's user properties.
};

/// `application/json`: `{"text":…}` or `{"data":base64}`, with optional `id`, `content_type` and `props`, an array of
/// [name, value]; `text/plain`: the text itself. An Idempotency-Key is the id, with or without the quotes of a
/// structured field, and must not contradict the body's. Fails with InvalidBody, InvalidId, UnsupportedMediaType.
OrProblem<Draft> read_draft(const DraftSource& source);

/// The command that edits a message, for the conversation's ctl topic: the body has `text` or `data`, and optional `id`
/// and `content_type`. Fails as read_draft.
OrProblem<Draft> read_edit(const DraftSource& source, Seq seq);
/// The one that redacts it; there is no body. Fails with InvalidId, InvalidBody.
OrProblem<Draft> read_redaction(const DraftSource& source, Seq seq);

}  // namespace parley::bridge
