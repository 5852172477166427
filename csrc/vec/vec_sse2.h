/* SSE2 and nothing newer: what every x86-64 has. */
#undef V_LANES
#undef X86
#if PNNG_F64_PASS
#define V_LANES 2
#define X86(op) _mm_##op##_pd
typedef __m128d v_t;
typedef __m128d m_t;
#else
#define V_LANES 4
#define X86(op) _mm_##op##_ps
typedef __m128 v_t;
typedef __m128 m_t;
#endif

#undef V_REGISTERS
#undef V_FUSED
#define V_REGISTERS 16
#define V_FUSED 0

typedef __m128i u_t;
static inline u_t u_set1(uint64_t x) { return _mm_set1_epi64x((long long)x); }
static inline u_t u_load(const uint64_t *p) { return _mm_loadu_si128((const __m128i *)p); }
static inline void u_store(uint32_t *p, u_t x) { _mm_storeu_si128((__m128i *)p, x); }
static inline u_t u_add(u_t a, u_t b) { return _mm_add_epi64(a, b); }
static inline u_t u_xor(u_t a, u_t b) { return _mm_xor_si128(a, b); }
static inline u_t u_mul(u_t a, u_t b) { return _mm_mul_epu32(a, b); }
static inline u_t u_high(u_t x) { return _mm_srli_epi64(x, 32); }
static inline u_t u_join(u_t a, u_t b) {
    return _mm_or_si128(_mm_and_si128(a, u_set1(UINT32_MAX)), _mm_slli_epi64(b, 32));
}

static inline v_t v_zero(void) { return X86(setzero)(); }
static inline v_t v_set1(real x) { return X86(set1)(x); }
static inline v_t v_load(const real *p) { return X86(loadu)(p); }
static inline void v_store(real *p, v_t x) { X86(storeu)(p, x); }
static inline void v_stream(real *p, v_t x) { X86(stream)(p, x); }
static inline void v_stream_end(void) { _mm_sfence(); }

#if PNNG_F64_PASS
static inline v_t v_load_n(const real *p, size_t n) { return n ? _mm_load_sd(p) : v_zero(); }
static inline void v_store_n(real *p, v_t x, size_t n) {
    if (n)
        _mm_store_sd(p, x);
}
#else
static inline v_t v_load_n(const real *p, size_t n) {
    if (n == 1)
        return _mm_load_ss(p);
    const v_t low = _mm_loadl_pi(v_zero(), (const __m64 *)p);
    return n == 2 ? low : _mm_movelh_ps(low, _mm_load_ss(p + 2));
}
static inline void v_store_n(real *p, v_t x, size_t n) {
    if (n == 1) {
        _mm_store_ss(p, x);
        return;
    }
    _mm_storel_pi((__m64 *)p, x);
    if (n == 3)
        _mm_store_ss(p + 2, _mm_movehl_ps(x, x));
}
#endif

static inline v_t v_add(v_t a, v_t b) { return X86(add)(a, b); }
static inline v_t v_sub(v_t a, v_t b) { return X86(sub)(a, b); }
static inline v_t v_mul(v_t a, v_t b) { return X86(mul)(a, b); }
static inline v_t v_div(v_t a, v_t b) { return X86(div)(a, b); }
static inline v_t v_fma(v_t a, v_t b, v_t c) { return v_add(v_mul(a, b), c); }
static inline v_t v_fnma(v_t a, v_t b, v_t c) { return v_sub(c, v_mul(a, b)); }
static inline v_t v_sqrt(v_t x) { return X86(sqrt)(x); }
static inline v_t v_min(v_t a, v_t b) { return X86(min)(a, b); }
static inline v_t v_max(v_t a, v_t b) { return X86(max)(a, b); }

static inline v_t v_neg(v_t x) { return X86(xor)(x, v_set1((real)-0.0)); }
static inline v_t v_abs(v_t x) { return X86(andnot)(v_set1((real)-0.0), x); }
static inline v_t v_copysign(v_t x, v_t sign) {
    const v_t top = v_set1((real)-0.0);
    return X86(or)(X86(andnot)(top, x), X86 (and)(top, sign));
}

static inline m_t v_lt(v_t a, v_t b) { return X86(cmplt)(a, b); }
static inline m_t v_le(v_t a, v_t b) { return X86(cmple)(a, b); }
static inline m_t v_eq(v_t a, v_t b) { return X86(cmpeq)(a, b); }
static inline v_t v_select(m_t m, v_t a, v_t b) {
    return X86(or)(X86 (and)(m, a), X86(andnot)(m, b));
}
/* Comparisons are signed: both sides are moved by half of the range. */
static inline m_t m_below(const uint32_t *p, uint32_t limit) {
    const __m128i top = _mm_set1_epi32(INT32_MIN);
    const __m128i most = _mm_set1_epi32((int32_t)(limit ^ UINT32_C(0x80000000)));
#if PNNG_F64_PASS
    const __m128i two = _mm_loadl_epi64((const __m128i *)p);
    const __m128i m = _mm_cmplt_epi32(_mm_xor_si128(two, top), most);
    return _mm_castsi128_pd(_mm_unpacklo_epi32(m, m));
#else
    const __m128i four = _mm_loadu_si128((const __m128i *)p);
    return _mm_castsi128_ps(_mm_cmplt_epi32(_mm_xor_si128(four, top), most));
#endif
}
static inline m_t m_first(size_t n) {
#if PNNG_F64_PASS
    return v_lt(_mm_setr_pd(0, 1), v_set1((real)n));
#else
    return v_lt(_mm_setr_ps(0, 1, 2, 3), v_set1((real)n));
#endif
}
static inline m_t m_and(m_t a, m_t b) { return X86 (and)(a, b); }
static inline m_t m_or(m_t a, m_t b) { return X86(or)(a, b); }
static inline m_t m_not(m_t a) { return X86(andnot)(a, v_eq(v_zero(), v_zero())); }

#if PNNG_F64_PASS
#define V_TO_INT _mm_castpd_si128
#define V_FROM_INT _mm_castsi128_pd
#define V_SHIFT_UP(x) _mm_slli_epi64(x, 52)
#define V_SHIFT_DOWN(x) _mm_srli_epi64(x, 52)
#define V_ADD_INT _mm_add_epi64
#define V_WHOLE 0x1p52
#define V_BIAS 1023
#else
#define V_TO_INT _mm_castps_si128
#define V_FROM_INT _mm_castsi128_ps
#define V_SHIFT_UP(x) _mm_slli_epi32(x, 23)
#define V_SHIFT_DOWN(x) _mm_srli_epi32(x, 23)
#define V_ADD_INT _mm_add_epi32
#define V_WHOLE 0x1p23f
#define V_BIAS 127
#endif

/* Adding 2^(digits - 1) drops the fraction; the sum is rounded as every sum is. */
static inline v_t v_round(v_t x) {
    const v_t whole = v_set1(V_WHOLE), size = v_abs(x);
    const v_t rounded = v_copysign(v_sub(v_add(size, whole), whole), x);
    return v_select(v_lt(size, whole), rounded, x);
}

/* The sum has n + bias in its last bits; the shift moves them to where the exponent is. */
static inline v_t v_pow2i(v_t n) {
    const v_t magic = v_set1((real)1.5 * V_WHOLE + V_BIAS);
    return V_FROM_INT(V_SHIFT_UP(V_TO_INT(v_add(n, magic))));
}
static inline v_t v_ldexp(v_t x, v_t n) {
    const v_t magic = v_set1((real)1.5 * V_WHOLE);
    const v_t half = v_sub(v_fma(n, v_set1((real)0.5), magic), magic);
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
#undef V_ADD_INT
#undef V_WHOLE
#undef V_BIAS

#if PNNG_F64_PASS
static inline real v_hsum(v_t x) { return _mm_cvtsd_f64(v_add(x, _mm_unpackhi_pd(x, x))); }
static inline real v_hmax(v_t x) { return _mm_cvtsd_f64(v_max(x, _mm_unpackhi_pd(x, x))); }
static inline v_t v_evens(v_t a, v_t b) { return _mm_unpacklo_pd(a, b); }
static inline v_t v_odds(v_t a, v_t b) { return _mm_unpackhi_pd(a, b); }
static inline v_t v_zip_low(v_t a, v_t b) { return _mm_unpacklo_pd(a, b); }
static inline v_t v_zip_high(v_t a, v_t b) { return _mm_unpackhi_pd(a, b); }

static inline v_t v_hsums(const v_t rows[V_LANES]) {
    return v_add(_mm_unpacklo_pd(rows[0], rows[1]), _mm_unpackhi_pd(rows[0], rows[1]));
}
static inline void v_transpose(v_t rows[V_LANES]) {
    const v_t low = _mm_unpacklo_pd(rows[0], rows[1]);
    rows[1] = _mm_unpackhi_pd(rows[0], rows[1]);
    rows[0] = low;
}
#else
static inline real v_hsum(v_t x) {
    const v_t pair = v_add(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(v_add(pair, _mm_shuffle_ps(pair, pair, 1)));
}
static inline real v_hmax(v_t x) {
    const v_t pair = v_max(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(v_max(pair, _mm_shuffle_ps(pair, pair, 1)));
}
static inline v_t v_evens(v_t a, v_t b) { return _mm_shuffle_ps(a, b, 0x88); }
static inline v_t v_odds(v_t a, v_t b) { return _mm_shuffle_ps(a, b, 0xdd); }
static inline v_t v_zip_low(v_t a, v_t b) { return _mm_unpacklo_ps(a, b); }
static inline v_t v_zip_high(v_t a, v_t b) { return _mm_unpackhi_ps(a, b); }

static inline v_t v_fold_halves(v_t a, v_t b) {
    return v_add(_mm_movelh_ps(a, b), _mm_movehl_ps(b, a));
}
static inline v_t v_hsums(const v_t rows[V_LANES]) {
    const v_t a = v_fold_halves(rows[0], rows[1]), b = v_fold_halves(rows[2], rows[3]);
    return v_add(_mm_shuffle_ps(a, b, 0x88), _mm_shuffle_ps(a, b, 0xdd));
}
static inline void v_transpose(v_t rows[V_LANES]) {
    _MM_TRANSPOSE4_PS(rows[0], rows[1], rows[2], rows[3]);
}
#endif
