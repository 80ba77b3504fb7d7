#include "storage/format/record.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "storage/format/checksum.hpp"
#include "storage/format/sealed.hpp"

namespace parley::format {
namespace {

std::string from_hex(std::string_view hex) {
  std::string bytes;
  unsigned value = 0;
  int digits = 0;
  for (const char c : hex) {
    if (c == ' ') continue;
    value = value << 4 | static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
    if (++digits % 2 == 0) bytes.push_back(static_cast<char>(value & 0xFF));
  }
  return bytes;
}
std::string to_hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) {
    hex.push_back("0123456789abcdef"[static_cast<unsigned char>(c) >> 4]);
    hex.push_back("0123456789abcdef"[static_cast<unsigned char>(c) & 15]);
  }
  return hex;
}

constexpr RecordPosition kPosition{{7}, {3}, {0x1234}};

struct Golden {
  const char* name;
  RecordBody body;
  const char* hex;  ///< Behind the checksum; docs/formats/log.md has the tables.
};
const Golden kGolden[] = {
    {"no-op", NoOpRecord{}, "01 01 0007 0000000000000003 0000000000001234"},
    {"conversation",
     ConversationRecord{.name = "tea",
                        .epoch = {0xE0},
                        .created = {0x0196'0000'0000},
                        .type = ConversationType::Group,
                        .visibility = Visibility::Private,
                        .creator = "ann"},
     "01 02 0007 0000000000000003 0000000000001234"
     "00000000000000e0 0000019600000000 02 02 0003 746561 616e6e"},
    {"entry",
     EntryRecord{.conversation = {0x0007'0000'0000'1000},
                 .seq = {5},
                 .ts = {0x0196'0000'0001},
                 .kind = EntryKind::Edit,
                 .id_from_client = true,
                 .ref = {4},
                 .from = "ann",
                 .id = "i1",
                 .properties = "\x01\x01",
                 .payload = "hello"},
     "01 03 0007 0000000000000003 0000000000001234"
     "0007000000001000 0000000000000005 0000019600000001 0000000000000004 02 01 0003 0002 00000002"
     "616e6e 6931 0101 68656c6c6f"},
    {"session",
     SessionRecord{.client_id = "c1", .user = "ann", .expiry_interval = 3600, .disconnected = {9}, .state = "state"},
     "01 04 0007 0000000000000003 0000000000001234"
     "00000e10 0000000000000009 0002 0003 6331 616e6e 7374617465"},
    {"session of a node",
     SessionRecord{.client_id = "c1",
                   .user = "ann",
                   .expiry_interval = 3600,
                   .disconnected = {9},
                   .state = "state",
                   .owner = {0xA1},
                   .generation = 2},
     "01 08 0007 0000000000000003 0000000000001234"
     "00000000000000a1 0000000000000002 00000e10 0000000000000009 0002 0003 6331 616e6e 7374617465"},
    {"session end", SessionEndRecord{.client_id = "c1"}, "01 05 0007 0000000000000003 0000000000001234 6331"},
    {"cursor", CursorRecord{.client_id = "c1", .topic = "chat/tea/msg", .epoch = {0xE0}, .acknowledged = {5}},
     "01 06 0007 0000000000000003 0000000000001234"
     "00000000000000e0 0000000000000005 0002 6331 636861742f7465612f6d7367"},
    {"replicas",
     ReplicasRecord{.voters = {"\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\2", 16}, .learners = {"\0\0\0\0\0\0\0\3", 8}},
     "01 07 0007 0000000000000003 0000000000001234 02 0000000000000001 0000000000000002 0000000000000003"},
    {"user's conversation",
     UserConversationRecord{
         .user = "ann", .present = true, .conversation = {0x1000}, .epoch = {0xE0}, .changed = {5}, .name = "tea"},
     "01 09 0007 0000000000000003 0000000000001234"
     "01 0000000000001000 00000000000000e0 0000000000000005 0003 616e6e 746561"},
    {"fed", FedRecord{.conversation = {0x1000}, .changed = {5}, .user = "ann"},
     "01 0a 0007 0000000000000003 0000000000001234 0000000000001000 0000000000000005 616e6e"},
    {"retention", RetentionRecord{.conversation = {0x1000}, .oldest = {5}},
     "01 0b 0007 0000000000000003 0000000000001234 0000000000001000 0000000000000005"},
    {"edited message",
     EntryRecord{
         .conversation = {0x1000}, .seq = {4}, .ts = {9}, .ref = {5}, .edited = true, .from = "ann", .payload = "x"},
     "01 03 0007 0000000000000003 0000000000001234 0000000000001000 0000000000000004 0000000000000009 "
     "0000000000000005 01 02 0003 0000 00000000 616e6e 78"},
    {"message of a publisher",
     EntryRecord{.conversation = {0x0007'0000'0000'1000},
                 .seq = {5},
                 .ts = {0x0196'0000'0001},
                 .id_from_client = true,
                 .publisher = 0xECF2'5B1B'6A53'9257,
                 .from = "ann",
                 .id = "i1",
                 .properties = "\x01\x01",
                 .payload = "hello"},
     "02 03 0007 0000000000000003 0000000000001234"
     "0007000000001000 0000000000000005 0000019600000001 0000000000000000 01 01 0003 0002 00000002"
     "ecf25b1b6a539257 616e6e 6931 0101 68656c6c6f"},
    {"marks", MarksRecord{.conversation = {0x1000}, .marks = {"\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\6\3ann", 20}},
     "01 0e 0007 0000000000000003 0000000000001234 0000000000001000 0000000000000005 0000000000000006 03 616e6e"},
    {"erasure",
     ErasureRecord{.user = "ann",
                   .started = {9},
                   .state = ErasureState::Open,
                   .conversation = {0x1000},
                   .seq = {5},
                   .redacted = 2},
     "01 15 0007 0000000000000003 0000000000001234 01 0000000000000009 0000000000001000 0000000000000005 "
     "0000000000000002 616e6e"},
};

std::string sealed(std::string bytes) {
  seal(bytes.data(), bytes.size());
  return bytes;
}
std::string golden_bytes(const Golden& golden) { return sealed(std::string(4, '\0') + from_hex(golden.hex)); }

TEST(Record, IsEncodedAsTheFormatPageSays) {
  for (const Golden& golden : kGolden) {
    EXPECT_EQ(to_hex(encode_record(kPosition, golden.body)), to_hex(golden_bytes(golden))) << golden.name;
  }
}

TEST(Record, ChecksumIsThatOfEverythingBehindIt) {
  EXPECT_EQ(to_hex(encode_record(kPosition, NoOpRecord{})).substr(0, 8),
            to_hex(sealed(std::string(4, '\0') + from_hex(kGolden[0].hex))).substr(0, 8));
  const std::string bytes = encode_record(kPosition, NoOpRecord{});
  EXPECT_EQ(load_big_endian<std::uint32_t>(bytes.data()), crc32c_by_table(std::string_view(bytes).substr(4)));
}

TEST(Record, DecodesToWhatWasEncoded) {
  for (const Golden& golden : kGolden) {
    const std::string bytes = golden_bytes(golden);
    const auto record = decode_record(bytes);
    ASSERT_TRUE(record) << golden.name;
    EXPECT_EQ(record->position, kPosition) << golden.name;
    EXPECT_EQ(record->body.index(), golden.body.index()) << golden.name;
    EXPECT_EQ(encode_record(record->position, record->body), bytes) << golden.name;
  }
}

TEST(Record, CutAnywhereIsCorrupt) {
  for (const Golden& golden : kGolden) {
    const std::string bytes = golden_bytes(golden);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_EQ(decode_record(bytes.substr(0, size)).error(), make_error_code(StorageError::CorruptRecord))
          << golden.name << " cut to " << size;
    }
    EXPECT_EQ(decode_record(bytes + '\0').error(), make_error_code(StorageError::CorruptRecord)) << golden.name;
  }
}

TEST(Record, WithAnyBitFlippedIsCorrupt) {
  for (const Golden& golden : kGolden) {
    const std::string bytes = golden_bytes(golden);
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      std::string flipped = bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      EXPECT_EQ(decode_record(flipped).error(), make_error_code(StorageError::CorruptRecord))
          << golden.name << " with bit " << bit << " flipped";
    }
  }
}

TEST(Record, OfANewerVersionIsToldFromADamagedOne) {
  for (const Golden& golden : kGolden) {
    std::string bytes = golden_bytes(golden);
    bytes[kVersionOffset] = kRecordVersion + 1;
    EXPECT_EQ(decode_record(sealed(bytes)).error(), make_error_code(StorageError::NewerFormat)) << golden.name;
    bytes[kVersionOffset] = 0;
    EXPECT_EQ(decode_record(sealed(bytes)).error(), make_error_code(StorageError::CorruptRecord)) << golden.name;
  }
}

TEST(Record, WithARightChecksumButWrongFieldsIsCorrupt) {
  const struct {
    const char* what;
    const char* hex;
  } cases[] = {
      {"kind 0", "01 00 0007 0000000000000003 0000000000001234"},
      {"kind 8", "01 08 0007 0000000000000003 0000000000001234"},
      {"a no-op with a body", "01 01 0007 0000000000000003 0000000000001234 00"},
      {"conversation type 3",
       "01 02 0007 0000000000000003 0000000000001234 00000000000000e0 0000000000000000 03 01 0000"},
      {"visibility 0", "01 02 0007 0000000000000003 0000000000001234 00000000000000e0 0000000000000000 01 00 0000"},
      {"a name longer than the record",
       "01 02 0007 0000000000000003 0000000000001234 00000000000000e0 0000000000000000 01 01 0004 746561"},
      {"an edit that is edited",
       "01 03 0007 0000000000000003 0000000000001234 0000000000000001 0000000000000001 0000000000000001 "
       "0000000000000000 02 02 0000 0000 00000000"},
      {"edited and redacted",
       "01 03 0007 0000000000000003 0000000000001234 0000000000000001 0000000000000001 0000000000000001 "
       "0000000000000000 01 06 0000 0000 00000000"},
      {"a redacted settings entry",
       "01 03 0007 0000000000000003 0000000000001234 0000000000000001 0000000000000001 0000000000000001 "
       "0000000000000000 05 04 0000 0000 00000000"},
      {"redacted with content",
       "01 03 0007 0000000000000003 0000000000001234 0000000000000001 0000000000000001 0000000000000001 "
       "0000000000000000 01 04 0000 0000 00000000 01"},
      {"entry kind 6",
       "01 03 0007 0000000000000003 0000000000001234 0000000000000001 0000000000000001 0000000000000001 "
       "0000000000000000 06 00 0000 0000 00000000"},
      {"entry flags 8",
       "01 03 0007 0000000000000003 0000000000001234 0000000000000001 0000000000000001 0000000000000001 "
       "0000000000000000 01 08 0000 0000 00000000"},
      {"properties of 4 GiB",
       "01 03 0007 0000000000000003 0000000000001234 0000000000000001 0000000000000001 0000000000000001 "
       "0000000000000000 01 00 0000 0000 ffffffff"},
      {"a message of publisher 0",
       "02 03 0007 0000000000000003 0000000000001234 0000000000000001 0000000000000001 0000000000000001 "
       "0000000000000000 01 00 0000 0000 00000000 0000000000000000"},
      {"a publisher cut short",
       "02 03 0007 0000000000000003 0000000000001234 0000000000000001 0000000000000001 0000000000000001 "
       "0000000000000000 01 00 0000 0000 00000000 ffffffffffffff"},
      {"an edit of a publisher",
       "02 03 0007 0000000000000003 0000000000001234 0000000000000001 0000000000000001 0000000000000001 "
       "0000000000000001 02 00 0000 0000 00000000 0000000000000001"},
      {"a no-op of version 2", "02 01 0007 0000000000000003 0000000000001234"},
      {"a cursor of version 2",
       "02 06 0007 0000000000000003 0000000000001234 00000000000000e0 0000000000000005 0002 6331 636861742f7465"},
      {"a voter cut short", "01 07 0007 0000000000000003 0000000000001234 01 000000000001"},
      {"a learner cut short", "01 07 0007 0000000000000003 0000000000001234 00 000000000001"},
      {"a short cursor", "01 06 0007 0000000000000003 0000000000001234 00000000000000e0 0000000000000005 0002 63"},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(decode_record(sealed(std::string(4, '\0') + from_hex(one.hex))).error(),
              make_error_code(StorageError::CorruptRecord))
        << one.what;
  }
}

class RandomRecords {
 public:
  explicit RandomRecords(std::uint64_t seed) : random_(seed) {}

  EntryRecord entry() {
    EntryRecord record = without_publisher();
    if (record.kind == EntryKind::Message && random_() % 2 == 0) record.publisher = random_() | 1;
    return record;
  }
  EntryRecord without_publisher() {
    return {.conversation = {random_()},
            .seq = {random_()},
            .ts = {random_()},
            .kind = static_cast<EntryKind>(1 + random_() % 5),
            .id_from_client = random_() % 2 == 0,
            .ref = {random_()},
            .from = text(0),
            .id = text(1),
            .properties = text(2),
            .payload = text(3)};
  }
  RecordPosition position() { return {{random_() & 0xFFFF}, {random_()}, {random_()}}; }

 private:
  std::string_view text(std::size_t place) {
    texts_[place].resize(random_() % 4 == 0 ? 0 : random_() % 300);
    for (char& c : texts_[place]) c = static_cast<char>(random_());
    return texts_[place];
  }
  std::mt19937_64 random_;
  std::string texts_[4];
};

bool operator==(const EntryRecord& a, const EntryRecord& b) {
  return a.conversation == b.conversation && a.seq == b.seq && a.ts == b.ts && a.kind == b.kind &&
         a.id_from_client == b.id_from_client && a.ref == b.ref && a.publisher == b.publisher && a.from == b.from &&
         a.id == b.id && a.properties == b.properties && a.payload == b.payload;
}

TEST(Entry, KeepsWhatItWasMadeOf) {
  RandomRecords records(2);
  for (int round = 0; round < 2'000; ++round) {
    const EntryRecord record = records.entry();
    const RecordPosition position = records.position();
    const EntryPtr made = Entry::make(position, record);
    EXPECT_TRUE(**made == record);
    EXPECT_EQ(made->position(), position);
    EXPECT_EQ(made->bytes(), encode_record(position, record));

    const auto read = Entry::from_bytes(made->bytes());
    ASSERT_TRUE(read);
    EXPECT_TRUE(***read == record);

    const auto decoded = decode_record(made->bytes());
    ASSERT_TRUE(decoded);
    const EntryPtr copy = Entry::copy_of(made->bytes(), *decoded);
    EXPECT_TRUE(**copy == record);
    EXPECT_NE(copy->bytes().data(), made->bytes().data());
  }
}

TEST(Entry, OwnsTheBytesItShows) {
  // As short as an entry can be, and as long as never fits into the string itself.
  for (const std::size_t size : {0U, 1U, 1000U}) {
    auto bytes = std::make_unique<std::string>(
        encode_record(kPosition, EntryRecord{.from = "f", .id = "i", .payload = std::string(size, 'p')}));
    const auto entry = Entry::from_bytes(std::move(*bytes));
    bytes.reset();
    ASSERT_TRUE(entry);
    const Entry& shown = **entry;
    EXPECT_EQ(shown->payload, std::string(size, 'p'));
    if (size > 0) {
      EXPECT_GE(shown->payload.data(), shown.bytes().data());
      EXPECT_LE(shown->payload.data() + size, shown.bytes().data() + shown.bytes().size());
    }
  }
}

TEST(Entry, KeepsItsPublisherOverEditsAndRedactions) {
  const EntryRecord record{.conversation = {0x1000},
                           .seq = {4},
                           .ts = {9},
                           .publisher = 7,
                           .from = "ann",
                           .id = "i1",
                           .properties = "\x01\x01",
                           .payload = "hello"};
  const EntryPtr message = Entry::make(kPosition, record);
  const EntryPtr now = edited(*message, EntryRecord{.seq = {5}, .kind = EntryKind::Edit, .payload = "hi"});
  EXPECT_EQ((*now)->publisher, 7U);
  EXPECT_EQ((*now)->payload, "hi");
  const EntryPtr gone = redacted(*message, {6});
  EXPECT_EQ(
      to_hex(gone->bytes()).substr(8),
      to_hex(sealed(std::string(4, '\0') +
                    from_hex("02 03 0007 0000000000000003 0000000000001234"
                             "0000000000001000 0000000000000004 0000000000000009 0000000000000006 01 04 0003 0002 "
                             "00000002 0000000000000007 616e6e 6931 0000 0000000000")))
          .substr(8));
  EXPECT_EQ((*gone)->publisher, 7U);
  EXPECT_EQ((*gone)->payload, "");
}

TEST(Entry, IsNoOtherRecord) {
  EXPECT_EQ(Entry::from_bytes(encode_record(kPosition, NoOpRecord{})).error(),
            make_error_code(StorageError::CorruptRecord));
  EXPECT_EQ(Entry::from_bytes("").error(), make_error_code(StorageError::CorruptRecord));
}

TEST(EntryKind, HasTheContractsNames) {
  EXPECT_EQ(name_of(EntryKind::Message), "message");
  EXPECT_EQ(name_of(EntryKind::Edit), "edit");
  EXPECT_EQ(name_of(EntryKind::Redact), "redact");
  EXPECT_EQ(name_of(EntryKind::Member), "member");
  EXPECT_EQ(name_of(EntryKind::Settings), "settings");
}

TEST(StorageErrors, SayWhatTheyAre) {
  for (int value = 1; value <= static_cast<int>(StorageError::Failed); ++value) {
    EXPECT_NE(make_error_code(static_cast<StorageError>(value)).message(), "unknown storage error") << value;
  }
}

}  // namespace
}  // namespace parley::format
