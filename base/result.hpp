#pragma once

#include <boost/system/result.hpp>
#include <type_traits>
#include <utility>

/// A value or an error code; for failures that can happen. Dropping one is a compiler warning, hence an error.
namespace parley {

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  using Error = boost::system::error_code;

  template <class U = T>
  requires(std::is_constructible_v<T, U&&> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
           !std::is_same_v<std::remove_cvref_t<U>, Error> &&
           !boost::system::is_error_code_enum<std::remove_cvref_t<U>>::value) Result(U&& value)
      : result_(boost::system::in_place_value, std::forward<U>(value)) {}
  Result(Error error) : result_(boost::system::in_place_error, error) {}
  template <class E>
  requires boost::system::is_error_code_enum<E>::value Result(E error)
      : result_(boost::system::in_place_error, Error(error)) {}

  [[nodiscard]] bool has_value() const { return result_.has_value(); }
  explicit operator bool() const { return result_.has_value(); }
  T& operator*() & { return *result_; }
  const T& operator*() const& { return *result_; }
  T&& operator*() && { return std::move(*result_); }
  T* operator->() { return result_.operator->(); }
  const T* operator->() const { return result_.operator->(); }
  /// Throws boost::system::system_error when there is no value: for tests and start-up only.
  T& value() & { return result_.value(); }
  const T& value() const& { return result_.value(); }
  T&& value() && { return std::move(result_.value()); }
  [[nodiscard]] Error error() const { return result_.error(); }

 private:
  boost::system::result<T> result_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  using Error = boost::system::error_code;

  Result() = default;
  Result(Error error) : error_(error) {}
  template <class E>
  requires boost::system::is_error_code_enum<E>::value Result(E error) : error_(error) {}

  [[nodiscard]] bool has_value() const { return !error_; }
  explicit operator bool() const { return !error_; }
  [[nodiscard]] Error error() const { return error_; }

 private:
  Error error_;
};

}  // namespace parley

#define PARLEY_CONCAT_INNER(a, b) a##b
#define PARLEY_CONCAT(a, b) PARLEY_CONCAT_INNER(a, b)

#define PARLEY_TRY_VOID(name, expression) \
  auto name = (expression);               \
  if (!name) [[unlikely]]                 \
  return name.error()
#define PARLEY_TRY_VALUE(name, target, expression) \
  auto name = (expression);                        \
  if (!name) [[unlikely]]                          \
    return name.error();                           \
  target = *std::move(name)
#define PARLEY_TRY_PICK(a, b, picked, ...) picked

/// PARLEY_TRY(expression) passes an error up; PARLEY_TRY(target, expression) also assigns the value to `target`, which
/// may declare a variable: PARLEY_TRY(const auto n, reader.u16()).
#define PARLEY_TRY(...) PARLEY_TRY_PICK(__VA_ARGS__, PARLEY_TRY_ASSIGN, PARLEY_TRY_ONLY, )(__VA_ARGS__)
#define PARLEY_TRY_ONLY(expression) PARLEY_TRY_VOID(PARLEY_CONCAT(try_result_, __LINE__), expression)
#define PARLEY_TRY_ASSIGN(target, expression) PARLEY_TRY_VALUE(PARLEY_CONCAT(try_result_, __LINE__), target, expression)
