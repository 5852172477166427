/* A model as its files see it: the bytes of a model file, and what runs on them. */
#ifndef PNNG_MODEL_H
#define PNNG_MODEL_H

#include "model_json.h"

/* An array of the file. */
typedef struct pnng_file_array {
    const char *name;
    int32_t dtype;    /* PNNG_F32, PNNG_F64, or -1: another one, which is only kept */
    pnng_shape shape; /* ndim > PNNG_MAX_DIMS: only kept */
    size_t offset, bytes;
} pnng_file_array;

typedef struct pnng_model_param {
    const char *name;
    const pnng_shape *shape;
    size_t count;
    void *data;     /* in the file's bytes */
    void *gradient; /* NULL: none, or not prepared with a backward */
    bool has_grad;
} pnng_model_param;

enum { PNNG_DEFAULT_NAME = 32 };

typedef struct pnng_model_port {
    const char *name; /* or NULL: default_name */
    char default_name[PNNG_DEFAULT_NAME];
    int32_t kind; /* of inputs; so are the shapes */
    pnng_shape shape;
} pnng_model_port;

enum { PNNG_MODEL_MODES = 2 };

typedef struct pnng_model_program {
    pnng_program *program; /* NULL: the file has none of this mode */
    bool any_batch;
    pnng_model_port *inputs, *outputs;
    size_t n_inputs, n_outputs;
    size_t *params; /* of each parameter of the program: its place among the model's */
} pnng_model_program;

/* What the optimiser's arrays are of. */
enum { PNNG_STATE_NONE, PNNG_STATE_SGD, PNNG_STATE_ADAM };

struct pnng_model {
    pnng_allocator allocator;
    void *memory;         /* of `bytes`, if they are the model's own */
    unsigned char *bytes; /* all of the file */
    size_t n_bytes, n_header;
    char *text;              /* the header, its texts decoded: names are there */
    pnng_file_array *arrays; /* by name */
    size_t n_arrays;
    int32_t dtype;
    size_t element;
    bool loaded; /* else it is there for its message only */
    pnng_model_param *params;
    size_t n_params, cap_params;
    pnng_model_program programs[PNNG_MODEL_MODES];
    /* once prepared */
    const pnng_model_program *now;
    pnng_plan *plan;
    void *ports;        /* memory of inputs, outputs and their gradients */
    void *gradients;    /* of parameters */
    void *state;        /* of the optimiser: one array, or two, for each gradient */
    size_t n_gradients; /* elements */
    int32_t method;
    int64_t steps; /* of that method */
    pnng_message message;
};

/* A model without anything; NULL: no memory. */
pnng_model *pnng_model_empty(const pnng_allocator *allocator);

/* Memory for the bytes of a file with a header of so many, so that its arrays are aligned; false
 * where there is none. */
bool pnng_model_take_bytes(pnng_model *model, size_t count, uint64_t n_header);

/* Make all of a model from its bytes. */
pnng_status pnng_model_read(pnng_model *model);

/* The end of loading: gives a model up that ran out of memory. */
pnng_status pnng_model_loaded(pnng_model *model, pnng_status status, pnng_model **out);

/* The first 8 bytes of a file: the length of its header. */
uint64_t pnng_model_header_bytes(const unsigned char *bytes);

#endif
