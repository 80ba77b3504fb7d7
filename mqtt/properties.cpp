#include "mqtt/properties.hpp"

#include <algorithm>

#include "base/bytes.hpp"
#include "mqtt/reader.hpp"
#include "mqtt/topic.hpp"

namespace parley::mqtt {
namespace {

enum class Encoding : std::uint8_t {
  Byte,
  TwoByteInteger,
  FourByteInteger,
  VariableByteInteger,
  Utf8String,
  Binary,
  Utf8StringPair
};

constexpr std::uint16_t operator|(PropertyPlace a, PropertyPlace b) {
  return static_cast<std::uint16_t>(static_cast<std::uint16_t>(a) | static_cast<std::uint16_t>(b));
}
constexpr std::uint16_t operator|(std::uint16_t a, PropertyPlace b) {
  return static_cast<std::uint16_t>(a | static_cast<std::uint16_t>(b));
}
constexpr std::uint16_t only(PropertyPlace place) { return static_cast<std::uint16_t>(place); }

/// What a value must be besides well formed; a breach is a Protocol Error.
enum class Range : std::uint8_t { Any, Flag, NotZero, Topic };

struct PropertyRule {
  PropertyId id;
  Encoding encoding;
  std::uint16_t places;
  Range range = Range::Any;
  bool repeatable = false;
};

using enum PropertyPlace;
constexpr std::uint16_t kAcks = Puback | Pubrec | Pubrel | Pubcomp;
constexpr std::uint16_t kAll = Will | Connect | Connack | Publish | Puback | Pubrec | Pubrel | Pubcomp | Subscribe |
                               Suback | Unsubscribe | Unsuback | Disconnect | Auth;

/// MQTT 5 §2.2.2.2, table 2-4, in order of identifier.
constexpr std::array kPropertyRules{
    PropertyRule{PropertyId::PayloadFormatIndicator, Encoding::Byte, Publish | Will, Range::Flag},
    PropertyRule{PropertyId::MessageExpiryInterval, Encoding::FourByteInteger, Publish | Will},
    PropertyRule{PropertyId::ContentType, Encoding::Utf8String, Publish | Will},
    PropertyRule{PropertyId::ResponseTopic, Encoding::Utf8String, Publish | Will, Range::Topic},
    PropertyRule{PropertyId::CorrelationData, Encoding::Binary, Publish | Will},
    PropertyRule{PropertyId::SubscriptionIdentifier, Encoding::VariableByteInteger, Publish | Subscribe,
                 Range::NotZero},
    PropertyRule{PropertyId::SessionExpiryInterval, Encoding::FourByteInteger, Connect | Connack | Disconnect},
    PropertyRule{PropertyId::AssignedClientIdentifier, Encoding::Utf8String, only(Connack)},
    PropertyRule{PropertyId::ServerKeepAlive, Encoding::TwoByteInteger, only(Connack)},
    PropertyRule{PropertyId::AuthenticationMethod, Encoding::Utf8String, Connect | Connack | Auth},
    PropertyRule{PropertyId::AuthenticationData, Encoding::Binary, Connect | Connack | Auth},
    PropertyRule{PropertyId::RequestProblemInformation, Encoding::Byte, only(Connect), Range::Flag},
    PropertyRule{PropertyId::WillDelayInterval, Encoding::FourByteInteger, only(Will)},
    PropertyRule{PropertyId::RequestResponseInformation, Encoding::Byte, only(Connect), Range::Flag},
    PropertyRule{PropertyId::ResponseInformation, Encoding::Utf8String, only(Connack)},
    PropertyRule{PropertyId::ServerReference, Encoding::Utf8String, Connack | Disconnect},
    PropertyRule{PropertyId::ReasonString, Encoding::Utf8String,
                 kAcks | Connack | Suback | Unsuback | Disconnect | Auth},
    PropertyRule{PropertyId::ReceiveMaximum, Encoding::TwoByteInteger, Connect | Connack, Range::NotZero},
    PropertyRule{PropertyId::TopicAliasMaximum, Encoding::TwoByteInteger, Connect | Connack},
    PropertyRule{PropertyId::TopicAlias, Encoding::TwoByteInteger, only(Publish)},
    PropertyRule{PropertyId::MaximumQos, Encoding::Byte, only(Connack), Range::Flag},
    PropertyRule{PropertyId::RetainAvailable, Encoding::Byte, only(Connack), Range::Flag},
    PropertyRule{PropertyId::UserProperty, Encoding::Utf8StringPair, kAll, Range::Any, true},
    PropertyRule{PropertyId::MaximumPacketSize, Encoding::FourByteInteger, Connect | Connack, Range::NotZero},
    PropertyRule{PropertyId::WildcardSubscriptionAvailable, Encoding::Byte, only(Connack), Range::Flag},
    PropertyRule{PropertyId::SubscriptionIdentifierAvailable, Encoding::Byte, only(Connack), Range::Flag},
    PropertyRule{PropertyId::SharedSubscriptionAvailable, Encoding::Byte, only(Connack), Range::Flag},
};
static_assert(std::ranges::is_sorted(kPropertyRules, {}, &PropertyRule::id));

/// Position in kPropertyRules by identifier; 0xFF: no such property.
constexpr auto kRuleIndex = [] {
  std::array<std::uint8_t, 0x30> index{};
  index.fill(0xFF);
  for (std::size_t i = 0; i < kPropertyRules.size(); ++i) {
    index[static_cast<std::size_t>(kPropertyRules[i].id)] = static_cast<std::uint8_t>(i);
  }
  return index;
}();

const PropertyRule* rule_of(std::uint32_t id) {
  if (id >= kRuleIndex.size() || kRuleIndex[id] == 0xFF) return nullptr;
  return &kPropertyRules[kRuleIndex[id]];
}

/// With `kTrusted` the text has passed before and isn't walked again.
template <bool kTrusted>
Result<std::string_view> read_string(Reader& reader) {
  return kTrusted ? reader.binary() : reader.utf8_string();
}

template <bool kTrusted>
Result<void> read_value(Reader& reader, const PropertyRule& rule, Properties::Item& item) {
  switch (rule.encoding) {
    case Encoding::Byte: {
      PARLEY_TRY(item.integer, reader.integer<std::uint8_t>());
      break;
    }
    case Encoding::TwoByteInteger: {
      PARLEY_TRY(item.integer, reader.integer<std::uint16_t>());
      break;
    }
    case Encoding::FourByteInteger: {
      PARLEY_TRY(item.integer, reader.integer<std::uint32_t>());
      break;
    }
    case Encoding::VariableByteInteger: {
      PARLEY_TRY(item.integer, reader.variable_byte_integer());
      break;
    }
    case Encoding::Utf8String: {
      PARLEY_TRY(item.text, read_string<kTrusted>(reader));
      break;
    }
    case Encoding::Binary: {
      PARLEY_TRY(item.text, reader.binary());
      break;
    }
    case Encoding::Utf8StringPair: {
      PARLEY_TRY(item.name, read_string<kTrusted>(reader));
      PARLEY_TRY(item.text, read_string<kTrusted>(reader));
      break;
    }
  }
  return {};
}

bool in_range(const PropertyRule& rule, const Properties::Item& item) {
  switch (rule.range) {
    case Range::Any: return true;
    case Range::Flag: return item.integer <= 1;
    case Range::NotZero: return item.integer != 0;
    case Range::Topic: return is_topic_name(item.text);
  }
  return true;
}

}  // namespace

Result<Properties> Properties::validate(std::string_view bytes, PropertyPlace place) {
  Reader reader(bytes);
  std::uint32_t seen = 0;
  while (!reader.empty()) {
    // All identifiers known today take one byte. §2.2.2.2.
    PARLEY_TRY(const auto id, reader.variable_byte_integer());
    const PropertyRule* rule = rule_of(id);
    if (rule == nullptr || (rule->places & static_cast<std::uint16_t>(place)) == 0) return ReasonCode::MalformedPacket;
    Item item;
    PARLEY_TRY(read_value<false>(reader, *rule, item));
    if (!in_range(*rule, item)) return ReasonCode::ProtocolError;
    const std::uint32_t bit = 1U << kRuleIndex[id];
    // A PUBLISH may carry one Subscription Identifier for each matching subscription. §3.3.2.3.8.
    const bool repeatable = rule->repeatable || (rule->id == PropertyId::SubscriptionIdentifier && place == Publish);
    if ((seen & bit) != 0 && !repeatable) return ReasonCode::ProtocolError;
    seen |= bit;
  }
  return Properties(bytes);
}

Properties Properties::trusted(std::string_view bytes) { return Properties(bytes); }

void Properties::Iterator::load() {
  item_ = {};
  if (rest_.empty()) return;
  Reader reader(rest_);
  const auto id = reader.variable_byte_integer();
  const PropertyRule* rule = id ? rule_of(*id) : nullptr;
  // Bytes that were not validated end the list here instead of being read wrongly.
  if (rule == nullptr || !read_value<true>(reader, *rule, item_)) {
    rest_ = {};
    return;
  }
  item_.id = rule->id;
  item_.raw = rest_.substr(0, rest_.size() - reader.rest().size());
}

std::optional<std::uint32_t> Properties::integer(PropertyId id) const {
  for (const Item& item : *this) {
    if (item.id == id) return item.integer;
  }
  return std::nullopt;
}

std::optional<std::string_view> Properties::text(PropertyId id) const {
  for (const Item& item : *this) {
    if (item.id == id) return item.text;
  }
  return std::nullopt;
}

std::optional<std::string_view> Properties::user(std::string_view name) const {
  for (const Item& item : *this) {
    if (item.id == PropertyId::UserProperty && item.name == name) return item.text;
  }
  return std::nullopt;
}

PropertyWriter& PropertyWriter::integer(PropertyId id, std::uint32_t value) {
  bytes_.push_back(static_cast<char>(id));
  const PropertyRule* rule = rule_of(static_cast<std::uint32_t>(id));
  switch (rule->encoding) {
    case Encoding::Byte: bytes_.push_back(static_cast<char>(value)); break;
    case Encoding::TwoByteInteger: append_big_endian(bytes_, static_cast<std::uint16_t>(value)); break;
    case Encoding::FourByteInteger: append_big_endian(bytes_, value); break;
    default:
      for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>((value & 0x7F) | 0x80));
      bytes_.push_back(static_cast<char>(value));
  }
  return *this;
}

void PropertyWriter::append(std::string_view value) {
  value = value.substr(0, 65'535);
  append_big_endian(bytes_, static_cast<std::uint16_t>(value.size()));
  bytes_.append(value);
}

PropertyWriter& PropertyWriter::text(PropertyId id, std::string_view value) {
  bytes_.push_back(static_cast<char>(id));
  append(value);
  return *this;
}

PropertyWriter& PropertyWriter::user(std::string_view name, std::string_view value) {
  text(PropertyId::UserProperty, name);
  append(value);
  return *this;
}

PropertyWriter& PropertyWriter::raw(std::string_view item) {
  bytes_.append(item);
  return *this;
}

}  // namespace parley::mqtt
