// SPDX-License-Identifier: Apache-2.0
// The few functions of PDFium that are used, as its fpdfview.h documents them. They are looked up in the library at
// run time (PDFium is under the BSD and Apache licences, and not part of this project).
#pragma once

namespace glmocr::pdf {

struct FpdfDocument;
struct FpdfPage;
struct FpdfBitmap;
struct FpdfForm;
struct FpdfTextPage;
struct FpdfPageObject;
struct FpdfXObject;

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

struct FpdfRect {
  float left, top, right, bottom;  // points
};

struct FpdfMatrix {
  float a, b, c, d, e, f;
};

struct FpdfFileWrite {
  int version;  // 1
  // Returns 0 for failure.
  int (*write_block)(FpdfFileWrite*, const void* data, unsigned long size);
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
inline constexpr unsigned long kFpdfNoIncremental = 2;   // of saving: the whole file anew
inline constexpr int kFpdfInvisible = 3, kFpdfClip = 7;  // modes of drawing text that draw nothing

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
  int (*DeviceToPage)(FpdfPage*, int x, int y, int width, int height, int rotation, int device_x,
                      int device_y, double* page_x, double* page_y);
  FpdfTextPage* (*TextLoadPage)(FpdfPage*);
  void (*TextClosePage)(FpdfTextPage*);
  int (*TextCountChars)(FpdfTextPage*);
  unsigned int (*TextGetUnicode)(FpdfTextPage*, int index);
  int (*TextIsGenerated)(FpdfTextPage*, int index);
  int (*TextIsHyphen)(FpdfTextPage*, int index);  // one that was taken for the end of a broken word
  int (*TextHasUnicodeMapError)(FpdfTextPage*, int index);
  double (*TextGetFontSize)(FpdfTextPage*, int index);
  int (*TextGetCharBox)(FpdfTextPage*, int index, double* left, double* right, double* bottom, double* top);
  int (*TextGetLooseCharBox)(FpdfTextPage*, int index, FpdfRect*);
  int (*TextGetCharOrigin)(FpdfTextPage*, int index, double* x, double* y);
  int (*TextGetMatrix)(FpdfTextPage*, int index, FpdfMatrix*);
  FpdfPageObject* (*TextGetTextObject)(FpdfTextPage*, int index);
  int (*TextObjGetTextRenderMode)(FpdfPageObject*);
  FpdfDocument* (*LoadMemDocument)(const void* data, int size, const char* password);
  FpdfXObject* (*NewXObjectFromPage)(FpdfDocument* target, FpdfDocument* source, int page);
  void (*CloseXObject)(FpdfXObject*);
  FpdfPageObject* (*NewFormObjectFromXObject)(FpdfXObject*);
  int (*PageObjSetMatrix)(FpdfPageObject*, const FpdfMatrix*);
  void (*PageInsertObject)(FpdfPage*, FpdfPageObject*);  // which then belongs to the page
  int (*PageGenerateContent)(FpdfPage*);
  int (*SaveAsCopy)(FpdfDocument*, FpdfFileWrite*, unsigned long flags);
};

}  // namespace glmocr::pdf
