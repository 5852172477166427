/* Reading JSON. Whatever the bytes are: every access is checked against the end, the depth is
 * bounded, and what an object says twice is refused where that is cheap to see. */
#include "model_json.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool pnng_json_is_utf8(const unsigned char *bytes, size_t count) {
    for (size_t k = 0; k < count;) {
        const unsigned char first = bytes[k++];
        if (first < 0x80)
            continue;
        const int more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
        if (first < 0xc2 || first > 0xf4 || (size_t)more > count - k)
            return false;
        /* No longer forms than needed, no halves of pairs, nothing past the last character. */
        const unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
        const unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
        if (bytes[k] < low || bytes[k] > high)
            return false;
        for (int m = 1; m < more; m++)
            if (bytes[k + m] >> 6 != 2)
                return false;
        k += (size_t)more;
    }
    return true;
}

/* ---- texts ---------------------------------------------------------------------------------- */

/* Four digits of a character's number, or -1. */
static int32_t hex4(const char *text, size_t left) {
    int32_t number = 0;
    if (left < 4)
        return -1;
    for (int k = 0; k < 4; k++) {
        const char c = text[k];
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        number = number * 16 + digit;
    }
    return number;
}

static size_t encode(int32_t number, char out[4]) {
    if (number < 0x80) {
        out[0] = (char)number;
        return 1;
    }
    const size_t count = number < 0x800 ? 2 : number < 0x10000 ? 3 : 4;
    for (size_t k = count - 1; k > 0; k--, number >>= 6)
        out[k] = (char)(0x80 | (number & 0x3f));
    out[0] = (char)((0xf00 >> count & 0xff) | number);
    return count;
}

/* One character of a text, or one byte of a longer one: how many bytes it takes there, or 0 if it
 * is none. It never grows when it is decoded. */
static size_t decode(const char *text, size_t left, char out[4], size_t *n_out) {
    *n_out = 1;
    if (left == 0 || (unsigned char)text[0] < 0x20)
        return 0;
    out[0] = text[0];
    if (text[0] != '\\')
        return 1;
    if (left < 2)
        return 0;
    static const char codes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *const code = text[1] ? strchr(codes, text[1]) : NULL;
    if (code) {
        out[0] = meant[code - codes];
        return 2;
    }
    int32_t number = text[1] == 'u' ? hex4(text + 2, left - 2) : -1;
    if (number <= 0 || (number >= 0xdc00 && number < 0xe000)) /* texts end with a zero */
        return 0;
    size_t taken = 6;
    if (number >= 0xd800 && number < 0xdc00) { /* the first half of a pair */
        if (left < 12 || text[6] != '\\' || text[7] != 'u')
            return 0;
        const int32_t second = hex4(text + 8, left - 8);
        if (second < 0xdc00 || second > 0xdfff)
            return 0;
        number = 0x10000 + ((number - 0xd800) << 10) + (second - 0xdc00);
        taken = 12;
    }
    *n_out = encode(number, out);
    return taken;
}

size_t pnng_json_raw_place(const char *raw, size_t length, size_t place) {
    size_t at = 0;
    char out[4];
    for (size_t made = 0, n = 0; made < place && at < length; made += n) {
        const size_t taken = decode(raw + at, length - at, out, &n);
        if (!taken)
            break;
        at += taken;
    }
    return at;
}

/* ---- the parser ----------------------------------------------------------------------------- */

static pnng_status wrong(pnng_json *json, size_t place, const char *what) {
    json->place = place;
    json->wrong = what;
    return PNNG_ERROR_FORMAT;
}

static size_t after_space(const pnng_json *json, size_t at) {
    while (at < json->length && (json->text[at] == ' ' || json->text[at] == '\n' ||
                                 json->text[at] == '\r' || json->text[at] == '\t'))
        at++;
    return at;
}

static char byte_at(const pnng_json *json, size_t at) {
    return at < json->length ? json->text[at] : '\0';
}

static pnng_status push(pnng_json *json, pnng_json_kind kind, size_t start, size_t length,
                        uint32_t parent) {
    if (!pnng_reserve(json->allocator, (void **)&json->token, &json->capacity, json->count + 1,
                      sizeof *json->token))
        return PNNG_ERROR_MEMORY;
    json->token[json->count] = (pnng_json_token){.kind = (uint8_t)kind,
                                                 .start = (uint32_t)start,
                                                 .length = (uint32_t)length,
                                                 .next = (uint32_t)json->count + 1,
                                                 .parent = parent};
    json->count++;
    return PNNG_OK;
}

static pnng_status read_text(pnng_json *json, size_t *at, uint32_t parent) {
    const size_t start = *at + 1;
    size_t from = start, to = start;
    while (byte_at(json, from) != '"') {
        char out[4];
        size_t n;
        const size_t taken = decode(json->text + from, json->length - from, out, &n);
        if (!taken)
            return wrong(json, from, "a text that is not closed, or no character of one");
        from += taken;
        memcpy(json->text + to, out, n);
        to += n;
    }
    json->text[to] = '\0'; /* at the latest where the quote was */
    *at = from + 1;
    return push(json, PNNG_JSON_TEXT, start, to - start, parent);
}

static size_t after_digits(const pnng_json *json, size_t at) {
    while (byte_at(json, at) >= '0' && byte_at(json, at) <= '9')
        at++;
    return at;
}

static pnng_status read_number(pnng_json *json, size_t *at, uint32_t parent) {
    const size_t start = *at, digits = start + (byte_at(json, start) == '-');
    size_t end = after_digits(json, digits);
    if (end == digits || (json->text[digits] == '0' && end > digits + 1))
        return wrong(json, start, "no value");
    pnng_json_kind kind = PNNG_JSON_INTEGER;
    if (byte_at(json, end) == '.') {
        kind = PNNG_JSON_REAL;
        const size_t from = end + 1;
        end = after_digits(json, from);
        if (end == from)
            return wrong(json, end, "a number without digits after its point");
    }
    if (byte_at(json, end) == 'e' || byte_at(json, end) == 'E') {
        kind = PNNG_JSON_REAL;
        const char sign = byte_at(json, end + 1);
        const size_t from = end + 1 + (sign == '+' || sign == '-');
        end = after_digits(json, from);
        if (end == from)
            return wrong(json, end, "a number without digits in its exponent");
    }
    *at = end;
    return push(json, kind, start, end - start, parent);
}

static pnng_status read_word(pnng_json *json, size_t *at, uint32_t parent) {
    static const struct {
        const char *word;
        pnng_json_kind kind;
    } words[] = {{"null", PNNG_JSON_NULL}, {"true", PNNG_JSON_TRUE}, {"false", PNNG_JSON_FALSE}};
    for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
        const size_t length = strlen(words[k].word);
        if (length <= json->length - *at && !memcmp(json->text + *at, words[k].word, length)) {
            *at += length;
            return push(json, words[k].kind, *at - length, length, parent);
        }
    }
    return wrong(json, *at, "no value");
}

static bool same_text(const pnng_json *json, uint32_t a, uint32_t b) {
    const pnng_json_token *const x = json->token + a, *const y = json->token + b;
    return x->length == y->length &&
           !memcmp(json->text + x->start, json->text + y->start, x->length);
}

/* Names that stand twice; of large objects, the caller finds them where he sorts them. */
static pnng_status check_names(pnng_json *json, uint32_t object) {
    enum { MOST = 64 };
    if (json->token[object].kind != PNNG_JSON_OBJECT || json->token[object].count > MOST)
        return PNNG_OK;
    const uint32_t end = (uint32_t)json->count;
    for (uint32_t a = object + 1; a < end; a = json->token[a + 1].next)
        for (uint32_t b = object + 1; b < a; b = json->token[b + 1].next)
            if (same_text(json, a, b))
                return wrong(json, json->token[a].start, "a name that stands twice");
    return PNNG_OK;
}

/* A name and its colon. */
static pnng_status read_name(pnng_json *json, size_t *at, uint32_t parent) {
    *at = after_space(json, *at);
    if (byte_at(json, *at) != '"')
        return wrong(json, *at, "no name of an object's value");
    const pnng_status status = read_text(json, at, parent);
    if (status)
        return status;
    *at = after_space(json, *at);
    if (byte_at(json, *at) != ':')
        return wrong(json, *at, "no colon after a name");
    ++*at;
    return PNNG_OK;
}

/* After a value: the end of all that ends here, or the begin of the next entry. */
static pnng_status end_value(pnng_json *json, size_t *at, uint32_t *open, size_t *depth) {
    while (*depth) {
        pnng_json_token *const token = json->token + *open;
        const bool is_object = token->kind == PNNG_JSON_OBJECT;
        token->count++;
        *at = after_space(json, *at);
        if (byte_at(json, *at) == ',') {
            ++*at;
            return is_object ? read_name(json, at, *open) : PNNG_OK;
        }
        if (byte_at(json, *at) != (is_object ? '}' : ']'))
            return wrong(json, *at, "neither a comma nor the end after an entry");
        ++*at;
        token->next = (uint32_t)json->count;
        const pnng_status status = check_names(json, *open);
        if (status)
            return status;
        *open = token->parent;
        --*depth;
    }
    return PNNG_OK;
}

/* The begin of a list or an object; *empty: it ends at once. */
static pnng_status begin(pnng_json *json, size_t *at, uint32_t *open, size_t *depth, bool *empty) {
    const bool is_object = json->text[*at] == '{';
    if (*depth == PNNG_JSON_MAX_DEPTH)
        return wrong(json, *at, "nested too deep");
    const uint32_t token = (uint32_t)json->count;
    const pnng_status status =
        push(json, is_object ? PNNG_JSON_OBJECT : PNNG_JSON_LIST, *at, 1, *open);
    if (status)
        return status;
    *at = after_space(json, *at + 1);
    *empty = byte_at(json, *at) == (is_object ? '}' : ']');
    if (*empty) {
        ++*at;
        return PNNG_OK;
    }
    *open = token;
    ++*depth;
    return is_object ? read_name(json, at, token) : PNNG_OK;
}

pnng_status pnng_json_parse(pnng_json *json) {
    size_t at = 0, depth = 0;
    uint32_t open = 0;
    json->count = 0;
    if (json->length >= UINT32_MAX)
        return wrong(json, 0, "too long");
    do {
        at = after_space(json, at);
        const char first = byte_at(json, at);
        bool ended = true;
        pnng_status status;
        if (first == '{' || first == '[')
            status = begin(json, &at, &open, &depth, &ended);
        else if (first == '"')
            status = read_text(json, &at, open);
        else if (first == '-' || (first >= '0' && first <= '9'))
            status = read_number(json, &at, open);
        else
            status = read_word(json, &at, open);
        if (!status && ended)
            status = end_value(json, &at, &open, &depth);
        if (status)
            return status;
    } while (depth);
    at = after_space(json, at);
    return at == json->length ? PNNG_OK : wrong(json, at, "more after the end");
}

/* ---- looking at tokens ---------------------------------------------------------------------- */

bool pnng_json_is(const pnng_json *json, uint32_t token, pnng_json_kind kind) {
    return json->token[token].kind == kind;
}

uint32_t pnng_json_get(const pnng_json *json, uint32_t object, const char *name) {
    if (!pnng_json_is(json, object, PNNG_JSON_OBJECT))
        return PNNG_JSON_NONE;
    const uint32_t end = json->token[object].next;
    for (uint32_t key = object + 1; key < end; key = json->token[key + 1].next)
        if (!strcmp(json->text + json->token[key].start, name))
            return key + 1;
    return PNNG_JSON_NONE;
}

const char *pnng_json_text(const pnng_json *json, uint32_t token) {
    return pnng_json_is(json, token, PNNG_JSON_TEXT) ? json->text + json->token[token].start : NULL;
}

bool pnng_json_int(const pnng_json *json, uint32_t token, int64_t *out) {
    const pnng_json_token *const t = json->token + token;
    if (t->kind != PNNG_JSON_INTEGER)
        return false;
    const char *digit = json->text + t->start, *const end = digit + t->length;
    const bool negative = *digit == '-';
    int64_t number = 0; /* downwards, where there is one more */
    for (digit += negative; digit < end; digit++) {
        if (number < (INT64_MIN + (*digit - '0')) / 10)
            return false;
        number = number * 10 - (*digit - '0');
    }
    if (!negative && number == INT64_MIN)
        return false;
    *out = negative ? number : -number;
    return true;
}

bool pnng_json_real(const pnng_json *json, uint32_t token, double *out) {
    const pnng_json_token *const t = json->token + token;
    if (t->kind == PNNG_JSON_OBJECT) {
        const uint32_t value = pnng_json_get(json, token, "float");
        const char *const name = value ? pnng_json_text(json, value) : NULL;
        if (!name || t->count != 1)
            return false;
        *out = !strcmp(name, "inf") ? INFINITY : !strcmp(name, "-inf") ? -INFINITY : NAN;
        return isinf(*out) || !strcmp(name, "nan");
    }
    char digits[64];
    if ((t->kind != PNNG_JSON_INTEGER && t->kind != PNNG_JSON_REAL) || t->length >= sizeof digits)
        return false;
    memcpy(digits, json->text + t->start, t->length);
    digits[t->length] = '\0';
    char *const point = strchr(digits, '.');
    if (point) /* strtod wants that of the program's locale */
        *point = localeconv()->decimal_point[0];
    *out = strtod(digits, NULL);
    return isfinite(*out) != 0;
}
