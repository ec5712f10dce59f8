// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "glmocr/engine.h"
#include "glmocr/export.h"
#include "glmocr/image.h"
#include "glmocr/layout.h"
#include "glmocr/region.h"

namespace glmocr {

// Finds the regions of a page, in reading order: label, score, box, polygon and task are set. May be called on several
// threads at once. Throws Error, which is then the page's error.
using RegionFinder = std::function<std::vector<Region>(const Image& page)>;

// By white space, rules and the heights of letters: needs no model. Everything that can be seen lies in some region.
GLMOCR_API RegionFinder classical_regions();

// The page as one region of text.
GLMOCR_API RegionFinder whole_page_region();

// What a detector finds, without duplicates, and the text that it leaves uncovered. `compat`: as the official SDK, with its
// losses (docs/formats.md).
GLMOCR_API RegionFinder detected_regions(LayoutModel model, const LayoutOptions& options = {},
                                         bool compat = false);

// The same of what LayoutModel::detect has found on the page.
GLMOCR_API std::vector<Region> detected_regions(const Image& page, const std::vector<Region>& found,
                                                const LayoutOptions& options = {}, bool compat = false);

// Classical regions with the labels of a detector, which tells tables, formulas, programs, headers and so on better than
// white space does, while its boxes may overlap or cut lines.
GLMOCR_API RegionFinder labelled_regions(LayoutModel model, const LayoutOptions& options = {});

// Where the text of a page comes from that holds its own (PDF files).
enum class TextLayerUse : std::uint8_t {
  off,        // what is read in its picture
  automatic,  // its own where it agrees with what is visible; formulas, tables and pages of other kinds are read
  only,       // its own alone; nothing is read
};

struct DocumentReaderOptions {
  ImageOptions image;
  double dpi = 200;      // of PDF pages, whose longer side has at most 3,500 pixels
  std::string password;  // of PDF files
  std::string pages;     // "1,3-5,8-"; empty: all
  TextLayerUse text_layer = TextLayerUse::automatic;
  // Turn pages that lie on their side or stand on their head, and such as are a little askew.
  bool turn_pages = true;
  RegionFinder regions;  // none: classical_regions()
  // Reads headers, footers, page numbers and the like too (RegionTask::none); otherwise they have no content.
  bool read_all = false;
  // Of each region that is read. `task` is the region's; `prompt` and `on_token` are not used.
  ReadOptions read;
  // Cuts a region into several pictures where that is read better, and reads again, row by row, what is doubtful: where
  // the model was unsure, repeated itself, or wrote another number of lines than there are. Not with compat_crops.
  bool second_look = true;
  bool compat_crops = false;  // cut regions to the pixels that the official SDK cuts, without a margin
  bool keep_images = false;   // fill ReadPage::image
  int pages_ahead = 8;        // the most pages that are in work or wait for next()
  // The most bytes that decoding pictures takes together; a picture that takes more fails. 0: no limit.
  std::int64_t decoding_memory = 0;
  // Pages that are not wanted, by the index of their input and their number. It is asked for number 0 before an input is
  // opened, which stands for all its pages. On other threads; must not throw.
  std::function<bool(std::int64_t input, std::int64_t number)> skip;
};

// A page that was read, or whose error tells why not.
struct ReadPage {
  std::int64_t input = 0;  // the index of its file
  bool last = false;       // of the pages of that file
  DocumentPage page;
  Image image;              // as it was read, that is turned; with keep_images
  std::int64_t tokens = 0;  // generated
  double decode_ms = 0;     // decoding or rendering the picture
  double regions_ms = 0;    // its angle, its regions and their crops
};

// Reads documents page by page: their regions are found, cut out and read beside those of other pages.
class GLMOCR_API DocumentReader {
 public:
  // `files`: pictures, PDF and TIFF files, "-" for standard input. The engine must outlive the reader. Throws Error{usage}
  // for options out of range, Error{device} where no thread can be started.
  DocumentReader(Engine& engine, std::vector<std::string> files, DocumentReaderOptions options = {});
  ~DocumentReader();  // cancels what still runs
  DocumentReader(DocumentReader&&) noexcept;
  DocumentReader& operator=(DocumentReader&&) noexcept;

  // Waits for the next page, in the order of files and pages; nullopt after the last. One caller at a time.
  std::optional<ReadPage> next();

  // Any thread. Ends what runs; pages that have not ended get Error{cancelled}.
  void cancel();

  // Any thread, for showing progress: the pages known so far, those that have ended, and the tokens generated.
  std::int64_t pages() const;
  std::int64_t finished_pages() const;
  std::int64_t tokens() const;

 private:
  struct GLMOCR_LOCAL State;
  std::unique_ptr<State> state_;
};

}  // namespace glmocr
