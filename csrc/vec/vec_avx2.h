/* AVX2 and FMA: x86-64-v3. */
#undef V_LANES
#undef X86
#if PNNG_F64_PASS
#define V_LANES 4
#define X86(op) _mm256_##op##_pd
typedef __m256d v_t;
typedef __m256d m_t;
#else
#define V_LANES 8
#define X86(op) _mm256_##op##_ps
typedef __m256 v_t;
typedef __m256 m_t;
#endif

#undef V_REGISTERS
#undef V_FUSED
#define V_REGISTERS 16
#define V_FUSED 1

#if PNNG_F64_PASS
#define V_TO_INT _mm256_castpd_si256
#define V_FROM_INT _mm256_castsi256_pd
#define V_SHIFT_UP(x) _mm256_slli_epi64(x, 52)
#define V_SHIFT_DOWN(x) _mm256_srli_epi64(x, 52)
#define V_FIRST(n)                                                                                 \
    _mm256_cmpgt_epi64(_mm256_set1_epi64x((long long)(n)), _mm256_setr_epi64x(0, 1, 2, 3))
#define V_ADD_INT _mm256_add_epi64
#define V_WHOLE 0x1p52
#define V_BIAS 1023
#else
#define V_TO_INT _mm256_castps_si256
#define V_FROM_INT _mm256_castsi256_ps
#define V_SHIFT_UP(x) _mm256_slli_epi32(x, 23)
#define V_SHIFT_DOWN(x) _mm256_srli_epi32(x, 23)
#define V_FIRST(n)                                                                                 \
    _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))
#define V_ADD_INT _mm256_add_epi32
#define V_WHOLE 0x1p23f
#define V_BIAS 127
#endif

typedef __m256i u_t;
static inline u_t u_set1(uint64_t x) { return _mm256_set1_epi64x((long long)x); }
static inline u_t u_load(const uint64_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void u_store(uint32_t *p, u_t x) { _mm256_storeu_si256((__m256i *)p, x); }
static inline u_t u_add(u_t a, u_t b) { return _mm256_add_epi64(a, b); }
static inline u_t u_xor(u_t a, u_t b) { return _mm256_xor_si256(a, b); }
static inline u_t u_mul(u_t a, u_t b) { return _mm256_mul_epu32(a, b); }
static inline u_t u_high(u_t x) { return _mm256_srli_epi64(x, 32); }
static inline u_t u_join(u_t a, u_t b) {
    return _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xaa);
}

static inline v_t v_zero(void) { return X86(setzero)(); }
static inline v_t v_set1(real x) { return X86(set1)(x); }
static inline v_t v_load(const real *p) { return X86(loadu)(p); }
static inline v_t v_load_n(const real *p, size_t n) { return X86(maskload)(p, V_FIRST(n)); }
static inline void v_store(real *p, v_t x) { X86(storeu)(p, x); }
static inline void v_stream(real *p, v_t x) { X86(stream)(p, x); }
static inline void v_stream_end(void) { _mm_sfence(); }

/* By halves: a masked store takes AMD's CPUs 12 cycles or more. */
#if PNNG_F64_PASS
static inline void v_store_n(real *p, v_t x, size_t n) {
    __m128d rest = _mm256_castpd256_pd128(x);
    if (n & 2) {
        _mm_storeu_pd(p, rest);
        rest = _mm256_extractf128_pd(x, 1);
    }
    if (n & 1)
        _mm_store_sd(p + (n & 2), rest);
}
#else
static inline void v_store_n(real *p, v_t x, size_t n) {
    __m128 rest = _mm256_castps256_ps128(x);
    if (n & 4) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(x, 1);
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(p + (n & 4)), rest);
        rest = _mm_movehl_ps(rest, rest);
    }
    if (n & 1)
        _mm_store_ss(p + (n & 6), rest);
}
#endif

static inline v_t v_add(v_t a, v_t b) { return X86(add)(a, b); }
static inline v_t v_sub(v_t a, v_t b) { return X86(sub)(a, b); }
static inline v_t v_mul(v_t a, v_t b) { return X86(mul)(a, b); }
static inline v_t v_div(v_t a, v_t b) { return X86(div)(a, b); }
static inline v_t v_fma(v_t a, v_t b, v_t c) { return X86(fmadd)(a, b, c); }
static inline v_t v_fnma(v_t a, v_t b, v_t c) { return X86(fnmadd)(a, b, c); }
static inline v_t v_sqrt(v_t x) { return X86(sqrt)(x); }
static inline v_t v_min(v_t a, v_t b) { return X86(min)(a, b); }
static inline v_t v_max(v_t a, v_t b) { return X86(max)(a, b); }

static inline v_t v_neg(v_t x) { return X86(xor)(x, v_set1((real)-0.0)); }
static inline v_t v_abs(v_t x) { return X86(andnot)(v_set1((real)-0.0), x); }
static inline v_t v_copysign(v_t x, v_t sign) {
    const v_t top = v_set1((real)-0.0);
    return X86(or)(X86(andnot)(top, x), X86 (and)(top, sign));
}
static inline v_t v_round(v_t x) {
    return X86(round)(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline m_t v_lt(v_t a, v_t b) { return X86(cmp)(a, b, _CMP_LT_OQ); }
static inline m_t v_le(v_t a, v_t b) { return X86(cmp)(a, b, _CMP_LE_OQ); }
static inline m_t v_eq(v_t a, v_t b) { return X86(cmp)(a, b, _CMP_EQ_OQ); }
static inline v_t v_select(m_t m, v_t a, v_t b) { return X86(blendv)(b, a, m); }
/* Comparisons are signed: both sides are moved by half of the range. */
static inline m_t m_below(const uint32_t *p, uint32_t limit) {
    const int32_t most = (int32_t)(limit ^ UINT32_C(0x80000000));
#if PNNG_F64_PASS
    const __m128i four = _mm_loadu_si128((const __m128i *)p);
    const __m128i moved = _mm_xor_si128(four, _mm_set1_epi32(INT32_MIN));
    return V_FROM_INT(_mm256_cvtepi32_epi64(_mm_cmplt_epi32(moved, _mm_set1_epi32(most))));
#else
    const __m256i eight = _mm256_loadu_si256((const __m256i *)p);
    const __m256i moved = _mm256_xor_si256(eight, _mm256_set1_epi32(INT32_MIN));
    return V_FROM_INT(_mm256_cmpgt_epi32(_mm256_set1_epi32(most), moved));
#endif
}
static inline m_t m_first(size_t n) { return V_FROM_INT(V_FIRST(n)); }
static inline m_t m_and(m_t a, m_t b) { return X86 (and)(a, b); }
static inline m_t m_or(m_t a, m_t b) { return X86(or)(a, b); }
static inline m_t m_not(m_t a) { return X86(andnot)(a, v_eq(v_zero(), v_zero())); }

/* The sum has n + bias in its last bits; the shift moves them to where the exponent is. */
static inline v_t v_pow2i(v_t n) {
    const v_t magic = v_set1((real)1.5 * V_WHOLE + V_BIAS);
    return V_FROM_INT(V_SHIFT_UP(V_TO_INT(v_add(n, magic))));
}
static inline v_t v_ldexp(v_t x, v_t n) {
    const v_t half = v_round(v_mul(n, v_set1((real)0.5)));
    return v_mul(v_mul(x, v_pow2i(half)), v_pow2i(v_sub(n, half)));
}
static inline v_t v_bits_add(v_t a, v_t b) {
    return V_FROM_INT(V_ADD_INT(V_TO_INT(a), V_TO_INT(b)));
}
static inline v_t v_bits_and(v_t a, v_t b) { return X86 (and)(a, b); }
/* The other way round: the exponent under the bits of 2^(digits - 1) is that plus the exponent. */
static inline v_t v_bits_exponent(v_t x) {
    return X86(or)(V_FROM_INT(V_SHIFT_DOWN(V_TO_INT(x))), v_set1(V_WHOLE));
}
#include "frexp.inc"

#undef V_TO_INT
#undef V_FROM_INT
#undef V_SHIFT_UP
#undef V_SHIFT_DOWN
#undef V_FIRST
#undef V_ADD_INT
#undef V_WHOLE
#undef V_BIAS

#if PNNG_F64_PASS
static inline real v_hsum(v_t x) {
    const __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_add_pd(pair, _mm_unpackhi_pd(pair, pair)));
}
static inline real v_hmax(v_t x) {
    const __m128d pair = _mm_max_pd(_mm256_castpd256_pd128(x), _mm256_extractf128_pd(x, 1));
    return _mm_cvtsd_f64(_mm_max_pd(pair, _mm_unpackhi_pd(pair, pair)));
}
#else
static inline real v_hsum(v_t x) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 pair = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ps(pair, _mm_shuffle_ps(pair, pair, 1)));
}
static inline real v_hmax(v_t x) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    const __m128 pair = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ps(pair, _mm_shuffle_ps(pair, pair, 1)));
}
#endif

/* Within the halves, then the four pairs of 64 bits in order. */
#if PNNG_F64_PASS
static inline v_t v_evens(v_t a, v_t b) {
    return _mm256_permute4x64_pd(_mm256_unpacklo_pd(a, b), 0xd8);
}
static inline v_t v_odds(v_t a, v_t b) {
    return _mm256_permute4x64_pd(_mm256_unpackhi_pd(a, b), 0xd8);
}
#else
static inline v_t v_pairs(v_t x) {
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xd8));
}
static inline v_t v_evens(v_t a, v_t b) { return v_pairs(_mm256_shuffle_ps(a, b, 0x88)); }
static inline v_t v_odds(v_t a, v_t b) { return v_pairs(_mm256_shuffle_ps(a, b, 0xdd)); }
#endif

static inline v_t v_zip_low(v_t a, v_t b) {
    return X86(permute2f128)(X86(unpacklo)(a, b), X86(unpackhi)(a, b), 0x20);
}
static inline v_t v_zip_high(v_t a, v_t b) {
    return X86(permute2f128)(X86(unpacklo)(a, b), X86(unpackhi)(a, b), 0x31);
}

/* Halves are folded as v_hsum folds them, those of two vectors at once. */
static inline v_t v_fold_halves(v_t a, v_t b) {
    return v_add(X86(permute2f128)(a, b, 0x20), X86(permute2f128)(a, b, 0x31));
}
#if PNNG_F64_PASS
static inline v_t v_hsums(const v_t rows[V_LANES]) {
    const v_t a = v_fold_halves(rows[0], rows[2]), b = v_fold_halves(rows[1], rows[3]);
    return v_add(_mm256_unpacklo_pd(a, b), _mm256_unpackhi_pd(a, b));
}
#else
static inline v_t v_fold_fours(v_t a, v_t b) {
    return v_add(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
}
static inline v_t v_hsums(const v_t rows[V_LANES]) {
    const v_t a = v_fold_fours(v_fold_halves(rows[0], rows[4]), v_fold_halves(rows[1], rows[5]));
    const v_t b = v_fold_fours(v_fold_halves(rows[2], rows[6]), v_fold_halves(rows[3], rows[7]));
    return v_add(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd));
}
#endif

/* First within the 128-bit halves, then the halves: afterwards half h of t[g * w + i] holds column
 * h * w + i of rows g * w ... , w being the elements of a half. */
static inline void v_transpose(v_t rows[V_LANES]) {
    enum { W = V_LANES / 2 };
    v_t t[V_LANES];
    PNNG_UNROLL(4)
    for (int g = 0; g < V_LANES; g += W) {
#if PNNG_F64_PASS
        t[g] = _mm256_unpacklo_pd(rows[g], rows[g + 1]);
        t[g + 1] = _mm256_unpackhi_pd(rows[g], rows[g + 1]);
#else
        const v_t a = _mm256_unpacklo_ps(rows[g], rows[g + 1]);
        const v_t b = _mm256_unpackhi_ps(rows[g], rows[g + 1]);
        const v_t c = _mm256_unpacklo_ps(rows[g + 2], rows[g + 3]);
        const v_t d = _mm256_unpackhi_ps(rows[g + 2], rows[g + 3]);
        t[g] = _mm256_shuffle_ps(a, c, 0x44);
        t[g + 1] = _mm256_shuffle_ps(a, c, 0xee);
        t[g + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[g + 3] = _mm256_shuffle_ps(b, d, 0xee);
#endif
    }
    PNNG_UNROLL(4)
    for (int i = 0; i < W; i++) {
        rows[i] = X86(permute2f128)(t[i], t[W + i], 0x20);
        rows[W + i] = X86(permute2f128)(t[i], t[W + i], 0x31);
    }
}
