// SPDX-License-Identifier: Apache-2.0
#include "jobs/document_output.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <system_error>

#include "base/error.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "formats/sdk_format.h"
#include "formats/word_layout.h"
#include "formats/writer.h"
#include "image/draw.h"
#include "image/encode.h"
#include "regions/crop.h"

namespace glmocr {
namespace {

namespace fs = std::filesystem;
using Sink = std::function<void(std::string_view)>;

constexpr int kCropQuality = 95;  // as the official SDK

std::string_view as_text(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_with_folder(const fs::path& path, std::string_view content) {
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  if (error) fail(ErrorCode::input, cat(path.parent_path().string(), ": cannot be made: ", error.message()));
  write_file_atomically(path, content);
}

formats::FormatOptions format_options(const PageJournal& journal, const std::string& file,
                                      const OutputSettings& settings, const std::string& crops) {
  formats::FormatOptions options;
  options.file = file;
  options.furniture = settings.furniture;
  options.page_breaks = settings.page_breaks;
  options.join_tables = settings.join_tables;
  options.picture_folder = crops;
  formats::HeadingHeights heights;
  journal.for_each([&](const DocumentPage& page) { heights.add(page); });
  options.headings = heights.levels();
  return options;
}

void write_pages(formats::DocumentWriter& writer, const PageJournal& journal, const Sink& sink) {
  journal.for_each([&](const DocumentPage& page) { sink(writer.page(page)); });
  sink(writer.end());
}

// Text of the file's own is there already.
std::vector<PlacedText> missing_lines(const DocumentPage& page) {
  std::vector<PlacedText> lines;
  for (std::size_t i = 0; i < page.regions.size(); ++i) {
    const Region& region = page.regions[i];
    if (!region.content || region.source == TextSource::text_layer) continue;
    for (PlacedText& line : formats::placed_lines(page, i, {})) lines.push_back(std::move(line));
  }
  return lines;
}

void write_pdf(const PageJournal& journal, Document& document, const Sink& sink) {
  const std::unique_ptr<SearchableWriter> writer = document.searchable(sink);
  journal.for_each([&](const DocumentPage& page) {
    if (page.error) return;
    writer->add({.number = std::max<std::int64_t>(page.number, 1),
                 .width = page.width,
                 .height = page.height,
                 .rotation = page.rotation,
                 .skew = page.skew,
                 .lines = missing_lines(page)});
  });
  for (const std::string& problem : writer->finish()) log(LogLevel::warning, problem);
}

formats::SdkOutput sdk_output(OutputKind kind) {
  return kind == OutputKind::json ? formats::SdkOutput::json : formats::SdkOutput::markdown;
}

// Crops were written under names that no other page changes; the SDK counts them over the document. While pages are
// missing, whose crops will change the others' numbers, the first names stay as well.
void rename_crops(const PageJournal& journal, const fs::path& folder) {
  formats::SdkFormatter formatter;
  const bool complete = journal.failed_pages() == 0;
  journal.for_each([&](const DocumentPage& page) {
    if (page.error) return;
    for (const formats::PictureFile& picture : formatter.page(page).pictures) {
      const fs::path from = folder / formats::picture_name(page, picture.region);
      std::error_code error;
      if (!fs::exists(from, error)) continue;  // renamed before an earlier run was stopped
      const fs::path to = folder / picture.name;
      if (complete) {
        fs::rename(from, to, error);
      } else {
        fs::copy_file(from, to, fs::copy_options::overwrite_existing, error);
      }
      if (error) fail(ErrorCode::input, cat(to.string(), ": cannot be written: ", error.message()));
    }
  });
}

}  // namespace

OutputNames::OutputNames(const JobInput& input, const OutputSettings& settings) : compat_(settings.compat) {
  const fs::path name = input.name;
  if (compat_) {
    const std::string stem = formats::sdk_file_name(name.stem().string());
    const fs::path folder = name.parent_path() / stem;
    base_ = folder / stem;
    crops_ = folder / "imgs";
    layout_ = folder / "layout_vis";
  } else {
    base_ = name;
    crops_ = name.string() + ".imgs";
    layout_ = name.string() + ".layout";
  }
}

fs::path OutputNames::file(OutputKind kind) const { return base_.string() + "." + to_string(kind); }
fs::path OutputNames::model_json() const { return base_.string() + "_model.json"; }

fs::path OutputNames::layout_picture(std::int64_t page) const {
  if (!compat_) return layout_ / cat("page", std::max<std::int64_t>(page, 1), ".png");
  const std::string stem = base_.filename().string();
  return layout_ / (page == 0 ? stem + ".png" : cat(stem, "_page", page - 1, ".png"));
}

std::int64_t count_pictures(const OutputNames& names, const OutputSettings& settings,
                            const fs::path& folder) {
  const auto files = [&](const fs::path& of_folder) {
    std::error_code error;
    std::int64_t count = 0;
    for (fs::directory_iterator entry(folder / of_folder, error), end; !error && entry != end;
         entry.increment(error)) {
      count += !entry->path().filename().string().starts_with(".");  // else it is still written
    }
    return count;
  };
  return (settings.has_crops() ? files(names.crops()) : 0) +
         (settings.has(OutputKind::layout) ? files(names.layouts()) : 0);
}

bool has_outputs(const OutputNames& names, const OutputSettings& settings, const fs::path& folder,
                 std::int64_t pictures) {
  const auto exists = [&](const fs::path& name) {
    std::error_code error;
    return fs::exists(folder / name, error);
  };
  const bool files = std::all_of(settings.kinds.begin(), settings.kinds.end(), [&](OutputKind kind) {
    if (kind == OutputKind::layout) return true;
    if (settings.compat && kind == OutputKind::json && !exists(names.model_json())) return false;
    return exists(names.file(kind));
  });
  return files && count_pictures(names, settings, folder) >= pictures;
}

void check_names(const std::vector<JobInput>& inputs, const OutputSettings& settings) {
  std::map<fs::path, std::string> paths;
  for (const JobInput& input : inputs) {
    const auto [place, added] = paths.emplace(OutputNames(input, settings).crops(), input.path);
    if (!added)
      fail(ErrorCode::usage, cat(input.path, ": would have the same output as ", place->second,
                                 " with --compat sdk, which leaves out the extension"));
  }
}

void write_page_pictures(const ReadPage& page, const OutputNames& names, const OutputSettings& settings,
                         const fs::path& folder) {
  if (page.page.error || page.image.rgb.empty()) return;
  if (settings.has_crops()) {
    for (const formats::PictureFile& picture : formats::picture_files(page.page)) {
      const Image crop =
          crop_region(page.image, page.page.regions[picture.region], {.compat = settings.compat});
      if (crop.rgb.empty()) continue;
      write_with_folder(folder / names.crops() / picture.name, as_text(encode_jpeg(crop, kCropQuality)));
    }
  }
  if (settings.has(OutputKind::layout)) {
    Image drawn = page.image;
    draw_regions(drawn, page.page.regions);
    write_with_folder(folder / names.layout_picture(page.page.number), as_text(encode_png(drawn)));
  }
}

void write_document(OutputKind kind, const PageJournal& journal, const std::string& file,
                    const OutputSettings& settings, const std::string& crops,
                    const std::function<std::shared_ptr<Document>()>& document, const Sink& sink) {
  if (kind == OutputKind::pdf) {
    write_pdf(journal, *document(), sink);
  } else if (settings.compat && (kind == OutputKind::markdown || kind == OutputKind::json)) {
    write_pages(*formats::sdk_writer(sdk_output(kind), !crops.empty()), journal, sink);
  } else {
    const formats::FormatOptions options = format_options(journal, file, settings, crops);
    write_pages(*formats::document_writer(*format_of(kind), options), journal, sink);
  }
}

void write_outputs(const PageJournal& journal, const JobInput& input, const OutputNames& names,
                   const OutputSettings& settings, const DocumentOptions& options, const fs::path& folder) {
  const std::string crops = names.crops().filename().string();
  const auto document = [&] { return open_document(input.path, options); };
  const auto write = [&](const fs::path& name, const std::function<void(const Sink&)>& action) {
    std::error_code error;
    fs::create_directories((folder / name).parent_path(), error);
    AtomicFile file(folder / name);
    action([&](std::string_view piece) { file.write(piece); });
    file.commit();
  };
  for (const OutputKind kind : settings.kinds) {
    if (kind == OutputKind::layout) continue;
    write(names.file(kind), [&](const Sink& sink) {
      write_document(kind, journal, input.path, settings, crops, document, sink);
    });
  }
  if (!settings.compat) return;
  if (settings.has(OutputKind::json)) {
    write(names.model_json(), [&](const Sink& sink) {
      write_pages(*formats::sdk_writer(formats::SdkOutput::model_json), journal, sink);
    });
  }
  rename_crops(journal, folder / names.crops());
}

}  // namespace glmocr
