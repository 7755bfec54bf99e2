// A bounded cache that forgets what was used longest ago.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cnnjax {

using Key = std::vector<std::int64_t>;

struct KeyHash {
  std::size_t operator()(const Key& key) const {
    std::uint64_t hash = 14695981039346656037u;  // FNV-1a
    for (const std::int64_t number : key) {
      hash = (hash ^ static_cast<std::uint64_t>(number)) * 1099511628211u;
      hash ^= hash >> 32;
    }
    return hash;
  }
};

template <class Value>
class Cache {
 public:
  using Pointer = std::shared_ptr<const Value>;

  explicit Cache(std::size_t capacity) : capacity_(capacity) {}

  // The value of a key, made by `make` where it is not there. Making takes
  // milliseconds, so it happens without the lock: other threads keep looking up. Two
  // threads may make the same value; the first one to be done keeps it.
  template <class Make>
  Pointer get(const Key& key, const Make& make) {
    if (Pointer found = find(key)) return found;
    return keep(key, std::make_shared<const Value>(make()));
  }

 private:
  using Entry = std::pair<Key, Pointer>;
  using Entries = std::list<Entry>;  // the last used comes first

  Pointer find(const Key& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto place = places_.find(key);
    if (place == places_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, place->second);
    return place->second->second;
  }

  Pointer keep(const Key& key, Pointer value) {
    Pointer dropped;  // freed after the lock
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto place = places_.find(key);
    if (place != places_.end()) return place->second->second;
    entries_.emplace_front(key, value);
    places_.emplace(key, entries_.begin());
    if (entries_.size() > capacity_) {
      dropped = std::move(entries_.back().second);
      places_.erase(entries_.back().first);
      entries_.pop_back();
    }
    return value;
  }

  const std::size_t capacity_;
  std::mutex mutex_;
  Entries entries_;
  std::unordered_map<Key, typename Entries::iterator, KeyHash> places_;
};

}  // namespace cnnjax
