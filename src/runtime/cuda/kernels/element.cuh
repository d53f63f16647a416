// What numbers are stored in: FLOAT = 1: float32; else BFLOAT says which 16 bits. Sums are float32 everywhere.
#pragma once
#include "ptx.cuh"

#if FLOAT
typedef float Element;
DEVICE float value_of(Element x) { return x; }
DEVICE Element element_of(float x) { return x; }
#elif BFLOAT
typedef u16 Element;
DEVICE float value_of(Element x) { return from_bfloat(x); }
DEVICE Element element_of(float x) { return to_bfloat(x); }
#else
typedef u16 Element;
DEVICE float value_of(Element x) { return from_half(x); }
DEVICE Element element_of(float x) { return to_half(x); }
#endif

// Two neighbours in 32 bits, and a product of tensor cores on 16 bits.
#if BFLOAT
#define MMA mma_bfloat
DEVICE u32 pack2(float low, float high) { return to_bfloat2(low, high); }
DEVICE float low_of(u32 pair) { return from_bfloat((u16)pair); }
DEVICE float high_of(u32 pair) { return from_bfloat((u16)(pair >> 16)); }
#else
#define MMA mma_half
DEVICE u32 pack2(float low, float high) { return to_half2(low, high); }
DEVICE float low_of(u32 pair) { return from_half((u16)pair); }
DEVICE float high_of(u32 pair) { return from_half((u16)(pair >> 16)); }
#endif
