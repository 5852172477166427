/* AVX-512 F, DQ, BW and VL: x86-64-v4. */
#undef V_LANES
#undef X86
#undef V_TO_INT
#undef V_FROM_INT
#undef V_CHOOSE
#if PNNG_F64_PASS
#define V_LANES 8
#define X86(op) _mm512_##op##_pd
#define V_TO_INT _mm512_castpd_si512
#define V_FROM_INT _mm512_castsi512_pd
#define V_CHOOSE _mm512_ternarylogic_epi64
typedef __m512d v_t;
typedef __mmask8 m_t;
#else
#define V_LANES 16
#define X86(op) _mm512_##op##_ps
#define V_TO_INT _mm512_castps_si512
#define V_FROM_INT _mm512_castsi512_ps
#define V_CHOOSE _mm512_ternarylogic_epi32
typedef __m512 v_t;
typedef __mmask16 m_t;
#endif

#undef V_REGISTERS
#undef V_FUSED
#define V_REGISTERS 32
#define V_FUSED 1

static inline m_t m_below(const uint32_t *p, uint32_t limit) {
#if PNNG_F64_PASS
    const __m256i eight = _mm256_loadu_si256((const __m256i *)p);
    return _mm512_cmplt_epu64_mask(_mm512_cvtepu32_epi64(eight), _mm512_set1_epi64(limit));
#else
    return _mm512_cmplt_epu32_mask(_mm512_loadu_si512(p), _mm512_set1_epi32((int32_t)limit));
#endif
}
static inline m_t m_first(size_t n) { return (m_t)((1u << n) - 1u); }
static inline m_t m_and(m_t a, m_t b) { return a & b; }
static inline m_t m_or(m_t a, m_t b) { return a | b; }
static inline m_t m_not(m_t a) { return (m_t)~a; }

typedef __m512i u_t;
static inline u_t u_set1(uint64_t x) { return _mm512_set1_epi64((long long)x); }
static inline u_t u_load(const uint64_t *p) { return _mm512_loadu_si512(p); }
static inline void u_store(uint32_t *p, u_t x) { _mm512_storeu_si512(p, x); }
static inline u_t u_add(u_t a, u_t b) { return _mm512_add_epi64(a, b); }
static inline u_t u_xor(u_t a, u_t b) { return _mm512_xor_si512(a, b); }
static inline u_t u_mul(u_t a, u_t b) { return _mm512_mul_epu32(a, b); }
static inline u_t u_high(u_t x) { return _mm512_srli_epi64(x, 32); }
static inline u_t u_join(u_t a, u_t b) {
    return _mm512_mask_shuffle_epi32(a, 0xaaaa, b, _MM_PERM_CCAA);
}

static inline v_t v_zero(void) { return X86(setzero)(); }
static inline v_t v_set1(real x) { return X86(set1)(x); }
static inline v_t v_load(const real *p) { return X86(loadu)(p); }
static inline v_t v_load_n(const real *p, size_t n) { return X86(maskz_loadu)(m_first(n), p); }
static inline void v_store(real *p, v_t x) { X86(storeu)(p, x); }
static inline void v_stream(real *p, v_t x) { X86(stream)(p, x); }
static inline void v_stream_end(void) { _mm_sfence(); }
static inline void v_store_n(real *p, v_t x, size_t n) { X86(mask_storeu)(p, m_first(n), x); }

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
static inline v_t v_copysign(v_t x, v_t sign) { /* bit by bit: where top, sign, else x */
    const v_t top = v_set1((real)-0.0);
    return V_FROM_INT(V_CHOOSE(V_TO_INT(top), V_TO_INT(sign), V_TO_INT(x), 0xca));
}
static inline v_t v_round(v_t x) {
    return X86(roundscale)(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline v_t v_select(m_t m, v_t a, v_t b) { return X86(mask_blend)(m, b, a); }
#if PNNG_F64_PASS
static inline m_t v_lt(v_t a, v_t b) { return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ); }
static inline m_t v_le(v_t a, v_t b) { return _mm512_cmp_pd_mask(a, b, _CMP_LE_OQ); }
static inline m_t v_eq(v_t a, v_t b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
#else
static inline m_t v_lt(v_t a, v_t b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
static inline m_t v_le(v_t a, v_t b) { return _mm512_cmp_ps_mask(a, b, _CMP_LE_OQ); }
static inline m_t v_eq(v_t a, v_t b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
#endif

static inline v_t v_ldexp(v_t x, v_t n) { return X86(scalef)(x, n); }
static inline v_t v_pow2i(v_t n) { return X86(scalef)(v_set1(1), n); }
static inline v_t v_frexp(v_t x, v_t *e) { /* two signs: -0 is a 0, what is less has no mantissa */
    const v_t m = X86(getmant)(x, _MM_MANT_NORM_p75_1p5,
                               (_MM_MANTISSA_SIGN_ENUM)(_MM_MANT_SIGN_zero | _MM_MANT_SIGN_nan));
    *e = v_sub(X86(getexp)(x), X86(getexp)(m));
    return m;
}

#if PNNG_F64_PASS
#define V_LOW(x) _mm512_castpd512_pd256(x)
#define V_HIGH(x) _mm512_extractf64x4_pd(x, 1)
static inline real v_hsum(v_t x) {
    const __m256d four = _mm256_add_pd(V_LOW(x), V_HIGH(x));
    const __m128d pair = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_pd(pair, _mm_unpackhi_pd(pair, pair)));
}
static inline real v_hmax(v_t x) {
    const __m256d four = _mm256_max_pd(V_LOW(x), V_HIGH(x));
    const __m128d pair = _mm_max_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_max_pd(pair, _mm_unpackhi_pd(pair, pair)));
}
#else
#define V_LOW(x) _mm512_castps512_ps256(x)
#define V_HIGH(x) _mm512_extractf32x8_ps(x, 1)
static inline real v_hsum(v_t x) {
    const __m256 eight = _mm256_add_ps(V_LOW(x), V_HIGH(x));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 pair = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ps(pair, _mm_shuffle_ps(pair, pair, 1)));
}
static inline real v_hmax(v_t x) {
    const __m256 eight = _mm256_max_ps(V_LOW(x), V_HIGH(x));
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 pair = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ps(pair, _mm_shuffle_ps(pair, pair, 1)));
}
#endif
#undef V_LOW
#undef V_HIGH

#if PNNG_F64_PASS
static inline v_t v_evens(v_t a, v_t b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14), b);
}
static inline v_t v_odds(v_t a, v_t b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15), b);
}
static inline v_t v_zip_low(v_t a, v_t b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b);
}
static inline v_t v_zip_high(v_t a, v_t b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b);
}
#else
static inline v_t v_evens(v_t a, v_t b) {
    const __m512i place =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_permutex2var_ps(a, place, b);
}
static inline v_t v_odds(v_t a, v_t b) {
    const __m512i place =
        _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    return _mm512_permutex2var_ps(a, place, b);
}
static inline v_t v_zip_low(v_t a, v_t b) {
    const __m512i place = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    return _mm512_permutex2var_ps(a, place, b);
}
static inline v_t v_zip_high(v_t a, v_t b) {
    const __m512i place =
        _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    return _mm512_permutex2var_ps(a, place, b);
}
#endif

/* Halves are folded as v_hsum folds them, but those of two vectors at once: quarter q of what
 * becomes of four vectors belongs to the q-th of them. */
#define V_FOLD(fold, a, b, low, high) v_add(fold(a, b, low), fold(a, b, high))
#if PNNG_F64_PASS
static inline v_t v_fold_fours(v_t a, v_t b, v_t c, v_t d) {
    const v_t ab = V_FOLD(_mm512_shuffle_f64x2, a, b, 0x44, 0xee);
    const v_t cd = V_FOLD(_mm512_shuffle_f64x2, c, d, 0x44, 0xee);
    return V_FOLD(_mm512_shuffle_f64x2, ab, cd, 0x88, 0xdd);
}
static inline v_t v_hsums(const v_t rows[V_LANES]) {
    const v_t even = v_fold_fours(rows[0], rows[2], rows[4], rows[6]);
    const v_t odd = v_fold_fours(rows[1], rows[3], rows[5], rows[7]);
    return V_FOLD(_mm512_shuffle_pd, even, odd, 0x00, 0xff);
}
#else
static inline v_t v_fold_fours(v_t a, v_t b, v_t c, v_t d) {
    const v_t ab = V_FOLD(_mm512_shuffle_f32x4, a, b, 0x44, 0xee);
    const v_t cd = V_FOLD(_mm512_shuffle_f32x4, c, d, 0x44, 0xee);
    return V_FOLD(_mm512_shuffle_f32x4, ab, cd, 0x88, 0xdd);
}
static inline v_t v_hsums(const v_t rows[V_LANES]) {
    const v_t a = v_fold_fours(rows[0], rows[4], rows[8], rows[12]);
    const v_t b = v_fold_fours(rows[1], rows[5], rows[9], rows[13]);
    const v_t c = v_fold_fours(rows[2], rows[6], rows[10], rows[14]);
    const v_t d = v_fold_fours(rows[3], rows[7], rows[11], rows[15]);
    const v_t ab = V_FOLD(_mm512_shuffle_ps, a, b, 0x44, 0xee);
    const v_t cd = V_FOLD(_mm512_shuffle_ps, c, d, 0x44, 0xee);
    return V_FOLD(_mm512_shuffle_ps, ab, cd, 0x88, 0xdd);
}
#endif
#undef V_FOLD

/* First within the 128-bit quarters, then the quarters: in between, quarter l of t[g * w + i] holds
 * column l * w + i of rows g * w ... , w being the elements of a quarter. */
static inline void v_transpose(v_t rows[V_LANES]) {
    enum { W = V_LANES / 4 };
    v_t t[V_LANES];
    PNNG_UNROLL(4)
    for (int g = 0; g < V_LANES; g += W) {
#if PNNG_F64_PASS
        t[g] = _mm512_unpacklo_pd(rows[g], rows[g + 1]);
        t[g + 1] = _mm512_unpackhi_pd(rows[g], rows[g + 1]);
#define V_QUARTERS _mm512_shuffle_f64x2
#else
        const v_t a = _mm512_unpacklo_ps(rows[g], rows[g + 1]);
        const v_t b = _mm512_unpackhi_ps(rows[g], rows[g + 1]);
        const v_t c = _mm512_unpacklo_ps(rows[g + 2], rows[g + 3]);
        const v_t d = _mm512_unpackhi_ps(rows[g + 2], rows[g + 3]);
        t[g] = _mm512_shuffle_ps(a, c, 0x44);
        t[g + 1] = _mm512_shuffle_ps(a, c, 0xee);
        t[g + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[g + 3] = _mm512_shuffle_ps(b, d, 0xee);
#define V_QUARTERS _mm512_shuffle_f32x4
#endif
    }
    PNNG_UNROLL(4)
    for (int i = 0; i < W; i++) {
        const v_t even = V_QUARTERS(t[i], t[W + i], 0x88);
        const v_t odd = V_QUARTERS(t[i], t[W + i], 0xdd);
        const v_t even_2 = V_QUARTERS(t[2 * W + i], t[3 * W + i], 0x88);
        const v_t odd_2 = V_QUARTERS(t[2 * W + i], t[3 * W + i], 0xdd);
        rows[i] = V_QUARTERS(even, even_2, 0x88);
        rows[W + i] = V_QUARTERS(odd, odd_2, 0x88);
        rows[2 * W + i] = V_QUARTERS(even, even_2, 0xdd);
        rows[3 * W + i] = V_QUARTERS(odd, odd_2, 0xdd);
    }
#undef V_QUARTERS
}
