// SPDX-License-Identifier: Apache-2.0
#include "tensor/tensor.h"

#include <gtest/gtest.h>

#include <vector>

#include "tensor/buffer.h"
#include "tensor/weight.h"

namespace glmocr {
namespace {

std::vector<float> memory(1000);
Tensor tensor(const Shape& shape) { return Tensor(memory.data(), shape, DType::f32); }

TEST(Shape, EqualityTextAndSize) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_FALSE((Shape{2, 3}) == (Shape{2, 3, 1}));
  EXPECT_EQ(to_string(Shape{2, 3, 4}), "[2, 3, 4]");
  EXPECT_EQ(to_string(Shape{}), "[]");
  EXPECT_EQ((Shape{2, 3, 4}.numel()), 24);
  EXPECT_EQ(Shape{}.numel(), 1);
  EXPECT_EQ((Shape{5, 0}.numel()), 0);
  EXPECT_EQ((Shape{2, 3, 4}[-1]), 4);
  EXPECT_THROW((Shape{1, 1, 1, 1, 1, 1}), Error);
}

TEST(Tensor, ContiguousStrides) {
  const Tensor t = tensor({2, 3, 4});
  EXPECT_EQ(to_string(t.strides), "[12, 4, 1]");
  EXPECT_TRUE(t.is_contiguous());
  EXPECT_EQ(t.rows(), 6);
  EXPECT_EQ(t.columns(), 4);
  EXPECT_EQ(t.row_stride(), 4);
  EXPECT_EQ(t.bytes(), 96);
  EXPECT_FALSE(Tensor());
  EXPECT_TRUE(t);
}

TEST(Tensor, SlicesShareMemory) {
  const Tensor t = tensor({4, 10});
  const Tensor columns = t.slice(1, 3, 7);
  EXPECT_EQ(columns.data, memory.data() + 3);
  EXPECT_EQ(to_string(columns.shape), "[4, 4]");
  EXPECT_EQ(columns.row_stride(), 10);
  EXPECT_FALSE(columns.is_contiguous());
  const Tensor rows = t.slice(0, 1, 3);
  EXPECT_EQ(rows.data, memory.data() + 10);
  EXPECT_TRUE(rows.is_contiguous());
  EXPECT_EQ(columns.slice(0, 2, 4).data, memory.data() + 23);
  EXPECT_TRUE(t.slice(1, 3, 7).slice(0, 2, 3).is_contiguous());  // one row has no distance to the next
  EXPECT_EQ(t.slice(0, 2, 2).rows(), 0);
  EXPECT_THROW(t.slice(1, 5, 11), Error);
  EXPECT_THROW(t.slice(0, 3, 2), Error);
}

TEST(Tensor, RowsOfAPartFoldWhereTheyCan) {
  const Tensor qkv = tensor({5, 6, 8});
  EXPECT_EQ(qkv.slice(2, 0, 4).row_stride(), 8);
  EXPECT_THROW(qkv.slice(1, 2, 4).row_stride(), Error);  // heads of a token at 8, tokens at 48: two distances
  EXPECT_EQ(qkv.slice(1, 2, 3).row_stride(), 48);
  EXPECT_EQ(tensor({1, 1, 7}).row_stride(), 7);
}

TEST(Tensor, ReshapeKeepsTheNumbers) {
  const Tensor t = tensor({4, 6});
  EXPECT_EQ(to_string(t.reshape({2, 2, 6}).strides), "[12, 6, 1]");
  EXPECT_THROW(t.reshape({5, 5}), Error);
  EXPECT_THROW(t.slice(1, 0, 3).reshape({12}), Error);
}

TEST(Tensor, TypedPointersMustFit) {
  EXPECT_EQ(tensor({3}).as<float>(), memory.data());
  EXPECT_THROW(tensor({3}).as<bf16>(), Error);
}

TEST(Buffer, ViewsAreChecked) {
  int deleted = 0;
  {
    Buffer buffer(std::shared_ptr<void>(memory.data(), [&](void*) { ++deleted; }), 64, nullptr);
    EXPECT_EQ(buffer.view({4, 2}, DType::f32, 32).data, memory.data() + 8);
    EXPECT_THROW(buffer.view({4, 2}, DType::f32, 36), Error);
    const Buffer moved = std::move(buffer);
    EXPECT_TRUE(moved);
    EXPECT_EQ(deleted, 0);
  }
  EXPECT_EQ(deleted, 1);
}

}  // namespace
}  // namespace glmocr
