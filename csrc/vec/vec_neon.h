/* Advanced SIMD of 64-bit ARM, which every such CPU has. */
#undef V_LANES
#undef NEON
#undef NEON_N
#undef NEON_U
#undef NEON_UN
#if PNNG_F64_PASS
#define V_LANES 2
#define NEON(op) v##op##q_f64
#define NEON_N(op) v##op##q_n_f64
#define NEON_U(op) v##op##q_u64
#define NEON_UN(op) v##op##q_n_u64
typedef float64x2_t v_t;
typedef uint64x2_t m_t;
#else
#define V_LANES 4
#define NEON(op) v##op##q_f32
#define NEON_N(op) v##op##q_n_f32
#define NEON_U(op) v##op##q_u32
#define NEON_UN(op) v##op##q_n_u32
typedef float32x4_t v_t;
typedef uint32x4_t m_t;
#endif

#undef V_REGISTERS
#undef V_FUSED
#define V_REGISTERS 32
#define V_FUSED 1

typedef uint64x2_t u_t;
static inline u_t u_set1(uint64_t x) { return vdupq_n_u64(x); }
static inline u_t u_load(const uint64_t *p) { return vld1q_u64(p); }
static inline void u_store(uint32_t *p, u_t x) { vst1q_u32(p, vreinterpretq_u32_u64(x)); }
static inline u_t u_add(u_t a, u_t b) { return vaddq_u64(a, b); }
static inline u_t u_xor(u_t a, u_t b) { return veorq_u64(a, b); }
static inline u_t u_mul(u_t a, u_t b) { return vmull_u32(vmovn_u64(a), vmovn_u64(b)); }
static inline u_t u_high(u_t x) { return vshrq_n_u64(x, 32); }
static inline u_t u_join(u_t a, u_t b) { return vsliq_n_u64(a, b, 32); }

static inline v_t v_zero(void) { return NEON_N(dup)(0); }
static inline v_t v_set1(real x) { return NEON_N(dup)(x); }
static inline v_t v_load(const real *p) { return NEON(ld1)(p); }
static inline void v_store(real *p, v_t x) { NEON(st1)(p, x); }
static inline void v_stream(real *p, v_t x) { v_store(p, x); }
static inline void v_stream_end(void) {}

#if PNNG_F64_PASS
static inline v_t v_load_n(const real *p, size_t n) {
    return n ? vsetq_lane_f64(*p, v_zero(), 0) : v_zero();
}
static inline void v_store_n(real *p, v_t x, size_t n) {
    if (n)
        *p = vgetq_lane_f64(x, 0);
}
#else
static inline v_t v_load_n(const real *p, size_t n) {
    if (n == 1)
        return vsetq_lane_f32(*p, v_zero(), 0);
    const v_t low = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
    return n == 2 ? low : vsetq_lane_f32(p[2], low, 2);
}
static inline void v_store_n(real *p, v_t x, size_t n) {
    if (n == 1) {
        *p = vgetq_lane_f32(x, 0);
        return;
    }
    vst1_f32(p, vget_low_f32(x));
    if (n == 3)
        p[2] = vgetq_lane_f32(x, 2);
}
#endif

static inline v_t v_add(v_t a, v_t b) { return NEON(add)(a, b); }
static inline v_t v_sub(v_t a, v_t b) { return NEON(sub)(a, b); }
static inline v_t v_mul(v_t a, v_t b) { return NEON(mul)(a, b); }
static inline v_t v_div(v_t a, v_t b) { return NEON(div)(a, b); }
static inline v_t v_fma(v_t a, v_t b, v_t c) { return NEON(fma)(c, a, b); }
static inline v_t v_fnma(v_t a, v_t b, v_t c) { return NEON(fms)(c, a, b); }
static inline v_t v_neg(v_t x) { return NEON(neg)(x); }
static inline v_t v_abs(v_t x) { return NEON(abs)(x); }
static inline v_t v_sqrt(v_t x) { return NEON(sqrt)(x); }
static inline v_t v_round(v_t x) { return NEON(rndn)(x); }

static inline m_t v_lt(v_t a, v_t b) { return NEON(clt)(a, b); }
static inline m_t v_le(v_t a, v_t b) { return NEON(cle)(a, b); }
static inline m_t v_eq(v_t a, v_t b) { return NEON(ceq)(a, b); }
static inline v_t v_select(m_t m, v_t a, v_t b) { return NEON(bsl)(m, a, b); }
static inline m_t m_and(m_t a, m_t b) { return NEON_U (and)(a, b); }
static inline m_t m_or(m_t a, m_t b) { return NEON_U(orr)(a, b); }
static inline m_t m_not(m_t a) { return NEON_U(eor)(a, v_eq(v_zero(), v_zero())); }

/* Not vminq and vmaxq, which answer NaN when either operand is one. */
static inline v_t v_min(v_t a, v_t b) { return v_select(v_lt(a, b), a, b); }
static inline v_t v_max(v_t a, v_t b) { return v_select(v_lt(b, a), a, b); }
static inline m_t m_below(const uint32_t *p, uint32_t limit) {
#if PNNG_F64_PASS
    const uint32x2_t m = vclt_u32(vld1_u32(p), vdup_n_u32(limit));
    return vreinterpretq_u64_s64(vmovl_s32(vreinterpret_s32_u32(m)));
#else
    return vcltq_u32(vld1q_u32(p), vdupq_n_u32(limit));
#endif
}

#if PNNG_F64_PASS
#define V_TO_INT vreinterpretq_u64_f64
#define V_FROM_INT vreinterpretq_f64_u64
#define V_SHIFT 52
#define V_WHOLE 0x1p52
#define V_BIAS 1023
#define V_TOP 0x8000000000000000u
static inline m_t m_first(size_t n) {
    static const real lane[] = {0, 1};
    return v_lt(v_load(lane), v_set1((real)n));
}
#else
#define V_TO_INT vreinterpretq_u32_f32
#define V_FROM_INT vreinterpretq_f32_u32
#define V_SHIFT 23
#define V_WHOLE 0x1p23f
#define V_BIAS 127
#define V_TOP 0x80000000u
static inline m_t m_first(size_t n) {
    static const real lane[] = {0, 1, 2, 3};
    return v_lt(v_load(lane), v_set1((real)n));
}
#endif

static inline v_t v_copysign(v_t x, v_t sign) { return v_select(NEON_UN(dup)(V_TOP), sign, x); }

/* The sum has n + bias in its last bits; the shift moves them to where the exponent is. */
static inline v_t v_pow2i(v_t n) {
    const v_t magic = v_set1((real)1.5 * V_WHOLE + V_BIAS);
    return V_FROM_INT(NEON_UN(shl)(V_TO_INT(v_add(n, magic)), V_SHIFT));
}
static inline v_t v_ldexp(v_t x, v_t n) {
    const v_t half = v_round(v_mul(n, v_set1((real)0.5)));
    return v_mul(v_mul(x, v_pow2i(half)), v_pow2i(v_sub(n, half)));
}
static inline v_t v_bits_add(v_t a, v_t b) {
    return V_FROM_INT(NEON_U(add)(V_TO_INT(a), V_TO_INT(b)));
}
static inline v_t v_bits_and(v_t a, v_t b) {
    return V_FROM_INT(NEON_U (and)(V_TO_INT(a), V_TO_INT(b)));
}
/* The other way round: the exponent under the bits of 2^(digits - 1) is that plus the exponent. */
static inline v_t v_bits_exponent(v_t x) {
    const m_t shifted = NEON_UN(shr)(V_TO_INT(x), V_SHIFT);
    return V_FROM_INT(NEON_U(orr)(shifted, V_TO_INT(v_set1(V_WHOLE))));
}
#include "frexp.inc"

#undef V_TO_INT
#undef V_FROM_INT
#undef V_SHIFT
#undef V_WHOLE
#undef V_BIAS
#undef V_TOP

#if PNNG_F64_PASS
static inline real v_hsum(v_t x) { return vgetq_lane_f64(x, 0) + vgetq_lane_f64(x, 1); }
static inline real v_hmax(v_t x) {
    const real a = vgetq_lane_f64(x, 0), b = vgetq_lane_f64(x, 1);
    return a > b ? a : b;
}
static inline v_t v_evens(v_t a, v_t b) { return vuzp1q_f64(a, b); }
static inline v_t v_odds(v_t a, v_t b) { return vuzp2q_f64(a, b); }
static inline v_t v_zip_low(v_t a, v_t b) { return vzip1q_f64(a, b); }
static inline v_t v_zip_high(v_t a, v_t b) { return vzip2q_f64(a, b); }

static inline v_t v_hsums(const v_t rows[V_LANES]) {
    return v_add(vtrn1q_f64(rows[0], rows[1]), vtrn2q_f64(rows[0], rows[1]));
}
static inline void v_transpose(v_t rows[V_LANES]) {
    const v_t first = vtrn1q_f64(rows[0], rows[1]);
    rows[1] = vtrn2q_f64(rows[0], rows[1]);
    rows[0] = first;
}
#else
static inline real v_hsum(v_t x) {
    const float32x2_t pair = vadd_f32(vget_low_f32(x), vget_high_f32(x));
    return vget_lane_f32(pair, 0) + vget_lane_f32(pair, 1);
}
static inline real v_hmax(v_t x) {
    const v_t pair = v_max(x, vextq_f32(x, x, 2));
    const real a = vgetq_lane_f32(pair, 0), b = vgetq_lane_f32(pair, 1);
    return a > b ? a : b;
}
static inline v_t v_evens(v_t a, v_t b) { return vuzp1q_f32(a, b); }
static inline v_t v_odds(v_t a, v_t b) { return vuzp2q_f32(a, b); }
static inline v_t v_zip_low(v_t a, v_t b) { return vzip1q_f32(a, b); }
static inline v_t v_zip_high(v_t a, v_t b) { return vzip2q_f32(a, b); }

static inline v_t v_fold_halves(v_t a, v_t b) {
    return v_add(vcombine_f32(vget_low_f32(a), vget_low_f32(b)),
                 vcombine_f32(vget_high_f32(a), vget_high_f32(b)));
}
static inline v_t v_hsums(const v_t rows[V_LANES]) {
    const v_t a = v_fold_halves(rows[0], rows[1]), b = v_fold_halves(rows[2], rows[3]);
    return v_add(vuzp1q_f32(a, b), vuzp2q_f32(a, b));
}
static inline void v_transpose(v_t rows[V_LANES]) {
    const float32x4x2_t a = vtrnq_f32(rows[0], rows[1]), b = vtrnq_f32(rows[2], rows[3]);
    rows[0] = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
    rows[1] = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
    rows[2] = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
    rows[3] = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}
#endif
