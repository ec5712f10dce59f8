// SPDX-License-Identifier: Apache-2.0
// The whole public interface.
#pragma once
#include "glmocr/bench.h"
#include "glmocr/document.h"
#include "glmocr/engine.h"
#include "glmocr/error.h"
#include "glmocr/export.h"
#include "glmocr/image.h"
#include "glmocr/layout.h"
#include "glmocr/log.h"
#include "glmocr/model.h"
#include "glmocr/quantize.h"
#include "glmocr/region.h"
#include "glmocr/selftest.h"
#include "glmocr/types.h"
