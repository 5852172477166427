/* A reader of JSON: strict, without recursion, into one array of tokens. */
#ifndef PNNG_MODEL_JSON_H
#define PNNG_MODEL_JSON_H

#include "program.h"

typedef enum pnng_json_kind {
    PNNG_JSON_NULL,
    PNNG_JSON_FALSE,
    PNNG_JSON_TRUE,
    PNNG_JSON_INTEGER,
    PNNG_JSON_REAL,
    PNNG_JSON_TEXT,
    PNNG_JSON_LIST,
    PNNG_JSON_OBJECT
} pnng_json_kind;

/* What is inside of a list or an object comes after it, names of an object before their values. */
typedef struct pnng_json_token {
    uint32_t start, length; /* in the text; of texts without the quotes, and decoded */
    uint32_t next;          /* the token after it and all that is inside */
    uint32_t count;         /* entries of a list, pairs of an object */
    uint32_t parent;
    uint8_t kind;
} pnng_json_token;

typedef struct pnng_json {
    const pnng_allocator *allocator;
    char *text; /* texts in it are decoded in place, and end with a zero */
    size_t length;
    pnng_json_token *token; /* the first is the whole */
    size_t count, capacity;
    size_t place;      /* where it was found wrong: a place in the text */
    const char *wrong; /* and what is */
} pnng_json;

enum { PNNG_JSON_NONE = 0, PNNG_JSON_MAX_DEPTH = 512 };

/* Read all of a text of less than 4 GB. Errors: PNNG_ERROR_FORMAT, see `place` and `wrong`;
 * PNNG_ERROR_MEMORY. */
pnng_status pnng_json_parse(pnng_json *json);

/* The value of a name of an object; PNNG_JSON_NONE if there is none, or `object` is none. */
uint32_t pnng_json_get(const pnng_json *json, uint32_t object, const char *name);

bool pnng_json_is(const pnng_json *json, uint32_t token, pnng_json_kind kind);
/* A text; NULL if the token is none. */
const char *pnng_json_text(const pnng_json *json, uint32_t token);
bool pnng_json_int(const pnng_json *json, uint32_t token, int64_t *out);
/* A number, or {"float": "nan"}, "inf" or "-inf". */
bool pnng_json_real(const pnng_json *json, uint32_t token, double *out);

/* Whether bytes are well-formed UTF-8. */
bool pnng_json_is_utf8(const unsigned char *bytes, size_t count);

/* Where in a raw text that was decoded its byte `place` came from. */
size_t pnng_json_raw_place(const char *raw, size_t length, size_t place);

#endif
