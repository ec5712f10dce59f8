// SPDX-License-Identifier: Apache-2.0
// The two jails: what code that reads a hostile file can still do. Both have no new privileges, an address space of
// 1 GiB, no core dumps, and cannot write files, open sockets, start or trace processes, or lift their limits.
#pragma once

namespace glmocr::pdf {

// For this process from now on. It can use memory (none of it executable), read kDocumentFd, use kSocketFd, and end;
// it cannot open anything. False where the system has no seccomp filters.
bool enter_jail();

// For a program that this process is about to become, which has a loader, libraries and fonts to open: it may open
// files for reading. Between this call and the program only become() works.
bool enter_program_jail();

// Becomes the program. The jail knows the address of `path`, at which the new program can map nothing: so it cannot
// become another one itself. Returns only where that failed.
void become(const char* path, char* const* arguments, char* const* environment);

}  // namespace glmocr::pdf
