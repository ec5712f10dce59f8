// SPDX-License-Identifier: Apache-2.0
// JPEG through libjpeg-turbo with its defaults, which are Pillow's: accurate integer DCT, fancy upsampling.
// Errors leave by longjmp, so every call that can fail is in a member function without objects that have
// destructors.
#include <cstdio>  // before jpeglib.h, which needs FILE
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include <algorithm>
#include <csetjmp>
#include <cstring>

#include "base/error.h"
#include "base/numbers.h"
#include "image/cmyk.h"
#include "image/codec.h"
#include "image/exif.h"

namespace glmocr {
namespace {

// A progressive file may have any number of scans, each of which costs a pass over all coefficients.
constexpr int kMaxScans = 500;
// Bytes of libjpeg's rows per pixel of the width, at the largest sampling factors.
constexpr std::int64_t kJpegRows = 256;
constexpr std::int64_t kJpegState = 128 << 10;  // of libjpeg
constexpr std::int64_t kBlockBytes = DCTSIZE2 * sizeof(JCOEF);

class JpegReader {
 public:
  explicit JpegReader(const Source& source) {
    info_.err = jpeg_std_error(&errors_);
    info_.client_data = this;
    errors_.error_exit = on_error;
    errors_.emit_message = on_message;
    if (!create()) source.reject(error_);
    input_.next_input_byte = source.data();
    input_.bytes_in_buffer = source.size();
    input_.init_source = [](j_decompress_ptr) {};
    input_.fill_input_buffer = [](j_decompress_ptr) -> boolean {
      return FALSE;
    };  // there is no more: suspend
    input_.skip_input_data = on_skip;
    input_.resync_to_restart = jpeg_resync_to_restart;
    input_.term_source = [](j_decompress_ptr) {};
    info_.src = &input_;
    progress_.progress_monitor = on_progress;
    info_.progress = &progress_;
  }
  ~JpegReader() { jpeg_destroy_decompress(&info_); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  const char* error() const { return error_; }
  const char* warning() const { return warning_; }
  int width() const { return info_.image_width; }
  int height() const { return info_.image_height; }
  int components() const { return info_.num_components; }

  bool read_header() {
    if (setjmp(jump_) != 0) return false;
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xffff);  // EXIF
    return jpeg_read_header(&info_, TRUE) == JPEG_HEADER_OK || truncated();
  }

  bool start(J_COLOR_SPACE colors) {
    if (setjmp(jump_) != 0) return false;
    info_.out_color_space = colors;
    return jpeg_start_decompress(&info_) == TRUE || truncated();
  }

  bool read_row(std::uint8_t* out) {
    if (setjmp(jump_) != 0) return false;
    return jpeg_read_scanlines(&info_, &out, 1) == 1 || truncated();
  }

  std::int64_t marker_bytes() const {
    std::int64_t bytes = 0;
    for (jpeg_saved_marker_ptr marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      bytes += marker->data_length;
    }
    return bytes;
  }
  // Bytes of all coefficients, which a file of several scans keeps.
  std::int64_t coefficient_bytes() {
    if (jpeg_has_multiple_scans(&info_) == FALSE) return 0;
    std::int64_t blocks = 0;
    for (int i = 0; i < info_.num_components; ++i) {
      const jpeg_component_info& part = info_.comp_info[i];
      blocks += round_up<std::int64_t>(part.width_in_blocks, part.h_samp_factor) *
                round_up<std::int64_t>(part.height_in_blocks, part.v_samp_factor);
    }
    return blocks * kBlockBytes;
  }

  int orientation() const {
    for (jpeg_saved_marker_ptr marker = info_.marker_list; marker != nullptr; marker = marker->next) {
      if (marker->data_length >= 6 && std::memcmp(marker->data, "Exif\0", 6) == 0) {
        return exif_orientation({marker->data, marker->data_length});
      }
    }
    return 1;
  }

 private:
  bool create() {
    if (setjmp(jump_) != 0) return false;
    jpeg_create_decompress(&info_);
    return true;
  }
  bool truncated() {
    std::snprintf(error_, sizeof error_, "truncated file");
    return false;
  }

  static JpegReader& self(j_common_ptr info) { return *static_cast<JpegReader*>(info->client_data); }
  static void on_error(j_common_ptr info) {
    info->err->format_message(info, self(info).error_);
    std::longjmp(self(info).jump_, 1);
  }
  static void on_message(j_common_ptr info, int level) {
    if (level < 0 && self(info).warning_[0] == 0) info->err->format_message(info, self(info).warning_);
  }
  static void on_skip(j_decompress_ptr info, long count) {
    jpeg_source_mgr& input = *info->src;
    if (count <= 0) return;
    const std::size_t skipped = std::min<std::size_t>(count, input.bytes_in_buffer);
    input.next_input_byte += skipped;
    input.bytes_in_buffer -= skipped;
  }
  static void on_progress(j_common_ptr info) {
    if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) {
      std::snprintf(self(info).error_, JMSG_LENGTH_MAX, "more than %d scans", kMaxScans);
      std::longjmp(self(info).jump_, 1);
    }
  }

  jpeg_decompress_struct info_{};
  jpeg_error_mgr errors_{};
  jpeg_source_mgr input_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_;
  char error_[JMSG_LENGTH_MAX] = "";
  char warning_[JMSG_LENGTH_MAX] = "";
};

}  // namespace

Raster decode_jpeg(const Source& source) {
  JpegReader reader(source);
  source.check_memory("a file of markers", std::ssize(source.bytes));  // libjpeg keeps them
  if (!reader.read_header()) source.reject(reader.error());
  const std::int64_t pixels = std::int64_t{reader.width()} * reader.height();
  source.begin_picture(reader.width(), reader.height(),
                       kJpegState + reader.marker_bytes() + reader.coefficient_bytes() +
                           kJpegRows * reader.width() + (kRgb + turning(reader.orientation())) * pixels);
  const int components = reader.components();
  if (components != 1 && components != 3 && components != 4) {
    source.reject(cat(components, " components, expected 1, 3 or 4"));
  }
  const bool cmyk = components == 4;
  if (!reader.start(cmyk ? JCS_CMYK : JCS_RGB)) source.reject(reader.error());

  const std::size_t width = reader.width();
  Raster raster;
  raster.image = {reader.width(), reader.height(), std::vector<std::uint8_t>(width * reader.height() * 3)};
  std::vector<std::uint8_t> inks(cmyk ? width * 4 : 0);
  for (int y = 0; y < reader.height(); ++y) {
    std::uint8_t* row = &raster.image.rgb[y * width * 3];
    if (!reader.read_row(cmyk ? inks.data() : row)) source.reject(reader.error());
    if (!cmyk) continue;
    for (std::uint8_t& ink : inks) ink = 255 - ink;  // Adobe stores them inverted
    for (std::size_t x = 0; x < width; ++x) cmyk_to_rgb(&inks[4 * x], &row[3 * x]);
  }
  raster.orientation = reader.orientation();
  if (reader.warning()[0] != 0) raster.warnings.push_back(cat("JPEG picture is damaged: ", reader.warning()));
  return raster;
}

}  // namespace glmocr
