// SPDX-License-Identifier: Apache-2.0
// The rules of the official SDK's formatter for the text of a region (glmocr 0.1.5: result_formatter.py and
// result_postprocess_utils.py), exactly. Linear time, but for repeats: O(n log n).
#pragma once
#include "formats/characters.h"
#include "glmocr/region.h"

namespace glmocr::formats {

// What _clean_content does: literal \t at both ends, long runs of dots and underscores, repeats of long texts, blanks in
// inline formulas.
Text sdk_clean(TextView text);

// _format_content for a region that was read; `text` is what the model wrote, stripped.
Text sdk_region_text(TextView text, RegionLabel label);

// clean_formula_number: "(1)" becomes "1".
Text sdk_formula_number(TextView text);

// _is_likely_valid_merged_word without the package wordfreq, which the SDK does not require.
bool sdk_is_word(TextView word);

// The pieces of the rules that others use too.
Text without_literal_tabs(TextView text);  // at both ends
Text with_short_runs(TextView text);       // "....", "____", "····" and "\_\_\_\_" cut to three
Text without_hashes(TextView text);        // "## Title" becomes "Title"
Text formula_body(TextView text);          // without $$, \[ \] and \( \), each end by itself
bool is_bullet(TextView text);             // begins with "·", "•" or "* "

// "(1)rest", "a.rest", "12)rest" on a single line, with parentheses of ASCII or of full width.
struct ListMarker {
  Text marker;    // "(1)", "a.", "12)"
  TextView rest;  // left-stripped
};
bool parenthesised_marker(TextView text, ListMarker& found);  // (1)
bool plain_marker(TextView text, ListMarker& found);          // 1. or 1)

}  // namespace glmocr::formats
