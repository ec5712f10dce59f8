// SPDX-License-Identifier: Apache-2.0
// One run of glm-ocr-pdf over one document; internal to this room.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "pdf/protocol.h"

namespace glmocr::pdf {

// Closed with the object.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }

 private:
  int fd_;
};

// The worker that an environment variable or the place of this code names. Throws Error{device} where there is none.
std::string find_worker(const std::string& named);

// Thrown where a worker ended without a reply or was ended: what happened, to be put behind the name of the page.
struct WorkerLost {
  std::string what;
};

class WorkerProcess {
 public:
  // Starts it. `choice` is its argument; the shared memory gets `pixel_bytes`. Throws Error{device}.
  WorkerProcess(const std::string& program, const char* choice, int document, std::int64_t pixel_bytes);
  ~WorkerProcess();  // ends it
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // Sends the request, once no other worker needs the core, and waits for its reply, for `limit` at most. A reply's sizes
  // are positive and fit the shared memory, and its texts are ended and printable. Throws WorkerLost, after which the object
  // is of no use, and Error{cancelled}.
  Reply ask(Request request, std::chrono::milliseconds limit, const std::function<bool()>& cancelled);

  // The shared memory. The worker can write it at any time; it does so while it answers.
  std::span<std::uint8_t> memory() const { return {pixels_, static_cast<std::size_t>(pixel_bytes_)}; }
  pid_t pid() const { return pid_; }

 private:
  void start(const std::string& program, const char* choice, int document, int socket, int memory);
  bool wait_for_reply(std::chrono::milliseconds limit, const std::function<bool()>& cancelled) const;
  Reply receive(Command command, int max_side);
  std::string end();

  Descriptor socket_;
  pid_t pid_ = -1;
  std::uint8_t* pixels_ = nullptr;
  std::int64_t pixel_bytes_ = 0;
};

// Throws WorkerLost where a reply of this size cannot be one of a worker: `got` bytes were received.
void check_reply(Reply& reply, std::int64_t got, Command command, int max_side, std::int64_t pixel_bytes);

}  // namespace glmocr::pdf
