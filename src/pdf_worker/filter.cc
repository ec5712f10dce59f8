// SPDX-License-Identifier: Apache-2.0
#include "pdf_worker/filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstddef>

namespace glmocr::pdf {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the numbers of system calls are known for x86-64 and AArch64"
#endif

constexpr std::uint32_t kOtherTables = 0x40000000;  // the bit of x32's calls on x86-64

sock_filter load(std::uint32_t offset) { return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset); }
sock_filter answer(std::uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }

std::uint32_t low_half(int argument) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  return offsetof(seccomp_data, args) + 8 * argument;
}
std::uint32_t high_half(int argument) { return low_half(argument) + 4; }

// A jump to be resolved when the length of its rule is known: one way goes on, the other leaves the rule.
struct Step {
  sock_filter code;
  bool leaves_if_true = false, leaves_if_false = false;
};

void add_condition(std::vector<Step>& steps, const Condition& condition) {
  const auto low = static_cast<std::uint32_t>(condition.value);
  const auto high = static_cast<std::uint32_t>(condition.value >> 32);
  const auto jump = [](std::uint16_t test, std::uint32_t value) {
    return sock_filter BPF_JUMP(static_cast<std::uint16_t>(BPF_JMP | test | BPF_K), value, 0, 0);
  };
  switch (condition.kind) {
    case Condition::Kind::is_pointer:
      steps.push_back({load(high_half(condition.argument))});
      steps.push_back({jump(BPF_JEQ, high), false, true});
      [[fallthrough]];
    case Condition::Kind::is:
      steps.push_back({load(low_half(condition.argument))});
      steps.push_back({jump(BPF_JEQ, low), false, true});
      break;
    case Condition::Kind::has_none:
      steps.push_back({load(low_half(condition.argument))});
      steps.push_back({jump(BPF_JSET, low), true, false});
      break;
    case Condition::Kind::zero_or_above: {  // of values below 4 GiB
      steps.push_back({load(high_half(condition.argument))});
      sock_filter above_4_gib = jump(BPF_JGT, 0);
      above_4_gib.jt = 3;
      steps.push_back({above_4_gib});
      steps.push_back({load(low_half(condition.argument))});
      sock_filter zero = jump(BPF_JEQ, 0);
      zero.jt = 1;
      steps.push_back({zero});
      steps.push_back({jump(BPF_JGE, low), false, true});
      break;
    }
  }
}

}  // namespace

Filter::Filter() {
  program_.push_back(load(offsetof(seccomp_data, arch)));
  program_.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0));
  program_.push_back(answer(SECCOMP_RET_KILL_PROCESS));
  program_.push_back(load(offsetof(seccomp_data, nr)));
  program_.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kOtherTables, 0, 1));
  program_.push_back(answer(SECCOMP_RET_KILL_PROCESS));
}

void Filter::allow(int call, const std::vector<Condition>& conditions) {
  std::vector<Step> steps;
  steps.push_back({load(offsetof(seccomp_data, nr))});
  steps.push_back({BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(call), 0, 0), false, true});
  for (const Condition& condition : conditions) add_condition(steps, condition);
  steps.push_back({answer(SECCOMP_RET_ALLOW)});
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto to_end = static_cast<std::uint8_t>(steps.size() - i - 1);
    if (steps[i].leaves_if_true) steps[i].code.jt = to_end;
    if (steps[i].leaves_if_false) steps[i].code.jf = to_end;
    program_.push_back(steps[i].code);
  }
}

bool Filter::install() {
  program_.push_back(answer(SECCOMP_RET_ERRNO | EPERM));
  const sock_fprog program{static_cast<unsigned short>(program_.size()), program_.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0;
}

}  // namespace glmocr::pdf
