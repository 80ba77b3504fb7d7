#pragma once

#include <string_view>

namespace parley {

/// Tells systemd about this process, as sd_notify(3) does: "READY=1", "STOPPING=1", "STATUS=…". Nothing happens when
/// nobody listens ($NOTIFY_SOCKET isn't set). Any thread.
void notify_supervisor(std::string_view state);

}  // namespace parley
