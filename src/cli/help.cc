// SPDX-License-Identifier: Apache-2.0
#include "cli/help.h"

#include <iomanip>
#include <sstream>

#include "base/error.h"
#include "cli/exit_code.h"

namespace glmocr::cli {
namespace {

constexpr CommandHelp kCommands[] = {
    {"read",
     "glm-ocr [read] [OPTIONS] FILE...\n"
     "       glm-ocr COMMAND [OPTIONS]\n",
     "read the text of pictures and PDF files (the default command)",
     "Reads the text of pictures and PDF files with a model of the GLM-OCR family. The text goes to\n"
     "standard output, several texts separated by a form feed; everything else goes to standard error.\n"
     "FILE is a PNG, JPEG, WebP, TIFF, GIF, BMP or PNM picture (HEIC and AVIF where built in) or a PDF\n"
     "file, detected from its content, or - for standard input. TIFF and PDF files are read page by\n"
     "page, from pictures of the pages. A bad picture or page does not stop the others.\n"
     "A file that is named like a command needs its folder: ./read\n",
     "  glm-ocr page.png                              the text on standard output\n"
     "  glm-ocr --pages 1,3-5 paper.pdf               pages of a document\n"
     "  glm-ocr --task table table.png                HTML of a table\n"
     "  glm-ocr -o texts/ scans/*.jpg                 one file per picture: texts/NAME.jpg.text\n"
     "  glm-ocr --format jsonl *.png | jq -r .text    one JSON object per line, in input order\n"
     "  find . -name '*.png' -print0 | glm-ocr --files-from - -0\n"
     "  glm-ocr --task extract --schema invoice.json invoice.png\n"
     "  glm-ocr --model zai-org/GLM-OCR page.png      a model in the Hugging Face cache\n"},
    {"parse", "glm-ocr parse [OPTIONS] INPUT...\n", "documents to Markdown, JSON, HTML, searchable PDF, ...",
     "Finds the regions of each page (text, titles, tables, formulas, pictures), reads them and writes the\n"
     "document in reading order. INPUT is a picture, a PDF or TIFF file, a folder with such files, or - for\n"
     "standard input. A bad page does not stop the others: exit code 0 if all pages were read, 1 if some\n"
     "were not, 3 if none was.\n",
     "  glm-ocr parse paper.pdf > paper.md\n"
     "  glm-ocr parse -f md,json,pdf -o out/ scans/     out/NAME.md and so on, with the same sub-folders\n"
     "  glm-ocr parse -o out/ --resume scans/           go on after an interruption\n"
     "  glm-ocr parse -o out/ --shard 0/8 archive/      one of eight machines\n"
     "  glm-ocr parse --compat sdk -f md,json -o out/ paper.pdf    the official SDK's files\n"},
    {"forward", "glm-ocr forward [OPTIONS] --image FILE\n",
     "one forward pass: the logits of the last position",
     "Runs the model once over the pictures and the prompt, without decoding, and prints the\n"
     "logits of the last position, to compare implementations.\n",
     "  glm-ocr forward --image page.png --top 5 --json\n"
     "  glm-ocr forward --image page.png --dtype fp32 --dump tensors/\n"},
    {"info", "glm-ocr info [OPTIONS]\n", "what a model consists of and the memory it needs",
     "Loads a model and prints its configuration, its tensors by group, the check of its tokenizer\n"
     "and the memory plan: what --memory is divided into, and the largest picture that fits.\n",
     "  glm-ocr info --model zai-org/GLM-OCR\n"
     "  glm-ocr info --json | jq .memory\n"},
    {"tokenize", "glm-ocr tokenize [OPTIONS] TEXT\n       glm-ocr tokenize [OPTIONS] --decode ID...\n",
     "the token ids of a text, and back",
     "Prints the tokens of TEXT (- for standard input), one per line: id and spelling.\n",
     "  glm-ocr tokenize --ids 'Text Recognition:'\n"
     "  glm-ocr tokenize --decode 12 345 6\n"},
    {"selftest", "glm-ocr selftest [OPTIONS]\n", "check that this machine computes correctly",
     "Compares every operation of a device, and one forward pass of a model, with their definition\n"
     "in plain loops. Prints one line per check; the exit code is 0 if all passed, else 1.\n",
     "  glm-ocr selftest --device cpu:avx2\n"},
    {"bench", "glm-ocr bench [OPTIONS]\n", "how fast this machine is, and how near to its limits",
     "Measures vision, prefill and decoding apart from each other, over pictures, prompts, numbers of\n"
     "sequences and contexts, and prints each as a share of what the machine can do: of its arithmetic\n"
     "and of reading memory, both measured in the same run.\n",
     "  glm-ocr bench                                  the embedded model\n"
     "  glm-ocr bench --synthetic -t 1                 the published sizes, random weights, no file\n"
     "  glm-ocr bench --synthetic --pictures 560x560 --prompts none --sequences none --json\n"
     "  glm-ocr bench --synthetic --device cuda:0 --sequences 1,8,32 --contexts 500\n"},
    {"quantize", "glm-ocr quantize IN OUT\n", "a snapshot with weights in eight bits",
     "Writes a snapshot whose matrices are whole numbers of eight bits with a scale per output\n"
     "(safetensors with the names of compressed-tensors). It is loaded like any other; results are\n"
     "those of --quantize int8.\n",
     "  glm-ocr quantize zai-org/GLM-OCR glm-ocr-int8\n"
     "  glm-ocr --model glm-ocr-int8 page.png\n"},
    {"layout", "glm-ocr layout [OPTIONS] PAGE...\n", "the regions of pages, in reading order",
     "Finds text, titles, tables, formulas, pictures and so on with a layout model of the\n"
     "PP-DocLayoutV3 family, and prints for each page one JSON object: file, width, height and regions\n"
     "(order, label, score, box and polygon, in pixels of the page). A bad page does not stop the others.\n",
     "  glm-ocr layout page.png | jq -r '.regions[].label'\n"
     "  glm-ocr layout --format png -o page.layout.png page.png    the page with its regions drawn\n"
     "  glm-ocr layout --layout-model PaddlePaddle/PP-DocLayoutV3_safetensors paper.pdf\n"},
};

}  // namespace

const CommandHelp& command_help(const std::string& name) {
  for (const CommandHelp& command : kCommands) {
    if (command.name == name) return command;
  }
  fail(ErrorCode::internal, cat("no help for the command ", name));
}

std::string command_list() {
  std::ostringstream out;
  for (const CommandHelp& command : kCommands) {
    out << "  " << std::left << std::setw(28) << command.name << command.summary << '\n';
  }
  return out.str();
}

std::string exit_code_help() {
  std::ostringstream out;
  for (const ExitCodeMeaning& code : exit_code_meanings()) {
    out << "  " << std::left << std::setw(5) << int{code.code} << code.meaning << '\n';
  }
  return out.str();
}

const char* environment_help() {
  return "  GLMOCR_MODEL    the model to use without --model\n"
         "  GLMOCR_LAYOUT_MODEL\n"
         "                  the layout model to use without --layout-model\n"
         "  GLMOCR_CPU_ISA  the instruction set of --device cpu, instead of the best\n"
         "  GLMOCR_PDF_WORKER, GLMOCR_PDFIUM\n"
         "                  the program glm-ocr-pdf and the library that renders PDF files\n"
         "                  (default: beside this program)\n"
         "  HF_HUB_CACHE, HF_HOME\n"
         "                  where hub names such as zai-org/GLM-OCR are looked up\n"
         "                  (default ~/.cache/huggingface/hub)\n"
         "  NO_COLOR        no colours on standard error\n";
}

}  // namespace glmocr::cli
