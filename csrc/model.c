/* Loading models: the arrays of a safetensors file, then the programs that its metadata holds. All
 * lengths and numbers of the file are checked here, or by the functions that build programs. */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MAX_HEADER = 100000000, FILE_ALIGNMENT = 64, MODEL_VERSION = 1 };

/* ---- a model -------------------------------------------------------------------------------- */

pnng_model *pnng_model_empty(const pnng_allocator *allocator) {
    if (!allocator)
        allocator = &pnng_default_allocator;
    pnng_model *const model = pnng_allocate_zeroed(allocator, 1, sizeof *model);
    if (model) {
        model->allocator = *allocator;
        model->message.op = -1;
    }
    return model;
}

void pnng_model_free(pnng_model *model) {
    if (!model)
        return;
    const pnng_allocator allocator = model->allocator;
    pnng_plan_free(model->plan);
    for (int mode = 0; mode < PNNG_MODEL_MODES; mode++) {
        pnng_model_program *const p = &model->programs[mode];
        pnng_program_free(p->program);
        pnng_release(&allocator, p->inputs);
        pnng_release(&allocator, p->outputs);
        pnng_release(&allocator, p->params);
    }
    void *const parts[] = {model->memory, model->text,      model->arrays, model->params,
                           model->ports,  model->gradients, model->state};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        pnng_release(&allocator, parts[k]);
    pnng_release(&allocator, model);
}

const char *pnng_model_error(const pnng_model *model) { return model->message.text; }

uint64_t pnng_model_header_bytes(const unsigned char *bytes) {
    uint64_t length = 0;
    for (int k = LENGTH_BYTES - 1; k >= 0; k--)
        length = length << 8 | bytes[k];
    return length;
}

bool pnng_model_take_bytes(pnng_model *model, size_t count, uint64_t n_header) {
    if (count > SIZE_MAX - FILE_ALIGNMENT)
        return false;
    model->memory = pnng_allocate(&model->allocator, count + FILE_ALIGNMENT, 1);
    if (!model->memory)
        return false;
    const uintptr_t arrays = (uintptr_t)model->memory + LENGTH_BYTES + (uintptr_t)n_header;
    model->bytes = (unsigned char *)model->memory +
                   (FILE_ALIGNMENT - arrays % FILE_ALIGNMENT) % FILE_ALIGNMENT;
    model->n_bytes = count;
    return true;
}

/* ---- errors with the byte ------------------------------------------------------------------- */

typedef struct reader {
    pnng_model *model;
    pnng_json header, json; /* of the file, and of the model in its metadata */
    size_t inner_raw;       /* where it begins in the file */
    /* of the program that is being built */
    pnng_value *value; /* ours, by the file's */
    size_t n_values, cap_values;
    pnng_value *in, *out;
    int64_t *ints;
    double *nums;
    size_t cap_in, cap_out, cap_ints, cap_nums;
} reader;

static pnng_status fail_at_byte(reader *r, size_t byte, const char *format, va_list arguments) {
    char text[PNNG_MESSAGE_BYTES - 40];
    vsnprintf(text, sizeof text, format, arguments);
    return pnng_fail(&r->model->message, PNNG_ERROR_FORMAT, "at byte %zu: %s", byte, text);
}

static pnng_status fail_at(reader *r, size_t byte, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const pnng_status status = fail_at_byte(r, byte, format, arguments);
    va_end(arguments);
    return status;
}

/* Where in the file a byte of the model's decoded text came from. */
static size_t inner_byte(const reader *r, size_t place) {
    return r->inner_raw + pnng_json_raw_place((const char *)r->model->bytes + r->inner_raw,
                                              r->model->n_header + LENGTH_BYTES - r->inner_raw,
                                              place);
}

/* Of a token of the model. */
static pnng_status fail(reader *r, uint32_t token, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const pnng_status status =
        fail_at_byte(r, inner_byte(r, r->json.token[token].start), format, arguments);
    va_end(arguments);
    return status;
}

static pnng_status no_memory(reader *r) {
    return pnng_fail(&r->model->message, PNNG_ERROR_MEMORY, "out of memory");
}

/* ---- arrays --------------------------------------------------------------------------------- */

/* Bytes of an element of a type of the format, or 0. */
static size_t element_bytes(const char *type) {
    static const struct {
        const char *name;
        size_t bytes;
    } types[] = {{"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I64", 8},
                 {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U64", 8},  {"U32", 4},
                 {"U16", 2}, {"U8", 1},  {"BOOL", 1}};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++)
        if (!strcmp(types[k].name, type))
            return types[k].bytes;
    return 0;
}

/* Sizes; *bytes grows to those of the whole. Dims past the eighth are counted only. */
static bool read_sizes(const pnng_json *json, uint32_t list, pnng_shape *shape, size_t *bytes) {
    if (!list || !pnng_json_is(json, list, PNNG_JSON_LIST))
        return false;
    shape->ndim = 0;
    const uint32_t end = json->token[list].next;
    for (uint32_t token = list + 1; token < end; token = json->token[token].next) {
        int64_t size;
        if (!pnng_json_int(json, token, &size) || size < 0 || (uint64_t)size > PTRDIFF_MAX ||
            (size > 0 && *bytes > (size_t)PTRDIFF_MAX / (size_t)size))
            return false;
        *bytes *= (size_t)size;
        if (shape->ndim < PNNG_MAX_DIMS)
            shape->dim[shape->ndim] = size;
        shape->ndim++;
    }
    return true;
}

static pnng_status read_array(reader *r, uint32_t key, pnng_file_array *array) {
    const pnng_json *const h = &r->header;
    const size_t byte = LENGTH_BYTES + h->token[key].start;
    const uint32_t entry = key + 1;
    const uint32_t type = pnng_json_get(h, entry, "dtype");
    const uint32_t offsets = pnng_json_get(h, entry, "data_offsets");
    const char *const name = type ? pnng_json_text(h, type) : NULL;
    *array = (pnng_file_array){.name = h->text + h->token[key].start, .dtype = -1};
    array->bytes = name ? element_bytes(name) : 0;
    int64_t first, end;
    if (!array->bytes || !offsets || !pnng_json_is(h, offsets, PNNG_JSON_LIST) ||
        h->token[offsets].count != 2 || !pnng_json_int(h, offsets + 1, &first) ||
        !pnng_json_int(h, offsets + 2, &end) ||
        !read_sizes(h, pnng_json_get(h, entry, "shape"), &array->shape, &array->bytes))
        return fail_at(r, byte, "the entry '%.80s' describes no array", array->name);
    const size_t room = r->model->n_bytes - LENGTH_BYTES - r->model->n_header;
    if (first < 0 || end < first || (uint64_t)end > room || (uint64_t)(end - first) != array->bytes)
        return fail_at(r, byte, "the array '%.80s' does not lie there", array->name);
    if (!strcmp(name, "F32"))
        array->dtype = PNNG_F32;
    else if (!strcmp(name, "F64"))
        array->dtype = PNNG_F64;
    array->offset = (size_t)first;
    return PNNG_OK;
}

static bool by_offset(const pnng_file_array *a, const pnng_file_array *b) {
    return a->offset != b->offset ? a->offset < b->offset : a->bytes < b->bytes;
}

static bool by_name(const pnng_file_array *a, const pnng_file_array *b) {
    return strcmp(a->name, b->name) < 0;
}

/* Shell's sort: libc's may allocate behind the allocator's back. */
static void sort(pnng_file_array *arrays, size_t count,
                 bool (*before)(const pnng_file_array *, const pnng_file_array *)) {
    size_t gap = 1;
    while (gap < count / 3)
        gap = 3 * gap + 1;
    for (; gap > 0; gap /= 3)
        for (size_t k = gap; k < count; k++) {
            const pnng_file_array moved = arrays[k];
            size_t to = k;
            for (; to >= gap && before(&moved, &arrays[to - gap]); to -= gap)
                arrays[to] = arrays[to - gap];
            arrays[to] = moved;
        }
}

/* They fill the file, and no two have one name. */
static pnng_status check_arrays(reader *r) {
    pnng_model *const model = r->model;
    const size_t start = LENGTH_BYTES + model->n_header;
    size_t place = 0;
    sort(model->arrays, model->n_arrays, by_offset);
    for (size_t k = 0; k < model->n_arrays; k++) {
        if (model->arrays[k].offset != place)
            return fail_at(r, start + place, "arrays do not lie one behind another");
        place += model->arrays[k].bytes;
    }
    if (start + place != model->n_bytes)
        return fail_at(r, start + place, "the arrays end here, and the file does not");
    sort(model->arrays, model->n_arrays, by_name);
    for (size_t k = 1; k < model->n_arrays; k++)
        if (!strcmp(model->arrays[k - 1].name, model->arrays[k].name))
            return fail_at(r, LENGTH_BYTES + (size_t)(model->arrays[k].name - model->text),
                           "the array '%.80s' stands twice", model->arrays[k].name);
    return PNNG_OK;
}

static pnng_status read_arrays(reader *r) {
    pnng_model *const model = r->model;
    const pnng_json *const h = &r->header;
    if (!pnng_json_is(h, 0, PNNG_JSON_OBJECT))
        return fail_at(r, LENGTH_BYTES, "the header is no JSON object");
    model->arrays = pnng_allocate(&model->allocator, h->token[0].count, sizeof *model->arrays);
    if (!model->arrays)
        return no_memory(r);
    const uint32_t end = h->token[0].next;
    for (uint32_t key = 1; key < end; key = h->token[key + 1].next) {
        if (!strcmp(h->text + h->token[key].start, "__metadata__"))
            continue;
        const pnng_status status = read_array(r, key, &model->arrays[model->n_arrays]);
        if (status)
            return status;
        model->n_arrays++;
    }
    return check_arrays(r);
}

static const pnng_file_array *find_array(const pnng_model *model, const char *name) {
    size_t low = 0, high = model->n_arrays;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int order = strcmp(model->arrays[middle].name, name);
        if (order == 0)
            return &model->arrays[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* ---- parameters ----------------------------------------------------------------------------- */

/* The model's parameter of an array's name, made where there is none yet. */
static pnng_status add_param(reader *r, uint32_t token, const char *name, size_t *place) {
    pnng_model *const model = r->model;
    for (*place = 0; *place < model->n_params; ++*place)
        if (!strcmp(model->params[*place].name, name))
            return PNNG_OK;
    const pnng_file_array *const array = find_array(model, name);
    if (!array)
        return fail(r, token, "there is no array '%.80s'", name);
    if (array->dtype < 0 || array->shape.ndim > PNNG_MAX_DIMS)
        return fail(r, token, "the array '%.80s' cannot be a parameter", name);
    if (model->n_params && array->dtype != model->dtype)
        return fail(r, token, "the parameter '%.80s' is of another type than others", name);
    model->dtype = array->dtype;
    model->element = array->dtype == PNNG_F32 ? sizeof(float) : sizeof(double);
    if (!pnng_reserve(&model->allocator, (void **)&model->params, &model->cap_params,
                      model->n_params + 1, sizeof *model->params))
        return no_memory(r);
    unsigned char *const data = model->bytes + LENGTH_BYTES + model->n_header + array->offset;
    if ((uintptr_t)data % model->element)
        return pnng_fail(&model->message, PNNG_ERROR_ARGUMENT,
                         "the parameter '%.80s' is not aligned to its elements", name);
    model->params[model->n_params++] = (pnng_model_param){.name = array->name,
                                                          .shape = &array->shape,
                                                          .count = pnng_count(&array->shape),
                                                          .data = data};
    return PNNG_OK;
}

/* A model without parameters: the type that its root has. */
static pnng_status read_dtype(reader *r) {
    const pnng_json *const json = &r->json;
    int64_t place;
    const uint32_t root = pnng_json_get(json, 0, "root"), all = pnng_json_get(json, 0, "modules");
    const uint32_t which = root ? pnng_json_get(json, root, "module") : 0;
    if (!which || !all || !pnng_json_int(json, which, &place) || place < 0 ||
        !pnng_json_is(json, all, PNNG_JSON_LIST) || (uint64_t)place >= json->token[all].count)
        return fail(r, root, "the model's root is no module");
    uint32_t module = all + 1;
    while (place-- > 0)
        module = json->token[module].next;
    const uint32_t state = pnng_json_get(json, module, "state");
    const uint32_t type = state ? pnng_json_get(json, state, "_dtype") : 0;
    const char *const name = type ? pnng_json_text(json, type) : NULL;
    if (!name || (strcmp(name, "float32") && strcmp(name, "float64")))
        return fail(r, module, "the root's state has no number type");
    r->model->dtype = strcmp(name, "float32") ? PNNG_F64 : PNNG_F32;
    r->model->element = r->model->dtype == PNNG_F32 ? sizeof(float) : sizeof(double);
    return PNNG_OK;
}

/* ---- programs ------------------------------------------------------------------------------- */

/* The list of a name of an object; how long it is. */
static pnng_status get_list(reader *r, uint32_t object, const char *name, uint32_t *list,
                            size_t *count) {
    *list = pnng_json_get(&r->json, object, name);
    if (!*list || !pnng_json_is(&r->json, *list, PNNG_JSON_LIST))
        return fail(r, object, "it has no list of %s", name);
    *count = r->json.token[*list].count;
    return PNNG_OK;
}

/* The file's number of a value; `defined`: of one that there is, else one that is still free. */
static bool read_value(const reader *r, uint32_t token, bool defined, int64_t *number) {
    return token && pnng_json_int(&r->json, token, number) && *number >= 0 &&
           (uint64_t)*number < r->n_values && (r->value[*number] >= 0) == defined;
}

/* What building says is wrong: of the file's. */
static pnng_status check_built(reader *r, uint32_t token, const pnng_program *program,
                               pnng_status status) {
    if (status == PNNG_OK || status == PNNG_ERROR_MEMORY)
        return status ? no_memory(r) : PNNG_OK;
    return fail(r, token, "%.300s", pnng_program_error(program));
}

static void set_name(pnng_model_port *port, const char *name, const char *what, size_t place,
                     size_t count) {
    port->name = name;
    if (count == 1)
        snprintf(port->default_name, sizeof port->default_name, "%s", what);
    else
        snprintf(port->default_name, sizeof port->default_name, "%s%zu", what, place);
}

static pnng_status read_input(reader *r, uint32_t token, pnng_program *program,
                              pnng_model_port *port) {
    const pnng_json *const json = &r->json;
    const uint32_t value = pnng_json_get(json, token, "value");
    const uint32_t kind_token = pnng_json_get(json, token, "kind");
    const char *const kind = kind_token ? pnng_json_text(json, kind_token) : NULL;
    size_t bytes = 1;
    int64_t number;
    if (!read_value(r, value, false, &number) || !kind ||
        (strcmp(kind, "real") && strcmp(kind, "index")) ||
        !read_sizes(json, pnng_json_get(json, token, "shape"), &port->shape, &bytes) ||
        port->shape.ndim > PNNG_MAX_DIMS)
        return fail(r, token, "this describes no input");
    port->kind = strcmp(kind, "real") ? PNNG_INDEX : PNNG_REAL;
    return check_built(
        r, token, program,
        pnng_program_input(program, port->kind, port->kind == PNNG_REAL, &r->value[number]));
}

static pnng_status read_inputs(reader *r, uint32_t object, pnng_model_program *out) {
    uint32_t token;
    size_t count;
    pnng_status status = get_list(r, object, "inputs", &token, &count);
    if (status)
        return status;
    out->inputs = pnng_allocate_zeroed(&r->model->allocator, count, sizeof *out->inputs);
    if (!out->inputs)
        return no_memory(r);
    token++;
    for (size_t k = 0; k < count && !status; k++, token = r->json.token[token].next) {
        const uint32_t name = pnng_json_get(&r->json, token, "name");
        set_name(&out->inputs[k], name ? pnng_json_text(&r->json, name) : NULL, "input", k, count);
        status = read_input(r, token, out->program, &out->inputs[k]);
    }
    out->n_inputs = count;
    return status;
}

static pnng_status read_param(reader *r, uint32_t token, pnng_program *program, size_t *place) {
    const pnng_json *const json = &r->json;
    const uint32_t array = pnng_json_get(json, token, "array");
    const uint32_t gradient = pnng_json_get(json, token, "gradient");
    const char *const name = array ? pnng_json_text(json, array) : NULL;
    int64_t number;
    if (!read_value(r, pnng_json_get(json, token, "value"), false, &number) || !name || !gradient ||
        json->token[gradient].kind < PNNG_JSON_FALSE || json->token[gradient].kind > PNNG_JSON_TRUE)
        return fail(r, token, "this describes no parameter");
    const pnng_status status = add_param(r, token, name, place);
    if (status)
        return status;
    pnng_model_param *const param = &r->model->params[*place];
    const bool has_grad = pnng_json_is(json, gradient, PNNG_JSON_TRUE);
    param->has_grad = param->has_grad || has_grad;
    return check_built(r, token, program,
                       pnng_program_param(program, param->shape, has_grad, &r->value[number]));
}

static pnng_status read_params(reader *r, uint32_t object, pnng_model_program *out) {
    uint32_t token;
    size_t count;
    pnng_status status = get_list(r, object, "parameters", &token, &count);
    if (status)
        return status;
    out->params = pnng_allocate_zeroed(&r->model->allocator, count, sizeof *out->params);
    if (!out->params)
        return no_memory(r);
    token++;
    for (size_t k = 0; k < count && !status; k++, token = r->json.token[token].next)
        status = read_param(r, token, out->program, &out->params[k]);
    return status;
}

/* Room for the entries of a list of an op. */
#define ROOM(r, array, capacity, count)                                                            \
    pnng_reserve(&(r)->model->allocator, (void **)&(r)->array, &(r)->capacity, (count),            \
                 sizeof *(r)->array)

static pnng_status read_op(reader *r, uint32_t op, size_t place, pnng_program *program) {
    const pnng_json *const json = &r->json;
    static const char *const names[] = {"inputs", "ints", "nums", "outputs"};
    uint32_t list[4];
    size_t count[4];
    const uint32_t name_token = pnng_json_get(json, op, "op");
    const char *const name = name_token ? pnng_json_text(json, name_token) : NULL;
    if (!name)
        return fail(r, op, "op %zu has no name", place);
    if (!strcmp(name, "host"))
        return fail(r, op, "op %zu runs in Python: it has no meaning here", place);
    const int32_t code = pnng_op_find(name);
    if (code < 0)
        return fail(r, op, "op %zu is called '%.80s', which is not known here", place, name);
    for (int k = 0; k < 4; k++) {
        const pnng_status status = get_list(r, op, names[k], &list[k], &count[k]);
        if (status)
            return status;
    }
    if (!ROOM(r, in, cap_in, count[0]) || !ROOM(r, ints, cap_ints, count[1]) ||
        !ROOM(r, nums, cap_nums, count[2]) || !ROOM(r, out, cap_out, count[3]))
        return no_memory(r);
    for (int l = 0; l < 4; l++) {
        uint32_t token = list[l] + 1;
        for (size_t k = 0; k < count[l]; k++, token = json->token[token].next) {
            int64_t number = 0;
            const bool right = l == 1   ? pnng_json_int(json, token, &r->ints[k])
                               : l == 2 ? pnng_json_real(json, token, &r->nums[k])
                                        : read_value(r, token, l == 0, &number);
            if (!right)
                return fail(r, token, "entry %zu of the %s of op %zu, %s, is wrong", k, names[l],
                            place, name);
            if (l == 0)
                r->in[k] = r->value[number];
            else if (l == 3) {
                r->out[k] = (pnng_value)number;
                r->value[number] = INT32_MAX; /* so that it is not given twice */
            }
        }
    }
    /* The new values take the place of the file's numbers of them; those are in `in`'s room. */
    if (!ROOM(r, in, cap_in, count[0] + count[3]))
        return no_memory(r);
    pnng_value *const made = r->in + count[0];
    const pnng_status status = pnng_program_op(program, code, r->in, count[0], r->ints, count[1],
                                               r->nums, count[2], made, count[3]);
    if (status)
        return check_built(r, op, program, status);
    for (size_t k = 0; k < count[3]; k++)
        r->value[r->out[k]] = made[k];
    return PNNG_OK;
}

static pnng_status read_ops(reader *r, uint32_t object, pnng_program *program) {
    uint32_t token;
    size_t count;
    pnng_status status = get_list(r, object, "ops", &token, &count);
    token++;
    for (size_t k = 0; !status && k < count; k++, token = r->json.token[token].next)
        status = read_op(r, token, k, program);
    return status;
}

static pnng_status read_updates(reader *r, uint32_t object, pnng_program *program) {
    uint32_t token;
    size_t count;
    pnng_status status = get_list(r, object, "updates", &token, &count);
    token++;
    for (size_t k = 0; !status && k < count; k++, token = r->json.token[token].next) {
        int64_t buffer, value;
        if (!pnng_json_is(&r->json, token, PNNG_JSON_LIST) || r->json.token[token].count != 2 ||
            !read_value(r, token + 1, true, &buffer) || !read_value(r, token + 2, true, &value))
            return fail(r, token, "this is no update of a buffer");
        status = check_built(r, token, program,
                             pnng_program_update(program, r->value[buffer], r->value[value]));
    }
    return status;
}

static pnng_status read_outputs(reader *r, uint32_t object, pnng_model_program *out) {
    uint32_t token;
    size_t count;
    pnng_status status = get_list(r, object, "outputs", &token, &count);
    if (status)
        return status;
    out->outputs = pnng_allocate_zeroed(&r->model->allocator, count, sizeof *out->outputs);
    if (!out->outputs)
        return no_memory(r);
    const uint32_t names = pnng_json_get(&r->json, object, "output_names");
    const bool named = names && pnng_json_is(&r->json, names, PNNG_JSON_LIST) &&
                       r->json.token[names].count == count;
    uint32_t name = names + 1;
    token++;
    for (size_t k = 0; k < count && !status; k++, token = r->json.token[token].next) {
        set_name(&out->outputs[k], named ? pnng_json_text(&r->json, name) : NULL, "output", k,
                 count);
        if (named)
            name = r->json.token[name].next;
        int64_t value;
        if (!read_value(r, token, true, &value))
            return fail(r, token, "this is no value of the program");
        status =
            check_built(r, token, out->program, pnng_program_output(out->program, r->value[value]));
    }
    out->n_outputs = count;
    return status;
}

static pnng_status read_program(reader *r, uint32_t object, pnng_model_program *out) {
    const pnng_json *const json = &r->json;
    const uint32_t values = pnng_json_get(json, object, "values");
    const uint32_t any_batch = pnng_json_get(json, object, "any_batch");
    int64_t n_values;
    /* Each value stands somewhere: there are no more of them than tokens. */
    if (!values || !pnng_json_int(json, values, &n_values) || n_values < 0 ||
        (uint64_t)n_values > json->count)
        return fail(r, object, "the program has no number of values");
    if (!ROOM(r, value, cap_values, (size_t)n_values))
        return no_memory(r);
    r->n_values = (size_t)n_values;
    for (size_t k = 0; k < r->n_values; k++)
        r->value[k] = -1;
    out->any_batch = any_batch && pnng_json_is(json, any_batch, PNNG_JSON_TRUE);
    pnng_status status = pnng_program_new(&r->model->allocator, &out->program);
    if (status)
        return no_memory(r);
    status = read_inputs(r, object, out);
    if (!status)
        status = read_params(r, object, out);
    if (!status)
        status = read_ops(r, object, out->program);
    if (!status)
        status = read_updates(r, object, out->program);
    if (!status)
        status = read_outputs(r, object, out);
    return status ? status : check_built(r, object, out->program, pnng_program_seal(out->program));
}

static pnng_status read_programs(reader *r) {
    static const char *const modes[PNNG_MODEL_MODES] = {"evaluate", "train"};
    const pnng_json *const json = &r->json;
    int64_t version;
    const uint32_t stated = pnng_json_get(json, 0, "version");
    if (!stated || !pnng_json_int(json, stated, &version) || version < 1)
        return fail(r, 0, "the model states no version");
    if (version > MODEL_VERSION)
        return fail(r, stated, "the model is of version %lld, and %d is known here",
                    (long long)version, MODEL_VERSION);
    const uint32_t list = pnng_json_get(json, 0, "programs");
    if (!list || !pnng_json_is(json, list, PNNG_JSON_LIST) || !json->token[list].count)
        return fail(r, list,
                    "the model holds no program: nn.save writes them when it is given an input");
    uint32_t token = list + 1;
    for (uint32_t k = 0; k < json->token[list].count; k++, token = json->token[token].next) {
        const uint32_t name = pnng_json_get(json, token, "mode");
        const char *const text = name ? pnng_json_text(json, name) : NULL;
        int mode = 0;
        while (mode < PNNG_MODEL_MODES && !(text && !strcmp(text, modes[mode])))
            mode++;
        if (mode == PNNG_MODEL_MODES)
            return fail(r, token, "the program is of no mode that is known here");
        if (r->model->programs[mode].program)
            return fail(r, token, "there is more than one program to %s", modes[mode]);
        const pnng_status status = read_program(r, token, &r->model->programs[mode]);
        if (status)
            return status;
    }
    return r->model->n_params ? PNNG_OK : read_dtype(r);
}

/* ---- the file ------------------------------------------------------------------------------- */

static pnng_status read_header(reader *r) {
    pnng_model *const model = r->model;
    model->text = pnng_allocate(&model->allocator, model->n_header + 1, 1);
    if (!model->text)
        return no_memory(r);
    memcpy(model->text, model->bytes + LENGTH_BYTES, model->n_header);
    model->text[model->n_header] = '\0';
    if (!pnng_json_is_utf8(model->bytes + LENGTH_BYTES, model->n_header))
        return fail_at(r, LENGTH_BYTES, "the header is no UTF-8");
    r->header =
        (pnng_json){.allocator = &model->allocator, .text = model->text, .length = model->n_header};
    const pnng_status status = pnng_json_parse(&r->header);
    if (status == PNNG_ERROR_FORMAT)
        return fail_at(r, LENGTH_BYTES + r->header.place, "%s", r->header.wrong);
    return status ? no_memory(r) : read_arrays(r);
}

/* The model: a text of the metadata, which is JSON again. */
static pnng_status read_inner(reader *r) {
    const pnng_json *const h = &r->header;
    const uint32_t metadata = pnng_json_get(h, 0, "__metadata__");
    const uint32_t inner = metadata ? pnng_json_get(h, metadata, "pynngraph") : 0;
    if (!inner || !pnng_json_is(h, inner, PNNG_JSON_TEXT))
        return fail_at(r, LENGTH_BYTES, "there is no model of pynngraph in the metadata");
    const pnng_json_token *const text = h->token + inner;
    r->inner_raw = LENGTH_BYTES + text->start;
    r->json = (pnng_json){
        .allocator = &r->model->allocator, .text = h->text + text->start, .length = text->length};
    const pnng_status status = pnng_json_parse(&r->json);
    if (status == PNNG_ERROR_FORMAT)
        return fail_at(r, inner_byte(r, r->json.place), "in the model: %s", r->json.wrong);
    return status ? no_memory(r) : read_programs(r);
}

pnng_status pnng_model_read(pnng_model *model) {
    reader r = {.model = model};
    const uint16_t one = 1;
    if (!*(const unsigned char *)&one)
        return fail_at(&r, 0, "arrays are little-endian, and this machine is not");
    if (model->n_bytes < LENGTH_BYTES)
        return fail_at(&r, model->n_bytes, "the file ends before its first 8 bytes");
    const uint64_t n_header = pnng_model_header_bytes(model->bytes);
    if (n_header > model->n_bytes - LENGTH_BYTES || n_header > MAX_HEADER)
        return fail_at(&r, 0, "a header of %llu bytes is more than there is",
                       (unsigned long long)n_header);
    model->n_header = (size_t)n_header;
    pnng_status status = read_header(&r);
    if (!status)
        status = read_inner(&r);
    model->loaded = !status;
    void *const parts[] = {r.header.token, r.json.token, r.value, r.in, r.out, r.ints, r.nums};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        pnng_release(&model->allocator, parts[k]);
    return status;
}

pnng_status pnng_model_loaded(pnng_model *model, pnng_status status, pnng_model **out) {
    if (status == PNNG_ERROR_MEMORY) {
        pnng_model_free(model);
        model = NULL;
    }
    *out = model;
    return status;
}

pnng_status pnng_model_load_memory(const void *bytes, size_t count, int32_t flags,
                                   const pnng_allocator *allocator, pnng_model **out) {
    pnng_model *const model = pnng_model_empty(allocator);
    if (!model)
        return pnng_model_loaded(model, PNNG_ERROR_MEMORY, out);
    if (flags & ~PNNG_MODEL_IN_PLACE)
        return pnng_model_loaded(
            model, pnng_fail(&model->message, PNNG_ERROR_ARGUMENT, "unknown flags: %d", flags),
            out);
    if (flags & PNNG_MODEL_IN_PLACE) {
        model->bytes = (unsigned char *)(uintptr_t)bytes; /* written as the header says */
        model->n_bytes = count;
    } else {
        const uint64_t n_header = count < LENGTH_BYTES ? 0 : pnng_model_header_bytes(bytes);
        if (!pnng_model_take_bytes(model, count, n_header))
            return pnng_model_loaded(model, PNNG_ERROR_MEMORY, out);
        if (count)
            memcpy(model->bytes, bytes, count);
    }
    return pnng_model_loaded(model, pnng_model_read(model), out);
}
