// SPDX-License-Identifier: Apache-2.0
#include "formats/sdk_format.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "formats/sdk_rules.h"
#include "formats/unicode_classes.h"

namespace glmocr::formats {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kLeftAlignment = 10;  // thousandths of the page between the left edges of list items

// A region in the making: what the SDK's passes look at.
struct Item {
  std::size_t region;  // in DocumentPage::regions
  RegionLabel label;
  RegionTask task;  // the group that the SDK calls label
  Json bbox;
  Json polygon;
  std::optional<Text> content;
};

using Items = std::vector<Item>;

const char* group_name(RegionTask task) {
  switch (task) {
    case RegionTask::table:
      return "table";
    case RegionTask::formula:
      return "formula";
    case RegionTask::picture:
      return "image";
    case RegionTask::text:
    case RegionTask::none:
      break;
  }
  return "text";
}

int thousandths(double edge, int size) {
  const double share = size > 0 ? edge / size * 1000 : 0;
  return std::abs(share) < 1e6 ? static_cast<int>(share) : 0;
}

Json bbox_of(const Region& region, const DocumentPage& page) {
  const Box& box = region.box;
  return {sdk_thousandths(box.x0, page.width), sdk_thousandths(box.y0, page.height),
          sdk_thousandths(box.x1, page.width), sdk_thousandths(box.y1, page.height)};
}

Json polygon_of(const Region& region, const DocumentPage& page, const Json& bbox) {
  if (region.polygon.empty()) {
    return {{bbox[0], bbox[1]}, {bbox[2], bbox[1]}, {bbox[2], bbox[3]}, {bbox[0], bbox[3]}};
  }
  Json polygon = Json::array();
  for (const Point& point : region.polygon) {
    polygon.push_back(Json::array({thousandths(point.x, page.width), thousandths(point.y, page.height)}));
  }
  return polygon;
}

// The regions that the SDK has, their content stripped as by its recogniser.
Items items_of(const DocumentPage& page) {
  Items items;
  for (std::size_t i = 0; i < page.regions.size(); ++i) {
    const Region& region = page.regions[i];
    const RegionTask task = region_task(region.label);
    if (task == RegionTask::none) continue;
    const Json bbox = bbox_of(region, page);
    Item item{i, region.label, task, bbox, polygon_of(region, page, bbox), std::nullopt};
    if (region.content && task != RegionTask::picture) item.content = stripped(to_text(*region.content));
    items.push_back(std::move(item));
  }
  return items;
}

Json content_json(const Item& item) { return item.content ? Json(to_utf8(*item.content)) : Json(nullptr); }

Json model_json(const Items& items) {
  Json list = Json::array();
  for (const Item& item : items) {
    list.push_back({{"index", list.size()},
                    {"label", to_string(item.label)},
                    {"content", content_json(item)},
                    {"bbox_2d", item.bbox},
                    {"polygon", item.polygon}});
  }
  return list;
}

Items formatted(Items items) {
  Items kept;
  for (Item& item : items) {
    if (item.task != RegionTask::picture) {
      if (!item.content) continue;
      item.content = sdk_region_text(*item.content, item.label);
      if (stripped(*item.content).empty()) continue;
    }
    kept.push_back(std::move(item));
  }
  return kept;
}

// _merge_formula_numbers: the number beside a formula becomes its tag, other numbers vanish.
Items with_tags(Items items) {
  Items merged;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const bool number = items[i].label == RegionLabel::formula_number;
    const bool formula = items[i].task == RegionTask::formula;
    const bool next_number = i + 1 < items.size() && items[i + 1].label == RegionLabel::formula_number;
    const bool next_formula = i + 1 < items.size() && items[i + 1].task == RegionTask::formula;
    const bool pair = (number && next_formula) || (formula && next_number);
    if (number && !pair) continue;
    if (!pair) {
      merged.push_back(std::move(items[i]));
      continue;
    }
    const Text tag = sdk_formula_number(*items[number ? i : i + 1].content);
    Item& body = items[number ? i + 1 : i];
    body.content->insert(body.content->size() - 3, U" \\tag{" + tag + U"}");  // before "\n$$"
    merged.push_back(std::move(body));
    ++i;
  }
  return merged;
}

// _merge_text_blocks: joins a word hyphenated at the end of a block with the next block that begins in lower case. As
// there, that block may be joined to several: each hyphen looks for itself.
Items with_joined_words(const Items& items) {
  const std::size_t none = items.size();
  std::vector<std::size_t> next_lower(items.size() + 1, none);  // from that item on
  for (std::size_t i = items.size(); i-- > 0;) {
    const TextView text = items[i].task == RegionTask::text ? left_stripped(*items[i].content) : TextView();
    next_lower[i] = !text.empty() && is_lower(text[0]) ? i : next_lower[i + 1];
  }
  Items merged;
  std::vector<bool> joined(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (joined[i]) continue;
    merged.push_back(items[i]);
    const std::size_t next = next_lower[i + 1];
    if (items[i].task != RegionTask::text || next == none) continue;
    TextView before = right_stripped(*items[i].content);
    if (!before.ends_with(U'-')) continue;
    before.remove_suffix(1);
    const TextView after = left_stripped(*items[next].content);
    if (!sdk_is_word(Text(last_word(before)) + Text(first_word(after))) || last_word(before).empty())
      continue;
    merged.back().content = Text(before) + Text(after);
    joined[next] = true;
  }
  return merged;
}

// _format_bullet_points: a text between two list items, aligned with them, is one too.
void add_bullets(Items& items) {
  const auto is_text = [&](std::size_t i) { return items[i].label == RegionLabel::text; };
  const auto is_item = [&](std::size_t i) { return items[i].content->starts_with(U"- "); };
  const auto aligned = [&](std::size_t i, std::size_t j) {
    return std::abs(items[i].bbox[0].get<int>() - items[j].bbox[0].get<int>()) <= kLeftAlignment;
  };
  for (std::size_t i = 1; i + 1 < items.size(); ++i) {
    if (!is_text(i - 1) || !is_text(i) || !is_text(i + 1)) continue;
    if (is_item(i) || !is_item(i - 1) || !is_item(i + 1)) continue;
    if (aligned(i, i - 1) && aligned(i, i + 1)) items[i].content->insert(0, U"- ");
  }
}

Json region_json(const Item& item, int index) {
  return {
      {"index", index},          {"label", group_name(item.task)}, {"bbox_2d", item.bbox},
      {"polygon", item.polygon}, {"content", content_json(item)},  {"native_label", to_string(item.label)}};
}

// As an element of a list that is indented by two blanks. Strings hold no newline in JSON.
std::string indented(const Json& json) {
  std::string text = "  ";
  for (const char c : json.dump(2)) {
    text += c;
    if (c == '\n') text += "  ";
  }
  return text;
}

}  // namespace

int sdk_thousandths(double edge, int size) { return thousandths(std::trunc(edge), size); }

SdkPage SdkFormatter::page(const DocumentPage& page) {
  Items items = items_of(page);
  SdkPage out;
  out.model_json = indented(model_json(items));
  items = with_joined_words(with_tags(formatted(std::move(items))));
  add_bullets(items);
  Json list = Json::array();
  for (const Item& item : items) {
    list.push_back(region_json(item, static_cast<int>(list.size())));
    std::string block;
    if (item.content) {
      block = to_utf8(*item.content);
    } else if (pictures_) {
      const std::string name = cat("cropped_page", pages_, "_idx", crops_, ".jpg");
      list.back()["image_path"] = "imgs/" + name;
      block = cat("![Image ", pages_, "-", crops_, "](imgs/", name, ")");
      out.pictures.push_back({item.region, name});
      ++crops_;
    }
    if (block.empty()) continue;
    if (!out.markdown.empty()) out.markdown += "\n\n";
    out.markdown += block;
  }
  out.json = indented(list);
  ++pages_;
  return out;
}

std::string sdk_file_name(const std::string& stem) {
  std::string name;
  for (const char c : to_utf8(to_text(stem))) {
    const bool refused = (static_cast<unsigned char>(c) < 0x20) ||
                         std::string_view("<>:\"/\\|?*").find(c) != std::string_view::npos;
    name += refused ? '_' : c;
  }
  name.erase(name.find_last_not_of(" .") + 1);
  return name.empty() ? "result" : name;
}

}  // namespace glmocr::formats
