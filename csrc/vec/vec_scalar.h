/* One lane, plain C: the baseline of every measurement and the easiest one to step through. */
#undef V_LANES
#define V_LANES 1

#undef V_REGISTERS
#undef V_FUSED
#define V_REGISTERS 16
#define V_FUSED 0

/* isa/scalar.c tells GCC not to vectorise; Clang has no such switch inside of a file, but does not
 * see through an empty asm, which costs no instruction: what has passed one stays by itself. */
#undef V_OPAQUE
#if defined(__clang__) && defined(__x86_64__)
#define V_OPAQUE(x) __asm__("" : "+x"(x))
#elif defined(__clang__) && defined(__aarch64__)
#define V_OPAQUE(x) __asm__("" : "+w"(x))
#else
#define V_OPAQUE(x) ((void)0)
#endif

typedef real v_t;
typedef bool m_t;

#if PNNG_F64_PASS
#define V_UINT uint64_t
#define V_MANTISSA_BITS 52
#define V_BIAS 1023
#else
#define V_UINT uint32_t
#define V_MANTISSA_BITS 23
#define V_BIAS 127
#endif

static inline V_UINT FN(v_bits)(v_t x) {
    const union {
        real value;
        V_UINT bits;
    } u = {.value = x};
    return u.bits;
}

static inline v_t FN(v_from_bits)(V_UINT bits) {
    const union {
        V_UINT bits;
        real value;
    } u = {.bits = bits};
    return u.value;
}

typedef uint64_t u_t;
static inline u_t u_set1(uint64_t x) { return x; }
static inline u_t u_load(const uint64_t *p) { return *p; }
static inline void u_store(uint32_t *p, u_t x) {
    p[0] = (uint32_t)x;
    p[1] = (uint32_t)(x >> 32);
}
static inline u_t u_add(u_t a, u_t b) { return a + b; }
static inline u_t u_xor(u_t a, u_t b) { return a ^ b; }
static inline u_t u_mul(u_t a, u_t b) { return (uint64_t)(uint32_t)a * (uint32_t)b; }
static inline u_t u_high(u_t x) { return x >> 32; }
static inline u_t u_join(u_t a, u_t b) { return (uint32_t)a | b << 32; }

static inline v_t v_zero(void) { return 0; }
static inline v_t v_set1(real x) { return x; }
static inline v_t FN(v_alone)(v_t x) {
    V_OPAQUE(x);
    return x;
}
static inline v_t v_load(const real *p) { return FN(v_alone)(*p); }
static inline void v_store(real *p, v_t x) { *p = x; }
static inline void v_stream(real *p, v_t x) { v_store(p, x); }
static inline void v_stream_end(void) {}

/* There is no n with 0 < n < 1. */
static inline v_t v_load_n(const real *p, size_t n) { return n ? v_load(p) : 0; }
static inline void v_store_n(real *p, v_t x, size_t n) {
    if (n)
        *p = x;
}

static inline v_t v_add(v_t a, v_t b) { return FN(v_alone)(a + b); }
static inline v_t v_sub(v_t a, v_t b) { return FN(v_alone)(a - b); }
static inline v_t v_mul(v_t a, v_t b) { return FN(v_alone)(a * b); }
static inline v_t v_div(v_t a, v_t b) { return FN(v_alone)(a / b); }
static inline v_t v_fma(v_t a, v_t b, v_t c) { return v_add(v_mul(a, b), c); }
static inline v_t v_fnma(v_t a, v_t b, v_t c) { return v_sub(c, v_mul(a, b)); }
static inline v_t v_min(v_t a, v_t b) { return a < b ? a : b; }
static inline v_t v_max(v_t a, v_t b) { return a > b ? a : b; }

static inline v_t v_neg(v_t x) { return -x; }
static inline v_t v_abs(v_t x) { return FN(v_from_bits)((V_UINT)(FN(v_bits)(x) << 1) >> 1); }
static inline v_t v_copysign(v_t x, v_t sign) {
    const V_UINT top = (V_UINT)1 << (8 * sizeof(real) - 1);
    return FN(v_from_bits)((FN(v_bits)(x) & ~top) | (FN(v_bits)(sign) & top));
}

static inline m_t v_lt(v_t a, v_t b) { return a < b; }
static inline m_t v_le(v_t a, v_t b) { return a <= b; }
static inline m_t v_eq(v_t a, v_t b) { return a == b; }
static inline v_t v_select(m_t m, v_t a, v_t b) { return m ? a : b; }
static inline m_t m_below(const uint32_t *p, uint32_t limit) { return *p < limit; }
static inline m_t m_first(size_t n) { return n > 0; }
static inline m_t m_and(m_t a, m_t b) { return a && b; }
static inline m_t m_or(m_t a, m_t b) { return a || b; }
static inline m_t m_not(m_t a) { return !a; }

/* Adding 2^(digits - 1) drops the fraction; the sum is rounded as every sum is. */
static inline v_t v_round(v_t x) {
    const real whole = (real)((V_UINT)1 << V_MANTISSA_BITS);
    const v_t size = v_abs(x);
    return size < whole ? v_copysign((size + whole) - whole, x) : x;
}

#if PNNG_F64_PASS
static inline v_t v_sqrt(v_t x) { return __builtin_sqrt(x); }
#else
static inline v_t v_sqrt(v_t x) { return __builtin_sqrtf(x); }
#endif

/* The sum has n + bias in its last bits; the shift moves them to where the exponent is. */
static inline v_t v_pow2i(v_t n) {
    const real magic = (real)((V_UINT)3 << (V_MANTISSA_BITS - 1)) + V_BIAS;
    return FN(v_from_bits)((V_UINT)(FN(v_bits)(n + magic) << V_MANTISSA_BITS));
}
static inline v_t v_ldexp(v_t x, v_t n) {
    const v_t half = v_round(n * (real)0.5);
    return x * v_pow2i(half) * v_pow2i(n - half);
}
static inline v_t v_bits_add(v_t a, v_t b) {
    return FN(v_from_bits)(FN(v_bits)(a) + FN(v_bits)(b));
}
static inline v_t v_bits_and(v_t a, v_t b) {
    return FN(v_from_bits)(FN(v_bits)(a) & FN(v_bits)(b));
}
static inline v_t v_bits_exponent(v_t x) {
    return (real)((V_UINT)1 << V_MANTISSA_BITS) + (real)(FN(v_bits)(x) >> V_MANTISSA_BITS);
}
#include "frexp.inc"

static inline real v_hsum(v_t x) { return x; }
static inline real v_hmax(v_t x) { return x; }
static inline v_t v_evens(v_t a, v_t b) {
    (void)b;
    return a;
}
static inline v_t v_odds(v_t a, v_t b) {
    (void)a;
    return b;
}

static inline v_t v_zip_low(v_t a, v_t b) {
    (void)b;
    return a;
}
static inline v_t v_zip_high(v_t a, v_t b) {
    (void)a;
    return b;
}

static inline v_t v_hsums(const v_t rows[V_LANES]) { return rows[0]; }
static inline void v_transpose(v_t rows[V_LANES]) { (void)rows; }

#undef V_UINT
#undef V_MANTISSA_BITS
#undef V_BIAS
