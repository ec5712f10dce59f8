// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "glmocr/image.h"  // the public type serves inside too
