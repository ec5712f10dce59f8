// SPDX-License-Identifier: Apache-2.0
// The few functions of PDFium that are used, as its fpdfview.h documents them. They are looked up in the library at
// run time (PDFium is under the BSD and Apache licences, and not part of this project).
#pragma once

namespace glmocr::pdf {

struct FpdfDocument;
struct FpdfPage;
struct FpdfBitmap;
struct FpdfForm;

struct FpdfLibraryConfig {  // version 2
  int version;
  const char** user_font_paths;  // folders, ended by nullptr
  void* isolate;
  unsigned int v8_embedder_slot;
};

struct FpdfFileAccess {
  unsigned long file_length;
  // Returns 0 for failure.
  int (*get_block)(void* user, unsigned long position, unsigned char* buffer, unsigned long size);
  void* user;
};

struct FpdfSize {
  float width, height;  // points
};

struct FpdfFormFillInfo {  // version 1, all callbacks absent
  int version;
  void* callbacks[63];  // more than it has
};

inline constexpr int kFpdfErrorFile = 2, kFpdfErrorPassword = 4, kFpdfErrorSecurity = 5;
inline constexpr int kFpdfBgr = 2;             // a format of bitmaps: three bytes per pixel
inline constexpr int kFpdfAnnotations = 0x01;  // flags of rendering
inline constexpr int kFpdfRgbOrder = 0x10;     // red first
inline constexpr int kFpdfLimitedImageCache = 0x200;

struct Pdfium {
  void (*InitLibraryWithConfig)(const FpdfLibraryConfig*);
  FpdfDocument* (*LoadCustomDocument)(FpdfFileAccess*, const char* password);
  unsigned long (*GetLastError)();
  int (*GetPageCount)(FpdfDocument*);
  int (*GetPageSizeByIndexF)(FpdfDocument*, int page, FpdfSize*);
  FpdfPage* (*LoadPage)(FpdfDocument*, int page);
  void (*ClosePage)(FpdfPage*);
  void (*RenderPageBitmap)(FpdfBitmap*, FpdfPage*, int x, int y, int width, int height, int rotation,
                           int flags);
  FpdfBitmap* (*BitmapCreateEx)(int width, int height, int format, void* pixels, int stride);
  int (*BitmapFillRect)(FpdfBitmap*, int x, int y, int width, int height, unsigned long argb);
  void (*BitmapDestroy)(FpdfBitmap*);
  int (*GetFormType)(FpdfDocument*);  // 0: no form
  FpdfForm* (*InitFormFillEnvironment)(FpdfDocument*, FpdfFormFillInfo*);
  void (*ExitFormFillEnvironment)(FpdfForm*);
  void (*CloseDocument)(FpdfDocument*);
  void (*OnAfterLoadPage)(FpdfPage*, FpdfForm*);
  void (*OnBeforeClosePage)(FpdfPage*, FpdfForm*);
  void (*FFLDraw)(FpdfForm*, FpdfBitmap*, FpdfPage*, int x, int y, int width, int height, int rotation,
                  int flags);
};

}  // namespace glmocr::pdf
