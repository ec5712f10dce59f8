// SPDX-License-Identifier: Apache-2.0
#pragma once

// The library is compiled with hidden visibility. A shared library exports what carries GLMOCR_API, except
// the parts of an exported class that carry GLMOCR_LOCAL.
#if defined(__GNUC__)
#define GLMOCR_API __attribute__((visibility("default")))
#define GLMOCR_LOCAL __attribute__((visibility("hidden")))
#else
#define GLMOCR_API
#define GLMOCR_LOCAL
#endif
